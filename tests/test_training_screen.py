"""What training shows is what was measured, and it fits the terminal."""

import json
import os
import pty
import re
import signal
import sys
from io import StringIO

import pytest
import torch
from rich.console import Console

from saccade.config import change
from saccade.core.errors import BadRun
from saccade.core.run_files import read_metadata
from saccade.recipes.catalogue import RECIPES
from saccade.training import progress as screen
from saccade.training.loop import RunLength, TrainingLoop
from saccade.training.progress import GpuUse, TrainingView, cut_to
from saccade.training.train import train
from tests.worlds import make_world

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Of 300 training questions and captions."""
    return make_world(tmp_path_factory.mktemp("world") / "data", train=150)


def small(name, *changes):
    return change(RECIPES[f"{name}-small"], *changes)


def on_terminal(width=140):
    return Console(file=StringIO(), force_terminal=True, width=width)


class Watched:
    """The losses as the loop computes them, and the loss that is on the screen after each step."""

    def __init__(self, monkeypatch, stop_at=None):
        self.losses, self.sizes, self.shown, self.known = [], [], [], []
        self.stop_at = stop_at
        step, show = TrainingLoop.step, TrainingView.step

        def heard(loop, group, *given):
            if given[-1].batch == 0:
                self.losses, self.sizes = [], []
            results = step(loop, group, *given)
            self.losses += [result.loss.item() for result in results]
            self.sizes += map(len, group)
            return results

        def seen(view, progress):
            show(view, progress)
            details = view.bar.tasks[0].fields["details"]
            self.shown.append((float(re.search(r"loss (\S+)", details)[1]), self.mean()))
            self.known.append((progress.mean_loss, progress.examples - progress.pending))
            if progress.step == self.stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(TrainingLoop, "step", heard)
        monkeypatch.setattr(TrainingView, "step", seen)

    def mean(self, examples=None):
        """Over the epoch so far, or over its first examples."""
        total = count = 0
        for loss, size in zip(self.losses, self.sizes, strict=True):
            if examples is None or count < examples:
                total, count = total + loss * size, count + size
        return total / count


@pytest.mark.parametrize("steps", [3, 100])
@pytest.mark.parametrize("name", ["show-ask-attend-answer", "show-attend-tell"])
def test_the_loss_shown_is_the_mean_so_far_at_every_step(world, tmp_path, monkeypatch, steps, name):
    recipe = small(name, f"train.batch_size={300 // steps}", "train.epochs=1")
    stop_at = 1 + steps // 2
    watched = Watched(monkeypatch, stop_at)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, world.path, tmp_path, console=on_terminal(), device="cpu")
    watched.stop_at = None
    train(recipe, world.path, tmp_path, resume=True, console=on_terminal(), device="cpu")
    assert len(watched.shown) == steps
    for shown, true in watched.shown:
        assert abs(shown - true) < 0.00051
    (row,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert row["loss"] == pytest.approx(watched.mean(), rel=1e-6)


def test_a_gpu_is_not_waited_for_at_every_step(world, tmp_path, monkeypatch):
    """The loss shown is that of the steps that were waited for: soon some, then every tenth."""
    monkeypatch.setattr("saccade.training.loop.accumulate_every", lambda _: 10)
    watched = Watched(monkeypatch)
    waited = []
    wait = TrainingLoop.accumulate_losses
    monkeypatch.setattr(
        TrainingLoop, "accumulate_losses", lambda *given: (waited.append(1), wait(*given))
    )
    recipe = small("show-ask-attend-answer", "train.batch_size=3", "train.epochs=1")
    train(recipe, world.path, tmp_path, console=on_terminal(), device="cpu")
    assert len(watched.known) == 100
    for shown, examples in watched.known:
        assert examples > 0
        assert shown == pytest.approx(watched.mean(examples), rel=1e-6)
    assert len(waited) < 20
    (row,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert row["loss"] == pytest.approx(watched.mean(), rel=1e-6)


@pytest.mark.parametrize("name", ["show-ask-attend-answer", "show-attend-tell"])
def test_the_training_score_is_counted_by_hand(world, tmp_path, monkeypatch, name):
    """With a learning rate of next to nothing it is that of a pass over the training split."""
    right = count = 0
    step = TrainingLoop.step

    def heard(loop, group, *given):
        nonlocal right, count
        (batch,) = group
        with torch.random.fork_rng():
            output = loop.model.eval()(batch.to(loop.fabric.device))
            loop.model.train()
        if name == "show-attend-tell":
            for row, true in zip(output.logits, output.targets, strict=True):
                right += true in row.topk(5).indices
                count += 1
        else:
            for row, ids, weights in zip(
                output.logits, batch.answers, batch.answer_weights, strict=True
            ):
                best = {int(i) for i, w in zip(ids, weights, strict=True) if w == weights.max()}
                right += int(row.argmax()) in best
                count += 1
        return step(loop, group, *given)

    monkeypatch.setattr(TrainingLoop, "step", heard)
    rate = "train.optimiser.learning_rate=1e-12"
    recipe = small(name, "train.epochs=1", rate)
    assert getattr(recipe.model, "dropout", 0.0) == 0.0
    console = Console(file=StringIO(), width=300)
    scores = train(recipe, world.path, tmp_path, console=console, device="cpu")
    (row,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert row["train_score"] == pytest.approx(100 * right / count)
    told = console.file.getvalue()
    assert f"{row['train_metric']} {row['train_score']:.1f}% train" in told
    if name == "show-attend-tell":
        assert f"{scores['teacher_forced']['top_5_accuracy']:.1f}% val" in told
    else:
        assert f"accuracy of {scores['upper_bound']:.1f}% at most" in told


ROW = {
    "epoch": 12, "loss": 2.34567, "metric": "accuracy", "score": 52.13, "train_score": 48.2,
    "examples_per_second": 1234.5, "waiting": 0.031, "seconds": 10.0, "seconds_scoring": 2.3,
    "scores": {"upper_bound": 97.25},
}  # fmt: skip


def view_of(console, name="show-ask-attend-answer", gpu=None, monkeypatch=None):
    if gpu:
        monkeypatch.setattr(screen, "gpu_use", lambda _: gpu)
    examples = type("Examples", (), {"left_out": {}, "__len__": lambda _: 3000})()
    return TrainingView(console, small(name), examples, torch.device("cpu"))


@pytest.mark.parametrize(
    ("metric", "score", "best", "marked"),
    [
        ("accuracy", 52.1, 52.0, True),
        ("accuracy", 52.1, 52.1, False),  # a tie
        ("accuracy", 52.14, 52.11, False),  # reads like one
        ("accuracy", 0.0, float("-inf"), True),
        ("bleu_4", 3e-10, 2e-10, False),
    ],
)
def test_only_what_is_better_is_called_best(metric, score, best, marked):
    console = Console(file=StringIO(), width=300)
    name = "show-attend-tell" if metric == "bleu_4" else "show-ask-attend-answer"
    view_of(console, name).epoch({**ROW, "metric": metric, "score": score, "scores": {}}, best)
    assert ("(best)" in console.file.getvalue()) == marked
    assert "e-" not in console.file.getvalue()


def test_a_gpu_is_shown_where_there_is_one(monkeypatch):
    console = Console(file=StringIO(), width=300)
    gpu = GpuUse(memory=3 * 2**30, total=80 * 2**30, busy=0.87)
    view_of(console, gpu=gpu, monkeypatch=monkeypatch).epoch(ROW, 0.0)
    assert "GPU 3.0 of 80 GiB, 87% busy" in console.file.getvalue()
    assert str(gpu._replace(busy=None)) == "GPU 3.0 of 80 GiB"


def test_the_least_important_goes_first():
    parts = ["ends in 3 min", "loss 2.345", "score 52.1%", "1,234/s"]
    assert cut_to(200, parts) == "  ".join(parts)
    assert cut_to(38, parts, " · ") == "ends in 3 min · loss 2.345"
    assert cut_to(5, parts) == ""


@pytest.mark.parametrize(("epochs", "warned"), [(8, True), (50, False)])
def test_a_run_of_a_few_dozen_steps_is_warned_about(epochs, warned):
    console = Console(file=StringIO(), width=300)
    view = view_of(console)
    view.length = RunLength(steps_per_epoch=10, steps=10 * epochs, epochs=epochs)
    view.show_estimate(screen.Estimate(0.1, 1000, 2**30, 2**20), screen.Progress())
    told = console.file.getvalue()
    assert ("--set train.epochs=50" in told) == warned


CHILD = """
import fcntl, struct, termios, time
import torch
from saccade.recipes.catalogue import RECIPES
from saccade.training.loop import Progress
from saccade.training.progress import TrainingView
examples = type("Examples", (), {"left_out": {}, "__len__": lambda _: 3_000_000})()
for columns in (80, 140):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    print(f"={columns}=", flush=True)
    for name, metric in (("show-ask-attend-answer", "accuracy"), ("show-attend-tell", "bleu_4")):
        from rich.console import Console
        view = TrainingView(Console(), RECIPES[name], examples, torch.device("cpu"))
        row = {"epoch": 12, "loss": 2.34567, "metric": metric, "train_score": 48.2, "waiting": 0.03,
               "score": 52.1 if metric == "accuracy" else 0.241, "examples_per_second": 1234.5,
               "seconds": 1000.0, "seconds_scoring": 2.3,
               "scores": {"teacher_forced": {"top_5_accuracy": 71.5}}}
        with view.bar:
            for step in range(1, 9):
                view.step(Progress(epoch=11, batch=100 * step, step=150_000 + 100 * step,
                                   loss=8000.0 * step, examples=12_800 * step,
                                   seconds=10.0 * step, waited=0.3 * step))
                view.bar.refresh()
                if step == 4:
                    view.epoch(row, 0.0)
