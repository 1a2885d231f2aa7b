"""Opened feature files of other programs: which images they have, and a way to read each."""

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from saccade.core.errors import BadData
from saccade.core.files import Limits
from saccade.core.formatting import first_line, size_in_words
from saccade.core.tables import optional_package
from saccade.data.checks import without_file
from saccade.data.reading import refuse_stand_ins
from saccade.data.records import ImageRecord
from saccade.features.settings import Colour, Preprocessing, Resize
from saccade.interop.feature_matching import Key

CAFFE_MEAN = (0.485, 0.458, 0.408)
"""The mean that Caffe's networks subtract, on a scale of 0..1."""
COPY_AGAIN = "Copy the file again from where it came, or make it again."
DEFECTS = (
    *(ValueError, KeyError, IndexError, TypeError, OSError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, OverflowError, UnicodeDecodeError, MemoryError),
)
"""Errors that readers raise for damaged files."""
CUT = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
"""Those of them after which another copy of the file may be whole."""
MADE_WRONGLY = (
    "It is a file of another program, another of its files, or one that was made wrongly: see "
    "docs/features.md."
)
NUMBERS = "fiu"
"""Numpy's letters for the types of regions and boxes."""


class Row(NamedTuple):
    """One image's regions, as the file has them."""

    regions: np.ndarray  # (n, D)
    boxes: np.ndarray | None = None
    """`(n, 4)` x0 y0 x1 y1; None of a grid, and where nobody knows."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; None where the file does not say."""
    in_pixels: bool = False
    """Are the boxes in pixels of the image? Else they are shares of its sides."""


class Opened(NamedTuple):
    """A feature file and what there is to know before its first image is read."""

    places: Mapping[Key, Any]
    """Where each image is, by the number or the path that the file knows it by."""
    read: Callable[[Any], Row]
    """Reads the image at a place; may raise one of DEFECTS."""
    regions: int
    """Of an image, at most."""
    dim: int
    grid: tuple[int, int] | None
    preprocessing: Preprocessing
    """Preprocessing of the images, as near as there is here."""
    pixels: bool = False
    """Are these no features but small images?"""
    matched: bool = False
    """Are the places by the data folder's own ids already?"""
    notes: tuple[str, ...] = ()
    """Notes for the user."""
    held: AbstractContextManager[Any] = nullcontext()
    """Files to be closed in the end."""


def damaged(location: str | Path, message: str) -> BadData:
    """The error for a file of which another copy may be whole."""
    return BadData(message, location=location, hint=COPY_AGAIN)


def made_wrongly(location: str | Path, message: str) -> BadData:
    """The error for a file that is not what its program writes, and would not be after copying."""
    return BadData(message, location=location, hint=MADE_WRONGLY)


def in_two_files(id_: Key, one: Path, other: Path, path: Path) -> BadData:
    """The error for an image of which two files of a folder have different features."""
    message = f"image {id_} is in {one.name} and in {other.name}"
    return BadData(message, location=path, hint="Give the file that is meant.")


NAMED = 5
"""Names in a list of them; the others are counted."""


def some(names: Sequence[Key]) -> str:
    """The first of some names."""
    return ", ".join(map(str, names[:NAMED])) + ("..." if len(names) > NAMED else "")


def preprocessing_of(
    size: int,
    resize: Resize = "squash",
    resize_to: int | None = None,
    mean: Colour = CAFFE_MEAN,
    std: Colour = (1 / 255, 1 / 255, 1 / 255),
) -> Preprocessing:
    """Preprocessing of square images; by default that of a network of Caffe."""
    return Preprocessing(
        height=size,
        width=size,
        resize=resize,
        resize_to=resize_to,
        mean=mean,
        std=std,
        interpolation="bilinear",
    )


DETECTOR_INPUT = preprocessing_of(1000, "inside", 600)
"""Bottom-up attention's own: shorter side 600, longer at most 1000, values of 0..255."""


def refuse_growth(path: Path, size: int) -> None:
    """Raise BadData for arrays of so many bytes that no file of this size should have them."""
    if size > Limits().bytes_of(path):
        there = size_in_words(path.stat().st_size)
        message = f"says that it holds {size_in_words(size)}, and is a file of {there}"
        raise made_wrongly(path, message)


