"""The table of feature files: kind, made how, read with which result; and broken ones of each kind.

Writers follow the programs' published descriptions (docs/import.md has the same table with their
sources) and know nothing of the readers.
"""

import base64
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from saccade.core.errors import BadData, SaccadeError
from saccade.data.folder import DataFolder
from saccade.features.store import FeatureStore
from saccade.interop import feature_reader
from saccade.interop.feature_reader import COPY_AGAIN
from saccade.interop.import_features import KINDS, import_features
from tests.feature_file_samples import boxes_of, count_of, regions_of
from tests.feature_file_samples import tsv_row as sized_row
from tests.worlds import make_world

NUMBERS = (9, 25, 30, 34, 36, 49)
WIDE, HIGH = 640, 480
WHOLE = "whole"
"""Boxes of which nobody knows where they lie."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("world"))


def data_folder(root: Path) -> DataFolder:
    name = "COCO_train2014_{:012}.png".format
    made = make_world(
        root / "data", train=4, val=2, source="table", image=lambda i: (i, name(NUMBERS[i]))
    )
    (root / "images").mkdir()
    for number in NUMBERS:
        Image.new("RGB", (WIDE, HIGH)).save(root / "images" / name(number))
    return DataFolder(made.path, image_root=root / "images")


def coded(array: np.ndarray, kind: str = "<f4") -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def places(number: int, count: int) -> np.ndarray:
    """Oscar's six numbers: x0 y0 x1 y1, width and height, as shares."""
    boxes = boxes_of(number, count) / np.array([WIDE, HIGH, WIDE, HIGH])
    return np.concatenate([boxes, boxes[:, 2:] - boxes[:, :2]], axis=1).astype("<f4")


# Rows of tables.


def tsv_row(number: int, dim: int = 8, **changes: Any) -> list[str]:
    count = changes.get("count", count_of(number))
    boxes, features = boxes_of(number, count), regions_of(changes.get("of", number), count, dim)
    id_ = changes.get("id", str(number))
    return [id_, str(WIDE), str(HIGH), str(count), coded(boxes), coded(features)]


def lxmert_row(number: int) -> list[str]:
    id_, wide, high, count, boxes, features = tsv_row(number, id=f"{number:012}")
    labels, sure = coded(np.arange(int(count)), "<i8"), coded(np.ones(int(count)))
    return [id_, high, wide, labels, sure, labels, sure, count, boxes, features]


def vinvl_row(number: int, placed: bool = True, **more: Any) -> list[str]:
    count = count_of(number)
    features = regions_of(number, count)
    if placed:
        features = np.concatenate([features, places(number, count)], axis=1)
    told = {"num_boxes": count, "features": coded(features), **more}
    return [str(number), json.dumps(told)]


def vinvl_boxed(number: int) -> list[str]:
    boxes = coded(boxes_of(number, count_of(number)))
    return vinvl_row(number, placed=False, boxes=boxes, image_w=WIDE, image_h=HIGH)


def vinvl_objects(number: int) -> list[str]:
    """As scene_graph_benchmark writes what its detector finds: an object with all of it a box."""
    pairs = zip(
        boxes_of(number, count_of(number)), regions_of(number, count_of(number)), strict=True
    )
    objects = [
        {"rect": box.tolist(), "bbox_id": n, "class": "dog", "conf": 0.9, "feature": coded(region)}
        for n, (box, region) in enumerate(pairs)
    ]
    return [str(number), json.dumps({"objects": objects, "relations": None})]


def vinvl_three(number: int) -> list[str]:
    told = json.loads(vinvl_row(number)[1])
    return [str(number), str(told["num_boxes"]), told["features"]]


def repr_of_bytes(row: list[str]) -> list[str]:
    """As Python 3 writes base64 that nobody has decoded."""
    return [f"b'{one}'" if len(one) > 15 else one for one in row]


def cut(row: list[str], keep: int = 10) -> list[str]:
    return [*row[:-1], row[-1][:-keep]]


def joined(rows: Sequence[list[str]], end: str = "\n") -> str:
    return "".join("\t".join(row) + end for row in rows)


def table(text: str | Callable[[], str], name: str = "features.tsv"):
    def write(out: Path) -> Path:
        out.mkdir()
        (out / name).write_text(text if isinstance(text, str) else text(), newline="")
        return out / name

    return write


