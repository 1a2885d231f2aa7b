"""Everything once, on images drawn on the spot: data, eye, features, two models, scores, a page.

The way is the one that real data goes: official file layouts, `prepare`, `extract --weights`,
`train`, `evaluate`. It needs no network and no GPU, and about two minutes on two cores.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import torch
from rich.console import Console

from saccade.config import Recipe
from saccade.core.errors import BadConfig, BadData
from saccade.core.files import write_bytes
from saccade.core.settings import Settings
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.demo.backbone import NAME, OPTIONS, Taught, teach_backbone
from saccade.demo.page import Made, Measured, Samples, build_report, summary
from saccade.evaluation.attention_grounding import measure_attention_grounding, read_boxes
from saccade.evaluation.evaluate import evaluate
from saccade.features.extract import extract
from saccade.inference.predictor import load
from saccade.recipes.catalogue import load_recipe
from saccade.training.train import train
from saccade.viz.html import Stage, render

# A folder that the demonstration may fill again and again without ever harming anybody's files.

LIST = "made.json"


class DemoFolder:
    """A folder, and what in it is the demonstration's own."""

    def __init__(self, path: Path) -> None:
        """Open a folder, which need not exist. Raises BadData for one that is not a demo's."""
        self.path = path
        self._files: set[str] = set()
        self._began: str | None = None
        """The part that is being made: all in it is ours, but for what was there before."""
        self._kept: set[str] = set()
        """What was there before."""
        if path.exists() and not path.is_dir():
            raise BadData("is a file", location=path, hint="Give another --out.")
        if (path / LIST).exists():
            self._read()
        elif path.exists() and any(path.iterdir()):
            raise BadData(
                "holds other things, and nothing that `saccade demo` made",
                location=path,
                hint="Give a new or an empty folder as --out.",
            )

    def clear(self) -> None:
        """Delete what an earlier demonstration made, and folders that this leaves empty."""
        if self._began is not None:
            self._files |= _files_in(self.path, self._began) - self._kept
        folders: set[Path] = set()
        for name in self._files:
            file = self.path / name
            if file.resolve().is_relative_to(self.path.resolve()):  # no way out by a link
                file.unlink(missing_ok=True)
                folders |= {self.path / above for above in PurePosixPath(name).parents}
        for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
            if folder not in (self.path, Path()) and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        self._files, self._began, self._kept = set(), None, set()
        self.path.mkdir(parents=True, exist_ok=True)
        self._write()

    @contextmanager
    def making(self, part: str) -> Iterator[Path]:
        """Make one part, a file or a folder: `part` is its path below the demonstration's."""
        self._began, self._kept = part, _files_in(self.path, part) - self._files
        self._write()
        yield self.path / part
        self._files |= _files_in(self.path, part) - self._kept
        self._began, self._kept = None, set()
        self._write()

    def _write(self) -> None:
        about = {
            "made_by": "saccade demo",
            "began": self._began,
            "kept": sorted(self._kept),
            "files": sorted(self._files),
        }
        write_bytes(self.path / LIST, json.dumps(about, indent=1).encode())

    def _read(self) -> None:
        file = self.path / LIST
        hint = "Give another --out, or delete the folder yourself."
        try:
            about: Any = json.loads(file.read_text(encoding="utf-8"))
            files, began, kept = about["files"], about["began"], about["kept"]
            names = [PurePosixPath(name) for name in (*files, *([began] if began else []))]
        except (ValueError, KeyError, TypeError):
            raise BadData("is no list of files", location=file, hint=hint) from None
        if any(name.is_absolute() or ".." in name.parts for name in names):
            raise BadData("names files outside its folder", location=file, hint=hint)
        self._files, self._began, self._kept = set(files), began, set(kept)


def _files_in(root: Path, part: str) -> set[str]:
    """All files of a part, as paths below `root` with forward slashes."""
    path = root / part
    found = [path] if path.is_file() else path.rglob("*")
    return {file.relative_to(root).as_posix() for file in found if not file.is_dir()}


STORE = "shapes"


