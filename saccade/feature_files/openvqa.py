"""Feature files of MILVLG/openvqa: one `.npz` a picture, `COCO_train2014_000000000009.jpg.npz`.

`x (2048, n)` are the regions, side by side; `bbox (n, 4)` their boxes in pixels; `image_w`,
`image_h`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Picture
from saccade.feature_files.opened import COPY_AGAIN, Opened, Row, looked, shape_of


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open a folder with such files, in folders below it too. Raises BadData."""
    del folder, pictures
    files = sorted(path.rglob("*.npz")) if path.is_dir() else []
    if not files:
        raise BadData("there is no file .npz in it", where=path, cure="Give the folder of them.")
    places: dict[int | str, Any] = {}
    most = dim = 0
    for file in files:
        shape = shape_of(file, "x")
        if len(shape) != 2 or 0 in shape or dim not in (0, shape[0]):
            what = f"x is {shape}; wanted are {dim or 'some'} numbers for each of its columns"
            raise BadData(what, where=file, cure=COPY_AGAIN)
        dim, most = shape[0], max(most, shape[1])
        places[file.relative_to(path).as_posix()] = (file, shape[1])
    return Opened(places, _read, most, dim, None, looked(1000, "inside", 600))


def _read(place: Any) -> Row:
    file, count = place
    with np.load(file, allow_pickle=False) as held:
        boxes, size = held["bbox"], (int(held["image_w"]), int(held["image_h"]))
        if boxes.shape != (count, 4):  # before x, which may be large, is read
            raise ValueError(f"{count} regions and boxes {boxes.shape}")
        return Row(held["x"].T, boxes, size, in_pixels=True)
