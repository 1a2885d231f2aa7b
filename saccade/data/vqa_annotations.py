"""The annotations file of VQA v1 and v2: ten human answers to each question."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from saccade.core.errors import BadData
from saccade.data.reading import COPY_AGAIN, columns, is_text, read_json, record_list, unique

ANNOTATION_FIELDS = {
    "question_id": int,
    "image_id": int,
    "question_type": str,
    "answer_type": str,
    "multiple_choice_answer": str,
    "answers": list,
}


def read_annotations(
    path: Path, subtype: str, questions: Path, ids: list[int], image_ids: list[int]
) -> list[list[Any]]:
    """Give answers, best answer, answer type and question type: a list of each, in the order of
    `ids`, the questions, which are about `image_ids` and of the part `subtype` ("train2014").

    Raises BadData when the file at `path` does not answer exactly these questions.
    """
    document = read_json(path, dict, object_hook=_answer_pairs())
    records = record_list(document, "annotations", path=path, expected="VQA annotations")
    own = str(document.get("data_subtype") or "")
    if own and subtype and own != subtype:
        raise BadData(
            f"is of {own}, but {questions.name} is of {subtype}",
            where=path,
            cure="Give questions and annotations of the same split.",
        )
    table = columns(records, ANNOTATION_FIELDS, path=path, name="annotation")
    theirs, about, question_types, answer_types, best, given = table
    unique(theirs, path=path, name="question_id")
    columns_out: list[list[Any]] = [
        _answers(given, theirs, path),
        list(map(sys.intern, best)),
        list(map(sys.intern, answer_types)),
        list(map(sys.intern, question_types)),
    ]
    if theirs != ids:  # released files have equal order; others may have any
        row_of = {number: row for row, number in enumerate(theirs)}
        _same_questions(ids, row_of, path, questions)
        rows = [row_of[number] for number in ids]
        about = [about[row] for row in rows]
        columns_out = [[column[row] for row in rows] for column in columns_out]
    if about != image_ids:
        row = next(row for row, image in enumerate(about) if image != image_ids[row])
        raise BadData(
            f"says that question {ids[row]} is about picture {about[row]}; "
            f"{questions.name} says {image_ids[row]}",
            where=path,
            cure="The two files are not a pair: take both from the same release.",
        )
    return columns_out


def _same_questions(
    ids: Sequence[int], row_of: dict[int, int], path: Path, questions: Path
) -> None:
    asked = set(ids)
    unanswered = [number for number in ids if number not in row_of]
    unasked = [number for number in row_of if number not in asked]
    cure = f"Are both of the same split and release? The other file is {questions.name}."
    if len(unanswered) == len(ids):
        what = f"shares no question with {questions.name}: they are of different splits"
        raise BadData(what, where=path, cure="Give questions and annotations of the same split.")
    if unanswered:
        what = f"has no annotation for {len(unanswered)} questions, the first is {unanswered[0]}"
        raise BadData(what, where=path, cure=cure)
    if unasked:
        what = f"answers {len(unasked)} questions that nobody asked, the first is {unasked[0]}"
        raise BadData(what, where=path, cure=cure)


def _answer_pairs() -> Callable[[dict[str, Any]], Any]:
    """Shrink each `{answer, answer_confidence, answer_id}` to a shared pair as it is parsed.

    VQA v2 has 4.4 million of them; as objects they would take more than a gigabyte.
    """
    seen: dict[tuple[Any, Any], tuple[Any, Any]] = {}

    def shrink(record: dict[str, Any]) -> Any:
        if "answer" not in record or "question_id" in record:
            return record
        pair = (record["answer"], record.get("answer_id"))
        try:
            return seen.setdefault(pair, pair)
        except TypeError:  # an answer that is a list or an object: `_checked` refuses it
            return pair

    return shrink


def _answers(given: Sequence[list[Any]], ids: Sequence[int], path: Path) -> list[tuple[str, ...]]:
    """Human answers as tuples; questions with equal answers share one."""
    known: dict[tuple[Any, ...], tuple[str, ...]] = {}
    answers = []
    for number, pairs in zip(ids, map(tuple, given), strict=True):
        try:
            checked = known.get(pairs)
        except TypeError:
            checked = None
        if checked is None:
            checked = known[pairs] = _checked(pairs, number, path)
        answers.append(checked)
    return answers


def _checked(pairs: tuple[Any, ...], number: int, path: Path) -> tuple[str, ...]:
    if not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        what = f"the answers of question {number} are not a list of {{answer, answer_id}}"
        raise BadData(what, where=path, cure="Write them as the released annotations do.")
    for text, place in pairs:
        if not is_text([text]):
            what = f"an answer to question {number} is {text!a}, not text"
            raise BadData(what, where=path, cure='Write every answer in quotes: "3", not 3.')
        if type(place) not in (int, NoneType):
            what = f"an answer_id of question {number} is {place!a}, not a whole number"
            raise BadData(what, where=path, cure=f"Number them 1 to {len(pairs)}.")
    places = [place for _, place in pairs if place is not None]
    if len(set(places)) != len(places):
        what = f"question {number} has two answers of the same answer_id"
        raise BadData(what, where=path, cure=f"Number them 1 to {len(pairs)}. {COPY_AGAIN}")
    return tuple(sys.intern(text) for text, _ in pairs)
