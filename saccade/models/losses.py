"""What a step of training makes smaller: one number per batch, from what a model said.

VQA systems differ in what they take for the truth (`AnswersConfig.target`, which the data sets turn
into weights), in how a question's answers compete (`loss`), and in whether a batch's questions are
averaged or added up, which gradient clipping notices; `objectives.loss_for(recipe)` chooses.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from saccade.data.batch import CaptionBatch, CaptionOutput, VqaBatch, VqaOutput

Loss = Callable[[Any, Any], Tensor]
"""(output, batch) -> scalar."""


def answer_loss(output: VqaOutput, batch: VqaBatch) -> Tensor:
    """Cross-entropy with soft targets: mean over questions of the sum over human answers.

    Weights are shares of people; where an answer is not in the list they sum to less than 1
    (Kazemi & Elqursh 2017, section 3.3). Only listed answers are looked up, nothing dense is made.
    """
    return soft(output, batch).mean()


def soft(output: VqaOutput, batch: VqaBatch) -> Tensor:
    """Cross-entropy of each question, every listed answer with its weight: (B,)."""
    answers, weights = targets(batch)
    log_p = output.logits.gather(1, answers) - output.logits.logsumexp(1, keepdim=True)
    return -(weights * log_p).sum(dim=1)


def sampled(output: VqaOutput, batch: VqaBatch) -> Tensor:
    """Cross-entropy of each question with one answer drawn by its weight, anew each time: (B,)."""
    answers, weights = targets(batch)
    drawn = torch.multinomial(weights, 1)
    return functional.cross_entropy(output.logits, answers.gather(1, drawn)[:, 0], reduction="none")


def logistic(output: VqaOutput, batch: VqaBatch) -> Tensor:
    """Each answer by itself right or wrong, as far as its weight says; summed over answers: (B,).

    With weights of at most 1 (Anderson et al. 2018; Teney et al. 2018, section 3.5).
    """
    answers, weights = targets(batch)
    dense = torch.zeros_like(output.logits).scatter_add_(1, answers, weights.to(output.logits))
    said = functional.binary_cross_entropy_with_logits(output.logits, dense, reduction="none")
    return said.sum(dim=1)


def targets(batch: VqaBatch) -> tuple[Tensor, Tensor]:
    """Answer ids and weights (B, M) of a batch. Raises ValueError where it has none."""
    if batch.answers is None or batch.answer_weights is None:
        raise ValueError("a batch without answers has no loss")
    return batch.answers, batch.answer_weights


def caption_loss(output: CaptionOutput, batch: CaptionBatch) -> Tensor:
    """Mean cross-entropy over the words to be said, and what the model's own paper adds to it."""
    del batch  # its words are the output's targets already
    loss = functional.cross_entropy(output.logits, output.targets)
    return loss if output.penalty is None else loss + output.penalty


PER_QUESTION: dict[str, Loss] = {"softmax": soft, "sampled": sampled, "logistic": logistic}
