"""A folder that Hugging Face `datasets` saved (`save_to_disk`), read without that package.

One data set is `state.json`, `dataset_info.json` and `data-00000-of-00001.arrow` (Arrow streams);
several splits are `dataset_dict.json` and a folder of that kind for each. Pictures are paths, or
lie inside the table as `{bytes, path}`: these are written out once as files, named by their
content, so that everything after this sees picture files as everywhere else.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from saccade.data.drawn_split import as_share, as_whole
from saccade.data.json_file import is_text, read_json
from saccade.data.looking import folder_like
from saccade.data.own_rows import SPLIT_WORDS, Own, Row, columns_of
from saccade.data.picture_files import PictureFiles
from saccade.errors import BadData
from saccade.records import Collection, Split

UNPACKED = "unpacked-pictures"
KINDS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


def read(
    root: Path,
    images: str = "",
    columns: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the saved folder `root`, or the first one directly below it.

    Columns are found by name as in a table; `columns` says what others are. Pictures inside the
    table are written to `images` (else to `unpacked-pictures/` below the folder); pictures that
    are paths are looked for below `images` (else below the folder). Where there is one split only,
    `val_share` and `test_share` of the pictures are drawn with `seed`. Raises BadData for a file
    that is not whole, and for rows that lack what they need.
    """
    shares: dict[Split, float] = {
        "val": as_share("val_share", val_share),
        "test": as_share("test_share", test_share),
    }
    home = folder_like(root, _holds)
    if home is None:
        cure = "Check --root: save_to_disk writes dataset_dict.json, or state.json."
        raise BadData("holds no folder that datasets saved", where=root, cure=cure)
    files = PictureFiles(root if images else home, images or None)
    parts = _parts(home)
    own = Own(files.find_path, shares, as_whole("seed", seed))
    unpacked = files.root if images else files.root / UNPACKED
    below = "" if images else f"{UNPACKED}/"
    for folder, split in parts:
        names = _class_names(folder / "dataset_info.json")
        for path in _arrow_files(folder):
            own.take(path, _rows(path, columns, names, unpacked, below), split)
    notes = [f"Splits of the folder: {', '.join(folder.name for folder, _ in parts)}."]
    if unpacked.is_dir() and not images:
        notes.append(f"Pictures lay inside the tables; they are files in {UNPACKED}/ now.")
    return own.collection("hf-datasets", str(files.root), notes)


def recognise(root: Path) -> str | None:
    """`dataset_dict.json`, or `state.json` beside `dataset_info.json`."""
    home = folder_like(root, _holds)
    if home is None:
        return None
    seal = "dataset_dict.json" if (home / "dataset_dict.json").is_file() else "state.json"
    return f"there is {(home / seal).relative_to(root).as_posix()}, which datasets writes"


def _holds(folder: Path) -> bool:
    single = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return single or (folder / "dataset_dict.json").is_file()


def _parts(home: Path) -> list[tuple[Path, Split | None]]:
    """The folder of each split, and which of ours it is; one alone has no split of its own."""
    seal = home / "dataset_dict.json"
    if not seal.is_file():
        return [(home, None)]
    names = read_json(seal, dict).get("splits")
    if not isinstance(names, list) or not _are_names(names):
        what = 'has no list "splits"'
        raise BadData(what, where=seal, cure="Save the data set again: save_to_disk.")
    if len(names) == 1:
        return [(home / names[0], None)]
    parts: list[tuple[Path, Split | None]] = []
    for name in names:
        split = SPLIT_WORDS.get(name.lower())
        if split is None:
            what = f"has the split {name[:30]!a}, which is neither train, validation nor test"
            cure = "Rename or leave out that split, and save again."
            raise BadData(what, where=seal, cure=cure)
        parts.append((home / name, split))
    return parts


def _arrow_files(folder: Path) -> list[Path]:
    """The files that `state.json` lists."""
    state = folder / "state.json"
    listed = read_json(state, dict).get("_data_files")
    listed = listed if isinstance(listed, list) else []
    names: list[Any] = [entry.get("filename") for entry in listed if isinstance(entry, dict)]
    if not _are_names(names):
        cure = "Save the data set again: save_to_disk."
        raise BadData('has no list "_data_files" of file names', where=state, cure=cure)
    if read_json(state, dict).get("_indices_data_files"):
        what = "keeps a choice of rows (_indices_data_files), which is not read here"
        cure = "Save the data set again after flatten_indices()."
        raise BadData(what, where=state, cure=cure)
    return [folder / name for name in names]