def open_hdf5(path: Path) -> Any:
    """An HDF5 file, to be read an image at a time. Raises BadConfig without h5py, BadData."""
    h5py = optional_package("h5py", "h5", "reading HDF5 needs the package h5py")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if path.is_file():
            with path.open("rb") as stream:
                refuse_stand_ins(path, stream.read(1000).decode("utf-8", "replace"))
        raise damaged(path, f"not a whole HDF5 file ({first_line(error)})") from None


def array_in(
    file: Any, name: str, path: Path, dimensions: int, kinds: str = NUMBERS, ragged: bool = False
) -> Any:
    """One array of an HDF5 file, unread, of numbers of the `kinds` that numpy knows.

    Each item of a `ragged` one is an array of any length.

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
        message = f"the array {name!r} lies in another place, to which a link leads"
        raise BadData(message, location=path, hint="Copy the arrays themselves into one file.")
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != dimensions:
        kinds_of = {key: file.get(key, getclass=True, getlink=True) for key in list(file)[:8]}
        shapes = {
            key: getattr(file[key], "shape", "") if kind is h5py.HardLink else "(a link)"
            for key, kind in kinds_of.items()
        }
        there = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "nothing"
        message = f"there is no array {name!r} of {dimensions} dimensions, but: {there}"
        raise made_wrongly(path, message)
    kind = h5py.check_vlen_dtype(found.dtype) if ragged else found.dtype
    if getattr(kind, "kind", "") not in tuple(kinds) or 0 in shape:
        raise made_wrongly(path, f"the array {name!r} is {shape} of type {found.dtype}")
    refuse_growth(path, found.size * found.dtype.itemsize)
    return found


def whole(array: Any, path: Path) -> np.ndarray:
    """A small array of an HDF5 file, read. Raises BadData for damage."""
    try:
        return np.asarray(array)
    except DEFECTS as error:
        raise damaged(path, f"{array.name} cannot be read ({first_line(error)})") from None


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of numbers in a .npz file, by name, or of the one in a .npy file, whose
    name is "", without reading them.

    Raises BadData for what is no such file.
    """
    found, size = {}, 0
    try:
        with ExitStack() as held:
            stream: Any = held.enter_context(path.open("rb"))
            members: list[tuple[str, Any]] = [("", stream)]
            if path.suffix == ".npz":
                archive = held.enter_context(zipfile.ZipFile(stream))
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                members = [(n.removesuffix(".npy"), archive.open(n)) for n in names]
            for name, member in members:
                version = np.lib.format.read_magic(member)
                header = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
                shape, _, kind = getattr(np.lib.format, header)(member)
                size += math.prod(shape) * kind.itemsize
                if kind.kind in NUMBERS:
                    found[name] = tuple(map(int, shape))
    except DEFECTS as error:
        raise damaged(path, f"not a whole array ({first_line(error)})") from None
    refuse_growth(path, size)
    return found


def shape_of(path: Path, key: str) -> tuple[int, ...]:
    """Shape of the array in a .npy file, or of the one named `key` in a .npz file.

    Raises BadData for what is no such file, lacks the array or has no numbers in it.
    """
    shapes = shapes_in(path)
    name = key if path.suffix == ".npz" else ""
    if name not in shapes:
        which = f" {name!r} among {some(sorted(shapes))}" if name else ""
        raise made_wrongly(path, f"there is no array of numbers{which}")
    return shapes[name]


COMPARED = 32
"""So many images are compared with the sizes that the file gives before one is stored."""
MAX_SIDE = 2**31 - 1
"""Pixels of a side that fit into a store."""
BEYOND = 0.05
"""How far a box may reach beyond an image, in shares of its side: programs round differently."""
OTHERS = (
    "These are features of other images, or of copies of another size. Prepare the data set that "
    "they belong to, or give the images that they were made of: --image-root DIR (of an empty "
    "folder nothing is compared)."
)


class SoundRow(NamedTuple):
    """One image's regions, as they are stored."""

    regions: np.ndarray  # (n, D)
    boxes: np.ndarray | None
    """`(n, 4)` float32 x0 y0 x1 y1 as shares of the image; None of a grid."""
    size: tuple[int, int]
    """Width and height in pixels; (0, 0) where nobody knows."""


