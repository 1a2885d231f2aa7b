"""Records as Parquet tables; repeated text (answers, words, splits) is kept once, as dictionaries.

A VQA v2 question takes about 150 bytes in memory.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from saccade.core.errors import BadData

ROWS = 2**17
"""Records that are laid out at a time; each lot is a row group of the file."""

_SHARED = pa.dictionary(pa.int32(), pa.string())
_TYPES = {
    **dict.fromkeys(("id", "image_id", "question_id", "other_id"), pa.int64()),
    **dict.fromkeys(("text", "file"), pa.string()),
    **dict.fromkeys(("answers", "words", "choices", "objects"), pa.list_(_SHARED)),
}
"""Arrow types of the columns; those that are not here hold text that is repeated."""


def write_table(path: Path, records: Sequence[tuple[Any, ...]], fields: Sequence[str]) -> None:
    """Write records as Parquet, a column for each of `fields`.

    They are laid out `ROWS` at a time, so little is held beside them, however many there are.
    """
    schema = pa.schema([(field, _TYPES.get(field, _SHARED)) for field in fields])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(records), ROWS):
            some = records[start : start + ROWS]
            columns = [
                pa.array([record[place] for record in some], kind)
                for place, kind in enumerate(schema.types)
            ]
            writer.write_table(pa.table(columns, schema))


def read_table(path: Path, hint: str, split: str | None = None) -> pa.Table:
    """A table, or its rows of one split. Raises BadData, with that hint, for a file that is missing
    or not whole.
    """
    filters = [("split", "=", split)] if split else None
    try:
        table = pq.read_table(path, memory_map=True, filters=filters)
    except FileNotFoundError:
        raise BadData("is missing", location=path, hint=hint) from None
    except (pa.ArrowException, OSError) as error:
        message = f"is not whole ({str(error).splitlines()[0][:80]})"
        raise BadData(message, location=path, hint=hint) from None
    return table.unify_dictionaries().combine_chunks()


def to_rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    """Rows of a table in which equal texts are one object, so that records stay small."""
    return zip(*(_values(column.combine_chunks()) for column in table.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        words = column.dictionary.to_pylist()
        return [words[index] for index in column.indices.to_pylist()]
    if pa.types.is_list(column.type):
        flat = iter(_values(column.flatten()))
        return [tuple(islice(flat, length)) for length in column.value_lengths().to_pylist()]
    return cast(list[Any], column.to_pylist())


def answered(questions: pa.Table) -> pa.Table:
    """The questions that somebody answered."""
    people = pc.list_value_length(questions.column("answers"))
    return questions.filter(pc.greater(people, 0))


def count(column: pa.ChunkedArray) -> dict[str, int]:
    """Counts of the values in a column of texts, or of lists of texts, in order of first use."""
    values = column.combine_chunks()
    flat = values.flatten() if pa.types.is_list(values.type) else values
    counts = flat.value_counts()  # in order of first use: a test holds the library to it
    return dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))
