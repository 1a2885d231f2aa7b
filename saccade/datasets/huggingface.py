"""A data set as the Hugging Face hub keeps it: Parquet files, read without the `datasets` package.

`data/train-00000-of-00002.parquet`, `data/validation-...` and `data/test-...`, or a folder for each
split (`train/0000.parquet`): what the names say of splits is what counts. Images are paths, or
lie inside the table as `{bytes, path}`, or as bytes alone. The card (`README.md`) states the
licence.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import ImageFiles, files_like, folder_like
from saccade.data.reading import is_text, read_json, read_start
from saccade.data.records import Collection, Split
from saccade.data.splits import as_drawing
from saccade.datasets.custom_rows import (
    COLUMNS,
    SPLIT_WORDS,
    Names,
    Own,
    Row,
    columns_of,
    first_row,
    fits,
    read_rows,
    split_in,
)

# Images that lie inside tables, as bytes: written out once as files, named by their content.

FOLDER = "unpacked-images"
KINDS = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp",
    b"II*\0": "tif", b"MM\0*": "tif",
}  # fmt: skip


class ImagesInside(NamedTuple):
    """Where images from inside go."""

    folder: Path
    below: str
    """The folder's path, with a slash behind it, below the root of images."""

    @classmethod
    def of(cls, root: Path, *, chosen: bool) -> "ImagesInside":
        """Into `root`, where the user has chosen it for images, else into a folder below."""
        return cls(root, "") if chosen else cls(root / FOLDER, f"{FOLDER}/")

    def name(self, value: Any, location: Path, place: str) -> Any:
        """The image's path; bytes become a file first. `value` is a path, bytes, or both as
        `{bytes, path}`; anything else is given back as it is. `where` and `place` are for messages.

        Raises BadData for bytes that are no image, and where nothing can be written.
        """
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes) or (not data and isinstance(value, dict)):
            return value.get("path") if isinstance(value, dict) else value
        kind = _kind(data)
        if kind is None:
            message = f"{place} has an image of unknown kind, beginning with {data[:8].hex()}"
            raise BadData(message, location=location, hint="Use JPEG, PNG, GIF, WebP, TIFF or BMP.")
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{kind}"
        file = self.folder / name
        try:
            self.folder.mkdir(exist_ok=True)
            if not file.is_file() or file.stat().st_size != len(data):
                part = file.with_suffix(".part")
                part.write_bytes(data)  # not waiting for the disk: there may be 100,000
                part.replace(file)
        except OSError as error:
            message = f"cannot be written to ({error.strerror}): the images lie inside the tables"
            hint = "Give a folder for them: --option images=FOLDER."
            raise BadData(message, location=self.folder, hint=hint) from None
        return self.below + name

    def notes(self) -> list[str]:
        """What the user should know: nothing where no image lay inside, or by their own wish."""
        if not self.below or not self.folder.is_dir():
            return []
        return [f"Images lay inside the tables; they are files in {self.below} now."]


def _kind(data: bytes) -> str | None:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for head, kind in KINDS.items() if data.startswith(head)), None)


# Rows of Arrow and Parquet files, a few at a time, however long the file is.

AT_ONCE = 64
"""Rows of a Parquet file that are handed out together; each may hold an image of megabytes."""
BUFFER = 2**20
"""Bytes of a Parquet column that are read at once; else a row group would be in memory twice."""

Classes = Mapping[str, Sequence[Any]]
"""The names that stand for numbers in each column of classes (`ClassLabel`)."""


def read_arrow_rows(
    path: Path, columns: str, images: ImagesInside, classes: Classes | None = None
) -> Iterator[Row]:
    """Hand out the rows of a file; `columns` is the user's word about columns of other names.

    `images` writes out what lies inside; `classes` go before those that the file names. Raises
    BadData for a file that is missing or not whole, BadConfig as `columns_of`.
    """
    number = 0
    for batch in _batches(path, columns):
        known = {**_classes_in(batch.schema.metadata), **(classes or {})}
        try:
            wanted = columns_of(batch.schema.names, columns, path)
            values = {what: batch.column(name).to_pylist() for what, name in wanted.items()}
        except (ValueError, OverflowError) as error:  # names that are no text, dates that are none
            raise _damaged(path, error) from None
        for what, name in wanted.items():
            if name in known:
                values[what] = [_named(value, known[name]) for value in values[what]]
        for row in zip(*values.values(), strict=True):
            number += 1
            said = dict(zip(values, row, strict=True))
            said["image"] = images.name(said["image"], path, f"row {number}")
            yield Row(f"row {number}", said)


