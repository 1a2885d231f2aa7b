"""Sweeps: mistakes are told before any training, nothing is run twice, the table is right."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

import saccade
from benchmarks import small_data
from saccade.cli.app import app
from saccade.core.errors import BadConfig, BadRun
from saccade.core.tensors import load_tensors
from saccade.data.folder import DataFolder
from saccade.metrics.intervals import Statistic, average, compare, mean
from saccade.recipes.advice import load_recipe_for
from saccade.recipes.catalogue import RECIPES
from saccade.recipes.load import load_recipe
from saccade.sweeps import run as running
from saccade.sweeps.one_run import outcome_of
from saccade.sweeps.plan import SweepSettings, read_sweep
from saccade.training.stopping import was_cut_short
from saccade.training.train import train
from tests.worlds import make_world, write_store

ROOT = Path(__file__).parent.parent
QUIET = Console(quiet=True)
FAST = ["train.batch_size=16", "train.optimiser.learning_rate=0.005"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("sweep") / "data").path


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs without processes of their own, whose imports take ten seconds each, and without a
    page; returns the names of those that were started."""
    started = []

    def here(run, _log):
        started.append(run.name)
        return outcome_of(run)

    monkeypatch.setattr(running, "_in_its_own_process", here)
    monkeypatch.setattr("saccade.sweeps.table.write_page", lambda *_, **__: [])
    return started


def usual(tmp_path, folder, settings=None, **fields):
    """A sweep's file. JSON's texts, lists and numbers are TOML's."""
    given = {"data": [str(folder)], "recipes": ["ibowimg-small"], "out": str(tmp_path / "out")}
    given |= {"device": "cpu"} | fields
    lines = [f"{name} = {json.dumps(value).replace(': ', ' = ')}" for name, value in given.items()]
    lines += ["[settings]"]
    lines += [f'"{name}" = {json.dumps(of)}' for name, of in (settings or {"fast": FAST}).items()]
    file = tmp_path / "sweep.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


# What is refused.


@pytest.mark.parametrize(
    ("fields", "settings", "named"),
    [
        ({"recipes": ["san-cnm"]}, None, "san-cnm"),
        ({"recipes": ["no.toml"]}, None, "no.toml"),
        ({"recipes": []}, None, "recipes"),
        ({"data": ["no-data"]}, None, "no-data"),
        ({"data": "data"}, None, "data"),
        ({"data": ["$SACCADE_NOT_SET/data"]}, None, "SACCADE_NOT_SET"),
        ({"seeds": [-1]}, None, "seeds"),
        ({"seeds": [1.5]}, None, "seeds"),
        ({"seeds": [True]}, None, "seeds"),
        ({"seeds": [3, 3]}, None, "seed-3"),
        ({"seeds": [2**70]}, None, "seed"),
        ({"seeds": [1]}, {"own": ["train.seed=2"]}, "train.seed"),
        ({"recipes": ["ibowimg-small", "ibowimg-small"]}, None, "ibowimg-small"),
        ({}, {"a/b": ["train.epochs=1"]}, "a/b"),
        ({}, {"a": ["train.epoch=1"]}, "train.epoch"),
        ({}, {"a": ["train.epochs"]}, "train.epochs"),
        ({"features": "grid"}, None, "grid"),
        ({"minutes_per_run": 0}, None, "minutes_per_run"),
        ({"minutes_per_run": "long"}, None, "minutes_per_run"),
        ({"split": "validation"}, None, "split"),
        ({"split": "test"}, None, "test"),
        ({"device": "gpu"}, None, "gpu"),
        ({"epochs": 3}, None, "epochs"),
        ({"out": ""}, None, "out"),
        ({}, {"a" * 200: ["train.epochs=1"]}, "aaaa"),
        ({"data": {"x": "data"}}, None, "data"),
        ({"recipes": [""]}, None, "recipes"),
    ],
)
def test_a_mistake_is_named(tmp_path, data, monkeypatch, fields, settings, named):
    monkeypatch.delenv("SACCADE_NOT_SET", raising=False)
    file = usual(tmp_path, data, settings, **fields)
    with pytest.raises(BadConfig) as refused:
        read_sweep(file)
    assert refused.value.location == str(file)
    assert named in refused.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"data = [", b"\xff\xfe", b"data = 1\ndata = 2", None])
def test_what_is_no_toml_is_named(tmp_path, content):
    file = tmp_path / "sweep.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadConfig) as refused:
        read_sweep(file)
    assert refused.value.location == str(file)


def test_other_things_in_the_folder_are_left_alone(tmp_path, data):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(BadConfig) as refused:
        read_sweep(usual(tmp_path, data))
    assert str(tmp_path / "out") in refused.value.message


