"""Rows that somebody made of their own data, and what a row says.

A row names a picture, and a question with its answers, or captions, or both. Tables and Hugging
Face folders are read through here, so that the same rules hold for both.
"""

import json
import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import is_absolute
from saccade.data.reading import is_text, refuse_constant
from saccade.data.records import Caption, Collection, Picture, Question, Split
from saccade.data.splits import Drawing, draw
from saccade.text.vocabulary import caption_words

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ENDINGS = ("", ".jpg", ".jpeg", ".png", ".JPG", ".webp", ".bmp")
"""Tried behind a picture's name, in this order: many tables leave the ending out."""


def split_in(name: str) -> Split | None:
    """What the name of a file or folder says: `val.csv`, `my_train.json`, `test-00000-of-00002`."""
    words = re.split(r"[^a-z]+", name.lower())
    said = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return said.pop() if len(said) == 1 else None


class Row(NamedTuple):
    """One row, by the names of `own_columns.COLUMNS`, and where it stands, for messages."""

    place: str
    values: Mapping[str, Any]


@dataclass
class Own:
    """Everything found in somebody's rows, gathered file by file."""

    find: Callable[[str], str]
    """From a picture's name in a row to its path below the root of pictures."""
    drawing: Drawing
    """For rows that say no split."""
    rows: list[tuple[Path, Row, Split | None]] = field(default_factory=list)

    def take(self, where: Path, rows: Iterable[Row], split: Split | None = None) -> None:
        """Take all rows of a file; `split` is what the file's name says."""
        self.rows += [(where, row, split) for row in rows]

    def collection(self, source: str, root: str, notes: Sequence[str] = ()) -> Collection:
        """Turn all rows into records. Raises BadData, naming the row, for one that says nothing,
        lacks its picture or answer, or holds no text.
        """
        if not self.rows:
            cure = "Check --root: do the files there hold any rows?"
            raise BadData("there is not one row", where=root, cure=cure)
        names = [_name(where, row) for where, row, _ in self.rows]
        self._refuse_paths_elsewhere(names, Path(root))
        numbers = {name: place for place, name in enumerate(sorted(set(names)))}
        splits = [split or _split(where, row) for where, row, split in self.rows]
        notes = list(notes)
        if not any(splits):
            drawn = self.drawing.draw(numbers)
            splits = [drawn[name] for name in names]
            notes.append(self.drawing.told(drawn))
        elif all(splits) and "val" not in splits and self.drawing.shares["val"]:
            splits = self._with_validation(names, splits, notes)
        pictures: dict[Picture, None] = {}
        questions: list[Question] = []
        captions: list[Caption] = []
        for (where, row, _), name, split in zip(self.rows, names, splits, strict=True):
            if split is None:
                raise _bad(where, row, "has no split, but others have", "Fill it in for every row.")
            number = numbers[name]
            pictures[Picture(number, self.find(name), split)] = None
            question = _question(where, row, len(questions), number, split)
            spoken = _captions(where, row, len(captions), number, split)
            if question:
                questions.append(question)
            captions += spoken
            if not question and not spoken:
                cure = "Give it a question with an answer, or a caption, or leave the row out."
                raise _bad(where, row, "says nothing about its picture", cure)
        return Collection(source, root, list(pictures), questions, captions, notes=notes)

    def _refuse_paths_elsewhere(self, names: Sequence[str], root: Path) -> None:
        """Whole paths are followed only into the folder of pictures, which the user can choose."""
        below = f"{root.as_posix().rstrip('/')}/"
        places = [n for n, name in enumerate(names) if is_absolute(name)]
        first = next((n for n in places if not names[n].startswith(below)), None)
        if first is None or any(".." in name.split("/") for name in names):
            return  # one that leads out of its own folder is refused by `data.checks`
        home = _common_folder(names) if len(places) == len(names) else ""
        cure = "Name every picture relative to one folder, or every one by its whole path."
        if home and not os.path.isdir(home):
            cure = f"There is no folder {home} here: name the pictures relative to theirs."
        elif home:
            given = shlex.quote(f"images={home}")
            cure = f"If these are the pictures that you mean, say so: --option {given}."
        where, row, _ = self.rows[first]
        what = f"names {ascii(names[first])[:80]}, outside of the folder of pictures {root}"
        raise _bad(where, row, what, cure)

    def _with_validation(
        self, names: Sequence[str], splits: Sequence[Split | None], notes: list[str]
    ) -> list[Split | None]:
        """The splits of all rows, some of the training pictures being for validation now."""
        others = {name for name, split in zip(names, splits, strict=True) if split != "train"}
        share, seed = self.drawing.shares["val"], self.drawing.seed
        drawn = draw(set(names) - others, {"val": share}, seed)
        if held_out := sum(split == "val" for split in drawn.values()):
            notes.append(
                f"No row is of split val: {held_out} of {len(drawn)} training pictures, drawn with "
                f"seed {seed}, are the validation split, with all that belongs to them "
                f"(--option val_share={share:g}; 0 draws none)."
            )
        return [drawn.get(name, split) for name, split in zip(names, splits, strict=True)]


