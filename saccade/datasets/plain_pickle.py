"""Pickles of plain values, such as PathVQA's: lists, dictionaries, texts and numbers."""

import io
import pickle
from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.reading import note_opened
from saccade.datasets.row_files import damaged


class PlainUnpickler(pickle._Unpickler):
    """Unpickler that knows no class and no function. The one of the standard library in Python: the
    one in C keeps as many places as the largest number that a pickle gives to an object.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name."""
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no plain value")

    def get_extension(self, code: int) -> None:
        """Refuse the numbers that stand for classes."""
        raise pickle.UnpicklingError(f"it asks for the class of number {code}")


def read_pickle(path: Path) -> list[Any]:
    """The list in a pickle of plain values, of which nothing is run. Raises BadData."""
    note_opened(path)
    try:
        data = path.read_bytes()
        found = PlainUnpickler(io.BytesIO(data)).load()
        if not _is_plain(found, len(data)):
            raise pickle.UnpicklingError("it holds values that are not plain, or holds itself")
    except Exception as error:  # damaged bytes may raise anything
        raise damaged(path, "pickle of plain values", error) from None
    if not isinstance(found, list):
        message = f"holds a {type(found).__name__} where a list of records was expected"
        raise BadData(message, location=path, hint="Give the file that this source names.")
    return found


def _is_plain(value: Any, most: int) -> bool:
    """True where all values are what JSON could hold, and no more than `most`, as many as a pickle
    has bytes: one that refers to lists again and again may be too large to be looked through.
    """
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        inside = [*one, *one.values()] if isinstance(one, dict) else one
        if isinstance(inside, list | tuple):
            count += len(inside)
            if count > most:
                return False
            waiting += inside
        elif not isinstance(one, str | int | float | None):
            return False
    return True