REFUSE = """
import sys
from saccade.cli.main import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def test_all_mistakes_are_told_at_once_without_torch(tmp_path, data):
    """A captioner for questions is not one: the folder has both."""
    settings = {"a": ["train.epoch=3", "train.batch_size=none", *FAST], "b": ["model.none=3"]}
    places = [str(data), "no-data"]
    recipes = ["ibowimg-small", "san-cnm", "no.toml", "show-attend-tell-small"]
    file = usual(tmp_path, data, settings, data=places, recipes=recipes, device="gpu", seeds=[1, 2])
    words = ["sweep", str(file)]
    refused = subprocess.run(
        [sys.executable, "-c", REFUSE, *words], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1, refused.stderr
    for named in ("no-data", "san-cnm", "no.toml", "gpu", "train.epoch", "batch_size", "none"):
        assert named in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


def test_the_example_of_the_docs_is_one(tmp_path, monkeypatch):
    """The file in docs/sweep.md asks for the runs that the page says."""
    page = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "shapes.toml").write_text(text)
    make_world(tmp_path / "data/shapes", train=8, val=4)
    monkeypatch.chdir(tmp_path)
    runs = saccade.sweep("shapes.toml", dry_run=True)["runs"]
    assert len(runs) == 8
    assert runs[0]["name"] in page
    assert {(run["state"], run["minutes"]) for run in runs} == {("to train", 20)}
    for field in SweepSettings.model_fields:
        assert f"| `{field}` |" in page or f"| `[{field}]` |" in page


def test_an_automatic_recipe_is_chosen_for_each_data_folder(tmp_path):
    """Forty passes over the questions: more data has more steps."""
    sizes = {"small": 1400, "large": 2800}
    folders = [make_world(tmp_path / name, train=size) for name, size in sizes.items()]
    file = usual(tmp_path, folders[0].path, {"": ["model.hidden=8"]}, recipes=["auto-vqa"])
    text = file.read_text().replace(
        json.dumps([str(folders[0].path)]), json.dumps([str(one.path) for one in folders])
    )
    file.write_text(text)
    runs = read_sweep(file).runs
    assert [run.recipe for run in runs] == [
        load_recipe_for(one, "auto-vqa", ["model.hidden=8"]) for one in folders
    ]
    assert runs[0].recipe.train.steps < runs[1].recipe.train.steps


def test_the_measurement_names_recipes_and_holds_out_a_fifth():
    """Nobody's memory of an image name is trusted: the ids that are held out are committed."""
    assert {one for names in small_data.RECIPES.values() for one in names} <= set(RECIPES)
    held_out = json.loads(small_data.HELD_OUT.read_text())
    assert {name: len(of) for name, of in held_out.items()} == {"rad-images": 62, "flickr": 450}
    names = [f"{number}.jpg" for number in range(313)]
    with pytest.raises(ValueError, match="rad-images"):
        small_data.splits("rad-images", names)


# What is run.


@pytest.fixture(scope="module")
def swept(tmp_path_factory, data):
    """Two recipes with two seeds, and one recipe that cannot learn; what the page was given."""
    root, patch, pages = tmp_path_factory.mktemp("swept"), pytest.MonkeyPatch(), []
    patch.setattr(running, "_in_its_own_process", lambda run, _log: outcome_of(run))
    patch.setattr("saccade.sweeps.table.write_page", lambda *given, **_: pages.append(given))
    nan = root / "nan.toml"
    nan.write_text('base = "ibowimg-small"\ntrain.optimiser.learning_rate = 1e30')
    settings = {"few": ["train.epochs=2", "train.batch_size=16"]}
    recipes = ["ibowimg-small", "other=show-ask-attend-answer-small", str(nan)]
    file = usual(root, data, settings, recipes=recipes, seeds=[1, 2])
    found = saccade.sweep(file)
    patch.undo()
    return root, file, found, pages


def test_a_run_that_fails_is_a_line_and_the_others_go_on(swept):
    root, _, found, pages = swept
    failed = {f"data_nan_few_seed-{seed}" for seed in (1, 2)}
    assert set(found["failed"]) == failed
    assert all("nan" in reason for reason in found["failed"].values())
    assert {row["recipe"] for row in found["rows"]} == {"ibowimg-small", "other"}
    assert json.loads((root / "out/table.json").read_text()) == {
        name: found[name] for name in ("rows", "differences", "failed", "notes")
    }
    for run in failed:
        assert run in (root / "out/table.md").read_text()
    ((runs, page),) = pages
    assert page == root / "out/compare/data-val.html"
    assert set(runs) == {run for row in found["rows"] for run in row["runs"]}


