"""A figure of the page: a table or a drawing, and the numbers it shows as CSV and JSON.

The files have the numbers as they were measured, one row for each; the page rounds them.
"""

import base64
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

SURE = "[95\N{NO-BREAK SPACE}%]"
NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
Value = str | int | float | bool | None
Row = Mapping[str, Value]
TITLES = {"accuracy": "accuracy", "bleu_4": "BLEU-4", "cider": "CIDEr-D"}
DIGITS = {"accuracy": 1, "bleu_4": 3, "cider": 3}
"""After the point, on the page: as many as an interval leaves a meaning."""


class Cell(NamedTuple):
    """What stands in one place of a table on the page."""

    text: str
    below: str = ""
    """In small letters."""
    run: int | None = None
    """The place of a run in its group: its mark stands in front."""
    words: bool = False
    """Set as a text, not as a number."""
    strong: bool = False


class Drawing(NamedTuple):
    """An image of lines."""

    title: str
    says: str
    image: str
    """A data address."""


class Bar(NamedTuple):
    """One score among others, as a bar."""

    name: str
    text: str
    """The number as it is written."""
    share: float
    """Length, 0..1."""
    run: int | None = None
    """The place of a run in its group; none for a prior, which is paler."""
    low: float | None = None
    """Where the interval begins, 0..1."""
    high: float | None = None
    without: float | None = None
    """What is left with the images exchanged, 0..1."""


@dataclass(frozen=True)
class Figure:
    """Something to look at, and the numbers behind it."""

    name: str
    """Of its files, without the group's name."""
    title: str
    says: str
    """What is measured, and how to read it."""
    rows: Sequence[Row]
    """The numbers, as they are in the files; every row has the same names."""
    heads: Sequence[str | Cell] = ()
    body: Sequence[Sequence[Cell]] = ()
    """The table on the page, if there is one."""
    bars: Sequence[Bar] = ()
    drawings: Sequence[Drawing] = ()
    notes: Sequence[str] = ()
    """A sentence each."""
    tall: bool = False
    """A long table, shown in a box of its own on a screen."""

    def csv(self) -> str:
        """The numbers as comma-separated values with a line of names; empty where not known."""
        stream = io.StringIO()
        names = list(self.rows[0]) if self.rows else []
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()

    def json(self) -> str:
        """The same as JSON, with what the figure says of itself."""
        whole = {"title": self.title, "says": self.says, "rows": [dict(row) for row in self.rows]}
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def files(self) -> dict[str, tuple[str, str]]:
        """By the end of the file's name: its content, and the same as a data address."""
        kinds = {"csv": (self.csv(), "text/csv"), "json": (self.json(), "application/json")}
        return {end: (text, data_address(text, kind)) for end, (text, kind) in kinds.items()}


def data_address(text: str, kind: str) -> str:
    """A text as an address that holds it."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def number_or_none(value: Any) -> float | None:
    """A number; none for `{"not_measured": reason}`, for nothing, and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return value


def reason(value: Any) -> str | None:
    """Why something was not measured, where it was not."""
    return str(value["not_measured"]) if _is_missing(value) else None


def _is_missing(value: Any) -> bool:
    return isinstance(value, Mapping) and "not_measured" in value


def shown(value: float | None, digits: int) -> str:
    """A number as the page writes it; a dash where there is none."""
    if value is None:
        return NONE
    text = f"{abs(value):.{digits}f}"
    return MINUS + text if value < 0 and float(text) else text


def span(low: float | None, high: float | None, digits: int) -> str:
    """An interval as the page writes it; nothing where there is none."""
    return "" if low is None else f"[{shown(low, digits)}, {shown(high, digits)}]"