def shards(*texts: str):
    def write(out: Path) -> Path:
        out.mkdir()
        for number, text in enumerate(texts):
            (out / f"karpathy_train.tsv.{number}").write_text(text)
        return out

    return write


def with_line_index(out: Path) -> Path:
    rows = [joined([vinvl_row(n)]) for n in NUMBERS]
    path = table("".join(rows))(out)
    starts = np.cumsum([0, *map(len, rows[:-1])])
    path.with_suffix(".lineidx").write_text("".join(f"{one}\n" for one in starts))
    (out / "predictions.tsv").write_text("9\t[]\n")
    return out


ROWS = [tsv_row(n) for n in NUMBERS]
LXMERT = [lxmert_row(n) for n in NUMBERS]
VINVL = [vinvl_row(n) for n in NUMBERS]

# Arrays.


def npz(name: str = "{:012}.npz", *, by_rows: bool = True, count: Any = None, **how: Any):
    def write(out: Path) -> Path:
        out.mkdir()
        for number in NUMBERS:
            real = count(number) if callable(count) else count or count_of(number)
            x, bbox = regions_of(number, real), boxes_of(number, real)
            if how.get("padded"):
                x, bbox = (np.concatenate([one, one[:1] * 0]) for one in (x, bbox))
            more: dict[str, Any] = {"image_w": WIDE, "image_h": HIGH}
            if how.get("sides"):
                more = dict(zip(how["sides"], (WIDE, HIGH), strict=True))
            if how.get("early"):
                more = {}
            if by_rows and not how.get("early"):
                more |= {"num_bbox": real, "info": {"image_id": str(number), "objects_id": x}}
            np.savez_compressed(
                out / name.format(number), x=x if by_rows else x.T, bbox=bbox, **more
            )
        return out

    return write


def m2(boxes: bool = True, kind: str = "f4", **extra: np.ndarray):
    def write(out: Path) -> Path:
        path = out.with_suffix(".hdf5")
        with h5py.File(path, "w") as file:
            for number in NUMBERS:
                count = count_of(number)
                file[f"{number}_features"] = regions_of(number, count).astype(kind)
                if boxes:
                    file[f"{number}_boxes"] = boxes_of(number, count)
                file[f"{number}_cls_prob"] = np.ones((count, 5), "f4")
            for name, array in extra.items():
                if name[1:] in file:
                    del file[name[1:]]
                if array is not None:
                    file[name[1:]] = array
        return path

    return write


def grids_by_id(cells: Callable[[int], int]):
    """As RSTNet keeps grid features: `ID_grids`, all cells behind each other."""

    def write(out: Path) -> Path:
        path = out.with_suffix(".hdf5")
        with h5py.File(path, "w") as file:
            for number in NUMBERS:
                file[f"{number}_grids"] = regions_of(number, cells(number))
        return path

    return write


def nocaps(stopped: int = 0, boxes: bool = True, ragged: bool = True, **extra: Any):
    def write(out: Path) -> Path:
        path, rows = out.with_suffix(".h5"), len(NUMBERS) + stopped
        counts = [count_of(n) if ragged else 3 for n in NUMBERS]
        with h5py.File(path, "w") as file:
            file.create_dataset("image_id", (rows,), np.int64)[: len(NUMBERS)] = NUMBERS
            if not ragged:
                pairs = list(zip(NUMBERS, counts, strict=True))
                file["features"] = np.stack([regions_of(n, k) for n, k in pairs])
                file["boxes"] = np.stack([boxes_of(n, k) for n, k in pairs])
            else:
                for name, value in (("width", WIDE), ("height", HIGH)):
                    file.create_dataset(name, (rows,), np.float32)[: len(NUMBERS)] = value
                file.create_dataset("num_boxes", (rows,), np.int64)[: len(NUMBERS)] = counts
                kind = h5py.special_dtype(vlen=np.float32)
                own = {"features": regions_of, **({"boxes": boxes_of} if boxes else {})}
                for name, make in own.items():
                    array = file.create_dataset(name, (rows,), kind)
                    for row, number in enumerate(NUMBERS):
                        array[row] = make(number, counts[row]).reshape(-1)
                file.create_dataset("scores", (rows,), kind)
            for name, change in extra.items():
                change(file, name)
        return path

    return write


