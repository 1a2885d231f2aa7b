"""Teacher-forced losses on held-out data: measures of learning, never scores.

A *teacher-forced* captioner is given every word of the human caption before it predicts the next
one, so its own mistakes have no consequences. BLEU of such predictions would not be BLEU, and is
not computed.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import VqaBatch, VqaOutput
from saccade.data.examples import CaptionExamples, batches, in_reading_order
from saccade.models.losses import PER_QUESTION, targets

LIKELIEST = 5


@torch.inference_mode()
def read_captions(
    model: nn.Module, examples: CaptionExamples, device: torch.device, batch_size: int = 64
) -> dict[str, Any]:
    """The `loss`, `top_5_accuracy` and number of `words` of teacher-forced human captions.

    The loss is the mean cross-entropy (nats) of each word and each end given the human words before
    it, without the penalties of single papers, which could not be compared. The accuracy is the
    share, in per cent, of words among the five likeliest. Captions that are longer than the recipe
    allows are not in `examples`.
    """
    model.eval()
    loss, right, words = torch.zeros(3, dtype=torch.float64, device=device)
    for batch in batches(examples, in_reading_order(examples), batch_size):
        output = model(batch.to(device))
        logits, true = output.logits.float(), output.targets
        loss += functional.cross_entropy(logits, true, reduction="sum")
        right += words_among_likeliest(logits, true)
        words += len(true)
    if not words:
        return {"not_measured": "no caption is short enough for the recipe"}
    accuracy = float(100 * right / words)
    return {"loss": float(loss / words), "top_5_accuracy": accuracy, "words": int(words)}


def words_among_likeliest(logits: Tensor, true: Tensor) -> Tensor:
    """How many words `true (N,)` are among the five likeliest of `logits (N, V)`."""
    likelier = (logits > logits.gather(1, true[:, None])).sum(dim=1)
    return (likelier < LIKELIEST).sum()


class AnswerLoss:
    """The training loss of answers on held-out questions, added up by batch."""

    def __init__(self, kind: str) -> None:
        """`kind` is the recipe's `answers.loss`; "sampled" is taken as what it is on average."""
        self.kind, self.total, self.questions = kind, 0.0, 0

    def add(self, output: VqaOutput, batch: VqaBatch) -> None:
        """Add the questions of a batch that a listed answer fits."""
        weights = targets(batch)[1]
        fits = weights.sum(dim=1) > 0
        if self.kind == "sampled":
            losses = PER_QUESTION["softmax"](output, batch) / weights.sum(dim=1).clamp_min(1e-12)
        else:
            losses = PER_QUESTION[self.kind](output, batch)
        self.total += float(losses[fits].sum(dtype=torch.float64))
        self.questions += int(fits.sum())

    def mean(self) -> dict[str, Any]:
        """`loss` per question, and of how many `questions`."""
        if not self.questions:
            return {"not_measured": "no listed answer fits a question"}
        return {"loss": self.total / self.questions, "questions": self.questions}
