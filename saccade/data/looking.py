"""Looking for files by name in a folder and the folders directly below it."""

import os
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from saccade.errors import BadConfig, BadData

SETTLED = 3_000_000_000
"""Nanoseconds after which a folder's time stamp tells whether it has changed since."""


def files_like(root: Path, pattern: str) -> list[Path]:
    """Files whose whole name matches `pattern`, those in `root` first, then by name.

    Folders that nobody may list are passed over.
    """
    matches = re.compile(pattern).fullmatch
    return [
        folder / name
        for folder in [root, *folders_in(root)]
        for name in _names(folder)
        if matches(name)
    ]


def _names(folder: Path) -> Sequence[str]:
    """Names of the files in a folder; sixteen sources ask for the same folders in turn.

    A listing is kept while the folder has not changed. One that changed in the last seconds is
    not kept: its time stamp could stay the same when it changes again.
    """
    try:
        changed = folder.stat().st_mtime_ns
        if time.time_ns() - changed < SETTLED:
            return _listed.__wrapped__(folder, changed)
        return _listed(folder, changed)
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _listed(folder: Path, changed: int) -> Sequence[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())


def one_file(root: Path, given: str, pattern: str, option: str, usual: str) -> Path:
    """The file that the user names, or else the only one whose name matches.

    `option` is what the user would say ("captions"), `usual` the released name. Raises BadData if
    there is none, BadConfig if there are several.
    """
    if given:
        return root / given
    found = files_like(root, pattern)
    if not found:
        cure = f"Check --root, or name the file: {option}=FILE."
        raise BadData(f"holds no {usual}", where=root, cure=cure)
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found[:6])
        what = f"holds several files like {usual}: {names}"
        raise BadConfig(what, where=root, cure=f"Say which: {option}=FILE.")
    return found[0]


def first_reason(root: Path, pattern: str) -> str | None:
    """What a recogniser says when a file of that name is there, else None."""
    found = files_like(root, pattern)
    return f"there is {found[0].relative_to(root).as_posix()}" if found else None


def folder_like(root: Path, holds: Callable[[Path], bool]) -> Path | None:
    """`root`, or the first folder directly below it, of which `holds` is true."""
    return next((folder for folder in [root, *folders_in(root)] if holds(folder)), None)


def folders_in(root: Path) -> list[Path]:
    """Folders directly below one, by name; none if it may not be listed."""
    try:
        return sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir())
    except OSError:
        return []
