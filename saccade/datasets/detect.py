"""Which data set lies in a folder? Told by looking, and said with the reason.

Every source knows its own layout (`recognise` in its module). Where several fit, they may be the
same records twice, or questions and captions about the same images; anything else is for the
user to decide, and nothing is guessed.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import SeveralFit, no_folder
from saccade.data.records import Collection, Split
from saccade.datasets.catalogue import SOURCES, join, own_options, read_parts, reason
from saccade.datasets.diagnose import Known, nothing_known, several_sets

Said = tuple[str, Split, list[tuple[str, ...]]]
"""An image's name, its split, and what is asked or said about it there, in order."""


class Recognised(NamedTuple):
    """What was found: the collections to be joined, and why, one sentence each."""

    parts: list[Collection]
    notes: list[str]


def recognise(root: Path, **options: str) -> Recognised:
    """Find the source whose layout a folder has, and read it.

    `options` are for the readers: each of several sources gets those that it has. Raises BadData
    where no layout fits, BadConfig where several do that differ, or that want an option to say
    which of several files, and for an option that no source has that was found.
    """
    if not root.is_dir():
        raise no_folder(root)
    why = {name: said for name in SOURCES if (said := reason(name, root, options))}
    if not why:
        raise nothing_known(root, options)
    if below := several_sets(root, why, options):
        raise _one_of(root, below)
    found = _Found(root, why, own_options(why, options))
    parts = [part for name in why for part in _read(name, found)]
    chosen = _first_of_each_kind(parts, found)
    notes = [f"Recognised as {part.source}: {why[part.source]}." for part in chosen]
    kept = {part.source for part in chosen}
    notes += [
        f"It is {name}, too ({why[name]}): the same records." for name in why if name not in kept
    ]
    return Recognised(chosen, notes)


class _Found(NamedTuple):
    """The sources whose layout a folder has."""

    root: Path
    why: Mapping[str, str]
    """By what each was recognised."""
    options: Mapping[str, Mapping[str, str]]
    """What the user says, to each of them."""

    def said(self) -> str:
        return "; ".join(f"{name} ({said})" for name, said in self.why.items())

    def command(self, name: str, **more: str) -> str:
        """What to type for one of them alone."""
        words = ["saccade", "prepare", name, "--root", str(self.root), "--out", "DATA"]
        for option, value in {**self.options[name], **more}.items():
            words += ["--option", f"{option}={value}"]
        return shlex.join(words)


def _read(name: str, found: _Found) -> list[Collection]:
    try:
        return read_parts(name, found.root, **found.options[name])
    except SeveralFit as error:
        others = [other for other in found.why if other != name]
        if not others:
            raise
        raise BadConfig(
            f"could be several data sets: {found.said()}; as {name} it {error.message}",
            location=error.location,
            hint=f"Say which: {found.command(name, **{error.option: error.choices[0]})}, or "
            f"leave {name} aside: {found.command(others[0])}.",
        ) from None


def _first_of_each_kind(parts: Sequence[Collection], found: _Found) -> list[Collection]:
    """One collection of questions, or of captions, or one of each about the same images."""
    kinds: dict[tuple[bool, bool], list[Collection]] = {}
    for part in parts:
        kinds.setdefault((bool(part.questions), bool(part.captions)), []).append(part)
    for first, *others in kinds.values():
        if others and any(_by_image(other) != _by_image(first) for other in others):
            raise _several(found)
    chosen = [alike[0] for alike in kinds.values()]
    try:
        images = join(chosen).images
    except (BadConfig, BadData):
        raise _several(found) from None
    alone = sum(len(part.images) for part in chosen)
    ids, files = {image.id for image in images}, {image.file for image in images}
    # Joined sets share images, by number and file, and have them in the same split.
    if len(chosen) > 1 and not len(ids) == len(files) == len(images) < alone:
        raise _several(found)
    return chosen


def _by_image(part: Collection) -> list[Said]:
    """What two collections of the same records have in common, whatever their layouts: not the
    numbers, which each layout gives in its own way, nor the order, nor the folder of the images.
    """
    names = {image.id: PurePosixPath(image.file).name for image in part.images}
    said: dict[tuple[int, Split], list[tuple[str, ...]]] = {}
    for question in part.questions:
        words = (_plain(question.text), *sorted(question.answers))
        said.setdefault((question.image_id, question.split), []).append(words)
    for caption in part.captions:
        said.setdefault((caption.image_id, caption.split), []).append((_plain(caption.text),))
    return sorted(
        (names.get(id_, ""), split, sorted(texts)) for (id_, split), texts in said.items()
    )


def _plain(text: str) -> str:
    return " ".join(text.split())


def _one_of(root: Path, below: Known) -> BadConfig:
    """The error for a folder of several data sets, each in a folder of its own."""
    shown = (f"{folder.name}/ ({', '.join(names)})" for folder, names in below.items())
    words = ["saccade", "prepare", str(next(iter(below))), "--out", "DATA"]
    return BadConfig(
        f"holds several data sets: {', '.join(shown)}",
        location=root,
        hint=f"Give the folder of one: {shlex.join(words)}.",
    )


def _several(found: _Found) -> BadConfig:
    likely = max(found.why, key=lambda name: len(found.options[name]))
    return BadConfig(
        f"could be several data sets: {found.said()}",
        location=found.root,
        hint=f"Say which: {found.command(likely)}.",
    )
