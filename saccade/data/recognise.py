"""Which data set lies in a folder? Told by looking, and said with the reason.

Every source knows its own layout (`recognise` in its module). Where several fit, they may be the
same records twice, or questions and captions about the same pictures; anything else is for the
user to decide, and nothing is guessed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.data.folder import fingerprint
from saccade.data.sources import SOURCES, join, read_parts, reason
from saccade.data.unknown_folder import nothing_known
from saccade.errors import BadConfig, BadData
from saccade.records import Collection


class Recognised(NamedTuple):
    """What was found: the collections to be joined, and why, one sentence each."""

    parts: list[Collection]
    notes: list[str]


def recognise(root: Path, **options: str) -> Recognised:
    """Find the source whose layout a folder has, and read it.

    `options` are for the readers. Raises BadData where no layout fits, BadConfig where several do
    that differ.
    """
    if not root.is_dir():
        raise BadData("there is no such folder", where=root, cure="Give the data set's.")
    why = {name: said for name in SOURCES if (said := reason(name, root))}
    if not why:
        raise nothing_known(root)
    parts = [part for name in why for part in read_parts(name, root, **options)]
    chosen = _first_of_each_kind(parts, root, why)
    notes = [f"Recognised as {part.source}: {why[part.source]}." for part in chosen]
    kept = {part.source for part in chosen}
    notes += [
        f"It is {name}, too ({why[name]}): the same records." for name in why if name not in kept
    ]
    return Recognised(chosen, notes)


def _first_of_each_kind(
    parts: Sequence[Collection], root: Path, why: dict[str, str]
) -> list[Collection]:
    """One collection of questions, or of captions, or one of each about the same pictures."""
    kinds: dict[tuple[bool, bool], list[Collection]] = {}
    for part in parts:
        kinds.setdefault((bool(part.questions), bool(part.captions)), []).append(part)
    for alike in kinds.values():
        if len(alike) > 1 and len({fingerprint(part) for part in alike}) > 1:
            raise _several(root, why)
    chosen = [alike[0] for alike in kinds.values()]
    try:
        pictures = join(chosen).pictures
    except (BadConfig, BadData):
        raise _several(root, why) from None
    alone = sum(len(part.pictures) for part in chosen)
    ids, files = {picture.id for picture in pictures}, {picture.file for picture in pictures}
    # Joined sets share pictures, by number and file, and have them in the same split.
    if len(chosen) > 1 and not len(ids) == len(files) == len(pictures) < alone:
        raise _several(root, why)
    return chosen


def _several(root: Path, why: dict[str, str]) -> BadConfig:
    found = "; ".join(f"{name} ({said})" for name, said in why.items())
    return BadConfig(
        f"could be several data sets: {found}",
        where=root,
        cure=f"Say which: saccade prepare {next(iter(why))} --root {root} --out DATA.",
    )
