"""Bundle a folder into parts of a size that a slow line can carry: `saccade pack`.

The parts are consecutive slices of one plain tar file, so `cat pack.tar.* | tar x` undoes it
without saccade. Equal folders give equal bytes: packing again writes only the parts that are
missing or differ, and copying again carries only those.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadBundle, BadConfig
from saccade.core.files import disk_errors, refuse_small_disk
from saccade.data.folder import PICTURES, DataFolder
from saccade.moving.digests import chunks_of
from saccade.moving.manifest import (
    MANIFEST,
    PART,
    SUMS,
    Manifest,
    Packed,
    Part,
    part_name,
    write_manifest,
)
from saccade.moving.names import TEMPORARY, why_unsafe
from saccade.moving.progress import bar
from saccade.moving.tar_stream import TarStream, lay_out

PART_SIZE = 500_000_000
MOST_PARTS = 99_999
UNFINISHED = (".part", TEMPORARY)
"""Endings of files that a stopped program left behind."""


class Made(NamedTuple):
    """What `pack` did."""

    manifest: Manifest
    kept: int
    """Parts that were there already, equal to the byte."""
    left_out: int
    """Pictures that are not where the data folder says."""


def pack(data: Path, out: Path, *, part_size: int = PART_SIZE, pictures: bool = False) -> Made:
    """Pack a data folder, a run folder, or any other folder of files into `out`.

    `pictures` adds those of a data folder, to `pictures/`, where an unpacked data folder looks for
    them; else they stay behind. Links are followed. Memory does not grow with the bytes. Raises
    BadBundle for what cannot be packed, BadConfig for sizes and options that do not fit.
    """
    data, out = Path(data), Path(out)
    if part_size < 1:
        raise BadConfig("parts have no size", cure="Give a --part-size such as 500MB.")
    if not data.is_dir():
        raise BadBundle("there is no such folder", where=data, cure="Give a data or run folder.")
    what = _kind(data)
    if pictures and what != "data folder":
        raise BadConfig(f"{data} is a {what}: it has no pictures", cure="Leave out --pictures.")
    if out.resolve().is_relative_to(data.resolve()):
        raise BadBundle("lies in what is packed", where=out, cure="Give another --out.")
    if out.exists() and not out.is_dir():
        raise BadBundle("is a file", where=out, cure="Give another --out.")
    files, left_out = _files(data, what, pictures)
    stream = lay_out(files.items())
    count = -(-stream.total // part_size)
    if count > MOST_PARTS:
        raise BadConfig(
            f"that would be {count:,} parts", cure=f"At most {MOST_PARTS:,}: give larger ones."
        )
    with disk_errors(BadBundle, out, "--out"):
        _prepare(out, stream.total, part_size, count)
        parts, packed, kept = _write(stream, out, part_size, count)
        manifest = Manifest(what, stream.total, parts, packed)
        write_manifest(out, manifest)
    return Made(manifest, kept, left_out)


def _kind(data: Path) -> str:
    if (data / "dataset.json").is_file():
        return "data folder"
    return "run folder" if (data / "run.json").is_file() else "folder"


def _files(data: Path, what: str, pictures: bool) -> tuple[dict[str, Path], int]:
    """Name in the archive and place of every file, and how many pictures are not there."""
    folder = DataFolder(data) if what == "data folder" else None
    apart = {(data / PICTURES).resolve(), folder.image_root.resolve()} if folder else set()
    files = dict(_walk(data, "", apart, ()))
    left_out = 0
    if folder is not None and pictures:
        for file in {picture.file for picture in folder.pictures()}:
            path = folder.image_root / file
            if path.is_file():
                files[f"{PICTURES}/{Path(file).as_posix()}"] = path
            else:
                left_out += 1
    if not files:
        raise BadBundle("holds no files", where=data, cure="Give a data or run folder.")
    for name in files:
        if why := why_unsafe(name):
            raise BadBundle(
                f"the name {name.encode(errors='replace').decode()!r} {why}",
                where=data,
                cure="Give it another name.",
            )
    return files, left_out


def _walk(
    folder: Path, below: str, apart: set[Path], above: Sequence[Any]
) -> Iterator[tuple[str, Path]]:
    """All files below a folder, links followed, but for the folders in `apart`."""
    about = folder.stat()
    if (about.st_dev, about.st_ino) in above:
        raise BadBundle("is a link to a folder above it", where=folder, cure="Delete the link.")
    with os.scandir(folder) as entries:
        inside = list(entries)
    for entry in inside:
        path = folder / entry.name
        if entry.is_dir():
            if path.resolve() not in apart:
                here = (*above, (about.st_dev, about.st_ino))
                yield from _walk(path, f"{below}{entry.name}/", apart, here)
        elif not entry.is_file():
            what = "is a link to nothing" if entry.is_symlink() else "is neither file nor folder"
            raise BadBundle(what, where=path, cure="Delete it, or put back what it links to.")
        elif not entry.name.endswith(UNFINISHED):
            yield f"{below}{entry.name}", path


def _prepare(out: Path, total: int, part_size: int, count: int) -> None:
    """Make room: the old manifest goes first, parts of another packing go too."""
    (out / MANIFEST).unlink(missing_ok=True)
    (out / SUMS).unlink(missing_ok=True)
    names = {part_name(number, count) for number in range(1, count + 1)}
    for path in list(out.iterdir()) if out.exists() else ():
        if re.fullmatch(re.escape(PART) + r"\d{4,}", path.name) and path.name not in names:
            path.unlink()
    there = sum(path.stat().st_size for path in map(out.joinpath, names) if path.is_file())
    needed = total - there + (part_size if there else 0)
    refuse_small_disk(BadBundle, out, "packing", needed, "give another disk: --out DIR")
    out.mkdir(parents=True, exist_ok=True)


def _write(
    stream: TarStream, out: Path, part_size: int, count: int
) -> tuple[tuple[Part, ...], tuple[Packed, ...], int]:
    """Write the parts that are not there; returns all, what is in them, and how many were there."""
    parts, kept = [], 0
    digests = [hashlib.sha256() for _ in stream.members]
    with bar(f"packing to {out}") as show:
        for number in range(1, count + 1):
            start, stop = (number - 1) * part_size, min(number * part_size, stream.total)
            path, whole = out / part_name(number, count), hashlib.sha256()
            pieces = _counted(stream.read(start, stop), whole, digests)
            kept += _write_part(pieces, path, stop - start)
            parts.append(Part(path.name, stop - start, whole.hexdigest()))
            show(stop, stream.total)
    packed: dict[str, Packed] = {}
    for member, digest in zip(stream.members, digests, strict=True):
        own = Packed(member.name, member.bytes, digest.hexdigest(), member.offset)
        if member.same_as:
            own = packed[member.same_as]._replace(name=member.name, same_as=member.same_as)
        packed[member.name] = own
    return tuple(parts), tuple(packed.values()), kept


def _counted(
    pieces: Iterable[tuple[int | None, bytes]], whole: Any, digests: Sequence[Any]
) -> Iterator[bytes]:
    """The pieces of a part, after they were counted in its SHA-256 and in their file's."""
    for member, some in pieces:
        whole.update(some)
        if member is not None:
            digests[member].update(some)
        yield some


def _write_part(chunks: Iterable[bytes], path: Path, size: int) -> bool:
    """Write a part in one go, unless the one that is there has the same bytes; tells if it had.

    The old part is compared as the new one is made: only from the first difference on is written.
    """
    part = path.with_name(TEMPORARY)
    same = 0
    old = path.open("rb") if path.is_file() and path.stat().st_size == size else None
    new = None
    try:
        for some in chunks:
            if old is not None and old.read(len(some)) == some:
                same += len(some)
                continue
            if new is None:
                new = part.open("wb")
                for before in chunks_of(path, 0, same) if same else ():
                    new.write(before)
                if old is not None:
                    old.close()
                    old = None
            new.write(some)
        if new is None:
            return True
        new.flush()
        os.fsync(new.fileno())
        new.close()
        os.replace(part, path)
        return False
    finally:
        for opened in (old, new):
            if opened is not None:
                opened.close()
        part.unlink(missing_ok=True)
