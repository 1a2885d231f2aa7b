"""Images from anywhere, read without trusting them, as pixels for a backbone.

The one way from a file, bytes or pixels in memory to pixels, of `extract`, `ask`, `explain` and the
others. JPEG goes through
torchvision, which is faster than Pillow, nearly twice for large images, and equal to the bit;
everything else goes through Pillow, because torchvision's PNG decoder takes the whole process down
on some damaged files; DICOM goes through pydicom.
"""

import os
import warnings
from collections.abc import Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saccade.core.errors import BadImage, SaccadeWarning
from saccade.data.image_files import (
    COPY_AGAIN,
    FORMATS,
    MAX_BYTES,
    MAX_PIXELS,
    check_limits,
    decoding,
    deep_grey,
    image_bytes,
    read_levels,
    upright,
)
from saccade.data.levels import Levels, as_bytes
from saccade.data.records import ImageRecord
from saccade.features.preprocessing import resize_and_crop, smaller_than_crop
from saccade.features.settings import Augmentation, Preprocessing
from saccade.features.statistics import FILE, add_pixels, file_statistics
from saccade.features.store_format import Skipped
from saccade.features.views import view_of

ImageInput = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
"""An image as a program may have it: a file's path, a file's bytes, a binary file that is open, an
image of Pillow, or an array of uint8, `(H, W, 3)` in the order red, green, blue, or `(H, W)`."""
WANTED = "a path, a file's bytes, a binary file, a Pillow image, or an array (uint8, H x W x 3)"
MAX_NAME = 4096
"""Characters of a path: longer text is something else, such as an image in base64."""


def open_image(given: ImageInput, window: str = "auto") -> Tensor:
    """Read an image of any kind of `ImageInput` as `read_image` reads a file.

    Equal pixels come of it whichever way the image is given, under the same limits, which are
    checked before pixels are decoded. A binary file is read from its start, where it can go back
    there, and stays open; an image of Pillow shows its present frame. Raises BadImage for what is
    no image and for what is of another type.
    """
    name = image_name(given)
    if isinstance(given, str) and len(given) > MAX_NAME:
        message = f"is text of {len(given):,} characters, which is no path"
        raise BadImage(message, location=name, hint=f"Give {WANTED}; decode base64 first.")
    if isinstance(given, str | PathLike):
        return read_image(os.fsdecode(given), window)
    if isinstance(given, bytes | bytearray | memoryview):
        return decode_image(_limited(bytes(given), name), name, window)
    if isinstance(given, Image.Image):
        pixels, remark = _decode_pillow(given, name, window)
        if remark:
            warnings.warn(f"{name} {remark}.", SaccadeWarning, stacklevel=2)
        return pixels
    if isinstance(given, np.ndarray):
        return _pixels_of(given, name)
    if hasattr(given, "read"):
        return decode_image(_contents(given, name), name, window)
    raise BadImage(f"an image cannot be of the type {name}", hint=f"Give {WANTED}.")


def image_name(given: object) -> str:
    """What messages call an image: its path where it has one, else its type."""
    path: Any = given
    if isinstance(given, Image.Image) or hasattr(given, "read"):
        path = getattr(given, "filename", None) or getattr(given, "name", None)
    if isinstance(path, str | PathLike) and (text := os.fsdecode(path)):
        return text if len(text) <= MAX_NAME else f"{text[:40]}..."
    kind = type(given)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _limited(data: bytes, name: str) -> bytes:
    if len(data) > MAX_BYTES:
        message = f"has more than {MAX_BYTES // 2**20} MiB"
        raise BadImage(message, location=name, hint="Make a smaller copy of the image.")
    return data


def _contents(file: Any, name: str) -> bytes:
    """What a binary file holds."""
    pieces, size = list[bytes](), 0
    try:
        if getattr(file, "seekable", bool)():
            file.seek(0)
        while piece := file.read(2**20):
            if not isinstance(piece, bytes | bytearray):
                message = f"its read() gives {type(piece).__name__}, not bytes"
                raise BadImage(message, location=name, hint='Open the file with mode "rb".')
            pieces.append(bytes(piece))
            size += len(piece)
            if size > MAX_BYTES:
                break
    except (OSError, ValueError, TypeError) as error:  # ValueError: it is closed
        message = f"the file cannot be read ({error})"
        raise BadImage(message, location=name, hint='Open it with mode "rb".') from None
    return _limited(b"".join(pieces), name)


