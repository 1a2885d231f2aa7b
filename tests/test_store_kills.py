"""Killed at any moment, written by two at once, larger than memory: a store stays a store."""

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core.errors import BadStore
from saccade.data.folder import DataFolder
from saccade.features import convert as stores_module
from saccade.features import progress, store_writer
from saccade.features.convert import convert_store
from saccade.features.extract import extract
from saccade.features.store import FeatureStore, read_header
from saccade.features.store_format import checksum, open_array, read_chunks
from saccade.features.store_writer import StoreWriter
from saccade.interop import import_features as import_module
from saccade.interop.import_features import import_features
from tests import feature_file_samples as samples
from tests.test_extract import files, folder_at, images  # noqa: F401
from tests.worlds import make_world

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]
MOMENTS = ("fsync", "replace", "link")
"""Calls of `os` that a store is written with; a process is killed just before one."""
CHUNK = 4


def killed_before(schedule_state: int, work: Callable[[], object], added: mmap.mmap) -> bool:
    """Do something in another process that dies before its n-th such call. False if it lived.

    `added` says how many rows were handed to the store before.
    """
    child = os.fork()
    if child == 0:
        try:
            _die_before(schedule_state, added)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def _die_before(schedule_state: int, added: mmap.mmap) -> None:
    left = [schedule_state]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def do(*given: object, **named: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return do

    def add(self: StoreWriter, **columns: np.ndarray) -> None:
        whole(self, **columns)
        added[0] = self._next
        counted(int)()  # rows that are written and not promised

    whole = StoreWriter.add
    StoreWriter.add = add  # type: ignore[method-assign, assignment]
    for name in MOMENTS:
        setattr(os, name, counted(getattr(os, name)))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "CHUNK", CHUNK)
    for module in (import_module, stores_module):
        monkeypatch.setattr(module, "TOGETHER", 2)


def _convert(folder: DataFolder, tmp_path: Path, name: str) -> Path:
    return convert_store(folder.store_path("cells"), scale="channel", pca=5, name=name)


def _import(folder: DataFolder, tmp_path: Path, name: str) -> Path:
    file = tmp_path / "files"
    if not file.exists():
        samples.write_bottom_up(file, [one.id for one in folder.images()])
    return import_features("bottom-up", file, folder.path, name=name, match="id")


def _extract(folder: DataFolder, tmp_path: Path, name: str) -> Path:
    return extract(
        folder.path, "timm:test_resnet", weights="random", size=64, batch_size=2, name=name
    )


EVERY = {_convert: 1, _import: 2, _extract: 3}
"""All moments of one way to write a store; of the others, which write alike, some of each kind."""


@pytest.mark.parametrize("make", EVERY)
def test_killed_at_any_moment_at_most_one_chunk_is_lost(
    make: Callable[[DataFolder, Path, str], Path],
    tmp_path: Path,
    images: Path,  # noqa: F811
) -> None:
    folder = make_world(tmp_path / "data", train=8, val=3)
    if make is _extract:
        folder = DataFolder(folder_at(tmp_path / "images", images, count=11))
    whole = files(make(folder, tmp_path, "whole"))
    added = mmap.mmap(-1, 1)
    for schedule_state in range(0, 1000, EVERY[make]):
        name, added[0] = f"try{schedule_state}", 0
        if not killed_before(schedule_state, lambda name=name: make(folder, tmp_path, name), added):
            break
        path = folder.store_path(name)
        promised = read_chunks(path)
        done = promised[-1].end if promised else 0
        assert added[0] - done <= CHUNK, schedule_state
        if (path / "header.json").exists():
            columns = read_header(path).columns() if promised else {}
            arrays = {one: open_array(path, one, *about) for one, about in columns.items()}
            assert all(checksum(arrays, *one[:2]) == one.crc32 for one in promised), schedule_state
            with pytest.raises(BadStore, match=f"{done} of 11 images are there"):
                FeatureStore.open(path)
        assert files(make(folder, tmp_path, name)) == whole, schedule_state
        FeatureStore.open(path).verify()
    assert schedule_state > 25


