"""Deeper LSTM Q + norm I, the VQA paper's model. Antol et al., ICCV 2015, arXiv:1505.00468.

A two-layer LSTM reads the question; its last cell and hidden states of both layers are projected
to one vector; the image's vector, scaled to length 1, is projected to another. Their element-wise
product chooses the answer.

Follows two public codes exactly. `form="paper"`: GT-Vision-Lab/VQA_LSTM_CNN, the authors' own.
`form="basic_vqa"`: tbmoon/basic_vqa, a widely copied PyTorch variant that puts tanh, scaling and
dropout elsewhere, adds a hidden layer, and lets padding run through its LSTM.
Differs: images are projected once for all their questions, which so share a dropout mask; an
image given as several regions is represented by their mean; basic_vqa's forgotten dropout inside
the frozen VGG is left out, and so is a 512-to-1 layer of the paper's code that is never trained.

Shapes: B questions, I images, T words, E word width, D numbers per image, H hidden, C common width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import LstmCnnConfig
from saccade.models.fast_rnn import Dropout
from saccade.models.layers import mean_region, pack_words, real_words
from saccade.models.padded_rnn import read_all, read_words


class LstmCnn(nn.Module):
    """VQA by the product of an LSTM's question vector and one vector of the image."""

    def __init__(self, config: LstmCnnConfig, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.is_paper = config, config.form == "paper"
        self.embed = nn.Embedding(sizes.words, config.embedding)
        # The paper's words are one-hot vectors through a linear layer, which has a bias.
        bias = nn.Parameter(torch.zeros(config.embedding)) if self.is_paper else None
        self.register_parameter("embed_bias", bias)
        self.question_encoder = nn.LSTM(
            config.embedding,
            config.hidden,
            config.layers,
            batch_first=True,
            dropout=config.dropout if self.is_paper and config.layers > 1 else 0.0,
        )
        self.project_question = nn.Linear(2 * config.layers * config.hidden, config.common)
        self.project_image = nn.Linear(sizes.region_dim, config.common)
        joint = config.common * (1 if config.fusion == "product" else 2)
        if not self.is_paper:
            self.hidden = nn.Linear(joint, sizes.answers)
            joint = sizes.answers
        self.output = nn.Linear(joint, sizes.answers)
        self.dropout = Dropout(config.dropout)
        if self.is_paper:
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -0.08, 0.08)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        question = self.encode_question(batch)  # (B, 2 * layers * H)
        image = mean_region(batch.regions, batch.region_mask)  # (I, D)
        if self.is_paper:
            image = functional.normalize(image) if self.config.normalise else image
            question = torch.tanh(self.project_question(self.dropout(question)))  # (B, C)
            image = torch.tanh(self.project_image(self.dropout(image)))  # (I, C)
            return VqaOutput(self.output(self.dropout(self._fuse(question, image[batch.image]))))
        question = self.project_question(torch.tanh(question))  # (B, C)
        image = self.project_image(image)  # (I, C)
        if self.config.normalise:  # the length counts as a constant: no gradient goes through it
            image = image / image.detach().norm(dim=1, keepdim=True).clamp_min(1e-12)
        joint = self.dropout(torch.tanh(self._fuse(question, image[batch.image])))
        return VqaOutput(self.output(self.dropout(torch.tanh(self.hidden(joint)))))

    def _fuse(self, question: Tensor, image: Tensor) -> Tensor:
        if self.config.fusion == "product":
            return question * image
        return torch.cat([question, image], dim=1)

    def encode_question(self, batch: VqaBatch) -> Tensor:
        """Last states of the LSTM, layer by layer: (B, 2 * layers * H)."""
        words, length = batch.question, batch.question_length
        if limit := self.config.padded_to:
            words = functional.pad(words, (0, limit))[:, :limit]
            words = words * real_words(length, limit)  # padding is word 0, whatever stood there
            _, (hidden, memory) = read_all(self.question_encoder, self._embed(words))
        else:
            packed = pack_words(words, length, self._embed)
            _, (hidden, memory) = read_words(self.question_encoder, packed)
        first, second = (memory, hidden) if self.is_paper else (hidden, memory)
        return torch.stack([first, second], dim=1).permute(2, 0, 1, 3).flatten(1)

    def _embed(self, words: Tensor) -> Tensor:
        if self.is_paper:
            return torch.tanh(self.dropout(self.embed(words) + self.embed_bias))
        return torch.tanh(self.embed(words))
