"""Small real data: documented commands and automatic recipes, on images that are held out once.

    python -m benchmarks.small_data FOLDER [rad-images|rad-records|flickr ...] [--final]

Of VQA-RAD's images and of 2,250 Flickr8k photos a fifth is the test split (`held_out.json`, drawn
with seed 7); `rad-records` holds out a fifth of VQA-RAD's records instead, as its makers split
them, whose images training sees as well. The data, found by SACCADE_REAL_DATA, is prepared and
extracted in FOLDER, then a sweep trains three seeds and scores them on the validation split, which
is the one to choose settings by; those of the automatic recipe are joined into an ensemble, too.
`--final` scores the held-out split; each time is noted in FOLDER/final.log.
"""

import csv
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

import saccade

HELD_OUT = Path(__file__).with_name("held_out.json")
SEED = 7
RECIPES = {
    "rad-images": ("show-ask-attend-answer", "joint-embedding", "auto-vqa"),
    "rad-records": ("show-ask-attend-answer", "joint-embedding", "auto-vqa"),
    "flickr": ("show-attend-tell-small", "auto-caption"),
}
VALIDATION = {"rad-images": 50, "flickr": 200}
"""Images beside those that are held out."""
MOBILENET: dict[str, Any] = {
    "options": {"pad_type": "same"},
    "size": 224,
    "resize": "squash",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}
MINUTES = 20


def main() -> None:
    """Prepare, extract, train, and print one table for each data folder that is named."""
    names = [one for one in sys.argv[2:] if one != "--final"] or list(RECIPES)
    split: Literal["val", "test"] = "test" if "--final" in sys.argv else "val"
    root = Path(sys.argv[1]).resolve()
    for name in names:
        data = folder(name, root)
        plan = root / f"{name}-{split}.toml"
        lines = {
            "data": [str(data)],
            "recipes": RECIPES[name],
            "seeds": [1, 2, 3],
            "split": split,
            "minutes_per_run": MINUTES,
            "out": str(root / f"sweep-{name}-{split}"),
        }
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
        plan.write_text(text, encoding="utf-8")
        table = saccade.sweep(plan, report=print)
        joined = ensemble(root / f"sweep-{name}-{split}", RECIPES[name][-1], split)
        if split == "test":
            with (root / "final.log").open("a", encoding="utf-8") as log:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                row = {"at": now, "data": name, "rows": table["rows"], **joined}
                log.write(json.dumps(row) + "\n")
        print(Path(table["files"]["table.md"]).read_text(encoding="utf-8"), joined)


def ensemble(sweep: Path, recipe: str, split: Literal["val", "test"]) -> dict[str, Any]:
    """The scores of an ensemble of a recipe's seeds."""
    out = sweep / f"ensemble-{recipe}"
    if not (out / "run.json").exists():
        saccade.ensemble(sorted((sweep / "runs").glob(f"*_{recipe}_seed-*")), out)
    scores = saccade.evaluate(out, split=split)
    metrics = (name for name in ("accuracy", "bleu_4", "cider") if name in scores)
    return {"ensemble": {name: scores[name] for name in metrics}}


def folder(name: str, root: Path) -> Path:
    """The data folder of that name below `root`, with its features; made where it is not there."""
    data = root / name
    if not (data / "dataset.json").exists():
        real = Path(os.environ.get("SACCADE_REAL_DATA", "../shared/data")).resolve()
        raw = root / f"{name}-raw"
        raw.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Any] = {}
        if name == "flickr":
            _write_flickr(real / "flickr8k-2250", raw)
        else:
            _write_rad(real / "vqa-rad", raw, by_image=name == "rad-images")
            kept = {} if name == "rad-images" else {"overlap": "keep"}
        saccade.prepare(None, raw, data, **kept)
        weights = real.parent / "weights" / "mobilenetv2_100.safetensors"
        saccade.extract(data, "timm:mobilenetv2_100", weights=weights, **MOBILENET)
    return data


def drawn(names: Sequence[str]) -> list[str]:
    """The names in an order drawn with `SEED`: the first fifth is held out."""
    order = np.random.default_rng(SEED).permutation(len(names))
    return [sorted(names)[place] for place in order]


def splits(name: str, names: Sequence[str]) -> dict[str, str]:
    """The split of each image. Raises ValueError where others are held out than were."""
    order, fifth = drawn(names), len(names) // 5
    held_out = json.loads(HELD_OUT.read_text(encoding="utf-8"))[name]
    if sorted(order[:fifth]) != held_out:
        raise ValueError(f"{HELD_OUT.name} holds out other images of {name}: is the data whole?")
    validation = order[fifth : fifth + VALIDATION[name]]
    return (
        dict.fromkeys(names, "train")
        | dict.fromkeys(validation, "val")
        | dict.fromkeys(held_out, "test")
    )


def _write_rad(real: Path, raw: Path, *, by_image: bool) -> None:
    records = json.loads((real / "trainset.json").read_text(encoding="utf-8"))
    (raw / "images").symlink_to(real / "images")
    of = splits("rad-images", sorted({one["image_name"] for one in records}))
    shares = np.random.default_rng(SEED).random(len(records))
    with (raw / "rad.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "question", "answer", "split", "question_type"])
        for one, share in zip(records, shares, strict=True):
            by_record = "test" if share < 0.2 else "val" if share < 0.36 else "train"
            split = of[one["image_name"]] if by_image else by_record
            kind = one["answer_type"].strip()
            table.writerow([one["image_name"], one["question"], one["answer"], split, kind])


def _write_flickr(real: Path, raw: Path) -> None:
    about = json.loads((real / "dataset_flickr8k_2250.json").read_text(encoding="utf-8"))
    (raw / "images").symlink_to(real / "images")
    of = splits("flickr", sorted(image["filename"] for image in about["images"]))
    for image in about["images"]:
        image["split"] = of[image["filename"]]
    (raw / "dataset_flickr8k.json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
