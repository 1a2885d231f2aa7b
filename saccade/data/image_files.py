"""Image files that nobody should trust: their limits, and the values of those of more than 8 bits.

Limits are checked on the header, before a pixel is decoded. Neither torch nor pydicom is imported
until an image needs it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from saccade.core.errors import BadImage, SaccadeError
from saccade.data.dicom import dicom_levels, is_dicom, open_dicom
from saccade.data.find_files import refuse_addresses
from saccade.data.levels import SMALL_PART, Levels, window_around
from saccade.data.options import window_range

MAX_PIXELS = 64 * 2**20
MAX_BYTES = 256 * 2**20
MAX_RATIO = 100
"""Of the longer to the shorter side: a line of pixels would be resized into a huge one."""
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""No EPS, no PSD, no PDF: formats of pixels only, none that runs another program."""
SAMPLE = 32
"""Images of a set that are opened to find its window."""
PNG = b"\x89PNG"
"""The first bytes of a PNG file."""
COPY_AGAIN = "Copy the file again from where it came, or leave the image out."
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF."""


def image_bytes(path: Path) -> bytes:
    """The contents of an image file. Raises BadImage where it is missing or too large."""
    refuse_addresses([path])
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BadImage("is not a file", location=path, hint="Give the path of an image file.")
        if size > MAX_BYTES:
            message = f"has {size / 2**20:.0f} MiB, more than {MAX_BYTES // 2**20}"
            raise BadImage(message, location=path, hint="Make a smaller copy of the image.")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        lost = isinstance(error, FileNotFoundError)
        message = "no such file" if lost else f"unreadable ({error})"
        hint = "Check the folder of images (SACCADE_IMAGES) and the name."
        raise BadImage(message, location=path, hint=hint) from None


def check_limits(size: tuple[int, int], name: str | Path, max_pixels: int = MAX_PIXELS) -> None:
    """Raise BadImage for a width and a height that no image should have."""
    width, height = size
    if not width * height:
        message = f"{width} x {height} pixels: there is nothing in it"
        raise BadImage(message, location=name, hint="Leave the image out.")
    if width * height > max_pixels:
        message = f"{width} x {height} pixels are more than {max_pixels / 1e6:.0f} million"
        raise BadImage(message, location=name, hint="Make a smaller copy of the image.")
    if max(width, height) > MAX_RATIO * min(width, height):
        message = f"{width} x {height} pixels: one side is over {MAX_RATIO} times the other"
        raise BadImage(message, location=name, hint="Crop the image, or leave it out.")


def set_window(root: Path, files: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """The window of a set, `auto` or `auto:LO,HI`, the files of more than 8 bits that use a small
    part of them, and those that use more, where there are both.

    Some of `files` are opened. Where those of more than 8 bits name no window, and all their values
    are a small part of what they could be, the window is the bits that they have in common. Raises
    BadConfig for DICOM without pydicom.
    """
    found: list[tuple[str, float, float, float]] = []
    for file in files[:: max(len(files) // SAMPLE, 1)]:
        with suppress(BadImage):  # `extract` names it
            levels = read_levels(image_bytes(root / file), root / file)
            if levels and levels.shown is None and (span := levels.most - levels.least) > 255:
                found.append((file, float(levels.values.min()), float(levels.values.max()), span))
    if not found:
        return "auto", [], []
    deep, lowest, highest, spans = zip(*found, strict=True)
    low, high = window_around(min(lowest), max(highest))
    if min(lowest) == max(highest):
        return "auto", [], []
    if high - low <= SMALL_PART * min(spans):
        return f"auto:{low:g},{high:g}", list(deep), []
    wide = [one[0] for one in found if one[2] - one[1] > SMALL_PART * one[3]]
    return "auto", [file for file in deep if file not in wide] if wide else [], wide


def read_levels(
    data: bytes, name: str | Path, window: str = "auto", max_pixels: int = MAX_PIXELS
) -> Levels | None:
    """The values of an image file of more than 8 bits a channel, or DICOM; None for the others.

    Checks what every image file must be, before a pixel is decoded. Raises BadImage.
    """
    if not data:
        raise BadImage("the file is empty", location=name, hint=COPY_AGAIN)
    with decoding(name):
        if is_dicom(data):
            dataset = open_dicom(data, name)
            check_limits((dataset.Columns, dataset.Rows), name, max_pixels)
            return dicom_levels(dataset, name, window)
        if data.startswith(PNG):
            with Image.open(BytesIO(data), formats=["PNG"]) as image:
                check_limits(image.size, name, max_pixels)
                image.verify()  # the checksums, which reading does not compare
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            check_limits(image.size, name, max_pixels)
            if data.startswith(PNG) and data[24] == 16 and data[25] & 2 + 4:
                return _deep_colours(data, image)
            return deep_grey(data, image, name, window)


@contextmanager
def decoding(name: str | Path) -> Iterator[None]:
    """Whatever a decoder raises becomes BadImage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which harms nobody
        try:
            yield
            return
        except SaccadeError:
            raise
        except UnidentifiedImageError:
            message = f"not a whole image in a format known here ({', '.join(FORMATS)}, DICOM)"
            hint = "Convert it to JPEG or PNG."
        except Image.DecompressionBombError as error:
            message, hint = f"too large: {error}", "Make a smaller copy."
        except Exception as error:  # a decoder that is given broken bytes may raise anything
            why = " ".join(str(error).split())
            message, hint = f"damaged ({type(error).__name__}: {why})", COPY_AGAIN
    raise BadImage(message, location=name, hint=hint)


