"""A folder of pictures with metadata, as Hugging Face's `imagefolder`, read without that package.

    train/metadata.csv              train/metadata.jsonl
    file_name,text                  {"file_name": "0001.png", "question": "What is it?",
    0001.png,A red circle.           "answers": ["a dog"]}

`file_name` is relative to the folder that the metadata lies in. Folders named after splits
(`train/`, `validation/`, `test/`) are those splits; one file above them may name `train/0001.png`.
`text` is the caption here: that is what such metadata calls it. Layout: documentation of the
`datasets` package, "Create an image dataset".
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import PictureFiles, files_like, folder_like
from saccade.data.hub_card import stated_licence
from saccade.data.own_columns import COLUMNS, Names, columns_of, fits
from saccade.data.own_rows import Own, Row, split_in
from saccade.data.records import Collection, Split
from saccade.data.row_files import first_row, read_rows
from saccade.data.splits import as_drawing

METADATA = r"(?i:metadata\.(?:csv|jsonl))"
NAME = "file_name"
"""The column that makes a file such metadata."""
USUAL: Names = MappingProxyType(
    {**COLUMNS, "image": (NAME,), "caption": (*COLUMNS["caption"], "text")}
)


def read(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read `metadata.csv` or `metadata.jsonl` in `root`, a folder directly below, or its splits.

    `images` is a folder of pictures laid out likewise, or without the folders of the splits;
    `columns` says what columns of other names are ("caption:prompt"). Where folders name no split
    and there is no column `split`, `val_share` and `test_share` of the pictures are drawn with
    `seed`; where only validation is missing, `val_share` of the training pictures. Raises BadData
    for rows of another form, with file and line, BadConfig for pictures with several metadata.
    """
    drawing = as_drawing(val_share, test_share, seed)
    home = folder_like(root, lambda folder: bool(_metadata(folder)))
    if home is None:
        cure = "Check --root: metadata.csv or metadata.jsonl has a column file_name."
        raise BadData("holds no metadata of an imagefolder", where=root, cure=cure)
    files = PictureFiles(root if images else home, images or None)
    own = Own(lambda name: _find(files, name, elsewhere=bool(images)), drawing)
    found = _metadata(home)
    _refuse_twice(home, found)
    for path in found:
        folder = path.parent.relative_to(home).as_posix()
        own.take(path, _rows(path, columns, "" if folder == "." else folder), split_in(folder))
    notes = [f"Read from {', '.join(path.relative_to(home).as_posix() for path in found)}."]
    collection = own.collection("imagefolder", str(files.root), notes)
    return replace(collection, licence=stated_licence(root))


def recognise(root: Path, columns: str = "") -> str | None:
    """`metadata.csv` or `metadata.jsonl` with file_name, and captions or questions."""
    home = folder_like(root, lambda folder: bool(_metadata(folder)))
    for path in _metadata(home) if home else ():
        if fits(names := list(first_row(path)), USUAL, columns):
            shown = path.relative_to(root).as_posix()
            return f"there is {shown} with the columns {', '.join(names[:6])}"
    return None


def is_metadata(path: Path) -> bool:
    """Say whether a file is an imagefolder's metadata, by its name and its column file_name."""
    named = path.name.lower() in ("metadata.csv", "metadata.jsonl")
    return named and NAME in first_row(path)


def _metadata(folder: Path) -> list[Path]:
    """The metadata of a folder, and of its folders that are named after splits."""
    there = [path for path in files_like(folder, METADATA) if is_metadata(path)]
    return [path for path in there if path.parent == folder or split_in(path.parent.name)]


def _refuse_twice(home: Path, found: Sequence[Path]) -> None:
    folders = {path.parent for path in found}
    if len(folders) < len(found) or (home in folders and len(found) > 1):
        names = ", ".join(path.relative_to(home).as_posix() for path in found)
        cure = "Keep one for each picture: move the others away."
        raise BadConfig(f"holds metadata twice: {names}", where=home, cure=cure)


def _rows(path: Path, columns: str, folder: str) -> Iterator[Row]:
    """Rows that name pictures relative to the data set, where `folder` (of a split) may lie."""
    names, rows = read_rows(path)
    wanted = columns_of(names, columns, path, USUAL)
    told = [(place, {what: row.get(name) for what, name in wanted.items()}) for place, row in rows]
    of_folders = [_split_of(str(values["image"])) for _, values in told]
    for (place, values), split in zip(told, of_folders, strict=True):
        name = values["image"]
        if isinstance(name, str) and name.strip() and folder and not name.startswith("/"):
            values["image"] = f"{folder}/{name.strip().removeprefix('./')}"
        if not folder and "split" not in wanted and all(of_folders):
            values["split"] = split
        yield Row(place, values)


def _split_of(name: str) -> Split | None:
    folder, slash, _ = name.partition("/")
    return split_in(folder) if slash else None


def _find(files: PictureFiles, name: str, *, elsewhere: bool) -> str:
    """Beside the metadata; in `images=`, also without the folders of the splits."""
    folder, _, rest = name.partition("/")
    if _split_of(name):
        return files.find_path(rest, (folder, "" if elsewhere else f"{folder}/images"))
    return files.find_path(name, ("", "images"))
