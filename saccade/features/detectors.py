"""torchvision's detectors as backbones: the regions of an image are the objects found in it.

Here stands which networks there are and how they are built and filled; how they look at an image
stands in `detecting`.
"""

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import detection, get_model_builder, get_model_weights, list_models
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms, remove_small_boxes

from saccade.core.errors import BadConfig
from saccade.features.networks import EncodedImages
from saccade.features.preprocessing import boxes_in_image, resized_size
from saccade.features.settings import BackboneSpec, Colour, Option, Preprocessing
from saccade.features.timm_backbones import (
    SEED,
    TrainedOn,
    find_detector_weights,
    misfit,
    tensors_in,
)

# How torchvision's detectors look at an image, and which of the boxes they find are kept.

CELLS, SAMPLES = 7, 2
"""A box is cut into 7 x 7 cells and read at 2 x 2 points of each, as in torchvision's R-CNNs."""
SMALLEST = 1e-3
"""Pixels that a box must have a side, as region proposal networks have it."""


class Choice(NamedTuple):
    """Which boxes are kept: the options of a detector."""

    regions: int = 0
    """So many of every image; 0 leaves it to the next three."""
    threshold: float = 0.2
    """All boxes that are at least so sure, ..."""
    min_count: int = 10
    """... but so many of the surest ones in any case, ..."""
    at_most: int = 100
    """... and no more than so many."""
    overlap: float = 0.3
    """Of two boxes whose intersection is more than this share of their union one loses."""
    proposals: int = 300
    """Boxes that are looked at: the surest ones, before any loses."""

    @property
    def most(self) -> int:
        """Regions of an image, at most."""
        return min(self.regions or self.at_most, self.proposals)


class Proposed(NamedTuple):
    """What a network proposes in one image."""

    boxes: Tensor  # (n, 4) x0 y0 x1 y1 in pixels
    scores: Tensor  # (n, classes) from 0 to 1, of things only: no background
    regions: Callable[[Tensor], Tensor]  # from the numbers of k boxes to their vectors (k, D)


class Found(NamedTuple):
    """What is kept of it, the surest box first."""

    regions: Tensor  # (n, D)
    boxes: Tensor  # (n, 4) x0 y0 x1 y1 in pixels
    scores: Tensor  # (n,)


class TwoStage(NamedTuple):
    """Proposals first, then a vector of each box, which its class is told from.

    Boxes are the proposals themselves, not moved by the classes' regression.
    """

    width: int
    """Numbers per region."""
    usual: int = 300
    """Boxes that are looked at, unless an option says otherwise."""

    def settings(self, proposals: int) -> dict[str, int]:
        """What such a network is built with to propose so many boxes."""
        return {"rpn_post_nms_top_n_test": proposals}

    def encode(self, network: Any, image: Tensor, proposals: int) -> Proposed:
        """So many boxes, or fewer, of an image `(3, h, w)`, normalised."""
        size, heads = (image.shape[1], image.shape[2]), network.roi_heads
        canvas = _canvas(network.transform, image)
        maps = network.backbone(canvas)
        maps = OrderedDict([("0", maps)]) if isinstance(maps, Tensor) else maps
        boxes = network.rpn(ImageList(canvas, [size]), maps)[0][0][:proposals]
        boxes = boxes if len(boxes) else _all_of(image)
        vectors = heads.box_head(heads.box_roi_pool(maps, [boxes], [tuple(canvas.shape[2:])]))
        scores = heads.box_predictor(vectors)[0].softmax(dim=1)[:, 1:]  # 0 is the background
        return Proposed(boxes, scores, vectors.__getitem__)


