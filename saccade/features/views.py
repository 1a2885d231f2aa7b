"""Views of an image: changed at random by a seed, the same for equal seed, image and view.

View 0 is the plain image and is not made here.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from saccade.features.settings import Augmentation, Colour

if TYPE_CHECKING:
    from torch import Tensor


def view_of(
    image: "Tensor", augmentation: Augmentation, image_id: int, view: int, fill: Colour
) -> "Tensor":
    """A view of an image `(3, H, W)` uint8: rotated, cropped, mirrored, of other colours.

    The crop keeps at least the augmentation's share of the area, its sides' ratio within 3/4 and
    4/3 of the image's. Corners that a rotation leaves free get the colour `fill`, 0..1.
    """
    # Seconds that only views cost.
    from torchvision.transforms import functional  # noqa: PLC0415

    random = np.random.default_rng((augmentation.seed, view, image_id % 2**64))
    angle, share, ratio, x, y = random.random(5).tolist()  # always all: no setting moves another
    colours = 1 + augmentation.colour * (2 * random.random(3) - 1)
    if augmentation.rotation:
        bilinear = functional.InterpolationMode.BILINEAR
        angle, corner = augmentation.rotation * (2 * angle - 1), [255 * one for one in fill]
        image = functional.rotate(image, angle, bilinear, fill=corner)
    share = augmentation.crop + (1 - augmentation.crop) * share
    # A crop of this share fits into the image for these ratios alone.
    widest = min(math.log(4 / 3), -math.log(share)) / 2
    stretch = math.exp(widest * (2 * ratio - 1))
    height, width = image.shape[1:]
    high = max(round(height * math.sqrt(share) / stretch), 1)
    wide = max(round(width * math.sqrt(share) * stretch), 1)
    top, left = round(y * (height - high)), round(x * (width - wide))
    image = image[:, top : top + high, left : left + wide]
    if augmentation.flip and view % 2:
        image = image.flip(-1)
    changes = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
    )
    for change, factor in zip(changes, colours.tolist(), strict=True):
        image = change(image, factor) if augmentation.colour else image
    return image
