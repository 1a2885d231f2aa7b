"""Is there room on the disk, and what is said where it cannot be written after all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saccade.errors import SaccadeError
from saccade.terminal import size_in_words


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk on which a folder lies, or will lie."""
    above = (folder.absolute(), *folder.absolute().parents)
    return shutil.disk_usage(next(path for path in above if path.exists())).free


def refuse_small_disk(
    error: type[SaccadeError], folder: Path, what: str, needed: int, cure: str
) -> None:
    """Raise an error where `folder` lies, or will lie, on a disk without `needed` free bytes.

    `what` needs them; `cure` is what helps besides making room.
    """
    free = free_bytes(folder)
    if needed > free:
        raise error(
            f"{what} needs {size_in_words(needed)}, {size_in_words(free)} are free",
            where=folder,
            cure=f"Make room, or {cure}.",
        )


@contextmanager
def disk_errors(
    error: type[SaccadeError], folder: Path, option: str, does: str = "written"
) -> Iterator[None]:
    """Tell what the system refuses, in work that can be gone on with, as an error of ours.

    `option` names `folder`; `does` is what cannot be.
    """
    try:
        yield
    except OSError as refused:
        raise error(
            f"cannot be {does}: {refused.strerror or refused}",
            where=refused.filename or folder,
            cure=f"Make room or give another {option}; the same command goes on where it stopped.",
        ) from None
