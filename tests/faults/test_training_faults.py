"""Settings and features that spoil a run: each is stopped or warned of, by its own name."""

import copy
import json
import shutil
from io import StringIO
from itertools import count
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig, BadRun, BadStore, SaccadeWarning
from saccade.core.tensors import load_tensors
from saccade.evaluation.scoring import score_answers
from saccade.evaluation.summary import summary
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble
from saccade.inference.model import build
from saccade.recipes.advice import load_recipe_for
from saccade.recipes.catalogue import RECIPES
from saccade.training import probes
from saccade.training.probes import probe, setting_findings
from saccade.training.train import train
from saccade.training.watchdog import Prior, Watchdog, against_prior
from tests.worlds import make_world, write_pixels

VQA, CAPTIONS = "show-ask-attend-answer", "show-attend-tell"
RATE = "train.optimiser.learning_rate"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Of 100 training questions and captions."""
    folder = make_world(tmp_path_factory.mktemp("world") / "data", train=50, val=12)
    write_pixels(folder)
    return folder


def run(folder, out, name=VQA, *changes, **options):
    """Train; returns what was printed and the names of the findings in the log."""
    recipe = RECIPES[f"{name}-small"]
    for one in ("train.batch_size=10", "train.epochs=3", *changes):
        recipe = change(recipe, one)
    console = Console(file=StringIO(), width=400)
    train(recipe, folder.path, out, device="cpu", console=console, **options)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return console.file.getvalue(), [one["name"] for row in log for one in row["findings"]]


class TestFeatures:
    @staticmethod
    def spoilt(world, tmp_path, images, value):
        """A copy of the data in which one number of some images' features is another."""
        shutil.copytree(world.path, tmp_path / "data")
        folder = type(world)(tmp_path / "data")
        file = folder.store_path("cells") / "features.npy"
        features = np.load(file)
        features[images, 2, 3] = value
        np.save(file, features)
        return folder

    KNOWN = ("nan-features", "infinite-features")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("images", [[3], [3, 11, 20, 31, 49], [50], [50, 55]])
    @pytest.mark.parametrize("name", [VQA, CAPTIONS])
    def test_numbers_that_are_none_are_found_in_their_images(
        self, world, tmp_path, name, images, value
    ):
        """In training and in validation images (from 50); an image's id is seven times its row.

        Who allows what `check` found (see `test_feature_faults`) is told while training.
        """
        folder = self.spoilt(world, tmp_path, images, value)
        with pytest.raises(BadStore) as refused:
            run(folder, tmp_path / "run", name, "train.batch_size=100", allow=self.KNOWN)
        assert refused.value.location.endswith("cells/features.npy")
        assert f" {', '.join(str(7 * row) for row in images)} hold" in refused.value.message
        assert "kept" not in refused.value.hint, "nothing was saved yet"

    def test_numbers_too_large_to_reckon_with(self, world, tmp_path):
        folder = self.spoilt(world, tmp_path, [3], 6e4)
        file = folder.store_path("cells") / "features.npy"
        header = folder.store_path("cells") / "header.json"
        header.write_text(header.read_text().replace('"float16"', '"float32"'))
        features = np.load(file).astype(np.float32)
        features[3] = np.sign(features[3]) * 3e38
        np.save(file, features)
        with pytest.raises(BadStore, match="3e"):
            run(folder, tmp_path / "run")


