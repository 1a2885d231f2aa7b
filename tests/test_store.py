"""The feature store: what is written is what is read, after any crash."""

import json
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from saccade.core import files as room
from saccade.core.errors import BadStore
from saccade.data.records import ImageRecord
from saccade.features.preprocessing import boxes_in_image, grid_boxes
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.store import FeatureStore, Skipped, StoreHeader, images_fingerprint
from saccade.features.store_writer import StoreWriter

IDS = np.array([3, 5, 8, 13, 21, 34, 55, 89, 144, 233], dtype=np.int64)
IMAGES = [ImageRecord(int(number), f"{number}.jpg", "train") for number in IDS]
SQUASH = Preprocessing(
    height=32, width=32, resize="squash", mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"
)
CUT = SQUASH.model_copy(update={"resize": "shorter_side", "resize_to": 40})


def header(**changes: object) -> StoreHeader:
    values = {
        "backbone": BackboneSpec(name="timm:test_resnet", weights="random"),
        "preprocessing": SQUASH,
        "grid": (2, 3),
        "regions": 6,
        "dim": 5,
        "dtype": "float16",
        "ids_count": len(IDS),
        "dataset_fingerprint": images_fingerprint(IMAGES),
        "complete": False,
        "command": "saccade extract DATA --backbone timm:test_resnet --weights random",
    }
    return StoreHeader(**{**values, **changes})


