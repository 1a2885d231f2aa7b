"""Finding picture files: data sets name pictures, but everybody unpacks them somewhere else."""

import os
import unicodedata
from collections.abc import Sequence
from copy import copy
from pathlib import Path, PurePosixPath

from saccade.core.errors import BadConfig


class PictureFiles:
    """The usual folders of a data set, each listed once, however many pictures are asked for."""

    def __init__(self, root: Path, images: str | Path | None = None) -> None:
        """Look below `root`, or below `images` (absolute, or relative to `root`) if given.

        Raises BadConfig when `images` is no folder.
        """
        self.root = (root if images is None else root / images).absolute()
        if not self.root.is_dir():
            raise BadConfig(
                "there is no such folder of pictures",
                where=self.root,
                cure="Give --option images=FOLDER, absolute or relative to --root.",
            )
        self._listed: dict[str, frozenset[str]] = {}
        self._composed: dict[str, dict[str, str]] = {}
        self._text = ""

    def beside(self, text: Path) -> "PictureFiles":
        """The same, but looking beside a text file first, where that lies below the root."""
        files, home = copy(self), text.absolute().parent
        inside = home != self.root and home.is_relative_to(self.root)
        files._text = home.relative_to(self.root).as_posix() if inside else ""
        return files

    def find(self, folders: Sequence[str], names: Sequence[str]) -> str:
        """Path, below the root, of the first of `names` that lies in one of `folders`.

        Accents may be one letter with what they stand on, or follow it, as a Mac writes them. When
        none does, the name where it should have been: the first name in the first folder that is
        not empty. `prepare` finds and counts those.
        """
        beside = [_join(self._text, folder) for folder in folders] if self._text else []
        places = [*beside, *folders]
        for folder in places:
            listed = self.names(folder)
            for name in names:
                if name in listed:
                    return _join(folder, name)
        paths = (_join(folder, name) for folder in places for name in names)
        spelt = (self._as_spelt(path) for path in paths if not path.isascii())
        if found := next(filter(None, spelt), None):
            return found
        homes = (folder for folder in places if folder not in ("", self._text))
        return _join(next(filter(self.names, homes), folders[0]), names[0])

    def find_path(
        self, name: str, folders: Sequence[str] = ("",), endings: Sequence[str] = ("",)
    ) -> str:
        """The same for a name that may have folders in it, or be a whole path below the root.

        `endings` are tried behind it. A path that leads elsewhere is given back as it is.
        """
        if is_absolute(name):
            root = f"{self.root.as_posix().rstrip('/')}/"
            if not name.startswith(root):
                return name
            name = name.removeprefix(root)
        below, _, file = name.rpartition("/")
        places = [_join(folder, below) if below else folder for folder in folders]
        return self.find(places, [file + ending for ending in endings])

    def names(self, folder: str) -> frozenset[str]:
        """Names of what lies directly in a folder below the root; none if there is no such."""
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(self.root / folder))
            except (OSError, ValueError):  # ValueError: no name of a folder at all
                self._listed[folder] = frozenset()
        return self._listed[folder]

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


def is_absolute(name: str) -> bool:
    """Say whether a name, written with `/`, is a whole path, here or on Windows."""
    return name.startswith("/") or (name[1:3] == ":/" and name[0].isalpha())


def there_instead(root: str | Path, file: str) -> str:
    """Why a file may not be found below `root`, in brackets; empty where nothing is like it."""
    at = Path(root)
    for part in PurePosixPath(file).parts:
        if os.path.lexists(at / part):
            at /= part
            continue
        try:
            names = sorted(os.listdir(at))
        except OSError:
            return ""
        alike = (name for test in (_plain, _stem) for name in names if test(name) == test(part))
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


def _stem(name: str) -> str:
    return PurePosixPath(_plain(name)).stem


def _join(folder: str, name: str) -> str:
    return "/".join(filter(None, (folder, name)))
