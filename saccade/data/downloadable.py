"""What a line of the table of downloads is."""

from typing import NamedTuple


class File(NamedTuple):
    """A file of a set."""

    name: str
    urls: tuple[str, ...]
    """Tried in turn."""
    bytes: int | None = None
    """Exact where the SHA-256 is known, otherwise about; None where nobody said."""
    sha256: str | None = None
    sha256_from: str = ""
    into: str = ""
    """The folder below the target that a picture archive is unpacked into."""
    unpacks: bool = True
    """If a .zip or .tar is unpacked."""
    steady: bool = True
    """False where the server packs it anew each time, so that its bytes differ."""
    tried: bool = False
    """If this project has fetched it from there."""


class Download(NamedTuple):
    """A line of the table: files to fetch, or steps for a person. `DIR` in words stands for the
    folder that they go to.
    """

    summary: str
    licence: str
    then: str
    """The command that reads it, and what must lie beside it."""
    files: tuple[File, ...] = ()
    steps: tuple[str, ...] = ()
    why: str = ""
    """Why there are steps: a part of a sentence."""
