"""Functions and layers that several models share: masked attention, pooling, packing of words.

Shapes: B examples, I images, R regions, D numbers per region, G glimpses, P cells of a pooled grid,
H hidden, T words, N real words of the whole batch, n rows of a step.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from saccade.data.batch import CaptionBatch

Embed = Callable[[Tensor], Tensor]


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension where `mask` is true; 0 elsewhere."""
    return scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)


def mean_region(regions: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real regions of each image: (I, R, D), (I, R) -> (I, D)."""
    weights = mask.to(regions.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.bmm(weights[:, None], regions).squeeze(1)


def attend(weights: Tensor, regions: Tensor, image: Tensor) -> Tensor:
    """Weighted sum of the regions of each example's image, one for each glimpse.

    `weights (B, G, R)`, `regions (I, R, D)`, `image (B,)` -> (B, G, D). One matrix product per
    image, for all its examples at once: the regions are not copied for each of them.
    """
    if torch.onnx.is_in_onnx_export():  # where counts must not depend on the values
        return weights @ regions[image]
    if len(regions) == len(image) == 1:
        return weights @ regions
    per_image = torch.bincount(image, minlength=len(regions))
    place = torch.argsort(image, stable=True).argsort()  # (B,) of each example, sorted by image
    first = torch.cumsum(per_image, dim=0) - per_image
    slot = place - first[image]  # (B,) how many examples of the same image stand before it
    padded = weights.new_zeros(len(regions), int(per_image.max()), *weights.shape[1:])
    padded = padded.index_put((image, slot), weights)
    sums = torch.bmm(padded.flatten(1, 2), regions).view(*padded.shape[:3], -1)
    return sums[image, slot]


class AdaptivePooling(nn.Module):
    """Adaptive average pooling of a grid of features, without ever storing the pooled grid.

    `AdaptiveAvgPool2d` from `grid` to `side x side` is a fixed linear map: each of the P = side^2
    pooled cells is the mean of the cells below it. So a linear layer may work on the given cells
    and its result be pooled, and attention over pooled cells may be summed back to the given ones:
    same numbers, and for an 8x8 grid pooled to 14x14 a third of the work.
    """

    def __init__(self, grid: tuple[int, int], side: int) -> None:
        super().__init__()
        rows, columns = (functional.adaptive_avg_pool1d(torch.eye(n), side).T for n in grid)
        matrix = torch.einsum("ar,bc->abrc", rows, columns).reshape(side * side, -1)
        self.matrix: Tensor
        self.register_buffer("matrix", matrix, persistent=False)  # (P, R), rows sum to 1

    @staticmethod
    def between(grid: tuple[int, int] | None, side: int | None) -> "AdaptivePooling | None":
        """Pooling from a grid to `side x side` cells; none where nothing is to be changed."""
        if not side or not grid or grid == (side, side):
            return None
        return AdaptivePooling(grid, side)

    def pool(self, cells: Tensor) -> Tensor:
        """From given cells to pooled ones: (I, R, D) -> (I, P, D)."""
        return self.matrix @ cells

    def mean(self, cells: Tensor) -> Tensor:
        """Mean of the pooled cells: (I, R, D) -> (I, D)."""
        return self.matrix.mean(dim=0) @ cells

    def to_regions(self, weights: Tensor) -> Tensor:
        """From attention over pooled cells to attention over given cells: (..., P) -> (..., R)."""
        return weights @ self.matrix


def lstm_step(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM's next hidden and cell state from `gates (n, 4H)`, in torch's order i, f, g, o."""
    enter, keep, candidate, leave = gates.chunk(4, dim=-1)
    memory = torch.sigmoid(keep) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(memory), memory


CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
"""Recurrent cells of decoders, by the name in their config."""
RecurrentCell = nn.LSTMCell | nn.GRUCell | nn.RNNCell


def cell_biases(cell: RecurrentCell) -> tuple[Tensor, Tensor | None]:
    """Biases of a cell's products with its input and with its state: one sum but for a GRU."""
    if isinstance(cell, nn.GRUCell):
        return cell.bias_ih, cell.bias_hh
    return cell.bias_ih + cell.bias_hh, None


def cell_step(
    cell: RecurrentCell, of_input: Tensor, of_state: Tensor, hidden: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """A cell's next hidden and cell state from its products with input and state, biases included.

    Widths are 4H of an LSTM, 3H of a GRU (reset, update, candidate) and H of an RNN; these two have
    no cell state: it is the hidden state.
    """
    if isinstance(cell, nn.LSTMCell):
        return lstm_step(of_input + of_state, memory)
    if isinstance(cell, nn.GRUCell):
        of_input, candidate = of_input.split([2 * cell.hidden_size, cell.hidden_size], dim=-1)
        of_state, own = of_state.split([2 * cell.hidden_size, cell.hidden_size], dim=-1)
        reset, update = torch.sigmoid(of_input + of_state).chunk(2, dim=-1)
        new = torch.tanh(candidate + reset * own)
        hidden = new + update * (hidden - new)
    else:
        hidden = torch.tanh(of_input + of_state)
    return hidden, hidden


def maxout_lstm_step(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """The same of an LSTM whose candidate is the greater of two sums, without tanh.

    `gates (n, 5H)` stand in the published order: in, forget, out, then the two candidates.
    """
    enter, keep, leave, first, second = gates.chunk(5, dim=-1)
    memory = torch.sigmoid(keep) * memory + torch.sigmoid(enter) * torch.maximum(first, second)
    return torch.sigmoid(leave) * torch.tanh(memory), memory


class RegionNorm(nn.BatchNorm1d):
    """Batch norm over the real regions of all images of a batch."""

    def forward(self, regions: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """`regions (I, R, H)`, `mask (I, R)` -> (I, R, H), 0 where there is no region."""
        if torch.onnx.is_in_onnx_export():  # evaluation, in which regions do not see each other
            return super().forward(regions.mT).mT.masked_fill(~mask[..., None], 0)
        real = regions[mask]  # (real regions, H)
        if len(real) == 1:  # which has no spread: as in evaluation
            statistics = self.running_mean, self.running_var
            normal = functional.batch_norm(real, *statistics, self.weight, self.bias, eps=self.eps)
        else:
            normal = super().forward(real)
        return torch.zeros_like(regions).masked_scatter(mask[..., None], normal.to(regions.dtype))


class Norm(nn.Module):
    """Layer norm by the unbiased standard deviation, to which (not its square) 1e-6 is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, values: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(values, dim=-1, keepdim=True)
        return torch.addcmul(self.shift, self.scale, (values - mean) / (deviation + 1e-6))


class PaddedWords(NamedTuple):
    """What stands in a packed sequence's place in an exported graph."""

    data: Tensor  # (B, T, E)
    length: Tensor  # (B,)


def pack_words(words: Tensor, length: Tensor, embed: Embed) -> PackedSequence | PaddedWords:
    """Word vectors of questions in any order, packed: `words (B, T)`, `length (B,)`."""
    if torch.onnx.is_in_onnx_export():
        return PaddedWords(embed(words), length)
    packed = pack_padded_sequence(words, length.cpu(), batch_first=True, enforce_sorted=False)
    return packed._replace(data=embed(packed.data))


def pack_captions(batch: CaptionBatch) -> tuple[PackedSequence, Tensor]:
    """Input words of captions, packed time first, and for each the word that follows it (N,)."""
    length = (batch.caption_length - 1).cpu()  # captions stand longest first
    words, targets = (
        pack_padded_sequence(part, length, batch_first=True)
        for part in (batch.caption[:, :-1], batch.caption[:, 1:])
    )
    return words, targets.data


def weigh_words(table: nn.EmbeddingBag, ids: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the vectors of each row's words: `ids` and `weights (B, T)` -> (B, E)."""
    if torch.onnx.is_in_onnx_export():
        return (weights[:, None] @ functional.embedding(ids, table.weight)).squeeze(1)
    weighted: Tensor = table(ids, per_sample_weights=weights)
    return weighted


def real_words(length: Tensor, most: int) -> Tensor:
    """Mask (B, most) of the places that hold a word."""
    return torch.arange(most, device=length.device) < length[:, None]


def image_of_beam(words: Tensor) -> Tensor:
    """Row of the image of each beam, for `words (I, K)`: (I * K,)."""
    # Not `repeat_interleave`, which torch 2.15 exports with the sizes that it saw.
    return torch.arange(words.numel(), device=words.device) // words.shape[1]


def by_beam(words: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """Rows of all beams, (I * K, ...) each, as (I, K, ...) for `words (I, K)`."""
    return tuple(part.view(*words.shape, -1) for part in rows)


def by_caption(rows: Tensor, words: PackedSequence, batch: CaptionBatch) -> Tensor:
    """A row for each real word (N, ...), packed, as (B, T - 1, ...); 0 behind a caption's end."""
    packed, length = PackedSequence(rows, words.batch_sizes), batch.caption.shape[1] - 1
    return pad_packed_sequence(packed, batch_first=True, total_length=length)[0].contiguous()
