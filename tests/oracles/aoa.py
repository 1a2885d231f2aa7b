"""AoANet in plain steps: Huang et al. 2019, section 3, in the configuration that the authors
released. Published names of ruotianluo's port; one image and one caption; heads one after the
other; no saccade in here.

Letters: R regions, C channels, V vocabulary, T caption length, d width, Q queries.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LayerNorm(nn.Module):
    """By the unbiased standard deviation, 1e-6 beside it."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.a_2, self.b_2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        deviation = (centred.square().sum(dim=-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
        return self.a_2 * centred / (deviation + 1e-6) + self.b_2


def by_heads(q: Tensor, k: Tensor, v: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """`q (Q, d)`, `k` and `v (R, d)` -> attended (Q, d), and the mean attention (Q, R)."""
    told, maps = [], []
    for part in torch.arange(q.shape[1]).chunk(heads):
        alpha = functional.softmax(q[:, part] @ k[:, part].T / len(part) ** 0.5, dim=1)
        told.append(alpha @ v[:, part])
        maps.append(alpha)
    return torch.cat(told, dim=1), torch.stack(maps).mean(dim=0)


def on_attention(layer: nn.Linear, attended: Tensor, query: Tensor) -> Tensor:
    """Information times gate, equation 3: the first half of the layer's rows, then the second."""
    both = layer(torch.cat([attended, query], dim=-1))
    d = attended.shape[-1]
    return both[..., :d] * both[..., d:].sigmoid()


def refining(d: int) -> nn.Module:
    layer = nn.Module()
    layer.self_attn = nn.Module()
    layer.self_attn.linears = nn.ModuleList(nn.Linear(d, d) for _ in range(3))
    layer.self_attn.aoa_layer = nn.Sequential(nn.Linear(2 * d, 2 * d))
    layer.sublayer = nn.ModuleList([nn.Module()])
    layer.sublayer[0].norm = LayerNorm(d)
    return layer


class AoaNet(nn.Module):
    """`refiner` over regions, then `core` word by word. Dropout is left out."""

    def __init__(
        self, vocabulary: int, channels: int, embed: int, d: int, heads: int, layers: int
    ) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Sequential(nn.Embedding(vocabulary, embed), nn.ReLU())
        self.att_embed = nn.Sequential(nn.Linear(channels, d), nn.ReLU())
        self.ctx2att = nn.Linear(d, 2 * d)  # values, then keys
        self.logit = nn.Linear(d, vocabulary)
        self.refiner = nn.Module()
        self.refiner.layers = nn.ModuleList(refining(d) for _ in range(layers))
        self.refiner.norm = LayerNorm(d)
        self.core = nn.Module()
        self.core.att_lstm = nn.LSTMCell(embed + d, d)
        self.core.att2ctx = nn.Sequential(nn.Linear(2 * d, 2 * d))
        self.core.attention = nn.Module()
        self.core.attention.norm = LayerNorm(d)
        self.core.attention.linears = nn.ModuleList([nn.Linear(d, d)])

    def forward(self, features: Tensor, caption: Tensor) -> tuple[Tensor, Tensor]:
        """`features (R, C)`, `caption (T,)` -> logits (T - 1, V), attention (T - 1, R)."""
        x = self.att_embed(features)
        for layer in self.refiner.layers:
            normal = layer.sublayer[0].norm(x)
            q, k, v = (linear(normal) for linear in layer.self_attn.linears)
            attended, _ = by_heads(q, k, v, self.heads)
            x = x + on_attention(layer.self_attn.aoa_layer[0], attended, normal)
        refined = self.refiner.norm(x)
        mean, d = refined.mean(dim=0), refined.shape[1]
        values, keys = self.ctx2att(refined)[:, :d], self.ctx2att(refined)[:, d:]
        h, c, context = (refined.new_zeros(d) for _ in range(3))
        logits, maps = [], []
        for word in caption[:-1]:
            h, c = self.core.att_lstm(torch.cat([self.embed(word), mean + context]), (h, c))
            query = self.core.attention.linears[0](self.core.attention.norm(h))
            attended, alpha = by_heads(query[None], keys, values, self.heads)
            context = on_attention(self.core.att2ctx[0], attended[0], h)
            logits.append(self.logit(context))
            maps.append(alpha[0])
        return torch.stack(logits), torch.stack(maps)
