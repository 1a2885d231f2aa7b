"""The faces of a trained run: evaluate, ask, caption, with real images and a real backbone."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import saccade
from saccade.config import change
from saccade.core.errors import SaccadeError
from saccade.core.tensors import load_tensors, save_tensors
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.evaluation.evaluate import evaluate
from saccade.features.extract import extract
from saccade.features.store import FeatureStore
from saccade.inference.explain import explain
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shapes, features of an untrained network, and one run of each task."""
    root = tmp_path_factory.mktemp("faces")
    make_shapes(root / "shapes", images={"train": 24, "val": 6, "test": 6}, seed=1)
    data = prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    extract(data, "timm:test_resnet", weights="random", size=64, resize="squash")
    for name in ("show-ask-attend-answer", "show-attend-tell"):
        recipe = change(RECIPES[f"{name}-small"], "train.epochs=2")
        train(recipe, data, root / name, name=name, console=Console(quiet=True))
    return root


def test_a_new_image_goes_through_the_runs_window(made, tmp_path):
    """12 bits in 16, and the same image as 8 bits: the same regions, and the same drawing."""
    run = shutil.copytree(made / "show-ask-attend-answer", tmp_path / "run")
    header = json.loads((run / "run.json").read_text())
    assert header["store"]["preprocessing"]["window"] == "auto"
    header["store"]["preprocessing"]["window"] = "auto:0,4095"
    (run / "run.json").write_text(json.dumps(header))
    deep = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint16) * 16
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray((deep >> 4).astype(np.uint8)).save(tmp_path / "eight.png")
    opened = saccade.load(run, device="cpu")
    encoded = [opened.encode(tmp_path / name).regions for name in ("deep.png", "eight.png")]
    assert torch.equal(*encoded)
    for name in ("deep", "eight"):
        explain(run, tmp_path / f"{name}.png", tmp_path / f"{name}-map.png", "what is it?")
    assert (tmp_path / "deep-map.png").read_bytes() == (tmp_path / "eight-map.png").read_bytes()


def an_image(made):
    return sorted((made / "shapes" / "images").rglob("*.png"))[0]


def test_ask_and_evaluate_agree_where_every_sigmoid_is_one(made, tmp_path):
    run = shutil.copytree(made / "show-ask-attend-answer", tmp_path / "run")
    header = json.loads((run / "run.json").read_text())
    header["recipe"]["answers"]["loss"] = "logistic"
    (run / "run.json").write_text(json.dumps(header))
    weights, about = load_tensors(run / "model.safetensors")
    weights["output.bias"] = weights["output.bias"] + 100  # sigmoids beyond 17 are 1 in 32 bits
    save_tensors(run / "model.safetensors", weights, about)
    evaluate(run)
    predictions = json.loads((run / "predictions.json").read_text())
    loaded, said = saccade.load(run), {row["question_id"]: row["answer"] for row in predictions}
    folder = DataFolder(made / "data")
    files = {image.id: image.file for image in folder.images("test")}
    for question in folder.questions("test")[:12]:
        image = next((made / "shapes").rglob(files[question.image_id]))
        answer = loaded.ask(image, question.text)
        assert {share for _, share in answer.top} == {1.0}
        assert answer.text == said[question.id]


def test_evaluate_judges_on_the_test_split_beside_what_needs_no_image(made):
    scores = evaluate(made / "show-ask-attend-answer")
    assert scores["split"] == "test"
    assert scores["decoding"] == "free-running"
    assert not scores["selected_on_this_split"]
    assert list(scores["baselines"]) == [
        "most_frequent_answer",
        "most_frequent_per_question_type",
        "most_frequent_per_question",
        "question_only",
        "shuffled_questions",
        "shuffled_images",
    ]
    assert 0 <= scores["accuracy"] <= 100
    written = json.loads((made / "show-ask-attend-answer/scores.json").read_text())
    assert written["test"]["accuracy"] == scores["accuracy"]
    predictions = json.loads((made / "show-ask-attend-answer/predictions.json").read_text())
    assert set(predictions[0]) == {"question_id", "answer"}
    assert len(predictions) == scores["questions"]

    evaluate(made / "show-ask-attend-answer", split="val", revision="2016")
    written = json.loads((made / "show-ask-attend-answer/scores.json").read_text())
    assert set(written) == {"test", "val"}
    assert written["val"]["selected_on_this_split"]
    assert written["val"]["revision"] == "2016"


