"""Occlusion: each region of an image is hidden in turn, and the map shows what that costs.

It explains the predictions of any model, also of one without attention.

Shapes: R regions, D numbers per region, T words, N copies.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saccade.core.errors import BadConfig
from saccade.data.batch import Batch, CaptionBatch
from saccade.inference.answers import Answer, GeneratedCaption

if TYPE_CHECKING:
    from saccade.inference.predictor import EncodedImage, Run

OCCLUSION_BATCH = 64
"""Copies of the image, each with one region hidden, in one forward pass."""
PER_IMAGE = frozenset({"regions", "region_mask", "boxes"})
"""The parts of a batch that have a row for each image, not for each example."""


def occlude_answer(run: "Run", encoded: "EncodedImage", question: str, answer: Answer) -> Answer:
    """The answer with one map (1, R): by how much hiding each region lowers its log-probability.

    Raises BadConfig where the image is a single region, which cannot be hidden.
    """
    answers = run.opened.words.answers
    assert answers is not None  # else there would be no answer
    place = list(answers.answers).index(answer.text)
    outputs = _occluded(run, encoded, run.question(encoded, question))
    log_p = torch.cat([output.logits.log_softmax(dim=1)[:, place] for output in outputs])
    attention = _weights(log_p[:1] - log_p[1:])[None]
    return answer._replace(attention=attention, map_kind="occlusion")


def occlude_caption(
    run: "Run", encoded: "EncodedImage", caption: GeneratedCaption
) -> GeneratedCaption:
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
    return caption._replace(words=explained, map_kind="occlusion")


def _occluded(run: "Run", encoded: "EncodedImage", batch: Batch) -> Iterator[Any]:
    """The model's outputs for copies of a batch of one: with its image's regions as they are, then
    with each one hidden by their mean.
    """
    regions, real = encoded.regions[0], encoded.mask[0, :, None]
    refuse_single_region(len(regions), run.opened.path)
    mean = (regions * real).sum(dim=0) / real.sum()
    hide = torch.eye(len(regions), dtype=torch.bool, device=regions.device)
    hide = torch.cat([torch.zeros_like(hide[:1]), hide])  # (1 + R, R)
    example = torch.zeros(len(hide), dtype=torch.int64, device=regions.device)
    for _, output in outputs_with_hidden(run.model, batch, example, hide, mean):
        yield output


def refuse_single_region(regions: int, run: Path) -> None:
    """Raise BadConfig where an image of a run is a single region, which cannot be hidden."""
    if regions == 1:
        hint = "Extract features that keep their grid, and train on those."
        message = "the features are one vector for the whole image: there is no region to hide"
        raise BadConfig(message, location=run, hint=hint)


@torch.inference_mode()
def outputs_with_hidden(
    model: nn.Module,
    batch: Batch,
    example: Tensor,
    hide: Tensor,
    stand_in: Tensor,
    batch_size: int = OCCLUSION_BATCH,
) -> Iterator[tuple[Batch, Any]]:
    """Copies of examples with some regions hidden, `batch_size` at a time, and a model's outputs.

    `example (N,)` int64, not falling, is the row in `batch` that each copy is of; `stand_in (D,)`
    takes the place of the regions `hide (N, R)` bool.
    """
    for rows, hidden in zip(example.split(batch_size), hide.split(batch_size), strict=True):
        image = batch.image[rows]
        parts = {
            name: part[image if name in PER_IMAGE else rows]
            for name, part in vars(batch).items()
            if part is not None
        }
        parts["regions"] = torch.where(hidden[:, :, None], stand_in, parts["regions"])
        parts["image"] = torch.arange(len(rows), device=rows.device)
        copies = replace(batch, **parts)
        yield copies, model(copies)


def _weights(cost: Tensor) -> NDArray[np.float32]:
    """Costs of hiding as shares of 1; a region whose hiding helps gets 0."""
    cost = cost.clamp_min(0)
    return np.asarray((cost / cost.sum().clamp_min(1e-12)).cpu().numpy())


def with_answer_map(run: "Run", encoded: "EncodedImage", question: str, answer: Answer) -> Answer:
    """The answer with its attention, or with a map of occlusion where the model has none."""
    return (
        answer if answer.attention is not None else occlude_answer(run, encoded, question, answer)
    )


def with_word_maps(
    run: "Run", encoded: "EncodedImage", caption: GeneratedCaption
) -> GeneratedCaption:
    """The caption likewise, word by word."""
    hide = any(word.attention is None for word in caption.words)
    return occlude_caption(run, encoded, caption) if hide else caption
