"""A data set as the Hugging Face hub keeps it: Parquet files, read without the `datasets` package.

`data/train-00000-of-00002.parquet`, `data/validation-...` and `data/test-...`, or a folder for each
split (`train/0000.parquet`): what the names say of splits is what counts. Pictures are paths, or
lie inside the table as `{bytes, path}`, or as bytes alone. The card (`README.md`) states the
licence.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from saccade.core.errors import BadConfig, BadData
from saccade.data.arrow_rows import column_names, read_rows
from saccade.data.find_files import PictureFiles, files_like
from saccade.data.hub_card import stated_licence
from saccade.data.own_columns import fits
from saccade.data.own_rows import Own, split_in
from saccade.data.pictures_inside import PicturesInside
from saccade.data.records import Collection, Split
from saccade.data.splits import as_drawing


def read(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the Parquet files in `root`, in a folder directly below it, or in one for each split.

    Columns are found by name as in a table; `columns` says what others are. Pictures inside are
    written to `images` (else to `unpacked-pictures/` below `root`); pictures that are paths are
    looked for below `images` (else `root`, its `images/` and the files' folder). Where no name
    says a split, `val_share` and `test_share` of the pictures are drawn with `seed`; where only
    validation is missing, `val_share` of the training pictures. Raises BadData for a file that is
    not whole and for rows that lack what they need, BadConfig where there are several sets.
    """
    drawing = as_drawing(val_share, test_share, seed)
    found = _parquet_files(root)
    if not found:
        cure = "Check --root: the hub has data/train-00000-of-00001.parquet ..."
        raise BadData("holds no Parquet files of a data set", where=root, cure=cure)
    home = _home(root, found)
    splits = _splits(root, found)
    files = PictureFiles(root, images or None)
    inside = PicturesInside.of(files.root, chosen=bool(images))
    folders = dict.fromkeys(("", "images", home.relative_to(root).as_posix()))
    own = Own(lambda name: files.find_path(name, list(folders)), drawing)
    for path, split in zip(found, splits, strict=True):
        own.take(path, read_rows(path, columns, inside), split)
    notes = [f"Read from {len(found)} Parquet files: {', '.join(_shown(root, found))}."]
    collection = own.collection("hf-parquet", str(files.root), [*notes, *inside.notes()])
    return replace(collection, licence=stated_licence(root))


def recognise(root: Path, columns: str = "") -> str | None:
    """Parquet files with columns of pictures and of questions or captions.

    Files that cannot be read count when their names say splits: `read` tells what is wrong.
    """
    for path in _parquet_files(root):
        names = column_names(path)
        shown = path.relative_to(root).as_posix()
        if names is not None and fits(names, given=columns):
            return f"there is {shown} with the columns {', '.join(names[:6])}"
        if names is None and split_in(path.name):
            return f"there is {shown}"
    return None


def _parquet_files(root: Path) -> list[Path]:
    return files_like(root, r".*\.(?i:parquet)")


def _is_split(folder: Path, root: Path) -> bool:
    return folder != root and split_in(folder.name) is not None


def _home(root: Path, found: Sequence[Path]) -> Path:
    """The folder that holds the files, or the folders of the splits."""
    folders = (path.parent for path in found)
    homes = dict.fromkeys(f.parent if _is_split(f, root) else f for f in folders)
    if len(homes) > 1:
        names = ", ".join(f"{home.relative_to(root).as_posix()}/" for home in homes)
        what = f"holds Parquet files of several data sets: {names}"
        raise BadConfig(what, where=root, cure="Give the folder of one of them as --root.")
    return next(iter(homes))


def _splits(root: Path, found: Sequence[Path]) -> list[Split | None]:
    splits = [
        split_in(path.name) or (split_in(path.parent.name) if path.parent != root else None)
        for path in found
    ]
    if any(splits) and not all(splits):
        what = "says no split in its name, but others do"
        cure = "Name it after train, validation or test, or move it away."
        raise BadData(what, where=found[splits.index(None)], cure=cure)
    return splits


def _shown(root: Path, found: Sequence[Path]) -> list[str]:
    names = [path.relative_to(root).as_posix() for path in found]
    return names if len(names) <= 4 else [*names[:3], "..."]
