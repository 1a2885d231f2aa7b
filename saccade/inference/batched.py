"""Batched predictions: the one loop behind `predict`, `evaluate` and the questions of a `Run`.

Shapes: B questions, I images, R regions, D numbers per region.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from saccade.data.batch import Batch, Captioner, VqaBatch, VqaModel, VqaOutput
from saccade.inference.decoding import Hypothesis, Rules, beam_search, likeliest_answers
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import Vocabulary

QUESTIONS = 512
"""Questions that are answered together, at most."""


class AnsweredBatch(NamedTuple):
    """A batch of questions with a model's answers."""

    batch: VqaBatch
    output: VqaOutput
    top: list[list[tuple[str, float]]]
    """The likeliest answers of each question with their probabilities, the likeliest first."""
    prior: list[list[tuple[str, float]]] | None = None
    """Those of the model's answer prior, which sees no image, where the model has one."""


class PredictedCaption(NamedTuple):
    """A caption that a model generated for an image."""

    words: list[str]
    confidence: float
    """Geometric mean of the probabilities of its words, the end included, 0..1."""
    hypothesis: Hypothesis


@torch.inference_mode()
def answer_batches(
    model: nn.Module, batches: Iterable[VqaBatch], answers: AnswerList, loss: str, top: int = 1
) -> Iterator[AnsweredBatch]:
    """The `top` likeliest answers to batches of questions, which are on the model's device.

    `loss` is the recipe's, which says what a probability is, see `likeliest_answers`.
    """

    def likeliest(logits: Tensor) -> list[list[tuple[str, float]]]:
        ids, shares = likeliest_answers(logits, loss, top)
        rows = zip(ids.tolist(), shares.tolist(), strict=True)
        return [[(answers.answers[id_], p) for id_, p in zip(*row, strict=True)] for row in rows]

    for batch in batches:
        output = cast(VqaModel, model)(batch)
        output = replace(output, logits=output.logits.float())
        prior = None
        if (prior_logits := output.prior_logits) is not None:
            output = replace(output, prior_logits=prior_logits.float())
            prior = likeliest(prior_logits.float())
        yield AnsweredBatch(batch, output, likeliest(output.logits), prior)


def caption_batches(
    model: nn.Module,
    batches: Iterable[Batch],
    vocabulary: Vocabulary,
    rules: Rules,
    beam_size: int,
) -> Iterator[list[PredictedCaption]]:
    """A caption of every image of batches, which are on the model's device, by beam search."""
    for batch in batches:
        given = cast(Captioner, model), batch.regions, batch.region_mask, rules
        captions = []
        for found in beam_search(*given, beam_size=beam_size):
            length = max(len(found.words) + found.ended, 1)
            confidence = math.exp(found.log_probability / length)
            captions.append(PredictedCaption(vocabulary.decode(found.words), confidence, found))
        yield captions


def image_batch(regions: Tensor, mask: Tensor) -> Batch:
    """Images of `regions (I, R, D)`, one example each."""
    return Batch(regions, mask, torch.arange(len(regions), device=regions.device))


def question_batch(
    regions: Tensor, mask: Tensor, image: Sequence[int], words: Sequence[Sequence[int]], pad: int
) -> VqaBatch:
    """Questions, as word ids, on images of `regions (I, R, D)`; `image` is the row of each."""
    rows = [torch.tensor(ids) for ids in words]
    question = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    length = torch.tensor([len(ids) for ids in words])
    device = regions.device
    where = torch.tensor(image, device=device)
    return VqaBatch(regions, mask, where, question.to(device), length.to(device))


def question_batches(
    regions: Tensor, mask: Tensor, image: Sequence[int], words: Sequence[Sequence[int]], pad: int
) -> Iterator[VqaBatch]:
    """The same of any number of questions, at most `QUESTIONS` in a batch."""
    for begin in range(0, len(words), QUESTIONS):
        part = slice(begin, begin + QUESTIONS)
        yield question_batch(regions, mask, image[part], words[part], pad)
