"""Files of rows that somebody wrote: CSV, TSV, JSON lines, or one JSON list of objects.

What such a file is, and its columns, is told from its beginning alone: it may be very long.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.reading import (
    NAMES_IT,
    read_json,
    read_lines,
    read_start,
    read_table,
    refuse_constant,
)

ENDINGS = r"\.(?i:csv|tsv|jsonl|json)(?:\.gz)?"
"""Of the names of such files, as a pattern."""
SEPARATORS = (",", "\t", ";")
"""Between the columns: that of the format, and what spreadsheets write under the same name."""

Named = tuple[str, dict[str, Any]]
"""A row's place ("line 7"), and its values by the names of the columns."""


def first_row(path: Path) -> dict[str, Any]:
    """The columns with the values of the first row; empty where this is no such file."""
    start = read_start(path)
    if is_json(path):
        start = start.lstrip()
        is_rows = _is_jsonl(path) or start.startswith("[") or _is_lines(start)
        return _object_at(start.removeprefix("[")) if is_rows else {}
    lines = csv.reader(io.StringIO(start, newline=""), delimiter=_separator(path, start))
    rows = (values for values in lines if any(map(str.strip, values)) and values != NAMES_IT)
    try:
        names, values = next(rows, []), next(rows, [])
    except csv.Error:
        return {}
    values += [""] * (len(names) - len(values))
    return {name.strip(): value for name, value in zip(names, values, strict=False)}


def read_rows(path: Path) -> tuple[Sequence[str], list[Named]]:
    """Names of the columns, and all rows. Raises BadData for what cannot be read, with its line."""
    if not is_json(path):
        names, table = read_table(path, _separator(path, read_start(path)))
        named = ((f"line {row.line}", zip(names, row.values, strict=True)) for row in table)
        return names, [(place, dict(values)) for place, values in named]
    if _is_jsonl(path) or _is_lines(read_start(path).lstrip()):
        rows = list(_json_lines(path))
    else:
        listed = enumerate(read_json(path, list), start=1)
        rows = [(f"record {place}", _object(row, f"record {place}", path)) for place, row in listed]
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def is_json(path: Path) -> bool:
    """Say whether a file is called JSON, or lines of it; else it is a table with separators."""
    return ".json" in path.name.lower()


def _is_jsonl(path: Path) -> bool:
    return ".jsonl" in path.name.lower()


def _separator(path: Path, start: str) -> str:
    """The commonest outside of quotes in the first line, or the one that a line `sep=;` names."""
    first = next(filter(str.strip, start.split("\n")), "").strip("\r")
    if named := re.fullmatch(r"sep=([,\t;])", first):
        return named[1]
    bare = re.sub(r'"[^"]*"', "", first)
    if ".tsv" in path.name.lower() and "\t" in bare:
        return "\t"
    return max(SEPARATORS, key=bare.count)


def _is_lines(start: str) -> bool:
    """Say whether a `.json` is JSON lines: an object that ends with its line, then another."""
    first, _, rest = start.partition("\n")
    return rest.lstrip().startswith("{") and bool(_object_at(first))


def _object_at(text: str) -> dict[str, Any]:
    """The object that a text begins with; empty where it begins with something else, or is cut."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _json_lines(path: Path) -> Iterator[Named]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=refuse_constant)
        except (json.JSONDecodeError, RecursionError) as error:
            known = error if isinstance(error, json.JSONDecodeError) else None
            why = f"{known.msg}, column {known.colno}" if known else "nested too deeply"
            what = f"line {number} is not JSON ({why})"
            raise BadData(what, where=path, cure="Each line is one object {…}; mend it.") from None
        except ValueError as error:
            what = f"line {number} holds a number that JSON does not know: {str(error)[:60]}"
            cure = "Write null, or leave the row out, where there is no number."
            raise BadData(what, where=path, cure=cure) from None
        yield f"line {number}", _object(row, f"line {number}", path)


def _object(row: object, place: str, path: Path) -> dict[str, Any]:
    if not isinstance(row, dict):
        what = f"{place} is {ascii(row)[:40]}, not an object {{…}}"
        raise BadData(
            what, where=path, cure='Write {"image": ..., "question": ..., "answer": ...}.'
        )
    return row