def without(file: h5py.File, name: str) -> None:
    del file[name]


def other(make: Callable[[np.ndarray], np.ndarray]):
    def change(file: h5py.File, name: str) -> None:
        array = make(file[name][:])
        del file[name]
        file[name] = array

    return change


def shorter(file: h5py.File, name: str) -> None:
    file[name][2] = file[name][2][:-1]


def shorter_boxes(file: h5py.File, _name: str) -> None:
    shorter(file, "boxes")


def more_in(row: int):
    return other(lambda counts: counts + (np.arange(len(counts)) == row))


def numbers(file: h5py.File, name: str) -> None:
    file[name] = np.array([3, 3, 4, 3, 3, 3])


GRID = (2, 3)


def grid_of(number: int, rows: int = 2, columns: int = 3) -> torch.Tensor:
    regions = regions_of(number, rows * columns)
    return torch.from_numpy(regions.T.reshape(1, 8, rows, columns).copy())


def sides_of(number: int) -> tuple[int, int]:
    return (2, 3) if number % 2 else (3, 2)


def grids(make: Callable[[int], Any] = grid_of, new: bool = True, name: str = "{}.pth"):
    def write(out: Path) -> Path:
        (out / "train2014").mkdir(parents=True)
        for number in NUMBERS:
            path = out / "train2014" / name.format(number)
            torch.save(make(number), path, _use_new_zipfile_serialization=new)
        return out

    return write


def spoiled_grid(change: Callable[[Path], Any]):
    def write(out: Path) -> Path:
        change(grids()(out) / "train2014" / "30.pth")
        return out

    return write


def scan(each: int = 1, repeat: bool = False, ids: Sequence[Any] | None = None, **extra: Any):
    def write(out: Path) -> Path:
        out.mkdir()
        parts = {"train": NUMBERS[:4], "dev": NUMBERS[4:]}
        if repeat:
            parts |= {"testall": NUMBERS[2:], "test": NUMBERS[2:3]}
        for name, some in parts.items():
            array = np.stack([regions_of(n, extra.get("regions", 3)) for n in some])
            np.save(out / f"{name}_ims.npy", extra.get("make", lambda a: a)(array))
            lines = [n for n in some for _ in range(each)] if ids is None else ids
            (out / f"{name}_ids.txt").write_text("".join(f"{one}\n" for one in lines))
        return out

    return write


class Entry(NamedTuple):
    """A feature file and what must come of it."""

    kind: str
    made: str
    write: Callable[[Path], Path]
    boxes: str | None = "boxes"
    """`boxes` of each image, `whole` where nobody knows, None for a grid."""
    count: Callable[[int], int] = count_of
    says: str = ""
    without: tuple[int, ...] = ()
    """Images that are left out."""
    placed: bool = False
    """Do the regions end with their places?"""


