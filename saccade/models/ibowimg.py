"""iBOWIMG: a bag of words and an image vector. Zhou et al. 2015, arXiv:1512.02167.

The set of words in the question (no order, no counts) becomes one vector; it stands beside the
image's vector, and one linear layer scores the answers. No hidden layer, no nonlinearity, no
dropout: the contributions of each word and of the image simply add up. A strong simple baseline.

Follows the public code (metalbubble/VQAbaseline): neither layer has a bias, but the two blind
variants have one. Differs: an image that is given as several regions is represented by their mean.

Shapes: B questions, I images, T words, D numbers per image, E word width, A answers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import IBowImgConfig
from saccade.models.layers import mean_region, real_words, weigh_words


class IBowImg(nn.Module):
    """Linear classifier over a question's words and one vector of the image."""

    def __init__(self, config: IBowImgConfig, sizes: Sizes) -> None:
        super().__init__()
        self.uses_question, self.uses_image = config.inputs != "image", config.inputs != "question"
        inputs = config.embedding * self.uses_question + sizes.region_dim * self.uses_image
        if self.uses_question:
            self.embed = nn.EmbeddingBag(sizes.words, config.embedding, mode="sum")
            # As torch initialises a linear layer from V words: uniform up to 1 / sqrt(V).
            nn.init.uniform_(self.embed.weight, -(sizes.words**-0.5), sizes.words**-0.5)
        self.output = nn.Linear(inputs, sizes.answers, bias=config.inputs != "both")

    def forward(self, batch: VqaBatch) -> VqaOutput:
        width = self.embed.embedding_dim if self.uses_question else 0
        weight, bias = self.output.weight, self.output.bias  # (A, E + D)
        logits = []
        if self.uses_question:
            words, present = unique_words(batch.question, batch.question_length)
            bag = weigh_words(self.embed, words, present.to(weight.dtype))  # (B, E)
            logits.append(functional.linear(bag, weight[:, :width], bias))  # (B, A)
        if self.uses_image:  # once per image, however many questions it has
            image = mean_region(batch.regions, batch.region_mask)  # (I, D)
            scores = functional.linear(image, weight[:, width:], None if logits else bias)
            logits.append(scores[batch.image])  # (B, A)
        return VqaOutput(torch.stack(logits).sum(dim=0))


def unique_words(question: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Each question's words, sorted, and a mask of the first of equal ones; both (B, T)."""
    words = question.masked_fill(~real_words(length, question.shape[1]), -1).sort(dim=1).values
    present = words >= 0
    present[:, 1:] &= words[:, 1:] != words[:, :-1]
    return words.clamp_min(0), present
