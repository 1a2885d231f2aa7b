"""torchvision's detectors of one stage, held against what torchvision itself says it sees."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.spatial import KDTree
from torchvision.models import detection, get_model_builder, list_models

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.features import detectors, store_writer
from saccade.features.backbones import Backbone, choose_backbone, preprocessing_for
from saccade.features.detectors import EXACT, KINDS, NAMES, BoxSelection, Detector
from saccade.features.extract import extract
from saccade.features.preprocessing import normalise
from saccade.features.settings import BackboneSpec
from saccade.features.store import FeatureStore
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.detector_samples import enliven, photo, prepared

LITE = "ssdlite320_mobilenet_v3_large"
SIDES = {
    "retinanet_resnet50_fpn": (96, 140),
    "retinanet_resnet50_fpn_v2": (64, 90),
    "fcos_resnet50_fpn": (140, 96),
    "ssd300_vgg16": (300, 300),
    LITE: (320, 320),
}
"""Height and width of an image that is shown as it is."""
EVERYTHING = BoxSelection(regions=40, overlap=0.3, proposals=10**6)
CLASSES = 5


def small_eye(name: str) -> Backbone:
    """A network of few classes that tells boxes apart, and proposes all that it has."""
    torch.manual_seed(0)
    network = get_model_builder(name)(weights=None, weights_backbone=None, num_classes=CLASSES)
    for part, value in network.named_parameters():
        if part.endswith("bias"):
            torch.nn.init.zeros_(value)
    detector = Detector(network, KINDS[name.partition("_")[0]].stages, EVERYTHING)
    eye = Backbone(detector, BackboneSpec(name=f"torchvision:{name}"))
    enliven(eye, photo(*SIDES[name], seed=1), size=max(SIDES[name]))
    for coded in network.head.regression_head.modules():
        if isinstance(coded, torch.nn.Conv2d) and coded.out_channels % 4 == 0:
            last = coded
    last.weight.mul_(0.3)  # boxes near their anchors, not all as large as the image
    return eye


@pytest.fixture(scope="module", params=SIDES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def eye(name):
    return small_eye(name)


@pytest.fixture(scope="module")
def image(name):
    """An image as it is and as the network is shown it."""
    one = photo(*SIDES[name], seed=2)
    known = preprocessing_for(BackboneSpec(name=f"torchvision:{name}"))
    return one, normalise(one, known)


@pytest.fixture(scope="module")
def proposed(eye, image):
    with torch.inference_mode():
        return eye.model.stages.propose(eye.model.network, image[1], 10**6)


def as_torchvision(eye, one, overlap):
    """All that torchvision's own forward finds, however little sure: boxes, scores, labels."""
    network = eye.model.network
    kept = vars(network).copy()
    network.score_thresh, network.nms_thresh = 0.0, overlap
    network.topk_candidates = network.detections_per_img = 10**9
    if network.transform.fixed_size is None:
        network.transform.min_size, network.transform.max_size = (min(one.shape[1:]),), 10**9
    with torch.inference_mode():
        found = network([one / 255])[0]
    vars(network).update(kept)
    sides = found["boxes"][:, 2:] - found["boxes"][:, :2]
    return {key: value[(sides >= 1e-3).all(dim=1)] for key, value in found.items()}


def test_every_detector_of_torchvision_can_be_chosen():
    assert set(NAMES) == set(list_models(module=detection))
    assert {name.partition("_")[0] for name in NAMES} == KINDS.keys()
    assert {name for name in NAMES if KINDS[name.partition("_")[0]].stages.proposals == 1000} == {
        *SIDES
    }


def test_norms_are_those_the_weights_were_trained_with():
    """torchvision itself sets epsilon to 0 where it fills these with the published weights."""
    builders = {name: inspect.unwrap(get_model_builder(name)) for name in NAMES}
    assert {n for n, one in builders.items() if "overwrite_eps(" in inspect.getsource(one)} == EXACT
    norms = {
        name: {
            part.eps
            for part in choose_backbone(f"torchvision:{name}", "random").modules()
            if isinstance(part, torch.nn.BatchNorm2d)
        }
        for name in ("retinanet_resnet50_fpn", "fcos_resnet50_fpn")
    }
    assert norms == {"retinanet_resnet50_fpn": {0.0}, "fcos_resnet50_fpn": {1e-5}}


