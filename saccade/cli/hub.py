"""The command that sends a run to the Hugging Face hub: push-to-hub."""

from typing import Annotated

import typer

from saccade.cli import app
from saccade.core.formatting import size_in_words

commands = app.CommandTable()


@commands.command("push-to-hub")
def push_to_hub(
    run: app.RunArgument,
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Of the repository.")],
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may see it; by default it is private.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option(help="Of the weights, as the hub names it: cc-by-4.0.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; print what would go.")
    ] = False,
) -> app.Result:
    """Send a run to the Hugging Face hub, with a model card."""
    from saccade.api import push_to_hub as push

    told = push(run, repository, public=public, licence=licence, dry_run=dry_run)
    rows = [(name, size_in_words(count)) for name, count in told["files"].items()]
    whose = "a private repository" if told["private"] else "a public repository"
    done = f"would go to {repository}, {whose}; nothing was sent"
    if not dry_run:
        done = f"are in {repository}, {whose}: {told['commit']}"
    return app.Result(told, [*app.columns(rows), f"{len(rows)} files {done}."])


@commands.callback()
def group() -> None:
    """Models on the hub."""
