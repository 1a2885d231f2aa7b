"""What goes into a model and what comes out: typed, with shapes.

Letters: B questions or captions, I images of the batch (I <= B), R regions, D numbers per region,
T words, A answers, V vocabulary, G glimpses, K beams, M distinct human answers of one question.

An image stands in a batch once, however many questions or captions it has: `image` says which
one each example looks at. Models project regions per image and spread the result to examples.
"""

from __future__ import annotations  # so that reading a run's `Sizes` imports no torch

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class Batch:
    """The images of a batch, and which example looks at which."""

    regions: Tensor  # (I, R, D) float; grid cells row by row, or detected boxes
    region_mask: Tensor  # (I, R) bool, True where a region is real
    image: Tensor  # (B,) int64, row of `regions` that each example looks at

    def to(self, device: torch.device | str) -> Self:
        """Copy to a device; regions become float32 there, so half the bytes travel."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {n: v.to(device, non_blocking=True) for n, v in moved.items() if v is not None}
        return replace(self, **{**moved, "regions": moved["regions"].float()})

    def pin_memory(self) -> Self:
        """Pin every tensor, as a loader of a CUDA run asks of its batches."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: v.pin_memory() for n, v in held.items() if v is not None})

    def __len__(self) -> int:
        return len(self.image)


@dataclass
class VqaBatch(Batch):
    """All that a VQA model is given."""

    question: Tensor  # (B, T) int64 word ids, padded behind with the vocabulary's pad id
    question_length: Tensor  # (B,) int64, at least 1
    answers: Tensor | None = None  # (B, M) int64 answer ids, 0 where the weight is 0
    answer_weights: Tensor | None = None  # (B, M) float: how right each answer is
    boxes: Tensor | None = None  # (I, R, 4) float, x0 y0 x1 y1 as shares of width and height


@dataclass
class CaptionBatch(Batch):
    """All that a captioning model is given. Examples stand longest first."""

    caption: Tensor  # (B, T) int64: start, words, end, padding
    caption_length: Tensor  # (B,) int64, counting start and end; falling


@dataclass
class VqaOutput:
    """All that a VQA model gives back."""

    logits: Tensor  # (B, A)
    attention: Tensor | None = None  # (B, G, R): one map per glimpse, each sums to 1


@dataclass
class CaptionOutput:
    """A teacher-forced reading of a batch, with the real words only, packed.

    Packed means time first: the first word of every caption, then the second word of those that
    have one, and so on; N = sum(caption_length - 1). `targets` holds the words to be said.
    """

    logits: Tensor  # (N, V)
    targets: Tensor  # (N,) int64
    attention: Tensor | None = None  # (B, T-1, R): where the model looked for each word, 0 behind
    sentinel: Tensor | None = None  # (B, T-1): share of attention the image did not get (beta)
    penalty: Tensor | None = None  # scalar that the model's own paper adds to the loss


class CaptionState(NamedTuple):
    """What a captioner remembers while decoding: per image (constant) and per beam."""

    image: tuple[Tensor, ...]  # each (I, ...)
    beam_size: tuple[Tensor, ...]  # each (I, K, ...)

    def pick(self, beam_size: Tensor) -> CaptionState:
        """Reorder or repeat beams: `beams (I, K')` names, per image, the beams to go on with."""
        rows = beam_size.new_ones(len(beam_size)).cumsum(0)[:, None] - 1  # 0, 1 ... of each image
        return CaptionState(self.image, tuple(part[rows, beam_size] for part in self.beam_size))

    def keep(self, images: Tensor) -> CaptionState:
        """Go on with some images only: `images (I',)` int64 rows or `(I,)` bool."""
        return CaptionState(
            tuple(part[images] for part in self.image),
            tuple(part[images] for part in self.beam_size),
        )


class Said(NamedTuple):
    """One decoding step: what could be said next and where the model looked for it."""

    logits: Tensor  # (I, K, V)
    state: CaptionState
    attention: Tensor | None = None  # (I, K, R)
    sentinel: Tensor | None = None  # (I, K)


class VqaModel(Protocol):
    """A model that answers a batch of questions."""

    def __call__(self, batch: VqaBatch) -> VqaOutput: ...


class Captioner(Protocol):
    """All that decoding asks of a captioner."""

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        """Look at images `(I, R, D)` before the first word; the state has one beam (K = 1)."""
        ...

    def step(self, words: Tensor, state: CaptionState) -> Said:
        """Hear `words (I, K)` and say what could follow."""
        ...


class Sizes(NamedTuple):
    """What the data dictates. What a person chooses stands in the model's own config."""

    words: int
    """Vocabulary size, all special words included."""
    region_dim: int
    answers: int = 0
    """Length of the answer list; 0 for captioners."""
    grid: tuple[int, int] | None = None
    """Rows and columns when the regions are a grid, row by row; None for boxes."""
    regions: int = 0
    """Regions per image, at most."""
    pad: int = 0
    """The word that stands behind short questions and captions."""
