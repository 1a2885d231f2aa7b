"""The feature file of Cyanogenoid/pytorch-vqa: `resnet-14x14.h5`.

`features (N, 2048, 14, 14)` float16, channels first, and `ids (N,)` of COCO. Pictures were made 512
pixels on their shorter side; the middle 448 were looked at.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

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

SIDE = 448
SHORTER = 512


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open the HDF5 file. Raises BadConfig, BadData."""
    del folder, pictures
    if not path.is_file():
        raise BadData("no such file", where=path, cure="Give the file resnet-14x14.h5.")
    file = open_hdf5(path)
    features, ids = array_in(file, "features", path, 4), array_in(file, "ids", path, 1, "iu")
    if len(ids) != len(features):
        what = f"{len(features)} pictures and {len(ids)} ids"
        raise BadData(what, where=path, cure=COPY_AGAIN)
    _, dim, rows, columns = features.shape
    places: dict[int | str, int] = {}
    for row, id_ in enumerate(whole(ids, path).tolist()):
        if places.setdefault(id_, row) != row:
            what = f"picture {id_} stands in it twice, as rows {places[id_]} and {row}"
            raise BadData(what, where=path, cure=COPY_AGAIN)

    def read(row: int) -> Row:
        return Row(np.asarray(features[row]).reshape(dim, -1).T)

    into = looked(SIDE, "shorter_side", SHORTER, std=0.226)
    return Opened(places, read, rows * columns, dim, (rows, columns), into, held=file)
