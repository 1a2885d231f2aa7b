"""The files of a feature store: arrays mapped into memory, and the journal of what is whole."""

import hashlib
import io
import json
import math
import mmap
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np

from saccade.core.errors import BadStore
from saccade.core.files import as_json, sha256_of
from saccade.features.reduction import FILE as REDUCTION

BACKBONE = "backbone.safetensors"
CHECKSUMS = "checksums.json"
ARRAYS = ("features", "counts", "sizes", "boxes", "scores", "scales", "ids")
OWN = frozenset(
    ["header.json", "chunks.jsonl", "skipped.json", CHECKSUMS, BACKBONE, REDUCTION]
    + [f"{name}.npy" for name in ARRAYS]
)
"""Names of all files that a store may have."""
PIECE = 32 * 2**20
"""Bytes of an array that are in memory at once where all of it is read."""
HOLD = 128 * 2**20
"""Bytes of a store that a process has in its memory before it lets go of them."""
MAKE_AGAIN = "Delete the folder and make it again: {}"
"""What to do about a damaged store, with the command that made it."""
EXTRACT_AGAIN = MAKE_AGAIN.format("saccade extract DATA --backbone NAME.")
"""The same where the header, which knows that command, cannot be read."""


class Skipped(NamedTuple):
    """An image without features, and why."""

    id: int
    file: str
    reason: str


class Chunk(NamedTuple):
    """A stretch of rows that is safely on disk."""

    start: int
    end: int
    crc32: int
    skipped: tuple[Skipped, ...]


def open_array(
    path: Path, name: str, shape: tuple[int, ...], kind: np.dtype[Any], hint: str = EXTRACT_AGAIN
) -> np.ndarray:
    """Map one array of a store, read-only. Raises BadStore unless it is as the header says."""
    file = path / f"{name}.npy"
    try:
        # A plain view of the map: numpy's own subclass costs time on every index.
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except FileNotFoundError:
        raise BadStore("missing", location=file, hint=hint) from None
    except OSError as error:
        message = f"unreadable ({error.strerror or error})"
        raise BadStore(message, location=file, hint=hint) from None
    except (ValueError, EOFError, SyntaxError, TokenError):
        found, wanted = file.stat().st_size, _file_bytes(shape, kind)
        cut = f"{found:,} bytes, the header says {wanted:,}"
        message = f"not whole: {cut if found < wanted else 'it does not begin as an array does'}"
        raise BadStore(message, location=file, hint=hint) from None
    if array.shape != shape or array.dtype != kind:
        message = f"holds {array.dtype} {array.shape}, the header says {kind} {shape}"
        raise BadStore(message, location=file, hint=hint)
    return array


