"""torchvision's detectors as backbones: the regions of a picture are the objects found in it.

Here stands which networks there are and how they are built and filled; how they look at a picture
stands in `detecting`.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn
from torchvision.models import detection, get_model_builder, get_model_weights, list_models

from saccade.core.errors import BadConfig
from saccade.features.detecting import (
    Choice,
    Detector,
    OneStage,
    TwoStage,
    each_class,
    each_class_and_centre,
    one_of_the_classes,
)
from saccade.features.networks import SEED, TrainedOn, misfit
from saccade.features.settings import BackboneSpec, Colour, Option
from saccade.features.weights import find_detector_weights, tensors_in


def _inside(shorter: int, longer: int) -> TrainedOn:
    """A whole picture with its proportions: its shorter side, and the most its longer may have."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return TrainedOn(longer, longer, None, mean, std, "bilinear", inside=shorter / longer)


def _squashed(side: int, mean: Colour, std: Colour) -> TrainedOn:
    return TrainedOn(side, side, None, mean, std, "bilinear")


class Kind(NamedTuple):
    """What networks of one kind have in common."""

    way: TwoStage | OneStage
    shown: TrainedOn
    classes: str
    """A tensor of its files of weights ..."""
    rows: int = 1
    """... with so many rows for each class."""


BOX_HEAD = "roi_heads.box_predictor.cls_score.weight"
CELL_HEAD = "head.classification_head.cls_logits.weight"
FIRST_MAP = "head.classification_head.module_list.0"
R_CNN = Kind(TwoStage(1024), _inside(800, 1333), BOX_HEAD)
PYRAMID = ("0", "1", "2")
"""The maps of strides 8, 16 and 32, with 256 channels each."""
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "fasterrcnn": R_CNN,
        "maskrcnn": R_CNN,
        "keypointrcnn": R_CNN,
        "retinanet": Kind(
            OneStage(256, PYRAMID, each_class, "decode_single"),
            _inside(800, 1333),
            CELL_HEAD,
            9,
        ),
        "fcos": Kind(
            OneStage(256, PYRAMID, each_class_and_centre, "decode"),
            _inside(800, 1333),
            CELL_HEAD,
            1,
        ),
        # An SSD's maps differ in channels, so regions are cut from one of them, that of stride 16.
        "ssd300": Kind(
            OneStage(1024, ("1",), one_of_the_classes, "decode_single"),
            _squashed(300, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
            f"{FIRST_MAP}.weight",
            4,
        ),
        "ssdlite320": Kind(
            OneStage(672, ("0",), one_of_the_classes, "decode_single"),
            _squashed(320, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            f"{FIRST_MAP}.1.weight",
            6,
        ),
    }
)
"""By what stands before the first _ of a network's name."""
SHOWN = {"fasterrcnn_mobilenet_v3_large_320_fpn": _inside(320, 640)}
"""Networks that see pictures otherwise than their kind."""
EXACT = frozenset(
    f"{kind}_resnet50_fpn" for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet")
)
"""Networks whose published weights were trained with norms that add nothing to a variance."""
NAMES = tuple(one for one in list_models(module=detection) if one.partition("_")[0] in KINDS)
"""All detectors, as torchvision calls them."""
BATCH_COUNTER = "num_batches_tracked"


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """The options as they were given, and the weights file that a word or a path means.

    Raises BadConfig for a network that is no detector and for an option that is not in `Choice`,
    MissingWeights.
    """
    del size
    if network not in NAMES:
        raise _unknown(network)
    choice_of(options, _kind(network).way.usual)
    return dict(options), find_detector_weights(
        network, weights, get_model_weights(network).DEFAULT.url
    )


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """Build a detector with weights from a file, all of them, or else random ones."""
    kind, found = _kind(spec.network), tensors_in(file) if file is not None else {}
    found = {name.removeprefix("network."): value for name, value in found.items()}
    choice = choice_of(spec.options, kind.way.usual)
    classes = len(found[kind.classes]) // kind.rows if kind.classes in found else 91
    settings = kind.way.settings(choice.proposals)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = get_model_builder(spec.network)(
            weights=None, weights_backbone=None, num_classes=max(classes, 1), **settings
        )
    if spec.network in EXACT:
        for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
            norm.eps = 0.0
    if file is not None:
        wanted = network.state_dict()
        # Counters of batches, which frozen networks do not need, are missing in early files.
        found |= {n: wanted[n] for n in wanted if n.endswith(BATCH_COUNTER) and n not in found}
        try:
            network.load_state_dict(found)  # which knows the names of early files
        except RuntimeError:
            shapes = {name: tuple(value.shape) for name, value in found.items()}
            raise misfit(spec, file, wanted, shapes) from None
    return Detector(network, kind.way, choice)


def trained_on(spec: BackboneSpec) -> TrainedOn:
    """What torchvision's detectors make of a picture before they look at it."""
    return SHOWN.get(spec.network, _kind(spec.network).shown)


def choice_of(options: Mapping[str, Option], proposals: int = 300) -> Choice:
    """Which boxes a detector keeps that looks at so many unless told otherwise.

    Raises BadConfig for options that there are not, or that contradict each other.
    """
    if strange := sorted(options.keys() - set(Choice._fields)):
        cure = f"There are: {', '.join(Choice._fields)}."
        raise BadConfig(f"a detector has no --option {strange[0]}", cure=cure)
    usual = Choice(proposals=proposals)
    given: dict[str, Any] = dict(options)
    for name, value in given.items():
        whole = isinstance(getattr(usual, name), int)
        if (
            isinstance(value, (bool, str))
            or (whole and not isinstance(value, int))
            or not 0 <= value <= (value if whole else 1)
        ):
            kind = "a whole number" if whole else "a share from 0 to 1"
            raise BadConfig(f"--option {name}={value}", cure=f"Give {kind}.")
    choice = usual._replace(**given)
    if choice.regions and {"threshold", "at_least", "at_most"} & given.keys():
        raise BadConfig(
            "--option regions takes as many boxes of every picture, whatever their scores",
            cure="Leave it out, or leave out threshold, at_least and at_most.",
        )
    agrees = choice.most >= 1 and choice.at_least <= choice.at_most
    if not (agrees and choice.regions <= choice.proposals):
        told = ", ".join(f"{name}={value}" for name, value in choice._asdict().items())
        raise BadConfig(
            f"these options contradict each other: {told}",
            cure="Keep at least 1 region, at_least below at_most, and regions below proposals.",
        )
    return choice


def _kind(network: str) -> Kind:
    return KINDS[network.partition("_")[0]]


def _unknown(network: str) -> BadConfig:
    near = difflib.get_close_matches(network, NAMES, n=2, cutoff=0.5)
    close = f"Near it: {', '.join(f'torchvision:{one}' for one in near)}. " if near else ""
    cure = f"{close}There are: {', '.join(f'torchvision:{one}' for one in NAMES)}."
    return BadConfig(f"torchvision has no detector {network!r}", cure=cure)
