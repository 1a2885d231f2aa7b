"""Bundle a folder into parts of a size that a slow line can carry: `saccade pack`.

The parts are consecutive slices of one plain tar file, so `cat pack.tar.* | tar x` undoes it
without saccade. Equal folders give equal bytes: packing again writes only the parts that are
missing or differ, and copying again carries only those.
"""

import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadBundle, BadConfig
from saccade.core.files import disk_errors, refuse_small_disk
from saccade.data.folder import IMAGES, DataFolder
from saccade.transfer.manifest import (
    CHUNK,
    MANIFEST,
    PART,
    SUMS,
    TEMPORARY,
    Manifest,
    Packed,
    Part,
    bar,
    chunks_of,
    part_name,
    why_unsafe,
    write_manifest,
)

# A tar file that is never written as one: any slice of it can be read at any time.

BLOCK = 512
RECORD = 20 * BLOCK
"""What the whole is a multiple of, as other programs make it."""
LARGEST = 8**11 - 1
"""Bytes that the old header has digits for."""


class Member(NamedTuple):
    """A file and its place in the stream."""

    name: str
    path: Path
    bytes: int
    """Of its content; 0 of a link."""
    changed: int
    """When the file was last written, in nanoseconds."""
    begin: int
    """Where its header begins."""
    offset: int
    """Where its content begins."""
    same_as: str | None = None
    """The earlier member that it is a link to."""


@dataclass(frozen=True)
class TarStream:
    """A tar file of `members`, `total` bytes long."""

    members: tuple[Member, ...]
    total: int

    def read(self, start: int, stop: int) -> Iterator[tuple[int | None, bytes]]:
        """The bytes from `start` to before `stop`, a piece at a time.

        Content comes with the number of its member, headers and padding with None. Raises
        BadBundle for a file that is not what it was when the stream was laid out.
        """
        first = max(bisect_right(self.members, start, key=lambda member: member.begin) - 1, 0)
        at = start
        for number in range(first, len(self.members)):
            member = self.members[number]
            if at >= stop or member.begin >= stop:
                break
            if at < member.offset:
                head = header(member.name, member.bytes, member.same_as)
                head = head[at - member.begin : stop - member.begin]
                yield None, head
                at += len(head)
            end = member.offset + member.bytes
            if at < min(end, stop):
                for some in _content(member, at - member.offset, min(end, stop) - at):
                    yield number, some
                    at += len(some)
            padding = min(_padded(end), stop) - at
            if padding > 0:
                yield None, bytes(padding)
                at += padding
        if at < stop:
            yield None, bytes(stop - at)


def lay_out(files: Iterable[tuple[str, Path]]) -> TarStream:
    """Give every file, by its name in the archive, its place. Nothing is read yet."""
    members = []
    first: dict[tuple[int, ...], str] = {}
    at = 0
    for name, path in sorted(files, key=lambda file: file[0].encode()):
        about = path.stat()
        # Size and date too: not every file system has numbers of its own for its files.
        one = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        same_as = first.get(one) if about.st_ino else None
        first.setdefault(one, name)
        size = 0 if same_as else about.st_size
        offset = at + len(header(name, size, same_as))
        members.append(Member(name, path, size, about.st_mtime_ns, at, offset, same_as))
        at = _padded(offset + size)
    total = at + 2 * BLOCK
    return TarStream(tuple(members), total + -total % RECORD)


def header(name: str, size: int, same_as: str | None = None) -> bytes:
    """The header of a file, or of a link to an earlier one: one block, with a pax header before it
    where one is too small.
    """
    short = _split(name)
    more = b"" if short else _pax("path", name)
    if size > LARGEST:
        more += _pax("size", str(size))
    if same_as and not (same_as.isascii() and len(same_as) <= 100):
        more += _pax("linkpath", same_as)
    kind = b"1" if same_as else b"0"
    names = short or ("", _kept(name))
    last = _block(*names, min(size, LARGEST), kind, _kept(same_as or ""))
    if not more:
        return last
    return _block("", "pax", len(more), b"x") + more + bytes(-len(more) % BLOCK) + last


def _kept(name: str) -> str:
    """What the old header has room for of a name that stands in a pax header, if it is too long."""
    kept = "".join(letter if letter.isascii() else "_" for letter in name)
    return kept if len(kept) <= 100 else kept[-100:].lstrip("/")


def _split(name: str) -> tuple[str, str] | None:
    """Prefix and rest of a name as the old header holds them, None if it has no room."""
    if not name.isascii():
        return None
    if len(name) <= 100:
        return "", name
    for cut in range(len(name) - 101, min(155, len(name) - 1) + 1):
        if cut > 0 and name[cut] == "/":
            return name[:cut], name[cut + 1 :]
    return None


