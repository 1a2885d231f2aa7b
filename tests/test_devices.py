"""Several processes that train one run: what one would compute, exact resumes, one writer."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

import saccade
from saccade.config import Recipe, change
from saccade.core.errors import BadConfig, BadRun
from saccade.core.processes import Processes, find_processes, processes_around
from saccade.core.tensors import load_tensors
from saccade.data.examples import part_of
from saccade.data.folder import DataFolder
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.training.launch import launch
from saccade.training.train import train
from saccade.training.watchdog import Watchdog
from tests.worlds import make_world

QUIET = Console(quiet=True)
CASES = ("show-ask-attend-answer", "show-attend-tell")
EPOCHS, BATCH = 2, 27
"""The last of three batches has 26 of the 80 examples: an odd one, and its halves are equal."""
VQA = "show-ask-attend-answer-small"
CHANGES = ["train.epochs=3", "train.batch_size=27"]


def recipe_of(name: str, *changes: str) -> Recipe:
    recipe = RECIPES[f"{name}-small"]
    for one in (f"train.batch_size={BATCH}", f"train.epochs={EPOCHS}", *changes):
        recipe = change(recipe, one)
    return recipe


def train_and_listen(data: Path, out: Path, rank: int = 0) -> dict:
    """Train each case without dropout, in this process or as one of several; its losses by step."""
    for name in CASES:
        losses: list[float] = []
        judge = Watchdog.loss
        Watchdog.loss = lambda self, loss, step, heard=losses: heard.append(loss)
        try:
            changes = "model.dropout=0", "train.ema=0.9", "train.accumulate=2"
            train(recipe_of(name, *changes), data, out / name, device="cpu", console=QUIET)
        finally:
            Watchdog.loss = judge
        rank = (processes_around() or Processes()).rank
        (out / f"{name}-{rank}.json").write_text(json.dumps(losses))
    return {}


class Killer:
    """A logger of the first process, which ends with its second epoch, and says nothing."""

    def __init__(self, _run: object) -> None: ...

    def log_hyperparams(self, _params: dict) -> None: ...

    def finalize(self, _status: str) -> None: ...

    def log_metrics(self, metrics: dict[str, float], _step: int) -> None:
        if metrics.get("epoch") == 2:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> DataFolder:
    return make_world(tmp_path_factory.mktemp("world") / "data")


def state_of(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "last" / "state.safetensors")[0]


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_compute_what_one_does(world, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    train_and_listen(world.path, one)
    launch(Processes(devices=2), two, train_and_listen, world.path, two)
    for name in CASES:
        alone, *both = (
            json.loads((folder / f"{name}-{rank}.json").read_text())
            for folder, rank in ((one, 0), (two, 0), (two, 1))
        )
        assert both[0] == both[1], "all know the same losses"
        assert both[0] == pytest.approx(alone, rel=1e-6), name
        expected, found = state_of(one / name), state_of(two / name)
        for kind in ("model.", "average."):
            ours, theirs = (
                torch.cat(
                    [state[key].flatten().double() for key in expected if key.startswith(kind)]
                )
                for state in (found, expected)
            )
            assert (ours - theirs).norm() < 1e-5 * theirs.norm()
        assert "random.1.cpu" in found
        for ours, theirs in zip(log_of(two / name), log_of(one / name), strict=True):
            assert ours["train_score"] == pytest.approx(theirs["train_score"], abs=1e-6)
            assert (ours["score"], ours["step"]) == (theirs["score"], theirs["step"])
        assert not list(two.rglob("*.part"))


def test_a_run_whose_process_was_killed_goes_on_exactly(world, tmp_path):
    """With dropout, of which each process draws its own."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    given = {"changes": CHANGES, "device": "cpu", "devices": 2, "watchdog": False}
    saccade.train(VQA, world.path, straight, **given)
    with pytest.raises(BadRun, match="SIGKILL") as told:
        saccade.train(VQA, world.path, killed, **given, loggers=["tests.test_devices:Killer"])
    assert "--resume" in told.value.hint
    assert len(log_of(killed)) == 2
    with pytest.raises(BadRun, match="2 processes") as refused:
        saccade.train(VQA, world.path, killed, changes=CHANGES, resume=True, devices=1)
    assert refused.value.location == str(killed)
    saccade.train(VQA, world.path, killed, **given, resume=True)
    assert not (killed / ".lock").exists()
    expected, found = state_of(straight), state_of(killed)
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert not torch.equal(found["random.cpu"], found["random.1.cpu"])
    assert open_run(killed).header.conditions[0]["processes"] == "2"
    with pytest.raises(BadRun, match="trained by 2"):
        saccade.train(VQA, world.path, killed, changes=CHANGES, resume=True, devices=3)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_parts_of_a_batch_are_the_batch(size):
    rows = torch.arange(5).numpy()
    parts = [part_of(rows, number, size).tolist() for number in range(size)]
    assert [row for part in parts[: len(rows)] for row in part] == rows.tolist()
    assert all(part == [0] for part in parts[len(rows) :]), "a part that counts nothing"
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": 0}, "0 train nothing"),
        ({"devices": 2, "seeds": 2}, "an ensemble"),
        ({"devices": 2, "folds": 3}, "an ensemble"),
        ({"devices": 2, "changes": ["train.batch_size=1"]}, "no example for each"),
        ({"devices": 2, "nodes": 2}, "MASTER_ADDR, MASTER_PORT, NODE_RANK"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(world, tmp_path, options, words):
    with pytest.raises(BadConfig, match=words):
        saccade.train(VQA, world.path, tmp_path / "run", device="cpu", **options)
    assert not (tmp_path / "run").exists()


def test_processes_that_run_already_are_taken(monkeypatch):
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
    for name, value in (torchrun | {"RANK": "5", "LOCAL_RANK": "1"}).items():
        monkeypatch.setenv(name, value)
    expected = Processes(devices=4, nodes=2, rank=5, local_rank=1, running="torchrun")
    assert find_processes(None, None) == find_processes(4, 2) == expected
    with pytest.raises(BadConfig, match="4 processes on each of 2"):
        find_processes(2, None)


def test_processes_of_slurm():
    srun = {"SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "3", "SLURM_PROCID": "5"}
    found = processes_around(srun | {"SLURM_LOCALID": "1"})
    assert found == Processes(devices=2, nodes=3, rank=5, local_rank=1, running="Slurm")
    assert processes_around({"SLURM_NTASKS": "6", "SLURM_PROCID": "0"}) is None, "sbatch, no srun"
    assert processes_around({"SLURM_STEP_NUM_TASKS": "1"}) is None


def test_the_machine_that_is_not_the_first_leads_its_own_processes(monkeypatch):
    for name, value in {"MASTER_ADDR": "one", "MASTER_PORT": "29500", "NODE_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert find_processes(4, 2) == Processes(devices=4, nodes=2, rank=4)
    monkeypatch.setenv("NODE_RANK", "2")
    with pytest.raises(BadConfig, match="NODE_RANK"):
        find_processes(4, 2)
