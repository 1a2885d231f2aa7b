"""The feature files of other programs: a function for each kind, which opens it."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from saccade.core.errors import BadData
from saccade.core.formatting import first_line
from saccade.data.folder import DataFolder
from saccade.data.reading import read_lines
from saccade.data.records import Split
from saccade.features.networks import IMAGENET_MEAN, IMAGENET_STD
from saccade.features.preprocessing import grid_boxes
from saccade.interop.feature_reader import (
    DEFECTS,
    DETECTOR_INPUT,
    Opened,
    Row,
    array_in,
    damaged,
    in_two_files,
    made_wrongly,
    open_hdf5,
    preprocessing_of,
    shape_of,
    shapes_in,
    some,
    whole,
    whole_image,
)
from saccade.interop.torch_files import Saved, read_checkpoint


class _Place(NamedTuple):
    """Where an image's regions are: rows of an HDF5 file."""

    file: int
    start: int
    end: int


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
                raise made_wrongly(file, f"row {row} is boxes {begin} to {end} of {len(features)}")
            if id_ in places:
                raise in_two_files(id_, files[places[id_].file], file, path)
            places[id_] = _Place(number, begin, end)
            most = max(most, features.shape[1] if spans is None else end - begin)
    if not places:
        raise made_wrongly(path, "there is not one image")

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
        raise made_wrongly(
            path, f"pos_boxes are {spans.shape}, not where each image begins and ends"
        )
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


# Feature files of MILVLG/openvqa and MILVLG/bottom-up-attention.pytorch: one `.npz` an image,
# `COCO_train2014_000000000009.jpg.npz`, `000000000009.npz`.
#
# `bbox (n, 4)` are boxes in pixels, `x` their regions: `(D, n)` of the first program, `(n, D)` of
# the second, which also says `num_bbox` (rows after these are padding) and `info`, a pickle that is
# not read. `image_w` and `image_h` are `width` and `height` of GQA, and not said of early files.


def open_openvqa(path: Path, _folder: DataFolder) -> Opened:
    """Open a folder with such files, in folders below it too. Raises BadData."""
    files = sorted(path.rglob("*.npz")) if path.is_dir() else []
    if not files:
        raise BadData("there is no file .npz in it", location=path, hint="Give the folder of them.")
    places: dict[int | str, Any] = {}
    most = dim = 0
    by_rows: dict[bool, Path] = {}  # a file of each way
    squares: dict[str, Path] = {}
    for file in files:
        shapes = shapes_in(file)
        shape, boxes = shapes.get("x", ()), shapes.get("bbox", ())
        told = f"its arrays of numbers are {shapes}"
        if len(shape) != 2 or 0 in shape or len(boxes) != 2 or boxes[1] != 4:
            raise made_wrongly(file, f"{told}; wanted are x of two sides, and bbox (n, 4)")
        count, rows = boxes[0], shape[0] == boxes[0]
        if count not in shape:
            raise made_wrongly(file, f"{told}: no side of x is the number of boxes")
        width = shape[1] if rows else shape[0]
        if dim not in (0, width):
            raise made_wrongly(file, f"{told}: {width} numbers a region, other files have {dim}")
        dim, most = width, max(most, count)
        name = file.relative_to(path).as_posix()
        places[name] = (file, rows, count)
        # Of a square nothing but the program tells which side is which.
        if shape == (count, count) and "num_bbox" not in shapes:
            squares[name] = file
        else:
            by_rows[rows] = file
    if squares and len(by_rows) != 1:
        raise _unknown_side(next(iter(squares.values())), dim, by_rows)
    for name, file in squares.items():
        places[name] = (file, True in by_rows, dim)

    def read(place: Any) -> Row:
        file, rows, count = place
        with np.load(file, allow_pickle=False) as held:
            boxes, real = held["bbox"], int(held["num_bbox"]) if "num_bbox" in held else count
            if not 0 < real <= count:
                raise ValueError(f"{real} regions, and {count} boxes")
            sides = [held[n] for n in ("image_w", "image_h", "width", "height") if n in held]
            size = (int(sides[0]), int(sides[1])) if len(sides) == 2 else None
            regions = held["x"] if rows else held["x"].T
            return Row(regions[:real], boxes[:real], size, in_pixels=True)

    return Opened(places, read, most, dim, None, DETECTOR_INPUT)


