"""`saccade check` on a made-up data set of 100,000 images, in wall and CPU seconds.

    python -m benchmarks.check [IMAGES]

Each image has four questions, a file of a few bytes and a vector of 2,048 numbers, so all that
grows with the number of images is there; the features that are read are a sample of 128 MiB
whatever their shape.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from saccade.checks.check import check
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Collection, ImageRecord, Question
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.statistics import FILE, file_statistics, image_statistics
from saccade.features.store import StoreHeader, images_fingerprint
from saccade.features.store_writer import StoreWriter

IMAGES, DIM, TOGETHER = 100_000, 2048, 200
BAR = 60.0
"""CPU seconds."""
THINGS = ("cat", "dog", "cow", "fox", "bus", "car", "red", "big")


def main() -> None:
    """Make the data, check it, and leave with status 1 above the bar."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    with tempfile.TemporaryDirectory() as place:
        folder = _data(Path(place), count)
        _store(folder)
        wall, cpu = time.perf_counter(), time.process_time()
        findings = check(folder)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{count:,} images: {wall:.1f} s, {cpu:.1f} CPU s (bar: {BAR:.0f})")
    print("findings:", ", ".join(one.name for one in findings) or "none")
    sys.exit(cpu > BAR)  # others may be at work


def _data(place: Path, count: int) -> DataFolder:
    images, questions = [], []
    (place / "images").mkdir()
    for i in range(count):
        split = "train" if i % 10 else "val"
        images.append(ImageRecord(i, f"{i}.jpg", split))  # type: ignore[arg-type]
        (place / "images" / f"{i}.jpg").write_bytes(b"%d" % i)
        for j in range(4):
            kind = (i // (j + 1)) % len(THINGS)
            text = f"What is the thing number {j} in place {i % 50}?"
            given = (THINGS[(kind + j) % len(THINGS)],)
            questions.append(Question(4 * i + j, i, text, split, given, given[0]))  # type: ignore[arg-type]
    write_folder(place / "data", Collection("made-up", str(place / "images"), images, questions))
    return DataFolder(place / "data")


def _store(folder: DataFolder) -> None:
    images, random = folder.images(), np.random.default_rng(0)
    grey = (0.5, 0.5, 0.5)
    settings = Preprocessing(
        height=224, width=224, resize="squash", mean=grey, std=grey, interpolation="bilinear"
    )
    header = StoreHeader(
        backbone=BackboneSpec(name="timm:resnet50", weights="made-up"),
        preprocessing=settings,
        grid=(1, 1),
        regions=1,
        dim=DIM,
        dtype="float16",
        statistics=True,
        ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command="",
    )
    ids = np.array([image.id for image in images])
    shown = random.normal(0, 1, (len(THINGS), DIM)).astype(np.float32)
    with StoreWriter(folder.store_path("made-up"), header, ids) as writer:
        for start in range(0, len(ids), TOGETHER):
            some = ids[start : start + TOGETHER]
            drawn = random.standard_normal((len(some), 1, DIM), np.float32)
            features = (drawn + shown[some % len(THINGS)][:, None]).astype(np.float16)
            files = np.zeros(len(some), FILE)
            for place, image in enumerate(images[start : start + TOGETHER]):
                file = folder.image_root / image.file
                files[place] = file_statistics(file, file.read_bytes())
            counts = np.ones(len(some), np.int32)
            table = image_statistics(features, counts, header.grid, files)
            writer.add(features, counts, np.full((len(some), 2), 224), statistics=table)
        writer.finish()


if __name__ == "__main__":
    main()
