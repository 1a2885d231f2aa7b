"""The verbs that only tell: what there is, and what it is set to."""

from typing import Annotated, Literal

import typer

from saccade.cli.app import (
    ChangesOption,
    RecipeArgument,
    app,
    show_rows,
)


@app.command("list")
def list_names(
    kind: Literal["models", "recipes", "sources", "metrics", "backbones", "downloads"],
    pattern: Annotated[str, typer.Argument(help="Of backbones: 'resnet*', 'torchvision:*'.")] = "*",
) -> None:
    """List models, recipes, sources, metrics, backbones or downloads."""
    from saccade.cli.listing import rows_of

    show_rows(rows_of(kind, pattern))


@app.command()
def show(recipe: RecipeArgument, changes: ChangesOption = None) -> None:
    """Print every setting of a recipe, as --set takes them."""
    from saccade.cli.listing import fields_of
    from saccade.recipes.catalogue import load_recipe

    chosen = load_recipe(recipe, changes or ())
    for line in chosen.about.splitlines():
        typer.echo(f"# {line.strip()}")
    for field, value in fields_of(chosen):
        typer.echo(f"{field}={value}")


@app.command()
def about() -> None:
    """Print versions and devices, for reports of defects."""
    from saccade.cli.listing import versions

    show_rows(versions())