def _checked(row: Row, image: Path) -> SoundRow:
    """A row as it is stored; where it has no size, that of the image as it is shown counts.

    Boxes in pixels of an image of unknown size become the whole image. Raises ValueError.
    """
    regions, boxes = np.asarray(row.regions), row.boxes
    if regions.dtype.kind not in NUMBERS:
        raise ValueError(f"regions of type {regions.dtype}")
    size = row.size
    if size is None:
        size, sideways = _size_of(image)
        size = size[::-1] if sideways else size
    if not all(0 <= side <= MAX_SIDE for side in size):
        raise ValueError(f"an image of {size[0]} x {size[1]} pixels")
    if boxes is None:
        return SoundRow(regions, None, size)
    boxes = np.asarray(boxes)
    if boxes.shape != (len(regions), 4) or boxes.dtype.kind not in NUMBERS:
        raise ValueError(f"{len(regions)} regions and boxes {boxes.shape} of type {boxes.dtype}")
    if row.in_pixels and row.size is None and size == (0, 0):
        return SoundRow(regions, whole_image(len(regions)), size)
    if row.in_pixels:
        if 0 in size:
            raise ValueError(f"boxes in pixels of an image of {size[0]} x {size[1]} pixels")
        boxes = boxes.astype(np.float64) / np.array([*size, *size])
    with np.errstate(over="ignore"):  # refused below
        boxes = boxes.astype(np.float32)
    if not np.isfinite(boxes).all():
        raise ValueError("boxes that are no numbers")
    return SoundRow(regions, boxes, size)


def whole_image(count: int) -> np.ndarray:
    """Boxes `(count, 4)` of regions of which nobody knows where they lie."""
    return np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))


def compare_sizes(
    images: Sequence[ImageRecord], read: Callable[[ImageRecord], SoundRow], root: Path, path: Path
) -> None:
    """`compare_size` for some images, before the first is stored."""
    lost = set(without_file(root, images))
    there = [image for image in images if image not in lost]
    places = np.linspace(0, len(there) - 1, min(len(there), COMPARED)).round().astype(int)
    for image in (there[place] for place in dict.fromkeys(places.tolist())):
        compare_size(image, read(image), root, path)


def compare_size(image: ImageRecord, row: SoundRow, root: Path, path: Path) -> None:
    """Compare the size that a feature file gives of an image with that of the image file, if it is
    there; its header alone is read.

    Raises BadData where they differ by more than a pixel. An image that lies on its side may also
    be described as it lies: not every program turns it.
    """
    size, sideways = _size_of(root / image.file)
    ways = (size, size[::-1]) if sideways else (size,)
    same = any(np.abs(np.subtract(way, row.size)).max() <= 1 for way in ways)
    if not same and (0, 0) not in (size, row.size):
        here, said = (f"{wide} x {high}" for wide, high in (size, row.size))
        sizes = f"{here} pixels, according to the features {said}"
        raise BadData(f"image {image.id} ({image.file}) is {sizes}", location=path, hint=OTHERS)


def _size_of(file: Path) -> tuple[tuple[int, int], bool]:
    """Width and height of an image file, (0, 0) where it cannot be read, and whether EXIF turns it
    by 90 degrees.
    """
    try:
        with Image.open(file) as found:
            size = found.size
            try:
                return size, found.getexif().get(0x0112) in (5, 6, 7, 8)  # the orientation
            except Exception:  # damaged EXIF: the image is good, and so is the way it lies
                return size, False
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return (0, 0), False


def sound_row(opened: Opened, place: Any, image: ImageRecord, root: Path, path: Path) -> SoundRow:
    """The regions of an image at a place of the file; `root` has the images.

    Raises BadData for damage, for unexpected shapes, and for regions of another image.
    """
    try:
        row = _checked(opened.read(place), root / image.file)
        wanted = (min(len(row.regions), opened.regions), opened.dim)
        if row.regions.shape != wanted or not len(row.regions):
            raise ValueError(f"regions {row.regions.shape}, announced were {wanted}")
        if (row.boxes is None) != (opened.grid is not None):
            raise ValueError("boxes of a grid" if row.boxes is not None else "no boxes")
    except DEFECTS as error:
        why = " ".join(f"{error}".split())[:200]
        message = f"features of image {image.id} ({image.file}) cannot be read ({why})"
        raise (damaged if isinstance(error, CUT) else made_wrongly)(path, message) from None
    if row.boxes is not None:
        least, most = float(row.boxes.min()), float(row.boxes.max())
        if least < -BEYOND or most > 1 + BEYOND:
            size = f"{row.size[0]} x {row.size[1]} pixels"
            reach = f"reach from {least:.3g} to {most:.3g} of its sides"
            message = f"boxes of image {image.id} ({image.file}, {size}) {reach}"
            raise BadData(message, location=path, hint=OTHERS)
    return row
