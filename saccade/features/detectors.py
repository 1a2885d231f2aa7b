"""torchvision's detectors as backbones: the regions of a picture are the objects found in it.

Boxes are chosen as by bottom-up attention (Anderson et al. 2018, `tools/generate_tsv.py` of its
code): regions are the proposals themselves, not moved by the classes' regression; overlapping ones
lose class by class, and what is left is ranked by the score of its best class. A region's numbers
are what the box head makes of it, 1,024 of them in every network here.
"""

import difflib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection, get_model_builder, get_model_weights, list_models
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms

from saccade.errors import BadConfig
from saccade.features.networks import SEED, TrainedOn, misfit
from saccade.features.seen import Seen
from saccade.features.settings import BackboneSpec, Option, Preprocessing
from saccade.features.weights import find_detector_weights, tensors_in

FAMILIES = ("fasterrcnn", "maskrcnn", "keypointrcnn")
"""Networks with a head that makes one vector of each box."""
SIZES = {"fasterrcnn_mobilenet_v3_large_320_fpn": (320, 640)}
"""The shorter side that a picture is made as large as, and the most that the longer may have."""
USUAL_SIZE = (800, 1333)
CLASSES = "roi_heads.box_predictor.cls_score.weight"
BATCH_COUNTER = "num_batches_tracked"


class Choice(NamedTuple):
    """Which boxes are kept: the options of a detector."""

    regions: int = 0
    """So many of every picture; 0 leaves it to the next three."""
    threshold: float = 0.2
    """All boxes that are at least so sure, ..."""
    at_least: int = 10
    """... but so many of the surest ones in any case, ..."""
    at_most: int = 100
    """... and no more than so many."""
    overlap: float = 0.3
    """Of two boxes whose intersection is more than this share of their union one loses."""
    proposals: int = 300
    """Boxes that are looked at."""

    @property
    def most(self) -> int:
        """Regions of a picture, at most."""
        return min(self.regions or self.at_most, self.proposals)


class Found(NamedTuple):
    """What is seen in one picture, the surest box first."""

    regions: Tensor  # (n, D)
    boxes: Tensor  # (n, 4) x0 y0 x1 y1 in pixels
    scores: Tensor  # (n,)


class Detector(nn.Module):
    """A detector of torchvision that hands out what its box head sees."""

    def __init__(self, network: Any, choice: Choice) -> None:
        super().__init__()
        self.network, self.choice = network, choice
        self.width = int(network.roi_heads.box_predictor.cls_score.in_features)
        """Numbers per region."""

    def detect(self, image: Tensor) -> Found:
        """Look at one picture `(3, h, w)` of any size, normalised.

        One at a time: side by side, smaller ones would be filled up, which some networks see. A
        picture in which nothing at all is proposed is one region, the whole of it.
        """
        size, heads = (image.shape[1], image.shape[2]), self.network.roi_heads
        batch = self.network.transform.batch_images([image])
        maps = self.network.backbone(batch)
        maps = OrderedDict([("0", maps)]) if isinstance(maps, Tensor) else maps
        boxes = self.network.rpn(ImageList(batch, [size]), maps)[0][0]
        boxes = boxes if len(boxes) else boxes.new_tensor([[0, 0, size[1], size[0]]])
        regions = heads.box_head(heads.box_roi_pool(maps, [boxes], [size]))
        scores = heads.box_predictor(regions)[0].softmax(dim=1)[:, 1:]  # 0 is the background
        return self._choose(regions, boxes, scores)

    def see(self, images: Tensor, preprocessing: Preprocessing, sizes: np.ndarray) -> Seen:
        """Look at pictures `(B, 3, h, w)` that were filled up to one size; `sizes (B, 2)` are the
        original widths and heights.
        """
        canvas = np.array([images.shape[3], images.shape[2]] * 2, np.float32)
        inner = [preprocessing.size_inside(width, height) for width, height in sizes.tolist()]
        cut = [image[:, :high, :wide] for image, (wide, high) in zip(images, inner, strict=True)]
        most, found = self.choice.most, [self.detect(one) for one in cut]
        regions = images.new_zeros(len(found), most, self.width)
        boxes = np.zeros((len(found), most, 4), np.float32)
        scores = np.zeros((len(found), most), np.float32)
        for row, (one, size) in enumerate(zip(found, sizes.tolist(), strict=True)):
            count, shares = len(one.regions), one.boxes.cpu().numpy() / canvas
            regions[row, :count] = one.regions
            boxes[row, :count] = preprocessing.box_in_image(shares, *size)
            scores[row, :count] = one.scores.cpu().numpy()
        return Seen(regions, np.array([len(one.regions) for one in found]), boxes, scores)

    def _choose(self, regions: Tensor, boxes: Tensor, scores: Tensor) -> Found:
        choice, surest = self.choice, scores.new_zeros(len(scores))
        for one in scores.T:
            kept = nms(boxes, one, choice.overlap)
            surest[kept] = torch.maximum(surest[kept], one[kept])
        count = choice.regions or min(
            max(int((surest >= choice.threshold).sum()), choice.at_least), choice.at_most
        )
        best = surest.argsort(descending=True, stable=True)[:count]
        return Found(regions[best], boxes[best], surest[best])


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """The options as they were given, and the weights file that a word or a path means.

    Raises BadConfig for a network without a box head and for an option that is not in `Choice`,
    MissingWeights.
    """
    del size
    _refuse_other(network)
    choice_of(options)
    url = next(iter(get_model_weights(network))).url
    return dict(options), find_detector_weights(network, weights, url)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """Build a detector with weights from a file, all of them, or else random ones."""
    found = tensors_in(file) if file is not None else {}
    found = {name.removeprefix("network."): value for name, value in found.items()}
    choice = choice_of(spec.options)
    settings = {
        "weights": None,
        "weights_backbone": None,
        "num_classes": len(found[CLASSES]) if CLASSES in found else 91,
        "rpn_post_nms_top_n_test": choice.proposals,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = get_model_builder(spec.network)(**settings)
    if file is not None:
        wanted = network.state_dict()
        # Counters of batches, which frozen networks do not need, are missing in early files.
        found |= {n: wanted[n] for n in wanted if n.endswith(BATCH_COUNTER) and n not in found}
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in wanted.items()}:
            raise misfit(spec, file, wanted, shapes)
        network.load_state_dict(found)
    return Detector(network, choice)


