"""The loop: it learns, it resumes exactly, it stops in time, and it refuses what cannot work."""

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch
from rich.console import Console

from saccade.config import Exponential, Recipe, ReduceOnPlateau, change
from saccade.core.errors import SaccadeError
from saccade.core.tensors import load_tensors
from saccade.evaluation.scoring import ScoreOptions
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble
from saccade.inference.model import load_model
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.training.loop import load_state, save_state
from saccade.training.optim import ScheduleState, learning_rate_factor
from saccade.training.train import train
from tests.worlds import make_world, write_store

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


def small(name: str, *changes: str) -> Recipe:
    recipe = RECIPES[f"{name}-small"]
    for assignment in ("train.batch_size=16", *changes):
        recipe = change(recipe, assignment)
    return recipe


@pytest.mark.parametrize("asked", ["16-mixed", "bf16-mixed"])
def test_a_run_on_a_cpu_notes_the_precision_that_it_had(world, tmp_path, asked, capsys):
    """No CPU multiplies in 16-mixed. Such a run equals one of bf16-mixed, and goes on as one."""
    recipe = small("show-ask-attend-answer", f"train.precision={asked}", "train.epochs=1")
    out = tmp_path / "run"
    train(recipe, world.path, out, device="cpu", console=Console(width=200))
    assert open_run(out).header.recipe.train.precision == "bf16-mixed"
    assert ("bf16-mixed" in capsys.readouterr().out) == (asked == "16-mixed")
    train(recipe, world.path, out, resume=True, device="cpu", console=QUIET)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "last" / "state.safetensors")[0]


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [("show-ask-attend-answer", "accuracy", 85), ("show-attend-tell", "bleu_4", 0.8)],
)
def test_it_learns_and_writes_a_whole_run(world, tmp_path, name, metric, least):
    recipe = small(name, "train.epochs=20", "train.optimiser.learning_rate=0.005")
    scores = train(recipe, world.path, tmp_path / "run", name=name, console=QUIET)
    assert scores[metric] >= least
    run = open_run(tmp_path / "run")
    assert run.header.recipe == recipe
    assert run.header.fingerprint == world.fingerprint
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == list(range(1, 21))
    assert max(row["score"] for row in log) == scores[metric]
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")
    experiment = assemble(recipe, world)
    again = TASKS[recipe.task].score_model(
        load_model(run), experiment, "val", torch.device("cpu"), ScoreOptions(beam_size=1)
    )
    assert again.scores[metric] == scores[metric], "the best epoch's weights are those kept"
    assert not list((tmp_path / "run").rglob("*.part"))


@pytest.mark.parametrize("name", ["show-ask-attend-answer", "show-attend-tell"])
def test_resuming_in_the_middle_of_an_epoch_changes_nothing(world, tmp_path, name, monkeypatch):
    recipe = small(name, "train.epochs=3")
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(recipe, world.path, straight, console=QUIET)

    steps = 0

    def interrupt(view, progress):
        nonlocal steps
        steps += 1
        if steps == 8:  # within the second epoch
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("saccade.training.progress.TrainingView.step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, world.path, stopped, console=QUIET)
    saved = json.loads(load_tensors(stopped / "last/state.safetensors")[1]["progress"])
    assert saved["progress"]["batch"] > 0, "it stopped within an epoch"
    assert (stopped / "curves.png").read_bytes().startswith(b"\x89PNG"), "of the epoch before"
    torch.manual_seed(99)  # whatever happened in between
    train(recipe, world.path, stopped, resume=True, console=QUIET)

    for key, value in weights_of(straight).items():
        assert torch.equal(value, weights_of(stopped)[key]), key
    ours = [json.loads(line) for line in (stopped / "log.jsonl").read_text().splitlines()]
    theirs = [json.loads(line) for line in (straight / "log.jsonl").read_text().splitlines()]
    assert [(r["loss"], r["scores"]) for r in ours] == [(r["loss"], r["scores"]) for r in theirs]


def test_equal_seeds_give_equal_runs_and_others_do_not(world, tmp_path):
    recipe = small("show-attend-tell", "train.epochs=1")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(change(recipe, f"train.seed={seed}"), world.path, tmp_path / name, console=QUIET)
    a, b, c = (weights_of(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["model.output.weight"], c["model.output.weight"])


def test_it_stops_when_nothing_gets_better(world, tmp_path):
    recipe = small("show-ask-attend-answer", "train.epochs=50", "train.patience=2")
    recipe = change(recipe, "train.optimiser.learning_rate=1e-9")
    train(recipe, world.path, tmp_path / "run", console=QUIET)
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 3


def test_it_runs_outside_the_main_thread(world, tmp_path):
    """Signals are heard in the main thread only; a notebook's worker must be able to train."""
    recipe, failed = small("show-ask-attend-answer", "train.epochs=1"), []

    def work():
        try:
            train(recipe, world.path, tmp_path / "run", console=QUIET)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []


def test_a_loss_that_is_no_number_stops_the_run(world, tmp_path):
    recipe = small("show-attend-tell", "train.clip_value=none")
    recipe = change(recipe, "train.optimiser.learning_rate=1e18")
    with pytest.raises(SaccadeError, match="loss became nan"):
        train(recipe, world.path, tmp_path / "run", console=QUIET)


def test_schedules():
    assert learning_rate_factor(Exponential(half_life=100), ScheduleState(200, 0)) == 0.25
    assert learning_rate_factor(ReduceOnPlateau(factor=0.5), ScheduleState(0, 0, decays=3)) == 0.125


def test_the_plateau_schedule_lowers_the_rate_and_the_log_says_so(world, tmp_path):
    recipe = small("show-attend-tell", "train.epochs=6", "train.optimiser.learning_rate=1e-9")
    plateau = ReduceOnPlateau(factor=0.5, patience=2)
    recipe = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"schedule": plateau})}
    )
    train(recipe, world.path, tmp_path / "run", console=QUIET)
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [row["learning_rate"] for row in log] == pytest.approx(
        [1e-9, 1e-9, 1e-9, 5e-10, 5e-10, 2.5e-10]
    )


