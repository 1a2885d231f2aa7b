"""An ensemble: several trained models of one kind, whose predicted probabilities are averaged.

Trained from other random numbers, models of one recipe make different mistakes: the mean of their
probabilities is right more often than one of them is on average. For captions the mean is taken
anew before every word, and one beam search goes on with it: Vinyals et al. 2017, "Show and Tell:
lessons learned", arXiv:1609.06647, on ensembling. For answers: Teney et al. 2018, arXiv:1708.02711.

What comes out are scores like any model's: log of the mean of the softmax probabilities, or, where
each answer is predicted by itself, the logit of the mean of the sigmoid probabilities. So
everything that takes a model takes an ensemble. An ensemble is never trained itself.

Shapes: N members, B examples, I images, K beams, R regions, A answers, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import Captioner, CaptionOutput, CaptionState, DecoderOutput, VqaOutput


class Ensemble(nn.Module):
    """Models of one kind, vocabulary and answer list that predict together."""

    def __init__(self, members: Sequence[nn.Module], *, logistic: bool = False) -> None:
        """`logistic` says that each answer is predicted by itself (`answers.loss`)."""
        super().__init__()
        self.members, self.logistic = nn.ModuleList(members), logistic

    def forward(self, batch: Any) -> VqaOutput | CaptionOutput:
        outputs = [member(batch) for member in self.members]
        logits = mean_logits([one.logits for one in outputs], logistic=self.logistic)
        attention, first = _mean([one.attention for one in outputs]), outputs[0]
        if isinstance(first, VqaOutput):
            return VqaOutput(logits, attention)
        sentinel = _mean([one.sentinel for one in outputs])
        return CaptionOutput(logits, first.targets, attention, sentinel)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        """The states of all members, one behind the other."""
        states = [one.init_state(regions, region_mask) for one in self._captioners]
        return _joined(states)

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        """Every member reads the words `(I, K)`; the next ones are scored by all together."""
        states = _split(state, len(self.members))
        steps = [one.step(words, own) for one, own in zip(self._captioners, states, strict=True)]
        return DecoderOutput(
            mean_logits([one.logits for one in steps]),
            _joined([one.state for one in steps]),
            _mean([one.attention for one in steps]),
            _mean([one.sentinel for one in steps]),
        )

    @property
    def _captioners(self) -> list[Captioner]:
        return cast(list[Captioner], list(self.members))


def mean_logits(logits: Sequence[Tensor], *, logistic: bool = False) -> Tensor:
    """Scores `(..., A)` whose probabilities are the mean of those of N scores.

    Taken from log-probabilities, so that the order of answers near 0 or 1 is kept.
    """
    stacked = torch.stack(list(logits))  # (N, ..., A)
    stacked = stacked.to(torch.promote_types(stacked.dtype, torch.float32))
    if logistic:
        yes, no = functional.logsigmoid(stacked), functional.logsigmoid(-stacked)
        return yes.logsumexp(dim=0) - no.logsumexp(dim=0)
    return stacked.log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(logits))


def _mean(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The mean of what all members have, or None where they have no such thing."""
    present = [part for part in parts if part is not None]
    return torch.stack(present).mean(dim=0) if present else None


def _joined(states: Sequence[CaptionState]) -> CaptionState:
    per_image, per_beam = zip(*states, strict=True)
    return CaptionState(sum(per_image, ()), sum(per_beam, ()))


def _split(state: CaptionState, members: int) -> list[CaptionState]:
    """The state of each member: members of one kind have equally many parts."""
    images, beams = (len(parts) // members for parts in state)
    return [
        CaptionState(
            state.per_image[n * images : (n + 1) * images],
            state.per_beam[n * beams : (n + 1) * beams],
        )
        for n in range(members)
    ]
