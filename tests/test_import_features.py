"""`import-features`: other programs' feature files, whole and broken, become feature stores."""

import pickle
import re
import resource
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.config import change
from saccade.core.errors import BadData, BadStore, MissingWeights, SaccadeError
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.evaluation.evaluate import evaluate
from saccade.features import store_writer
from saccade.features.extract import extract
from saccade.features.preprocessing import boxes_in_image, grid_boxes
from saccade.features.store import FeatureStore
from saccade.features.store_writer import StoreWriter
from saccade.interop.import_features import import_features
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests import feature_file_samples as samples
from tests.feature_file_samples import WRITERS
from tests.processes import forked
from tests.worlds import make_world

GRIDS = {"pytorch-vqa": (2, 3), "grids": (2, 3), "vectors": (1, 1)}
OPENVQA = ("openvqa", "published")


IMAGES = 28
WORLDS = {
    # Somebody's table of COCO's images: ids are places, and other images' numbers too.
    "own": ("table", lambda i: (7 * ((5 * i + 3) % IMAGES), f"COCO_train2014_{7 * i:012}.png")),
    # Karpathy's Flickr: ids are published, and names say nothing of them.
    "published": ("karpathy", lambda i: (7 * i, f"photo-{(5 * i + 3) % IMAGES}a.png")),
}


def world(kind: str, path: Path) -> DataFolder:
    """A world of which some images are at hand, 640 x 480."""
    source, image = WORLDS[kind]
    made = make_world(path / "data", train=24, val=4, source=source, image=image)
    images = path / "images"
    images.mkdir()
    for one in made.images()[::2]:
        Image.new("RGB", (640, 480)).save(images / one.file)
    return DataFolder(made.path, image_root=images)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return world("own", tmp_path)


def number_of(image: ImageRecord) -> int:
    """What feature files call an image."""
    named = re.search(r"COCO_train2014_(\d+)", image.file)
    return int(named[1]) if named else image.id


def numbers_of(folder: DataFolder) -> list[int]:
    return sorted(number_of(one) for one in folder.images())


def bring(folder: DataFolder, layout: str, path: Path, **settings: object) -> FeatureStore:
    kind = WRITERS[layout][0] if layout in WRITERS else layout
    made = import_features(
        kind, path, folder.path, **{"image_root": folder.image_root, "name": layout, **settings}
    )
    store = FeatureStore.open(made, images=folder.images())
    store.verify()
    return store


@pytest.mark.parametrize(
    ("layout", "location"),
    # openvqa's files have COCO's names, which Flickr's images have not.
    [
        (layout, location)
        for layout in WRITERS
        for location in WORLDS
        if (layout, location) != OPENVQA
    ],
)
def test_every_layout_is_read(tmp_path: Path, layout: str, location: str) -> None:
    kind, write = WRITERS[layout]
    folder = world(location, tmp_path)
    images = sorted(folder.images(), key=lambda one: one.id)
    path = write(tmp_path / "files", numbers_of(folder))
    store = bring(folder, layout, path, dtype="float32")
    assert store.header.backbone.name == f"imported:{kind}"
    assert store.header.grid == GRIDS.get(layout)
    assert (store.counts > 0).all()
    regions, mask = store.read(np.arange(len(images)))
    boxes = store.boxes(np.arange(len(images)))
    for row, image in enumerate(images):
        one = number_of(image)
        count = 3 if layout == "hengyuan-hu" else samples.count_of(one)
        count = int(np.prod(GRIDS[layout])) if layout in GRIDS else count
        assert store.counts[row] == mask[row].sum() == count
        wanted = samples.regions_of(one, count)
        tolerance = 1e-3 if layout == "pytorch-vqa" else 0
        np.testing.assert_allclose(regions[row, :count], wanted, atol=tolerance)
        assert not regions[row, count:].any()
        if layout in GRIDS:
            continue
        if layout == "boxes" and not (folder.image_root / image.file).exists():
            wanted = np.tile([0, 0, 1, 1], (count, 1))
        else:
            wanted = samples.boxes_of(one, count) / [640, 480, 640, 480]
        np.testing.assert_allclose(boxes[row, :count], wanted, atol=1e-5)
    if layout in ("bottom-up", "hengyuan-hu", "adaptive", "openvqa"):
        assert (store.sizes == [640, 480]).all()
    if layout == "pytorch-vqa":
        into = store.header.preprocessing
        assert (into.height, into.resize, into.resize_to) == (448, "shorter_side", 512)
        seen = int(np.flatnonzero(store.sizes[:, 0])[0])
        wanted = boxes_in_image(grid_boxes(2, 3), into, 640, 480)
        np.testing.assert_allclose(boxes[seen], wanted)


