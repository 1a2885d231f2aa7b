"""From one weight per region to one value per pixel."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Heat = NDArray[np.float32]

CLEARLY = 3.0
"""So many times its fair share of attention must a region get to be drawn at full heat."""


def heat_map(
    weights: ArrayLike, boxes: ArrayLike, height: int, width: int, smooth: bool = True
) -> Heat:
    """Paint attention over its regions: `(height, width)` from 0 to 1.

    `weights (R,)` are not negative; `boxes (R, 4)` are x0 y0 x1 y1 as shares of width and height,
    may overlap and may leave parts of the picture out. A pixel shows the mean weight of the regions
    that cover it, so a heap of overlapping boxes is no brighter than one box; where nothing covers
    it, it shows 0. With `smooth` a region fades out over its own size, which for a grid blends
    neighbouring cells into each other; without it edges are sharp, as suits detected boxes.
    The strongest pixel is 1 where it has three times the mean weight or more; less than that stays
    below 1, so that attention which is the same everywhere (1/3) does not look like a discovery.
    Raises ValueError where weights and boxes do not belong together.
    """
    weight = np.asarray(weights, dtype=np.float32)
    box = np.asarray(boxes, dtype=np.float32)
    if weight.ndim != 1 or box.shape != (len(weight), 4):
        raise ValueError(f"weights {weight.shape} and boxes {box.shape} do not belong together")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("attention weights must be finite and at least 0")
    cover = _bump if smooth else _inside
    across = cover(box[:, 0], box[:, 2], width)  # (R, W)
    down = cover(box[:, 1], box[:, 3], height)  # (R, H)
    coverage = down.T @ across  # (H, W)
    # A smooth grid covers its own corners by a quarter; less than that is beyond its edge.
    heat = (down.T @ (weight[:, None] * across)) / np.maximum(coverage, 0.25)
    full = max(float(heat.max(initial=0.0)), CLEARLY * float(weight.sum()) / max(len(weight), 1))
    return np.asarray(heat / full if full > 0 else heat, dtype=np.float32)


def _inside(begin: NDArray[np.float32], end: NDArray[np.float32], pixels: int) -> Heat:
    """How much of each pixel lies between `begin` and `end`, from 0 to 1: `(R, pixels)`."""
    edge = np.arange(pixels, dtype=np.float32)
    first, last = begin[:, None] * pixels, end[:, None] * pixels
    inside = np.minimum(last, edge + 1) - np.maximum(first, edge)
    return np.asarray(np.clip(inside, 0, 1), dtype=np.float32)


def _bump(begin: NDArray[np.float32], end: NDArray[np.float32], pixels: int) -> Heat:
    """Highest in the middle of a region, a half at its edges, 0 its own size further out.

    This is the quadratic B-spline: no kink, and equal neighbours add up to 1 everywhere.
    """
    middle = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    size = np.maximum(end - begin, 1 / pixels)[:, None]
    away = np.abs(middle - ((begin + end) / 2)[:, None]) / size
    near, far = 0.75 - away**2, 0.5 * (1.5 - np.minimum(away, 1.5)) ** 2
    return np.asarray(np.where(away < 0.5, near, far), dtype=np.float32)
