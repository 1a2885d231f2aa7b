"""Att2in of ruotianluo's port (`att2in2`), in plain steps: Rennie et al. 2017, 2.2, equations of
the LSTM written out gate by gate. Published names; one image and one caption; no saccade in here.

Letters: R regions, C channels, V vocabulary, T caption length, d width of the LSTM.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Att2in2(nn.Module):
    """`core.i2h` and `core.h2h` hold in, forget, out and two candidates; `core.a2c` the image's."""

    def __init__(self, vocabulary: int, channels: int, embed: int, rnn: int, att: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(vocabulary, embed), nn.ReLU())
        self.att_embed = nn.Sequential(nn.Linear(channels, rnn), nn.ReLU())
        self.ctx2att = nn.Linear(rnn, att)
        self.logit = nn.Linear(rnn, vocabulary)
        self.core = nn.Module()
        self.core.i2h = nn.Linear(embed, 5 * rnn)
        self.core.h2h = nn.Linear(rnn, 5 * rnn)
        self.core.a2c = nn.Linear(rnn, 2 * rnn)
        self.core.attention = nn.Module()
        self.core.attention.h2att = nn.Linear(rnn, att)
        self.core.attention.alpha_net = nn.Linear(att, 1)

    def forward(self, features: Tensor, caption: Tensor) -> tuple[Tensor, Tensor]:
        """`features (R, C)`, `caption (T,)` -> logits (T - 1, V), alphas (T - 1, R)."""
        core, look = self.core, self.core.attention
        v = self.att_embed(features)  # (R, d)
        d = v.shape[1]
        h, c = v.new_zeros(d), v.new_zeros(d)
        logits, alphas = [], []
        for word in caption[:-1]:
            scores = look.alpha_net(torch.tanh(self.ctx2att(v) + look.h2att(h))).squeeze(1)
            alpha = functional.softmax(scores, dim=0)
            image = core.a2c(alpha @ v)  # of the two candidates
            sums = core.i2h(self.embed(word)) + core.h2h(h)
            gate_in, gate_forget, gate_out = (sums[k * d : (k + 1) * d].sigmoid() for k in range(3))
            first, second = (sums[(3 + k) * d : (4 + k) * d] + image[k * d :][:d] for k in (0, 1))
            c = gate_forget * c + gate_in * torch.maximum(first, second)
            h = gate_out * torch.tanh(c)
            logits.append(self.logit(h))
            alphas.append(alpha)
        return torch.stack(logits), torch.stack(alphas)
