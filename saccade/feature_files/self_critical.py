"""Feature folders of self-critical.pytorch: `cocotalk_fc/ID.npy`, `cocotalk_att/ID.npz`.

A vector `(D,)`, a grid `(14, 14, D)`, or regions `(n, D)` whose boxes are in a folder beside it,
`cocobu_box/ID.npy` for `cocobu_att`, in pixels. ID is COCO's number, or Karpathy's of Flickr.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Picture
from saccade.feature_files.opened import (
    COPY_AGAIN,
    Opened,
    Row,
    looked,
    shape_of,
)
from saccade.feature_files.rows import whole_picture

KEY = "feat"


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open a folder of such files. Raises BadData where their shapes do not agree."""
    del folder, pictures
    files = sorted(one for one in path.glob("*.np[yz]")) if path.is_dir() else []
    if not files:
        what = "there is no file .npy or .npz in it"
        raise BadData(what, where=path, cure="Give the folder, such as cocotalk_att.")
    places: dict[int | str, Any] = {}
    first, most = shape_of(files[0], KEY), 0
    for file in files:
        shape = shape_of(file, KEY)
        same = shape[:-1] == first[:-1] or len(shape) == len(first) == 2
        if len(shape) not in (1, 2, 3) or not same or shape[-1] != first[-1] or 0 in shape:
            what = f"an array of {shape}, in {files[0].name} it is {first}"
            raise BadData(what, where=file, cure=COPY_AGAIN)
        most = max(most, int(np.prod(shape[:-1])))
        places[file.name] = file
    grid = {1: (1, 1), 2: None, 3: (first[0], first[1 % len(first)])}[len(first)]
    beside = path.with_name(path.name.removesuffix("_att") + "_box") if grid is None else None
    known = beside is not None and beside.is_dir()
    notes = (
        () if known or grid else ("no folder of boxes: each region is drawn as the whole picture",)
    )

    def read(file: Path) -> Row:
        regions = _array(file).reshape(-1, first[-1])
        if grid is not None:
            return Row(regions)
        if known and beside is not None:
            return Row(regions, _array(beside / f"{file.stem}.npy"), in_pixels=True)
        return Row(regions, whole_picture(len(regions)))

    return Opened(places, read, most, first[-1], grid, looked(448), notes=notes)


def _array(file: Path) -> np.ndarray:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        array: np.ndarray = loaded[KEY]
    return array
