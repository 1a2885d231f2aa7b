"""Which epoch is kept: by any score of the task, of the epoch alone or smoothed."""

import json
from collections import defaultdict
from dataclasses import asdict
from itertools import combinations, cycle

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from rich.console import Console
from sklearn.metrics import precision_recall_fscore_support

from saccade.config import change
from saccade.core.run_files import selection_score
from saccade.core.tensors import kept_epoch
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Collection, Question
from saccade.evaluation.scoring import ScoredExamples, score_interval
from saccade.evaluation.tasks import TASKS
from saccade.metrics.catalogue import METRICS
from saccade.recipes.catalogue import RECIPES
from saccade.training.loop import Progress, TrainingLoop
from saccade.training.saving import saved_state
from saccade.training.train import train
from saccade.training.validation import smoothed
from tests.worlds import make_world, write_store

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def yes_or_no(labels, tmp_path_factory):
    """The same world, whose answers are yes or no."""
    questions = [
        Question(q.id, q.image_id, q.text, q.split, (answer,), answer, "yes/no", "x")
        for split in ("train", "val")
        for q, answer in zip(labels.questions(split), cycle(("yes", "no")), strict=False)
    ]
    out = tmp_path_factory.mktemp("yes") / "data"
    write_folder(out, Collection("tiny", str(out), labels.images(), questions))
    return DataFolder(out)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A world whose questions have one answer each, of a model's answers the only choice; those of
    a split belong together, in each way that questions can."""
    whole = make_world(tmp_path_factory.mktemp("world") / "data")
    questions = [
        Question(q.id, q.image_id, q.text, q.split, (q.best_answer,), q.best_answer, "other", "x")
        for split in ("train", "val")
        for q in whole.questions(split)
    ]
    out = tmp_path_factory.mktemp("labels") / "data"
    offered = {q.id: ("no answer of a list", q.best_answer) for q in questions}
    both_of = [(one.id, other.id) for one, other in combinations(questions, 2)]
    together = dict.fromkeys(("pairs", "rephrasings", "entailments"), both_of)
    found = Collection("tiny", str(out), whole.images(), questions, choices=offered, **together)
    write_folder(out, found)
    write_store(DataFolder(out))
    return DataFolder(out)


def test_counts_of_answers_survive_a_save_in_the_middle_of_an_epoch():
    progress = Progress(answered={3: [1, 2, 4], 0: [0, 1, 0]})
    saved = json.loads(json.dumps(asdict(progress)))
    assert TypeAdapter(Progress).validate_python(saved) == progress


def ibowimg(*changes):
    return change(RECIPES["ibowimg-small"], "train.batch_size=16", *changes)


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def given_scores(monkeypatch, scores):
    """Let epochs have these scores, whatever the model answers."""
    left, score_model = list(scores), TASKS["vqa"].score_model

    def told(*given):
        scored = score_model(*given)
        return scored._replace(scores=scored.scores | {"accuracy": left.pop(0)})

    patched = TASKS["vqa"]._replace(score_model=told)
    monkeypatch.setattr("saccade.training.train.TASKS", {"vqa": patched})


def test_the_mean_weighs_each_epoch_less_than_the_next():
    assert smoothed([7.0], 0.6) == 7
    weights = np.array([0.36, 0.6, 1.0])
    assert smoothed([10, 40, 70], 0.6) == pytest.approx(weights @ [10, 40, 70] / weights.sum())
    for score in (0.1, 33.333333333333336, 1e-9):
        assert len({smoothed([score] * n, 0.7) for n in range(1, 60)}) == 1, "ties stay ties"


SCORES = [10, 30, 52, 31, 34, 36, 37, 37.5]


@pytest.mark.parametrize(("smoothing", "best"), [(0.0, 3), (0.8, 8)])
def test_a_lucky_epoch_is_not_kept_where_scores_are_smoothed(
    labels, tmp_path, monkeypatch, smoothing, best
):
    given_scores(monkeypatch, SCORES)
    recipe = ibowimg(f"train.epochs={len(SCORES)}", f"train.select_smoothing={smoothing}")
    scores = train(recipe, labels.path, tmp_path, console=QUIET, device="cpu")
    assert kept_epoch(tmp_path) == best
    assert scores["accuracy"] == SCORES[best - 1]
    log = log_of(tmp_path)
    assert [row["score"] for row in log] == SCORES
    assert ("smoothed_score" in log[0]) == ("interval" in log[0]) == bool(smoothing)
    if smoothing:
        assert [row["smoothed_score"] for row in log] == pytest.approx(
            [smoothed(SCORES[:n], smoothing) for n in range(1, len(SCORES) + 1)]
        )
        assert all(low <= high for low, high in (row["interval"] for row in log))


def test_ties_are_not_called_best_and_patience_counts_them(labels, tmp_path, monkeypatch, capsys):
    given_scores(monkeypatch, [33.3] * 9)
    recipe = ibowimg("train.epochs=9", "train.select_smoothing=0.7", "train.patience=3")
    console = Console(width=300, force_terminal=False)
    train(recipe, labels.path, tmp_path, console=console, device="cpu")
    told = capsys.readouterr().out
    assert len(log_of(tmp_path)) == 4
    assert told.count("best)") == 1
    assert "smoothed accuracy" in told
    assert kept_epoch(tmp_path) == 1


def test_the_interval_is_that_of_a_mean_over_images():
    random = np.random.default_rng(0)
    images = np.repeat(np.arange(400), 5)
    right = random.random(2000) < 0.4
    rows = {"image_id": images.tolist(), "accuracy": right.astype(float).tolist()}
    low, high = score_interval(ScoredExamples({}, [], rows), "accuracy")
    sums = right.reshape(400, 5).mean(axis=1)
    error = 100 * sums.std(ddof=1) / 20
    middle = 100 * right.mean()
    assert [low, high] == pytest.approx([middle - 1.96 * error, middle + 1.96 * error], abs=0.4)
    assert score_interval(ScoredExamples({}, [], rows), "macro_f1") is None
    one = {"image_id": [3, 3], "accuracy": [1.0, 0.0]}
    assert score_interval(ScoredExamples({}, [], one), "accuracy") is None


@pytest.mark.parametrize(
    "metric", [n for n, m in METRICS.items() if m.task == "vqa" and m.selectable]
)
def test_any_score_of_the_task_can_choose(labels, yes_or_no, metric):
    recipe = change(RECIPES["ibowimg-small"], f"train.select_by={metric}")
    data = yes_or_no if metric.startswith("yes_") else labels
    TASKS["vqa"].check_validation(data, recipe.train.select_by, data.revision)


def test_the_only_choice_of_the_list_is_chosen_whatever_the_model_holds_likelier(labels, tmp_path):
    recipe = ibowimg("train.epochs=1", "train.select_by=multiple_choice_accuracy")
    scores = train(recipe, labels.path, tmp_path, console=QUIET, device="cpu")
    (row,) = log_of(tmp_path)
    assert row["score"] == scores["multiple_choice_accuracy"] == 1
    assert scores["accuracy"] < 100


def test_precision_recall_and_f1_are_logged_for_labels_and_choose(labels, tmp_path, monkeypatch):
    predictions, trained = [], defaultdict(list)
    score_model, step = TASKS["vqa"].score_model, TrainingLoop.step

    def stepped(loop, group, *given):
        """Keep what the model answers to a training batch, in the mode and by the weights of it."""
        (batch,) = group
        with torch.random.fork_rng(), torch.no_grad():
            logits = loop.model(batch.to(loop.fabric.device)).logits
        pairs = zip(batch.answers[:, 0].tolist(), logits.argmax(1).tolist(), strict=True)
        trained[given[-1].epoch].extend(pairs)
        return step(loop, group, *given)

    monkeypatch.setattr(TrainingLoop, "step", stepped)

    def heard(*given):
        scored = score_model(*given)
        predictions.append(scored.rows["answer"])
        return scored

    patched = TASKS["vqa"]._replace(score_model=heard)
    monkeypatch.setattr("saccade.training.train.TASKS", {"vqa": patched})
    recipe = ibowimg("train.epochs=3", "train.select_by=macro_f1")
    train(recipe, labels.path, tmp_path, console=QUIET, device="cpu")
    true = [question.best_answer for question in labels.questions("val")]
    log = log_of(tmp_path)
    for row, pairs in zip(log, trained.values(), strict=True):
        labels_there, answers = zip(*pairs, strict=True)
        expected = precision_recall_fscore_support(
            labels_there, answers, labels=sorted({*labels_there}), average="macro", zero_division=0
        )
        found = [row["train_scores"][f"macro_{name}"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(expected[:3])
    assert saved_state(tmp_path)[0].answered == {}, "each epoch begins anew"
    for row, predicted in zip(log, predictions, strict=True):
        expected = precision_recall_fscore_support(
            true, predicted, labels=sorted(set(true)), average="macro", zero_division=0
        )
        found = [row["scores"][f"macro_{name}"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(expected[:3])
        assert row["metric"] == "macro_f1"
        assert row["score"] == row["scores"]["macro_f1"]
        assert "train_score" in row
    best = max(log_of(tmp_path), key=selection_score)
    assert kept_epoch(tmp_path) == best["epoch"]


def test_questions_of_several_answers_have_no_such_scores(tmp_path):
    world = make_world(tmp_path / "data")
    train(ibowimg("train.epochs=1"), world.path, tmp_path / "run", console=QUIET, device="cpu")
    (row,) = log_of(tmp_path / "run")
    assert "accuracy" in row["scores"]
    assert not any(name.startswith("macro") for name in row["scores"])
