"""Options of the readers, as a user writes them: `--option NAME=VALUE`."""

import math
from collections.abc import Iterable

from saccade.core.errors import BadConfig


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """One of `choices`. Raises BadConfig, calling the option `name`."""
    if value not in (known := list(choices)):
        hint = f"Give one of: {', '.join(known)}."
        raise BadConfig(f"--option {name}={value} is not known", hint=hint)
    return value


def as_share(name: str, value: str | float) -> float:
    """A share from 0 to below 1. Raises BadConfig, calling the option `name`."""
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        hint = "Give a share of at least 0 and less than 1, such as 0.2."
        raise BadConfig(f"--option {name}={value} is no share", hint=hint)
    return share


def as_whole(name: str, value: str | int, least: int = 0) -> int:
    """A whole number, `least` or more. Raises BadConfig, calling the option `name`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        hint = f"Give a whole number of at least {least}."
        raise BadConfig(f"--option {name}={value} is no such number", hint=hint)
    return number


def window_range(window: str) -> tuple[float, float] | None:
    """The lowest and the highest value of a window; None for `auto` and `full`.

    A window is `full`, `LO,HI`, `auto`, or `auto:LO,HI`, see `data.levels`. Raises ValueError for
    anything else.
    """
    head, colon, ends = window.partition(":")
    if window in ("auto", "full"):
        return None
    parts = ends if colon and head == "auto" else window
    low, high = (float(part) for part in parts.split(","))
    if not (math.isfinite(high - low) and low < high):
        raise ValueError(f"the window {window} does not go from a lower to a higher number")
    return low, high


def as_window(name: str, value: str) -> str:
    """A window as it is kept. Raises BadConfig, calling the option `name`."""
    window = "".join(value.split())
    try:
        window_range(window)
    except ValueError:
        hint = "Give auto, full, or the values that are black and white, such as 0,4095."
        raise BadConfig(f"--option {name}={value} is no window", hint=hint) from None
    return window
