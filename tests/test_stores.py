"""Smaller stores: bytes with a scale, coarser grids, components; what reads them is not told."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.config import change
from saccade.core.errors import BadConfig, BadData, BadStore
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.evaluation.evaluate import evaluate
from saccade.features import convert as stores
from saccade.features import store_format as store_files
from saccade.features import store_writer
from saccade.features.convert import convert_store
from saccade.features.extract import extract
from saccade.features.preprocessing import grid_boxes
from saccade.features.reduction import Reducer, channel_scales, pool, reduce, to_bytes
from saccade.features.store import FeatureStore, StoreHeader, describe_store, images_fingerprint
from saccade.features.store_format import (
    MANIFEST,
    Chunk,
    Skipped,
    checksum,
    chunk_line,
    files_line,
    from_bytes,
)
from saccade.features.store_writer import StoreWriter
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.processes import forked
from tests.worlds import make_world, write_pixels


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return make_world(tmp_path / "data", train=30, val=6)


@pytest.fixture
def cells(folder: DataFolder) -> FeatureStore:
    return FeatureStore.open(folder.store_path("cells"), images=folder.images())


def everything(store: FeatureStore) -> np.ndarray:
    regions, mask = store.read(np.arange(len(store)))
    assert mask.sum() == store.counts.sum()
    return regions.astype(np.float32)


def boxes_store(folder: DataFolder) -> FeatureStore:
    """Up to five boxes of seven numbers in each image, with scores; one could not be read."""
    images = sorted(folder.images())
    random = np.random.default_rng(3)
    old = FeatureStore.open(folder.store_path("cells")).header
    header = StoreHeader(
        **{
            **old.model_dump(),
            **{"grid": None, "regions": 5, "dim": 7, "scores": True, "complete": False},
            "dataset_fingerprint": images_fingerprint(images),
        }
    )
    counts = random.integers(1, 6, len(images))
    counts[4] = 0
    real = np.arange(5) < counts[:, None]
    ids = np.array([one.id for one in images])
    with StoreWriter(folder.store_path("boxes"), header, ids) as writer:
        writer.add(
            features=random.normal(size=(len(ids), 5, 7)) * real[..., None],
            counts=counts,
            sizes=np.full((len(ids), 2), 64),
            boxes=random.random((len(ids), 5, 4)) * real[..., None],
            scores=random.random((len(ids), 5)) * real,
            skipped=[Skipped(int(ids[4]), "4.png", "damaged")],
        )
        writer.finish()
    return FeatureStore.open(folder.store_path("boxes"))


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6), st.booleans())
@settings(max_examples=50)
def test_bytes_are_half_a_step_from_the_numbers(seed: int, size: float, channel: bool) -> None:
    random = torch.Generator().manual_seed(seed)
    regions = torch.randn(3, 4, 5, generator=random) * size
    regions[1, 2] = 0
    scales = channel_scales(regions.abs().amax(dim=(0, 1))) if channel else None
    packed = to_bytes(regions, scales)
    step = packed.scales[..., None] if scales is None else scales
    again = torch.from_numpy(from_bytes(packed.values.numpy(), step.numpy()))
    assert torch.equal(again, packed.values.float() * step)
    assert ((again - regions).abs() <= 0.501 * step + 1e-30).all()
    assert not again[1, 2].any()
    assert packed.values.abs().max() == 127
    # What was rounded once stays.
    twice = to_bytes(again, scales)
    step = twice.scales[..., None] if scales is None else scales
    twice_again = from_bytes(twice.values.numpy(), step.numpy())
    np.testing.assert_allclose(twice_again, again, rtol=1e-5)


def test_pooling_takes_means_of_neighbours() -> None:
    regions = torch.arange(2 * 4 * 6 * 3).float().view(2, 24, 3)
    pooled = pool(regions, (4, 6), (2, 3))
    cells = regions.view(2, 4, 6, 3)
    for row in range(2):
        for column in range(3):
            block = cells[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.allclose(pooled[:, row * 3 + column], block.mean(dim=(1, 2)))
    for smaller in ((3, 3), (4, 4), (0, 1), (8, 6)):
        with pytest.raises(BadConfig, match="cannot be averaged"):
            pool(regions, (4, 6), smaller)


@pytest.mark.parametrize("scale", ["row", "channel"])
def test_a_store_of_bytes_reads_as_numbers(cells: FeatureStore, scale: str) -> None:
    said: list[object] = []
    path = convert_store(cells.path, said.append, scale=scale)
    assert path.name == f"cells-int8-{scale}"
    assert re.match(r"5\.62 kB become 3\.\d+ kB \(int8, a scale", str(said[0]))
    small = FeatureStore.open(path)
    small.verify()
    assert small.header.dtype == "int8"
    assert small.header.nbytes() < 0.7 * cells.header.nbytes()
    wanted, found = everything(cells), everything(small)
    largest = np.abs(wanted).max(axis=2 if scale == "row" else (0, 1), keepdims=True)
    assert (np.abs(found - wanted) <= 0.51 * largest / 127).all()
    assert found.dtype == np.float32
    assert small.copy(np.arange(3)).dtype == np.int8
    rows = np.array([7, 2, 2, 30])
    assert np.array_equal(small.read(rows)[0], found[rows])
    back = FeatureStore.open(convert_store(path, dtype="float32", name="back"))
    assert np.array_equal(everything(back), found)
    assert back.header.scale is None


def test_a_coarser_grid(cells: FeatureStore) -> None:
    with pytest.raises(BadConfig, match="2 x 3 cannot be averaged to 2 x 2"):
        convert_store(cells.path, pool=2)
    small = FeatureStore.open(convert_store(cells.path, pool=1))
    assert small.path.name == "cells-pool1"
    assert small.header.grid == (1, 1)
    assert np.array_equal(small.boxes(np.arange(2)), [grid_boxes(1, 1)] * 2)
    np.testing.assert_allclose(everything(small)[:, 0], everything(cells).mean(axis=1), atol=3e-3)
    with pytest.raises(BadConfig, match="at most 12"):
        convert_store(cells.path, pool=1, pca=13)


def test_components_are_those_of_training_regions(folder: DataFolder, cells: FeatureStore) -> None:
    said: list[object] = []
    small = FeatureStore.open(convert_store(cells.path, said.append, pca=4, dtype="float32"))
    training = cells.rows([one.id for one in folder.images("train")])
    regions = everything(cells)[training].reshape(-1, 12).astype(np.float64)
    mean = regions.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(regions.T, bias=True))
    best = vectors.T[::-1][:4]
    kept = values[::-1][:4].sum() / values.sum()
    assert str(said[0]) == f"4 of 12 components keep {100 * kept:.1f} % of variance"
    wanted = (everything(cells) - mean) @ best.T
    found = everything(small)
    signs = np.sign((wanted * found).sum(axis=(0, 1)))
    np.testing.assert_allclose(found, wanted * signs, atol=1e-4)
    with pytest.raises(BadConfig, match="PCA was done already"):
        convert_store(small.path, pca=2)
    as_bytes = FeatureStore.open(convert_store(small.path, dtype="int8"))
    assert as_bytes.header.reduction == small.header.reduction
    as_bytes.verify()
    alone = cells.path.parent.parent.parent / "alone"
    cells.path.rename(alone)
    with pytest.raises(BadData, match="--data DATA"):
        convert_store(alone, pca=4)
    again = FeatureStore.open(convert_store(alone, pca=4, dtype="float32", data=folder.path))
    assert np.array_equal(everything(again), found)


def test_boxes_scores_and_what_was_left_out_stay(folder: DataFolder) -> None:
    old = boxes_store(folder)
    rows = np.arange(len(old))
    for wishes in ({"dtype": "int8"}, {"scale": "channel"}, {"pca": 3}, {"dtype": "float32"}):
        new = FeatureStore.open(convert_store(old.path, **wishes))
        new.verify()
        assert np.array_equal(new.counts, old.counts)
        assert np.array_equal(new.boxes(rows), old.boxes(rows))
        assert np.array_equal(new.scores(rows), old.scores(rows))
        assert new.skipped() == old.skipped()
        regions, mask = new.read(rows)
        assert not regions[~mask].any()  # what fills up is 0 behind PCA too
    with pytest.raises(BadConfig, match="no grid"):
        convert_store(old.path, pool=1)


def test_what_cannot_be_converted(folder: DataFolder, cells: FeatureStore) -> None:
    with pytest.raises(BadConfig, match="float16 needs no scale"):
        convert_store(cells.path, dtype="float16", scale="row")
    with pytest.raises(BadConfig, match="the new store is the old one"):
        convert_store(cells.path)
    with pytest.raises(BadConfig, match="dtype: "):
        convert_store(cells.path, dtype="int4")
    with pytest.raises(BadConfig, match="pixels are not converted"):
        convert_store(write_pixels(folder, side=8), dtype="int8")
    with pytest.raises(BadStore, match="there is no feature store"):
        convert_store(folder.path / "features" / "none", dtype="int8")
    convert_store(cells.path, dtype="int8", name="taken")
    with pytest.raises(BadStore, match="begun with another"):
        convert_store(cells.path, dtype="float32", name="taken")


def convert_and_die(cells: Path, name: str) -> None:
    """Convert, and be killed when 20 rows are written, of which the last 4 are not promised yet."""
    store_writer.CHUNK = stores.TOGETHER = 4
    original = StoreWriter.close_chunk

    def close_chunk(self: StoreWriter) -> None:
        if self._next >= 20:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self)

    StoreWriter.close_chunk = close_chunk  # type: ignore[method-assign]
    convert_store(cells, scale="channel", pca=5, name=name)


def test_a_killed_conversion_goes_on(cells: FeatureStore) -> None:
    died = forked(lambda: convert_and_die(cells.path, "new"))
    assert died.returncode == -signal.SIGKILL, died.stderr
    path = cells.path.with_name("new")
    with pytest.raises(BadStore, match=r"16 of 36 images.*Go on with: saccade store convert"):
        FeatureStore.open(path)
    assert "no: 16 images are there" in describe_store(path)["complete"]
    convert_store(cells.path, scale="channel", pca=5, name="new")
    whole = convert_store(cells.path, scale="channel", pca=5, name="whole")
    assert np.array_equal(everything(FeatureStore.open(path)), everything(FeatureStore.open(whole)))
    FeatureStore.open(path).verify()


def test_projection_does_not_depend_on_the_batch() -> None:
    """Bit for bit: a conversion goes on, and a new image comes alone."""
    random = torch.Generator().manual_seed(0)
    regions = torch.randn(13, 7, 48, generator=random)
    pca = {
        "mean": torch.randn(48, generator=random),
        "components": torch.randn(5, 48, generator=random),
    }
    whole = reduce(regions, None, None, pca)
    for size in (1, 2, 5):
        parts = [reduce(part, None, None, pca) for part in regions.split(size)]
        assert torch.equal(torch.cat(parts), whole)


def _spoil(name: str):
    def spoil(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[-1] ^= 0x40
        (path / name).write_bytes(data)

    return spoil


def _nan(path: Path) -> None:
    """Numbers that are none, with a checksum that agrees."""
    features = np.load(path / "features.npy")
    features[5, 0, 0] = np.nan
    _rewrite(path, "features", features)


def _counts(path: Path) -> None:
    _rewrite(path, "counts", np.full(36, 9, np.int32))


def _rewrite(path: Path, name: str, array: np.ndarray) -> None:
    np.save(path / f"{name}.npy", array)
    store = FeatureStore.open(path)
    arrays = {n: np.load(path / f"{n}.npy") for n in store.header.columns()}
    (path / MANIFEST).write_bytes(chunk_line(Chunk(0, 36, checksum(arrays, 0, 36), ())))
    line = files_line(path, store.header.columns())
    with (path / MANIFEST).open("ab") as stream:
        stream.write(line)


@pytest.mark.parametrize(
    ("scale", "harm", "message"),
    [
        ("row", _spoil("scales.npy"), "rows 0 to 35 have changed"),
        ("row", _spoil("features.npy"), "rows 0 to 35 have changed"),
        ("channel", _spoil("reduction.safetensors"), "reduction.safetensors: has changed"),
        ("channel", lambda path: (path / "reduction.safetensors").unlink(), "unreadable"),
        (None, _nan, "rows 0 to 35: features that are no numbers"),
        (None, _counts, "an image has 9 of 6 regions"),
        (None, lambda path: (path / MANIFEST).write_text(""), "only 0 of 36 rows"),
    ],
)
def test_verify_finds_what_is_broken(
    cells: FeatureStore, scale: str | None, harm, message: str
) -> None:
    wishes = {"scale": scale} if scale else {"dtype": "float32"}
    path = convert_store(cells.path, name="new", **wishes)
    harm(path)
    with pytest.raises(BadStore, match=message):
        FeatureStore.open(path).verify()


def test_numbers_that_are_none_are_not_converted(cells: FeatureStore) -> None:
    path = convert_store(cells.path, name="new", dtype="float32")
    _nan(path)
    for wishes in ({"dtype": "float16"}, {"scale": "row"}, {"scale": "channel"}):
        with pytest.raises(BadStore, match=r"are no numbers\. See: saccade store verify"):
            convert_store(path, **wishes)


def test_numbers_too_large_for_half_a_float(cells: FeatureStore) -> None:
    path = convert_store(cells.path, name="new", dtype="float32")
    features = np.load(path / "features.npy")
    features[5, 0, 0] = 1e5
    _rewrite(path, "features", features)
    with pytest.raises(BadStore, match=r"does not fit float16\. Give --dtype float32"):
        convert_store(path, dtype="float16")


def test_what_cannot_be_pooled_leaves_nothing_and_says_nothing_else(cells: FeatureStore) -> None:
    said: list[object] = []
    with pytest.raises(BadConfig, match=r"a grid of 2 x 3 cannot be averaged to 2 x 2"):
        convert_store(cells.path, said.append, pool=2)
    assert said == []
    assert [path.name for path in cells.path.parent.iterdir()] == ["cells"]


def test_a_conversion_refused_at_its_first_rows_leaves_nothing(
    cells: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = convert_store(cells.path, name="new", dtype="float32")
    features = np.load(path / "features.npy")
    features[35, 0, 0] = 1e5
    _rewrite(path, "features", features)
    with pytest.raises(BadStore, match=r"does not fit float16\. Give --dtype float32\.$"):
        convert_store(path, dtype="float16", name="half")
    assert not path.with_name("half").exists()
    monkeypatch.setattr(store_writer, "CHUNK", 4)
    monkeypatch.setattr(stores, "TOGETHER", 4)
    with pytest.raises(BadStore, match=r"--dtype float32 and another --name\.$"):
        convert_store(path, dtype="float16", name="half")
    assert "no: 32 images" in describe_store(path.with_name("half"))["complete"]


def test_what_is_said_names_folders_as_they_were_given(
    cells: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.chdir(cells.path.parents[1])
    made = convert_store(Path("features/cells"), said.append, dtype="int8")
    assert made == Path("features/cells-int8-row")
    assert str(said[-1]).endswith(" in features/cells-int8-row")
    monkeypatch.chdir(cells.path)
    assert convert_store(Path(), dtype="float32") == cells.path.with_name("cells-float32")


def test_info_says_what_was_left_out_and_that_weights_are_random(folder: DataFolder) -> None:
    told = describe_store(boxes_store(folder).path)
    assert told["images"] == "36"
    assert told["left out"] == "1 of these, which could not be read"
    assert told["size"].endswith(" kB")
    assert "NEVER TRAINED" in told["weights"]


def test_headers_of_bytes_name_their_scale(cells: FeatureStore) -> None:
    about = cells.header.model_dump()
    with pytest.raises(ValueError, match="int8 and a scale of None"):
        StoreHeader(**{**about, "dtype": "int8"})
    with pytest.raises(ValueError, match="float16 and a scale of row"):
        StoreHeader(**{**about, "scale": "row"})


@pytest.mark.parametrize("told", [False, True], ids=["by what was read", "by what the system says"])
def test_a_large_store_is_let_go_of(
    cells: FeatureStore, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """After so many bytes its pages leave the process; what is read stays right."""
    gone: list[int] = []
    release, count = store_files.release, iter(range(10**6))
    monkeypatch.setattr(store_files, "MAX_RESIDENT", 500)
    monkeypatch.setattr(store_files, "release", lambda one: (gone.append(one.nbytes), release(one)))
    monkeypatch.setattr(store_files, "_resident_files", lambda: 200 * next(count) if told else None)
    large = FeatureStore.open(cells.path)
    wanted = np.array(cells.features)
    for row in range(len(large)):
        assert np.array_equal(large.read(np.array([row]))[0][0], wanted[row])
    assert cells.features[0].nbytes == 144
    # After every fourth row, 4 * 144 bytes; or every third, when 3 * 200 have come.
    assert gone.count(cells.features.nbytes) == len(large) // (3 if told else 4)
    gone.clear()
    monkeypatch.setattr(store_files, "MAX_RESIDENT", 10**6)
    FeatureStore.open(cells.path).read(np.arange(len(large)))
    assert not gone


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    make_shapes(root / "shapes", images={"train": 16, "val": 4, "test": 4}, seed=1)
    data = prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    extract(data, "timm:test_resnet", weights="random", size=128, resize="squash", name="net")
    return root


@pytest.mark.parametrize(
    "wishes",
    [
        {"dtype": "int8"},
        {"scale": "channel"},
        {"pool": 2, "dtype": "float32"},
        {"pool": 2, "pca": 8, "dtype": "int8"},
        {"pca": 8, "scale": "channel"},
    ],
    ids=str,
)
def test_asking_sees_what_training_saw(faces: Path, wishes: dict[str, object]) -> None:
    """A new image goes through pooling, PCA and rounding as the training images did."""
    data = faces / "data"
    path = convert_store(data / "features" / "net", **wishes)
    run = faces / f"run-{path.name}"
    recipe = change(RECIPES["show-ask-attend-answer-small"], "train.epochs=1")
    train(recipe, data, run, features=path.name, console=Console(quiet=True))
    folder, store = DataFolder(data), FeatureStore.open(path)
    image = folder.images()[5]
    encoded = saccade.load(run).encode(folder.image_root / image.file)
    rows = store.rows([image.id])
    stored, _ = store.read(rows)
    step = np.abs(stored).max() / 127 if store.header.dtype == "int8" else 1e-3
    assert encoded.regions.shape == stored.shape
    assert np.abs(encoded.regions.numpy() - stored).max() <= 1.01 * step
    np.testing.assert_allclose(encoded.boxes, store.boxes(rows)[0], atol=1e-6)
    answer = saccade.load(run).ask(encoded, "What colour is the circle?")
    assert answer.attention.shape[1] == stored.shape[1]


def test_a_run_does_not_mind_how_many_bytes_its_features_take(faces: Path) -> None:
    data, net = faces / "data", faces / "data" / "features" / "net"
    small = convert_store(net, dtype="int8", name="small")
    narrow = convert_store(net, pca=8, name="narrow")
    run = faces / "any"
    recipe = change(RECIPES["show-ask-attend-answer-small"], "train.epochs=1")
    train(recipe, data, run, features="net", console=Console(quiet=True))
    assert evaluate(run, features=small.name)["features"] == "small"
    with pytest.raises(BadStore, match="another backbone or preprocessing"):
        evaluate(run, features=narrow.name)


def test_a_run_without_its_numbers_says_so(faces: Path) -> None:
    path = convert_store(faces / "data" / "features" / "net", pca=8, name="less")
    run = faces / "less"
    recipe = change(RECIPES["show-ask-attend-answer-small"], "train.epochs=1")
    train(recipe, faces / "data", run, features=path.name, console=Console(quiet=True))
    folder = DataFolder(faces / "data")
    image = folder.image_root / folder.images()[0].file
    (run / "reduction.safetensors").unlink()
    with pytest.raises(BadStore, match=r"reduction\.safetensors: unreadable"):
        saccade.load(run).encode(image)
    other = convert_store(faces / "data" / "features" / "net", pca=9, name="nine")
    (run / "reduction.safetensors").write_bytes((other / "reduction.safetensors").read_bytes())
    with pytest.raises(BadStore, match="not the numbers that the features were made smaller with"):
        saccade.load(run).encode(image)


def test_rounding_of_a_store_that_was_not_converted(tmp_path: Path) -> None:
    regions = torch.randn(1, 3, 4)
    steps = Reducer(tmp_path, None, "float16", None)
    assert torch.equal(steps.reduce(regions, (1, 3)), regions)
    assert torch.equal(steps.rounded(regions), regions.half().float())


def test_the_command_line(cells: FeatureStore) -> None:
    run = CliRunner()
    told = run.invoke(app, ["store", "info", str(cells.path)])
    assert told.exit_code == 0, told.output
    assert "12, float16" in told.output
    made = run.invoke(app, ["store", "convert", str(cells.path), "--pool", "1", "--dtype", "int8"])
    assert made.exit_code == 0, made.output
    small = cells.path.with_name("cells-pool1-int8-row")
    assert "a scale for each row" in run.invoke(app, ["store", "info", str(small)]).output
    whole = run.invoke(app, ["store", "verify", str(small)])
    assert "is whole: 36 images" in whole.output
    _spoil("features.npy")(small)
    broken = run.invoke(app, ["store", "verify", str(small)])
    assert broken.exit_code == 1
    assert "have changed" in broken.output
