"""Files by name in a folder and the folders directly below it, and the image files of a set."""

import gzip
import mmap
import os
import re
import shlex
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from functools import cached_property, lru_cache, wraps
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, ParamSpec, TypeVar, cast

from saccade.core.errors import BadConfig, BadData, BadImage
from saccade.core.files import Limits
from saccade.data.reading import PIECE, is_text

ARCHIVES = r".*\.(?i:zip|tar|tgz|tar\.\w+|7z|rar)"
"""Names of what is to be unpacked first, as a pattern."""
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".jp2", ".png", ".webp", ".avif", ".heic", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm", ".dcm"),
)
"""Of the names of image files, in lower case."""
IMAGES = rf".*(?i:{'|'.join(map(re.escape, IMAGE_ENDINGS))})"
"""Names of image files, as a pattern."""
MOST_FOLDERS = 200
"""Folders that are searched for images of which nobody knows where they are."""
SETTLED = 3_000_000_000
"""Nanoseconds after which a folder's time stamp tells whether it has changed since."""


Given = ParamSpec("Given")
Found = TypeVar("Found")
_found: ContextVar[dict[Any, Any] | None] = ContextVar("found", default=None)


@contextmanager
def unchanged_folders() -> Iterator[None]:
    """Meanwhile nothing changes in folders: what `found_once` searches them for is kept."""
    token = _found.set({} if (known := _found.get()) is None else known)
    try:
        yield
    finally:
        _found.reset(token)


def found_once(search: Callable[Given, Found]) -> Callable[Given, Found]:
    """A search that is made once for the same arguments while there are `unchanged_folders`."""

    @wraps(search)
    def once(*given: Given.args, **named: Given.kwargs) -> Found:
        known = {} if (kept := _found.get()) is None else kept
        if (key := (search, given, *named.items())) not in known:
            known[key] = search(*given, **named)
        return cast(Found, known[key])

    return once


def files_like(root: Path, pattern: str) -> list[Path]:
    """Files whose whole name matches `pattern`, those in `root` first, then by name: there, in the
    folders directly below it, and in `train/val/`, say.

    Folders that nobody may list are passed over.
    """
    matches = re.compile(pattern).fullmatch
    inside = folders_in(root)
    parts = [one for folder in inside if _A_SPLIT(folder.name) for one in folders_in(folder)]
    return [
        folder / name
        for folder in [root, *inside, *(one for one in parts if _A_SPLIT(one.name))]
        for name in _names(folder)
        if matches(name)
    ]


