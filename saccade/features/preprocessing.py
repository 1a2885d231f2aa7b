"""Preprocessing of images, and where boxes of the backbone's input lie in the original image.

Each function takes the settings `Preprocessing`. Torch is imported only where an image is resized:
a feature store needs the boxes alone.
"""

from typing import TYPE_CHECKING

import numpy as np

from saccade.features.settings import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


def resize_and_crop(image: "Tensor", settings: Preprocessing) -> "Tensor":
    """Resize and crop `(3, H, W)` uint8 to `(3, height, width)` uint8.

    That is a quarter of the bytes of normalised pixels: normalise them on the device.
    """
    from torch.nn import functional  # noqa: PLC0415

    wide, high, left, top = map(int, _place(settings, image.shape[2], image.shape[1]))
    if (high, wide) != image.shape[1:] or settings.resize != "crop":
        image = functional.interpolate(
            image[None], size=(high, wide), mode=settings.interpolation, antialias=True
        )[0]
    seen = image[:, top : top + settings.height, left : left + settings.width]
    if seen.shape[1:] == (settings.height, settings.width):
        return seen.contiguous()
    fill = (image.float().new_tensor(settings.mean) * 255).round().to(image.dtype)
    whole = fill[:, None, None].expand(3, settings.height, settings.width).clone()
    whole[:, : seen.shape[1], : seen.shape[2]] = seen
    return whole


def smaller_than_crop(image: "Tensor", settings: Preprocessing) -> str:
    """A remark on an image `(3, H, W)` that a crop without resizing must fill; else empty."""
    height, width = image.shape[1:]
    if settings.resize != "crop" or (height >= settings.height and width >= settings.width):
        return ""
    wanted = f"{settings.width} x {settings.height}"
    return f"is {width} x {height} pixels, smaller than the crop of {wanted}: the rest is filled"


def normalise(pixels: "Tensor", settings: Preprocessing) -> "Tensor":
    """From 0..255 to the backbone's scale: `(..., 3, height, width)` uint8 to float32."""
    shares = pixels.float() / 255
    mean, std = (shares.new_tensor(one)[:, None, None] for one in (settings.mean, settings.std))
    return (shares - mean) / std


def boxes_in_image(
    boxes: np.ndarray, settings: Preprocessing, width: int | np.ndarray, height: int | np.ndarray
) -> np.ndarray:
    """Boxes of the original image for boxes of the crop.

    `boxes (R, 4)` are x0 y0 x1 y1 as shares of the crop, the result is shares of the image:
    `(R, 4)` for one image, `(n, R, 4)` for arrays `width (n,)` and `height (n,)`. Float32.
    """
    wide, high, left, top = (one[..., None] for one in _place(settings, width, height))
    x0, x1 = ((left + boxes[:, i] * settings.width) / wide for i in (0, 2))
    y0, y1 = ((top + boxes[:, i] * settings.height) / high for i in (1, 3))
    return np.stack([x0, y0, x1, y1], axis=-1).astype(np.float32)


def resized_size(settings: Preprocessing, width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of an image of that size after resizing, before the crop."""
    wide, high, *_ = _place(settings, width, height)
    return int(wide), int(high)


def _place(
    settings: Preprocessing, width: int | np.ndarray, height: int | np.ndarray
) -> tuple[np.ndarray, ...]:
    """Width and height of the resized image, left and top of the crop in it, in pixels.

    Rounded as torchvision's Resize and CenterCrop do, which the weights were measured with: the
    longer side downwards, half a pixel to the even side.
    """
    width, height = np.asarray(width), np.asarray(height)
    if settings.resize == "squash":
        zero = np.zeros_like(width)
        return zero + settings.width, zero + settings.height, zero, zero
    shorter = np.minimum(width, height)
    if settings.resize == "inside":
        scale = np.minimum(settings.width / width, settings.height / height)
        if settings.resize_to is not None:
            scale = np.minimum(scale, settings.resize_to / shorter)
        wide = np.clip((width * scale).astype(np.int64), 1, settings.width)
        high = np.clip((height * scale).astype(np.int64), 1, settings.height)
        return wide, high, np.zeros_like(wide), np.zeros_like(high)
    side = shorter if settings.resize == "crop" else settings.resize_to or 0
    wide = (side * width / shorter).astype(np.int64)
    high = (side * height / shorter).astype(np.int64)
    left = np.rint(np.maximum(wide - settings.width, 0) / 2).astype(np.int64)
    top = np.rint(np.maximum(high - settings.height, 0) / 2).astype(np.int64)
    return wide, high, left, top


def grid_boxes(rows: int, columns: int) -> np.ndarray:
    """Boxes of a grid's cells, row by row: `(rows * columns, 4)` float32, x0 y0 x1 y1 in 0..1."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    edges = (x / columns, y / rows, (x + 1) / columns, (y + 1) / rows)
    return np.stack(edges, axis=1).astype(np.float32)
