"""Feature files of MILVLG/openvqa: one `.npz` a picture, `COCO_train2014_000000000009.jpg.npz`.

`x (2048, n)` are the regions, side by side; `bbox (n, 4)` their boxes in pixels; `image_w`,
`image_h`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.folder import DataFolder
from saccade.errors import BadData
from saccade.feature_files.opened import COPY_AGAIN, Names, Opened, Row, looked, shape_of, shares
from saccade.records import Picture


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open a folder with such files, in folders below it too. Raises BadData."""
    del folder
    files = sorted(path.rglob("*.npz")) if path.is_dir() else []
    if not files:
        raise BadData("there is no file .npz in it", where=path, cure="Give the folder of them.")
    names, places, most, dim = Names(pictures), {}, 0, 0
    for file in files:
        shape, number = shape_of(file, "x"), names.id_of(file)
        if len(shape) != 2 or 0 in shape or dim not in (0, shape[0]):
            what = f"x is {shape}; wanted are {dim or 'some'} numbers for each of its columns"
            raise BadData(what, where=file, cure=COPY_AGAIN)
        dim, most = shape[0], max(most, shape[1])
        if number is not None:
            places[number] = file
    return Opened(places, _read, most, dim, None, looked(1000, "inside", 600))


def _read(file: Any) -> Row:
    with np.load(file, allow_pickle=False) as held:
        regions, boxes = held["x"].T, held["bbox"]
        size = (int(held["image_w"]), int(held["image_h"]))
    if boxes.shape != (len(regions), 4):
        raise ValueError(f"{len(regions)} regions and boxes {boxes.shape}")
    return Row(regions, shares(boxes, size), size)
