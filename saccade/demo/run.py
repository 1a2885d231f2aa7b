"""The demonstration: data, backbone, features, two models, scores and a page, from drawn images.

The steps are those for real data: official file layouts, `prepare`, `extract --weights`, `train`,
`evaluate`. It needs no network and no GPU, and about two minutes on two cores.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from rich.console import Console

from saccade.core.console import show_progress
from saccade.core.errors import BadConfig, BadData
from saccade.core.files import write_text
from saccade.core.settings import Settings
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.demo.backbone import NAME, OPTIONS, TrainedBackbone, train_backbone
from saccade.demo.page import Results, Samples, page_content, summary
from saccade.evaluation.attention_grounding import measure_attention_grounding, read_boxes
from saccade.evaluation.evaluate import evaluate
from saccade.features.extract import extract
from saccade.inference.explain import explain_image
from saccade.inference.predictor import load
from saccade.recipes.load import load_recipe
from saccade.training.train import train
from saccade.viz.html import fill

LIST = "made.json"


class DemoFolder:
    """A folder, and a list of the files in it that the demonstration made.

    It may be filled again and again: no file of anybody else is ever deleted.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder, which need not exist. Raises BadData for one that is not a demo's."""
        self.path = path
        self._files: set[str] = set()
        self._part: str | None = None
        """The part that is being made: all in it is ours, except for what was there before."""
        self._kept: set[str] = set()
        """The files that were there before."""

        def refused(message: str, hint: str, file: Path = path) -> BadData:
            return BadData(message, location=file, hint=f"Give {hint}.")

        if path.exists() and not path.is_dir():
            raise refused("is a file", "another --out")
        file, other = path / LIST, "another --out, or delete the folder yourself"
        if file.exists():
            try:
                about: Any = json.loads(file.read_text(encoding="utf-8"))
                self._files, self._part = set(about["files"]), about["part"]
                self._kept = set(about["kept"])
                names = [PurePosixPath(name) for name in (*self._files, self._part or "")]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise refused("is no list of files", other, file) from None
            if any(name.is_absolute() or ".." in name.parts for name in names):
                raise refused("names files outside its folder", other, file)
        elif path.exists() and any(path.iterdir()):
            message = "holds other things, and nothing that `saccade demo` made"
            raise refused(message, "a new or an empty folder as --out")

    def clear(self) -> None:
        """Delete what an earlier demonstration made, and folders that this leaves empty."""
        if self._part is not None:
            self._files |= _files_in(self.path, self._part) - self._kept
        folders: set[Path] = set()
        for name in self._files:
            file = self.path / name
            if file.resolve().is_relative_to(self.path.resolve()):  # no way out by a link
                file.unlink(missing_ok=True)
                folders |= {self.path / above for above in PurePosixPath(name).parents}
        for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
            if folder not in (self.path, Path()) and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        self._files, self._part, self._kept = set(), None, set()
        self.path.mkdir(parents=True, exist_ok=True)
        self._write()

    @contextmanager
    def making(self, part: str) -> Iterator[Path]:
        """Make one part, a file or a folder: `part` is its path below the demonstration's."""
        self._part, self._kept = part, _files_in(self.path, part) - self._files
        self._write()
        yield self.path / part
        self._files |= _files_in(self.path, part) - self._kept
        self._part, self._kept = None, set()
        self._write()

    def _write(self) -> None:
        about: dict[str, Any] = {"made_by": "saccade demo", "part": self._part}
        about |= {"kept": sorted(self._kept), "files": sorted(self._files)}
        write_text(self.path / LIST, json.dumps(about, indent=1))


def _files_in(root: Path, part: str) -> set[str]:
    """All files of a part, as paths below `root` with forward slashes."""
    path = root / part
    found = [path] if path.is_file() else path.rglob("*")
    return {file.relative_to(root).as_posix() for file in found if not file.is_dir()}


STORE = "shapes"


class DemoSettings(Settings):
    """How large the demonstration is. Smaller ones learn less."""

    train: int = 1500
    """Training images."""
    val: int = 200
    """Images that select the best epoch."""
    test: int = 300
    """Images that are used once, at the end."""
    size: int = 128
    """Side of an image in pixels."""
    backbone_epochs: int = 4
    vqa: str = "show-ask-attend-answer-small"
    """The recipe of the model that answers."""
    caption: str = "show-attend-tell-small"
    """The recipe of the model that describes."""
    changes: tuple[str, ...] = ()
    """Of both recipes, as `--set` takes them."""


class _Clock:
    """Prints each stage and measures its time."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stages: list[tuple[str, float, float]] = []
        """Name, seconds and CPU seconds."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.console.print(f"\n[bold]{name}[/bold]")
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        seconds = time.perf_counter() - wall
        self.stages.append((name, seconds, time.process_time() - cpu))
        self.console.print(f"[dim]{seconds:.1f} s[/dim]")


