"""Loggers of a training: what they are told, and that they can do it no harm."""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

import saccade
from saccade.core.errors import BadConfig
from saccade.training.loggers import LoggedRun, epoch_numbers, find_loggers
from tests.worlds import make_world

RECIPE = "ibowimg-small"
CHANGES = ["train.epochs=2", "train.batch_size=16"]


class Recorder:
    """A logger that keeps what it is told, in the order."""

    def __init__(self, run):
        self.run, self.told = run, []

    def log_hyperparams(self, params):
        self.told.append(("settings", params))

    def log_metrics(self, metrics, step):
        self.told.append((step, dict(metrics)))
        metrics.clear()
        torch.manual_seed(0)

    def finalize(self, status):
        self.told.append(("end", status))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("loggers")
    return make_world(root / "data", train=16, val=4).path


def train(data, out, **options):
    saccade.train(RECIPE, data, out, changes=CHANGES, device="cpu", watchdog=False, **options)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(row["loss"], row["score"]) for row in rows], (out / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """Losses, scores and weights without a logger."""
    return train(data, tmp_path_factory.mktemp("plain") / "run")


def test_what_is_told_and_that_nothing_changes_by_it(data, plain, tmp_path):
    made = []

    def recorder(run):
        made.append(Recorder(run))
        return made[-1]

    assert train(data, tmp_path / "run", loggers=[recorder, recorder]) == plain
    first, second = made
    assert first.told == second.told, "one cannot empty what the other is given"
    assert first.run == (tmp_path / "run", RECIPE, 0)
    (word, settings), *numbers, end = first.told
    assert (word, end) == ("settings", ("end", "success"))
    assert settings["recipe"] == RECIPE
    assert settings["train.epochs"] == 2
    assert [step for step, of in numbers if "step/loss" in of] == [1, 2, 3, 4]
    epochs = [(step, of) for step, of in numbers if "epoch" in of]
    assert [step for step, _ in epochs] == [2, 4]
    for (_, of), (loss, score) in zip(epochs, plain[0], strict=True):
        assert of["train/loss"] == loss
        assert of["val/score"] == of["val/accuracy"] == score
    steps = [of["step/loss"] for _, of in numbers if "step/loss" in of]
    assert sum(steps[:2]) / 2 == pytest.approx(plain[0][0][0]), "batches are of equal size here"


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("__init__", RuntimeError("the server\nis gone")),
        ("log_hyperparams", BadConfig("no project", hint="Name one.")),
        ("log_metrics", SystemExit(3)),
        ("finalize", OSError(28, "disk full")),
    ],
)
def test_a_logger_that_fails_is_told_of_once_and_ends_nothing(
    data, plain, tmp_path, capsys, method, error
):
    calls, others = [], []

    def fail(*_, **__):
        calls.append(method)
        torch.rand(3)
        raise error

    def good(run):
        others.append(Recorder(run))
        return others[-1]

    broken = type("Broken", (Recorder,), {method: fail})
    assert train(data, tmp_path / "run", loggers=[broken, good]) == plain
    assert len(calls) == 1
    told = capsys.readouterr().out
    assert told.count("Broken") == 1
    assert others[0].told[-1] == ("end", "success")


def test_the_end_of_a_run_that_is_stopped(data, tmp_path):
    made = []

    class Stops(Recorder):
        def __init__(self, run):
            super().__init__(run)
            made.append(self)

        def log_metrics(self, metrics, step):
            super().log_metrics(metrics, step)
            if step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", loggers=[Stops])
    assert made[0].told[-1] == ("end", "interrupted")
    train(data, tmp_path / "run", loggers=[made.append], resume=True)
    assert made[1].step == 2, "it goes on after the epoch that was saved"


def test_tensorboard(data, plain, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(data, tmp_path / "run", loggers=["tensorboard"]) == plain
    found = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert [one.step for one in found.Scalars("step/loss")] == [1, 2, 3, 4]
    losses = [one.value for one in found.Scalars("train/loss")]
    assert losses == pytest.approx([loss for loss, _ in plain[0]])


def test_names_that_make_no_logger(monkeypatch):
    for name in ("tensorbord", "no.such.module:x", "json:nothing", "math:pi", 3):
        with pytest.raises(BadConfig):
            find_loggers([name])
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("saccade.training.loggers.find_spec", lambda _: None)
    with pytest.raises(BadConfig) as caught:
        find_loggers(["tensorboard"])
    assert caught.value.location == "tensorboard"
    assert "saccade[tensorboard]" in caught.value.hint
    assert find_loggers([f"{Recorder.__module__}:Recorder"]) == [Recorder]


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_the_examples_pass_on_what_they_are_told(name, tmp_path, monkeypatch):
    """To a stand-in of the program, which is not installed here."""
    program = MagicMock()
    program.MlflowClient.return_value.create_run.return_value.info.run_id = "id"
    monkeypatch.setitem(sys.modules, name, program)
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "examples/loggers")
    (make,) = find_loggers([f"{name}_logger:{name}_run"])
    for step in (0, 2):
        logger = make(LoggedRun(tmp_path, "san", step))
        logger.log_hyperparams({"train.epochs": 2})
        logger.log_metrics({"step/loss": 1.5, "val/what is it?": 2.0}, step + 1)
        logger.finalize("success")
    told = str(program.mock_calls)
    for words in ("train.epochs", "step/loss", "1.5", "what is it", "san"):
        assert words in told
    if name == "mlflow":
        program.MlflowClient.return_value.create_run.assert_called_once()
        assert "it?" not in told, "MLflow refuses such letters"
    if name == "wandb":
        ids = [call.kwargs["id"] for call in program.init.call_args_list]
        assert ids[0] == ids[1], "a resumed training goes on with its run"


def test_only_finite_numbers_of_an_epoch_are_told():
    row = {
        "epoch": 1, "step": 5, "loss": 2.0, "metric": "accuracy", "score": 50.0, "seconds": 1,
        "scores": {"accuracy": 50.0, "per_answer_type": {"": 4.0, "yes/no": 5.0},
                   "revision": "always", "wups": float("nan"), "whole": True},
        "findings": [{"level": "warning"}],
    }  # fmt: skip
    assert dict(epoch_numbers(row)) == {
        "epoch": 1, "step": 5, "train/loss": 2.0, "val/score": 50.0, "train/seconds": 1,
        "val/accuracy": 50.0, "val/per_answer_type": 4.0, "val/per_answer_type/yes/no": 5.0,
    }  # fmt: skip
