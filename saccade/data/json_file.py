"""Reading JSON that strangers wrote: what is wrong with a file is said once, here, in plain words.

Real sizes matter (VQA v2 has 444 thousand questions), so records are checked by column, not one by
one; only when a check fails is the guilty record looked for.
"""

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from saccade.core.errors import BadData
from saccade.data.text_file import COPY_AGAIN, read_text

Top = TypeVar("Top", dict[str, Any], list[Any])

KINDS = {dict: "an object {…}", list: "a list […]", str: "text", int: "a whole number"}


def read_json(
    path: Path, top: type[Top], *, object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> Top:
    """Read a JSON file, packed if its name ends in `.gz`; `top` is what it must be outermost.

    `object_hook` sees every object as soon as it is parsed, as in `json.loads`. Raises BadData for
    a file that is missing, empty, cut off, no UTF-8, no JSON, or of another outermost type.
    """
    text = read_text(path)
    try:
        with collector_paused():
            document = json.loads(text, parse_constant=refuse_constant, object_hook=object_hook)
    except json.JSONDecodeError as error:
        raise _no_json(path, text, error) from None
    except RecursionError:
        raise BadData("is nested too deeply to be data", where=path, cure=COPY_AGAIN) from None
    except ValueError as error:
        raise BadData(
            f"holds a number that JSON does not know: {error}",
            where=path,
            cure="Write null, or leave the record out, where there is no number.",
        ) from None
    if not isinstance(document, top):
        found = KINDS.get(type(document), f"a {type(document).__name__}")
        raise BadData(
            f"is {found} where {KINDS[top]} was expected; it looks like {looks_like(document)}",
            where=path,
            cure="Give the file that this source names; `saccade list sources` shows the layouts.",
        )
    return document


def refuse_constant(name: str) -> float:
    """For `parse_constant`: NaN and the infinities are no JSON. Raises ValueError."""
    raise ValueError(name)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let no cyclic garbage collector run meanwhile: where millions of records come into being it
    looks at all of them again and again, and none of them is garbage. What it was is restored.
    """
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def _no_json(path: Path, text: str, error: json.JSONDecodeError) -> BadData:
    """Tell a cut-off copy, a failed download and a typing mistake from each other."""
    if text.startswith("version https://git-lfs"):
        cure = "Fetch the real file with `git lfs pull`."
        return BadData("is a Git LFS pointer, not the file itself", where=path, cure=cure)
    if text.lstrip().startswith("<"):
        cure = "Open it to see what the server said, then download again."
        return BadData("is a web page, not JSON: a download that failed", where=path, cure=cure)
    cut_off = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
    if cut_off:
        what = f"breaks off in the middle, at character {len(text)}"
        return BadData(what, where=path, cure=COPY_AGAIN)
    what = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    return BadData(what, where=path, cure="Mend that place, or take the released file.")


LISTS = (
    ("VQA-RAD records", {"qid", "image_name"}),
    ("a result file (answers of a model)", {"answer"}),
    ("a result file (captions of a model)", {"caption"}),
)
OBJECTS: tuple[tuple[str, str, set[str]], ...] = (
    ("VQA questions", "questions", set()),
    ("COCO captions", "annotations", {"caption"}),
    ("VQA annotations", "annotations", {"answers"}),
    ("VQA annotations", "annotations", {"multiple_choice_answer"}),
    ("COCO objects (instances)", "annotations", {"bbox"}),
    ("Karpathy captions", "images", {"sentences"}),
    ("scenes of Shapes", "scenes", {"texture", "shapes"}),
    ("a COCO picture list without captions", "images", {"file_name"}),
)


def looks_like(document: object) -> str:
    """Name a parsed document in the user's words, for the messages about mixed-up files."""
    if isinstance(document, list):
        has = _first_fields(document)
        return next((name for name, fields in LISTS if fields <= has), "a bare list")
    if not isinstance(document, dict):
        return "a bare value"
    for name, key, fields in OBJECTS:
        if key in document and fields <= _first_fields(document[key]):
            return name
    names = ", ".join(list(document)[:4])
    return f"JSON with the fields {names}" if names else "an empty object"


def _first_fields(records: object) -> set[str]:
    first = records[0] if isinstance(records, list) and records else None
    return set(first) if isinstance(first, dict) else set()


def record_list(document: dict[str, Any], key: str, *, path: Path, expected: str) -> list[Any]:
    """Take the list `document[key]`; `expected` names the file that it should be.

    Raises BadData, saying what the file looks like instead, when the list is missing or empty.
    """
    records = document.get(key)
    if isinstance(records, list) and not records:
        raise BadData(f'its list "{key}" is empty', where=path, cure=COPY_AGAIN)
    found = looks_like(document)
    if not isinstance(records, list) or found != expected:
        raise BadData(
            f'should be {expected} with a list "{key}", but it looks like {found}',
            where=path,
            cure=_cure_for_mixed_files(found),
        )
    return records


def _cure_for_mixed_files(found: str) -> str:
    sources = {
        "COCO captions": "For captions, prepare the source coco-captions.",
        "VQA annotations": "For questions and answers, prepare the source vqa-v2 (or vqa-v1).",
        "VQA questions": "For questions and answers, prepare the source vqa-v2 (or vqa-v1).",
        "Karpathy captions": "For captions in this layout, prepare the source karpathy.",
        "VQA-RAD records": "For these, prepare the source vqa-rad.",
    }
    return sources.get(found, "`saccade list sources` shows the files that each source expects.")


def columns(
    records: Sequence[Any], fields: Mapping[str, type], *, path: Path, name: str, before: int = 0
) -> list[list[Any]]:
    """Turn records into one list per field, each value of exactly the type given in `fields`.

    `name` is what one record is called in messages ("question"), `before` says how many of the
    file came earlier. Raises BadData naming the first record that lacks a field, or holds a value
    of another type, a number beyond 64 bits, or text that is not Unicode.
    """
    try:
        table = [[record[field] for record in records] for field in fields]
    except (KeyError, TypeError):
        raise _first_bad(records, fields, path, name, before) from None
    for column, wanted in zip(table, fields.values(), strict=True):
        if set(map(type, column)) - {wanted} or not _storable(column, wanted):
            raise _first_bad(records, fields, path, name, before)
    return table


def _storable(column: Sequence[Any], wanted: type) -> bool:
    if wanted is int and column:
        return all(-(2**63) <= edge < 2**63 for edge in (min(column), max(column)))
    return wanted is not str or is_text(column)


def is_text(values: Sequence[Any]) -> bool:
    """Say whether all are strings that can be written as UTF-8 (JSON may hold half characters)."""
    try:
        "".join(values).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _first_bad(
    records: Sequence[Any], fields: Mapping[str, type], path: Path, name: str, before: int
) -> BadData:
    cure = "Mend or remove this record, or take the released file."
    for place, record in enumerate(records, start=before + 1):
        which = f"{name} number {place}"
        if not isinstance(record, dict):
            return BadData(f"{which} is not an object {{…}}", where=path, cure=cure)
        shown = next((f" ({key} {record[key]})" for key in fields if _is_id(key, record)), "")
        for field, wanted in fields.items():
            if field not in record:
                has = ", ".join(list(record)[:6])
                what = f'{which}{shown} has no field "{field}"; it has {has}'
                return BadData(what, where=path, cure=cure)
            value = record[field]
            if type(value) is not wanted or not _storable([value], wanted):
                what = f'"{field}" of {which}{shown} is {_shown(value)}, not {KINDS[wanted]}'
                return BadData(what, where=path, cure=cure)
    return BadData(f"a {name} cannot be read", where=path, cure=cure)


def _is_id(key: str, record: dict[str, Any]) -> bool:
    return key.endswith("id") and type(record.get(key)) is int


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def unique(ids: Sequence[int | str], *, path: Path, name: str) -> None:
    """Refuse a list in which a number stands twice; `name` is the field it comes from."""
    if len(set(ids)) < len(ids):
        twice = next(number for number, times in Counter(ids).items() if times > 1)
        raise BadData(
            f"{name} {twice} stands twice",
            where=path,
            cure="Keep one record of each; were two files put behind each other?",
        )
