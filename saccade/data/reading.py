"""Text, tables and JSON from files of others; errors name the file, the cause and the next step.

Real sizes matter (VQA v2 has 444 thousand questions), so records are checked by column, not one by
one; only when a check fails is the guilty record searched.
"""

import codecs
import csv
import gc
import gzip
import io
import json
import re
import unicodedata
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO, TypeVar

from saccade.core.errors import BadData, SaccadeWarning
from saccade.core.files import Limits
from saccade.core.formatting import size_in_words

COPY_AGAIN = "Copy or download the file again and compare its size with the source."
RELEASED = "Mend or remove this record, or take the released file."
NAMES_IT = ["sep=", ""]
"""The row that a first line `sep=;`, with which spreadsheets name their separator, is read as."""
PIECE = 2**20
"""Bytes of a packed file that are unpacked, or characters of JSON that are read, at once."""
COMMON_IN_CHINESE = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过后作里用"
    "道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日"
    "图片像哪什几谁吗呢颜色问题答案回描述标红黄蓝绿白黑男女孩手头边旁猫狗车两三左右吃站坐穿水"
    "這個們來為國說時會對過後裡還進當沒動現樣開從實圖問題幾誰嗎顏紅黃藍綠頭邊貓車兩"
)
"""Characters that every Chinese text is full of, a few of questions about images among them. Text
of another encoding that is taken for Chinese has hardly any: one in nine at most, where tried."""


class GuessedEncoding(SaccadeWarning):
    """A file is no UTF-8 and was read as another encoding, which it does not name."""


_opened: ContextVar[dict[Path, None] | None] = ContextVar("opened", default=None)


@contextmanager
def opened_files() -> Iterator[Mapping[Path, None]]:
    """The files that are read meanwhile, in order: what a data set was made of.

    Readers say it themselves (`note_opened`), so none can forget a file. What is only looked at
    (`read_start`) does not count.
    """
    token = _opened.set(found := dict[Path, None]())
    try:
        yield found
    finally:
        _opened.reset(token)


def note_opened(path: Path) -> None:
    """Count a file as read, for `opened_files`."""
    if (opened := _opened.get()) is not None:
        opened[path] = None


def read_text(path: Path, *, may_be_empty: bool = False) -> str:
    """The text of a file, unpacked if its name ends in `.gz`.

    What is no UTF-8 is read as GB18030 (GBK), with the warning GuessedEncoding, where that gives
    Chinese text. Raises BadData for a file that is missing, unreadable, empty, cut off, of another
    encoding, or that would become larger by far than text does (`files.Limits`).
    """
    data: bytes | bytearray = bytearray()
    note_opened(path)
    try:
        if path.name.endswith(".gz"):
            most = Limits().bytes_of(path)
            with gzip.open(path) as file:
                while len(data) <= most and (piece := file.read(PIECE)):
                    data += piece
            if len(data) > most:
                message = f"would become more than {size_in_words(most)} when unpacked"
                hint = "If it should hold that much, unpack it yourself; else download it again."
                raise BadData(message, location=path, hint=hint)
        else:
            data = path.read_bytes()
        text = _decoded(path, data)
    except FileNotFoundError:
        message, hint = "there is no such file", "Check the name and --root."
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message, hint = f"is not whole as a gzip file ({error})", COPY_AGAIN
    except OSError as error:
        message, hint = f"cannot be read ({error.strerror})", "Check its permissions."
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}"
        hint = "Save it as UTF-8, or unpack it first if it is an archive."
    else:
        if text.strip() or may_be_empty:
            return text
        message, hint = "is empty", COPY_AGAIN
    raise BadData(message, location=path, hint=hint)


def _decoded(path: Path, data: bytes | bytearray) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")
        except UnicodeDecodeError:
            text = ""
        if not _is_chinese(text):
            raise
    message = f"{path.name} is no UTF-8; it was read as GB18030 (GBK), in which Chinese is written."
    warnings.warn(message, GuessedEncoding, stacklevel=3)
    return text.removeprefix("\ufeff")