class TestRate:
    @pytest.mark.parametrize("name", [VQA, CAPTIONS])
    def test_one_that_makes_the_loss_nan(self, world, tmp_path, name):
        with pytest.raises(BadRun) as refused:
            run(world, tmp_path / "run", name, "train.clip_value=none", f"{RATE}=1e30")
        assert refused.value.location == RATE
        assert f"--set {RATE}=0.001" in refused.value.hint
        assert "kept" not in refused.value.hint, "nothing was saved yet"

    @pytest.mark.parametrize(
        "changes", [[f"{RATE}=100"], ["train.optimiser.kind=sgd", f"{RATE}=50"]]
    )
    def test_one_that_makes_the_loss_huge(self, world, tmp_path, changes):
        with pytest.raises(BadRun, match="diverged") as refused:
            run(world, tmp_path / "run", VQA, "train.epochs=20", *changes)
        assert refused.value.location == RATE
        assert "--no-watchdog" in refused.value.hint

    def test_one_that_is_infinite_is_refused(self):
        for value in ("Infinity", "inf", "nan"):
            with pytest.raises(BadConfig, match="learning_rate"):
                change(RECIPES[f"{VQA}-small"], f"{RATE}={value}")

    def test_one_that_moves_no_weight(self, world, tmp_path):
        with pytest.raises(BadRun, match="stands still") as refused:
            run(world, tmp_path / "run", VQA, "train.epochs=30", f"{RATE}=1e-12")
        assert refused.value.location == RATE
        rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
        assert [one["name"] for one in rows[0]["findings"]] == ["learning-rate-too-low"]
        assert rows[-1]["findings"][-1]["name"] == "stopped"
        scores = saccade.evaluate(tmp_path / "run", split="val", device="cpu")
        too_low, *_, stopped = scores["training_findings"]
        assert "1e-12" in too_low
        assert refused.value.message in stopped
        assert any(line.startswith("While it trained") for line in summary(scores))
        with pytest.warns(SaccadeWarning) as notes:
            saccade.load(tmp_path / "run", "cpu")
        assert [str(note.message).split(", ", 1)[1] for note in notes] == scores[
            "training_findings"
        ]

    def test_no_watchdog_judges_nothing(self, world, tmp_path):
        changes = "train.epochs=11", f"{RATE}=100"
        printed, found = run(world, tmp_path / "run", VQA, *changes, watchdog=False)
        assert found == []
        assert "warning:" not in printed, "`check` warns in other words"
        assert "error" not in printed


SCHEDULES = {
    "plateau": (
        ["train.schedule.kind=reduce_on_plateau", "train.schedule.patience=100"],
        "schedule-without-effect",
    ),
    "warmup": (
        ["train.schedule.kind=inverse_sqrt", "train.schedule.warmup_steps=10000000"],
        "warmup-too-long",
    ),
    "half-life": (["train.schedule.half_life=1"], "schedule-dead"),
    "milestones": (
        ["train.schedule.kind=multistep", "train.schedule.milestones=[90]"],
        "schedule-without-effect",
    ),
    "workers": (["train.workers=512"], "too-many-workers"),
    "sgd": (["train.optimiser.kind=adamw", f"{RATE}=1e-12"], "learning-rate-too-low"),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_settings_without_effect_are_told_by_arithmetic(case):
    changes, name = SCHEDULES[case]
    recipe = change(RECIPES[f"{VQA}-small"], "train.epochs=3", *changes)
    assert [one.name for one in setting_findings(recipe.train, 2000)] == [name]


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.endswith("-small")])
def test_no_published_schedule_is_doubted(name):
    assert list(setting_findings(RECIPES[name].train, 400_000)) == []


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("-small")])
def test_no_small_schedule_is_doubted_on_shapes(name):
    assert list(setting_findings(RECIPES[name].train, 2000)) == []