def _common_folder(names: Sequence[str]) -> str:
    """Where files lie, all of them named by whole paths; empty where they share no folder."""
    try:
        return Path(
            os.path.commonpath({name.rpartition("/")[0] or "/" for name in names})
        ).as_posix()
    except ValueError:  # several drives
        return ""


def _name(where: Path, row: Row) -> str:
    name = row.values.get("image")
    if not is_text([name]) or not str(name).strip():
        cure = "Write the name of the picture's file, relative to the folder of pictures."
        raise _bad(where, row, f"names no picture, but {ascii(name)[:40]}", cure)
    if re.match(r"[a-z][a-z0-9+.]+://", str(name).strip(), re.I):
        cure = "Download the pictures first, and write the names of their files."
        raise _bad(where, row, f"names no file, but the address {ascii(name)[:60]}", cure)
    return str(name).strip().replace("\\", "/").removeprefix("./")


def _split(where: Path, row: Row) -> Split | None:
    word = row.values.get("split")
    if word is None or (isinstance(word, str) and not word.strip()):
        return None
    split = SPLIT_WORDS.get(str(word).strip().lower())
    if split is None:
        cure = "Write train, val or test."
        raise _bad(where, row, f"is of split {str(word)[:30]!a}", cure)
    return split


def _question(where: Path, row: Row, id_: int, image: int, split: Split) -> Question | None:
    text = row.values.get("question")
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    if not is_text([text]):
        raise _bad(where, row, f"asks {ascii(text)[:40]}, which is no text", "Write it as text.")
    answers = _texts(where, row, "answer")
    if not answers and split != "test":
        cure = "Only questions of split test may lack an answer."
        raise _bad(where, row, f"has no answer to {str(text)[:40]!a}", cure)
    best = Counter(answers).most_common(1)[0][0] if answers else ""
    kinds = (_kind(where, row, what) for what in ("answer_type", "question_type"))
    return Question(id_, image, str(text).strip(), split, answers, best, *kinds)


def _kind(where: Path, row: Row, what: str) -> str:
    value = row.values.get(what)
    if type(value) is float and not math.isfinite(value):
        raise _bad(where, row, f"has the {what} {value}", "Leave it empty, or write a word.")
    return str(value or "").strip()


def _captions(where: Path, row: Row, first: int, image: int, split: Split) -> list[Caption]:
    found: list[Caption] = []
    for text in _texts(where, row, "caption"):
        words = caption_words(text)
        if not words:
            raise _bad(where, row, f"has a caption without a word: {text[:40]!a}", "Leave it out.")
        found.append(Caption(first + len(found), image, text, words, split))
    return found


def _texts(where: Path, row: Row, what: str) -> tuple[str, ...]:
    """One text or several: set apart by bars, as a JSON list, or a list already."""
    given = row.values.get(what)
    if isinstance(given, dict):  # a Hugging Face sequence of records: a list for each field
        given = given.get(what)
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given, parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            cure = f'Write ["one", "two"] or one|two; quote a {what} that begins with a bracket.'
            raise _bad(where, row, f"has a broken list: {given[:40]!a}", cure) from None
    parts = given.split("|") if isinstance(given, str) else given
    parts = parts if isinstance(parts, list | tuple) else [] if parts is None else [parts]
    texts: list[Any] = [part.get(what) if isinstance(part, dict) else part for part in parts]
    texts = [_number_as_text(text) for text in texts]
    if not is_text(texts):
        truth = any(type(text) is bool for text in texts)
        cure = 'Write "yes" or "no".' if truth else f"Write each {what} as text."
        raise _bad(where, row, f"has the {what} {ascii(given)[:40]}, which is no text", cure)
    return tuple(text.strip() for text in texts if text.strip())


def _number_as_text(value: object) -> object:
    """A number as people write it; what is no number (NaN) or has no end is no text either."""
    is_number = type(value) is int or (type(value) is float and math.isfinite(value))
    return str(value) if is_number else value


def _bad(where: Path, row: Row, what: str, cure: str) -> BadData:
    return BadData(f"{row.place} {what}", where=where, cure=cure)
