"""`extract`: every image once, whatever happens in between."""

import io
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.core.errors import BadConfig, BadData, BadStore, MissingWeights
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord
from saccade.features import store_writer
from saccade.features.backbones import Backbone, build_backbone
from saccade.features.extract import ExtractSettings, extract
from saccade.features.images import read_image
from saccade.features.preprocessing import normalise, resize_and_crop
from saccade.features.store import FeatureStore
from saccade.features.store_writer import StoreWriter
from tests.processes import forked

NET = "timm:test_resnet"
COUNT = 23
BROKEN = {4: b"", 11: b"no image", 12: None, 22: "cut"}
"""Images that cannot be read: empty, text, missing, cut short."""
USUAL = {"weights": "random", "size": 64, "batch_size": 2, "name": "net"}


def jpeg(number: int) -> bytes:
    random = np.random.default_rng(number)
    cells = random.integers(0, 256, (5 + number % 4, 9 - number % 3, 3))
    image = Image.fromarray(np.kron(cells, np.ones((12, 12, 1))).astype(np.uint8))
    stream = io.BytesIO()
    image.save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for number in range(COUNT):
        data = BROKEN.get(number, jpeg(number))
        data = jpeg(number)[:-300] if data == "cut" else data
        if data is not None:
            (root / f"{number}.jpg").write_bytes(data)
    return root


@pytest.fixture
def data(tmp_path: Path, images: Path) -> Path:
    return folder_at(tmp_path / "data", images)


def folder_at(out: Path, images: Path, count: int = COUNT) -> Path:
    """A data folder whose image ids do not stand in order."""
    numbers = sorted(range(count), key=lambda number: (number * 7) % 23)
    image_records = [
        ImageRecord(100 + n, f"{n}.jpg", "train" if n % 3 else "test") for n in numbers
    ]
    captions = [Caption(n, 100 + n, "a b", ("a", "b"), "train") for n in numbers if n % 3]
    write_folder(out, Collection("fake", str(images), image_records, captions=captions))
    return out


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "CHUNK", 4)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that went through the backbone, but for its trials on black."""
    sizes: list[int] = []
    encode_grid = Backbone.encode_grid

    def counted(self: Backbone, images: torch.Tensor) -> Any:
        if (images != images[0, :, :1, :1]).any():
            sizes.append(len(images))
        return encode_grid(self, images)

    monkeypatch.setattr(Backbone, "encode_grid", counted)
    return sizes


def files(path: Path) -> dict[str, bytes]:
    """All bytes of a store, but for the command, which names the data folder, and its checksum."""
    found = {file.name: file.read_bytes() for file in path.iterdir()}
    header, (*chunks, sums) = json.loads(found["header.json"]), found["manifest.jsonl"].splitlines()
    del header["command"]
    files = json.loads(sums)
    del files["files"]["header.json"]
    return {
        **found,
        "header.json": json.dumps(header).encode(),
        "manifest.jsonl": b"".join(chunks) + json.dumps(files).encode(),
    }


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> dict[str, bytes]:
    """The store that an undisturbed run makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "CHUNK", 4)
        return files(
            extract(folder_at(tmp_path_factory.mktemp("w") / "data", images), NET, **USUAL)
        )


