"""What a packed folder says of itself: `manifest.json`.

    format    1; 2 where a file has several names
    what      data folder, run folder, or folder
    bytes     length of the tar file whose slices the parts are
    parts     [{name, bytes, sha256}], in order
    files     [{name, bytes, sha256, offset}]; offset is where the content begins in the tar file.
              Where several names are one file, all but the first also have `same_as`, that name

It is written last: without it the folder does not count. `SHA256SUMS` says the same of parts and
manifest for `sha256sum -c`.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from saccade.core.console import console
from saccade.core.errors import BadBundle
from saccade.core.files import sha256_of, write_json, write_text

# Names inside archives, which may come from anywhere, and files put in their place in one go.

CHUNK = 1 << 20
TEMPORARY = ".saccade-part"
"""The file that is being written, beside its place; no member may have its name."""
LONGEST = 4096


def why_unsafe(name: str) -> str | None:
    """What is wrong with a member's name, None if it is a plain path below the folder."""
    parts = name.split("/")
    longest = max(len(part.encode(errors="replace")) for part in parts)
    if not name or longest > 255 or len(name) > LONGEST:
        return "is empty, or longer than a file system takes"
    if not name.isprintable():  # control characters, and what is not UTF-8
        return "holds characters that cannot be printed"
    if "\\" in name or re.match(r"/|[A-Za-z]:", name) or {"", ".", ".."} & set(parts):
        return "is not a path below the folder"
    return "is a name that is used while writing" if TEMPORARY in parts else None


def place(chunks: Iterable[bytes], target: Path, whole: Callable[[Path], None]) -> None:
    """Write a file in one go: `whole` looks at it before it gets its name, and raises to refuse."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(TEMPORARY)
    try:
        with part.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        whole(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


FORMATS = (1, 2)
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
PART = "pack.tar."
COPY_AGAIN = "Copy it again from where it was packed."


class Part(NamedTuple):
    """A slice of the tar file."""

    name: str
    bytes: int
    sha256: str


class Packed(NamedTuple):
    """A file in it."""

    name: str
    bytes: int
    sha256: str
    offset: int
    same_as: str | None = None
    """The file before it that has its content."""


class Manifest(NamedTuple):
    """All that is in a packed folder."""

    what: str
    bytes: int
    parts: tuple[Part, ...]
    files: tuple[Packed, ...]


def part_name(number: int, count: int) -> str:
    """The name of a part, from 1 on; as many digits for all, so that a shell sorts them."""
    return f"{PART}{number:0{max(4, len(str(count)))}d}"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, then `SHA256SUMS`."""
    about = {
        "format": FORMATS[any(file.same_as for file in manifest.files)],
        "what": manifest.what,
        "without_saccade": f"cat {PART}* | tar x -C FOLDER",
        "bytes": manifest.bytes,
        "parts": [part._asdict() for part in manifest.parts],
        "files": [_without_none(file._asdict()) for file in manifest.files],
    }
    write_json(folder / MANIFEST, about)
    sums = [(part.sha256, part.name) for part in manifest.parts]
    sums.append((sha256_of(folder / MANIFEST), MANIFEST))
    write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for digest, name in sums))


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest, which may be from anywhere. Raises BadBundle."""
    path = folder / MANIFEST
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        parts = any(folder.glob(f"{PART}*")) if folder.is_dir() else False
        raise BadBundle(
            "packing did not end, or it was not copied: there is none" if parts
            else "there is none: this is not what `saccade pack` made",
            location=path,
            hint=COPY_AGAIN,
        ) from None  # fmt: skip
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, f"not JSON ({error})") from None
    _refuse_damaged(folder)
    if not isinstance(about, dict) or about.get("format") not in FORMATS:
        found = about.get("format") if isinstance(about, dict) else None
        raise BadBundle(
            f"is of format {found!r}, this version reads {FORMATS[-1]}",
            location=path,
            hint="Update saccade; or, without it: see `without_saccade` in the file.",
        )
    try:
        made = Manifest(
            str(about["what"]),
            int(about["bytes"]),
            tuple(Part(**part) for part in about["parts"]),
            tuple(Packed(**file) for file in about["files"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"a field is missing or strange ({error})") from None
    for fault in _faults(made):
        raise _broken(path, fault)
    return made


def _refuse_damaged(folder: Path) -> None:
    """Hold the manifest against `SHA256SUMS`, where that was copied too."""
    sums = folder / SUMS
    if not sums.is_file():
        return
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = [line.split()[0] for line in lines if line.endswith(f"  {MANIFEST}")]
    if wanted and wanted[0] != sha256_of(folder / MANIFEST):
        raise _broken(folder / MANIFEST, f"{SUMS} knows another")


def _faults(made: Manifest) -> Iterator[str]:
    """What in a manifest contradicts itself, or would be unsafe to follow, the worst first."""
    entries: list[Part | Packed] = [*made.parts, *made.files]
    for entry in entries:
        sizes = (entry.bytes, entry.offset if isinstance(entry, Packed) else 0)
        if type(entry.name) is not str or any(type(n) is not int or n < 0 for n in sizes):
            yield f"{entry.name!r} has no name or no size"
        if type(entry.sha256) is not str or not re.fullmatch("[0-9a-f]{64}", entry.sha256):
            yield f"{entry.name!r} has no SHA-256"
    names = [part_name(number, len(made.parts)) for number in range(1, len(made.parts) + 1)]
    if [part.name for part in made.parts] != names:
        yield "the parts are not numbered from 1 on"
    if sum(part.bytes for part in made.parts) != made.bytes:
        yield "the parts are not as long as the whole"
    at = 0
    before: dict[str, Packed] = {}
    for file in made.files:
        if why := why_unsafe(file.name):
            yield f"the name {file.name[:80]!r} {why}"
        if file.same_as is not None:
            first = before.get(file.same_as) if type(file.same_as) is str else None
            if first is None or file._replace(name=first.name, same_as=None) != first:
                yield f"{file.name!r} is said to be the same as what does not stand before it"
            continue
        before[file.name] = file
        if file.offset < at or file.offset + file.bytes > made.bytes:
            yield f"{file.name!r} lies outside, or over another file"
        at = file.offset + file.bytes
    if len({file.name for file in made.files}) < len(made.files):
        yield "a file stands in it twice"


def _broken(path: Path, why: str) -> BadBundle:
    return BadBundle(f"is damaged: {why}", location=path, hint=COPY_AGAIN)


# Files a piece at a time.


def chunks_of(path: Path, start: int = 0, count: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` on, `count` of them or all, a piece at a time."""
    with path.open("rb") as stream:
        stream.seek(start)
        while some := stream.read(CHUNK if count is None else min(CHUNK, count)):
            yield some
            if count is not None:
                count -= len(some)


# A bar of bytes on the terminal; nothing where nobody looks.

Show = Callable[[int, int | None], None]
"""Takes the bytes that are there and the bytes there will be, None where nobody knows."""


def show_nothing(_done: int, _total: int | None) -> None:
    """Where nobody looks."""


@contextmanager
def bar(what: str) -> Iterator[Show]:
    """Show on stderr how far a file has come."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    here = console()
    hidden = not here.is_terminal
    with Progress(what, *columns, console=here, disable=hidden, transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield show
