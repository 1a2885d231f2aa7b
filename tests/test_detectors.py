"""torchvision's detectors of two stages: boxes instead of a grid, from extraction to an image's
question.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torchvision.models import detection

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig, MissingWeights
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.evaluation.evaluate import evaluate
from saccade.features.backbones import build_backbone, choose_backbone, preprocessing_for
from saccade.features.detectors import BoxSelection, box_selection
from saccade.features.extract import extract
from saccade.features.images import read_image
from saccade.features.preprocessing import boxes_in_image, normalise, resize_and_crop, resized_size
from saccade.features.settings import Preprocessing
from saccade.features.store import FeatureStore
from saccade.inference.explain import explain
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.detector_samples import enliven, photo, prepared

NET = "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn"
FEW = {"threshold": 0.1, "min_count": 3, "at_most": 9, "proposals": 40}
VARYING = FEW | {"threshold": 0.0134}


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """Random weights of a network that tells boxes apart, as a file."""
    eye = choose_backbone(NET, "random", {"proposals": 300})
    enliven(eye, photo(60, 90), photo(90, 50, seed=1))
    path = tmp_path_factory.mktemp("weights") / "lively.safetensors"
    eye.save(path)
    return path


@pytest.fixture(scope="module")
def eye(lively):
    return choose_backbone(NET, lively, FEW)


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [(640, 480, (128, 96)), (480, 640, (96, 128)), (1000, 200, (160, 32)), (60, 60, (96, 96))],
)
def test_inside_keeps_all_of_an_image_and_its_proportions(width, height, wanted):
    into = Preprocessing(
        height=160,
        width=160,
        resize="inside",
        resize_to=96,
        mean=(0.4, 0.4, 0.4),
        std=(1, 1, 1),
        interpolation="bilinear",
    )
    assert resized_size(into, width, height) == wanted
    pixels = resize_and_crop(torch.full((3, height, width), 255, dtype=torch.uint8), into)
    assert pixels.shape == (3, 160, 160)
    assert (pixels[:, : wanted[1], : wanted[0]] == 255).all()
    assert int((pixels == 255).sum()) == 3 * wanted[0] * wanted[1]
    outside = normalise(pixels, into)[:, wanted[1] :].abs()
    assert outside.numel() == 0 or float(outside.max()) < 0.002  # grey, which a network calls 0
    whole = np.array([[0, 0, wanted[0] / 160, wanted[1] / 160]], np.float32)
    np.testing.assert_allclose(
        boxes_in_image(whole, into, width, height), [[0, 0, 1, 1]], atol=1e-6
    )


def test_sizes_are_those_of_torchvision(eye):
    """An image becomes as large as torchvision's own transform makes it."""
    full = preprocessing_for(eye.spec)
    assert (full.height, full.width, full.resize, full.resize_to) == (640, 640, "inside", 320)
    transform = eye.model.network.transform.eval()
    for width, height in ((500, 375), (333, 500), (1024, 300), (97, 211)):
        (image,), _ = transform([torch.zeros(3, height, width)])[0].image_sizes, None
        assert resized_size(full, width, height) == (image[1], image[0])
    v2 = choose_backbone("torchvision:fasterrcnn_resnet50_fpn_v2", "random").spec
    assert (preprocessing_for(v2).width, preprocessing_for(v2).resize_to) == (1333, 800)


def test_boxes_are_chosen_as_bottom_up_attention_does(eye):
    """Written out anew: proposals, per class suppression, the best class, a threshold, limits."""
    pixels, into, sizes = prepared(eye, [photo(60, 90), photo(90, 50, seed=1)])
    seen = eye.encode(pixels, into, sizes)
    assert seen.regions.shape == (2, 9, 1024)
    assert seen.grid is None
    net = eye.model.network
    for row, (width, height) in enumerate(sizes.tolist()):
        wide, high = resized_size(into, width, height)
        image = normalise(pixels[row], into)[:, :high, :wide]
        with torch.no_grad():
            batch = net.transform.batch_images([image])
            maps = net.backbone(batch)
            listed = detection.image_list.ImageList(batch, [(high, wide)])
            boxes = net.rpn(listed, maps)[0][0]
            vectors = net.roi_heads.box_head(
                net.roi_heads.box_roi_pool(maps, [boxes], [(high, wide)])
            )
            scores = net.roi_heads.box_predictor(vectors)[0].softmax(dim=1)[:, 1:].numpy()
        best, corners = np.zeros(len(boxes)), boxes.tolist()
        shared = [[overlap(one, other) for other in corners] for one in corners]
        for one in scores.T:
            left = sorted(range(len(boxes)), key=lambda i: -one[i])
            while left:
                first = left.pop(0)
                best[first] = max(best[first], one[first])
                left = [i for i in left if shared[first][i] <= 0.3]
        count = min(max(int((best >= np.float32(0.1)).sum()), 3), 9)
        assert seen.counts[row] == count
        order = sorted(range(len(boxes)), key=lambda i: -best[i])[:count]
        np.testing.assert_allclose(seen.scores[row, :count], best[order], rtol=1e-4)
        assert (np.diff(seen.scores[row, :count]) <= 0).all()
        shares = boxes[order].numpy() / (wide, high, wide, high)
        np.testing.assert_allclose(seen.boxes[row, :count], shares, atol=1e-4)
        np.testing.assert_allclose(seen.regions[row, :count], vectors[order], atol=1e-4)
        for empty in (seen.regions[row, count:], seen.boxes[row, count:], seen.scores[row, count:]):
            assert not empty.any()


