"""Deeper LSTM Q + norm I, the VQA paper's model. Antol et al., ICCV 2015, arXiv:1505.00468.

A two-layer LSTM reads the question, and all it remembers at the end (memories and outputs of both
layers) is projected to one vector; the image's vector, scaled to length 1, is projected to
another. Their product, number by number, chooses the answer.

Two public codes are followed to the letter. `form="paper"`: GT-Vision-Lab/VQA_LSTM_CNN, the
authors' own. `form="basic_vqa"`: tbmoon/basic_vqa, a widely copied PyTorch variant that puts
tanh, scaling and dropout elsewhere, adds a hidden layer, and lets padding run through its LSTM.
Differs: images are projected once for all their questions, which so share a dropout mask; a
image given as several regions is seen as their mean; basic_vqa's forgotten dropout inside the
frozen VGG is left out, and so is a 512-to-1 layer of the paper's code that never learns.

Shapes: B questions, I images, T words, D numbers per image, H hidden, C common width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import LstmCnnConfig
from saccade.models.layers import Dropout, mean_region


class LstmCnn(nn.Module):
    """Answers a question from its LSTM memories and one vector of the image."""

    def __init__(self, config: LstmCnnConfig, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.is_paper = config, config.form == "paper"
        self.embed = nn.Embedding(sizes.words, config.embedding)
        # The paper's words are one-hot vectors through a linear layer, which has a bias.
        bias = nn.Parameter(torch.zeros(config.embedding)) if self.is_paper else None
        self.register_parameter("embed_bias", bias)
        self.read = nn.LSTM(
            config.embedding,
            config.hidden,
            config.layers,
            batch_first=True,
            dropout=config.dropout if self.is_paper and config.layers > 1 else 0.0,
        )
        self.ask = nn.Linear(2 * config.layers * config.hidden, config.common)
        self.see = nn.Linear(sizes.region_dim, config.common)
        joint = config.common * (1 if config.fusion == "product" else 2)
        if not self.is_paper:
            self.hidden = nn.Linear(joint, sizes.answers)
            joint = sizes.answers
        self.answer = nn.Linear(joint, sizes.answers)
        self.dropout = Dropout(config.dropout)
        if self.is_paper:
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -0.08, 0.08)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        question = self._remember(batch)  # (B, 2 * layers * H)
        image = mean_region(batch.regions, batch.region_mask)  # (I, D)
        if self.is_paper:
            image = functional.normalize(image) if self.config.normalise else image
            asked = torch.tanh(self.ask(self.dropout(question)))  # (B, C)
            seen = torch.tanh(self.see(self.dropout(image)))  # (I, C)
            return VqaOutput(self.answer(self.dropout(self._fuse(asked, seen[batch.image]))))
        asked, seen = self.ask(torch.tanh(question)), self.see(image)
        if self.config.normalise:  # the length counts as a constant: no gradient goes through it
            seen = seen / seen.detach().norm(dim=1, keepdim=True).clamp_min(1e-12)
        joint = self.dropout(torch.tanh(self._fuse(asked, seen[batch.image])))
        return VqaOutput(self.answer(self.dropout(torch.tanh(self.hidden(joint)))))

    def _fuse(self, asked: Tensor, seen: Tensor) -> Tensor:
        return asked * seen if self.config.fusion == "product" else torch.cat([asked, seen], dim=1)

    def _remember(self, batch: VqaBatch) -> Tensor:
        """All that the LSTM knows after the question, layer by layer: (B, 2 * layers * H)."""
        words, length = batch.question, batch.question_length
        if self.config.padded_to:
            words = functional.pad(words, (0, self.config.padded_to))[:, : self.config.padded_to]
            real = torch.arange(self.config.padded_to, device=words.device) < length[:, None]
            words = words * real  # padding is word 0, whatever stood behind the question
            _, (hidden, memory) = self.read(self._vectors(words))
        else:
            packed = pack_padded_sequence(
                words, length.cpu(), batch_first=True, enforce_sorted=False
            )
            _, (hidden, memory) = self.read(packed._replace(data=self._vectors(packed.data)))
        first, second = (memory, hidden) if self.is_paper else (hidden, memory)
        return torch.stack([first, second], dim=1).permute(2, 0, 1, 3).flatten(1)

    def _vectors(self, words: Tensor) -> Tensor:
        if self.is_paper:
            return torch.tanh(self.dropout(self.embed(words) + self.embed_bias))
        return torch.tanh(self.embed(words))
