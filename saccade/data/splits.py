"""Splits that nobody published: images drawn from a seed, so that no image is in two."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from saccade.core.errors import BadConfig
from saccade.data.records import Caption, Collection, ImageRecord, Question, Split

Key = TypeVar("Key", str, int)


def draw(images: Iterable[Key], shares: Mapping[Split, float], seed: int) -> dict[Key, Split]:
    """Give each image its split: `shares` of them, in that order, and the rest for training.

    The same images and seed give the same split, whatever the order. A share above 0 gets at
    least one image, as long as one remains for training.
    """
    names = sorted(set(images))
    split_of: dict[Key, Split] = dict.fromkeys(names, "train")
    wanted = {split: round(share * len(names)) for split, share in shares.items()}
    wanted = {split: max(n, 1) if shares[split] else 0 for split, n in wanted.items()}
    count = min(sum(wanted.values()), max(len(names) - 1, 0))
    drawn = iter(random.Random(seed).sample(names, count))
    for split, size in wanted.items():
        for _, name in zip(range(size), drawn, strict=False):
            split_of[name] = split
    return split_of


class Drawing(NamedTuple):
    """How a split is drawn where nobody published one: as the user says, or as is usual."""

    shares: Mapping[Split, float]
    """Of the images, for validation and test."""
    seed: int

    def draw(self, images: Iterable[Key]) -> dict[Key, Split]:
        """The split of each image, as the function `draw` says."""
        return draw(images, self.shares, self.seed)

    def told(self, split_of: Mapping[Key, Split]) -> str:
        """The sentence for the user about a split that was drawn so."""
        return told(split_of, self.seed)


def as_drawing(val: str | float, test: str | float, seed: str | int) -> Drawing:
    """The options `val_share`, `test_share` and `seed` of a reader. Raises BadConfig."""
    shares: dict[Split, float] = {
        "val": as_share("val_share", val),
        "test": as_share("test_share", test),
    }
    return Drawing(shares, as_whole("seed", seed))


def as_share(name: str, value: str | float) -> float:
    """A share from 0 to below 1. Raises BadConfig, calling it `name`."""
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        hint = "Give a share of at least 0 and less than 1, such as 0.2."
        raise BadConfig(f"--option {name}={value} is no share", hint=hint)
    return share


def as_whole(name: str, value: str | int, least: int = 0) -> int:
    """A whole number, `least` or more. Raises BadConfig, calling it `name`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        hint = f"Give a whole number of at least {least}."
        raise BadConfig(f"--option {name}={value} is no such number", hint=hint)
    return number


def told(split_of: Mapping[Key, Split], seed: int) -> str:
    """The sentence for the user: how many images each split got, and from which seed."""
    counts = {split: sum(s == split for s in split_of.values()) for split in ("val", "test")}
    parts = [f"{count} for {split}" for split, count in counts.items() if count]
    if not parts:
        return "There is no published split, and none was drawn: all images are for training."
    return (
        f"There is no published split: of {len(split_of)} images, {' and '.join(parts)} were "
        f"drawn with seed {seed}, with all that belongs to them; the rest is for training."
    )


# A validation split for data that came without one: some of the training images.

SEED = 0
Record = TypeVar("Record", ImageRecord, Question, Caption)


def hold_out(collection: Collection, share: float) -> Collection:
    """Make `share` of a task's training images its validation split, where it has none.

    Everything that belongs to these images goes with them, of the other task too, so that no
    image is in two splits. The images are drawn from a seed: equal ones, equal split. Raises
    BadConfig for a share that is none, and where every task has a validation split already or no
    two images that are for training alone.
    """
    if not 0 < share < 1:
        raise BadConfig(f"--hold-out {share:g} is no share", hint="Give one such as 0.1.")
    held: set[int] = set()
    elsewhere = {image.id for image in collection.images if image.split != "train"}
    notes = list(collection.notes)
    for kind, records in (("question", collection.questions), ("caption", collection.captions)):
        training = {record.image_id for record in records if record.split == "train"}
        training -= held | elsewhere
        if len(training) < 2 or any(r.split == "val" or r.image_id in held for r in records):
            continue
        drawn = draw(training, {"val": share}, SEED)
        taken = {number for number, split in drawn.items() if split == "val"}
        held |= taken
        notes.append(
            f"No {kind} was of split val: {len(taken)} of {len(drawn)} training images with "
            f"{kind}s, drawn with seed {SEED}, are the validation split, with all that belongs to "
            "them. Nobody else has this split: scores do not compare with published ones."
        )
    if not held:
        raise BadConfig(
            "nothing is to be held out: there is a validation split, or there are no two images "
            "for training alone",
            hint="Leave out --hold-out.",
        )
    return replace(
        collection,
        images=[_moved(one, one.id, held) for one in collection.images],
        questions=[_moved(one, one.image_id, held) for one in collection.questions],
        captions=[_moved(one, one.image_id, held) for one in collection.captions],
        notes=notes,
    )


def _moved(record: Record, image: int, held: set[int]) -> Record:
    return record._replace(split="val") if image in held else record
