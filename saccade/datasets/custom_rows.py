"""Rows of somebody's own data, and the records that they become.

A row names an image, and a question with its answers, or captions, or both. Tables, Hugging Face
folders and layouts are read through here, so that the same rules hold for all.
"""

import ast
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import filterfalse
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadConfig, BadData, in_number
from saccade.data.find_files import is_absolute, tidy
from saccade.data.options import one_of
from saccade.data.reading import is_text, refuse_constant
from saccade.data.records import Caption, Collection, ImageRecord, Question, ReleasedId, Split
from saccade.data.splits import Drawing, as_drawing
from saccade.datasets.choices import by_letter, by_place, counted_from, is_among
from saccade.datasets.columns import listed
from saccade.text.answers import commonest_answer
from saccade.text.tokenizers import caption_words

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "valset", "vld"), "val"),
    **dict.fromkeys(("dev", "minival"), "val"),
    **dict.fromkeys(
        ("tst", "test", "testing", "testset", "testdev", "teststd", "testchallenge"), "test"
    ),
    **dict.fromkeys(("eval", "evaluate", "evaluation"), "test"),  # as Hugging Face's datasets says
    **dict.fromkeys(("训练", "训练集", "訓練", "訓練集"), "train"),
    **dict.fromkeys(("验证", "验证集", "校验集", "开发集", "驗證", "驗證集"), "val"),
    **dict.fromkeys(("测试", "测试集", "測試", "測試集"), "test"),
}


@lru_cache(maxsize=4096)  # asked for every row, of few names
def split_in(name: str) -> Split | None:
    """The split in the name of a file or folder: `val.csv`, `test-00000-of-00002`, `test-dev2015`.

    None where it has no split's word, or those of two splits.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()  # PublicTest
    joined = re.sub(r"(?<![a-z])test[^a-z]?(dev|std|challenge)", r"test\1", apart)
    words = re.split(r"[\W\d_]+", joined)
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def split_of_folder(path: str) -> Split | None:
    """The split that the last folder of a path that names one says: of `train/val`, val."""
    return next(filter(None, map(split_in, reversed(path.split("/")))), None)


def word_of_split(value: object) -> Split | None:
    """The split that the value of a column says."""
    word = str(value).strip()
    return SPLIT_WORDS.get(word.lower()) or split_in(word)


FLAGS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "y", "t"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "n", "f"), False),
}


def split_of_flag(column: str, value: object) -> Split | None:
    """The split that a flag says: `is_train` 1 is train, 0 val; `is_val` and `test` 0 is train."""
    of, flag = split_in(column), FLAGS.get(str(value).strip().lower())
    others = {*re.split(r"[\W\d_]+", column.lower())} - SPLIT_WORDS.keys()
    if of is None or flag is None or others - {"", "is", "in", "flag", "set", "split"}:
        return None  # `covid_test` is no flag of a split
    return of if flag else "val" if of == "train" else "train"


def refuse_unsaid_split(
    location: Path, column: str, values: Iterable[object], columns: Sequence[str] = ()
) -> None:
    """Raise BadConfig where a column that is not read has nothing but words of splits, or flags;
    `columns` are all of the file.
    """
    found, words, flags = False, True, split_of_flag(column, 1) is not None
    for value in filterfalse(_is_blank, values):
        words = words and isinstance(value, str) and " " not in value.strip()
        words = words and word_of_split(value) is not None
        flags = flags and split_of_flag(column, value) is not None
        if not (words or flags):
            return
        found = True
    if found:
        given = shlex.quote(f"columns=split:{column}")
        meant = f" (1 is {split_of_flag(column, 1)}, 0 is {split_of_flag(column, 0)})"
        hint = f"Say so: --option {given}{'' if words else meant}."
        if not words and len([name for name in columns if split_of_flag(name, 1)]) > 1:
            hint = "Write one column `split` with train, val and test."
        hint += " If it is something else: --option columns=split:."
        kind = "words of splits" if words else "flags that may be splits"
        message = f"has a column {column!r} with nothing but {kind}, which is not read"
        raise BadConfig(message, location=location, hint=hint)


class Row(NamedTuple):
    """One row: where it stands ("line 7" of a file), and its values by the names of `COLUMNS`."""

    location: Path
    place: str
    values: Mapping[str, Any]
    split: Split | None = None
    """What the name of its file says."""
    hint: str = ""
    """What to do where the layout's file is wrong about this row."""
    fault: str = ""
    """Why it has no values: "has 3 fields, line 1 has 4"."""
    columns: Sequence[str] = ()
    """All columns of its file, where these may have any name."""

    def refuse_fault(self) -> None:
        """Raise BadData for a row without values."""
        if self.fault:
            hint = "Quote a field that holds the separator, or fill what is missing."
            raise self.bad(self.fault, "" if self.hint else hint)

    def bad(self, message: str, hint: str) -> BadData:
        """The error about this row."""
        return BadData(
            f"{self.place} {message}", location=self.location, hint=f"{hint} {self.hint}".strip()
        )