def _is_chinese(text: str) -> bool:
    """Say whether a text is of ASCII and Chinese as people write it, and not of another encoding:
    nearly all of it Han and marks of that script, no letter that Unicode does not have, and many of
    the common characters.
    """
    counts = Counter(text)
    other = {letter: n for letter, n in counts.items() if not letter.isascii()}
    total = sum(other.values())
    han = sum(n for letter, n in other.items() if re.match(_HAN, letter))
    known = COMMON_IN_CHINESE & other.keys()
    common = sum(other[letter] for letter in known) if len(known) > 1 else 0
    unknown = any(unicodedata.category(letter) in ("Cn", "Co", "Cc") for letter in other)
    return 20 * han > 17 * total and 7 * common > total and not unknown


_HAN = "[\u2010-\u2026\u3000-\u3017\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef\U00020000-\U000323af]"


def read_start(path: Path, size: int = 2**18) -> str:
    """The text of the first `size` bytes: enough to tell what a file is, however long it is.

    Unpacked and decoded as by `read_text`. What cannot be decoded ends the text; a file that cannot
    be opened or unpacked has none.
    """
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            data = file.read(size)
    except (OSError, EOFError, zlib.error):
        return ""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data)
    except UnicodeDecodeError as error:
        with suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder("gb18030")().decode(data)
            if _is_chinese(text):
                return text.removeprefix("\ufeff")
        return error.object[: error.start].decode()  # counts from behind a byte order mark


def refuse_stand_ins(path: Path, text: str, page: str = r"<(?:!doctype|html)") -> None:
    """Raise BadData for what often lies where a file of data should: a web page, a pointer.

    `page` is a pattern of the beginning of a web page, in any case.
    """
    if text.startswith("version https://git-lfs"):
        hint = "Fetch the real file with `git lfs pull`."
        raise BadData("is a Git LFS pointer, not the file itself", location=path, hint=hint)
    if re.match(page, text[:1000].lstrip(), re.I):
        hint = "Open it to see what the server said, then download again."
        raise BadData("is a web page: a download that failed", location=path, hint=hint)