def column_names(path: Path) -> list[str] | None:
    """Names of a Parquet file's columns, from its end alone; None where it cannot be read."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, ValueError):
        return None


def class_names(features: object) -> dict[str, Sequence[Any]]:
    """The classes among the features of a data set, as `datasets` describes them in JSON."""
    found: dict[str, Sequence[Any]] = {}
    for column, kind in features.items() if isinstance(features, dict) else ():
        names = kind.get("names") if isinstance(kind, dict) else None
        if isinstance(names, list) and names and kind.get("_type") == "ClassLabel":
            found[column] = names
    return found


def _classes_in(metadata: Mapping[bytes, bytes] | None) -> Classes:
    try:
        about = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        return class_names(about["info"]["features"])
    except (ValueError, RecursionError, KeyError, TypeError):  # somebody else's metadata
        return {}


def _named(value: Any, names: Sequence[Any]) -> Any:
    """A class's name for its number; other values as they are."""
    known = type(value) is int and 0 <= value < len(names)
    return names[value] if known else value


def _batches(path: Path, columns: str) -> Iterator[Any]:
    try:
        with pa.OSFile(str(path)) as source:
            for batch in _of_any_kind(source, path, columns):
                batch.validate(full=True)  # damaged offsets would lead outside of the buffers
                yield batch
    except FileNotFoundError:
        raise BadData("is missing", location=path, hint="Copy the whole folder again.") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None


def _of_any_kind(source: Any, path: Path, columns: str) -> Iterator[Any]:
    """Batches of a Parquet file, an Arrow file, or an Arrow stream, by how it begins."""
    head = source.read(24)
    source.seek(0)
    if head.startswith(b"version https://git-lfs"):
        hint = "Fetch the real file with `git lfs pull`."
        raise BadData("is a Git LFS pointer, not the file itself", location=path, hint=hint)
    if head.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        file = pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False)
        wanted = columns_of(file.schema_arrow.names, columns, path).values()
        yield from file.iter_batches(AT_ONCE, columns=list(dict.fromkeys(wanted)))
    elif head.startswith(b"ARROW1"):
        reader = pa.ipc.open_file(source)
        for place in range(reader.num_record_batches):
            yield reader.get_batch(place)
    else:
        yield from pa.ipc.open_stream(source)


def _damaged(path: Path, error: Exception) -> BadData:
    kind = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
    message = f"is not a whole {kind} file ({str(error).splitlines()[0][:80]})"
    return BadData(message, location=path, hint="Copy it again from where it came.")


# The card of a data set from the Hugging Face hub: what its `README.md` states of the licence.


def stated_licence(folder: Path) -> str:
    """The licence in the card's head (between lines of three dashes); else that none is known."""
    start = read_start(folder / "README.md")
    head = re.match(r"---\s*\n(.*?)\n---", start, re.S)
    said = re.search(r"^licen[sc]e:\s*(?:-\s*)?([\w.+-]+)", head[1], re.M) if head else None
    return f"{said[1]}, says its card" if said else Collection.licence


