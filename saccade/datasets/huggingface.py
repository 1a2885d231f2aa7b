"""Data sets in the forms of the Hugging Face hub: Parquet files, imagefolder, `datasets`.

Columns are found by name as in a table of one's own. The options of all readers:

    images      folder of the images; images inside of tables are written there (else to
                `unpacked-images/` below the root)
    columns     the columns of other names, "image:photo,question:frage"
    val_share, test_share, seed
                shares of the images that are drawn for these splits where nothing says a split;
                where only validation is missing, `val_share` of the training images is drawn

Parquet and imagefolder are read without the package `datasets`; folders that it saved, and
`hf:ORG/NAME`, are read through it (`pip install 'saccade[hf]'`).
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadConfig, BadData, SaccadeError
from saccade.core.tables import optional_package
from saccade.data.find_files import ImageFiles, files_like, folder_like, folder_with, is_absolute
from saccade.data.reading import note_opened, read_json, read_start, refuse_stand_ins
from saccade.data.records import Collection, Split
from saccade.datasets.columns import COLUMNS, Names, columns_of, fits, there_is
from saccade.datasets.custom_rows import Row, as_rules, collect, refuse_unsaid_split, split_in
from saccade.datasets.row_files import (
    PARQUET,
    column_names,
    damaged,
    first_row,
    parts_of,
    read_known,
    refuse_many_rows,
    says_split,
    split_of,
)

# Images that lie inside tables, as bytes: written out once as files, named by their content.

FOLDER = "unpacked-images/"
"""Below the root of images, where the user names no folder for them."""
KINDS = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp",
    b"II*\0": "tif", b"MM\0*": "tif",
}  # fmt: skip


def image_name(location: Path, value: Any, place: str, *, root: Path, below: str) -> Any:
    """The path below `root` of a table's image; bytes become a file first, in its folder `below`.

    `value` is a path, bytes, or both as `{bytes, path}`; anything else is given back as it is.
    `location` and `place` are for messages. Raises BadData for bytes that are no image, and where
    nothing can be written.
    """
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or (not data and isinstance(value, dict)):
        return value.get("path") if isinstance(value, dict) else value
    kind = next((kind for head, kind in KINDS.items() if data.startswith(head)), None)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        kind = "webp"
    if data[128:132] == b"DICM":
        kind = "dcm"
    if kind is None:
        message = f"{place} has an image of unknown kind, beginning with {data[:8].hex()}"
        raise BadData(
            message, location=location, hint="Use JPEG, PNG, GIF, WebP, TIFF, BMP or DICOM."
        )
    folder, name = root / below, f"{hashlib.sha256(data).hexdigest()[:24]}.{kind}"
    file = folder / name
    try:
        folder.mkdir(exist_ok=True)
        if not file.is_file() or file.stat().st_size != len(data):
            part = file.with_suffix(".part")
            part.write_bytes(data)  # not waiting for the disk: there may be 100,000
            part.replace(file)
    except OSError as error:
        message = f"cannot be written to ({error.strerror}): the images lie inside the tables"
        hint = "Give a folder for them: --option images=FOLDER."
        raise BadData(message, location=folder, hint=hint) from None
    return below + name


def unpacked_note(root: Path, below: str) -> list[str]:
    """The note on images that lay inside; none where none did, or the user chose their folder."""
    there = below and (root / below).is_dir()
    return [f"Images lay inside the tables; they are files in {below} now."] if there else []


# Rows of Arrow tables, a few at a time, however long the file is.

AT_ONCE = 64
"""Rows that are handed out together; each may hold an image of megabytes."""
BUFFER = 2**20
"""Bytes of a Parquet column that are read at once; else a row group would be in memory twice."""

NO_LABEL = -1
"""The number of a class that is not told, in test splits of the hub."""

Image = Callable[[Path, Any, str], Any]
"""From file, value and place ("row 7") of an image in a table to its path: `image_name`."""
Classes = Mapping[str, Any]
"""What the features say of each column with numbers that stand for names (`ClassLabel`)."""


def table_rows(
    batches: Iterable[Any], location: Path, columns: str, image: Image, classes: Classes
) -> Iterator[Row]:
    """The rows of Arrow batches; `columns` is the user's word about columns of other names.

    `classes` go before those that the batches name. Raises ValueError or OverflowError for values
    that Python cannot hold, BadConfig as `columns_of`.
    """
    number = 0
    for batch in batches:
        batch.validate(full=True)  # damaged offsets would lead outside of the buffers
        known = {**_classes_in(batch.schema.metadata), **classes}
        wanted = columns_of(batch.schema.names, columns, location)
        used = list(dict.fromkeys(name for names in wanted.values() for name in names))
        values = []
        for column in used:
            cells = batch.column(column).to_pylist()
            values.append(_named(cells, known[column]) if column in known else cells)
        for row in zip(*values, strict=True):
            number += 1
            record = parts_of(dict(zip(used, row, strict=True)), wanted)
            record["image"] = image(location, record["image"], f"row {number}")
            yield Row(location, f"row {number}", record)


def _classes_in(metadata: Mapping[bytes, bytes] | None) -> Classes:
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return _with_classes(features)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}  # somebody else's metadata


def _with_classes(features: Mapping[str, Any]) -> Classes:
    return {column: kind for column, kind in features.items() if "ClassLabel" in str(kind)}


def _named(value: Any, kind: Any) -> Any:
    """A value with the names of its classes in place of their numbers, in lists and records, too.
    The hub's number for "no label" becomes none.
    """
    while isinstance(kind, list) or (
        isinstance(kind, dict) and {"feature", "_type"} <= kind.keys()
    ):
        kind = next(iter(kind), None) if isinstance(kind, list) else kind["feature"]
    if isinstance(value, list):
        return [_named(one, kind) for one in value]
    if not isinstance(kind, dict):
        return value
    if isinstance(value, dict):
        return {key: _named(one, kind.get(key)) for key, one in value.items()}
    names = kind.get("names") if kind.get("_type") == "ClassLabel" else None
    if type(value) is not int or not isinstance(names, list):
        return value
    return None if value == NO_LABEL else names[value] if 0 <= value < len(names) else value


# Parquet files, as the hub keeps a data set: `data/train-00000-of-00002.parquet`, or a folder for
# each split (`train/0000.parquet`). Images are paths, or lie inside as `{bytes, path}` or bytes.


def stated_licence(folder: Path) -> str:
    """The licence in the head (between lines of three dashes) of a data set's card, `README.md`;
    else that none is known.
    """
    head = re.match(r"---\s*\n(.*?)\n---", read_start(folder / "README.md"), re.S)
    found = re.search(r"^licen[sc]e:\s*(?:-\s*)?([\w.+-]+)", head[1], re.M) if head else None
    return f"{found[1]}, says its card" if found else Collection.licence


def read_parquet(root: Path, images: str = "", columns: str = "", **rules: Any) -> Collection:
    """Read the Parquet files in `root`, in a folder directly below it, or in one for each split.

    Images that are paths are found below `images` (else `root`, its `images/` and the files'
    folder). Raises BadData for a file that is not whole and for rows that lack what they need,
    BadConfig where there are several sets.
    """
    checked = as_rules(**rules)
    found = files_like(root, PARQUET)
    if not found:
        hint = "Check --root: the hub has data/train-00000-of-00001.parquet ..."
        raise BadData("holds no Parquet files of a data set", location=root, hint=hint)
    of_files = (path.parent for path in found)
    homes = dict.fromkeys(f.parent if f != root and split_in(f.name) else f for f in of_files)
    if len(homes) > 1:
        shown = ", ".join(f"{home.relative_to(root).as_posix()}/" for home in homes)
        message = f"holds Parquet files of several data sets: {shown}"
        raise BadConfig(message, location=root, hint="Give the folder of one of them as --root.")
    _refuse_missing_shards(found)
    splits = splits_in_names(root, found, columns)
    files = ImageFiles(root, images or None)
    below = "" if images else FOLDER
    image = partial(image_name, root=files.root, below=below)
    folders = dict.fromkeys(("", "images", *(home.relative_to(root).as_posix() for home in homes)))
    rows = [
        row._replace(split=split)
        for path, split in zip(found, splits, strict=True)
        for row in _parquet_rows(path, columns, image, ask=not (split or says_split(columns)))
    ]
    notes = unpacked_note(files.root, below)
    find = partial(files.find, folders=list(folders))
    return collect("hf-parquet", rows, find, files.root, checked, notes, stated_licence(root))


def _refuse_missing_shards(found: Sequence[Path]) -> None:
    """Raise BadData where files are some of so many (`train-00000-of-00003`), and others lack."""
    for path in found:
        if part := re.fullmatch(r"(.*-)(\d{5})-of-(\d{5})(\..*)", path.name):
            head, _, count, end = part.groups()
            every = (f"{head}{n:05d}-of-{count}{end}" for n in range(int(count)))
            if lost := [name for name in every if path.with_name(name) not in found]:
                more = f" and {len(lost) - 3} others" if len(lost) > 3 else ""
                message = f"is one of {int(count)} files; there is no {', '.join(lost[:3])}{more}"
                hint = f"Download them, or name it {head}{part[2]}{end} to use only what is there."
                raise BadData(message, location=path, hint=hint)


def splits_in_names(root: Path, found: Sequence[Path], columns: str = "") -> list[Split | None]:
    """What the name of each file, or of its folder, says. Raises BadData if only some say it."""
    splits = [
        split_of(path.name, columns)
        or (split_of(path.parent.name, columns) if path.parent != root else None)
        for path in found
    ]
    if any(splits) and not all(splits):
        message = "says no split in its name, but others do"
        hint = "Name it after train, validation or test, or move it away."
        raise BadData(message, location=found[splits.index(None)], hint=hint)
    return splits


def recognise_parquet(root: Path, columns: str = "") -> str | None:
    """Parquet files with columns of images and of questions or captions.

    Files that cannot be read count when their names say splits: `read` tells what is wrong.
    """
    for path in files_like(root, PARQUET):
        names = column_names(path)
        if names is not None and fits(names, given=columns):
            return there_is(path, root, names)
        if names is None and split_in(path.name):
            return f"there is {path.relative_to(root).as_posix()}"
    return None


def _parquet_rows(path: Path, columns: str, image: Image, *, ask: bool) -> Iterator[Row]:
    try:
        note_opened(path)
        with pa.OSFile(str(path)) as source:
            refuse_stand_ins(path, source.read(24).decode(errors="replace"))
            source.seek(0)
            file = pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False)
            refuse_many_rows(path, file.metadata)
            wanted = columns_of(file.schema_arrow.names, columns, path)
            used = dict.fromkeys(name for names in wanted.values() for name in names)
            for name in file.schema_arrow.names if ask and "split" not in wanted else ():
                if name not in used and pa.types.is_string(file.schema_arrow.field(name).type):
                    parts = file.iter_batches(AT_ONCE, columns=[name])
                    refuse_unsaid_split(path, name, (v for b in parts for v in b[0].to_pylist()))
            batches = file.iter_batches(AT_ONCE, columns=list(used))
            yield from table_rows(batches, path, columns, image, {})
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise damaged(path, "Parquet file", error) from None


# What the package `datasets` reads: folders that it saved (`save_to_disk`), and the hub itself.

NEEDED = ("hf", "this source needs the package datasets")
"""For the error where the package is not installed: the extra with it, and the message."""


def read_saved(root: Path, images: str = "", columns: str = "", **rules: Any) -> Collection:
    """Read the saved folder `root`, or the first one directly below it.

    Images that are paths are found below `images` (else below the folder). Raises BadData for a
    file that is not whole, and for rows that lack what they need, BadConfig where the package
    `datasets` is not installed.
    """
    checked = as_rules(**rules)
    hint = "Check --root: save_to_disk writes dataset_dict.json, or state.json."
    home = folder_with(root, _seal, "folder that datasets saved", hint)
    files = ImageFiles(root if images else home, images or None)
    below = "" if images else FOLDER
    image = partial(image_name, root=files.root, below=below)
    for state in (home / "state.json", *home.glob("*/state.json")):
        # Written by versions of long ago; `datasets` reads all rows then, and says nothing.
        if state.is_file() and read_json(state, dict).get("_indices_data_files"):
            message = "keeps a choice of rows (_indices_data_files), which is not read"
            hint = "Save the data set again after flatten_indices()."
            raise BadData(message, location=state, hint=hint)
    try:
        loaded = optional_package("datasets", *NEEDED).load_from_disk(str(home))
        for path in sorted(home.rglob("[!.]*.arrow")):
            note_opened(path)
        rows, names = _take(home, loaded, columns, image)
    except SaccadeError:
        raise
    except Exception as error:  # the library lets whatever damaged files raise pass through
        raise _damaged_file_of(home, error) from None
    notes = [*names, *unpacked_note(files.root, below)]
    return collect("hf-datasets", rows, files.find, files.root, checked, notes)


def recognise_saved(root: Path) -> str | None:
    """`dataset_dict.json`, or `state.json` beside `dataset_info.json`."""
    if (home := folder_like(root, _seal)) is None:
        return None
    return f"there is {(home / _seal(home)).relative_to(root).as_posix()}, which datasets writes"


def read_hub(
    name: str, root: Path, config: str = "", columns: str = "", **rules: Any
) -> Collection:
    """Read the data set ORG/NAME of the hub, or a folder that is laid out like one there.

    It is downloaded to the cache of `datasets`, or taken from there; `config` is the name of one of
    its configurations. Its images are written into the folder `root`. Raises BadData for a set that
    cannot be had, BadConfig where the package `datasets` is not installed.
    """
    checked = as_rules(**rules)
    root = root.absolute()
    library = optional_package("datasets", *NEEDED)
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - as `datasets`
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415

    caches = [Path(library.config.HF_DATASETS_CACHE), Path(HF_HUB_CACHE), Path(name)]

    def image(location: Path, value: Any, place: str) -> Any:
        path = value.get("path") if isinstance(value, dict) and not value.get("bytes") else None
        if isinstance(path, str) and is_absolute(path):
            file = Path(path).resolve()
            if any(file.is_relative_to(cache.resolve()) for cache in caches):  # never another file
                value = {"bytes": file.read_bytes()}
        return image_name(location, value, place, root=root, below="")

    try:
        loaded = library.load_dataset(name, config or None)
        root.mkdir(parents=True, exist_ok=True)
        rows, names = _take(Path(name), loaded, columns, image)
    except SaccadeError:
        raise
    except Exception as error:  # no network, no such set, damaged files: the library says which
        shown = " ".join(str(error).split())[:200]
        hint = "Check the name on huggingface.co/datasets, and --option config=NAME."
        if library.config.HF_HUB_OFFLINE:
            hint = "HF_HUB_OFFLINE is set: unset it, or download the set once on a machine with it."
        message = f"cannot be loaded from the Hugging Face hub ({type(error).__name__}: {shown})"
        raise BadData(message, location=name, hint=hint) from None
    notes = [*names, f"Images are files in {root} now."]
    folder = Path(name)
    if not folder.is_dir():
        with suppress(Exception):  # a set without a card, or a card that is not in the cache
            folder = Path(hf_hub_download(name, "README.md", repo_type="dataset")).parent
    return collect(f"hf:{name}", rows, str, root, checked, notes, stated_licence(folder))


def _take(home: Path, loaded: Any, columns: str, image: Image) -> tuple[list[Row], list[str]]:
    """The rows of all splits; one alone, whatever its name, has no split of its own. And a note."""
    rows: list[Row] = []
    parts = loaded if isinstance(loaded, dict) else {"": loaded}
    for name, part in parts.items():
        split = split_in(name) if len(parts) > 1 else None
        if split is None and len(parts) > 1:
            message = f"has the split {name[:30]!a}, which is neither train, validation nor test"
            raise BadData(message, location=home, hint="Rename or leave out that split.")
        if len(parts) == 1 and not says_split(columns):
            wanted = columns_of(part.column_names, columns, home)
            used = {one for several in wanted.values() for one in several}
            for column, kind in part.features.items() if "split" not in wanted else ():
                if column not in used and getattr(kind, "dtype", "") == "string":
                    refuse_unsaid_split(home, column, part[column])
        classes = _with_classes(part.features.to_dict())
        batches = part.with_format("arrow").iter(AT_ONCE)
        place = home / name if name and home.is_dir() else home
        found = table_rows(batches, place, columns, image, classes)
        rows += (row._replace(split=split) for row in found)
    return rows, [f"Splits of the folder: {', '.join(parts)}."] if len(parts) > 1 else []


def _damaged_file_of(home: Path, error: Exception) -> BadData:
    """The error for the first Arrow file that is not whole, else for the whole folder."""
    for path in sorted(home.rglob("*.arrow")):
        try:
            with pa.OSFile(str(path)) as source:
                for batch in pa.ipc.open_stream(source):
                    batch.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as cause:
            return damaged(path, "Arrow file", cause)
    shown = " ".join(str(error).split())[:200]
    if isinstance(error, FileNotFoundError) and (lost := re.search(r"'([^']+\.arrow)'", shown)):
        return damaged(Path(lost[1]), "Arrow file", error)
    message = f"is not a folder that datasets can read ({type(error).__name__}: {shown})"
    return BadData(message, location=home, hint="Copy the whole folder again, or save it again.")


def _seal(folder: Path) -> str:
    """The file by which a folder that `datasets` saved is known; empty where this is none."""
    if (folder / "dataset_dict.json").is_file():
        return "dataset_dict.json"
    both = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return "state.json" if both else ""


# A folder of images with metadata: Hugging Face's `imagefolder`.

METADATA = r"(?i:metadata\.(?:csv|jsonl|parquet))"
NAMES = ("file_name", "image_file_name")
"""The columns that make a file such metadata: `datasets` calls the column of either `image`."""
USUAL: Names = MappingProxyType(
    {**COLUMNS, "image": NAMES, "caption": (*COLUMNS["caption"], "text")}
)


def read_imagefolder(root: Path, images: str = "", columns: str = "", **rules: Any) -> Collection:
    """Read `metadata.{csv,jsonl,parquet}` in `root`, a folder directly below, or its splits.

    `images` is a folder of images laid out likewise, or without the folders of the splits. Raises
    BadData for rows of another form, with file and line, BadConfig for images with several
    metadata.
    """
    checked = as_rules(**rules)
    hint = "Check --root: metadata.csv, .jsonl or .parquet has a column file_name."
    home = folder_with(root, _metadata, "metadata of an imagefolder", hint)
    files = ImageFiles(root if images else home, images or None)

    def find(name: str) -> str:
        """Beside the metadata; in `images=`, also without the folders of the splits."""
        folder, _, rest = name.partition("/")
        if _split_of(name):
            return files.find(rest, folders=(folder, "" if images else f"{folder}/images"))
        return files.find(name, folders=("", "images"))

    found = _metadata(home)
    names = ", ".join(path.relative_to(home).as_posix() for path in found)
    folders = {path.parent for path in found}
    every = [path for path in files_like(home, METADATA) if is_metadata(path)]
    if lost := [path for path in every if path not in found]:
        message = f"is not named after a split, but holds {lost[0].name}; others are"
        hint = "Name the folder train, validation or test, or move it away."
        raise BadData(message, location=lost[0].parent, hint=hint)
    if len(folders) < len(found) or (home in folders and len(found) > 1):
        hint = "Keep one for each image: move the others away."
        raise BadConfig(f"holds metadata twice: {names}", location=home, hint=hint)
    rows = [row for path in found for row in _rows(path, columns, home)]
    return collect("imagefolder", rows, find, files.root, checked, (), stated_licence(root))


def recognise_imagefolder(root: Path, columns: str = "") -> str | None:
    """`metadata.csv`, `.jsonl` or `.parquet` with file_name, and captions or questions."""
    home = folder_like(root, _metadata)
    for path in _metadata(home) if home else ():
        if fits(names := list(first_row(path)), USUAL, columns):
            return there_is(path, root, names)
    return None


def is_metadata(path: Path) -> bool:
    """True where a file is an imagefolder's metadata, by its name and its column file_name."""
    return re.fullmatch(METADATA, path.name) is not None and not set(NAMES).isdisjoint(
        first_row(path)
    )


def _metadata(folder: Path) -> list[Path]:
    """The metadata of a folder, and of its folders that are named after splits."""
    there = [path for path in files_like(folder, METADATA) if is_metadata(path)]
    return [path for path in there if path.parent == folder or split_in(path.parent.name)]


def _rows(path: Path, columns: str, home: Path) -> Iterator[Row]:
    """Rows that name images relative to `home`, which may hold a folder for each split."""
    folder = "" if path.parent == home else path.parent.name
    rows = read_known(path, columns, split_of(folder, columns), USUAL)
    of_folders = [_split_of(str(row.values["image"])) for row in rows]
    every = all(split or row.fault for row, split in zip(rows, of_folders, strict=True))
    for row, split in zip(rows, of_folders, strict=True):
        values, name = dict(row.values), row.values["image"]
        if isinstance(name, str) and name.strip() and folder and not name.startswith("/"):
            values["image"] = f"{folder}/{name.strip().removeprefix('./')}"
        if not folder and every:
            values.setdefault("split", split)
        yield row._replace(values=values)


def _split_of(name: str) -> Split | None:
    folder, slash, _ = name.partition("/")
    return split_in(folder) if slash else None