def test_evaluate_decodes_each_image_once(made):
    scores = evaluate(made / "show-attend-tell", beam_size=3)
    assert scores["beam_size"] == 3
    assert scores["images"] == 6
    assert all(0 <= scores[f"bleu_{n}"] <= 1 for n in (1, 2, 3, 4))
    predictions = json.loads((made / "show-attend-tell/predictions.json").read_text())
    assert len({row["image_id"] for row in predictions}) == len(predictions) == 6


def test_asking_sees_what_training_saw(made):
    run = saccade.load(made / "show-ask-attend-answer")
    store = FeatureStore.open(next((made / "data/features").iterdir()))
    encoded = run.encode(an_image(made))
    stored, _ = store.read(store.rows([int(an_image(made).stem.split("_")[-1])]))
    np.testing.assert_allclose(encoded.regions[0].numpy(), stored[0].astype(np.float32), atol=1e-3)


def test_ask(made):
    run = saccade.load(made / "show-ask-attend-answer")
    answer = run.ask(an_image(made), "What colour is the circle", top=3)
    assert answer.text == answer.top[0][0]
    assert [share for _, share in answer.top] == sorted(
        (share for _, share in answer.top), reverse=True
    )
    assert answer.attention.shape == (2, len(answer.boxes))
    np.testing.assert_allclose(answer.attention.sum(axis=1), 1, rtol=1e-5)
    once = run.encode(an_image(made))
    assert run.ask(once, "What colour is the circle?").text == answer.text
    with pytest.raises(SaccadeError, match="answers questions"):
        run.caption(once)
    for nothing in ("", " ", "?!"):
        with pytest.raises(SaccadeError, match="holds no word"):
            run.ask(once, nothing)


def test_how_sure_an_answer_is_follows_from_what_was_trained(made, tmp_path):
    """Shares of 1 where answers compete, each answer's own probability where they do not."""
    trained = saccade.load(made / "show-ask-attend-answer")
    answers = trained.opened.words.answers
    competing = trained.ask(an_image(made), "What colour is it?", top=len(answers)).top
    assert sum(share for _, share in competing) == pytest.approx(1, abs=1e-5)
    alone = tmp_path / "alone"
    shutil.copytree(made / "show-ask-attend-answer", alone)
    header = json.loads((alone / "run.json").read_text())
    header["recipe"]["answers"]["loss"] = "logistic"
    (alone / "run.json").write_text(json.dumps(header))
    run = saccade.load(alone)
    encoded = run.encode(an_image(made))
    with torch.inference_mode():
        logits = run.model(run.question(encoded, "What colour is it?")).logits[0]
    each = dict(run.ask(encoded, "What colour is it?", top=len(answers)).top)
    expected = 1 / (1 + np.exp(-logits.numpy()))
    np.testing.assert_allclose([each[text] for text in answers.answers], expected, rtol=1e-5)


def test_caption(made):
    run = saccade.load(made / "show-attend-tell")
    said = run.caption(an_image(made), beam_size=2)
    assert said.text == " ".join(word.text for word in said.words)
    assert said.log_probability < 0
    for word in said.words:
        assert word.attention.shape == (len(said.boxes),)
        assert word.attention.sum() == pytest.approx(1, abs=1e-4)
    with pytest.raises(SaccadeError, match="writes captions"):
        run.ask(an_image(made), "what?")


def test_a_run_folder_is_enough(made, tmp_path):
    """Moved away from its data, with the data folder out of reach, a run still answers."""
    moved = tmp_path / "elsewhere"
    (made / "show-attend-tell").rename(moved)
    try:
        (made / "data").rename(made / "hidden")
        assert saccade.load(moved).caption(an_image(made)).text is not None
        with pytest.raises(SaccadeError, match="data folder"):
            evaluate(moved)
    finally:
        (made / "hidden").rename(made / "data")
        moved.rename(made / "show-attend-tell")


def test_a_file_that_is_no_image(made, tmp_path):
    (tmp_path / "x.jpg").write_text("this is text")
    with pytest.raises(SaccadeError, match=r"x\.jpg"):
        saccade.load(made / "show-attend-tell").caption(tmp_path / "x.jpg")
    with pytest.raises(SaccadeError, match="not a run folder"):
        saccade.load(tmp_path)
