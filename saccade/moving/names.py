"""Names inside archives, which may come from anywhere, and files put in their place in one go."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

CHUNK = 1 << 20
TEMPORARY = ".saccade-part"
"""The file that is being written, beside its place; no member may have its name."""
LONGEST = 4096


def why_unsafe(name: str) -> str | None:
    """What is wrong with a member's name, None if it is a plain path below the folder."""
    parts = name.split("/")
    longest = max(len(part.encode(errors="replace")) for part in parts)
    if not name or longest > 255 or len(name) > LONGEST:
        return "is empty, or longer than a file system takes"
    if not name.isprintable():  # control characters, and what is not UTF-8
        return "holds characters that cannot be printed"
    if "\\" in name or re.match(r"/|[A-Za-z]:", name) or {"", ".", ".."} & set(parts):
        return "is not a path below the folder"
    return "is a name that is used while writing" if TEMPORARY in parts else None


def place(chunks: Iterable[bytes], target: Path, whole: Callable[[Path], None]) -> None:
    """Write a file in one go: `whole` looks at it before it gets its name, and raises to refuse."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(TEMPORARY)
    try:
        with part.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        whole(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
