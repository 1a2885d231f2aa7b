"""What stands in scores.json: priors, gain, intervals, labels, and a row for every example."""

import json
from hashlib import sha256

import numpy as np
import pytest
from rich.console import Console

from saccade.config import change
from saccade.core.errors import SaccadeError
from saccade.data.folder import DataFolder
from saccade.data.records import Question
from saccade.evaluation.baselines import Baseline, visual_gain
from saccade.evaluation.evaluate import evaluate
from saccade.evaluation.scoring import (
    read_rows,
    score_answers,
    score_captions,
    statistics,
    write_rows,
)
from saccade.metrics.intervals import compare
from saccade.metrics.vqa import vqa_accuracy
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.oracles import tiny_wordnet
from tests.worlds import make_world

QUIET = Console(quiet=True)
RUNS = {"vqa": "show-ask-attend-answer-small", "caption": "show-attend-tell-small"}


def make_run(folder, out, task, *changes):
    recipe = RECIPES[RUNS[task]]
    for assignment in ("train.batch_size=16", "train.optimiser.learning_rate=0.005", *changes):
        recipe = change(recipe, assignment)
    train(recipe, folder.path, out, name=RUNS[task], features="cells", console=QUIET)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A world that can be learnt by looking, and a run of each task that has learnt it."""
    root = tmp_path_factory.mktemp("judged")
    folder = make_world(root / "data")
    for task in RUNS:
        make_run(folder, root / task, task, "train.epochs=12")
    return root


@pytest.fixture(scope="module", params=list(RUNS))
def scores(request, made):
    return evaluate(made / request.param)


def test_a_model_that_looks_gains_by_looking(made, scores):
    run_baselines = scores["baselines"]
    metrics = {"vqa": {"accuracy": 1}, "caption": {"bleu_4": 100, "cider": 100}}[scores["task"]]
    for name, points in metrics.items():
        gain = points * (scores[name] - run_baselines["shuffled_images"][name])
        assert scores["visual_gain"][name] == pytest.approx(gain)
        assert gain > 10
        low, high = scores["visual_gain_interval"][name]
        assert 0 < low <= gain <= high
        # nobody who does not look comes near
        blind = [
            baseline[name]
            for rung_name, baseline in run_baselines.items()
            if rung_name != "nearest_neighbour"
        ]
        assert max(blind) < scores[name]
        low, high = scores["interval"][name]
        assert low <= scores[name] <= high
    assert "visual_gain_note" not in scores


def test_every_number_says_what_it_means(made, scores):
    assert scores["decoding"] == "free-running"
    assert scores["split"] == "val"
    assert scores["selected_on_this_split"] is True
    assert scores["trained_on_this_split"] is False
    assert scores["same_data_as_in_training"] is True
    assert scores["epoch"] in range(1, 13)
    assert scores["seed"] == 0
    assert scores["recipe"] == RUNS[scores["task"]]
    assert len(scores["features_fingerprint"]) == len(scores["data"]) == 64
    if scores["task"] == "vqa":
        assert scores["revision"] in scores["scorer"]
        assert scores["confidence"] == "softmax of the best answer"
    else:
        assert scores["beam_size"] >= 1
        assert scores["decoding_rules"]["max_length"] == 50
    json.dumps(scores, allow_nan=False)  # nothing in it that JSON has no word for


def test_rows_amount_to_the_scores(made, scores):
    run = made / scores["task"]
    rows = read_rows(run, "val")
    found = statistics(rows)
    for name, statistic in found.items():
        assert statistic.whole() == pytest.approx(scores[name])
    assert {"accuracy"} == set(found) or {"bleu_1", "bleu_4", "rouge_l", "cider"} < set(found)
    assert all(0 <= confidence <= 1 for confidence in rows["confidence"])
    assert compare(found[next(iter(found))], found[next(iter(found))]).p_permutation == 1
    with pytest.raises(SaccadeError, match="was not judged on the test split"):
        read_rows(run, "test")


def test_equal_runs_give_equal_files(made, scores):
    run = made / scores["task"]
    before = [(run / name).read_bytes() for name in ("scores.json", "scored-val.parquet")]
    evaluate(run)
    assert before == [(run / name).read_bytes() for name in ("scores.json", "scored-val.parquet")]


def test_calibration_is_that_of_the_answers(made):
    scores = evaluate(made / "vqa")
    rows, calibration = read_rows(made / "vqa", "val"), scores["calibration"]
    assert sum(bin_["answers"] for bin_ in calibration["bins"]) == len(rows["id"])
    assert 0 <= calibration["ece"] <= 1
    assert calibration["risk"][-1] == pytest.approx(1 - scores["accuracy"] / 100)
    assert scores["wups"] == {"not_measured": "WUPS: no WordNet was given"}
    assert "classification" not in scores, "ten people are no label"


def test_wups_with_a_wordnet(made, tmp_path):
    scores = evaluate(made / "vqa", wordnet=tiny_wordnet.write(tmp_path / "wordnet"))
    assert set(scores["wups"]) == {"0.9", "0.0"}
    assert scores["wups"]["0.9"] <= scores["wups"]["0.0"] <= 100


def test_captions_are_also_judged_by_how_varied_they_are(made):
    scores = evaluate(made / "caption")
    assert set(scores["diversity"]) == set(scores["diversity_of_people"])
    assert 0 < scores["diversity"]["vocabulary_used"] <= 1
    assert "--java" in scores["meteor"]["not_measured"]
    assert scores["baselines"]["constant_caption"]["caption"].startswith("a ")
    assert scores["baselines"]["nearest_neighbour"]["training_images"] == 40
    words = {row["caption"] for row in json.loads((made / "caption/predictions.json").read_text())}
    assert len(words) > 1


def test_java_that_is_not_there_is_a_reason_and_no_crash(made, monkeypatch):
    monkeypatch.setattr("saccade.metrics.java.shutil.which", lambda program: None)
    scores = evaluate(made / "caption", java=True)
    assert scores["meteor"] == {"not_measured": "METEOR: Java is not installed"}
    assert "SPICE" in scores["spice"]["not_measured"]


def test_what_needs_two_images_is_not_measured_on_one(tmp_path):
    folder = make_world(tmp_path / "data", train=8, val=1)
    for task in RUNS:
        scores = evaluate(make_run(folder, tmp_path / task, task, "train.epochs=1"))
        assert "not_measured" in scores["interval"]
        assert "1 cannot be exchanged" in scores["visual_gain"]["not_measured"]
        assert "not_measured" in scores["baselines"]["shuffled_images"]


def test_other_data_leaves_open_what_was_seen_in_training(made, tmp_path):
    """Equal features, other records: nobody can know whether this split was trained on."""
    other = make_world(tmp_path / "other", train=32, val=16)
    scores = evaluate(made / "vqa", data=other.path, split="train")
    assert scores["same_data_as_in_training"] is False
    assert scores["trained_on_this_split"] is None
    assert scores["selected_on_this_split"] is None


QUESTIONS = [
    Question(i, i // 2, "what?", "val", ("cat",) * 10, "cat", "other", "what") for i in range(12)
]


def test_a_gain_under_two_points_is_said_in_words():
    same = score_answers({q.id: "cat" for q in QUESTIONS}, QUESTIONS, "2021-03")
    gain = visual_gain("vqa", same, Baseline(same, {}))
    assert gain["visual_gain"] == {"accuracy": 0}
    assert gain["visual_gain_interval"] == {"accuracy": [0, 0]}
    assert "gains 0.0 points" in gain["visual_gain_note"]
    assert "accuracy is 100.0 instead of 100.0" in gain["visual_gain_note"]
    said = {i: [("a", "cat"), ("a", "dog")][i % 2] for i in range(4)}
    human = {i: [("a", "cat", "sits", "here")] for i in range(4)}
    captions = score_captions(said, human)
    note = visual_gain("caption", captions, Baseline(captions, {}))["visual_gain_note"]
    assert "bleu_4" in note
    assert "cider" in note


def test_rows_survive_the_disk_and_broken_files_are_named(tmp_path):
    scored = score_answers({q.id: "cat" for q in QUESTIONS}, QUESTIONS, "2021-03", {0: 0.25})
    write_rows(tmp_path, "val", scored.rows)
    rows = read_rows(tmp_path, "val")
    assert rows["confidence"][0] == 0.25
    assert np.isnan(rows["confidence"][1])
    assert {name: of for name, of in rows.items() if name != "confidence"} == {
        name: of for name, of in scored.rows.items() if name != "confidence"
    }
    said = dict(zip(rows["id"], rows["answer"], strict=True))
    assert vqa_accuracy(said, QUESTIONS).overall == statistics(rows)["accuracy"].whole()
    whole = (tmp_path / "scored-val.parquet").read_bytes()
    (tmp_path / "scored-val.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SaccadeError, match="is not whole"):
        read_rows(tmp_path, "val")


def test_plain_means_are_over_the_answers_of_the_split_whatever_was_said():
    from saccade.evaluation.evaluate import of_answers

    single = [q._replace(answers=("a dog",) if q.id % 3 else ("cat",)) for q in QUESTIONS]
    said = {q.id: "bird" if q.id == 0 else "cat" for q in single}
    scored = score_answers(said, single, "2021-03", dict.fromkeys(range(12), 0.5))
    scores = of_answers(scored, single, None)
    plain = scores["classification"]["plain"]
    assert plain["labels"] == 2, "a bird is no answer of this split"
    assert plain["recall"] == pytest.approx(plain["balanced_accuracy"])
    assert {"true": "cat", "said": "bird", "questions": 1} in scores["confusion"]
    assert sum(row["questions"] for row in scores["confusion"]) == 12


def test_questions_with_one_answer_are_also_a_classification(tmp_path):
    from saccade.evaluation.evaluate import of_answers

    single = [q._replace(answers=("A dog",) if q.id % 3 else ("cat",)) for q in QUESTIONS]
    scored = score_answers(
        {q.id: "cat" for q in single}, single, "2021-03", dict.fromkeys(range(12), 0.5)
    )
    scores = of_answers(scored, single, None)["classification"]
    assert scores["plain"]["accuracy"] == pytest.approx(4 / 12)
    assert scores["plain"]["recall"] == scores["pitvqa"]["recall"] == pytest.approx(1 / 2)
    assert scores["plain"]["labels"] == 2
    assert scores["plain"]["precision"] == pytest.approx(4 / 12 / 2)
    assert scores["pitvqa"]["precision"] == pytest.approx((4 / 12 + 1) / 2)


def test_the_leaderboards_words_are_cut_by_the_official_tokenizer():
    from saccade.evaluation.evaluate import _cut, _leaderboard

    references = _cut([["A dog's bone.", "The bone"], ["Two cats!"]])
    assert references == [[["a", "dog", "'s", "bone"], ["the", "bone"]], [["two", "cats"]]]
    said = [["a", "dog", "'s", "bone"], ["two", "dogs"]]
    scores = _leaderboard(said, references)
    assert scores["bleu_1"] == pytest.approx(5 / 6)
    assert set(scores) == {"tokens", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"}


def test_the_label_of_the_scorer_says_where_there_is_no_official_rule():
    from types import SimpleNamespace

    from saccade.evaluation.evaluate import _scorer

    def label(*counts):
        asked = [SimpleNamespace(answers=("yes",) * count) for count in counts]
        folder = SimpleNamespace(questions=lambda split: asked)
        recipe = SimpleNamespace(task="vqa")
        return _scorer(SimpleNamespace(recipe=recipe, folder=folder), "val", "2021-03")

    assert label(10, 10) == "GT-Vision-Lab/VQA vqaEval.py, revision 2021-03"
    assert "no official rule" in label(1, 1)
    assert label(10, 1).endswith("single answers: equal after normalisation")


def test_a_run_remembers_whom_it_began_with(made, tmp_path):
    """What an earlier run learnt from can no more be said to be unseen, unless it is known."""
    first = made / "vqa"
    folder = DataFolder(made / "data")
    recipe = change(change(RECIPES[RUNS["vqa"]], "train.batch_size=16"), "train.epochs=1")
    second, third = tmp_path / "second", tmp_path / "third"
    for out, start in ((second, first), (third, second)):
        train(recipe, folder.path, out, name="again", features="cells", start=start, console=QUIET)
    header = json.loads((third / "run.json").read_text())
    earlier = header["initialised_from"]
    assert earlier["run"] == str(second)
    assert earlier["sha256"] == sha256((second / "model.safetensors").read_bytes()).hexdigest()
    assert earlier["initialised_from"]["recipe_name"] == RUNS["vqa"]
    scores = evaluate(third)
    assert scores["initialised_from"] == f"again: {second}, {RUNS['vqa']}: {first}"
    assert (scores["selected_on_this_split"], scores["trained_on_this_split"]) == (True, False)
    earlier["initialised_from"]["fingerprint"] = "other records"
    (third / "run.json").write_text(json.dumps(header))
    scores = evaluate(third)
    assert (scores["selected_on_this_split"], scores["trained_on_this_split"]) == (True, None)
