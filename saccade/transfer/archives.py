"""Unpacking zip and tar files of others, safely.

Nothing is written outside the folder, nor more than `Limits` allow. Links, devices and encrypted
members are refused. A file that is there already is kept and must be the same, so the same command
again goes on where it stopped.
"""

import errno
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from saccade.core.errors import BadDownload
from saccade.core.files import Limits, refuse_small_disk
from saccade.core.formatting import size_in_words
from saccade.transfer.pieces import CHUNK, place, why_unsafe

ENDINGS = (".zip", ".tar")
MOVE_AWAY = "Move it away and run the same command again."
JUNK = ("__MACOSX/",)
"""Folders that the packer of some archives left behind."""
DEFECTS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, LookupError, ValueError, OverflowError),
    RuntimeError,  # for a compression that is not known
)
"""Errors that readers raise for damaged files."""


class _Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_whole(path: Path) -> bool:
    """Does the structure of an archive exist? Not in a cut one, nor in a web page."""
    return zipfile.is_zipfile(path) if path.suffix == ".zip" else tarfile.is_tarfile(path)


def unpack(path: Path, into: Path, limits: Limits | None = None) -> list[str]:
    """Unpack an archive below `into`; returns the names that then stand there.

    Nothing is written before all members were checked. Raises BadDownload for an archive that is
    broken, unsafe or too large, and where it differs from a file that is there.
    """
    try:
        with ExitStack() as stack:
            members = _members(path, limits or Limits(), stack)
            into.mkdir(parents=True, exist_ok=True)
            needed = sum(member.size for member in members if not (into / member.name).exists())
            refuse_small_disk(BadDownload, into, "unpacking", needed, "give another disk: --to DIR")
            for member in members:
                _write(member, into / member.name, path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        message = "a file stands where a folder must be, or the other way round"
        raise BadDownload(message, location=error.filename, hint=MOVE_AWAY) from None
    except (*DEFECTS, OSError) as error:
        # EINVAL: a place before the beginning was to be read.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        message = f"is not whole ({error or type(error).__name__})"
        hint = "Delete it and run the same command again."
        raise BadDownload(message, location=path, hint=hint) from None
    return sorted({member.name.partition("/")[0] for member in members})


def _members(path: Path, limits: Limits, stack: ExitStack) -> list[_Member]:
    """All files of an archive, after every one was found to be safe."""
    members: dict[str, _Member] = {}
    total, most = 0, limits.bytes_of(path)
    for member in _files(path, stack):
        if why := why_unsafe(member.name):
            raise _unsafe(path, f"the name {member.name[:80]!r} {why}")
        if member.name in members:
            raise _unsafe(path, f"{member.name!r} stands in it twice")
        total += member.size
        if total > most or len(members) >= limits.members:
            why = f"it would become more than {size_in_words(most)} or too many files"
            raise _unsafe(path, why)
        members[member.name] = member
    return [member for name, member in members.items() if not name.startswith(JUNK)]


def _files(path: Path, stack: ExitStack) -> Iterator[_Member]:
    """The files of an archive, in its order."""
    if path.suffix == ".zip":
        zipped = stack.enter_context(zipfile.ZipFile(path))
        for entry in zipped.infolist():
            if entry.flag_bits & 1:
                raise _unsafe(path, f"{entry.filename[:80]!r} is encrypted")
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _unsafe(path, f"{entry.filename[:80]!r} is a link or a device")
            if not entry.is_dir():
                yield _Member(entry.filename, entry.file_size, partial(zipped.open, entry))
        return
    # A tar file that is not compressed: what it may become is then what it is.
    archive = stack.enter_context(tarfile.TarFile(path))
    for info in archive:
        if not (info.isreg() or info.isdir()) or info.issparse():
            raise _unsafe(path, f"{info.name[:80]!r} is a link or a device")
        if info.isreg():
            name = info.name.removeprefix("./")
            # `extractfile` gives None only for what is no file.
            yield _Member(name, info.size, partial(archive.extractfile, info))  # type: ignore[arg-type]


def _write(member: _Member, target: Path, path: Path) -> None:
    """Write a file, or compare it with the one that is there."""

    def refuse_short(written: Path) -> None:
        if written.stat().st_size != member.size:
            raise EOFError(f"{member.name} is cut")

    with member.open() as stream:
        chunks = iter(partial(stream.read, CHUNK), b"")
        if not target.exists():
            place(chunks, target, refuse_short)
            return
        with target.open("rb") as there:
            if any(there.read(len(some)) != some for some in chunks) or there.read(1):
                message = f"is there already and is not the file in {path.name}"
                raise BadDownload(message, location=target, hint=MOVE_AWAY)


def _unsafe(path: Path, why: str) -> BadDownload:
    hint = "Do not use it; fetch it from its makers."
    return BadDownload(f"is not unpacked: {why}", location=path, hint=hint)
