"""How a training run went: loss and score, epoch by epoch."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from saccade.pictures.lettering import BLUE, INK, ORANGE
from saccade.pictures.lines import dress


def curves(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the rows of a run's `log.jsonl`; returns the bytes of a PNG file.

    Each row has `epoch` (from 1), `loss` (training), `metric` (the name of what the run is judged
    by on the validation split) and `score`. The best epoch is marked. Raises ValueError for no row.
    """
    if not rows:
        raise ValueError("no epoch has ended yet: there is nothing to draw")
    epochs = [int(row["epoch"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    scores = [float(row["score"]) for row in rows]
    figure = Figure(figsize=(9, 3.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _line(left, epochs, losses, BLUE, "training loss")
    _line(right, epochs, scores, ORANGE, f"{str(rows[0]['metric']).replace('_', ' ')}, validation")
    best = max(range(len(scores)), key=scores.__getitem__)
    right.scatter([epochs[best]], [scores[best]], s=55, color=ORANGE, zorder=3)
    right.set_xlabel(f"epoch (best: {epochs[best]}, {scores[best]:.4g})")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _line(axes: Axes, epochs: list[int], values: list[float], colour: str, title: str) -> None:
    """One curve on a quiet ground; a single epoch is still seen, as a dot."""
    axes.plot(epochs, values, color=colour, linewidth=2, marker="o", markersize=3)
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    dress(axes, "epoch", whole=True)
