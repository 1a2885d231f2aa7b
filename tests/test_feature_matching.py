"""Other programs' features go to their own images, or nowhere: names, numbers, sides, boxes."""

import csv
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core.errors import BadData, BadStore, SaccadeError
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.datasets.catalogue import SOURCES, published, read_source
from saccade.datasets.prepare import prepare
from saccade.features.store import FeatureStore
from saccade.interop.feature_matching import match
from saccade.interop.import_features import import_features
from tests import feature_file_samples as samples
from tests.feature_file_samples import base64
from tests.source_samples import SAMPLES
from tests.worlds import make_world

COCO = [9, 25, 30, 34, 36, 49, 61, 64, 71, 72, 73, 74, 77, 78, 81, 86, 89, 92, 94, 109, 110, 113]
"""The first numbers of COCO's training images."""


def coco(number: int) -> str:
    return f"COCO_train2014_{number:012}.jpg"


def side(number: int) -> int:
    """Width of an image: no two are equal."""
    return 100 + 2 * number


def table(root: Path, names: Sequence[str], widths: Sequence[int] = ()) -> DataFolder:
    """A person's own table of images, prepared: their ids are places in the sorted list."""
    lines = [["image", "question", "answer", "split"]]
    for i, name in enumerate(names):
        path = root / "own" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (widths[i] if widths else 64, 50)).save(path)
        lines.append([name, "what?", f"thing {i}", "val" if i % 5 == 1 else "train"])
    with (root / "own" / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return DataFolder(prepare(None, root / "own", root / "data"))


def vectors(folder: Path, values: dict[str, float]) -> Path:
    """Feature vectors of self-critical, each a file that says whose it is."""
    folder.mkdir(parents=True)
    for name, value in values.items():
        np.save(folder / f"{name}.npy", np.full(4, value, np.float32))
    return folder


def regions(folder: Path, values: dict[str, float], width: int = 64) -> Path:
    """The same as files of openvqa."""
    for name, value in values.items():
        path = folder / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        x, bbox = np.full((4, 2), value, np.float32), np.array([[0, 0, 9, 9], [0, 0, width, 50]])
        np.savez(path, x=x, bbox=bbox, image_w=width, image_h=50)
    return folder


def tsv(path: Path, numbers: Sequence[int], width=side, high: int = 50, reach: float = 1.0) -> Path:
    """Bottom-up attention's file of images, each with regions of its number."""
    rows = []
    for number in numbers:
        box = np.array([[0, 0, width(number) * reach, 50]])
        parts = [box, np.full((1, 8), number)]
        coded = [base64.b64encode(part.astype("<f4").tobytes()) for part in parts]
        fields = [str(part).encode() for part in (number, width(number), high, 1)]
        rows.append(b"\t".join([*fields, *coded]) + b"\n")
    path.write_bytes(b"".join(rows))
    return path


def told(store: Path, folder: DataFolder) -> dict[str, float]:
    """What each image's features say; images without any are left out."""
    opened, images = FeatureStore.open(store), folder.images()
    opened.verify()
    rows = opened.rows([one.id for one in images])
    return {
        one.file.removeprefix("images/"): float(opened.features[row, 0, 0])
        for one, row in zip(images, rows, strict=True)
        if opened.counts[row]
    }


def test_coco_numbers_are_no_places_in_a_list(tmp_path: Path) -> None:
    """Thirty-one images of COCO in a person's own table: 9, 25 and 30 are also places."""
    folder = table(tmp_path, [coco(n) for n in COCO], [side(n) for n in COCO])
    assert {one.id for one in folder.images()} & set(COCO)
    file = tsv(tmp_path / "x.tsv", [*COCO, 2, 3])
    store = import_features("bottom-up", file, folder.path, dtype="float32")
    assert told(store, folder) == {coco(n): n for n in COCO}


def test_karpathys_numbers_are_no_places_in_a_list(tmp_path: Path) -> None:
    """Features by imgid for a folder that was made of Flickr's own files."""
    names = [f"{1000 + 7 * i}_{i:03}.jpg" for i in range(12)]
    folder = table(tmp_path, names)
    file = vectors(tmp_path / "cocotalk_fc", {str((5 * i + 2) % 12): i for i in range(12)})
    with pytest.raises(BadData, match=r"none of its 12 .*ids of source table are places in a list"):
        import_features("self-critical", file, folder.path)
    assert not folder.stores()
    # Unless the person says that they are just these.
    ids = {str(one.id): one.id for one in folder.images()}
    own = vectors(tmp_path / "mine_fc", ids)
    store = import_features("self-critical", own, folder.path, match="id")
    assert told(store, folder) == {
        one.file.removeprefix("images/"): one.id for one in folder.images()
    }


def test_a_name_that_is_a_number_is_a_name(tmp_path: Path) -> None:
    numbers = (2, 5, 7, 9, 10, 11)
    folder = table(tmp_path, [f"{n}.jpg" for n in numbers])
    file = vectors(tmp_path / "cocotalk_fc", {str(n): n for n in numbers})
    store = import_features("self-critical", file, folder.path)
    assert told(store, folder) == {f"{n}.jpg": n for n in numbers}


def test_a_number_at_a_names_end_is_no_id(tmp_path: Path) -> None:
    numbers = (2, 5, 7, 9, 10, 11)
    folder = table(tmp_path, [f"{n}.jpg" for n in numbers])
    values = {f"{n}.jpg": n for n in numbers} | {"other_0003.jpg": 999, "z5": 999}
    store = import_features("openvqa", regions(tmp_path / "npz", values), folder.path)
    assert told(store, folder) == {f"{n}.jpg": n for n in numbers}


@pytest.mark.parametrize("ending", ["", ".png"])
@pytest.mark.parametrize("above", ["", "features/made/"])
def test_equal_names_in_several_folders(tmp_path: Path, ending: str, above: str) -> None:
    names = [f"video_{v}/fr{k}.png" for v in (1, 2, 3) for k in range(3)]
    values = {
        f"{above}{name.removesuffix('.png')}{ending}": i for i, name in enumerate(names, start=1)
    }
    folder = table(tmp_path, names)
    store = import_features("openvqa", regions(tmp_path / "npz", values), folder.path)
    assert told(store, folder) == {name: i for i, name in enumerate(names, start=1)}


def test_a_frame_of_another_video_does_not_stand_in(tmp_path: Path) -> None:
    """Of video 1 the last frame has no features; video 2 has one of that name."""
    folder = table(tmp_path, [f"video_1/fr{k}.png" for k in range(6)])
    values = {f"video_1/fr{k}": k for k in range(5)} | {f"video_2/fr{k}": 99 for k in range(6)}
    store = import_features("openvqa", regions(tmp_path / "npz", values), folder.path)
    assert told(store, folder) == {f"video_1/fr{k}.png": k for k in range(5)}


def test_two_files_for_one_image_are_named(tmp_path: Path) -> None:
    folder = table(tmp_path, [f"fr{k}.png" for k in range(6)])
    values = {f"video_{v}/fr{k}": v for v in (1, 2) for k in range(6)}
    with pytest.raises(BadData, match=r"none of its 12 images \(video_1/fr0\.npz"):
        import_features("openvqa", regions(tmp_path / "npz", values), folder.path)
    values = {f"{place}/fr{k}": k for place in ("images", "old/images") for k in range(6)}
    with pytest.raises(
        BadData, match=r"images/fr0\.npz and old/images/fr0\.npz are both image images/fr0\.png"
    ):
        import_features("openvqa", regions(tmp_path / "twice", values), folder.path)
    both = vectors(tmp_path / "fc", {f"fr{k}": k for k in range(6)})
    np.savez(both / "fr3.npz", feat=np.zeros(4, np.float32))
    with pytest.raises(BadData, match=r"fr3\.npy and fr3\.npz are both image images/fr3\.png"):
        import_features("self-critical", both, folder.path)


def test_one_image_in_two_files_of_rows(tmp_path: Path) -> None:
    folder = table(tmp_path, [coco(n) for n in COCO], [side(n) for n in COCO])
    both = tmp_path / "both"
    both.mkdir()
    tsv(both / "a.tsv", COCO[:9])
    tsv(both / "b.tsv", COCO[8:], reach=0.9)
    with pytest.raises(BadData, match=r"image 71 is in a\.tsv and in b\.tsv"):
        import_features("bottom-up", both, folder.path)
    path = samples.write_hengyuan_hu(tmp_path / "hu", [*COCO, COCO[0]])
    with pytest.raises(BadData, match=r"image 9 is in train36\.hdf5 and in val36\.hdf5"):
        import_features("hengyuan-hu", path, folder.path)
    path = samples.write_pytorch_vqa(tmp_path / "grid", [*COCO, COCO[3]])
    with pytest.raises(BadData, match="image 34 stands in it twice, as rows 3 and 22"):
        import_features("pytorch-vqa", path, folder.path)


def test_numbers_that_could_be_names_or_ids(tmp_path: Path) -> None:
    """A set in COCO's layout that was numbered anew: 7.jpg has id 3."""
    folder = make_world(
        tmp_path / "data",
        train=10,
        val=2,
        source="coco-captions",
        image=lambda i: ((7 * i + 3) % 12, f"{i}.jpg"),
    )
    file = vectors(tmp_path / "fc", {str(i): i for i in range(12)})
    with pytest.raises(
        BadData, match=r"could be names or ids: 0\.npy is the name of .*--match name"
    ):
        import_features("self-critical", file, folder.path)
    named = import_features("self-critical", file, folder.path, match="name", name="named")
    assert told(named, folder) == {f"{i}.jpg": i for i in range(12)}
    with pytest.raises(BadStore, match="the store was begun with --match name"):
        import_features("self-critical", file, folder.path, match="id", name="named")
    by_id = import_features("self-critical", file, folder.path, match="id", name="by-id")
    assert told(by_id, folder) == {f"{i}.jpg": (7 * i + 3) % 12 for i in range(12)}


def test_most_images_are_wanted(tmp_path: Path) -> None:
    folder = table(tmp_path, [coco(n) for n in COCO], [side(n) for n in COCO])
    file = tsv(tmp_path / "few.tsv", [*COCO[:10], 5001])
    message = (
        r"12 of the data folder's 22 images are not in it \(images/COCO_train2014_000000000073"
        r".*, but 1 others are \(5001\).*--missing drop"
    )
    with pytest.raises(BadData, match=message):
        import_features("bottom-up", file, folder.path)
    assert not folder.stores()
    command = ["import-features", "bottom-up", str(file), "--data", str(folder.path)]
    done = CliRunner().invoke(app, [*command, "--missing", "drop"])
    assert done.exit_code == 0, done.output
    assert "12 images are not in the file and left out" in done.output
    assert len(told(folder.store_path("bottom-up"), folder)) == 10
    half = tsv(tmp_path / "half.tsv", COCO[:11])
    assert len(told(import_features("bottom-up", half, folder.path, name="half"), folder)) == 11


def test_sides_that_are_another_images(tmp_path: Path) -> None:
    """The numbers are the right ones, and the images others: nothing is stored."""
    folder = table(tmp_path, [coco(n) for n in COCO], [side(n) for n in COCO])
    other = tsv(tmp_path / "x.tsv", COCO, lambda n: side(n) + (40 if n == 113 else 0))
    message = (
        r"COCO_train2014_000000000113\.jpg\) is 326 x 50 pixels, according to the features 366 x 50"
    )
    with pytest.raises(BadData, match=message):
        import_features("bottom-up", other, folder.path)
    assert not folder.stores()
    turned = tsv(tmp_path / "y.tsv", COCO, high=side(9))
    with pytest.raises(BadData, match=r"is 118 x 50 pixels, according to the features 118 x 118"):
        import_features("bottom-up", turned, folder.path)
    # Without the images nothing is compared; boxes are, with what the file itself says.
    nowhere = {"image_root": tmp_path / "nowhere", "name": "unseen"}
    assert len(told(import_features("bottom-up", other, folder.path, **nowhere), folder)) == 22
    beyond = tsv(tmp_path / "z.tsv", COCO, reach=1.4)
    with pytest.raises(BadData, match=r"boxes of image .* reach from 0 to 1\.4 of its sides"):
        import_features("bottom-up", beyond, folder.path, **{**nowhere, "name": "beyond"})


def test_an_image_that_lies_on_its_side(tmp_path: Path) -> None:
    """Told as it is stored (older programs) or as it is looked at; not as a third thing."""
    folder = table(tmp_path, ["a.jpg", "b.jpg"], [64, 64])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 50)).save(folder.image_root / "images" / "b.jpg", exif=exif)
    values = {"a": 1.0, "b": 2.0}
    for size in ((64, 50), (50, 64)):
        path = regions(tmp_path / f"npz{size[0]}", values)
        np.savez(
            path / "b.npz",
            x=np.ones((4, 1)),
            bbox=np.array([[0, 0, 9, 9]]),
            image_w=size[0],
            image_h=size[1],
        )
        import_features("openvqa", path, folder.path, name=f"store{size[0]}")
    vector = vectors(tmp_path / "fc", values)
    store = FeatureStore.open(import_features("self-critical", vector, folder.path))
    assert store.sizes.tolist() == [[64, 50], [50, 64]]


