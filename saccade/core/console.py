"""Lines for the user on stderr, and Ctrl-C between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def console() -> Console:
    """A console on stderr that neither breaks lines nor colours numbers."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str, style: str | None = None) -> None:
    """Print a line above a progress bar, if there is one."""
    console().print(line, style=style, markup=False)


@contextmanager
def progress_bar(label: str, total: int, done: int, show: bool | None) -> Iterator[Progress]:
    """A progress bar with one task; by default (None) on a terminal only."""
    hidden = not (console().is_terminal if show is None else show)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(label, *columns, console=console(), disable=hidden) as bar:
        bar.add_task("", total=total, completed=done)
        yield bar


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