def demo(
    out: Path = Path("demo"),
    *,
    seed: int = 0,
    device: str = "cpu",
    settings: DemoSettings | None = None,
    console: Console | None = None,
) -> Path:
    """Make the whole demonstration, and return the path of its page, `report.html`.

    Beside it stands `answer.png`, the first answer explained.

    Equal seeds give equal scores on one machine.

    Args:
        out: The folder to fill. Files of an earlier demonstration are replaced, others stay.
        seed: Of the images, the backbone and both models.
        device: "cpu", "cuda", ...
        settings: How large it is, and with which recipes.
        console: Shows the progress.

    Raises:
        BadData: `out` holds other things.
        BadConfig: A recipe does not exist or is of another task.
    """
    chosen, console = settings or DemoSettings(), console or Console(highlight=False)
    recipes = {}
    for task in TASK_INFO:
        name = getattr(chosen, task)
        recipe = load_recipe(name, (f"train.seed={seed}", *chosen.changes))
        if recipe.task != task:
            hint = "Choose one from: saccade list recipes."
            raise BadConfig(f"{name} is no {task} recipe", hint=hint)
        recipes[task] = name, recipe
    folder, clock = DemoFolder(out), _Clock(console)
    folder.clear()
    backbone = _make_data(folder, clock, chosen, seed, device)
    with ExitStack() as afterwards:
        # Models this small are faster on one thread than on two that wait for each other.
        afterwards.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        for task, (name, recipe) in recipes.items():
            with clock.stage(f"Training {name}"), folder.making(f"runs/{task}") as run:
                data = out / "data"
                train(recipe, data, run, name=name, features=STORE, device=device, console=console)
        with clock.stage("Scoring on the test images"), show_progress():
            results = _score(folder, backbone, device)
        with clock.stage("Drawing attention maps"), show_progress():
            samples = Samples(DataFolder(out / "data"), "test")
            content = page_content(results, samples)
            with folder.making("answer.png") as drawing:
                question = samples.questions[samples.first_of_each_kind()[0]]
                image = samples.files[question.image_id]
                explain_image(results.runs["vqa"], image, drawing, question.text)
    with folder.making("report.html") as page:
        write_text(page, fill("demo/page.html.j2", **content, stages=clock.stages))
    console.print("\n[bold]Done[/bold]", *summary(results), sep="\n", soft_wrap=True)
    console.print(f"\n[bold]Open {page}[/bold] in a browser, or type:", soft_wrap=True)
    for purpose, lines in content["commands"]:
        console.print(f"\n[dim]{purpose}[/dim]\n{lines}", markup=True, soft_wrap=True)
    return page


def _make_data(
    folder: DemoFolder, clock: _Clock, chosen: DemoSettings, seed: int, device: str
) -> TrainedBackbone:
    """Make images, and a data folder with features."""
    shapes, data = folder.path / "shapes", folder.path / "data"
    numbers: dict[Split, int] = {"train": chosen.train, "val": chosen.val, "test": chosen.test}
    with clock.stage(f"Drawing {sum(numbers.values()):,} images"), folder.making("shapes"):
        make_shapes(shapes, images=numbers, seed=seed, size=chosen.size)
    with clock.stage("Reading them back as VQA v2 and Karpathy files"), folder.making("data"):
        prepare("vqa-v2+karpathy", shapes, data)
    with clock.stage("Training a small backbone"), folder.making("backbone.safetensors") as weights:
        size, epochs = chosen.size, chosen.backbone_epochs
        backbone = train_backbone(
            shapes, weights, size=size, epochs=epochs, seed=seed, device=device
        )
        share = f"{backbone.accuracy:.0%}"
        clock.console.print(f"It names {share} of the cells with a shape correctly.")
    with clock.stage("Extracting features, once"), folder.making(f"data/features/{STORE}"):
        network = {"weights": str(weights), "options": OPTIONS, "size": size, "resize": "squash"}
        extract(data, NAME, **network, name=STORE, device=device)
    return backbone


def _score(folder: DemoFolder, backbone: TrainedBackbone, device: str) -> Results:
    """Score both runs on the test images, beside the baselines."""
    data, scores, predictions = DataFolder(folder.path / "data"), {}, {}
    for task in TASK_INFO:
        with folder.making(f"runs/{task}") as run:
            scores[task] = evaluate(run, split="test", features=STORE, device=device)
            rows = json.loads((run / "predictions.json").read_text(encoding="utf-8"))
            predictions[task] = dict(row.values() for row in rows)
    runs = {task: load(folder.path / "runs" / task, device) for task in TASK_INFO}
    boxes = read_boxes(folder.path / "shapes" / "boxes.json")
    grounding = measure_attention_grounding(runs["vqa"], data, boxes)
    return Results(folder.path, backbone, runs, scores, predictions, boxes, grounding)