class TestProbe:
    @staticmethod
    def found(folder, name=f"{VQA}-small", *changes, seconds=3600):
        recipe = load_recipe_for(folder, name, ["train.batch_size=10", *changes])
        experiment = assemble(recipe, folder)
        examples = TASKS[recipe.task].examples(experiment, "train")
        torch.manual_seed(0)
        model = build(experiment.recipe, experiment.sizes, experiment.store.header.preprocessing)
        before = torch.get_rng_state(), copy.deepcopy(model.state_dict())
        found = probe(model, examples, recipe, recipe.train, seconds=seconds)
        assert torch.equal(before[0], torch.get_rng_state())
        assert all(torch.equal(value, before[1][key]) for key, value in model.state_dict().items())
        return {one.name: one for one in found if one.level != "note"}

    @pytest.mark.parametrize(
        "name", ["auto-vqa", "auto-caption", *(name for name in RECIPES if name.endswith("-small"))]
    )
    def test_a_healthy_model_gives_no_finding(self, world, name):
        """The outputs of `auto-vqa` begin at zero: before the first step no image has an effect."""
        assert self.found(world, name) == {}

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ([f"{RATE}=2"], "learning-rate-too-high"),
            (["train.optimiser.kind=sgd", f"{RATE}=50"], "learning-rate-too-high"),
            ([f"{RATE}=1e-9"], "learning-rate-too-low"),
            (["train.optimiser.weight_decay=1000"], "weight-decay-too-high"),
        ],
    )
    def test_settings_by_which_nothing_is_learnt(self, world, changes, name):
        assert name in self.found(world, f"{VQA}-small", *changes)

    @pytest.mark.parametrize(
        ("rate", "names"), [("1e-4", set()), ("1e-5", {"learning-rate-too-low"})]
    )
    def test_a_trial_that_the_clock_ends_is_judged_by_its_steps(
        self, world, monkeypatch, rate, names
    ):
        """After 39 of 100 steps the loss has to be on its way, not at its aim."""
        monkeypatch.setattr(probes, "time", SimpleNamespace(monotonic=count().__next__))
        changes = f"{RATE}={rate}", "train.epochs=40"
        assert self.found(world, f"{VQA}-small", *changes, seconds=40).keys() == names

    def test_questions_whose_words_are_all_unknown(self, world):
        found = self.found(world, f"{VQA}-small", "text.min_count=100000")
        assert "question-without-effect" in found
        assert "same one to the model" in found["question-without-effect"].message

    def test_features_that_are_all_equal(self, world, tmp_path):
        folder = TestFeatures.spoilt(world, tmp_path, slice(None), 0)
        file = folder.store_path("cells") / "features.npy"
        np.save(file, np.ones_like(np.load(file)))
        found = self.found(folder)
        assert "features of different images are equal" in found["image-without-effect"].message

    @pytest.mark.parametrize(
        ("changes", "levels", "strict"),
        [
            ([], {"model-tried": "note"}, True),
            (["train.workers=512"], {"too-many-workers": "error", "model-tried": "note"}, True),
            (["text.min_count=100000", "model.dropout=0.3"], {"model-not-tried": "note"}, False),
        ],
    )
    def test_check_tries_the_model_of_a_recipe(self, world, changes, levels, strict):
        """With evidence, and within the rules for errors; not where training would be refused."""
        random = torch.get_rng_state()
        given = {"changes": changes, "strict": strict}
        found = saccade.check(world.path, f"{VQA}-small", probe=True, **given)
        plain = saccade.check(world.path, f"{VQA}-small", **given)
        assert {one.name: one.level for one in found if one not in plain} == levels
        for one in found:
            if one.name == "model-tried":
                assert one.numbers["last_loss"] < one.numbers["first_loss"]
        assert torch.equal(torch.get_rng_state(), random)

    def test_self_critical_training_is_not_tried_without_its_first_run(self, world):
        given = ["train.self_critical=on", "train.batch_size=16"]
        found = saccade.check(world.path, "up-down-small", changes=given, probe=True)
        assert "model-not-tried" in {one.name for one in found}

    def test_no_recipe_says_which_model(self, world):
        with pytest.raises(BadConfig) as refused:
            saccade.check(world.path, probe=True)
        assert refused.value.location == "probe"


def test_being_watched_changes_no_weight(world, tmp_path, monkeypatch):
    """The probe runs on a copy, and random numbers are as they were."""
    monkeypatch.setattr("saccade.training.probes.SHARE", 1000)  # however short the run is
    tried = []
    whole = probes.probe
    monkeypatch.setattr(
        "saccade.training.probes.probe", lambda *a, **b: tried.append(1) or whole(*a, **b)
    )
    changes = "train.batch_size=4", "train.epochs=4", "model.dropout=0.3"
    for name in ("watched", "alone"):
        _, found = run(world, tmp_path / name, VQA, *changes, watchdog=name == "watched")
        assert found == []
    assert len(tried) == 1
    kept, alone = (
        load_tensors(tmp_path / name / "last/state.safetensors")[0] for name in ("watched", "alone")
    )
    assert all(torch.equal(value, alone[key]) for key, value in kept.items())


