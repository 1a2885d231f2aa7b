"""Answers as the official VQA scorer reads them, and the list of answers a model can give.

Two answers that mean the same may be written differently ("Two." and "2"). The official scorer
mends that by fixed rules with well-known oddities; they are kept here to the letter, because a
score by any other rules cannot be compared with a published one. For data that nobody has
published scores of there is a third revision without the oddity that hurts there.
Source: GT-Vision-Lab/VQA, `vqaEval.py`, revisions a013f00 (2021) and 458a8b2 (2016).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from saccade.core.errors import BadConfig, BadData
from saccade.core.tables import Table

REVISIONS = ("2021-03", "2016", "always")
OFFICIAL, ALWAYS = REVISIONS[0], REVISIONS[-1]

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
LISTED = re.compile(f"[{re.escape(_PUNCTUATION)}]")
BESIDE_BLANK = re.compile(f"(?<= ){LISTED.pattern}|{LISTED.pattern}(?= )")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
FULL_STOP = re.compile(r"\.(?!\d)")
_MOST_FULL_STOPS = 32  # the official code hands a flag (of value 32) to the place of a count
_AS_BLANKS = str.maketrans("\n\t", "  ")

_UP_TO_TEN = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(n) for n, word in enumerate(_UP_TO_TEN.split(" "))} | {"none": "0"}
ARTICLES = frozenset({"a", "an", "the"})


def _contractions() -> dict[str, str]:
    """Write out the official table: 120 spellings with an apostrophe left out, and the full one."""
    single = (
        "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's "
        "how'd how'll how's I'm I've isn't it'd it'll ma'am mightn't might've mustn't must've "
        "needn't not've o'clock oughtn't shan't should've shouldn't somebody'll somebody's "
        "someone'd someone'll someone's something'd something'll that's there'd there're there's "
        "they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've "
        "when's where'd where's where've who'd who'll who's who've why'll why're why's won't "
        "would've wouldn't y'all you'd you'll you're you've"
    )
    double = (
        "couldn't've hadn't've he'd've I'd've it'd've mightn't've she'd've shouldn't've "
        "somebody'd've someone'd've something'd've there'd've they'd've we'd've who'd've "
        "wouldn't've you'd've y'all'll"
    )
    table = {full.replace("'", ""): full for full in single.split()}
    for full in double.split():
        head, middle, tail = full.split("'")
        table[f"{head}{middle}'{tail}"] = table[f"{head}'{middle}{tail}"] = full
    table |= dict.fromkeys(("yall'd've", "y'alld've", "y'all'dve"), "y'all'd've")
    table |= dict.fromkeys(("ow's'at", "'ows'at", "'ow'sat"), "'ow's'at")
    # As released: two entries change nothing, and one is the wrong way round.
    return table | {"let's": "let's", "she's": "she's", "somebody'd": "somebodyd"}


CONTRACTIONS = _contractions()


def normalise_punctuation(
    text: str,
    comma_in_number: re.Pattern[str] = _COMMA_IN_NUMBER,
    full_stop: re.Pattern[str] = FULL_STOP,
) -> str:
    """Take out the official 21 punctuation marks, and full stops that no digit follows.

    A mark becomes a blank; but if anywhere in the text the same mark stands beside a blank, or a
    comma stands between two digits, all of its occurrences vanish without one. Some programs have
    other patterns for that comma, or for the full stop.
    """
    marks = set(LISTED.findall(text))
    if marks:
        in_number = comma_in_number.search(text) is not None
        vanish = set(BESIDE_BLANK.findall(text)) if not in_number else marks
        text = text.translate({ord(m): "" if m in vanish else " " for m in marks})
    return full_stop.sub("", text, count=_MOST_FULL_STOPS) if "." in text else text


def normalise_digits_and_articles(text: str) -> str:
    """Lower-case; write none to ten as digits; drop a, an, the; restore apostrophes."""
    words = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def normalise_answer(text: str) -> str:
    """Normalise an answer in full: punctuation, then digits, articles and contractions."""
    return normalise_digits_and_articles(normalise_punctuation(text))


Steps = Literal["blanks", "punctuation", "all"]


@lru_cache(maxsize=2**18)  # people repeat themselves: ten million answers, few different ones
def clean_answer(text: str, steps: Steps) -> str:
    """Do some of the official steps: blanks (line ends and tabs too), one more, or all."""
    if steps == "punctuation":
        return normalise_punctuation(text)
    text = text.translate(_AS_BLANKS).strip()
    return text if steps == "blanks" else normalise_answer(text)


def is_official_form(text: str) -> bool:
    """If the official normaliser leaves an answer as it is; one of which it leaves nothing, too."""
    return clean_answer(text, "blanks") == (clean_answer(text, "all") or text)


class _InAscii(dict[int, str]):
    """Replacement of each character that ASCII lacks: a mark or digit by the like one of ASCII,
    what cannot be seen by nothing, any other by itself.
    """

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind, digit = unicodedata.category(letter), unicodedata.decimal(letter, None)
        if code < 128 or letter in _MEANT:
            found = letter
        elif digit is not None:
            found = str(digit)
        else:
            found = {"Cf": "", "Pd": "-"}.get(kind, '"' if kind[0] == "P" else letter)
        self[code] = found
        return found


_MEANT = (
    "\u2030\u2031\u00a7\u2032"  # per mille, of ten thousand, paragraph, minutes: no punctuation
)
_BEHIND_NUMBER = re.compile(
    "(?<=\\d)(?=[\u00b2\u00b3\u00b9\u2070-\u2079\u00bc-\u00be\u2150-\u215e])"
)
"""Powers and fractions: NFKC would make 102 of ten to the power of two."""
_IN_ASCII = _InAscii(
    {
        ord(mark): like
        for mark, like in zip(
            "\u3002\u06d4\u0964\u066b\u066c\u066a\u2018\u2019\u02bc\u2212\u2044",
            "....,%'''-/",
            strict=True,
        )
    }
)
_IN_ASCII |= dict.fromkeys((0xFE0E, 0xFE0F), "")  # choose how an emoji is drawn


@lru_cache(maxsize=2**18)
def comparable_answer(text: str) -> str:
    """The form in which own answers are compared: officially normalised, but an answer of which
    that leaves nothing keeps its letters ("A", one of the choices A to D, is no article) or its
    marks ("?"). Wide letters, accents in two parts and marks of other scripts are made one first.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _BEHIND_NUMBER.sub(" ", text)).translate(_IN_ASCII)
    text = text.translate(_AS_BLANKS).strip()
    letters = " ".join(normalise_punctuation(text).lower().split())
    return normalise_answer(text) or letters or text.lower()