def test_images_in_a_folder_of_another_name_are_told(tmp_path: Path) -> None:
    folder = table(tmp_path, [f"train2017/{n:012}.jpg" for n in COCO])
    said: list[object] = []
    values = {f"train2014/{coco(n)}": n for n in COCO}
    file = regions(tmp_path / "npz", values)
    store = import_features("openvqa", file, folder.path, said.append, name="other")
    assert told(store, folder) == {f"train2017/{n:012}.jpg": n for n in COCO}
    assert "22 images were found by name in a folder of another name" in str(said)


@pytest.mark.parametrize("name", [name for name, line in SOURCES.items() if line.published_ids])
def test_published_ids_are_the_datas_own(name: str, tmp_path: Path) -> None:
    """Sources whose ids are made here, from the order of names, are none of them."""
    SAMPLES[name](tmp_path)
    made_here = {one.id for one in read_source(name, tmp_path).released_ids if one.kind == "image"}
    assert not made_here


def test_published_ids_of_joined_sources() -> None:
    assert not {"table", "flickr8k", "vqa-rad"} & {n for n, s in SOURCES.items() if s.published_ids}
    assert published("vqa-v2+karpathy")
    assert not published("vqa-v2+table")
    assert not published("")


def test_paths_of_which_several_images_end_so() -> None:
    images = [ImageRecord(0, "a/x.jpg", "train"), ImageRecord(1, "a/x.png", "train")]
    assert match(["x.npz", "x.png.npz"], images, "table").keys == {1: "x.png.npz"}
    assert match(["x.npz"], images, "table").keys == {}
    numbered = [ImageRecord(4, "0009.jpg", "train"), ImageRecord(9, "b.jpg", "train")]
    assert match([9], numbered, "table").keys == {4: 9}
    assert match([9], numbered, "table", "id").keys == {9: 9}
    with pytest.raises(BadData, match="names or ids"):
        match([9], numbered, "karpathy")
    # With the image's ending it is a name, whatever the ids.
    assert match(["9.jpg.npz"], numbered, "karpathy").keys == {4: "9.jpg.npz"}


