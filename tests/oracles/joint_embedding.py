"""Joint embedding with top-down attention in three public forms (VQA specification, 7 and 8).

`BottomUp` is hengyuan-hu's code (`newatt` and `baseline0`), questions filled up with zeros in
front; `OpenVqa` is openvqa's BUTD, questions filled up behind with word 0, which is a word like
any other. Both under their published names. Dropout is left out: all comparisons are made without.
What is as slow as the original: every question brings its own copy of its image, and the
attention's layers see them all. No saccade in here.

Letters: B questions, T words, R regions, D numbers per region, H hidden.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.oracles.agreement import Answered


class WeightNorm(nn.Module):
    """W = g V / |V|, with one g for the whole matrix."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.weight_g = nn.Parameter(start.weight.detach().square().sum().sqrt())
        self.weight_v = nn.Parameter(start.weight.detach().clone())
        self.bias = nn.Parameter(start.bias.detach().clone())

    def forward(self, values: Tensor) -> Tensor:
        weight = self.weight_g * self.weight_v / self.weight_v.square().sum().sqrt()
        return values @ weight.T + self.bias


class FCNet(nn.Module):
    """One normalised layer and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(WeightNorm(inputs, outputs), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.main(values)
        return out


class _Embedding(nn.Module):
    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(words + 1, width, padding_idx=words)


class _Reader(nn.Module):
    def __init__(self, width: int, hidden: int, layers: int, ways: int, kind: str) -> None:
        super().__init__()
        make = nn.GRU if kind == "GRU" else nn.LSTM
        self.rnn = make(width, hidden, layers, bidirectional=ways == 2, batch_first=True)
        self.hidden, self.ways = hidden, ways

    def forward(self, vectors: Tensor) -> Tensor:
        states, _ = self.rnn(vectors)
        if self.ways == 1:
            last: Tensor = states[:, -1]
            return last
        return torch.cat([states[:, -1, : self.hidden], states[:, 0, self.hidden :]], dim=1)


class _Attention(nn.Module):
    """`baseline0`: one layer over region and question side by side."""

    def __init__(self, dim: int, asking: int, hidden: int) -> None:
        super().__init__()
        self.nonlinear = FCNet(dim + asking, hidden)
        self.linear = WeightNorm(hidden, 1)

    def forward(self, regions: Tensor, query: Tensor) -> Tensor:
        spread = query.unsqueeze(1).repeat(1, regions.shape[1], 1)
        scores = self.linear(self.nonlinear(torch.cat([regions, spread], dim=2)))
        return functional.softmax(scores, dim=1)  # (B, R, 1)


class _NewAttention(nn.Module):
    """`baseline0_newatt`: the product of both."""

    def __init__(self, dim: int, asking: int, hidden: int) -> None:
        super().__init__()
        self.v_proj = FCNet(dim, hidden)
        self.q_proj = FCNet(asking, hidden)
        self.linear = WeightNorm(hidden, 1)

    def forward(self, regions: Tensor, query: Tensor) -> Tensor:
        asked = self.q_proj(query).unsqueeze(1).repeat(1, regions.shape[1], 1)
        return functional.softmax(self.linear(self.v_proj(regions) * asked), dim=1)


class _Classifier(nn.Module):
    def __init__(self, inputs: int, hidden: int, answers: int, dropout: float) -> None:
        super().__init__()
        self.main = nn.Sequential(
            WeightNorm(inputs, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            WeightNorm(hidden, answers),
        )


class BottomUp(nn.Module):
    """hengyuan-hu's models; `words` real words, id `words` is padding."""

    def __init__(  # noqa: PLR0913 - one argument for each of the code's sizes
        self,
        words: int,
        answers: int,
        image: int = 2048,
        *,
        attention: Literal["newatt", "baseline0"] = "newatt",
        embedding: int = 300,
        hidden: int = 1024,
        layers: int = 1,
        ways: int = 1,
        kind: Literal["GRU", "LSTM"] = "GRU",
        max_length: int = 14,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        asking = hidden * ways
        self.w_emb = _Embedding(words, embedding)
        self.q_emb = _Reader(embedding, hidden, layers, ways, kind)
        look = _NewAttention if attention == "newatt" else _Attention
        self.v_att = look(image, asking, hidden)
        self.q_net = FCNet(asking, hidden)
        self.v_net = FCNet(image, hidden)
        self.classifier = _Classifier(hidden, 2 * hidden, answers, dropout)
        self.padding, self.max_length = words, max_length

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, R, D)`; `question (B, T)` padded behind with anything; `length (B,)`."""
        in_front = torch.full((len(question), self.max_length), self.padding)
        for row, many in enumerate(length.tolist()):
            words = question[row, : min(many, self.max_length)]
            in_front[row, self.max_length - len(words) :] = words
        query = self.q_emb(self.w_emb.emb(in_front))
        weights = self.v_att(image, query)
        seen = (weights * image).sum(dim=1)
        joint = self.q_net(query) * self.v_net(seen)
        return Answered(self.classifier.main(joint), weights.transpose(1, 2))


class _MLP(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(WeightNorm(inputs, outputs), nn.ELU())

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.mlp(values)
        return out


class _AttnMap(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear_q = WeightNorm(hidden, hidden)
        self.linear_v = WeightNorm(dim, dim)
        self.nonlinear = _MLP(dim + hidden, hidden)
        self.linear = WeightNorm(hidden, 1)

    def forward(self, query: Tensor, regions: Tensor) -> Tensor:
        regions, query = self.linear_v(regions), self.linear_q(query)
        spread = query.unsqueeze(1).repeat(1, regions.shape[1], 1)
        scores = self.linear(self.nonlinear(torch.cat([regions, spread], dim=2)))
        return functional.softmax(scores, dim=1)


class _TDA(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.v_att = _AttnMap(dim, hidden)
        self.q_net = _MLP(hidden, hidden)
        self.v_net = _MLP(dim, hidden)


class OpenVqa(nn.Module):
    """openvqa's BUTD."""

    def __init__(
        self,
        words: int,
        answers: int,
        image: int = 2048,
        *,
        embedding: int = 300,
        hidden: int = 1024,
        max_length: int = 14,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        self.rnn = nn.LSTM(embedding, hidden, batch_first=True)
        self.backbone = _TDA(image, hidden)
        self.classifer = nn.Sequential(
            WeightNorm(hidden, 2 * hidden), nn.ReLU(), WeightNorm(2 * hidden, answers)
        )
        self.max_length = max_length

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, R, D)`; `question (B, T)` padded behind with anything; `length (B,)`."""
        behind = torch.zeros(len(question), self.max_length, dtype=torch.int64)
        for row, many in enumerate(length.tolist()):
            words = question[row, : min(many, self.max_length)]
            behind[row, : len(words)] = words
        states, _ = self.rnn(self.embedding(behind))
        query = states[:, -1]
        weights = self.backbone.v_att(query, image)
        seen = (weights * image).sum(dim=1)
        joint = self.backbone.q_net(query) * self.backbone.v_net(seen)
        return Answered(self.classifer(joint), weights.transpose(1, 2))
