"""Matching the images of a feature file with those of a data folder.

Files know their images by a path (`train2014/COCO_train2014_000000000009.jpg.npz`) or by a number
(9). A path is held against the data folder's paths from its end on. A number is looked for in the
images' own names, and among the data folder's ids only where those are the published ones: a
place in a sorted list is a number too, and a small one is somebody's COCO number nearly always.
What could be two images is refused, never guessed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, TypeVar

from saccade.core.errors import BadData
from saccade.data.find_files import bare, is_image, path_ends
from saccade.data.records import ImageRecord
from saccade.datasets.catalogue import published

Key = int | str
Name = TypeVar("Name", int, str)
By = Literal["name", "id"]
SAY_WHICH = "Say what the numbers are: --match name, or --match id."
NUMBERED = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{1,18})")
"""A name that is a number, or COCO's."""
ARRAY = re.compile(r"\.(np[yz]|pth)$")


class Matched(NamedTuple):
    """Images of the data folder and the keys of the feature file for them."""

    keys: dict[int, Key]
    """The file's key of each image, by the image's id."""
    notes: tuple[str, ...] = ()
    """Notes for the user."""


def match(
    keys: Sequence[Key],
    images: Sequence[ImageRecord],
    source: str,
    by: By | None = None,
    location: Path | None = None,
) -> Matched:
    """Find the image of each key: of a number, or of a path below the feature file's folder.

    `by` takes numbers for names alone, or for ids alone, whatever the `source` of the data folder.
    Keys without an image are left out. Raises BadData where a key could be two images, or where
    an image has two keys.
    """
    names, ids = _Names(images, keys), {one.id: one for one in images}
    trusted = by == "id" or (by is None and published(source))
    found: dict[int, Key] = {}
    first: dict[str, str] = {}  # that only a name found, and that only an id found
    for key in keys:
        # What ends as an image's name does is one, and no id.
        names_image = isinstance(key, str) and is_image(ARRAY.sub("", key))
        number = None if names_image else _number(key)
        named = names.find(key) if by != "id" else None
        of_id = ids.get(number) if trusted and number is not None else None
        if number is not None and trusted and named is not of_id:
            if named is not None:
                first.setdefault("name", f"{key} is the name of {named.file}")
            if of_id is not None:
                first.setdefault("id", f"{key} the id of {of_id.file}")
            if len(first) == 2:
                message = f"its numbers could be names or ids: {first['name']}, {first['id']}"
                raise BadData(message, location=location, hint=SAY_WHICH)
        image = named or of_id
        if image is None:
            continue
        if image.id in found:
            message = f"{found[image.id]} and {key} are both image {image.file}"
            hint = "Leave one of them, or name its folder too."
            raise BadData(message, location=location, hint=hint)
        found[image.id] = key
    other, what = names.elsewhere, "images were found by name in a folder of another name"
    return Matched(found, (f"{len(other):,} {what}: {other[0]}",) if other else ())


class _Names:
    """The data folder's images by every end of their paths, and by the number in their names."""

    def __init__(self, images: Sequence[ImageRecord], keys: Sequence[Key]) -> None:
        """`keys` tell whether a name says without its folders which image is meant."""
        self._whole = _only((end, p) for p in images for end in path_ends(p.file))
        self._bare = _only((end, p) for p in images for end in path_ends(_bare(p.file)))
        self._numbered = _only((n, p) for p in images if (n := _number(p.file)) is not None)
        names = [_bare(key) for key in keys if isinstance(key, str)]
        self._both = names, [_bare(image.file) for image in images]
        self._enough: dict[int, bool] = {}
        self.elsewhere: list[str] = []
        """Images that were found in a folder of another name."""

    def find(self, key: Key) -> ImageRecord | None:
        """The image of that name; None where there is none, or where it could be several."""
        path = ARRAY.sub("", str(key))
        for end in path_ends(path):
            # With the image's ending first: of a.jpg and a.png only one is a.png.
            for index, name in ((self._whole, end), (self._bare, end), (self._bare, _bare(end))):
                if name in index:
                    return self._unambiguous(path, index[name], len(PurePosixPath(end).parts))
        number = _number(key)
        return self._unambiguous(path, None if number is None else self._numbered.get(number), 1)

    def _unambiguous(self, path: str, image: ImageRecord | None, agreed: int) -> ImageRecord | None:
        """The image, but not one in another folder, where such names stand in several of them.

        `agreed` is how many parts of the paths are equal, from their ends on.
        """
        if image is None:
            return None
        if agreed < min(len(PurePosixPath(one).parts) for one in (path, image.file)):
            if agreed not in self._enough:
                self._enough[agreed] = all(
                    len({PurePosixPath(one).parts[-agreed:] for one in paths}) == len(paths)
                    for paths in self._both
                )
            if not self._enough[agreed]:
                return None
            self.elsewhere.append(f"{path} for {image.file}")
        return image


def _bare(path: str) -> str:
    """A path without its ending, of an array and of an image."""
    return bare(ARRAY.sub("", path))


def _number(key: Key) -> int | None:
    """The number that a key is, or that its name is."""
    if isinstance(key, int):
        return key
    found = NUMBERED.fullmatch(_bare(PurePosixPath(key).name))
    return int(found[1]) if found else None


def _only(pairs: Iterable[tuple[Name, ImageRecord]]) -> Mapping[Name, ImageRecord | None]:
    """Images by a name; None where several have it."""
    found: dict[Name, ImageRecord | None] = {}
    for name, image in pairs:
        found[name] = image if found.get(name, image) is image else None
    return found
