"""The files of a feature store: arrays mapped into memory, and the journal of what is whole."""

import json
import mmap
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saccade.errors import BadStore

EXTRACT_AGAIN = "Delete the folder and make it again: saccade extract DATA --backbone NAME."


class Skipped(NamedTuple):
    """A picture without features, and why."""

    id: int
    file: str
    reason: str


class Chunk(NamedTuple):
    """A stretch of rows that is safely on disk."""

    start: int
    end: int
    crc32: int
    skipped: tuple[Skipped, ...]


def open_array(path: Path, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
    """Map one array of a store, read-only. Raises BadStore unless it is as the header says."""
    file = path / f"{name}.npy"
    try:
        # A plain view of the map: numpy's own subclass costs time on every index.
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except FileNotFoundError:
        raise BadStore("missing", where=file, cure=EXTRACT_AGAIN) from None
    except (ValueError, OSError, EOFError) as error:
        raise BadStore(f"not whole ({error})", where=file, cure=EXTRACT_AGAIN) from None
    if array.shape != shape or array.dtype != kind:
        what = f"holds {array.dtype} {array.shape}, the header says {kind} {shape}"
        raise BadStore(what, where=file, cure=EXTRACT_AGAIN)
    return array


def read_chunks(path: Path) -> list[Chunk]:
    """What `chunks.jsonl` says is safely on disk: stretches that follow each other from row 0.

    A last line that was cut off by a crash, and anything after it, does not count.
    """
    chunks: list[Chunk] = []
    try:
        lines = (path / "chunks.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            start, end, crc32, skipped = json.loads(line).values()
            chunk = Chunk(start, end, crc32, tuple(Skipped(**one) for one in skipped))
        except (ValueError, TypeError, AttributeError):
            break
        if not line.endswith("\n") or chunk.start != (chunks[-1].end if chunks else 0):
            break
        chunks.append(chunk)
    return chunks


def checksum(arrays: dict[str, np.ndarray], start: int, end: int) -> int:
    """CRC-32 of some rows of a store's arrays, in the order of `StoreHeader.columns`."""
    crc = 0
    for array in arrays.values():
        crc = zlib.crc32(np.ascontiguousarray(array[start:end]).data, crc)
    return crc


def let_go(array: np.ndarray) -> None:
    """Take the pages of a mapped array out of this process's memory; the system keeps its copy.

    A process that reads a large store to its end would else hold all of it.
    """
    mapped = getattr(array.base, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
