"""The gate before the application: what a request must be before any of it is parsed.

Checks headers, takes a place in the queue, reads the body under limits of bytes and time, runs what
answers under the deadline, and ends it where the client has gone. Every response leaves with the
security headers, and is counted.

Questions, captions and explanations are answered from here: the layers of FastAPI around a route,
which describes them, take as long as an answer about a known image.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saccade.server.batcher import came
from saccade.server.refusals import Refusal, failure
from saccade.server.requests import MAX_BODY
from saccade.server.security import HEADERS, Doorkeeper
from saccade.server.service import Service

OPEN = ("/healthz", "/readyz")
"""Paths that need no token, beside the page: it has nothing secret, and asks for the token."""
MAX_BODIES = 10 * MAX_BODY
"""Bytes of all bodies that are in memory."""
DRAIN_SECONDS = 1.0
"""So long the rest of a refused body is read and forgotten: a client that is still sending could
not read the refusal otherwise."""

Reader = Callable[[str, bytes], Awaitable[dict[str, Any]]]
"""From the content type and the body of a request to what it gets."""
_OF_ALL = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def json_response(value: Any) -> JSONResponse:
    """A response of now, which nobody keeps."""
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        readers: Mapping[str, Reader],
        service: Service,
        doorkeeper: Doorkeeper,
        timeout: float,
    ) -> None:
        """`readers` answer what is posted, by path; `app` does all else."""
        self._app, self._readers = app, readers
        self._service, self._doorkeeper = service, doorkeeper
        self._timeout, self._held = timeout, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, started = time.perf_counter(), False
        came.set(began)

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *_OF_ALL]
                if self._service.stopping:
                    message["headers"].append((b"connection", b"close"))
                self._count(scope, message["status"], time.perf_counter() - began)
            await send(message)

        body = b""
        try:
            body = await self._admit(scope, receive)
            self._service.accepted += 1
            try:
                await self._answer(scope, body, receive, answer)
                if not started:
                    self._count(scope, "gone", time.perf_counter() - began)
            finally:
                self._service.answered += 1
        except Refusal as refusal:
            if not started:
                await refusal.response()(scope, receive, answer)
        except Exception:
            if not started:
                await failure().response()(scope, receive, answer)
            raise  # into the log
        finally:
            self._held -= len(body)

    def _count(self, scope: Scope, status: int | str, seconds: float) -> None:
        path = scope["path"]
        if path not in self._readers:  # of the route, or any address would be a new label
            path = getattr(scope.get("route"), "path", "other")
        metrics = self._service.metrics
        metrics.requests.labels(path, status).inc()
        metrics.seconds.labels(path).observe(seconds)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        """The body of a request that may be answered. Raises Refusal."""
        headers, path = Headers(scope=scope), scope["path"]
        is_open = path == "/" or path.startswith("/page/") or path in OPEN
        try:
            self._doorkeeper.check(headers, needs_token=not is_open)
            if scope["method"] != "POST":
                return b""
            self._service.queue.check()
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length[:20]) > MAX_BODY:
                raise _too_large()
            if headers.get("content-encoding", "identity").lower() != "identity":
                message, hint = "the body is compressed", "Send it as it is."
                raise Refusal(415, message, hint, "Content-Encoding")
            return await self._body(receive)
        except Refusal:
            if headers.get("expect", "").lower() != "100-continue":
                await _drain(receive)
            raise

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                async for part in _parts(receive):
                    body += part
                    self._held += len(part)
                    if len(body) > MAX_BODY:
                        raise _too_large()
                    if self._held > MAX_BODIES:
                        message = "too many requests are being read"
                        after = {"Retry-After": "1"}
                        hint = "Send it again after a while."
                        raise Refusal(429, message, hint, headers=after)
        except BaseException as error:
            self._held -= len(body)
            if isinstance(error, TimeoutError):
                message = f"the request did not come within {self._timeout:g} s"
                raise Refusal(408, message, "Send it again.") from None
            raise
        return bytes(body)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application until it has answered, the client has gone, or the time is up."""
        given = [{"type": "http.request", "body": body, "more_body": False}]
        leaving = asyncio.create_task(_gone(receive))
        limit = asyncio.timeout(self._timeout)

        async def replay() -> Message:
            return given.pop() if given else await asyncio.shield(leaving)

        def give_up(leaving: "asyncio.Task[Message]") -> None:
            with suppress(RuntimeError):  # the application has ended in the same moment
                if not leaving.cancelled():
                    limit.reschedule(0)

        leaving.add_done_callback(give_up)
        try:
            async with limit:  # at its end, work is dropped where it has not begun
                if scope["method"] == "POST" and scope["path"] in self._readers:
                    content_type = Headers(scope=scope).get("content-type", "")
                    found = await self._readers[scope["path"]](content_type, body)
                    await json_response(found)(scope, replay, send)
                else:
                    await self._app(scope, replay, send)
        except TimeoutError:
            if not limit.expired():
                raise
            if not leaving.done():
                message = f"there was no answer within {self._timeout:g} s"
                after = {"Retry-After": "1"}
                hint = "Send it again after a while."
                raise Refusal(503, message, hint, headers=after) from None
        finally:
            leaving.cancel()


async def _gone(receive: Receive) -> Message:
    """The message that the client has left."""
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return message


async def _parts(receive: Receive) -> Any:
    """The parts of a body. Raises Refusal where the client leaves before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the request ends before its body does", "Send it again.")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _drain(receive: Receive) -> None:
    with suppress(TimeoutError, Refusal):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in _parts(receive):
                pass


def _too_large() -> Refusal:
    message = f"the request has more than {MAX_BODY:,} bytes"
    return Refusal(413, message, "Send a smaller copy of the image.", "Content-Length")
