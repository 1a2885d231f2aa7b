"""Files that are complete or absent, locks, checksums, and disk space."""

import errno
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from weakref import WeakSet

from saccade.core.errors import BadData, SaccadeError
from saccade.core.formatting import size_in_words


@contextmanager
def in_one_go(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without an error.

    A reader finds the old file complete, or the new one. Its permissions are those of new files,
    also where a library is stricter.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch()
    usual = part.stat().st_mode
    try:
        yield part
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.chmod(usual)
    with part.open("r+b") as stream:
        to_disk(stream)
    part.replace(path)


@contextmanager
def folder_in_one_go(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, which takes its place when the block ends without an error.

    Where `out` is a link, the folder that it leads to is replaced, and the link stays.
    """
    out = Path(os.path.realpath(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
        part = Path(place) / "new"
        part.mkdir()
        yield part
        if out.exists():
            out.rename(Path(place) / "old")
        part.rename(out)


def to_disk(stream: IO[bytes]) -> None:
    """Wait until what was written is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one go."""
    with in_one_go(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, in one go."""
    write_bytes(path, text.encode())


def as_json(value: object) -> str:
    """JSON that a person can read; equal values give equal text."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a value as `as_json` text in one go."""
    write_text(path, as_json(value))


def link_or_copy(file: Path, to: Path) -> None:
    """A hard link to a file, or, where the disk has none, a copy made in one go."""
    try:
        os.link(file, to)
    except OSError:
        with in_one_go(to) as part:
            shutil.copyfile(file, part)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


LOCK = ".lock"
"""A file in a folder that is being written, which says by whom; only a kill leaves it there."""
_locked: WeakSet[IO[bytes]] = WeakSet()


def lock(stream: IO[bytes]) -> bool:
    """Lock a file that is open for writing; False where another process has the lock.

    Some network disks have no locks: there it is True always.
    """
    from filelock import lock_descriptor  # noqa: PLC0415  it takes a fifth of a second

    _locked.add(stream)
    try:
        return lock_descriptor(stream.fileno(), blocking=False)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return True


def _give_up_locks() -> None:
    """Give up the locks of the process that this one was forked from: else a worker would hold
    them for some seconds after that one was killed."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in _locked:
        if not stream.closed:
            os.dup2(nowhere, stream.fileno(), inheritable=False)
    os.close(nowhere)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up_locks)


@contextmanager
def held(
    error: type[SaccadeError], folder: Path, work: str, option: str, location: Path | None = None
) -> Iterator[None]:
    """Lock on a folder, which is made where there is none, and deleted again where it stays empty.

    Raises `error` where another process has it, with that one's `work`; `option` is the command's
    option that names the folder, and `location` another name of it.
    """
    new = not folder.exists()
    stream = _lock_file(folder, f"saccade {work} (process {os.getpid()} on {platform.node()})")
    if isinstance(stream, str):
        hint = f"Wait for it, or give another {option}."
        raise error(f"{stream} is at work here", location=location or folder, hint=hint)
    if sys.platform == "win32":  # a folder cannot be opened there, so the file stays
        with stream:
            yield
        return
    place = os.open(folder, os.O_RDONLY)  # finds the file also where the folder was renamed
    try:
        yield
    finally:
        os.unlink(LOCK, dir_fd=place)
        os.close(place)
        stream.close()
        with suppress(OSError):
            if new:
                folder.rmdir()


def _lock_file(folder: Path, holder: str) -> IO[bytes] | str:
    """The file of a folder's lock, which it has now; or who has the lock."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        # Another process may just have ended, and deleted the folder or the file.
        with suppress(FileNotFoundError), ExitStack() as closed:
            stream = closed.enter_context((folder / LOCK).open("a+b"))
            if not lock(stream):
                stream.seek(0)
                return stream.read(300).decode(errors="replace") or "another process"
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(folder / LOCK)):
                stream.truncate(0)
                with suppress(OSError):  # a full disk has no place for a name, but has locks
                    stream.write(holder.encode())
                    stream.flush()
                closed.pop_all()
                return stream


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk on which a folder lies, or will lie."""
    return shutil.disk_usage(at_or_above(folder)).free


def at_or_above(path: Path) -> Path:
    """A path, or the nearest folder above it that is there."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def refuse_missing_data(folder: Path) -> None:
    """Raise BadData where there is no such data folder."""
    if not folder.is_dir():
        hint = "Prepare one: saccade prepare DIR --out DATA."
        raise BadData("there is no such data folder", location=folder, hint=hint)


def refuse_small_disk(
    error: type[SaccadeError], folder: Path, subject: str, needed: int, hint: str
) -> None:
    """Raises `error` where the disk of `folder` has fewer than the `needed` free bytes.

    `subject` names what needs them; `hint` says what helps besides making room.
    """
    if needed > (free := free_bytes(folder)):
        message = f"{subject} needs {size_in_words(needed)}, {size_in_words(free)} are free"
        raise error(message, location=folder, hint=f"Make room, or {hint}.")


@contextmanager
def disk_errors(
    error: type[SaccadeError], folder: Path, option: str, does: str = "written"
) -> Iterator[None]:
    """Raises `error` for the system's own errors, in work that can be resumed.

    `option` is the command's option that names `folder`; `does` is what cannot be done.
    """
    try:
        yield
    except OSError as refused:
        message = f"cannot be {does}: {refused.strerror or refused}"
        hint = f"Make room or give another {option}; the same command goes on where it stopped."
        raise error(message, location=refused.filename or folder, hint=hint) from None


@dataclass(frozen=True)
class Limits:
    """Size limits of what an archive may become."""

    members: int = 2_000_000
    growth: int = 100
    """Times the archive's own size; JSON grows to about 15 times."""
    always: int = 50_000_000
    """Bytes that are never too many."""

    def bytes_of(self, path: Path) -> int:
        """So many bytes at most may become of a file."""
        return max(self.always, self.growth * path.stat().st_size)
