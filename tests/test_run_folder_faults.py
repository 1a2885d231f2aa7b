"""A run folder is never a dead end: killed, out of disk, damaged, or written by two at once."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import saccade
from saccade.cli.main import app
from saccade.core.errors import STOPPED, BadRun, SaccadeError
from saccade.core.files import LOCK, held
from saccade.core.run_files import LAST, WEIGHTS
from saccade.core.tensors import load_tensors, save_tensors
from saccade.run_folder import open_run
from saccade.training.loop import TrainingLoop
from saccade.training.train import train
from tests.worlds import make_world

RECIPE = "show-ask-attend-answer-small"
SETTINGS = ["train.batch_size=100", "train.epochs=1"]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data").path


def fit(data, out, *changes, resume=False):
    settings = [*SETTINGS, *changes]
    return saccade.train(RECIPE, data, out, changes=settings, resume=resume, device="cpu")


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    fit(world, out)
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, to be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


class Killed(BaseException):
    """What no code catches, at the place where a process is to end."""


@contextmanager
def killed_at(place):
    """The process ends where `place` is called."""

    def die(*_args, **_named):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, die)
        with pytest.raises(Killed):
            yield


class TestBeforeTheFirstStep:
    def test_a_run_that_is_killed_before_its_first_step_goes_on(self, world, finished, tmp_path):
        with killed_at("saccade.training.loop.TrainingLoop.step"):
            fit(world, tmp_path / "run")
        torch.manual_seed(99)  # whatever happened in between
        fit(world, tmp_path / "run", resume=True)
        ours, theirs = (load_tensors(out / WEIGHTS)[0] for out in (tmp_path / "run", finished))
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())

    def test_or_another_takes_its_place(self, world, finished, tmp_path):
        """Numbers that became NaN ask for other settings, not for the same ones again."""
        with killed_at("saccade.training.loop.TrainingLoop.step"):
            fit(world, tmp_path / "run", "model.hidden=8")
        fit(world, tmp_path / "run")
        about, theirs = open_run(tmp_path / "run").header, open_run(finished).header
        assert about.recipe == theirs.recipe

    @pytest.mark.parametrize("place", ["save_state", "write_run"])
    def test_without_run_json_nothing_was_begun(self, world, tmp_path, place):
        with killed_at(f"saccade.training.saving.{place}"):
            fit(world, tmp_path / "run")
        with pytest.raises(BadRun) as refused:
            fit(world, tmp_path / "run", resume=True)
        assert refused.value.location == str(tmp_path / "run" / "run.json")
        assert "without --resume" in refused.value.hint
        with killed_at("saccade.training.loop.TrainingLoop.step"):
            fit(world, tmp_path / "run")  # begins it

    def test_a_run_with_one_step_is_not_replaced(self, world, run):
        (run / WEIGHTS).unlink()
        with pytest.raises(BadRun) as refused:
            fit(world, run)
        assert "--resume" in refused.value.hint


class TestTwoAtOnce:
    @pytest.mark.parametrize("verb", ["train", "train --resume", "prepare", "evaluate", "score"])
    def test_the_second_is_told_who_is_at_work(self, world, run, tmp_path, verb):
        work = {
            "train": lambda out: fit(world, out),
            "train --resume": lambda out: fit(world, out, resume=True),
            "prepare": lambda out: saccade.prepare("vqa-v2", tmp_path, out),
            "evaluate": lambda out: saccade.evaluate(out, split="val", device="cpu"),
            "score": lambda out: saccade.score(predictions, world, out),
        }[verb]
        predictions = tmp_path / "answers.json"
        questions = [40 * 10 + 10 * i + j for i in range(8) for j in (0, 1)]
        rows = [{"question_id": one, "answer": "cat"} for one in questions]
        predictions.write_text(json.dumps(rows))
        out = run if verb in ("train --resume", "evaluate") else tmp_path / "new"
        before = sorted(out.rglob("*"))
        with held(BadRun, out, "train", "--out"), pytest.raises(SaccadeError) as refused:
            work(out)
        assert refused.value.location == str(out)
        assert f"saccade train (process {os.getpid()} on " in refused.value.message
        assert sorted(out.rglob("*")) == before, "nothing was written, and no lock is left"

    def test_a_killed_process_holds_nothing_and_nor_do_its_workers(self, tmp_path):
        """A worker that was forked lives on for some seconds."""
        script = f"""
import os, sys, time
from pathlib import Path
from saccade.core.errors import BadRun
from saccade.core.files import held
with held(BadRun, Path({str(tmp_path / "run")!r}), "train", "--out"):
    if os.fork():
        os.kill(os.getpid(), 9)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as killed:
            worker = int(killed.stdout.readline())
        try:
            assert killed.returncode == -signal.SIGKILL
            assert (tmp_path / "run" / LOCK).exists()
            with held(BadRun, tmp_path / "run", "train", "--out"):
                assert str(os.getpid()) in (tmp_path / "run" / LOCK).read_text()
            assert not (tmp_path / "run" / LOCK).exists()
        finally:
            os.kill(worker, signal.SIGKILL)

    def test_a_folder_that_stays_empty_is_taken_away_again(self, world, tmp_path):
        with pytest.raises(SaccadeError):
            fit(world, tmp_path / "run", "text.vectors=none", "train.select_by=bleu_4")
        assert not (tmp_path / "run").exists()


