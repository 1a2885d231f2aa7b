"""Keeping a second process out of a file or folder, for as long as this one works there.

The system lifts a lock when the process dies, however it does. On Windows nobody looks.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def claim(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; False where another process has it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Lock a folder, which is made where it is not there; False where another process has it, or
    where it got another name, or was deleted, since it was opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # a folder cannot be opened there
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            mine = claim(descriptor)
            mine = mine and os.path.samestat(os.fstat(descriptor), os.stat(folder))
        except FileNotFoundError:
            mine = False
        yield mine
    finally:
        os.close(descriptor)