def _file_bytes(shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    """Length of the file of an array: what stands before its numbers, and these."""
    head = io.BytesIO()
    about = {"descr": kind.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, about)
    return head.tell() + math.prod(shape) * kind.itemsize


def read_chunks(path: Path) -> list[Chunk]:
    """What `chunks.jsonl` says is safely on disk: stretches that follow each other from row 0.

    A last line that was cut off by a crash, and anything after it, does not count.
    """
    chunks: list[Chunk] = []
    try:
        lines = (path / "chunks.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            said = json.loads(line)
            chunk = Chunk(**{**said, "skipped": tuple(Skipped(**one) for one in said["skipped"])})
        except (ValueError, TypeError, KeyError):
            break
        before = chunks[-1].end if chunks else 0
        numbers = all(type(number) is int for number in chunk[:3])
        if not (line.endswith(b"\n") and numbers and before == chunk.start < chunk.end):
            break
        chunks.append(chunk)
    return chunks


def chunk_line(chunk: Chunk) -> bytes:
    """The line of `chunks.jsonl` that says so."""
    skipped = [one._asdict() for one in chunk.skipped]
    return json.dumps({**chunk._asdict(), "skipped": skipped}).encode() + b"\n"


def remove_store(path: Path) -> None:
    """Delete the files that a store may have, and the folder if nothing else lies in it."""
    for file in list(path.iterdir()):
        if file.name.removesuffix(".part") in OWN:
            file.unlink()
    if not any(path.iterdir()):
        path.rmdir()


def checksum(arrays: dict[str, np.ndarray], start: int, end: int) -> int:
    """CRC-32 of some rows of a store's arrays, in the order of `StoreHeader.columns`."""
    crc = 0
    for array in arrays.values():
        for piece in pieces(array, start, end):
            crc = zlib.crc32(np.ascontiguousarray(piece).data, crc)
    return crc


def pieces(array: np.ndarray, start: int, end: int) -> Iterator[np.ndarray]:
    """Some rows of a mapped array in pieces of `PIECE` bytes, each let go of before the next."""
    step = max(PIECE // max(array[:1].nbytes, 1), 1)
    for begin in range(start, end, step):
        yield array[begin : min(begin + step, end)]
        let_go(array)


def let_go(array: np.ndarray) -> None:
    """Take the pages of a mapped array out of this process's memory; the system keeps its copy.

    A process that reads a large store to its end would else hold all of it.
    """
    mapped = getattr(array.base, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Grip:
    """Keeps a store's mapped arrays from taking more than `HOLD` of this process's memory.

    How many bytes were read does not tell: for one row a system may map two megabytes around it.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = arrays
        self._small = sum(array.nbytes for array in arrays) <= HOLD
        self._read, self._before = 0, _resident_files() or 0

    def loosen(self, read: int) -> None:
        """Let go of all arrays where they take much memory, now that so many bytes were read."""
        if self._small:
            return
        self._read += read
        now = _resident_files()
        held = self._read if now is None else now - self._before
        if held > HOLD:
            for array in self._arrays:
                let_go(array)
            self._read, self._before = 0, _resident_files() or 0
        elif held < 0:  # a process that was forked begins with less than its parent had
            self._before = now or 0


def _resident_files() -> int | None:
    """Bytes of files in this process's memory; None where the system does not say (not Linux)."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None


# Is every byte of a feature store what was written?

Columns = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and type of every array with rows, as `StoreHeader.columns` has them."""


def digests(path: Path, columns: Columns) -> dict[str, str]:
    """What `checksums.json` says, by file name: SHA-256 in hexadecimal of all but the rows."""
    rows = _row_bytes(columns)
    files = [path / name for name in sorted(OWN - {CHECKSUMS}) if (path / name).exists()]
    return {one.name: _digest(one, rows.get(one.name)) for one in files}


def _row_bytes(columns: Columns) -> dict[str, int]:
    """Bytes of the rows of each array, by file name."""
    return {
        f"{name}.npy": int(np.prod(shape)) * kind.itemsize
        for name, (shape, kind) in columns.items()
    }


def _digest(file: Path, rows: int | None) -> str:
    if rows is None:
        return sha256_of(file)
    with file.open("rb") as stream:
        # All that is no row, whose number of bytes grows when something is put behind the rows.
        return hashlib.sha256(stream.read(file.stat().st_size - rows)).hexdigest()


def damaged_arrays(path: Path, columns: Columns, count: int) -> dict[str, str]:
    """Arrays that are missing, cut or not as the header says, a sentence each by file name.

    `count` is how many ids there must be, which must rise.
    """
    damage = {}
    for name, about in {**columns, "ids": ((count,), np.dtype(np.int64))}.items():
        try:
            array = open_array(path, name, *about)
        except BadStore as error:
            damage[f"{name}.npy"] = f"{name}.npy: {error.message}"
        else:
            if name == "ids" and not (array[1:] > array[:-1]).all():
                damage["ids.npy"] = "ids.npy: the ids do not rise"
    return damage


def damaged_rows(path: Path, columns: Columns, regions: int) -> list[str]:
    """Stretches of rows that have changed, or hold what cannot be, a sentence each.

    `regions` is how many an image has at most. Raises BadStore for an array that is not whole.
    """
    arrays = {name: open_array(path, name, *about) for name, about in columns.items()}
    count = len(arrays["counts"])
    damage, checked = [], 0
    for start, end, crc32, _ in read_chunks(path):
        place, checked = f"rows {start} to {end - 1}", end
        if end > count or checksum(arrays, start, end) != crc32:
            damage.append(f"{place} have changed since they were written")
            continue
        counts = arrays["counts"][start:end]
        if ((counts < 0) | (counts > regions)).any():
            damage.append(f"{place}: an image has {counts.max()} of {regions} regions")
        for name, array in arrays.items():
            parts = pieces(array, start, end) if array.dtype.kind == "f" else ()
            if not all(np.isfinite(part).all() for part in parts):
                damage.append(f"{place}: {name} that are no numbers")
    if checked != count:
        damage.append(f"chunks.jsonl: only {checked} of {count} rows have a checksum")
    return damage


def damaged_files(path: Path, columns: Columns, known: Collection[str] = ()) -> list[str]:
    """Files that are not what `checksums.json` says, rows of arrays aside, a sentence each.

    Nothing is said of files that are `known` to be damaged.
    """
    try:
        text = (path / CHECKSUMS).read_bytes()
        wanted = dict(json.loads(text))
    except FileNotFoundError:
        return [f"{CHECKSUMS}: missing"]
    except (ValueError, TypeError):
        return [f"{CHECKSUMS}: unreadable"]
    except OSError as error:
        return [f"{CHECKSUMS}: unreadable ({error.strerror})"]
    there = {name for name in OWN - {CHECKSUMS} if (path / name).exists()}
    damage = []
    for name in sorted({*wanted, *there} - {*known}):
        if name not in there:
            damage.append(f"{name}: missing")
        elif name not in wanted:
            damage.append(f"{name}: has no checksum in {CHECKSUMS}")
        else:
            try:
                same = wanted[name] == _digest(path / name, _row_bytes(columns).get(name))
            except OSError as error:
                damage.append(f"{name}: unreadable ({error.strerror})")
                continue
            damage += [] if same else [f"{name}: has changed since it was written"]
    if not damage and text != as_json(dict(sorted(wanted.items()))).encode():
        damage.append(f"{CHECKSUMS}: has changed since it was written")
    return damage


def damaged_reduction(path: Path, sha256: str | None) -> list[str]:
    """Is `reduction.safetensors` the file with the digest that the header names, if it names one?

    All that can be asked of a store that has no `checksums.json`.
    """
    file = path / REDUCTION
    if sha256 is None or (file.exists() and sha256_of(file) == sha256):
        return []
    return [f"{REDUCTION}: {'has changed since it was written' if file.exists() else 'missing'}"]


def strangers(path: Path) -> list[str]:
    """What lies in a store's folder and is no part of it, a sentence each."""
    notes = []
    for name in sorted(one.name for one in path.iterdir() if one.name not in OWN):
        if name.removesuffix(".part") in OWN:
            notes.append(f"{name}: left by a process that was killed; it can be deleted")
        else:
            notes.append(f"{name}: not part of the store")
    return notes
