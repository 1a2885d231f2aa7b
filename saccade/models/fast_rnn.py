"""Torch's own layers, the same numbers from the same weights, quicker to train on a CPU.

On a GPU, and where nothing is learnt, each is torch's layer itself. Measured in `benchmarks/`.

Shapes: n sequences or examples, N words in the whole batch, H hidden, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from saccade.models.layers import EveryStep, lstm_state


class PackedLstm(nn.LSTM):
    """`nn.LSTM` of one layer, for packed sequences only; up to 1.3 times as fast.

    torch goes back through it with whole gradients of all inputs and of the weights for every
    step, most of them zeros, and adds them up.
    """

    def forward(  # type: ignore[override]
        self, heard: PackedSequence, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        """Read n sequences; states are (1, n, H), outputs are packed (N, H)."""
        if _is_torch_as_quick(heard.data):
            read: tuple[PackedSequence, tuple[Tensor, Tensor]] = super().forward(heard, state)
            return read
        weight = self.get_parameter("weight_ih_l0")
        bias = None
        if self.bias:
            bias = self.get_parameter("bias_ih_l0") + self.get_parameter("bias_hh_l0")
        gates = functional.linear(heard.data, weight, bias).split(heard.batch_sizes.tolist())
        keep, outputs, ended = EveryStep(self.get_parameter("weight_hh_l0")), [], []
        if state is None:
            hidden = memory = heard.data.new_zeros(len(gates[0]), self.hidden_size)
        else:
            order = slice(None) if heard.sorted_indices is None else heard.sorted_indices
            hidden, memory = (part[0, order] for part in state)
        for t, of_word in enumerate(gates):
            n = len(of_word)
            ended.append((hidden[n:], memory[n:]))
            # Nothing comes of a state of zeros; but weights that hear of no step have no gradient.
            idle = t == 0 and state is None and len(gates) > 1
            step = of_word if idle else of_word + keep(hidden[:n])
            hidden, memory = lstm_state(step, memory[:n])
            outputs.append(hidden)
        ended.append((hidden, memory))
        last, kept = (torch.cat(parts) for parts in zip(*reversed(ended), strict=True))
        if heard.unsorted_indices is not None:
            last, kept = last[heard.unsorted_indices], kept[heard.unsorted_indices]
        return heard._replace(data=torch.cat(outputs)), (last[None], kept[None])


class ManyScores(nn.Linear):
    """`nn.Linear` to thousands of words, whose number need not be even; up to 1.3 times as fast.

    Matrix products like a result whose rows begin at multiples of 64 bytes, so there is room
    between one row and the next.
    """

    def forward(self, values: Tensor) -> Tensor:
        """`values (N, H)` -> (N, V)."""
        if _is_torch_as_quick(values) or self.out_features % ROOM == 0:
            scores: Tensor = super().forward(values)
        else:
            scores = _Scores.apply(values, self.weight, self.bias)
        return scores


ROOM = 16  # numbers of four bytes


class _Scores(torch.autograd.Function):
    """`functional.linear` with a result between whose rows there is room."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(values, weight)
        words = len(weight)
        roomy = values.new_empty(len(values), -(-words // ROOM) * ROOM)
        return torch.addmm(bias, values, weight.T, out=roomy[:, :words])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, weight = ctx.saved_tensors
        return gradient @ weight, gradient.T @ values, gradient.sum(dim=0)


def _is_torch_as_quick(values: Tensor) -> bool:
    learns = torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    return values.is_cuda or not learns
