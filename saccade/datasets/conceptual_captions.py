"""Conceptual Captions: a caption and an address a line; people download the images themselves.

Downloaders name an image by the number of its row, or by the last part of its address. Layout:
ai.google.com/research/ConceptualCaptions (`Train_GCC-training.tsv`).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import (
    IMAGE_ENDINGS,
    ImageFiles,
    SeveralFit,
    by_name,
    files_like,
    folders_in,
    tidy,
)
from saccade.data.options import one_of
from saccade.data.reading import RELEASED, read_lines
from saccade.data.records import Collection, Split
from saccade.datasets.custom_rows import Row, as_rules, collect, split_in

FILES = r"(?:Train|Validation)_GCC-[\w.-]+\.tsv(?:\.gz)?"
recognise = by_name(FILES)


class Line(NamedTuple):
    """A line of a table: its number, and what it says."""

    number: int
    caption: str
    last: str
    """The last part of its address."""


def read(root: Path, images: str = "", first: str = "", **rules: Any) -> Collection:
    """Read `Train_GCC-training.tsv` and `Validation_GCC-1.1.0-Validation.tsv`, where they are.

    Images lie below `images` (else `root`), two folders deep; those in a folder that is called
    after a split are of that split. `first` is the number of the first image, 0 or 1, where it is
    not there to tell. Raises BadData for lines of another form.
    """
    checked = as_rules(**rules)
    first = one_of("first", first, ("", "0", "1"))
    files = ImageFiles(root, images or None)
    found = files_like(root, FILES)
    if not found:
        hint = "Check --root; the released names are Train_GCC-training.tsv ..."
        raise BadData("holds no tables of Conceptual Captions", location=root, hint=hint)
    rows: list[Row] = []
    notes: list[str] = []
    for path in found:
        split: Split = "train" if path.name.startswith("Train") else "val"
        lines = _lines(path)
        there = _images(files, path.parent, split)
        names, twice = _names(path, lines, there, first, split)
        if twice:
            alike = f"{twice} lines of {path.name} share the last part of their address with others"
            notes.append(f"{alike}; which image is whose cannot be told, so they have none.")
        rows += (
            Row(path, f"line {line.number}", {"image": name, "caption": [line.caption]}, split)
            for line, name in zip(lines, names, strict=True)
        )
    return collect("conceptual-captions", rows, str, files.root, checked, notes)


def _lines(path: Path) -> list[Line]:
    lines = []
    for number, line in enumerate(read_lines(path), start=1):
        caption, _, address = line.partition("\t")
        if re.fullmatch(r"[a-z]+://\S+", address.strip()):
            last = re.split(r"[?#]", address.strip())[0].rpartition("/")[2]
            lines.append(Line(number, caption, last))
        elif line.strip() and line != "caption\turl":  # which img2dataset wants in front
            message = f"line {number} is not a caption, a tab, and an address: {line[:50]!a}"
            raise BadData(message, location=path, hint=RELEASED)
    return lines


def _images(files: ImageFiles, home: Path, split: Split) -> dict[str, str]:
    """The paths of the images by their names, two folders deep below the root or the table's own,
    but for folders of another split.
    """
    tops = [home.absolute(), files.root] if home.absolute().is_relative_to(files.root) else []
    inner = [folder for top in tops or [files.root] for folder in (top, *folders_in(top))]
    found: dict[str, str] = {}
    for folder in dict.fromkeys(f for one in inner for f in (one, *folders_in(one))):
        below = folder.relative_to(files.root).as_posix()
        if split_in(below) in (None, split):
            for name in files.names(below):
                if "." not in name or name.lower().endswith(IMAGE_ENDINGS):
                    found.setdefault(name, tidy(f"{below}/{name}"))
    return found


_NUMBERED = re.compile(r"(\d+)(?:_\d+)?(?:\.[^.]*)?", re.ASCII)
"""A line's number; DownloadConceptualCaptions puts a checksum behind it, and no ending."""


def _names(
    path: Path, lines: Sequence[Line], there: Mapping[str, str], first: str, split: Split
) -> tuple[list[str], int]:
    """The image of each line, or the name that it should have; and how many names several have."""
    numbered = {
        int(match[1]): there[name] for name in there if (match := _NUMBERED.fullmatch(name))
    }
    times: dict[str, int] = {}
    for line in lines:
        times[line.last] = times.get(line.last, 0) + 1
    by_address = sum(name in there for name in times)
    if by_address > len(numbered) or not numbered:
        shared = sum(n for name, n in times.items() if n > 1 and name in there)
        return [
            there.get(line.last, f"{split}/{line.last or line.number}")
            if times[line.last] == 1
            else f"{split}/{line.number}-{line.last}"
            for line in lines
        ], shared
    if not first:
        if (0 in numbered) == (len(lines) in numbered):
            message = "numbers images, of which the first and the last tell where it begins"
            raise SeveralFit(message, location=path, option="first", choices=("0", "1"))
        first = "0" if 0 in numbered else "1"
    return [
        numbered.get(place, f"{split}/{place}.jpg")
        for place, _ in enumerate(lines, start=int(first))
    ], 0
