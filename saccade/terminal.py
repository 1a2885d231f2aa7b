"""Words that a person typed into values, and values into lines that a person reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from saccade.errors import BadConfig


def pairs(options: Iterable[str] | None) -> dict[str, str]:
    """NAME=VALUE words as a dict. Raises BadConfig for a word without `=`."""
    found = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        if not equals:
            raise BadConfig(f"--option {option!r} has no '='", cure="Write --option NAME=VALUE.")
        found[name] = value
    return found


def number(text: str) -> str | int | float | bool:
    """What a word means to the constructor of a network: a number or true or false if it can be."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def colour(text: str | None) -> tuple[float, ...] | None:
    """Red, green and blue with commas between them. Raises BadConfig for anything else."""
    if text is None:
        return None
    try:
        red, green, blue = map(float, text.split(","))
    except ValueError:
        cure = "Write red, green and blue on a scale of 0..1, such as 0.5,0.5,0.5"
        raise BadConfig(f"{text!r} is no colour", cure=cure) from None
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
    for name, value in named.items():
        if isinstance(value, Mapping):
            if value:
                yield f"{indent}{name}", ""
                yield from values(value, f"{indent}  ")
        else:
            yield f"{indent}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A length of time in the unit that a person would use."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
