"""Show, Ask, Attend, and Answer as the public PyTorch code computes it, in plain steps.

Parameters carry the published names and shapes (`text.lstm.weight_ih_l0`,
`attention.v_conv.weight`, ...), so that a published state dict, or one made after the published
table of shapes, loads as it is. No saccade in here.

What is on purpose as slow as the original: each question brings its own copy of its image,
channels first; scaling to length 1 writes the whole image again; the projection is a 1 x 1
convolution over it; the weighted sum multiplies out every cell, channel and glimpse.

Letters: B questions, C channels, S x S cells, T words, H question width, A attention width,
G glimpses, N answers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence


class Answered(NamedTuple):
    """What the model gives back for a batch of questions."""

    logits: Tensor  # (B, N)
    attention: Tensor  # (B, G, S * S): each glimpse sums to 1 over the cells, row by row


class Text(nn.Module):
    """Reads a question and keeps the LSTM's last memory, not its last output."""

    def __init__(self, words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=0)
        self.lstm = nn.LSTM(embedding, hidden, num_layers=1)
        self.dropout = dropout
        nn.init.xavier_uniform_(self.embedding.weight)  # row 0 too, which then never learns
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.detach().chunk(4, dim=0):
                    nn.init.xavier_uniform_(gate)

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        vectors = functional.dropout(self.embedding(question), self.dropout, self.training)
        packed = pack_padded_sequence(
            torch.tanh(vectors), length.tolist(), batch_first=True, enforce_sorted=False
        )
        _, (_, memory) = self.lstm(packed)
        last: Tensor = memory.squeeze(0)  # (B, H)
        return last


class Attention(nn.Module):
    """Scores every cell for every glimpse."""

    def __init__(
        self, channels: int, question: int, middle: int, glimpses: int, dropout: float
    ) -> None:
        super().__init__()
        self.v_conv = nn.Conv2d(channels, middle, 1, bias=False)
        self.q_lin = nn.Linear(question, middle)
        self.x_conv = nn.Conv2d(middle, glimpses, 1)
        self.dropout = dropout

    def forward(self, image: Tensor, question: Tensor) -> Tensor:
        seen = self.v_conv(functional.dropout(image, self.dropout, self.training))
        asked = self.q_lin(functional.dropout(question, self.dropout, self.training))
        spread = asked[:, :, None, None].expand_as(seen)  # the same at every cell
        together = functional.relu(seen + spread)
        scores: Tensor = self.x_conv(functional.dropout(together, self.dropout, self.training))
        return scores  # (B, G, S, S)


class Classifier(nn.Module):
    """From what was seen and asked to one score per answer."""

    def __init__(self, joint: int, hidden: int, answers: int, dropout: float) -> None:
        super().__init__()
        self.lin1 = nn.Linear(joint, hidden)
        self.lin2 = nn.Linear(hidden, answers)
        self.dropout = dropout

    def forward(self, joint: Tensor) -> Tensor:
        joint = functional.dropout(joint, self.dropout, self.training)
        hidden = functional.relu(self.lin1(joint))
        hidden = functional.dropout(hidden, self.dropout, self.training)
        logits: Tensor = self.lin2(hidden)
        return logits


class ShowAskAttendAnswer(nn.Module):
    """The whole network (VQA specification, section 6)."""

    def __init__(  # noqa: PLR0913 - one argument for each of the paper's sizes
        self,
        words: int,
        answers: int,
        channels: int = 2048,
        *,
        embedding: int = 300,
        question: int = 1024,
        attention: int = 512,
        glimpses: int = 2,
        hidden: int = 1024,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.text = Text(words, embedding, question, dropout)
        self.attention = Attention(channels, question, attention, glimpses, dropout)
        self.classifier = Classifier(glimpses * channels + question, hidden, answers, dropout)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, C, S, S)`, one a question; `question (B, T)` padded with 0; length (B,)."""
        asked = self.text(question, length)
        image = image / (image.norm(p=2, dim=1, keepdim=True) + 1e-8)
        scores = self.attention(image, asked)
        seen, weights = attend(image, scores)
        logits = self.classifier(torch.cat([seen, asked], dim=1))
        return Answered(logits, weights)


def attend(image: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of the image, glimpse after glimpse: (B, G * C), and the weights."""
    batch, channels = image.shape[:2]
    glimpses = scores.shape[1]
    weights = functional.softmax(scores.view(batch, glimpses, -1), dim=-1)  # (B, G, S * S)
    every_cell = image.reshape(batch, 1, channels, -1) * weights.unsqueeze(2)
    return every_cell.sum(dim=-1).view(batch, -1), weights


def loss(logits: Tensor, counts: Tensor) -> Tensor:
    """Soft cross-entropy; `counts (B, N)` is how many of ten people gave each listed answer.

    Where an answer is not in the list, a question's weights sum to less than 1.
    """
    negative_log_p = -functional.log_softmax(logits, dim=1)
    return (negative_log_p * counts / 10).sum(dim=1).mean()


def dense_counts(answers: Tensor, counts: Tensor, size: int) -> Tensor:
    """Answer ids (B, M) and their counts (B, M) as one row of `size` numbers per question."""
    dense = torch.zeros(len(answers), size)
    for row, (ids, weights) in enumerate(zip(answers.tolist(), counts.tolist(), strict=True)):
        for answer, weight in zip(ids, weights, strict=True):
            dense[row, answer] += weight
    return dense
