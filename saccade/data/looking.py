"""Looking for files by name in a folder and the folders directly below it."""

import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from saccade.core.errors import BadConfig, BadData

ARCHIVES = r".*\.(?i:zip|tar|tgz|tar\.\w+|7z|rar)"
"""Names of what is to be unpacked first, as a pattern."""
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
    """Names of the files in a folder; all sources ask for the same folders in turn.

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
    return sorted(entry.name for entry in _entries(folder) if entry.is_file())


def names_in(folder: Path) -> list[str]:
    """Names of all that lies directly in a folder, files and folders, but for hidden ones.

    Raises BadData where it may not be listed.
    """
    try:
        return sorted(entry.name for entry in _entries(folder))
    except OSError as error:
        what = f"cannot be listed ({error.strerror})"
        raise BadData(what, where=folder, cure="Check its permissions.") from None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies directly in a folder, without names that begin with a dot.

    Those are no part of a data set: systems leave them everywhere (`.DS_Store`, `._00042.txt`).
    """
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


class SeveralFit(BadConfig):
    """Several things in a folder would do, and an option of the source says which."""

    def __init__(self, what: str, *, where: Path, option: str, choices: Sequence[str]) -> None:
        self.option, self.choices = option, choices
        said = (f"--option {shlex.quote(f'{option}={choice}')}" for choice in choices[:3])
        cure = f"Say which: {' or '.join(said)}."
        super().__init__(what, where=where, cure=cure)


def one_file(root: Path, given: str, pattern: str, option: str, usual: str) -> Path:
    """The file that the user names, or else the only one whose name matches.

    `option` is what the user would say ("captions"), `usual` the released name. Raises BadData if
    there is none, SeveralFit if there are several.
    """
    if given:
        return root / given
    found = files_like(root, pattern)
    if not found:
        cure = f"Check --root, or name the file: --option {option}=FILE."
        raise BadData(f"holds no {usual}", where=root, cure=cure)
    if len(found) > 1:
        names = [path.relative_to(root).as_posix() for path in found]
        what = f"holds several files like {usual}: {', '.join(names[:6])}"
        raise SeveralFit(what, where=root, option=option, choices=names)
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
        return sorted(Path(entry.path) for entry in _entries(root) if entry.is_dir())
    except OSError:
        return []


def no_folder(given: Path, source: str = "") -> BadData:
    """The error for what should be the folder of a data set (of a `source`), but is none."""
    if not given.is_file():
        return BadData("there is no such folder", where=given, cure="Give the data set's.")
    if re.fullmatch(ARCHIVES, given.name):
        cure = "Unpack it, and give the folder that comes out."
        return BadData("is an archive, not a folder", where=given, cure=cure)
    words = [*([source, "--root"] if source else []), str(given.parent), "--out", "DATA"]
    cure = f"Give its folder: saccade prepare {shlex.join(words)}."
    return BadData("is a file, not a folder", where=given, cure=cure)
