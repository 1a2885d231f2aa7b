"""Explanations of a split and of files: each number is the model's own, and the page holds them."""

import json
import re
import shutil
import warnings
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.config import change
from saccade.core.errors import BadConfig, BadData, BadImage, BadRun, SaccadeWarning
from saccade.core.tensors import save_tensors
from saccade.data.folder import DataFolder
from saccade.experiment import assemble
from saccade.features.store import FeatureStore
from saccade.features.store_writer import StoreWriter
from saccade.inference.explain import top_region
from saccade.inference.model import build
from saccade.inference.occlusion import occlude_answer
from saccade.inference.predictor import EncodedImage
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import Origin, write_run
from tests.worlds import make_world

WIDTH, HEIGHT = 60, 40


def untrained(folder, out, recipe_name, features):
    """A run that was never trained: what it predicts is as good as any to be explained."""
    recipe = RECIPES[recipe_name]
    if recipe.decode is not None:  # untrained captioners find no end
        recipe = change(recipe, "decode.max_length=4")
    experiment = assemble(recipe, folder, features)
    torch.manual_seed(3)
    header = experiment.store.header
    model = build(experiment.recipe, experiment.sizes, header.preprocessing)
    origin = Origin(header, features, str(folder.path), folder.fingerprint)
    made = experiment.recipe, experiment.sizes, experiment.words
    write_run(out, recipe_name, made, origin, None)
    save_tensors(out / "model.safetensors", model.state_dict(), {"epoch": "1"})
    return out


def boxes_like(folder, store, name, boxes):
    """The same features as boxes, of which the last one is missing in every other image."""
    header = store.header.model_copy(update={"grid": None, "complete": False})
    count = len(store)
    counts = np.where(np.arange(count) % 2, header.regions, header.regions - 1)
    with StoreWriter(folder.store_path(name), header, store.ids) as writer:
        sizes = np.full((count, 2), (WIDTH, HEIGHT))
        writer.add(store.features, counts, sizes, boxes=boxes[None].repeat(count, axis=0))
        writer.finish()


