"""`saccade pack`: a folder as a tar file in parts that a slow line can carry.

The parts are consecutive slices of one plain tar file, so `cat pack.tar.* | tar x` undoes it
without saccade. Equal folders give equal bytes: packing again writes only the parts that are
missing or differ, and copying again carries only those.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from saccade.core.errors import BadBundle, BadConfig
from saccade.core.files import LOCK, disk_errors, refuse_small_disk, to_disk
from saccade.core.run_files import FOLDS
from saccade.data.folder import IMAGES, DataFolder
from saccade.transfer.manifest import (
    MANIFEST,
    PART,
    SUMS,
    Manifest,
    PackedFile,
    Part,
    part_names,
    write_manifest,
)
from saccade.transfer.pieces import CHUNK, TEMPORARY, bar, chunks_of, why_unsafe

PART_SIZE = 500_000_000
MAX_PARTS = 99_999
KINDS = {"dataset.json": "data folder", "run.json": "run folder"}
"""What a folder is, by a file in it."""
UNFINISHED = (".part", TEMPORARY, LOCK)
"""Endings of files that a stopped program left behind."""


class Made(NamedTuple):
    """The result of `pack`."""

    manifest: Manifest
    kept: int
    """Parts that were there already, equal to the byte."""
    left_out: int
    """Images that are not where the data folder says."""


class Member(NamedTuple):
    """A file that becomes a member of the tar file."""

    info: tarfile.TarInfo
    path: Path
    changed: int
    """When the file was last written, in nanoseconds."""

    @property
    def tar_bytes(self) -> int:
        """Bytes that header and content take in the tar file."""
        return len(self.info.tobuf(tarfile.PAX_FORMAT)) + _padded(self.info.size)


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
    kind = next((KINDS[name] for name in KINDS if (data / name).is_file()), "folder")
    if images and kind != "data folder":
        raise BadConfig(f"{data} is a {kind}: it has no images", hint="Leave out --images.")
    if out.resolve().is_relative_to(data.resolve()):
        raise BadBundle("lies in what is packed", location=out, hint="Give another --out.")
    if out.exists() and not out.is_dir():
        raise BadBundle("is a file", location=out, hint="Give another --out.")
    files, left_out = _files(data, kind, images)
    members = members_of(files)
    end = sum(member.tar_bytes for member in members) + 2 * tarfile.BLOCKSIZE
    total = end + -end % tarfile.RECORDSIZE
    count = -(-total // part_size)
    if count > MAX_PARTS:
        hint = f"At most {MAX_PARTS:,}: give larger ones."
        raise BadConfig(f"that would be {count:,} parts", hint=hint)
    names = part_names(count)
    with disk_errors(BadBundle, out, "--out"):
        # Make room: the old manifest goes first, parts of another packing go too.
        (out / MANIFEST).unlink(missing_ok=True)
        (out / SUMS).unlink(missing_ok=True)
        for path in list(out.iterdir()) if out.exists() else ():
            if re.fullmatch(re.escape(PART) + r"\d{4,}", path.name) and path.name not in names:
                path.unlink()
        there = sum(path.stat().st_size for path in map(out.joinpath, names) if path.is_file())
        needed = total - there + (part_size if there else 0)
        refuse_small_disk(BadBundle, out, "packing", needed, "give another disk: --out DIR")
        out.mkdir(parents=True, exist_ok=True)
        with bar(f"packing to {out}") as show, PartWriter(out, names, part_size) as parts:
            packed = write_tar(members, parts, lambda done: show(done, total))
        manifest = Manifest(kind=kind, bytes=total, parts=tuple(parts.parts), files=packed)
        write_manifest(out, manifest)
    return Made(manifest, parts.kept, left_out)


def _files(data: Path, kind: str, images: bool) -> tuple[dict[str, Path], int]:
    """Name in the archive and path of every file, and how many images are missing."""
    folder = DataFolder(data) if kind == "data folder" else None
    # The folds of a run are data folders, each with a link to all features.
    apart = {(data / FOLDS).resolve()} if kind == "run folder" else set()
    apart |= {(data / IMAGES).resolve(), folder.image_root.resolve()} if folder else set()
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
            shown = name.encode(errors="replace").decode()
            hint = "Give it another name."
            raise BadBundle(f"the name {shown!r} {why}", location=data, hint=hint)
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


def members_of(files: Mapping[str, Path]) -> list[Member]:
    """Members by name, in the order of their bytes, of equal rights, owner and date everywhere.

    A file of several names is a member once, at the first name; the others are hard links to it.
    """
    members = []
    first: dict[tuple[int, ...], str] = {}
    for name, path in sorted(files.items(), key=lambda file: file[0].encode()):
        about = path.stat()
        # Size and date too: not every file system has numbers of its own for its files.
        identity = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        info = tarfile.TarInfo(name)
        if about.st_ino and identity in first:
            info.type, info.linkname = tarfile.LNKTYPE, first[identity]
        else:
            info.size = about.st_size
        first.setdefault(identity, name)
        members.append(Member(info, path, about.st_mtime_ns))
    return members


def write_tar(
    members: Sequence[Member], parts: "PartWriter", show: Callable[[int], None]
) -> tuple[PackedFile, ...]:
    """Write the tar file; returns what is in it.

    Raises BadBundle for a file that cannot be read, or that changed since it was listed.
    """
    packed: dict[str, PackedFile] = {}
    archive = tarfile.TarFile(fileobj=parts, mode="w", format=tarfile.PAX_FORMAT, copybufsize=CHUNK)
    with archive:
        for member in members:
            info = member.info
            if info.islnk():
                archive.addfile(info)
                same = {"name": info.name, "same_as": info.linkname}
                packed[info.name] = packed[info.linkname].model_copy(update=same)
                continue
            try:
                stream = member.path.open("rb")
            except OSError as error:
                raise _unreadable(member, error) from None
            with stream:
                source = _Source(stream, member)
                archive.addfile(info, source)
                now = os.fstat(stream.fileno())
            if (now.st_size, now.st_mtime_ns) != (info.size, member.changed):
                raise _changed(member)
            offset, sha256 = archive.offset - _padded(info.size), source.digest.hexdigest()
            packed[info.name] = PackedFile(
                name=info.name, bytes=info.size, sha256=sha256, offset=offset
            )
            show(archive.offset)
    return tuple(packed.values())


def _padded(size: int) -> int:
    return size + -size % tarfile.BLOCKSIZE


class _Source:
    """A member's file as `tarfile` reads it, counted in a SHA-256."""

    def __init__(self, stream: IO[bytes], member: Member) -> None:
        self.stream, self.member, self.digest = stream, member, hashlib.sha256()

    def read(self, count: int = 0) -> bytes:
        """Exactly `count` bytes. Raises BadBundle where the file has become shorter."""
        try:
            some = self.stream.read(count)
        except OSError as error:
            raise _unreadable(self.member, error) from None
        self.digest.update(some)
        if len(some) < count:
            raise _changed(self.member)
        return some


