"""Features from another program's file: there is no network, so no new image can be seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from torch import nn

from saccade.core.errors import BadConfig, MissingWeights
from saccade.features.settings import BackboneSpec, Option
from saccade.features.timm_backbones import TrainedOn

IMPORTED = "imported"
MAKERS = {
    "bottom-up": "the Caffe Faster R-CNN of bottom-up attention (ResNet-101, Visual Genome)",
    "hengyuan-hu": "the Caffe Faster R-CNN of bottom-up attention (ResNet-101, Visual Genome)",
    "openvqa": "the Caffe Faster R-CNN of bottom-up attention (ResNet-101, Visual Genome)",
    "pytorch-vqa": "ResNet-152 with weights converted from Caffe",
    "self-critical": "ResNet-101 of Caffe, or bottom-up attention's detector",
}
"""What made the features of each kind of file."""


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """There is nothing to build. Raises BadConfig for a try to extract, else MissingWeights."""
    del weights, options, size
    _refuse(network)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """There is no network. Raises MissingWeights."""
    del file
    _refuse(spec.network)


def trained_on(spec: BackboneSpec) -> TrainedOn:
    """Nothing is known. Raises BadConfig."""
    raise BadConfig(f"{spec.name} is no network", hint="Choose one: saccade list backbones.")


def _refuse(kind: str) -> NoReturn:
    maker = MAKERS.get(kind, "another program")
    raise MissingWeights(
        f"these features came from a file of {kind}, made by {maker}, which is no part of saccade, "
        "so a new image cannot be looked at",
        hint="Ask about images of the data folder (saccade evaluate), or train on features "
        "extracted here, such as --backbone torchvision:fasterrcnn_resnet50_fpn_v2.",
    )
