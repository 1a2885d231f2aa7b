"""CPU tricks: layers with torch's numbers from torch's weights, faster to train on a CPU.

`Dropout` draws eight masks' bytes at once. `PackedLstm` and `StepLinear` make the gradient of a
recurrent matrix once per batch, not once per step. `VocabularyLinear` aligns the rows of its
result. On a GPU, and without gradients, each is torch's own layer. Measured in `benchmarks/`.

Shapes: n sequences or examples, N words in the whole batch, H hidden, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from saccade.models.layers import lstm_step


class Dropout(nn.Module):
    """`nn.Dropout`, four times as fast on a CPU, where drawing random numbers is the cost.

    One 64-bit draw serves eight elements, so `p` is rounded to 1/256: exact for the 0.5 of the
    papers. Raises ValueError unless 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {p}")
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return values
        if values.is_cuda:
            return functional.dropout(values, self.p)
        # From -2^63: without the lower bound the top bit is never set, and one byte lane is biased.
        draws = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        dropped = round(self.p * 256)  # of 256 byte values
        is_half = dropped == 128
        if is_half:  # one bit decides, and is the number to multiply with: 0 or 2
            draws.bitwise_and_(0x0202020202020202)
        lanes = draws.view(torch.uint8)[: values.numel()].view(values.shape)
        scale = (lanes if is_half else lanes >= dropped).to(values.dtype)
        if not is_half:
            scale.mul_(256 / (256 - dropped))
        # In place where no gradient follows: fresh memory costs more than the product.
        return values * scale if values.requires_grad else scale.mul_(values)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class StepLinear:
    """A linear layer that a recurrence uses at every step, with one weight gradient for all steps.

    Autograd would make and add up a whole weight gradient per step, each from a thin matrix
    product. Here every step stores its input and the gradient of its output, and the last backward
    step makes one product of them all: equal, and about 1.5 times as fast. Make one per forward
    pass.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight, bias
        self.steps = 0
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []

    def __call__(self, inputs: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)`, as `functional.linear`."""
        if not torch.is_grad_enabled():
            return functional.linear(inputs, self.weight, self.bias)
        output: Tensor = _StepLinear.apply(inputs, self.weight, self.bias, self)
        return output


class _StepLinear(torch.autograd.Function):
    """One use of a `StepLinear`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: StepLinear
    ) -> Tensor:
        layer.steps += 1
        ctx.layer = layer
        ctx.save_for_backward(inputs, weight)
        return functional.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        layer: StepLinear = ctx.layer
        layer.inputs.append(inputs.flatten(0, -2))
        layer.gradients.append(gradient.flatten(0, -2))
        of_inputs = gradient @ weight.to(gradient.dtype)
        if len(layer.inputs) < layer.steps:
            return of_inputs, None, None, None
        gradients = torch.cat(layer.gradients)
        of_weight = gradients.T @ torch.cat(layer.inputs).to(gradients.dtype)
        of_bias = None if layer.bias is None else gradients.sum(dim=0)
        layer.inputs.clear()
        layer.gradients.clear()
        return of_inputs, of_weight.to(weight.dtype), of_bias, None


class PackedLstm(nn.LSTM):
    """`nn.LSTM` of one layer, for packed sequences only; up to 1.3 times as fast.

    torch's backward pass makes whole gradients of all inputs and of the weights for every step,
    most of them zeros, and adds them up.
    """

    def forward(  # type: ignore[override]
        self, inputs: PackedSequence, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        """Run over n sequences; states are (1, n, H), outputs are packed (N, H)."""
        if _is_torch_as_fast(inputs.data):
            result: tuple[PackedSequence, tuple[Tensor, Tensor]] = super().forward(inputs, state)
            return result
        weight, bias = self.get_parameter("weight_ih_l0"), None
        if self.bias:
            bias = self.get_parameter("bias_ih_l0") + self.get_parameter("bias_hh_l0")
        gates = functional.linear(inputs.data, weight, bias).split(inputs.batch_sizes.tolist())
        recurrent = StepLinear(self.get_parameter("weight_hh_l0"))
        if state is None:
            hidden = memory = inputs.data.new_zeros(len(gates[0]), self.hidden_size)
        else:
            order = slice(None) if inputs.sorted_indices is None else inputs.sorted_indices
            hidden, memory = (part[0, order] for part in state)
        outputs, ended = [], []
        for t, from_words in enumerate(gates):
            n = len(from_words)
            ended.append((hidden[n:], memory[n:]))
            # A state of zeros adds nothing; but weights that are used at no step get no gradient.
            idle = t == 0 and state is None and len(gates) > 1
            step = from_words if idle else from_words + recurrent(hidden[:n])
            hidden, memory = lstm_step(step, memory[:n])
            outputs.append(hidden)
        ended.append((hidden, memory))
        last, cell = (torch.cat(parts) for parts in zip(*reversed(ended), strict=True))
        if inputs.unsorted_indices is not None:
            last, cell = last[inputs.unsorted_indices], cell[inputs.unsorted_indices]
        return inputs._replace(data=torch.cat(outputs)), (last[None], cell[None])


class VocabularyLinear(nn.Linear):
    """`nn.Linear` to thousands of words, of any number; up to 1.3 times as fast.

    Matrix products are faster when the rows of the result begin at multiples of 64 bytes, so the
    result gets unused columns between one row and the next.
    """

    def forward(self, values: Tensor) -> Tensor:
        """`values (N, H)` -> (N, V)."""
        if _is_torch_as_fast(values) or self.out_features % ALIGNMENT == 0:
            scores: Tensor = super().forward(values)
        else:
            scores = _AlignedLinear.apply(values, self.weight, self.bias)
        return scores


ALIGNMENT = 16
"""Numbers of four bytes in 64 bytes."""


class _AlignedLinear(torch.autograd.Function):
    """`functional.linear` whose result has rows at multiples of 64 bytes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(values, weight)
        words = len(weight)
        aligned = values.new_empty(len(values), -(-words // ALIGNMENT) * ALIGNMENT)
        return torch.addmm(bias, values, weight.T, out=aligned[:, :words])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, weight = ctx.saved_tensors
        return gradient @ weight, gradient.T @ values, gradient.sum(dim=0)


def _is_torch_as_fast(values: Tensor) -> bool:
    learns = torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    return values.is_cuda or not learns