def _unknown_side(square: Path, dim: int, by_rows: Mapping[bool, Path]) -> BadData:
    """The error for a square `x`; `by_rows` are files that tell, of each way one."""
    message = f"x is {dim} x {dim}: are its rows the regions, or its columns?"
    hint = "Add a file that the same program made of an image with another number of boxes."
    if by_rows:
        message += f" {by_rows[True].name} has rows, {by_rows[False].name} columns."
        hint = "Import the files of one program, from a folder of their own."
    return BadData(message, location=square, hint=hint)


# The feature file of Cyanogenoid/pytorch-vqa: `resnet-14x14.h5`.


def open_pytorch_vqa(path: Path, _folder: DataFolder) -> Opened:
    """Open the HDF5 file. Raises BadConfig, BadData."""
    if not path.is_file():
        raise BadData("no such file", location=path, hint="Give the file resnet-14x14.h5.")
    file = open_hdf5(path)
    features, ids = array_in(file, "features", path, 4), array_in(file, "ids", path, 1, "iu")
    if len(ids) != len(features):
        raise made_wrongly(path, f"{len(features)} images and {len(ids)} ids")
    _, dim, rows, columns = features.shape
    places: dict[int | str, int] = {}
    for row, id_ in enumerate(whole(ids, path).tolist()):
        if places.setdefault(id_, row) != row:
            raise made_wrongly(
                path, f"image {id_} stands in it twice, as rows {places[id_]} and {row}"
            )

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
            raise made_wrongly(file, f"an array of {shape}, in {files[0].name} it is {first}")
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
            raise made_wrongly(file, f"images are {what}, not square images of 3 colours")
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
    except (OSError, ValueError, TypeError, RecursionError) as error:
        message = f"the lengths of five captions each cannot be read ({error})"
        raise damaged(given, message) from None
    for id_, own in zip(ids, each, strict=True):
        if not set(own) <= lengths[id_]:
            there = f"the data folder's have {sorted(lengths[id_])}"
            message = f"image {id_} would have captions of {sorted(own)} words, {there}"
            why = "the images stand in another order"
            raise BadData(f"{message}: {why}", location=file, hint=f"{PREPARE_AGAIN}.")
    return ids


# `coco_detections.hdf5` of aimagelab/meshed-memory-transformer (M2, Cornia et al. 2020).
#
# For each image `ID_features (n, D)`, `ID_boxes (n, 4)` in pixels, and `ID_cls_prob`, which is not
# read. How large the image is it does not say. RSTNet's files (Zhang et al. 2021) have `ID_grids`,
# the cells of a square; DLCT's (Luo et al. 2021) both, of which the regions are read.

UNKNOWN_BOXES = "it has no boxes: each region is drawn as the whole image"


def open_m2(path: Path, _folder: DataFolder) -> Opened:
    """Open the HDF5 file. Raises BadConfig, BadData."""
    file = _hdf5_file(path, "coco_detections.hdf5")
    names = list(file)
    kind = "features" if any(name.endswith("_features") for name in names) else "grids"
    ids = [name.removesuffix(f"_{kind}") for name in names if name.endswith(f"_{kind}")]
    if not ids:
        told = f"there is no ID_features, nor ID_grids, but: {some(names) or 'nothing'}"
        raise made_wrongly(path, told)
    places: dict[int | str, str] = {}
    most = dim = 0
    counts = set()
    for id_ in ids:
        shape = array_in(file, f"{id_}_{kind}", path, 2).shape
        counts.add(int(shape[0]))
        if dim not in (0, shape[1]):
            message = f"image {id_} has regions of {shape[1]} numbers, before there were {dim}"
            raise made_wrongly(path, message)
        most, dim = max(most, int(shape[0])), int(shape[1])
        key = int(id_) if re.fullmatch(r"[0-9]{1,18}", id_) else id_
        if places.setdefault(key, id_) != id_:
            message = f"image {key} stands in it twice, as {places[key]}_{kind} and {id_}_{kind}"
            raise made_wrongly(path, message)
    boxed = kind == "features" and f"{ids[0]}_boxes" in file
    side = math.isqrt(most)
    grid = (side, side) if kind == "grids" and counts == {side * side} else None

    def read(id_: str) -> Row:
        regions = np.asarray(file[f"{id_}_{kind}"])
        if grid:
            return Row(regions)
        if not boxed:
            return Row(regions, whole_image(len(regions)))
        boxes = np.asarray(array_in(file, f"{id_}_boxes", path, 2))
        return Row(regions, boxes, in_pixels=True)

    notes = () if boxed or grid else (UNKNOWN_BOXES,)
    return Opened(places, read, most, dim, grid, DETECTOR_INPUT, notes=notes, held=file)


