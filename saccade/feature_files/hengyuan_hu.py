"""HDF5 files of hengyuan-hu/bottom-up-attention-vqa, and of BAN, with pickled ids beside them.

`train36.hdf5` has `image_features (N, 36, D)`, `image_bb (N, 36, 4)` in pixels and
`spatial_features (N, 36, 6)`, the first four of which are the boxes as shares; BAN's adaptive files
have `(all boxes, D)` and `pos_boxes (N, 2)`, the rows at which a picture begins and ends.
`train36_imgid2idx.pkl` says which picture is which row.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saccade.checkpoints.torch_files import read_checkpoint
from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Picture
from saccade.feature_files.opened import (
    COPY_AGAIN,
    Opened,
    Row,
    array_in,
    looked,
    open_hdf5,
    whole,
)

ENDINGS = (".hdf5", ".h5")


class _Arrays(NamedTuple):
    features: Any
    spatial: Any
    boxes: Any
    """In pixels; None where the file lacks them."""


class _Place(NamedTuple):
    file: int
    begin: int
    """Row, or first row of an adaptive file."""
    end: int


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open one HDF5 file, or all in a folder that have pickled ids. Raises BadConfig, BadData."""
    del folder, pictures
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in ENDINGS and _ids_of(f).is_file())
    if not files:
        what = "there are no train36.hdf5 with train36_imgid2idx.pkl, nor others of that kind"
        raise BadData(what, where=path, cure="Give the folder or file that the converter made.")
    held = ExitStack()
    opened: list[_Arrays] = []
    places: dict[int | str, _Place] = {}
    most = dim = 0
    for number, file in enumerate(files):
        arrays, spans = _arrays(held.enter_context(open_hdf5(file)), file)
        opened.append(arrays)
        features = arrays.features
        rows = len(features) if spans is None else len(spans)
        if dim not in (0, features.shape[-1]):
            what = f"regions of {features.shape[-1]} numbers, before there were {dim}"
            raise BadData(what, where=file, cure="Import files of one kind.")
        dim = int(features.shape[-1])
        for id_, row in _ids(_ids_of(file), rows).items():
            begin, end = (row, row + 1) if spans is None else map(int, spans[row])
            if not 0 <= begin < end <= len(features):
                what = f"row {row} is boxes {begin} to {end} of {len(features)}"
                raise BadData(what, where=file, cure=COPY_AGAIN)
            if id_ in places:
                what = f"picture {id_} is in {files[places[id_].file].name} and in {file.name}"
                raise BadData(what, where=path, cure="Give the file that is meant.")
            places[id_] = _Place(number, begin, end)
            most = max(most, features.shape[1] if spans is None else end - begin)
    if not places:
        raise BadData("there is not one picture", where=path, cure=COPY_AGAIN)
    into = looked(1000, "inside", 600)
    return Opened(places, lambda one: _read(opened, one), most, dim, None, into, held=held)


def _arrays(file: Any, path: Path) -> tuple[_Arrays, np.ndarray | None]:
    """The arrays of a file, and of an adaptive one `(N, 2)` where each picture begins and ends."""
    named = list(file)
    adaptive = "pos_boxes" in named
    features = array_in(file, "image_features", path, 2 if adaptive else 3)
    spatial = array_in(file, "spatial_features", path, features.ndim)
    stated = "image_bb" in named
    boxes = array_in(file, "image_bb", path, features.ndim) if stated else None
    spans = whole(array_in(file, "pos_boxes", path, 2, "iu"), path) if adaptive else None
    if spans is not None and spans.shape[1] != 2:
        what = f"pos_boxes are {spans.shape}, not where each picture begins and ends"
        raise BadData(what, where=path, cure=COPY_AGAIN)
    return _Arrays(features, spatial, boxes), spans


def _read(opened: list[_Arrays], place: _Place) -> Row:
    arrays = opened[place.file]
    regions = np.asarray(arrays.features[place.begin : place.end])
    spatial = np.asarray(arrays.spatial[place.begin : place.end], np.float32)
    regions, spatial = regions.reshape(-1, regions.shape[-1]), spatial.reshape(-1, 6)
    size = None
    if arrays.boxes is not None:
        pixels = np.asarray(arrays.boxes[place.begin : place.end]).reshape(-1, 4)
        size = (_length(pixels[:, 2], spatial[:, 2]), _length(pixels[:, 3], spatial[:, 3]))
    return Row(regions, spatial[:, :4], size if size and all(size) else None)


def _length(pixels: np.ndarray, share: np.ndarray) -> int:
    """How long a side is, from the box that reaches farthest."""
    best = int(share.argmax())
    return round(float(pixels[best] / share[best])) if share[best] > 0 else 0


def _ids_of(file: Path) -> Path:
    return file.with_name(f"{file.stem}_imgid2idx.pkl")


def _ids(path: Path, rows: int) -> dict[int, int]:
    """Rows by picture id, from a pickle of which nothing is run. Raises BadCheckpoint, BadData."""
    value = read_checkpoint(path)
    if not isinstance(value, dict) or not all(
        type(id_) is int and type(row) is int and 0 <= row < rows for id_, row in value.items()
    ):
        what = f"it does not say which of {rows} rows each picture is"
        raise BadData(what, where=path, cure="Give the pickle that belongs to the HDF5 file.")
    return value
