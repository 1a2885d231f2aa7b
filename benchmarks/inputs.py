"""Made-up batches in the shapes of COCO captions and VQA questions.

Lengths follow the real data: captions of 10.5 words on average (deviation 2.4) between start and
end, questions of 6.2 words. Features are never negative, like those of any ResNet.
"""

from typing import NamedTuple

import torch
from torch import Tensor

WORDS = 9490
"""COCO's captions with words that occur at least six times, and the four special words."""
START, END = WORDS - 2, WORDS - 1
PADDED = 52
"""The published files pad every caption to 50 words, start and end."""
PORT_PADDED = 18
"""ruotianluo's labels: 0, 16 words, 0."""
QUESTION_WORDS = 15_193
ANSWERS = 3000
CHANNELS = 2048


class Captions(NamedTuple):
    """Captions and their images, longest caption first."""

    grids: Tensor  # (I, CHANNELS, side, side) what the encoder's last layer gives
    image: Tensor  # (B,) which image each caption is about
    words: Tensor  # (B, PADDED)
    lengths: Tensor  # (B,) start and end included


class Questions(NamedTuple):
    """Questions and their images."""

    grids: Tensor  # (I, channels, side, side)
    image: Tensor  # (B,)
    words: Tensor  # (B, the longest question's words), padded with 0
    lengths: Tensor  # (B,)
    answers: Tensor  # (B, 4) ids of different answers; 0 where nobody gave a further one
    counts: Tensor  # (B, 4) how many of ten people gave each


def captions(images: int, each: int, side: int = 8) -> Captions:
    """Draw `each` captions for each of `images` images; neighbours are of different ones."""
    grids = torch.randn(images, CHANNELS, side, side).relu_()
    lengths = (torch.randn(images * each) * 2.4 + 10.5).round().clamp(5, 20).long() + 2
    lengths = lengths.sort(descending=True).values
    image = torch.arange(images).repeat(each)
    words = torch.randint(1, WORDS - 3, (images * each, PADDED))
    place = torch.arange(PADDED)
    words[:, 0] = START
    words[place == lengths[:, None] - 1] = END
    words[place >= lengths[:, None]] = 0
    return Captions(grids, image, words, lengths)


def port_captions(images: int, each: int, side: int = 6) -> Captions:
    """Captions as ruotianluo's port has them: 0 begins, ends and pads, 16 words at most, and those
    of one image stand together (so not longest first)."""
    drawn = captions(images, each, side)
    words = torch.where(drawn.words >= START, 0, drawn.words)[:, :PORT_PADDED]
    words[:, -1] = 0
    lengths = drawn.lengths.clamp_max(PORT_PADDED)
    order = drawn.image.argsort(stable=True)
    return Captions(drawn.grids, drawn.image[order], words[order], lengths[order])


def questions(
    images: int,
    each: int,
    *,
    side: int = 14,
    channels: int = CHANNELS,
    vocabulary: int = QUESTION_WORDS,
    listed: int = ANSWERS,
    max_length: int = 23,
) -> Questions:
    """Draw `each` questions for each of `images` images."""
    count = images * each
    grids = torch.randn(images, channels, side, side).relu_()
    lengths = (torch.randn(count) * 1.9 + 6.2).round().clamp(2, max_length).long()
    words = torch.randint(1, vocabulary, (count, int(lengths.max())))
    words[torch.arange(words.shape[1]) >= lengths[:, None]] = 0
    answers = torch.stack([torch.randperm(listed)[:4] for _ in range(count)])
    counts = torch.stack([_votes() for _ in range(count)])
    answers[counts == 0] = 0
    image = torch.arange(images).repeat_interleave(each)
    return Questions(grids, image, words, lengths, answers, counts)


def _votes() -> Tensor:
    """How ten people's answers might fall on four different listed ones, and none."""
    given = torch.multinomial(torch.tensor([0.65, 0.15, 0.08, 0.04, 0.08]), 10, replacement=True)
    return torch.bincount(given, minlength=5)[:4]


def object_counts(images: int) -> Tensor:
    """How many objects were detected in each image: 10 to 100, 36 on average, few have many."""
    drawn = 10 - 26 / 3 * torch.rand(images, 3).log().sum(dim=1)
    return drawn.round().clamp_max(100).long()


def cells(grids: Tensor) -> Tensor:
    """Grids (I, C, S, S) as regions (I, S * S, C), row by row."""
    return grids.flatten(2).transpose(1, 2).contiguous()
