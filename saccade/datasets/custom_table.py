"""Data of one's own as a table: CSV, TSV, JSON lines or a JSON list, beside a folder of images.

    image,question,answer           image,caption               {"image": "a.jpg", "question":
    a.jpg,What is it?,a dog|dog     a.jpg,A dog runs.            "What is it?", "answers": ["dog"]}

Columns are found by name (`columns.COLUMNS`). Several answers or captions are set apart by bars,
written as a JSON list, or stand in columns of their own. The split is the column `split`; or each
split has its own file (`train.csv`, `val.csv`); or it is drawn by image, so that no image is in
two. Questions and captions may have a table each. The metadata of an imagefolder is no such table:
see `huggingface`. Nor is a file that belongs to a known layout: see `layouts`.
"""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import (
    FolderGroups,
    ImageFiles,
    files_like,
    is_absolute,
    is_image,
    several_files,
)
from saccade.data.options import one_of
from saccade.data.records import SPLITS, Collection, Split
from saccade.datasets.columns import (
    COLUMNS,
    columns_of,
    fits,
    key_of,
    numbered_alike,
    plain,
    there_is,
)
from saccade.datasets.custom_rows import (
    Row,
    as_rules,
    collect,
    name_of,
    split_in,
    split_of_folder,
    word_of_split,
)
from saccade.datasets.huggingface import is_metadata
from saccade.datasets.layout_files import claimed
from saccade.datasets.lists_beside import images_by_id
from saccade.datasets.row_files import ROW_FILES, first_row, read_known, split_of

Chosen = list[tuple[Path, Split | None]]
"""Tables, and the splits that their names say."""
MOST_DIGITS = 13
"""Of numbers in the names of images; COCO's have 12."""


def read(
    root: Path, table: str = "", images: str = "", columns: str = "", **rules: Any
) -> Collection:
    """Read the table in `root` or a folder directly below it.

    `table` names the file when there are several that fit, or several files ("a.csv,b.csv:val", a
    split behind a colon where the name does not say it); one of questions and one of captions are
    joined, if they share images, and both say their split or neither does. `images` is the
    folder of the images (else `images/`, `root` and the table's own folder); `columns` says what
    columns of other names are ("image:photo,question:frage"). `bad` says what to do with a row that
    cannot be used: "refuse" or "drop". Where no split is given, `val_share` and `test_share` of the
    images are drawn with `seed`; where only validation is missing, `val_share` of the training
    images. An image's number is its place in the sorted list of names; a name without an ending
    finds an image that has one, and one that is in no usual folder is looked for in those two deep:
    the folders of the row's split first. Raises BadData for rows of another form, with file and
    line, BadConfig for several tables of which none is to be preferred.
    """
    checked = as_rules(**rules)
    files = ImageFiles(root, images or None)
    join = _join(root, columns, table)
    chosen = join[1] if join else _named(root, table) if table else _tables(root, columns)
    homes = dict.fromkeys(path.parent for path, _ in chosen if path.parent.is_relative_to(root))
    beside = [home.relative_to(root).as_posix() for home in homes if home != root]
    folders = ["images", "", *(f"{folder}{end}" for folder in beside for end in ("/images", ""))]
    folders = [folder for folder in folders if (files.root / folder).is_dir()]

    pictured = join[0] if join else None
    rows = [
        row
        for path, split in chosen
        for row in _with_names(path, columns, split, pictured, files, folders)
    ]
    rows, named_by = _with_listed(root, rows, [path for path, _ in chosen])
    rows = _with_folders(rows, files, folders)
    if not _belong_together(rows):
        raise several_files("tables", root, [path for path, _ in chosen], "table")
    return collect(
        "table",
        rows,
        partial(files.find, folders=folders),
        files.root,
        checked,
        [*named_by, *_unread(rows)],
    )


def _with_names(
    path: Path,
    columns: str,
    split: Split | None,
    pictured: Path | None,
    files: ImageFiles,
    folders: Sequence[str],
) -> list[Row]:
    """The rows of a table, with the column of images that names files where several could: one is
    often a number. Raises BadConfig where several do, and not the same files.
    """
    names = list(first_row(path))
    said = any(part.strip().startswith("image:") for part in columns.split(","))
    known = [name for name in names if plain(name) in COLUMNS["image"]]
    read_as: dict[str, list[Row]] = {}
    paths_of: dict[str, list[str]] = {}
    for name in known if len(known) > 1 and not said and not pictured else ():
        given = ",".join(filter(None, (columns, f"image:{name}")))
        rows = _with_folders(read_known(path, given, split), files, folders)
        usable = [row for row in rows if not row.fault and isinstance(row.values["image"], str)]
        paths = [files.find(row.values["image"].strip(), folders=folders) for row in usable]
        if paths and all((files.root / one).is_file() for one in paths):
            read_as[name], paths_of[name] = rows, paths
    if len({tuple(paths) for paths in paths_of.values()}) > 1:
        found = ", ".join(map(repr, paths_of))
        message = f"has several columns that name images, and not the same: {found}"
        given = " or ".join(shlex.quote(f"columns=image:{name}") for name in paths_of)
        raise BadConfig(message, location=path, hint=f"Say which: --option {given}.")
    return next(iter(read_as.values()), None) or read_known(path, columns, split, images=pictured)