class DemoSettings(Settings):
    """How large the demonstration is. Smaller ones learn less."""

    train: int = 1500
    """Images to learn from."""
    val: int = 200
    """Images that choose the best epoch."""
    test: int = 300
    """Images that are looked at once, at the end."""
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
    """Says which stage begins, and remembers what each one cost."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stages: list[Stage] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.console.print(f"\n[bold]{name}[/bold]")
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        stage = Stage(name, time.perf_counter() - wall, time.process_time() - cpu)
        self.stages.append(stage)
        self.console.print(f"[dim]{stage.seconds:.1f} s[/dim]")


def demo(
    out: Path = Path("demo"),
    *,
    seed: int = 0,
    device: str = "cpu",
    settings: DemoSettings | None = None,
    console: Console | None = None,
) -> Path:
    """Make the whole demonstration in `out`; returns the path of its page, `report.html`.

    What an earlier demonstration left in `out` is made anew; nothing else is touched. Equal seeds
    give equal scores on one machine. Raises BadData where `out` holds other things, BadConfig for
    recipes that are not there or of another task.
    """
    chosen, console = settings or DemoSettings(), console or Console(highlight=False)
    recipes = {
        "vqa": _recipe(chosen, "vqa", seed),
        "caption": _recipe(chosen, "caption", seed),
    }
    folder, clock = DemoFolder(out), _Clock(console)
    folder.clear()
    taught = _make_data(folder, clock, chosen, seed, device)
    with _one_thread():
        for task, (name, recipe) in recipes.items():
            with clock.stage(f"Training {name}"), folder.making(f"runs/{task}") as run:
                train(
                    recipe,
                    out / "data",
                    run,
                    name=name,
                    features=STORE,
                    device=device,
                    console=console,
                )
        with clock.stage("Scoring on the test images"):
            made, measured = _score(folder, taught, device)
        with clock.stage("Drawing where they looked"):
            report = build_report(made, Samples(DataFolder(out / "data"), "test"), measured)
    report = replace(report, stages=clock.stages)
    with folder.making("report.html") as page:
        write_bytes(page, render(report).encode())
    console.print("\n[bold]Done[/bold]", *summary(measured), sep="\n", soft_wrap=True)
    console.print(f"\n[bold]Open {page}[/bold] in a browser, or type:", soft_wrap=True)
    for what, lines in report.commands:
        console.print(f"\n[dim]{what}[/dim]\n{lines}", markup=True, soft_wrap=True)
    return page


def _recipe(chosen: DemoSettings, task: Literal["vqa", "caption"], seed: int) -> tuple[str, Recipe]:
    """Name and settings of what one task is shown with."""
    name = getattr(chosen, task)
    recipe = load_recipe(name, (f"train.seed={seed}", *chosen.changes))
    if recipe.task != task:
        raise BadConfig(
            f"{name} is no {task} recipe", hint="Choose one from: saccade list recipes."
        )
    return name, recipe


@contextmanager
def _one_thread() -> Iterator[None]:
    """Models this small are quicker on one thread than on two that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make_data(
    folder: DemoFolder, clock: _Clock, chosen: DemoSettings, seed: int, device: str
) -> Taught:
    """From nothing to a data folder with features."""
    shapes, data = folder.path / "shapes", folder.path / "data"
    numbers: dict[Split, int] = {"train": chosen.train, "val": chosen.val, "test": chosen.test}
    with clock.stage(f"Drawing {sum(numbers.values()):,} images"), folder.making("shapes"):
        make_shapes(shapes, images=numbers, seed=seed, size=chosen.size)
    with clock.stage("Reading them back as VQA v2 and Karpathy files"), folder.making("data"):
        prepare("vqa-v2+karpathy", shapes, data)
    with (
        clock.stage("Teaching a small network to see"),
        folder.making("backbone.safetensors") as weights,
    ):
        epochs = chosen.backbone_epochs
        taught = teach_backbone(
            shapes, weights, size=chosen.size, epochs=epochs, seed=seed, device=device
        )
        clock.console.print(f"Of the cells with a shape it names {taught.shapes:.0%} rightly.")
    with clock.stage("Extracting features, once"), folder.making(f"data/features/{STORE}"):
        extract(
            data,
            NAME,
            weights=str(weights),
            options=OPTIONS,
            name=STORE,
            size=chosen.size,
            resize="squash",
            device=device,
        )
    return taught


def _score(folder: DemoFolder, taught: Taught, device: str) -> tuple[Made, Measured]:
    """Judge both runs on the test images, beside what needs no image."""
    data, scores, said = DataFolder(folder.path / "data"), {}, {}
    for name in TASK_INFO:
        with folder.making(f"runs/{name}") as run:
            scores[name] = evaluate(run, split="test", features=STORE, device=device)
            said[name] = json.loads((run / "predictions.json").read_text(encoding="utf-8"))
    runs = {name: load(folder.path / "runs" / name, device) for name in TASK_INFO}
    boxes = read_boxes(folder.path / "shapes" / "boxes.json")
    attention_grounding = measure_attention_grounding(runs["vqa"], data, boxes)
    measured = Measured(taught, scores["vqa"], scores["caption"], attention_grounding)
    answers = {row["question_id"]: row["answer"] for row in said["vqa"]}
    captions = {row["image_id"]: row["caption"] for row in said["caption"]}
    return Made(folder.path, runs, answers, captions, boxes), measured