def trained_on(spec: BackboneSpec) -> TrainedOn:
    """What torchvision's detectors make of a picture before they look at it."""
    shorter, longer = SIZES.get(spec.network, USUAL_SIZE)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return TrainedOn(longer, longer, None, mean, std, "bilinear", inside=shorter / longer)


def choice_of(options: Mapping[str, Option]) -> Choice:
    """Which boxes a detector keeps. Raises BadConfig for options that there are not, or that
    contradict each other.
    """
    if strange := sorted(options.keys() - set(Choice._fields)):
        cure = f"There are: {', '.join(Choice._fields)}."
        raise BadConfig(f"a detector has no --option {strange[0]}", cure=cure)
    usual = Choice()
    given: dict[str, Any] = dict(options)
    for name, value in given.items():
        whole = isinstance(getattr(usual, name), int)
        if isinstance(value, (bool, str)) or (whole and not isinstance(value, int)) or value < 0:
            kind = "a whole number" if whole else "a share from 0 to 1"
            raise BadConfig(f"--option {name}={value}", cure=f"Give {kind}.")
    choice = Choice(**given)
    if choice.regions and {"threshold", "at_least", "at_most"} & given.keys():
        raise BadConfig(
            "--option regions takes as many boxes of every picture, whatever their scores",
            cure="Leave it out, or leave out threshold, at_least and at_most.",
        )
    if not (choice.most >= 1 and choice.at_least <= choice.at_most):
        raise BadConfig(
            f"at_least={choice.at_least}, at_most={choice.at_most}, proposals={choice.proposals} "
            "contradict each other",
            cure="Keep at least 1 region, and at_least below at_most.",
        )
    return choice


def _refuse_other(network: str) -> None:
    known = [one for one in list_models(module=detection) if one.startswith(FAMILIES)]
    if network in known:
        return
    near = difflib.get_close_matches(network, known, n=2, cutoff=0.5)
    what = f"torchvision has no detector {network!r}"
    if network in list_models(module=detection):
        what = f"{network} has no head that makes one vector of each box"
    close = f"Near it: {', '.join(f'torchvision:{one}' for one in near)}. " if near else ""
    cure = f"{close}There are: {', '.join(f'torchvision:{one}' for one in known)}."
    raise BadConfig(what, cure=cure)
