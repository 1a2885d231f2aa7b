"""Bottom-up attention's TSV files: `image_id, width, height, num_boxes, boxes, features`.

Boxes and features are base64 of float32, boxes in pixels of the original image (Anderson et al.
2018, `tools/read_tsv.py` of its code). Rows stand in any order and are as long as an image's
features, so the file is read once to learn where each begins, and once more in the order of ids.
"""

import base64
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.interop.feature_reader import (
    Opened,
    Row,
    array_in,
    damaged,
    open_hdf5,
    preprocessing_of,
    read_exactly,
    whole,
)
from saccade.interop.torch_files import read_checkpoint

MAX_ROW = 256 * 2**20
"""Bytes of a row: more is no row of such a file."""


class _RowPlace(NamedTuple):
    file: int
    offset: int
    length: int


def open_bottom_up(path: Path, _folder: DataFolder) -> Opened:
    """Open a TSV file, or a folder of them (`trainval_36/*.tsv*`). Raises BadData."""
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if re.search(r"\.tsv(\.\d+)?$", one.name))
    if not files or not all(one.is_file() for one in files):
        message = "there is no file .tsv" if path.is_dir() else "no such file"
        raise BadData(
            message, location=path, hint="Unpack the archive and give its folder or file."
        )
    places: dict[int | str, _RowPlace] = {}
    most = dim = twice = 0
    for number, file in enumerate(files):
        offset = 0
        with file.open("rb") as stream:
            while line := stream.readline(MAX_ROW):
                location = f"{file}, byte {offset}"
                id_, boxes, width = _parsed(line, location)
                if dim not in (0, width):
                    raise damaged(location, f"regions of {width} numbers, before there were {dim}")
                before = places.setdefault(id_, _RowPlace(number, offset, len(line)))
                if before.file != number:
                    message = f"image {id_} is in {files[before.file].name} and in {file.name}"
                    raise BadData(message, location=path, hint="Give the file that is meant.")
                twice += before.offset != offset
                most, dim, offset = max(most, boxes), width, offset + len(line)
    if not places:
        raise damaged(path, "there is not one row")
    held = ExitStack()
    streams = [held.enter_context(file.open("rb")) for file in files]
    notes = (f"{twice:,} images stand in it twice; the first row was taken",) if twice else ()
    # The detector's own: shorter side 600, longer at most 1000, values of 0..255.
    into = preprocessing_of(1000, "inside", 600)
    return Opened(
        places, lambda one: _read_row(streams, one), most, dim, None, into, notes=notes, held=held
    )


def _parsed(line: bytes, location: str) -> tuple[int, int, int]:
    """Image id, boxes and numbers per box of a row, from its beginning and the length of its
    fields. Raises BadData.
    """
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) != 6:
        raise damaged(
            location,
            f"a row of {len(fields)} fields, not image_id, width, height, number, boxes, features",
        )
    try:
        id_, count = int(fields[0]), int(fields[3])
        boxes, numbers = _bytes_in(fields[4]), _bytes_in(fields[5])
        if count < 1 or boxes != count * 16 or numbers % (4 * count) or not numbers:
            raise ValueError(f"{count} boxes in {boxes} bytes, their features in {numbers}")
    except ValueError as error:
        raise damaged(location, f"no row of features ({error})") from None
    return id_, count, numbers // (4 * count)


def _bytes_in(text: bytes) -> int:
    """How many bytes a base64 text stands for."""
    return len(text) * 3 // 4 - (len(text[-2:]) - len(text[-2:].rstrip(b"=")))


def _read_row(streams: Sequence[BinaryIO], place: _RowPlace) -> Row:
    line = read_exactly(streams[place.file], place.offset, place.length)
    _, wide, high, count, boxes, features = line.rstrip(b"\r\n").split(b"\t")
    size = (int(wide), int(high))
    found = [
        np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(int(count), -1)
        for text in (boxes, features)
    ]
    return Row(found[1], found[0], size, in_pixels=True)


# HDF5 files of hengyuan-hu/bottom-up-attention-vqa, and of BAN, with pickled ids beside them.

ENDINGS = (".hdf5", ".h5")


class _Arrays(NamedTuple):
    features: Any
    spatial: Any
    boxes: Any
    """In pixels; None where the file lacks them."""


