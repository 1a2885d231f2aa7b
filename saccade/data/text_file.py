"""Reading text that strangers wrote: what is wrong with a file is said once, here, in plain words.

UTF-8 throughout, with or without a byte order mark. Anything else is refused rather than guessed:
a wrong guess turns names and answers of other scripts into rubbish that looks like data.
"""

import codecs
import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import BadData
from saccade.core.formatting import size_in_words
from saccade.moving.archives import Limits

COPY_AGAIN = "Copy or download the file again and compare its size with the source."
NAMES_IT = ["sep=", ""]
"""What a first line `sep=;`, with which spreadsheets name their separator, is as a row."""
PIECE = 2**20
"""Bytes of a packed file that are unpacked at once."""


def read_text(path: Path) -> str:
    """The text of a file, unpacked if its name ends in `.gz`.

    Raises BadData for a file that is missing, unreadable, empty, cut off, no UTF-8, or that would
    become larger by far than text does (`archives.Limits`).
    """
    data = _bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(
            f"is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            where=path,
            cure="Save it as UTF-8, or unpack it first if it is an archive.",
        ) from None
    if not text.strip():
        raise BadData("is empty", where=path, cure=COPY_AGAIN)
    return text


def read_start(path: Path, size: int = 2**18) -> str:
    """The text of the first `size` bytes: enough to tell what a file is, however long it is.

    Unpacked as by `read_text`. What is no UTF-8 ends the text; a file that cannot be opened or
    unpacked has none.
    """
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            data = file.read(size)
    except (OSError, EOFError, zlib.error):
        return ""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data)
    except UnicodeDecodeError as error:
        return error.object[: error.start].decode()  # counts from behind a byte order mark


def _bytes(path: Path) -> bytes | bytearray:
    try:
        return _unpacked(path) if path.name.endswith(".gz") else path.read_bytes()
    except FileNotFoundError:
        raise BadData(
            "there is no such file", where=path, cure="Check the name and --root."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadData(
            f"is not whole as a gzip file ({error})", where=path, cure=COPY_AGAIN
        ) from None
    except OSError as error:
        raise BadData(
            f"cannot be read ({error.strerror})", where=path, cure="Check its permissions."
        ) from None


def _unpacked(path: Path) -> bytearray:
    limits, data = Limits(), bytearray()
    most = max(limits.always, limits.growth * path.stat().st_size)
    with gzip.open(path) as file:
        while piece := file.read(PIECE):
            data += piece
            if len(data) > most:
                what = f"would become more than {size_in_words(most)} when unpacked"
                cure = "If it should hold that much, unpack it yourself; else download it again."
                raise BadData(what, where=path, cure=cure)
    return data


def refuse_what_is_no_text(path: Path, text: str) -> None:
    """Raise BadData for what often lies where a table or a list should: a web page, a pointer."""
    if text.startswith("version https://git-lfs"):
        cure = "Fetch the real file with `git lfs pull`."
        raise BadData("is a Git LFS pointer, not the file itself", where=path, cure=cure)
    if text.lstrip()[:15].lower().startswith(("<!doctype", "<html")):
        cure = "Open it to see what the server said, then download again."
        raise BadData("is a web page: a download that failed", where=path, cure=cure)
    if "\0" in text:
        cure = "Is it an archive, or saved as UTF-16? Unpack it, or save it as UTF-8."
        raise BadData("holds zero bytes: it is no text", where=path, cure=cure)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends; line 1 is at place 0. Raises as `read_text`."""
    text = read_text(path)
    refuse_what_is_no_text(path, text)
    return [line.rstrip("\r") for line in text.split("\n")]


class Row(NamedTuple):
    """One row of a table, and the line of the file where it ends."""

    line: int
    values: list[str]


def read_table(path: Path, delimiter: str = ",") -> tuple[list[str], list[Row]]:
    """Column names and rows of a CSV file (RFC 4180: quotes around fields with commas in them).

    Names lose blanks around them; blank lines, and a first one `sep=,`, are left out. Raises
    BadData as `read_text`, and for a quotation that is never closed, a row of another length, or a
    name that stands twice.
    """
    text = read_text(path)
    refuse_what_is_no_text(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        rows = [Row(reader.line_num, values) for values in reader if any(map(str.strip, values))]
    except csv.Error as error:
        what = f"line {reader.line_num} cannot be read as a table ({error})"
        cure = 'Quote a field that holds commas or quotes; write " in it as "".'
        raise BadData(what, where=path, cure=cure) from None
    if rows[0].values == NAMES_IT:
        del rows[0]
    if not rows:
        raise BadData("is empty", where=path, cure=COPY_AGAIN)
    names = [name.strip() for name in rows[0].values]
    if len(set(names) - {""}) < len([name for name in names if name]):
        twice = next(name for name in names if names.count(name) > 1)
        cure = "Give every column its own name in line 1."
        raise BadData(f"has two columns named {twice!r}", where=path, cure=cure)
    bad = next((row for row in rows[1:] if len(row.values) != len(names)), None)
    if bad:
        raise BadData(
            f"line {bad.line} has {len(bad.values)} fields, line 1 has {len(names)}",
            where=path,
            cure="Quote a field that holds the separator, or fill what is missing.",
        )
    return names, rows[1:]