@contextmanager
def files_of_at_most(size):
    """The system refuses to make any file larger, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestFullDisk:
    def test_it_is_told_and_the_same_command_goes_on(self, world, tmp_path, monkeypatch):
        with files_of_at_most(5000), pytest.raises(BadRun) as refused:
            fit(world, tmp_path / "run")
        assert refused.value.location.startswith(str(tmp_path / "run" / LAST))
        assert "the same command goes on" in refused.value.hint
        assert not list((tmp_path / "run").rglob("*.part"))
        step = TrainingLoop.step

        def fill(loop, *given):
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limit))
            return step(loop, *given)

        monkeypatch.setattr(TrainingLoop, "step", fill)
        with files_of_at_most(1_000_000_000), pytest.raises(BadRun) as refused:
            fit(world, tmp_path / "run")
        monkeypatch.undo()
        assert refused.value.location.startswith(str(tmp_path / "run" / WEIGHTS))
        assert "--resume" in refused.value.hint
        fit(world, tmp_path / "run", resume=True)


class TestDamage:
    @pytest.mark.parametrize("place", [-1, -5000, 0.5, 0.9])
    def test_one_flipped_bit_of_the_weights_is_told(self, world, run, place):
        content = bytearray((run / WEIGHTS).read_bytes())
        content[place if place < 0 else int(place * len(content))] ^= 1
        (run / WEIGHTS).write_bytes(content)
        for use in (
            lambda: saccade.load(run, "cpu"),
            lambda: saccade.evaluate(run, split="val", device="cpu"),
            lambda: fit(world, run, "train.epochs=2", resume=True),
        ):
            with pytest.raises(BadRun) as refused:
                use()
            assert refused.value.location == str(run / WEIGHTS)

    def test_and_so_is_one_of_the_state_or_of_the_words_about_it(self, world, run, tmp_path):
        content = bytearray((run / LAST).read_bytes())
        content[-100] ^= 4
        (run / LAST).write_bytes(content)
        with pytest.raises(BadRun) as refused:
            fit(world, run, "train.epochs=2", resume=True)
        assert refused.value.location == str(run / LAST)
        path = tmp_path / "words.safetensors"
        save_tensors(path, {"scale": torch.tensor(2.5), "none": torch.zeros(0)}, {"epoch": "17"})
        assert load_tensors(path)[1] == {"epoch": "17"}
        path.write_bytes(path.read_bytes().replace(b"17", b"18"))
        with pytest.raises(BadRun):
            load_tensors(path)

    def test_equal_tensors_give_equal_files(self, tmp_path):
        for name in ("a", "b", "c", "d"):
            about = {"epoch": "1", "imported": "x", "progress": "{}"}
            save_tensors(tmp_path / name, {"weight": torch.ones(3)}, about)
        assert len({(tmp_path / name).read_bytes() for name in ("a", "b", "c", "d")}) == 1

    def test_lost_weights_are_told_by_resume(self, world, run):
        (run / WEIGHTS).unlink()
        with pytest.raises(BadRun) as refused:
            fit(world, run, resume=True)
        assert refused.value.location == str(run / WEIGHTS)

    @pytest.mark.parametrize(
        "state",
        [
            {},
            {"progress": "{"},
            {"progress": "[]"},
            {"progress": '{"progress": {"epoch": "many"}, "log": []}'},
            {"progress": '{"progress": {"epoch": 1}, "log": [{"epoch": 1}]}'},
            {"progress": '{"progress": {"epoch": 0}, "log": []}'},
        ],
    )
    def test_a_state_of_something_else_is_told(self, world, run, state):
        save_tensors(run / LAST, {"other.thing": torch.zeros(1)}, state)
        with pytest.raises(BadRun) as refused:
            fit(world, run, "train.epochs=2", resume=True)
        assert refused.value.location == str(run / LAST)

    @pytest.mark.parametrize("content", ['{"val": {', "[1]", '{"val": 5}', "\ud83d", "1" * 5000])
    def test_broken_scores_are_told_before_the_work(self, run, content, monkeypatch):
        (run / "scores.json").write_bytes(content.encode("utf-8", "surrogatepass"))
        monkeypatch.setattr("saccade.evaluation.evaluate.load_model", None)
        for use in (lambda: saccade.evaluate(run, split="val"), lambda: saccade.compare([run])):
            with pytest.raises(BadRun) as refused:
                use()
            assert refused.value.location == str(run / "scores.json")


def test_other_conditions_are_told_when_a_run_goes_on(world, run):
    recipe = open_run(run).header.recipe
    threads = torch.get_num_threads()
    for asked, count in ((threads, 1), (threads + 1, 2)):
        told = StringIO()
        torch.set_num_threads(asked)
        try:
            longer = recipe.model_copy(
                update={"train": recipe.train.replace(epochs=recipe.train.epochs + count)}
            )
            console = Console(file=told, width=300)
            train(longer, world, run, resume=True, device="cpu", console=console)
        finally:
            torch.set_num_threads(threads)
        conditions = open_run(run).header.conditions
        assert [one["threads of torch"] for one in conditions] == [
            str(threads + more) for more in range(count)
        ]
        assert ("threads of torch" in told.getvalue()) == (count == 2)


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: tests in the background of a shell begin with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("prepare", "vqa-v2", "--root", "."), "saccade.datasets.prepare.prepare"),
        (("evaluate", "{run}"), "saccade.evaluation.evaluate.evaluate"),
        (("pack", "{run}"), "saccade.transfer.pack.pack"),
    ],
)
def test_every_command_obeys_a_termination(run, tmp_path, number, words, place, monkeypatch):
    def stop(*_args, **_named):
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, stop)
    words = [word.format(run=run) for word in words]
    words += ["--out", "new"] if words[0] != "evaluate" else []
    monkeypatch.setattr(sys, "argv", ["saccade", *words])
    before = signal.getsignal(signal.SIGTERM)
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == STOPPED
    assert f"saccade {words[0]}" in ended.stderr, "the command to give next"
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(run.glob(LOCK))
    assert not (tmp_path / "new").exists()
