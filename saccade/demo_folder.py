"""A folder that the demonstration may fill again and again without ever harming anybody's files.

`made.json` lists every file that the demonstration made. A new start deletes exactly these; what
a person has put beside them stays, and a folder without the list is refused.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from saccade.core.errors import BadData
from saccade.core.files import write_bytes

LIST = "made.json"


class DemoFolder:
    """A folder, and what in it is the demonstration's own."""

    def __init__(self, path: Path) -> None:
        """Open a folder, which need not exist. Raises BadData for one that is not a demo's."""
        self.path = path
        self._files: set[str] = set()
        self._began: str | None = None
        """The part that is being made: all in it is ours, but for what was there before."""
        self._kept: set[str] = set()
        """What was there before."""
        if path.exists() and not path.is_dir():
            raise BadData("is a file", where=path, cure="Give another --out.")
        if (path / LIST).exists():
            self._read()
        elif path.exists() and any(path.iterdir()):
            raise BadData(
                "holds other things, and nothing that `saccade demo` made",
                where=path,
                cure="Give a new or an empty folder as --out.",
            )

    def clear(self) -> None:
        """Delete what an earlier demonstration made, and folders that this leaves empty."""
        if self._began is not None:
            self._files |= _files_in(self.path, self._began) - self._kept
        folders: set[Path] = set()
        for name in self._files:
            file = self.path / name
            if file.resolve().is_relative_to(self.path.resolve()):  # no way out by a link
                file.unlink(missing_ok=True)
                folders |= {self.path / above for above in PurePosixPath(name).parents}
        for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
            if folder not in (self.path, Path()) and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        self._files, self._began, self._kept = set(), None, set()
        self.path.mkdir(parents=True, exist_ok=True)
        self._write()

    @contextmanager
    def making(self, part: str) -> Iterator[Path]:
        """Make one part, a file or a folder: `part` is its path below the demonstration's."""
        self._began, self._kept = part, _files_in(self.path, part) - self._files
        self._write()
        yield self.path / part
        self._files |= _files_in(self.path, part) - self._kept
        self._began, self._kept = None, set()
        self._write()

    def _write(self) -> None:
        about = {
            "made_by": "saccade demo",
            "began": self._began,
            "kept": sorted(self._kept),
            "files": sorted(self._files),
        }
        write_bytes(self.path / LIST, json.dumps(about, indent=1).encode())

    def _read(self) -> None:
        file = self.path / LIST
        cure = "Give another --out, or delete the folder yourself."
        try:
            about: Any = json.loads(file.read_text(encoding="utf-8"))
            files, began, kept = about["files"], about["began"], about["kept"]
            names = [PurePosixPath(name) for name in (*files, *([began] if began else []))]
        except (ValueError, KeyError, TypeError):
            raise BadData("is no list of files", where=file, cure=cure) from None
        if any(name.is_absolute() or ".." in name.parts for name in names):
            raise BadData("names files outside its folder", where=file, cure=cure)
        self._files, self._began, self._kept = set(files), began, set(kept)


def _files_in(root: Path, part: str) -> set[str]:
    """All files of a part, as paths below `root` with forward slashes."""
    path = root / part
    found = [path] if path.is_file() else path.rglob("*")
    return {file.relative_to(root).as_posix() for file in found if not file.is_dir()}
