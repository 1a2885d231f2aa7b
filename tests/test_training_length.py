"""Steps, schedules over them, several batches as one step, and averages of weights."""

import json
import math
import os
import signal
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from rich.console import Console

from saccade.config import Adam, Cosine, Sgd, TrainConfig, change
from saccade.core.errors import BadConfig, BadRun
from saccade.core.tensors import load_tensors
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run, refuse_other_settings
from saccade.training.loop import Progress, RunLength, TrainingLoop, run_length
from saccade.training.objectives import Counts, Shares, StepResult
from saccade.training.optim import ScheduleState, learning_rate_factor, make_optimiser
from saccade.training.train import train
from tests.worlds import make_world, write_untrained_run

QUIET = Console(quiet=True)
ALL_ON = (
    "train.batch_size=8",
    "train.accumulate=3",  # 80 questions: 10 batches, 4 steps of 3, 3, 3 and 1
    "train.steps=10",  # the third epoch is cut short
    "train.ema=0.9",
    "train.schedule.kind=cosine",
    "train.schedule.warmup_steps=3",
    "train.schedule.final_factor=0.1",
    "train.label_smoothing=0.1",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


def small(name, *changes):
    return change(RECIPES[f"{name}-small"], *changes)


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


class Seen:
    """The weights, buffers and learning rate after every step."""

    def __init__(self, patch):
        self.weights, self.rates = [], []
        step = TrainingLoop.step

        def seen(*given):
            loop, results = given[0], step(*given)
            state = loop.model.module.state_dict()
            self.weights.append({name: value.clone() for name, value in state.items()})
            self.rates.append(loop.optimiser.param_groups[0]["lr"])
            return results

        patch.setattr(TrainingLoop, "step", seen)


@pytest.fixture(scope="module", params=["show-ask-attend-answer", "show-attend-tell"])
def whole(request, world, tmp_path_factory):
    """A run with everything on, and what its steps did."""
    words = ["text.word_dropout=0.3"] if request.param == "show-ask-attend-answer" else []
    recipe = small(request.param, *ALL_ON, *words)
    run = tmp_path_factory.mktemp("runs") / "straight"
    with pytest.MonkeyPatch.context() as patch:
        seen = Seen(patch)
        train(recipe, world.path, run, console=QUIET, device="cpu")
    return recipe, run, seen


@pytest.mark.parametrize(("warmup_steps", "final", "total"), [(0, 0.0, 7), (4, 0.2, 20), (3, 1, 4)])
def test_a_cosine_is_torch_s(warmup_steps, final, total):
    schedule = Cosine(warmup_steps=warmup_steps, final_factor=final)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, total - warmup_steps, eta_min=final
    )
    scheduler = fall
    if warmup_steps:
        grow = torch.optim.lr_scheduler.LinearLR(
            optimiser, 1 / (warmup_steps + 1), total_iters=warmup_steps
        )
        parts = [grow, fall]
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimiser, parts, [warmup_steps])
    for step in range(total):
        factor = learning_rate_factor(schedule, ScheduleState(step, 0, total=total))
        assert factor == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        assert 0 < factor <= 1
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (TrainConfig(epochs=3, batch_size=8), (10, 30, 3)),
        (TrainConfig(epochs=3, batch_size=8, accumulate=3), (4, 12, 3)),
        (TrainConfig(epochs=3, batch_size=8, steps=11), (10, 11, 2)),
        (TrainConfig(epochs=3, batch_size=8, steps=20), (10, 20, 2)),
        (TrainConfig(epochs=3, batch_size=8, steps=99), (10, 30, 3)),
        (TrainConfig(epochs=3, batch_size=100, steps=2), (1, 2, 2)),
    ],
)
def test_the_length_of_a_run(config, expected):
    assert run_length(config, 80) == RunLength(*expected)


def test_the_last_part_of_an_epoch_is_validated(whole):
    _, run, seen = whole
    log = log_of(run)
    assert [row["epoch"] for row in log] == [1, 2, 3]
    assert [row["step"] for row in log] == [4, 8, 10]
    assert len(seen.rates) == 10
    assert all(math.isfinite(row["score"]) for row in log)


def test_the_cosine_goes_over_the_run_s_steps(whole):
    recipe, _, seen = whole
    highest = recipe.train.optimiser.learning_rate
    angles = [math.pi * step / 7 for step in range(7)]
    falls = [0.1 + 0.9 * (1 + math.cos(angle)) / 2 for angle in angles]
    assert [rate / highest for rate in seen.rates] == pytest.approx([0.25, 0.5, 0.75, *falls])


def test_the_average_is_kept_and_is_that_of_an_independent_loop(whole):
    _, run, seen = whole
    kept, metadata = load_tensors(run / "model.safetensors")
    best = next(row for row in log_of(run) if str(row["epoch"]) == metadata["epoch"])
    for name, value in kept.items():
        average = torch.zeros(value.shape, dtype=torch.float64)
        for step, weights in enumerate(seen.weights[: best["step"]]):
            decay = min(0.9, step / (step + 9))
            average = decay * average + (1 - decay) * weights[name].double()
        torch.testing.assert_close(value.double(), average, rtol=1e-5, atol=1e-6)
    last = seen.weights[best["step"] - 1]
    assert any(not torch.allclose(value, last[name], atol=1e-5) for name, value in kept.items())