_A_SPLIT = re.compile(r"(?i)train|val|dev|test").match
"""The names of folders that may be named after a split."""


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
        message = f"cannot be listed ({error.strerror})"
        raise BadData(message, location=folder, hint="Check its permissions.") from None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Entries directly in a folder, without names that begin with a dot.

    Those are no part of a data set: systems leave them everywhere (`.DS_Store`, `._00042.txt`).
    """
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def is_image(name: str) -> bool:
    """If a file is named as an image."""
    return name.lower().endswith(IMAGE_ENDINGS)


def refuse_addresses(paths: Iterable[Path]) -> None:
    """Raise BadImage for an address on the web."""
    for path in paths:
        if str(path).startswith(("http:", "https:")):
            address = str(path).replace(":/", "://", 1)  # a path keeps one of the two
            hint = "Download it first, and give the path of the file."
            raise BadImage("is an address on the web", location=address, hint=hint)


def images_in(paths: Iterable[Path]) -> list[Path]:
    """Image files: the given ones, and of a given folder those in and below it, in order.

    One of several paths that is not there is told when it is opened. Raises BadImage where none is
    there, for a folder without images, and for an address on the web.
    """
    given, found = list(paths), list[Path]()
    refuse_addresses(given)
    if given and not any(path.exists() for path in given):
        hint = "Give the path of an image file, or of a folder of them."
        raise BadImage("no such file", location=given[0], hint=hint)
    for path in given:
        inside = [path]
        if path.is_dir():
            below = (one.relative_to(path) for one in path.rglob("*"))
            shown = (one for one in below if not any(part[0] == "." for part in one.parts))
            inside = [path / one for one in sorted(shown) if is_image(one.name)]
        if not inside:
            hint = "Give a folder with images, or the files by their names."
            raise BadImage("holds no image files", location=path, hint=hint)
        found += inside
    if strange := next((path for path in found if not is_text([str(path)])), None):
        raise BadImage("its name is no UTF-8 text", location=strange, hint="Rename the file.")
    return found


class SeveralFit(BadConfig):
    """Several things in a folder would do, and an option of the source says which."""

    def __init__(
        self, message: str, *, location: Path, option: str, choices: Sequence[str]
    ) -> None:
        self.option, self.choices = option, choices
        typed = (f"--option {shlex.quote(f'{option}={choice}')}" for choice in choices[:3])
        super().__init__(message, location=location, hint=f"Say which: {' or '.join(typed)}.")


def several_files(
    kind: str, root: Path, found: Sequence[Path], option: str, choices: Sequence[str] = ()
) -> SeveralFit:
    """The error for several files of a kind of which `option` names one, or is one of `choices`."""
    names = [path.relative_to(root).as_posix() for path in found]
    message = f"holds several {kind}: {', '.join(names[:6])}"
    return SeveralFit(message, location=root, option=option, choices=choices or names)


def one_file(root: Path, given: str, pattern: str, option: str, usual: str) -> Path:
    """The file that the user names, or else the only one whose name matches.

    `option` is what the user would say ("captions"), `usual` the released name. Raises BadData if
    there is none, SeveralFit if there are several.
    """
    if given:
        return root / given
    found = files_like(root, pattern)
    if not found:
        hint = f"Check --root, or name the file: --option {option}=FILE."
        raise BadData(f"holds no {usual}", location=root, hint=hint)
    if len(found) > 1:
        raise several_files(f"files like {usual}", root, found, option)
    return found[0]


def first_reason(root: Path, pattern: str) -> str | None:
    """The reason of a recogniser where a file of that name is there, else None."""
    found = files_like(root, pattern)
    return f"there is {found[0].relative_to(root).as_posix()}" if found else None


def by_name(pattern: str) -> Callable[[Path], str | None]:
    """A recogniser: `first_reason` for such a file."""
    return lambda root: first_reason(root, pattern)


@found_once
def holds_texts(path: Path, *texts: str) -> bool:
    """True where all these texts stand in a file; Parquet and pickles are taken as they are."""
    if not texts or path.suffix in (".parquet", ".pkl"):
        return True
    try:
        if path.suffix == ".gz":
            return _holds_packed(path, {text.encode() for text in texts})
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return all(data.find(text.encode()) >= 0 for text in texts)
    except (OSError, ValueError, EOFError, zlib.error):  # ValueError: empty
        return False


def _holds_packed(path: Path, texts: set[bytes]) -> bool:
    """The same of a packed file, piece by piece, as far as text may grow (`files.Limits`)."""
    most, end, size = Limits().bytes_of(path), b"", 0
    with gzip.open(path) as file:
        while texts and size <= most and (piece := file.read(PIECE)):
            size += len(piece)
            texts = {text for text in texts if text not in end + piece}
            end = (end + piece)[-99:]
    return not texts


def folder_like(root: Path, holds: Callable[[Path], object]) -> Path | None:
    """`root`, or the first folder directly below it, of which `holds` is true."""
    return next((folder for folder in [root, *folders_in(root)] if holds(folder)), None)


def folder_with(root: Path, holds: Callable[[Path], object], lacking: str, hint: str) -> Path:
    """The same. Raises BadData, saying that `root` holds no `lacking`, where there is none."""
    if (home := folder_like(root, holds)) is None:
        raise BadData(f"holds no {lacking}", location=root, hint=hint)
    return home


@found_once
def paths_like(home: Path, pattern: str) -> list[Path]:
    """Paths below a folder, by name, that match a pattern: each `*` is any letters but slashes.

    Hidden ones are left out.
    """
    found = [home]
    for part in pattern.split("/"):
        if "*" in part:
            matches = _letters(part).fullmatch
            found = [path / name for path in found for name in _inside(path) if matches(name)]
        else:
            found = [path / part for path in found if part in _inside(path)]
    return sorted(found)


@lru_cache(maxsize=4096)
def _letters(pattern: str) -> re.Pattern[str]:
    return re.compile(r"(?!\.)" + "[^/]*".join(map(re.escape, pattern.split("*"))))


@found_once
def _inside(folder: Path) -> frozenset[str]:
    """Names of all that lies directly in a folder; none if it is none, or may not be listed."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


@found_once
def folders_in(root: Path) -> list[Path]:
    """Folders directly below one, by name; none if it may not be listed."""
    try:
        return sorted(Path(entry.path) for entry in _entries(root) if entry.is_dir())
    except OSError:
        return []


