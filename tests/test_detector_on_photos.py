"""Photos of COCO and their questions, as somebody's own table: boxes found, looked at, answered."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.data.folder import DataFolder
from saccade.features.backbones import choose_backbone
from saccade.features.images import read_image
from saccade.features.store import FeatureStore
from tests.detector_samples import enliven

NET = "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn"
CHOICE = {"proposals": 30, "threshold": 0.02, "min_count": 2, "at_most": 12}


def own_table(mini: Path, out: Path) -> Path:
    """The 38 questions with all their answers in a table; an image in four is for validation."""
    asked, said = (
        json.loads((mini / "vqa" / f"v2_{name}.json").read_text())[key]
        for name, key in (("OpenEnded_questions", "questions"), ("annotations", "annotations"))
    )
    answers = {one["question_id"]: [a["answer"] for a in one["answers"]] for one in said}
    images = sorted({one["image_id"] for one in asked})
    out.mkdir()
    (out / "images").symlink_to((mini / "train2017").absolute())
    with (out / "mine.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["image", "question", "answers", "split"])
        for one in asked:
            split = "val" if images.index(one["image_id"]) % 4 == 3 else "train"
            given = "|".join(answers[one["question_id"]])
            table.writerow([f"{one['image_id']:012d}.jpg", one["question"], given, split])
    return out


def typed(*words: object) -> str:
    told = CliRunner().invoke(app, [str(word) for word in words])
    assert told.exit_code == 0, told.output
    return told.stdout


@pytest.fixture(scope="module")
def mini(real_data) -> Path:
    return real_data("coco-mini")


@pytest.fixture(scope="module")
def made(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a store `boxes`, and a run; all by commands.

    The detector's weights are random, but spread out so that it tells boxes apart.
    """
    root = tmp_path_factory.mktemp("photos")
    eye = choose_backbone(NET, "random", {"proposals": 30})
    photos = sorted((mini / "train2017").iterdir())[:2]
    enliven(eye, *map(read_image, photos), size=320)
    eye.save(root / "lively.safetensors")
    typed("prepare", "table", "--root", own_table(mini, root / "mine"), "--out", root / "data")
    options = [word for name, value in CHOICE.items() for word in ("--option", f"{name}={value}")]
    weights = ("--weights", root / "lively.safetensors")
    named = ("--size", 320, "--name", "boxes")
    typed("extract", root / "data", "--detector", NET, *weights, *options, *named)
    epochs = ("--set", "train.epochs=4")
    wishes = ("--data", root / "data", "--out", root / "run", *epochs)
    typed("train", "joint-embedding-small", *wishes)
    return root


def test_every_photo_has_its_own_number_of_boxes_inside_it(made: Path, mini: Path) -> None:
    folder = DataFolder(made / "data")
    store = FeatureStore.open(folder.store_path("boxes"), images=folder.images())
    assert store.verify() == []
    assert (len(store), store.header.regions, store.header.dim) == (24, 12, 1024)
    assert len(set(store.counts)) > 3
    assert store.counts.min() >= 2
    assert store.counts.max() <= 12
    rows = np.arange(len(store))
    regions, mask = store.read(rows)
    assert np.array_equal(mask.sum(axis=1), store.counts)
    boxes, scores = store.boxes(rows), store.scores(rows)
    assert scores is not None
    for one, row in zip(sorted(folder.images()), rows, strict=True):
        with Image.open(mini / "train2017" / Path(one.file).name) as photo:
            size = photo.size
        assert tuple(store.sizes[row]) == size
        real = boxes[row, : store.counts[row]] * np.tile(size, 2)
        assert (real >= 0).all()
        assert (real <= np.tile(size, 2) + 0.01).all()
        assert (real[:, 2:] > real[:, :2]).all()
        assert (np.diff(scores[row, : store.counts[row]]) <= 0).all()
    for part in (regions, boxes, scores):
        assert not part[~mask].any()
    confidence = (scores >= CHOICE["threshold"]).sum(axis=1)
    assert np.array_equal(store.counts, np.clip(confidence, 2, 12))


def test_joint_embedding_learns_from_them(made: Path) -> None:
    lines = (made / "run" / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 4
    assert losses[-1] < 0.97 * losses[0]
    assert "image gains" in typed("evaluate", made / "run")
    scores = json.loads((made / "run" / "scores.json").read_text())["val"]
    assert scores["questions"] == 9
    assert 0 <= scores["accuracy"] <= scores["upper_bound"] < 100
    assert scores["features"] == "boxes"
    predicted = json.loads((made / "run" / "predictions.json").read_text())
    assert len(predicted) == 9


def test_attention_is_on_real_boxes_only(made: Path) -> None:
    """Asked about a photo: as many regions as boxes; filled up as in a batch: nothing on these."""
    folder, asked = DataFolder(made / "data"), "How many boats on the water?"
    store, run = FeatureStore.open(folder.store_path("boxes")), saccade.load(made / "run")
    fewest = int(store.counts.argmin())
    image = sorted(folder.images())[fewest]
    count = int(store.counts[fewest])
    assert count < 12
    encoded = run.encode(folder.image_root / image.file)
    answer = run.ask(encoded, asked)
    assert answer.text == answer.top[0][0]
    assert answer.attention.shape == (1, count)
    assert len(answer.boxes) == count
    np.testing.assert_allclose(answer.attention.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(answer.boxes, store.boxes(np.array([fewest]))[0, :count], atol=1e-3)

    regions, mask = map(torch.from_numpy, store.read(np.array([fewest])))
    filled = encoded._replace(regions=regions.float(), mask=mask)
    with torch.inference_mode():
        attention = run.model(run.question(filled, asked)).attention[0]
    assert attention.shape == (1, 12)
    assert not attention[:, count:].any()
    np.testing.assert_allclose(attention[:, :count], answer.attention, atol=2e-3)
    shown = typed("ask", made / "run", folder.image_root / image.file, asked)
    assert shown.splitlines()[0].endswith(answer.text)
