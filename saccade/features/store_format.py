"""The files of a feature store: arrays mapped into memory, and the manifest with their checksums.

`manifest.jsonl` has a line for each chunk of rows, written once the rows are on disk. Its last line
has the SHA-256 of every other file and of the lines before. Torch is not imported here.
"""

import hashlib
import json
import math
import mmap
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from saccade.core.errors import BadStore
from saccade.core.files import sha256_of

BACKBONE = "backbone.safetensors"
REDUCTION = "reduction.safetensors"
"""Beside a store and beside a run: `mean (D,)` and `components (k, D)` of PCA, and `scales (D,)`
where every channel has its own scale."""
MANIFEST = "manifest.jsonl"
ARRAYS = ("features", "counts", "sizes", "boxes", "scores", "scales", "statistics", "ids")
OWN = frozenset(
    {"header.json", "skipped.json", MANIFEST, BACKBONE, REDUCTION}
    | {f"{name}.npy" for name in ARRAYS}
)
"""Names of all files that a store may have."""
PIECE = 32 * 2**20
"""Bytes of an array that are in memory at once where all of it is read."""
MAX_RESIDENT = 128 * 2**20
"""Bytes of a store that may be in the memory of a process before they are released."""
MAKE_AGAIN = "Delete the folder and make it again: {}"
"""Hint about a damaged store, with the command that made it."""
EXTRACT_AGAIN = MAKE_AGAIN.format("saccade extract DATA --backbone NAME.")
"""The same where the header, which has that command, cannot be read."""
CONVERT_AGAIN = "Copy it from the store that the features were converted to, or convert again."


class Skipped(NamedTuple):
    """An image without features, and why."""

    id: int
    file: str
    reason: str


class Chunk(NamedTuple):
    """Consecutive rows that are safely on disk."""

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
        if array.shape == shape and array.dtype == kind:
            return array
        message = f"holds {array.dtype} {array.shape}, the header says {kind} {shape}"
    except FileNotFoundError:
        message = "missing"
    except OSError as error:
        message = f"unreadable ({error.strerror or error})"
    except (ValueError, EOFError, SyntaxError, TokenError):
        message = f"not whole: its {file.stat().st_size:,} bytes are no {kind} {shape}"
    raise BadStore(message, location=file, hint=hint)


def read_chunks(path: Path) -> list[Chunk]:
    """Chunks that the manifest lists: they follow each other from row 0.

    A line that was cut off by a crash, and anything after it, does not count.
    """
    chunks: list[Chunk] = []
    broken = ValueError, TypeError, KeyError, AttributeError, RecursionError
    with suppress(FileNotFoundError, *broken):
        for line in (path / MANIFEST).read_bytes().splitlines(keepends=True):
            fields = json.loads(line)
            skipped = tuple(Skipped(**one) for one in fields.pop("skipped"))
            chunk = Chunk(**fields, skipped=skipped)
            before = chunks[-1].end if chunks else 0
            numbers = all(type(number) is int for number in chunk[:3])
            if not (line.endswith(b"\n") and numbers and before == chunk.start < chunk.end):
                break
            chunks.append(chunk)
    return chunks


def skipped_images(chunks: Sequence[Chunk]) -> list[Skipped]:
    """Images without features, each once, however many views it has."""
    return list({one.id: one for chunk in chunks for one in chunk.skipped}.values())


