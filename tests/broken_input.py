"""Ways to spoil a good data set, and what must hold whatever was done to it."""

import gzip
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from saccade.core.errors import BadData, SaccadeError
from saccade.data.checks import check
from saccade.datasets.catalogue import read_source
from tests.source_samples import SAMPLES, save


class Broken(NamedTuple):
    source: str
    spoil: Callable[[Path], object]
    """Done to a good data set."""
    names: str
    """File or folder that the message must name."""
    cause: str
    hint: str


def change(name: str, how: Callable[[Any], object]) -> Callable[[Path], object]:
    """Load a JSON file, change what is in it, save it again."""

    def spoil(root: Path) -> None:
        document = json.loads((root / name).read_text())
        how(document)
        save(root / name, document)

    return spoil


def write(name: str, content: bytes | str | object) -> Callable[[Path], object]:
    if isinstance(content, bytes | str):
        data = content.encode() if isinstance(content, str) else content
        return lambda root: (root / name).write_bytes(data)
    return lambda root: save(root / name, content)


def cut(name: str, keep: float) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(len(data) * keep)])

    return spoil


def packed(name: str, keep: float) -> Callable[[Path], object]:
    """Replace a file by a packed copy that ends too early."""

    def spoil(root: Path) -> None:
        data = gzip.compress((root / name).read_bytes())
        (root / f"{name}.gz").write_bytes(data[: int(len(data) * keep)])
        (root / name).unlink()

    return spoil


def inflated(name: str) -> Callable[[Path], object]:
    """Replace a file by a small packed one that would become 51 MB."""

    def spoil(root: Path) -> None:
        (root / f"{name}.gz").write_bytes(gzip.compress(b" " * 51_000_000))
        (root / name).unlink()

    return spoil


def remove(*names: str) -> Callable[[Path], object]:
    return lambda root: [(root / name).unlink() for name in names]


def rewrite(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Put `new` in the place of `old`, once."""

    def spoil(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return spoil


def is_refused(broken: Broken, tmp_path: Path) -> None:
    """The good data set is read; the broken one is refused in one line with all that is needed."""
    SAMPLES[broken.source](tmp_path)
    check(read_source(broken.source, tmp_path))
    broken.spoil(tmp_path)
    with pytest.raises(BadData) as caught:
        check(read_source(broken.source, tmp_path))
    error = caught.value
    assert error.location == str(tmp_path / broken.names)
    assert broken.cause in error.message, error.message
    assert broken.hint in error.hint, error.hint
    assert "\n" not in str(error)
    assert len(str(error)) < 400 + 2 * len(str(tmp_path))


def is_read_or_refused(
    base: Path, source: str, name: str, place: Sequence[str | int], value: object
) -> None:
    """Any value at a place of a JSON file gives records or one of our errors, never another."""
    root = base / f"values-{source}"
    if not root.exists():
        SAMPLES[source](root)
    whole = (root / name).read_text()
    document = json.loads(whole)
    parent = document
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    save(root / name, document)
    try:
        with suppress(SaccadeError):
            check(read_source(source, root))
    finally:
        (root / name).write_text(whole)
