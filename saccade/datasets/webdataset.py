"""WebDataset shards: tar files in which the parts of a sample follow each other, `a.jpg`, `a.txt`.

A sample's key is its name up to the first dot behind the last slash. Its text is a `.txt` of
captions, one a line, or a `.json` with the fields of a table, or a list of such objects. Layout:
github.com/webdataset/webdataset, and img2dataset's output of that name.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.core.formatting import size_in_words
from saccade.data.find_files import IMAGE_ENDINGS, ImageFiles, files_like
from saccade.data.reading import note_opened, read_start, refuse_stand_ins
from saccade.data.records import Collection
from saccade.datasets.columns import known_among
from saccade.datasets.custom_rows import Row, as_rules, collect
from saccade.datasets.huggingface import FOLDER, image_name, splits_in_names, unpacked_note
from saccade.datasets.row_files import damaged, parse_json

SHARDS = r".*\.tar"
IMAGES = {ending.lstrip(".") for ending in IMAGE_ENDINGS}
LARGEST = 2**27
"""Bytes that one member of a shard may have; no photo is as large."""

Sample = dict[str, bytes]
"""Of each ending, what its member holds."""


def read(root: Path, images: str = "", **rules: Any) -> Collection:
    """Read the shards in `root` or folders directly below it, whose names may say a split.

    Images are written out once as files, below `images` (else to `unpacked-images/`). Raises
    BadData for a shard that is not whole, members that are too large, text that is none.
    """
    checked = as_rules(**rules)
    files = ImageFiles(root, images or None)
    below = "" if images else FOLDER
    if not (found := files_like(root, SHARDS)):
        hint = "Check --root: shards are called train-000000.tar, or 00000.tar."
        raise BadData("holds no shards (.tar)", location=root, hint=hint)
    rows: list[Row] = []
    lost = 0
    for path, split in zip(found, splits_in_names(root, found), strict=True):
        for key, sample in _samples(path):
            kind = next((ending for ending in sample if ending in IMAGES), None)
            if kind is None:
                lost += 1
                continue
            image = image_name(path, sample[kind], key, root=files.root, below=below)
            rows += (
                Row(path, key, {**values, "image": image}, split)
                for values in _values(path, key, sample)
            )
    if not rows:
        hint = "Each sample has an image and a text of one name: a.jpg, a.txt or a.json."
        raise BadData("holds no sample with an image", location=found[0], hint=hint)
    notes = [f"{lost} samples have no image and were left out."] if lost else []
    notes += unpacked_note(files.root, below)
    return collect("webdataset", rows, str, files.root, checked, notes)


def recognise(root: Path) -> str | None:
    """A shard whose first sample is an image with a text."""
    for path in files_like(root, SHARDS):
        _, sample = next(_samples(path), ("", Sample()))
        if sample.keys() & IMAGES and sample.keys() & {"txt", "json"}:
            return f"there is {path.relative_to(root).as_posix()} with samples"
    return None


def _samples(path: Path) -> Iterator[tuple[str, Sample]]:
    """Key and members of each sample; nothing of it is in memory longer than that."""
    refuse_stand_ins(path, read_start(path, 1024))
    note_opened(path)
    key, sample = "", Sample()
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                folder, slash, last = member.name.rpartition("/")
                name, _, ending = last.partition(".")
                ending = ending.lower()
                if not member.isfile() or ending not in {*IMAGES, "txt", "json"} or not name:
                    continue
                if member.size > LARGEST:
                    message = f"holds {member.name[:60]!a} of {size_in_words(member.size)}"
                    raise BadData(message, location=path, hint="No image or text is as large.")
                if folder + slash + name != key:
                    if sample:
                        yield key, sample
                    key, sample = folder + slash + name, Sample()
                if ending in sample:
                    message = f"has {member.name[:60]!a} twice in one sample"
                    raise BadData(message, location=path, hint="Keep one of them.")
                if (stream := tar.extractfile(member)) is not None:
                    sample[ending] = stream.read()
                tar.members = []  # type: ignore[attr-defined] # else a million headers are kept
            file.seek(tar.offset)
            end = file.read(tarfile.BLOCKSIZE)
        if len(end) < tarfile.BLOCKSIZE or end.strip(b"\0"):
            # `tarfile` ends in silence at a header that is damaged, or cut.
            raise tarfile.ReadError("it breaks off, or is damaged in the middle")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise damaged(path, "tar file", error) from None
    if sample:
        yield key, sample


def _values(path: Path, key: str, sample: Sample) -> Iterator[dict[str, Any]]:
    """What a sample says: the fields of its JSON, of each object in it; its text as captions."""
    document: Any = {}
    if "json" in sample:
        document = parse_json(path, f"{key}.json", _text(path, f"{key}.json", sample["json"]))
    captions = _text(path, f"{key}.txt", sample.get("txt", b"")).splitlines()
    for record in document if isinstance(document, list) else [document]:
        if not isinstance(record, dict):
            message = f"{key}.json is {ascii(record)[:40]}, not an object {{…}}"
            hint = 'Write {"question": ..., "answer": ...} or {"caption": ...}.'
            raise BadData(message, location=path, hint=hint)
        named = known_among(list(record)).items()
        values = {what: record[name] for what, name in named if what != "image"}
        yield {**values, **({"caption": captions} if "txt" in sample else {})}


def _text(path: Path, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{name} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}"
        raise BadData(message, location=path, hint="Write the shard again with UTF-8.") from None
