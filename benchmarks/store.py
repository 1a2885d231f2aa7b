"""The feature store: reading against a plain copy of the same bytes, and memory.

    python -m benchmarks.store [STORE]

Random batches of 32 images are read from a store mapped into memory, and as many bytes are copied
from an array in memory: first equal, then CPU seconds in turn. Bytes with a scale become float32 on
the way; that is compared with a copy of the float32 numbers. The store is
made up in COCO's shape (14 x 14 x 2048, 200 images) unless one is named; another has a vector for
each image and is so large that it is let go of while it is read. Then fresh processes read stores
of 2 GiB in any order, and their peak resident memory is taken.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import timing
from saccade.features.convert import convert_store
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.store import FeatureStore, StoreHeader
from saccade.features.store_writer import StoreWriter

BATCH = 32
ROUNDS = 9
BAR = 0.667
"""Of a copy's speed: 1.5 times its seconds at most."""
GIB = 2**30
LARGE = 2 * GIB
SIDES = {"14 x 14 cells": 14, "boxes, as many as 36 cells": 6, "vectors": 1}
"""What the large stores have of each image: rows and columns of a grid."""


def main() -> None:
    """Measure; `main large PATH` is the process that reads a large store."""
    if sys.argv[1:2] == ["large"]:
        _read_all(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        # First: a process begins with the peak of the one that started it.
        peaks = {name: _peak(Path(folder) / name, side) for name, side in SIDES.items()}
    timing.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else _make(Path(folder) / "grid", 200)
        linked = Path(folder) / "store"
        linked.symlink_to(given.absolute())
        store = FeatureStore.open(linked)
        small = [FeatureStore.open(convert_store(linked, scale=s)) for s in ("row", "channel")]
        vectors = FeatureStore.open(_make(Path(folder) / "vectors", 100_000, 1))
        cases = [_bytes_case("as stored, " + store.header.dtype, store, BAR)]
        cases += [_bytes_case("as stored, float16, vectors", vectors, None, batches=500)]
        cases += [_bytes_case(f"as stored, int8, {one.header.scale}", one, BAR) for one in small]
        cases += [_numbers_case(f"int8, {one.header.scale}, to float32", one) for one in small]
        timings = timing.measure(cases, ROUNDS)
    limits = [
        timing.Limit(f"reading {name}", f"{LARGE / GIB:.1f} GiB", peak, 1.0, "GiB")
        for name, peak in peaks.items()
    ]
    try:
        timing.report("Reading 32 images: a plain copy, and the store", timings)
    finally:
        timing.report_limits("Peak resident memory (torch itself: 0.5 GiB)", limits)


def _bytes_case(
    name: str, store: FeatureStore, bar: float | None, *, batches: int = 20
) -> timing.Case:
    """What is copied from the map, against a copy of the same bytes from memory."""
    order = _batches(store, batches)
    held = np.array(store.features)
    if not np.array_equal(store.copy(order[0]), held[order[0]]):
        raise AssertionError(f"{name}: the store reads other bytes")
    return timing.Case(
        name,
        lambda: [held[rows] for rows in order],
        lambda: [store.copy(rows) for rows in order],
        bar,
    )


def _numbers_case(name: str, store: FeatureStore) -> timing.Case:
    """What a batch is handed, against a copy of it from memory."""
    order = _batches(store, 4)
    held = store.read(np.arange(len(store)))[0]
    wanted, got = (torch.from_numpy(x) for x in (held[order[0]], store.read(order[0])[0]))
    timing.require_equal(name, timing.relative_difference(wanted, got))
    return timing.Case(
        name,
        lambda: [held[rows] for rows in order],
        lambda: [store.read(rows) for rows in order],
        None,
    )


def _batches(store: FeatureStore, batches: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    count = min(BATCH, len(store))
    return [np.sort(random.choice(len(store), count, replace=False)) for _ in range(batches)]


def _peak(path: Path, side: int) -> float:
    """Peak resident GiB of a process that reads 2 GiB of numbers."""
    _make(path, LARGE // (side * side * 2048 * 2), side, sparse=True)
    command = [sys.executable, "-m", "benchmarks.store", "large", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _make(path: Path, images: int, side: int = 14, *, sparse: bool = False) -> Path:
    """A store of that many images; `sparse` leaves its numbers 0, which takes no space on disk."""
    cells = side * side
    header = StoreHeader(
        backbone=BackboneSpec(name="timm:resnet152", weights="random"),
        preprocessing=Preprocessing(
            height=448,
            width=448,
            resize="squash",
            mean=(0, 0, 0),
            std=(1, 1, 1),
            interpolation="bilinear",
        ),
        grid=(side, side),
        regions=cells,
        dim=2048,
        dtype="float16",
        ids_count=images,
        dataset_fingerprint="",
        complete=False,
        command="python -m benchmarks.store",
    )
    path.mkdir(parents=True)
    if sparse:
        for name, (shape, kind) in header.columns().items():
            np.lib.format.open_memmap(path / f"{name}.npy", "w+", kind, shape)
        np.save(path / "ids.npy", np.arange(images))
        whole = header.model_copy(update={"complete": True})
        (path / "header.json").write_text(whole.model_dump_json(), encoding="utf-8")
        return path
    random = np.random.default_rng(0)
    with StoreWriter(path, header, np.arange(images)) as writer:
        for start in range(0, images, BATCH):
            count = min(BATCH, images - start)
            features = random.random((count, cells, 2048), dtype=np.float32)
            writer.add(features, np.full(count, cells), np.full((count, 2), 448))
        writer.finish()
    return path


def _read_all(path: Path) -> None:
    store = FeatureStore.open(path)
    order = np.random.default_rng(0).permutation(len(store))
    for start in range(0, len(store), BATCH):
        store.read(order[start : start + BATCH])
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB))


if __name__ == "__main__":
    main()
