"""Settings and features that spoil a run: each is stopped or warned of, by its own name."""

import copy
import json
import shutil
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig, BadRun, BadStore, SaccadeWarning
from saccade.evaluation.summary import summary
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble
from saccade.inference.model import build
from saccade.recipes.catalogue import RECIPES
from saccade.training.probes import probe, setting_findings
from saccade.training.train import train
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

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("images", [[3], [3, 11, 20, 31, 49], [50], [50, 55]])
    @pytest.mark.parametrize("name", [VQA, CAPTIONS])
    def test_numbers_that_are_none_are_found_in_their_images(
        self, world, tmp_path, name, images, value
    ):
        """In training and in validation images (from 50); an image's id is seven times its row."""
        folder = self.spoilt(world, tmp_path, images, value)
        with pytest.raises(BadStore) as refused:
            run(folder, tmp_path / "run", name, "train.batch_size=100")
        assert refused.value.location.endswith("cells/features.npy")
        assert f" {', '.join(str(7 * row) for row in images)} hold" in refused.value.message
        assert "kept" not in refused.value.hint, "nothing was saved yet"

    def test_numbers_too_large_to_reckon_with(self, world, tmp_path):
        folder = self.spoilt(world, tmp_path, [3], 6e4)
        file = folder.store_path("cells") / "features.npy"
        header = folder.store_path("cells") / "header.json"
        header.write_text(header.read_text().replace('"float16"', '"float32"'))
        features = np.load(file).astype(np.float32)
        features[3] = 3e38
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
        assert [one["name"] for one in rows[0]["findings"]] == ["learning_rate_too_low"]
        assert rows[-1]["findings"][-1]["name"] == "stopped"
        scores = saccade.evaluate(tmp_path / "run", split="val", device="cpu")
        too_low, *_, stopped = scores["training_findings"]
        assert "1e-12" in too_low
        assert refused.value.message in stopped
        assert any(line.startswith("While it trained") for line in summary(scores))
        with pytest.warns(SaccadeWarning) as notes:
            saccade.load(tmp_path / "run", "cpu")
        assert [str(note.message).split(": ", 1)[1] for note in notes] == scores[
            "training_findings"
        ]

    def test_no_watchdog_judges_nothing(self, world, tmp_path):
        changes = "train.epochs=11", f"{RATE}=100"
        printed, found = run(world, tmp_path / "run", VQA, *changes, watch=False)
        assert found == []
        assert "warning" not in printed


SCHEDULES = {
    "plateau": (
        ["train.schedule.kind=reduce_on_plateau", "train.schedule.patience=100"],
        "schedule_without_effect",
    ),
    "warmup": (
        ["train.schedule.kind=inverse_sqrt", "train.schedule.warmup_steps=10000000"],
        "warmup_too_long",
    ),
    "half-life": (["train.schedule.half_life=1"], "schedule_dead"),
    "milestones": (
        ["train.schedule.kind=multistep", "train.schedule.milestones=[90]"],
        "schedule_without_effect",
    ),
    "workers": (["train.workers=512"], "too_many_workers"),
    "sgd": (["train.optimiser.kind=adamw", f"{RATE}=1e-12"], "learning_rate_too_low"),
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


def test_a_model_larger_than_the_memory_is_refused_before_it_is_made(world, tmp_path, monkeypatch):
    monkeypatch.setattr("saccade.training.probes.free_memory", lambda _: 2**30)
    with pytest.raises(BadRun, match="memory") as refused:
        run(world, tmp_path / "run", VQA, "model.hidden=4000000")
    assert "4000000" in refused.value.hint
    assert not (tmp_path / "run").exists()


class TestProbe:
    @staticmethod
    def found(folder, name=VQA, *changes):
        recipe = change(RECIPES[f"{name}-small"], "train.batch_size=10", *changes)
        experiment = assemble(recipe, folder)
        examples = TASKS[recipe.task].examples(experiment, "train")
        model = build(experiment.recipe, experiment.sizes, experiment.store.header.preprocessing)
        before = torch.get_rng_state(), copy.deepcopy(model.state_dict())
        found = probe(model, examples, recipe, recipe.train, seconds=60)
        assert torch.equal(before[0], torch.get_rng_state())
        assert all(torch.equal(value, before[1][key]) for key, value in model.state_dict().items())
        return {one.name: one for one in found}

    @pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("-small")])
    def test_a_healthy_model_gives_no_finding(self, world, name):
        torch.manual_seed(0)
        assert self.found(world, name.removesuffix("-small")) == {}

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ([f"{RATE}=2"], "learning_rate_too_high"),
            (["train.optimiser.kind=sgd", f"{RATE}=50"], "learning_rate_too_high"),
            ([f"{RATE}=1e-9"], "learning_rate_too_low"),
            (["train.optimiser.weight_decay=1000"], "weight_decay_too_high"),
        ],
    )
    def test_settings_by_which_nothing_is_learnt(self, world, changes, name):
        assert name in self.found(world, VQA, *changes)

    def test_questions_whose_words_are_all_unknown(self, world):
        found = self.found(world, VQA, "text.min_count=100000")
        assert "question_without_effect" in found
        assert "same to the model" in found["question_without_effect"].message

    def test_features_that_are_all_equal(self, world, tmp_path):
        folder = TestFeatures.spoilt(world, tmp_path, slice(None), 0)
        file = folder.store_path("cells") / "features.npy"
        np.save(file, np.ones_like(np.load(file)))
        found = self.found(folder)
        assert "features of different images are equal" in found["image_without_effect"].message
