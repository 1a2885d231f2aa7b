"""Line plots of runs: learning curves, calibration, risk and coverage.

Lines differ in colour and in the mark on their points, so that a page printed without colours can
be read; the names of the runs stand on the page, not in the plot.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from saccade.core.files import write_bytes
from saccade.core.run_files import selection_score
from saccade.viz.fonts import BLUE, INK, ORANGE, QUIET

COLOURS = ("#2f6db5", "#c2570a", "#1c7c45", "#a8357f", "#7a5c00", "#0f7f8c", "#b3341f", "#5b4bb0")
"""Different to most eyes, readable on white."""
MARKS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")
"""The points of a line, as letters for the page."""
_POINTS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", ":")


class Line(NamedTuple):
    """One run's line."""

    place: int
    """The place of the run, for colour and mark."""
    x: Sequence[float]
    y: Sequence[float]


def colour(place: int) -> str:
    """The colour of a run."""
    return COLOURS[place % len(COLOURS)]


def mark(place: int) -> str:
    """The mark of a run; runs of equal colour have different ones."""
    return MARKS[(place + place // len(COLOURS)) % len(MARKS)]


def lines(
    drawn: Sequence[Line], x_title: str, *, whole: bool = False, diagonal: bool = False
) -> bytes:
    """Draw lines over one axis; returns the bytes of an SVG file that needs no font.

    `whole` marks whole numbers alone on the x axis; `diagonal` draws where x and y are equal, over
    0..1. Equal lines give equal bytes. Raises ValueError where there is nothing to draw.
    """
    if not any(len(line.x) for line in drawn):
        raise ValueError("there is nothing to draw")
    with matplotlib.rc_context({"svg.hashsalt": "saccade", "svg.fonttype": "path"}):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        if diagonal:
            axes.plot([0, 1], [0, 1], color="#c5c9d4", linewidth=1.2, linestyle="--")
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
        for place, x, y in drawn:
            axes.plot(
                x,
                y,
                color=colour(place),
                linewidth=1.8,
                linestyle=_DASHES[place // len(COLOURS) % len(_DASHES)],
                marker=_POINTS[MARKS.index(mark(place))],
                markersize=5,
                markevery=max(1, len(x) // 12),
            )
        dress(axes, x_title, whole)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def dress(axes: Axes, x_title: str, whole: bool) -> None:
    """Style axes as in all plots; `whole` marks whole numbers alone on the x axis."""
    axes.set_xlabel(x_title, color=QUIET)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.tick_params(colors=QUIET, length=0)
    axes.grid(axis="y", color="#e6e8ee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#c5c9d4")


# The learning curves of one run.


def curves(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the rows of a run's `log.jsonl`; returns the bytes of a PNG file.

    Each row has `epoch` (from 1), `loss` and, in logs of this version, `train_score` (training,
    named by `train_metric`), `metric` (the name of the metric that selects the best epoch) and
    `score` (of the validation split), with its `interval` and `smoothed_score` where there are
    such; and, where each question has one answer, `train_scores` beside `scores`. The best epoch
    is marked. Raises ValueError for no row.
    """
    if not rows:
        raise ValueError("no epoch has ended yet: there is nothing to draw")
    epochs = [int(row["epoch"]) for row in rows]
    scores = [float(row["score"]) for row in rows]
    metric = f"{str(rows[0]['metric']).replace('_', ' ')}, validation"
    drawn = [("training loss", "loss", BLUE), (metric, "score", ORANGE)]
    if all("train_score" in row for row in rows):
        drawn.insert(1, (f"{rows[0]['train_metric']}, training", "train_score", BLUE))
    has_labels = all("train_scores" in row for row in rows)
    count = len(drawn) + has_labels
    figure = Figure(figsize=(4.5 * count, 3.4), dpi=120, layout="constrained")
    *panels, last = figure.subplots(1, count)
    if has_labels:
        _macro_scores(last, epochs, rows)
    else:
        panels.append(last)
    for axes, (title, field, ink) in zip(panels, drawn, strict=True):
        values = [float(row[field]) for row in rows]  # a single epoch is a dot
        axes.plot(epochs, values, color=ink, linewidth=2, marker="o", markersize=3)
        axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
        dress(axes, "epoch", whole=True)
    right = panels[-1]
    if all(row.get("interval") for row in rows):
        low, high = zip(*(row["interval"] for row in rows), strict=True)
        right.fill_between(epochs, low, high, color=ORANGE, alpha=0.15, linewidth=0)
    if "smoothed_score" in rows[0]:
        right.plot(epochs, [selection_score(row) for row in rows], color=INK, linestyle="--")
    best = max(range(len(rows)), key=lambda place: selection_score(rows[place]))
    right.scatter([epochs[best]], [scores[best]], s=55, color=ORANGE, zorder=3)
    right.set_xlabel(f"epoch (best: {epochs[best]}, {scores[best]:.4g})")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _macro_scores(axes: Axes, epochs: list[int], rows: Sequence[Mapping[str, Any]]) -> None:
    """Macro precision, recall and F1 of validation (lines) and of training (dashes)."""
    for place, name in enumerate(("precision", "recall", "F1")):
        for field, dash in (("scores", "-"), ("train_scores", "--")):
            values = [100 * row[field].get(f"macro_{name.lower()}", np.nan) for row in rows]
            label = name if dash == "-" else f"{name}, training"
            (line,) = axes.plot(epochs, values, dash, marker="o", markersize=3, label=label)
            line.set_color(colour(place))
    axes.set_title("macro scores", loc="left", fontsize=11, color=INK, fontweight="bold")
    axes.legend(fontsize=7, frameon=False)
    dress(axes, "epoch", whole=True)


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels `(H, W, 3)` as a PNG file: the whole of it or nothing."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, stream.getvalue())
