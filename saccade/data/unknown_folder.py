"""What is said about a folder in which no data set was recognised: what is there, what to do."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.data import imagefolder, row_files
from saccade.data.arrow_rows import column_names
from saccade.data.looking import files_like, folders_in
from saccade.data.own_columns import COLUMNS, Names, known_among
from saccade.data.row_files import first_row
from saccade.data.sources import SOURCES, reason
from saccade.errors import BadData

PICTURES = r".*\.(?:jpe?g|png|webp|bmp|gif|tiff?)"
ARCHIVES = r".*\.(?:zip|tar|tgz|tar\.\w+|7z|rar)"
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


def nothing_known(root: Path) -> BadData:
    """The error for a folder of which no source knows the layout."""
    there, cure = _told(root)
    return BadData(f"holds no data set that is known here{there}", where=root, cure=cure)


def _told(root: Path) -> tuple[str, str]:
    """What is there instead, and what to do about it."""
    if (root / "dataset.json").is_file() and (root / "images.parquet").is_file():
        return ": it is a data folder already", f"Go on with: saccade extract {root} --backbone ..."
    if below := next(_further_down(root), None):
        folder, name = below
        return "", f"Below {folder}/ lies what looks like {name}: give that folder."
    if rows := _rows(root):
        best = max(rows, key=lambda file: len(file.known()))
        shown = ", ".join(name[:40] for name in list(best.first)[:12])
        return f"; {best.path.relative_to(root).as_posix()} has the columns {shown}", (
            f"If it is a table of your own, say which is what: {_command(root, best)}. Else lay "
            f"the files out as {LAYOUTS}."
        )
    if pictures := files_like(root, PICTURES):
        name = pictures[0].name
        return f", only {len(pictures)} pictures", (
            f"Write what is to be learnt about them into {root / 'mine.csv'}: a first line "
            f"{OF_YOUR_OWN}, then lines like {name},..."
        )
    if archives := files_like(root, ARCHIVES):
        name = archives[0].relative_to(root).as_posix()
        return f", but the archive {name}", "Unpack it, and give the folder that comes out."
    return f"; there is {_listed(root)}", (
        f"Lay the files out as {LAYOUTS}. For data of your own put a CSV there with a first line "
        f"{OF_YOUR_OWN}, or name a table: saccade prepare table --root {root} --out DATA --option "
        "table=FILE."
    )


def _further_down(root: Path) -> Iterator[tuple[str, str]]:
    """A folder below, and the source whose layout it, or one directly below it, has."""
    for folder in folders_in(root):
        for inner in (folder, *folders_in(folder)):
            yield from ((folder.name, name) for name in SOURCES if reason(name, inner))


def _rows(root: Path) -> list[_Rows]:
    found = []
    for path in files_like(root, rf".*{row_files.ENDINGS}"):
        if imagefolder.is_metadata(path):
            found.append(_Rows(path, "imagefolder", first_row(path), imagefolder.USUAL))
        elif len(first := first_row(path)) > 1:  # one column is no table, but lines of anything
            found.append(_Rows(path, "table", first))
    for path in files_like(root, r".*\.parquet"):
        found.append(_Rows(path, "hf-parquet", dict.fromkeys(column_names(path) or ())))
    return [file for file in found if file.first]


def _command(root: Path, file: _Rows) -> str:
    """What to type: known columns are passed over, COLUMN stands for the others."""
    known = file.known()
    asked = []
    if "image" not in known:
        asked.append(f"image:{_of_pictures(file.first) or 'COLUMN'}")
    if not {"question", "caption"} & known.keys():
        lone = "caption:text" if "text" in file.first else ""
        asked.append(lone or "question:COLUMN,answer:COLUMN")
    words = ["saccade", "prepare", file.source, "--root", str(root), "--out", "DATA"]
    if file.source == "table":
        words += ["--option", f"table={file.path.relative_to(root).as_posix()}"]
    words += ["--option", f"columns={','.join(asked)}"]
    command = shlex.join(words)
    if "question:COLUMN" in command:
        command += " (or caption:COLUMN in place of question and answer)"
    return command


def _of_pictures(first: dict[str, Any]) -> str | None:
    """The column whose first value is the name of a picture file."""
    values = ((name, value) for name, value in first.items() if isinstance(value, str))
    return next((name for name, value in values if re.fullmatch(PICTURES, value, re.I)), None)


def _listed(root: Path, most: int = 4) -> str:
    names: Sequence[str] = sorted(
        f"{path.name}/" if path.is_dir() else path.name for path in root.iterdir()
    )
    more = f" and {len(names) - most} others" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "nothing at all in it"
