"""The queue's places: how much may be accepted and not yet answered."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from saccade.server.refusals import busy

MEMORY = 0.9
"""Weight of what was before in the mean seconds of a place."""


class Queue:
    """So many questions and captions may be accepted and not yet answered."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0
        self._seconds = 0.05  # of a piece of work, from its acceptance to its answer

    def check(self, places: int = 1) -> None:
        """Raise Refusal where there are not so many places; one request alone always fits."""
        if self.taken and self.taken + places > self.limit:
            raise busy(self._seconds)

    @contextmanager
    def place(self, places: int) -> Iterator[None]:
        """Take places while a request is answered. Raises Refusal."""
        self.check(places)
        self.taken += places
        began = time.perf_counter()
        try:
            yield
        finally:
            self.taken -= places
            seconds = time.perf_counter() - began
            self._seconds = MEMORY * self._seconds + (1 - MEMORY) * seconds
