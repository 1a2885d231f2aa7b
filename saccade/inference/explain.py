"""Attention maps drawn onto the image, for each glimpse of an answer or each word of a caption.

An attention map shows which regions were weighted most. It is what the model used as its input, no
proof of why it predicted what it did. For a model without attention each region is hidden in turn
instead (occlusion), and the map shows how much that costs; the drawing says so.

Shapes: R regions, D numbers per region, T words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from saccade.core.errors import BadConfig
from saccade.core.formatting import NO_WORDS
from saccade.core.tasks import TASK_INFO
from saccade.data.batch import Batch, CaptionBatch
from saccade.features.images import read_image
from saccade.inference.predictor import Answer, EncodedImage, GeneratedCaption, Run, load
from saccade.viz.attention import Heat, heat_map, overlay, panel
from saccade.viz.html import Tile, embed
from saccade.viz.plots import save_png

OCCLUSION_BATCH = 64
"""Copies of the image, each with one region hidden, in one forward pass."""


def occlude_answer(run: Run, encoded: EncodedImage, question: str, answer: Answer) -> Answer:
    """The answer with one map (1, R): by how much hiding each region lowers its log-probability.

    Raises BadConfig where the image is a single region, which cannot be hidden.
    """
    answers = run.opened.words.answers
    assert answers is not None  # else there would be no answer
    place = list(answers.answers).index(answer.text)
    outputs = _occluded(run, encoded, run.question(encoded, question))
    log_p = torch.cat([output.logits.log_softmax(dim=1)[:, place] for output in outputs])
    return answer._replace(attention=_weights(log_p[:1] - log_p[1:])[None])


def occlude_caption(run: Run, encoded: EncodedImage, caption: GeneratedCaption) -> GeneratedCaption:
    """The caption with a map per word: by how much hiding each region lowers its log-probability.

    The words before it stay as they are. Raises BadConfig as `occlude_answer` does.
    """
    vocabulary = run.opened.words.vocabulary
    words = vocabulary.encode_caption([word.text for word in caption.words])
    ids = torch.tensor([words], device=encoded.regions.device)
    batch = CaptionBatch(
        encoded.regions,
        encoded.mask,
        image=ids.new_zeros(1),
        caption=ids,
        caption_length=ids.new_tensor([len(words)]),
    )
    found = []
    for output in _occluded(run, encoded, batch):
        log_p = output.logits.log_softmax(dim=1).gather(1, output.targets[:, None])
        found.append(log_p.view(len(words) - 1, -1))  # (T, n): packed means time first
    maps = [_weights(row[:1] - row[1:]) for row in torch.cat(found, dim=1)]
    explained = [
        word._replace(attention=weights)
        for word, weights in zip(caption.words, maps, strict=False)  # the end is no word
    ]
    return caption._replace(words=explained)


def _occluded(run: Run, encoded: EncodedImage, batch: Batch) -> Iterator[Any]:
    """The model's outputs for copies of a batch of one: with its image's regions as they are, then
    with each one hidden by their mean; `OCCLUSION_BATCH` copies at a time.
    """
    regions, real = encoded.regions[0], encoded.mask[0, :, None]
    if len(regions) == 1:
        hint = "Extract features that keep their grid, and train on those."
        message = "the features are one vector for the whole image: there is no region to hide"
        raise BadConfig(message, location=run.opened.path, hint=hint)
    mean = (regions * real).sum(dim=0) / real.sum()
    hide = torch.eye(len(regions), dtype=torch.bool, device=regions.device)
    hide = torch.cat([torch.zeros_like(hide[:1]), hide])  # (1 + R, R)
    given = {name: part for name, part in vars(batch).items() if part is not None}
    for rows in hide.split(OCCLUSION_BATCH):
        n = len(rows)
        copies = {name: part.expand(n, *part.shape[1:]) for name, part in given.items()}
        copies["regions"] = torch.where(rows[:, :, None], mean, regions)
        copies["image"] = torch.arange(n, device=regions.device)
        with torch.inference_mode():
            output = run.model(replace(batch, **copies))
        yield output


def _weights(cost: Tensor) -> NDArray[np.float32]:
    """Costs of hiding as shares of 1; a region whose hiding helps gets 0."""
    cost = cost.clamp_min(0)
    return np.asarray((cost / cost.sum().clamp_min(1e-12)).cpu().numpy())


HIDDEN = "cost of hiding a region"
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
    opened = load(run, device)
    encoded = opened.encode(image)
    if TASK_INFO[opened.task].asks_question:
        if question is None:
            raise BadConfig("this run answers questions", location=run, hint="Give it a question.")
        pixels = explain_answer(opened, image, encoded, question, opened.ask(encoded, question))
    elif question is not None:
        raise BadConfig("this run writes captions", location=run, hint="Leave the question out.")
    else:
        caption = opened.caption(encoded, beam_size=beam_size)
        hidden = any(word.attention is None for word in caption.words)
        if hidden:
            caption = occlude_caption(opened, encoded, caption)
        pixels = draw_caption(opened, image, caption, hidden=hidden)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_png(out, pixels)
    return out


def explain_answer(
    run: Run, image: Path, encoded: EncodedImage, question: str, answer: Answer
) -> NDArray[np.uint8]:
    """Draw an answer: by the model's attention, or by hiding regions where it has none."""
    hidden = answer.attention is None
    if hidden:
        answer = occlude_answer(run, encoded, question, answer)
    return draw_answer(run, image, question, answer, hidden=hidden)


def draw_answer(
    run: Run, image: Path, question: str, answer: Answer, *, hidden: bool = False
) -> NDArray[np.uint8]:
    """One page `(height, width, 3)`: the question, the likeliest answers, and every glimpse.

    `hidden` says that the maps came from hiding regions. An answer without maps is drawn without.
    """
    pixels = image_of(image, run.opened.header.store.preprocessing.window)
    maps = () if answer.attention is None else answer.attention
    glimpses = [heat_of(run, weights, answer.boxes, pixels) for weights in maps]
    first, *others = [f"{text} ({share:.0%})" for text, share in answer.top if share >= 0.01]
    line = f"{first}, else {', '.join(others)}" if others else first
    titles = [HIDDEN if hidden else f"glimpse {n}" for n in range(1, len(glimpses) + 1)]
    return panel(pixels, glimpses, titles, f"{question}\n{line}")


def draw_caption(
    run: Run, image: Path, caption: GeneratedCaption, *, hidden: bool = False
) -> NDArray[np.uint8]:
    """One page `(height, width, 3)`: the caption, and the attention of each word.

    `hidden` says that the maps came from hiding regions. A word without a map is drawn without.
    """
    pixels = image_of(image, run.opened.header.store.preprocessing.window)
    maps, titles = [], []
    for word in caption.words:
        if word.attention is None:
            continue
        maps.append(heat_of(run, word.attention, caption.boxes, pixels))
        share = "" if word.sentinel is None else f" ({1 - word.sentinel:.0%} visual)"
        titles.append(word.text + share)
    note = f"\n{HIDDEN}" if hidden else ""
    return panel(pixels, maps, titles, (caption.text or NO_WORDS) + note)


def image_of(image: Path, window: str) -> NDArray[np.uint8]:
    """The image `(H, W, 3)` uint8 through a window, its longer side `SIDE` pixels."""
    pixels = read_image(image, window).permute(1, 2, 0).numpy()
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


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