class Cells(tuple[Any, ...]):
    """What several columns of a row hold that are one part of it."""

    __slots__ = ()


class RowRules(NamedTuple):
    """What the user says about rows: of no split, and of no use."""

    drawing: Drawing
    bad: str
    """"refuse" or "drop" (leave the row out, and count it)."""
    choices_from: str = ""
    """The number of the first of several choices, "0" or "1", where answers are such numbers."""


def as_rules(bad: str = "refuse", choices_from: str = "", **shares: Any) -> RowRules:
    """These options of a reader, which it takes as `**rules`. Raises BadConfig."""
    first = one_of("choices_from", str(choices_from), ("", "0", "1"))
    return RowRules(as_drawing(**shares), one_of("bad", bad, ("refuse", "drop")), first)


class _NamedRow(NamedTuple):
    """A row whose image and split could be read."""

    row: Row
    name: str
    split: Split | None
    drawn: bool = False
    """Was the split drawn, among all?"""


class _Found(NamedTuple):
    """What a row became; ids and image ids of its records are still open."""

    row: Row
    image: str
    split: Split
    question: Question | None
    captions: Sequence[Caption]
    wordless: int
    """Captions without a word."""
    drawn: bool


def collect(
    source: str,
    rows: Sequence[Row],
    find: Callable[[str], str],
    root: Path,
    rules: RowRules,
    notes: Sequence[str],
    licence: str = Collection.licence,
) -> Collection:
    """Turn the rows of all files of a data set into records. Raises BadData, naming the row, for
    one that lacks its image or answer, or holds no text, unless the rules leave it out.

    `find` gives the path, below the `root` of images, of an image's name in a row. Captions and
    questions without a word are left out and counted. Numbers are those of `id` and `image_id`
    where every row has its own, else places; what was released is kept beside them.
    """
    if not rows:
        hint = "Check --root: do the files there hold any rows?"
        raise BadData("there is not one row", location=root, hint=hint)
    refused: list[BadData] = []
    usable = partial(_usable, None if rules.bad == "refuse" else refused)
    named: list[_NamedRow] = usable(_named_row, rows)
    named, elsewhere = _follow_whole_paths(named, root, find)
    named, by_lists = _by_lists(named, root)
    named, by_folders = _by_folders(named)
    notes = [*notes, *elsewhere, *by_lists, *by_folders]
    every = not any(one.split for one in named)
    splits, drawn = _splits(named, rules.drawing)
    with_split = [
        one._replace(split=split, drawn=every) for one, split in zip(named, splits, strict=True)
    ]
    first = _choices_from(with_split, rules, root)
    found: list[_Found] = usable(partial(_records, first=first), with_split)
    _refuse_nothing_left(found, refused)
    image_ids, released = _image_ids(found)
    asked = [(one, one.question) for one in found if one.question]
    ids, released_too = _ids([one.row.values.get("id") for one, _ in asked])
    numbered = list(zip(ids, asked, strict=True))
    choices = {id_: texts for id_, (one, _) in numbered if (texts := tuple(_choices(one.row)))}
    captions = (
        caption._replace(image_id=image_ids[one.image]) for one in found for caption in one.captions
    )
    images = (ImageRecord(image_ids[one.image], find(one.image), one.split) for one in found)
    return Collection(
        source,
        str(root),
        list(dict.fromkeys(images)),
        [
            question._replace(id=id_, image_id=image_ids[one.image])
            for id_, (one, question) in numbered
        ],
        [caption._replace(id=place) for place, caption in enumerate(captions)],
        licence,
        notes=[*notes, *drawn, *_left_out(found, refused), *_strange(found)],
        choices={id_: tuple(filter(None, texts)) for id_, texts in choices.items()},
        released_ids=[*released, *released_too],
    )


