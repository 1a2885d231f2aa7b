"""Data sets in the folders below the one that was given: which of them to give instead."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from saccade.data.find_files import files_like, folders_in
from saccade.data.sources import SOURCES, reason

PICTURES = r".*\.(?i:jpe?g|png|webp|bmp|gif|tiff?)"
"""Names of picture files, as a pattern."""
DEEPEST = 4
"""Folders below one another that are looked into."""
MOST = 100
"""Folders of one depth that are looked into: there may be one for each of 10,000 patients."""

Known = dict[Path, list[str]]
"""Folders, and the sources whose layouts they have."""


def further_down(root: Path, options: Mapping[str, str]) -> Known:
    """The folders nearest below in which a data set is recognised; empty where there is none."""
    here = [root]
    for _ in range(DEEPEST):
        here = [inner for folder in here for inner in folders_in(folder)][:MOST]
        if found := _recognised(here, options):
            return found
    return {}


def several_sets(root: Path, names: Iterable[str], options: Mapping[str, str]) -> Known:
    """The folders directly below `root`, where each has a data set of its own.

    `names` are what `root` was recognised as. Empty where that may be one data set: where only one
    folder is known, or all are of one layout, or `root` or an unknown folder has pictures.
    """
    inside = folders_in(root)
    known = _recognised(inside, options)
    alike = len({tuple(found) for found in known.values()}) < 2
    elsewhere = set(names) - {name for found in known.values() for name in found}
    if alike or elsewhere or any(path.parent == root for path in files_like(root, PICTURES)):
        return {}
    with_pictures = {folder for folder in inside if files_like(folder, PICTURES)}
    return known if with_pictures and with_pictures <= known.keys() else {}


def _recognised(folders: Iterable[Path], options: Mapping[str, str]) -> Known:
    found = {
        folder: [name for name in SOURCES if reason(name, folder, options)] for folder in folders
    }
    return {folder: names for folder, names in found.items() if names}
