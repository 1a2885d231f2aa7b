"""Recognition of the data set in a folder, with the reason.

Every source knows its own layout (`recognise` in its module). Where several fit, they may be the
same records twice, or questions and captions about the same images; anything else is for the
user to decide, and nothing is guessed.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import SeveralFit, no_folder, unchanged_folders
from saccade.data.records import Caption, Collection, Question, Split
from saccade.datasets.catalogue import SOURCES, join, own_options, read_parts, reason
from saccade.datasets.diagnose import nothing_known, refuse_several_sets


@unchanged_folders()
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
    if "mapping" in why:  # the user says what the files are
        why = {"mapping": why["mapping"]}
    if not why:
        raise nothing_known(root, options)
    if "mapping" not in options:
        refuse_several_sets(root, why, options)
    own = own_options(why, options)

    def command(name: str, **more: str) -> str:
        """The command for one of them alone."""
        words = ["saccade", "prepare", name, "--root", str(root), "--out", "DATA"]
        for option, value in {**own[name], **more}.items():
            words += ["--option", f"{option}={value}"]
        return shlex.join(words)

    several = f"could be several data sets: {'; '.join(f'{n} ({w})' for n, w in why.items())}"
    parts: list[Collection] = []
    for name in why:
        try:
            parts += read_parts(name, root, **own[name])
        except SeveralFit as error:
            others = [other for other in why if other != name]
            if not others:
                raise
            this = command(name, **{error.option: error.choices[0]})
            hint = f"Say which: {this}, or leave {name} aside: {command(others[0])}."
            message = f"{several}; as {name} it {error.message}"
            raise BadConfig(message, location=error.location, hint=hint) from None
    chosen = _first_of_each_kind(parts)
    if not chosen:
        likely = max(why, key=lambda name: len(own[name]))
        raise BadConfig(several, location=root, hint=f"Say which: {command(likely)}.")
    notes = [f"Recognised as {part.source}: {why[part.source]}." for part in chosen]
    others = [name for name in why if name not in {part.source for part in chosen}]
    notes += [f"It is {name}, too ({why[name]}): the same records." for name in others]
    return chosen, notes


def _first_of_each_kind(parts: Sequence[Collection]) -> list[Collection]:
    """One collection of questions, or of captions, or one of each about the same images; none where
    they differ.
    """
    kinds: dict[tuple[bool, bool], list[Collection]] = {}
    for part in parts:
        kinds.setdefault((bool(part.questions), bool(part.captions)), []).append(part)
    for first, *others in kinds.values():
        if others and any(_by_image(other) != _by_image(first) for other in others):
            return []
    chosen = [alike[0] for alike in kinds.values()]
    try:
        images = join(chosen).images
    except (BadConfig, BadData):
        return []
    alone = sum(len(part.images) for part in chosen)
    ids, files = {image.id for image in images}, {image.file for image in images}
    # Joined sets share images, by number and file, and have them in the same split.
    shared = len(chosen) == 1 or len(ids) == len(files) == len(images) < alone
    return chosen if shared else []


def _by_image(part: Collection) -> list[tuple[str, Split, list[tuple[str, ...]]]]:
    """Each image's name, its split, and its questions with answers, or captions: equal whatever the
    layout, without numbers, which each gives in its own way, and the folder of the images.
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
