"""Pickles of plain values, such as PathVQA's: lists, dictionaries, texts and numbers."""

import io
import pickle
import sys
from collections.abc import Callable
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

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("it holds a set, which is no plain value")

    def _look(self, load: Callable[[Any], None], keys: slice) -> None:
        """Follow an instruction that fills a dict, if its keys on the stack are text or numbers.

        To hash a tuple takes all time there is where it holds another twice, and that another.
        """
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        for key in stack[keys]:
            if not isinstance(key, str | int | float | None):
                raise pickle.UnpicklingError("a key is neither text nor a number")
            _refuse_large(key)
        load(self)

    def _number(self) -> None:
        """Keep an object by a number that is written out, of any size."""
        number = self.readline()  # type: ignore[attr-defined]
        _refuse_large(int(number))
        self.memo[int(number)] = self.stack[-1]  # type: ignore[attr-defined]

    def _set_item(self) -> None:
        self._look(super().dispatch[ord("s")], slice(-2, -1))

    def _set_items(self) -> None:
        self._look(super().dispatch[ord("u")], slice(0, None, 2))

    def _make_dict(self) -> None:
        self._look(super().dispatch[ord("d")], slice(0, None, 2))


def _refuse_large(key: object) -> None:
    """Refuse whole numbers of which many have the same hash: a dict of those takes all time."""
    if isinstance(key, int) and abs(key) >= sys.hash_info.modulus:
        raise pickle.UnpicklingError("a key is too large a number")


_DISPATCH: dict[int, Any] = {
    **PlainUnpickler.dispatch,
    ord("p"): PlainUnpickler._number,
    ord("s"): PlainUnpickler._set_item,
    ord("u"): PlainUnpickler._set_items,
    ord("d"): PlainUnpickler._make_dict,
    **dict.fromkeys((0x90, 0x91), PlainUnpickler._refuse),  # ADDITEMS, FROZENSET
}
PlainUnpickler.dispatch = _DISPATCH


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
