"""The Up-Down captioner of ruotianluo's port, in plain steps: captioning specification, 4.5.

Published names; every caption brings its own image; word by word, over padding too, as the
original does. No saccade in here.

Letters: B captions, R regions, C channels, V vocabulary, T caption length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class UpDown(nn.Module):
    """`att_lstm` hears [last words' state, mean region, word]; `lang_lstm` [seen, att_lstm]."""

    def __init__(
        self, vocabulary: int, channels: int, embed: int, rnn: int, att: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(vocabulary, embed), nn.ReLU(), nn.Dropout(dropout))
        self.fc_embed = nn.Sequential(nn.Linear(channels, rnn), nn.ReLU(), nn.Dropout(dropout))
        self.att_embed = nn.Sequential(nn.Linear(channels, rnn), nn.ReLU(), nn.Dropout(dropout))
        self.ctx2att = nn.Linear(rnn, att)
        self.logit = nn.Linear(rnn, vocabulary)
        self.core = nn.Module()
        self.core.att_lstm = nn.LSTMCell(embed + 2 * rnn, rnn)
        self.core.lang_lstm = nn.LSTMCell(2 * rnn, rnn)
        self.core.attention = nn.Module()
        self.core.attention.h2att = nn.Linear(rnn, att)
        self.core.attention.alpha_net = nn.Linear(att, 1)
        self.dropout = dropout

    def forward(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`features (B, R, C)`, `captions (B, T)` -> logits (B, T - 1, V), alphas (B, T - 1, R)."""
        core, attention = self.core, self.core.attention
        regions = self.att_embed(features)  # (B, R, rnn)
        projected = self.ctx2att(regions)
        mean = self.fc_embed(features.mean(dim=1))
        h1 = c1 = h2 = c2 = torch.zeros_like(mean)
        logits, alphas = [], []
        for t in range(captions.shape[1] - 1):
            heard = torch.cat([h2, mean, self.embed(captions[:, t])], dim=1)
            h1, c1 = core.att_lstm(heard, (h1, c1))
            joint = torch.tanh(projected + attention.h2att(h1).unsqueeze(1))
            alpha = functional.softmax(attention.alpha_net(joint).squeeze(2), dim=1)
            seen = (alpha.unsqueeze(2) * regions).sum(dim=1)
            h2, c2 = core.lang_lstm(torch.cat([seen, h1], dim=1), (h2, c2))
            logits.append(self.logit(functional.dropout(h2, self.dropout, self.training)))
            alphas.append(alpha)
        return torch.stack(logits, dim=1), torch.stack(alphas, dim=1)
