"""The feature files of other programs: a function for each kind, which opens it."""

import base64
import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.features.networks import IMAGENET_MEAN, IMAGENET_STD
from saccade.interop.feature_reader import (
    Opened,
    Row,
    array_in,
    damaged,
    open_hdf5,
    preprocessing_of,
    shape_of,
    whole,
    whole_image,
)
from saccade.interop.torch_files import read_checkpoint

# Bottom-up attention's TSV files: `image_id, width, height, num_boxes, boxes, features`.
#
# Boxes and features are base64 of float32, boxes in pixels of the original image (Anderson et al.
# 2018, `tools/read_tsv.py` of its code). Rows stand in any order and are as long as an image's
# features, so the file is read once to learn where each begins, and once more in the order of ids.

MAX_ROW = 256 * 2**20
"""Bytes of a row: more is no row of such a file."""
DETECTOR_INPUT = preprocessing_of(1000, "inside", 600)
"""The detector's own: shorter side 600, longer at most 1000, values of 0..255."""


class _Place(NamedTuple):
    """Where an image's regions are: bytes of a TSV file, or rows of an HDF5 file."""

    file: int
    start: int
    end: int


def open_bottom_up(path: Path, _folder: DataFolder) -> Opened:
    """Open a TSV file, or a folder of them (`trainval_36/*.tsv*`). Raises BadData."""
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if re.search(r"\.tsv(\.\d+)?$", one.name))
    if not files or not all(one.is_file() for one in files):
        message = "there is no file .tsv" if path.is_dir() else "no such file"
        hint = "Unpack the archive and give its folder or file."
        raise BadData(message, location=path, hint=hint)
    places: dict[int | str, _Place] = {}
    most = dim = twice = 0
    for number, file in enumerate(files):
        offset = 0
        with file.open("rb") as stream:
            while line := stream.readline(MAX_ROW):
                location, end = f"{file}, byte {offset}", offset + len(line)
                id_, boxes, width = _parsed(line, location)
                if dim not in (0, width):
                    raise damaged(location, f"regions of {width} numbers, before there were {dim}")
                before = places.setdefault(id_, _Place(number, offset, end))
                if before.file != number:
                    raise _in_two_files(id_, files[before.file], file, path)
                twice += before.start != offset
                most, dim, offset = max(most, boxes), width, end
    if not places:
        raise damaged(path, "there is not one row")
    held = ExitStack()
    streams = [held.enter_context(file.open("rb")) for file in files]

    def read(place: _Place) -> Row:
        streams[place.file].seek(place.start)
        line = streams[place.file].read(place.end - place.start)
        if len(line) != place.end - place.start:
            raise EOFError("the file ends in the middle")
        _, wide, high, count, *texts = line.rstrip(b"\r\n").split(b"\t")
        boxes, features = (
            np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(int(count), -1)
            for text in texts
        )
        return Row(features, boxes, (int(wide), int(high)), in_pixels=True)

    notes = (f"{twice:,} images stand in it twice; the first row was taken",) if twice else ()
    return Opened(places, read, most, dim, None, DETECTOR_INPUT, notes=notes, held=held)


