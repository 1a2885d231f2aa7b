"""The feature store: reading against a plain copy of the same bytes, and memory.

    python -m benchmarks.store [STORE]

Random batches of 32 pictures are read from a store mapped into memory, and as many bytes are copied
from an array in memory: first equal, then CPU seconds in turn. Bytes with a scale become float32 on
the way; that is compared with a copy of what was asked for, the float32 numbers. The store is
made up in COCO's shape (14 x 14 x 2048, 200 pictures) unless one is named. Then a fresh process
reads a store of 2 GiB from end to end, and its peak resident memory is taken.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import timing
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.store import FeatureStore, StoreHeader
from saccade.features.store_writer import StoreWriter
from saccade.stores import convert_store

BATCH = 32
ROUNDS = 9
BAR = 0.667
"""Of a copy's speed: 1.5 times its seconds at most."""
GIB = 2**30
LARGE = 2 * GIB


def main() -> None:
    """Measure; `main large PATH` is the process that reads a large store."""
    if sys.argv[1:2] == ["large"]:
        _read_all(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        # First: a process begins with the peak of the one that started it.
        large = _make(Path(folder) / "large", LARGE // (196 * 2048 * 2), sparse=True)
        command = [sys.executable, "-m", "benchmarks.store", "large", str(large)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        size, peak = json.loads(done.stdout)
    timing.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else _make(Path(folder) / "grid", 200)
        linked = Path(folder) / "store"
        linked.symlink_to(given.absolute())
        store = FeatureStore.open(linked)
        small = [FeatureStore.open(convert_store(linked, scale=s)) for s in ("row", "channel")]
        cases = [_bytes_case("as stored, " + store.header.dtype, store, BAR)]
        cases += [_bytes_case(f"as stored, int8, {one.header.scale}", one, BAR) for one in small]
        cases += [_numbers_case(f"int8, {one.header.scale}, to float32", one) for one in small]
        timings = timing.measure(cases, ROUNDS)
    limit = timing.Limit(f"reading {size / GIB:.1f} GiB", f"{size / GIB:.1f} GiB", peak, 1.0, "GiB")
    try:
        timing.report("Reading 32 pictures: a plain copy, and the store", timings)
    finally:
        timing.report_limits("Peak resident memory (torch itself: 0.5 GiB)", [limit])


def _bytes_case(name: str, store: FeatureStore, bar: float | None) -> timing.Case:
    """What is copied from the map, against a copy of the same bytes from memory."""
    order = _batches(store)
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
    order = _batches(store)[:4]
    held = store.read(np.arange(len(store)))[0]
    wanted, got = (torch.from_numpy(x) for x in (held[order[0]], store.read(order[0])[0]))
    timing.require_equal(name, timing.relative_difference(wanted, got))
    return timing.Case(
        name,
        lambda: [held[rows] for rows in order],
        lambda: [store.read(rows) for rows in order],
        None,
    )


def _batches(store: FeatureStore) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    count = min(BATCH, len(store))
    return [np.sort(random.choice(len(store), count, replace=False)) for _ in range(20)]


def _make(path: Path, pictures: int, *, sparse: bool = False) -> Path:
    """A store of that many pictures; `sparse` leaves its numbers 0, which takes no room on disk."""
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
        grid=(14, 14),
        regions=196,
        dim=2048,
        dtype="float16",
        ids_count=pictures,
        dataset_fingerprint="",
        complete=False,
        command="python -m benchmarks.store",
    )
    path.mkdir(parents=True)
    if sparse:
        for name, (shape, kind) in header.columns().items():
            np.lib.format.open_memmap(path / f"{name}.npy", "w+", kind, shape)
        np.save(path / "ids.npy", np.arange(pictures))
        whole = header.model_copy(update={"complete": True})
        (path / "header.json").write_text(whole.model_dump_json(), encoding="utf-8")
        return path
    random = np.random.default_rng(0)
    with StoreWriter(path, header, np.arange(pictures)) as writer:
        for _ in range(pictures):
            features = random.random((1, 196, 2048), dtype=np.float32)
            writer.add(features, np.array([196]), np.array([[448, 448]]))
        writer.finish()
    return path


def _read_all(path: Path) -> None:
    store = FeatureStore.open(path)
    for begin in range(0, len(store), BATCH):
        store.read(np.arange(begin, min(begin + BATCH, len(store))))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    sys.stdout.write(json.dumps([store.features.nbytes, peak]))


if __name__ == "__main__":
    main()