def test_what_is_finished_or_failed_is_not_run_again(
    swept, data, tmp_path, in_this_process, monkeypatch
):
    root, file, found, _ = swept
    told = []
    monkeypatch.setattr("saccade.sweeps.table.write_table", lambda *_: {})
    saccade.sweep(file, report=told.append)
    assert not in_this_process
    assert len(told) == 6
    saccade.sweep(file, retry=True)
    assert set(in_this_process) == set(found["failed"])
    states = {run["name"]: run["state"] for run in saccade.sweep(file, dry_run=True)["runs"]}
    assert sorted(states.values()) == ["failed"] * 2 + ["finished"] * 4
    text = file.read_text().replace("train.epochs=2", "train.epochs=3")
    more = root / "more.toml"
    more.write_text(text)
    planned = {run["name"]: run for run in saccade.sweep(more, dry_run=True)["runs"]}
    assert planned["data_other_few_seed-1"]["state"] == "to resume"
    assert planned["data_other_few_seed-1"]["minutes"] > 0
    more.write_text(text.replace("size=16", "size=8"))
    with pytest.raises(BadConfig) as refused:
        read_sweep(more)
    assert "train.batch_size was 16 and is now 8" in refused.value.message
    shutil.copytree(data, tmp_path / "data")
    write_store(DataFolder(tmp_path / "data"), "others")
    text = text.replace(str(data), str(tmp_path / "data"))
    more.write_text(f'features = "others"\n{text}')
    with pytest.raises(BadConfig) as refused:
        read_sweep(more)
    assert "others" in refused.value.message


def test_the_command_ends_with_1_where_a_run_failed(swept, in_this_process):
    _, file, found, _ = swept
    asked = CliRunner().invoke(app, ["sweep", str(file), "--json"])
    assert asked.exit_code == 1, asked.output
    told = json.loads(asked.stdout)
    assert {name: told[name] for name in ("rows", "failed")} == {
        name: found[name] for name in ("rows", "failed")
    }
    assert not in_this_process
    lines = CliRunner().invoke(app, ["sweep", str(file)]).stdout.splitlines()
    assert any("other few" in line and "95 %" not in line for line in lines)


def by_image(run):
    """Sums of accuracy and numbers of questions of each image, ids rising."""
    rows = pq.read_table(run / "scored-val.parquet").to_pylist()
    images = sorted({row["image_id"] for row in rows})
    each = [[row["accuracy"] for row in rows if row["image_id"] == one] for one in images]
    return np.array([sum(values) for values in each]), np.array([len(values) for values in each])


def test_the_table_is_what_the_rows_amount_to(swept):
    """An independent computation: every resample and every exchange written out."""
    root, _, found, _ = swept
    runs = {
        (name, seed): by_image(root / f"out/runs/data_{name}_few_seed-{seed}")
        for name in ("ibowimg-small", "other")
        for seed in (1, 2)
    }
    drawn = np.random.default_rng(0).integers(8, size=(2000, 8))

    def score(name, chosen):
        """The mean over seeds, in per cent, for images that may be chosen several times."""
        each = [runs[name, seed] for seed in (1, 2)]
        return float(np.mean([100 * s[chosen].sum() / n[chosen].sum() for s, n in each]))

    for row in found["rows"]:
        of, name, resampled = row["scores"]["accuracy"], row["recipe"], []
        singles = [100 * runs[name, s][0].sum() / runs[name, s][1].sum() for s in (1, 2)]
        assert of["mean"] == pytest.approx(np.mean(singles))
        assert of["standard_deviation"] == pytest.approx(np.std(singles, ddof=1))
        assert [of["lowest"], of["highest"]] == pytest.approx(sorted(singles))
        resampled = [score(name, chosen) for chosen in drawn]
        assert of["interval"] == pytest.approx(np.percentile(resampled, [2.5, 97.5]))
        entries = [
            json.loads((root / f"out/runs/{run}/scores.json").read_text())["val"]
            for run in row["runs"]
        ]
        gain = np.mean([entry["visual_gain"]["accuracy"] for entry in entries])
        assert of["visual_gain"][0] == pytest.approx(gain)
        best = [max(b["accuracy"] for n, b in e["baselines"].items() if "shuffled" not in n)
                for e in entries]  # fmt: skip
        assert of["baseline_gain"][0] == pytest.approx(np.mean(singles) - np.mean(best))
    (gap,) = found["differences"]
    first, second = (one.split()[0] for one in (gap["first"], gap["second"]))
    whole = np.arange(8)
    assert gap["difference"] == pytest.approx(score(first, whole) - score(second, whole))
    resampled = [score(first, chosen) - score(second, chosen) for chosen in drawn]
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert (gap["low"], gap["high"]) == pytest.approx((low, high))
    assert gap["excludes_zero"] == bool(low > 0 or high < 0)
    # All 256 ways to exchange the two configurations on some images, both seeds together.
    beyond = 0
    for exchanged in itertools.product([False, True], repeat=8):
        mask, differences = np.array(exchanged), []
        for seed in (1, 2):
            one, other = runs[first, seed], runs[second, seed]
            mine, theirs = np.where(mask, other[0], one[0]), np.where(mask, one[0], other[0])
            differences.append(100 * (mine.sum() - theirs.sum()) / one[1].sum())
        beyond += abs(np.mean(differences)) >= abs(gap["difference"]) - 1e-9
    assert gap["p_permutation"] == pytest.approx(beyond / 256, abs=0.03)
    assert gap["p_holm"] == gap["p_permutation"]


