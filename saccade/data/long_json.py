"""Reading JSON files that need not fit into memory: the outermost object or list, entry by entry.

GQA's largest files hold a million and a half questions each, most of it programs that nobody here
reads. What is wrong with a file is said by `json_file`, as for every other.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from saccade.core.errors import BadData
from saccade.data.json_file import Top, read_json, refuse_constant
from saccade.data.text_file import COPY_AGAIN

Value = TypeVar("Value")

PIECE = 2**20
"""Characters that are fetched at a time."""
_BEHIND = frozenset(" \t\n\r,:]}")
"""What may stand behind a value."""
_SHOWN = re.compile(r"[^ \t\n\r]")


def read_entries(path: Path, top: type[Top]) -> Iterator[tuple[Any, Any]]:
    """Key and value of each entry of an object, place (from 0) and value of each of a list.

    One entry is held at a time; a key that stands twice is handed out twice. Raises BadData as
    `json_file.read_json`, once the bad place is met.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _entries(_Text(file), top)
    except (ValueError, RecursionError, OSError):
        read_json(path, top)  # says what is wrong, and where
        raise BadData("changed while it was read", where=path, cure=COPY_AGAIN) from None


def _entries(text: "_Text", top: type) -> Iterator[tuple[Any, Any]]:
    parse = json.JSONDecoder(parse_constant=refuse_constant).raw_decode

    def decode(text: str, at: int) -> tuple[Any, int]:
        value, end = parse(text, at)
        if text[end : end + 1] not in _BEHIND:  # 12 may be the beginning of 123
            raise ValueError("a value that goes on")
        return value, end

    begin, end = "{}" if top is dict else "[]"
    text.take_mark(begin)
    place, mark = 0, text.next_mark()
    while mark != end:
        key: object = place
        if top is dict:
            key = text.take(decode)
            if not isinstance(key, str):
                raise ValueError("a key that is no text")
            text.take_mark(":")
            text.next_mark()
        yield key, text.take(decode)
        place += 1
        mark = text.take_mark(f",{end}")
        if mark == ",":
            text.next_mark()
    if not place:
        text.take_mark(end)
    if not text.is_over():
        raise ValueError("more behind the end")


class _Text:
    """The text of a file, of which no more is held than the entry that is being read."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at = file, "", 0

    def take(self, read: Callable[[str, int], tuple[Value, int]]) -> Value:
        """What `read` finds from here on; while it raises ValueError, more text is fetched."""
        size = PIECE
        while True:
            try:
                value, self._at = read(self._text, self._at)
                return value
            except ValueError:
                if not self._fetch(size):
                    raise
            size *= 2  # so that even one huge entry is looked at a few times only

    def next_mark(self) -> str:
        """The next character that is no blank; what comes next begins with it."""
        return self.take(_next_mark)

    def take_mark(self, wanted: str) -> str:
        """Go past the next character that is no blank. Raises ValueError if it is not `wanted`."""
        mark = self.next_mark()
        if mark not in wanted:
            raise ValueError(mark)
        self._at += 1
        return mark

    def is_over(self) -> bool:
        """Say whether nothing but blanks is left."""
        while not self._text[self._at :].strip(" \t\n\r"):
            self._at = len(self._text)
            if not self._fetch(PIECE):
                return True
        return False

    def _fetch(self, size: int) -> bool:
        more = self._file.read(size)
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)


def _next_mark(text: str, at: int) -> tuple[str, int]:
    found = _SHOWN.search(text, at)
    if not found:
        raise ValueError("no more text")
    return found[0], found.start()
