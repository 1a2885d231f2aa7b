"""Faithfulness: curves, areas and objects by hand, and trained runs against exchanged ones."""

import json
import shutil

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import saccade
from saccade.core.errors import BadConfig, BadData, BadRun
from saccade.core.run_files import FAITHFULNESS, faithfulness_sentence
from saccade.core.tensors import save_tensors
from saccade.data.batch import CaptionBatch
from saccade.data.folder import DataFolder
from saccade.datasets.shapes import make_shapes, read_scenes
from saccade.datasets.shapes_scenes import cell_labels
from saccade.evaluation.attention_grounding import in_boxes, in_outlines
from saccade.evaluation.explained_examples import caption_words
from saccade.evaluation.faithfulness import Measurement, last_rows, last_words
from saccade.evaluation.region_curves import (
    STEPS,
    area,
    hidden_counts,
    hidden_regions,
    is_constant,
    rank_correlation,
    ranks,
)
from saccade.evaluation.true_objects import read_objects
from saccade.experiment import assemble_for_run
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.store import StoreHeader, images_fingerprint
from saccade.features.store_writer import StoreWriter
from saccade.inference.explain import encode_stored
from saccade.inference.model import untrained_model
from saccade.run_folder import open_run
from tests.worlds import make_world, write_untrained_run


def masked(*counts, regions=7):
    return torch.arange(regions) < torch.tensor(counts)[:, None]


def test_regions_are_ordered_by_weight_and_padding_comes_last():
    weights = torch.tensor([[0.1, 0.4, 0.2, 0.3, 9.0]])
    found = ranks(weights, masked(4, regions=5), torch.rand(1, 5))
    assert found.tolist() == [[3, 0, 2, 1, 4]]


def test_equal_weights_are_ordered_by_lot_alone():
    """Each of three equal regions comes first as often as the others, wherever it stands."""
    weights = torch.tensor([0.2, 0.2, 0.2 + 1e-9, 0.4]).expand(3000, 4)
    keys = torch.rand(3000, 4, generator=torch.Generator().manual_seed(0))
    found = ranks(weights, masked(4, regions=4).expand(3000, 4), keys)
    assert (found[:, 3] == 0).all()
    share = (found[:, :3] == 1).double().mean(dim=0)
    assert (share - 1 / 3).abs().max() < 0.04


def test_curves_begin_with_nothing_hidden_and_end_with_all():
    mask = masked(7, 3, 25, regions=25)
    counts = hidden_counts(mask)
    assert counts[:, 0].tolist() == [0, 0, 0]
    assert counts[:, -1].tolist() == [7, 3, 25]
    assert (counts[:, 1] >= 1).all(), "the marked tenth is never nothing"
    assert (counts.diff(dim=1) >= 0).all()
    order = torch.stack([torch.arange(25)] * 3)[:, None]
    hide = hidden_regions(order, counts) & mask[:, None, None, None]
    assert hide.shape == (3, 1, 2, STEPS - 1, 25)
    deleted = counts[:, None, 1:-1]
    assert (hide[:, :, 0].sum(dim=-1) == deleted).all()
    assert (hide[:, :, 1].sum(dim=-1) == mask.sum(dim=1)[:, None, None] - deleted).all()
    assert hide[2, 0, 0, 0, 0], "deletion hides the first in the order first"
    assert not hide[2, 0, 1, 0, 0], "insertion shows it first"


def test_the_area_is_that_of_a_hand_made_curve():
    counts = hidden_counts(masked(10, regions=10))
    falling = torch.linspace(1, 0, STEPS + 1)[None, None]
    assert area(falling, counts).item() == pytest.approx(0.5)
    at_once = (torch.arange(STEPS + 1) == 0).float()[None, None]
    assert area(at_once, counts).item() == pytest.approx(0.05), "half of the first step"