def merged_spellings(answers: Iterable[str]) -> list[str]:
    """The groups of answers that are one by their comparable form, though they differ by more than
    case, blanks and full stops, each written out.
    """
    groups: dict[str, dict[str, str]] = {}
    for answer in answers:
        plain = "".join(answer.lower().replace(".", " ").split())
        groups.setdefault(comparable_answer(answer), {}).setdefault(plain, answer.strip())
    return [" = ".join(group.values()) for group in groups.values() if len(group) > 1]


def commonest_answer(answers: Sequence[str]) -> str:
    """What most people answered, by its comparable form, in the spelling that most of them used;
    of equals the first. Empty where there are none.
    """
    forms = Counter(map(comparable_answer, answers))
    best = max(forms, key=lambda form: forms[form], default="")
    spellings = Counter(answer for answer in answers if comparable_answer(answer) == best)
    return max(spellings, key=lambda spelling: spellings[spelling], default="")


def changed_unanimous(people: Iterable[Sequence[str]]) -> Counter[str]:
    """Answers that several people gave in agreement and the official normaliser changes, and to
    how many questions: revision 2021-03 leaves them as they are, so that no normalised answer can
    meet them.
    """
    agreed = Counter(
        answers[0]
        for answers in people  # of half a million questions: the first test answers for most
        if len(answers) > 1 and answers[0] == answers[-1] and len(set(answers)) == 1
    )
    changed = Counter[str]()
    for answer, count in agreed.items():
        raw = clean_answer(answer, "blanks")
        if clean_answer(raw, "all") != raw:
            changed[raw] += count
    return changed


def normalise_pair(
    prediction: str, answers: Sequence[str], revision: str = REVISIONS[0]
) -> tuple[str, list[str]]:
    """Normalise a prediction and what people answered, as the official scorer does.

    2021-03 (default) normalises both sides in full, unless all people wrote the same: then neither.
    2016 always normalises the prediction in full; the people's answers only lose punctuation, and
    only if they differ. So under 2016 an answer with an article can never be matched.
    "always" is nobody's but ours: both sides as `comparable_answer`, whatever people wrote.
    Raises BadConfig for any other revision.
    """
    if revision not in REVISIONS:
        hint = f"Choose from {', '.join(REVISIONS)}."
        raise BadConfig(f"there is no scorer revision {revision!r}", hint=hint)
    if revision == ALWAYS:
        return comparable_answer(prediction), [comparable_answer(answer) for answer in answers]
    if revision == OFFICIAL:
        human = [clean_answer(answer, "blanks") for answer in answers]
        if len(set(human)) == 1:
            return clean_answer(prediction, "blanks"), human
        return clean_answer(prediction, "all"), [clean_answer(a, "all") for a in human]
    human = list(answers)
    if len(set(human)) > 1:
        human = [clean_answer(answer, "punctuation") for answer in human]
    return clean_answer(prediction, "all"), human


