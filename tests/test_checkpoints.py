"""Weights of more epochs than the best: which are kept, and the mean of the last."""

import shutil

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig, BadRun
from saccade.core.run_files import checkpoint_interval
from saccade.core.tensors import load_tensors
from saccade.inference.model import load_model
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import checkpoints, open_run
from saccade.training import progress as screen
from saccade.training.loop import TrainingLoop
from saccade.training.train import train
from tests.worlds import make_world

EPOCHS = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


@pytest.fixture(scope="module")
def kept(world, tmp_path_factory):
    """A run that kept every second epoch, the weights after each epoch, and its estimate."""
    run, weights, costs = tmp_path_factory.mktemp("runs") / "run", [], []
    epoch, estimate = TrainingLoop.epoch, screen.estimate

    def ended(loop, progress):
        yield from epoch(loop, progress)
        state = loop.model.module.state_dict()
        weights.append({name: value.clone() for name, value in state.items()})

    def estimated(loop, epochs_done):
        costs.append(estimate(loop, epochs_done))
        loop.keep_every, every = 0, loop.keep_every
        costs.append(estimate(loop, epochs_done))
        loop.keep_every = every
        return costs[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "epoch", ended)
        patch.setattr("saccade.training.train.estimate", estimated)
        recipe = change(RECIPES["ibowimg-small"], f"train.epochs={EPOCHS}", "train.batch_size=16")
        quiet = Console(quiet=True)
        train(recipe, world.path, run, keep="every 2", console=quiet, device="cpu")
    return run, weights, costs


def test_every_second_epoch_is_kept(kept):
    run, weights, _ = kept
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "epoch-2.safetensors",
        "epoch-4.safetensors",
    ]
    for epoch, path in checkpoints(run).items():
        found, about = load_tensors(path)
        assert about["epoch"] == str(epoch)
        assert found.keys() == weights[epoch - 1].keys()
        assert all(torch.equal(value, weights[epoch - 1][name]) for name, value in found.items())


def test_the_estimate_of_the_disk_counts_them(kept):
    run, _, (with_them, without) = kept
    each = (run / "checkpoints/epoch-2.safetensors").stat().st_size
    assert with_them.disk_bytes - without.disk_bytes == pytest.approx(2 * each, rel=0.1)


def test_the_average_is_the_mean_and_a_run_like_any_other(kept, world, tmp_path):
    run, weights, _ = kept
    assert saccade.average(run, tmp_path / "mean", last=2) == [2, 4]
    found, _ = load_tensors(tmp_path / "mean/model.safetensors")
    for name, value in found.items():
        mean = (weights[1][name].double() + weights[3][name].double()) / 2
        torch.testing.assert_close(value, mean.to(value.dtype), rtol=0, atol=1e-7)
    opened = open_run(tmp_path / "mean")
    load_model(opened)
    assert opened.header.initialised_from.run == str(run.resolve())
    assert opened.header.fingerprint == world.fingerprint


def test_numbers_that_are_no_floats_are_the_last_one_s(kept, tmp_path):
    run = shutil.copytree(kept[0], tmp_path / "run")
    for epoch, path in checkpoints(run).items():
        tensors = {"mean": torch.full((2,), float(epoch)), "batches": torch.tensor(100 * epoch)}
        save_file(tensors, path)
    saccade.average(run, tmp_path / "mean", last=2)
    found, _ = load_tensors(tmp_path / "mean/model.safetensors")
    assert found["mean"].tolist() == [3, 3]
    assert found["batches"] == 400


class TestRefusals:
    @pytest.mark.parametrize(
        ("keep", "every"), [("best", 0), ("all", 1), ("every 1", 1), ("every 25", 25)]
    )
    def test_what_keep_takes(self, keep, every):
        assert checkpoint_interval(keep) == every

    @pytest.mark.parametrize("keep", ["", "none", "5", "every", "every 0", "every -1", "every 2 x"])
    def test_what_keep_does_not_take(self, keep):
        with pytest.raises(BadConfig, match="--keep"):
            checkpoint_interval(keep)

    def test_too_few_checkpoints(self, kept, tmp_path):
        with pytest.raises(BadRun, match="2 checkpoints") as refused:
            saccade.average(kept[0], tmp_path / "mean", last=3)
        assert refused.value.location == str(kept[0] / "checkpoints")
        assert not (tmp_path / "mean").exists()

    def test_a_checkpoint_that_is_broken_or_of_another_model(self, kept, tmp_path):
        run = shutil.copytree(kept[0], tmp_path / "run")
        other = run / "checkpoints/epoch-2.safetensors"
        save_file({"weight": torch.ones(2)}, other)
        with pytest.raises(BadRun, match="another model") as refused:
            saccade.average(run, tmp_path / "mean", last=2)
        assert refused.value.location == str(other)
        other.write_bytes(other.read_bytes()[:20])
        with pytest.raises(BadRun) as refused:
            saccade.average(run, tmp_path / "mean", last=2)
        assert refused.value.location == str(other)
        assert not (tmp_path / "mean").exists()

    def test_the_mean_of_one(self, kept, tmp_path):
        with pytest.raises(BadConfig):
            saccade.average(kept[0], tmp_path / "mean", last=1)
