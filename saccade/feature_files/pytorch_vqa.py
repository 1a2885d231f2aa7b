"""The feature file of Cyanogenoid/pytorch-vqa: `resnet-14x14.h5`.

`features (N, 2048, 14, 14)` float16, channels first, and `ids (N,)` of COCO. Pictures were made 512
pixels on their shorter side; the middle 448 were looked at.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.folder import DataFolder
from saccade.errors import BadData
from saccade.feature_files.opened import (
    COPY_AGAIN,
    Opened,
    PictureSizes,
    Row,
    array_in,
    looked,
    open_hdf5,
)
from saccade.records import Picture

SIDE = 448
SHORTER = 512


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open the HDF5 file. Raises BadConfig, BadData."""
    if not path.is_file():
        raise BadData("no such file", where=path, cure="Give the file resnet-14x14.h5.")
    file = open_hdf5(path)
    features, ids = array_in(file, "features", path, 4), array_in(file, "ids", path, 1)
    if len(ids) != len(features) or ids.dtype.kind not in "iu":
        what = f"{len(features)} pictures and {len(ids)} ids of type {ids.dtype}"
        raise BadData(what, where=path, cure=COPY_AGAIN)
    _, dim, rows, columns = features.shape
    sizes = PictureSizes(folder, pictures)

    def read(place: Any) -> Row:
        id_, row = place
        grid = np.asarray(features[row])
        return Row(grid.reshape(dim, -1).T, None, sizes.of(id_))

    places = {int(id_): (int(id_), row) for row, id_ in enumerate(np.asarray(ids))}
    into = looked(SIDE, "shorter_side", SHORTER, std=0.226)
    return Opened(places, read, rows * columns, dim, (rows, columns), into, held=file)
