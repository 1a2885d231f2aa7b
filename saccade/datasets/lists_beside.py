"""Lists that lie beside the records of a data set: of images by their ids, and of splits."""

import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import (
    IMAGE_ENDINGS,
    bare,
    files_like,
    holds_texts,
    is_image,
    path_ends,
    tidy,
)
from saccade.data.reading import note_opened, opened_files, read_json, read_lines, read_start
from saccade.data.records import Split
from saccade.datasets.columns import known_among, plain
from saccade.datasets.custom_rows import SPLIT_WORDS, is_address, split_in, word_of_split
from saccade.datasets.row_files import ROW_FILES, first_row, is_json, json_lines, read_rows

# Images by their ids: `images.json`, `images.csv`.

IDS = ("image_id", "img_id", "imageid", "id", "image")
"""Names of the field that is an image's id, beside one that is the name of its file."""
OBJECT = (
    rf'\s*\{{\s*"[^"\\]*"\s*:\s*(?:\{{|"[^"\\]*(?i:{"|".join(map(re.escape, IMAGE_ENDINGS))})")'
)
"""How an object begins that has an image for each id."""


class Listed(NamedTuple):
    """What a list says of an image."""

    name: str
    split: Split | None
    path: Path
    """The list."""


def images_by_id(
    root: Path, ids: Iterable[str], split: Split | None, without: Sequence[Path]
) -> dict[str, Listed]:
    """What lists below `root`, but for the files `without`, say of the images of these ids, in a
    file of this split; nothing where no list has any of them. Raises BadData where one has some of
    them only, or several name different files.
    """
    wanted, found = set(ids), dict[str, Listed]()
    for path in files_like(root, rf".*{ROW_FILES}"):
        of = split_in(path.stem) or (split_in(path.parent.name) if path.parent != root else None)
        if path in without or (split and of not in (None, split)):
            continue
        images: list[tuple[str, Listed]] = []
        with suppress(BadData), opened_files():  # one that is no such list was only looked at
            images = list(_images_in(path))
        for id_, one in images:
            if id_ in wanted and (first := found.setdefault(id_, one)).name != one.name:
                message = f"names {one.name} for image {id_}, {first.path.name} names {first.name}"
                raise BadData(message, location=path, hint="Keep the list that is right.")
    for path in dict.fromkeys(one.path for one in found.values()):
        note_opened(path)
    if found and (lost := sorted(wanted - found.keys())):
        listing = next(iter(found.values())).path
        message = f"lists {len(found)} images of these records by id, but not {lost[0][:40]}"
        hint = "Add it there; or move the list away, if it is of other images."
        raise BadData(message, location=listing, hint=hint)
    return found


def _images_in(path: Path) -> Iterator[tuple[str, Listed]]:
    """Id, name and split of each image that a file lists."""
    for id_, record in _records(path):
        fields = {plain(name): value for name, value in record.items()}
        order = [*known_among(list(fields)).values(), *fields]
        texts = ((name, fields[name]) for name in order if isinstance(fields[name], str))
        named = next(((n, t) for n, t in texts if is_image(t) and not is_address(t)), None)
        key = id_ or next((name for name in IDS if name in fields), "")
        if named and named[0] != key:
            name = named[1].strip().replace("\\", "/")
            if name.startswith("."):  # from where the list lies
                name = os.path.normpath(path.parent / name)
            split = word_of_split(fields.get("split") or "")
            yield str(id_ or fields.get(key)).strip(), Listed(tidy(name), split, path)


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records of a file that may list images, each with the key that it stands behind, if any."""
    if is_json(path) and not json_lines(path) and read_start(path).lstrip().startswith("{"):
        if not (listed := holds_texts(path, '"images"')) and not re.match(OBJECT, read_start(path)):
            return
        document = read_json(path, dict)
        found = document.get("images") if listed else document
        places = [("", one) for one in found] if isinstance(found, list) else []
        for key, one in found.items() if isinstance(found, dict) else places:
            record = one if isinstance(one, dict) else {"file_name": one}
            yield ("" if {*IDS} & record.keys() else key), record
    elif not {"question", "caption", "answer"} & known_among(list(first_row(path))).keys():
        yield from (("", dict(row.values)) for row in read_rows(path)[1])


# Splits of images: `train.txt` and `val.txt`, `splits.json`, `split.csv`.


def splits_beside(
    folders: Iterable[Path], names: Iterable[str], without: Container[Path]
) -> tuple[dict[str, Split], list[Path]]:
    """The split of each of the images of these `names`, as files in `folders` list them, but for
    those `without`, and these files; nothing where no file lists images. Raises BadData where they
    list an image twice, or not all.
    """
    of_end = _by_ends(names)
    every = {name for name in of_end.values() if name}
    split_of: dict[str, Split] = {}
    used: list[Path] = []
    pattern = rf".*(?:{ROW_FILES}|\.(?i:txt|lst))"
    paths = (path for folder in folders for path in files_like(folder, pattern))
    for path in dict.fromkeys(path for path in paths if path not in without):
        listed: list[tuple[str, Split]] = []
        with suppress(BadData), opened_files():
            listed = list(_splits_in(path))
        found = [(name, split) for text, split in listed if (name := _image_of(text, of_end))]
        if not found or 2 * len(found) < len(listed):
            continue
        note_opened(path)
        used.append(path)
        for name, split in found:
            if split_of.setdefault(name, split) != split:
                message = f"lists {name} for {split}, but it is listed for {split_of[name]}, too"
                raise BadData(message, location=path, hint="An image belongs to one split.")
    if used and (lost := sorted(every - split_of.keys())):
        message = f"says the splits of images, but not of {len(lost)}, such as {lost[0]}"
        hint = "Add them, write the splits into the records, or move the list away."
        raise BadData(message, location=used[0], hint=hint)
    return split_of, used


def _splits_in(path: Path) -> Iterator[tuple[str, Split]]:
    """Names of images and their splits, as a file lists them."""
    if not re.fullmatch(rf".*{ROW_FILES}", path.name):
        if split := split_in(path.stem):
            yield from ((line, split) for line in read_lines(path) if line.strip())
    elif is_json(path) and read_start(path).lstrip().startswith("{") and not json_lines(path):
        key = re.match(r'\s*\{\s*"([^"\\]*)"\s*:\s*\[', read_start(path))
        document = read_json(path, dict) if key and key[1].lower() in SPLIT_WORDS else {}
        for word, several in document.items():
            if (split := word_of_split(word)) and isinstance(several, list):
                yield from ((str(one), split) for one in several)
    else:
        known = known_among(list(first_row(path)))
        if {"image", "split"} <= known.keys() and not {"question", "caption"} & known.keys():
            for row in read_rows(path)[1]:
                if split := word_of_split(row.values.get(known["split"]) or ""):
                    yield str(row.values.get(known["image"])), split


def _by_ends(names: Iterable[str]) -> dict[str, str]:
    """Each name by the ends of its path, without ending; "" for an end that several have."""
    known: dict[str, str] = {}
    for name in set(names):
        for end in _ends(name):
            known[end] = name if known.get(end, name) == name else ""
    return known


def _ends(name: str) -> list[str]:
    return path_ends(bare(name.strip().replace("\\", "/")))


def _image_of(text: str, known: dict[str, str]) -> str:
    return next((known[end] for end in _ends(text) if known.get(end)), "")
