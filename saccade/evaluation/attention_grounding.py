"""Attention grounding: does attention lie on the objects of a question, whose boxes are known?

Two numbers, each beside its value by chance: how often the region with the most attention has its
centre inside a box (the pointing game), and the share of all attention that lies inside.
"""

import json
from collections.abc import Mapping, Sequence
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
                rows.append(_agreement(weights, cells, np.asarray(true, np.float32)))
    if not rows:
        message = f"no question of the {split} split has a box"
        raise BadData(message, location=folder.path, hint="Give the boxes of the same data.")
    return AttentionGrounding(len(rows), *np.mean(rows, axis=0).tolist())


def read_boxes(path: Path) -> dict[int, list[list[float]]]:
    """Read `boxes.json` of a Shapes world: question id to the boxes of its objects."""
    return {int(k): v for k, v in json.loads(path.read_text(encoding="utf-8")).items()}


def _agreement(
    weights: NDArray[np.float32], regions: NDArray[np.float32], boxes: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """The four shares of `AttentionGrounding` for one question."""
    regions = regions[: len(weights)]
    steps = (np.arange(FINE) + 0.5) / FINE
    x = regions[:, :1] + steps * (regions[:, 2:3] - regions[:, :1])  # (R, FINE)
    y = regions[:, 1:2] + steps * (regions[:, 3:] - regions[:, 1:2])
    share = _inside(x[:, None, :], y[:, :, None], boxes).mean(axis=(1, 2))  # (R,)
    across, down = ((regions[:, :2] + regions[:, 2:]) / 2).T
    centre = _inside(across, down, boxes)
    best = int(weights.argmax())
    return float(centre[best]), float(centre.mean()), float(weights @ share), float(share.mean())


def _inside(
    x: NDArray[np.floating], y: NDArray[np.floating], boxes: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Which points lie in any of the boxes."""
    found = np.zeros(np.broadcast(x, y).shape, bool)
    for left, top, right, bottom in boxes:
        found |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return found
