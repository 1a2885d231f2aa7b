"""Read a data set, verify it, and write it as a data folder: `saccade prepare`."""

import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from saccade.core.errors import BadData
from saccade.core.tasks import TASK_INFO
from saccade.data.checks import check, without_file
from saccade.data.find_files import unchanged_folders
from saccade.data.folder import DataFolder, write_folder
from saccade.data.reading import GuessedEncoding
from saccade.data.records import Collection
from saccade.data.splits import hold_out as held_out
from saccade.datasets.catalogue import join, published, read_parts
from saccade.datasets.detect import recognise
from saccade.datasets.diagnose import unread_files
from saccade.datasets.published_counts import compare

SMALL_SET = 5000
"""Images; with fewer, the first recipe to try is a small one, which a CPU trains in minutes."""


def prepare(
    source: str | None,
    root: Path,
    out: Path,
    *,
    missing: str = "refuse",
    overlap: str = "refuse",
    hold_out: float | None = None,
    bad: str = "refuse",
    replace_other: bool = False,
    **options: str,
) -> Path:
    """Make a data folder at `out` of the data set below `root`; returns `out`.

    `source` is a name of `datasets.catalogue.SOURCES`, or two joined by a plus that describe the
    same images ("vqa-v2+karpathy"), or `hf:ORG/NAME` of the Hugging Face hub (`root` is then the
    folder for its images); without one the layout is recognised, and `dataset.json` notes as what
    and why. `options` are its reader's own, such as `images=FOLDER`. `missing` (images whose file
    is not there) and `overlap` (images in two splits, kept where published splits share them, with
    a warning) are "refuse", "drop" or "keep";
    `data.checks.check` says what each does. `hold_out` is the share of training images that become
    the validation split of a task that has none. The option `window` is how images of more than 8
    bits become 8, see `data.levels`. `bad` is "refuse" or "drop": what to do with single records
    that cannot be used, where the source reads rows. An existing data folder of the same data is
    replaced, its features are kept; one of other data only if `replace_other`. Raises BadData or
    BadConfig; what was found, but does not stop, stands in `dataset.json`, with what differs from
    the published counts, and which files were read.
    """
    root, out = Path(root), Path(out)
    window = options.pop("window", "auto")
    if bad != "refuse":
        options = {**options, "bad": bad}
    parts, notes = _read(source, root, options)
    compared = [compare(part) for part in parts]
    whole = join(parts)
    whole = whole if hold_out is None else held_out(whole, hold_out)
    try:
        collection, findings = check(
            whole,
            missing=missing,
            overlap=overlap,
            window=window,
            secret=published(whole.source),
        )
    except BadData as error:
        if notes:  # a folder that is taken for the wrong thing is refused for the wrong reason
            message = f"{error.message}. {' '.join(notes).rstrip('.')}"
            raise BadData(message, location=error.location, hint=error.hint) from None
        raise
    before, left = (len(part.questions) + len(part.captions) for part in (whole, collection))
    end = ", before records were left out." if left < before else "."
    for agree, differ in compared:
        notes += [f"{note.rstrip('.')}{end}" for note in agree]
        findings += differ
    read = [Path(file) for file in whole.files]
    collection = replace(collection, notes=[*notes, *collection.notes], files=shown(root, read))
    unread = unread_files(root, read, whole.source)
    write_folder(out, collection, findings, unread=unread, replace_other=replace_other)
    return out


def _read(
    source: str | None, root: Path, options: Mapping[str, str]
) -> tuple[list[Collection], list[str]]:
    """The collections to be joined, and notes about how they were read."""
    with (
        unchanged_folders(),
        warnings.catch_warnings(record=True, action="always", category=GuessedEncoding) as heard,
    ):
        if source is None:
            parts, notes = recognise(root, **options)
        else:
            parts, notes = read_parts(source, root, **options), []
    guessed = [str(one.message) for one in heard if one.category is GuessedEncoding]
    notes = [*notes, *dict.fromkeys(guessed)]
    for one in heard:
        if one.category is not GuessedEncoding:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return parts, notes


MANY = 20
"""Files of one kind in one folder that are named one by one."""


def shown(root: Path, files: Sequence[Path]) -> list[str]:
    """Files as they are named below `root`; many of one kind in one folder are counted."""
    alike: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        alike.setdefault((file.parent, file.suffix), []).append(file)
    lines = []
    for (folder, suffix), group in alike.items():
        if len(group) > MANY:
            lines.append(f"{_below(root, folder)}/*{suffix} ({len(group):,} files)")
        else:
            lines += [_below(root, file) for file in group]
    return lines


def _below(root: Path, path: Path) -> str:
    path, root = path.absolute(), root.absolute()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def remarks(out: Path) -> list[str]:
    """A line for the files that were read, each that was not, each note and each finding."""
    about = DataFolder(out).about
    files = about["files"]
    lines = [f"read: {', '.join(files['read'])}."] if files["read"] else []
    lines += [f"not read: {name} ({why})." for name, why in files["unread"].items()]
    lines += [f"note: {note}" for note in about["notes"]]
    for found in about["findings"]:
        message = ": ".join(filter(None, [found["message"], ", ".join(found["examples"])]))
        parts = [part.rstrip(".") + "." for part in (message, found["cause"], found["hint"])]
        lines.append(f"{found['level']}: {' '.join(parts)}")
    return lines


def next_step(out: Path) -> str:
    """The next command for a data folder; without any image nothing can be extracted."""
    folder = DataFolder(out)
    images = folder.images()
    lost = without_file(folder.image_root, images)
    if len(lost) == len(images):
        return (
            "Next: not one image is there, so nothing can be extracted. Put them below "
            f"{folder.image_root} (the first is {lost[0].file}), or give their folder with "
            "--option images=FOLDER, and prepare again."
        )
    task = next(iter(folder.tasks), "caption")
    small = len(images) < SMALL_SET
    recipe = f"auto-{task}" if small else TASK_INFO[task].first_recipe
    return f"Next: saccade extract {shlex.quote(str(out))} --for {recipe}"
