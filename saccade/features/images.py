"""Image files from anywhere, read without trusting them, as pixels for a backbone.

The one way from a file to pixels, of `extract`, `ask`, `explain` and the others. JPEG goes through
torchvision, which is faster than Pillow, nearly twice for large images, and equal to the bit;
everything else goes through Pillow, because torchvision's PNG decoder takes the whole process down
on some damaged files; DICOM goes through pydicom.
"""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saccade.core.errors import BadImage, SaccadeWarning
from saccade.data.image_files import (
    COPY_AGAIN,
    FORMATS,
    MAX_PIXELS,
    decoding,
    image_bytes,
    read_levels,
    upright,
)
from saccade.data.levels import as_bytes
from saccade.data.records import ImageRecord
from saccade.features.preprocessing import resize_and_crop, smaller_than_crop
from saccade.features.settings import Augmentation, Preprocessing
from saccade.features.statistics import FILE, add_pixels, file_statistics
from saccade.features.store_format import Skipped
from saccade.features.views import view_of


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
        pixels, remark = as_bytes(levels, window)
        colours = np.stack([pixels] * 3) if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(colours)), remark
    with decoding(name), Image.open(BytesIO(data), formats=FORMATS) as image:
        decode = _decode_jpeg if image.format in ("JPEG", "MPO") else _decode_other
        return decode(data, image, name), ""


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
