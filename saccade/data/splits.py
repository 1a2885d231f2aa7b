"""Splits that nobody published: images drawn from a seed, so that no image is in two splits."""

import random
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from saccade.core.errors import BadConfig, BadData
from saccade.data.options import as_share, as_whole
from saccade.data.reading import read_lines
from saccade.data.records import Collection, Split

Key = TypeVar("Key", str, int)


def draw(images: Iterable[Key], shares: Mapping[Split, float], seed: int) -> dict[Key, Split]:
    """Give each image its split: `shares` of them, in that order, and the rest for training.

    The same images and seed give the same split, whatever the order. A share above 0 gets at
    least one image, as long as one remains for training.
    """
    names = sorted(set(images))
    split_of: dict[Key, Split] = dict.fromkeys(names, "train")
    size_of = {s: max(round(share * len(names)), 1) if share else 0 for s, share in shares.items()}
    count = min(sum(size_of.values()), max(len(names) - 1, 0))
    drawn = iter(random.Random(seed).sample(names, count))
    for split, size in size_of.items():
        split_of |= dict.fromkeys(islice(drawn, size), split)
    return split_of


class Drawing(NamedTuple):
    """Shares and seed of a split that is drawn: as the user says, or as is usual."""

    val: float
    """Share of the images for validation."""
    test: float
    seed: int

    def draw(self, images: Iterable[Key]) -> tuple[dict[Key, Split], str]:
        """The split of each image, and the sentence for the user about it."""
        split_of = draw(images, {"val": self.val, "test": self.test}, self.seed)
        counts = {split: sum(s == split for s in split_of.values()) for split in ("val", "test")}
        parts = [f"{count} for {split}" for split, count in counts.items() if count]
        note = "none was drawn, all images are for training"
        if parts:
            drawn = f"of {len(split_of)} images, {' and '.join(parts)} were drawn"
            note = f"{drawn} with seed {self.seed}, with all that belongs to them"
        return split_of, f"There is no published split: {note}."

    def draw_validation(self, images: Iterable[Key]) -> tuple[set[Key], str]:
        """The training images that become the validation split, and the sentence about it."""
        split_of = draw(images, {"val": self.val}, self.seed)
        held_out = {image for image, split in split_of.items() if split == "val"}
        drawn = f"{len(held_out)} of {len(split_of)} training images, drawn with seed {self.seed}"
        how = f"there is no published one (--option val_share={self.val:g}; 0 draws none)"
        note = f"{drawn}, are the validation split, with all that belongs to them; {how}."
        return held_out, note


def as_drawing(
    val_share: str | float = 0.1, test_share: str | float = 0.1, seed: str | int = 0
) -> Drawing:
    """These options of a reader, which it takes one by one or as `**shares`. Raises BadConfig."""
    shares = as_share("val_share", val_share), as_share("test_share", test_share)
    return Drawing(*shares, as_whole("seed", seed))


def listed_splits(
    lists: Iterable[tuple[Path, Split]], as_name: Callable[[str], str]
) -> dict[str, Split]:
    """The split of each image that files list, one name a line, each name as `as_name` makes it.
    Raises BadData for an image that two of them list.
    """
    split_of: dict[str, Split] = {}
    for path, split in lists:
        for name in (as_name(line.strip()) for line in read_lines(path) if line.strip()):
            if split_of.setdefault(name, split) != split:
                message = f"{name} is also in the list of the {split_of[name]} images"
                hint = "An image belongs to one split: take the released lists."
                raise BadData(message, location=path, hint=hint)
    return split_of


def refuse_unnamed(listed: Iterable[str], named: Container[str], path: Path) -> None:
    """Raise BadData for listed images that are not among those `named` in the file `path`."""
    if bare := [name for name in listed if name not in named]:
        message = f"has no record of {len(bare)} images of the split lists"
        hint = "Take captions and lists from the same release."
        raise BadData(f"{message}, the first is {bare[0]}", location=path, hint=hint)


def hold_out(collection: Collection, share: float, seed: int = 0) -> Collection:
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
    questions, captions = collection.questions, collection.captions
    for kind, records in (("question", questions), ("caption", captions)):
        training = {record.image_id for record in records if record.split == "train"}
        training -= held | elsewhere
        if len(training) < 2 or any(r.split == "val" or r.image_id in held for r in records):
            continue
        taken, _ = Drawing(share, 0, seed).draw_validation(training)
        held |= taken
        notes.append(
            f"No {kind} was of split val: {len(taken)} of {len(training)} training images with "
            f"{kind}s, drawn with seed {seed}, are the validation split, with all that belongs to "
            "them. Nobody else has this split: scores do not compare with published ones."
        )
    if not held:
        why = "there is a validation split, or there are no two images for training alone"
        raise BadConfig(f"nothing is to be held out: {why}", hint="Leave out --hold-out.")
    return replace(
        collection,
        images=[p._replace(split="val") if p.id in held else p for p in collection.images],
        questions=[q._replace(split="val") if q.image_id in held else q for q in questions],
        captions=[c._replace(split="val") if c.image_id in held else c for c in captions],
        notes=notes,
    )
