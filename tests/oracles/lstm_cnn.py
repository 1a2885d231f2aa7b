"""Deeper LSTM Q + norm I in both public forms, in plain steps (VQA specification, section 4).

`DeeperLstm` is the authors' Torch code: words through a linear layer with a bias, LSTM gates in
the order input, forget, output, candidate with two biases each, state c1 h1 c2 h2. Its encoder's
512-to-1 layer, which receives no gradient, is there too. `BasicVqa` is the PyTorch variant, under
its published names. Dropout is left out: all comparisons are made without. No saccade in here.

Letters: B questions, T words, H hidden, C common width, D numbers per image.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from tests.oracles.agreement import Answered


class DeeperLstm(nn.Module):
    """The VQA paper's model as its authors released it."""

    def __init__(
        self,
        words: int,
        answers: int,
        image: int = 4096,
        *,
        embedding: int = 200,
        hidden: int = 512,
        common: int = 1024,
        fusion: Literal["AxB", "A_B"] = "AxB",
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(words, embedding)
        self.i2h_1, self.h2h_1 = nn.Linear(embedding, 4 * hidden), nn.Linear(hidden, 4 * hidden)
        self.i2h_2, self.h2h_2 = nn.Linear(hidden, 4 * hidden), nn.Linear(hidden, 4 * hidden)
        self.proj = nn.Linear(hidden, 1)  # an output nobody listens to
        self.question = nn.Linear(4 * hidden, common)
        self.image = nn.Linear(image, common)
        self.classifier = nn.Linear(common if fusion == "AxB" else 2 * common, answers)
        self.fusion, self.hidden = fusion, hidden
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)

    def cell(self, sums: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step of one layer: the new memory c and output h."""
        taken, kept, shown, candidate = sums.chunk(4)
        memory = torch.sigmoid(kept) * memory + torch.sigmoid(taken) * torch.tanh(candidate)
        return memory, torch.sigmoid(shown) * torch.tanh(memory)

    def read(self, words: list[int]) -> Tensor:
        """All that the LSTM knows after one question: c1 h1 c2 h2."""
        c1 = h1 = c2 = h2 = self.embedding.weight.new_zeros(self.hidden)
        for word in words:
            one_hot = torch.zeros_like(self.embedding.weight[0])
            one_hot[word] = 1
            vector = torch.tanh(self.embedding(one_hot))
            c1, h1 = self.cell(self.i2h_1(vector) + self.h2h_1(h1), c1)
            c2, h2 = self.cell(self.i2h_2(h1) + self.h2h_2(h2), c2)
        return torch.cat([c1, h1, c2, h2])

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, D)`; `question (B, T)` padded behind; `length (B,)`."""
        many = length.tolist()
        states = [self.read(words[:n]) for words, n in zip(question.tolist(), many, strict=True)]
        asked = torch.tanh(self.question(torch.stack(states)))
        length_one = image / (image * image).sum(dim=1, keepdim=True).sqrt()
        seen = torch.tanh(self.image(length_one))
        joint = asked * seen if self.fusion == "AxB" else torch.cat([asked, seen], dim=1)
        return Answered(self.classifier(joint))


class _Image(nn.Module):
    def __init__(self, image: int, common: int) -> None:
        super().__init__()
        self.fc = nn.Linear(image, common)

    def forward(self, image: Tensor) -> Tensor:
        projected: Tensor = self.fc(image)
        norm = projected.norm(p=2, dim=1, keepdim=True).detach()
        return projected / norm


class _Question(nn.Module):
    def __init__(self, words: int, embedding: int, hidden: int, common: int) -> None:
        super().__init__()
        self.word2vec = nn.Embedding(words, embedding)
        self.lstm = nn.LSTM(embedding, hidden, num_layers=2)
        self.fc = nn.Linear(4 * hidden, common)

    def forward(self, question: Tensor) -> Tensor:
        vectors = torch.tanh(self.word2vec(question)).transpose(0, 1)  # (T, B, E)
        _, (hidden, cell) = self.lstm(vectors)  # over the padding too
        both = torch.cat([hidden, cell], dim=2).transpose(0, 1)  # (B, layers, 2 H)
        projected: Tensor = self.fc(torch.tanh(both.reshape(len(both), -1)))
        return projected


class BasicVqa(nn.Module):
    """The PyTorch variant without its VGG."""

    def __init__(
        self,
        words: int,
        answers: int,
        image: int = 4096,
        *,
        embedding: int = 300,
        hidden: int = 512,
        common: int = 1024,
        positions: int = 30,
    ) -> None:
        super().__init__()
        self.img_encoder = _Image(image, common)
        self.qst_encoder = _Question(words, embedding, hidden, common)
        self.fc1 = nn.Linear(common, answers)
        self.fc2 = nn.Linear(answers, answers)
        self.positions = positions

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, D)`; `question (B, T)` padded behind with anything; `length (B,)`."""
        fixed = torch.zeros(len(question), self.positions, dtype=torch.int64)
        for row, many in enumerate(length.tolist()):
            fixed[row, :many] = question[row, :many]
        joint = torch.tanh(self.qst_encoder(fixed) * self.img_encoder(image))
        return Answered(self.fc2(torch.tanh(self.fc1(joint))))
