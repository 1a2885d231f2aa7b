"""Figures of the page: a table, bars or plots, and the numbers they show as CSV and JSON.

The files hold the numbers as they were measured, one record for each; the page rounds them.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from saccade.metrics.catalogue import METRICS
from saccade.viz.html import Bar, address

INTERVAL = "[95\N{NO-BREAK SPACE}%]"
NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
Value = str | int | float | bool | None
Row = Mapping[str, Value]


class Cell(NamedTuple):
    """One cell of a table on the page."""

    text: str
    below: str = ""
    """In small letters."""
    run: int | None = None
    """The place of a run in its group: its mark stands in front."""
    words: bool = False
    """Set as a text, not as a number."""
    strong: bool = False


class Plot(NamedTuple):
    """An image of lines."""

    title: str
    description: str
    drawing: bytes
    """An SVG file."""


@dataclass(frozen=True)
class Figure:
    """A table, bars or plots, and the numbers behind them."""

    name: str
    """Of its files, without the group's name."""
    title: str
    description: str
    """What is measured, and how to read it."""
    rows: Sequence[Row]
    """The numbers, as they are in the files; every row has the same names."""
    head: Sequence[str | Cell] = ()
    body: Sequence[Sequence[Cell]] = ()
    """The table on the page, if there is one."""
    bars: Sequence[Bar] = ()
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = ()
    """A sentence each."""

    @property
    def files(self) -> dict[str, tuple[str, str]]:
        """Contents of the files by suffix, each as a text and as a data address."""
        table = io.StringIO()  # with a line of names; empty where a number is not known
        writer = csv.DictWriter(table, list(self.rows[0]) if self.rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        rows = [dict(row) for row in self.rows]
        whole = {"title": self.title, "description": self.description, "rows": rows}
        record = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        kinds = {"csv": (table.getvalue(), "text/csv"), "json": (record, "application/json")}
        return {
            end: (text, address(text.encode(), f"{kind};charset=utf-8"))
            for end, (text, kind) in kinds.items()
        }


def number_or_none(value: Any) -> float | None:
    """A number; None for `{"not_measured": reason}`, for nothing, and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return value


def entry(record: Mapping[str, Any], path: str) -> Any:
    """What stands at a path such as "teacher_forced.loss"; its reason if it was not measured."""
    found: Any = record
    for name in path.split("."):
        if reason(found):
            break
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def reason(value: Any) -> str | None:
    """Why something was not measured, where it was not."""
    missing = isinstance(value, Mapping) and "not_measured" in value
    return str(value["not_measured"]) if missing else None


def shown(value: float | None, digits: int, scale: float = 1.0) -> str:
    """A number as the page writes it, times `scale`; a dash where there is none."""
    if value is None:
        return NONE
    text = f"{abs(scale * value):.{digits}f}"
    return MINUS + text if value < 0 and float(text) else text


def score(metric: str, value: float | None) -> str:
    """A stored value of a metric as the page writes it: in the metric's scale and digits."""
    return shown(value, METRICS[metric].digits, METRICS[metric].scale)


def score_span(metric: str, ends: Sequence[float] | None) -> str:
    """The interval of a stored value of a metric as the page writes it."""
    return f"[{score(metric, ends[0])}, {score(metric, ends[1])}]" if ends else ""
