"""The backbone of features from another program's file: no network, so no new images."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from torch import nn

from saccade.core.errors import BadConfig, MissingWeights
from saccade.features.networks import InputConfig
from saccade.features.settings import BackboneSpec, Option

IMPORTED = "imported"
CAFFE = "the Caffe Faster R-CNN of bottom-up attention (ResNet-101, Visual Genome)"
MAKERS = {
    "bottom-up": CAFFE,
    "hengyuan-hu": CAFFE,
    "openvqa": CAFFE,
    "pytorch-vqa": "ResNet-152 with weights converted from Caffe",
    "self-critical": "ResNet-101 of Caffe, or bottom-up attention's detector",
}
"""The network that made the features of each kind of file."""


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """Raises MissingWeights: there is no network."""
    del weights, options, size
    _refuse(network)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """Raises MissingWeights: there is no network."""
    del file
    _refuse(spec.network)


def input_config(spec: BackboneSpec) -> InputConfig:
    """Raises BadConfig: there is no network."""
    raise BadConfig(f"{spec.name} is no network", hint="Choose one: saccade list backbones.")


def _refuse(kind: str) -> NoReturn:
    maker = MAKERS.get(kind, "another program")
    raise MissingWeights(
        f"these features came from a file of {kind}, made by {maker}, which is no part of saccade, "
        "so a new image cannot be encoded",
        hint="Ask about images of the data folder (saccade evaluate), or train on features "
        "extracted here, such as --backbone torchvision:fasterrcnn_resnet50_fpn_v2.",
    )