def _with_listed(
    root: Path, rows: list[Row], without: Sequence[Path]
) -> tuple[list[Row], list[str]]:
    """The rows with the names and splits of images that a list beside them has, where they name no
    file, but an id. And a note.
    """
    ids = [str(row.values.get("image") or "").strip() for row in rows]
    if any(map(is_image, ids)) or not any(ids):
        return rows, []
    listed = images_by_id(root, filter(None, ids), None, without)
    found = []
    for row, id_ in zip(rows, ids, strict=True):
        values = dict(row.values)
        if one := listed.get(id_):
            values |= {"image": one.name, "split": values.get("split") or one.split}
        found.append(row._replace(values=values))
    lists = dict.fromkeys(one.path.name for one in listed.values())
    return found, [f"The images are those that {' and '.join(lists)} names."] if lists else []


def _with_folders(rows: list[Row], files: ImageFiles, usual: Sequence[str]) -> list[Row]:
    """The rows with the paths of images that are not in the `usual` folders, or not alone there: in
    the folders of the row's split, or in others; or are called 00007.jpg, of rows that say 7.
    """
    known: dict[tuple[str, Split | None], str] = {}
    named: list[tuple[str, Split | None] | None] = []
    for row in rows:
        key = None
        with suppress(BadData):  # `collect` refuses it
            if not is_absolute(name := name_of(row)) and ".." not in name.split("/"):
                said = str(row.values.get("split") or "")
                key = name, row.split or word_of_split(said) or split_in(row.location.name)
        named.append(key)
    asked = dict.fromkeys(filter(None, named))
    digits = max((len(name) for name, _ in asked), default=0)
    numbers = digits < MOST_DIGITS and all(name.isdecimal() for name, _ in asked)
    groups = {split: _groups(files, usual, split) for _, split in asked}
    for width in (0, *(range(digits, MOST_DIGITS) if numbers else ())):
        found = {key: files.search(key[0].zfill(width), groups[key[1]]) for key in asked}
        known = {key: path for key, path in found.items() if path}
        if (known and not width) or len(known) == len(asked):
            break
    return [
        row._replace(values={**row.values, "image": known[key]})
        if key in known and known[key] != files.find(key[0], folders=usual)
        else row
        for row, key in zip(rows, named, strict=True)
    ]


def _groups(files: ImageFiles, usual: Sequence[str], split: Split | None) -> FolderGroups:
    """Folders where the images of a split may lie, those that are likelier first."""
    others = [folder for folder in files.tree if folder not in usual]
    of = {folder: split_of_folder(folder) for folder in (*usual, *others)}
    mine = [folder for folder in of if split and of[folder] == split]
    open_ = [folder for folder in others if of[folder] is None]
    strange = [folder for folder in others if folder not in (*mine, *open_)]
    every = (mine, *([folder] for folder in usual), open_, strange)
    return tuple(tuple(group) for group in every if group)


def recognise(root: Path, table: str = "", columns: str = "") -> str | None:
    """A table with a column of images, and questions or captions; or the one that is named."""
    for path in [path for path, _ in _named(root, table)] if table else _found(root):
        if fits(names := list(first_row(path)), given=columns):
            return there_is(path, root, names)
    if not table and (join := _join(root, columns)):
        names = list(first_row(path := join[1][0][0]))
        return f"{there_is(path, root, names)}, which belong to {join[0].name}"
    return f"the table is given as {table}" if table else None


def _join(root: Path, columns: str, table: str = "") -> tuple[Path, Chosen] | None:
    """A table of images, and those of questions or captions without images that belong to it."""
    named = _named(root, table)
    tables = {path: list(first_row(path)) for path in (*_found(root), *(path for path, _ in named))}
    wanted = {path: tables[path] for path, _ in named} or tables
    if any(fits(names, given=columns) for names in wanted.values()):
        return None
    pairs = [
        (images, path)
        for images, others in tables.items()
        for path, names in wanted.items()
        if key_of(names, others) and (not columns or fits([*others, *names], given=columns))
    ]
    of = {images for images, _ in pairs}
    paths = [path for _, path in pairs]
    chosen = named if table and len(paths) == len(named) else _one_or_split(root, paths, columns)
    return (of.pop(), chosen) if len(of) == 1 and chosen else None


