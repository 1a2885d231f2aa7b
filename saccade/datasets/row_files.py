"""Files of rows that somebody wrote: CSV, TSV, JSON lines, one JSON list of objects, Parquet."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadData
from saccade.core.files import Limits
from saccade.data.find_files import IMAGES
from saccade.data.reading import (
    NAMES_IT,
    note_opened,
    read_json,
    read_lines,
    read_start,
    read_table,
    refuse_constant,
)
from saccade.data.records import Split
from saccade.datasets.columns import COLUMNS, Chosen, Names, columns_of, key_of, plain
from saccade.datasets.custom_rows import Cells, Row, refuse_unsaid_split, split_in, split_of_flag

ROW_FILES = r"\.(?i:csv|tsv|jsonl|json)(?:\.gz)?"
"""Of the names of such files, as a pattern."""
PARQUET = r".*\.(?i:parquet)"
SEPARATORS = (",", "\t", ";")
"""Between the columns: that of the format, and what spreadsheets write under the same name."""


def first_row(path: Path) -> dict[str, Any]:
    """The columns with the values of the first row; empty where this is no such file."""
    if re.fullmatch(PARQUET, path.name):
        return dict.fromkeys(column_names(path) or ())
    start = read_start(path)
    if is_json(path):
        start = start.lstrip()
        is_rows = start.startswith("[") or _has_lines(path, start)
        return _object_at(start.removeprefix("[")) if is_rows else {}
    lines = csv.reader(io.StringIO(start, newline=""), delimiter=_separator(path, start))
    rows = (values for values in lines if any(map(str.strip, values)) and values != NAMES_IT)
    try:
        names, values = next(rows, []), next(rows, [])
    except csv.Error:
        return {}
    values += [""] * (len(names) - len(values))
    return {name.strip(): value for name, value in zip(names, values, strict=False)}


EXAMPLE = '{"image": ..., "question": ..., "answer": ...}'


def read_rows(path: Path, example: str = EXAMPLE) -> tuple[Sequence[str], list[Row]]:
    """Names of the columns, and all rows, their values by these names.

    Raises BadData for what cannot be read, with its line; `example` is an object as it should be.
    """
    if re.fullmatch(PARQUET, path.name):
        found = [Row(path, f"row {n}", row) for n, row in enumerate(_parquet(path), start=1)]
        return list(found[0].values) if found else [], found
    if not is_json(path):
        mark = _separator(path, read_start(path))
        names, table = read_table(path, mark, uneven=True)
        return names, [_table_row(path, line, names, values, mark) for line, values in table]
    if json_lines(path):
        lines = ((f"line {n}", line) for n, line in enumerate(read_lines(path), start=1))
        listed = ((place, parse_json(path, place, line)) for place, line in lines if line.strip())
    else:
        listed = ((f"record {n}", one) for n, one in enumerate(read_json(path, list), start=1))
    rows = []
    for place, value in listed:
        if not isinstance(value, dict):
            message = f"{place} is {ascii(value)[:40]}, not an object {{…}}"
            raise BadData(message, location=path, hint=f"Write {example}.")
        rows.append(Row(path, place, value))
    return list(dict.fromkeys(name for row in rows for name in row.values)), rows


def _table_row(
    path: Path, line: int, names: Sequence[str], values: Sequence[str], mark: str
) -> Row:
    inner = [
        _rows_within(values, n, len(names), mark) for n, text in enumerate(values) if "\n" in text
    ]
    if any(inner):
        fault = (
            f"has a quotation up to line {line}, with {max(inner)} lines in it that look like rows"
        )
        hint = 'Close the quotation, or take the " away: in a quoted field it is written "".'
        first = line - sum(text.count("\n") for text in values)
        return Row(path, f"line {first}", {}, hint=hint, fault=fault)
    if len(values) != len(names):
        fault = f"has {len(values)} fields, line 1 has {len(names)}"
        return Row(path, f"line {line}", {}, fault=fault)
    return Row(path, f"line {line}", dict(zip(names, values, strict=True)))


def _rows_within(values: Sequence[str], place: int, columns: int, mark: str) -> int:
    """How many lines of a field look like rows, if most do: a quotation that was never closed ends
    with the next one, however many rows are between.
    """
    _, *lines = values[place].splitlines()
    fields = list(csv.reader(lines, delimiter=mark))
    if fields:
        fields[-1] += values[place + 1 :]
    form = _form(values[0])
    rows = [row for row in fields if row]
    alike = [
        row
        for row in rows
        if len(row) == columns
        and (any(re.fullmatch(IMAGES, field) for field in row) or (form and form == _form(row[0])))
    ]
    return len(alike) if len(alike) * 2 > len(rows) else 0


def _form(text: str) -> str | None:
    """A text with 0 for each of its numbers; None where it has none."""
    return re.sub(r"\d+", "0", text) if re.search(r"\d", text) else None


def damaged(path: Path, kind: str, error: Exception) -> BadData:
    """The error for a file that a library cannot read; `kind` is what it should be."""
    if isinstance(error, FileNotFoundError):
        return BadData("is missing", location=path, hint="Copy the whole folder again.")
    message = f"is not a whole {kind} ({(str(error) or 'empty').splitlines()[0][:80]})"
    return BadData(message, location=path, hint="Copy it again from where it came.")


def column_names(path: Path) -> list[str] | None:
    """Names of a Parquet file's columns, from its end alone; None where it cannot be read."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, ValueError):
        return None


def refuse_many_rows(path: Path, about: pq.FileMetaData) -> None:
    """Raise BadData for a Parquet file of more values than a file of its size should have: equal
    ones take no place in it, but do in memory."""
    groups = (about.row_group(place).total_byte_size for place in range(about.num_row_groups))
    size = max(about.num_rows * about.num_columns, sum(groups))
    if size > (most := Limits().bytes_of(path)):
        message = f"says that it holds {size:,} bytes, which is more than {most:,}"
        raise BadData(message, location=path, hint="Download it again, or write it as JSON lines.")


