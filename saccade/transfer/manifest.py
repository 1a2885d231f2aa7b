"""The table of contents of a packed folder: `manifest.json`.

    format    3
    kind      data folder, run folder, or folder
    bytes     length of the tar file that was cut into the parts
    parts     [{name, bytes, sha256}], in order
    files     [{name, bytes, sha256, offset}]; offset is where the content begins in the tar file.
              Where several names are one file, all but the first also have `same_as`, that name

It is written last: without it the folder does not count. `SHA256SUMS` says the same of parts and
manifest for `sha256sum -c`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from saccade.core.errors import BadBundle
from saccade.core.files import sha256_of, write_json, write_text
from saccade.core.settings import Settings, first_problem
from saccade.transfer.pieces import why_unsafe

FORMAT = 3
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
PART = "pack.tar."
COPY_AGAIN = "Copy it again from where it was packed."
Size = Annotated[int, Field(strict=True, ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(Settings):
    """A slice of the tar file."""

    name: str
    bytes: Size
    sha256: Sha256


class PackedFile(Part):
    """A file in the tar file."""

    offset: Size
    same_as: str | None = None
    """The name of the file before it that has its content."""


class Manifest(Settings):
    """All that is in a packed folder."""

    model_config = ConfigDict(extra="ignore")  # `format`, and what is written for people

    kind: str
    bytes: Size
    parts: tuple[Part, ...]
    files: tuple[PackedFile, ...]


def part_names(count: int) -> list[str]:
    """The names of the parts, from 1 on; as many digits for all, so that a shell sorts them."""
    digits = max(4, len(str(count)))
    return [f"{PART}{number:0{digits}d}" for number in range(1, count + 1)]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, then `SHA256SUMS`."""
    about = {"format": FORMAT, "without_saccade": f"cat {PART}* | tar x -C FOLDER"}
    write_json(folder / MANIFEST, about | manifest.model_dump(exclude_none=True))
    sums = [(part.sha256, part.name) for part in manifest.parts]
    sums.append((sha256_of(folder / MANIFEST), MANIFEST))
    write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for digest, name in sums))


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest, which may be from anywhere. Raises BadBundle."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        why = "`saccade pack` made no parts"
        if folder.is_dir() and any(folder.glob(f"{PART}*")):
            why = "packing did not end, or it was not copied"
        raise BadBundle(f"there is none: {why}", location=path, hint=COPY_AGAIN) from None
    except OSError as error:
        raise _broken(path, f"it cannot be read ({error.strerror})") from None
    sums = folder / SUMS
    if sums.is_file():  # it was copied too
        lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = [line.split()[0] for line in lines if line.endswith(f"  {MANIFEST}")]
        if wanted and wanted[0] != sha256_of(path):
            raise _broken(path, f"{SUMS} knows another")
    try:
        found = _Format.model_validate_json(text).format
        if found != FORMAT:
            message = f"is of format {found!r}, this version reads {FORMAT}"
            hint = "Pack it again; or, without saccade: see `without_saccade` in the file."
            raise BadBundle(message, location=path, hint=hint)
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise _broken(path, first_problem(error, "it")) from None
    for fault in _faults(manifest):
        raise _broken(path, fault)
    return manifest


class _Format(Settings):
    model_config = ConfigDict(extra="ignore")

    format: int


def _faults(manifest: Manifest) -> Iterator[str]:
    """Contradictions in a manifest, and names that would be unsafe to follow."""
    if [part.name for part in manifest.parts] != part_names(len(manifest.parts)):
        yield "the parts are not numbered from 1 on"
    if sum(part.bytes for part in manifest.parts) != manifest.bytes:
        yield "the parts are not as long as the whole"
    end = 0
    before: dict[str | None, PackedFile] = {}
    for file in manifest.files:
        if why := why_unsafe(file.name):
            yield f"the name {file.name[:80]!r} {why}"
        alike = {"name": file.same_as, "same_as": None}
        if file.same_as is None:
            if file.offset < end or file.offset + file.bytes > manifest.bytes:
                yield f"{file.name!r} lies outside, or over another file"
            before[file.name] = file
            end = file.offset + file.bytes
        elif file.model_copy(update=alike) != before.get(file.same_as):
            yield f"{file.name!r} is said to be the same as a file that is not before it"
    if len({file.name for file in manifest.files}) < len(manifest.files):
        yield "a file stands in it twice"


def _broken(path: Path, why: str) -> BadBundle:
    return BadBundle(f"is damaged: {why}", location=path, hint=COPY_AGAIN)