def test_rank_correlation_is_spearmans_with_ties():
    first, second = np.random.default_rng(0).integers(5, size=(2, 6, 9)) / 5
    counts = [9, 8, 7, 9, 5, 4]
    found = rank_correlation(
        torch.from_numpy(first), torch.from_numpy(second), masked(*counts, regions=9)
    )
    for row, count in enumerate(counts):
        wanted = spearmanr(first[row, :count], second[row, :count]).statistic
        assert found[row].item() == pytest.approx(wanted, abs=1e-9)


def test_a_constant_map_has_no_correlation_and_is_seen():
    even, other = torch.full((1, 4), 0.25), torch.rand(1, 4)
    mask = masked(4, regions=4)
    assert rank_correlation(even, other, mask).isnan().all()
    assert is_constant(even, mask).tolist() == [True]
    assert is_constant(torch.tensor([[0.25, 0.25, 0.25, 9.0]]), masked(3, regions=4)).all()
    assert not is_constant(torch.tensor([[0.25, 0.25, 0.26, 0.24]]), mask).any()


def test_the_last_word_of_each_caption_is_found_in_packed_rows():
    length = torch.tensor([5, 3, 3, 2])
    caption = torch.arange(20).view(4, 5)
    batch = CaptionBatch(torch.zeros(1, 1, 1), torch.ones(1, 1), length, caption, length)
    packed = nn.utils.rnn.pack_padded_sequence(caption[:, 1:], length - 1, batch_first=True)
    assert packed.data[last_rows(batch)].tolist() == last_words(batch).tolist()
    assert last_words(batch).tolist() == [4, 7, 12, 16]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny world and untrained runs of both tasks: what a run finds is not the point there."""
    folder = make_world(tmp_path_factory.mktemp("faith") / "data", train=24, val=12)
    for name in (
        "show-ask-attend-answer",
        "ibowimg",
        "show-attend-tell",
        "show-tell",
        "adaptive-attention",
    ):
        write_untrained_run(folder, f"{name}-small", folder.path.parent / name)
    return folder.path.parent


def numbers(found):
    """All numbers of scores, and where they stand."""
    if isinstance(found, dict):
        for name, value in found.items():
            for place, number in numbers(value):
                yield f"{name}/{place}", number
    elif isinstance(found, list):
        yield "", found
    elif isinstance(found, int | float):
        yield "", [found]


@pytest.mark.parametrize("name", ["show-ask-attend-answer", "show-attend-tell", "show-tell"])
def test_scores_do_not_depend_on_the_batch_size(world, name):
    """One copy at a time, three, four, and one batch with an uneven last one."""
    given = {"split": "val", "limit": 4, "device": "cpu"}
    found = [saccade.faithfulness(world / name, batch_size=n, **given) for n in (64, 1, 3, 4)]
    for other in found[1:]:
        for (place, one), (_, two) in zip(numbers(found[0]), numbers(other), strict=True):
            np.testing.assert_allclose(one, two, atol=2e-5, err_msg=place)


@pytest.mark.parametrize("name", ["show-ask-attend-answer", "ibowimg", "show-attend-tell"])
def test_what_is_written_says_all_that_it_depends_on(world, name):
    found = saccade.faithfulness(world / name, split="val", limit=6, device="cpu")
    assert found["map"] == ("occlusion" if name == "ibowimg" else "attention")
    assert (found["agreement_with_occlusion"] is None) == (name == "ibowimg")
    assert "24 training images" in found["conventions"]["hidden_by"]
    assert "probability" in found["conventions"]["score"]
    for curve in ("deletion", "insertion"):
        for values in found["curves"][curve].values():
            assert len(values) == STEPS + 1
    whole = found["curves"]["deletion"]["map"][0]
    assert whole == pytest.approx(found["probability"]["value"], abs=1e-5)
    assert whole == pytest.approx(found["curves"]["insertion"]["random"][-1])
    assert found["curves"]["deletion"]["map"][-1] == found["curves"]["insertion"]["map"][0]
    written = json.loads((world / name / FAITHFULNESS).read_text())
    assert written["val"]["sentence"] == found["sentence"]
    assert faithfulness_sentence(world / name, "test") == found["sentence"], "of another split"


@pytest.mark.parametrize("name", ["show-attend-tell", "adaptive-attention"])
def test_the_map_of_a_word_is_the_one_that_explain_draws(world, name):
    """Read up to the word as a human caption would be, and written word by word."""
    run = saccade.load(world / name, "cpu")
    experiment = assemble_for_run(run.opened, DataFolder(world / "data"))
    measure = Measurement(run, experiment, None, 64, 0)
    (chunk,) = caption_words(run, experiment, "val", 5, 0, {"no_words": 0})
    found = measure.predict(run.model, chunk.batch)[1]
    assert len(found) > 5
    for row, (id_, words) in enumerate(zip(chunk.images, chunk.words, strict=True)):
        (image,) = encode_stored(run, experiment.store, [id_])
        drawn = run.captions([image])[0].words[len(words) - 1]
        assert drawn.text == words[-1]
        np.testing.assert_allclose(found[row].detach(), drawn.attention, atol=1e-5)


def test_an_explained_page_tells_what_its_maps_are_worth(world, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(world / "ibowimg", run)
    (run / FAITHFULNESS).unlink(missing_ok=True)
    assert faithfulness_sentence(run) is None
    (run / FAITHFULNESS).write_text(json.dumps({"val": {"sentence": "It is worth 3 & more."}}))
    assert faithfulness_sentence(run, "val") == "It is worth 3 & more."
    (run / FAITHFULNESS).write_text("[]")
    with pytest.raises(BadRun):
        saccade.faithfulness(run, split="val", limit=2, device="cpu")


def test_settings_that_make_no_sense_are_refused(world):
    run = world / "ibowimg"
    for given, error in (
        ({"limit": 0}, BadConfig),
        ({"batch_size": 0}, BadConfig),
        ({"boxes": world / "nowhere.json"}, BadData),
        ({"split": "test"}, BadData),
    ):
        with pytest.raises(error):
            saccade.faithfulness(run, **{"split": "val", **given}, device="cpu")


def coco(tmp_path, **changes):
    """One image of 100 x 50 with a dog, two fire hydrants and a crowd of dogs."""
    content = {
        "images": [{"id": 5, "width": 100, "height": 50}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "fire hydrant"}],
        "annotations": [
            {"image_id": 5, "category_id": 1, "bbox": [10, 20, 30, 10], "iscrowd": 0,
             "segmentation": [[10, 20, 40, 20, 10, 30]]},
            {"image_id": 5, "category_id": 2, "bbox": [0, 0, 5, 5], "segmentation": [[0, 0, 5, 5]]},
            {"image_id": 5, "category_id": 2, "bbox": [9, 9, 5, 5], "segmentation": [[0, 0, 5, 5]]},
            {"image_id": 5, "category_id": 1, "bbox": [0, 0, 100, 50], "iscrowd": 1,
             "segmentation": {"counts": [1], "size": [50, 100]}},
        ],
    }  # fmt: skip
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content | changes))
    return file


def test_objects_of_coco_are_those_that_the_words_name(tmp_path):
    found = read_objects(coco(tmp_path))
    assert found.crowds == 1
    dog = found.of(None, 5, ["two", "dogs"])
    np.testing.assert_allclose(dog.boxes, [[0.1, 0.4, 0.4, 0.6]], err_msg="no pixel is added")
    assert len(dog.outlines) == 1
    assert found.of(None, 5, ["dogs", "run"]) is None, "of a caption its last word counts"
    assert len(found.of(1, 5, ["do", "dogs", "run"]).boxes) == 1
    assert found.of(None, 5, ["hydrant"]) is None
    assert len(found.of(None, 5, ["a", "fire", "hydrant"]).boxes) == 2
    assert found.of(None, 6, ["dog"]) is None
    assert len(found.of(1, 5, ["fire", "hydrants", "dog"]).boxes) == 3


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "7", '{"a": [[0, 0, 1, 1]]}', '{"1": [[0, 0, 1]]}', '{"1": 3}', '{"1": [["a"]]}'],
)
def test_what_is_no_file_of_boxes_is_refused(tmp_path, text):
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(BadData) as told:
        read_objects(tmp_path / "boxes.json")
    assert told.value.location == str(tmp_path / "boxes.json")


def test_an_instance_without_its_image_is_refused(tmp_path):
    with pytest.raises(BadData):
        read_objects(coco(tmp_path, images=[]))


def test_the_middle_of_real_images_lies_in_many_boxes(real_data):
    """The floor of the pointing game: 284 pairs of image and category of COCO."""
    found = read_objects(real_data("coco-mini") / "annotations" / "instances_val2017.json")
    pairs = [one for named in found.by_image.values() for one in named.values()]
    middle = np.array([0.5]), np.array([0.5])
    boxes = sum(in_boxes(one.boxes, *middle)[0] for one in pairs)
    outlines = sum(in_outlines(one.outlines, *middle)[0] for one in pairs)
    assert (len(pairs), found.crowds) == (284, 5)
    assert (boxes, outlines) == (80, 53)


SIDE = 6
"""Rows and columns of the regions of Shapes below."""


def write_labels(folder, root):
    """Features of Shapes that say what is in each cell: a backbone that makes no mistake."""
    found = {}
    for image in read_scenes(root):
        parts = [np.eye(8)[one] for one in cell_labels(image.scene.shapes, SIDE, SIDE)]
        place = np.stack(np.mgrid[:SIDE, :SIDE] / SIDE, axis=-1)
        found[image.id] = np.concatenate([*parts, place], axis=-1).reshape(SIDE * SIDE, -1)
    images = folder.images()
    dim = len(found[images[0].id][0])
    header = StoreHeader(
        backbone=BackboneSpec(name="timm:test_resnet", weights="random"),
        preprocessing=Preprocessing(
            height=64, width=64, resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3,
            interpolation="bilinear",
        ),
        grid=(SIDE, SIDE), regions=SIDE * SIDE, dim=dim, dtype="float16", ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images), complete=False, command="saccade extract",
    )  # fmt: skip
    ids = np.array([one.id for one in images])
    with StoreWriter(folder.store_path("labels"), header, ids) as writer:
        writer.add(
            np.stack([found[id_] for id_ in ids.tolist()]),
            np.full(len(ids), SIDE * SIDE),
            np.full((len(ids), 2), 64),
        )
        writer.finish()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Shapes with perfect features, and a run of each of three seeds."""
    root = tmp_path_factory.mktemp("shapes")
    make_shapes(root / "shapes", images={"train": 500, "val": 40, "test": 60}, size=64)
    saccade.prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    write_labels(DataFolder(root / "data"), root / "shapes")
    for seed in SEEDS:
        changes = [f"train.seed={seed}", "train.epochs=8"]
        recipe = "show-ask-attend-answer-small"
        saccade.train(recipe, root / "data", root / f"{seed}", changes=changes, device="cpu")
    return root


SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trained_run_passes_and_with_exchanged_weights_it_fails(shapes, tmp_path, seed):
    """By the thresholds that `faithfulness_scores` states, on every seed."""
    boxes = shapes / "shapes" / "boxes.json"
    given = {"split": "test", "limit": 100, "boxes": boxes, "device": "cpu"}
    trained = saccade.faithfulness(shapes / f"{seed}", **given)
    assert trained["passed"], trained["checks"]
    assert trained["changed"]["times"] > 2
    found = trained["pointing"]["boxes"]
    assert found["landed"] > 2 * max(found["landed_by_chance"], found["landed_by_middle"])
    exchanged = tmp_path / "exchanged"
    shutil.copytree(shapes / f"{seed}", exchanged)
    weights = untrained_model(open_run(exchanged), seed + 100).state_dict()
    save_tensors(exchanged / "model.safetensors", weights, {"epoch": "1"})
    found = saccade.faithfulness(exchanged, **given)
    assert not found["passed"]
    assert not any(check["passed"] for check in found["checks"].values()), found["checks"]
