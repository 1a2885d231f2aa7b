"""SHA-256 of files of any size, and small JSON and text files written in one go."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.moving.names import CHUNK


def chunks_of(path: Path, start: int = 0, count: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` on, `count` of them or all, a piece at a time."""
    with path.open("rb") as stream:
        stream.seek(start)
        while some := stream.read(CHUNK if count is None else min(CHUNK, count)):
            yield some
            if count is not None:
                count -= len(some)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    for some in chunks_of(path):
        digest.update(some)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one go: a crash leaves the old one whole."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read, in one go; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
