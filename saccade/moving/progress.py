"""A bar of bytes on the terminal; nothing where nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from saccade.core.console import console

Show = Callable[[int, int | None], None]
"""Takes the bytes that are there and the bytes there will be, None where nobody knows."""


def show_nothing(_done: int, _total: int | None) -> None:
    """Where nobody looks."""


@contextmanager
def bar(what: str) -> Iterator[Show]:
    """Show on stderr how far a file has come."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    here = console()
    hidden = not here.is_terminal
    with Progress(what, *columns, console=here, disable=hidden, transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield show
