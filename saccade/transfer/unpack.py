"""`saccade unpack`: a folder again out of the parts that `saccade pack` made.

Every part is checked by its SHA-256 before any is used, and every file again as it is written.
The folder appears when all is there; what was stopped goes on where it was.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate
from pathlib import Path

from saccade.core.errors import BadBundle
from saccade.core.files import LOCK, disk_errors, held, refuse_small_disk, sha256_of
from saccade.transfer.manifest import COPY_AGAIN, Manifest, PackedFile, Part, read_manifest
from saccade.transfer.pieces import TEMPORARY, bar, chunks_of, place


def unpack(folder: Path, out: Path) -> Manifest:
    """Unpack the parts in `folder` to the new folder `out`.

    Memory does not grow with the bytes. Raises BadBundle for parts that are missing or damaged,
    naming them, for a manifest that is, for an `out` that has something in it, and where another
    process unpacks there.
    """
    folder, out = Path(folder), Path(out)
    manifest = read_manifest(folder)
    _refuse_filled(out)
    begun = out.absolute().with_name(f".{out.absolute().name}.unpacking")
    _refuse_foreign(begun, manifest.files)
    ends = list(accumulate(part.bytes for part in manifest.parts))
    with (
        disk_errors(BadBundle, out, "--out", "read or written"),
        held(BadBundle, begun, "unpack", "--out", location=out),
    ):
        _refuse_filled(out)  # another may just have ended
        _refuse_damaged_parts(folder, manifest.parts, ends)
        own = [file for file in manifest.files if file.same_as is None]
        needed = sum(file.bytes for file in own if not (begun / file.name).exists())
        refuse_small_disk(BadBundle, begun, "unpacking", needed, "give another disk: --out DIR")
        with bar(f"unpacking to {out}") as show:
            for file in manifest.files:
                target = begun / file.name
                same_size = target.is_file() and target.stat().st_size == file.bytes
                is_there = same_size and sha256_of(target) == file.sha256
                if not (is_there or _linked(begun, file)):
                    chunks = _slice(folder, manifest.parts, ends, file)
                    place(chunks, target, partial(_refuse_other, file, folder))
                show(file.offset + file.bytes, manifest.bytes)
        os.replace(begun, out)
    return manifest


def _refuse_filled(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BadBundle("is there already", location=out, hint="Give a new folder as --out.")


def _refuse_damaged_parts(folder: Path, parts: Sequence[Part], ends: Sequence[int]) -> None:
    """Check every part, and name all that must be copied again."""
    wrong = []
    with bar(f"checking {folder}") as show:
        for part, end in zip(parts, ends, strict=True):
            path = folder / part.name
            if not path.is_file():
                wrong.append(f"{part.name} is missing")
            elif path.stat().st_size != part.bytes:
                wrong.append(f"{part.name} has {path.stat().st_size:,} of {part.bytes:,} bytes")
            elif sha256_of(path) != part.sha256:
                wrong.append(f"{part.name} is damaged")
            show(end, ends[-1])
    if wrong:
        shown = wrong[:20] + ([f"and {len(wrong) - 20} more"] if len(wrong) > 20 else [])
        message = f"{len(wrong)} of {len(parts)} parts are not whole: {'; '.join(shown)}"
        hint = "Copy these again, and only these; then run the same command again."
        raise BadBundle(message, location=folder, hint=hint)


def _refuse_foreign(begun: Path, files: Sequence[PackedFile]) -> None:
    """Raises BadBundle where an earlier try left files of another bundle."""
    known = {file.name for file in files}
    there = {p.relative_to(begun).as_posix() for p in begun.rglob("*") if not p.is_dir()}
    foreign = sorted(name for name in there - known if not name.endswith((TEMPORARY, LOCK)))
    if foreign or begun.is_symlink():
        message = f"holds {foreign[0] if foreign else 'a link'}, which is not of this bundle"
        hint = "Delete that folder, which an earlier try left, and run the same command again."
        raise BadBundle(message, location=begun, hint=hint)


def _linked(begun: Path, file: PackedFile) -> bool:
    """Hard-link a further name of a file; False if there is no such file, or the disk cannot."""
    if file.same_as is not None:
        target = begun / file.name
        with suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            os.link(begun / file.same_as, target)
            return True
    return False


def _slice(
    folder: Path, parts: Sequence[Part], ends: Sequence[int], file: PackedFile
) -> Iterator[bytes]:
    """The content of a file, from the parts that hold it."""
    at, stop = file.offset, file.offset + file.bytes
    for part, end in zip(parts, ends, strict=True):
        if at >= stop:
            return
        if at < end:
            count = min(stop, end) - at
            yield from chunks_of(folder / part.name, at - (end - part.bytes), count)
            at += count


def _refuse_other(file: PackedFile, folder: Path, written: Path) -> None:
    if sha256_of(written) != file.sha256:
        hint = f"Manifest and parts are of two packings, or the disk fails. {COPY_AGAIN}"
        raise BadBundle(f"{file.name} is not what the manifest says", location=folder, hint=hint)
