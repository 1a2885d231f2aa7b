"""Predictions: from a store against single calls, from image files against extraction, and memory.

    python -m benchmarks.predictions [IMAGES]

A run with weights as drawn answers the questions of a split from its store, and the same ones by
single calls of `Run.ask` on images that are encoded already. Then images are predicted from their
files, and encoded by `extract` into a new store: the ratio is what prediction costs beside the
encoding, which both do. Last, fresh processes predict 500 images and IMAGES (50,000), and their
peak resident memory is compared.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import timing
from saccade.api import predict
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.features.extract import extract
from saccade.features.store import FeatureStore
from saccade.inference.explain import encode_stored
from saccade.inference.predictor import load
from tests.worlds import write_untrained_run

STORE_BAR, FILES_BAR = 5.0, 1 / 1.15
COUNT = 96
"""Images of the split."""
WORDS = 12
"""Of a caption, its end included: COCO's have ten or eleven."""
FEW, MANY = 500, 50_000
RUNS = (("vqa", "show-ask-attend-answer"), ("caption", "show-attend-tell"))
MIB = 2**20
BACKBONE = {"weights": "random", "size": 224, "resize": "squash", "device": "cpu"}


def main() -> None:
    """Measure; `main memory RUN FOLDER` is the process whose memory is taken."""
    if sys.argv[1:2] == ["memory"]:
        _predict_folder(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    with tempfile.TemporaryDirectory() as folder:
        peaks = _peaks(Path(folder), many)
    limits = [timing.Limit(f"{many:,} images, beside {FEW}", "-", peaks[1] - peaks[0], 64, "MiB")]
    timing.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        timings = timing.measure(_cases(Path(folder)), rounds=3)
    try:
        timing.report("Predictions: single calls or extraction, and saccade predict", timings)
    finally:
        timing.report_limits(f"Peak resident memory, above the {peaks[0]:.0f} MiB of {FEW}", limits)


def _cases(root: Path) -> list[timing.Case]:
    make_shapes(root / "shapes", images={"train": 24, "val": 6, "test": COUNT}, size=224)
    data = DataFolder(prepare("vqa-v2+karpathy", root / "shapes", root / "data"))
    store = FeatureStore.open(extract(data.path, "timm:resnet50", name="grid", **BACKBONE))
    runs = {kind: write_untrained_run(data, recipe, root / kind) for kind, recipe in RUNS}
    header = json.loads((runs["caption"] / "run.json").read_text(encoding="utf-8"))
    header["recipe"]["decode"]["max_length"] = WORDS  # weights as drawn never end a caption
    (runs["caption"] / "run.json").write_text(json.dumps(header), encoding="utf-8")

    def extracted() -> None:
        shutil.rmtree(data.store_path("again"), ignore_errors=True)
        extract(data.path, "timm:resnet50", name="again", **BACKBONE)
        shutil.rmtree(data.store_path("again"))

    run = load(runs["vqa"], "cpu")
    questions = data.questions("test")
    encoded = {one.image_id: encode_stored(run, store, [one.image_id])[0] for one in questions}
    given = [(image, one.text) for one in questions if (image := encoded[one.image_id])]
    every = [str(data.image_root / image.file) for image in data.images()]
    asked = {"vqa": ["what color is the circle?"], "caption": []}
    return [
        timing.Case(
            f"{len(given)} questions, from a store",
            lambda: [run.ask(image, text, refuse_unknown=False) for image, text in given],
            lambda: predict(runs["vqa"], data.path, out=root / "store.json", device="cpu"),
            STORE_BAR,
        ),
        *(
            timing.Case(
                f"{len(every)} image files, {kind}",
                extracted,
                partial(
                    predict,
                    runs[kind],
                    *every,
                    out=root / "files.json",
                    questions=asked[kind],
                    device="cpu",
                ),
                FILES_BAR,
            )
            for kind in runs
        ),
    ]


def _peaks(root: Path, many: int) -> list[float]:
    """Peak resident MiB of processes that predict few images, and many."""
    make_shapes(root / "shapes", images={"train": 24, "val": 6, "test": 6}, size=64)
    data = DataFolder(prepare("vqa-v2+karpathy", root / "shapes", root / "data"))
    small = {**BACKBONE, "size": 64}
    extract(data.path, "timm:test_resnet", **small)
    run = write_untrained_run(data, "show-ask-attend-answer-small", root / "run")
    image = data.image_root / data.images()[0].file
    found = []
    for count in (FEW, many):
        folder = root / str(count)
        folder.mkdir()
        for number in range(count):
            if number % 10_000 == 0:  # a file has so many names at most
                shutil.copy(image, copy := root / f"{count}-{number}.png")
            os.link(copy, folder / f"{number:06d}.png")
        command = [sys.executable, "-m", "benchmarks.predictions", "memory", str(run), str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(float(done.stdout))
    return found


def _predict_folder(run: Path, folder: Path) -> None:
    out = folder.with_suffix(".jsonl")
    predict(run, folder, out=out, questions=["what color is the circle?"], device="cpu")
    with out.open(encoding="utf-8") as file:
        if sum(1 for _ in file) != len(list(folder.iterdir())):
            raise AssertionError("a prediction is missing")
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # not that of its parent, too
    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
    sys.stdout.write(str(kilobytes * 1024 / MIB))


if __name__ == "__main__":
    main()
