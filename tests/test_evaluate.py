"""What stands in scores.json: every metric, baselines, intervals, labels, and the rows."""

import json
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from saccade.config import change
from saccade.core.errors import SaccadeError
from saccade.data.folder import DataFolder
from saccade.data.records import Question
from saccade.evaluation import vqa
from saccade.evaluation.baselines import Baseline, visual_gain
from saccade.evaluation.evaluate import evaluate
from saccade.evaluation.scoring import (
    ptb_references,
    read_rows,
    score_answers,
    score_captions,
    statistics,
    write_rows,
)
from saccade.metrics.catalogue import BESIDE, METRICS, Metric, metrics_of
from saccade.metrics.intervals import compare
from saccade.metrics.vqa import accuracy
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
    root = tmp_path_factory.mktemp("scored")
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
            for other, baseline in run_baselines.items()
            if other != "nearest_neighbour"
        ]
        assert max(blind) < scores[name]
        low, high = scores["interval"][name]
        assert low <= scores[name] <= high
    assert scores["verdict"]["image_use"] == scores["verdict"]["better_than_baseline"] == "yes"


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
    assert set(found) in (
        {"accuracy"},
        {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"},
    )
    assert set(scores["interval"]) == set(found)
    assert all(0 <= confidence <= 1 for confidence in rows["confidence"])
    assert compare(found[next(iter(found))], found[next(iter(found))]).p_permutation == 1
    with pytest.raises(SaccadeError, match="was not scored on the test split"):
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
    assert 0 <= scores["expected_calibration_error"] <= 1
    assert 0 <= scores["area_under_risk_coverage"] <= 1
    assert calibration["risk"][-1] == pytest.approx(1 - scores["accuracy"] / 100)
    assert "WordNet" in scores["wups_0_9"]["not_measured"]
    assert "not_measured" in scores["macro_f1"], "ten people are no label"
    assert "confusion" not in scores


def test_wups_with_a_wordnet(made, tmp_path):
    scores = evaluate(made / "vqa", wordnet=tiny_wordnet.write(tmp_path / "wordnet"))
    assert scores["wups_0_9"] <= scores["wups_0_0"] <= 100
    rows = read_rows(made / "vqa", "val")
    assert 100 * np.mean(rows["wups_0_9"]) == pytest.approx(scores["wups_0_9"])
    low, high = scores["interval"]["wups_0_0"]
    assert low <= scores["wups_0_0"] <= high


def test_captions_are_also_scored_by_how_varied_they_are(made):
    scores = evaluate(made / "caption")
    assert set(scores["diversity_of_people"]) <= METRICS.keys() & scores.keys()
    assert 0 < scores["vocabulary_used"] <= 1
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


def test_a_gain_and_its_interval_are_in_points():
    same = score_answers({q.id: "cat" for q in QUESTIONS}, QUESTIONS)
    gain = visual_gain("vqa", same, Baseline(same, {}))
    assert gain["visual_gain"] == {"accuracy": 0}
    assert gain["visual_gain_interval"] == {"accuracy": [0, 0]}


def test_rows_survive_the_disk_and_broken_files_are_named(tmp_path):
    scored = score_answers({q.id: "cat" for q in QUESTIONS}, QUESTIONS, confidence={0: 0.25})
    write_rows(tmp_path, "val", scored.rows)
    rows = read_rows(tmp_path, "val")
    assert rows["confidence"][0] == 0.25
    assert np.isnan(rows["confidence"][1])
    assert {name: of for name, of in rows.items() if name != "confidence"} == {
        name: of for name, of in scored.rows.items() if name != "confidence"
    }
    assert accuracy(rows["answer"], QUESTIONS).value == statistics(rows)["accuracy"].whole()
    whole = (tmp_path / "scored-val.parquet").read_bytes()
    (tmp_path / "scored-val.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SaccadeError, match="is not whole"):
        read_rows(tmp_path, "val")


def test_plain_means_are_over_the_answers_of_the_split_whatever_was_predicted():
    single = [q._replace(answers=("a dog",) if q.id % 3 else ("cat",)) for q in QUESTIONS]
    predictions = {q.id: "bird" if q.id == 0 else "cat" for q in single}
    scored = score_answers(predictions, single)
    assert scored.scores["macro_recall"] == pytest.approx(scored.scores["balanced_accuracy"])
    folder = SimpleNamespace(questions=lambda split: single)
    scored.rows["confidence"][:] = [0.5] * 12
    confusion = vqa.details(scored, folder, "val")["confusion"]
    assert {"ground_truth": "cat", "prediction": "bird", "questions": 1} in confusion
    assert sum(row["questions"] for row in confusion) == 12


def test_questions_with_one_answer_are_also_a_classification():
    single = [q._replace(answers=("A dog",) if q.id % 3 else ("cat",)) for q in QUESTIONS]
    scores = score_answers({q.id: "cat" for q in single}, single).scores
    assert scores["accuracy"] == pytest.approx(400 / 12)
    assert scores["macro_recall"] == scores["macro_recall_pitvqa"] == pytest.approx(1 / 2)
    assert scores["macro_precision"] == pytest.approx(4 / 12 / 2)
    assert scores["macro_precision_pitvqa"] == pytest.approx((4 / 12 + 1) / 2)


def test_the_leaderboards_words_are_cut_by_the_official_tokenizer():
    raw = {1: ["A dog's bone.", "The bone"], 2: ["Two cats!"]}
    cut = ptb_references(list(raw.values()))
    assert cut == [[["a", "dog", "'s", "bone"], ["the", "bone"]], [["two", "cats"]]]
    predictions = {1: ("a", "dog", "'s", "bone"), 2: ("two", "dogs")}
    references = {1: [("a", "dogs", "bone")], 2: [("two", "cats")]}
    scores = score_captions(predictions, references, training=[("a",)], raw=raw).scores
    leaderboard = scores["leaderboard"]
    assert leaderboard["bleu_1"] == pytest.approx(5 / 6)
    assert set(leaderboard) == {
        "tokens",
        "bleu_1",
        "bleu_2",
        "bleu_3",
        "bleu_4",
        "rouge_l",
        "cider",
    }


def test_the_label_of_the_scorer_says_where_there_is_no_official_rule():
    def label(*counts):
        asked = [SimpleNamespace(answers=("yes",) * count) for count in counts]
        return vqa.scorer(SimpleNamespace(questions=lambda split: asked), "val", "2021-03")

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


# --- The table of metrics -------------------------------------------------------------------------


def test_every_metric_of_the_task_is_in_the_scores(scores):
    """Or why it could not be measured; a person reads each with its title and unit. What this
    data has nothing of is no score."""
    names = set(metrics_of(scores["task"]))
    names -= {name for name in names if BESIDE.intersection(METRICS[name].needs)}
    names -= {name for name in names if "yes_no" in METRICS[name].compute}
    assert names <= scores.keys()
    missing = {name for name in names if isinstance(scores[name], dict)}
    assert all(scores[name]["not_measured"] for name in missing)
    outside = {name for name in names if {"java", "wordnet"} & {*METRICS[name].needs}}
    classes = {name for name in names if "classification" in METRICS[name].compute}
    assert missing == outside | classes
    for name in names - missing:
        assert (
            METRICS[name]
            .shown(scores[name])
            .startswith(f"{scores[name] * METRICS[name].scale:.{METRICS[name].digits}f}")
        )


@pytest.fixture
def house(monkeypatch, tmp_path):
    """A metric by one file and one line for each task, and two that are broken."""
    (tmp_path / "new_metric.py").write_text(
        "from saccade.metrics.catalogue import Result\n\n"
        "def letters(predictions, references):\n"
        "    assert len(predictions) == len(references)\n"
        "    counts = [float(len(''.join(words))) for words in predictions]\n"
        "    return Result(sum(counts) / len(counts), counts)\n\n"
        "def broken(predictions, references):\n"
        "    raise RuntimeError('no such thing')\n\n"
        "def short(predictions, references):\n"
        "    return Result(1.0, [1.0])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for task in RUNS:
        for name in ("letters", "broken", "short"):
            line = Metric(name, task, f"new_metric:{name}", 1.0, "letters", 2, "high", "this test")
            monkeypatch.setitem(METRICS._lines, f"{name}_{task}", line)


@pytest.mark.parametrize("task", list(RUNS))
def test_a_new_metric_is_computed_kept_and_chooses_the_best_epoch(made, tmp_path, house, task):
    name, folder = f"letters_{task}", DataFolder(made / "data")
    changes = ("train.epochs=3", f"train.select_by={name}")
    run = make_run(folder, tmp_path / "run", task, *changes)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {row["metric"] for row in log} == {name}
    best = max(log, key=lambda row: row["score"])
    scores = evaluate(run)
    assert scores["epoch"] == best["epoch"]
    rows = read_rows(run, "val")
    assert scores[name] == pytest.approx(np.mean(rows[name]))
    assert statistics(rows)[name].whole() == pytest.approx(scores[name])
    low, high = scores["interval"][name]
    assert low <= scores[name] <= high
    assert "no such thing" in scores[f"broken_{task}"]["not_measured"]
    assert "new_metric:short" in scores[f"short_{task}"]["not_measured"]
    with pytest.raises(SaccadeError, match="no such thing"):
        make_run(folder, tmp_path / "broken", task, f"train.select_by=broken_{task}")


def test_training_computes_no_more_than_it_selects_by(made, tmp_path):
    changes = ("train.epochs=1", "train.select_by=cider")
    run = make_run(DataFolder(made / "data"), tmp_path / "run", "caption", *changes)
    (row,) = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert METRICS.keys() & row["scores"].keys() == {"cider", "bleu_4"}


def test_a_metric_that_the_data_cannot_be_scored_by_is_refused_before_training(made, tmp_path):
    with pytest.raises(SaccadeError, match=r"macro_f1.*one human answer"):
        make_run(DataFolder(made / "data"), tmp_path / "run", "vqa", "train.select_by=macro_f1")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["meteor", "distinct_1", "area_under_risk_coverage", "nothing"])
def test_what_cannot_choose_the_best_epoch_is_refused(name):
    for recipe in RUNS.values():
        with pytest.raises(SaccadeError, match="select_by"):
            change(RECIPES[recipe], f"train.select_by={name}")
