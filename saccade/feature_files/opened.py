"""A feature file of another program, opened: which pictures it has, and a way to read each."""

import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from saccade.core.errors import BadConfig, BadData
from saccade.feature_files.matching import Key
from saccade.features.preprocessing import Preprocessing, Resize

CAFFE_MEAN = (0.485, 0.458, 0.408)
"""What Caffe's networks subtract, on a scale of 0..1."""
COPY_AGAIN = "Copy the file again from where it came, or make it again."
DEFECTS = (
    *(ValueError, KeyError, IndexError, TypeError, OSError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, OverflowError, UnicodeDecodeError, MemoryError),
)
"""What damaged files make their readers raise."""
NUMBERS = "fiu"
"""What numpy calls the kinds of number that regions and boxes are made of."""


class Row(NamedTuple):
    """One picture's regions, as the file has them."""

    regions: np.ndarray  # (n, D)
    boxes: np.ndarray | None = None
    """`(n, 4)` x0 y0 x1 y1; None of a grid, and where nobody knows."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; None where the file does not say."""
    in_pixels: bool = False
    """Are the boxes in pixels of the picture? Else they are shares of its sides."""


class Opened(NamedTuple):
    """A feature file and what there is to know before its first picture is read."""

    places: Mapping[Key, Any]
    """Where each picture is, by the number or the path that the file knows it by."""
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
    matched: bool = False
    """Are the places by the data folder's own ids already?"""
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


def array_in(file: Any, name: str, path: Path, dimensions: int, kinds: str = NUMBERS) -> Any:
    """One array of an HDF5 file, unread, of numbers of the `kinds` that numpy knows.

    Raises BadData where there is none of so many sides, or where it lies in another file: whoever
    made this one would choose what is read.
    """
    import h5py  # noqa: PLC0415 - open_hdf5 found it

    link = file.get(name, getlink=True)
    found: Any = file.get(name) if isinstance(link, h5py.HardLink) else None
    elsewhere = link is not None and not isinstance(link, h5py.HardLink)
    if isinstance(found, h5py.Dataset):
        elsewhere = bool(found.external) or found.is_virtual
    if elsewhere:
        what = f"the array {name!r} lies in another place, to which a link leads"
        raise BadData(what, where=path, cure="Copy the arrays themselves into one file.")
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != dimensions:
        there = ", ".join(f"{key} {_shape_in(file, key)}" for key in list(file)[:8])
        raise BadData(
            f"there is no array {name!r} of {dimensions} dimensions, but: {there or 'nothing'}",
            where=path,
            cure="It is a file of another program, or another of its files: see docs/features.md.",
        )
    kind = found.dtype
    if kind.kind not in kinds or 0 in shape:
        what = f"the array {name!r} is {shape} of type {kind}"
        raise BadData(what, where=path, cure=COPY_AGAIN)
    return found


def whole(array: Any, path: Path) -> np.ndarray:
    """A small array of an HDF5 file, read. Raises BadData for damage."""
    try:
        return np.asarray(array)
    except DEFECTS as error:
        what = f"{array.name} cannot be read ({str(error).splitlines()[0][:150]})"
        raise BadData(what, where=path, cure=COPY_AGAIN) from None


def _shape_in(file: Any, name: str) -> str:
    kind = file.get(name, getclass=True, getlink=True).__name__
    return str(getattr(file[name], "shape", "")) if kind == "HardLink" else "(a link)"


def shape_of(path: Path, key: str | None = None) -> tuple[int, ...]:
    """Shape of the array in a .npy file, or of one array in a .npz file, without reading it.

    Raises BadData for what is no such file, lacks the array or has no numbers in it.
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
    shape, _, kind = read(stream)
    if kind.kind not in NUMBERS:
        raise ValueError(f"it is of type {kind}")
    return tuple(map(int, shape))


def read_exactly(stream: BinaryIO, offset: int, length: int) -> bytes:
    """Bytes of a file from a place on. Raises EOFError where it ends before."""
    stream.seek(offset)
    data = stream.read(length)
    if len(data) != length:
        raise EOFError("the file ends in the middle")
    return data