def test_images_are_shown_as_torchvision_shows_them(eye, name):
    into, transform = preprocessing_for(eye.spec), eye.model.network.transform
    assert into.mean == pytest.approx(transform.image_mean)
    assert into.std == pytest.approx(transform.image_std)
    if transform.fixed_size is None:
        assert (into.resize, into.resize_to, into.width) == ("inside", 800, 1333)
        assert (transform.min_size, transform.max_size) == ((800,), 1333)
    else:
        assert (into.resize, into.width, into.height) == ("squash", *transform.fixed_size)
    kind = KINDS[name.partition("_")[0]]
    assert len(eye.model.network.state_dict()[kind.classes]) == kind.rows * CLASSES


def test_proposals_are_all_that_torchvision_finds(eye, image, proposed):
    """Box by box and class by class, and nothing else."""
    theirs = as_torchvision(eye, image[0], overlap=1.0)
    boxes, scores, _ = proposed
    first = int(theirs["labels"].min())
    assert scores.shape == (len(boxes), CLASSES - first)
    assert len(theirs["boxes"]) == scores.numel()
    for label, mine in enumerate(scores.T, start=first):
        chosen = theirs["labels"] == label
        rows = torch.cat([theirs["boxes"][chosen], theirs["scores"][chosen, None] * 100], dim=1)
        own = torch.cat([boxes, mine[:, None] * 100], dim=1)
        for some, others in ((own, rows), (rows, own)):  # the nearest of the others is as near
            assert KDTree(others.numpy()).query(some.numpy())[0].max() < 1e-3


def test_what_is_kept_is_what_torchvision_keeps(eye, image):
    """After its own suppression of what overlaps, each box once, with its best class."""
    theirs = as_torchvision(eye, image[0], EVERYTHING.overlap)
    with torch.inference_mode():
        found = eye.model.detect(image[1])
    best: dict[tuple[float, ...], float] = {}
    for box, score in zip(theirs["boxes"].tolist(), theirs["scores"].tolist(), strict=True):
        best[tuple(box)] = max(best.get(tuple(box), 0), score)
    ranked = sorted(best.items(), key=lambda one: -one[1])[:40]
    np.testing.assert_allclose(found.scores, [score for _, score in ranked], rtol=1e-4)
    np.testing.assert_allclose(found.boxes, [box for box, _ in ranked], atol=1e-2)
    assert len({round(float(score), 3) for score in found.scores}) > 5


def test_a_region_is_the_mean_of_the_maps_under_its_box(eye, image, proposed):
    """RoIAlign written out in numpy."""
    network, stages, high = eye.model.network, eye.model.stages, image[1].shape[1]
    filled = network.transform.batch_images([image[1]], network.transform.size_divisible)
    with torch.inference_mode():
        maps = network.backbone(filled)
    few = torch.linspace(0, len(proposed.boxes) - 1, 30).long()
    with torch.inference_mode():
        regions = proposed.regions(few)
    assert regions.shape == (30, stages.dim)
    assert len({tuple(row[:5]) for row in regions.tolist()}) > 10
    for box, region in zip(proposed.boxes[few].double().numpy(), regions, strict=True):
        level, stride = 0, 16
        if len(stages.maps) == 3:
            side = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
            level = int(np.clip(np.floor(4 + np.log2(side / 224)), 3, 5)) - 3
            stride = 8 * 2**level
        found = maps[stages.maps[level]][0].double().numpy()
        assert abs(found.shape[1] * stride - high) < 32  # the map is of that stride
        wanted = mean_under(found, box / stride)
        np.testing.assert_allclose(region, wanted, rtol=1e-3, atol=1e-3)