BOXES = np.array(
    [[0, 0, 0.5, 0.5], [0.1, 0.2, 0.9, 0.8], [0.5, 0, 1, 1], [0, 0.5, 1, 1], [0.2, 0.2, 0.3, 0.4],
     [0.6, 0.6, 1, 0.9]], np.float32,
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world with image files, a grid and boxes, and runs of five kinds, none trained."""
    root = tmp_path_factory.mktemp("explanations")
    folder = make_world(root / "data", train=8, val=3)
    about = json.loads((folder.path / "dataset.json").read_text())
    (root / "images").mkdir()
    for i, image in enumerate(folder.images()):
        Image.new("RGB", (WIDTH, HEIGHT), (9 * i, 90, 200)).save(root / "images" / image.file)
    about["image_root"] = str(root / "images")
    (folder.path / "dataset.json").write_text(json.dumps(about))
    folder = DataFolder(folder.path)
    store = FeatureStore.open(folder.store_path("cells"), images=folder.images())
    boxes_like(folder, store, "boxes", BOXES)
    for name, recipe, features in (
        ("grid", "show-ask-attend-answer-small", "cells"),
        ("boxes", "joint-embedding-small", "boxes"),
        ("blind", "ibowimg-small", "cells"),
        ("caption", "show-attend-tell-small", "cells"),
        ("caption-boxes", "up-down-small", "boxes"),
    ):
        untrained(folder, root / name, recipe, features)
    return root


class Page(HTMLParser):
    """The parts of a page that can be pressed, seen or loaded."""

    def __init__(self, path):
        super().__init__()
        self.images, self.links, self.ids, self.articles = [], [], [], 0
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.images += [about] if tag == "img" else []
        self.links += [about["href"]] if tag == "a" else []
        self.ids += [about["id"]] if "id" in about else []
        self.articles += tag == "article"


def explained(run, out, *images, **options):
    page = saccade.explain(run, *images, out=out, device="cpu", **options)
    lines = (out / "explained.jsonl").read_text(encoding="utf-8").splitlines()
    return Page(page), [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", ["grid", "boxes", "blind"])
def test_a_split_is_answered_as_one_question_at_a_time_would_be(world, tmp_path, name):
    page, rows = explained(world / name, tmp_path / "out", split="val")
    run, folder = saccade.load(world / name, "cpu"), DataFolder(world / "data")
    features = "boxes" if name == "boxes" else "cells"
    store = FeatureStore.open(folder.store_path(features), images=folder.images())
    questions = folder.questions("val")
    assert [row["id"] for row in rows] == [question.id for question in questions]
    counted = set()
    for row, question in zip(rows, questions, strict=True):
        at = store.rows([question.image_id])
        count = int(store.counts[at][0])
        regions = torch.from_numpy(store.features[at][:, :count].astype(np.float32))
        boxes = store.boxes(at)[0, :count]
        encoded = EncodedImage(regions, torch.ones(1, count, dtype=torch.bool), boxes)
        answer = run.ask(encoded, question.text)
        hidden = answer.attention is None
        assert hidden == (name == "blind") == ("cost of hiding" in row["map_shows"])
        shown = occlude_answer(run, encoded, question.text, answer) if hidden else answer
        weights = shown.attention.mean(axis=0)
        assert (row["answer"], row["question"]) == (answer.text, question.text)
        assert row["confidence"] == pytest.approx(answer.top[0][1], abs=1e-5)
        assert row["ground_truth"] == list(question.answers)
        assert row["accuracy"] == vqa_accuracy_of(answer.text, question.answers, folder.revision)
        assert row["regions"] == count
        assert row["region_share"] == pytest.approx(weights.max() / weights.sum(), abs=1e-4)
        expected = boxes[weights.argmax()] * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        np.testing.assert_allclose(row["box"], expected, atol=0.01)
        for file in (row["image"], row["map"]):
            with Image.open(tmp_path / "out" / file) as image:
                assert image.format == "JPEG"
        assert f">{question.text}</a>" in page.text
        counted.add(count)
    assert len(counted) == (2 if name == "boxes" else 1), "batches hold images of either kind"
    assert page.articles == len(rows)


@pytest.mark.parametrize("name", ["caption", "caption-boxes"])
def test_a_caption_has_a_map_for_each_word(world, tmp_path, name):
    page, rows = explained(world / name, tmp_path / "out", split="val", beam_size=2)
    folder = DataFolder(world / "data")
    people = folder.captions_by_image("val")
    assert [row["id"] for row in rows] == [image.id for image in folder.images("val")]
    drawn = 0
    for row in rows:
        assert row["ground_truth"] == [caption.text for caption in people[row["image_id"]]]
        assert " ".join(one["word"] for one in row["words"]) == row["caption"]
        assert row["log_probability"] < 0
        for one in row["words"]:
            assert 0 < one["region_share"] <= 1
            assert (tmp_path / "out" / one["map"]).exists()
            drawn += 1
    assert len(page.images) == len(rows) + drawn


def test_the_page_waits_for_nothing_and_is_reached_by_keyboard_and_by_ear(world, tmp_path):
    page, rows = explained(world / "grid", tmp_path / "out", split="val")
    assert not re.search(r"<script|<link|<iframe|https?://|url\(", page.text)
    assert page.text.count("content-visibility: auto") == 1
    for image in page.images:
        assert image["loading"] == "lazy"
        assert (image["width"], image["height"]) == (str(WIDTH), str(HEIGHT))
        assert len(image["alt"]) > 10
        assert image["src"] in page.links, "an image opens by a link"
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.ids)
    corners = " ".join(f"{edge:g}" for edge in rows[0]["box"])
    assert corners in unescape(page.text)


def test_only_wrong_or_right_answers_split_the_whole(world, tmp_path):
    found = {}
    for only in (None, "right", "wrong"):
        _, rows = explained(world / "grid", tmp_path / f"{only}", split="val", only=only)
        found[only] = {row["id"]: row["accuracy"] for row in rows}
    assert found["right"] | found["wrong"] == found[None]
    assert min(found["right"].values()) > 0 == max(found["wrong"].values())
    page, rows = explained(world / "grid", tmp_path / "few", split="val", only="wrong", limit=2)
    assert [row["id"] for row in rows] == list(found["wrong"])[:2]
    assert page.articles == 2
    _, rows = explained(world / "grid", tmp_path / "first", split="val", limit=3)
    assert [row["id"] for row in rows] == list(found[None])[:3]


def test_an_image_is_encoded_once(world, tmp_path, monkeypatch):
    asked = []
    read = FeatureStore.read
    monkeypatch.setattr(FeatureStore, "read", lambda s, rows: asked.append(rows) or read(s, rows))
    monkeypatch.setattr("saccade.evaluation.explanations.AT_ONCE", 3)  # an image over two batches
    explained(world / "grid", tmp_path / "out", split="val")
    rows = np.concatenate(asked)
    assert len(set(rows.tolist())) == len(rows) == 3


def test_a_split_without_records_and_captions_that_cannot_be_wrong_are_told(world, tmp_path):
    with pytest.raises(BadData) as told:
        saccade.explain(world / "grid", split="test", out=tmp_path / "out", device="cpu")
    assert str(world / "data") in str(told.value)
    with pytest.raises(BadConfig):
        saccade.explain(world / "caption", split="val", only="wrong", out=tmp_path / "out")


def test_images_that_cannot_be_read_are_named_and_the_others_go_on(world, tmp_path, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    for image in DataFolder(world / "data").images():
        (images / image.file).write_bytes((world / "images" / image.file).read_bytes())
    broken = DataFolder(world / "data").images("val")[1]
    (images / broken.file).write_bytes(b"no image")
    monkeypatch.setenv("SACCADE_IMAGES", str(images))
    with pytest.warns(SaccadeWarning, match=re.escape(broken.file)):
        page, rows = explained(world / "caption", tmp_path / "out", split="val")
    assert [row["id"] for row in rows if "error" in row] == [broken.id]
    assert page.articles == len(rows) - 1 == 2
    assert "1 could not be explained" in page.text
    monkeypatch.setenv("SACCADE_IMAGES", str(tmp_path / "none"))
    with pytest.raises(BadImage):
        explained(world / "caption", tmp_path / "other", split="val")
    assert not (tmp_path / "other").exists()


@pytest.mark.filterwarnings("default")
def test_files_and_folders_are_explained_without_any_truth(world, tmp_path, monkeypatch):
    def encode(run, image):
        if image.stat().st_size < 20:
            raise BadImage("damaged", location=image, hint="Copy it again.")
        mask = torch.ones(1, 6, dtype=torch.bool)
        return EncodedImage(torch.ones(1, 6, 12), mask, BOXES)

    monkeypatch.setattr("saccade.inference.predictor.Run.encode", encode)
    some = tmp_path / "some"
    (some / "below").mkdir(parents=True)
    for name in ("a.png", "below/b.PNG", ".hidden.png"):
        Image.new("RGB", (30, 20)).save(some / name)
    (some / "bad.jpg").write_bytes(b"x")
    (some / "notes.txt").write_text("no image")
    with pytest.warns(SaccadeWarning, match=r"bad\.jpg"):
        page, rows = explained(world / "grid", tmp_path / "out", some, question="What is it?")
    assert [row["id"] for row in rows] == [
        str(some / name) for name in ("a.png", "bad.jpg", "below/b.PNG")
    ]
    assert rows[0]["accuracy"] is None
    assert rows[0]["width"] == 30
    assert "human answers" not in page.text, "nobody expects any of a file"
    with pytest.raises(BadConfig):
        explained(world / "grid", tmp_path / "out", some)
    with pytest.raises(BadConfig):
        explained(world / "grid", tmp_path / "out", some, question="?!")
    for words, drawn in (
        ([some / "a.png", some / "below", "Is it big"], tmp_path / "folder"),
        ([some / "a.png", "Is it big"], tmp_path / "one.png"),
    ):
        given = ["explain", world / "grid", *words, "--out", drawn, "--device", "cpu"]
        asked = CliRunner().invoke(app, [str(word) for word in given])
        assert asked.exit_code == 0, asked.output
        assert drawn.exists()
    given = ["caption", world / "caption", some, "--explain", tmp_path / "told", "--device", "cpu"]
    asked = CliRunner().invoke(app, [str(word) for word in given])
    assert asked.exit_code == 1, asked.output  # one is bad; the others are done
    assert "bad.jpg" in asked.stderr
    told = (tmp_path / "told" / "explained.jsonl").read_text().splitlines()
    captions = [row["caption"] for row in map(json.loads, told) if "caption" in row]
    assert [line.split(": ")[1] for line in asked.stdout.splitlines()[:2]] == captions


def test_a_question_without_a_word_is_answered_as_evaluate_does(world):
    run = saccade.load(world / "grid", "cpu")
    mask = torch.ones(1, 6, dtype=torch.bool)
    encoded = EncodedImage(torch.ones(1, 6, 12), mask, BOXES)
    unknown, known = run.answers([encoded] * 2, ["?!", "xyzzy"])
    assert unknown.top == known.top, "both are one unknown word"


def test_earlier_explanations_are_replaced_whole_and_nothing_else_is(world, tmp_path, monkeypatch):
    out = tmp_path / "out"
    explained(world / "grid", out, split="val")
    explained(world / "grid", out, split="val", limit=1)
    assert len(list((out / "maps").iterdir())) == 1
    before = (out / "explained.jsonl").read_bytes()

    def full_disk(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("saccade.evaluation.explanations.fill_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        saccade.explain(world / "grid", split="val", out=out, device="cpu")
    assert (out / "explained.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(BadData, match=r"thesis\.txt"):
        saccade.explain(world / "grid", split="val", out=out)


def test_neither_a_photo_nor_a_link_nor_the_folder_one_is_in_is_replaced(
    world, tmp_path, monkeypatch
):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(photo)
    kept = photo.read_bytes()
    with pytest.raises(BadConfig, match=r"photo\.png"):
        saccade.explain(world / "grid", photo, "What is it?", out=photo, device="cpu")
    for words in (
        ("ask", world / "grid", photo, "What is it?"),
        ("caption", world / "caption", photo),
    ):
        asked = CliRunner().invoke(app, [*map(str, words), "--explain", str(photo)])
        assert asked.exit_code == 1
        assert "photo.png" in asked.stderr
    assert photo.read_bytes() == kept
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    explained(world / "grid", tmp_path / "link", split="val", limit=1)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").exists()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(BadData, match="folder you are in"):
        saccade.explain(world / "grid", split="val", out=".", device="cpu")


def test_weights_that_are_no_numbers_and_half_characters_are_refused(world, tmp_path):
    shutil.copytree(world / "grid", tmp_path / "run")
    weights = load_file(tmp_path / "run" / "model.safetensors")
    name = next(name for name, one in weights.items() if one.is_floating_point())
    weights[name].view(-1)[0] = float("nan")
    save_tensors(tmp_path / "run" / "model.safetensors", weights, {"epoch": "1"})
    with pytest.raises(BadRun, match="NaN"):
        saccade.load(tmp_path / "run", "cpu")
    image = next((world / "images").iterdir())
    with pytest.raises(BadConfig, match="udce9"):
        saccade.explain(
            world / "grid", image, "What is \udce9 it?", out=tmp_path / "o", device="cpu"
        )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "neither"),
        ({"split": "val", "images": ("images",)}, "both"),
        ({"images": ("images",), "only": "wrong"}, "only"),
        ({"images": ("images",), "out": "x.png"}, "PNG"),
    ],
)
def test_what_is_to_be_explained_must_be_clear(world, monkeypatch, options, named):
    monkeypatch.chdir(world)
    with pytest.raises(BadConfig, match=named):
        saccade.explain("grid", **options)


@pytest.mark.parametrize(
    ("weights", "box", "share"),
    [
        ([0.1, 0.6, 0.3], [0, 5, 20, 10], 0.6),
        ([0.4, 0.2, 0.4], [0, 0, 10, 10], 0.4),  # the first of equals
        ([0, 0, 0], None, 0),  # hiding changed nothing
        ([0.1, 0.1, 0.8], None, 0.8),  # the filling beside an image that was resized inside
    ],
)
def test_the_top_region_in_pixels(weights, box, share):
    boxes = np.array([[0, 0, 0.5, 1], [-0.2, 0.5, 1.5, 1.25], [1, 0, 1.5, 1]], np.float32)
    found, of = top_region(np.array(weights, np.float32), boxes, 20, 10)
    assert found == box
    assert of == pytest.approx(share)


def test_an_answer_without_weights_is_drawn_without_a_frame(world, tmp_path, monkeypatch):
    def nothing(run, encoded, question, answer):
        return answer._replace(attention=np.zeros((1, len(encoded.boxes)), np.float32))

    monkeypatch.setattr("saccade.inference.occlusion.occlude_answer", nothing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page, rows = explained(world / "blind", tmp_path / "out", split="val", limit=1)
    assert rows[0]["box"] is None
    assert "top region" not in page.text