ENTRIES = [
    Entry("bottom-up", "one file", table(joined(ROWS))),
    Entry("bottom-up", "ends of line of Windows", table(joined(ROWS, "\r\n"))),
    Entry(
        "bottom-up",
        "a first line of names",
        table("image_id\timage_w\timage_h\tnum_boxes\tboxes\tfeatures\n" + joined(ROWS)),
    ),
    Entry(
        "bottom-up",
        "names for ids",
        table(joined([tsv_row(n, id=f"COCO_train2014_{n:012}") for n in NUMBERS])),
    ),
    Entry("bottom-up", "base64 as b'...'", table(joined(map(repr_of_bytes, ROWS)))),
    Entry(
        "bottom-up",
        "a cut row, then a whole one",
        table(joined([*ROWS[:2], cut(ROWS[2]), *ROWS[2:]])),
        says=r"1 damaged rows were left out: image 30 .*base64",
    ),
    Entry(
        "bottom-up",
        "a cut row that the next is glued to",
        table(joined(ROWS[:2]) + "\t".join(cut(ROWS[2])) + joined(ROWS[3:4]) + joined(ROWS[2:])),
        says=r"image 30 .*11 fields",
    ),
    Entry(
        "bottom-up",
        "cut in the boxes and glued: ten fields, as LXMERT's",
        table("\t".join(ROWS[2][:5])[:-9] + joined(ROWS[3:4]) + joined(ROWS)),
        says=r"image 30 ",
    ),
    Entry(
        "bottom-up",
        "cut within an id and glued: an id of no image",
        table(joined(ROWS[:2]) + "3" + joined(ROWS[3:])),  # 3 and 34
        without=(30, 34),
        says=r"left out: \S*30\.png, \S*34\.png\n1 of its images are not in the .*: 334",
    ),
    Entry(
        "bottom-up",
        "a first row without its head, of the same image's content",
        table(joined(ROWS[1:2])[1:] + joined(ROWS)),
        says=r"1 of its images are not in the data folder: 5\n",
    ),
    Entry(
        "bottom-up",
        "an end of line within a row",
        table(
            joined(ROWS).replace(ROWS[1][5], ROWS[1][5][:20] + "\n" + ROWS[1][5][20:])
            + joined(ROWS[1:2])
        ),
        says=r"2 damaged rows.*image 25",
    ),
    Entry(
        "bottom-up",
        "other letters within base64, and no whole row",
        table(joined([*ROWS[:5], [*ROWS[5][:5], "?" + ROWS[5][5][1:]]])),
        says=r"image 49 .*base64",
        without=(49,),
    ),
    Entry(
        "bottom-up",
        "the same row twice",
        table(joined([*ROWS, ROWS[2]])),
        says=r"1 rows are of images that have one already, with equal content.* 30",
    ),
    Entry(
        "bottom-up",
        "an id twice, with different features",
        table(joined([*ROWS, tsv_row(30, of=31)])),
        says=r"with different content; the first was taken: 30",
    ),
    Entry(
        "bottom-up",
        "a row of narrower regions",
        table(joined([tsv_row(30, dim=4), *ROWS])),
        says=r"image 30 .*regions of 4 numbers, not 8",
    ),
    Entry(
        "bottom-up",
        "an image without boxes",
        table(joined([*ROWS[:5], ["49", "640", "480", "0", "", ""]])),
        says=r"1 damaged rows were left out: image 49",
        without=(49,),
    ),
    Entry(
        "bottom-up",
        "cut at its end",
        table(joined(ROWS)[:-30]),
        says=r"image 49 .*the file ends in it.*copy it again",
        without=(49,),
    ),
    Entry(
        "bottom-up",
        "shards, an id in both, once cut",
        shards(joined([*ROWS[:3], cut(ROWS[3])]), joined(ROWS[3:])),
        says=r"1 of these images have a whole row too.* 34",
    ),
    Entry(
        "bottom-up",
        "shards of a run that was resumed",
        shards(joined(ROWS[:4]), joined([tsv_row(34, of=35), *ROWS[4:]])),
        says=r"different content; the first was taken: 34",
    ),
    Entry("bottom-up", "LXMERT's ten fields", table(joined(LXMERT))),
    Entry("bottom-up", "LXMERT's as b'...'", table(joined(map(repr_of_bytes, LXMERT)))),
    Entry(
        "bottom-up",
        "LXMERT's, cut and whole",
        table(joined([cut(LXMERT[0]), *LXMERT])),
        says="damaged rows",
    ),
    Entry("openvqa", "x (D, n)", npz("COCO_train2014_{:012}.jpg.npz", by_rows=False)),
    Entry("openvqa", "x (n, D), num_bbox, info", npz()),
    Entry("openvqa", "x (n, D), square", npz(count=8), count=lambda n: 8),
    Entry(
        "openvqa",
        "x (D, n), one a square",
        npz(by_rows=False, count=lambda n: 8 if n == 9 else count_of(n)),
        count=lambda n: 8 if n == 9 else count_of(n),
    ),
    Entry(
        "openvqa",
        "x (n, D) without num_bbox, all but one squares",
        npz(early=True, count=lambda n: 3 if n == 49 else 8),
        count=lambda n: 3 if n == 49 else 8,
    ),
    Entry("openvqa", "rows of padding after num_bbox", npz(padded=True)),
    Entry("openvqa", "x and bbox alone", npz(early=True)),
    Entry("openvqa", "width and height, of GQA", npz(by_rows=False, sides=("width", "height"))),
    Entry("m2", "features, boxes, cls_prob", m2()),
    Entry("m2", "no boxes", m2(boxes=False), boxes=WHOLE, says="no boxes"),
    Entry("m2", "half precision", m2(kind="f2")),
    Entry("m2", "grids beside the regions", m2(_9_grids=np.ones((4, 8), "f4"))),
    Entry("m2", "grids of no square", grids_by_id(count_of), boxes=WHOLE, says="no boxes"),
    Entry("nocaps", "ragged rows", nocaps()),
    Entry("nocaps", "stopped before its end", nocaps(stopped=3), says="3 rows without boxes"),
    Entry("nocaps", "features (N, boxes, D)", nocaps(ragged=False), count=lambda n: 3),
    Entry("nocaps", "no boxes", nocaps(boxes=False), boxes=WHOLE, says="no boxes"),
    Entry(
        "nocaps",
        "num_boxes larger in a row",
        nocaps(num_boxes=more_in(2)),
        without=(30,),
        says=r"1 rows .*left out: image 30 \(row 2",
    ),
    Entry(
        "nocaps",
        "num_boxes larger in the first row",
        nocaps(num_boxes=more_in(0)),
        without=(9,),
        says=r"left out: image 9 \(row 0",
    ),
    Entry(
        "nocaps",
        "num_boxes larger, no boxes",
        nocaps(boxes=False, num_boxes=more_in(0)),
        boxes=WHOLE,
        without=(9,),
        says=r"left out: image 9 \(row 0",
    ),
    Entry(
        "nocaps",
        "num_boxes larger than (N, boxes, D)",
        nocaps(ragged=False, num_boxes=numbers),
        count=lambda n: 3,
        without=(30,),
        says=r"left out: image 30 \(row 2",
    ),
    Entry("nocaps", "numbers cut", nocaps(features=shorter), without=(30,), says="image 30"),
    Entry(
        "nocaps",
        "boxes cut",
        nocaps(boxes=True, image_id=shorter_boxes),
        without=(30,),
        says="image 30",
    ),
    Entry("nocaps", "no size", nocaps(width=without, height=without)),
    Entry("vinvl", "JSON, a folder with .lineidx", with_line_index, placed=True),
    Entry("vinvl", "JSON with boxes", table(joined([vinvl_boxed(n) for n in NUMBERS]))),
    Entry(
        "vinvl",
        "objects of the detector",
        table(joined([vinvl_objects(n) for n in NUMBERS]), "predictions.tsv"),
    ),
    Entry("vinvl", "id, number, features", table(joined(map(vinvl_three, NUMBERS))), placed=True),
    Entry(
        "vinvl",
        "features that say nothing of boxes",
        table(joined([vinvl_row(n, placed=False) for n in NUMBERS])),
        boxes=WHOLE,
    ),
    Entry(
        "vinvl",
        "a cut row, then a whole one",
        table(joined([[VINVL[1][0], VINVL[1][1][:-20]], *VINVL])),
        placed=True,
        says="image 25",
    ),
    Entry("grid-feats", "equal grids", grids(), boxes=None, count=lambda n: 6),
    Entry("grid-feats", "an early torch's file", grids(new=False), boxes=None, count=lambda n: 6),
    Entry(
        "grid-feats",
        "half precision",
        grids(lambda n: grid_of(n).half()),
        boxes=None,
        count=lambda n: 6,
    ),
    Entry(
        "grid-feats",
        "grids as their images are",
        grids(lambda n: grid_of(n, *sides_of(n))),
        boxes="cells",
        count=lambda n: 6,
    ),
    Entry("scan", "ids beside", scan(), boxes=WHOLE, count=lambda n: 3, says="no boxes"),
    Entry("scan", "ids once a caption", scan(each=5), boxes=WHOLE, count=lambda n: 3),
    Entry("scan", "test within testall", scan(repeat=True), boxes=WHOLE, count=lambda n: 3),
]


