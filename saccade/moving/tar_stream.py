"""A tar file that is never written as one: any slice of it can be read at any time.

The same files give the same bytes: names in order, no owners, no dates. A file of several names is
written at the first, the others are hard links to that one. It is a plain POSIX tar without
compression; names or sizes that its old header has no room for stand in a pax header.
"""

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import BadBundle
from saccade.moving.names import CHUNK

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
            where=member.path,
            cure="Mend it and run the same command again.",
        ) from None


def _refuse_changed(member: Member, now: os.stat_result, missing: int = 0) -> None:
    if missing or (now.st_size, now.st_mtime_ns) != (member.bytes, member.changed):
        raise BadBundle(
            "changed while it was packed",
            where=member.path,
            cure="Let what writes to it end, then run the same command again.",
        )
