"""Where the person who waits looks: stderr, whose lines programs do not read."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console


def console() -> Console:
    """A console on stderr that neither breaks nor colours what it prints of itself."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str, style: str | None = None) -> None:
    """Print a line; a bar that stands there moves out of its way."""
    console().print(line, style=style, markup=False)


# Ctrl-C and termination, obeyed between two steps and not in the middle of one.


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """Let the step in progress end before a Ctrl-C or a termination is obeyed."""
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