def upright(image: Image.Image) -> Image.Image:
    """An image the right way up."""
    with suppress(Exception):  # damaged EXIF: the pixels are good, and so is the way they lie
        return ImageOps.exif_transpose(image)
    return image


def deep_grey(data: bytes, image: Image.Image, name: str | Path, window: str) -> Levels | None:
    """A grey image of Pillow's modes of more than 8 bits; None for one of other modes. `data` is
    the file that it is from, if it is from one.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "RGB" and tags.get(BITS_PER_SAMPLE, (8,))[0] == 16:
        high = np.asarray(upright(image))  # Pillow keeps the higher 8 bits of these
        return Levels(high * 257.0, 0, 65535)
    if not image.mode.startswith(("I", "F")):
        return None
    tile = next(iter(getattr(image, "tile", [])), None)  # gone once it is loaded
    image.load()
    values: np.ndarray = np.asarray(upright(image))
    bits, low = 16, 0
    if image.format == "JPEG2000" and (at := data.find(b"\xff\x51")) >= 0:
        bits = (data[at + 40] & 0x7F) + 1  # of the header's first component
        values = values.astype(np.uint16) >> max(16 - bits, 0)  # Pillow has moved them up
    elif image.format == "TIFF" and (tags.get(BITS_PER_SAMPLE) or (0,))[0] <= 16:
        bits = tags[BITS_PER_SAMPLE][0]
        low = -(2 ** (bits - 1)) if tags.get(SAMPLE_FORMAT, (1,))[0] == 2 else 0
    elif image.format == "PPM" and image.mode == "I":
        most = tile.args[1] if tile and isinstance(tile.args, tuple) else 65535
        return Levels((values * (most / 65535)).round(), 0, most)  # Pillow has stretched them
    elif not image.mode.startswith("I;16"):
        said = window_range(window) if not window.startswith("auto") else None
        if said is None or not np.isfinite(values).all():
            message = f"its pixels are 32-bit numbers (mode {image.mode}) of unknown range"
            hint = "Prepare the images with --option window=LO,HI, or convert them to 16 bits."
            raise BadImage(message, location=name, hint=hint)
        return Levels(values, *said)
    # Pillow turns a TIFF whose white is 0 around where it has 8 bits, and not where it has 16.
    negative = image.format == "TIFF" and tags.get(PHOTOMETRIC) == 0
    return Levels(values, low, low + 2**bits - 1, negative=negative)


def _deep_colours(data: bytes, image: Image.Image) -> Levels:
    """A PNG of 16 bits a channel with colours or transparency, of which Pillow keeps 8."""
    import torch  # noqa: PLC0415 - slow to import
    from torchvision.io import ImageReadMode, decode_png  # noqa: PLC0415

    image.load()  # torchvision's decoder takes the process down on what Pillow finds damaged
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    read = decode_png(encoded, mode=ImageReadMode.UNCHANGED, apply_exif_orientation=True)
    values: np.ndarray = read.permute(1, 2, 0).numpy()
    alpha = None if values.shape[2] % 2 else values[..., -1] / 65535
    colours = values[..., 0] if values.shape[2] < 3 else values[..., :3]
    return Levels(colours, 0, 65535, alpha=alpha)
