"""MCAN as openvqa computes it, in plain steps (VQA specification, section 8).

Under its published names. Padding is part of the published program: questions of 14 words, 100
regions, word 0 and rows of zeros, which masks of -1e9 then take out again. No saccade in here.

Letters: B questions, T words, R regions, H hidden.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.oracles.agreement import Answered


class LayerNorm(nn.Module):
    """Unbiased deviation, epsilon outside the root."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(size))
        self.b_2 = nn.Parameter(torch.zeros(size))

    def forward(self, values: Tensor) -> Tensor:
        centred = values - values.mean(dim=-1, keepdim=True)
        variance = centred.square().sum(dim=-1, keepdim=True) / (values.shape[-1] - 1)
        return self.a_2 * centred / (variance.sqrt() + 1e-6) + self.b_2


class _FC(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)


class MLP(nn.Module):
    """Two layers, ReLU between."""

    def __init__(self, inputs: int, middle: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.fc = _FC(inputs, middle)
        self.linear = nn.Linear(middle, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.linear(self.dropout(functional.relu(self.fc.linear(values))))
        return out


class MHAtt(nn.Module):
    """Attention with several heads."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.linear_v = nn.Linear(hidden, hidden)
        self.linear_k = nn.Linear(hidden, hidden)
        self.linear_q = nn.Linear(hidden, hidden)
        self.linear_merge = nn.Linear(hidden, hidden)
        self.heads, self.dropout = heads, nn.Dropout(dropout)

    def forward(self, others: Tensor, items: Tensor, hide: Tensor) -> Tensor:
        """`others (B, M, H)`, `items (B, N, H)`, `hide (B, M)` true where there is nothing."""
        value, key = self.by_head(self.linear_v(others)), self.by_head(self.linear_k(others))
        query = self.by_head(self.linear_q(items))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        scores = scores.masked_fill(hide[:, None, None, :], -1e9)
        mixed = self.dropout(functional.softmax(scores, dim=3)) @ value
        side_by_side = mixed.transpose(1, 2).contiguous().view(items.shape)
        merged: Tensor = self.linear_merge(side_by_side)
        return merged

    def by_head(self, values: Tensor) -> Tensor:
        """(B, N, H) -> (B, heads, N, H / heads)."""
        batch, many, hidden = values.shape
        return values.view(batch, many, self.heads, hidden // self.heads).transpose(1, 2)


class _FFN(nn.Module):
    def __init__(self, hidden: int, middle: int, dropout: float) -> None:
        super().__init__()
        self.mlp = MLP(hidden, middle, hidden, dropout)


class SA(nn.Module):
    """Words look at words."""

    def __init__(self, hidden: int, heads: int, middle: int, dropout: float) -> None:
        super().__init__()
        self.mhatt = MHAtt(hidden, heads, dropout)
        self.ffn = _FFN(hidden, middle, dropout)
        self.norm1, self.norm2 = LayerNorm(hidden), LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor, hide: Tensor) -> Tensor:
        words = self.norm1(words + self.dropout(self.mhatt(words, words, hide)))
        out: Tensor = self.norm2(words + self.dropout(self.ffn.mlp(words)))
        return out


class SGA(nn.Module):
    """Regions look at regions, then at words."""

    def __init__(self, hidden: int, heads: int, middle: int, dropout: float) -> None:
        super().__init__()
        self.mhatt1 = MHAtt(hidden, heads, dropout)
        self.mhatt2 = MHAtt(hidden, heads, dropout)
        self.ffn = _FFN(hidden, middle, dropout)
        self.norm1, self.norm2, self.norm3 = (LayerNorm(hidden) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Tensor, words: Tensor, hide: Tensor, hide_words: Tensor) -> Tensor:
        regions = self.norm1(regions + self.dropout(self.mhatt1(regions, regions, hide)))
        regions = self.norm2(regions + self.dropout(self.mhatt2(words, regions, hide_words)))
        out: Tensor = self.norm3(regions + self.dropout(self.ffn.mlp(regions)))
        return out


class _Adapter(nn.Module):
    def __init__(self, image: int, hidden: int) -> None:
        super().__init__()
        self.frcn_linear = nn.Linear(image, hidden)


class _Backbone(nn.Module):
    def __init__(self, hidden: int, heads: int, middle: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.enc_list = nn.ModuleList(SA(hidden, heads, middle, dropout) for _ in range(layers))
        self.dec_list = nn.ModuleList(SGA(hidden, heads, middle, dropout) for _ in range(layers))


class AttFlat(nn.Module):
    """One vector for many."""

    def __init__(self, hidden: int, middle: int, joint: int, dropout: float) -> None:
        super().__init__()
        self.mlp = MLP(hidden, middle, 1, dropout)
        self.linear_merge = nn.Linear(hidden, joint)

    def forward(self, items: Tensor, hide: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.mlp(items).masked_fill(hide[:, :, None], -1e9)
        weights = functional.softmax(scores, dim=1)  # (B, N, 1)
        return self.linear_merge((weights * items).sum(dim=1)), weights


class Mcan(nn.Module):
    """The whole network."""

    def __init__(  # noqa: PLR0913 - one argument for each of the paper's sizes
        self,
        words: int,
        answers: int,
        image: int = 2048,
        *,
        embedding: int = 300,
        hidden: int = 512,
        heads: int = 8,
        layers: int = 6,
        feed_forward: int = 2048,
        flat: int = 512,
        joint: int = 1024,
        dropout: float = 0.0,
        max_length: int = 14,
        most: int = 100,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.adapter = _Adapter(image, hidden)
        self.backbone = _Backbone(hidden, heads, feed_forward, layers, dropout)
        self.attflat_img = AttFlat(hidden, flat, joint, dropout)
        self.attflat_lang = AttFlat(hidden, flat, joint, dropout)
        self.proj_norm = LayerNorm(joint)
        self.proj = nn.Linear(joint, answers)
        self.max_length, self.most = max_length, most

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, R, D)`, rows of zeros hidden; `question (B, T)`; `length (B,)`."""
        ids = torch.zeros(len(question), self.max_length, dtype=torch.int64)
        for row, many in enumerate(length.tolist()):
            ids[row, :many] = question[row, :many]
        image = functional.pad(image, (0, 0, 0, self.most - image.shape[1]))
        hide_words, hide = ids == 0, image.abs().sum(dim=2) == 0
        words, _ = self.lstm(self.embedding(ids))
        regions = self.adapter.frcn_linear(image)
        for layer in self.backbone.enc_list:
            words = layer(words, hide_words)
        for layer in self.backbone.dec_list:
            regions = layer(regions, words, hide, hide_words)
        heard, _ = self.attflat_lang(words, hide_words)
        seen, weights = self.attflat_img(regions, hide)
        logits = self.proj(self.proj_norm(heard + seen))
        return Answered(logits, weights.transpose(1, 2))
