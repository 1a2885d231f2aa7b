"""Errors about folders whose data set is unknown or ambiguous: what is there, what to type next.

Each error has the folder, what lies there in place of a known layout, and one command.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadConfig, BadData, SaccadeError
from saccade.data.find_files import ARCHIVES, IMAGES, files_like, folders_in, names_in
from saccade.data.reading import read_start
from saccade.datasets.catalogue import SOURCES, names_files, reason
from saccade.datasets.columns import (
    COLUMNS,
    Names,
    columns_of,
    fits,
    known_among,
    listed,
    numbered_alike,
)
from saccade.datasets.custom_rows import split_in
from saccade.datasets.huggingface import USUAL, is_metadata
from saccade.datasets.row_files import PARQUET, ROW_FILES, column_names, first_row, is_json

# Data sets in the folders below the one that was given.

DEEPEST = 4
"""Folders below one another that are looked into."""
MOST = 100
"""Folders of one depth that are looked into: there may be one for each of 10,000 patients."""


def command(folder: Path, *more: str) -> str:
    """The command that prepares a folder."""
    return shlex.join(["saccade", "prepare", str(folder), "--out", "DATA", *more])


Known = dict[Path, list[str]]
"""Folders, and the sources whose layouts they have."""


def further_down(root: Path, options: Mapping[str, str]) -> Known:
    """The folders nearest below in which a data set is recognised; empty where there is none."""
    here = [root]
    for _ in range(DEEPEST):
        here = [inner for folder in here for inner in folders_in(folder)][:MOST]
        if found := _recognised(here, options):
            return found
    return {}


def refuse_several_sets(root: Path, names: Iterable[str], options: Mapping[str, str]) -> None:
    """Raise BadConfig where each of the folders directly below `root` has a data set of its own.

    `names` are what `root` was recognised as. It may be one data set where only one folder is
    known, or all are of one layout, or `root` or an unknown folder has images.
    """
    inside = folders_in(root)
    known = _recognised(inside, options)
    alike = len({tuple(found) for found in known.values()}) < 2
    elsewhere = set(names) - {name for found in known.values() for name in found}
    if alike or elsewhere or any(path.parent == root for path in files_like(root, IMAGES)):
        return
    with_images = {folder for folder in inside if files_like(folder, IMAGES)}
    if with_images and with_images <= known.keys():
        shown = (f"{folder.name}/ ({', '.join(found)})" for folder, found in known.items())
        hint = f"Give the folder of one: {command(next(iter(known)))}."
        raise BadConfig(f"holds several data sets: {', '.join(shown)}", location=root, hint=hint)


def _recognised(folders: Iterable[Path], options: Mapping[str, str]) -> Known:
    found = {
        folder: [name for name in SOURCES if reason(name, folder, options)] for folder in folders
    }
    return {folder: names for folder, names in found.items() if names}


# Files that could be a table of one's own, and why they are not read as one.

SHEETS = r".*\.(?i:xlsx?|xlsm|xlsb|ods|numbers)"
TEXT = r".*\.(?i:txt)"
OF_YOUR_OWN = "image,question,answer or image,caption"
AS_CSV = f"Save it as CSV UTF-8 with a first line {OF_YOUR_OWN}."
AS_ROWS = (
    'Make it a list of rows: [{"image": ..., "caption": ...}, ...], or describe its form: --option '
    "mapping=FILE.toml (docs/data.md)."
)


class Unread(NamedTuple):
    """A file that could be a table, in a folder or one directly below it, and is none."""

    path: Path
    why: str
    """The reason: "is empty"."""
    hint: str
    likely: bool = True
    """Is it a table, as far as its name and its first line say?"""


def _unread_table(path: Path, images: bool) -> Unread | None:
    """JSON that begins neither with a list of objects nor with an object in each line may hold
    anything; where there are `images`, lists in it may be about them.
    """
    if broken := _no_text(path):
        return Unread(path, *broken)
    first = first_row(path)
    if not is_json(path) and len(first) < 2:
        why = f"has only one column, {next(iter(first), '')[:30]!a}"
        return Unread(path, why, "Put commas between its columns, and name them in line 1.")
    if first or not is_json(path):
        return None
    start = read_start(path).strip()
    if start.startswith("{"):
        key = re.match(r'\{\s*"([^"\\]*)"', start)
        shown = f' (its first field is "{key[1][:30]}")' if key else ""
        likely = images and re.search(r":\s*\[", start) is not None
        return Unread(path, f"is an object, not a list{shown}", AS_ROWS, likely)
    empty = re.fullmatch(r"\[\s*\]", start)
    why = "is an empty list" if empty else "does not begin as a list of objects"
    return Unread(path, why, AS_ROWS, images)


def _unread_text(root: Path, path: Path) -> Unread:
    if broken := _no_text(path):
        return Unread(path, *broken, likely=False)
    if fits(list(first_row(path))):
        given = shlex.quote(f"table={path.relative_to(root).as_posix()}")
        return Unread(path, "is text", f"Say that it is a table: --option {given}.")
    hint = f"If it is a table, give it a first line {OF_YOUR_OWN}."
    return Unread(path, "is text without known columns", hint, likely=False)


def _no_text(path: Path) -> tuple[str, str] | None:
    """Reason and hint for a file that cannot be read as text at all."""
    packed = path.name.lower().endswith(".gz")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        return f"cannot be read ({error.strerror})", "Check its permissions."
    start = read_start(path, 4096).encode() if packed else start
    if not start.strip():
        why = "is empty, cut off, or no UTF-8 text" if packed else "is empty"
        return why, "Save or copy it again."
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16", "Save it as CSV UTF-8."
    if b"\0" in start:
        return "is no text, whatever its name says", AS_CSV
    try:
        start[: start.rfind(b"\n") + 1].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "is not UTF-8 text", "Save it as CSV UTF-8."
    return None


READABLE = rf".*(?:{ROW_FILES}|\.(?i:parquet|arrow|tar))|{SHEETS}|{TEXT}"
"""Names of the files that a source might read, as a pattern."""
MOST_UNREAD = 50
NO_PART = "no part of this data set"


def unread_files(root: Path, read: Sequence[Path], source: str = "") -> dict[str, str]:
    """Files of readable kinds beside those that were read, by their names, and why they were not.

    In `root`, the folders below it, and the folders of what was read. `source` is what
    they were read as.
    """
    named = names_files(source)
    done = {path.absolute() for path in read}
    homes = dict.fromkeys(path.parent for path in done)
    there = files_like(root, READABLE) if root.is_dir() else []
    deeper = folders_in(root)
    for _ in range(DEEPEST):
        deeper = [inner for folder in deeper for inner in folders_in(folder)][:MOST]
        homes |= dict.fromkeys(deeper)
    there += [path for home in homes for path in files_like(home, READABLE) if path.parent == home]
    found: dict[str, str] = {}
    for path in dict.fromkeys(path.absolute() for path in there):
        if path not in done:
            inside = path.is_relative_to(root.absolute())
            name = path.relative_to(root.absolute()) if inside else path
            why = _why_unread(path, done)
            if why.startswith(NO_PART) and named.fullmatch(path.name.removesuffix(".gz")):
                why = f"named as a file of {source}, of a part or form that was not asked for"
            found[name.as_posix()] = why
    more = list(found)[MOST_UNREAD:]
    found = {name: why for name, why in found.items() if name not in more}
    return found | ({f"and {len(more)} others": "as these"} if more else {})


def _why_unread(path: Path, done: set[Path]) -> str:
    is_text = re.fullmatch(rf".*{ROW_FILES}|{TEXT}", path.name)
    if is_text and (broken := _no_text(path)):
        return broken[0]
    if path.with_name(path.name.removesuffix(".gz")) in done:
        return "the same file unpacked was read"
    if re.fullmatch(SHEETS, path.name):
        return "a spreadsheet: save it as CSV"
    first = first_row(path) if re.fullmatch(rf".*{ROW_FILES}|{PARQUET}", path.name) else {}
    if len(first) > 1:
        known = known_among(list(first), USUAL if is_metadata(path) else COLUMNS).keys()
        lacks = [] if "image" in known else ["images"]
        lacks += [] if {"question", "caption"} & known else ["questions or captions"]
        why = f"it has no column of {' or '.join(lacks)}" if lacks else "by its name"
        return f"{NO_PART}, {why}; it has the columns {listed(first, 8)}"
    kind = _unread_table(path, images=False) if re.fullmatch(rf".*{ROW_FILES}", path.name) else None
    return f"{NO_PART}: it {kind.why}" if kind else NO_PART


LAYOUTS = "`saccade list sources` shows"


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

    def tells(self) -> bool:
        """Does it have questions or captions?"""
        return bool({"question", "caption"} & self.known().keys())


def nothing_known(root: Path, options: Mapping[str, str]) -> SaccadeError:
    """The error for a folder of which no source knows the layout, whatever `options` say: what is
    there instead, and the next step.
    """
    rows = _rows(root)
    best = max(rows, key=lambda file: (file.tells(), len(file.known())), default=None)
    if best and (given := options.get("columns")):
        try:  # which of these words does not fit
            columns_of(list(best.first), given, best.path, best.usual)
        except SaccadeError as error:
            return error
    if (root / "dataset.json").is_file() and (root / "images.parquet").is_file():
        there = ": it is a data folder already"
        hint = f"Go on with: saccade extract {shlex.quote(str(root))} --backbone ..."
    elif below := further_down(root, options):
        named = [(folder.relative_to(root).as_posix(), names) for folder, names in below.items()]
        shown = ", ".join(f"{folder}/ ({', '.join(names)})" for folder, names in named[:3])
        there = f", but further down: {shown}{_and_others(below, 3)}"
        hint = f"Give the folder: {command(next(iter(below)))}."
    else:
        beside = bool(files_like(root, IMAGES))
        tables = [_unread_table(path, beside) for path in files_like(root, rf".*{ROW_FILES}")]
        sheets = [Unread(path, "is a spreadsheet", AS_CSV) for path in files_like(root, SHEETS)]
        texts = [_unread_text(root, path) for path in files_like(root, TEXT)]
        unread = [*sheets, *filter(None, tables), *texts]
        if best and (best.known() or not any(file.likely for file in unread)):
            shown = listed(best.first, 12)
            there = f"; {best.path.relative_to(root).as_posix()} has the columns {shown}"
            alike = [file for file in rows if file.known().keys() == best.known().keys()]
            alike = [file for file in rows if file.tells()] or alike
            splits = {split_in(file.path.name) for file in alike}
            one = len(rows) == 1 or (None not in splits and 1 < len(splits) == len(alike))
            own = f"If it is a table of your own, say which is what: {_command(root, best, one)}."
            if several := numbered_alike(list(best.first), "question"):
                own = f"A row has one question: write one for each of {', '.join(several)}. {own}"
            hint = f"{own} Else lay the files out as {LAYOUTS}."
        else:
            there, hint = _files_there(root, unread)
    return BadData(f"holds no data set that is known here{there}", location=root, hint=hint)


def _and_others(things: Sized, shown: int) -> str:
    return f" and {len(things) - shown} others" if len(things) > shown else ""


def _files_there(root: Path, unread: Sequence[Unread]) -> tuple[str, str]:
    """Message and hint about files that are no tables."""
    images = files_like(root, IMAGES)
    texts = (f"; {file.path.relative_to(root).as_posix()} {file.why}" for file in unread[:3])
    more = f";{_and_others(unread, 3)}" if len(unread) > 3 else ""
    told = "".join(texts) + more
    if any(file.likely for file in unread):
        return told, " ".join(dict.fromkeys(file.hint for file in unread[:3]))
    if images:
        lines = f"a first line {OF_YOUR_OWN}, then lines like {images[0].name},..."
        hint = f"Write what is to be learnt about them into {root / 'mine.csv'}: {lines}"
        return f", only {len(images)} {'image' if len(images) == 1 else 'images'}{told}", hint
    if archives := files_like(root, ARCHIVES):
        name = archives[0].relative_to(root).as_posix()
        return f", but the archive {name}", "Unpack it, and give the folder that comes out."
    names = [f"{name}/" if (root / name).is_dir() else name for name in names_in(root)]
    shown = f"{', '.join(names[:4])}{_and_others(names, 4)}" or "nothing at all in it"
    return f"; there is {shown}", (
        f"Lay the files out as {LAYOUTS}. For data of your own put a CSV there with a first line "
        f"{OF_YOUR_OWN}, or name a table: {command(root, '--option', 'table=FILE')}."
    )


def _rows(root: Path) -> list[_Rows]:
    found = []
    for path in files_like(root, rf".*{ROW_FILES}"):
        if is_metadata(path):
            found.append(_Rows(path, "imagefolder", first_row(path), USUAL))
        elif len(first := first_row(path)) > 1:  # one column is no table, but lines of anything
            found.append(_Rows(path, "table", first))
    for path in files_like(root, PARQUET):
        found.append(_Rows(path, "hf-parquet", dict.fromkeys(column_names(path) or ())))
    return [file for file in found if file.first]


def _command(root: Path, file: _Rows, alone: bool) -> str:
    """The command: known columns are passed over, COLUMN stands for the others."""
    known = file.known()
    asked = []
    if "image" not in known:  # likely the column whose first value is the name of an image file
        first = ((name, value) for name, value in file.first.items() if isinstance(value, str))
        likely = next((name for name, value in first if re.fullmatch(IMAGES, value)), "COLUMN")
        asked.append(f"image:{likely}")
    if not file.tells():
        asks = any(name.startswith(("question", "answer")) for name in file.first)
        lone = "question:text,answer:COLUMN" if asks else "caption:text"
        lone = lone if "text" in file.first else ""
        asked.append(lone or "question:COLUMN,answer:COLUMN")
    words = ["--option", f"columns={','.join(asked)}"]
    if file.source == "table" and not alone:
        words = ["--option", f"table={file.path.relative_to(root).as_posix()}", *words]
    typed = command(root, *words)
    if "question:COLUMN" in typed:
        typed += " (or caption:COLUMN in place of question and answer)"
    return typed
