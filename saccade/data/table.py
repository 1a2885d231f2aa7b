"""Your own data as a table: CSV, TSV or JSON lines, beside a folder of pictures.

    image,question,answer           image,caption               {"image": "a.jpg", "question":
    a.jpg,What is it?,a dog|dog     a.jpg,A dog runs.            "What is it?", "answers": ["dog"]}

Columns are found by name (`own_rows.COLUMNS`). Several answers or captions are set apart by bars,
or written as a JSON list. The split is the column `split`; or each split has its own file
(`train.csv`, `val.csv`); or it is drawn by picture, so that no picture is in two.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saccade.data.drawn_split import as_share, as_whole
from saccade.data.json_file import read_json
from saccade.data.looking import files_like
from saccade.data.own_rows import ENDINGS, SPLIT_WORDS, Own, Row, columns_of, fits
from saccade.data.picture_files import PictureFiles
from saccade.data.text_file import read_lines, read_table
from saccade.errors import BadConfig, BadData
from saccade.records import Collection, Split

KINDS = r"(?:csv|tsv|jsonl)(?:\.gz)?"


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

    `table` names the file (also a `.json` that is a list of objects) when there are several that
    fit; `images` is the folder of the pictures (else `images/` and `root`); `columns` says what
    columns of other names are ("image:photo,question:frage"). Where no split is given,
    `val_share` and `test_share` of the pictures are drawn with `seed`. A picture's number is its
    place in the sorted list of names; a name without an ending finds a picture that has one.
    Raises BadData for rows of another form, with file and line.
    """
    shares: dict[Split, float] = {
        "val": as_share("val_share", val_share),
        "test": as_share("test_share", test_share),
    }
    files = PictureFiles(root, images or None)
    folders = ("images", "") if images or not table else ("images", "", Path(table).parent.name)
    own = Own(lambda name: _find(files, folders, name), shares, as_whole("seed", seed))
    chosen = [root / table] if table else _tables(root, columns)
    for path in chosen:
        names, rows = _rows(path)
        wanted = columns_of(names, columns, path)
        own.take(
            path,
            [
                Row(place, {what: row.get(name) for what, name in wanted.items()})
                for place, row in rows
            ],
            _split_of(path) if len(chosen) > 1 else None,
        )
    notes = [f"Read from {', '.join(path.name for path in chosen)}."]
    return own.collection("table", str(files.root), notes)


def recognise(root: Path) -> str | None:
    """A table with a column of pictures, and questions or captions."""
    found = [path for path in files_like(root, rf".*\.{KINDS}") if fits(_header(path))]
    if not found:
        return None
    shown = found[0].relative_to(root).as_posix()
    return f"there is {shown} with the columns {', '.join(_header(found[0])[:6])}"


def _tables(root: Path, columns: str) -> list[Path]:
    """The one table that fits, or one for each split."""
    found = files_like(root, rf".*\.{KINDS}")
    if not found:
        cure = "Check --root, or name the file: table=FILE."
        raise BadData("holds no table (.csv, .tsv, .jsonl)", where=root, cure=cure)
    fitting = [path for path in found if columns or fits(_header(path))] or found[:1]
    by_split = {path: split for path in fitting if (split := _split_of(path))}
    if by_split and len(set(by_split.values())) == len(by_split):
        return list(by_split)
    if len(fitting) > 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in fitting[:6])
        what = f"holds several tables: {names}"
        raise BadConfig(what, where=root, cure="Say which: table=FILE.")
    return fitting


def _split_of(path: Path) -> Split | None:
    """What a file's name says: `val.csv`, `my_val.jsonl`."""
    return SPLIT_WORDS.get(re.split(r"[-_.]", path.name.split(".")[0].lower())[-1])


def _header(path: Path) -> list[str]:
    """Names of the columns as far as they can be told; a file that cannot be read has none."""
    try:
        if ".jsonl" in path.name:
            first = next(line for line in read_lines(path) if line.strip())
            return list(json.loads(first))
        return [name.strip() for name in read_lines(path)[0].split(_delimiter(path))]
    except (BadData, ValueError, TypeError):
        return []


def _delimiter(path: Path) -> str:
    if ".tsv" in path.name:
        return "\t"
    first = read_lines(path)[0]  # spreadsheets of many countries write semicolons
    return ";" if ";" in first and "," not in first else ","


def _rows(path: Path) -> tuple[Sequence[str], list[tuple[str, dict[str, Any]]]]:
    """Names of the columns, and each row with its place ("line 7")."""
    if path.name.endswith(".json"):
        listed = list(enumerate(read_json(path, list), start=1))
        rows = [(f"record {place}", _object(row, f"record {place}", path)) for place, row in listed]
        return _all_names(rows), rows
    if ".jsonl" in path.name:
        rows = list(_json_lines(path))
        return _all_names(rows), rows
    names, table = read_table(path, _delimiter(path))
    return names, [(f"line {row.line}", dict(zip(names, row.values, strict=True))) for row in table]


def _all_names(rows: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(name for _, row in rows for name in row))


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = f"line {number} is not JSON ({str(error)[:60]})"
            raise BadData(what, where=path, cure="Each line is one object {…}; mend it.") from None
        yield f"line {number}", _object(row, f"line {number}", path)


def _object(row: object, place: str, path: Path) -> dict[str, Any]:
    if not isinstance(row, dict):
        what = f"{place} is {ascii(row)[:40]}, not an object {{…}}"
        raise BadData(
            what, where=path, cure='Write {"image": ..., "question": ..., "answer": ...}.'
        )
    return row


def _find(files: PictureFiles, folders: Sequence[str], name: str) -> str:
    bare = not re.search(r"\.\w{2,5}$", name)
    return files.find_path(name, folders, ENDINGS if bare else ENDINGS[:1])
