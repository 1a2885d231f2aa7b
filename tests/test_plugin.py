"""The example plugin: built, installed into a folder, and taken from prepare to compare."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.cli.app import app
from tests.processes import forked

PLUGIN = Path(__file__).parent.parent / "examples" / "plugin"
COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200), "grey": (128,) * 3}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that has the plugin as pip installs it: no network, no other environment."""
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    subprocess.run(["cp", "-r", PLUGIN, source], check=True)  # the build leaves files behind
    install = "-m pip install --quiet --no-deps --no-build-isolation --no-index --target"
    subprocess.run(
        [sys.executable, *install.split(), folder / "site", source],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    return folder / "site"


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Flash cards: one colour each."""
    folder = tmp_path_factory.mktemp("cards")
    random = np.random.default_rng(0)
    with (folder / "cards.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "question", "answer", "split"])
        for number in range(48):
            name = list(COLOURS)[number % 4]
            pixels = np.full((48, 48, 3), COLOURS[name]) + random.integers(-20, 20, (48, 48, 1))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
            split = "train" if number < 32 else "val" if number < 40 else "test"
            table.writerow([f"{number}.png", "what colour is it?", name, split])
    return folder


COMMANDS = """
import json, sys
from saccade.cli.app import app
for words in json.loads(sys.argv[1]):
    if status := app(words, prog_name="saccade", standalone_mode=False):
        sys.exit(status)
"""


def saccade(*commands, site):
    """Give commands in a process that has the plugin."""
    path = os.pathsep.join([str(site), str(PLUGIN.parent.parent)])
    words = json.dumps([[*map(str, command)] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def saccade_without_it(*words):
    """The same of one command, where no plugin is installed: as in this process."""
    return forked(lambda: app([str(word) for word in words], prog_name="saccade"))


def test_it_goes_all_the_way_from_prepare_to_compare(site, cards, tmp_path):
    data, run, page = tmp_path / "data", tmp_path / "run", tmp_path / "page.html"
    network = ("--backbone", "timm:test_resnet", "--weights", "random", "--size", 64)
    changes = (
        "--set",
        "train.epochs=2",
        "--set",
        "train.select_by=first_letter",
        "--device",
        "cpu",
    )
    asked = ("ask", run, cards / "0.png", "what colour is it?", "--device", "cpu")
    done = saccade(
        *(("list", kind) for kind in ("models", "sources", "metrics")),
        ("prepare", "flash-cards", "--root", cards, "--out", data),
        ("extract", data, *network, "--resize", "squash"),
        (
            "train",
            PLUGIN / "recipe.toml",
            "--data",
            data,
            "--out",
            run,
            "--device",
            "cpu",
            *changes,
        ),
        ("evaluate", run, "--device", "cpu"),
        asked,
        ("compare", run, "-o", page),
        site=site,
    )
    listed = done.stdout.partition("saccade extract")[0]
    assert all(name in listed for name in ("gated_fusion", "flash-cards", "first_letter"))
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {row["metric"] for row in log} == {"first_letter"}
    scores = json.loads((run / "scores.json").read_text())["test"]
    assert 0 <= scores["first_letter"] <= 1
    words = json.loads((run / "words.json").read_text())
    assert {"w", "h", "?"} <= set(words["vocabulary"]["words"])  # the plugin's tokenizer cut them
    answered = done.stdout.partition("scores.json")[2]
    assert any(name in answered for name in COLOURS)
    assert "First letter" in page.read_text()

    gone = saccade_without_it(*asked)
    assert gone.returncode == 1
    assert "gated_fusion" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_without_it_its_names_are_unknown(cards, tmp_path):
    out = tmp_path / "x"
    assert "gated_fusion" not in saccade_without_it("list", "models").stdout
    told = saccade_without_it("prepare", "flash-cards", "--root", cards, "--out", out)
    assert told.returncode == 1
    assert "flash-cards" in told.stderr