def cells(rows: int, columns: int) -> list[list[float]]:
    return [
        [x / columns, y / rows, (x + 1) / columns, (y + 1) / rows]
        for y in range(rows)
        for x in range(columns)
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=[f"{one.kind}: {one.made}" for one in ENTRIES])
def test_files_as_they_circulate_are_read(folder: DataFolder, tmp_path: Path, entry: Entry) -> None:
    check(folder, entry, *bring(folder, tmp_path, entry))


def bring(folder: DataFolder, home: Path, entry: Entry) -> tuple[FeatureStore, list[str]]:
    """The store that is made of an entry's file, and what was told meanwhile."""
    told: list[object] = []
    settings = {"name": home.name, "dtype": "float32", "image_root": folder.image_root}
    path = entry.write(home / "files")
    made = import_features(entry.kind, path, folder.path, told.append, **settings)
    return FeatureStore.open(made), list(map(str, told))


def check(folder: DataFolder, entry: Entry, store: FeatureStore, told: Sequence[str]) -> None:
    """It holds what its writer put into the file."""
    assert re.search(entry.says, "\n".join(told))
    assert store.header.backbone.name == f"imported:{entry.kind}"
    assert store.header.grid == (GRID if entry.boxes is None else None)
    images = sorted(folder.images(), key=lambda one: one.id)
    assert {NUMBERS[one.id] for one in store.skipped()} == set(entry.without)
    regions, boxes = store.read(np.arange(len(images)))[0], store.boxes(np.arange(len(images)))
    for row, image in enumerate(images):
        number = NUMBERS[image.id]
        count = 0 if number in entry.without else entry.count(number)
        assert store.counts[row] == count
        if not count:
            continue
        wanted = regions_of(number, count)
        np.testing.assert_allclose(regions[row, :count, :8], wanted, atol=1e-3)
        own = {
            WHOLE: np.tile([0, 0, 1, 1], (count, 1)),
            "boxes": places(number, count)[:, :4],
            "cells": cells(*sides_of(number)),
        }
        if entry.placed:
            assert np.array_equal(regions[row, :count, 8:], places(number, count))
        if entry.boxes:
            np.testing.assert_allclose(boxes[row, :count], own[entry.boxes], atol=1e-5)


