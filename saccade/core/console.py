"""Lines and a progress bar for the user on stderr, and Ctrl-C between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from saccade.core.formatting import printable
from saccade.core.language import translated
from saccade.core.progress import open_bar


def console() -> Console:
    """A console on stderr that neither breaks lines nor colours numbers."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str, style: str | None = None) -> None:
    """Print a line above a progress bar, if there is one."""
    console().print(printable(translated(line)), style=style, markup=False)


def redraws(here: Console) -> bool:
    """Whether a bar can move in its place: on a terminal, and in a notebook with ipywidgets."""
    return here.is_terminal or (here.is_jupyter and find_spec("ipywidgets") is not None)


@contextmanager
def show_progress() -> Iterator[None]:
    """A line for each `core.progress.track` that runs inside, gone at the end; where `redraws`.

    Inside another one nothing more is opened.
    """
    if open_bar.get() is not None or not redraws(console()):
        yield
        return
    columns = BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress("{task.description}", *columns, console=console(), transient=True) as bar:
        before = open_bar.set(bar)
        try:
            yield
        finally:
            open_bar.reset(before)


@contextmanager
def progress_bar(label: str, total: int, done: int, show: bool | None) -> Iterator[Progress]:
    """A progress bar with one task; by default (None) where `redraws`."""
    here = console()
    hidden = not (redraws(here) if show is None else show)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(label, *columns, console=here, disable=hidden) as bar:
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