def _refuse_nothing_left(found: Sequence[_Found], refused: Sequence[BadData]) -> None:
    """Raise the first error again where what is left has neither an answer nor a caption."""
    told = (one.captions or (one.question and one.question.answers) for one in found)
    if refused and not any(told):
        message, first = f"{refused[0].message}; no row is left", refused[0]
        raise BadData(message, location=first.location, hint=first.hint)


def _usable(
    refused: list[BadData] | None, check: Callable[[Any], Any], given: Sequence[Any]
) -> list[Any]:
    """What `check` makes of each, without what it refuses where there is a list for that."""
    kept = []
    for one in given:
        try:
            kept.append(check(one))
        except BadData as error:
            if refused is None:
                hint = f"{error.hint} --bad drop leaves such rows out."
                raise BadData(error.message, location=error.location, hint=hint) from None
            refused.append(error)
    return kept


def _left_out(found: Sequence[_Found], refused: Sequence[BadData]) -> list[str]:
    """The notes about rows, questions and captions that were left out."""
    without = [one for one in found if one.question is None]
    blank = [one for one in without if _is_blank(one.row.values.get("question"))]
    spoken = {one.image for one in found if one.question or one.captions}
    lost = {
        "captions have no word": sum(one.wordless for one in found),
        "questions have no word": len(without) - len(blank),
        "rows say nothing about their image": sum(
            one.image in spoken and not (one.captions or one.wordless) for one in blank
        ),
    }
    notes = [f"{count} {what} and were left out." for what, count in lost.items() if count]
    if refused:
        first = f"{refused[0].location}: {refused[0].message}"
        notes.append(f"{len(refused)} rows cannot be used and were left out; the first: {first}.")
    return list(map(in_number, notes))


def _strange(found: Sequence[_Found]) -> list[str]:
    """The note about questions of which the only answer is none of their choices."""
    strange = [
        f"{one.row.location}: {one.row.place} has {one.question.best_answer[:40]!r}"
        for one in found
        if one.question and len(set(one.question.answers)) == 1
        if (choices := _choices(one.row)) and not is_among(one.question.best_answer, choices)
    ]
    note = f"{len(strange)} answers are none of the choices of their questions; the first: "
    return [in_number(f"{note}{strange[0]}.")] if strange else []


def _image_ids(found: Sequence[_Found]) -> tuple[dict[str, int], list[ReleasedId]]:
    """The number of each image's name, and the ids that were released as text."""
    given: dict[str, Any] = {}
    for one in found:
        given.setdefault(one.image, one.row.values.get("image_id"))
    names = sorted(given)
    ids, released = _ids([given[name] for name in names], kind="image")
    return dict(zip(names, ids, strict=True)), released


def _ids(given: Sequence[Any], kind: str = "question") -> tuple[list[int], list[ReleasedId]]:
    """Whole numbers as they were released, where each is there once; else places, and what was
    released.
    """
    numbers = all(type(id_) is int and -(2**63) <= id_ < 2**63 for id_ in given)
    if numbers and len(set(given)) == len(given):
        return list(given), []
    released = [
        ReleasedId(kind, place, str(id_)) for place, id_ in enumerate(given) if id_ or id_ == 0
    ]
    return list(range(len(given))), released


def _named_row(row: Row) -> _NamedRow:
    """A row with its image and the split that it says."""
    row.refuse_fault()
    name, split = name_of(row), row.split
    if not _is_blank(word := row.values.get("split")):
        if (own := word_of_split(word)) is None:
            raise row.bad(f"is of split {str(word)[:30]!r}", "Write train, val or test.")
        if split not in (None, own):
            message = f"is of split {str(word)[:30]!r}, but the name of its file says {split}"
            hint = (
                "Mend one. Of a table say: --option columns=split:COLUMN, or columns=split: (name)."
            )
            raise row.bad(message, hint)
        split = own
    return _NamedRow(row, name, split)