def overlap(one, other):
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    both = max(right - left, 0) * max(bottom - top, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(both / (sum(areas) - both))


def test_an_image_without_proposals_is_one_region(eye, monkeypatch):
    monkeypatch.setattr(
        eye.model.network.rpn, "forward", lambda images, maps: ([torch.zeros(0, 4)], {})
    )
    pixels, into, sizes = prepared(eye, [photo(60, 90)])
    seen = eye.encode(pixels, into, sizes)
    assert seen.counts.tolist() == [1]
    np.testing.assert_allclose(seen.boxes[0, 0], [0, 0, 1, 1], atol=1e-6)


def test_neighbours_in_a_batch_change_nothing(eye):
    images = [photo(60, 90), photo(120, 50, seed=2)]
    pixels, into, sizes = prepared(eye, images)
    both = eye.encode(pixels, into, sizes)
    alone = eye.encode(pixels[:1], into, sizes[:1])
    count = alone.counts[0]
    assert both.counts[0] == count
    np.testing.assert_allclose(both.boxes[0], alone.boxes[0], atol=1e-4)
    np.testing.assert_allclose(both.regions[0], alone.regions[0], atol=1e-4)


def test_a_flat_image_does_not_change_how_later_ones_are_read(eye, lively):
    """It is filled up to a whole stride, so its own height says nothing of a map's scale."""
    fresh, (pixels, into, sizes) = (
        choose_backbone(NET, lively, FEW),
        prepared(eye, [photo(60, 90)]),
    )
    flat = torch.rand(3, 8, 96)
    with torch.no_grad():
        regions = fresh.model.detect(flat).regions
    assert torch.equal(
        fresh.encode(pixels, into, sizes).regions, eye.encode(pixels, into, sizes).regions
    )
    with torch.no_grad():
        assert torch.equal(eye.model.detect(flat).regions, regions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boxes": 36}, "no --option boxes. There are: regions, threshold"),
        ({"regions": 36, "at_most": 50}, "as many boxes of every image"),
        ({"regions": 0.5}, "regions: Input should be a valid integer"),
        ({"threshold": "high"}, "threshold: Input should be a valid number"),
        ({"min_count": 20, "at_most": 10}, "contradict each other"),
        ({"proposals": 0}, "contradict each other"),
        ({"regions": 301}, "contradict each other .*regions=301"),
        ({"overlap": 1.5}, "overlap: Input should be less than or equal to 1"),
        ({"threshold": float("nan")}, "threshold: Input should be"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(BadConfig, match=message):
        box_selection(options)


def test_options_say_how_many_regions_there_are():
    assert box_selection({}) == BoxSelection()
    assert box_selection({"regions": 301}, 1000) == BoxSelection(regions=301, proposals=1000)
    assert box_selection({"regions": 36}).max_regions == 36
    assert box_selection({"at_most": 50, "proposals": 20}).max_regions == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fasterrcnn_resnet50", "no detector 'fasterrcnn_resnet50'. Near it: torchvision:faster"),
        ("resnet50", "no detector 'resnet50'"),
        ("ssd512_vgg16", "no detector 'ssd512_vgg16'. Near it: torchvision:ssd300_vgg16"),
    ],
)
def test_networks_that_are_no_detectors(name, message):
    with pytest.raises(BadConfig, match=message):
        choose_backbone(f"torchvision:{name}", "random")


def test_weights_come_from_files_and_go_to_files(eye, tmp_path, monkeypatch):
    eye.save(tmp_path / "kept.safetensors")
    again = build_backbone(eye.spec, tmp_path / "kept.safetensors")
    pixels, into, sizes = prepared(eye, [photo(60, 90)])
    assert torch.equal(
        again.encode(pixels, into, sizes).regions, eye.encode(pixels, into, sizes).regions
    )
    # As torchvision publishes them, with other classes, under the name that its address ends in.
    published = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=7
    )
    name = "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
    torch.save(published.state_dict(), tmp_path / name)
    monkeypatch.setenv("SACCADE_WEIGHTS", str(tmp_path))
    found = choose_backbone(NET, "hub", FEW)
    assert found.spec.weights == "hub"
    assert found.model.network.roi_heads.box_predictor.cls_score.out_features == 7
    wanted = published.state_dict()["backbone.body.0.0.weight"]
    assert torch.equal(found.model.network.state_dict()["backbone.body.0.0.weight"], wanted)

    tensors = load_file(tmp_path / "kept.safetensors")
    tensors.pop("network.rpn.head.cls_logits.bias")
    save_file(tensors, tmp_path / "cut.safetensors")
    with pytest.raises(BadConfig, match=r"1 missing \(rpn.head.cls_logits.bias\)"):
        choose_backbone(NET, tmp_path / "cut.safetensors")