class OneStage(NamedTuple):
    """Places and classes of all cells at once; boxes are the network's own, moved by it."""

    width: int
    """Numbers per region: the channels of the maps."""
    maps: tuple[str, ...]
    """The backbone's maps that regions are cut from, fine ones first. The larger a box, the coarser
    the map (Lin et al. 2017, equation 1)."""
    scores: Callable[[Mapping[str, Tensor]], Tensor]
    """From what the head says to `(1, anchors, classes)`."""
    decoder: str
    """The method of the network's box coder that moves anchors."""
    usual: int = 1000
    """As above; more of them, because no first stage has thinned them out."""

    def settings(self, proposals: int) -> dict[str, int]:
        """Nothing: there is no proposing part to be built for it."""
        del proposals
        return {}

    def encode(self, network: Any, image: Tensor, proposals: int) -> Proposed:
        """So many boxes, or fewer, of an image `(3, h, w)`, normalised: those with the surest best
        class, out of a hundred thousand and more. What lies outside of the image is none.
        """
        size = (image.shape[1], image.shape[2])
        canvas = _canvas(network.transform, image)
        maps = network.backbone(canvas)
        levels = list(maps.values())
        said = network.head(levels)
        anchors = network.anchor_generator(ImageList(canvas, [size]), levels)[0]
        moved = getattr(network.box_coder, self.decoder)(said["bbox_regression"][0], anchors)
        boxes, scores = clip_boxes_to_image(moved, size), self.scores(said)[0]
        real = remove_small_boxes(boxes, SMALLEST)
        order = scores.amax(dim=1)[real].argsort(descending=True, stable=True)
        surest = real[order[:proposals]]
        boxes, scores = boxes[surest], scores[surest]
        if not len(boxes):
            boxes, scores = _all_of(image), scores.new_zeros(1, scores.shape[1])
        cut = MultiScaleRoIAlign(list(self.maps), CELLS, SAMPLES)

        def regions(chosen: Tensor) -> Tensor:
            cells: Tensor = cut(maps, [boxes[chosen]], [tuple(canvas.shape[2:])])
            return cells.mean(dim=(2, 3))

        return Proposed(boxes, scores, regions)


def each_class(said: Mapping[str, Tensor]) -> Tensor:
    """Every class for itself, the first one too (RetinaNet, Lin et al. 2017b, section 4)."""
    return said["cls_logits"].sigmoid()


def each_class_and_centre(said: Mapping[str, Tensor]) -> Tensor:
    """The same, less sure far from a thing's centre (FCOS, Tian et al. 2019, section 3.3; with the
    root, by which torchvision's are chosen).
    """
    return (said["cls_logits"].sigmoid() * said["bbox_ctrness"].sigmoid()).sqrt()


def one_of_the_classes(said: Mapping[str, Tensor]) -> Tensor:
    """One class or none at all, which is the first (SSD, Liu et al. 2016, section 2.2)."""
    return said["cls_logits"].softmax(dim=2)[:, :, 1:]


class Detector(nn.Module):
    """A detector of torchvision that hands out boxes, how sure it is, and a vector of each."""

    def __init__(self, network: Any, way: TwoStage | OneStage, choice: Choice) -> None:
        super().__init__()
        self.network, self.way, self.choice = network, way, choice

    def detect(self, image: Tensor) -> Found:
        """Look at one image `(3, h, w)` of any size, normalised.

        One at a time: side by side, smaller ones would be filled up, which some networks see. A
        image in which nothing at all is proposed is one region, the whole of it.
        """
        return choose(self.way.encode(self.network, image, self.choice.proposals), self.choice)

    def encode(
        self, images: Tensor, preprocessing: Preprocessing, sizes: np.ndarray
    ) -> EncodedImages:
        """Look at images `(B, 3, h, w)` that were filled up to one size; `sizes (B, 2)` are the
        original widths and heights.
        """
        canvas = np.array([images.shape[3], images.shape[2]] * 2, np.float32)
        inner = [resized_size(preprocessing, width, height) for width, height in sizes.tolist()]
        cut = [image[:, :high, :wide] for image, (wide, high) in zip(images, inner, strict=True)]
        most, found = self.choice.most, [self.detect(one) for one in cut]
        regions = images.new_zeros(len(found), most, self.way.width)
        boxes = np.zeros((len(found), most, 4), np.float32)
        scores = np.zeros((len(found), most), np.float32)
        for row, (one, size) in enumerate(zip(found, sizes.tolist(), strict=True)):
            count, shares = len(one.regions), one.boxes.cpu().numpy() / canvas
            regions[row, :count] = one.regions
            boxes[row, :count] = boxes_in_image(shares, preprocessing, *size)
            scores[row, :count] = one.scores.cpu().numpy()
        return EncodedImages(regions, np.array([len(one.regions) for one in found]), boxes, scores)


