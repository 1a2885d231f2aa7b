"""Errors that a user can correct: what is wrong, where, and what to do next.

The command line prints one on one line and ends with status 1; any other exception is a bug of
saccade and keeps its traceback.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

STOPPED = 130
"""Exit status of an interrupted program: 128 and the signal's number."""


class SaccadeError(Exception):
    """An error that a user can correct.

    `message` says what is wrong, `location` is a file, folder or setting, or None, and `hint` says
    what to do next.
    """

    def __init__(self, message: str, *, location: str | Path | None = None, hint: str) -> None:
        self.message = message
        self.location = None if location is None else str(location)
        self.hint = hint
        end = "" if message.endswith("?") else "."
        super().__init__(f"{f'{location}: ' if location is not None else ''}{message}{end} {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        """How one is sent to another process."""
        return partial(type(self), location=self.location, hint=self.hint), (self.message,)


VERBS = {"are": "is", "have": "has", "were": "was", "say": "says", "repeat": "repeats"}


def in_number(sentence: str) -> str:
    """A sentence that begins with how many things there are, in the singular where it is one."""
    head, end, rest = re.match(r"((?:[^;,:.]|\.(?=\w))*)([;,:.]?)(.*)", sentence, re.S).groups()  # type: ignore[union-attr]
    if not (one := re.fullmatch(r"1 (of \d+ )?(\w+)s (.*)", head, re.S)):
        return sentence
    of, thing, said = one.groups()
    words = (VERBS.get(word, word) for word in said.split(" "))
    return f"1 {f'{of}{thing}s' if of else thing} {' '.join(words)}{end}{rest}"


class BadData(SaccadeError):
    """A data file is not what its name promises, or two files do not belong together."""


class BadImage(SaccadeError):
    """An image file cannot be read, or is larger than the limits allow."""


class BadStore(SaccadeError):
    """A feature store is missing, incomplete, or made for something else."""


class BadConfig(SaccadeError):
    """A name or a setting that does not exist, or settings that contradict each other."""


class BadRun(SaccadeError):
    """A run folder is missing, incomplete, or from a version that cannot be read."""


class BadCheckpoint(SaccadeError):
    """A checkpoint of another program cannot be read, or is not what it was said to be."""


class MissingWeights(SaccadeError):
    """Weights are neither on this machine nor to be had without the network."""


class BadDownload(SaccadeError):
    """A file cannot be fetched, is not the one that was published, or cannot be unpacked."""


class BadBundle(SaccadeError):
    """A folder cannot be packed, or what was packed is missing, damaged or unsafe."""


class SaccadeWarning(UserWarning):
    """Something a person should know and that stops nothing; the command line prints a note."""