def _decode_pillow(image: Image.Image, name: str, window: str) -> tuple[Tensor, str]:
    """The pixels, and a remark where the window does not fit them."""
    with decoding(name):
        check_limits(image.size, name)
        try:
            if (levels := deep_grey(b"", image, name, window)) is not None:
                return _shown(levels, window)
            return _decode_other(b"", image, name), ""
        except ValueError as error:
            message = f"this image of mode {image.mode} cannot be read ({error})"
            hint = "Give it while it is open, or convert it to RGB."
            raise BadImage(message, location=name, hint=hint) from None


def _pixels_of(array: np.ndarray, name: str) -> Tensor:
    """The pixels of an array, which are copied: the array may change afterwards."""
    shape, hint = " x ".join(map(str, array.shape)) or "one number", f"Give {WANTED}."
    is_colour = array.ndim == 3 and array.shape[2] == 3
    if not (is_colour or array.ndim == 2):
        if array.ndim == 3 and array.shape[0] == 3:
            hint = "Put the channels last: array.transpose(1, 2, 0)."
        elif array.ndim == 3 and array.shape[2] == 4:
            hint = 'Give it as Image.fromarray(array, "RGBA"), or leave transparency out.'
        elif array.ndim == 4:
            hint = "Give several images as a list."
        raise BadImage(f"an array of {shape} is no image", location=name, hint=hint)
    if array.dtype != np.uint8:
        if array.dtype.kind == "f":
            hint = "Make it uint8: (array * 255).round().astype(np.uint8) for values of 0 to 1."
        elif array.dtype == np.uint16 and array.ndim == 2:
            hint = "Give it as Image.fromarray(array)."
        raise BadImage(f"an array of {array.dtype}, not of uint8", location=name, hint=hint)
    check_limits((array.shape[1], array.shape[0]), name)
    colours = array.transpose(2, 0, 1) if is_colour else np.stack([array] * 3)
    return torch.from_numpy(np.array(colours, order="C"))