def _splits(named: Sequence[_NamedRow], drawing: Drawing) -> tuple[list[Split | None], list[str]]:
    """The split of each row, and a note where some or all of them were drawn."""
    splits = [one.split for one in named]
    if not any(splits):
        of, note = drawing.draw(one.name for one in named)
        return [of[one.name] for one in named], [note]
    if None in splits or "val" in splits:
        return splits, []
    others = {one.name for one in named if one.split != "train"}
    held_out, note = drawing.draw_validation({one.name for one in named} - others)
    drawn: list[Split | None] = ["val" if one.name in held_out else one.split for one in named]
    return drawn, [f"No row is of split val: {note}"] if held_out else []


def _by_lists(named: list[_NamedRow], root: Path) -> tuple[list[_NamedRow], list[str]]:
    """The rows with the splits that lists beside them say, where they say none. And a note."""
    from saccade.datasets.lists_beside import splits_beside  # noqa: PLC0415 - it reads rows, too

    if any(one.split for one in named):
        return named, []
    texts = {one.row.location for one in named}
    homes = dict.fromkeys((root, *sorted({text.parent for text in texts})[:FEW]))
    split_of, files = splits_beside(homes, {one.name for one in named}, texts)
    if not files:
        return named, []
    note = f"The splits are those of {', '.join(file.name for file in files)}."
    return [one._replace(split=split_of[one.name]) for one in named], [note]


FEW = 10
"""Folders with files of rows, beside which lists of splits are looked for."""


def _by_folders(named: list[_NamedRow]) -> tuple[list[_NamedRow], list[str]]:
    """The rows with the splits that their images' folders are named after, where nothing else says
    a split and these are several. And a note.
    """
    if any(one.split for one in named):
        return named, []
    found = [split_of_folder(one.name.rpartition("/")[0]) for one in named]
    if None in found or len(set(found)) < 2:
        return named, []
    with_split = [one._replace(split=split) for one, split in zip(named, found, strict=True)]
    return with_split, ["The splits are those that the folders of the images are named after."]


def _records(one: _NamedRow, first: int | None) -> _Found:
    """What a row becomes. Raises BadData for one that has no split, or no answer."""
    row, split = one.row, one.split
    if split is None:
        raise row.bad("has no split, but others have", "Fill it in for every row.")
    cut = [(text, caption_words(text)) for text in _texts(row, "caption")]
    captions = [Caption(0, 0, text, words, split) for text, words in cut if words]
    wordless = len(cut) - len(captions)
    return _Found(row, one.name, split, _question(one, split, first), captions, wordless, one.drawn)


def _follow_whole_paths(
    named: list[_NamedRow], root: Path, find: Callable[[str], str]
) -> tuple[list[_NamedRow], list[str]]:
    """Whole paths are followed only into the folder of images, which the user can choose; those of
    another machine are cut until they lead there. And a note.
    """
    below = f"{root.as_posix().rstrip('/')}/"
    whole = [is_absolute(one.name) for one in named]
    outside = (n for n, one in enumerate(named) if whole[n] and not one.name.startswith(below))
    first = next(outside, None)
    if first is None or any(".." in one.name.split("/") for one in named):
        return named, []  # one that leads out of its own folder is refused by `data.checks`
    hint = "Name every image relative to one folder, or every one by its whole path."
    if all(whole):
        folders = {one.name.rpartition("/")[0] or "/" for one in named}
        with suppress(ValueError):  # several drives share no folder
            home = Path(os.path.commonpath(folders)).as_posix()
            given = shlex.quote(f"images={home}")
            hint = f"If these are the images that you mean, say so: --option {given}."
            if not os.path.isdir(home):
                if of := _by_tails({one.name for one in named}, home, root, find):
                    note = f"There is no folder {home} here: images were found by their last parts."
                    return [one._replace(name=of[one.name]) for one in named], [note]
                hint = f"There is no folder {home} here: give that of the images with "
                hint += "--option images=FOLDER; they are found there by the ends of their paths."
    name = repr(named[first].name)[:80]
    raise named[first].row.bad(f"names {name}, outside of the folder of images {root}", hint)