def test_images_that_only_one_side_has(folder: DataFolder, tmp_path: Path) -> None:
    images = sorted(folder.images(), key=lambda one: one.id)
    numbers = [number_of(one) for one in images]
    path = samples.write_bottom_up(tmp_path / "files", [*numbers[3:], 1001, 1002])
    said: list[object] = []
    made = import_features("bottom-up", path, folder.path, said.append)
    files = ", ".join(one.file for one in images[:3])
    assert said[0] == f"3 images are not in the file and left out: {files}"
    assert said[1] == "2 of its images are not in the data folder: 1001, 1002"
    store = FeatureStore.open(made)
    assert [one.id for one in store.skipped()] == [one.id for one in images[:3]]
    assert store.skipped()[0].reason == "not in files"
    assert not store.counts[:3].any()
    said.clear()
    import_features("bottom-up", path, folder.path, said.append)
    assert said[-1] == "complete already: nothing to do"
    other = samples.write_bottom_up(tmp_path / "others", [5000, 6000])
    with pytest.raises(BadData, match=r"none of its 2 images \(5000, 6000\) is one of the data"):
        import_features("bottom-up", other, folder.path, name="other", missing="drop")


def test_small_images_become_a_store_of_pixels(folder: DataFolder, tmp_path: Path) -> None:
    path = samples.write_sgrvinod(tmp_path / "files", folder)
    store = bring(folder, "sgrvinod", path)
    assert store.header.backbone.name == "pixels"
    assert (store.header.grid, store.header.dim, store.header.dtype) == ((8, 8), 3, "uint8")
    for row, one in enumerate(sorted(one.id for one in folder.images())):
        image = store.read(np.array([row]))[0][0].T.reshape(3, 8, 8)
        assert np.array_equal(image, samples.pixels_of(one))
    assert store.header.preprocessing.resize == "squash"
    # Other captions at an image's place: the order is another one.
    lengths = path / "VAL_CAPLENS_coco_2_cap_per_img_5_min_word_freq.json"
    lengths.write_text(lengths.read_text().replace("[", "[33, ").replace(", 7]", "]"))
    with pytest.raises(BadData, match=r"lengths of five captions|another order"):
        bring(folder, "sgrvinod", path, name="again")
    with h5py.File(path / "VAL_IMAGES_coco_2_cap_per_img_5_min_word_freq.hdf5", "r+") as file:
        images = file["images"][:3]
        del file["images"]
        file["images"] = images
    with pytest.raises(BadData, match="3 images, the data folder's val split has 4"):
        bring(folder, "sgrvinod", path, name="again")


def test_trained_on_and_evaluated_but_not_asked(folder: DataFolder, tmp_path: Path) -> None:
    path = samples.write_bottom_up(tmp_path / "files", numbers_of(folder))
    import_features("bottom-up", path, folder.path, name="regions")
    run = tmp_path / "run"
    recipe = change(RECIPES["joint-embedding-small"], "train.epochs=1")
    train(recipe, folder.path, run, features="regions", console=Console(quiet=True))
    assert evaluate(run, split="val")["features"] == "regions"
    image = next(folder.image_root.iterdir())
    with pytest.raises(MissingWeights, match="came from a file of bottom-up, made by the Caffe"):
        saccade.load(run).encode(image)
    with pytest.raises(MissingWeights, match="file of bottom-up"):
        extract(folder.path, "imported:bottom-up", image_root=folder.image_root)