def _hdf5_file(path: Path, name: str) -> Any:
    """One HDF5 file, opened. Raises BadConfig without h5py, BadData."""
    if not path.is_file():
        raise BadData("no such file", location=path, hint=f"Give the file {name}.")
    return open_hdf5(path)


# HDF5 files of nocaps-org/image-feature-extractors, for nocaps-org/updown-baseline.
#
# A row for each image: `image_id`, `width`, `height`, `num_boxes`, and `boxes` (pixels) and
# `features` as arrays of any length, all numbers of an image in a row. A program that was stopped
# leaves rows of no boxes and of id 0. Older files have `features (N, boxes, D)`.


def open_nocaps(path: Path, _folder: DataFolder) -> Opened:
    """Open the HDF5 file. Raises BadConfig, BadData."""
    file = _hdf5_file(path, "coco_train2017_vg_detector_features_adaptive.h5")
    ragged = getattr(file.get("features"), "ndim", 0) == 1
    features = array_in(file, "features", path, 1 if ragged else 3, ragged=ragged)
    boxed, rows = "boxes" in file, len(features)
    boxes = array_in(file, "boxes", path, features.ndim, ragged=ragged) if boxed else None
    about = {
        name: whole(array_in(file, name, path, 1), path)
        for name in ("image_id", "num_boxes", "width", "height")
        if name in file or name == "image_id" or (ragged and name == "num_boxes")
    }
    lengths = {name: len(array) for name, array in about.items()}
    if set(lengths.values()) != {rows} or (boxes is not None and len(boxes) != rows):
        raise made_wrongly(path, f"{rows} rows of features, but {lengths}")
    counts = about.get("num_boxes", np.full(rows, 0 if ragged else features.shape[1])).astype(int)
    full = np.flatnonzero(counts > 0).tolist()
    if not full:
        raise made_wrongly(path, f"none of its {rows} images has a box")
    dim, fitting = _rows_that_match(features, boxes, counts, path)
    odd = [row for row in full if row not in fitting]
    told = [f"image {int(about['image_id'][row])} (row {row}: {counts[row]} boxes)" for row in odd]
    if not fitting:
        raise made_wrongly(path, f"num_boxes is not what features and boxes hold: {some(told)}")
    places: dict[int | str, int] = {}
    for row in sorted(fitting):
        id_ = int(about["image_id"][row])
        if places.setdefault(id_, row) != row:
            message = f"image {id_} stands in it twice, as rows {places[id_]} and {row}"
            raise made_wrongly(path, message)

    def read(row: int) -> Row:
        count = counts[row]
        regions = np.asarray(features[row]).reshape(-1, dim)[:count]
        size = tuple(int(about[name][row]) if name in about else 0 for name in ("width", "height"))
        if boxes is None:
            return Row(regions, whole_image(count))
        own = np.asarray(boxes[row]).reshape(-1, 4)[:count]
        return Row(regions, own, (size[0], size[1]) if all(size) else None, in_pixels=True)

    notes = [] if boxed else [UNKNOWN_BOXES]
    if len(full) < rows:
        notes.append(f"{rows - len(full):,} rows without boxes were left out")
    if odd:
        why = "features or boxes of another number than num_boxes"
        notes.append(f"{len(odd):,} rows with {why} were left out: {some(told)}")
    into, most = DETECTOR_INPUT, int(counts[sorted(fitting)].max())
    return Opened(places, read, most, dim, None, into, notes=tuple(notes), held=file)


def _rows_that_match(
    features: Any, boxes: Any, counts: np.ndarray, path: Path
) -> tuple[int, set[int]]:
    """Numbers of a box, and the rows whose arrays hold `counts` boxes.

    Those of any length are read for it once: HDF5 does not tell their lengths. Raises BadData.
    """
    full = np.flatnonzero(counts > 0).tolist()
    if features.ndim == 3:
        held = min(array.shape[1] for array in (features, boxes) if array is not None)
        return int(features.shape[2]), {row for row in full if counts[row] <= held}
    try:
        lengths = {row: len(features[row]) for row in full}
        wrong = {row for row in full if boxes is not None and len(boxes[row]) != 4 * counts[row]}
    except DEFECTS as error:
        raise damaged(path, f"its rows cannot be read ({first_line(error)})") from None
    widths = Counter(
        length // int(counts[row])
        for row, length in lengths.items()
        if row not in wrong and length and length % counts[row] == 0
    )
    dim = max(widths, key=widths.__getitem__, default=0)
    return dim, {row for row in full if lengths[row] == dim * counts[row] and row not in wrong}