"""


SIZE = ("COLUMNS", "LINES")


def captured(*command):
    """What a command writes to a terminal of its own."""
    child, terminal = pty.fork()
    if not child:
        # COLUMNS would count more than the terminal's own size. Readline, which pytest imports, has
        # set it, unseen by `os.environ`.
        kept = {name: value for name, value in os.environ.items() if name not in SIZE}
        os.execve(command[0], command, {**kept, "TERM": "xterm-256color"})
    written = b""
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not some:
            break
        written += some
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, written[-2000:].decode()
    return written.decode()


def test_bar_and_remaining_time_fit_a_real_terminal():
    told = captured(sys.executable, "-c", CHILD)
    for columns, other in ((80, "=140="), (140, None)):
        part = told.partition(f"={columns}=")[2].partition(other or "\0")[0]
        lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part))
        bars = [line for line in lines if "━" in line]
        assert len(bars) > 4
        assert max(map(len, bars)) <= columns
        with_numbers = [line for line in bars if "loss" in line]
        assert len(with_numbers) > 4
        assert all("ends in" in line for line in with_numbers)
        assert not any("…" in line for line in bars)
        assert any("waiting for data" in line for line in bars) == (columns == 140)
        ended = [line for line in lines if re.match(r"epoch 12/\d+  loss", line)]
        assert len(ended) == 2
        assert all(len(line) <= columns and " train" in line for line in ended)


class TestResume:
    @pytest.mark.parametrize("schedule", ["exponential", "reduce_on_plateau"])
    def test_more_epochs_equal_a_run_that_had_them_from_the_start(self, world, tmp_path, schedule):
        changes = [f"train.schedule.kind={schedule}", "train.batch_size=100"]
        recipe = small("show-ask-attend-answer", *changes, "train.epochs=2")
        more = change(recipe, "train.epochs=4")
        straight, longer = tmp_path / "straight", tmp_path / "longer"
        train(more, world.path, straight, console=QUIET, device="cpu")
        train(recipe, world.path, longer, console=QUIET, device="cpu")
        console = Console(file=StringIO(), width=300)
        train(more, world.path, longer, resume=True, console=console, device="cpu")
        told = console.file.getvalue()
        assert "train.epochs was 2 and is now 4" in told
        assert schedule in told
        kept = read_metadata(longer / "model.safetensors")["epoch"]
        assert re.search(rf"\bepoch {kept}, .* val split", told), "which epoch's weights are kept"
        ours, theirs = (
            [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
            for run in (longer, straight)
        )
        assert len(ours) == 4
        assert [(r["loss"], r["scores"]) for r in ours] == [
            (r["loss"], r["scores"]) for r in theirs
        ]
        assert json.loads((longer / "run.json").read_text())["recipe"]["train"]["epochs"] == 4

    def test_a_finished_run_says_so_and_trains_nothing(self, world, tmp_path, monkeypatch):
        recipe = small(
            "show-ask-attend-answer", "train.batch_size=100", "train.epochs=9", "train.patience=1",
            "train.optimiser.learning_rate=1e-12",
        )  # fmt: skip
        scores = train(recipe, world.path, tmp_path, console=QUIET, device="cpu")
        before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        console = Console(file=StringIO(), width=300)
        with monkeypatch.context() as patch:
            patch.setattr(TrainingLoop, "step", None)
            again = train(recipe, world.path, tmp_path, resume=True, console=console, device="cpu")
        told = console.file.getvalue()
        assert again == scores
        assert "is finished" in told
        assert "--set train.patience=none" in told
        assert "About" not in told, "there is nothing to be estimated"
        assert before == {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
        shorter = change(recipe, "train.epochs=1", "train.patience=none")
        console = Console(file=StringIO(), width=300)
        train(shorter, world.path, tmp_path, resume=True, console=console, device="cpu")
        assert "train.epochs is 1. Go on with --set train.epochs=" in console.file.getvalue()
        on = change(recipe, "train.patience=none", "train.epochs=3")
        train(on, world.path, tmp_path, resume=True, console=QUIET, device="cpu")
        assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3

    def test_a_refusal_names_the_fields_both_values_and_the_way_out(self, world, tmp_path):
        recipe = small("show-ask-attend-answer", "train.batch_size=100", "train.epochs=1")
        train(recipe, world.path, tmp_path / "run", console=QUIET, device="cpu")

        def refused(recipe, data=world.path, **more):
            with pytest.raises(BadRun) as caught:
                train(recipe, data, tmp_path / "run", resume=True, console=QUIET, **more)
            return caught.value

        error = refused(change(recipe, "train.seed=7", "train.clip_norm=0.5"))
        assert "train.seed was 0 and is now 7" in error.message
        assert "train.clip_norm was none and is now 0.5" in error.message
        assert "--set train.seed=0" in error.hint
        assert "--set train.clip_norm=none" in error.hint
        other = small("joint-embedding")
        assert "show" in refused(other).hint or "recipe" in refused(other).hint
        data = make_world(tmp_path / "other", train=12)
        error = refused(recipe, data.path)
        assert world.fingerprint in error.message
        assert data.fingerprint in error.message
        assert str(world.path) in error.hint
