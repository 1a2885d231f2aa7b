"""Show and Tell in its three public forms, in plain steps: captioning specification, section 1.

Parameters carry the published names and shapes, so that a published state dict loads as it is.
Every caption brings its own image; everything is done word by word, over padding too where the
original does so. No saccade in here.

Letters: B captions, C encoder channels, M word vector, H hidden, V vocabulary, T caption length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class DecoderWithRNN(nn.Module):
    """The course form (1.3): a flattened image, batch norm, one LSTM cell for everything."""

    def __init__(
        self, vocabulary: int, encoder_dim: int, *, width: int = 512, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.decode_step = nn.LSTMCell(width, width)
        self.init = nn.Linear(encoder_dim, width)
        self.bn = nn.BatchNorm1d(width)
        self.fc = nn.Linear(width, vocabulary)
        self.dropout = dropout

    def forward(self, encoder_out: Tensor, captions: Tensor, lengths: Tensor) -> Tensor:
        """`encoder_out (B, S, S, C)` or, mean-pooled, (B, C) -> predictions (B, T - 1, V)."""
        batch = len(encoder_out)
        image = self.bn(self.init(encoder_out.reshape(batch, -1)))
        zero = torch.zeros(batch, self.decode_step.hidden_size, dtype=image.dtype)
        hidden, memory = self.decode_step(image, (zero, zero))
        predictions = torch.zeros(
            batch, captions.shape[1] - 1, self.fc.out_features, dtype=image.dtype
        )
        for t in range(int(lengths.max()) - 1):
            n = int((lengths - 1 > t).sum())  # longest first
            hidden, memory = self.decode_step(
                self.embedding(captions[:n, t]), (hidden[:n], memory[:n])
            )
            predictions[:n, t] = self.fc(functional.dropout(hidden, self.dropout, self.training))
        return predictions


class ShowTellModel(nn.Module):
    """The image-as-first-word form (1.2): one LSTM without biases hears image, start, words."""

    def __init__(self, vocabulary: int, encoder_dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.img_embed = nn.Linear(encoder_dim, width)
        self.core = nn.LSTM(width, width, 1, bias=False)
        self.embed = nn.Embedding(vocabulary, width)
        self.logit = nn.Linear(width, vocabulary)
        self.dropout = dropout

    def forward(self, pooled: Tensor, captions: Tensor, _lengths: Tensor) -> Tensor:
        """`pooled (B, C)` -> logits (B, T - 1, V); what is said of the image alone is dropped."""
        _, state = self.core(self.img_embed(pooled).unsqueeze(0))
        said = []
        for t in range(captions.shape[1] - 1):
            output, state = self.core(self.embed(captions[:, t]).unsqueeze(0), state)
            output = functional.dropout(output.squeeze(0), self.dropout, self.training)
            said.append(self.logit(output))
        return torch.stack(said, dim=1)


class MaxoutCore(nn.Module):
    """One step of the maxout LSTM: in, forget and out gate, then the greater of two candidates."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(width, 5 * width)
        self.h2h = nn.Linear(width, 5 * width)
        self.width = width

    def forward(self, x: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        sums = self.i2h(x) + self.h2h(hidden)
        w = self.width
        gate_in, gate_forget = sums[:, :w].sigmoid(), sums[:, w : 2 * w].sigmoid()
        gate_out = sums[:, 2 * w : 3 * w].sigmoid()
        candidate = torch.max(sums[:, 3 * w : 4 * w], sums[:, 4 * w :])  # no tanh
        memory = gate_forget * memory + gate_in * candidate
        return gate_out * torch.tanh(memory), memory


class NewFCModel(nn.Module):
    """The FC model of self-critical training (1.2)."""

    def __init__(self, vocabulary: int, encoder_dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.fc_embed = nn.Linear(encoder_dim, width)
        self.embed = nn.Embedding(vocabulary, width)
        self._core = MaxoutCore(width)
        self.logit = nn.Linear(width, vocabulary)
        self.dropout = dropout

    def forward(self, pooled: Tensor, captions: Tensor, _lengths: Tensor) -> Tensor:
        """`pooled (B, C)` -> logits (B, T - 1, V)."""
        zero = torch.zeros(len(pooled), self._core.width, dtype=pooled.dtype)
        hidden, memory = self._core(self.fc_embed(pooled), zero, zero)
        said = []
        for t in range(captions.shape[1] - 1):
            hidden, memory = self._core(self.embed(captions[:, t]), hidden, memory)
            said.append(self.logit(functional.dropout(hidden, self.dropout, self.training)))
        return torch.stack(said, dim=1)


def loss(predictions: Tensor, captions: Tensor, lengths: Tensor) -> Tensor:
    """Mean cross-entropy over the words to be said, the end word included."""
    terms = [
        functional.cross_entropy(predictions[row, : n - 1], captions[row, 1:n], reduction="sum")
        for row, n in enumerate(lengths.tolist())
    ]
    return torch.stack(terms).sum() / (lengths - 1).sum()
