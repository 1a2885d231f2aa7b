"""Values from words that a user typed, and lines of text from values."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from saccade.core.errors import BadConfig

NO_WORDS = "(no words)"
"""What stands where a caption is empty: a blank line would say that nothing came."""


CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Characters that command a terminal, or turn its text around; a tab and a new line do no harm."""


def printable(text: str, encoding: str = "utf-8") -> str:
    """Text for a terminal, what it obeys or has no letter for as an escape: names of files and
    texts of data hold anything.
    """
    shown = re.sub(CONTROLS, lambda found: ascii(found[0])[1:-1], text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def pairs(options: Iterable[str] | None) -> dict[str, str]:
    """NAME=VALUE words as a dict. Raises BadConfig for a word without `=`."""
    found = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        if not equals:
            raise BadConfig(f"{option!r} has no '='", hint="Write NAME=VALUE.")
        found[name] = value
    return found


def number(text: str) -> str | int | float | bool:
    """The value of a word: a number, true or false where it is one, else the word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def colour(text: str | None) -> tuple[float, float, float] | None:
    """Red, green and blue with commas between them. Raises BadConfig for anything else."""
    if text is None:
        return None
    try:
        red, green, blue = map(float, text.split(","))
    except ValueError:
        hint = "Write red, green and blue on a scale of 0..1, such as 0.5,0.5,0.5"
        raise BadConfig(f"{text!r} is no colour", hint=hint) from None
    return red, green, blue


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as lines, their columns below each other."""
    lines = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def values(named: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Named values as rows; nested ones stand below their name, further in, if there are any."""
    for key, value in named.items():
        name = key or "(none)"
        if isinstance(value, Mapping):
            if value:
                yield f"{indent}{name}", ""
                yield from values(value, f"{indent}  ")
        else:
            yield f"{indent}{name}", _in_short(value)


def _in_short(value: Any) -> str:
    """A value in a cell: four digits of a number, none of 2e-10; how many of a list of records."""
    if isinstance(value, float):
        # 2e-10 is 0 for a person; a plain 0 says that it is so exactly.
        return f"{value:.4g}" if abs(value) >= 0.0005 or value == 0 else "0.000"
    if isinstance(value, list | tuple):
        if any(isinstance(item, Mapping) for item in value):
            return f"{len(value)} records"
        return ", ".join(map(_in_short, value)) or "none"
    return str(value)


def duration(seconds: float) -> str:
    """A length of time in the unit that a person would use."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def byte_size(text: str) -> int:
    """A number of bytes as a person writes it: 500MB, 1.5GB, 700MiB, 1000000.

    MB is a million bytes, MiB 1024 x 1024. Raises BadConfig for anything else.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise BadConfig(f"{text!r} is no size", hint="Write a number and a unit, such as 500MB.")
    unit = match[2].upper()
    factor = 1024 ** ("KMGT".index(unit) + 1) if match[3] else BYTES[unit]
    return int(float(match[1]) * factor)


def size_in_words(count: int | None) -> str:
    """A number of bytes in the unit that a person would use."""
    if count is None:
        return "size unknown"
    for unit in ("GB", "MB", "kB"):
        factor = BYTES[unit[0].upper()]
        if count >= factor:
            number = count / factor
            return f"{number:.3g} {unit}" if number < 999.5 else f"{number:,.0f} {unit}"
    return f"{count} bytes"


def first_line(error: Exception, length: int = 150) -> str:
    """The beginning of a library's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:length]