class TestRefusals:
    def test_another_run_in_the_way(self, world, tmp_path):
        recipe = small("show-ask-attend-answer", "train.epochs=1")
        train(recipe, world.path, tmp_path / "run", console=QUIET)
        with pytest.raises(SaccadeError, match="--resume"):
            train(recipe, world.path, tmp_path / "run", console=QUIET)
        with pytest.raises(SaccadeError, match="other settings"):
            train(
                change(recipe, "train.seed=5"),
                world.path,
                tmp_path / "run",
                resume=True,
                console=QUIET,
            )

    def test_nothing_to_resume(self, world, tmp_path):
        with pytest.raises(SaccadeError, match=r"run\.json"):
            train(
                small("show-attend-tell"), world.path, tmp_path / "no", resume=True, console=QUIET
            )

    def test_no_features_and_too_many(self, tmp_path):
        folder = make_world(tmp_path / "data")
        write_store(folder, "others", seed=1)
        recipe = small("show-attend-tell", "train.epochs=1")
        with pytest.raises(SaccadeError, match="--features: cells, others"):
            train(recipe, folder.path, tmp_path / "run", console=QUIET)
        with pytest.raises(SaccadeError, match="no features 'more'"):
            train(recipe, folder.path, tmp_path / "run", features="more", console=QUIET)
        train(recipe, folder.path, tmp_path / "run", features="others", console=QUIET)


def test_a_damaged_run_is_named(world, tmp_path):
    recipe = small("show-attend-tell", "train.epochs=1")
    run = tmp_path / "run"
    train(recipe, world.path, run, console=QUIET)
    weights = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(SaccadeError, match="not a whole safetensors file"):
        load_model(open_run(run))
    about = json.loads((run / "run.json").read_text())
    for broken, message in [
        ("{", "not JSON"),
        (json.dumps({**about, "format": 99}), "run format 99"),
        (json.dumps({**about, "sizes": {}}), "sizes"),
    ]:
        (run / "run.json").write_text(broken)
        with pytest.raises(SaccadeError, match=message):
            open_run(run)


def test_state_holds_moments_and_random_numbers(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    save_state(tmp_path / "s.safetensors", model, optimiser, {"epoch": 4})
    expected = torch.rand(3)
    other = torch.nn.Linear(3, 2)
    fresh = torch.optim.Adam(other.parameters(), fused=True)
    assert load_state(tmp_path / "s.safetensors", other, fresh) == {"epoch": 4}
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    torch.testing.assert_close(other.weight, model.weight, rtol=0, atol=0)
    torch.testing.assert_close(fresh.state_dict()["state"], optimiser.state_dict()["state"])


@pytest.mark.parametrize(
    ("name", "kind"), [("show-ask-attend-answer", "answers"), ("show-attend-tell", "captions")]
)
def test_without_a_validation_split_it_says_so_before_the_first_step(tmp_path, name, kind):
    folder = make_world(tmp_path / "data", train=8, val=0)
    said = f"val split has no {kind}.*--hold-out 0.1.*--split: train"
    with pytest.raises(SaccadeError, match=said):
        train(small(name), folder.path, tmp_path / "run", name=name, console=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_disk_that_is_too_small_is_told_before_a_run_is_begun(world, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("saccade.core.files.shutil.disk_usage", lambda _: usage)
    recipe = small("show-ask-attend-answer")
    with pytest.raises(SaccadeError, match=r"the run needs .* 1 kB are free.*another --out"):
        train(recipe, world.path, tmp_path / "run", name="x", console=QUIET)
    assert not (tmp_path / "run").exists()
