"""Files of rows that somebody wrote: CSV, TSV, JSON lines, or one JSON list of objects.

What such a file is, and its columns, is told from its beginning alone: it may be very long.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saccade.data.json_file import read_json
from saccade.data.text_file import read_lines, read_start, read_table
from saccade.errors import BadData

ENDINGS = r"\.(?:csv|tsv|jsonl|json)(?:\.gz)?"
"""Of the names of such files, as a pattern."""

Named = tuple[str, dict[str, Any]]
"""A row's place ("line 7"), and its values by the names of the columns."""


def first_row(path: Path) -> dict[str, Any]:
    """The columns with the values of the first row; empty where this is no such file."""
    start = read_start(path).lstrip()
    if ".json" in path.name:
        is_rows = ".jsonl" in path.name or start.startswith("[") or _is_lines(start)
        return _object_at(start.removeprefix("[")) if is_rows else {}
    rows = csv.reader(io.StringIO(start, newline=""), delimiter=_delimiter(path, start))
    try:
        names, values = next(rows, []), next(rows, [])
    except csv.Error:
        return {}
    values += [""] * (len(names) - len(values))
    return {name.strip(): value for name, value in zip(names, values, strict=False)}


def read_rows(path: Path) -> tuple[Sequence[str], list[Named]]:
    """Names of the columns, and all rows. Raises BadData for what cannot be read, with its line."""
    if ".json" not in path.name:
        names, table = read_table(path, _delimiter(path, read_start(path)))
        named = ((f"line {row.line}", zip(names, row.values, strict=True)) for row in table)
        return names, [(place, dict(values)) for place, values in named]
    if ".jsonl" in path.name or _is_lines(read_start(path).lstrip()):
        rows = list(_json_lines(path))
    else:
        listed = enumerate(read_json(path, list), start=1)
        rows = [(f"record {place}", _object(row, f"record {place}", path)) for place, row in listed]
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _delimiter(path: Path, start: str) -> str:
    if ".tsv" in path.name:
        return "\t"
    first = start.partition("\n")[0]  # spreadsheets of many countries write semicolons
    return ";" if ";" in first and "," not in first else ","


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
