"""Records as Arrow tables and back: a column per field, repeated text kept once."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, cast

import pyarrow as pa

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


def to_table(records: Sequence[tuple[Any, ...]], fields: Sequence[str]) -> pa.Table:
    """Lay out at least one record of `saccade.records`; `fields` are its kind's `_fields`."""
    schema = pa.schema([(field, _KIND[field]) for field in fields])
    values = zip(*records, strict=True)
    columns = [pa.array(column, kind) for column, kind in zip(values, schema.types, strict=True)]
    return pa.table(columns, schema)


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
