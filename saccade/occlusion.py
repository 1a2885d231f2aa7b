"""Where a model without attention looks: what does it change its mind about when a place is hidden?

Each region in turn is replaced by the mean of the picture's regions, as if nothing special were
there, and the model is asked again; what hiding costs, in log-probability, is the place's weight
(occlusion, Zeiler & Fergus 2014, section 4.2, on regions instead of pixels). It works for every
model, so those that attend can be checked by it too.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saccade.core.errors import BadConfig
from saccade.data.batch import CaptionBatch
from saccade.predict import Answer, Captioned, Looked, Run

TOGETHER = 64
"""So many pictures with a hidden region are looked at in one go."""


def occlude_answer(run: Run, looked: Looked, question: str, answer: Answer) -> Answer:
    """The answer with, as its one map, what hiding each region costs its log-probability: (1, R).

    Raises BadConfig where the picture is a single region, which cannot be hidden.
    """
    _check(run, looked)
    batch, answers = run.question(looked, question), run.opened.words.answers
    assert answers is not None  # else there would be no answer
    place = list(answers.answers).index(answer.text)
    costs = []
    for regions in _hidden(looked):
        many = len(regions)
        asked = replace(
            batch,
            regions=regions,
            region_mask=looked.mask.expand(many, -1),
            picture=torch.arange(many, device=regions.device),
            question=batch.question.expand(many, -1),
            question_length=batch.question_length.expand(many),
        )
        with torch.inference_mode():
            costs.append(run.model(asked).logits.log_softmax(dim=1)[:, place])
    said = torch.cat(costs)  # (1 + R,): with nothing hidden first
    return answer._replace(attention=_weights(said[:1] - said[1:])[None])


def occlude_caption(run: Run, looked: Looked, captioned: Captioned) -> Captioned:
    """The caption with, as each word's map, what hiding each region costs its log-probability.

    The words before it stand as they were said. Raises BadConfig as `occlude_answer` does.
    """
    _check(run, looked)
    vocabulary = run.opened.words.vocabulary
    words = vocabulary.encode_caption([word.text for word in captioned.words])
    ids = torch.tensor([words], device=looked.regions.device)
    costs = []
    for regions in _hidden(looked):
        many = len(regions)
        batch = CaptionBatch(
            regions,
            looked.mask.expand(many, -1),
            picture=torch.arange(many, device=regions.device),
            caption=ids.expand(many, -1),
            caption_length=torch.full((many,), ids.shape[1], device=regions.device),
        )
        with torch.inference_mode():
            output = run.model(batch)
        right = output.logits.log_softmax(dim=1).gather(1, output.targets[:, None])
        costs.append(right.view(-1, many))  # (T, pictures): packed means time first
    said = torch.cat(costs, dim=1)
    maps = [_weights(row[:1] - row[1:]) for row in said]
    heard = [
        word._replace(attention=weights)
        for word, weights in zip(captioned.words, maps, strict=False)  # the end is no word
    ]
    return captioned._replace(words=heard)


def _hidden(looked: Looked) -> Sequence[Tensor]:
    """The picture's regions, as they are and then each one hidden: chunks of (n, R, D)."""
    regions, real = looked.regions[0], looked.mask[0, :, None]
    mean = (regions * real).sum(dim=0) / real.sum()
    count = len(regions)
    hide = torch.eye(count, dtype=torch.bool, device=regions.device)
    hide = torch.cat([torch.zeros_like(hide[:1]), hide])  # (1 + R, R)
    return [torch.where(rows[:, :, None], mean, regions) for rows in hide.split(TOGETHER)]


def _weights(cost: Tensor) -> NDArray[np.float32]:
    """Shares of what hiding costs; a place whose hiding helps counts as not looked at."""
    cost = cost.clamp_min(0)
    return np.asarray((cost / cost.sum().clamp_min(1e-12)).cpu().numpy())


def _check(run: Run, looked: Looked) -> None:
    if looked.regions.shape[1] == 1:
        raise BadConfig(
            "the features are one vector for the whole picture: there is no place to hide",
            where=run.opened.path,
            cure="Extract features that keep their grid, and train on those.",
        )
