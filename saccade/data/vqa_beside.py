"""Two things that VQA's releases say beside questions and answers: choices, and balanced pairs."""

from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.find_files import files_like
from saccade.data.reading import columns, is_text, read_json

PAIRS = r"v2_(?:mscoco_)?[a-z0-9-]+_complementary_pairs\.json(?:\.gz)?"


def the_choices(records: list[Any], path: Path) -> dict[int, tuple[str, ...]]:
    """What each question offers (`multiple_choices`, 18 in VQA v1), by question id.

    Raises BadData for questions that offer nothing, or something else than text.
    """
    fields = {"question_id": int, "multiple_choices": list}
    ids, offered = columns(records, fields, path=path, name="question")
    for number, texts in zip(ids, offered, strict=True):
        if not texts or not is_text(texts):
            what = f"the choices of question {number} are {ascii(texts)[:60]}, not a list of texts"
            raise BadData(what, where=path, cure="Take the released multiple-choice file.")
    return {number: tuple(texts) for number, texts in zip(ids, offered, strict=True)}


def read_complementary_pairs(root: Path) -> list[tuple[int, int]]:
    """The pairs of question ids of every `v2_mscoco_*_complementary_pairs.json` below `root`.

    Raises BadData for anything but a list of two numbers each.
    """
    pairs: list[tuple[int, int]] = []
    for path in files_like(root, PAIRS):
        for place, pair in enumerate(read_json(path, list), start=1):
            if not isinstance(pair, list) or [type(number) for number in pair] != [int, int]:
                what = f"pair number {place} is {ascii(pair)[:40]}, not two question ids"
                cure = "Take the released file: a list of [question_id, question_id]."
                raise BadData(what, where=path, cure=cure)
            pairs.append((pair[0], pair[1]))
    return pairs