def _by_tails(names: set[str], home: str, root: Path, find: Callable[[str], str]) -> dict[str, str]:
    """The file of each whole path below `home`, where paths without some of their first folders
    lead to a file each, and no other such paths to others; else nothing.
    """
    found: list[dict[str, str]] = []
    for cut in range(1, len(home.rstrip("/").split("/")) + 1):
        of: dict[str, str] = {}
        for name in names:
            tail = "/".join(name.split("/")[cut:])
            places = {place for place in (find(tail), f"images/{tail}") if (root / place).is_file()}
            if len(places) != 1:
                break
            of[name] = places.pop()
        if len(of) == len(set(of.values())) == len(names):
            found.append(of)
    return found[0] if found and all(of == found[0] for of in found) else {}


def name_of(row: Row) -> str:
    """The name of a row's image. Raises BadData for what is none."""
    name = row.values.get("image")
    name = name[0] if isinstance(name, list) and len(name) == 1 else name
    if not is_text([name]) or not str(name).strip():
        hint = "Write the name of the image's file, relative to the folder of images."
        raise row.bad(f"names no image, but {repr(name)[:40]}", hint)
    if is_address(str(name)):
        hint = "Download the images first, and write the names of their files."
        raise row.bad(f"names no file, but the address {repr(name)[:60]}", hint)
    return tidy(str(name).strip().replace("\\", "/"))


def is_address(name: str) -> bool:
    """True where a text names no file, but an address of the web."""
    return re.match(r"\s*[a-z][a-z0-9+.]+://", name, re.I) is not None


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _question(named: _NamedRow, split: Split, first: int | None) -> Question | None:
    row = named.row
    if _is_blank(text := row.values.get("question")):
        return None
    if not is_text([text]):
        raise row.bad(f"asks {repr(text)[:40]}, which is no text", "Write it as text.")
    if not re.search(r"\w", str(text)):
        return None
    answers = _chosen(row, _texts(row, "answer"), first)
    best = next(iter(_chosen(row, _texts(row, "best_answer"), first)), "")
    answers = answers or ((best,) if best else ())
    if not answers and (named.drawn or split != "test"):
        hint = "Only questions that are said to be of split test may lack an answer."
        if row.columns and "answer" not in row.values:
            hint = f"No column of answers is known, of {listed(row.columns, 12)}. Say which it is: "
            hint += "--option columns=answer:NAME."
        raise row.bad(f"has no answer to {str(text)[:40]!r}", hint)
    if best and best not in answers:
        message = f"has the best answer {best[:40]!r}, which is none of its answers"
        raise row.bad(message, "Say which column holds the answers: --option columns=answer:NAME.")
    best = best or commonest_answer(answers)
    kinds = []
    for column in ("answer_type", "question_type"):
        value = row.values.get(column)
        if type(value) is float and not math.isfinite(value):
            raise row.bad(f"has the {column} {value}", "Leave it empty, or write a word.")
        kinds.append(str(value or "").strip())
    return Question(0, 0, str(text).strip(), split, answers, best, *kinds)


def _choices_from(named: Sequence[_NamedRow], rules: RowRules, root: Path) -> int | None:
    """How the choices are counted, where answers are places among them; see `counted_from`."""
    asked = []
    for row in (one.row for one in named if not _is_blank(one.row.values.get("choices"))):
        with suppress(BadData):  # `_records` refuses it
            if (choices := _choices(row)) and len(answers := _texts(row, "answer")) == 1:
                asked.append((answers[0], choices))
    try:
        return counted_from(asked, rules.choices_from)
    except BadConfig as error:
        raise BadConfig(error.message, location=root, hint=error.hint) from None


