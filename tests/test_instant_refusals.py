"""Wrong paths and runs are refused at once: without torch, in a fraction of a second."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saccade.core.run_files import RUN_FORMAT
from tests.worlds import make_world

ROOT = Path(__file__).parent.parent
REFUSALS = [
    ("evaluate no-run", "no-run/run.json"),
    ("evaluate old", "old/run.json"),
    ("faithfulness no-run", "no-run/run.json"),
    ("faithfulness some --boxes no-boxes.json", "no-boxes.json"),
    ("ask no-run image.png why?", "no-run/run.json"),
    ("ask old no-image.png why?", "no-image.png"),
    ("caption no-run image.png", "no-run/run.json"),
    ("predict no-run --out a.csv", "no-run/run.json"),
    ("explain no-run image.png why?", "no-run/run.json"),
    ("score p.json --data no-data", "no-data"),
    ("score image.json --data data --out old", "old"),
    ("explain no-run no-image.png why?", "no-image.png"),
    ("explain no-run --split val", "no-run/run.json"),
    ("caption no-run image.png --explain data", "no-run/run.json"),
    ("export no-run --out graphs", "no-run/run.json"),
    ("serve no-run", "no-run/run.json"),
    ("serve old", "old/run.json"),
    ("serve some other=some", "twice"),
    ("serve some --host 0.0.0.0", "--host"),
    ("serve some --token-file no-token", "no-token"),
    ("serve some --host no.such.host --token-file token", "--host"),
    ("serve some --port 1 --host 192.0.2.1 --token-file token", "--host"),
    ("serve some --allow-origin example.org", "--allow-origin"),
    ("serve some --cache much", "cache"),
    ("serve some --device abacus", "--device"),
    ("compare old no-run", "old/run.json"),
    ("compare name=no-run", "no-run/run.json"),
    ("train show-atend-tell --data data --out run", "show-attend-tell"),
    ("train show-attend-tell --data data --out run --set train.epoch=3", "epoch"),
    ("train show-attend-tell --data no-data --out run", "no-data"),
    ("train show-attend-tell --data data --out old", "old"),
    ("train show-attend-tell --data data --out run --from no-run", "no-run/run.json"),
    ("train show-attend-tell --data data --out no-run --resume", "no-run/run.json"),
    ("train show-attend-tell --data data --out run --keep some", "--keep"),
    ("train show-attend-tell --data data --out run --logger wand", "wand"),
    ("train show-attend-tell --data data --out run --logger no.such:thing", "no.such:thing"),
    ("push-to-hub no-run me/it --dry-run", "no-run/run.json"),
    ("push-to-hub no-run me/it", "no-run/run.json"),
    ("average no-run --out run", "no-run/run.json"),
    ("ensemble old no-run --out run", "old/run.json"),
    ("train show-attend-tell --data data --out old --resume --seeds 2", "old"),
    ("sweep no.toml", "no.toml"),
    ("check no-data", "no-data"),
    ("check data --probe", "--recipe"),
    ("check data --recipe show-atend-tell", "show-attend-tell"),
    ("advise no-data", "no-data"),
    ("extract no-data --backbone timm:resnet18", "no-data"),
    ("extract old --backbone timm:resnet18", "dataset.json"),
    ("train show-attend-tell --data old --out run", "dataset.json"),
]
"""Commands, and the file, folder or field that the refusal names."""
COMMANDS = """
import json, sys
from saccade.cli.main import main
from tests.processes import forked

def refuse(words):
    sys.argv = ["saccade", *words]
    try:
        main()
    finally:
        heavy = {"torch", "torchvision", "timm", "transformers", "matplotlib", "numpy", "pyarrow"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)

done = [forked(lambda: refuse(command.split())) for command in json.loads(sys.argv[1])]
print(json.dumps([(one.returncode, one.stderr) for one in done]))
"""
"""Each in a fork of one process that has imported the command line, and nothing heavy."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data folder, an image, and a run folder of another format."""
    root = tmp_path_factory.mktemp("refusals")
    make_world(root / "data", train=4, val=2)
    (root / "image.png").write_bytes(b"")
    (root / "token").write_text("a-token-of-thirty-letters-0123")
    (root / "some").mkdir()
    (root / "some/run.json").write_text(json.dumps({"format": RUN_FORMAT}))
    (root / "old").mkdir()
    (root / "old/run.json").write_text(json.dumps({"format": 1}))
    return root


@pytest.fixture(scope="module")
def told(place):
    """Status of each command, and what it says."""
    commands = [words for words, _ in REFUSALS]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=place, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(zip(commands, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("words", "named"), REFUSALS)
def test_it_is_refused_at_once(told, words, named):
    status, said = told[words]
    assert status == 1, said
    assert said.startswith("error: "), said
    assert said.count("\n") == 1, said
    assert named in said


def test_training_starts_without_what_it_may_not_need():
    """Checks come before Fabric, the first step before Matplotlib; timm only with an encoder."""
    code = """
import sys, saccade.training.train
heavy = {"lightning_fabric", "torchmetrics", "timm", "torchvision", "transformers", "matplotlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
