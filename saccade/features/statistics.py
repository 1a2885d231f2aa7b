"""Statistics of each image of a feature store: its file, its pixels, and its features.

They are computed while a store is written and kept in `statistics.npy`, about 400 bytes an image,
so that `saccade check` and `train` know all images without reading any. Neither torch nor Pillow is
imported here.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saccade.data.records import ImageRecord

POOLED = 64
"""Numbers of the pooled features of an image."""
CELLS = 8
"""Rows and columns that an image of pixels is pooled to."""
FILE = np.dtype(
    [
        ("sha256", "u1", (32,)),  # of the image file
        ("bytes", "i8"),  # its length; 0 where the file was not there
        ("modified", "i8"),  # nanoseconds since 1970
        ("decoded", "?"),  # whether the next three are known
        ("colour", "f4", (3,)),  # mean red, green and blue of the resized image, 0..255
        ("darkest", "u1"),
        ("brightest", "u1"),
    ]
)
IMAGE = np.dtype(
    [
        ("file", FILE),
        ("row", "u8"),  # checksum of the features as they are stored
        ("largest", "f4"),  # largest absolute number; NaN or infinite where any is
        ("spread", "f4"),  # standard deviation over all numbers
        ("pooled", "f4", (POOLED,)),  # mean region, by a fixed random projection
    ]
)


def file_statistics(path: Path, data: bytes) -> np.ndarray:
    """`()` of `FILE`: what tells whether an image file, whose content is `data`, was replaced."""
    found = np.zeros((), FILE)
    found["sha256"] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
    found["bytes"], found["modified"] = len(data), path.stat().st_mtime_ns
    return found


def add_pixels(found: np.ndarray, pixels: np.ndarray) -> None:
    """Add what the resized image `(3, H, W)` uint8 looks like to the statistics of its file."""
    found["decoded"], found["colour"] = True, pixels.mean(axis=(1, 2))
    found["darkest"], found["brightest"] = pixels.min(), pixels.max()


def image_statistics(
    features: np.ndarray, counts: np.ndarray, grid: tuple[int, int] | None, files: np.ndarray
) -> np.ndarray:
    """`(n,)` of `IMAGE`: of features `(n, R, D)` as stored, `counts (n,)` and `files (n,)`."""
    found = np.zeros(len(features), IMAGE)
    found["file"] = files
    for place, (row, count) in enumerate(zip(features, counts, strict=True)):
        digest = hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest()
        found["row"][place] = np.frombuffer(digest, "<u8")[0]
        real = row[:count].astype(np.float32)
        if not real.size:
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            found["largest"][place] = np.abs(real).max()
            found["spread"][place] = real.std(dtype=np.float64)
            found["pooled"][place] = _pooled(real, grid)
    return found


def _pooled(regions: np.ndarray, grid: tuple[int, int] | None) -> np.ndarray:
    """`(POOLED,)`: the mean of the regions `(R, D)`; of pixels also roughly where they are."""
    dim = regions.shape[1]
    if grid is not None and dim == 3:
        rows, columns = (np.array_split(np.arange(side), min(CELLS, side)) for side in grid)
        image = regions.reshape(*grid, dim)
        cells = [
            image[r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean((0, 1)) for r in rows for c in columns
        ]
        whole = np.concatenate(cells)
    else:
        whole = regions.mean(axis=0)
    if len(whole) <= POOLED:
        return np.pad(whole, (0, POOLED - len(whole)))
    pooled: np.ndarray = whole @ _projection(len(whole))
    return pooled


@lru_cache(maxsize=4)
def _projection(dim: int) -> np.ndarray:
    """A fixed random matrix `(dim, POOLED)`, which nearly keeps distances (Johnson & Lindenstrauss
    1984).
    """
    drawn = np.random.default_rng(0).standard_normal((dim, POOLED), np.float32)
    return drawn / np.float32(np.sqrt(POOLED))


class Replaced(NamedTuple):
    """Image files whose content is not that of which the features are."""

    files: list[str]
    tried: int
    """Files that were read, since their date is another."""
    candidates: int
    """Files whose date is another and whose length is not."""


def replaced_files(
    root: Path, images: Sequence[ImageRecord], files: np.ndarray, most: int | None = None
) -> Replaced:
    """Compare the image files with the statistics `(n,)` of `FILE` that they had.

    A file of another length was replaced; of those of another date at most `most`, evenly spaced,
    are read. Files that are not there are no matter: features are read without them.
    """
    found, candidates = list[int](), list[int]()
    for place, (image, known) in enumerate(zip(images, files, strict=True)):
        try:
            now = (root / image.file).stat()
        except (OSError, ValueError):
            continue
        if known["bytes"] and now.st_size != known["bytes"]:
            found.append(place)
        elif known["bytes"] and now.st_mtime_ns != known["modified"]:
            candidates.append(place)
    step = 1 if most is None else max(-(-len(candidates) // most), 1)
    for place in candidates[::step]:
        digest = hashlib.sha256((root / images[place].file).read_bytes()).digest()
        if digest != files[place]["sha256"].tobytes():
            found.append(place)
    names = [images[place].file for place in sorted(found)]
    return Replaced(names, len(candidates[::step]), len(candidates))
