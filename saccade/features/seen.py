"""What a backbone hands out, whichever kind it is."""

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Seen(NamedTuple):
    """What a backbone makes of a batch of pictures."""

    regions: Tensor  # (B, R, D); real ones first
    counts: np.ndarray  # (B,) how many of them are real
    boxes: np.ndarray  # (B, R, 4) float32: x0 y0 x1 y1 as shares of the original picture
    scores: np.ndarray | None = None  # (B, R) float32, of a detector
    grid: tuple[int, int] | None = None


class Layout(NamedTuple):
    """What a backbone's regions will be."""

    grid: tuple[int, int] | None
    regions: int
    """Of a picture, at most."""
    dim: int