def mean_under(found, box):
    """Mean of a map `(D, h, w)` at 14 x 14 points in a box of its own cells."""
    wide, high = max(box[2] - box[0], 1), max(box[3] - box[1], 1)
    steps, total = (np.arange(14) + 0.5) / 14, np.zeros(len(found))
    for y in box[1] + steps * high:
        for x in box[0] + steps * wide:
            if y > found.shape[1] or x > found.shape[2]:
                continue
            (top, down), (left, right) = between(y, found.shape[1]), between(x, found.shape[2])
            rows = found[:, top] * (1 - down) + found[:, min(top + 1, found.shape[1] - 1)] * down
            total += rows[:, left] * (1 - right)
            total += rows[:, min(left + 1, found.shape[2] - 1)] * right
    return total / 14**2


def between(place, count):
    """The cell in front of a place and the share of the next one."""
    place = min(max(place, 0), count - 1)
    return int(place), place - int(place)


def test_the_surest_candidates_are_looked_at(eye, image, proposed):
    with torch.inference_mode():
        few = eye.model.stages.propose(eye.model.network, image[1], 50)
    best = proposed.scores.amax(dim=1)
    assert len(best) > 80
    torch.testing.assert_close(few.scores.amax(dim=1), best.sort(descending=True).values[:50])
    torch.testing.assert_close(few.boxes, proposed.boxes[:50])


@pytest.mark.parametrize(("size", "resize"), [(48, None), (320, "inside"), (400, None)])
def test_an_ssd_is_shown_images_of_other_sizes_too(lively, size, resize):
    """Smaller ones stand in the corner of the image that it was built for."""
    eye = choose_backbone(f"torchvision:{LITE}", lively)
    pixels, into, sizes = prepared(eye, [photo(60, 200), photo(90, 50)], size, resize=resize)
    seen = eye.encode(pixels, into, sizes)
    assert seen.regions.shape == (2, 100, 672)
    for row, count in enumerate(seen.counts):
        box = seen.boxes[row, :count]
        assert count >= 10
        assert (box >= 0).all()
        assert (box <= 1.0001).all()
        assert (box[:, 2:] > box[:, :2]).all()


def test_a_small_flat_image_is_filled_up(eye, image):
    """An SSD's last maps would have no cell left."""
    with torch.inference_mode():
        found = eye.model.detect(image[1][:, 10:50, :90])
    assert found.regions.isfinite().all()
    assert len(found.boxes) >= 10
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([90, 40, 90, 40])).all()


def test_an_image_without_candidates_is_one_region(eye, image, monkeypatch):
    coder = eye.model.network.box_coder
    monkeypatch.setattr(coder, eye.model.stages.decoder, lambda codes, anchors: -1 - anchors.abs())
    with torch.inference_mode():
        found = eye.model.detect(image[1])
    height, width = image[1].shape[1:]
    assert found.boxes.tolist() == [[0, 0, width, height]]
    assert found.scores.tolist() == [0]
    assert found.regions.shape == (1, eye.model.stages.dim)


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """Weights of a small network, of five classes, as a file."""
    path = tmp_path_factory.mktemp("weights") / "lite.safetensors"
    small_eye(LITE).save(path)
    return path


def test_weights_come_from_files_whole(lively, tmp_path):
    found = choose_backbone(f"torchvision:{LITE}", lively)
    tensors = load_file(lively)
    assert found.model.state_dict().keys() == tensors.keys()
    head = found.model.network.head.classification_head.module_list[0][1]
    assert head.out_channels == 6 * CLASSES
    assert torch.equal(
        head.weight, tensors.pop("network.head.classification_head.module_list.0.1.weight")
    )
    early = {n: one for n, one in tensors.items() if not n.endswith("num_batches_tracked")}
    save_file(early, tmp_path / "cut.safetensors")
    with pytest.raises(BadConfig, match=r": 1 missing \(head.classification_head.module_list.0.1"):
        choose_backbone(f"torchvision:{LITE}", tmp_path / "cut.safetensors")
    with pytest.raises(BadConfig, match="not those of fcos_resnet50_fpn"):
        choose_backbone("torchvision:fcos_resnet50_fpn", lively)


