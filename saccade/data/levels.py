"""Images of more than 8 bits a channel: their values, and the window that makes 8 bits of them.

A *window* is the range of values that is shown from black to white; what lies outside of it is
black or white. It is one of

    auto        the window that the file names (DICOM), else all that its values could be
    auto:LO,HI  the same, but LO to HI where the file names none: `prepare` found it in the set
    full        all that the file's values could be
    LO,HI       this one, for every image

and applies to images of more than 8 bits. It is one for a whole set, never an image's own darkest
to brightest value: equal values are equally bright in all images. `dataset.json` keeps it, and the
preprocessing of a store and of a run.

Shapes: H, W height and width; C channels.
"""

import math
from typing import NamedTuple

import numpy as np

from saccade.data.options import window_range

SMALL_PART = 1 / 4
"""Of the range that values could have: images that use no more of it are told."""


class Levels(NamedTuple):
    """The values of an image, before a window is applied."""

    values: np.ndarray  # (H, W) or (H, W, 3)
    least: float
    """The lowest value that the file could hold."""
    most: float
    shown: np.ndarray | None = None
    """(H, W) 0..1, the values through the window that the file names, if it names one."""
    negative: bool = False
    """Low values are white."""
    alpha: np.ndarray | None = None  # (H, W) 0..1, 0 is transparent


def as_bytes(levels: Levels, window: str) -> tuple[np.ndarray, str]:
    """An image `(H, W)` or `(H, W, 3)` uint8 through a window, and a remark, empty where all is
    well.

    256 steps of equal width, so that the whole of 16 bits gives their higher 8 bits.
    """
    low, high, auto = levels.least, levels.most, window.startswith("auto")
    given = window_range(window) if high - low > 255 else None
    remark = ""
    if auto and levels.shown is not None:
        shares = levels.shown
    else:
        low, high = given or (low, high)
        shares = (levels.values - low) / (high - low)
        remark = _remark(levels.values, low, high, found=given is not None) if auto else ""
    pixels = np.minimum(shares.clip(0, 1) * 256, 255).astype(np.uint8)
    if levels.negative:
        pixels = 255 - pixels
    if levels.alpha is not None:  # on white
        alpha = levels.alpha[..., None] if pixels.ndim == 3 else levels.alpha
        pixels = (255 - alpha * (255.0 - pixels)).round().astype(np.uint8)
    return pixels, remark


def _remark(values: np.ndarray, low: float, high: float, *, found: bool) -> str:
    """What a person should know of an image that names no window of its own."""
    least, most = float(values.min()), float(values.max())
    holds, range_ = f"has values from {least:g} to {most:g}", f"{low:g} to {high:g}"
    if found and (least < low or most > high):
        return f"{holds}, what lies outside of the set's window, {range_}, is black or white"
    if not found and high - low > 255 and 0 < most - least <= SMALL_PART * (high - low):
        wanted = "{:g},{:g}".format(*window_around(least, most))
        hint = f"prepare the images with --option window={wanted}"
        return f"{holds}, a small part of {range_}, and is shown with little contrast: {hint}"
    return ""


def window_around(least: float, most: float) -> tuple[float, float]:
    """The range of whole bits, 8 at least, that holds values: 0 to 4095 for 12 bits."""
    high = 2 ** max(math.floor(most).bit_length() if most > 0 else 0, 8) - 1
    return (float(-(2 ** math.ceil(math.log2(-least)))) if least < 0 else 0.0), float(high)
