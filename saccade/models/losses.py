"""Losses: one number per batch, from a model's output and the human answers or captions.

VQA systems differ in the target (`AnswersConfig.target`, which the data sets turn into weights of
answers), in the loss of a question (`loss`), and in whether a batch's questions are averaged or
summed, which matters for gradient clipping; `objectives.loss_for(recipe)` chooses. With label
smoothing e each target becomes (1 - e) of itself, plus e / A (captions: e / V).

Shapes: B questions, M listed human answers of a question, A answers, N words of the whole batch.
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
    (Kazemi & Elqursh 2017, section 3.3). Only listed answers are gathered, nothing dense is made.
    """
    return soft(output, batch).mean()


def soft(output: VqaOutput, batch: VqaBatch, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each question, every listed answer with its weight: (B,)."""
    answers, weights = targets(batch)
    log_sum = output.logits.logsumexp(1, keepdim=True)
    losses = -(weights * (output.logits.gather(1, answers) - log_sum)).sum(dim=1)
    if not label_smoothing:
        return losses
    uniform = log_sum[:, 0] - output.logits.mean(dim=1)
    return (1 - label_smoothing) * losses + label_smoothing * uniform


def sampled(output: VqaOutput, batch: VqaBatch, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each question with one answer drawn by its weight, anew each time: (B,)."""
    answers, weights = targets(batch)
    drawn = answers.gather(1, torch.multinomial(weights, 1))[:, 0]
    return functional.cross_entropy(
        output.logits, drawn, reduction="none", label_smoothing=label_smoothing
    )


def logistic(output: VqaOutput, batch: VqaBatch, label_smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of every answer with its weight, at most 1, as target, summed: (B,).

    Anderson et al. 2018; Teney et al. 2018, section 3.5.
    """
    answers, weights = targets(batch)
    dense = torch.zeros_like(output.logits).scatter_add_(1, answers, weights.to(output.logits))
    if label_smoothing:
        dense = dense * (1 - label_smoothing) + label_smoothing / dense.shape[1]
    losses = functional.binary_cross_entropy_with_logits(output.logits, dense, reduction="none")
    return losses.sum(dim=1)


def prior_entropy(output: VqaOutput, loss: str) -> Tensor | float:
    """What the entropy of the prior adds to the loss of each question: (B,), or 0 without LMH.

    Clark et al. 2019, section 3.2; where each answer is predicted by itself ("logistic"), the mean
    over answers, as in the published code for VQA.
    """
    added = output.added_prior
    if added is None:
        return 0.0
    if loss == "logistic":
        entropy = functional.binary_cross_entropy_with_logits(
            added, added.sigmoid(), reduction="none"
        ).mean(dim=1)
    else:
        log_p = added.log_softmax(dim=1)
        entropy = -(log_p.exp() * log_p).sum(dim=1)
    return output.entropy_weight * entropy


def targets(batch: VqaBatch) -> tuple[Tensor, Tensor]:
    """Answer ids and weights (B, M) of a batch. Raises ValueError where it has none."""
    if batch.answers is None or batch.answer_weights is None:
        raise ValueError("a batch without answers has no loss")
    return batch.answers, batch.answer_weights


def caption_loss(
    output: CaptionOutput, batch: CaptionBatch, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the words (N,), plus the penalty of the model's own paper."""
    del batch  # its words are the output's targets already
    loss = functional.cross_entropy(output.logits, output.targets, label_smoothing=label_smoothing)
    return loss if output.penalty is None else loss + output.penalty


PER_QUESTION: dict[str, Callable[..., Tensor]] = {
    "softmax": soft,
    "sampled": sampled,
    "logistic": logistic,
}
