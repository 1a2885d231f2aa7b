"""Is there room on the disk? Asked before the first byte is written."""

import shutil
from pathlib import Path

from saccade.errors import SaccadeError
from saccade.terminal import size_in_words


def refuse_small_disk(
    error: type[SaccadeError], folder: Path, what: str, needed: int, cure: str
) -> None:
    """Raise an error where `folder` lies, or will lie, on a disk without `needed` free bytes.

    `what` needs them; `cure` is what helps besides making room.
    """
    above = (folder.absolute(), *folder.absolute().parents)
    free = shutil.disk_usage(next(path for path in above if path.exists())).free
    if needed > free:
        raise error(
            f"{what} needs {size_in_words(needed)}, {size_in_words(free)} are free",
            where=folder,
            cure=f"Make room, or {cure}.",
        )
