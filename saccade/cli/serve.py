"""The command that answers over HTTP: serve."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli import app
from saccade.core.errors import STOPPED

if TYPE_CHECKING:
    from saccade.server.server import Server

commands = app.CommandTable()


@commands.command()
def serve(
    runs: Annotated[
        list[str], typer.Argument(metavar="[NAME=]RUN...", help="What train made, side by side.")
    ],
    host: Annotated[
        str, typer.Option(help="To listen on; with any but this one a token is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8000,
    device: app.DeviceOption = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="At once; by default 8 on a CPU, 32 on a GPU.")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Questions that may wait; more are refused with 429.")
    ] = 256,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a request to come, and for its answer.")
    ] = 30.0,
    cache: Annotated[str, typer.Option(help="Size of the encoded images that are kept.")] = "500MB",
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token; or put it into SACCADE_TOKEN."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name of this server. May be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Pages of this origin may ask: https://NAME. May be repeated."),
    ] = None,
) -> app.Result:
    """Answer over HTTP, and show a page; until Ctrl-C."""
    from saccade.api import serve as start

    server = start(
        *runs,
        ready=_tell,
        host=host,
        port=port,
        device=device,
        batch_size=batch_size,
        queue=queue,
        timeout=timeout,
        cache=cache,
        token_file=token_file,
        allow_hosts=allow_host or (),
        allow_origins=allow_origin or (),
    )
    counts = {"accepted": server.accepted, "answered": server.answered}

    def lines() -> Iterator[str]:
        yield "Stopped: {accepted} requests were accepted, {answered} answered.".format(**counts)
        raise typer.Exit(STOPPED)

    return app.Result(counts, lines())


def _tell(server: "Server") -> None:
    """Say where the server is, and what it has."""
    import torch

    for run in server.service.facts:
        app.echo(f"{run['name']}: {run['recipe']}, {run['task']}")
    threads = torch.get_num_threads()
    app.echo(f"torch uses {threads} thread{'s' * (threads > 1)}")
    app.echo(f"Serving at {server.address} (Ctrl-C ends it)")
