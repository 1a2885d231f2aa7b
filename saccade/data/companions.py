"""What some data sets say beside their questions: choices to pick from, and balanced pairs.

    choices.parquet    question_id, choices         multiple choice: what is offered (VQA v1: 18)
    pairs.parquet      question_id, other_id        VQA v2: one question, two pictures, two answers

Training does not need them; who scores multiple choice or consistency over pairs reads them here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadData
from saccade.data.tables import to_rows
from saccade.records import Collection

CHOICES, PAIRS = "choices.parquet", "pairs.parquet"


class Companion(NamedTuple):
    """A table to be written beside the questions."""

    file: str
    records: Sequence[tuple[Any, ...]]
    fields: tuple[str, ...]


def companions(collection: Collection) -> list[Companion]:
    """The tables that a collection needs; what is about questions it no longer has is left out."""
    ids = {question.id for question in collection.questions}
    choices = [(id_, offered) for id_, offered in collection.choices.items() if id_ in ids]
    pairs = [pair for pair in collection.pairs if ids.issuperset(pair)]
    tables = (
        Companion(CHOICES, choices, ("question_id", "choices")),
        Companion(PAIRS, pairs, ("question_id", "other_id")),
    )
    return [table for table in tables if table.records]


def read_choices(folder: Path) -> dict[int, tuple[str, ...]]:
    """What each question of a data folder offers; empty for an open-ended set."""
    return dict(_rows(folder / CHOICES))


def read_balanced_pairs(folder: Path) -> list[tuple[int, int]]:
    """The balanced pairs of question ids of a data folder; empty where none are known."""
    return [(one, other) for one, other in _rows(folder / PAIRS)]


def _rows(path: Path) -> list[tuple[Any, ...]]:
    if not path.is_file():
        return []
    try:
        return list(to_rows(pq.read_table(path).unify_dictionaries().combine_chunks()))
    except (pa.ArrowException, OSError) as error:
        what = f"is not whole ({str(error).splitlines()[0][:80]})"
        raise BadData(what, where=path, cure="Prepare the data folder again.") from None
