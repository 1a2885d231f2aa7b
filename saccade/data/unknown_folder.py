"""What is said about a folder in which no data set was recognised: what is there, what to do."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData, SaccadeError
from saccade.data import imagefolder, row_files
from saccade.data.arrow_rows import column_names
from saccade.data.find_files import ARCHIVES, files_like, names_in
from saccade.data.further_down import PICTURES, Known, further_down
from saccade.data.own_columns import COLUMNS, Names, columns_of, known_among
from saccade.data.row_files import first_row
from saccade.data.unread_files import Unread, unread_files

LAYOUTS = "`saccade list sources` shows"
OF_YOUR_OWN = "image,question,answer or image,caption"


class _Rows(NamedTuple):
    """A file of rows whose columns say too little."""

    path: Path
    source: str
    """The source that would read it, if it knew the columns."""
    first: dict[str, Any]
    """The columns with the first row, as far as it is known."""
    usual: Names = COLUMNS

    def known(self) -> dict[str, str]:
        return known_among(list(self.first), self.usual)


def nothing_known(root: Path, options: Mapping[str, str]) -> SaccadeError:
    """The error for a folder of which no source knows the layout, whatever `options` say."""
    rows = _rows(root)
    if rows and (given := options.get("columns")):
        try:  # which of these words does not fit
            best = _best(rows)
            columns_of(list(best.first), given, best.path, best.usual)
        except SaccadeError as error:
            return error
    there, cure = _told(root, rows, options)
    return BadData(f"holds no data set that is known here{there}", where=root, cure=cure)


def _told(root: Path, rows: Sequence[_Rows], options: Mapping[str, str]) -> tuple[str, str]:
    """What is there instead, and what to do about it."""
    if (root / "dataset.json").is_file() and (root / "images.parquet").is_file():
        return (
            ": it is a data folder already",
            f"Go on with: saccade extract {shlex.quote(str(root))} --backbone ...",
        )
    if below := further_down(root, options):
        return _told_below(root, below)
    unread = unread_files(root)
    if rows and (_best(rows).known() or not any(file.likely for file in unread)):
        best = _best(rows)
        shown = ", ".join(name[:40] for name in list(best.first)[:12])
        return f"; {best.path.relative_to(root).as_posix()} has the columns {shown}", (
            f"If it is a table of your own, say which is what: {_command(root, rows)}. Else lay "
            f"the files out as {LAYOUTS}."
        )
    return _told_files(root, unread)


def _told_files(root: Path, unread: Sequence[Unread]) -> tuple[str, str]:
    """Of files that are no tables."""
    pictures = files_like(root, PICTURES)
    said, cure = _told_unread(root, unread)
    if any(file.likely for file in unread):
        return said, cure
    if pictures:
        name = pictures[0].name
        return f", only {len(pictures)} pictures{said}", (
            f"Write what is to be learnt about them into {root / 'mine.csv'}: a first line "
            f"{OF_YOUR_OWN}, then lines like {name},..."
        )
    if archives := files_like(root, ARCHIVES):
        name = archives[0].relative_to(root).as_posix()
        return f", but the archive {name}", "Unpack it, and give the folder that comes out."
    return f"; there is {_listed(root)}", (
        f"Lay the files out as {LAYOUTS}. For data of your own put a CSV there with a first line "
        f"{OF_YOUR_OWN}, or name a table: {_prepare(root, '--option', 'table=FILE')}."
    )


def _told_below(root: Path, below: Known) -> tuple[str, str]:
    """Of folders further down that are known; the first few."""
    named = [(folder.relative_to(root).as_posix(), names) for folder, names in below.items()]
    shown = [f"{folder}/ ({', '.join(names)})" for folder, names in named[:3]]
    more = f" and {len(below) - 3} others" if len(below) > 3 else ""
    first = next(iter(below))
    return f", but further down: {', '.join(shown)}{more}", f"Give the folder: {_prepare(first)}."


def _told_unread(root: Path, unread: Sequence[Unread], most: int = 3) -> tuple[str, str]:
    """Of files that could be tables; nothing where there are none."""
    said = (f"{file.path.relative_to(root).as_posix()} {file.why}" for file in unread[:most])
    more = f"; and {len(unread) - most} others" if len(unread) > most else ""
    cures = dict.fromkeys(file.cure for file in unread[:most])
    return "".join(f"; {text}" for text in said) + more, " ".join(cures)


def _best(rows: Sequence[_Rows]) -> _Rows:
    return max(rows, key=lambda file: len(file.known()))


def _rows(root: Path) -> list[_Rows]:
    found = []
    for path in files_like(root, rf".*{row_files.ENDINGS}"):
        if imagefolder.is_metadata(path):
            found.append(_Rows(path, "imagefolder", first_row(path), imagefolder.USUAL))
        elif len(first := first_row(path)) > 1:  # one column is no table, but lines of anything
            found.append(_Rows(path, "table", first))
    for path in files_like(root, r".*\.(?i:parquet)"):
        found.append(_Rows(path, "hf-parquet", dict.fromkeys(column_names(path) or ())))
    return [file for file in found if file.first]


def _command(root: Path, rows: Sequence[_Rows]) -> str:
    """What to type: known columns are passed over, COLUMN stands for the others."""
    file = _best(rows)
    known = file.known()
    asked = []
    if "image" not in known:
        asked.append(f"image:{_of_pictures(file.first) or 'COLUMN'}")
    if not {"question", "caption"} & known.keys():
        lone = "caption:text" if "text" in file.first else ""
        asked.append(lone or "question:COLUMN,answer:COLUMN")
    words = ["--option", f"columns={','.join(asked)}"]
    if file.source == "table" and len(rows) > 1:
        words = ["--option", f"table={file.path.relative_to(root).as_posix()}", *words]
    command = _prepare(root, *words)
    if "question:COLUMN" in command:
        command += " (or caption:COLUMN in place of question and answer)"
    return command


def _prepare(folder: Path, *more: str) -> str:
    return shlex.join(["saccade", "prepare", str(folder), "--out", "DATA", *more])


def _of_pictures(first: dict[str, Any]) -> str | None:
    """The column whose first value is the name of a picture file."""
    values = ((name, value) for name, value in first.items() if isinstance(value, str))
    return next((name for name, value in values if re.fullmatch(PICTURES, value)), None)


def _listed(root: Path, most: int = 4) -> str:
    names = [f"{name}/" if (root / name).is_dir() else name for name in names_in(root)]
    more = f" and {len(names) - most} others" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "nothing at all in it"
