"""Your own data as a table: CSV, TSV, JSON lines or a JSON list, beside a folder of pictures.

    image,question,answer           image,caption               {"image": "a.jpg", "question":
    a.jpg,What is it?,a dog|dog     a.jpg,A dog runs.            "What is it?", "answers": ["dog"]}

Columns are found by name (`own_columns.COLUMNS`). Several answers or captions are set apart by
bars, or written as a JSON list. The split is the column `split`; or each split has its own file
(`train.csv`, `val.csv`); or it is drawn by picture, so that no picture is in two. The metadata of
an imagefolder is no such table: see `imagefolder`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from saccade.data import imagefolder, row_files
from saccade.data.drawn_split import as_shares, as_whole
from saccade.data.looking import files_like
from saccade.data.own_columns import columns_of, fits
from saccade.data.own_rows import ENDINGS, Own, Row, split_in
from saccade.data.picture_files import PictureFiles
from saccade.data.row_files import first_row, read_rows
from saccade.errors import BadConfig, BadData
from saccade.records import Collection


def read(
    root: Path,
    table: str = "",
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the table in `root` or a folder directly below it.

    `table` names the file when there are several that fit; `images` is the folder of the pictures
    (else `images/`, `root` and the table's own folder); `columns` says what columns of other names
    are ("image:photo,question:frage"). Where no split is given, `val_share` and `test_share` of
    the pictures are drawn with `seed`; where only validation is missing, `val_share` of the
    training pictures. A picture's number is its place in the sorted list of names; a name without
    an ending finds a picture that has one. Raises BadData for rows of another form, with file and
    line.
    """
    shares = as_shares(val_share, test_share)
    draw_seed = as_whole("seed", seed)
    files = PictureFiles(root, images or None)
    chosen = [root / table] if table else _tables(root, columns)
    homes = dict.fromkeys(path.parent for path in chosen if path.parent.is_relative_to(root))
    beside = [home.relative_to(root).as_posix() for home in homes if home != root]
    folders = ["images", "", *(f"{folder}{end}" for folder in beside for end in ("/images", ""))]
    own = Own(lambda name: _find(files, folders, name), shares, draw_seed)
    for path in chosen:
        names, rows = read_rows(path)
        wanted = columns_of(names, columns, path)
        own.take(
            path,
            [
                Row(place, {what: row.get(name) for what, name in wanted.items()})
                for place, row in rows
            ],
            split_in(path.name) if len(chosen) > 1 else None,
        )
    notes = [f"Read from {', '.join(path.name for path in chosen)}."]
    return own.collection("table", str(files.root), notes)


def recognise(root: Path) -> str | None:
    """A table with a column of pictures, and questions or captions."""
    for path in _found(root):
        if fits(names := list(first_row(path))):
            shown = path.relative_to(root).as_posix()
            return f"there is {shown} with the columns {', '.join(names[:6])}"
    return None


def _found(root: Path) -> list[Path]:
    """Files that may be tables."""
    found = files_like(root, rf".*{row_files.ENDINGS}")
    return [path for path in found if not imagefolder.is_metadata(path)]


def _tables(root: Path, columns: str) -> list[Path]:
    """The one table that fits, or one for each split."""
    found = _found(root)
    if not found:
        cure = "Check --root, or name the file: table=FILE."
        raise BadData("holds no table (.csv, .tsv, .jsonl, .json)", where=root, cure=cure)
    fitting = [path for path in found if _suits(path, columns)]
    fitting = fitting or [path for path in found if first_row(path)][:1] or found[:1]
    by_split = {path: split for path in fitting if (split := split_in(path.name))}
    if by_split and len(set(by_split.values())) == len(by_split):
        return list(by_split)
    if len(fitting) > 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in fitting[:6])
        what = f"holds several tables: {names}"
        raise BadConfig(what, where=root, cure="Say which: table=FILE.")
    return fitting


def _suits(path: Path, columns: str) -> bool:
    names = list(first_row(path))
    if not columns:
        return fits(names)
    try:
        return bool(columns_of(names, columns, path))
    except (BadConfig, BadData):
        return False


def _find(files: PictureFiles, folders: Sequence[str], name: str) -> str:
    bare = not re.search(r"\.\w{2,5}$", name)
    return files.find_path(name, folders, ENDINGS if bare else ENDINGS[:1])