# Files of facebookresearch/grid-feats-vqa (Jiang et al. 2020): `train2014/9.pth`, one tensor
# `(1, D, rows, columns)` an image. An image keeps its proportions, so that grids differ.


def open_grid_feats(path: Path, _folder: DataFolder) -> Opened:
    """Open a folder of such files, in folders below it too. Raises BadCheckpoint, BadData."""
    files = sorted(path.rglob("*.pth")) if path.is_dir() else []
    if not files:
        raise BadData("there is no file .pth in it", location=path, hint="Give the folder of them.")
    shapes = {file: _grid_in(file).shape[-3:] for file in files}
    dim, *grid = shapes[files[0]]
    for file, shape in shapes.items():
        if shape[0] != dim:
            message = f"regions of {shape[0]} numbers, before there were {dim}"
            raise made_wrongly(file, message)
    one = (grid[0], grid[1]) if len(set(shapes.values())) == 1 else None

    def read(file: Path) -> Row:
        tensor = _grid_in(file).read().float().numpy()
        regions = tensor.reshape(dim, -1).T
        return Row(regions, None if one else grid_boxes(*tensor.shape[-2:]))

    places: dict[int | str, Any] = {file.relative_to(path).as_posix(): file for file in files}
    most = max(rows * columns for _, rows, columns in shapes.values())
    return Opened(places, read, most, dim, one, DETECTOR_INPUT)


def _grid_in(file: Path) -> Saved:
    """The tensor of a file, unread. Raises BadCheckpoint, BadData."""
    value = read_checkpoint(file)
    shape = value.shape if isinstance(value, Saved) else ()
    if len(shape) not in (3, 4) or 0 in shape or shape[:-3] not in ((), (1,)):
        what = f"a tensor {shape}" if isinstance(value, Saved) else f"a {type(value).__name__}"
        raise made_wrongly(file, f"it holds {what}, not one tensor (1, D, rows, columns)")
    return cast(Saved, value)


# Files of kuanghuei/SCAN (Lee et al. 2018): `train_ims.npy (images, 36, 2048)` with an id for each
# image in `train_ids.txt`; of some there is a line for each of five captions.


def open_scan(path: Path, _folder: DataFolder) -> Opened:
    """Open one such file, or all in a folder. Raises BadData."""
    files = sorted(path.glob("*_ims.npy")) if path.is_dir() else [path]
    if not files or not all(one.is_file() for one in files):
        message, hint = "there is no train_ims.npy", "Give the folder, such as coco_precomp."
        raise BadData(message, location=path, hint=hint)
    arrays: list[Any] = []
    places: dict[int | str, tuple[int, int]] = {}
    for number, file in enumerate(files):
        shape = shape_of(file, "")
        if len(shape) != 3 or 0 in shape or (arrays and shape[2] != arrays[0].shape[2]):
            raise made_wrongly(file, f"an array {shape}, not (images, regions, numbers)")
        try:
            arrays.append(np.load(file, mmap_mode="r", allow_pickle=False))
        except DEFECTS as error:
            raise damaged(file, f"it ends before its {shape} numbers ({error})") from None
        for row, id_ in enumerate(_ids_beside(file, shape[0])):
            before, place = places.get(id_), (number, row)
            if before is None:
                places[id_] = place
            elif not np.array_equal(arrays[before[0]][before[1]], arrays[number][row]):
                raise in_two_files(id_, files[before[0]], file, path)

    def read(place: tuple[int, int]) -> Row:
        regions = np.asarray(arrays[place[0]][place[1]])
        return Row(regions, whole_image(len(regions)))

    most, dim = max(one.shape[1] for one in arrays), int(arrays[0].shape[2])
    return Opened(places, read, most, dim, None, DETECTOR_INPUT, notes=(UNKNOWN_BOXES,))


def _ids_beside(file: Path, count: int) -> list[int | str]:
    """An id for each image of a file. Raises BadData."""
    beside = file.with_name(f"{file.stem.removesuffix('_ims')}_ids.txt")
    if not beside.is_file():
        hint = f"Put {beside.name} beside it: it says which image each row is."
        raise BadData("there are no ids for it", location=file, hint=hint)
    ids = [line.strip() for line in read_lines(beside) if line.strip()]
    each = len(ids) // count
    if len(ids) != each * count or any(ids[i] != ids[i - i % each] for i in range(len(ids))):
        message = f"{len(ids)} ids for {count} images"
        raise BadData(message, location=beside, hint="Give the ids that belong to the file.")
    return [int(one) if re.fullmatch(r"[0-9]{1,18}", one) else one for one in ids[::each]]
