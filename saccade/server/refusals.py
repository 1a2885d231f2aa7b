"""Refusals of a request: a status, and a sentence that says what is wrong and what to do."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from saccade.core.errors import BadImage, SaccadeError


class Refusal(Exception):
    """The end of a request that gets no answer."""

    def __init__(
        self,
        status: int,
        message: str,
        hint: str | None = None,
        location: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.location = status, message, hint, location
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """What the client gets."""
        told = {"message": self.message, "hint": self.hint, "location": self.location}
        return JSONResponse({"error": told}, self.status, self.headers)


def refusal_of(error: SaccadeError, location: str) -> Refusal:
    """A refusal for an error of a client's input; `location` is the field that holds it."""
    location = "image" if isinstance(error, BadImage) else location
    return Refusal(422, error.message, error.hint, location)


def busy(seconds: float) -> Refusal:
    """A refusal of a request for which there is no place in the queue."""
    after = {"Retry-After": str(max(1, round(seconds)))}
    return Refusal(429, "the queue is full", "Send it again after a while.", headers=after)


def failure() -> Refusal:
    """A refusal for a defect of ours: its trace is in the server's log alone."""
    return Refusal(500, "the server failed", "Its log says more.")


def plain(text: Any, length: int = 60) -> str:
    """The beginning of what a client sent, as letters that can stand in a message."""
    return ascii(str(text)[:length])[1:-1]
