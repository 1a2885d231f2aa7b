"""What requests share: the runs, the queue, the batches, the images, the measurements."""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

from saccade.core.errors import SaccadeError
from saccade.core.tasks import TaskName
from saccade.server.batcher import Batcher, Compute, Kind
from saccade.server.images import ImageCache, KnownImage
from saccade.server.metrics import Metrics
from saccade.server.queue import Queue
from saccade.server.refusals import Refusal, plain, refusal_of
from saccade.server.runs import Asked, ServedRun

QUESTIONS = 8
"""Questions in a batch for each image in one: they are much less work."""


class Service:
    """Runs, and the work on them that requests share."""

    def __init__(self, runs: Sequence[ServedRun], *, queue: int, cache: int) -> None:
        self.runs = {run.name: run for run in runs}
        self.facts = [run.facts() for run in runs]
        self.metrics = Metrics()
        self.queue, self.batcher = Queue(queue), Batcher(self.metrics.batch)
        self.images = ImageCache(self.batcher, cache, self.metrics.image)
        self.stopping = False
        """Set when the server begins to stop: connections are closed after their response."""
        self.accepted = 0
        """Requests whose whole body has come."""
        self.answered = 0
        """Those of them that have a response, or whose client has gone."""
        watch = self.metrics.watch
        watch("saccade_queue", "Questions and captions not yet answered.", lambda: self.queue.taken)
        watch("saccade_waiting", "Pieces of work that have not begun.", lambda: len(self.batcher))
        watch("saccade_cache_bytes", "Bytes of encoded images.", lambda: self.images.bytes)

    def close(self) -> None:
        """End the threads, when what they do is done."""
        self.images.close()
        self.batcher.close()

    def find(self, name: str | None, task: TaskName | None = None) -> ServedRun:
        """A run by name; without one the first of the task. Raises Refusal."""
        if name is None:
            of_task = (run for run in self.runs.values() if task in (None, run.task))
            if (run := next(of_task, None)) is not None:
                return run
            does = {"vqa": "answers questions", "caption": "writes captions"}[task or "vqa"]
            hint = "Serve one that does beside it: saccade serve RUN OTHER."
            raise Refusal(404, f"no run here {does}", hint, "run")
        run = self.runs.get(name)
        if run is None:
            raise Refusal(404, f"there is no run {plain(name)!r}", "See /v1/runs.", "run")
        if task not in (None, run.task):
            path = {"vqa": "/v1/ask", "caption": "/v1/caption"}[run.task]
            raise Refusal(422, "the run is of the other task", f"Use it at {path}.", "run")
        return run

    def submit(
        self, run: ServedRun, name: str, compute: Compute, item: Any, *key: Any
    ) -> "asyncio.Future[Any]":
        """A piece of a run's work, together with that of other requests."""
        size = run.batch_size * (QUESTIONS if name == "answer" else 1)
        return self.batcher.submit(Kind(name, (run.name, *key)), compute, size, item)

    async def ask(
        self, run: ServedRun, data: bytes, questions: Sequence[str], top: int, *, maps: bool
    ) -> dict[str, Any]:
        """Answers to questions about an image, with maps where they are wanted."""
        for number, question in enumerate(questions):
            try:
                run.run.refuse_unanswerable(question, refuse_unknown=True)
            except SaccadeError as error:
                raise refusal_of(error, f"questions.{number}") from None
        with self.queue.place(len(questions)):
            image = await self._encoded(run, data)
            work: list[Awaitable[Any]]
            if maps:
                work = [self._explain(run, image, one, None, top) for one in questions]
            else:
                asked = (Asked(image.encoded, one, top) for one in questions)
                work = [self.submit(run, "answer", run.answer, one) for one in asked]
            found = await asyncio.gather(*work)
        answers = [{"question": q, **one} for q, one in zip(questions, found, strict=True)]
        return {**_about(run, image), "answers": answers}

    async def caption(
        self, run: ServedRun, data: bytes, beam_size: int | None, *, maps: bool
    ) -> dict[str, Any]:
        """The caption of an image, with maps where they are wanted."""
        with self.queue.place(1):
            image = await self._encoded(run, data)
            if maps:
                caption = await self._explain(run, image, None, beam_size, 1)
            else:
                write = partial(run.caption, beam_size)
                caption = await self.submit(run, "caption", write, image.encoded, beam_size)
        return {**_about(run, image), "caption": caption}

    async def _encoded(self, run: ServedRun, data: bytes) -> KnownImage:
        try:
            return await self.images.encoded(run, data)
        except SaccadeError as error:
            raise refusal_of(error, "image") from None

    async def _explain(
        self,
        run: ServedRun,
        image: KnownImage,
        question: str | None,
        beam_size: int | None,
        top: int,
    ) -> Any:
        key = (question, beam_size, top)
        try:
            explain = partial(run.explain, *key)
            return await self.submit(run, "explain", explain, image.encoded, *key)
        except SaccadeError as error:  # the image is one region, which cannot be hidden
            raise refusal_of(error, "run") from None


def _about(run: ServedRun, image: KnownImage) -> dict[str, Any]:
    size = {"width": image.width, "height": image.height}
    return {"run": run.name, "image": {"sha256": image.sha256, **size}}
