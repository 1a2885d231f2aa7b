"""Attention grounding: does a map lie on the objects of a question or a word, whose place is known?

Two numbers, each beside its value by chance: how often the region with the most weight has its
centre on an object (the pointing game, tolerance 0), and the share of all weight that lies on it. A
box is half-open: x0 <= x < x1. Source: Zhang et al. 2016 (excitation backprop), section 4.2.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.core.errors import BadData
from saccade.core.progress import track
from saccade.data.batch import VqaOutput
from saccade.data.examples import batches, in_reading_order
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.experiment import assemble_for_run, question_examples
from saccade.inference.predictor import Run

Box = Sequence[float]
"""x0 y0 x1 y1 as shares of width and height."""
FINE = 8
"""Points along each side of a region that are tested for lying inside a box."""


class AttentionGrounding(NamedTuple):
    """The agreement of a model's attention with true boxes: shares, means over questions."""

    questions: int
    """The number of questions that have boxes."""
    landed: float
    """Share of questions whose most attended region has its centre in a box."""
    landed_by_chance: float
    """The same for a random region."""
    inside: float
    """Share of attention that lies inside the boxes."""
    inside_by_chance: float
    """The same for uniform attention: the share of the image that the boxes cover."""
    landed_by_middle: float
    """Share of questions where the middle of the image lies in a box."""


def measure_attention_grounding(
    run: Run,
    folder: DataFolder,
    boxes: Mapping[int, Sequence[Box]],
    *,
    split: Split = "test",
    batch_size: int = 256,
) -> AttentionGrounding | None:
    """Measure a VQA run on the questions of a split that have `boxes`, by question id.

    Several glimpses of a model are averaged; None for a model without attention.
    Raises BadData where no question of the split has a box.
    """
    experiment = assemble_for_run(run.opened, folder)
    examples = question_examples(experiment, split, only_answerable=False)
    order = in_reading_order(examples)
    rows = []
    loaded, total = batches(examples, order, batch_size), -(-len(order) // batch_size)
    for number, batch in enumerate(track(loaded, "attention", total)):
        places = order[number * batch_size : number * batch_size + len(batch)]
        with torch.inference_mode():
            output: VqaOutput = run.model(run.encode_batch(batch.to(run.device)))
        if output.attention is None:
            return None
        attention = np.asarray(output.attention.mean(dim=1).cpu().numpy())  # (B, R)
        cells = run.encoder.spec.boxes if run.encoder else None
        regions = experiment.store.boxes(examples.image[places], cells)
        for place, weights, cells in zip(places, attention, regions, strict=True):
            if true := boxes.get(int(examples.ids[place])):
                inside = partial(in_boxes, np.asarray(true, np.float32))
                rows.append(shares_inside(weights, cells[: len(weights)], inside))
    if not rows:
        message = f"no question of the {split} split has a box"
        raise BadData(message, location=folder.path, hint="Give the boxes of the same data.")
    return AttentionGrounding(len(rows), *np.mean(rows, axis=0).tolist())


def read_boxes(path: Path) -> dict[int, list[list[float]]]:
    """Read `boxes.json` of a Shapes world: question id to the boxes of its objects."""
    return {int(k): v for k, v in json.loads(path.read_text(encoding="utf-8")).items()}


Inside = Callable[[NDArray[np.floating], NDArray[np.floating]], NDArray[np.bool_]]
"""Which points, given by x and y, lie on an object."""


def shares_inside(
    weights: NDArray[np.floating], regions: NDArray[np.float32], inside: Inside
) -> tuple[float, float, float, float, float]:
    """The five shares of `AttentionGrounding` for one map.

    `weights (R,)` sum to 1, `regions (R, 4)`. Of regions that share the most weight each counts
    alike: their place decides nothing.
    """
    steps = (np.arange(FINE) + 0.5) / FINE
    x = regions[:, :1] + steps * (regions[:, 2:3] - regions[:, :1])  # (R, FINE)
    y = regions[:, 1:2] + steps * (regions[:, 3:] - regions[:, 1:2])
    share = inside(x[:, None, :], y[:, :, None]).mean(axis=(1, 2))  # (R,)
    across, down = ((regions[:, :2] + regions[:, 2:]) / 2).T
    centre = inside(across, down)
    landed = centre[weights == weights.max()].mean()
    middle = inside(np.array([0.5]), np.array([0.5]))[0]
    found = landed, centre.mean(), weights @ share, share.mean(), middle
    return tuple(map(float, found))  # type: ignore[return-value]  # of five


def in_boxes(
    boxes: NDArray[np.floating], x: NDArray[np.floating], y: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which points lie in any of the `boxes (n, 4)`, which are half-open."""
    found = np.zeros(np.broadcast(x, y).shape, bool)
    for left, top, right, bottom in boxes:
        found |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return found


def in_outlines(
    outlines: Sequence[NDArray[np.floating]], x: NDArray[np.floating], y: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which points lie in any of the polygons `(P, 2)`, by the even-odd rule."""
    x, y = np.broadcast_arrays(x, y)
    found = np.zeros(x.shape, bool)
    for outline in outlines:
        odd = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            if y0 != y1:
                crosses = (y0 <= y) != (y1 <= y)
                odd ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        found |= odd
    return found
