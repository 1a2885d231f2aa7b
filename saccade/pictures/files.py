"""Pictures onto the disk: whole or not at all."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saccade.core.files import write_bytes


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Turn pixels `(H, W, 3)` into the bytes of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels `(H, W, 3)` as a PNG file, in one go."""
    write_bytes(path, png(pixels))