def choose(proposed: Proposed, choice: Choice) -> Found:
    """Leave out what overlaps, class by class, and keep the surest of the rest."""
    boxes, scores, regions = proposed
    surest = scores.new_zeros(len(scores))
    for one in scores.T:
        kept = nms(boxes, one, choice.overlap)
        surest[kept] = torch.maximum(surest[kept], one[kept])
    count = choice.regions or min(
        max(int((surest >= choice.threshold).sum()), choice.min_count), choice.at_most
    )
    best = surest.argsort(descending=True, stable=True)[:count]
    return Found(regions(best), boxes[best], surest[best])


def _canvas(transform: Any, image: Tensor) -> Tensor:
    """The image at the upper left of one that the network takes `(1, 3, H, W)`: of whole strides,
    and no smaller than the one size that some are built for. Its size is what maps are shares of;
    that of a flat image, filled up to a stride, would not be.
    """
    whole = transform.batch_images([image], transform.size_divisible)
    wide, high = transform.fixed_size or (0, 0)
    right, below = max(wide - whole.shape[3], 0), max(high - whole.shape[2], 0)
    return functional.pad(whole, (0, right, 0, below))


def _all_of(image: Tensor) -> Tensor:
    return image.new_tensor([[0, 0, image.shape[2], image.shape[1]]])


def _inside(shorter: int, longer: int) -> TrainedOn:
    """A whole image with its proportions: its shorter side, and the most its longer may have."""
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
"""Networks that see images otherwise than their kind."""
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
    """What torchvision's detectors make of an image before they look at it."""
    return SHOWN.get(spec.network, _kind(spec.network).shown)


def choice_of(options: Mapping[str, Option], proposals: int = 300) -> Choice:
    """Which boxes a detector keeps that looks at so many unless told otherwise.

    Raises BadConfig for options that there are not, or that contradict each other.
    """
    if strange := sorted(options.keys() - set(Choice._fields)):
        hint = f"There are: {', '.join(Choice._fields)}."
        raise BadConfig(f"a detector has no --option {strange[0]}", hint=hint)
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
            raise BadConfig(f"--option {name}={value}", hint=f"Give {kind}.")
    choice = usual._replace(**given)
    if choice.regions and {"threshold", "min_count", "at_most"} & given.keys():
        raise BadConfig(
            "--option regions takes as many boxes of every image, whatever their scores",
            hint="Leave it out, or leave out threshold, min_count and at_most.",
        )
    agrees = choice.most >= 1 and choice.min_count <= choice.at_most
    if not (agrees and choice.regions <= choice.proposals):
        told = ", ".join(f"{name}={value}" for name, value in choice._asdict().items())
        raise BadConfig(
            f"these options contradict each other: {told}",
            hint="Keep at least 1 region, min_count below at_most, and regions below proposals.",
        )
    return choice


def _kind(network: str) -> Kind:
    return KINDS[network.partition("_")[0]]


def _unknown(network: str) -> BadConfig:
    near = difflib.get_close_matches(network, NAMES, n=2, cutoff=0.5)
    close = f"Near it: {', '.join(f'torchvision:{one}' for one in near)}. " if near else ""
    hint = f"{close}There are: {', '.join(f'torchvision:{one}' for one in NAMES)}."
    return BadConfig(f"torchvision has no detector {network!r}", hint=hint)
