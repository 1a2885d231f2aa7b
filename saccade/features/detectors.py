"""torchvision's detectors as backbones: the regions of an image are the objects found in it."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from pydantic import ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, hub, nn
from torch.nn import functional
from torchvision.models import detection, get_model_builder, get_model_weights, list_models
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms, remove_small_boxes

from saccade.core.errors import BadConfig
from saccade.core.settings import Settings, first_problem
from saccade.core.weights import SUFFIXES, find_network, network_errors
from saccade.features import networks
from saccade.features.preprocessing import boxes_in_image, resized_size
from saccade.features.settings import BackboneSpec, Option, Preprocessing

CELLS, SAMPLES = 7, 2
"""A box is cut into 7 x 7 cells and read at 2 x 2 points of each, as in torchvision's R-CNNs."""
MIN_SIDE = 1e-3
"""Pixels that the sides of a box need, as in region proposal networks."""


class BoxSelection(Settings):
    """The boxes that are kept: the options of a detector."""

    model_config = ConfigDict(strict=True)  # neither "36" nor true is a number
    regions: int = Field(0, ge=0)
    """This many of every image; 0 leaves it to the next three."""
    threshold: float = Field(0.2, ge=0, le=1)
    """All boxes of at least this confidence, ..."""
    min_count: int = Field(10, ge=0)
    """... but this many of the most confident ones in any case, ..."""
    at_most: int = Field(100, ge=0)
    """... and no more than this many."""
    overlap: float = Field(0.3, ge=0, le=1)
    """Of two boxes whose intersection is more than this share of their union one is dropped."""
    proposals: int = Field(300, ge=0)
    """Boxes that are considered: the most confident ones, before any is dropped."""

    @property
    def max_regions(self) -> int:
        """Regions of an image, at most."""
        return min(self.regions or self.at_most, self.proposals)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.regions and {"threshold", "min_count", "at_most"} & self.model_fields_set:
            raise ValueError("regions takes as many boxes of every image, whatever their scores")
        if self.max_regions < 1 or self.min_count > self.at_most or self.regions > self.proposals:
            raise ValueError(
                f"these contradict each other ({self}): keep at least 1 region, min_count below "
                "at_most, and regions below proposals"
            )
        return self


class Proposals(NamedTuple):
    """Boxes that a network proposes in one image."""

    boxes: Tensor  # (n, 4) x0 y0 x1 y1 in pixels
    scores: Tensor  # (n, classes) from 0 to 1, without the background
    regions: Callable[[Tensor], Tensor]  # from the numbers of k boxes to their vectors (k, D)


class Detections(NamedTuple):
    """Boxes that are kept, the most confident first."""

    regions: Tensor  # (n, D)
    boxes: Tensor  # (n, 4) x0 y0 x1 y1 in pixels
    scores: Tensor  # (n,)


class TwoStage(NamedTuple):
    """Two stages: proposals first, then a vector of each box, from which its class is computed.

    Boxes are the proposals themselves, not moved by the classes' regression.
    """

    dim: int
    """Numbers per region."""
    proposals: int = 300
    """Boxes that are considered, unless an option says otherwise."""

    def propose(self, network: Any, image: Tensor, proposals: int) -> Proposals:
        """At most `proposals` boxes of an image `(3, h, w)`, normalised."""
        size, heads = (image.shape[1], image.shape[2]), network.roi_heads
        canvas = _canvas(network.transform, image)
        maps = network.backbone(canvas)
        maps = OrderedDict([("0", maps)]) if isinstance(maps, Tensor) else maps
        boxes = network.rpn(ImageList(canvas, [size]), maps)[0][0][:proposals]
        boxes = boxes if len(boxes) else boxes.new_tensor([[0, 0, size[1], size[0]]])
        vectors = heads.box_head(heads.box_roi_pool(maps, [boxes], [tuple(canvas.shape[2:])]))
        scores = heads.box_predictor(vectors)[0].softmax(dim=1)[:, 1:]  # 0 is the background
        return Proposals(boxes, scores, vectors.__getitem__)


