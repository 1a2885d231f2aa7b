"""Pictures onto the disk: whole or not at all."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one go: a crash leaves the old one whole."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Turn pixels `(H, W, 3)` into the bytes of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels `(H, W, 3)` as a PNG file, in one go."""
    write_bytes(path, png(pixels))