@pytest.mark.parametrize("at", [6, 10], ids=["within an epoch", "behind the last step"])
def test_resuming_with_all_of_it_on_changes_nothing(whole, world, tmp_path, monkeypatch, at):
    recipe, straight, _ = whole
    stopped = tmp_path / "stopped"

    def interrupt(view, progress):
        if progress.step == at:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("saccade.training.progress.TrainingView.step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, world.path, stopped, console=QUIET, device="cpu")
    torch.manual_seed(99)
    train(recipe, world.path, stopped, resume=True, console=QUIET, device="cpu")
    for file in ("last/state.safetensors", "model.safetensors"):
        ours, theirs = (load_tensors(run / file)[0] for run in (stopped, straight))
        assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
        assert ours.keys() == theirs.keys()
    assert any(
        name.startswith("average.") for name in load_tensors(stopped / "last/state.safetensors")[0]
    )
    assert [(r["loss"], r["scores"]) for r in log_of(stopped)] == [
        (r["loss"], r["scores"]) for r in log_of(straight)
    ]


def test_a_run_at_its_last_step_is_finished(whole, world):
    recipe, run, _ = whole
    console = Console(file=StringIO(), width=300)
    before = (run / "last/state.safetensors").read_bytes()
    train(recipe, world.path, run, resume=True, console=console, device="cpu")
    assert "train.steps is 10" in console.file.getvalue()
    assert (run / "last/state.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("show-ask-attend-answer", ()),
        ("show-ask-attend-answer", ("answers.summed=true",)),
        ("show-attend-tell", ("model.doubly_stochastic=0",)),  # its mean is over captions
    ],
)
def test_two_batches_of_8_make_the_step_of_one_of_16(world, tmp_path, name, more):
    """In captions each batch counts by its words; the last group of an epoch is smaller."""
    recipe = small(name, "train.epochs=1", *more)
    plain = recipe.train.replace(optimiser=Sgd(learning_rate=0.01), clip_value=None, clip_norm=None)
    for run, size, batches in (("one", 24, 1), ("several", 8, 3)):
        config = plain.replace(batch_size=size, accumulate=batches)
        train(recipe.replace(train=config), world.path, tmp_path / run, console=QUIET, device="cpu")
    one, several = (
        load_tensors(tmp_path / run / "model.safetensors")[0] for run in ("one", "several")
    )
    for weight, value in one.items():
        torch.testing.assert_close(several[weight], value, rtol=1e-4, atol=1e-6)
    (first,), (other,) = log_of(tmp_path / "one"), log_of(tmp_path / "several")
    assert first["step"] == other["step"] == 4
    assert other["learning_rate"] == first["learning_rate"]


@pytest.mark.parametrize(
    ("optimiser", "moved"),
    [(Sgd(learning_rate=1, momentum=0), 0.25), (Adam(learning_rate=0.1), 0.1)],
)
def test_gradients_are_clipped_in_their_true_size_in_16_mixed(optimiser, moved):
    """The loss is multiplied by 65,536 there, so that small gradients are numbers."""
    fabric = Fabric(accelerator="cpu", plugins=[MixedPrecision("16-mixed", "cpu")])
    config = TrainConfig(optimiser=optimiser.replace(weight_decay=0.25), clip_value=0.25)
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    wrapped, fused = fabric.setup(model, make_optimiser(model, config))

    class Batch:
        def to(self, device):
            return torch.full((1, 1), 2.0, device=device)

    def objective(model, given, _):
        return StepResult(model(given).sum() / 4, torch.tensor(0.0), 1)  # gradient: 0.5

    examples, counts = SimpleNamespace(image=np.zeros(8)), [Counts(1, 1, 0)]
    shares = Shares(small("show-ask-attend-answer"))
    loop = TrainingLoop(fabric, wrapped, fused, objective, config, examples, shares)
    loop.step([Batch()], counts, counts, Progress())
    assert model.weight.item() == pytest.approx(1 - moved, abs=1e-3)
    assert fabric.strategy.precision.state_dict()["scale"] == 65536


def test_patience_waits_for_the_least_steps(world, tmp_path):
    changes = ("train.patience=1", "train.min_steps=7", "train.batch_size=40")
    recipe = small("show-ask-attend-answer", *changes, "train.optimiser.learning_rate=1e-9")
    train(recipe, world.path, tmp_path, console=QUIET, device="cpu")
    assert [row["step"] for row in log_of(tmp_path)] == [2, 4, 6, 8]


class TestRefusals:
    def test_a_warm_up_as_long_as_the_run(self, world, tmp_path):
        changes = ("train.steps=9", "train.schedule.kind=cosine", "train.schedule.warmup_steps=9")
        recipe = small("show-ask-attend-answer", *changes)
        with pytest.raises(BadConfig, match=r"warmup_steps"):
            train(recipe, world.path, tmp_path / "run", console=QUIET, device="cpu")
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("schedule", "field", "refused"),
        [
            ("cosine", "train.epochs=9", True),
            ("cosine", "train.patience=9", False),
            ("exponential", "train.epochs=9", False),
            ("exponential", "train.min_steps=9", False),
            ("exponential", "train.steps=9", True),
        ],
    )
    def test_a_resume_that_would_not_equal_a_run_in_one_go(
        self, world, tmp_path, schedule, field, refused
    ):
        run = open_run(write_untrained_run(world, "show-ask-attend-answer-small", tmp_path / "run"))
        before = change(run.header.recipe, f"train.schedule.kind={schedule}")
        run = run._replace(header=run.header.model_copy(update={"recipe": before}))
        if refused:
            with pytest.raises(BadRun, match=field.partition("=")[0]):
                refuse_other_settings(run, change(before, field))
        else:
            assert [*refuse_other_settings(run, change(before, field))] == [field.partition("=")[0]]
