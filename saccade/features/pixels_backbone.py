"""The backbone `pixels`: no network, every pixel is a region of three numbers, red, green, blue.

A store made with it holds small images, from which an encoder can learn (`models/encoder.py`)
without an image file being decoded a second time.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from saccade.core.errors import BadConfig
from saccade.features.networks import IMAGENET_MEAN, IMAGENET_STD, InputConfig
from saccade.features.settings import BackboneSpec, Option


class Identity(nn.Module):
    """A network whose output is its input."""

    def forward_features(self, images: Tensor) -> Tensor:
        """Images `(B, 3, h, w)`, as they are."""
        return images


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """No options and no file. Raises BadConfig for any: those are the encoder's."""
    if options or weights not in ("hub", "none"):
        hint = "Leave them out; an encoder's stand in the recipe: see `encoder` there."
        raise BadConfig("pixels have neither weights nor options", hint=hint)
    return {}, None


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """The identity."""
    return Identity()


def input_config(spec: BackboneSpec) -> InputConfig:
    """ImageNet's, as of most networks, for the encoder that will get the pixels."""
    return InputConfig(224, 224, None, IMAGENET_MEAN, IMAGENET_STD, "bicubic")
