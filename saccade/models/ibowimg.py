"""iBOWIMG: a bag of words and an image vector. Zhou et al. 2015, arXiv:1512.02167.

Which words occur in the question (not where, nor how often) becomes one vector; it stands beside
the image's vector, and one linear layer scores the answers. No hidden layer, no nonlinearity,
no dropout: what a score owes to each word and to the image simply adds up. A baseline that
stood close to far larger models, and so a measure of how much of VQA is guessing well.

Follows the public code (metalbubble/VQAbaseline): neither layer has a bias, but the two blind
variants have one. Differs: an image that is given as several regions is seen as their mean.

Shapes: B questions, I images, T words, D numbers per image, E word width, A answers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import IBowImgConfig
from saccade.models.layers import mean_region


class IBowImg(nn.Module):
    """Answers a question from the words in it and from the image as a whole."""

    def __init__(self, config: IBowImgConfig, sizes: Sizes) -> None:
        super().__init__()
        self.hears, self.looks = config.sees != "image", config.sees != "question"
        inputs = config.embedding * self.hears + sizes.region_dim * self.looks
        if self.hears:
            self.embed = nn.EmbeddingBag(sizes.words, config.embedding, mode="sum")
            # As torch initialises a linear layer from V words: uniform up to 1 / sqrt(V).
            nn.init.uniform_(self.embed.weight, -(sizes.words**-0.5), sizes.words**-0.5)
        self.answer = nn.Linear(inputs, sizes.answers, bias=config.sees != "both")

    def forward(self, batch: VqaBatch) -> VqaOutput:
        heard = self.embed.embedding_dim if self.hears else 0
        weight, bias = self.answer.weight, self.answer.bias  # (A, E + D)
        scores = []
        if self.hears:
            words, present = each_word_once(batch.question, batch.question_length)
            bag = self.embed(words, per_sample_weights=present.to(weight.dtype))  # (B, E)
            scores.append(functional.linear(bag, weight[:, :heard], bias))
        if self.looks:  # once per image, however many questions it has
            image = mean_region(batch.regions, batch.region_mask)  # (I, D)
            seen = functional.linear(image, weight[:, heard:], None if self.hears else bias)
            scores.append(seen[batch.image])
        return VqaOutput(torch.stack(scores).sum(dim=0))


def each_word_once(question: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Sort each question's words and mark the first of equal ones: ids and marks, both (B, T)."""
    real = torch.arange(question.shape[1], device=question.device) < length[:, None]
    words = question.masked_fill(~real, -1).sort(dim=1).values
    present = words >= 0
    present[:, 1:] &= words[:, 1:] != words[:, :-1]
    return words.clamp_min(0), present