def _unreadable(member: Member, error: OSError) -> BadBundle:
    message = f"cannot be read ({error.strerror or error})"
    return BadBundle(message, location=member.path, hint="Mend it and run the same command again.")


def _changed(member: Member) -> BadBundle:
    hint = "Let what writes to it end, then run the same command again."
    return BadBundle("changed while it was packed", location=member.path, hint=hint)


class PartWriter(io.RawIOBase):
    """A stream that is cut into files of one size.

    A file that is there already is compared with what comes: it is kept where it is equal, and
    written again, in one go, only from the first difference on.
    """

    def __init__(self, folder: Path, names: Sequence[str], part_size: int) -> None:
        super().__init__()
        self.folder, self.names, self.part_size = folder, names, part_size
        self.parts: list[Part] = []
        self.kept = 0
        self._temporary = folder / TEMPORARY
        self._old: IO[bytes] | None = None
        self._new: IO[bytes] | None = None
        self._start_part()

    def tell(self) -> int:
        """Bytes that were written."""
        return len(self.parts) * self.part_size + self._filled

    def write(self, data: Any) -> int:
        """Take the next bytes."""
        rest = memoryview(data)
        while rest:
            if self._filled == self.part_size:
                self._finish()
                self._start_part()
            piece = rest[: self.part_size - self._filled]
            if self._old is None or self._old.read(len(piece)) != piece:
                self._differ().write(piece)
            self._digest.update(piece)
            self._filled += len(piece)
            rest = rest[len(piece) :]
        return len(data)

    def _start_part(self) -> None:
        self._path = self.folder / self.names[len(self.parts)]
        self._filled, self._digest = 0, hashlib.sha256()
        self._old = self._path.open("rb") if self._path.is_file() else None

    def _differ(self) -> IO[bytes]:
        """A new file, written from here on, which begins with what was equal in the old one."""
        if self._new is None:
            self._new = self._temporary.open("wb")
            self._new.writelines(chunks_of(self._path, 0, self._filled) if self._filled else ())
        if self._old is not None:
            self._old.close()
            self._old = None
        return self._new

    def _finish(self) -> None:
        if self._old is not None and self._old.read(1):  # it is longer
            self._differ()
        if self._new is None:
            self.kept += 1
        else:
            to_disk(self._new)
            self._new.close()
            os.replace(self._temporary, self._path)
        self._close_files()
        sha256 = self._digest.hexdigest()
        self.parts.append(Part(name=self._path.name, bytes=self._filled, sha256=sha256))

    def _close_files(self) -> None:
        for opened in (self._old, self._new):
            if opened is not None:
                opened.close()
        self._old = self._new = None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the last part; after an error leave no part that is not complete."""
        try:
            if kind is None:
                self._finish()
        finally:
            self._close_files()
            self._temporary.unlink(missing_ok=True)
