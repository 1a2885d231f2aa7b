"""Rows of somebody's own data: their columns, their files, and the records that they become.

A row names an image, and a question with its answers, or captions, or both. Tables and Hugging
Face folders are read through here, so that the same rules hold for both.
"""

import csv
import io
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import is_absolute
from saccade.data.reading import (
    NAMES_IT,
    is_text,
    read_json,
    read_lines,
    read_start,
    read_table,
    refuse_constant,
)
from saccade.data.records import Caption, Collection, ImageRecord, Question, Split
from saccade.data.splits import Drawing
from saccade.text.answers import commonest_answer
from saccade.text.tokenizers import caption_words

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "训练", "训练集", "訓練", "訓練集"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("验证", "验证集", "校验集", "开发集", "驗證", "驗證集"), "val"),
    **dict.fromkeys(("test", "testing", "测试", "测试集", "測試", "測試集"), "test"),
}
ENDINGS = ("", ".jpg", ".jpeg", ".png", ".JPG", ".webp", ".bmp")
"""Tried behind an image's name, in this order: many tables leave the ending out."""


def split_in(name: str) -> Split | None:
    """The split in the name of a file or folder: `val.csv`, `test-00000-of-00002`."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


class Row(NamedTuple):
    """One row: where it stands ("line 7" of a file), and its values by the names of `COLUMNS`."""

    location: Path
    place: str
    values: Mapping[str, Any]
    split: Split | None = None
    """What the name of its file says."""

    def bad(self, message: str, hint: str) -> BadData:
        """The error about this row."""
        return BadData(f"{self.place} {message}", location=self.location, hint=hint)


def collect(
    source: str,
    rows: Sequence[Row],
    find: Callable[[str], str],
    root: Path,
    drawing: Drawing,
    notes: Sequence[str],
    licence: str = Collection.licence,
) -> Collection:
    """Turn the rows of all files of a data set into records. Raises BadData, naming the row, for
    one that says nothing, lacks its image or answer, or holds no text.

    `find` gives the path, below the `root` of images, of an image's name in a row; `drawing` is for
    rows that say no split.
    """
    if not rows:
        hint = "Check --root: do the files there hold any rows?"
        raise BadData("there is not one row", location=root, hint=hint)
    names = [_name(row) for row in rows]
    _refuse_paths_elsewhere(rows, names, root)
    numbers = {name: place for place, name in enumerate(sorted(set(names)))}
    splits, drawn = _splits(rows, names, drawing)
    images: dict[ImageRecord, None] = {}
    questions: list[Question] = []
    captions: list[Caption] = []
    for row, name, split in zip(rows, names, splits, strict=True):
        if split is None:
            raise row.bad("has no split, but others have", "Fill it in for every row.")
        number, before = numbers[name], len(questions) + len(captions)
        images[ImageRecord(number, find(name), split)] = None
        if question := _question(row, len(questions), number, split):
            questions.append(question)
        for text in _texts(row, "caption"):
            words = caption_words(text)
            if not words:
                raise row.bad(f"has a caption without a word: {text[:40]!a}", "Leave it out.")
            captions.append(Caption(len(captions), number, text, words, split))
        if len(questions) + len(captions) == before:
            hint = "Give it a question with an answer, or a caption, or leave the row out."
            raise row.bad("says nothing about its image", hint)
    records = list(images), questions, captions, licence
    return Collection(source, str(root), *records, notes=[*notes, *drawn])


def _splits(
    rows: Sequence[Row], names: Sequence[str], drawing: Drawing
) -> tuple[list[Split | None], list[str]]:
    """The split of each row, and a note where some or all of them were drawn."""
    splits: list[Split | None] = []
    for row in rows:
        split, word = row.split, row.values.get("split")
        if split is None and not _is_blank(word):
            split = SPLIT_WORDS.get(str(word).strip().lower())
            if split is None:
                raise row.bad(f"is of split {str(word)[:30]!a}", "Write train, val or test.")
        splits.append(split)
    if not any(splits):
        of, note = drawing.draw(names)
        return [of[name] for name in names], [note]
    if not all(splits) or "val" in splits:
        return splits, []
    others = {name for name, split in zip(names, splits, strict=True) if split != "train"}
    held_out, note = drawing.draw_validation(set(names) - others)
    for place, name in enumerate(names):
        if name in held_out:
            splits[place] = "val"
    return splits, [f"No row is of split val: {note}"] if held_out else []


def _refuse_paths_elsewhere(rows: Sequence[Row], names: Sequence[str], root: Path) -> None:
    """Whole paths are followed only into the folder of images, which the user can choose."""
    below = f"{root.as_posix().rstrip('/')}/"
    whole = [is_absolute(name) for name in names]
    outside = (n for n, name in enumerate(names) if whole[n] and not name.startswith(below))
    first = next(outside, None)
    if first is None or any(".." in name.split("/") for name in names):
        return  # one that leads out of its own folder is refused by `data.checks`
    hint = "Name every image relative to one folder, or every one by its whole path."
    if all(whole):
        folders = {name.rpartition("/")[0] or "/" for name in names}
        with suppress(ValueError):  # several drives share no folder
            home = Path(os.path.commonpath(folders)).as_posix()
            given = shlex.quote(f"images={home}")
            hint = f"If these are the images that you mean, say so: --option {given}."
            if not os.path.isdir(home):
                hint = f"There is no folder {home} here: name the images relative to theirs."
    message = f"names {ascii(names[first])[:80]}, outside of the folder of images {root}"
    raise rows[first].bad(message, hint)


def _name(row: Row) -> str:
    name = row.values.get("image")
    if not is_text([name]) or not str(name).strip():
        hint = "Write the name of the image's file, relative to the folder of images."
        raise row.bad(f"names no image, but {ascii(name)[:40]}", hint)
    if re.match(r"[a-z][a-z0-9+.]+://", str(name).strip(), re.I):
        hint = "Download the images first, and write the names of their files."
        raise row.bad(f"names no file, but the address {ascii(name)[:60]}", hint)
    return str(name).strip().replace("\\", "/").removeprefix("./")


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _question(row: Row, id_: int, image: int, split: Split) -> Question | None:
    if _is_blank(text := row.values.get("question")):
        return None
    if not is_text([text]):
        raise row.bad(f"asks {ascii(text)[:40]}, which is no text", "Write it as text.")
    answers = _texts(row, "answer")
    if not answers and split != "test":
        hint = "Only questions of split test may lack an answer."
        raise row.bad(f"has no answer to {str(text)[:40]!a}", hint)
    best = commonest_answer(answers)
    kinds = []
    for column in ("answer_type", "question_type"):
        value = row.values.get(column)
        if type(value) is float and not math.isfinite(value):
            raise row.bad(f"has the {column} {value}", "Leave it empty, or write a word.")
        kinds.append(str(value or "").strip())
    return Question(id_, image, str(text).strip(), split, answers, best, *kinds)


def _texts(row: Row, column: str) -> tuple[str, ...]:
    """One text or several: set apart by bars, as a JSON list, or a list already."""
    given = row.values.get(column)
    if isinstance(given, dict):  # a Hugging Face sequence of records: a list for each field
        given = given.get(column)
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given, parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            hint = f'Write ["one", "two"] or one|two; quote a {column} that begins with a bracket.'
            raise row.bad(f"has a broken list: {given[:40]!a}", hint) from None
    parts = given.split("|") if isinstance(given, str) else given
    parts = parts if isinstance(parts, list | tuple) else [] if parts is None else [parts]
    texts: list[Any] = [part.get(column) if isinstance(part, dict) else part for part in parts]
    for place, text in enumerate(texts):  # NaN and what has no end is neither number nor text
        if type(text) is int or (type(text) is float and math.isfinite(text)):
            texts[place] = str(text)
    if not is_text(texts):
        is_bool = any(type(text) is bool for text in texts)
        hint = 'Write "yes" or "no".' if is_bool else f"Write each {column} as text."
        raise row.bad(f"has the {column} {ascii(given)[:40]}, which is no text", hint)
    return tuple(text.strip() for text in texts if text.strip())


# Columns of somebody's own data: known by their names, whoever wrote them.

Names = Mapping[str, tuple[str, ...]]

COLUMNS: Names = MappingProxyType(
    {
        "image": (
            *("image", "image_path", "image_file", "file_name", "filename", "file", "path"),
            *("图片", "图像", "图片路径", "图像路径", "图片文件名", "图像文件名", "图片文件"),
            *("图像文件", "图片名", "图片名称", "图像名称", "照片", "文件名", "文件路径", "路径"),
            *("圖片", "圖像", "影像", "圖片路徑", "圖像路徑", "檔名", "檔案名稱"),
        ),
        "question": ("question", "问题", "提问", "問題", "提問"),
        "answer": ("answers", "answer", "答案", "回答"),
        "caption": (
            *("captions", "caption", "描述", "图片描述", "图像描述", "字幕", "标题", "图片标题"),
            *("说明", "图片说明", "圖片描述", "圖像描述", "標題", "說明"),
        ),
        "split": ("split", "划分", "数据划分", "数据集划分", "拆分", "分割", "子集", "劃分"),
        "answer_type": ("answer_type", "答案类型", "答案類型"),
        "question_type": ("question_type", "问题类型", "問題類型"),
    }
)
"""The parts of a row, and the column names that are taken for it, the first one that is there."""


def columns_of(
    names: Sequence[str], given: str, location: Path, usual: Names = COLUMNS
) -> dict[str, str]:
    """The column for each of `usual` that is there.

    `given` is what the user says about columns of other names: "image:photo,question:frage".
    A column of the very name comes before one that is written otherwise ("Answer", " answer").
    Raises BadConfig where that is no such list, names a column that is not there, or two columns
    have the same name; BadData where there is no column of images, or neither questions nor
    captions.
    """
    wanted: list[tuple[str, Sequence[str]]] = []
    for part in filter(None, given.split(",")):
        what, colon, name = (word.strip() for word in part.partition(":"))
        if not colon or what not in usual:
            message = f"--option columns={given} is not a list like image:photo,question:frage"
            raise BadConfig(message, hint=f"Before a colon stands one of: {', '.join(usual)}.")
        wanted.append((what, [name]))
    asked = {what for what, _ in wanted}
    wanted += ((what, known) for what, known in usual.items() if what not in asked)
    chosen: dict[str, str] = {}
    has = f"it has {', '.join(names[:12]) or 'none'}"
    for what, known in wanted:
        exact = [[name for name in names if name == one] for one in known]
        alike = [[name for name in names if _plain(name) == _plain(one)] for one in known]
        found = next(filter(None, (*exact, *alike)), [])
        if len(found) > 1:
            message = f"has several columns that could be the {what}: {', '.join(map(repr, found))}"
            hint = f"Say which: --option columns={what}:{found[0]}, or give each its own name."
            raise BadConfig(message, location=location, hint=hint)
        if not found and what in asked:
            message = f"has no column {known[0]!r}; {has}"
            raise BadConfig(message, location=location, hint="Mend --option columns=...")
        if found:
            chosen[what] = found[0]
    if "image" not in chosen or not {"question", "caption"} & chosen.keys():
        lacks = "images (image)" if "image" not in chosen else "questions or captions"
        known = "Name the columns image, question, answer, caption"
        hint = f"{known}, or say which they are: --option columns=image:photo,question:frage."
        raise BadData(f"has no column of {lacks}; {has}", location=location, hint=hint)
    return chosen


def fits(names: Sequence[str], usual: Names = COLUMNS, given: str = "") -> bool:
    """True where columns of these names can be read, with what the user says of them in `given`
    (as in `columns_of`), or without any word.
    """
    if given:
        try:
            return bool(columns_of(names, given, Path(), usual))
        except (BadConfig, BadData):
            return False
    has = known_among(names, usual).keys()
    return "image" in has and bool({"question", "caption"} & has)


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def known_among(names: Sequence[str], usual: Names = COLUMNS) -> dict[str, str]:
    """The parts of a row that are among these columns, and the first column for each."""
    plain = {_plain(name): name for name in reversed(names)}
    return {
        what: next(plain[name] for name in known if name in plain)
        for what, known in usual.items()
        if plain.keys() & set(known)
    }


def there_is(path: Path, root: Path, names: Sequence[str]) -> str:
    """By what a recogniser knows a file with known columns."""
    shown = path.relative_to(root).as_posix()
    return f"there is {shown} with the columns {', '.join(names[:6])}"


# Files of rows that somebody wrote: CSV, TSV, JSON lines, or one JSON list of objects.

ROW_FILES = r"\.(?i:csv|tsv|jsonl|json)(?:\.gz)?"
"""Of the names of such files, as a pattern."""
SEPARATORS = (",", "\t", ";")
"""Between the columns: that of the format, and what spreadsheets write under the same name."""


def first_row(path: Path) -> dict[str, Any]:
    """The columns with the values of the first row; empty where this is no such file."""
    start = read_start(path)
    if is_json(path):
        start = start.lstrip()
        is_rows = start.startswith("[") or _has_lines(path, start)
        return _object_at(start.removeprefix("[")) if is_rows else {}
    lines = csv.reader(io.StringIO(start, newline=""), delimiter=_separator(path, start))
    rows = (values for values in lines if any(map(str.strip, values)) and values != NAMES_IT)
    try:
        names, values = next(rows, []), next(rows, [])
    except csv.Error:
        return {}
    values += [""] * (len(names) - len(values))
    return {name.strip(): value for name, value in zip(names, values, strict=False)}


def read_rows(path: Path) -> tuple[Sequence[str], list[Row]]:
    """Names of the columns, and all rows, their values by these names.

    Raises BadData for what cannot be read, with its line.
    """
    if not is_json(path):
        names, table = read_table(path, _separator(path, read_start(path)))
        return names, [
            Row(path, f"line {line}", dict(zip(names, values, strict=True)))
            for line, values in table
        ]
    if _has_lines(path, read_start(path)):
        lines = ((f"line {n}", line) for n, line in enumerate(read_lines(path), start=1))
        listed = ((place, _json_line(path, place, line)) for place, line in lines if line.strip())
    else:
        listed = ((f"record {n}", one) for n, one in enumerate(read_json(path, list), start=1))
    rows = []
    for place, value in listed:
        if not isinstance(value, dict):
            message = f"{place} is {ascii(value)[:40]}, not an object {{…}}"
            hint = 'Write {"image": ..., "question": ..., "answer": ...}.'
            raise BadData(message, location=path, hint=hint)
        rows.append(Row(path, place, value))
    return list(dict.fromkeys(name for row in rows for name in row.values)), rows


def _json_line(path: Path, place: str, line: str) -> Any:
    try:
        return json.loads(line, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        why = f"is not JSON ({error.msg}, column {error.colno})"
    except RecursionError:
        why = "is not JSON (nested too deeply)"
    except ValueError as error:
        why = f"holds a number that JSON does not know: {str(error)[:60]}"
    hint = "Each line is one object {…}: mend it, write null, or leave the row out."
    raise BadData(f"{place} {why}", location=path, hint=hint)


def read_known(
    path: Path, given: str, split: Split | None = None, usual: Names = COLUMNS
) -> list[Row]:
    """All rows by the names of `usual`, as far as there are such columns; see `columns_of`.

    `split` is what the file's name says.
    """
    names, rows = read_rows(path)
    wanted = columns_of(names, given, path, usual).items()
    return [
        row._replace(values={what: row.values.get(name) for what, name in wanted}, split=split)
        for row in rows
    ]


def is_json(path: Path) -> bool:
    """True where a file is called JSON, or lines of it; else it is a table with separators."""
    return ".json" in path.name.lower()


def _separator(path: Path, start: str) -> str:
    """The commonest outside of quotes in the first line, or the one that a line `sep=;` names."""
    first = next(filter(str.strip, start.split("\n")), "").strip("\r")
    if named := re.fullmatch(r"sep=([,\t;])", first):
        return named[1]
    bare = re.sub(r'"[^"]*"', "", first)
    if ".tsv" in path.name.lower() and "\t" in bare:
        return "\t"
    return max(SEPARATORS, key=bare.count)


def _has_lines(path: Path, start: str) -> bool:
    """True for JSON lines; a `.json` has them where an object ends with its line, then another."""
    first, _, rest = start.lstrip().partition("\n")
    is_lines = rest.lstrip().startswith("{") and bool(_object_at(first))
    return is_lines or ".jsonl" in path.name.lower()


def _object_at(text: str) -> dict[str, Any]:
    """The object that a text begins with; empty where it begins with something else, or is cut."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
