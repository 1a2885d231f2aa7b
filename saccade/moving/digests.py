"""Files a piece at a time, and the small JSON files that tell of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.files import write_text
from saccade.moving.names import CHUNK


def chunks_of(path: Path, start: int = 0, count: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` on, `count` of them or all, a piece at a time."""
    with path.open("rb") as stream:
        stream.seek(start)
        while some := stream.read(CHUNK if count is None else min(CHUNK, count)):
            yield some
            if count is not None:
                count -= len(some)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read, in one go; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
