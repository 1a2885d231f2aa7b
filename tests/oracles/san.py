"""Stacked attention networks as the public codes compute them (VQA specification, section 5).

`Released` is the authors' Theano code under its published parameter names: matrices are [in, out];
the empty word is a row of zeros in front of `w_emb`, not a parameter. `attention="paper"` puts the
paper's own formula in the place of the released one. `Course` is the final model of the UCSD
course port (with its grid in the right order). Dropout is left out: all comparisons are made
without. What is as slow as the original: every question brings its own copy of its image, and
each look makes a tensor of the sum of every region with the question. No saccade in here.

Letters: B questions, T words, R regions, D numbers per region, H width of question and region.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from tests.oracles.agreement import Answered

FILTERS = {"unigram": 256, "bigram": 512, "trigram": 512}


class Released(nn.Module):
    """SAN with two looks and either reader."""

    def __init__(  # noqa: PLR0913 - one argument for each of the paper's sizes
        self,
        words: int,
        answers: int,
        image: int = 512,
        *,
        reader: Literal["lstm", "conv"] = "conv",
        attention: Literal["released", "paper"] = "released",
        embedding: int = 500,
        hidden: int = 1024,
        middle: int = 512,
        filters: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.attention = reader, attention
        self.filters = filters or FILTERS
        width = hidden if reader == "lstm" else sum(self.filters.values())
        self.w_emb = nn.Parameter(torch.empty(words, embedding).uniform_(-0.5, 0.5))
        self.layer("image_mlp", image, width)
        for look in ("1", "2"):
            self.layer(f"image_att_mlp_{look}", width, middle, bias=attention == "released")
            self.layer(f"sent_att_mlp_{look}", width, middle)
            self.layer(f"combined_att_mlp_{look}", middle, 1)
        self.layer("combined_mlp_0", width, answers)
        if reader == "conv":
            for n, (name, size) in enumerate(self.filters.items(), start=1):
                self.layer(f"conv_{name}", n * embedding, size)
        else:
            self.sent_lstm_w_x = nn.Parameter(torch.empty(embedding, 4 * width).normal_(std=0.3))
            self.sent_lstm_w_h = nn.Parameter(torch.empty(width, 4 * width).normal_(std=0.3))
            self.sent_lstm_b_h = nn.Parameter(torch.empty(4 * width).normal_(std=0.3))

    def layer(self, name: str, inputs: int, outputs: int, *, bias: bool = True) -> None:
        """Make NAME_w [in, out] and NAME_b."""
        weight = torch.empty(inputs, outputs).normal_(std=inputs**-0.5)
        setattr(self, f"{name}_w", nn.Parameter(weight))
        if bias:
            setattr(self, f"{name}_b", nn.Parameter(torch.empty(outputs).normal_(std=0.3)))

    def apply_layer(self, name: str, values: Tensor) -> Tensor:
        """Multiply by NAME_w and add NAME_b."""
        product = values @ getattr(self, f"{name}_w")
        return product + getattr(self, f"{name}_b") if hasattr(self, f"{name}_b") else product

    def vectors(self, ids: Tensor) -> Tensor:
        """Word vectors, those of padding zero."""
        empty = self.w_emb.new_zeros(1, self.w_emb.shape[1])
        return torch.cat([empty, self.w_emb])[ids]

    def read_lstm(self, question: Tensor, length: Tensor) -> Tensor:
        """From the last word to the first; where there is no word the state is kept."""
        backwards = torch.zeros_like(question)
        for row, many in enumerate(length.tolist()):
            backwards[row, :many] = question[row, :many].flip(0)
        hidden = memory = self.w_emb.new_zeros(len(question), self.sent_lstm_w_h.shape[0])
        for t in range(question.shape[1]):
            mask = (t < length)[:, None].to(hidden.dtype)
            sums = self.vectors(backwards[:, t]) @ self.sent_lstm_w_x
            sums = sums + hidden @ self.sent_lstm_w_h + self.sent_lstm_b_h
            taken, kept, shown, candidate = sums.chunk(4, dim=1)
            new = torch.sigmoid(taken) * torch.tanh(candidate) + torch.sigmoid(kept) * memory
            out = torch.sigmoid(shown) * new  # no tanh
            hidden = mask * out + (1 - mask) * hidden
            memory = mask * new + (1 - mask) * memory
        return hidden

    def read_conv(self, question: Tensor, length: Tensor) -> Tensor:
        """Best fit of every filter to any window, windows of padding included.

        The batch is filled up until three words of padding stand behind its longest question.
        """
        filled = functional.pad(question, (0, 3))
        place = torch.arange(filled.shape[1])
        vectors = self.vectors(torch.where(place < length[:, None], filled, 0))
        steps, best = vectors.shape[1], []
        for n, name in enumerate(self.filters, start=1):
            shifted = [vectors[:, i : steps - n + 1 + i] for i in range(n)]
            fits = torch.tanh(self.apply_layer(f"conv_{name}", torch.cat(shifted, dim=2)))
            best.append(fits.max(dim=1).values)
        return torch.cat(best, dim=1)

    def look(self, which: str, query: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the regions by the query: weights (B, R) and the query with what was seen."""
        seen = self.apply_layer(f"image_att_mlp_{which}", regions)
        asked = self.apply_layer(f"sent_att_mlp_{which}", query)
        name = f"combined_att_mlp_{which}"
        if self.attention == "released":
            joint = torch.tanh(seen) + torch.tanh(asked)[:, None, :]
            scores = torch.tanh(self.apply_layer(name, joint))
        else:
            scores = self.apply_layer(name, torch.tanh(seen + asked[:, None, :]))
        weights = functional.softmax(scores.squeeze(2), dim=1)
        return weights, (weights[:, :, None] * regions).sum(dim=1) + query

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, R, D)`; `question (B, T)` padded behind with anything; `length (B,)`."""
        read = self.read_lstm if self.reader == "lstm" else self.read_conv
        query = read(question, length)
        regions = torch.tanh(self.apply_layer("image_mlp", image))
        first, query = self.look("1", query, regions)
        second, query = self.look("2", query, regions)
        return Answered(
            self.apply_layer("combined_mlp_0", query), torch.stack([first, second], dim=1)
        )


class Course(nn.Module):
    """The UCSD port's question and attention models and its image model's last layer."""

    def __init__(
        self,
        words: int,
        answers: int,
        image: int = 512,
        *,
        embedding: int = 1000,
        hidden: int = 1024,
        middle: int = 512,
    ) -> None:
        super().__init__()
        self.classifier = nn.Linear(image, hidden)
        self.embed = nn.Embedding(words, embedding, padding_idx=0)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        nn.init.xavier_uniform_(self.embed.weight)
        self.image1 = nn.Linear(hidden, middle, bias=False)
        self.question1 = nn.Linear(hidden, middle)
        self.attention1 = nn.Linear(middle, 1)
        self.image2 = nn.Linear(hidden, middle, bias=False)
        self.question2 = nn.Linear(hidden, middle)
        self.attention2 = nn.Linear(middle, 1)
        self.answer_dist = nn.Linear(hidden, answers)

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, R, D)`; `question (B, T)` padded behind with anything; `length (B,)`."""
        packed = pack_padded_sequence(
            self.embed(question), length, batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        query, regions = hidden[0], torch.tanh(self.classifier(image))
        joint = torch.tanh(self.image1(regions) + self.question1(query).unsqueeze(1))
        first = functional.softmax(self.attention1(joint), dim=1)
        query = (first * regions).sum(dim=1) + query
        joint = torch.tanh(self.image2(regions) + self.question2(query).unsqueeze(1))
        second = functional.softmax(self.attention2(joint), dim=1)
        query = (second * regions).sum(dim=1) + query
        maps = torch.cat([first, second], dim=2).transpose(1, 2)
        return Answered(self.answer_dist(query), maps)
