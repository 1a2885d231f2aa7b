"""Rows of Arrow and Parquet files, a few at a time, however long the file is.

What Hugging Face's `datasets` writes beside the columns is used too: the names of classes, which
stand in the schema as `huggingface`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadData
from saccade.data.own_columns import columns_of
from saccade.data.own_rows import Row
from saccade.data.pictures_inside import PicturesInside

AT_ONCE = 64
"""Rows of a Parquet file that are handed out together; each may hold a picture of megabytes."""
BUFFER = 2**20
"""Bytes of a Parquet column that are read at once; else a row group would be in memory twice."""

Classes = Mapping[str, Sequence[Any]]
"""The names that stand for numbers in each column of classes (`ClassLabel`)."""


def read_rows(
    path: Path, columns: str, pictures: PicturesInside, classes: Classes | None = None
) -> Iterator[Row]:
    """Hand out the rows of a file; `columns` is the user's word about columns of other names.

    `pictures` writes out what lies inside; `classes` go before those that the file names. Raises
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
            said["image"] = pictures.name(said["image"], path, f"row {number}")
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
        raise BadData("is missing", where=path, cure="Copy the whole folder again.") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None


def _of_any_kind(source: Any, path: Path, columns: str) -> Iterator[Any]:
    """Batches of a Parquet file, an Arrow file, or an Arrow stream, by how it begins."""
    head = source.read(24)
    source.seek(0)
    if head.startswith(b"version https://git-lfs"):
        cure = "Fetch the real file with `git lfs pull`."
        raise BadData("is a Git LFS pointer, not the file itself", where=path, cure=cure)
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
    what = f"is not a whole {kind} file ({str(error).splitlines()[0][:80]})"
    return BadData(what, where=path, cure="Copy it again from where it came.")
