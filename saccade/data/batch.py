"""Inputs and outputs of every model: typed, with shapes.

Letters: B questions or captions, I images of the batch (I <= B), R regions, D numbers per region,
T words, A answers, V vocabulary, G glimpses, K beams, M distinct human answers of one question.

An image stands in a batch once, however many questions or captions it has: `image` gives each
example's row. Models project regions once per image and index the result by example.
"""

from __future__ import annotations  # so that reading a run's `Sizes` imports no torch

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor


@dataclass
class Batch:
    """Images of a batch, and the image of each example."""

    regions: Tensor  # (I, R, D) float; grid cells row by row, or detected boxes
    region_mask: Tensor  # (I, R) bool, True where a region is real
    image: Tensor  # (B,) int64, row of `regions` that belongs to each example

    def to(self, device: torch.device | str) -> Self:
        """Copy to a device; regions become float32 there, so half the bytes travel."""
        moved = self._map(lambda tensor: tensor.to(device, non_blocking=True))
        return replace(moved, regions=moved.regions.float())

    def pin_memory(self) -> Self:
        """Pin every tensor; a data loader for CUDA calls this."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: change(t) for n, t in tensors.items() if t is not None})

    def __len__(self) -> int:
        return len(self.image)


@dataclass
class VqaBatch(Batch):
    """Input of a VQA model."""

    question: Tensor  # (B, T) int64 word ids, padded behind with the vocabulary's pad id
    question_length: Tensor  # (B,) int64, at least 1
    answers: Tensor | None = None  # (B, M) int64 answer ids, 0 where the weight is 0
    answer_weights: Tensor | None = None  # (B, M) float: how right each answer is
    boxes: Tensor | None = None  # (I, R, 4) float, x0 y0 x1 y1 as shares of width and height


@dataclass
class CaptionBatch(Batch):
    """Input of a captioner. Examples stand longest first."""

    caption: Tensor  # (B, T) int64: start, words, end, padding
    caption_length: Tensor  # (B,) int64, counting start and end; falling


@dataclass
class VqaOutput:
    """Output of a VQA model."""

    logits: Tensor  # (B, A)
    attention: Tensor | None = None  # (B, G, R): one map per glimpse, each sums to 1
    prior_logits: Tensor | None = None  # (B, A): the scores of an answer prior that saw no image
    added_prior: Tensor | None = None  # (B, A): what of them is in `logits`, in training by LMH
    entropy_weight: float = 0.0  # of the entropy of `added_prior` in the loss


@dataclass
class CaptionOutput:
    """Output of a captioner for given captions (teacher forcing), real words only, packed.

    Packed means time first: the first word of every caption, then the second word of those that
    have one, and so on; N = sum(caption_length - 1). `targets` holds the words to be predicted.
    """

    logits: Tensor  # (N, V)
    targets: Tensor  # (N,) int64
    attention: Tensor | None = None  # (B, T-1, R): one map per word, 0 behind a caption's end
    sentinel: Tensor | None = None  # (B, T-1): share of attention the image did not get (beta)
    penalty: Tensor | None = None  # scalar that the model's own paper adds to the loss


class CaptionState(NamedTuple):
    """Decoding state of a captioner: tensors per image (constant) and per beam."""

    per_image: tuple[Tensor, ...]  # each (I, ...)
    per_beam: tuple[Tensor, ...]  # each (I, K, ...)

    def pick(self, chosen: Tensor) -> CaptionState:
        """Reorder or repeat beams: `chosen (I, K')` numbers, per image, those to go on with."""
        rows = chosen.new_ones(len(chosen)).cumsum(0)[:, None] - 1  # 0, 1 ... of each image
        return CaptionState(self.per_image, tuple(part[rows, chosen] for part in self.per_beam))

    def keep(self, images: Tensor | slice) -> CaptionState:
        """Go on with some images only: `images (I',)` int64 rows, `(I,)` bool, or a slice."""
        return CaptionState(*(tuple(part[images] for part in parts) for parts in self))


class DecoderOutput(NamedTuple):
    """Output of one decoding step: scores of the next word, and attention."""

    logits: Tensor  # (I, K, V)
    state: CaptionState
    attention: Tensor | None = None  # (I, K, R)
    sentinel: Tensor | None = None  # (I, K)


class VqaModel(Protocol):
    """What evaluation and prediction need of a VQA model."""

    def __call__(self, batch: VqaBatch) -> VqaOutput:
        """Score all answers of every question."""
        ...


class Captioner(Protocol):
    """What decoding needs of a captioner."""

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        """Encode images `(I, R, D)` before the first word; the state has one beam (K = 1)."""
        ...

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        """Read one word per beam, `words (I, K)`, and score the next ones."""
        ...


class Sizes(NamedTuple):
    """Sizes that the data dictates; what a person chooses stands in the model's own config."""

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
