"""Picture files of sgrvinod's tutorial: `TRAIN_IMAGES_coco_5_cap_per_img_5_min_word_freq.hdf5`.

`images (I, 3, 256, 256)` uint8 are no features but small pictures, for an encoder that learns. They
have no ids: they stand in Karpathy's order, split by split, without pictures all of whose captions
are longer than 50 words. `TRAIN_CAPLENS_*.json` beside them, the lengths of five captions each,
must agree with the data folder's, so no picture can be taken for another unnoticed.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Picture, Split
from saccade.feature_files.opened import COPY_AGAIN, Opened, Row, array_in, open_hdf5
from saccade.features.preprocessing import Preprocessing

SPLITS: dict[str, Split] = {"TRAIN": "train", "VAL": "val", "TEST": "test"}
LONGEST = 50
"""Words of a caption that is kept."""


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open the files of a folder, or the one that is given. Raises BadConfig, BadData."""
    del pictures
    files = sorted(path.glob("*_IMAGES_*.hdf5")) if path.is_dir() else [path]
    if not files or any(one.name.split("_IMAGES_")[0] not in SPLITS for one in files):
        what = "there is no TRAIN_IMAGES_*.hdf5, nor VAL or TEST"
        raise BadData(what, where=path, cure="Give the folder that create_input_files.py filled.")
    held = ExitStack()
    opened: list[Any] = []
    places: dict[int | str, Any] = {}
    side = 0
    for number, file in enumerate(files):
        images = array_in(held.enter_context(open_hdf5(file)), "images", file, 4)
        if images.shape[1] != 3 or images.shape[2] != images.shape[3] or images.dtype != np.uint8:
            what = f"images are {images.dtype} {images.shape}, not square pictures of 3 colours"
            raise BadData(what, where=file, cure=COPY_AGAIN)
        if side not in (0, images.shape[2]):
            raise BadData("pictures of several sizes", where=path, cure="Give files of one run.")
        side = int(images.shape[2])
        opened.append(images)
        ids = _ids(folder, SPLITS[file.name.split("_IMAGES_")[0]], file, len(images))
        places |= {id_: (number, row) for row, id_ in enumerate(ids)}

    def read(place: Any) -> Row:
        number, row = place
        return Row(np.asarray(opened[number][row]).reshape(3, -1).T)

    into = Preprocessing(
        height=side,
        width=side,
        resize="squash",
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
        interpolation="bilinear",
    )
    return Opened(
        places, read, side * side, 3, (side, side), into, pixels=True, matched=True, held=held
    )


def _ids(folder: DataFolder, split: Split, file: Path, count: int) -> list[int]:
    """Pictures of a split in the file's order, checked by the lengths of their captions."""
    lengths: dict[int, set[int]] = {}
    for caption in folder.captions(split):
        if len(caption.words) <= LONGEST:
            lengths.setdefault(caption.image_id, set()).add(len(caption.words) + 2)
    ids = [one.id for one in folder.pictures(split) if one.id in lengths]
    if len(ids) != count:
        raise BadData(
            f"{count:,} pictures, the data folder's {split} split has {len(ids):,} with captions",
            where=file,
            cure="Prepare the data folder from the JSON file that these were made of: "
            "saccade prepare karpathy.",
        )
    told = file.with_name(file.name.replace("_IMAGES_", "_CAPLENS_")).with_suffix(".json")
    try:
        said = np.array(json.loads(told.read_text(encoding="utf-8")), dtype=np.int64)
        each = said.reshape(count, -1).tolist()
    except (OSError, ValueError, TypeError) as error:
        what = f"the lengths of five captions each cannot be read ({error})"
        raise BadData(what, where=told, cure=COPY_AGAIN) from None
    for id_, own in zip(ids, each, strict=True):
        if not set(own) <= lengths[id_]:
            raise BadData(
                f"picture {id_} would have captions of {sorted(own)} words, the data folder's have "
                f"{sorted(lengths[id_])}: the pictures stand in another order",
                where=file,
                cure="Prepare the data folder from the JSON file that these were made of.",
            )
    return ids