def test_two_processes_cannot_write_one_store(tmp_path: Path) -> None:
    """The second is told at once; when the first is killed, the way is free."""
    folder = make_world(tmp_path / "data", train=8, val=3)
    cells, (here, there) = folder.store_path("cells"), os.pipe()
    first = os.fork()
    if first == 0:

        def wait(self: StoreWriter, **columns: np.ndarray) -> None:
            os.write(there, b"!")
            signal.pause()

        StoreWriter.add = wait  # type: ignore[method-assign, assignment]
        try:
            convert_store(cells, dtype="int8", name="small")
        finally:
            os._exit(0)
    try:
        assert os.read(here, 1) == b"!"
        with pytest.raises(BadStore, match=r"small: another process is writing this store\. Wait"):
            convert_store(cells, dtype="int8", name="small")
        words = ["store", "convert", str(cells), "--dtype", "int8", "--name", "small"]
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 1
        assert "another process is writing" in told.stderr
        with pytest.raises(BadStore, match="not complete: 0 of 11"):
            FeatureStore.open(folder.store_path("small"))
    finally:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
    assert len(FeatureStore.open(convert_store(cells, dtype="int8", name="small"))) == 11


def test_sizes_are_said_before_anything_is_made(
    tmp_path: Path,
    images: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of an extraction, a conversion and an import: before the first row is written."""
    said: list[str] = []
    rows = StoreWriter.add

    def add(self: StoreWriter, *given: object, **columns: object) -> None:
        said.append("a row")
        rows(self, *given, **columns)  # type: ignore[arg-type]

    monkeypatch.setattr(StoreWriter, "add", add)
    monkeypatch.setattr(progress, "say", lambda text, style=None: said.append(text))
    extract(folder_at(tmp_path / "images", images, count=5), "timm:test_resnet", weights="random")
    assert "kB on disk in" in said[said.index("a row") - 1]
    folder = make_world(tmp_path / "data", train=8, val=3)
    said.clear()
    convert_store(folder.store_path("cells"), said.append, dtype="int8")  # type: ignore[arg-type]
    assert "kB become" in said[said.index("a row") - 1]
    said.clear()
    tsv = samples.write_bottom_up(tmp_path / "files", [p.id for p in folder.images()])
    say = said.append
    import_features("bottom-up", tsv, folder.path, say, match="id")  # type: ignore[arg-type]
    assert "MB on disk in" in said[said.index("a row") - 1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    folder = make_world(tmp_path / "data", train=8, val=3)
    (folder.path / "features" / "taken").touch()
    with pytest.raises(BadStore, match=r"taken: cannot be written .*go on with: saccade store"):
        convert_store(folder.store_path("cells"), dtype="int8", name="taken")


LARGE = """
import sys
import numpy as np
from pathlib import Path
from saccade.features.store import FeatureStore, StoreHeader
from saccade.features.store_format import Chunk, checksum, chunk_line, open_array
from saccade.features.store_writer import StoreWriter
from saccade.features.convert import convert_store

def peak():  # of this program alone, not of what started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

old = FeatureStore.open(sys.argv[1]).header
cells, dim = int(sys.argv[3]), 2048
count = 640 * 2**20 // (cells * dim * 2)
changes = dict(grid=(1, cells), regions=cells, dim=dim, ids_count=count, complete=False)
header, path = old.model_copy(update=changes), Path(sys.argv[2])
before = peak()
with StoreWriter(path, header, np.arange(count)):  # files of full length, of nothing but zeros
    arrays = {name: open_array(path, name, *about) for name, about in header.columns().items()}
    chunks = [(start, min(start + 256, count)) for start in range(0, count, 256)]
    lines = [chunk_line(Chunk(*one, checksum(arrays, *one), ())) for one in chunks]
    (path / "manifest.jsonl").write_bytes(b"".join(lines))
with StoreWriter(path, header, np.arange(count)) as writer:  # goes on: all is read
    assert writer.done == count
    writer.finish()
store = FeatureStore.open(path)
for rows in np.array_split(np.random.default_rng(0).permutation(count), -(-count // 32)):
    store.read(rows)
store.verify()
del store
if cells > 1:
    convert_store(path, dtype="int8")
print(peak() - before, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing says a peak here")
@pytest.mark.parametrize("cells", [1, 196])
def test_a_large_store_is_never_in_memory(tmp_path: Path, cells: int) -> None:
    """640 MiB, vectors or 14 x 14 cells: gone on with, read in any order, verified, converted."""
    cells_store = make_world(tmp_path / "data", train=8, val=3).store_path("cells")
    path = cells_store.with_name("large")
    command = [sys.executable, "-c", LARGE, str(cells_store), str(path), str(cells)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, peak = map(float, done.stdout.split())
    assert FeatureStore.open(path).header.nbytes() > 639 * 2**20
    assert grown < 450
    assert peak < 1024
