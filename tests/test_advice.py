"""`auto-vqa` and `auto-caption`: what is chosen for the data; the image must earn its part."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

import saccade
from saccade.core.errors import BadData
from saccade.core.tasks import TASK_INFO
from saccade.core.tensors import load_tensors
from saccade.data.folder import DataFolder
from saccade.evaluation.scoring import ScoreOptions
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble
from saccade.inference.model import load_model
from saccade.recipes.advice import STEPS, advise
from saccade.run_folder import open_run
from tests.worlds import make_world

QUICK = ["train.epochs=6", "train.steps=24", "train.schedule.warmup_steps=2", "train.batch_size=32"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


@pytest.mark.parametrize("task", TASK_INFO)
def test_the_choices_stand_in_the_recipe_and_fit_the_data(world, task):
    advice = advise(world, task)
    assert advice.name == TASK_INFO[task].automatic_recipe
    assert advice.recipe.task == task
    assert all(one.reason for one in advice.settings)
    chosen = {one.field: one.value for one in advice.settings}
    train, schedule = advice.recipe.train, advice.recipe.train.schedule
    assert int(chosen["train.steps"]) == train.steps
    assert schedule.warmup_steps < train.steps
    count = {"vqa": world.questions, "caption": world.captions}[task]("train")
    assert train.epochs * -(-len(count) // train.batch_size) >= train.steps
    if task == "vqa":
        assert STEPS[0] <= train.steps <= STEPS[1]


def test_targets_follow_the_number_of_people(world):
    several = Counter(len(question.answers) for question in world.questions("train"))
    assert advise(world, "vqa").recipe.answers.target == ("shares" if max(several) > 1 else "best")


def test_a_folder_without_training_records_is_refused(world, tmp_path):
    about = json.loads((world.path / "dataset.json").read_text())
    about["splits"]["train"] = dict.fromkeys(about["splits"]["train"], 0)
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(BadData, match="training"):
        advise(DataFolder(tmp_path), "vqa")


def test_a_run_has_the_chosen_recipe_and_goes_on_with_it(world, tmp_path):
    out = tmp_path / "run"
    saccade.train("auto-vqa", world.path, out, changes=QUICK, device="cpu")
    header = open_run(out).header
    assert header.recipe_name == "auto-vqa"
    chosen = advise(world, "vqa").recipe
    assert header.recipe.answers == chosen.answers
    assert header.recipe.train.steps == 24
    saccade.train("auto-vqa", world.path, out, resume=True, changes=QUICK, device="cpu")


@pytest.mark.parametrize("says_nothing", [True, False])
def test_the_image_must_earn_its_part(world, tmp_path, says_nothing):
    """Every epoch is the better of both ways, and the weights that are kept say which it was."""
    if says_nothing:
        world = make_world(tmp_path / "data")
        np.load(world.store_path("cells") / "features.npy", mmap_mode="r+")[:] = 1
    out = tmp_path / "run"
    long = [*QUICK, "train.epochs=25", "train.steps=75", "train.optimiser.learning_rate=0.01"]
    given = {"changes": QUICK, "allow": ["constant-features", "repeated-features"]}
    saccade.train("auto-vqa", world.path, out, **(given if says_nothing else {"changes": long}))
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(row["score"] >= row["score_without_image"] for row in rows)
    kept, metadata = load_tensors(out / "model.safetensors")
    best = rows[int(metadata["epoch"]) - 1]
    looks = best["score"] > best["score_without_image"]
    assert kept["image_share"] == float(looks)
    if says_nothing:
        return
    run, options = open_run(out), ScoreOptions(("accuracy",), prior=True)
    model, given = load_model(run), (assemble(run.header.recipe, world), "val", torch.device("cpu"))
    model.image_share.fill_(1)
    both = TASKS["vqa"].score_model(model, *given, options)
    model.image_share.fill_(0)
    blind = TASKS["vqa"].score_model(model, *given, options)
    assert both.prior.rows == blind.rows, "one pass tells what two would"
    assert both.prior.scores == blind.scores
    assert both.scores["accuracy"] == pytest.approx(best["score"])
    assert both.prior.scores["accuracy"] == pytest.approx(best["score_without_image"])
    assert looks is not says_nothing