class OneStage(NamedTuple):
    """One stage: boxes and classes of all cells at once; the network itself moves its boxes."""

    dim: int
    """Numbers per region: the channels of the maps."""
    maps: tuple[str, ...]
    """The backbone's maps that regions are cut from, fine ones first. The larger a box, the coarser
    the map (Lin et al. 2017, equation 1)."""
    scores: Callable[[Mapping[str, Tensor]], Tensor]
    """From the outputs of the head to `(1, anchors, classes)`."""
    decoder: str
    """The method of the network's box coder that moves anchors."""
    proposals: int = 1000
    """As above; more of them, because no first stage has thinned them out."""

    def propose(self, network: Any, image: Tensor, proposals: int) -> Proposals:
        """At most `proposals` boxes of an image `(3, h, w)`, normalised.

        Those with the most confident best class, out of 100,000 and more. Boxes outside of the
        image are left out.
        """
        size = (image.shape[1], image.shape[2])
        canvas = _canvas(network.transform, image)
        maps = network.backbone(canvas)
        levels = list(maps.values())
        outputs = network.head(levels)
        anchors = network.anchor_generator(ImageList(canvas, [size]), levels)[0]
        moved = getattr(network.box_coder, self.decoder)(outputs["bbox_regression"][0], anchors)
        boxes, scores = clip_boxes_to_image(moved, size), self.scores(outputs)[0]
        real = remove_small_boxes(boxes, MIN_SIDE)
        order = scores.amax(dim=1)[real].argsort(descending=True, stable=True)
        best = real[order[:proposals]]
        boxes, scores = boxes[best], scores[best]
        if not len(boxes):
            boxes = boxes.new_tensor([[0, 0, size[1], size[0]]])  # the whole image
            scores = scores.new_zeros(1, scores.shape[1])
        align = MultiScaleRoIAlign(list(self.maps), CELLS, SAMPLES)

        def regions(chosen: Tensor) -> Tensor:
            cells: Tensor = align(maps, [boxes[chosen]], [tuple(canvas.shape[2:])])
            return cells.mean(dim=(2, 3))

        return Proposals(boxes, scores, regions)


