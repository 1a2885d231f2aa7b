"""Recognition of the data set in a folder, with the reason.

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
from saccade.data.records import Caption, Collection, Question, Split
from saccade.datasets.catalogue import SOURCES, join, own_options, read_parts, reason
from saccade.datasets.diagnose import nothing_known, refuse_several_sets

Described = tuple[str, Split, list[tuple[str, ...]]]
"""An image's name, its split, and its questions with answers, or its captions, in order."""


def recognise(root: Path, **options: str) -> tuple[list[Collection], list[str]]:
    """Find the source whose layout a folder has, and read it: the collections to be joined, and the
    reasons, one sentence each.

    `options` are for the readers: each of several sources gets those that it has. Raises BadData
    where no layout fits, BadConfig where several do that differ, or that want an option to say
    which of several files, and for an option that no source has that was found.
    """
    if not root.is_dir():
        raise no_folder(root)
    why = {name: known for name in SOURCES if (known := reason(name, root, options))}
    if not why:
        raise nothing_known(root, options)
    refuse_several_sets(root, why, options)
    found = _Found(root, why, own_options(why, options))
    parts: list[Collection] = []
    for name in why:
        try:
            parts += read_parts(name, root, **found.options[name])
        except SeveralFit as error:
            others = [other for other in why if other != name]
            if not others:
                raise
            this = found.command(name, **{error.option: error.choices[0]})
            hint = f"Say which: {this}, or leave {name} aside: {found.command(others[0])}."
            raise found.several(f"; as {name} it {error.message}", hint) from None
    chosen = _first_of_each_kind(parts, found)
    notes = [f"Recognised as {part.source}: {why[part.source]}." for part in chosen]
    kept = {part.source for part in chosen}
    others = [name for name in why if name not in kept]
    notes += [f"It is {name}, too ({why[name]}): the same records." for name in others]
    return chosen, notes


class _Found(NamedTuple):
    """The sources whose layout a folder has."""

    root: Path
    why: Mapping[str, str]
    """By what each was recognised."""
    options: Mapping[str, Mapping[str, str]]
    """The user's options for each of them."""

    def command(self, name: str, **more: str) -> str:
        """The command for one of them alone."""
        words = ["saccade", "prepare", name, "--root", str(self.root), "--out", "DATA"]
        for option, value in {**self.options[name], **more}.items():
            words += ["--option", f"{option}={value}"]
        return shlex.join(words)

    def several(self, more: str = "", hint: str = "") -> BadConfig:
        """The error that the folder could be any of them."""
        known = "; ".join(f"{name} ({why})" for name, why in self.why.items())
        message = f"could be several data sets: {known}{more}"
        likely = max(self.why, key=lambda name: len(self.options[name]))
        hint = hint or f"Say which: {self.command(likely)}."
        return BadConfig(message, location=self.root, hint=hint)


def _first_of_each_kind(parts: Sequence[Collection], found: _Found) -> list[Collection]:
    """One collection of questions, or of captions, or one of each about the same images."""
    kinds: dict[tuple[bool, bool], list[Collection]] = {}
    for part in parts:
        kinds.setdefault((bool(part.questions), bool(part.captions)), []).append(part)
    for first, *others in kinds.values():
        if others and any(_by_image(other) != _by_image(first) for other in others):
            raise found.several()
    chosen = [alike[0] for alike in kinds.values()]
    try:
        images = join(chosen).images
    except (BadConfig, BadData):
        raise found.several() from None
    alone = sum(len(part.images) for part in chosen)
    ids, files = {image.id for image in images}, {image.file for image in images}
    # Joined sets share images, by number and file, and have them in the same split.
    if len(chosen) > 1 and not len(ids) == len(files) == len(images) < alone:
        raise found.several()
    return chosen


def _by_image(part: Collection) -> list[Described]:
    """The records of a collection, equal for equal records whatever their layout: without numbers,
    which each layout gives in its own way, without order, and without the folder of the images.
    """
    names = {image.id: PurePosixPath(image.file).name for image in part.images}
    texts_of: dict[tuple[int, Split], list[tuple[str, ...]]] = {}
    records: Sequence[Question | Caption] = [*part.questions, *part.captions]
    for record in records:
        answers = sorted(record.answers) if isinstance(record, Question) else ()
        texts = (" ".join(record.text.split()), *answers)
        texts_of.setdefault((record.image_id, record.split), []).append(texts)
    return sorted(
        (names.get(id_, ""), split, sorted(texts)) for (id_, split), texts in texts_of.items()
    )
