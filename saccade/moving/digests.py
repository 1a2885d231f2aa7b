"""Files a piece at a time."""

from collections.abc import Iterator
from pathlib import Path

from saccade.moving.names import CHUNK


def chunks_of(path: Path, start: int = 0, count: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` on, `count` of them or all, a piece at a time."""
    with path.open("rb") as stream:
        stream.seek(start)
        while some := stream.read(CHUNK if count is None else min(CHUNK, count)):
            yield some
            if count is not None:
                count -= len(some)
