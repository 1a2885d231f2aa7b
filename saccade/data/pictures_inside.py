"""Pictures that lie inside tables, as bytes: written out once as files, named by their content.

Everything after this sees picture files, as everywhere else.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData

FOLDER = "unpacked-pictures"
KINDS = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp",
    b"II*\0": "tif", b"MM\0*": "tif",
}  # fmt: skip


class PicturesInside(NamedTuple):
    """Where pictures from inside go."""

    folder: Path
    below: str
    """The folder's path, with a slash behind it, below the root of pictures."""

    @classmethod
    def of(cls, root: Path, *, chosen: bool) -> "PicturesInside":
        """Into `root`, where the user has chosen it for pictures, else into a folder below."""
        return cls(root, "") if chosen else cls(root / FOLDER, f"{FOLDER}/")

    def name(self, value: Any, where: Path, place: str) -> Any:
        """The picture's path; bytes become a file first. `value` is a path, bytes, or both as
        `{bytes, path}`; anything else is given back as it is. `where` and `place` are for messages.

        Raises BadData for bytes that are no picture, and where nothing can be written.
        """
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes) or (not data and isinstance(value, dict)):
            return value.get("path") if isinstance(value, dict) else value
        kind = _kind(data)
        if kind is None:
            what = f"{place} has a picture of unknown kind, beginning with {data[:8].hex()}"
            raise BadData(what, where=where, cure="Use JPEG, PNG, GIF, WebP, TIFF or BMP.")
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{kind}"
        file = self.folder / name
        try:
            self.folder.mkdir(exist_ok=True)
            if not file.is_file() or file.stat().st_size != len(data):
                part = file.with_suffix(".part")
                part.write_bytes(data)  # not waiting for the disk: there may be 100,000
                part.replace(file)
        except OSError as error:
            what = f"cannot be written to ({error.strerror}): the pictures lie inside the tables"
            cure = "Give a folder for them: --option images=FOLDER."
            raise BadData(what, where=self.folder, cure=cure) from None
        return self.below + name

    def notes(self) -> list[str]:
        """What the user should know: nothing where no picture lay inside, or by their own wish."""
        if not self.below or not self.folder.is_dir():
            return []
        return [f"Pictures lay inside the tables; they are files in {self.below} now."]


def _kind(data: bytes) -> str | None:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for head, kind in KINDS.items() if data.startswith(head)), None)