def _are_names(names: list[Any]) -> bool:
    """Say whether these are names of files or folders, at least one, and none leads elsewhere."""
    return bool(names) and is_text(names) and not any({"/", "\0"} & set(name) for name in names)


def _class_names(path: Path) -> dict[str, list[Any]]:
    """The names that stand for numbers in each column of classes (`ClassLabel`)."""
    features = read_json(path, dict).get("features") if path.is_file() else None
    found = {}
    for column, kind in features.items() if isinstance(features, dict) else ():
        names = kind.get("names") if isinstance(kind, dict) else None
        if isinstance(names, list) and names and kind.get("_type") == "ClassLabel":
            found[column] = names
    return found


def _named(value: Any, names: list[Any]) -> Any:
    """A class's name for its number; other values as they are."""
    known = type(value) is int and 0 <= value < len(names)
    return names[value] if known else value


def _rows(
    path: Path, columns: str, classes: dict[str, list[Any]], unpacked: Path, below: str
) -> Iterator[Row]:
    number = 0
    for batch in _batches(path):
        try:
            wanted = columns_of(batch.schema.names, columns, path)
            values = {what: batch.column(name).to_pylist() for what, name in wanted.items()}
        except (ValueError, OverflowError) as error:  # names that are no text, dates that are none
            raise _damaged(path, error) from None
        for what, name in wanted.items():
            if name in classes:
                values[what] = [_named(value, classes[name]) for value in values[what]]
        for row in zip(*values.values(), strict=True):
            number += 1
            said = dict(zip(values, row, strict=True))
            said["image"] = _picture(said["image"], unpacked, below, path, number)
            yield Row(f"row {number}", said)


def _batches(path: Path) -> Iterator[Any]:
    """Batches of an Arrow stream, or of an Arrow file; only one is in memory at a time."""
    try:
        with pa.OSFile(str(path)) as source:
            for batch in _stream_or_file(source):
                batch.validate(full=True)  # damaged offsets would lead outside of the buffers
                yield batch
    except FileNotFoundError:
        cure = "Copy the whole folder again; state.json lists its files."
        raise BadData("is missing", where=path, cure=cure) from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> BadData:
    what = f"is not a whole Arrow file ({str(error).splitlines()[0][:80]})"
    return BadData(what, where=path, cure="Copy it again, or save the set again.")


def _stream_or_file(source: Any) -> Iterator[Any]:
    if source.read(6) != b"ARROW1":
        source.seek(0)
        yield from pa.ipc.open_stream(source)
        return
    reader = pa.ipc.open_file(source)
    for place in range(reader.num_record_batches):
        yield reader.get_batch(place)


def _picture(value: Any, unpacked: Path, below: str, path: Path, number: int) -> Any:
    """The picture's path; bytes inside the table become a file first."""
    if isinstance(value, dict) and not value.get("bytes"):
        return value.get("path")
    if not isinstance(value, dict):
        return value
    data = value["bytes"]
    kind = next((kind for head, kind in KINDS.items() if data.startswith(head)), None)
    if kind is None:
        what = f"row {number} has a picture of unknown kind, beginning with {data[:8].hex()}"
        raise BadData(what, where=path, cure="Use JPEG, PNG, GIF, WebP or BMP.")
    name = f"{hashlib.sha256(data).hexdigest()[:24]}.{kind}"
    file = unpacked / name
    try:
        unpacked.mkdir(exist_ok=True)
        if not file.is_file() or file.stat().st_size != len(data):
            file.with_suffix(".part").write_bytes(data)
            os.replace(file.with_suffix(".part"), file)
    except OSError as error:
        what = f"cannot be written to ({error.strerror}): the pictures lie inside the tables"
        cure = "Give a folder for them: images=FOLDER."
        raise BadData(what, where=unpacked, cure=cure) from None
    return below + name