def centerness_scores(outputs: Mapping[str, Tensor]) -> Tensor:
    """Every class by itself, lower far from an object's centre (FCOS, Tian et al. 2019, section
    3.3). With the square root, by which torchvision chooses.
    """
    return (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()


def softmax_scores(outputs: Mapping[str, Tensor]) -> Tensor:
    """One class or none, which is the first (SSD, Liu et al. 2016, section 2.2)."""
    return outputs["cls_logits"].softmax(dim=2)[:, :, 1:]


class Detector(nn.Module):
    """A detector of torchvision whose output is boxes, a confidence in each, and its vector."""

    finds_boxes = True

    def __init__(self, network: Any, stages: TwoStage | OneStage, selection: BoxSelection) -> None:
        super().__init__()
        self.network, self.stages, self.selection = network, stages, selection

    def layout(self) -> networks.Layout:
        """No grid; regions at most and numbers per region."""
        return networks.Layout(None, self.selection.max_regions, self.stages.dim)

    def detect(self, image: Tensor) -> Detections:
        """Detections in one image `(3, h, w)` of any size, normalised.

        One at a time: in a batch, smaller ones would be filled up, which changes some networks'
        output. Where nothing is proposed, the whole image is one region.
        """
        chosen = self.selection
        boxes, scores, regions = self.stages.propose(self.network, image, chosen.proposals)
        confidence = scores.new_zeros(len(scores))
        for one in scores.T:  # overlapping boxes are dropped class by class
            kept = nms(boxes, one, chosen.overlap)
            confidence[kept] = torch.maximum(confidence[kept], one[kept])
        sure = int((confidence >= chosen.threshold).sum())
        count = chosen.regions or min(max(sure, chosen.min_count), chosen.at_most)
        best = confidence.argsort(descending=True, stable=True)[:count]
        return Detections(regions(best), boxes[best], confidence[best])

    def encode(
        self, images: Tensor, preprocessing: Preprocessing, sizes: np.ndarray
    ) -> networks.EncodedImages:
        """Regions of images `(B, 3, h, w)` that were filled up to one size.

        `sizes (B, 2)` are the original widths and heights.
        """
        canvas = np.array([images.shape[3], images.shape[2]] * 2, np.float32)
        most, dim = self.selection.max_regions, self.stages.dim
        regions = images.new_zeros(len(images), most, dim)
        boxes = np.zeros((len(images), most, 4), np.float32)
        scores = np.zeros((len(images), most), np.float32)
        counts = np.zeros(len(images), np.int64)
        for row, (image, size) in enumerate(zip(images, sizes.tolist(), strict=True)):
            wide, high = resized_size(preprocessing, *size)
            found = self.detect(image[:, :high, :wide])
            counts[row] = count = len(found.regions)
            regions[row, :count] = found.regions
            shares = found.boxes.cpu().numpy() / canvas
            boxes[row, :count] = boxes_in_image(shares, preprocessing, *size)
            scores[row, :count] = found.scores.cpu().numpy()
        return networks.EncodedImages(regions, counts, boxes, scores)


def _canvas(transform: Any, image: Tensor) -> Tensor:
    """The image at the upper left of one that the network takes `(1, 3, H, W)`: of whole strides,
    and no smaller than the one size that some are built for. Its size is what maps are shares of;
    that of a flat image, filled up to a stride, would not be.
    """
    whole = transform.batch_images([image], transform.size_divisible)
    wide, high = transform.fixed_size or (0, 0)
    right, below = max(wide - whole.shape[3], 0), max(high - whole.shape[2], 0)
    return functional.pad(whole, (0, right, 0, below))


def _inside(shorter: int, longer: int) -> networks.InputConfig:
    """A whole image with its proportions: its shorter side, and the most its longer may have."""
    mean, std, share = networks.IMAGENET_MEAN, networks.IMAGENET_STD, shorter / longer
    return networks.InputConfig(longer, longer, None, mean, std, "bilinear", inside=share)


class Kind(NamedTuple):
    """Networks that differ in their backbone only."""

    stages: TwoStage | OneStage
    input: networks.InputConfig
    classes: str
    """A tensor of its files of weights ..."""
    rows: int = 1
    """... with this many rows for each class."""


CELL_HEAD = "head.classification_head.cls_logits.weight"
FIRST_MAP = "head.classification_head.module_list.0"
R_CNN = Kind(TwoStage(1024), _inside(800, 1333), "roi_heads.box_predictor.cls_score.weight")
PYRAMID = ("0", "1", "2")
"""The maps of strides 8, 16 and 32, with 256 channels each."""
# Every class by itself, also the first (RetinaNet, Lin et al. 2017b, section 4).
RETINANET = OneStage(256, PYRAMID, lambda made: made["cls_logits"].sigmoid(), "decode_single")
FCOS = OneStage(256, PYRAMID, centerness_scores, "decode")
# An SSD's maps differ in channels, so regions are cut from one of them, that of stride 16.
SSD = OneStage(1024, ("1",), softmax_scores, "decode_single")
SSD_MEAN = (0.48235, 0.45882, 0.40784)
SSD_INPUT = networks.InputConfig(300, 300, None, SSD_MEAN, (1 / 255, 1 / 255, 1 / 255), "bilinear")
SSD_LITE = OneStage(672, ("0",), softmax_scores, "decode_single")
SSD_LITE_INPUT = networks.InputConfig(320, 320, None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
KINDS: Mapping[str, Kind] = {
    "fasterrcnn": R_CNN,
    "maskrcnn": R_CNN,
    "keypointrcnn": R_CNN,
    "retinanet": Kind(RETINANET, _inside(800, 1333), CELL_HEAD, 9),
    "fcos": Kind(FCOS, _inside(800, 1333), CELL_HEAD),
    "ssd300": Kind(SSD, SSD_INPUT, f"{FIRST_MAP}.weight", 4),
    "ssdlite320": Kind(SSD_LITE, SSD_LITE_INPUT, f"{FIRST_MAP}.1.weight", 6),
}
"""By the part of a network's name before the first _."""
INPUTS = {"fasterrcnn_mobilenet_v3_large_320_fpn": _inside(320, 640)}
"""Networks with another input than their kind."""
EXACT = frozenset(
    f"{kind}_resnet50_fpn" for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet")
)
"""Networks whose published weights were trained with norms that add nothing to a variance."""
NAMES = tuple(one for one in list_models(module=detection) if one.partition("_")[0] in KINDS)
"""All detectors, as torchvision calls them."""
BATCH_COUNTER = "num_batches_tracked"


def find_detector_weights(network: str, weights: str, address: str) -> Path | None:
    """The weights file of a detector; None for "random".

    As `timm_backbones.find_weights`, but "hub" is torch's cache of files, else `address`, whose
    file name is searched for too.
    """
    file = address.rpartition("/")[2]
    kept = Path(hub.get_dir()) / "checkpoints" / file

    def fetch(hint: str) -> Path:
        if not kept.exists():
            message = f"weights of {network} are not in torch's cache ({kept})"
            with network_errors(message, address, hint):
                kept.parent.mkdir(parents=True, exist_ok=True)
                digest = kept.stem.rpartition("-")[2]
                hub.download_url_to_file(address, str(kept), hash_prefix=digest, progress=False)
        return kept

    names = [*(f"{network}{suffix}" for suffix in SUFFIXES), file]
    return find_network(network, weights, names, address, fetch)


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """The options as they were given, and the weights file that a word or a path means.

    Raises BadConfig for a network that is no detector and for an option that is not in
    `BoxSelection`, MissingWeights.
    """
    if network not in NAMES:
        there = f"There are: {', '.join(f'torchvision:{one}' for one in NAMES)}."
        raise networks.no_network("torchvision", "detector", network, NAMES, there)
    box_selection(options, _kind(network).stages.proposals)
    address = get_model_weights(network).DEFAULT.url
    return dict(options), find_detector_weights(network, weights, address)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """A detector with all the weights of a file, or else random ones."""
    kind, found = _kind(spec.network), networks.read_weights(file) if file is not None else {}
    found = {name.removeprefix("network."): value for name, value in found.items()}
    selection = box_selection(spec.options, kind.stages.proposals)
    classes = len(found[kind.classes]) // kind.rows if kind.classes in found else 91
    two = isinstance(kind.stages, TwoStage)  # only these have a part that proposes
    settings = {"rpn_post_nms_top_n_test": selection.proposals} if two else {}
    with networks.fixed_seed():
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
            raise networks.misfit(spec, file, wanted, shapes) from None
    return Detector(network, kind.stages, selection)


def input_config(spec: BackboneSpec) -> networks.InputConfig:
    """The input of torchvision's detector."""
    return INPUTS.get(spec.network, _kind(spec.network).input)


def box_selection(options: Mapping[str, Option], proposals: int = 300) -> BoxSelection:
    """The options of a detector that considers `proposals` boxes by default.

    Raises BadConfig for unknown options, wrong values, and options that contradict each other.
    """
    if strange := sorted(options.keys() - set(BoxSelection.model_fields)):
        hint = f"There are: {', '.join(BoxSelection.model_fields)}."
        raise BadConfig(f"a detector has no --option {strange[0]}", hint=hint)
    given: dict[str, Any] = {"proposals": proposals, **options}
    try:
        return BoxSelection(**given)
    except ValidationError as error:
        hint = "Change or leave out --option."
        raise BadConfig(first_problem(error, "options of a detector"), hint=hint) from None


def _kind(network: str) -> Kind:
    return KINDS[network.partition("_")[0]]
