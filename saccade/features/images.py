"""Image files from anywhere, read without trusting them.

Limits are checked on the header, before a pixel is decoded. JPEG goes through torchvision, which
is faster than Pillow, nearly twice for large images, and equal to the bit; everything else goes
through Pillow, because torchvision's PNG decoder takes the whole process down on some damaged
files.
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saccade.core.errors import BadImage
from saccade.data.records import ImageRecord
from saccade.features.preprocessing import resize_and_crop
from saccade.features.settings import Preprocessing
from saccade.features.store_format import Skipped

MAX_PIXELS = 64 * 2**20
MAX_BYTES = 256 * 2**20
MAX_RATIO = 100
"""Of the longer to the shorter side: a line of pixels would be resized into a huge one."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""No EPS, no PSD, no PDF: formats of pixels only, none that runs another program."""

PNG = b"\x89PNG"
"""The first bytes of a PNG file."""

COPY_AGAIN = "Copy the file again from where it came, or leave the image out."


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read an image file as `(3, H, W)` uint8, RGB, the right way up.

    The first frame of an animation; transparent parts are white; grey is three equal channels;
    16 bits a channel become 8. Raises BadImage, naming the file and the cause, for a file that is
    missing, empty, damaged, cut short, no image, or larger than `max_pixels`.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BadImage("is not a file", location=path, hint="Give the path of an image file.")
        if size > MAX_BYTES:
            message = f"has {size / 2**20:.0f} MiB, more than {MAX_BYTES // 2**20}"
            raise BadImage(message, location=path, hint="Make a smaller copy of the image.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        lost = isinstance(error, FileNotFoundError)
        message = "no such file" if lost else f"unreadable ({error})"
        hint = "Check the folder of images (SACCADE_IMAGES) and the name."
        raise BadImage(message, location=path, hint=hint) from None
    return decode_image(data, path, max_pixels=max_pixels)


def decode_image(data: bytes, name: str | Path, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode the bytes of an image file as `read_image` does; `name` is for the message."""
    if not data:
        raise BadImage("the file is empty", location=name, hint=COPY_AGAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which harms nobody
        try:
            if data.startswith(PNG):
                with Image.open(BytesIO(data), formats=["PNG"]) as image:
                    _check_limits(image, name, max_pixels)
                    image.verify()  # the checksums, which reading does not compare
            with Image.open(BytesIO(data), formats=FORMATS) as image:
                _check_limits(image, name, max_pixels)
                if image.format in ("JPEG", "MPO"):
                    return _decode_jpeg(data, image, name)
                return _decode_other(image, name)
        except BadImage:
            raise
        except UnidentifiedImageError:
            message = f"not a whole image in a format known here ({', '.join(FORMATS)})"
            hint = "Convert it to JPEG or PNG."
        except Image.DecompressionBombError as error:
            message, hint = f"too large: {error}", "Make a smaller copy."
        except Exception as error:  # a decoder that is given broken bytes may raise anything
            message, hint = f"damaged ({type(error).__name__}: {error})", COPY_AGAIN
    raise BadImage(message, location=name, hint=hint)


def _check_limits(image: Image.Image, name: str | Path, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        message = f"{width} x {height} pixels are more than {max_pixels / 1e6:.0f} million"
        raise BadImage(message, location=name, hint="Make a smaller copy of the image.")
    if max(width, height) > MAX_RATIO * min(width, height):
        message = f"{width} x {height} pixels: one side is over {MAX_RATIO} times the other"
        raise BadImage(message, location=name, hint="Crop the image, or leave it out.")


def _decode_jpeg(data: bytes, image: Image.Image, name: str | Path) -> Tensor:
    from torchvision.io import ImageReadMode, decode_jpeg  # noqa: PLC0415 - slow to import

    try:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels: Tensor = decode_jpeg(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError:
        # Pillow has the better message for damage, and reads some rare kinds of JPEG.
        pixels = _decode_other(image, name)
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


def _decode_other(image: Image.Image, name: str | Path) -> Tensor:
    image.load()
    with suppress(Exception):  # damaged EXIF: the pixels are good, and so is the way they lie
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips instead of scaling: nearly all would be white.
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        message = f"its pixels are 32-bit numbers (mode {image.mode}) of unknown range"
        raise BadImage(message, location=name, hint="Convert it to 8 or 16 bits a channel.")
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
    sizes: np.ndarray  # (n, 2) int32 width, height of the original; 0 for unreadable ones
    skipped: list[Skipped]


class ImageBatches(Dataset[ReadBatch]):
    """Images decoded, resized and cropped, a batch an item. One that cannot be read is noted in
    the batch and raises no error: it must not stop the others.
    """

    def __init__(
        self, root: Path, images: Sequence[ImageRecord], preprocessing: Preprocessing, size: int
    ) -> None:
        self.root, self.images = root, images
        self.preprocessing, self.size = preprocessing, size

    def __len__(self) -> int:
        return (len(self.images) + self.size - 1) // self.size

    def __getitem__(self, number: int) -> ReadBatch:
        images = self.images[number * self.size : (number + 1) * self.size]
        pixels: list[Tensor] = []
        readable = np.zeros(len(images), bool)
        sizes = np.zeros((len(images), 2), np.int32)
        skipped: list[Skipped] = []
        for place, record in enumerate(images):
            try:
                image = read_image(self.root / record.file)
            except BadImage as error:
                skipped.append(Skipped(record.id, record.file, error.message))
                continue
            pixels.append(resize_and_crop(image, self.preprocessing))
            readable[place] = True
            sizes[place] = image.shape[2], image.shape[1]
        empty = (0, 3, self.preprocessing.height, self.preprocessing.width)
        stacked = torch.stack(pixels) if pixels else torch.empty(empty, dtype=torch.uint8)
        return ReadBatch(stacked, readable, sizes, skipped)

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
