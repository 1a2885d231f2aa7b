"""Other programs' scorers, against numbers that the programs themselves printed for small cases.

`python -m benchmarks.scorers --check` compares them on 48,061 real questions.
"""

import json
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.core.errors import BadConfig, BadData, SaccadeWarning
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.evaluation import baselines
from saccade.inference.predict import _warn_of_form
from saccade.inference.prediction_inputs import read_inputs
from saccade.metrics.scorers import SCORERS, scorer_of
from saccade.metrics.vqa import cost_of_form, vqa_accuracy_of

GOLDEN = json.loads((Path(__file__).parent / "golden" / "scorers.json").read_text("utf-8"))


@pytest.mark.parametrize("name", GOLDEN["accuracies"])
def test_answers_score_as_the_program_printed(name):
    predictions, people = zip(*GOLDEN["answers"], strict=True)
    found = SCORERS[name].compute(predictions, people)["accuracy"]
    theirs = GOLDEN["accuracies"][name]
    assert found.per_example == pytest.approx(theirs, abs=1e-9)
    assert found.value == pytest.approx(100 * sum(theirs) / len(theirs))


def test_every_program_is_another_scorer_than_the_official_one():
    official = [vqa_accuracy_of(text, people, "2021-03") for text, people in GOLDEN["answers"]]
    for name, theirs in GOLDEN["accuracies"].items():
        assert theirs != pytest.approx(official, abs=1e-9), name
    assert {name for name, one in SCORERS.items() if one.task == "vqa"} == {*GOLDEN["accuracies"]}


@pytest.mark.parametrize("name", GOLDEN["one_reference"])
def test_one_reference_scores_as_the_program_printed(name):
    found = SCORERS[name].compute(["red", "blue"], [["red"], ["red"]])["accuracy"]
    assert found.per_example == pytest.approx(GOLDEN["one_reference"][name], abs=1e-9)


def test_a_program_that_refuses_other_numbers_of_people_is_refused_here():
    with pytest.raises(BadData, match="ten human answers, and here one has 1"):
        SCORERS["mmf"].compute(["red"], [["red"]])


def test_captions_score_as_the_program_printed():
    predictions, people = zip(*GOLDEN["captions"], strict=True)
    found = SCORERS["ms-vlmeval-captions"].compute(predictions, people)
    assert {k: one.value for k, one in found.items()} == pytest.approx(
        GOLDEN["caption_scores"], abs=1e-9
    )


def test_a_scorer_of_another_task_is_refused():
    with pytest.raises(BadConfig, match="ms-vlmeval-captions") as refused:
        scorer_of("mmf", "caption")
    assert refused.value.location == "--as"


PEOPLE = (["yes"] * 10, ["2"] * 6 + ["two"] * 4, ["red"] * 9 + ["a red one"], ["no"] * 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four questions and captions, officially scored (source vqa-v2)."""
    root = tmp_path_factory.mktemp("scorers")
    images = [ImageRecord(n, f"{n}.jpg", "val") for n in range(4)]
    images.append(ImageRecord(9, "9.jpg", "train"))
    asked = [
        Question(n + 1, n, f"What is {n}?", "val", tuple(people), people[0], "other", "what")
        for n, people in enumerate(PEOPLE)
    ]
    asked.append(Question(99, 9, "What is it?", "train", ("yes",) * 10, "yes", "other", ""))
    texts = ["A black dog runs .", "a man rides a wave", "Two girls , laughing .", "a red car"]
    told = [Caption(n, n, text, tuple(text.lower().split()), "val") for n, text in enumerate(texts)]
    told.append(Caption(9, 9, "a cat", ("a", "cat"), "train"))
    write_folder(root / "data", Collection("vqa-v2", str(root), images, asked, told))
    return DataFolder(root / "data")


@pytest.fixture
def fast(monkeypatch):
    """Without the classifier of questions, which has its own tests."""
    monkeypatch.setattr(baselines.blind, "question_only", lambda training, _: {})


@pytest.mark.usefixtures("fast")
def test_score_prints_the_other_number_beside_the_official_one(folder, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"1": "Yes.", "2": "2", "3": "red", "4": "no"}))
    given = ["score", str(path), "--data", str(folder.path), "--as", "lmms-eval", "--as", "mmf"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as on the command line, where they are notes
        done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert "lmms-eval 0.7.3" in done.output
    scores = json.loads((tmp_path / "mine-scored" / "scores.json").read_text())["val"]
    assert scores["accuracy"] == pytest.approx(75)
    assert scores["scored_as"]["lmms-eval"]["accuracy"] == pytest.approx(100)
    assert scores["not_normalised"]["points_lost"] == pytest.approx(25)


@pytest.mark.usefixtures("fast")
def test_captions_are_scored_raw_by_the_program_without_a_tokenizer(folder, tmp_path):
    path = tmp_path / "mine.json"
    texts = {0: "a black dog runs", 1: "a man rides a wave", 2: "two girls", 3: "a red car"}
    path.write_text(json.dumps([{"image_id": n, "caption": text} for n, text in texts.items()]))
    scores = saccade.score(path, folder.path, scorers=["ms-vlmeval-captions"])
    there, here = scores["scored_as"]["ms-vlmeval-captions"], scores["leaderboard"]
    assert here["bleu_1"] > there["bleu_1"] > 0
    with pytest.raises(BadConfig, match="mmf scores vqa"):
        saccade.score(path, folder.path, tmp_path / "other", scorers=["mmf"])
    with pytest.raises(BadConfig, match="no scorer 'lmm-eval'"):
        saccade.score(path, folder.path, tmp_path / "third", scorers=["lmm-eval"])


def test_predict_tells_what_the_form_costs(folder, recwarn):
    inputs = read_inputs([folder.path], asks_question=True, split="val")
    with pytest.warns(SaccadeWarning, match=r"2 answers.*'Yes\.'.*costs 50\.00 points"):
        _warn_of_form(inputs, {0: "Yes.", 3: "No"})
    recwarn.clear()
    _warn_of_form(inputs, {1: "Two"})  # people differ, so both sides are normalised: free of charge
    assert not recwarn.list


def test_cost_of_form_is_unknown_without_human_answers():
    secret = [Question(1, 1, "What?", "test")]
    assert cost_of_form(["Yes."], secret, "2021-03") == {"answers": 1, "example": "Yes."}
    assert cost_of_form(["yes"], secret, "2021-03") == {"answers": 0}