def test_a_mean_of_equal_runs_is_one_of_them():
    random = np.random.default_rng(1)
    one, other = (
        Statistic(np.column_stack([random.random(30), np.ones(30)]), mean) for _ in range(2)
    )
    assert compare(average([one] * 3), average([other] * 3)) == pytest.approx(compare(one, other))


# How a run ends.


def test_a_run_ends_at_its_time_limit_and_its_weights_count(tmp_path, data, in_this_process):
    changes = {"fast": ["train.epochs=2", *FAST]}
    found = saccade.sweep(usual(tmp_path, data, changes, minutes_per_run=1e-9))
    (row,) = found["rows"]
    assert (row["cut_short"], row["epochs"]) == (1, 1)
    run = tmp_path / "out/runs/data_ibowimg-small_fast_seed-0"
    (line,) = (run / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 1, "it ended within the epoch, not after it"
    scores = json.loads((run / "scores.json").read_text())["val"]
    assert row["scores"]["accuracy"]["mean"] == scores["accuracy"] == json.loads(line)["score"]
    assert "limit: 1 of 1" in (tmp_path / "out/table.md").read_text()
    again = saccade.sweep(usual(tmp_path, data, changes, minutes_per_run=10))
    assert len(in_this_process) == 2
    assert (again["rows"][0]["cut_short"], again["rows"][0]["epochs"]) == (0, 2)


def test_train_takes_no_negative_time(tmp_path, data):
    for minutes in (0, -1, float("nan")):
        with pytest.raises(BadConfig) as refused:
            saccade.train("ibowimg-small", data, tmp_path / "run", minutes=minutes)
        assert refused.value.location == "--minutes"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("raise RuntimeError('out of order')", "out of order"),
    ],
)
def test_a_process_that_dies_is_a_failed_run(tmp_path, data, monkeypatch, code, named):
    monkeypatch.setattr(running, "COMMAND", (sys.executable, "-c", code))
    found = saccade.sweep(usual(tmp_path, data, seeds=[0, 1]))
    assert len(found["failed"]) == 2
    assert all(named in reason for reason in found["failed"].values())
    assert all("logs" in reason for reason in found["failed"].values())


def test_two_sweeps_do_not_share_a_folder(tmp_path, data, in_this_process, monkeypatch):
    file = usual(tmp_path, data)

    def again(*_):
        with pytest.raises(BadRun) as refused:
            saccade.sweep(file)
        assert refused.value.location == str(tmp_path / "out")
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_in_its_own_process", again)
    with pytest.raises(KeyboardInterrupt):
        saccade.sweep(file)


def test_a_killed_sweep_goes_on_and_ends_as_if_it_had_not_been(tmp_path, data, in_this_process):
    """SIGKILL for the sweep: its training stops by itself, saved, and is resumed the next time."""
    file = usual(tmp_path, data, {"fast": ["train.epochs=5000", *FAST]})
    run = tmp_path / "out/runs/data_ibowimg-small_fast_seed-0"
    killed = subprocess.Popen([sys.executable, "-m", "saccade", "sweep", str(file)])
    while not (run / "log.jsonl").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    log, seen = run / "log.jsonl", None
    while seen != (seen := log.stat().st_mtime_ns):
        time.sleep(1)
    epochs = len(log.read_text().splitlines()) + 2
    assert epochs < 5000
    changes = [f"train.epochs={epochs}", *FAST]
    (row,) = saccade.sweep(usual(tmp_path, data, {"fast": changes}))["rows"]
    assert row["epochs"] == epochs
    recipe = load_recipe("ibowimg-small", [*changes, "train.seed=0"])
    train(recipe, data, tmp_path / "whole", device="cpu", console=QUIET)
    mine, whole = (
        load_tensors(one / "last/state.safetensors")[0] for one in (run, tmp_path / "whole")
    )
    assert mine.keys() == whole.keys()
    assert all((mine[name] == whole[name]).all() for name in mine)
    assert not was_cut_short(run, None)


def test_a_store_is_chosen_by_its_name(tmp_path):
    folder = make_world(tmp_path / "data", train=8, val=4)
    write_store(folder, "other")
    with pytest.raises(BadConfig) as refused:
        read_sweep(usual(tmp_path, folder.path))
    assert "--features" in refused.value.message
    (run,) = read_sweep(usual(tmp_path, folder.path, features="other")).runs
    assert run.features == "other"
