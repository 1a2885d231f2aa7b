"""Batches of the work of several requests, for the one thread that runs the models.

Work waits in the order in which it came. Whenever the thread is free, it takes the oldest piece and
those behind it of the same kind: so the busier the server, the larger the batches, and alone a
piece never waits for others. A piece whose future is cancelled before it has begun is left out.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

Compute = Callable[[list[Any]], Sequence[Any]]
"""From items of one kind to a result for each."""


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
    result: "asyncio.Future[Any]"


class Batcher:
    """One thread for the models, and what waits for it. To be used from one event loop."""

    def __init__(self, observe: Callable[[str, int], None] = lambda _name, _size: None) -> None:
        """`observe` is told the name of the work and the size of each batch."""
        self._waiting: deque[_Piece] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._running: asyncio.Task[None] | None = None
        self._observe = observe

    def __len__(self) -> int:
        """Pieces of work that have not begun."""
        return sum(not piece.result.done() for piece in self._waiting)

    async def submit(self, kind: Kind, compute: Compute, size: int, item: Any) -> Any:
        """The result of `compute` for an item, in a batch of at most `size` of its kind."""
        result = asyncio.get_running_loop().create_future()
        self._waiting.append(_Piece(kind, compute, size, item, result))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await result

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
        batch, others = list[_Piece](), deque[_Piece]()
        while self._waiting:
            piece = self._waiting.popleft()
            if piece.result.done():
                continue
            first = batch[0] if batch else piece
            if piece.kind != first.kind:
                others.append(piece)
                continue
            batch.append(piece)
            if len(batch) == first.size:
                break
        self._waiting = others + self._waiting
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
