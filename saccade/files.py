"""Files that are whole or not there, and what tells two of them apart."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
