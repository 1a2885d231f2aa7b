"""Names inside archives, files in pieces, and a progress bar: shared by downloads and bundles."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from saccade.core.console import console
from saccade.core.formatting import printable

CHUNK = 1 << 20
TEMPORARY = ".saccade-part"
"""The file that is being written, beside its place; no member may have its name."""

Show = Callable[[int, int | None], None]
"""Takes the bytes that have come and the bytes there will be, None where nobody knows."""


def why_unsafe(name: str) -> str | None:
    """The fault of a member's name; None for a plain path below the folder."""
    parts = name.split("/")
    longest = max(len(part.encode(errors="replace")) for part in parts)
    if not name or longest > 255 or len(name) > 4096:
        return "is empty, or longer than a file system takes"
    if not name.isprintable():  # control characters, and what is not UTF-8
        return "holds characters that cannot be printed"
    if "\\" in name or re.match(r"/|[A-Za-z]:", name) or {"", ".", ".."} & set(parts):
        return "is not a path below the folder"
    return "is a name that is used while writing" if TEMPORARY in parts else None


def place(chunks: Iterable[bytes], target: Path, check: Callable[[Path], None]) -> None:
    """Write a file in one go; `check` is given it before it gets its name, and raises to refuse."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(TEMPORARY)
    try:
        with part.open("wb") as stream:
            stream.writelines(chunks)
        check(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def chunks_of(path: Path, start: int = 0, count: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` on, `count` of them or all, a piece at a time."""
    with path.open("rb") as stream:
        stream.seek(start)
        while some := stream.read(CHUNK if count is None else min(CHUNK, count)):
            yield some
            if count is not None:
                count -= len(some)


@contextmanager
def bar(title: str) -> Iterator[Show]:
    """A progress bar of bytes on stderr; nothing where stderr is no terminal."""
    # A title may hold a name with brackets or braces, which are neither a style nor a field.
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    here = console()
    hidden = not here.is_terminal
    with Progress(*columns, console=here, disable=hidden, transient=True) as progress:
        task = progress.add_task(printable(title), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
