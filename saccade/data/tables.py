"""Records as Arrow tables and back: a column per field, repeated text kept once."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 2**17
"""Records that are laid out at a time; each lot is a row group of the file."""

_SHARED = pa.dictionary(pa.int32(), pa.string())
_KIND = {
    "id": pa.int64(),
    "image_id": pa.int64(),
    "text": pa.string(),
    "file": pa.string(),
    "split": _SHARED,
    "answers": pa.list_(_SHARED),
    "words": pa.list_(_SHARED),
    "best_answer": _SHARED,
    "answer_type": _SHARED,
    "question_type": _SHARED,
    "choices": pa.list_(_SHARED),
    "question_id": pa.int64(),
    "other_id": pa.int64(),
}


def write_table(path: Path, records: Sequence[tuple[Any, ...]], fields: Sequence[str]) -> None:
    """Write records of `saccade.records` as Parquet; `fields` are their kind's `_fields`.

    They are laid out `ROWS` at a time, so little is held beside them, however many there are.
    """
    schema = pa.schema([(field, _KIND[field]) for field in fields])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(records), ROWS):
            some = records[start : start + ROWS]
            columns = [
                pa.array([record[place] for record in some], kind)
                for place, kind in enumerate(schema.types)
            ]
            writer.write_table(pa.table(columns, schema))


def to_rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    """Hand out rows in which equal texts are one object, so that records stay small."""
    return zip(*(_values(column.combine_chunks()) for column in table.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        words = column.dictionary.to_pylist()
        return [words[index] for index in column.indices.to_pylist()]
    if pa.types.is_list(column.type):
        flat = iter(_values(column.flatten()))
        return [tuple(islice(flat, length)) for length in column.value_lengths().to_pylist()]
    return cast(list[Any], column.to_pylist())