def no_folder(given: Path, source: str = "") -> BadData:
    """The error for what should be the folder of a data set (of a `source`), but is none."""
    if not given.is_file():
        return BadData("there is no such folder", location=given, hint="Give the data set's.")
    if re.fullmatch(ARCHIVES, given.name):
        hint = "Unpack it, and give the folder that comes out."
        return BadData("is an archive, not a folder", location=given, hint=hint)
    words = [*([source, "--root"] if source else []), str(given.parent), "--out", "DATA"]
    hint = f"Give its folder: saccade prepare {shlex.join(words)}."
    return BadData("is a file, not a folder", location=given, hint=hint)


# Image files: data sets name them, but everybody unpacks them somewhere else.


FolderGroups = tuple[tuple[str, ...], ...]
"""Folders of equal rank, the first ones first."""


class ImageFiles:
    """The usual folders of a data set, each listed once, however many images are asked for."""

    def __init__(self, root: Path, images: str | Path | None = None) -> None:
        """Look below `root`, or below `images` (absolute, or relative to `root`) if given.

        Raises BadConfig when `images` is no folder.
        """
        self.root = (root if images is None else root / images).absolute()
        if not self.root.is_dir():
            hint = "Give --option images=FOLDER, absolute or relative to --root."
            raise BadConfig("there is no such folder of images", location=self.root, hint=hint)
        self._prefix = f"{self.root.as_posix().rstrip('/')}/"
        self._listed: dict[str, frozenset[str]] = {}
        self._by_stem: dict[str, dict[str, list[str]]] = {}
        self._composed: dict[str, dict[str, str]] = {}
        self._groups: dict[
            tuple[Any, ...], tuple[list[str], FolderGroups, frozenset[str] | None]
        ] = {}
        self._homes: dict[tuple[Any, ...], str] = {}
        self._text = ""

    def beside(self, text: Path) -> "ImageFiles":
        """The same, but looking beside a text file first, where that lies below the root."""
        files, home = copy(self), text.absolute().parent
        inside = home != self.root and home.is_relative_to(self.root)
        files._text = home.relative_to(self.root).as_posix() if inside else ""
        return files

    def find(self, *names: str, folders: Sequence[str] = ("",), anywhere: bool = False) -> str:
        """Path, below the root, of the first of `names` that lies in one of `folders`; at last, if
        `anywhere`, in any folder (for names that no two images share).

        A name may have folders in it; a path that leads elsewhere is given back as it is. When
        none is there, the place where it should have been: in the first folder that is not empty.
        `prepare` finds and counts those.
        """
        key = self._text, anywhere, *folders
        if key not in self._groups:
            beside = [_join(self._text, folder) for folder in folders] if self._text else []
            places = [*beside, *folders]
            found: list[tuple[str, ...]] = [(place,) for place in places if self.names(place)]
            found += [tuple(self.tree)] if anywhere and self.tree else []
            searched = [folder for group in found for folder in group]
            plain = all(map(str.isascii, searched))
            every = frozenset().union(*map(self.names, searched)) if plain else None
            self._groups[key] = places, tuple(found), every
        places, groups, every = self._groups[key]
        for name in names:
            if every is not None and name not in every and _is_plain(name):
                continue  # most names of images that are elsewhere
            if path := self.search(name, groups):
                return path
        if is_absolute(names[0]):
            return names[0].removeprefix(self._prefix)
        below, _, file = names[0].rpartition("/")
        if (key := (*key, below)) not in self._homes:
            homes = (_join(folder, below) for folder in places if folder not in ("", self._text))
            self._homes[key] = next(filter(self.names, homes), _join(folders[0], below))
        return _join(self._homes[key], file)

    def search(self, name: str, groups: FolderGroups) -> str | None:
        """The path of a name in the first group of folders that has it, None where none has.

        Behind a name that is no image's, each of `IMAGE_ENDINGS` is tried. Accents may be one
        letter with what they stand on, or follow it, as a Mac writes them. Raises BadData where
        several files of a group would do.
        """
        if is_absolute(name):
            if not name.startswith(self._prefix):
                return name
            name, groups = name.removeprefix(self._prefix), (("",),)
        below, _, file = name.rpartition("/")
        plain = _is_plain(file)
        for folders, plain_folders in _below(groups, below):
            found = [_join(folder, file) for folder in folders if file in self.names(folder)]
            if not (found or (plain and plain_folders)):
                found = self._written_otherwise(folders, file)
            if found:
                self.refuse_several(name, found)
                return found[0]
        return None

    def _written_otherwise(self, folders: Sequence[str], file: str) -> list[str]:
        """Paths of images that are called so but for their endings, or else for their accents."""
        if not is_image(file):
            every = [(folder, one) for folder in folders for one in self._images(folder, file)]
            if every:
                return [_join(folder, one) for folder, one in every]
        return list(filter(None, (self._as_spelt(_join(folder, file)) for folder in folders)))

    def refuse_several(self, name: str, paths: Sequence[str]) -> None:
        """Raise BadData where these paths, of which `name` could be each, are several files; one
        may be a link to the other.
        """
        if len(set(paths)) < 2:
            return
        real = {os.path.realpath(self.root / path): path for path in paths[::-1]}
        found = sorted(real.values())[:2]
        hint = "Name its folder in the record, or say: --option images=FOLDER."
        home, *others = {path.rpartition("/")[0] for path in real.values()}
        if not others:
            found = [path.rpartition("/")[2] for path in found]
            hint = "Write names with their endings, or how a number is written: "
            hint += "--option image_name={:04d}.jpg."
        if len(real) > 1:
            message = f"{name} could be {' and '.join(found)}"
            raise BadData(message, location=self.root / ("" if others else home), hint=hint)

    @cached_property
    def tree(self) -> list[str]:
        """The folders below the root, two deep, in order; `MOST_FOLDERS` of them."""
        every = (f for folder in folders_in(self.root) for f in (folder, *folders_in(folder)))
        return [f.relative_to(self.root).as_posix() for f in islice(every, MOST_FOLDERS)]

    def names(self, folder: str) -> frozenset[str]:
        """Names of what lies directly in a folder below the root; none if there is no such."""
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(self.root / folder))
            except (OSError, ValueError):  # ValueError: no name of a folder at all
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _images(self, folder: str, stem: str) -> Sequence[str]:
        """Names of the images in a folder that are called `stem`, but for their endings."""
        if folder not in self._by_stem:
            of = self._by_stem[folder] = dict[str, list[str]]()
            for name in sorted(self.names(folder)):
                if name.lower().endswith(IMAGE_ENDINGS):
                    of.setdefault(name.rpartition(".")[0], []).append(name)
        return self._by_stem[folder].get(stem, ())

    def _as_spelt(self, path: str) -> str | None:
        """A path as the disk spells it, where only its accents are written otherwise."""
        found = ""
        for part in path.split("/"):
            if found not in self._composed:
                names = sorted(self.names(found), reverse=True)
                self._composed[found] = {_composed(name): name for name in names}
            if (name := self._composed[found].get(_composed(part))) is None:
                return None
            found = _join(found, name)
        return found


