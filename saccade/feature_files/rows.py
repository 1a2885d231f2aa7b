"""Is what a feature file says of a picture possible, and is it said of this picture?

What cannot be so is damage. What could be so of another picture (other sides, boxes that lie
beyond) says that file and data folder number their pictures differently: that is refused.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from saccade.core.errors import BadData
from saccade.data.checks import without_file
from saccade.data.records import Picture
from saccade.feature_files.opened import NUMBERS, Row

LOOKED_AT = 32
"""Pictures whose sides are compared with what the file says of them."""
LONGEST = 2**31 - 1
"""Pixels of a side: what a store has room for."""
BEYOND = 0.05
"""How far a box may reach beyond a picture, in shares of its side: programs round differently."""
SIDEWAYS = (5, 6, 7, 8)
"""Values of EXIF's orientation with which width and height change places."""
ORIENTATION = 0x0112
OTHERS = (
    "These are features of other pictures, or of copies of another size. Prepare the data set that "
    "they belong to, or give the pictures that they were made of: --image-root DIR (of an empty "
    "folder nothing is compared)."
)


class SoundRow(NamedTuple):
    """One picture's regions, as they are stored."""

    regions: np.ndarray  # (n, D)
    boxes: np.ndarray | None
    """`(n, 4)` float32 x0 y0 x1 y1 as shares of the picture; None of a grid."""
    size: tuple[int, int]
    """Width and height in pixels; (0, 0) where nobody knows."""


def checked(row: Row, sides: Callable[[], tuple[int, int]]) -> SoundRow:
    """What a file says of a picture, as it is stored; `sides` tells the sides of the picture's own
    file. Boxes in pixels of a picture of unknown size become the whole picture.

    Raises ValueError for what no picture has: text for numbers, boxes of no place, sides of
    nothing.
    """
    regions, boxes = np.asarray(row.regions), row.boxes
    if regions.dtype.kind not in NUMBERS:
        raise ValueError(f"regions of type {regions.dtype}")
    size = sides() if row.size is None else row.size
    if not all(0 <= side <= LONGEST for side in size):
        raise ValueError(f"a picture of {size[0]} x {size[1]} pixels")
    if boxes is None:
        return SoundRow(regions, None, size)
    boxes = np.asarray(boxes)
    if boxes.shape != (len(regions), 4) or boxes.dtype.kind not in NUMBERS:
        raise ValueError(f"{len(regions)} regions and boxes {boxes.shape} of type {boxes.dtype}")
    if row.in_pixels and row.size is None and size == (0, 0):
        return SoundRow(regions, whole_picture(len(regions)), size)
    if row.in_pixels:
        if 0 in size:
            raise ValueError(f"boxes in pixels of a picture of {size[0]} x {size[1]} pixels")
        boxes = boxes.astype(np.float64) / np.array([*size, *size])
    with np.errstate(over="ignore"):  # told below
        boxes = boxes.astype(np.float32)
    if not np.isfinite(boxes).all():
        raise ValueError("boxes that are no numbers")
    return SoundRow(regions, boxes, size)


def whole_picture(count: int) -> np.ndarray:
    """Boxes `(count, 4)` of regions of which nobody knows where they lie."""
    return np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))


def refuse_beyond(row: SoundRow, picture: Picture, path: Path) -> None:
    """Raises BadData where boxes, as shares, lie beyond their picture."""
    if row.boxes is None or not row.boxes.size:
        return
    least, most = float(row.boxes.min()), float(row.boxes.max())
    if least < -BEYOND or most > 1 + BEYOND:
        width, height = row.size
        what = (
            f"boxes of picture {picture.id} ({picture.file}, {width} x {height} pixels) reach from "
            f"{least:.3g} to {most:.3g} of its sides"
        )
        raise BadData(what, where=path, cure=OTHERS)


class PictureSides:
    """Widths and heights of a data folder's pictures, where they are at hand."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, picture: Picture) -> tuple[int, int]:
        """Width and height of a picture as it is looked at; (0, 0) where it cannot be read."""
        size, sideways = self._told(picture)
        return size[::-1] if sideways else size

    def compare(
        self, pictures: Sequence[Picture], read: Callable[[Picture], SoundRow], path: Path
    ) -> None:
        """Hold the sides that a feature file says, and its boxes, against some picture files.

        Raises BadData for one that differs by more than a pixel. A picture that lies on its side
        may also be described as it lies: not every program turns it.
        """
        lost = set(without_file(self.root, pictures))
        there = [picture for picture in pictures if picture not in lost]
        places = np.linspace(0, len(there) - 1, min(len(there), LOOKED_AT)).round().astype(int)
        for picture in (there[place] for place in dict.fromkeys(places.tolist())):
            row, (size, sideways) = read(picture), self._told(picture)
            if size == (0, 0) or row.size == (0, 0) or _same(size, row.size):
                continue
            if sideways and _same(size[::-1], row.size):
                continue
            what = (
                f"picture {picture.id} ({picture.file}) is {size[0]} x {size[1]} pixels, "
                f"according to the features {row.size[0]} x {row.size[1]}"
            )
            raise BadData(what, where=path, cure=OTHERS)

    def _told(self, picture: Picture) -> tuple[tuple[int, int], bool]:
        """Width and height of what the file holds, and whether it lies on its side."""
        try:
            with Image.open(self.root / picture.file) as found:
                return found.size, _sideways(found)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return (0, 0), False


def _same(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def _sideways(picture: Image.Image) -> bool:
    try:
        return picture.getexif().get(ORIENTATION) in SIDEWAYS
    except Exception:  # damaged EXIF: the picture is good, and so is the way it lies
        return False
