"""Joint embedding with top-down attention. Anderson et al., CVPR 2018, arXiv:1707.07998.

A GRU reads the question; one look at detected objects, steered by it, sums them up; question and
sight are multiplied in one space and choose the answer. Winner of the VQA challenge 2017. Every
linear layer has weight normalisation with one length per matrix (Teney 2018, arXiv:1708.02711).

Three forms of the look, as three public codes have it. `product` (hengyuan-hu, `newatt`): region
times question; `concat` (hengyuan-hu, `baseline0`): one layer over both side by side;
`projected`: the same over projections of both (openvqa's BUTD, with an LSTM and ELU).
Those codes fill questions up to 14 words: hengyuan-hu in front, with vectors of zeros, openvqa
behind, with a word that learns. Here questions come as they are and `padding` says what the
reader makes of it; the state after n zeros is the same for all questions and computed once.
Differs: regions are projected once per image, and with `concat` and `projected` an image's
questions share its dropout mask; padded regions are masked (openvqa attends to them).

Shapes: B questions, I images, T words, R regions, D numbers per region, Q question, H hidden.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import JointEmbeddingConfig
from saccade.models.layers import Dropout, look_at, masked_softmax


class JointEmbedding(nn.Module):
    """Answers a question about an image with one look at its objects."""

    def __init__(self, config: JointEmbeddingConfig, sizes: Sizes) -> None:
        super().__init__()
        zeros = 0 if config.padding == "front" or config.padded_to is None else None
        self.embed = nn.Embedding(sizes.words, config.embedding, padding_idx=zeros)
        self.read = Reader(config)
        asking = config.question * (2 if config.bidirectional else 1)
        look = Product if config.attention == "product" else Concatenation
        self.attention = look(sizes.region_dim, asking, config)
        self.ask = linear(asking, config.hidden, config)
        self.see = linear(sizes.region_dim, config.hidden, config)
        self.hidden = linear(config.hidden, config.classifier, config)
        self.answer = linear(config.classifier, sizes.answers, config)
        self.activate = nn.ReLU() if config.activation == "relu" else nn.ELU()
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        query = self.read(self.embed, batch.question, batch.question_length)  # (B, Q)
        scores = self.attention(query, batch)  # (B, R)
        weights = masked_softmax(scores, batch.region_mask[batch.image])[:, None]  # (B, 1, R)
        seen = look_at(weights, batch.regions, batch.image).squeeze(1)  # (B, D)
        joint = self.activate(self.ask(query)) * self.activate(self.see(seen))  # (B, H)
        hidden = self.dropout(torch.relu(self.hidden(joint)))
        return VqaOutput(self.answer(hidden), attention=weights)


class Reader(nn.Module):
    """From a question's words to one vector: the last state, and the first read backwards."""

    def __init__(self, config: JointEmbeddingConfig) -> None:
        super().__init__()
        self.padded_to, self.behind = config.padded_to, config.padding == "behind"
        size = (config.embedding, config.question, config.layers)
        kind = nn.GRU if config.reader == "gru" else nn.LSTM
        self.cells = kind(*size, batch_first=True, bidirectional=config.bidirectional)

    def forward(self, embed: nn.Embedding, words: Tensor, length: Tensor) -> Tensor:
        """`words (B, T)` padded behind, `length (B,)` -> (B, Q)."""
        limit = self.padded_to
        if limit:
            words, length = words[:, :limit], length.clamp_max(limit)
            if self.behind or self.cells.bidirectional:
                return self._read_padding(embed, words, length)
        packed = pack_padded_sequence(words, length.cpu(), batch_first=True, enforce_sorted=False)
        packed = packed._replace(data=embed(packed.data))
        begin = self._after_zeros(limit - length, packed.data) if limit else None
        _, state = self.cells(packed, begin)
        last: Tensor = state[0] if isinstance(state, tuple) else state  # (layers * ways, B, Q)
        return last[-2:].transpose(0, 1).flatten(1) if self.cells.bidirectional else last[-1]

    def _after_zeros(self, zeros: Tensor, like: Tensor) -> Tensor | tuple[Tensor, ...] | None:
        """State of each question after its `zeros (B,)` steps: unrolled once, on one row."""
        kept: list[tuple[Tensor, ...]] = []
        nothing, state = like.new_zeros(1, 1, self.cells.input_size), None
        for _ in range(int(zeros.max())):
            _, state = self.cells(nothing, state)
            kept.append(state if isinstance(state, tuple) else (state,))
        parts = tuple(
            torch.cat([torch.zeros_like(part[0]), *part], dim=1)[:, zeros]
            for part in zip(*kept, strict=True)
        )
        return parts if isinstance(state, tuple) else parts[0] if parts else None

    def _read_padding(self, embed: nn.Embedding, words: Tensor, length: Tensor) -> Tensor:
        """Write the padding out and read it: where it follows words, each question's differs."""
        limit, width = self.padded_to or 0, self.cells.hidden_size
        place = torch.arange(limit, device=words.device).expand(len(words), -1)
        place = place if self.behind else place - (limit - length)[:, None]  # (B, limit)
        real = (place >= 0) & (place < length[:, None])
        vectors = embed(words.gather(1, place.clamp(0, words.shape[1] - 1)) * real)
        states, _ = self.cells(vectors if self.behind else vectors * real[..., None])
        return torch.cat([states[:, -1, :width], states[:, 0, width:]], dim=1)