def test_images_smaller_than_a_crop_without_resizing_are_told(
    data: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract(data, "pixels", size=88, resize="crop", name="crop")
    sizes = [read_image(images / f"{n}.jpg").shape for n in range(COUNT) if n not in BROKEN]
    small = sum(min(size[1:]) < 88 for size in sizes)
    assert 0 < small < len(sizes)
    told = " ".join(capsys.readouterr().err.split())
    assert "smaller than the crop of 88 x 88" in told
    assert f"warning: {small} images" in told


def test_the_store_holds_what_the_backbone_sees(
    data: Path, images: Path, encoded: list[int]
) -> None:
    path = extract(data, NET, **USUAL)
    assert path == data / "features" / "net"
    assert sum(encoded) == COUNT - len(BROKEN)
    folder = DataFolder(data)
    store = FeatureStore.open(folder.store_path("net"), images=folder.images())
    assert store.ids.tolist() == [100 + number for number in range(COUNT)]
    assert store.header.grid == (2, 2)
    backbone = build_backbone(store.header.backbone, path / "backbone.safetensors")
    for number in range(COUNT):
        row = store.rows([100 + number])
        features, mask = store.read(row)
        if number in BROKEN:
            assert not mask.any()
            assert not features.any()
            assert store.sizes[row].tolist() == [[0, 0]]
            continue
        image = read_image(images / f"{number}.jpg")
        assert mask.all()
        assert store.sizes[row[0]].tolist() == [image.shape[2], image.shape[1]]
        wanted = backbone(
            normalise(
                resize_and_crop(image, store.header.preprocessing), store.header.preprocessing
            )[None]
        )[0].numpy()
        assert np.abs(features[0] - wanted).max() <= 1e-3 * np.abs(wanted).max()
    store.verify()


def test_skipped_images_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = extract(data, NET, **USUAL)
    skipped = FeatureStore.open(path).skipped()
    assert [one.id for one in skipped] == [104, 111, 112, 122]
    assert [one.file for one in skipped] == ["4.jpg", "11.jpg", "12.jpg", "22.jpg"]
    causes = ("the file is empty", "not a whole image", "no such file", "damaged")
    for one, cause in zip(skipped, causes, strict=True):
        assert one.reason.startswith(cause)
    said = capsys.readouterr().err
    assert f"19 of 23 images are in {path}." in said
    assert "4 could not be read" in said
    assert "122  22.jpg: damaged" in said
    assert len(json.loads((path / "skipped.json").read_text())) == 4


def test_what_is_said_before_it_starts(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = extract(data, NET, **USUAL)
    out, said = capsys.readouterr()
    assert out == ""
    assert "23 images as 64 x 64 pixels (shorter_side)" in said
    assert "2 x 2 regions of 96 numbers, float16" in said
    assert re.search(rf"25\.\d kB on disk in {re.escape(str(path))}; about \d+ s on cpu", said)
    assert said.index("THE WEIGHTS ARE RANDOM") < said.index("on disk")
    assert "━" not in said
    extract(data, NET, **{**USUAL, "name": "bar", "progress": True})
    assert "23/23" in capsys.readouterr().err


def test_a_complete_store_is_left_alone(
    data: Path, encoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = extract(data, NET, **USUAL)
    before, times = files(path), {file: file.stat().st_mtime_ns for file in path.iterdir()}
    encoded.clear()
    assert extract(data, NET, **USUAL) == path
    assert encoded == []
    said = capsys.readouterr().err
    assert "complete already" in said
    left = f"4 of its images could not be read and are left out, see {path / 'skipped.json'}"
    assert left in said
    assert f"delete the folder {path} and give the same command again" in said
    assert files(path) == before
    assert {file: file.stat().st_mtime_ns for file in path.iterdir()} == times


@pytest.mark.parametrize("after", [0, 1, 5, 10])
def test_a_stopped_run_goes_on_and_does_nothing_twice(
    data: Path,
    whole: dict[str, bytes],
    encoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    """Two batches a chunk: at most one batch that was done and not closed is done again."""
    encode_grid = Backbone.encode_grid

    def stop(self: Backbone, pixels: torch.Tensor) -> Any:
        if len(encoded) == after and (pixels != pixels[0, :, :1, :1]).any():
            raise KeyboardInterrupt
        return encode_grid(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "encode_grid", stop)
        with pytest.raises(KeyboardInterrupt):
            extract(data, NET, **USUAL)
    with pytest.raises(BadStore, match="Go on with: saccade extract"):
        FeatureStore.open(data / "features" / "net")
    first = sum(encoded)
    encoded.clear()
    path = extract(data, NET, **USUAL)
    assert COUNT - len(BROKEN) <= first + sum(encoded) <= COUNT - len(BROKEN) + 2
    assert files(path) == whole


def extract_and_die(data: Path) -> None:
    """Extract, and be killed when the fifth batch is written."""
    store_writer.CHUNK = 4
    original, added = StoreWriter.add, []

    def add(self: StoreWriter, **values: np.ndarray) -> None:
        original(self, **values)
        added.append(1)
        if len(added) == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    StoreWriter.add = add  # type: ignore[method-assign, assignment]
    extract(data, NET, **USUAL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_killed_and_continued_is_the_same_to_the_byte(
    data: Path, whole: dict[str, bytes], encoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    killed = forked(lambda: extract_and_die(data))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(BadStore, match="8 of 23 images are there"):
        FeatureStore.open(data / "features" / "net")
    path = extract(data, NET, **USUAL)
    assert "8 are there already, 15 are left" in capsys.readouterr().err
    assert sum(encoded) == 15 - 3  # of images 8 to 22 three are broken
    assert files(path) == whole
    FeatureStore.open(path).verify()


def test_the_command_in_the_header_makes_the_same_store(data: Path) -> None:
    path = extract(
        data,
        NET,
        **{**USUAL, "mean": (0.5, 0.4, 0.3), "options": {"output_stride": 16}, "resize": "squash"},
    )
    command = FeatureStore.open(path).header.command
    assert command == (
        f"saccade extract {data} --backbone timm:test_resnet --weights random --option "
        "output_stride=16 --name net --size 64 --resize squash --mean 0.5,0.4,0.3 --batch-size 2"
    )
    assert "'a b'" in ExtractSettings(backbone=NET, weights="a b").command(data)


def test_other_processes_read_the_same(data: Path, whole: dict[str, bytes]) -> None:
    assert files(extract(data, NET, **USUAL, workers=2)) == whole


def test_a_store_made_otherwise_is_refused(data: Path, images: Path) -> None:
    before = files(extract(data, NET, **USUAL))
    for changes, field in (
        ({"size": 96}, "preprocessing"),
        ({"mean": (0, 0, 0)}, "preprocessing"),
        ({"options": {"output_stride": 16}}, "backbone"),
        ({"dtype": "float32"}, "dtype"),
    ):
        with pytest.raises(BadStore, match=f"another {field}"):
            extract(data, NET, **{**USUAL, **changes})
    with pytest.raises(BadStore, match="another backbone"):
        extract(data, "timm:test_vit", **USUAL)
    smaller = folder_at(data, images, count=20)
    with pytest.raises(BadStore, match=r"another (dataset_fingerprint|ids_count)"):
        extract(smaller, NET, **USUAL)
    assert files(data / "features" / "net") == before


def test_stores_have_names_of_their_own(data: Path) -> None:
    settings = {name: value for name, value in USUAL.items() if name != "name"}
    assert extract(data, NET, **settings).name == "test_resnet-64-random"
    assert extract(data, NET, **settings, dtype="float32", name="b").name == "b"
    assert DataFolder(data).stores() == ["b", "test_resnet-64-random"]
    assert FeatureStore.open(data / "features" / "b").features.dtype == np.float32
    for name in ("../up", "a/b", "", ".hidden"):
        with pytest.raises(BadConfig, match="name: "):
            extract(data, NET, **settings, name=name)


def test_weights_from_a_file_are_kept_with_the_store(data: Path, tmp_path: Path) -> None:
    path = extract(data, NET, **USUAL)
    given = tmp_path / "mine.safetensors"
    given.write_bytes((path / "backbone.safetensors").read_bytes())
    again = extract(data, NET, **{**USUAL, "weights": given, "name": "again"})
    header = FeatureStore.open(again).header
    assert header.backbone.weights == "mine.safetensors"
    given.unlink()
    one, other = files(path), files(again)
    assert one["features.npy"] == other["features.npy"]
    assert one["backbone.safetensors"] == other["backbone.safetensors"]
    backbone = build_backbone(header.backbone, again / "backbone.safetensors")
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 4, 96)


def test_images_that_have_moved(
    data: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = folder_at(tmp_path / "wrong", tmp_path / "nowhere")
    with pytest.raises(BadData, match=r"there is neither 0\.jpg nor any other"):
        extract(wrong, NET, **USUAL)
    assert not (wrong / "features").exists()
    wanted = files(extract(data, NET, **USUAL))
    assert files(extract(wrong, NET, **USUAL, image_root=images)) == wanted
    monkeypatch.setenv("SACCADE_IMAGES", str(images))
    extract(wrong, NET, **{**USUAL, "name": "second"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sise": 3}, "sise: Extra inputs"),
        ({"size": 3}, "size: Input should be greater"),
        ({"dtype": "int8"}, "dtype: "),
        ({"batch_size": 0}, "batch_size: "),
        ({"device": "toaster"}, "'toaster' names no device"),
        ({"resize": "squash", "resize_to": 80}, "resize_to goes with"),
    ],
)
def test_settings_that_cannot_be(data: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        extract(data, NET, **{**USUAL, **changes})
    assert not (data / "features").exists()


def test_missing_weights_leave_nothing_behind(data: Path) -> None:
    with pytest.raises(MissingWeights):
        extract(data, NET, **{**USUAL, "weights": "nowhere.safetensors"})
    with pytest.raises(BadData, match="is not a data folder"):
        extract(data.parent, NET, **USUAL)
    assert not (data / "features").exists()


@pytest.mark.parametrize("size", [70_000, 1e-9])
def test_numbers_that_do_not_fit_the_type_are_no_features(
    data: Path, monkeypatch: pytest.MonkeyPatch, size: float
) -> None:
    """Too large, or so small that every one of them would be stored as 0."""
    encode_grid = Backbone.encode_grid
    monkeypatch.setattr(
        Backbone,
        "encode_grid",
        lambda self, pixels: (encode_grid(self, pixels)[0] * 0 + size, (2, 2)),
    )
    with pytest.raises(BadConfig, match=r"float16 cannot hold\. Give --dtype float32; if it"):
        extract(data, NET, **USUAL)
    assert not (data / "features" / "net").exists()
    assert extract(data, NET, **{**USUAL, "dtype": "float32"}).exists()


def test_numbers_that_do_not_fit_later_on_leave_what_is_there(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_grid, calls = Backbone.encode_grid, []

    def grow(self: Backbone, pixels: torch.Tensor) -> Any:
        calls.append(1)
        regions, grid = encode_grid(self, pixels)
        return regions * (1e9 if len(calls) > 8 else 1), grid

    monkeypatch.setattr(Backbone, "encode_grid", grow)
    with pytest.raises(BadConfig, match="--dtype float32 and another --name; if it"):
        extract(data, NET, **USUAL)
    with pytest.raises(BadStore, match="not complete: 8 of 23"):
        FeatureStore.open(data / "features" / "net")


def test_a_batch_that_is_too_large_for_the_device(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Backbone, pixels: torch.Tensor) -> Any:
        if (pixels != pixels[0, :, :1, :1]).any():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode_grid(self, pixels)

    encode_grid = Backbone.encode_grid
    monkeypatch.setattr(Backbone, "encode_grid", full)
    with pytest.raises(BadConfig, match=r"not enough memory for 2 images.*smaller --batch-size"):
        extract(data, NET, **USUAL)
    assert not (data / "features" / "net").exists()


def test_real_photos_through_real_weights(real_data, real_weights, tmp_path: Path) -> None:
    """Eight photos of Flickr8k through MobileNetV2: 7 x 7 regions, and near what they should be."""
    root = real_data("flickr8k-2250") / "images"
    names = sorted(file.name for file in root.iterdir())[:8]
    image_records = [ImageRecord(number, name, "train") for number, name in enumerate(names)]
    captions = [Caption(number, number, "a", ("a",), "train") for number in range(8)]
    write_folder(tmp_path / "data", Collection("x", str(root), image_records, captions=captions))
    half = (0.5, 0.5, 0.5)
    path = extract(
        tmp_path / "data",
        "timm:mobilenetv2_100",
        weights=real_weights("mobilenetv2_100.safetensors"),
        options={"pad_type": "same"},
        **{"mean": half, "std": half, "resize": "squash", "interpolation": "bilinear"},
    )
    store = FeatureStore.open(path)
    assert path.name == "mobilenetv2_100-224"
    assert store.features.shape == (8, 49, 1280)
    assert (store.counts == 49).all()
    features = store.features.astype(np.float32)
    assert features.min() == 0
    assert 5.9 < features.max() <= 6  # ReLU6
    assert 0.3 < (features == 0).mean() < 0.9
    apart = np.corrcoef(features.mean(axis=1))
    assert apart[~np.eye(8, dtype=bool)].max() < 0.95
