"""How far a long piece of work is: counted where the work is done, shown by whoever began it.

Commands and the demonstration open a bar (`core.console.show_progress`); where none is open,
as in training, which has its own, and in notebooks and scripts, nothing is shown.
"""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from operator import length_hint
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
open_bar: ContextVar["Progress | None"] = ContextVar("open_bar", default=None)


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Items one by one, counted by the open progress bar; `total` is for those without a length."""
    bar = open_bar.get()
    if bar is None:
        yield from items
        return
    count = total or length_hint(items)
    line = bar.add_task(name, total=count if count > 1 else None)  # None: moves, counts nothing
    try:
        for item in items:
            yield item
            bar.advance(line)
    finally:
        bar.remove_task(line)