def content(about: StoreHeader, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    count = about.ids_count
    arrays = {
        "features": random.normal(size=(count, about.regions, about.dim)).astype(about.dtype),
        "counts": np.full(count, about.regions, np.int32),
        "sizes": random.integers(40, 400, (count, 2)).astype(np.int32),
    }
    if about.grid is None:
        arrays["counts"] = random.integers(1, about.regions + 1, count).astype(np.int32)
        arrays["boxes"] = random.random((count, about.regions, 4)).astype(np.float32)
    return arrays


def fill(writer: StoreWriter, arrays: dict[str, np.ndarray], *, until: int, step: int = 1) -> None:
    """Write rows `step` at a time up to `until`, closing a chunk after every third row."""
    for row in range(writer.done, until, step):
        some = {name: array[row : row + step] for name, array in arrays.items()}
        skipped = [Skipped(13, "13.jpg", "damaged: \u00fc")] if row <= 3 < row + step else []
        writer.add(**some, skipped=skipped)
        if (row + step) % 3 == 0:
            writer.close_chunk()


def make(path: Path, about: StoreHeader | None = None) -> dict[str, np.ndarray]:
    about = about or header()
    arrays = content(about)
    with StoreWriter(path, about, IDS) as writer:
        fill(writer, arrays, until=len(IDS))
        writer.finish()
    return arrays


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features" / "net-32"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("grid", [(2, 3), None])
def test_what_is_written_is_read(path: Path, dtype: str, grid: tuple[int, int] | None) -> None:
    about = header(dtype=dtype, grid=grid)
    arrays = make(path, about)
    store = FeatureStore.open(path, images=reversed(IMAGES))
    assert store.header == about.model_copy(update={"complete": True})
    assert len(store) == 10
    assert np.array_equal(store.ids, IDS)
    assert np.array_equal(store.counts, arrays["counts"])
    rows = store.rows([233, 3, 3, 55])
    assert rows.tolist() == [9, 0, 0, 6]
    features, mask = store.read(rows)
    assert features.dtype == np.dtype(dtype)
    assert features.flags.writeable
    assert features.flags.c_contiguous
    assert np.array_equal(features, arrays["features"][rows])
    assert mask.dtype == bool
    assert np.array_equal(mask.sum(axis=1), arrays["counts"][rows])
    assert (mask == (np.arange(6) < arrays["counts"][rows][:, None])).all()
    wanted = grid_boxes(2, 3)[None] if grid else arrays["boxes"][rows]
    assert np.array_equal(store.boxes(rows), np.broadcast_to(wanted, (4, 6, 4)))
    store.verify()


def test_boxes_of_cropped_images_are_boxes_of_the_original(path: Path) -> None:
    arrays = make(path, header(preprocessing=CUT))
    store = FeatureStore.open(path)
    boxes = store.boxes(np.array([4, 7]))
    for row, found in zip((4, 7), boxes, strict=True):
        width, height = map(int, arrays["sizes"][row])
        assert np.array_equal(found, boxes_in_image(grid_boxes(2, 3), CUT, width, height))
    assert not np.array_equal(boxes[0], boxes[1])


def test_features_are_mapped_and_cannot_be_changed(path: Path) -> None:
    make(path)
    store = FeatureStore.open(path)
    assert isinstance(store.features.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.features[0] = 0


def test_skipped_images_are_kept_by_name(path: Path) -> None:
    make(path)
    assert FeatureStore.open(path).skipped() == [Skipped(13, "13.jpg", "damaged: \u00fc")]
    said = json.loads((path / "skipped.json").read_text(encoding="utf-8"))
    assert said == [{"id": 13, "file": "13.jpg", "reason": "damaged: \u00fc"}]


def test_ids_that_are_not_there_are_named(path: Path) -> None:
    make(path)
    store = FeatureStore.open(path)
    for strange in (4, -1, 10**12):
        with pytest.raises(BadStore, match=f"no features of image {strange}, nor of 0 others"):
            store.rows(np.array([3, strange]))
    assert store.rows([]).shape == (0,)


class Sums(Dataset[float]):
    """A data set over a store, as training has one."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> float:
        if number >= 4:
            raise IndexError
        features, _ = self.store.read(np.arange(len(self.store)))
        return float(features.astype(np.float64).sum())


def test_workers_open_the_files_themselves(path: Path) -> None:
    arrays = make(path)
    store = FeatureStore.open(path)
    pickled = pickle.dumps(store)
    assert len(pickled) < 500
    wanted = float(arrays["features"].astype(np.float64).sum())
    assert Sums(pickle.loads(pickled))[0] == wanted
    forked = DataLoader(Sums(store), batch_size=None, num_workers=2)
    assert list(forked) == [wanted] * 4


def test_a_store_that_is_not_complete_names_the_command_that_goes_on(path: Path) -> None:
    with StoreWriter(path, header(), IDS) as writer:
        fill(writer, content(header()), until=7)
    with pytest.raises(BadStore, match=r"6 of 10 images are there\. Go on with: saccade extract"):
        FeatureStore.open(path)


def test_a_store_for_other_images_is_told(path: Path) -> None:
    make(path)
    others = [*IMAGES[:-1], IMAGES[-1]._replace(file="other.jpg")]
    with pytest.raises(BadStore, match="for other images"):
        FeatureStore.open(path, images=others)
    moved = [image._replace(split="test") for image in IMAGES]
    FeatureStore.open(path, images=moved)  # splits may change


def _cut(name: str, size: int):
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:size])


def _save(name: str, array: np.ndarray):
    return lambda path: np.save(path / name, array)


def _say(old: str, new: str):
    def change(path: Path) -> None:
        text = (path / "header.json").read_text()
        assert old in text
        (path / "header.json").write_text(text.replace(old, new))

    return change


DAMAGE = {
    "no folder": (shutil.rmtree, "there is no feature store"),
    "no features": (lambda path: (path / "features.npy").unlink(), r"features\.npy: missing"),
    "no ids": (lambda path: (path / "ids.npy").unlink(), r"ids\.npy: missing"),
    "cut features": (
        _cut("features.npy", 500),
        r"features\.npy: not whole: its 500 bytes .*\. Delete .*: saccade",
    ),
    "empty counts": (
        _cut("counts.npy", 0),
        r"counts\.npy: not whole: its 0 bytes",
    ),
    "cut header": (_cut("header.json", 50), r"header\.json: unreadable"),
    "other shape": (_save("features.npy", np.zeros((10, 5, 5), np.float16)), "the header says"),
    "other type": (_save("features.npy", np.zeros((10, 6, 5), np.float32)), "the header says"),
    "objects": (_save("features.npy", np.array([{}] * 10, dtype=object)), "not whole"),
    "equal ids": (_save("ids.npy", np.full(10, 3)), "do not rise"),
    "newer": (_say('"format": 3', '"format": 4'), "format: Input should be 3"),
    "grid": (_say('"regions": 6', '"regions": 7'), "does not have 7 regions"),
    "unknown field": (_say('"grid"', '"grit"'), "grid: Field required"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_stores_are_told(path: Path, case: str) -> None:
    make(path)
    harm, message = DAMAGE[case]
    harm(path)
    with pytest.raises(BadStore, match=message) as caught:
        FeatureStore.open(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_changed_bytes_are_found_by_verify(path: Path) -> None:
    make(path)
    for name, stride in (("features.npy", 60), ("counts.npy", 4), ("sizes.npy", 8)):
        data = bytearray((path / name).read_bytes())
        data[-4 * stride] ^= 1  # row 6
        (path / name).write_bytes(data)
        with pytest.raises(BadStore, match="rows 6 to 8 have changed"):
            FeatureStore.open(path).verify()
        data[-4 * stride] ^= 1
        (path / name).write_bytes(data)
    FeatureStore.open(path).verify()


class Crash(Exception):
    """Stands for the power cut."""


@given(
    stops=st.lists(st.integers(0, 12), max_size=4),
    torn=st.integers(0, 40),
    spoilt=st.integers(0, 9),
)
@settings(max_examples=25)
def test_any_number_of_crashes_leaves_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], torn: int, spoilt: int
) -> None:
    """Stopped after any row, with half a journal line and rubbish where nothing was promised."""
    path = tmp_path_factory.mktemp("crash") / "store"
    arrays = content(header())
    for stop in stops:
        with suppress(Crash), StoreWriter(path, header(), IDS) as writer:
            fill(writer, arrays, until=min(stop, len(IDS)))
            done = writer.done
            raise Crash
        with (path / "manifest.jsonl").open("ab") as stream:
            stream.write(b'{"start": 0, "end": 3, "crc32": 12345, "skipped": []}'[:torn])
        with (path / "features.npy").open("r+b") as stream:
            stream.seek(-(10 - max(done, spoilt)) * 60, 2)
            stream.write(b"\xaa" * 60)
    with StoreWriter(path, header(), IDS) as writer:
        fill(writer, arrays, until=len(IDS))
        writer.finish()
    whole = path.with_name("whole")
    make(whole)
    assert files(path) == files(whole)
    FeatureStore.open(path).verify()


def test_a_chunk_that_went_bad_is_written_again(path: Path) -> None:
    arrays = content(header())
    with StoreWriter(path, header(), IDS) as writer:
        fill(writer, arrays, until=9)
        assert writer.done == 9
    with (path / "features.npy").open("r+b") as stream:
        stream.seek(-6 * 60, 2)  # row 4, in the second chunk of three
        stream.write(b"\0" * 60)
    with StoreWriter(path, header(), IDS) as writer:
        assert writer.done == 3
        fill(writer, arrays, until=len(IDS))
        writer.finish()
    FeatureStore.open(path).verify()
    assert np.array_equal(FeatureStore.open(path).features, arrays["features"])


def test_rows_go_in_as_they_come(path: Path) -> None:
    arrays = content(header())
    with StoreWriter(path, header(), IDS) as writer:
        fill(writer, arrays, until=10, step=2)
        writer.finish()
    assert np.array_equal(FeatureStore.open(path).features, arrays["features"])


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": BackboneSpec(name="timm:resnet18")},
        {"preprocessing": CUT},
        {"dtype": "float32"},
        {"dim": 6},
        {"grid": (3, 2)},
        {"dataset_fingerprint": "another"},
    ],
)
def test_a_store_begun_otherwise_is_not_gone_on_with(
    path: Path, changes: dict[str, object]
) -> None:
    with StoreWriter(path, header(), IDS) as writer:
        fill(writer, content(header()), until=5)
    before = files(path)
    with pytest.raises(BadStore, match=f"begun with another {next(iter(changes))}: "):
        StoreWriter(path, header(**changes), IDS)
    with pytest.raises(BadStore, match="other ids"):
        StoreWriter(path, header(), IDS + 1)
    assert files(path) == before
    with StoreWriter(path, header(command="another way to say it"), IDS) as writer:
        assert writer.done == 3


def test_a_complete_store_says_so_and_stays(path: Path) -> None:
    make(path)
    before = files(path)
    with StoreWriter(path, header(), IDS) as writer:
        assert writer.complete
    assert files(path) == before


def test_two_processes_cannot_write_one_store(path: Path) -> None:
    with (
        StoreWriter(path, header(), IDS),
        pytest.raises(BadStore, match="another process is writing"),
    ):
        StoreWriter(path, header(), IDS)
    StoreWriter(path, header(), IDS).__exit__(None, None, None)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage(1000, 900, 100))
    with pytest.raises(BadStore, match="needs 720 bytes, 100 bytes are free"):
        StoreWriter(path, header(), IDS)
    assert not path.exists()


def test_what_systems_leave_everywhere_does_not_stop_a_store(path: Path) -> None:
    path.mkdir(parents=True)
    (path / ".DS_Store").write_bytes(b"a window's place")
    make(path)
    with StoreWriter(path, header(), IDS) as writer:
        assert writer.complete
    assert (path / ".DS_Store").exists()


@pytest.mark.parametrize("lost", ["header.json", "manifest.jsonl"])
@pytest.mark.parametrize("free", [100, 10**9])
def test_a_store_that_was_copied_in_part_is_not_written_over(
    path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, free: int
) -> None:
    make(path)
    (path / lost).unlink()
    before = files(path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage(10**9, 0, free))
    with pytest.raises(BadStore, match=f"of a feature store, but no {lost}"):
        StoreWriter(path, header(), IDS)
    assert files(path) == before


def test_a_full_disk_names_the_command_that_goes_on(path: Path) -> None:
    class Full:
        def seek(self, _: int) -> None: ...

        def close(self) -> None: ...

        def fileno(self) -> int:
            return stream.fileno()

        def write(self, _: object) -> None:
            raise OSError(28, "No space left on device")

    with StoreWriter(path, header(), IDS) as writer:
        stream = writer._files["features"]
        writer._files["features"] = Full()
        with pytest.raises(BadStore, match=r"No space left.*go on with: saccade extract"):
            fill(writer, content(header()), until=3)
        stream.close()


@pytest.mark.parametrize("rows", [1, 4])
def test_a_mistake_before_the_first_rows_are_safe_leaves_nothing(path: Path, rows: int) -> None:
    """A defect, a kill, and a store with rows leave all that is there."""
    arrays = content(header())

    def write(error: type[BaseException], until: int) -> None:
        with StoreWriter(path, header(), IDS) as writer:
            (path / "backbone.safetensors").touch()
            fill(writer, arrays, until=until)
            raise error("full", hint="Wait.") if error is BadStore else error

    for error in (KeyboardInterrupt, ValueError, BadStore):
        with pytest.raises(error):
            write(error, rows)
        assert path.exists() == (error is not BadStore or rows >= 3)


def test_only_a_stores_own_files_are_deleted(path: Path) -> None:
    writer = StoreWriter(path, header(), IDS)
    (path / "thesis.tex").touch()
    error = BadStore("full", hint="Wait.")
    writer.__exit__(BadStore, error, None)
    assert [file.name for file in path.iterdir()] == ["thesis.tex"]


def test_folders_with_other_things_are_left_alone(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "thesis.tex").touch()
    with pytest.raises(BadStore, match=r"such as thesis\.tex"):
        StoreWriter(path, header(), IDS)
    assert [file.name for file in path.iterdir()] == ["thesis.tex"]


def test_rows_that_do_not_fit_are_a_defect(path: Path) -> None:
    arrays = content(header())
    with StoreWriter(path, header(), IDS) as writer:
        with pytest.raises(ValueError, match="do not fit"):
            writer.add(arrays["features"][:2, :5], arrays["counts"][:2], arrays["sizes"][:2])
        with pytest.raises(ValueError, match="do not fit"):
            writer.add(arrays["features"][:2], arrays["counts"][:1], arrays["sizes"][:2])
        fill(writer, arrays, until=9)
        with pytest.raises(ValueError, match="9 rows of 10"):
            writer.finish()
        with pytest.raises(ValueError, match="more than 10 rows"):
            writer.add(arrays["features"][:2], arrays["counts"][:2], arrays["sizes"][:2])


def test_images_fingerprint_is_of_ids_and_files_alone() -> None:
    wanted = images_fingerprint(IMAGES)
    assert images_fingerprint(IMAGES[::-1]) == wanted
    assert images_fingerprint(IMAGES[:-1]) != wanted
    swapped = [IMAGES[0]._replace(file="5.jpg"), IMAGES[1]._replace(file="3.jpg")]
    assert images_fingerprint([*swapped, *IMAGES[2:]]) != wanted


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("features.settings", {"torch", "numpy"}),
        ("features.store_writer", {"torch", "safetensors.torch", "timm", "torchvision"}),
        ("features.extract", {"timm", "torchvision", "transformers"}),
        ("features.convert", {"timm", "torchvision", "transformers"}),
    ],
)
def test_libraries_are_imported_where_they_are_needed(module: str, absent: set[str]) -> None:
    """A store that is not there is told without torch, and each library by its networks alone."""
    code = (
        f"import sys; import saccade.{module}; from pathlib import Path\n"
        "if 'saccade.features.store' in sys.modules:\n"
        "    try: sys.modules['saccade.features.store'].read_header(Path('nowhere'))\n"
        "    except Exception as error: assert 'no feature store' in str(error)\n"
        f"print([one for one in {sorted(absent)} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