def read_image(path: str | Path, window: str = "auto", *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read an image file as `(3, H, W)` uint8, RGB, the right way up.

    The first frame of an animation; transparent parts are white; grey is three equal channels;
    more than 8 bits a channel become 8 through a `window`, see `data.levels`. Raises BadImage,
    naming the file and the cause, for a file that is missing, empty, damaged, cut short, no image,
    or larger than `max_pixels`; BadConfig for DICOM where pydicom is not installed. Warns of an
    image that the window does not fit.
    """
    path = Path(path)
    return decode_image(image_bytes(path), path, window, max_pixels=max_pixels)


def decode_image(
    data: bytes, name: str | Path, window: str = "auto", *, max_pixels: int = MAX_PIXELS
) -> Tensor:
    """Decode the bytes of an image file as `read_image` does; `name` is for the message."""
    pixels, remark = _decode(data, name, window, max_pixels)
    if remark:
        warnings.warn(f"{name} {remark}.", SaccadeWarning, stacklevel=2)
    return pixels


def _decode(
    data: bytes, name: str | Path, window: str, max_pixels: int = MAX_PIXELS
) -> tuple[Tensor, str]:
    """The pixels, and a remark where the window does not fit them."""
    levels = read_levels(data, name, window, max_pixels)
    if levels is not None:
        return _shown(levels, window)
    with decoding(name), Image.open(BytesIO(data), formats=FORMATS) as image:
        decode = _decode_jpeg if image.format in ("JPEG", "MPO") else _decode_other
        return decode(data, image, name), ""


def _shown(levels: Levels, window: str) -> tuple[Tensor, str]:
    """The pixels of an image of more than 8 bits through a window, and a remark."""
    pixels, remark = as_bytes(levels, window)
    colours = np.stack([pixels] * 3) if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(colours)), remark


def _decode_jpeg(data: bytes, image: Image.Image, name: str | Path) -> Tensor:
    from torchvision.io import ImageReadMode, decode_jpeg  # noqa: PLC0415 - slow to import

    try:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels: Tensor = decode_jpeg(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError:
        # Pillow has the better message for damage, and reads some rare kinds of JPEG.
        pixels = _decode_other(data, image, name)
    corners = pixels.numpy()[:, (0, 0, -1, -1), (0, -1, 0, -1)]
    if (corners == 128).all(axis=0).any():
        # A JPEG may end, with a proper end mark, before all pixels are there: decoders then fill
        # the rest with mid-grey without an error. More data before the end mark show it: a whole
        # image ignores them, an incomplete one goes on with them.
        end = data.rfind(b"\xff\xd9")
        longer = data[:end] + b"\x55" * 512 + data[end:]
        with Image.open(BytesIO(data)) as before, Image.open(BytesIO(longer)) as after:
            if before.tobytes() != after.tobytes():
                message = "damaged: the compressed data end before the image does"
                raise BadImage(message, location=name, hint=COPY_AGAIN)
    return pixels


def _decode_other(_data: bytes, image: Image.Image, _name: str | Path) -> Tensor:
    image.load()
    image = upright(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


# Batches of images, read in this process or in others, ready for a backbone.


class ReadBatch(NamedTuple):
    """Consecutive images: pixels of the readable ones, facts about all."""

    pixels: Tensor  # (readable, 3, height, width) uint8
    readable: np.ndarray  # (n,) bool
    sizes: np.ndarray  # (n, 2) int32 width, height before resizing; 0 for unreadable ones
    files: np.ndarray  # (n,) of `statistics.FILE`
    skipped: list[Skipped]
    remarks: list[str]
    """Of images that the window does not fit, or that are smaller than a crop."""


class ImageBatches(Dataset[ReadBatch]):
    """Images decoded, resized and cropped, a batch an item. One that cannot be read is noted in
    the batch and raises no error: it must not stop the others.
    """

    def __init__(
        self,
        root: Path,
        images: Sequence[ImageRecord],
        preprocessing: Preprocessing,
        size: int,
        views: Sequence[int] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        """`views` has the number of the view that is wanted of each image; None are plain."""
        self.root, self.images = root, images
        self.preprocessing, self.size = preprocessing, size
        self.views, self.augmentation = views, augmentation

    def __len__(self) -> int:
        return (len(self.images) + self.size - 1) // self.size

    def __getitem__(self, number: int) -> ReadBatch:
        images = self.images[number * self.size : (number + 1) * self.size]
        pixels: list[Tensor] = []
        readable = np.zeros(len(images), bool)
        sizes = np.zeros((len(images), 2), np.int32)
        files = np.zeros(len(images), FILE)
        skipped: list[Skipped] = []
        remarks: list[str] = []
        for place, record in enumerate(images):
            view = self.views[number * self.size + place] if self.views is not None else 0
            try:
                file = self.root / record.file
                data = image_bytes(file)
                files[place] = file_statistics(file, data)
                image, remark = _decode(data, file, self.preprocessing.window)
            except BadImage as error:
                skipped.append(Skipped(record.id, record.file, error.message))
                continue
            if view and self.augmentation is not None:
                image = view_of(image, self.augmentation, record.id, view, self.preprocessing.mean)
            else:
                told = filter(None, (remark, smaller_than_crop(image, self.preprocessing)))
                remarks += [f"{record.file} {one}" for one in told]
            pixels.append(resize_and_crop(image, self.preprocessing))
            add_pixels(files[place], pixels[-1].numpy())
            readable[place] = True
            sizes[place] = image.shape[2], image.shape[1]
        empty = (0, 3, self.preprocessing.height, self.preprocessing.width)
        stacked = torch.stack(pixels) if pixels else torch.empty(empty, dtype=torch.uint8)
        return ReadBatch(stacked, readable, sizes, files, skipped, remarks)

    def loader(self, workers: int, *, pin: bool = False) -> "DataLoader[ReadBatch]":
        """Yields the batches in order; `workers` processes read ahead, 0 reads in this one."""
        return DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin,
            generator=torch.Generator(),  # leaves the global one alone
        )


def _as_it_is(read: Any) -> Any:
    return read
