"""iBOWIMG as the public Torch code computes it, in plain steps (VQA specification, section 3).

Weights have the released shapes, which stand one after the other in the released flat vector:
W_e (E x V), then W_c (A x (E + D)). No saccade in here.

Letters: B questions, V words, E word width, D numbers per image, A answers.
"""

import torch
from torch import Tensor, nn

from tests.oracles.agreement import Answered


class IBowImg(nn.Module):
    """A log-linear model of which words occur and of the image."""

    def __init__(self, words: int, answers: int, image: int = 1024, word: int = 1024) -> None:
        super().__init__()
        self.W_e = nn.Parameter(torch.empty(word, words).uniform_(-(words**-0.5), words**-0.5))
        joint = word + image
        self.W_c = nn.Parameter(torch.empty(answers, joint).uniform_(-(joint**-0.5), joint**-0.5))

    def forward(self, image: Tensor, question: Tensor, length: Tensor) -> Answered:
        """`image (B, D)`; `question (B, T)` padded behind; `length (B,)`."""
        bag = torch.zeros(len(question), self.W_e.shape[1], dtype=self.W_e.dtype)
        for row, (words, many) in enumerate(zip(question.tolist(), length.tolist(), strict=True)):
            for word in words[:many]:
                bag[row, word] = 1  # is there or is not: a word said twice counts once
        joint = torch.cat([bag @ self.W_e.T, image], dim=1)
        return Answered(joint @ self.W_c.T)
