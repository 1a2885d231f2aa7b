"""The example for programs without PyTorch, in an environment that has only what it names.

A new virtual environment gets numpy, pillow and onnxruntime, in the versions of constraints.txt;
`examples/onnx/answer.py` answers and captions there, and is compared with the runs. It needs pip
and a place from which pip installs.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import saccade
from saccade.data.folder import DataFolder
from saccade.datasets.shapes import make_shapes

PACKAGES = ("numpy", "pillow", "onnxruntime")
EXAMPLE = Path("examples/onnx/answer.py")
RECIPES = ("show-ask-attend-answer-small", "adaptive-attention-small")
QUESTIONS = ("What color is the large thing?", "Is there a red square?", "How many are there?")


def prove() -> list[str]:
    """The images and questions for which the example says something else than the run."""
    from tests.worlds import write_untrained_run

    problems = []
    with TemporaryDirectory() as folder:
        root = Path(folder)
        python = _environment(root / "alone")
        make_shapes(root / "shapes", images={"train": 40, "val": 4, "test": 10}, size=64)
        data = saccade.prepare("vqa-v2+karpathy", root / "shapes", root / "data")
        saccade.extract(
            data, "timm:test_resnet", weights="random", size=64, resize="squash", device="cpu"
        )
        images = sorted((root / "shapes/images").iterdir())[:10]
        for recipe in RECIPES:
            path = write_untrained_run(DataFolder(data), recipe, root / recipe)
            graphs = saccade.export(path, root / f"{recipe} graphs").folder
            run = saccade.load(path, device="cpu")
            for image in images:
                if run.task == "vqa":
                    pairs = [([one], run.ask(image, one).text) for one in QUESTIONS]
                else:
                    pairs = [([], run.caption(image, beam_size=1).text)]
                for question, wanted in pairs:
                    told = _told(python, EXAMPLE, graphs, image, *question)
                    if told != wanted:
                        problems.append(f"{recipe}, {image.name}: {told!r}, not {wanted!r}")
            print(f"{recipe}: compared on {len(images)} images", flush=True)
    return problems


def _environment(folder: Path) -> str:
    """Make a virtual environment; the path of its Python, which has neither torch nor saccade."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin/python")
    install = [python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", *PACKAGES]
    subprocess.run(install, check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    print("installed:", *listed)
    assert not [one for one in listed if re.match("torch|saccade", one)]
    return python


def _told(*words: object) -> str:
    """What a program prints, without what a checkout or an installation could give it."""
    command = [str(word) for word in words]
    command.insert(1, "-I")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).rstrip("\n")