def _pax(key: str, value: str) -> bytes:
    """A record `LENGTH key=value`, whose length counts its own digits."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _block(prefix: str, name: str, size: int, kind: bytes, same_as: str = "") -> bytes:
    fields = (
        name.encode().ljust(100, b"\0"),
        b"0000644\0",  # who may read it
        b"0000000\0" * 2,  # owner and group
        f"{size:011o}\0".encode(),
        b"00000000000\0",  # date
        b" " * 8,  # for now: the sum counts blanks in its own place
        kind,
        same_as.encode().ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"0000000\0" * 2,
        prefix.encode().ljust(155, b"\0"),
        bytes(12),
    )
    block = b"".join(fields)
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def _padded(at: int) -> int:
    return at + -at % BLOCK


def _content(member: Member, start: int, count: int) -> Iterator[bytes]:
    try:
        with member.path.open("rb") as stream:
            _refuse_changed(member, os.fstat(stream.fileno()))
            stream.seek(start)
            while count:
                some = stream.read(min(CHUNK, count))
                if not some:
                    break
                count -= len(some)
                yield some
            _refuse_changed(member, os.fstat(stream.fileno()), missing=count)
    except OSError as error:
        raise BadBundle(
            f"cannot be read ({error.strerror or error})",
            location=member.path,
            hint="Mend it and run the same command again.",
        ) from None


def _refuse_changed(member: Member, now: os.stat_result, missing: int = 0) -> None:
    if missing or (now.st_size, now.st_mtime_ns) != (member.bytes, member.changed):
        raise BadBundle(
            "changed while it was packed",
            location=member.path,
            hint="Let what writes to it end, then run the same command again.",
        )


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
    """Images that are not where the data folder says."""


def pack(data: Path, out: Path, *, part_size: int = PART_SIZE, images: bool = False) -> Made:
    """Pack a data folder, a run folder, or any other folder of files into `out`.

    `images` adds those of a data folder, to `images/`, where an unpacked data folder looks for
    them; else they stay behind. Links are followed. Memory does not grow with the bytes. Raises
    BadBundle for what cannot be packed, BadConfig for sizes and options that do not fit.
    """
    data, out = Path(data), Path(out)
    if part_size < 1:
        raise BadConfig("parts have no size", hint="Give a --part-size such as 500MB.")
    if not data.is_dir():
        raise BadBundle("there is no such folder", location=data, hint="Give a data or run folder.")
    what = _kind(data)
    if images and what != "data folder":
        raise BadConfig(f"{data} is a {what}: it has no images", hint="Leave out --images.")
    if out.resolve().is_relative_to(data.resolve()):
        raise BadBundle("lies in what is packed", location=out, hint="Give another --out.")
    if out.exists() and not out.is_dir():
        raise BadBundle("is a file", location=out, hint="Give another --out.")
    files, left_out = _files(data, what, images)
    stream = lay_out(files.items())
    count = -(-stream.total // part_size)
    if count > MOST_PARTS:
        raise BadConfig(
            f"that would be {count:,} parts", hint=f"At most {MOST_PARTS:,}: give larger ones."
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


def _files(data: Path, what: str, images: bool) -> tuple[dict[str, Path], int]:
    """Name in the archive and place of every file, and how many images are not there."""
    folder = DataFolder(data) if what == "data folder" else None
    apart = {(data / IMAGES).resolve(), folder.image_root.resolve()} if folder else set()
    files = dict(_walk(data, "", apart, ()))
    left_out = 0
    if folder is not None and images:
        for file in {image.file for image in folder.images()}:
            path = folder.image_root / file
            if path.is_file():
                files[f"{IMAGES}/{Path(file).as_posix()}"] = path
            else:
                left_out += 1
    if not files:
        raise BadBundle("holds no files", location=data, hint="Give a data or run folder.")
    for name in files:
        if why := why_unsafe(name):
            raise BadBundle(
                f"the name {name.encode(errors='replace').decode()!r} {why}",
                location=data,
                hint="Give it another name.",
            )
    return files, left_out


def _walk(
    folder: Path, below: str, apart: set[Path], above: Sequence[Any]
) -> Iterator[tuple[str, Path]]:
    """All files below a folder, links followed, but for the folders in `apart`."""
    about = folder.stat()
    if (about.st_dev, about.st_ino) in above:
        raise BadBundle("is a link to a folder above it", location=folder, hint="Delete the link.")
    with os.scandir(folder) as entries:
        inside = list(entries)
    for entry in inside:
        path = folder / entry.name
        if entry.is_dir():
            if path.resolve() not in apart:
                here = (*above, (about.st_dev, about.st_ino))
                yield from _walk(path, f"{below}{entry.name}/", apart, here)
        elif not entry.is_file():
            message = "is a link to nothing" if entry.is_symlink() else "is neither file nor folder"
            raise BadBundle(message, location=path, hint="Delete it, or put back what it links to.")
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
