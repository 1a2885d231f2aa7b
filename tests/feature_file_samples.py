"""Feature files of other programs, written as those write them, for images of COCO's numbers."""

import base64
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from saccade.data.folder import DataFolder

DIM = 8


def regions_of(number: int, count: int, dim: int = DIM) -> np.ndarray:
    """An image's regions, which say whose they are."""
    random = np.random.default_rng(number)
    return random.random((count, dim)).astype(np.float32)


def boxes_of(number: int, count: int, width: int = 640, height: int = 480) -> np.ndarray:
    random = np.random.default_rng(number + 1)
    corner = random.random((count, 2)) * 0.5
    boxes = np.concatenate([corner, corner + 0.1 + 0.4 * random.random((count, 2))], axis=1)
    return (boxes * [width, height, width, height]).astype(np.float32)


def count_of(number: int) -> int:
    """Boxes of an image in adaptive files."""
    return 2 + number % 4


def tsv_row(number: int, count: int, width: int = 640, height: int = 480) -> bytes:
    boxes, regions = boxes_of(number, count, width, height), regions_of(number, count)
    fields = [str(x).encode() for x in (number, width, height, count)]
    fields += [base64.b64encode(part.astype("<f4").tobytes()) for part in (boxes, regions)]
    return b"\t".join(fields) + b"\n"


def write_bottom_up(out: Path, ids: list[int]) -> Path:
    """Two shards in no order."""
    out.mkdir()
    mixed = np.random.default_rng(0).permutation(ids).tolist()
    half = len(mixed) // 2
    for number, some in enumerate((mixed[:half], mixed[half:])):
        rows = [tsv_row(one, count_of(one)) for one in some]
        (out / f"karpathy_genome.tsv.{number}").write_bytes(b"".join(rows))
    return out


def write_hengyuan_hu(out: Path, ids: list[int]) -> Path:
    """Three boxes each, for two splits."""
    out.mkdir()
    half = len(ids) // 2
    for split, some in (("train", ids[:half]), ("val", ids[half:])):
        boxes = np.stack([boxes_of(one, 3) for one in some])
        spatial = np.concatenate([boxes / [640, 480, 640, 480], boxes[..., :2] * 0], axis=2)
        with h5py.File(out / f"{split}36.hdf5", "w") as file:
            file["image_features"] = np.stack([regions_of(one, 3) for one in some])
            file["image_bb"], file["spatial_features"] = boxes, spatial.astype(np.float32)
        rows = {one: row for row, one in enumerate(some)}
        (out / f"{split}36_imgid2idx.pkl").write_bytes(pickle.dumps(rows, protocol=2))
    return out


def write_adaptive(out: Path, ids: list[int]) -> Path:
    """BAN's file: boxes of all images behind each other."""
    out.mkdir()
    ends = np.cumsum([count_of(one) for one in ids])
    boxes = np.concatenate([boxes_of(one, count_of(one)) for one in ids])
    spatial = np.concatenate([boxes / [640, 480, 640, 480], boxes[:, :2] * 0], axis=1)
    with h5py.File(out / "train.hdf5", "w") as file:
        file["image_features"] = np.concatenate([regions_of(one, count_of(one)) for one in ids])
        file["image_bb"], file["spatial_features"] = boxes, spatial.astype(np.float32)
        file["pos_boxes"] = np.stack([np.r_[0, ends[:-1]], ends], axis=1)
    rows = {one: row for row, one in enumerate(ids)}
    (out / "train_imgid2idx.pkl").write_bytes(pickle.dumps(rows, protocol=2))
    return out


def write_pytorch_vqa(out: Path, ids: list[int]) -> Path:
    path = out.with_suffix(".h5")
    with h5py.File(path, "w", libver="latest") as file:
        grids = [regions_of(one, 6).T.reshape(DIM, 2, 3) for one in ids]
        file["features"] = np.stack(grids).astype(np.float16)
        file["ids"] = np.array(ids, np.int32)
    return path


def write_openvqa(out: Path, ids: list[int]) -> Path:
    for one in ids:
        folder = out / ("train2014" if one % 2 else "val2014")
        folder.mkdir(parents=True, exist_ok=True)
        count = count_of(one)
        np.savez(
            folder / f"COCO_train2014_{one:012}.jpg.npz",
            x=regions_of(one, count).T,
            bbox=boxes_of(one, count),
            image_w=640,
            image_h=480,
        )
    return out


def write_vectors(out: Path, ids: list[int]) -> Path:
    out.mkdir()
    for one in ids:
        np.save(out / f"{one}.npy", regions_of(one, 1)[0])
    return out


def write_grids(out: Path, ids: list[int]) -> Path:
    out.mkdir()
    for one in ids:
        np.savez_compressed(out / f"{one}.npz", feat=regions_of(one, 6).reshape(2, 3, DIM))
    return out


def write_boxes(out: Path, ids: list[int]) -> Path:
    """`..._att` and `..._box`."""
    folder = out.with_name(f"{out.name}_att")
    for name in (folder, out.with_name(f"{out.name}_box")):
        name.mkdir()
    for one in ids:
        np.savez(folder / f"{one}.npz", feat=regions_of(one, count_of(one)))
        boxes = boxes_of(one, count_of(one))
        np.save(out.with_name(f"{out.name}_box") / f"{one}.npy", boxes)
    return folder


def write_sgrvinod(out: Path, folder: DataFolder, side: int = 8) -> Path:
    """Images of every split in the data folder's order, and their captions' lengths."""
    out.mkdir()
    base = "coco_2_cap_per_img_5_min_word_freq"
    for name, split in (("TRAIN", "train"), ("VAL", "val")):
        images = folder.images(split)
        with h5py.File(out / f"{name}_IMAGES_{base}.hdf5", "w") as file:
            file["images"] = np.stack([pixels_of(one.id, side) for one in images])
        lengths = {one.id: [] for one in images}
        for caption in folder.captions(split):
            lengths[caption.image_id].append(len(caption.words) + 2)
        flat = [length for one in images for length in lengths[one.id][::-1]]
        (out / f"{name}_CAPLENS_{base}.json").write_text(json.dumps(flat))
    return out


def pixels_of(number: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (3, side, side), dtype=np.uint8)


WRITERS: dict[str, tuple[str, Callable[[Path, list[int]], Path]]] = {
    "bottom-up": ("bottom-up", write_bottom_up),
    "hengyuan-hu": ("hengyuan-hu", write_hengyuan_hu),
    "adaptive": ("hengyuan-hu", write_adaptive),
    "pytorch-vqa": ("pytorch-vqa", write_pytorch_vqa),
    "openvqa": ("openvqa", write_openvqa),
    "vectors": ("self-critical", write_vectors),
    "grids": ("self-critical", write_grids),
    "boxes": ("self-critical", write_boxes),
}
"""Name of a layout, its kind, and what writes it for some images' numbers."""
