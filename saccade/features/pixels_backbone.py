"""The backbone `pixels`: no network, every pixel is a region of three numbers, red, green, blue.

What is extracted with it is a store of small images, from which an encoder can learn
(`models/pixels.py`) without an image file being decoded a second time.
"""

from collections.abc import Mapping
from pathlib import Path

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from saccade.core.errors import BadConfig
from saccade.features.settings import BackboneSpec, Option
from saccade.features.timm_backbones import TrainedOn


class ImageRecord(nn.Module):
    """Shows what it is shown."""

    def forward_features(self, images: Tensor) -> Tensor:
        """Images `(B, 3, h, w)`, as they are."""
        return images


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """Nothing. Raises BadConfig for weights and options: those are the encoder's."""
    del network, size
    if options or weights not in ("hub", "none"):
        raise BadConfig(
            "pixels have neither weights nor options",
            hint="Leave them out; an encoder's stand in the recipe: see `encoder` there.",
        )
    return {}, None


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """No network."""
    del spec, file
    return ImageRecord()


def trained_on(spec: BackboneSpec) -> TrainedOn:
    """What most networks were trained on, for the encoder that will look at the pixels."""
    del spec
    return TrainedOn(224, 224, None, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, "bicubic")
