"""Feature files of MILVLG/openvqa: one `.npz` an image, `COCO_train2014_000000000009.jpg.npz`.

`x (2048, n)` are the regions, side by side; `bbox (n, 4)` their boxes in pixels; `image_w`,
`image_h`.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.features.settings import Preprocessing
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

    return Opened(places, read, most, dim, None, preprocessing_of(1000, "inside", 600))


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

    into = preprocessing_of(448, "shorter_side", 512, std=0.226)
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
            found: np.ndarray = loaded[KEY]
        return found

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
        message = "there is no TRAIN_IMAGES_*.hdf5, nor VAL or TEST"
        hint = "Give the folder that create_input_files.py filled."
        raise BadData(message, location=path, hint=hint)
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
    """Images of a split in the file's order, checked by the lengths of their captions."""
    lengths: dict[int, set[int]] = {}
    for caption in folder.captions(split):
        if len(caption.words) <= MAX_WORDS:
            lengths.setdefault(caption.image_id, set()).add(len(caption.words) + 2)
    ids = [one.id for one in folder.images(split) if one.id in lengths]
    if len(ids) != count:
        raise BadData(
            f"{count:,} images, the data folder's {split} split has {len(ids):,} with captions",
            location=file,
            hint=f"{PREPARE_AGAIN}: saccade prepare karpathy.",
        )
    given = file.with_name(file.name.replace("_IMAGES_", "_CAPLENS_")).with_suffix(".json")
    try:
        numbers = np.array(json.loads(given.read_text(encoding="utf-8")), dtype=np.int64)
        each = numbers.reshape(count, -1).tolist()
    except (OSError, ValueError, TypeError) as error:
        message = f"the lengths of five captions each cannot be read ({error})"
        raise damaged(given, message) from None
    for id_, own in zip(ids, each, strict=True):
        if not set(own) <= lengths[id_]:
            raise BadData(
                f"image {id_} would have captions of {sorted(own)} words, the data folder's have "
                f"{sorted(lengths[id_])}: the images stand in another order",
                location=file,
                hint=f"{PREPARE_AGAIN}.",
            )
    return ids
