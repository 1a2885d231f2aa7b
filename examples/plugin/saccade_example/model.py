"""Gated fusion: the question decides, number by number, how much of the image is let through.

The smallest model that uses both inputs: a bag of word vectors, the mean region, a sigmoid gate and
one linear layer. Written for this example; no paper.

Shapes: B questions, I images, T words, R regions, D numbers per region, E width, A answers.
"""

import torch
from torch import nn

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade_example.lines import GatedFusionConfig


class GatedFusion(nn.Module):
    """Answers a question from the words in it and the gated mean of the image's regions."""

    def __init__(self, config: GatedFusionConfig, sizes: Sizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.gate = nn.Linear(config.embedding, sizes.region_dim)
        self.classifier = nn.Linear(config.embedding + sizes.region_dim, sizes.answers)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        real = torch.arange(batch.question.shape[1], device=batch.question.device)
        real = (real < batch.question_length[:, None]).unsqueeze(2)  # (B, T, 1)
        words = (self.embed(batch.question) * real).sum(1) / batch.question_length[
            :, None
        ]  # (B, E)
        mask = batch.region_mask.unsqueeze(2)  # (I, R, 1)
        image = (batch.regions * mask).sum(1) / mask.sum(1).clamp_min(1)  # (I, D)
        gated = self.gate(words).sigmoid() * image[batch.image]  # (B, D)
        return VqaOutput(self.classifier(torch.cat([words, gated], dim=1)))  # (B, A)
