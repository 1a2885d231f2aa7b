"""Files that are whole or not there, and what tells two of them apart."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from saccade.core.errors import SaccadeError
from saccade.core.formatting import size_in_words


@contextmanager
def in_one_go(path: Path) -> Iterator[Path]:
    """Write a file beside its place, at the path handed out, and move it there at the end.

    Whatever happens, a reader finds the old file whole, or the new one. Who may read it is what the
    system gives to new files, also where a library is stricter.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch()
    usual = part.stat().st_mode
    yield part
    part.chmod(usual)
    to_disk(part)
    part.replace(path)


def to_disk(path: Path) -> None:
    """Wait until a file that was written is on the disk."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one go."""
    with in_one_go(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, in one go."""
    write_bytes(path, text.encode())


def as_json(value: object) -> str:
    """JSON that a person can read; equal values give equal text."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write such JSON in one go."""
    write_text(path, as_json(value))


def link_or_copy(file: Path, to: Path) -> None:
    """Give a file a second name, or, where that cannot be, make a copy in one go."""
    try:
        os.link(file, to)
    except OSError:
        with in_one_go(to) as part:
            shutil.copyfile(file, part)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Keeping a second process out of a file or folder, for as long as this one works there.

if sys.platform != "win32":
    import fcntl


def claim(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; False where another process has it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Lock a folder, which is made where it is not there; False where another process has it, or
    where it got another name, or was deleted, since it was opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # a folder cannot be opened there
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            mine = claim(descriptor)
            mine = mine and os.path.samestat(os.fstat(descriptor), os.stat(folder))
        except FileNotFoundError:
            mine = False
        yield mine
    finally:
        os.close(descriptor)


# Is there room on the disk, and what is said where it cannot be written after all.


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk on which a folder lies, or will lie."""
    above = (folder.absolute(), *folder.absolute().parents)
    return shutil.disk_usage(next(path for path in above if path.exists())).free


def refuse_small_disk(
    error: type[SaccadeError], folder: Path, what: str, needed: int, hint: str
) -> None:
    """Raise an error where `folder` lies, or will lie, on a disk without `needed` free bytes.

    `what` needs them; `cure` is what helps besides making room.
    """
    free = free_bytes(folder)
    if needed > free:
        raise error(
            f"{what} needs {size_in_words(needed)}, {size_in_words(free)} are free",
            location=folder,
            hint=f"Make room, or {hint}.",
        )


@contextmanager
def disk_errors(
    error: type[SaccadeError], folder: Path, option: str, does: str = "written"
) -> Iterator[None]:
    """Tell what the system refuses, in work that can be gone on with, as an error of ours.

    `option` names `folder`; `does` is what cannot be.
    """
    try:
        yield
    except OSError as refused:
        raise error(
            f"cannot be {does}: {refused.strerror or refused}",
            location=refused.filename or folder,
            hint=f"Make room or give another {option}; the same command goes on where it stopped.",
        ) from None


@dataclass(frozen=True)
class Limits:
    """What an archive may become."""

    members: int = 2_000_000
    growth: int = 100
    """Times its own size; JSON grows to about 15 times."""
    always: int = 50_000_000
    """Bytes that are never too many."""