def _parsed(line: bytes, location: str) -> tuple[int, int, int]:
    """Image id, boxes and numbers per box of a row, by the lengths of its fields."""
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) != 6:
        wanted = "image_id, width, height, number, boxes, features"
        raise damaged(location, f"a row of {len(fields)} fields, not {wanted}")
    try:
        id_, count = int(fields[0]), int(fields[3])
        # Base64: four letters for three bytes, and an = for each that the last three lack.
        boxes, numbers = (len(text) * 3 // 4 - text[-2:].count(b"=") for text in fields[4:])
        if count < 1 or boxes != count * 16 or numbers % (4 * count) or not numbers:
            raise ValueError(f"{count} boxes in {boxes} bytes, their features in {numbers}")
    except ValueError as error:
        raise damaged(location, f"no row of features ({error})") from None
    return id_, count, numbers // (4 * count)


def _in_two_files(id_: int, one: Path, other: Path, path: Path) -> BadData:
    message = f"image {id_} is in {one.name} and in {other.name}"
    return BadData(message, location=path, hint="Give the file that is meant.")


# HDF5 files of hengyuan-hu/bottom-up-attention-vqa, and of BAN, with pickled ids beside them.


def open_hengyuan_hu(path: Path, _folder: DataFolder) -> Opened:
    """Open one HDF5 file, or all in a folder that have pickled ids. Raises BadConfig, BadData."""
    files = [path]
    if path.is_dir():
        hdf5 = sorted(one for one in path.iterdir() if one.suffix in (".hdf5", ".h5"))
        files = [one for one in hdf5 if _ids_of(one).is_file()]
    if not files:
        message = "there are no train36.hdf5 with train36_imgid2idx.pkl, nor others of that kind"
        hint = "Give the folder or file that the converter made."
        raise BadData(message, location=path, hint=hint)
    held = ExitStack()
    opened: list[tuple[Any, Any, Any]] = []  # regions, their shares of the image, boxes or None
    places: dict[int | str, _Place] = {}
    most = dim = 0
    for number, file in enumerate(files):
        arrays, spans = _arrays(held.enter_context(open_hdf5(file)), file)
        opened.append(arrays)
        features, *_ = arrays
        rows = len(features) if spans is None else len(spans)
        if dim not in (0, features.shape[-1]):
            message = f"regions of {features.shape[-1]} numbers, before there were {dim}"
            raise BadData(message, location=file, hint="Import files of one kind.")
        dim = int(features.shape[-1])
        for id_, row in _rows_by_id(_ids_of(file), rows).items():
            begin, end = (row, row + 1) if spans is None else map(int, spans[row])
            if not 0 <= begin < end <= len(features):
                raise damaged(file, f"row {row} is boxes {begin} to {end} of {len(features)}")
            if id_ in places:
                raise _in_two_files(id_, files[places[id_].file], file, path)
            places[id_] = _Place(number, begin, end)
            most = max(most, features.shape[1] if spans is None else end - begin)
    if not places:
        raise damaged(path, "there is not one image")

    def read(place: _Place) -> Row:
        features, spatial, boxes = opened[place.file]
        rows, size = slice(place.start, place.end), None
        regions = np.asarray(features[rows]).reshape(-1, features.shape[-1])
        shares = np.asarray(spatial[rows], np.float32).reshape(-1, 6)
        if boxes is not None:
            pixels = np.asarray(boxes[rows]).reshape(-1, 4)
            size = (_length(pixels[:, 2], shares[:, 2]), _length(pixels[:, 3], shares[:, 3]))
        return Row(regions, shares[:, :4], size if size and all(size) else None)

    return Opened(places, read, most, dim, None, DETECTOR_INPUT, held=held)


def _arrays(file: Any, path: Path) -> tuple[tuple[Any, Any, Any], np.ndarray | None]:
    """The arrays of a file, and of an adaptive one `(N, 2)` where each image begins and ends."""
    names = list(file)  # broken links too, which `array_in` refuses
    adaptive = "pos_boxes" in names
    features = array_in(file, "image_features", path, 2 if adaptive else 3)
    spatial = array_in(file, "spatial_features", path, features.ndim)
    boxes = array_in(file, "image_bb", path, features.ndim) if "image_bb" in names else None
    spans = whole(array_in(file, "pos_boxes", path, 2, "iu"), path) if adaptive else None
    if spans is not None and spans.shape[1] != 2:
        raise damaged(path, f"pos_boxes are {spans.shape}, not where each image begins and ends")
    return (features, spatial, boxes), spans


def _length(pixels: np.ndarray, share: np.ndarray) -> int:
    """How long a side is, from the box that reaches farthest."""
    best = int(share.argmax())
    return round(float(pixels[best] / share[best])) if share[best] > 0 else 0


def _ids_of(file: Path) -> Path:
    return file.with_name(f"{file.stem}_imgid2idx.pkl")


def _rows_by_id(path: Path, rows: int) -> dict[int, int]:
    """Rows by image id, from a pickle of which nothing is run. Raises BadCheckpoint, BadData."""
    value = read_checkpoint(path)
    if not isinstance(value, dict) or not all(
        type(id_) is int and type(row) is int and 0 <= row < rows for id_, row in value.items()
    ):
        message = f"it does not say which of {rows} rows each image is"
        raise BadData(message, location=path, hint="Give the pickle that belongs to the HDF5 file.")
    return value


# Feature files of MILVLG/openvqa: one `.npz` an image, `COCO_train2014_000000000009.jpg.npz`.
#
# `x (2048, n)` are the regions, side by side; `bbox (n, 4)` their boxes in pixels; `image_w`,
# `image_h`.


def open_openvqa(path: Path, _folder: DataFolder) -> Opened:
    """Open a folder with such files, in folders below it too. Raises BadData."""
    files = sorted(path.rglob("*.npz")) if path.is_dir() else []
    if not files:
        raise BadData("there is no file .npz in it", location=path, hint="Give the folder of them.")
    places: dict[int | str, Any] = {}
    most = dim = 0
    for file in files:
        shape = shape_of(file, "x")
        if len(shape) != 2 or 0 in shape or dim not in (0, shape[0]):
            wanted = f"{dim or 'some'} numbers for each of its columns"
            raise damaged(file, f"x is {shape}; wanted are {wanted}")
        dim, most = shape[0], max(most, shape[1])
        places[file.relative_to(path).as_posix()] = (file, shape[1])

    def read(place: Any) -> Row:
        file, count = place
        with np.load(file, allow_pickle=False) as held:
            boxes, size = held["bbox"], (int(held["image_w"]), int(held["image_h"]))
            if boxes.shape != (count, 4):  # before x, which may be large, is read
                raise ValueError(f"{count} regions and boxes {boxes.shape}")
            return Row(held["x"].T, boxes, size, in_pixels=True)

    return Opened(places, read, most, dim, None, DETECTOR_INPUT)


# The feature file of Cyanogenoid/pytorch-vqa: `resnet-14x14.h5`.


def open_pytorch_vqa(path: Path, _folder: DataFolder) -> Opened:
    """Open the HDF5 file. Raises BadConfig, BadData."""
    if not path.is_file():
        raise BadData("no such file", location=path, hint="Give the file resnet-14x14.h5.")
    file = open_hdf5(path)
    features, ids = array_in(file, "features", path, 4), array_in(file, "ids", path, 1, "iu")
    if len(ids) != len(features):
        raise damaged(path, f"{len(features)} images and {len(ids)} ids")
    _, dim, rows, columns = features.shape
    places: dict[int | str, int] = {}
    for row, id_ in enumerate(whole(ids, path).tolist()):
        if places.setdefault(id_, row) != row:
            raise damaged(path, f"image {id_} stands in it twice, as rows {places[id_]} and {row}")

    def read(row: int) -> Row:
        return Row(np.asarray(features[row]).reshape(dim, -1).T)

    into = preprocessing_of(448, "shorter_side", 512, std=(0.226, 0.226, 0.226))
    return Opened(places, read, rows * columns, dim, (rows, columns), into, held=file)


# Feature folders of self-critical.pytorch: `cocotalk_fc/ID.npy`, `cocotalk_att/ID.npz`.

KEY = "feat"


def open_self_critical(path: Path, _folder: DataFolder) -> Opened:
    """Open a folder of such files. Raises BadData where their shapes do not agree."""
    files = sorted(path.glob("*.np[yz]")) if path.is_dir() else []
    if not files:
        message = "there is no file .npy or .npz in it"
        raise BadData(message, location=path, hint="Give the folder, such as cocotalk_att.")
    places: dict[int | str, Any] = {}
    first, most = shape_of(files[0], KEY), 0
    for file in files:
        shape = shape_of(file, KEY)
        same = shape[:-1] == first[:-1] or len(shape) == len(first) == 2
        if len(shape) not in (1, 2, 3) or not same or shape[-1] != first[-1] or 0 in shape:
            raise damaged(file, f"an array of {shape}, in {files[0].name} it is {first}")
        most = max(most, int(np.prod(shape[:-1])))
        places[file.name] = file
    grid = {1: (1, 1), 2: None, 3: (first[0], first[1 % len(first)])}[len(first)]
    boxes = path.with_name(path.name.removesuffix("_att") + "_box")
    known = boxes.is_dir()
    unknown = "no folder of boxes: each region is drawn as the whole image"

    def array(file: Path) -> np.ndarray:
        loaded: Any = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return np.asarray(loaded[KEY])

    def read(file: Path) -> Row:
        regions = array(file).reshape(-1, first[-1])
        if grid is not None:
            return Row(regions)
        if known:
            return Row(regions, array(boxes / f"{file.stem}.npy"), in_pixels=True)
        return Row(regions, whole_image(len(regions)))

    notes = () if known or grid else (unknown,)
    return Opened(places, read, most, first[-1], grid, preprocessing_of(448), notes=notes)


# Image files of sgrvinod's tutorial: `TRAIN_IMAGES_coco_5_cap_per_img_5_min_word_freq.hdf5`.

SPLITS: dict[str, Split] = {"TRAIN": "train", "VAL": "val", "TEST": "test"}
MAX_WORDS = 50
"""Words of a caption that is kept."""
PREPARE_AGAIN = "Prepare the data folder from the JSON file that these were made of"


def open_sgrvinod(path: Path, folder: DataFolder) -> Opened:
    """Open the files of a folder, or the one that is given. Raises BadConfig, BadData."""
    files = sorted(path.glob("*_IMAGES_*.hdf5")) if path.is_dir() else [path]
    if not files or any(one.name.split("_IMAGES_")[0] not in SPLITS for one in files):
        hint = "Give the folder that create_input_files.py filled."
        raise BadData("there is no TRAIN_IMAGES_*.hdf5, nor VAL or TEST", location=path, hint=hint)
    held = ExitStack()
    opened: list[Any] = []
    places: dict[int | str, Any] = {}
    side = 0
    for number, file in enumerate(files):
        images = array_in(held.enter_context(open_hdf5(file)), "images", file, 4)
        if images.shape[1] != 3 or images.shape[2] != images.shape[3] or images.dtype != np.uint8:
            what = f"{images.dtype} {images.shape}"
            raise damaged(file, f"images are {what}, not square images of 3 colours")
        if side not in (0, images.shape[2]):
            raise BadData("images of several sizes", location=path, hint="Give files of one run.")
        side = int(images.shape[2])
        opened.append(images)
        ids = _ids_of_split(folder, SPLITS[file.name.split("_IMAGES_")[0]], file, len(images))
        places |= {id_: (number, row) for row, id_ in enumerate(ids)}

    def read(place: Any) -> Row:
        number, row = place
        return Row(np.asarray(opened[number][row]).reshape(3, -1).T)

    into = preprocessing_of(side, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    cells, grid = side * side, (side, side)
    return Opened(places, read, cells, 3, grid, into, pixels=True, matched=True, held=held)


def _ids_of_split(folder: DataFolder, split: Split, file: Path, count: int) -> list[int]:
    """Images of a split in the file's order, checked by the lengths of their captions."""
    lengths: dict[int, set[int]] = {}
    for caption in folder.captions(split):
        if len(caption.words) <= MAX_WORDS:
            lengths.setdefault(caption.image_id, set()).add(len(caption.words) + 2)
    ids = [one.id for one in folder.images(split) if one.id in lengths]
    if len(ids) != count:
        there = f"the data folder's {split} split has {len(ids):,} with captions"
        hint = f"{PREPARE_AGAIN}: saccade prepare karpathy."
        raise BadData(f"{count:,} images, {there}", location=file, hint=hint)
    given = file.with_name(file.name.replace("_IMAGES_", "_CAPLENS_")).with_suffix(".json")
    try:
        numbers = np.array(json.loads(given.read_text(encoding="utf-8")), dtype=np.int64)
        each = numbers.reshape(count, -1).tolist()
    except (OSError, ValueError, TypeError) as error:
        message = f"the lengths of five captions each cannot be read ({error})"
        raise damaged(given, message) from None
    for id_, own in zip(ids, each, strict=True):
        if not set(own) <= lengths[id_]:
            there = f"the data folder's have {sorted(lengths[id_])}"
            message = f"image {id_} would have captions of {sorted(own)} words, {there}"
            why = "the images stand in another order"
            raise BadData(f"{message}: {why}", location=file, hint=f"{PREPARE_AGAIN}.")
    return ids