def test_weights_with_the_names_of_early_files_fit(eye, tmp_path):
    """As torchvision's oldest files have them: no counters, and layers that were not in a block."""
    wanted = {
        name.removeprefix("network."): value
        for name, value in eye.model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    early = {
        re.sub(r"(fpn\.\w+_blocks\.\d|rpn\.head\.conv)(\.0)+\.", r"\1.", name): value
        for name, value in wanted.items()
    }
    assert "rpn.head.conv.weight" in early
    assert "backbone.fpn.inner_blocks.0.weight" in early
    torch.save(early, tmp_path / "early.pth")
    found = choose_backbone(NET, tmp_path / "early.pth", FEW).model.network.state_dict()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_missing_weights_say_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SACCADE_WEIGHTS", raising=False)
    with pytest.raises(MissingWeights, match=r"fetch https://.*907ea3f9\.pth and put it as"):
        choose_backbone(NET)
    with pytest.raises(MissingWeights, match=r"no weights file 'nothing\.pth'"):
        choose_backbone(NET, "nothing.pth")
    with pytest.raises(MissingWeights, match=r"fc266e95\.pth"):  # not those called LEGACY
        choose_backbone("torchvision:keypointrcnn_resnet50_fpn")


def test_a_detector_cannot_be_an_encoder(eye):
    with pytest.raises(BadConfig, match="finds boxes"):
        eye.measure(preprocessing_for(eye.spec, size=96))


def test_from_images_to_answers(tmp_path: Path, lively: Path) -> None:
    """Extract, train, evaluate, ask and explain: every image has its own number of regions."""
    make_shapes(tmp_path / "shapes", images={"train": 12, "val": 4, "test": 4}, seed=1)
    data = prepare("vqa-v2+karpathy", tmp_path / "shapes", tmp_path / "data")
    store = extract(data, NET, weights=lively, options=VARYING, size=96, batch_size=4)
    assert store.name == "fasterrcnn_mobilenet_v3_large_320_fpn-96"
    opened = FeatureStore.open(store, images=DataFolder(data).images())
    opened.verify()
    header = opened.header
    assert (header.grid, header.regions, header.dim, header.scores) == (None, 9, 1024, True)
    assert len(set(opened.counts)) > 1, opened.scores(np.arange(20))
    rows = np.arange(len(opened))
    regions, mask = opened.read(rows)
    scores = opened.scores(rows)
    assert scores is not None
    for part in (regions, scores, opened.boxes(rows)):
        assert not part[~mask].any()
    assert (scores[mask] > 0).all()

    for name, seen in (("joint-embedding-small", "answers"), ("up-down-small", "captions")):
        run = tmp_path / name
        train(change(RECIPES[name], "train.epochs=1"), data, run, console=Console(quiet=True))
        assert evaluate(run)["split"] == "test"
        image = DataFolder(data).image_root / DataFolder(data).images()[3].file
        loaded = saccade.load(run)
        encoded = loaded.encode(image)
        row = opened.rows([DataFolder(data).images()[3].id])
        count = int(opened.counts[row[0]])
        assert encoded.mask.all()
        assert encoded.regions.shape == (1, count, 1024)
        stored, _ = opened.read(row)
        np.testing.assert_allclose(encoded.regions[0], stored[0, :count], atol=2e-2)
        np.testing.assert_allclose(encoded.boxes, opened.boxes(row)[0, :count], atol=1e-3)
        if seen == "answers":
            answer = loaded.ask(encoded, "What colour is it?")
            assert answer.attention.shape[1] == len(answer.boxes) == count
        else:
            assert loaded.caption(encoded).text is not None
    assert read_image(image).shape[0] == 3
    explain(run, image, out=tmp_path / "where.png")
    assert (tmp_path / "where.png").stat().st_size > 1000
    page = saccade.explain(run, split="test", limit=2, out=tmp_path / "page")
    rows = map(json.loads, (page.parent / "explained.jsonl").read_text().splitlines())
    assert all(row["regions"] == opened.counts[opened.rows([row["id"]])][0] for row in rows)
