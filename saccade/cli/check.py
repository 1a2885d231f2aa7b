"""The command that checks data, features and a recipe before training: check."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from saccade.cli import app

commands = app.CommandTable()


@commands.command()
def check(
    data: app.DataFolderArgument,
    recipe: Annotated[str | None, typer.Option(help="A recipe to be trained on it.")] = None,
    changes: app.ChangesOption = None,
    features: Annotated[
        str | None, typer.Option(help="A feature store; else all, or the recipe's.")
    ] = None,
    allow: app.AllowOption = None,
    strict: app.StrictOption = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Try the recipe's model on 64 examples.")
    ] = False,
) -> app.Result:
    """Find what would spoil a training, before it begins."""
    from saccade.api import check as find
    from saccade.checks.catalogue import describe
    from saccade.core.console import show_progress

    with show_progress():
        findings = find(
            data,
            recipe,
            changes=changes or (),
            features=features,
            allow=allow or (),
            strict=strict,
            probe=probe,
        )
    count = {level: sum(one.level == level for one in findings) for level in app.LEVELS}

    def lines() -> Iterator[str]:
        for one in findings:
            yield from describe(one)
        yield ", ".join(f"{level}s: {number:,}" for level, number in count.items())
        if count["error"]:
            raise typer.Exit(1)

    return app.Result({"findings": [asdict(one) for one in findings], **count}, lines())