def read_parquet(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the Parquet files in `root`, in a folder directly below it, or in one for each split.

    Columns are found by name as in a table; `columns` says what others are. Images inside are
    written to `images` (else to `unpacked-images/` below `root`); images that are paths are
    looked for below `images` (else `root`, its `images/` and the files' folder). Where no name
    says a split, `val_share` and `test_share` of the images are drawn with `seed`; where only
    validation is missing, `val_share` of the training images. Raises BadData for a file that is
    not whole and for rows that lack what they need, BadConfig where there are several sets.
    """
    drawing = as_drawing(val_share, test_share, seed)
    found = _parquet_files(root)
    if not found:
        hint = "Check --root: the hub has data/train-00000-of-00001.parquet ..."
        raise BadData("holds no Parquet files of a data set", location=root, hint=hint)
    home = _home(root, found)
    splits = _splits(root, found)
    files = ImageFiles(root, images or None)
    inside = ImagesInside.of(files.root, chosen=bool(images))
    folders = dict.fromkeys(("", "images", home.relative_to(root).as_posix()))
    own = Own(lambda name: files.find_path(name, list(folders)), drawing)
    for path, split in zip(found, splits, strict=True):
        own.take(path, read_arrow_rows(path, columns, inside), split)
    notes = [f"Read from {len(found)} Parquet files: {', '.join(_shown(root, found))}."]
    collection = own.collection("hf-parquet", str(files.root), [*notes, *inside.notes()])
    return replace(collection, licence=stated_licence(root))


def recognise_parquet(root: Path, columns: str = "") -> str | None:
    """Parquet files with columns of images and of questions or captions.

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
        message = f"holds Parquet files of several data sets: {names}"
        raise BadConfig(message, location=root, hint="Give the folder of one of them as --root.")
    return next(iter(homes))


def _splits(root: Path, found: Sequence[Path]) -> list[Split | None]:
    splits = [
        split_in(path.name) or (split_in(path.parent.name) if path.parent != root else None)
        for path in found
    ]
    if any(splits) and not all(splits):
        message = "says no split in its name, but others do"
        hint = "Name it after train, validation or test, or move it away."
        raise BadData(message, location=found[splits.index(None)], hint=hint)
    return splits


def _shown(root: Path, found: Sequence[Path]) -> list[str]:
    names = [path.relative_to(root).as_posix() for path in found]
    return names if len(names) <= 4 else [*names[:3], "..."]


# A folder that Hugging Face `datasets` saved (`save_to_disk`), read without that package.


def read_saved(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the saved folder `root`, or the first one directly below it.

    Columns are found by name as in a table; `columns` says what others are. Images inside the
    table are written to `images` (else to `unpacked-images/` below the folder); images that
    are paths are looked for below `images` (else below the folder). Where there is one split only,
    `val_share` and `test_share` of the images are drawn with `seed`; where only validation is
    missing, `val_share` of the training images. Raises BadData for a file that is not whole, and
    for rows that lack what they need.
    """
    drawing = as_drawing(val_share, test_share, seed)
    home = folder_like(root, _holds_saved)
    if home is None:
        hint = "Check --root: save_to_disk writes dataset_dict.json, or state.json."
        raise BadData("holds no folder that datasets saved", location=root, hint=hint)
    files = ImageFiles(root if images else home, images or None)
    inside = ImagesInside.of(files.root, chosen=bool(images))
    parts = _parts(home)
    own = Own(files.find_path, drawing)
    for folder, split in parts:
        about = folder / "dataset_info.json"
        classes = class_names(read_json(about, dict).get("features")) if about.is_file() else {}
        for path in _arrow_files(folder):
            own.take(path, read_arrow_rows(path, columns, inside, classes), split)
    notes = [f"Splits of the folder: {', '.join(folder.name for folder, _ in parts)}."]
    return own.collection("hf-datasets", str(files.root), [*notes, *inside.notes()])


def recognise_saved(root: Path) -> str | None:
    """`dataset_dict.json`, or `state.json` beside `dataset_info.json`."""
    home = folder_like(root, _holds_saved)
    if home is None:
        return None
    seal = "dataset_dict.json" if (home / "dataset_dict.json").is_file() else "state.json"
    return f"there is {(home / seal).relative_to(root).as_posix()}, which datasets writes"


def _holds_saved(folder: Path) -> bool:
    single = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return single or (folder / "dataset_dict.json").is_file()


def _parts(home: Path) -> list[tuple[Path, Split | None]]:
    """The folder of each split, and which of ours it is; one alone has no split of its own."""
    seal = home / "dataset_dict.json"
    if not seal.is_file():
        return [(home, None)]
    names = read_json(seal, dict).get("splits")
    if not isinstance(names, list) or not _are_names(names):
        message = 'has no list "splits"'
        raise BadData(message, location=seal, hint="Save the data set again: save_to_disk.")
    if len(names) == 1:
        return [(home / names[0], None)]
    parts: list[tuple[Path, Split | None]] = []
    for name in names:
        split = SPLIT_WORDS.get(name.lower())
        if split is None:
            message = f"has the split {name[:30]!a}, which is neither train, validation nor test"
            hint = "Rename or leave out that split, and save again."
            raise BadData(message, location=seal, hint=hint)
        parts.append((home / name, split))
    return parts


def _arrow_files(folder: Path) -> list[Path]:
    """The files that `state.json` lists."""
    state = folder / "state.json"
    about = read_json(state, dict)
    listed = about.get("_data_files")
    listed = listed if isinstance(listed, list) else []
    names: list[Any] = [entry.get("filename") for entry in listed if isinstance(entry, dict)]
    if not _are_names(names):
        hint = "Save the data set again: save_to_disk."
        raise BadData('has no list "_data_files" of file names', location=state, hint=hint)
    if about.get("_indices_data_files"):
        message = "keeps a choice of rows (_indices_data_files), which is not read here"
        hint = "Save the data set again after flatten_indices()."
        raise BadData(message, location=state, hint=hint)
    return [folder / name for name in names]


def _are_names(names: list[Any]) -> bool:
    """Say whether these are names of files or folders, at least one, and none leads elsewhere."""
    return bool(names) and is_text(names) and not any({"/", "\0"} & set(name) for name in names)


# A folder of images with metadata, as Hugging Face's `imagefolder`, read without that package.

METADATA = r"(?i:metadata\.(?:csv|jsonl))"
NAME = "file_name"
"""The column that makes a file such metadata."""
USUAL: Names = MappingProxyType(
    {**COLUMNS, "image": (NAME,), "caption": (*COLUMNS["caption"], "text")}
)


def read_imagefolder(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read `metadata.csv` or `metadata.jsonl` in `root`, a folder directly below, or its splits.

    `images` is a folder of images laid out likewise, or without the folders of the splits;
    `columns` says what columns of other names are ("caption:prompt"). Where folders name no split
    and there is no column `split`, `val_share` and `test_share` of the images are drawn with
    `seed`; where only validation is missing, `val_share` of the training images. Raises BadData
    for rows of another form, with file and line, BadConfig for images with several metadata.
    """
    drawing = as_drawing(val_share, test_share, seed)
    home = folder_like(root, lambda folder: bool(_metadata(folder)))
    if home is None:
        hint = "Check --root: metadata.csv or metadata.jsonl has a column file_name."
        raise BadData("holds no metadata of an imagefolder", location=root, hint=hint)
    files = ImageFiles(root if images else home, images or None)
    own = Own(lambda name: _find(files, name, elsewhere=bool(images)), drawing)
    found = _metadata(home)
    _refuse_twice(home, found)
    for path in found:
        folder = path.parent.relative_to(home).as_posix()
        own.take(path, _rows(path, columns, "" if folder == "." else folder), split_in(folder))
    notes = [f"Read from {', '.join(path.relative_to(home).as_posix() for path in found)}."]
    collection = own.collection("imagefolder", str(files.root), notes)
    return replace(collection, licence=stated_licence(root))


def recognise_imagefolder(root: Path, columns: str = "") -> str | None:
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
        hint = "Keep one for each image: move the others away."
        raise BadConfig(f"holds metadata twice: {names}", location=home, hint=hint)


def _rows(path: Path, columns: str, folder: str) -> Iterator[Row]:
    """Rows that name images relative to the data set, where `folder` (of a split) may lie."""
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


def _find(files: ImageFiles, name: str, *, elsewhere: bool) -> str:
    """Beside the metadata; in `images=`, also without the folders of the splits."""
    folder, _, rest = name.partition("/")
    if _split_of(name):
        return files.find_path(rest, (folder, "" if elsewhere else f"{folder}/images"))
    return files.find_path(name, ("", "images"))