@given(
    st.permutations(range(12)),
    st.sets(st.integers(0, 11), min_size=1),
    st.sampled_from(["table", "flickr8k", "hf-parquet", "vqa-rad"]),
)
def test_ids_that_are_places_never_matter(places: list[int], there: set[int], source: str) -> None:
    """However the images are numbered, a number finds the image of that name, or none."""
    images = [ImageRecord(place, coco(n), "train") for place, n in zip(places, COCO, strict=False)]
    keys = [COCO[i] for i in sorted(there)] + [0, 1, 2, 3]
    found = match(keys, images, source).keys
    file_of = {one.id: one.file for one in images}
    assert {file_of[id_]: key for id_, key in found.items()} == {
        coco(COCO[i]): COCO[i] for i in there
    }


def one_row(**arrays: object):
    """Writers of one damaged thing each, for a folder of one image, number 9."""

    def write(folder: Path) -> Path:
        fields = {"width": 118, "height": 50, "boxes": [[0, 0, 9, 9]], **arrays}
        parts = [np.asarray(fields["boxes"], "<f4"), np.ones((1, 8), "<f4")]
        coded = [base64.b64encode(part.tobytes()) for part in parts]
        told = [str(x).encode() for x in (9, fields["width"], fields["height"], 1)]
        (folder / "x.tsv").write_bytes(b"\t".join([*told, *coded]) + b"\n")
        return folder / "x.tsv"

    return write