def _cut(path: Path) -> None:
    """The last file, a third shorter."""
    file = sorted(one for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file())[
        -1
    ]
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])


def _array(name: str, make):
    """Another array in an HDF5 file; none where there is nothing to make it of."""

    def harm(path: Path) -> None:
        file = path if path.is_file() else sorted(path.glob("*.hdf5"))[0]
        with h5py.File(file, "r+") as arrays:
            old = arrays[name][:]
            del arrays[name]
            if make is not None:
                arrays[name] = make(old)

    return harm


def _pickled(value: object):
    def harm(path: Path) -> None:
        sorted(path.glob("*.pkl"))[0].write_bytes(pickle.dumps(value))

    return harm


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('run')",))


def _npy(change):
    def harm(path: Path) -> None:
        file = sorted(path.glob("*.npy"))[3]
        np.save(file, change(np.load(file)))

    return harm


def _npz(**arrays: np.ndarray):
    def harm(path: Path) -> None:
        np.savez(sorted(path.rglob("*.npz"))[3], **arrays)

    return harm


BROKEN = [
    ("bottom-up", lambda path: [one.write_bytes(b"") for one in path.iterdir()], "it is empty"),
    ("bottom-up", lambda path: [one.unlink() for one in path.iterdir()], r"no such file \.tsv"),
    ("hengyuan-hu", lambda path: (path / "val36.hdf5").write_bytes(b"no"), "not a whole HDF5"),
    ("hengyuan-hu", _array("image_features", None), "no array 'image_features' of 3 dimensions"),
    ("hengyuan-hu", _array("image_features", lambda a: a[..., :5]), "5 numbers|before there were"),
    ("hengyuan-hu", _array("spatial_features", None), "no array 'spatial_features'"),
    ("hengyuan-hu", _pickled({"a": 1}), "which of 14 rows"),
    ("hengyuan-hu", _pickled({0: 99}), "which of 14 rows"),
    ("hengyuan-hu", _pickled(Evil()), "asks for builtins.exec.*nothing of it was run"),
    ("hengyuan-hu", lambda path: [one.unlink() for one in path.glob("*.pkl")], "there are no"),
    ("adaptive", _array("pos_boxes", lambda a: a + 9), "row 27 is boxes|row 2. is boxes"),
    ("pytorch-vqa", _cut, "not a whole HDF5|cannot be read"),
    ("pytorch-vqa", _array("features", lambda a: a[:, :, 0]), "no array 'features' of 4"),
    ("pytorch-vqa", _array("ids", lambda a: a[:5]), "28 images and 5 ids"),
    (
        "pytorch-vqa",
        _array("ids", lambda a: a.astype(np.float32)),
        "'ids' is .* of type float32",
    ),
    ("pytorch-vqa", lambda path: path.unlink(), "no such file"),
    ("openvqa", _cut, "not a whole array"),
    ("openvqa", _npz(y=np.zeros(3)), "arrays of numbers are .'y'"),
    ("openvqa", _npz(x=np.zeros((5, 3)), bbox=np.zeros((3, 4))), "5 numbers a region"),
    ("openvqa", _npz(x=np.zeros((8, 3)), bbox=np.zeros((2, 4))), "no side of x"),
    ("openvqa", _npz(x=np.zeros((8, 3), object)), "arrays of numbers are"),
    ("vectors", _cut, "not a whole array|cannot be read"),
    ("vectors", _npy(lambda a: a[:5]), r"an array of \(5,\)"),
    ("vectors", _npy(lambda a: a[None]), r"an array of \(1, 8\)"),
    ("vectors", lambda path: [one.unlink() for one in path.iterdir()], r"no file \.npy or \.npz"),
    ("grids", _npz(feat=np.zeros((3, 2, 8))), "an array of"),
    ("grids", _npz(other=np.zeros(2)), "no array of numbers 'feat'"),
    ("boxes", _npz(feat=np.zeros((0, 8))), "an array of"),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("layout", "harm", "message"), BROKEN, ids=[f"{a}-{i}" for i, (a, _, _) in enumerate(BROKEN)]
)
def test_broken_files_are_told(
    folder: DataFolder, tmp_path: Path, layout: str, harm, message: str
) -> None:
    path = WRITERS[layout][1](tmp_path / "files", numbers_of(folder))
    harm(path)
    with pytest.raises(SaccadeError, match=message) as caught:
        bring(folder, layout, path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_numbers_too_large_for_half_a_float(folder: DataFolder, tmp_path: Path) -> None:
    path = samples.write_vectors(tmp_path / "files", numbers_of(folder))
    _npy(lambda a: a + 1e6)(path)
    with pytest.raises(BadStore, match=r"do not fit float16\. Give --dtype float32"):
        bring(folder, "vectors", path)
    assert bring(folder, "vectors", path, dtype="float32", name="wide").features.max() > 1e6


def test_without_h5py_it_says_what_to_install(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = samples.write_pytorch_vqa(tmp_path / "files", numbers_of(folder))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SaccadeError, match=r"pip install 'saccade\[h5\]'"):
        bring(folder, "pytorch-vqa", path)


def test_an_import_that_was_stopped_goes_on(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saccade.interop import import_features as module

    monkeypatch.setattr(module, "TOGETHER", 4)
    monkeypatch.setattr(store_writer, "CHUNK", 4)
    path = samples.write_bottom_up(tmp_path / "files", numbers_of(folder))
    add = StoreWriter.add

    def stop(writer, **columns):
        if writer.done == 12:
            raise KeyboardInterrupt
        add(writer, **columns)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            bring(folder, "bottom-up", path)
    with pytest.raises(BadStore, match=r"12 of 28 images are there\. Go on with: saccade import-"):
        FeatureStore.open(folder.store_path("bottom-up"))
    store, whole = bring(folder, "bottom-up", path), bring(folder, "bottom-up", path, name="whole")
    assert np.array_equal(store.features, whole.features)


def peak() -> int:
    """Bytes of this process at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def import_and_measure(file: Path, folder: Path) -> None:
    before = peak()
    import_features("bottom-up", file, folder, name="large")
    sys.stdout.write(str(peak() - before))


def test_a_large_file_is_never_in_memory(folder: DataFolder, tmp_path: Path) -> None:
    """56 MB of rows, read with little more than a batch of them."""
    monstrous = 60_000
    file = tmp_path / "large.tsv"
    ones = samples.base64.b64encode(np.ones((8, monstrous), "<f4").tobytes()) + b"\n"
    with file.open("wb") as stream:
        for one in numbers_of(folder):
            row = samples.tsv_row(one, 8).split(b"\t")
            row[5] = ones
            stream.write(b"\t".join(row))
    done = forked(lambda: import_and_measure(file, folder.path))
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    assert file.stat().st_size > 70e6
    assert grown < 80e6


def test_the_command_line(folder: DataFolder, tmp_path: Path) -> None:
    path = samples.write_openvqa(tmp_path / "files", numbers_of(folder))
    told = CliRunner().invoke(
        app, ["import-features", "openvqa", str(path), "--data", str(folder.path)]
    )
    assert told.exit_code == 0, told.output
    assert "--features openvqa" in told.output
    wrong = CliRunner().invoke(
        app, ["import-features", "openvga", str(path), "--data", str(folder.path)]
    )
    assert wrong.exit_code == 1
    assert "openvqa" in wrong.output