def _read_plain(path: Path) -> str:
    text = read_text(path)
    refuse_stand_ins(path, text)
    if "\0" in text:
        hint = "Is it an archive, or saved as UTF-16? Unpack it, or save it as UTF-8."
        raise BadData("holds zero bytes: it is no text", location=path, hint=hint)
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends; line 1 is at place 0. Raises as `read_text`."""
    return [line.rstrip("\r") for line in _read_plain(path).split("\n")]


def read_table(
    path: Path, delimiter: str = ",", *, uneven: bool = False
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names and rows of a CSV file (RFC 4180: quotes around fields with commas in them),
    each row as the line of the file where it ends, and its values.

    Names lose blanks around them; blank lines, and a first one `sep=,`, are left out. Raises
    BadData as `read_text`, and for a quotation that is never closed, a row of another length
    (unless `uneven` ones are wanted, too), or a name that stands twice.
    """
    text = io.StringIO(_read_plain(path), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    rows = []
    try:
        rows = [(reader.line_num, values) for values in reader if any(map(str.strip, values))]
    except csv.Error as error:
        message = f"line {reader.line_num} cannot be read as a table ({error})"
        hint = 'Quote a field that holds commas or quotes; write " in it as "".'
        raise BadData(message, location=path, hint=hint) from None
    if rows[0][1] == NAMES_IT:
        del rows[0]
    if not rows:
        raise BadData("is empty", location=path, hint=COPY_AGAIN)
    names = [name.strip() for name in rows[0][1]]
    if twice := next((name for name in names if name and names.count(name) > 1), ""):
        hint = "Give every column its own name in line 1."
        raise BadData(f"has two columns named {twice!r}", location=path, hint=hint)
    if not uneven and (bad := next((row for row in rows[1:] if len(row[1]) != len(names)), None)):
        message = f"line {bad[0]} has {len(bad[1])} fields, line 1 has {len(names)}"
        hint = "Quote a field that holds the separator, or fill what is missing."
        raise BadData(message, location=path, hint=hint)
    return names, rows[1:]


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
        refuse_stand_ins(path, text, page="<")
        message = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        hint = "Mend that place, or take the released file."
        if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
            message, hint = f"breaks off in the middle, at character {len(text)}", COPY_AGAIN
        raise BadData(message, location=path, hint=hint) from None
    except RecursionError:
        raise BadData("is nested too deeply to be data", location=path, hint=COPY_AGAIN) from None
    except ValueError as error:
        message = f"holds a number that JSON does not know: {error}"
        hint = "Write null, or leave the record out, where there is no number."
        raise BadData(message, location=path, hint=hint) from None
    if not isinstance(document, top):
        found = KINDS.get(type(document), f"a {type(document).__name__}")
        layout = layout_of(document)[0]
        message = f"is {found} where {KINDS[top]} was expected; it looks like {layout}"
        hint = "Give the file that this source names; `saccade list sources` shows the layouts."
        raise BadData(message, location=path, hint=hint)
    return document


def refuse_constant(name: str) -> float:
    """For `parse_constant`: NaN and the infinities are no JSON. Raises ValueError."""
    raise ValueError(name)


@contextmanager
def collector_paused() -> Iterator[None]:
    """No cyclic garbage collection meanwhile: among millions of new records it finds no garbage,
    but goes through all of them again and again. Restored afterwards.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


LAYOUTS: tuple[tuple[str, str, str, set[str]], ...] = (
    ("VQA-RAD records", "vqa-rad", "", {"qid", "image_name"}),
    ("a result file (answers of a model)", "", "", {"answer"}),
    ("a result file (captions of a model)", "", "", {"caption"}),
    ("VQA questions", "vqa-v2 (or vqa-v1)", "questions", set()),
    ("COCO captions", "coco-captions", "annotations", {"caption"}),
    ("VQA annotations", "vqa-v2 (or vqa-v1)", "annotations", {"answers"}),
    ("VQA annotations", "vqa-v2 (or vqa-v1)", "annotations", {"multiple_choice_answer"}),
    ("COCO objects (instances)", "", "annotations", {"bbox"}),
    ("Karpathy captions", "karpathy", "images", {"sentences"}),
    ("scenes of Shapes", "", "scenes", {"texture", "shapes"}),
    ("a COCO image list without captions", "", "images", {"file_name"}),
)
"""Layouts in the user's words, the source that reads each, the field that holds the list of
records (none where the file is a list), and fields of its first record."""


def layout_of(document: object) -> tuple[str, str]:
    """Name of a parsed document's layout in the user's words, for messages about mixed-up files,
    and the source that reads it, if one does.
    """
    if not isinstance(document, list | dict):
        return "a bare value", ""
    lists = {"": document} if isinstance(document, list) else document
    for name, source, key, fields in LAYOUTS:
        records = lists.get(key)
        first = records[0] if isinstance(records, list) and records else None
        if key in lists and fields <= (first.keys() if isinstance(first, dict) else set()):
            return name, source
    if isinstance(document, list):
        return "a bare list", ""
    names = ", ".join(list(document)[:4])
    return f"JSON with the fields {names}" if names else "an empty object", ""


def record_list(document: dict[str, Any], key: str, *, path: Path, expected: str) -> list[Any]:
    """Take the list `document[key]`; `expected` names the file that it should be.

    Raises BadData, saying what the file looks like instead, when the list is missing or empty.
    """
    records = document.get(key)
    if isinstance(records, list) and not records:
        raise BadData(f'its list "{key}" is empty', location=path, hint=COPY_AGAIN)
    found, source = layout_of(document)
    if not isinstance(records, list) or found != expected:
        message = f'should be {expected} with a list "{key}", but it looks like {found}'
        hint = "`saccade list sources` shows the files that each source expects."
        if source:
            hint = f"For such a file, prepare the source {source}."
        raise BadData(message, location=path, hint=hint)
    return records


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
    """True where all are strings that can be written as UTF-8 (JSON may hold half characters)."""
    try:
        "".join(values).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _first_bad(
    records: Sequence[Any], fields: Mapping[str, type], path: Path, name: str, before: int
) -> BadData:
    for place, record in enumerate(records, start=before + 1):
        which = f"{name} number {place}"
        if not isinstance(record, dict):
            return BadData(f"{which} is not an object {{…}}", location=path, hint=RELEASED)
        ids = (key for key in fields if key.endswith("id") and type(record.get(key)) is int)
        shown = next((f" ({key} {record[key]})" for key in ids), "")
        for field, wanted in fields.items():
            if field not in record:
                has = ", ".join(list(record)[:6])
                message = f'{which}{shown} has no field "{field}"; it has {has}'
                return BadData(message, location=path, hint=RELEASED)
            value = record[field]
            if type(value) is not wanted or not _storable([value], wanted):
                text = ascii(value)
                text = text if len(text) <= 40 else text[:37] + "..."
                message = f'"{field}" of {which}{shown} is {text}, not {KINDS[wanted]}'
                return BadData(message, location=path, hint=RELEASED)
    return BadData(f"a {name} cannot be read", location=path, hint=RELEASED)


def unique(ids: Sequence[int | str], *, path: Path, name: str) -> None:
    """Refuse a list in which a number stands twice; `name` is the field it comes from."""
    if len(set(ids)) < len(ids):
        twice = next(number for number, times in Counter(ids).items() if times > 1)
        hint = "Keep one record of each; were two files put behind each other?"
        raise BadData(f"{name} {twice} stands twice", location=path, hint=hint)


# JSON files that need not fit into memory: the outermost object or list, entry by entry.

_BLANKS = " \t\n\r"
_BEHIND = frozenset(f"{_BLANKS},:]}}")
"""Characters that may stand behind a value."""
_SHOWN = re.compile(f"[^{_BLANKS}]")


def read_entries(path: Path, top: type[Top]) -> Iterator[tuple[Any, Any]]:
    """Key and value of each entry of an object, place (from 0) and value of each of a list.

    One entry is held at a time; a key that stands twice is handed out twice. Raises BadData as
    `read_json`, once the bad place is met.
    """
    begin, end = "{}" if top is dict else "[]"
    note_opened(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text, place = _Text(file), 0
            text.mark(begin)
            mark = text.mark()
            text.at -= mark not in ("", end)  # the beginning of an entry was only looked at
            while mark != end:
                key = text.value() if top is dict else place
                if top is dict:
                    if not isinstance(key, str):
                        raise ValueError("a key that is no text")
                    text.mark(":")
                yield key, text.value()
                place += 1
                mark = text.mark(f",{end}")
            if text.mark():
                raise ValueError("more behind the end")
    except (ValueError, RecursionError, OSError):
        read_json(path, top)  # says what is wrong, and where
        raise BadData("changed while it was read", location=path, hint=COPY_AGAIN) from None


class _Text:
    """The text of a file, of which no more is held than the entry that is being read."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at = file, "", 0
        self.parse = json.JSONDecoder(parse_constant=refuse_constant).raw_decode

    def mark(self, wanted: str = "") -> str:
        """The next character that is no blank; none is left at the end of the file.

        Raises ValueError if it is not one of `wanted`.
        """
        while not (found := _SHOWN.search(self.text, self.at)):
            self.text, self.at = self.file.read(PIECE), 0
            if not self.text:
                break
        mark = found[0] if found else ""
        self.at = found.end() if found else 0
        if wanted and mark not in [*wanted]:
            raise ValueError(mark)
        return mark

    def value(self) -> Any:
        """The value that comes next; more text is fetched while it is not whole."""
        mark, size = self.mark(), PIECE
        self.at -= len(mark)
        while True:
            try:
                value, end = self.parse(self.text, self.at)
                if self.text[end : end + 1] in _BEHIND:  # 12 may be the beginning of 123
                    self.at = end
                    return value
            except ValueError:
                pass
            if not (more := self.file.read(size)):
                raise ValueError("a value that is not whole")
            self.text, self.at = self.text[self.at :] + more, 0
            size *= 2  # so that even one huge entry is tried a few times only
