"""Batches of the work of several requests, for the one thread that runs the models.

Whenever the thread is free, it takes the piece of the oldest request and the next oldest of the
same kind. So the busier the server, the larger the batches; alone a piece never waits for others;
and a request whose image is encoded does not wait for the images of all later ones. A piece whose
future is cancelled before it has begun is left out.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, NamedTuple

Compute = Callable[[list[Any]], Sequence[Any]]
"""From items of one kind to a result for each."""

came: ContextVar[float] = ContextVar("came", default=0.0)
"""When the request came that the running task works for, by a clock that only goes forward."""


class Kind(NamedTuple):
    """Work that may be done in one batch: equal kinds have equal functions."""

    name: str
    """Of the work, for the metrics: "encode", "answer", "caption", "explain"."""
    key: Hashable
    """What must be equal in a batch: the run, the beam size."""


class _Piece(NamedTuple):
    kind: Kind
    compute: Compute
    size: int
    item: Any
    since: float
    result: "asyncio.Future[Any]"


def _age(piece: _Piece) -> float:
    return piece.since


class Batcher:
    """One thread for the models, and what waits for it. To be used from one event loop."""

    def __init__(self, observe: Callable[[str, int], None] = lambda _name, _size: None) -> None:
        """`observe` is told the name of the work and the size of each batch."""
        self._waiting: list[_Piece] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._running: asyncio.Task[None] | None = None
        self._observe = observe

    def __len__(self) -> int:
        """Pieces of work that have not begun."""
        return sum(not piece.result.done() for piece in self._waiting)

    def submit(self, kind: Kind, compute: Compute, size: int, item: Any) -> "asyncio.Future[Any]":
        """The result of `compute` for an item, in a batch of at most `size` of its kind."""
        result = asyncio.get_running_loop().create_future()
        self._waiting.append(_Piece(kind, compute, size, item, came.get(), result))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return result

    def close(self) -> None:
        """End the thread when its batch is done."""
        self._thread.shutdown()

    async def _run(self) -> None:
        while batch := self._next_batch():
            self._observe(batch[0].kind.name, len(batch))
            if not await self._done(batch) and len(batch) > 1:
                for piece in batch:  # so that an item with an error fails no other
                    await self._done([piece])
        self._running = None

    def _next_batch(self) -> list[_Piece]:
        """The oldest piece and those of its kind, taken out of what waits; empty for none."""
        waiting = sorted((one for one in self._waiting if not one.result.done()), key=_age)
        batch = [one for one in waiting if one.kind == waiting[0].kind]
        batch = batch[: batch[0].size] if batch else []
        taken = {id(one) for one in batch}
        self._waiting = [one for one in waiting if id(one) not in taken]
        return batch

    async def _done(self, batch: Sequence[_Piece]) -> bool:
        """Compute a batch; the error of a single piece is its result. False for a batch's error."""
        loop, first = asyncio.get_running_loop(), batch[0]
        try:
            items = [piece.item for piece in batch]
            results = await loop.run_in_executor(self._thread, first.compute, items)
        except Exception as error:
            if len(batch) == 1 and not first.result.done():
                first.result.set_exception(error)
            return False
        for piece, result in zip(batch, results, strict=True):
            if not piece.result.done():  # whoever waited for it may be gone
                piece.result.set_result(result)
        return True
