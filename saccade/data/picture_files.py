"""Finding picture files: data sets name pictures, but everybody unpacks them somewhere else."""

import os
from collections.abc import Sequence
from pathlib import Path

from saccade.errors import BadConfig


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
                cure="Give images=FOLDER, absolute or relative to --root.",
            )
        self._listed: dict[str, frozenset[str]] = {}

    def find(self, folders: Sequence[str], names: Sequence[str]) -> str:
        """Path, below the root, of the first of `names` that lies in one of `folders`.

        When none does, the name where it should have been: the first name in the first folder
        that is not empty. `prepare` finds and counts those.
        """
        for folder in folders:
            listed = self.names(folder)
            for name in names:
                if name in listed:
                    return _join(folder, name)
        home = next((folder for folder in folders if folder and self.names(folder)), folders[0])
        return _join(home, names[0])

    def find_path(
        self, name: str, folders: Sequence[str] = ("",), endings: Sequence[str] = ("",)
    ) -> str:
        """The same for a name that may have folders in it, or be a whole path below the root.

        `endings` are tried behind it. A path that leads elsewhere is given back as it is.
        """
        if name.startswith("/"):
            if not name.startswith(f"{self.root}/"):
                return name
            name = name.removeprefix(f"{self.root}/")
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


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
