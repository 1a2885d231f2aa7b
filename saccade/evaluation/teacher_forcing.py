"""How well a model reads what people wrote: never a score, only a measure of learning.

A captioner that is *teacher-forced* hears every word of the human caption before it guesses the
next one, so nothing it says wrongly has consequences. Its loss and top-5 accuracy show how learning
goes; BLEU of such guesses would not be BLEU, and is not made.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.examples import CaptionExamples, batches, in_reading_order
from saccade.models.losses import PER_QUESTION, targets

LIKELIEST = 5


@torch.inference_mode()
def read_captions(
    model: nn.Module, examples: CaptionExamples, device: torch.device, batch_size: int = 64
) -> dict[str, Any]:
    """Let a captioner read human captions; returns `loss`, `top_5_accuracy`, `words`.

    The loss is the mean cross-entropy (nats) of each word and each end given the human words before
    it. What a model's own paper adds to the training loss is left out, else models could not be
    compared. The accuracy is the share, in per cent, of words that were among the five likeliest.
    Captions that are longer than the recipe allows are not in `examples`.
    """
    model.eval()
    loss, right, words = torch.zeros(3, dtype=torch.float64, device=device)
    for batch in batches(examples, in_reading_order(examples), batch_size):
        output = model(batch.to(device))
        logits, said = output.logits.float(), output.targets[:, None]
        loss += functional.cross_entropy(logits, said[:, 0], reduction="sum")
        right += ((logits > logits.gather(1, said)).sum(dim=1) < LIKELIEST).sum()
        words += len(said)
    if not words:
        return {"not_measured": "no caption is short enough for the recipe"}
    return {
        "loss": float(loss / words),
        "top_5_accuracy": float(100 * right / words),
        "words": int(words),
    }


class AnswerLoss:
    """The training loss of answers on questions that are not learnt from, added up by batch."""

    def __init__(self, kind: str) -> None:
        """`kind` is the recipe's `answers.loss`; "sampled" is taken as what it is on average."""
        self.kind, self.total, self.questions = kind, 0.0, 0

    def add(self, output: Any, batch: Any) -> None:
        """Add the questions of a batch that a listed answer fits."""
        weights = targets(batch)[1]
        fits = weights.sum(dim=1) > 0
        losses = self._of(output, batch, weights)[fits]
        self.total += float(losses.sum(dtype=torch.float64))
        self.questions += len(losses)

    def _of(self, output: Any, batch: Any, weights: Tensor) -> Tensor:
        if self.kind != "sampled":
            return PER_QUESTION[self.kind](output, batch)
        shares = weights.sum(dim=1).clamp_min(1e-12)
        return PER_QUESTION["softmax"](output, batch) / shares

    def mean(self) -> dict[str, Any]:
        """`loss` per question, and of how many `questions`."""
        if not self.questions:
            return {"not_measured": "no listed answer fits a question"}
        return {"loss": self.total / self.questions, "questions": self.questions}