def _chosen(row: Row, answers: tuple[str, ...], first: int | None) -> tuple[str, ...]:
    """The answers; the choice, where the only one is the letter or the place of one."""
    if len(set(answers)) != 1 or not (choices := _choices(row)):
        return answers
    chosen = by_letter(answers[0], choices)
    if first is not None and (chosen := by_place(answers[0], choices, first)) is None:
        message = f"has the answer {answers[0]}, but {len(choices)} choices, counted from {first}"
        hint = "Mend it. If the answer is a number: --option columns=choices: (no such column)."
        raise row.bad(message, hint)
    return (chosen,) * len(answers) if chosen else answers


def _choices(row: Row) -> Sequence[str]:
    """The choices of a row, in order; "" for a column of its own that is empty."""
    given = row.values.get("choices")
    if isinstance(given, dict) and list(given) == list("ABCDEFGHIJ")[: len(given)]:
        given = Cells(given.values())
    if not isinstance(given, Cells):
        return _texts(row, "choices")
    return [
        next(iter(_texts_in(row, "choices", [cell] * (cell is not None))), "") for cell in given
    ]


def _texts(row: Row, column: str) -> tuple[str, ...]:
    """The texts of a part of a row, be it in one column or in several."""
    given = row.values.get(column)
    if not isinstance(given, Cells):
        return _texts_in(row, column, given)
    texts = (text for cell in given for text in _texts_in(row, column, cell))
    return tuple(dict.fromkeys(texts) if column == "caption" else texts)


A_LIST = r"""\s*\[\s*(?:["'{\[]|\]\s*$)"""
"""How a list of texts begins, or is empty. `[Figure 3] ...` and `[30]` are texts."""


def _parsed(given: str) -> Any:
    """A list in the form of JSON, or of Python, as pandas writes it (`['red', 'green']`)."""
    with suppress(json.JSONDecodeError, RecursionError):
        return json.loads(given, parse_constant=refuse_constant)
    if re.search(r"""['"]\s+['"]""", given):  # Python joins such texts, NumPy means several
        raise ValueError(given)
    return ast.literal_eval(given)


def _texts_in(row: Row, column: str, given: Any) -> tuple[str, ...]:
    """One text or several: set apart by bars, as a JSON list, or a list already."""
    if isinstance(given, dict):  # a Hugging Face sequence of records: a list for each field
        if column not in given:
            raise row.bad(f"has the {column} {repr(given)[:40]}", f"Write each {column} as text.")
        given = given[column]
    if isinstance(given, str) and re.match(A_LIST, given):
        try:
            given = _parsed(given.strip())
        except (ValueError, RecursionError, SyntaxError, MemoryError):
            hint = 'Write ["one", "two"] or one|two; quote a text that begins so, in a list of one.'
            raise row.bad(f"has a broken list: {given[:40]!r}", hint) from None
    if isinstance(given, str) and re.fullmatch(r"(?s)\s*(?:\{.*\}|\(.*\))\s*", given):
        with suppress(ValueError, RecursionError, SyntaxError, MemoryError):
            inside = _parsed(given.strip())  # (3, 4) is a text, as (left) is
            if isinstance(inside, dict) or _holds_text(inside):
                hint = f'Write each {column} as text: ["one", "one", "two"] or one|one|two.'
                kind = type(inside).__name__
                raise row.bad(f"has a {kind} as the {column}: {given.strip()[:40]!r}", hint)
    parts = given.split("|") if isinstance(given, str) else given
    parts = parts if isinstance(parts, list | tuple) else [] if parts is None else [parts]
    texts: list[Any] = [part.get(column) if isinstance(part, dict) else part for part in parts]
    for place, text in enumerate(texts):  # NaN and what has no end is neither number nor text
        if type(text) is int or (type(text) is float and math.isfinite(text)):
            texts[place] = str(text)
    if not is_text(texts):
        is_bool = any(type(text) is bool for text in texts)
        hint = 'Write "yes" or "no".' if is_bool else f"Write each {column} as text."
        raise row.bad(f"has the {column} {repr(given)[:40]}, which is no text", hint)
    return tuple(text.strip() for text in texts if text.strip() not in EMPTY)


EMPTY = ("", "nan", "NaN")
"""Texts of cells that hold nothing: so pandas writes one as text."""


def _holds_text(value: object) -> bool:
    return isinstance(value, tuple | set) and any(isinstance(one, str) for one in value)