def one_npz(**arrays: object):
    def write(folder: Path) -> Path:
        whole = {"x": np.ones((8, 1)), "bbox": [[0, 0, 9, 9]], "image_w": 118, "image_h": 50}
        (folder / "npz").mkdir()
        np.savez(folder / "npz" / f"{coco(9)}.npz", **{**whole, **arrays})
        return folder / "npz"

    return write


def one_hdf5(**arrays: object):
    """hengyuan-hu's file."""

    def write(folder: Path) -> Path:
        path = samples.write_hengyuan_hu(folder / "hu", [9, 25])
        for name, array in arrays.items():
            with h5py.File(path / "train36.hdf5", "r+") as file:
                del file[name]
                file[name] = np.broadcast_to(array, (1, 3, 6 if name[0] == "s" else 4))
        return path

    return write


def one_grid(make):
    """pytorch-vqa's file, with something else for its features."""

    def write(folder: Path) -> Path:
        with h5py.File(folder / "other.h5", "w") as file:
            file["features"] = np.ones((1, 8, 2, 2), np.float32)
        with h5py.File(folder / "r.h5", "w") as file:
            make(file, folder)
            file["ids"] = np.array([9])
        return folder / "r.h5"

    return write


def outside(file: h5py.File, folder: Path) -> None:
    (folder / "raw").write_bytes(np.ones(32, "<f4").tobytes())
    file.create_dataset("features", (1, 8, 2, 2), "<f4", external=str(folder / "raw"))


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((1, 8, 2, 2), "<f4")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "features", (1, 8, 2, 2))
    file.create_virtual_dataset("features", layout)


