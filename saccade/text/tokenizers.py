"""Tokenizers of the published systems: functions that split a sentence into words.

Another package adds one by an entry point in the group `saccade.tokenizers`.
"""

import re
import string
from collections.abc import Callable

from saccade.core.tables import Table
from saccade.text.answers import CONTRACTIONS, normalise_punctuation
from saccade.text.segmentation import QUESTION_MARKS, has_no_blanks, words_of_any_script

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def caption_words(text: str) -> tuple[str, ...]:
    """Cut a caption into lower-case words without ASCII punctuation.

    The form in which the Karpathy files hold COCO, Flickr8k and Flickr30k captions. A caption in
    Han, Kana or Hangul, which blanks do not cut, is cut as tokenizer "multilingual" does.
    """
    if has_no_blanks(text):
        return tuple(words_of_any_script(text))
    return tuple(text.lower().translate(_NO_PUNCTUATION).split())


def as_question(text: str) -> str:
    """Write a question as the released VQA files do: no blanks around it, "?" at its end.

    Tokenizers may count on the last character being a question mark, and cut it off.
    """
    text = text.strip()
    return text if text.endswith(QUESTION_MARKS) else f"{text}?"


def _show_ask_attend_answer(text: str) -> list[str]:
    """Lower-case, drop the last character whatever it is, cut at every single blank.

    So commas stay glued to words, and two blanks in a row give an empty word, as in the
    published code of Show, Ask, Attend, and Answer (Kazemi & Elqursh 2017).
    """
    return text.lower()[:-1].split(" ")


def _treebank(text: str) -> list[str]:
    """Lower-case; split off punctuation, and what hangs on an apostrophe, as the Penn Treebank.

    Marks of numbers, abbreviations and hyphens stay; a full stop is split off at the end only.
    """
    text = f" {text.lower()} "
    for pattern, replacement in TREEBANK:
        text = pattern.sub(replacement, text)
    return text.split()


TREEBANK = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'(?<=[ (\[{<])"', " `` "),
        (r'"', " '' "),
        (r"[;@#$%&?!*()\[\]{}<>]|--|\.\.+|[:,](?!\d)", r" \g<0> "),
        (r"(?<=[^. ])\.(?=[\s')\]}>]*$)", " . "),
        (r"(?<= )'(?!(?:re|ve|ll|[mtsdn])\b)(?=\w)", "' "),
        (r"(?<=[^' ])'(?= )", " ' "),
        (r"(?<=[^' ])(?:n't|'(?:[smd]|ll|re|ve))(?= )", r" \g<0> "),
        (r"\b(can)(not)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b", r"\1\3\5 \2\4\6"),
        (r"\b(gim|lem)(me)\b|\b(d)('ye)\b|\b(more)('n)\b", r"\1\3\5 \2\4\6"),
    )
]


def _basic_vqa(text: str) -> list[str]:
    """Lower-case, cut wherever something else than a word begins, keep what was in between."""
    pieces = (piece.strip() for piece in re.split(r"(\W+)", text.lower()))
    return [piece for piece in pieces if piece]


def _san(text: str) -> list[str]:
    """The official answer normaliser's punctuation and apostrophes on lower-case words."""
    words = normalise_punctuation(text.lower()).split()
    return [CONTRACTIONS.get(word, word) for word in words]


def _bottom_up(text: str) -> list[str]:
    """Lower-case without commas and question marks; "'s" is a word."""
    return text.lower().replace(",", "").replace("?", "").replace("'s", " 's").split()


_OPENVQA = str.maketrans("-/", "  ", ".,'!?\"()*#:;")


def _check(line: object) -> None:
    if not callable(line):
        raise TypeError(f"a function from text to a list of words was expected, not {line!r}")


TOKENIZERS: Table[Callable[[str], list[str]]] = Table(
    "tokenizer",
    {
        "show_ask_attend_answer": _show_ask_attend_answer,
        "karpathy": lambda text: list(caption_words(text)),
        "treebank": _treebank,
        "basic_vqa": _basic_vqa,
        "san": _san,
        "bottom_up": _bottom_up,
        "openvqa": lambda text: text.lower().translate(_OPENVQA).split(),
        "multilingual": words_of_any_script,  # Chinese, Japanese, Korean, and all with blanks
    },
    group="saccade.tokenizers",
    check=_check,
)

FILE = "file:"
"""Stands before the path of a pretrained language model's tokenizer, in place of a name."""
