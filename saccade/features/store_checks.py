"""Is every byte of a feature store what was written?

The rows of the arrays are covered by `chunks.jsonl`, stretch by stretch as they were written.
Everything else is covered by `checksums.json`, which is written when the store is complete:
SHA-256 of each file; of an array with rows, of what stands before and behind them.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from saccade.core.errors import BadStore
from saccade.core.files import as_json, sha256_of
from saccade.features.reduction import FILE as REDUCTION
from saccade.features.store_files import CHECKSUMS, OWN, checksum, open_array, pieces, read_chunks

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
            damage[f"{name}.npy"] = f"{name}.npy: {error.what}"
        else:
            if name == "ids" and not (array[1:] > array[:-1]).all():
                damage["ids.npy"] = "ids.npy: the ids do not rise"
    return damage


def damaged_rows(path: Path, columns: Columns, regions: int) -> list[str]:
    """Stretches of rows that have changed, or hold what cannot be, a sentence each.

    `regions` is how many a picture has at most. Raises BadStore for an array that is not whole.
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
            damage.append(f"{place}: a picture has {counts.max()} of {regions} regions")
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