@lru_cache(maxsize=4096)
def _below(groups: FolderGroups, below: str) -> list[tuple[list[str], bool]]:
    """Each group's folders with a further path, and whether all are of plain letters."""
    joined = ([_join(folder, below) for folder in group] for group in groups)
    return [(some, all(map(str.isascii, some))) for some in joined]


def _is_plain(name: str) -> bool:
    """True for an image's name with its ending, without accents and folders."""
    return name.isascii() and "/" not in name and is_image(name)


def path_ends(path: str) -> list[str]:
    """The ends of a path, the whole first: a/b/c, b/c, c."""
    parts = tidy(path).split("/")
    return ["/".join(parts[place:]) for place in range(len(parts))]


def bare(name: str) -> str:
    """A name without the ending of an image."""
    stem, dot, ending = name.rpartition(".")
    return stem if is_image(dot + ending) else name


def is_absolute(name: str) -> bool:
    """True where a name, written with `/`, is a whole path, here or on Windows."""
    return name.startswith("/") or (name[1:3] == ":/" and name[0].isalpha())


def there_instead(root: str | Path, file: str) -> str:
    """The likely reason why `file` is not below `root`, in brackets; empty where there is none."""
    at = Path(root)
    for part in PurePosixPath(file).parts:
        if os.path.lexists(at / part):
            at /= part
            continue
        try:
            names = sorted(os.listdir(at))
        except OSError:
            return ""
        tests = (_plain, lambda name: PurePosixPath(_plain(name)).stem)
        alike = (name for test in tests for name in names if test(name) == test(part))
        if found := next(alike, None):
            shown = (at / found).relative_to(root).as_posix()
            return f" (there is {shown})"
        missing = (at / part).relative_to(root).as_posix()
        return "" if missing == file else f" (there is no folder {missing}/)"
    return ""


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    return _composed(name).casefold()


def tidy(path: str) -> str:
    """A path without empty parts and single dots: `sub//0.png` is the file `sub/0.png`."""
    if "//" not in path and "/." not in path and not path.startswith("./"):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" * path.startswith("/") + "/".join(parts)


def _join(folder: str, name: str) -> str:
    return tidy(f"{folder}/{name}" if folder and name else folder or name)