class TestPredictions:
    """Judgement of a validation split, by hand-made answers to it."""

    @staticmethod
    def after(folder, answer, *, epoch=3, step=1000, losses=(3.0, 2.0, 1.0), is_last=False, **row):
        """The findings of an epoch, and why the run was given up."""
        questions = folder.questions("val")
        given = {one.id: answer(one) for one in questions}
        scored = score_answers(given, questions)
        train = {"train_metric": "top-1", "train_score": 50.0}
        base = {"scores": scored.scores, "waiting": 0.0, "seconds": 1.0, **train, **row}
        rows = [{**base, "loss": loss, "epoch": epoch, "step": step} for loss in losses]
        watchdog = Watchdog(RECIPES[VQA].train.replace(epochs=20), 4.0)
        watchdog.epoch(rows, scored, folder, is_last=is_last)
        return [one["name"] for one in watchdog.take()], watchdog.lost

    def test_right_answers_give_none(self, world):
        assert self.after(world, lambda one: one.best_answer) == ([], None)

    def test_one_answer_for_all(self, world):
        found, lost = self.after(world, lambda one: "cat")
        assert found == ["one-prediction", "not-better-than-prior"]
        assert lost is None, "the loss falls"
        _, lost = self.after(world, lambda one: "cat", losses=(3.0, 2.99, 3.0))
        assert isinstance(lost, BadRun)
        assert "cat" in lost.message

    @pytest.mark.parametrize("young", [{"epoch": 2}, {"step": 999}])
    def test_a_young_run_is_not_judged(self, world, young):
        flat = (3.0, 2.99, 3.0)
        assert self.after(world, lambda one: "cat", losses=flat, **young) == ([], None)
        found, lost = self.after(world, lambda one: "cat", losses=flat, **young, is_last=True)
        assert "one-prediction" in found, "at its end it is"
        assert lost is None

    def test_the_answers_of_the_best_baseline(self, world):
        """It answers each question as most often in training: half of these are right."""
        found, _ = self.after(world, lambda one: "no" if "Is it" in one.text else "cow")
        assert found == ["not-better-than-prior"]

    def test_training_examples_that_are_learnt_by_heart(self, world):
        told = []
        rows = [{"scores": {"accuracy": 30.0}, "train_metric": "top-1", "train_score": 99.0}]
        for score in (99.0, 40.0):
            rows[-1]["train_score"] = score
            (one,) = against_prior(rows, Prior("no image", 31.0, False))
            told.append(one.hint)
        assert "dropout" in told[0]
        assert "longer" in told[1]

    def test_a_loss_that_is_the_same_in_all_epochs(self, world):
        _, lost = self.after(world, lambda one: one.best_answer, losses=[3.97871, 3.97869, 3.9787])
        assert isinstance(lost, BadRun)
        assert lost.location == RATE

    def test_waiting_for_features(self, world):
        found, _ = self.after(world, lambda one: one.best_answer, waiting=0.7, seconds=100.0)
        assert found == ["waiting-for-data"]

    def test_a_split_that_needs_no_image(self, tmp_path):
        """All but one in 24 answers are the same."""
        folder = make_world(tmp_path / "data", train=48, val=24)
        table = folder.path / "questions.parquet"
        rows = pq.read_table(table)
        for name, value in (("answers", ["yes"]), ("best_answer", "yes")):
            column = pa.array([value] * len(rows), rows.schema.field(name).type)
            rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
        pq.write_table(rows, table)
        folder = type(folder)(folder.path)
        assert "too-easy" in self.after(folder, lambda one: "yes")[0]


def test_a_gradient_that_explodes_is_told_once():
    told = []
    watchdog = Watchdog(RECIPES[VQA].train, 4.0, told.append)
    model = torch.nn.Linear(1, 1, bias=False)
    for step, norm in enumerate([1.0] * 10 + [10.0, 900.0, 2000.0, 3000.0]):
        model.weight.grad = torch.tensor([[norm]])
        watchdog.gradient(model, 10 * step)
        watchdog.loss(3.0 - 0.1 * step, 10 * step)
    assert [one["name"] for one in watchdog.take()] == ["exploding-gradient"]
    assert len(told) == 1
    assert "2e+03" in told[0]