def link(kind, *target: str):
    def make(file: h5py.File, folder: Path) -> None:
        file["there"] = np.ones((1, 8, 2, 2), np.float32)
        file["features"] = kind(*(str(folder / one) if "." in one else one for one in target))

    return make


def shaped(*shape: int, kind: str = "f4"):
    return lambda file, _: file.create_dataset("features", shape, kind)


ELSEWHERE = "'features' lies in another place"
IMPOSSIBLE = {
    "height": ("bottom-up", one_row(height=99999999999), "image of 118 x 99999999999 pixels"),
    "negative": ("bottom-up", one_row(width=-5), "image of -5 x 50 pixels"),
    "no-sides": ("bottom-up", one_row(width=0, height=0), "an image of 0 x 0 pixels"),
    "nan-tsv": ("bottom-up", one_row(boxes=[[np.nan, 0, 1, 1]]), "boxes that are no numbers"),
    "inf-tsv": ("bottom-up", one_row(boxes=[[0, 0, np.inf, 1]]), "boxes that are no numbers"),
    "text-npz": ("openvqa", one_npz(x=np.full((8, 1), "a")), "arrays of numbers are .'bbox'"),
    "yes-npz": ("openvqa", one_npz(x=np.ones((8, 1), bool)), "arrays of numbers are .'bbox'"),
    "text-boxes": ("openvqa", one_npz(bbox=np.full((1, 4), "9")), "arrays of numbers are .'x'"),
    "nan-npz": ("openvqa", one_npz(bbox=[[np.nan] * 4]), "boxes that are no numbers"),
    "large-npz": ("openvqa", one_npz(bbox=[[0, 0, 1e300, 9]]), "boxes that are no numbers"),
    "no-side": ("openvqa", one_npz(image_w=0), "boxes in pixels of an image of 0 x 50 pixels"),
    "sides": ("openvqa", one_npz(image_w=np.array([1, 2])), "cannot be read"),
    "huge-bb": ("hengyuan-hu", one_hdf5(image_bb=np.float32(1e30)), "an image of [0-9]{30}"),
    "nan-bb": ("hengyuan-hu", one_hdf5(image_bb=np.float32("nan")), "cannot be read"),
    "nan-share": ("hengyuan-hu", one_hdf5(spatial_features=np.float32("nan")), "no numbers"),
    "text-hdf5": ("pytorch-vqa", one_grid(shaped(1, 8, 2, 2, kind="S4")), r"of type \|S4"),
    "no-cells": ("pytorch-vqa", one_grid(shaped(1, 8, 0, 2)), r"is \(1, 8, 0, 2\)"),
    "no-numbers": ("pytorch-vqa", one_grid(shaped(1, 0, 2, 2)), r"is \(1, 0, 2, 2\)"),
    "external": ("pytorch-vqa", one_grid(link(h5py.ExternalLink, "other.h5", "f")), ELSEWHERE),
    "broken": ("pytorch-vqa", one_grid(link(h5py.ExternalLink, "no.h5", "features")), ELSEWHERE),
    "soft": ("pytorch-vqa", one_grid(link(h5py.SoftLink, "/there")), ELSEWHERE),
    "raw": ("pytorch-vqa", one_grid(outside), ELSEWHERE),
    "virtual": ("pytorch-vqa", one_grid(virtual), ELSEWHERE),
    "only-links": (
        "pytorch-vqa",
        one_grid(lambda file, _: file.update({"x": h5py.SoftLink("/no")})),
        r"no array 'features' of 4 dimensions, but: .*x \(a link\)",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_things_are_told(tmp_path: Path, name: str) -> None:
    kind, write, message = IMPOSSIBLE[name]
    folder = table(tmp_path, [coco(9), coco(25)], [side(9), side(25)])
    with pytest.raises(SaccadeError, match=message) as caught:
        import_features(kind, write(tmp_path), folder.path, missing="drop")
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint
    assert not folder.stores()
