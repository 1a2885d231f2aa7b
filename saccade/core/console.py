"""Lines and a progress bar for the user on stderr, and Ctrl-C between two steps."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from operator import length_hint
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

T = TypeVar("T")
_open_bar: ContextVar[Progress | None] = ContextVar("open_bar", default=None)


def console() -> Console:
    """A console on stderr that neither breaks lines nor colours numbers."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str, style: str | None = None) -> None:
    """Print a line above a progress bar, if there is one."""
    console().print(line, style=style, markup=False)


@contextmanager
def show_progress() -> Iterator[None]:
    """A line for each `track` that runs inside, on a terminal only; gone at the end.

    Inside another one nothing more is opened.
    """
    if _open_bar.get() is not None or not console().is_terminal:
        yield
        return
    columns = BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress("{task.description}", *columns, console=console(), transient=True) as bar:
        before = _open_bar.set(bar)
        try:
            yield
        finally:
            _open_bar.reset(before)


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Items one by one, counted by the open progress bar; without one nothing is shown.

    Training, which has a bar of its own, opens none while it scores. `total` is for items without
    a length.
    """
    bar = _open_bar.get()
    if bar is None:
        yield from items
        return
    line = bar.add_task(name, total=total or length_hint(items) or None)
    try:
        for item in items:
            yield item
            bar.advance(line)
    finally:
        bar.remove_task(line)


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """The signals received (Ctrl-C, termination), to be obeyed after the step in progress."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only there are signals heard
        yield received
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
