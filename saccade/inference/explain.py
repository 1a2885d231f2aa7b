"""Attention maps drawn onto the image, for each glimpse of an answer or each word of a caption.

An attention map shows which regions were weighted most. It is what the model used as its input, no
proof of why it predicted what it did. For a model without attention each region is hidden in turn
instead (occlusion), and the map shows how much that costs; the drawing says so.

Shapes: R regions, D numbers per region, T words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from saccade.features.images import read_image
from saccade.features.store import FeatureStore
from saccade.inference.answers import Answer, GeneratedCaption
from saccade.inference.display import HIDDEN, draw, of_answer, of_caption
from saccade.inference.occlusion import with_answer_map, with_word_maps
from saccade.inference.predictor import EncodedImage, Run, load
from saccade.viz.attention import Heat, heat_map, overlay
from saccade.viz.html import Tile, embed
from saccade.viz.plots import save_png

EVEN = 1.5
"""Times the mean weight: below that no region stands out."""


class RegionMap(NamedTuple):
    """Weights of an image's regions for one prediction, or one word of it."""

    label: str
    weights: NDArray[np.float32]  # (R,)


def answer_map(run: Run, encoded: EncodedImage, question: str, answer: Answer) -> RegionMap:
    """An answer's map, the mean of its glimpses; the label says what it shows, and if it is even.

    Raises BadConfig as `occlude_answer` does.
    """
    answer = with_answer_map(run, encoded, question, answer)
    label = HIDDEN if answer.map_kind == "occlusion" else "attention"
    assert answer.attention is not None
    weights = answer.attention.mean(axis=0)
    if len(answer.attention) > 1:
        label += f", mean of {len(answer.attention)} glimpses"
    if weights.max() * len(weights) < EVEN * weights.sum():
        label += "; nearly even"
    return RegionMap(label, weights)


def word_maps(
    run: Run, encoded: EncodedImage, caption: GeneratedCaption
) -> tuple[list[RegionMap], str]:
    """A map for each word of a caption, and what the maps show. Raises BadConfig likewise."""
    caption = with_word_maps(run, encoded, caption)
    label, words = "attention for each word", caption.words
    if caption.map_kind == "occlusion":
        label = f"no attention; for each word {HIDDEN}"
    return [RegionMap(w.text, w.attention) for w in words if w.attention is not None], label


def top_region(
    weights: NDArray[np.float32], boxes: NDArray[np.float32], width: int, height: int
) -> tuple[list[float] | None, float]:
    """The region of the largest weight, the first of equals: its box and its share of all weight.

    `weights (R,)`; `boxes (R, 4)` are shares of an image of that size. The box is x0 y0 x1 y1 in
    pixels, from the left and upper edge of the first pixel to the right and lower edge of the last
    one, cut at the image. None without any weight, or where the region lies beyond the image.
    """
    if not weights.sum() > 0:
        return None, 0.0
    top = int(weights.argmax())
    x0, y0, x1, y1 = (boxes[top].clip(0, 1) * (width, height, width, height)).round(2).tolist()
    share = float(weights[top] / weights.sum())
    return ([x0, y0, x1, y1] if x0 < x1 and y0 < y1 else None), share


def encode_stored(run: Run, store: FeatureStore, ids: Sequence[int]) -> list[EncodedImage | None]:
    """Images as the run was trained on them, from the store; None where one has no features."""
    rows = store.rows(ids)
    counts = store.counts[rows]
    stored, real = (torch.from_numpy(part).to(run.device) for part in store.read(rows))
    regions, cells = stored.float(), None
    if run.encoder is not None:
        with torch.inference_mode():
            regions, real = run.encoder.encode(regions)
        cells = run.encoder.spec.boxes
        counts = np.where(counts > 0, regions.shape[1], 0)
    boxes = store.boxes(rows, cells)
    return [
        EncodedImage(regions[i : i + 1, :n], real[i : i + 1, :n], boxes[i, :n]) if n else None
        for i, n in enumerate(counts.tolist())
    ]


SIDE = 480
"""Longer side of a drawn image, in pixels."""


def explain(
    run: Path,
    image: Path,
    out: Path,
    question: str | None = None,
    beam_size: int | None = None,
    device: str = "auto",
) -> Path:
    """Draw a run's attention over an image into the PNG file `out`, and return its path.

    A VQA run needs a `question` and gives one map per glimpse; a captioning run writes a caption
    and gives one map per word. Raises BadConfig where the question is missing or not wanted, or the
    image is one region; BadRun and BadImage as `Run` does.
    """
    return explain_image(load(run, device), image, out, question, beam_size)


def explain_image(
    run: Run, image: Path, out: Path, question: str | None = None, beam_size: int | None = None
) -> Path:
    """The same with a run that is loaded."""
    run.check_question(question)
    encoded = run.encode(image)
    if question is not None:
        pixels = draw_answer(run, image, question, run.explain(encoded, question))
    else:
        pixels = draw_caption(run, image, run.explain(encoded, beam_size=beam_size))
    out.parent.mkdir(parents=True, exist_ok=True)
    save_png(out, pixels)
    return out


def draw_answer(run: Run, image: Path, question: str, answer: Answer) -> NDArray[np.uint8]:
    """One page `(height, width, 3)`: the question, the likeliest answers, and every glimpse.

    An answer without maps is drawn without.
    """
    pixels = image_of(image, run.opened.header.store.preprocessing.window)
    return draw(of_answer(answer, question), pixels, smooth=run.grid is not None)


def draw_caption(run: Run, image: Path, caption: GeneratedCaption) -> NDArray[np.uint8]:
    """One page `(height, width, 3)`: the caption, and the attention of each word.

    A word without a map is drawn without.
    """
    pixels = image_of(image, run.opened.header.store.preprocessing.window)
    return draw(of_caption(caption), pixels, smooth=run.grid is not None)


def image_of(image: Path, window: str) -> NDArray[np.uint8]:
    """The image `(H, W, 3)` uint8 through a window, its longer side `SIDE` pixels."""
    return image_and_size(image, window)[0]


def image_and_size(image: Path, window: str) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The image as `image_of` gives it, and the width and height that it has in its file."""
    pixels = read_image(image, window).permute(1, 2, 0).numpy()
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    drawn = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(drawn), (width, height)


def heat_of(
    run: Run,
    weights: Sequence[float] | NDArray[np.float32],
    boxes: NDArray[np.float32],
    image: NDArray[np.uint8],
) -> Heat:
    """A weight of each region as a map of `image (H, W, 3)`; cells blend, boxes have edges."""
    height, width = image.shape[:2]
    return heat_map(weights, boxes, height, width, smooth=run.grid is not None)


def map_tile(
    run: Run,
    label: str,
    weights: NDArray[np.float32],
    boxes: NDArray[np.float32],
    image: NDArray[np.uint8],
    side: int,
) -> Tile:
    """A map over the image `(H, W, 3)` for a page, its longer side `side` pixels."""
    return Tile(label, embed(overlay(image, heat_of(run, weights, boxes, image)), side))
