"""What the backbones of all libraries have in common."""

from typing import NamedTuple

import numpy as np
from torch import Tensor


class EncodedImages(NamedTuple):
    """A backbone's output for a batch of images."""

    regions: Tensor  # (B, R, D); real ones first
    counts: np.ndarray  # (B,) how many of them are real
    boxes: np.ndarray  # (B, R, 4) float32: x0 y0 x1 y1 as shares of the original image
    scores: np.ndarray | None = None  # (B, R) float32, of a detector
    grid: tuple[int, int] | None = None


class Layout(NamedTuple):
    """Shape of a backbone's regions."""

    grid: tuple[int, int] | None
    regions: int
    """Of an image, at most."""
    dim: int
