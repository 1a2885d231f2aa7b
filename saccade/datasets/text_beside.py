"""Images with a text file of the same name beside each: `a.jpg` and `a.txt`, or `a.caption`.

So img2dataset writes what it downloads, and so trainers of image generators keep captions. Each
line is a caption.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.core.errors import BadData, in_number
from saccade.data.find_files import ImageFiles, files_like, folders_in
from saccade.data.reading import read_start, read_text, refuse_stand_ins
from saccade.data.records import Collection
from saccade.datasets.custom_rows import Row, as_rules, collect, split_in, split_of_folder

TEXTS = r".*\.(?i:txt|caption)"


def read(root: Path, images: str = "", **rules: Any) -> Collection:
    """Read the texts in `root` and in the folders two below it, whose names may say a split.

    `images` is a folder that is laid out likewise, or without folders. Where no split is said,
    `val_share` and `test_share` of the images are drawn with `seed`. Raises BadData for a text
    that is none, and for an image with two texts or of two files.
    """
    checked = as_rules(**rules)
    files = ImageFiles(root, images or None)
    rows: list[Row] = []
    known: dict[str, Path] = {}
    lonely = 0
    for path in _texts(root):
        if not (image := _image(path, root, files)):
            lonely += split_in(path.stem) is None  # a list of a split, perhaps
            continue
        if (other := known.setdefault(image, path)) != path:
            hint = "Keep one text for each image; each of its lines is a caption."
            raise BadData(f"and {path.name} are both about {image}", location=other, hint=hint)
        text = read_text(path, may_be_empty=True)
        refuse_stand_ins(path, text)
        captions = [line.strip() for line in text.splitlines() if line.strip()]
        split = split_of_folder(path.parent.relative_to(root).as_posix())
        rows.append(Row(path, "the text", {"image": image, "caption": captions}, split))
    if not rows:
        hint = "Check --root: beside a.jpg lies a.txt, or a.caption."
        raise BadData("holds no texts beside images", location=root, hint=hint)
    note = in_number(f"{lonely} texts are not beside an image and were left out.")
    notes = [note] if lonely else []
    return collect("text-beside", rows, str, files.root, checked, notes)


def recognise(root: Path) -> str | None:
    """A text with words beside an image; boxes for detectors lie there as numbers."""
    files = ImageFiles(root)
    for path in _texts(root):
        if _image(path, root, files):
            worded = any(letter.isalpha() for letter in read_start(path, 4096))
            return f"there is {path.relative_to(root).as_posix()} beside an image" * worded or None
    return None


def _texts(root: Path) -> Iterator[Path]:
    every = (path for folder in (root, *folders_in(root)) for path in files_like(folder, TEXTS))
    yield from dict.fromkeys(every)


def _image(path: Path, root: Path, files: ImageFiles) -> str:
    """The image of a text: of its path, else of its name alone; empty where there is none."""
    below = path.relative_to(root).with_suffix("").as_posix()
    for name in dict.fromkeys((below, path.stem)):
        image = files.find(name)
        folder, _, last = image.rpartition("/")
        if last in files.names(folder):
            return image
    return ""