def _parquet(path: Path) -> list[dict[str, Any]]:
    note_opened(path)
    try:
        refuse_many_rows(path, pq.read_metadata(path))
        return cast(list[dict[str, Any]], pq.read_table(path).to_pylist())
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise damaged(path, "Parquet file", error) from None


def parse_json(path: Path, place: str, line: str) -> Any:
    """What stands at a place of a file. Raises BadData for what is no JSON, or holds NaN."""
    try:
        return json.loads(line, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        why = f"is not JSON ({error.msg}, column {error.colno})"
    except RecursionError:
        why = "is not JSON (nested too deeply)"
    except ValueError as error:
        why = f"holds a number that JSON does not know: {str(error)[:60]}"
    hint = "Each line is one object {…}: mend it, write null, or leave the row out."
    raise BadData(f"{place} {why}", location=path, hint=hint)


def read_known(
    path: Path,
    given: str,
    split: Split | None = None,
    usual: Names = COLUMNS,
    images: Path | None = None,
) -> list[Row]:
    """All rows by the names of `usual`, as far as there are such columns; see `columns_of`.

    `split` is what the file's name says; `images` is a table whose rows belong to those, by an id.
    """
    names, rows = read_rows(path)
    if images and (key := key_of(names, first_names := list(first_row(images)))):
        rows = _joined(rows, images, *key)
        names = [*names, *(name for name in first_names if name not in names)]
    wanted = columns_of(names, given, path, usual)
    if split is None and "split" not in wanted and not says_split(given):
        used = {name for several in wanted.values() for name in several}
        for name in names:
            if name not in used:
                refuse_unsaid_split(path, name, (row.values.get(name) for row in rows), names)
    return [
        row._replace(values=parts_of(row.values, wanted), split=split, columns=names)
        for row in rows
    ]


def _joined(rows: Sequence[Row], images: Path, mine: str, theirs: str) -> list[Row]:
    """The rows with what the table of images has of the same id."""
    of: dict[str, Row] = {}
    for other in read_rows(images)[1]:
        other.refuse_fault()
        if of.setdefault(str(other.values.get(theirs)).strip(), other) is not other:
            message = f"has the {theirs} {str(other.values.get(theirs))[:40]!r} a second time"
            raise other.bad(message, "Keep one row for each image.")
    found = []
    for row in rows:
        key = str(row.values.get(mine)).strip()
        image = of[key].values if key in of else {}
        both = [n for n in row.values if n in image and plain(n) in COLUMNS["split"]]
        if strange := [n for n in both if row.values[n] and image[n] not in ("", row.values[n])]:
            mine_is, theirs_is = (str(one[strange[0]])[:30] for one in (row.values, image))
            fault = f"is of {strange[0]} {mine_is!r}, its image of {theirs_is!r} in {images.name}"
            hint = "Mend one, or take the column out of one of the two tables."
            found.append(row._replace(values={}, fault=fault, hint=hint))
        elif row.fault or key in of:
            found.append(row._replace(values={} if row.fault else {**image, **row.values}))
        else:
            fault = f"is of {mine} {key[:40]!r}, which {images.name} lacks"
            hint = f"Add it there. If the tables belong together otherwise: {AS_MAPPING}"
            found.append(row._replace(values={}, fault=fault, hint=hint))
    return found


AS_MAPPING = "describe them in a mapping with [join] (docs/data.md)."


def parts_of(values: Mapping[str, Any], wanted: Chosen) -> dict[str, Any]:
    """The parts of a row, of its values by columns. A split may be a flag: `is_train`, 0 or 1."""
    found = {
        what: values.get(names[0]) if len(names) == 1 else Cells(map(values.get, names))
        for what, names in wanted.items()
        if names
    }
    if "split" in found:
        found["split"] = split_of_flag(wanted["split"][0], found["split"]) or found["split"]
    return found


def says_split(given: str) -> bool:
    """True where the user says which column holds the split, or that none does."""
    return any(part.strip().partition(":")[0].strip() == "split" for part in given.split(","))


def split_of(name: str, given: str) -> Split | None:
    """The split in a file's name; none where the user says which column holds it."""
    said = (part.replace(" ", "") for part in given.split(","))
    return None if any(re.match("split:.", part) for part in said) else split_in(name)


def is_json(path: Path) -> bool:
    """True where a file is called JSON, or lines of it; else it is a table with separators."""
    return ".json" in path.name.lower()


def _separator(path: Path, start: str) -> str:
    """The commonest outside of quotes in the first line, or the one that a line `sep=;` names."""
    first = next(filter(str.strip, start.split("\n")), "").strip("\r")
    if named := re.fullmatch(r"sep=([,\t;])", first):
        return named[1]
    bare = re.sub(r'"[^"]*"', "", first)
    if ".tsv" in path.name.lower() and "\t" in bare:
        return "\t"
    return max(SEPARATORS, key=bare.count)


def json_lines(path: Path) -> bool:
    """True where a JSON file has an object in each line."""
    return _has_lines(path, read_start(path))


def _has_lines(path: Path, start: str) -> bool:
    """True for JSON lines; a `.json` has them where an object ends with its line, then another."""
    first, _, rest = start.lstrip().partition("\n")
    is_lines = rest.lstrip().startswith("{") and bool(_object_at(first))
    return is_lines or ".jsonl" in path.name.lower()


def _object_at(text: str) -> dict[str, Any]:
    """The object that a text begins with; empty where it begins with something else, or is cut."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