class Product(nn.Module):
    """Scores a region by its product with the question."""

    def __init__(self, dim: int, asking: int, config: JointEmbeddingConfig) -> None:
        super().__init__()
        self.see = linear(dim, config.hidden, config)
        self.ask = linear(asking, config.hidden, config)
        self.score = linear(config.hidden, 1, config)
        self.activate = nn.ReLU() if config.activation == "relu" else nn.ELU()
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query: Tensor, batch: VqaBatch) -> Tensor:
        seen = self.activate(self.see(batch.regions))  # (I, R, H)
        asked = self.activate(self.ask(query))  # (B, H)
        joint = self.dropout(seen[batch.image] * asked[:, None])  # (B, R, H)
        return torch.squeeze(self.score(joint), -1)


class Concatenation(nn.Module):
    """Scores a region with a layer over region and question side by side."""

    def __init__(self, dim: int, asking: int, config: JointEmbeddingConfig) -> None:
        super().__init__()
        projects = config.attention == "projected"
        self.see = linear(dim, dim, config) if projects else nn.Identity()
        self.ask = linear(asking, asking, config) if projects else nn.Identity()
        self.both = linear(dim + asking, config.hidden, config)
        self.score = linear(config.hidden, 1, config)
        self.activate = nn.ReLU() if config.activation == "relu" else nn.ELU()
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query: Tensor, batch: VqaBatch) -> Tensor:
        regions, query = self.dropout(self.see(batch.regions)), self.dropout(self.ask(query))
        weight = self.both.weight  # one matrix with one length, applied in two halves
        seen = functional.linear(regions, weight[:, : regions.shape[2]])  # (I, R, H)
        asked = functional.linear(query, weight[:, regions.shape[2] :], self.both.bias)
        joint = self.activate(seen[batch.image] + asked[:, None])  # (B, R, H)
        return torch.squeeze(self.score(joint), -1)


class WeightNormLinear(nn.Module):
    """A linear layer whose matrix is a direction times one learnt length."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        begin = nn.Linear(inputs, outputs)
        self.weight_v, self.bias = begin.weight, begin.bias
        self.weight_g = nn.Parameter(begin.weight.detach().norm())

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.weight_v * (self.weight_g / self.weight_v.norm())
        return weight

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = functional.linear(values, self.weight, self.bias)
        return out


def linear(inputs: int, outputs: int, config: JointEmbeddingConfig) -> WeightNormLinear | nn.Linear:
    """A linear layer as the config wants it."""
    return (WeightNormLinear if config.weight_norm else nn.Linear)(inputs, outputs)
