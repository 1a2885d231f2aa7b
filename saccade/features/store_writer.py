"""Writing a feature store so that a crash at any moment costs one chunk of work and no more.

Rows go straight to their place on disk. Every so often a chunk is closed: the arrays are flushed
to the disk first, then the chunk gets a line in the manifest. Rows without a line are done again;
the header says `complete` last of all.
"""

import math
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from saccade.core.errors import BadStore, SaccadeError
from saccade.core.files import lock, refuse_small_disk, to_disk, write_bytes, write_json
from saccade.features.store import StoreHeader, read_header
from saccade.features.store_format import (
    BACKBONE,
    MAKE_AGAIN,
    MANIFEST,
    OWN,
    Chunk,
    Skipped,
    checksum,
    chunk_line,
    files_line,
    open_array,
    read_chunks,
    remove_store,
    skipped_images,
)

CHUNK = 256
"""Rows at most, about, that a crash costs."""
BEGUN = frozenset(["header.json", MANIFEST])
"""Files that every store has from its beginning."""


class StoreWriter:
    """An unfinished store, open for writing. Use it in a `with` statement.

    After a SaccadeError before the first chunk was closed, it deletes its files.
    """

    _next: int  # the row that is written next
    _crc: int  # CRC-32 of the features of the open chunk

    def __init__(
        self, path: Path, header: StoreHeader, ids: np.ndarray, weights_bytes: int = 0
    ) -> None:
        """Begin a store, or go on with one that was begun with equal settings.

        `header` says complete=False; `ids (N,)` int64 rise. `done` is the row to go on with.
        `weights_bytes` is the size of the backbone's copy, if the store will have one.
        Raises BadStore where the folder holds a store made otherwise or other things, where
        another process is writing it, or where the disk is too small or cannot be written.
        """
        self.path, self.header = path, header
        self._columns = header.columns()
        with self._disk_errors():
            path.mkdir(parents=True, exist_ok=True)
            if (path / "header.json").exists():
                read_header(path)  # an older version's store has files of other names
            fresh = self._refuse_strange()
            self._manifest = (path / MANIFEST).open("ab")
            if not lock(self._manifest):
                self._manifest.close()
                hint = "Wait until it has ended, or choose another --name."
                raise BadStore("another process is writing this store", location=path, hint=hint)
        try:
            before = self._before()
            self.complete = before is not None and before.complete
            """True where it was finished earlier and there is nothing to write."""
            self._chunks = self._kept() if before else []
            # The rows that are left are still to be written.
            needed = math.ceil(header.nbytes() * (1 - self.done / header.rows))
            needed += 0 if self.complete or (path / BACKBONE).exists() else weights_bytes
            hint = "choose a smaller --size, or put the data folder on another disk"
            refuse_small_disk(BadStore, path, "the store", needed, hint)
            if self._chunks or self.complete:
                if not np.array_equal(open_array(path, "ids", ids.shape, ids.dtype), ids):
                    hint = "Delete the folder to begin again."
                    raise BadStore("the store has other ids", location=path / "ids.npy", hint=hint)
            else:
                with self._disk_errors():
                    self._create(ids)
            self._files: dict[str, BinaryIO] = {
                name: (path / f"{name}.npy").open("r+b") for name in self._columns
            }
        except BaseException:
            self._manifest.close()
            if fresh:
                shutil.rmtree(path)
            raise
        length = sum(len(chunk_line(chunk)) for chunk in self._chunks)
        if not self.complete and os.fstat(self._manifest.fileno()).st_size != length:
            self._manifest.truncate(length)  # damaged lines, or checksums of files
        self._start_chunk()

    @property
    def done(self) -> int:
        """Rows that are safely on disk."""
        return self._chunks[-1].end if self._chunks else 0

    @property
    def skipped(self) -> list[Skipped]:
        """Images without features, of the rows that are safely on disk."""
        return skipped_images(self._chunks)

    def add(
        self,
        features: np.ndarray,
        counts: np.ndarray,
        sizes: np.ndarray,
        skipped: Sequence[Skipped] = (),
        **others: np.ndarray | None,
    ) -> None:
        """Write the next n rows: `(n, R, D)`, `(n,)`, `(n, 2)`, and where the store has them
        `boxes (n, R, 4)`, `scores (n, R)` and `scales (n, R)`. They count only once the chunk is
        closed, which happens as soon as n more would make it larger than `CHUNK`. Raises BadStore
        when the disk is full.
        """
        if self._next + len(features) > self.header.rows:
            raise ValueError(f"more than {self.header.rows} rows")
        given = {"features": features, "counts": counts, "sizes": sizes, **others}
        for name, (shape, kind) in self._columns.items():
            array = given.get(name)
            if array is None or array.shape != (len(features), *shape[1:]):
                found = None if array is None else array.shape
                raise ValueError(f"{name} {found} do not fit {shape}")
            rows, stream = np.ascontiguousarray(array, dtype=kind), self._files[name]
            stride = int(np.prod(shape[1:])) * kind.itemsize
            head = os.fstat(stream.fileno()).st_size - shape[0] * stride
            with self._disk_errors():
                stream.seek(head + self._next * stride)
                stream.write(rows.data)
            if name == "features":  # the only large one: not read again for its checksum
                self._crc = zlib.crc32(rows.data, self._crc)
            else:
                self._small[name].append(rows)
        self._next += len(features)
        self._skipped += skipped
        if self._next + len(features) - self.done > CHUNK:
            self.close_chunk()

    def close_chunk(self) -> None:
        """Make sure that all rows so far survive a crash, then list them in the manifest."""
        if self._next == self.done:
            return
        with self._disk_errors():
            for stream in self._files.values():
                to_disk(stream)
            crc = self._crc
            for parts in self._small.values():
                crc = zlib.crc32(np.concatenate(parts).data, crc)
            chunk = Chunk(self.done, self._next, crc, tuple(self._skipped))
            self._manifest.write(chunk_line(chunk))
            to_disk(self._manifest)
        self._chunks.append(chunk)
        self._start_chunk()

    def finish(self) -> None:
        """Close the last chunk, note the checksum of every file, and declare the store complete.

        Raises ValueError where rows are lacking, BadStore when the disk is full.
        """
        self.close_chunk()
        if self.done != self.header.rows:
            raise ValueError(f"{self.done} rows of {self.header.rows} are written")
        skipped, header = [one._asdict() for one in self.skipped], self._header(complete=True)
        with self._disk_errors():
            write_json(self.path / "skipped.json", skipped)
            self._manifest.write(files_line(self.path, self._columns, header))
            to_disk(self._manifest)
            write_bytes(self.path / "header.json", header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        for stream in (*self._files.values(), self._manifest):
            stream.close()
        if isinstance(error, SaccadeError) and not (self._chunks or self.complete):
            remove_store(self.path)  # so that other settings may have its name

    def _start_chunk(self) -> None:
        self._next, self._crc = self.done, 0
        self._skipped: list[Skipped] = []
        self._small: dict[str, list[np.ndarray]] = {
            name: [] for name in self._columns if name != "features"
        }

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = f"Make room there, or a way to write, then go on with: {self.header.command}"
            raise BadStore(f"cannot be written ({error})", location=self.path, hint=hint) from None

    def _create(self, ids: np.ndarray) -> None:
        # First: files without it are no store that was begun, and are not written over.
        write_bytes(self.path / "header.json", self._header(complete=False))
        with (self.path / "ids.npy").open("wb") as stream:
            np.save(stream, ids, allow_pickle=False)
            to_disk(stream)
        for name, (shape, kind) in self._columns.items():
            # Its full length at once, which takes no room yet.
            np.lib.format.open_memmap(self.path / f"{name}.npy", "w+", kind, shape)

    def _header(self, *, complete: bool) -> bytes:
        header = self.header.model_copy(update={"complete": complete})
        return header.model_dump_json(indent=2).encode() + b"\n"

    def _kept(self) -> list[Chunk]:
        """Chunks of an earlier run that are whole; the first damaged one ends the list."""
        chunks = read_chunks(self.path)
        if self.complete or not chunks:
            return chunks
        hint = MAKE_AGAIN.format(self.header.command)
        arrays = {name: open_array(self.path, name, *c, hint) for name, c in self._columns.items()}
        there = takewhile(lambda chunk: chunk.end <= self.header.rows, chunks)
        return list(takewhile(lambda one: checksum(arrays, one.start, one.end) == one.crc32, there))

    def _refuse_strange(self) -> bool:
        """Whether the folder is empty. Raises BadStore unless everything in it belongs to a store
        that has its header and its manifest: nothing else is written over.
        """
        inside = (path.name for path in self.path.iterdir())
        there = {name for name in inside if not name.startswith(".")}  # left by systems
        strange = sorted(name for name in there if name.removesuffix(".part") not in OWN)
        if strange:
            message = f"holds other things than a feature store, such as {strange[0]}"
            raise BadStore(message, location=self.path, hint="Choose another --name.")
        lonely, lacking = sorted(there & OWN - {MANIFEST}), sorted(BEGUN - there)
        if lonely and lacking:
            message = f"holds {lonely[0]} of a feature store, but no {lacking[0]}"
            hint = "Copy the rest of it, choose another --name, or delete the folder."
            raise BadStore(message, location=self.path, hint=hint)
        return not there

    def _before(self) -> StoreHeader | None:
        """The header of what was begun earlier, None if nothing was; it must be the same."""
        if not (self.path / "header.json").exists():
            return None
        before = read_header(self.path)
        for field, new in self.header:
            old = getattr(before, field)
            if field not in ("complete", "command") and old != new:
                change = f"{field}: {_short(old)}, now {_short(new)}"
                message = f"the store was begun with another {change}"
                hint = "Choose another --name, or delete the folder to begin again."
                raise BadStore(message, location=self.path, hint=hint)
        return before


def _short(value: Any) -> str:
    text = value.model_dump_json() if hasattr(value, "model_dump_json") else str(value)
    return text if len(text) < 300 else f"{text[:300]}..."
