"""Multiple choice: answers that are told as the letter, or the place, of one of their choices."""

import re
from collections.abc import Sequence
from unicodedata import normalize

from saccade.core.errors import BadConfig

Texts = Sequence[str]
Asked = Sequence[tuple[str, Texts]]
"""Answers, each with the choices of its question."""

LABEL = re.compile(r"[(\[]?\s*([A-Za-z])\s*(?:[)\]]?\s*[.:、]?|[)\].:、]+\s*(.+))")
"""`B`, `(b)`, `B.`, or such a letter before the choice itself."""
NUMBER = re.compile(r"(-?\d{1,9})(?:\.0+)?")


def is_among(answer: str, choices: Texts) -> bool:
    """True where an answer is one of the choices, be its capitals as they may."""
    return answer.casefold() in map(str.casefold, choices)


def by_letter(answer: str, choices: Texts) -> str | None:
    """The choice of which an answer is the letter: `B` or `(B) red`; None where it is none."""
    label = LABEL.fullmatch(normalize("NFKC", answer))  # full-width letters too
    if label is None or is_among(answer, choices):
        return None
    place = ord(label[1].upper()) - ord("A")
    choice = choices[place] if place < len(choices) else ""
    alike = label[2] is None or label[2].casefold() == normalize("NFKC", choice).casefold()
    return choice if choice and alike else None


def by_place(answer: str, choices: Texts, first: int) -> str | None:
    """The choice of which an answer is the place, counted from `first`; None where none is."""
    number = NUMBER.fullmatch(answer)
    place = int(number[1]) - first if number else -1
    return (choices[place] or None) if 0 <= place < len(choices) else None


def counted_from(asked: Asked, given: str = "") -> int | None:
    """The number of the first choice, 0 or 1, where answers are places among choices: as `given`,
    else the one with which all answers are a choice. None where they are no places.

    Raises BadConfig where both would do.
    """
    if not asked or not all(NUMBER.fullmatch(answer) for answer, _ in asked):
        return None
    if given:
        return int(given)
    among = sum(is_among(answer, choices) for answer, choices in asked)
    if among * 2 >= len(asked):
        return None
    missed = [
        sum(by_place(answer, choices, first) is None for answer, choices in asked)
        for first in (0, 1)
    ]
    if missed == [0, 0]:
        answer, choices = asked[0]
        either = " or ".join(repr(by_place(answer, choices, first)) for first in (0, 1))
        message = f"answers are places among their choices: the first, {answer}, could be {either}"
        hint = "Say how the choices are counted: --option choices_from=0, or choices_from=1."
        raise BadConfig(message, hint=hint)
    return int(missed[1] < missed[0])
