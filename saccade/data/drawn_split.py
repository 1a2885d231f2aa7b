"""Splits that nobody published: pictures drawn from a seed, so that no picture is in two."""

import random
from collections.abc import Iterable, Mapping
from typing import TypeVar

from saccade.errors import BadConfig
from saccade.records import Split

Key = TypeVar("Key", str, int)


def draw(pictures: Iterable[Key], shares: Mapping[Split, float], seed: int) -> dict[Key, Split]:
    """Give each picture its split: `shares` of them, in that order, and the rest for training.

    The same pictures and seed give the same split, whatever the order. A share above 0 gets at
    least one picture, as long as one remains for training.
    """
    names = sorted(set(pictures))
    split_of: dict[Key, Split] = dict.fromkeys(names, "train")
    wanted = {split: round(share * len(names)) for split, share in shares.items()}
    wanted = {split: max(n, 1) if shares[split] else 0 for split, n in wanted.items()}
    count = min(sum(wanted.values()), max(len(names) - 1, 0))
    drawn = iter(random.Random(seed).sample(names, count))
    for split, size in wanted.items():
        for _, name in zip(range(size), drawn, strict=False):
            split_of[name] = split
    return split_of


def as_share(name: str, value: str | float) -> float:
    """A share from 0 to below 1. Raises BadConfig, calling it `name`."""
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        cure = "Give a share of at least 0 and less than 1, such as 0.2."
        raise BadConfig(f"{name}={value} is no share", cure=cure)
    return share


def as_shares(val: str | float, test: str | float) -> dict[Split, float]:
    """The shares of pictures for validation and test, as `draw` wants them; raises BadConfig."""
    return {"val": as_share("val_share", val), "test": as_share("test_share", test)}


def as_whole(name: str, value: str | int, least: int = 0) -> int:
    """A whole number, `least` or more. Raises BadConfig, calling it `name`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        cure = f"Give a whole number of at least {least}."
        raise BadConfig(f"{name}={value} is no such number", cure=cure)
    return number


def told(split_of: Mapping[Key, Split], seed: int) -> str:
    """The sentence for the user: how many pictures each split got, and from which seed."""
    counts = {split: sum(s == split for s in split_of.values()) for split in ("val", "test")}
    parts = [f"{count} for {split}" for split, count in counts.items() if count] or ["none"]
    return (
        f"There is no published split: of {len(split_of)} pictures, {' and '.join(parts)} were "
        f"drawn with seed {seed}, with all that belongs to them; the rest is for training."
    )