def test_files_with_early_names_fit_and_say_how_many_classes_there_are(monkeypatch):
    name = "retinanet_resnet50_fpn"
    network = get_model_builder(name)(weights=None, weights_backbone=None, num_classes=3)
    wanted = network.state_dict()
    early = {early_name(part): wanted[part] for part in wanted if "num_batches" not in part}
    assert {"backbone.fpn.layer_blocks.2.bias", "head.regression_head.conv.6.bias"} < early.keys()
    monkeypatch.setattr(detectors.networks, "read_weights", lambda file: early)
    spec = BackboneSpec(name=f"torchvision:{name}")
    found = detectors.create_network(spec, Path("early.pth")).network.state_dict()
    for part, value in wanted.items():
        assert torch.equal(found[part], value), part


def early_name(part: str) -> str:
    """What a layer of a network was called before its layers stood in blocks."""
    for kind in ("inner_blocks", "layer_blocks"):
        for place in range(3):
            part = part.replace(f"fpn.{kind}.{place}.0.", f"fpn.{kind}.{place}.")
    for place in range(4):
        part = part.replace(f"_head.conv.{place}.0.", f"_head.conv.{2 * place}.")
    return part


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("one-stage")
    make_shapes(root / "shapes", images={"train": 12, "val": 4, "test": 4}, seed=1)
    return prepare("vqa-v2+karpathy", root / "shapes", root / "data")


def lite(data, lively, name, **options):
    usual = {"weights": lively, "batch_size": 4, "name": name}
    return extract(data, f"torchvision:{LITE}", options=options, **usual)


@pytest.fixture(scope="module")
def whole(data, lively):
    """36 regions of every image."""
    return FeatureStore.open(lite(data, lively, "whole", regions=36))


def test_every_image_has_its_own_number_of_regions(data, lively, whole, tmp_path):
    """Extract, train and ask: what is no region is nowhere seen."""
    confidence = float(np.median(whole.scores(np.arange(len(whole)))[:, 15]))
    store = lite(data, lively, "varying", threshold=confidence, min_count=2, at_most=30)
    opened = FeatureStore.open(store, images=DataFolder(data).images())
    opened.verify()
    header = opened.header
    assert (header.grid, header.regions, header.dim, header.scores) == (None, 30, 672, True)
    assert (header.preprocessing.resize, header.preprocessing.mean) == ("squash", (0.5, 0.5, 0.5))
    rows = np.arange(len(opened))
    (regions, mask), scores, boxes = opened.read(rows), opened.scores(rows), opened.boxes(rows)
    assert len(set(opened.counts)) > 2, opened.counts
    assert (mask.sum(axis=1) == opened.counts).all()
    for part in (regions, scores, boxes):
        assert not part[~mask].any()
    assert ((scores >= np.float32(confidence)).sum(axis=1).clip(2, 30) == opened.counts).all()

    run = tmp_path / "run"
    train(change(RECIPES["joint-embedding-small"], "train.epochs=1"), data, run, features="varying")
    last = DataFolder(data).images()[-1]
    encoded = saccade.load(run).encode(DataFolder(data).image_root / last.file)
    row = opened.rows([last.id])
    count = int(opened.counts[row[0]])
    assert encoded.regions.shape == (1, count, 672)
    np.testing.assert_allclose(encoded.boxes, opened.boxes(row)[0, :count], atol=1e-3)
    np.testing.assert_allclose(encoded.regions[0], opened.read(row)[0][0, :count], atol=2e-2)


def test_a_fixed_number_of_regions_stopped_and_gone_on_with(data, lively, whole, monkeypatch):
    seen, encode = [], Detector.encode

    def stop(self, images, preprocessing, sizes):
        if len(seen) == 5:  # two of which are for the estimate
            raise KeyboardInterrupt
        seen.append(len(images))
        return encode(self, images, preprocessing, sizes)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "CHUNK", 8)
        patch.setattr(Detector, "encode", stop)
        with pytest.raises(KeyboardInterrupt):
            lite(data, lively, "stopped", regions=36)
    parts = [whole, FeatureStore.open(lite(data, lively, "stopped", regions=36))]
    assert all((one.counts == 36).all() for one in parts)
    rows = np.arange(len(parts[0]))
    for mine, theirs in zip(*([*one.read(rows), one.boxes(rows)] for one in parts), strict=True):
        np.testing.assert_array_equal(mine, theirs)
