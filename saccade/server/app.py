"""The application of `saccade serve`: its addresses, and what is done at each."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from saccade.server import schemas
from saccade.server.gate import Gate, Reader, json_response
from saccade.server.refusals import Refusal, failure
from saccade.server.requests import read_request
from saccade.server.security import Doorkeeper
from saccade.server.service import Service

PAGE = Path(__file__).parent / "page"
SHARED_STYLE = Path(__file__).parents[1] / "viz" / "style.css"
"""What all pages of saccade share: the page has it as `style.css`."""
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
"""Of the page's files, by the ends of their names; there are no others."""
REFUSALS = {
    400: "The request is broken.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "There is no such run.",
    408: "The request came too slowly.",
    413: "The request is too large.",
    415: "The content type is not read.",
    421: "The Host is not a name of this server.",
    422: "A field is wrong, or the image cannot be read.",
    429: "The queue is full; Retry-After says when to try again.",
    503: "There was no answer in time, or the server stops.",
}
"""Statuses of refusals, as OpenAPI tells them."""
OF_ANY = (400, 401, 403, 421)
"""Refusals that a request without a body may get."""


def create_app(
    service: Service, doorkeeper: Doorkeeper, origins: Sequence[str], timeout: float
) -> ASGIApp:
    """The application behind its gate. `origins` of pages elsewhere may ask; `timeout` is in
    seconds, for a request to come, and again for its answer.
    """
    app = FastAPI(
        title="saccade",
        version=version("saccade"),
        summary="Ask images, caption images, and see where the model looked.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    _add_state(app, service)
    readers = _add_work(app, service)
    _add_page(app)
    gate = Gate(app, readers, service, doorkeeper, timeout)
    if not origins:
        return gate
    headers = ["Authorization", "Content-Type"]
    return CORSMiddleware(
        gate, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers
    )


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _not_found(request: Request, error: Exception) -> Response:
    """No such address, or no such method there."""
    assert isinstance(error, HTTPException)
    hint = "See /openapi.json for what is here."
    refusal = Refusal(error.status_code, error.detail.lower(), hint, headers=error.headers)
    return refusal.response()


async def _failed(_request: Request, _error: Exception) -> Response:
    return failure().response()


def _responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {one: {"model": schemas.Error, "description": REFUSALS[one]} for one in statuses}


def _add_state(app: FastAPI, service: Service) -> None:
    """What the server has, and how it is."""

    @app.get("/v1/runs", response_model=schemas.Runs, responses=_responses(*OF_ANY))
    async def runs() -> Response:
        """The runs that are served."""
        return json_response({"runs": service.facts})

    @app.get("/healthz", response_model=schemas.Health, responses=_responses(400, 403, 421))
    async def healthz() -> Response:
        """The server is alive."""
        return json_response({"status": "ok"})

    @app.get("/readyz", response_model=schemas.Health, responses=_responses(400, 403, 421, 503))
    async def readyz() -> Response:
        """The server takes requests: its runs are loaded, and it is not stopping."""
        if service.stopping:
            raise Refusal(503, "the server stops", "Ask another one.")
        return json_response({"status": "ok"})

    about = {"content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get("/metrics", responses={200: about, **_responses(*OF_ANY)}, response_class=Response)
    async def metrics() -> Response:
        """Measurements, for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_work(app: FastAPI, service: Service) -> dict[str, Reader]:
    """Answers, captions and explanations: what reads a request at each address."""

    async def ask(content_type: str, body: bytes) -> dict[str, Any]:
        """Answer questions about an image."""
        image, given = read_request(content_type, body, schemas.AskFields)
        run = service.find(given.run, "vqa")
        return await service.ask(run, image, given.questions, given.top, maps=False)

    async def caption(content_type: str, body: bytes) -> dict[str, Any]:
        """Write the caption of an image."""
        image, given = read_request(content_type, body, schemas.CaptionFields)
        run = service.find(given.run, "caption")
        return await service.caption(run, image, given.beam_size, maps=False)

    async def explain(content_type: str, body: bytes) -> dict[str, Any]:
        """Answer questions about an image, or write its caption, with maps of what it rests on."""
        image, given = read_request(content_type, body, schemas.ExplainFields)
        run = service.find(given.run)
        wanted = (schemas.AskFields if run.task == "vqa" else schemas.CaptionFields).model_fields
        if strange := given.model_fields_set - set(wanted):
            does = "answers questions" if run.task == "vqa" else "writes captions"
            raise Refusal(422, f"the run {does}", "Leave the field out.", min(strange))
        if run.task == "caption":
            found = await service.caption(run, image, given.beam_size, maps=True)
        elif given.questions:
            found = await service.ask(run, image, given.questions, given.top, maps=True)
        else:
            raise Refusal(422, "the run answers questions", "Give it a question.", "questions")
        return found | {"grid": run.run.grid}

    readers: dict[str, Reader] = {}
    for path, read, tasks, model in (
        ("/v1/ask", ask, ["vqa"], schemas.Answers),
        ("/v1/caption", caption, ["caption"], schemas.Caption),
        (
            "/v1/explain",
            explain,
            list(dict.fromkeys(run.task for run in service.runs.values())),
            schemas.ExplainedAnswers | schemas.ExplainedCaptions,
        ),
    ):
        variants = []
        for task in tasks:
            names = [name for name, run in service.runs.items() if run.task == task]
            fields = schemas.AskFields if task == "vqa" else schemas.CaptionFields
            variants.append(schemas.variant(fields, names, by_default=task == tasks[0]))
        _add_post(app, path, read, schemas.body_schema(variants), model)
        readers[path] = read
    return readers


def _add_post(
    app: FastAPI, path: str, read: Reader, body: dict[str, Any], model: type[BaseModel] | Any
) -> None:
    """Describe what the gate answers at `path`; its requests come no further than there."""

    async def answered_by_the_gate() -> None:
        raise AssertionError(path)

    app.post(
        path,
        name=read.__name__,
        description=read.__doc__,
        response_model=model,
        responses=_responses(*REFUSALS),
        openapi_extra={"requestBody": body},
    )(answered_by_the_gate)


def _add_page(app: FastAPI) -> None:
    """The page, and its files."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return _file("index.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return _file(name)


def _file(name: str) -> Response:
    path = SHARED_STYLE if name == SHARED_STYLE.name else PAGE / name
    kind = TYPES.get(path.suffix)
    if kind is None or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name) or not path.is_file():
        raise HTTPException(404, "Not Found")
    return Response(path.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})
