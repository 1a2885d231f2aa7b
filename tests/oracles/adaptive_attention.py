"""Adaptive attention in its two public forms, in plain steps: captioning specification, section 3.

`Paper` follows the equations of 3.1 under the names of the PyTorch port (3.4), `AdaAtt` the
released network (3.2) under the names of its port (3.3). Every caption brings its own image,
every word looks again. No saccade in here.

Letters: B captions, k regions, C channels, E word vector, H hidden, V vocabulary, T length.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Told(NamedTuple):
    """What the model gives back for every word of a caption."""

    logits: Tensor  # (B, T - 1, V)
    alpha: Tensor  # (B, T - 1, k + 1): attention with the sentinel last, sums to 1
    identity: Tensor  # scalar: how far the two ways to write c-hat are apart (specification 3.1)


class Affines(nn.Module):
    """Some linear layers under the port's names."""

    def __init__(self, bias: bool, **shapes: tuple[int, int]) -> None:
        super().__init__()
        for name, (inputs, outputs) in shapes.items():
            setattr(self, name, nn.Linear(inputs, outputs, bias=bias))


class Paper(nn.Module):
    """The paper's equations; the fully connected image vector is as wide as a word vector."""

    def __init__(self, vocabulary: int, channels: int, embed: int, hidden: int, k: int) -> None:
        super().__init__()
        self.encoder = Affines(True, affine_a=(channels, hidden), affine_b=(channels, embed))
        self.decoder = nn.Module()
        self.decoder.embed = nn.Embedding(vocabulary, embed)
        self.decoder.LSTM = nn.LSTM(2 * embed, hidden, batch_first=True)
        self.decoder.adaptive = nn.Module()
        self.decoder.adaptive.sentinel = Affines(
            False, affine_x=(2 * embed, hidden), affine_h=(hidden, hidden)
        )
        self.decoder.adaptive.atten = Affines(
            False, affine_v=(hidden, k), affine_g=(hidden, k), affine_s=(hidden, k), affine_h=(k, 1)
        )
        self.decoder.adaptive.mlp = nn.Linear(hidden, vocabulary)

    def forward(self, features: Tensor, caption: Tensor) -> Told:
        """One image `features (k, C)`, one `caption (T,)`; B = 1. Dropout is left out."""
        head, tail = self.encoder, self.decoder.adaptive
        v = torch.relu(head.affine_a(features))  # (k, H)
        v_g = torch.relu(head.affine_b(features.mean(dim=0)))  # (E,)
        state, h_before = None, torch.zeros_like(v[0])
        logits, alphas, apart = [], [], []
        for word in caption[:-1]:
            x = torch.cat([self.decoder.embed(word), v_g])
            output, state = self.decoder.LSTM(x[None, None], state)
            h, m = output[0, 0], state[1][0, 0]
            g = torch.sigmoid(tail.sentinel.affine_x(x) + tail.sentinel.affine_h(h_before))
            s = g * torch.tanh(m)
            w = tail.atten
            z = w.affine_h(torch.tanh(w.affine_v(v) + w.affine_g(h))).squeeze(1)  # (k,)
            c = functional.softmax(z, dim=0) @ v
            z_s = w.affine_h(torch.tanh(w.affine_s(s) + w.affine_g(h)))  # (1,)
            alpha_hat = functional.softmax(torch.cat([z, z_s]), dim=0)  # (k + 1,)
            beta = alpha_hat[-1]
            c_hat = beta * s + (1 - beta) * c
            apart.append((c_hat - (alpha_hat[:-1] @ v + beta * s)).abs().max())
            logits.append(tail.mlp(c_hat + h))
            alphas.append(alpha_hat)
            h_before = h
        return Told(torch.stack(logits)[None], torch.stack(alphas)[None], max(apart))


class AdaAtt(nn.Module):
    """The released network; gates in the order in, forget, out, candidate. With `maxout` there are
    two candidates, of which the greater one counts (ruotianluo's `adaattmo`).
    """

    def __init__(self, vocabulary: int, channels: int, width: int, maxout: bool = False) -> None:
        super().__init__()
        d, sums = width, (5 if maxout else 4) * width
        self.embed = nn.Sequential(nn.Embedding(vocabulary, d), nn.ReLU())
        self.fc_embed = nn.Sequential(nn.Linear(channels, d), nn.ReLU())
        self.att_embed = nn.Sequential(nn.Linear(channels, d), nn.ReLU())
        self.ctx2att = nn.Linear(d, d)
        self.logit = nn.Linear(d, vocabulary)
        self.core = nn.Module()
        self.core.lstm = Affines(
            True, w2h=(d, sums), v2h=(d, sums), r_w2h=(d, d), r_v2h=(d, d), r_h2h=(d, d)
        )
        self.core.lstm.h2h = nn.ModuleList([nn.Linear(d, sums)])
        self.core.attention = Affines(
            True, fr_embed=(d, d), ho_embed=(d, d), alpha_net=(d, 1), att2h=(d, d)
        )
        self.core.attention.fr_linear = nn.Sequential(nn.Linear(d, d), nn.ReLU())
        self.core.attention.ho_linear = nn.Sequential(nn.Linear(d, d), nn.Tanh())
        self.width, self.maxout = width, maxout

    def forward(self, features: Tensor, caption: Tensor) -> Told:
        """One image `features (k, C)`, one `caption (T,)`; B = 1. Dropout is left out."""
        d, cell, look = self.width, self.core.lstm, self.core.attention
        v = self.att_embed(features)  # (k, d)
        v_embed = self.ctx2att(v)
        v_g = self.fc_embed(features.mean(dim=0))
        h, c = torch.zeros_like(v_g), torch.zeros_like(v_g)
        logits, alphas = [], []
        for word in caption[:-1]:
            x, h_before = self.embed(word), h
            sums = cell.w2h(x) + cell.v2h(v_g) + cell.h2h[0](h_before)
            gate_in, gate_forget = sums[:d].sigmoid(), sums[d : 2 * d].sigmoid()
            gate_out, rest = sums[2 * d : 3 * d].sigmoid(), sums[3 * d :]
            candidate = torch.maximum(rest[:d], rest[d:]) if self.maxout else rest.tanh()
            c = gate_forget * c + gate_in * candidate
            h = gate_out * torch.tanh(c)
            gate = torch.sigmoid(cell.r_w2h(x) + cell.r_v2h(v_g) + cell.r_h2h(h_before))
            s = look.fr_linear(gate * torch.tanh(c))
            h_linear = look.ho_linear(h)
            tokens = torch.cat([s[None], v])  # sentinel first
            embedded = torch.cat([look.fr_embed(s)[None], v_embed])
            scores = look.alpha_net(torch.tanh(embedded + look.ho_embed(h_linear))).squeeze(1)
            pi = functional.softmax(scores, dim=0)  # (k + 1,)
            context = pi @ tokens
            logits.append(self.logit(torch.tanh(look.att2h(context + h_linear))))
            alphas.append(torch.cat([pi[1:], pi[:1]]))
        return Told(torch.stack(logits)[None], torch.stack(alphas)[None], torch.zeros(()))
