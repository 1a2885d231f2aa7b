"""The Penn Treebank tokenizer of the COCO caption evaluation, without its Java.

Official caption scores are computed over the tokens of Stanford CoreNLP 3.4.1 (`PTBTokenizer
-preserveLines -lowerCase`), less punctuation. Here its behaviour, found by experiment, is one
ordered pattern; `docs/metrics.md` lists what is known to differ.

The original reads all captions as one text, so the first word of the next caption decides what
becomes of an abbreviation at the end of this one: "t.v." gains a full stop before "A", and "N."
loses its own. With `following` the tokens are the very same; "" stands for the end of the text.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

DROPPED = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--"]
) | {"...", ";"}
"""Tokens that the COCO tools drop. Brackets arrive in lower case and so are kept after all."""

_PIECES = {  # a piece may name pieces below it
    "DOTTED": "LETTER ALNUM* (?: [.!?] LETTER ALNUM* )+",  # bathroom.with
    "COMPOUND": r"ALNUM+ (?: [-_] (?: (?:[A-Za-z]\.){2,} | ALNUM+ ) )*",  # half-eaten, non-U.S.
    "SUFFIX": "APOS (?i: s | d | m | re | ve | ll ) (?!ALNUM)",
    "NOT": "[nN] APOS [tT] LETTER*",
    # Abbreviations that keep their full stop,
    "TITLES": "adm|alex|assoc|asst|atty|ave|brig|capt|cf|cie|cmdr|col|comdr|cpl|dept|det|drs?|elec|"
    "ft|gen|govs?|hon|jos|lieut|lt|maj|messrs|mfg|mlle|mme|mrs?|ms|mt|natl|pfc|ph|pres|profs?|pvt|"
    "reps?|rev|sens?|sgt|spc|ste?|supts?|treas|vs|wm",
    # those that are also the end of a sentence if a capital letter follows,
    "ENDINGS": r"ala?|apr|ariz|assn|aug|bancorp|bhd|bldg|blvd|bros|calif|colo?|conn|corp|cos?|ct|"
    r"dak|dec|ed\.d|esq|est|etc|ext|feb|fla|fri|ga|inc|ind|intl|jan|jr|jul|jun|kans?|ky|ltd|mar|md|"
    r"mich|minn|mon?|mont|neb|nev|nov|oct|okla|penn|ph\.d|plc|ptys?|rd|rt|sept?|seq|sq|sr|sys|tel|"
    "tenn|thurs?|thu|tues?|univ|va|vt|wed|wisc?|wyo",
    # the same, but never wholly in lower case,
    "STATES": "(?![a-z]) (?i: ark|az|del|ill|la|mass|miss|ore|pa|tex|wash )",
    # and those that a number has to follow.
    "BEFORE_NUMBER": "art|ca|figs?|nos?|pp|prop",
    "LETTER": "(?: [^\\W\\d_] [\u0300-\u036f]* )",  # with accents written behind it
    "ALNUM": "(?: [^\\W_] [\u0300-\u036f]* )",
    "APOS": "['\u2019]",
}


def _compile(pattern: str) -> re.Pattern[str]:
    for name, piece in _PIECES.items():
        pattern = re.sub(rf"\b{name}\b", lambda _, piece=piece: piece, pattern)  # type: ignore[misc]
    return re.compile(pattern, re.VERBOSE)


_TOKEN = _compile(r"""
    (?P<whole>  # markup, addresses, tags; words before a stop and a comma keep the stop
        </?[A-Za-z!][^<>@]*>
      | https?://[^\s"<>|]*[^\s"<>|.!?,;:'()-] | [^\s"<>|()@]{1,64}@[^\s"<>|()]*[^\s"<>|().!?,;']
      | (?: LETTER ALNUM* \. )+ (?: com|net|org|edu ) (?: /[\w/.-]*\w )? (?!ALNUM)
      | [@\#][A-Za-z]+ | [cC](?: \# | \+\+ ) | (?: DOTTED | COMPOUND )\.(?=[,:;]) )
  | (?P<face> [:;=]['o]?-?[()DPdpO\]\[|\\](?!ALNUM) )
  | (?P<half>  # the first half of what is cut in two: can-not, gon-na, do-n't
        (?i: can(?=not\b) | gon(?=na\b) | got(?=ta\b) | (?:lem|gim)(?=me\b) | wan(?=na\b)
           | more(?=APOS n\b) | APOS t(?=(?:is|was)\b) )
      | LETTER*?(?![nN])LETTER(?=NOT) )
  | (?P<apostrophe>
        NOT | SUFFIX | APOS [nN] (?: APOS | (?!ALNUM) ) | APOS (?i: em | til | cause )(?!ALNUM)
      | APOS (?: [1-9]0s | \d\d(?=\s|\Z) )
      | (?i: ol APOS | y (?!SUFFIX) APOS (?=LETTER) | c APOS mon | nat APOS l )
      | (?i: somethin | dunkin ) APOS
      | [A-HJ-XZn] APOS LETTER{2,} | LETTER+[aeiouyAEIOUY] (?!SUFFIX) APOS [aeiouA-Z] LETTER*
      | [dlDL] (?!SUFFIX) APOS (?!ALNUM ALNUM) | [jJ] (?!SUFFIX) APOS )
  | (?P<acronym> [A-Za-z] (?: \.[A-Za-z] )* \.(?!LETTER|-ALNUM) )
  | (?P<ending> (?: (?i: ENDINGS ) | STATES )\.(?!LETTER) )
  | (?P<title> (?i: TITLES )\.(?!LETTER) | (?i: BEFORE_NUMBER )\.(?=\s?\d) )
  | (?P<dotted>
        (?: [A-Za-z] (?: \.[A-Za-z] )* \.(?=-) | DOTTED )
        (?: - (?: (?:[A-Za-z]\.){2,} | ALNUM+ ) )*
      | [A-Z]+(?:&[A-Z]+)+ | [A-Z]{1,3}\$ )
  | (?P<mixed> \d{1,4}[-\ ]\d{1,4}/\d{1,4}(?!ALNUM) )
  | (?P<number> [-+]? \d* (?: (?: : | [.,]-? ) \d+ )+ | [-+]\d+ )
  | (?P<compound> (?: [dDoOlL] APOS (?=ALNUM ALNUM) )? COMPOUND (?: / COMPOUND ){0,2} )
  | (?P<ellipsis> \.{3,5} | (?:\.\ ){2,4}\. | \u2026 )
  | (?P<dash> -{2,4}(?!-) | [\u2013\u2014\u2015] )
  | (?P<marks> [!?]{2,} | -{5,} | \*+ | _+ | \#+ | << | >> | `` | '' )
  | (?P<open_double> "(?=[A-Za-z0-9$]) )
  | (?P<open_single> '(?=[A-Za-z]\S) )
  | (?P<other> \S )
""")

# What ends a sentence behind an acronym: only words that begin one for certain.
_SENTENCE = re.compile(
    r"\s+(?=[A-Z])(?i:a|about|according|additionally|after|an|as|at|but|earlier|he|her|here|"
    r"however|if|in|it|last|many|more|now|once|one|other|our|she|since|so|some|such|that|the|their|"
    r"then|there|these|they|this|we|what|when|while|yet|you)\s"
)
_CAPITAL_OR_END = re.compile(r"\s+[A-Z]|\s\s|\s*\Z")

_WRITTEN = {
    **{"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"},
    **{'"': "''", "\u201c": "``", "\u201d": "''", "\u2018": "`", "\u2019": "'"},
    **{"\u00ab": "``", "\u00bb": "''", "\u2039": "`", "\u203a": "'"},
    **{"£": "#", "€": "$", "¢": "cents"},
}
_ALWAYS = {"ellipsis": "...", "dash": "--", "open_double": "``", "open_single": "`"}
_BEFOREHAND = {
    **{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": " "},
    **{"½": "  1/2 ", "¼": "  1/4 ", "¾": "  3/4 ", "²": " ² ", "³": " ³ "},
}
_REWRITE = re.compile("|".join(_BEFOREHAND))
_UNKNOWN = re.compile("[\ufffd\U00010000-\U0010ffff]")  # the original drops what it has no name for
_PLAIN = re.compile(r"[A-Za-z]+(?=\s)")
_NOT_PLAIN = frozenset(["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"])


def ptb_tokens(caption: str, following: str = "") -> list[str]:
    """Cut a caption into lower-case tokens, punctuation marks among them.

    `following` is the caption that comes next, see above; its tokens are not given. As in the
    original, "1 1/2" is one token, with a no-break blank inside.
    """
    caption = _UNKNOWN.sub(" ", _REWRITE.sub(lambda found: _BEFOREHAND[found[0]], caption))
    text = f"{caption}\n{following}\n" if following else caption
    tokens: list[str] = []
    place, end = 0, len(caption)
    while place < end:
        if text[place].isspace():
            place += 1
        elif (plain := _PLAIN.match(text, place)) and plain[0].lower() not in _NOT_PLAIN:
            tokens.append(plain[0])  # most words: a short way round the long pattern
            place = plain.end()
        elif found := _TOKEN.match(text, place):
            tokens += _write(found, text)
            place = found.end()
    return [token.lower() for token in tokens]


def _write(found: re.Match[str], text: str) -> list[str]:
    """Write a token in the way of the treebank; an abbreviation may end a sentence besides."""
    token, kind = found[0], str(found.lastgroup)
    if kind == "acronym" and _SENTENCE.match(text, found.end()):
        return [token[:-1] if len(token) == 2 else token, "."]
    if kind == "ending" and _CAPITAL_OR_END.match(text, found.end()):
        return [token, "."]
    if kind == "mixed":
        return [token.replace(" ", "\xa0")]
    if kind == "face":
        return [token.replace(")", "-rrb-").replace("(", "-lrb-")]
    token = _ALWAYS.get(kind) or _WRITTEN.get(token) or token
    return [token.replace("\u2019", "'")]


def coco_words(captions: Sequence[str]) -> list[list[str]]:
    """Cut captions into the words that official scores are computed over.

    Takes all captions in one go and in the official order (references: image by image), as
    the last abbreviation of a caption depends on the next caption. "1 1/2" gives two words, as
    it does in the official BLEU and CIDEr.
    """
    lines = [caption.replace("\n", " ") for caption in captions]
    return [
        " ".join(token for token in ptb_tokens(line, following) if token not in DROPPED).split()
        for line, following in pairwise([*lines, ""])
    ]
