"""Pieces that several papers share: dropout, masked attention, one image for many examples.

Shapes: B examples, I images, R regions, D numbers per region, G glimpses, P looks of a view.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """`nn.Dropout`, four times as fast on a CPU, where each element's random number is a queue.

    One 64-bit draw serves eight elements, so the share dropped is rounded to 1/256: exact for
    the 0.5 of the papers. Measured in `benchmarks/`; on a GPU it is `nn.Dropout` itself.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {share}")
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return values
        if values.is_cuda:
            return functional.dropout(values, self.share)
        # From -2^63: without the lower bound the top bit is never set, and one byte lane is biased.
        draws = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        dropped = round(self.share * 256)  # of 256 byte values
        if dropped == 128:  # one bit decides, and is the number to multiply with: 0 or 2
            scale = _first(draws.bitwise_and_(0x0202020202020202), values).to(values.dtype)
        else:
            kept = _first(draws, values) >= dropped
            scale = kept.to(values.dtype).mul_(256 / (256 - dropped))
        # In place where no gradient follows: fresh memory costs more than the product.
        return values * scale if values.requires_grad else scale.mul_(values)

    def extra_repr(self) -> str:
        return f"share={self.share}"


def _first(draws: Tensor, values: Tensor) -> Tensor:
    """One byte of the draws for each value."""
    return draws.view(torch.uint8)[: values.numel()].view(values.shape)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension where `mask` is true; 0 elsewhere."""
    return scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)


def mean_region(regions: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real regions of each image: (I, R, D), (I, R) -> (I, D)."""
    weights = mask.to(regions.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.bmm(weights[:, None], regions).squeeze(1)


def look_at(weights: Tensor, regions: Tensor, image: Tensor) -> Tensor:
    """What each example sees through each of its glimpses.

    `weights (B, G, R)`, `regions (I, R, D)`, `image (B,)` -> (B, G, D). One matrix product per
    image, for all its examples at once: the regions are not copied for each of them.
    """
    if len(regions) == len(image) == 1:
        return weights @ regions
    examples, glimpses, size = weights.shape
    per_image = torch.bincount(image, minlength=len(regions))
    order = torch.argsort(image, stable=True)
    first = torch.cumsum(per_image, dim=0) - per_image
    place = torch.empty_like(order)
    place[order] = torch.arange(examples, device=order.device)
    slot = place - first[image]  # (B,) how many examples of its image stand before it
    padded = weights.new_zeros(len(regions), int(per_image.max()), glimpses, size)
    padded = padded.index_put((image, slot), weights)
    seen = torch.bmm(padded.flatten(1, 2), regions).view(*padded.shape[:3], -1)
    return seen[image, slot]


class AdaptiveView(nn.Module):
    """A grid of features seen at another resolution, without ever being stored at it.

    `AdaptiveAvgPool2d` from `grid` to `side x side` is a fixed linear map: each of the P = side^2
    looks is the mean of the cells below it. So a linear layer may work on the cells and its result
    be spread to looks, and attention over looks may be gathered back to cells: same numbers, and
    for an 8x8 map seen at 14x14 a third of the work.
    """

    def __init__(self, grid: tuple[int, int], side: int) -> None:
        super().__init__()
        rows, columns = _pooling(grid[0], side), _pooling(grid[1], side)
        pooling = torch.einsum("ar,bc->abrc", rows, columns).reshape(side * side, -1)
        self.pooling: Tensor
        self.register_buffer("pooling", pooling, persistent=False)  # (P, R), rows sum to 1

    def spread(self, cells: Tensor) -> Tensor:
        """From cells to looks: (I, R, D) -> (I, P, D)."""
        return self.pooling @ cells

    def to_regions(self, weights: Tensor) -> Tensor:
        """From attention over looks to attention over the cells below: (..., P) -> (..., R)."""
        return weights @ self.pooling


def _pooling(cells: int, looks: int) -> Tensor:
    """Adaptive average pooling of one axis as a matrix (looks, cells)."""
    return functional.adaptive_avg_pool1d(torch.eye(cells), looks).T


def lstm_state(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM's next output and memory, from `gates (n, 4H)` in torch's order i, f, g, o."""
    enter, keep, candidate, leave = gates.chunk(4, dim=-1)
    memory = torch.sigmoid(keep) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(memory), memory


class EveryStep:
    """A linear layer that a recurrence uses at every step, with one weight gradient for all.

    Autograd would make and add up a whole weight gradient per step, each from a thin matrix
    product. Here every step leaves its input and the gradient of its output behind, and the last
    one to be gone back through makes one product of them all: equal, and about 1.5 times as fast.
    Make one per forward pass.
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
        output: Tensor = _Step.apply(inputs, self.weight, self.bias, self)
        return output


class _Step(torch.autograd.Function):
    """One use of an `EveryStep`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: EveryStep
    ) -> Tensor:
        layer.steps += 1
        ctx.layer = layer
        ctx.save_for_backward(inputs, weight)
        return functional.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        layer: EveryStep = ctx.layer
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


def rows_per_step(lengths: Sequence[int], last: int) -> list[int]:
    """How many captions are still being said at each step, given falling `lengths`."""
    return [sum(length > step for length in lengths) for step in range(last)]
