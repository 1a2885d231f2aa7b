"""Faithfulness of every system: the tables of docs/measured/faithfulness.md, no benchmark of time.

    python -m benchmarks.faithfulness FOLDER [RECIPE ...]
    python -m benchmarks.faithfulness FOLDER --real [rad-images|flickr ...]

Draws Shapes in FOLDER, trains its backbone and the small recipe of each system (or of those that
are named), seed 1, and measures the maps of the test split; what is there is not made again.
`--real` trains a recipe on data folders of `benchmarks.small_data`; these are measured on the
validation split.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import saccade
from benchmarks.small_data import folder
from saccade.core.formatting import table
from saccade.data.records import Split
from saccade.datasets.shapes import make_shapes
from saccade.demo.backbone import NAME, OPTIONS, train_backbone
from saccade.recipes.load import load_recipe

IMAGES: Mapping[Split, int] = {"train": 1000, "val": 100, "test": 200}
SEED = 1
QUESTIONS, CAPTIONS = 200, 70
"""Examples at most: of a caption three words count."""
SYSTEMS = (
    *("show-ask-attend-answer-small", "san-small", "joint-embedding-small", "mcan-small"),
    *("pitvqa-small", "ibowimg-small", "lstm-cnn-small", "show-attend-tell-small"),
    *("adaptive-attention-small", "att2in-small", "up-down-small", "aoa-small"),
    *("transformer-small", "show-tell-small"),
)
REAL = {"rad-images": "show-ask-attend-answer-small", "flickr": "show-attend-tell-small"}
EPOCHS = {"vqa": 12, "caption": 4}
HEAD = (
    "system", "map", "deletion", "occlusion", "random", "gain", "insertion", "rho",
    "times", "pointing", "checks",
)  # fmt: skip


def main() -> None:
    """Train, measure, and print a table."""
    root, *names = sys.argv[1:]
    if names[:1] == ["--real"]:
        found = [_real(name, Path(root)) for name in names[1:] or REAL]
    else:
        data = _shapes(Path(root))
        found = [_system(name, data, Path(root)) for name in names or SYSTEMS]
    print(table([[*(f"| {cell}" for cell in HEAD[:-1]), f"| {HEAD[-1]} |"], *map(_row, found)]))


def _shapes(root: Path) -> Path:
    """A data folder of Shapes with the features of a backbone that was trained on it."""
    shapes, data, weights = root / "shapes", root / "data", root / "backbone.safetensors"
    if not (data / "features" / "shapes" / "header.json").exists():
        make_shapes(shapes, images=IMAGES, seed=SEED)
        saccade.prepare("vqa-v2+karpathy", shapes, data)
        print("backbone:", train_backbone(shapes, weights, size=128, epochs=4, seed=SEED))
        made: dict[str, Any] = {"weights": weights, "options": OPTIONS, "size": 128}
        saccade.extract(data, NAME, **made, resize="squash", name="shapes", device="cpu")
    return data


def _system(name: str, data: Path, root: Path) -> dict[str, Any]:
    """The scores of a recipe on Shapes."""
    caption = load_recipe(name).task == "caption"
    run = root / "runs" / name
    if not (run / "curves.png").exists():
        changes = [f"train.seed={SEED}", f"train.epochs={EPOCHS['caption' if caption else 'vqa']}"]
        saccade.train(name, data, run, features="shapes", changes=changes, device="cpu")
    boxes = root / "shapes" / ("scenes.json" if caption else "boxes.json")
    limit = CAPTIONS if caption else QUESTIONS
    return saccade.faithfulness(run, split="test", limit=limit, boxes=boxes, device="cpu")


def _real(name: str, root: Path) -> dict[str, Any]:
    """The scores of a documented recipe on small real data."""
    data, run = folder(name, root), root / "runs" / f"{name}-{REAL[name]}"
    if not (run / "curves.png").exists():
        saccade.train(REAL[name], data, run, changes=[f"train.seed={SEED}"], device="cpu")
    limit = QUESTIONS if name != "flickr" else CAPTIONS
    return saccade.faithfulness(run, split="val", limit=limit, device="cpu")


def _row(scores: Mapping[str, Any]) -> tuple[str, ...]:
    """A line of the table, as Markdown has it."""

    def shown(found: Mapping[str, Any] | None) -> str:
        return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else "-"

    deletion, pointing = scores["deletion"], (scores["pointing"] or {}).get("boxes")
    times, landed = scores["changed"]["times"], "-"
    if pointing:
        landed = " / ".join(
            f"{100 * pointing[key]:.1f}"
            for key in ("landed", "landed_by_chance", "landed_by_middle")
        )
    failed = [name for name, check in scores["checks"].items() if not check["passed"]]
    return tuple(
        f"| {cell}"
        for cell in (
            scores["recipe"],
            scores["map"],
            *(f"{deletion[kind]['value']:.3f}" for kind in ("map", "occlusion", "random")),
            shown(scores["gain"]["deletion"]),
            f"{scores['insertion']['map']['value']:.3f}",
            shown(scores["agreement_with_occlusion"]),
            "-" if times is None else f"{times:.1f}",
            landed,
            f"fails: {', '.join(failed)} |" if failed else "passes |",
        )
    )


if __name__ == "__main__":
    main()