class _ArrayPlace(NamedTuple):
    file: int
    start: int
    """Row, or first row of an adaptive file."""
    end: int


def open_hengyuan_hu(path: Path, _folder: DataFolder) -> Opened:
    """Open one HDF5 file, or all in a folder that have pickled ids. Raises BadConfig, BadData."""
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in ENDINGS and _ids_of(f).is_file())
    if not files:
        message = "there are no train36.hdf5 with train36_imgid2idx.pkl, nor others of that kind"
        raise BadData(
            message, location=path, hint="Give the folder or file that the converter made."
        )
    held = ExitStack()
    opened: list[_Arrays] = []
    places: dict[int | str, _ArrayPlace] = {}
    most = dim = 0
    for number, file in enumerate(files):
        arrays, spans = _arrays(held.enter_context(open_hdf5(file)), file)
        opened.append(arrays)
        features = arrays.features
        rows = len(features) if spans is None else len(spans)
        if dim not in (0, features.shape[-1]):
            message = f"regions of {features.shape[-1]} numbers, before there were {dim}"
            raise BadData(message, location=file, hint="Import files of one kind.")
        dim = int(features.shape[-1])
        for id_, row in _ids(_ids_of(file), rows).items():
            begin, end = (row, row + 1) if spans is None else map(int, spans[row])
            if not 0 <= begin < end <= len(features):
                raise damaged(file, f"row {row} is boxes {begin} to {end} of {len(features)}")
            if id_ in places:
                message = f"image {id_} is in {files[places[id_].file].name} and in {file.name}"
                raise BadData(message, location=path, hint="Give the file that is meant.")
            places[id_] = _ArrayPlace(number, begin, end)
            most = max(most, features.shape[1] if spans is None else end - begin)
    if not places:
        raise damaged(path, "there is not one image")
    into = preprocessing_of(1000, "inside", 600)
    return Opened(places, lambda one: _read_arrays(opened, one), most, dim, None, into, held=held)


def _arrays(file: Any, path: Path) -> tuple[_Arrays, np.ndarray | None]:
    """The arrays of a file, and of an adaptive one `(N, 2)` where each image begins and ends."""
    named = list(file)
    adaptive = "pos_boxes" in named
    features = array_in(file, "image_features", path, 2 if adaptive else 3)
    spatial = array_in(file, "spatial_features", path, features.ndim)
    stated = "image_bb" in named
    boxes = array_in(file, "image_bb", path, features.ndim) if stated else None
    spans = whole(array_in(file, "pos_boxes", path, 2, "iu"), path) if adaptive else None
    if spans is not None and spans.shape[1] != 2:
        raise damaged(path, f"pos_boxes are {spans.shape}, not where each image begins and ends")
    return _Arrays(features, spatial, boxes), spans


def _read_arrays(opened: list[_Arrays], place: _ArrayPlace) -> Row:
    arrays = opened[place.file]
    regions = np.asarray(arrays.features[place.start : place.end])
    spatial = np.asarray(arrays.spatial[place.start : place.end], np.float32)
    regions, spatial = regions.reshape(-1, regions.shape[-1]), spatial.reshape(-1, 6)
    size = None
    if arrays.boxes is not None:
        pixels = np.asarray(arrays.boxes[place.start : place.end]).reshape(-1, 4)
        size = (_length(pixels[:, 2], spatial[:, 2]), _length(pixels[:, 3], spatial[:, 3]))
    return Row(regions, spatial[:, :4], size if size and all(size) else None)


def _length(pixels: np.ndarray, share: np.ndarray) -> int:
    """How long a side is, from the box that reaches farthest."""
    best = int(share.argmax())
    return round(float(pixels[best] / share[best])) if share[best] > 0 else 0


def _ids_of(file: Path) -> Path:
    return file.with_name(f"{file.stem}_imgid2idx.pkl")


def _ids(path: Path, rows: int) -> dict[int, int]:
    """Rows by image id, from a pickle of which nothing is run. Raises BadCheckpoint, BadData."""
    value = read_checkpoint(path)
    if not isinstance(value, dict) or not all(
        type(id_) is int and type(row) is int and 0 <= row < rows for id_, row in value.items()
    ):
        message = f"it does not say which of {rows} rows each image is"
        raise BadData(message, location=path, hint="Give the pickle that belongs to the HDF5 file.")
    return value
