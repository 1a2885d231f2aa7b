"""Folds: the images of training and validation cut into equal parts, each a data folder.

In the folder of a fold its part is the validation split and all other parts are for training; the
test split stays as it is. Records go with their image, so that no image is on both sides. Features
are the whole folder's, by a link.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.core.errors import BadConfig
from saccade.data.folder import RELATIONS, DataFolder, write_folder
from saccade.data.records import SPLITS, Collection, Split

CUT: tuple[Split, ...] = ("train", "val")
"""Splits that are cut into folds."""
BESIDE = ("choices", "objects", *RELATIONS)
"""What a folder has beside its records, by the names of its methods."""


def cut_images(folder: DataFolder, folds: int, seed: int) -> dict[int, int]:
    """The fold, 1 to `folds`, of each image of training and validation with records there.

    Raises BadConfig where there are fewer images than folds.
    """
    tables = [folder.record_table(task, split) for task in folder.tasks for split in CUT]
    order = sorted({id_ for table in tables for id_ in table.column("image_id").to_pylist()})
    if len(order) < folds:
        hint = "Give fewer, two or more."
        message = f"{len(order)} images make no {folds} folds"
        raise BadConfig(message, location=folder.path, hint=hint)
    random.Random(seed).shuffle(order)
    return {id_: place % folds + 1 for place, id_ in enumerate(order)}


def write_fold(
    folder: DataFolder, out: Path, fold_of: Mapping[int, int], fold: int | None
) -> DataFolder:
    """Write the data folder of a fold; of none all images are for training."""

    def split_of(image: int, split: Split) -> Split:
        if split not in CUT or image not in fold_of:
            return split
        return "val" if fold_of[image] == fold else "train"

    def records(kind: str) -> list[Any]:
        found = [one for split in SPLITS for one in getattr(folder, kind)(split)]
        return [one._replace(split=split_of(one.image_id, one.split)) for one in found]

    about = folder.about
    collection = Collection(
        source=about.get("source", ""),
        image_root=str(folder.image_root.resolve()),
        images=[one._replace(split=split_of(one.id, one.split)) for one in folder.images()],
        questions=records("questions") if "vqa" in folder.tasks else (),
        captions=records("captions") if "caption" in folder.tasks else (),
        licence=about.get("licence", ""),
        window=folder.window,
        **{name: getattr(folder, name)() for name in BESIDE},
    )
    write_folder(out, collection)
    features = out / "features"
    if not features.exists():
        features.symlink_to((folder.path / "features").resolve(), target_is_directory=True)
    return DataFolder(out, image_root=folder.image_root)
