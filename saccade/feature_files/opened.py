"""A feature file of another program, opened: which pictures it has, and a way to read each."""

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from saccade.data.folder import DataFolder
from saccade.errors import BadConfig, BadData
from saccade.features.settings import Preprocessing, Resize
from saccade.records import Picture

CAFFE_MEAN = (0.485, 0.458, 0.408)
"""What Caffe's networks subtract, on a scale of 0..1."""
COPY_AGAIN = "Copy the file again from where it came, or make it again."
DEFECTS = (
    *(ValueError, KeyError, IndexError, TypeError, OSError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, OverflowError, UnicodeDecodeError),
)
"""What damaged files make their readers raise."""


class Row(NamedTuple):
    """One picture's regions."""

    regions: np.ndarray  # (n, D)
    boxes: np.ndarray | None = None  # (n, 4) x0 y0 x1 y1 as shares of the picture; None of a grid
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels; 0 where the file does not say."""


class Opened(NamedTuple):
    """A feature file and what there is to know before its first picture is read."""

    places: Mapping[int, Any]
    """Where each picture is, by its id."""
    read: Callable[[Any], Row]
    """Reads the picture at a place; may raise one of DEFECTS."""
    regions: int
    """Of a picture, at most."""
    dim: int
    grid: tuple[int, int] | None
    looked: Preprocessing
    """What pictures went through, as near as there is here."""
    pixels: bool = False
    """Are these no features but small pictures?"""
    notes: tuple[str, ...] = ()
    """What a person should know."""
    held: AbstractContextManager[Any] = nullcontext()
    """What has to be closed in the end."""


def looked(
    size: int, resize: Resize = "squash", resize_to: int | None = None, std: float = 1 / 255
) -> Preprocessing:
    """Preprocessing of a network of Caffe for pictures of a size."""
    return Preprocessing(
        height=size,
        width=size,
        resize=resize,
        resize_to=resize_to,
        mean=CAFFE_MEAN,
        std=(std, std, std),
        interpolation="bilinear",
    )


def open_hdf5(path: Path) -> Any:
    """An HDF5 file, to be read a picture at a time. Raises BadConfig without h5py, BadData."""
    try:
        import h5py  # noqa: PLC0415 - only these files need it
    except ImportError:
        cure = "Install it: pip install 'saccade[h5]'."
        raise BadConfig("reading HDF5 needs the package h5py", cure=cure) from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        what = f"not a whole HDF5 file ({str(error).splitlines()[0][:150]})"
        raise BadData(what, where=path, cure=COPY_AGAIN) from None


def array_in(file: Any, name: str, path: Path, dimensions: int) -> Any:
    """One array of an HDF5 file, unread. Raises BadData where there is none of so many sides."""
    found = file.get(name)
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != dimensions:
        there = ", ".join(f"{key} {getattr(file[key], 'shape', '')}" for key in list(file)[:8])
        raise BadData(
            f"there is no array {name!r} of {dimensions} dimensions, but: {there or 'nothing'}",
            where=path,
            cure="It is a file of another program, or another of its files: see docs/features.md.",
        )
    return found


def shape_of(path: Path, key: str | None = None) -> tuple[int, ...]:
    """Shape of the array in a .npy file, or of one array in a .npz file, without reading it.

    Raises BadData for what is no such file or lacks the array.
    """
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
                return _shape(stream)
        with path.open("rb") as stream:
            return _shape(stream)
    except DEFECTS as error:
        what = f"not a whole array{f' {key!r}' if key else ''} ({str(error).splitlines()[0][:150]})"
        raise BadData(what, where=path, cure=COPY_AGAIN) from None


def _shape(stream: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape: tuple[int, ...] = read(stream)[0]
    return shape


class Names:
    """Which picture a file is about: its name is the picture's, or ends in its id."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.by_name = {Path(one.file).stem: one.id for one in pictures}

    def id_of(self, path: Path) -> int | None:
        """The picture's id; None where the name is neither."""
        stem = re.sub(r"\.(jpe?g|png)$", "", path.stem, flags=re.IGNORECASE)
        if stem in self.by_name:
            return self.by_name[stem]
        number = re.search(r"(\d+)$", stem)
        return int(number[1]) if number else None


class PictureSizes:
    """Widths and heights of a data folder's pictures, where they are at hand."""

    def __init__(self, folder: DataFolder, pictures: Sequence[Picture]) -> None:
        self.root, self.file = folder.image_root, {one.id: one.file for one in pictures}

    def of(self, number: int) -> tuple[int, int]:
        """Width and height of a picture; (0, 0) where it cannot be read."""
        try:
            with Image.open(self.root / self.file[number]) as picture:
                return picture.size
        except (OSError, KeyError, ValueError, Image.DecompressionBombError):
            return (0, 0)


def shares(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes `(n, 4)` in pixels as shares of a picture's width and height; float32."""
    width, height = max(size[0], 1), max(size[1], 1)
    found: np.ndarray = (boxes / np.array([width, height, width, height])).astype(np.float32)
    return found


def whole_picture(count: int) -> np.ndarray:
    """Boxes `(count, 4)` of regions of which nobody knows where they lie."""
    return np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))


def read_exactly(stream: BinaryIO, offset: int, length: int) -> bytes:
    """Bytes of a file from a place on. Raises EOFError where it ends before."""
    stream.seek(offset)
    data = stream.read(length)
    if len(data) != length:
        raise EOFError("the file ends in the middle")
    return data