def test_every_image_is_compared_with_its_size(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row whose id was cut may pass for another image; some are compared before one is stored."""
    monkeypatch.setattr(feature_reader, "COMPARED", 2)
    text = joined(ROWS[:3]) + sized_row(34, 3, 500, 375).decode() + joined(ROWS[4:])
    path = table(text)(tmp_path / "files")
    settings = {"name": tmp_path.name, "image_root": folder.image_root}
    with pytest.raises(BadData, match=r"0034\.png\) is 640 x 480 pixels") as caught:
        import_features("bottom-up", path, folder.path, **settings)
    assert caught.value.location == str(path)


def test_grids_by_id_are_squares(folder: DataFolder, tmp_path: Path) -> None:
    path = grids_by_id(lambda _: 9)(tmp_path / "X101_grid_feats")
    store = FeatureStore.open(import_features("m2", path, folder.path, name="squares"))
    assert store.header.grid == (3, 3)
    first = min(folder.images(), key=lambda one: one.id)
    regions = store.read(np.array([0]))[0][0]
    np.testing.assert_allclose(regions, regions_of(NUMBERS[first.id], 9), rtol=1e-2, atol=1e-2)


BROKEN: list[tuple[str, str, Callable[[Path], Path], str, bool]] = [
    # kind, made how, writer, the cause, whether another copy may help
    ("bottom-up", "empty", table(""), "empty", False),
    ("bottom-up", "a web page", table("<!DOCTYPE html><html>Quota exceeded"), "web page", False),
    ("bottom-up", "a Git LFS pointer", table("version https://git-lfs"), "LFS", False),
    ("bottom-up", "VinVL's", table(joined(VINVL)), "2 fields", False),
    ("bottom-up", "all rows cut", table(joined(map(cut, ROWS))), "base64", False),
    ("bottom-up", "four fields", table(joined([r[:4] for r in ROWS])), "4 fields", False),
    (
        "bottom-up",
        "columns in another order",
        table("image_id\timage_h\timage_w\tnum_boxes\tboxes\tfeatures\n" + joined(ROWS)),
        "columns id, h, w",
        False,
    ),
    (
        "bottom-up",
        "two kinds of features in a folder",
        shards(joined(ROWS[:4]), joined([tsv_row(n, dim=4) for n in NUMBERS[4:]])),
        "other files have 8",
        False,
    ),
    (
        "bottom-up",
        "a first row without its head: another image's size",
        table(sized_row(25, 3, 500, 375).decode() + joined(ROWS)),
        r"0025\.png\) is 640 x 480 pixels, according to the features 500 x 375",
        False,
    ),
    (
        "bottom-up",
        "an id cut and glued to another image's: its size",
        table(joined(ROWS[:2]) + "3" + sized_row(4, 3, 500, 375).decode() + joined(ROWS[4:])),
        r"0034\.png\) is 640 x 480 pixels, according to the features 500 x 375",
        False,
    ),
    ("bottom-up", "LXMERT's, all cut", table(joined(map(cut, LXMERT))), "base64", False),
    (
        "bottom-up",
        "LXMERT's without attributes",
        table(joined([[*r[:5], *r[7:]] for r in LXMERT])),
        "8 fields",
        False,
    ),
    ("bottom-up", "LXMERT's of no boxes", table(joined([[*r[:7], "0", "", ""] for r in LXMERT])),
     "0 boxes", False),
    ("bottom-up", "LXMERT's, sides negative",
     table(joined([[r[0], "-1", *r[2:]] for r in LXMERT])), "x -1 pixels", False),
    ("bottom-up", "LXMERT's, labels cut",
     table(joined([[*r[:3], r[3][:3], *r[4:]] for r in LXMERT])), "base64", False),
    ("nocaps", "no ids", nocaps(image_id=without), "no array 'image_id'", False),
    ("nocaps", "no numbers of boxes", nocaps(num_boxes=without), "no array 'num_boxes'", False),
    ("m2", "an id in two spellings", m2(_000000000009_features=regions_of(25, 3)),
     "9_features and 9_features|000000000009_features", False),
    ("openvqa", "squares that no file explains", npz(by_rows=False, count=8), "rows the", False),
    ("openvqa", "early squares", npz(early=True, count=8), "rows the regions, or", False),
    ("nocaps", "ids of fewer rows", nocaps(image_id=other(lambda a: a[:2])), "6 rows", False),
    ("nocaps", "an id twice", nocaps(image_id=other(lambda a: a * 0 + 9)), "twice", False),
    ("nocaps", "no row has boxes", nocaps(num_boxes=other(lambda a: a * 0)), "has a box", False),
    ("nocaps", "boxes of others", nocaps(num_boxes=other(lambda a: a + 1)), "num_boxes is", False),
    ("vinvl", "empty", table(""), "empty", False),
    ("vinvl", "labels", table(joined([["9", "[]"]])), "no num_boxes", False),
    (
        "vinvl",
        "objects without features",
        table('9\t{"objects": [{"rect": [0, 0, 1, 1], "class": "dog"}]}\n'),
        "no rect and feature",
        False,
    ),
    ("vinvl", "no JSON", table(joined([["9", "x"]])), "one whole row", False),
    ("vinvl", "bottom-up's", table(joined(ROWS)), "6 fields", False),
    ("vinvl", "endless boxes", table('9\t{"num_boxes": Infinity, "features": ""}\n'), "row", False),
    ("vinvl", "all cut", table(joined([[r[0], r[1][:-20]] for r in VINVL])), "row", False),
    ("vinvl", "features as numbers", table('9\t{"num_boxes": 1, "features": [1]}\n'), "row", False),
    ("grid-feats", "regions", grids(lambda n: grid_of(n)[0, 0]), "a tensor", False),
    ("grid-feats", "a state dict", grids(lambda n: {"w": grid_of(n)}), "a _Dict|a dict", False),
    ("grid-feats", "two images", grids(lambda n: grid_of(n).repeat(2, 1, 1, 1)), "tensor", False),
    ("grid-feats", "no cells", grids(lambda n: grid_of(n)[:, :, :0]), "a tensor", False),
    ("grid-feats", "other numbers", spoiled_grid(lambda p: torch.save(torch.ones(1, 5, 2, 3), p)),
     "5 numbers", False),
    ("grid-feats", "cut", spoiled_grid(lambda p: p.write_bytes(p.read_bytes()[:300])),
     "not a whole file", True),
    ("grid-feats", "a web page", spoiled_grid(lambda p: p.write_text("<html>")), "web page", False),
    ("scan", "no ids for all", scan(ids=[1, 2, 3]), "ids for", False),
    ("scan", "ids of five captions, mixed", scan(ids=[9, 25, 30, 34] * 5), "ids for", False),
    ("scan", "vectors", scan(make=lambda a: a[:, 0]), "not .images", False),
    ("scan", "objects", scan(make=lambda a: a.astype(object)), "no array of numbers", False),
    ("scan", "no images", scan(make=lambda a: a[:, :0]), "not .images", False),
]  # fmt: skip


def spoiled(write: Callable[[Path], Path], change: Callable[[Path], Any]):
    def spoil(out: Path) -> Path:
        path = write(out)
        change(sorted(path.iterdir())[1] if path.is_dir() else path)
        return path

    return spoil


def arrays(**made: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **made)


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_two_programs(out: Path) -> Path:
    """Squares, one file of rows and one of columns."""
    path = npz(early=True, count=8)(out)
    for number in (9, 25):
        x = regions_of(number, 3)
        file = path / f"{number:012}.npz"
        np.savez(file, x=x if number == 9 else x.T, bbox=boxes_of(number, 3))
    return path


X, B = regions_of(9, 3), boxes_of(9, 3)
BROKEN += [
    ("openvqa", made, spoiled(npz(), change), cause, copy)
    for made, change, cause, copy in (
        ("no side is n", arrays(x=X, bbox=B[:2]), "no side of x", False),
        ("no boxes", arrays(x=X), "arrays of numbers", False),
        ("no features", arrays(bbox=B), "arrays of numbers", False),
        ("more boxes than there are", arrays(x=X, bbox=B, num_bbox=9), "9 regions", False),
        ("other numbers", arrays(x=X[:, :5], bbox=B), "5 numbers a region", False),
        ("objects", arrays(x=X.astype(object), bbox=B), "arrays of numbers", False),
        ("cut", halved, "not a whole array", True),
    )
]
BROKEN += [
    ("m2", made, write, cause, copy)
    for made, write, cause, copy in (
        ("vectors", m2(_9_features=X[0]), "'9_features' of 2 dimensions", False),
        ("other numbers", m2(_36_features=X[:, :5]), "image 36 has regions of 5", False),
        ("fewer boxes", m2(_9_boxes=B[:1]), "regions and boxes", False),
        ("an image without boxes", m2(_9_boxes=None), "no array '9_boxes'", False),
        ("text", m2(_9_features=np.full((3, 8), b"a")), "of type", False),
        ("cut", spoiled(m2(), halved), "not a whole HDF5", True),
        ("a web page", spoiled(m2(), lambda p: p.write_text("<html>")), "web page", False),
        ("nocaps's", nocaps(), "no ID_features", False),
    )
]
BROKEN += [
    ("openvqa", "squares and two programs", of_two_programs, "has rows, 0+25.npz col", False),
    ("scan", "cut", spoiled(scan(), lambda p: halved(p.with_name("dev_ims.npy"))), "ends", True),
    (
        "scan",
        "no ids",
        spoiled(scan(), lambda p: p.with_name("dev_ids.txt").unlink()),
        "no ids",
        False,
    ),
]


@pytest.mark.parametrize(
    ("kind", "made", "write", "cause", "copy"), BROKEN, ids=[f"{b[0]}: {b[1]}" for b in BROKEN]
)
def test_broken_files_say_what_is_wrong(
    folder: DataFolder, tmp_path: Path, kind: str, made: str, write, cause: str, copy: bool
) -> None:
    path = write(tmp_path / "files")
    with pytest.raises(SaccadeError, match=cause) as caught:
        import_features(kind, path, folder.path, name=tmp_path.name, image_root=folder.image_root)
    assert str(tmp_path) in str(caught.value.location)
    assert caught.value.hint.startswith(COPY_AGAIN[:19]) == copy


def test_a_first_row_that_names_another_image_is_told(folder: DataFolder, tmp_path: Path) -> None:
    """It lost its head, "1": of image 25 there are two different rows, and none of 125."""
    path, said = table(joined([tsv_row(25, of=125), *ROWS]))(tmp_path / "files"), []
    name = tmp_path.name
    import_features("bottom-up", path, folder.path, said.append, name=name)
    assert re.search("1 rows .* one already, with different content.*: 25", "\n".join(said))


def test_every_new_kind_has_five_broken_files() -> None:
    kinds = [one[0] for one in BROKEN]
    assert {kind for kind in KINDS if kinds.count(kind) >= 5} >= {one.kind for one in ENTRIES}
    assert len(ENTRIES) >= 40
