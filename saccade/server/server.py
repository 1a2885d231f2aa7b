"""The server's process: its socket, its limits for connections, and how it stops."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from saccade.core.errors import BadConfig
from saccade.server.requests import MAX_BODY

if TYPE_CHECKING:
    from saccade.server.service import Service

MAX_HEADERS = 32 * 1024
"""Bytes of a request's head."""
MAX_MESSAGE = 2 * MAX_BODY
"""Bytes of a whole request: its body, and what it may be cut into."""
MAX_CONNECTIONS = 512
HEAD_SECONDS = 10
"""In which a request's head must have come."""
IDLE_SECONDS = 15
"""After which a connection without a request is closed."""
GRACE_SECONDS = 0.3
"""When stopping: so long connections without a request stay open, for one that is on its way."""


def listen(host: str, port: int) -> socket.socket:
    """A socket on which the server is reached. Raises BadConfig where there can be none."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[
            0
        ]
        found = socket.socket(family, kind, number)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(MAX_CONNECTIONS)
        except BaseException:
            found.close()
            raise
        return found
    except socket.gaierror:
        hint = "Give 127.0.0.1, 0.0.0.0, or an address of this machine."
        raise BadConfig(f"{host!r} is no host", location="--host", hint=hint) from None
    except (OSError, OverflowError) as error:
        cause = getattr(error, "errno", None)
        if cause == errno.EADDRINUSE:
            message, location, hint = f"port {port} is taken", "--port", "Give another --port."
        elif cause == errno.EADDRNOTAVAIL:
            message, location = f"{host} is no address of this machine", "--host"
            hint = "Give 127.0.0.1, or 0.0.0.0 for all of its addresses."
        else:
            message = f"cannot listen on {host}:{port} ({error})"
            location, hint = "--port", "Give a --port from 1024 to 65535."
        raise BadConfig(message, location=location, hint=hint) from None


class Connection(HttpToolsProtocol):
    """A connection with limits of bytes and seconds for what comes before a request's body, which
    the parser has not; it stays open for a moment when the server stops: a request may be on its
    way.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._in_head, self._size, self._fields = True, 0, 0
        self._deadline: asyncio.TimerHandle | None = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        super().data_received(data)
        if self._size > (MAX_HEADERS if self._in_head else MAX_MESSAGE):
            self.send_400_response("The request is too large.")
        elif self._in_head and self._size:
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fields = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_fields(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_fields(name + value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._size = True, 0
        super().on_message_complete()

    def shutdown(self) -> None:
        self.loop.call_later(GRACE_SECONDS, super().shutdown)

    def _count_fields(self, given: bytes) -> None:
        """Count what came of a head, which may lie in one piece with its body."""
        self._fields += len(given)
        if self._fields > MAX_HEADERS:
            raise ValueError("the head is too large")  # the parser refuses the request with 400

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._close_late)

    def _close_late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:  # the head of a next request may wait for the response to this one
            self._await_head()


class Server(uvicorn.Server):
    """uvicorn with this server's limits, which answers what it has accepted before it ends."""

    def __init__(
        self, app: ASGIApp, service: "Service", socket: socket.socket, timeout: float
    ) -> None:
        self.service, self._socket = service, socket
        self._ready: Callable[[Server], None] = lambda _server: None
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            # All that was accepted ends within its own time: to come, and to be answered.
            timeout_graceful_shutdown=int(2 * timeout) + 5,
        )
        super().__init__(config)

    @property
    def address(self) -> str:
        """Where the page is."""
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def accepted(self) -> int:
        """Requests whose whole body has come."""
        return self.service.accepted

    @property
    def answered(self) -> int:
        """Those of them that have a response, or whose client has gone."""
        return self.service.answered

    def serve_until_stopped(self, ready: "Callable[[Server], None]") -> None:
        """Take requests until a signal or `stop`; `ready` is called when they are taken."""
        self._ready = ready
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal again that has stopped it
            self.run(sockets=[self._socket])

    def stop(self) -> None:
        """Take no more requests, answer those that are there, and end; from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.stopping = True
        await super().shutdown(sockets)