def chunk_line(chunk: Chunk) -> bytes:
    """A chunk as a line of the manifest."""
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
    """Some rows of a mapped array in pieces of `PIECE` bytes, each released before the next."""
    step = max(PIECE // max(array[:1].nbytes, 1), 1)
    for begin in range(start, end, step):
        yield array[begin : min(begin + step, end)]
        release(array)


def release(array: np.ndarray) -> None:
    """Take the pages of a mapped array out of this process's memory; the system keeps its copy.

    A process that reads a large store to its end would else hold all of it.
    """
    mapped = getattr(array.base, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class MemoryLimit:
    """Limit of `MAX_RESIDENT` bytes for a store's mapped arrays in this process's memory.

    The number of bytes read is not enough: for one row a system may map two megabytes around it.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = arrays
        self._small = sum(array.nbytes for array in arrays) <= MAX_RESIDENT
        self._read, self._before = 0, _resident_files() or 0

    def check(self, read: int) -> None:
        """Release all arrays where they take much memory, now that `read` bytes were read."""
        if self._small:
            return
        self._read += read
        now = _resident_files()
        held = self._read if now is None else now - self._before
        if held > MAX_RESIDENT:
            for array in self._arrays:
                release(array)
            self._read, self._before = 0, _resident_files() or 0
        elif held < 0:  # a process that was forked begins with less than its parent had
            self._before = now or 0


def _resident_files() -> int | None:
    """Bytes of files in this process's memory; None where the system does not say (not Linux)."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None


# Verification: is every byte of a feature store what was written?

Columns = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and type of every array with rows, as `StoreHeader.columns` has them."""


def files_line(path: Path, columns: Columns, header: bytes | None = None) -> bytes:
    """The last line of a manifest whose chunks are all written: checksums of all other files.

    Of an array all but the rows is hashed. `header` is `header.json` as it will be.
    """
    names = sorted(name for name in OWN - {MANIFEST} if (path / name).exists())
    sums = {name: _digest(path / name, columns) for name in names}
    if header is not None:
        sums["header.json"] = hashlib.sha256(header).hexdigest()
    return _files_line(sums, (path / MANIFEST).read_bytes())


def _files_line(sums: Mapping[str, str], before: bytes) -> bytes:
    chunks = hashlib.sha256(before).hexdigest()
    return json.dumps({"files": sums, "chunks": chunks}, sort_keys=True).encode() + b"\n"


def _digest(file: Path, columns: Columns) -> str:
    if (name := file.name.removesuffix(".npy")) not in columns:
        return sha256_of(file)
    shape, kind = columns[name]
    with file.open("rb") as stream:
        # All but the rows, so that bytes added behind the rows are found too.
        size = file.stat().st_size - math.prod(shape) * kind.itemsize
        return hashlib.sha256(stream.read(size)).hexdigest()


def find_damage(path: Path, columns: Columns, count: int, regions: int) -> list[str]:
    """Everything in a store of `count` images that is not as it was written: a sentence each.

    All bytes are read. `regions` is how many an image has at most.
    """
    arrays, broken = {}, {}
    for name, about in {**columns, "ids": ((count,), np.dtype(np.int64))}.items():
        try:
            arrays[name] = open_array(path, name, *about)
        except BadStore as error:
            broken[f"{name}.npy"] = error.message
    ids = arrays.pop("ids", np.zeros(0))
    if not (ids[1:] > ids[:-1]).all():
        broken["ids.npy"] = "the ids do not rise"
    damage = [f"{name}: {message}" for name, message in broken.items()]
    if lacking := sorted(f"{name}.npy" for name in columns.keys() - arrays.keys()):
        damage.append(f"the rows cannot be compared without {', '.join(lacking)}")
        return damage + _damaged_files(path, columns, broken)
    # Rows that have changed, or hold impossible values.
    checked, rows = 0, columns["counts"][0][0]  # those of all views
    for start, end, crc32, _ in read_chunks(path):
        place, checked = f"rows {start} to {end - 1}", end
        if end > rows or checksum(arrays, start, end) != crc32:
            damage.append(f"{place} have changed since they were written")
            continue
        counts = arrays["counts"][start:end]
        if ((counts < 0) | (counts > regions)).any():
            damage.append(f"{place}: an image has {counts.max()} of {regions} regions")
        for name, array in arrays.items():
            parts = pieces(array, start, end) if array.dtype.kind == "f" else ()
            if not all(np.isfinite(part).all() for part in parts):
                damage.append(f"{place}: {name} that are no numbers")
    if checked != rows:
        damage.append(f"{MANIFEST}: only {checked} of {rows} rows have a checksum")
    return damage + _damaged_files(path, columns, broken)


def _damaged_files(path: Path, columns: Columns, known: Collection[str]) -> list[str]:
    """Files that are not what the manifest says, rows and `known` damage aside."""
    try:
        *chunks, last = (path / MANIFEST).read_bytes().splitlines(keepends=True)
        wanted = dict(json.loads(last)["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return [f"{MANIFEST}: does not end with the checksums of files"]
    except OSError as error:
        return [f"{MANIFEST}: unreadable ({error.strerror})"]
    there = {name for name in OWN - {MANIFEST} if (path / name).exists()}
    damage = []
    changed = "has changed since it was written"
    for name in sorted({*wanted, *there} - {*known}):
        if name not in there:
            damage.append(f"{name}: missing")
        elif name not in wanted:
            damage.append(f"{name}: has no checksum in {MANIFEST}")
        else:
            try:
                if wanted[name] != _digest(path / name, columns):
                    damage.append(f"{name}: {changed}")
            except OSError as error:
                damage.append(f"{name}: unreadable ({error.strerror})")
    if not damage and last != _files_line(wanted, b"".join(chunks)):
        damage.append(f"{MANIFEST}: {changed}")
    return damage


def foreign_files(path: Path) -> list[str]:
    """Files in a store's folder that are no part of it: a sentence each."""
    left = "left by a process that was killed; it can be deleted"
    return [
        f"{name}: {left if name.removesuffix('.part') in OWN else 'not part of the store'}"
        for name in sorted(one.name for one in path.iterdir() if one.name not in OWN)
    ]


# int8 features.


def from_bytes(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Regions `(n, R, D)` float32 of int8 values; scales are float32, `(n, R, 1)` or `(D,)`."""
    # numpy does both in one pass; torch, which converts first, takes 2.5 times as long.
    regions: np.ndarray = np.multiply(values, scales, dtype=np.float32)
    return regions


def read_reduction(folder: Path) -> dict[str, np.ndarray]:
    """Components and scales beside a store or a run. Raises BadStore."""
    file = folder / REDUCTION
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadStore(f"unreadable ({error})", location=file, hint=CONVERT_AGAIN) from None


def read_channel_scales(folder: Path, dim: int) -> np.ndarray:
    """The scale of each channel beside a store or a run: `(dim,)` float32. Raises BadStore."""
    scales = read_reduction(folder).get("scales")
    if scales is None or scales.shape != (dim,) or scales.dtype != np.float32:
        message, hint = f"holds no scales of {dim} channels", "Convert the store again."
        raise BadStore(message, location=folder / REDUCTION, hint=hint)
    return scales
