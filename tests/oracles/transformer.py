"""The Transformer captioner of ruotianluo's port, in plain steps: captioning specification, 4.6.

Published names, one caption with its own image at a time, the whole beginning again for every
word. Dropout is left out. No saccade in here.

Letters: R regions, C channels, T words, d width, h heads.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class LayerNorm(nn.Module):
    """The port's own: unbiased standard deviation, epsilon added to it."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(d))
        self.b_2 = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.sum(dim=-1, keepdim=True) / x.shape[-1]
        variance = ((x - mean) ** 2).sum(dim=-1, keepdim=True) / (x.shape[-1] - 1)
        return self.a_2 * (x - mean) / (torch.sqrt(variance) + 1e-6) + self.b_2


class Attention(nn.Module):
    """`linears` are for query, key, value and the joined heads."""

    def __init__(self, d: int, h: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(d, d) for _ in range(4))
        self.h = h

    def forward(self, query: Tensor, things: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`query (Q, d)`, `things (S, d)`, `mask (Q, S)`; attention is per head (h, Q, S)."""
        q, k, v = self.linears[0](query), self.linears[1](things), self.linears[2](things)
        size = q.shape[1] // self.h
        heads, weights = [], []
        for head in range(self.h):
            part = slice(head * size, (head + 1) * size)
            scores = q[:, part] @ k[:, part].T / math.sqrt(size)
            share = functional.softmax(scores.masked_fill(~mask, -1e9), dim=1)
            heads.append(share @ v[:, part])
            weights.append(share)
        return self.linears[3](torch.cat(heads, dim=1)), torch.stack(weights)


class FeedForward(nn.Module):
    def __init__(self, d: int, ff: int) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(d, ff), nn.Linear(ff, d)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(torch.relu(self.w_1(x)))


class Layer(nn.Module):
    """One layer of either stack; `src_attn` only in the decoder."""

    def __init__(self, d: int, ff: int, h: int, blocks: int) -> None:
        super().__init__()
        self.self_attn = Attention(d, h)
        if blocks == 3:
            self.src_attn = Attention(d, h)
        self.feed_forward = FeedForward(d, ff)
        self.sublayer = nn.ModuleList()
        for _ in range(blocks):
            one = nn.Module()
            one.norm = LayerNorm(d)
            self.sublayer.append(one)


class Stack(nn.Module):
    def __init__(self, d: int, ff: int, h: int, blocks: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(d, ff, h, blocks) for _ in range(layers))
        self.norm = LayerNorm(d)


class Transformer(nn.Module):
    """`model.tgt_embed.1.pe` holds the published table of positions, a buffer."""

    def __init__(
        self, vocabulary: int, channels: int, *, d: int, ff: int, h: int, layers: tuple[int, int]
    ) -> None:
        super().__init__()
        self.att_embed = nn.Sequential(nn.Linear(channels, d), nn.ReLU())
        self.model = nn.Module()
        self.model.encoder = Stack(d, ff, h, 2, layers[0])
        self.model.decoder = Stack(d, ff, h, 3, layers[1])
        words, places = nn.Module(), nn.Module()
        words.lut = nn.Embedding(vocabulary, d)
        places.register_buffer("pe", positions(100, d)[None])
        self.model.tgt_embed = nn.Sequential(words, places)
        self.model.generator = nn.Module()
        self.model.generator.proj = nn.Linear(d, vocabulary)
        self.d = d

    def forward(self, features: Tensor, caption: Tensor) -> tuple[Tensor, Tensor]:
        """`features (R, C)`, `caption (T,)` -> logits (T - 1, V), attention (T - 1, R)."""
        x = self.att_embed(features)
        everywhere = torch.ones(len(x), len(x), dtype=torch.bool)
        for layer in self.model.encoder.layers:
            normal = layer.sublayer[0].norm(x)
            x = x + layer.self_attn(normal, normal, everywhere)[0]
            x = x + layer.feed_forward(layer.sublayer[1].norm(x))
        memory = self.model.encoder.norm(x)

        words, places = self.model.tgt_embed
        heard = caption[:-1]
        y = words.lut(heard) * math.sqrt(self.d) + places.pe[0, : len(heard)]
        before = torch.tril(torch.ones(len(y), len(y), dtype=torch.bool))
        image = torch.ones(len(y), len(memory), dtype=torch.bool)
        for layer in self.model.decoder.layers:
            normal = layer.sublayer[0].norm(y)
            y = y + layer.self_attn(normal, normal, before)[0]
            seen, attention = layer.src_attn(layer.sublayer[1].norm(y), memory, image)
            y = y + seen
            y = y + layer.feed_forward(layer.sublayer[2].norm(y))
        logits = self.model.generator.proj(self.model.decoder.norm(y))
        return logits, attention.mean(dim=0)


def positions(max_length: int, d: int) -> Tensor:
    """Sines at even places of the vector, cosines at odd ones; wave lengths from 2 pi to 10,000."""
    table = torch.zeros(max_length, d, dtype=torch.float64)
    for place in range(max_length):
        for i in range(0, d, 2):
            angle = place / 10_000 ** (i / d)
            table[place, i], table[place, i + 1] = math.sin(angle), math.cos(angle)
    return table
