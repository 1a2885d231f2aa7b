"""Data of one's own as a table: CSV, TSV, JSON lines or a JSON list, beside a folder of images.

    image,question,answer           image,caption               {"image": "a.jpg", "question":
    a.jpg,What is it?,a dog|dog     a.jpg,A dog runs.            "What is it?", "answers": ["dog"]}

Columns are found by name (`custom_rows.COLUMNS`). Several answers or captions are set apart by
bars, or written as a JSON list. The split is the column `split`; or each split has its own file
(`train.csv`, `val.csv`); or it is drawn by image, so that no image is in two. Questions and
captions may have a table each. The metadata of an imagefolder is no such table: see `huggingface`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, files_like, several_files
from saccade.data.records import Collection, Split
from saccade.data.splits import as_drawing
from saccade.datasets.custom_rows import (
    ENDINGS,
    ROW_FILES,
    Row,
    collect,
    columns_of,
    first_row,
    fits,
    read_known,
    split_in,
    there_is,
)
from saccade.datasets.huggingface import is_metadata


def read(
    root: Path, table: str = "", images: str = "", columns: str = "", **shares: Any
) -> Collection:
    """Read the table in `root` or a folder directly below it.

    `table` names the file when there are several that fit (one of questions and one of captions are
    joined, if they share images, and both say their split or neither does); `images` is the
    folder of the images (else `images/`, `root` and the table's own folder); `columns` says what
    columns of other names are ("image:photo,question:frage"). Where no split is given, `val_share`
    and `test_share` of the images are drawn with `seed`; where only validation is missing,
    `val_share` of the training images. An image's number is its place in the sorted list of
    names; a name without an ending finds an image that has one. Raises BadData for rows of another
    form, with file and line, BadConfig for several tables of which none is to be preferred.
    """
    drawing = as_drawing(**shares)
    files = ImageFiles(root, images or None)
    chosen = [(root / table, None)] if table else _tables(root, columns)
    homes = dict.fromkeys(path.parent for path, _ in chosen if path.parent.is_relative_to(root))
    beside = [home.relative_to(root).as_posix() for home in homes if home != root]
    folders = ["images", "", *(f"{folder}{end}" for folder in beside for end in ("/images", ""))]
    folders = [folder for folder in folders if (files.root / folder).is_dir()]

    def find(name: str) -> str:
        bare = not re.search(r"\.\w{2,5}$", name)
        return files.find_path(name, folders, ENDINGS if bare else ENDINGS[:1])

    rows = [row for path, split in chosen for row in read_known(path, columns, split)]
    paths = [path for path, _ in chosen]
    if not _belong_together(rows):
        raise several_files("tables", root, paths, "table")
    notes = [f"Read from {', '.join(path.name for path in paths)}."]
    return collect("table", rows, find, files.root, drawing, notes)


def recognise(root: Path, table: str = "", columns: str = "") -> str | None:
    """A table with a column of images, and questions or captions; or the one that is named."""
    for path in [root / table] if table else _found(root):
        if fits(names := list(first_row(path)), given=columns):
            return there_is(path, root, names)
    return f"the table is given as {table}" if table else None


def _found(root: Path) -> list[Path]:
    """Files that may be tables."""
    return [path for path in files_like(root, rf".*{ROW_FILES}") if not is_metadata(path)]


def _tables(root: Path, columns: str) -> list[tuple[Path, Split | None]]:
    """The table that fits, or one for each split, which its name then says; or one of questions
    and one of captions, or for each split of both.
    """
    found = _found(root)
    if not found:
        hint = "Check --root, or name the file: --option table=FILE."
        raise BadData("holds no table (.csv, .tsv, .jsonl, .json)", location=root, hint=hint)
    fitting = [path for path in found if fits(list(first_row(path)), given=columns)]
    fitting = fitting or [path for path in found if first_row(path)][:1] or found[:1]
    if chosen := _one_or_split(fitting):
        return chosen
    kinds: dict[frozenset[str], list[Path]] = {}
    for path in fitting:
        names = columns_of(list(first_row(path)), columns, path).keys()
        kinds.setdefault(frozenset({"question", "caption"} & names), []).append(path)
    parts = [_one_or_split(alike) for alike in kinds.values()]
    if all(len(kind) == 1 for kind in kinds) and all(parts):
        return [table for part in parts for table in part]
    raise several_files("tables", root, fitting, "table")


def _one_or_split(paths: Sequence[Path]) -> list[tuple[Path, Split | None]]:
    """The only table, or those whose names say a split, if each says its own; else none."""
    if len(paths) == 1:
        return [(paths[0], None)]
    by_split = {path: split for path in paths if (split := split_in(path.name))}
    return list(by_split.items()) if len(set(by_split.values())) == len(by_split) else []


def _belong_together(rows: Sequence[Row]) -> bool:
    """True where tables of questions and of captions share images, and all rows say their split
    or none does. Tables of one kind belong together.
    """
    kinds = {row.location: {"question", "caption"} & row.values.keys() for row in rows}
    if all(kind == next(iter(kinds.values())) for kind in kinds.values()):
        return True
    images: dict[str, set[str]] = {"question": set(), "caption": set()}
    for row in rows:
        for what in images.keys() & row.values.keys():
            images[what].add(str(row.values["image"]))
    say_it = {bool(row.split or str(row.values.get("split") or "").strip()) for row in rows}
    return bool(images["question"] & images["caption"]) and len(say_it) == 1