def _unread(rows: Sequence[Row]) -> list[str]:
    """Notes about files with several numbered questions in a row, of which one was asked for."""
    files = {row.location: row.columns for row in rows}
    several = {path: numbered_alike(names, "question") for path, names in files.items()}
    return [
        f"{path.name} has the columns {', '.join(names)}: one question of each row was read."
        for path, names in several.items()
        if names
    ]


def _named(root: Path, given: str) -> Chosen:
    """The tables that the user names, and their splits. One alone has its splits in a column, or
    none.
    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    chosen: Chosen = []
    for name in names:
        file, colon, word = name.rpartition(":")
        if colon and not (root / name).is_file():
            split = split_in(word) or next(s for s in SPLITS if s == one_of("table", word, SPLITS))
            chosen.append((root / file, split))
        else:
            split = split_in(Path(name).name) or split_in(Path(name).parent.name)
            chosen.append((root / name, split if len(names) > 1 else None))
    return chosen


def _found(root: Path) -> list[Path]:
    """Files that may be tables: neither metadata of images nor of a known layout."""
    others = claimed(root)
    found = files_like(root, rf".*{ROW_FILES}")
    return [path for path in found if path not in others and not is_metadata(path)]


def _tables(root: Path, columns: str) -> Chosen:
    """The table that fits, or one for each split, which its name then says; or one of questions
    and one of captions, or for each split of both.
    """
    found = _found(root)
    if not found:
        hint = "Check --root, or name the file: --option table=FILE."
        raise BadData("holds no table (.csv, .tsv, .jsonl, .json)", location=root, hint=hint)
    fitting = [path for path in found if fits(list(first_row(path)), given=columns)]
    fitting = fitting or [path for path in found if first_row(path)][:1] or found[:1]
    if chosen := _one_or_split(root, fitting, columns):
        return chosen
    kinds: dict[frozenset[str], list[Path]] = {}
    for path in fitting:
        names = columns_of(list(first_row(path)), columns, path).keys()
        kinds.setdefault(frozenset({"question", "caption"} & names), []).append(path)
    parts = [_one_or_split(root, alike, columns) for alike in kinds.values()]
    if all(len(kind) == 1 for kind in kinds) and all(parts):
        return [table for part in parts for table in part]
    raise several_files("tables", root, fitting, "table", _one_of_each_split(root, fitting))


def _one_of_each_split(root: Path, paths: Sequence[Path]) -> list[str]:
    """What `table` may say where each of these files says a split: one file for each."""
    of: dict[Split | None, list[str]] = {}
    for path in paths:
        of.setdefault(_split_named(path, root), []).append(path.relative_to(root).as_posix())
    return [] if None in of or len(of) < 2 else [",".join(names) for names in product(*of.values())]


def _one_or_split(root: Path, paths: Sequence[Path], columns: str) -> Chosen:
    """The only table, or those whose names all say a split, if each says its own; else none."""
    if len(paths) == 1:
        return [(paths[0], None)]
    splits = [_split_named(path, root) for path in paths]
    if None in splits or len(set(splits)) < len(splits):
        return []
    own = split_of("train", columns) is not None
    return [(path, split if own else None) for path, split in zip(paths, splits, strict=True)]


def _split_named(path: Path, root: Path) -> Split | None:
    """The split that the name of a table says, or else that of its folder below `root`."""
    return split_in(path.name) or (split_in(path.parent.name) if path.parent != root else None)


def _belong_together(rows: Sequence[Row]) -> bool:
    """True where tables of questions and of captions share images, and all rows say their split
    or none does. Tables of one kind belong together.
    """
    rows = [row for row in rows if not row.fault]
    kinds = {row.location: {"question", "caption"} & row.values.keys() for row in rows}
    if len({frozenset(kind) for kind in kinds.values()}) < 2:
        return True
    images: dict[str, set[str]] = {"question": set(), "caption": set()}
    for row in rows:
        for what in images.keys() & row.values.keys():
            images[what].add(str(row.values["image"]))
    say_it = {bool(row.split or str(row.values.get("split") or "").strip()) for row in rows}
    return bool(images["question"] & images["caption"]) and len(say_it) == 1