def _show_ask_attend_answer(text: str) -> str:
    """Emulate the official punctuation rules in the way of Show, Ask, Attend, and Answer's code.

    Without listed marks a text stays as it is. Else marks beside a blank vanish, commas vanish if
    one then stands between digits, other marks become blanks, full stops go as officially.
    """
    if LISTED.search(text) is None:
        return text
    text = BESIDE_BLANK.sub("", text)
    if _COMMA_IN_NUMBER.search(text):
        text = text.replace(",", "")
    return FULL_STOP.sub("", LISTED.sub(" ", text)).strip()


NORMALISERS: Table[Callable[[str], str]] = Table(
    "normaliser",
    {
        "none": lambda text: text,
        "official": normalise_answer,
        "show_ask_attend_answer": _show_ask_attend_answer,
    },
)


@dataclass(frozen=True)
class AnswerList:
    """The answers that a model chooses from; an answer's id is its place in `answers`."""

    answers: tuple[str, ...]
    normaliser: str
    merged: bool = False
    """Raw answers of one comparable form, such as "Yes" and "yes", are one answer, spelt as most
    people spelt it; else only those that the normaliser makes equal."""

    def __post_init__(self) -> None:
        if self.normaliser not in NORMALISERS:
            message = f"an answer list was made with the unknown normaliser {self.normaliser!r}"
            raise BadData(message, hint=f"Known are: {', '.join(NORMALISERS)}.")
        if len(self._ids) != len(self.answers):
            hint = "Make it again from the data folder; it is not to be edited by hand."
            raise BadData("an answer list has an answer twice", hint=hint)

    def __len__(self) -> int:
        return len(self.answers)

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Ids of the listed answers by what tells them apart."""
        form = comparable_answer if self.merged else str
        return {form(answer): id_ for id_, answer in enumerate(self.answers)}

    @cached_property
    def _known(self) -> dict[str, int | None]:
        """Ids of raw answers met so far: people repeat themselves, and normalising is slow."""
        return {}

    def encode(self, human: Sequence[str]) -> tuple[list[int], list[int]]:
        """Give the ids of the listed answers among `human` and how many people gave each.

        Ids stand in the order of their first occurrence; answers not in the list are left out.
        """
        known, normalise = self._known, NORMALISERS[self.normaliser]
        for answer in human:
            if answer not in known:
                known[answer] = self._ids.get(_form(answer, normalise, self.merged)[0])
        counts = Counter(id_ for answer in human if (id_ := known[answer]) is not None)
        return list(counts), list(counts.values())


def _form(answer: str, normalise: Callable[[str], str], merged: bool) -> tuple[str, str]:
    """What tells an answer from others, and its spelling in a list."""
    spelling = normalise(answer)
    if not merged:
        return spelling, spelling
    spelling = spelling or answer.strip()
    return comparable_answer(spelling), spelling


def answer_list(
    counts: Mapping[str, int],
    *,
    size: int | None,
    normaliser: str,
    min_count: int = 1,
    only_words: bool = False,
    merged: bool = False,
) -> AnswerList:
    """List the `size` most frequent training answers (all if None), the most frequent first.

    Left out are answers that nothing is left of after normalising, that fewer than `min_count`
    people gave, and with `only_words` those of more than letters, digits and underscores.
    `counts` says how many people gave each raw answer, in order of first occurrence, which decides
    who gets the last place among equals. In the list, equals stand in reverse order of spelling.
    With `merged` all of this goes by comparable forms, so that capitals change nothing.
    Source: the published code of Show, Ask, Attend, and Answer.
    """
    normalise, totals = NORMALISERS.look_up(normaliser), Counter[str]()
    spellings = Counter[tuple[str, str]]()
    for answer, count in counts.items():
        form, spelling = _form(answer, normalise, merged)
        totals[form] += count
        spellings[form, spelling] += count
    for form, count in [*totals.items()]:
        if not form or count < min_count or (only_words and not re.fullmatch(r"\w+", form)):
            del totals[form]
    kept = sorted(((count, form) for form, count in totals.most_common(size)), reverse=True)
    spelt: dict[str, str] = {}
    for form, spelling in sorted(spellings, key=lambda pair: -spellings[pair]):
        spelt.setdefault(form, spelling)
    return AnswerList(tuple(spelt[form] for _, form in kept), normaliser, merged)
