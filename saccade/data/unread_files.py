"""Files that could be a table of one's own, and why they are not read as one."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from saccade.data import row_files
from saccade.data.find_files import files_like
from saccade.data.further_down import PICTURES
from saccade.data.own_columns import fits
from saccade.data.reading import read_start
from saccade.data.row_files import first_row, is_json

SPREADSHEETS = r".*\.(?i:xlsx?|xlsm|xlsb|ods|numbers)"
TEXT = r".*\.(?i:txt)"
AS_CSV = "Save it as CSV UTF-8 with a first line image,question,answer or image,caption."
AS_ROWS = 'Make it a list of rows: [{"image": ..., "caption": ...}, ...].'


class Unread(NamedTuple):
    """A file that is not read."""

    path: Path
    why: str
    """What it is: "is empty"."""
    cure: str
    likely: bool = True
    """Is it a table, as far as its name and its first line say?"""


def unread_files(root: Path) -> list[Unread]:
    """What could be a table in `root` and the folders directly below it: tables and text files of
    unknown or no columns, and spreadsheets. A file with two columns or more is none of these.
    """
    sheets = [Unread(path, "is a spreadsheet", AS_CSV) for path in files_like(root, SPREADSHEETS)]
    beside = bool(files_like(root, PICTURES))
    tables = [_why(path, beside) for path in files_like(root, rf".*{row_files.ENDINGS}")]
    texts = [_why_text(root, path) for path in files_like(root, TEXT)]
    return [*sheets, *filter(None, tables), *texts]


def _why(path: Path, pictures: bool) -> Unread | None:
    if (broken := _why_no_text(path)) is not None:
        return broken
    first = first_row(path)
    if is_json(path):
        return None if first else _why_json(path, pictures)
    if len(first) < 2:
        only = next(iter(first), "")
        what = f"has only one column, {only[:30]!a}"
        return Unread(path, what, "Put commas between its columns, and name them in line 1.")
    return None


def _why_no_text(path: Path) -> Unread | None:
    """What keeps a file from being read as text at all."""
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        return Unread(path, f"cannot be read ({error.strerror})", "Check its permissions.")
    if path.name.lower().endswith(".gz"):
        start = read_start(path, 4096).encode()
    if not start.strip():
        packed = path.name.lower().endswith(".gz")
        what = "is empty, cut off, or no UTF-8 text" if packed else "is empty"
        return Unread(path, what, "Save or copy it again.")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Unread(path, "is UTF-16", "Save it as CSV UTF-8.")
    if b"\0" in start:
        return Unread(path, "is no text, whatever its name says", AS_CSV)
    try:
        start[: start.rfind(b"\n") + 1].decode("utf-8-sig")
    except UnicodeDecodeError:
        return Unread(path, "is not UTF-8 text", "Save it as CSV UTF-8.")
    return None


def _why_json(path: Path, pictures: bool) -> Unread:
    """Of JSON that does not begin with a list of objects, or with an object in each line.

    It may hold anything; where there are pictures, lists in it may be about them.
    """
    start = read_start(path).strip()
    if start.startswith("{"):
        key = re.match(r'\{\s*"([^"\\]*)"', start)
        shown = f' (its first field is "{key[1][:30]}")' if key else ""
        likely = pictures and re.search(r":\s*\[", start) is not None
        return Unread(path, f"is an object, not a list{shown}", AS_ROWS, likely)
    if re.fullmatch(r"\[\s*\]", start):
        return Unread(path, "is an empty list", AS_ROWS, pictures)
    return Unread(path, "does not begin as a list of objects", AS_ROWS, pictures)


def _why_text(root: Path, path: Path) -> Unread:
    if (broken := _why_no_text(path)) is not None:
        return broken._replace(likely=False)
    if fits(list(first_row(path))):
        given = shlex.quote(f"table={path.relative_to(root).as_posix()}")
        return Unread(path, "is text", f"Say that it is a table: --option {given}.")
    cure = "If it is a table, give it a first line image,question,answer or image,caption."
    return Unread(path, "is text without known columns", cure, likely=False)
