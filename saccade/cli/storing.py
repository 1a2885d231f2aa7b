"""The verbs about feature stores: what one is, whether it is whole, and smaller copies of it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.cli.frame import app, say_next, show_rows
from saccade.core.formatting import values

store = typer.Typer(help="Describe, check or convert a feature store.", no_args_is_help=True)
app.add_typer(store, name="store")

StoreArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="A folder in features/ of a data folder.")
]


@store.command()
def info(path: StoreArgument) -> None:
    """Say what a store holds and what it was made with."""
    from saccade.features.convert import describe_store

    show_rows(values(describe_store(path)))


@store.command()
def verify(path: StoreArgument) -> None:
    """Read every file of a store: checksums, counts, numbers that are none."""
    from saccade.features.store import verify_store

    pictures, notes = verify_store(path)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{path} is whole: {pictures:,} pictures")


@store.command()
def convert(
    path: StoreArgument,
    name: Annotated[str | None, typer.Option(help="Of the new store, beside this one.")] = None,
    dtype: Annotated[
        Literal["float32", "float16", "int8"] | None, typer.Option(help="Kind of number.")
    ] = None,
    scale: Annotated[
        Literal["row", "channel"] | None,
        typer.Option(help="Of int8: one for each region (row) or for each of its numbers."),
    ] = None,
    pool: Annotated[int | None, typer.Option(help="Rows and columns of a coarser grid.")] = None,
    pca: Annotated[int | None, typer.Option(help="Numbers per region afterwards.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data folder, where the store is not in it.")
    ] = None,
) -> None:
    """Make a smaller store of a store."""
    from saccade.features.convert import convert_store

    made = convert_store(
        path, say=typer.echo, name=name, dtype=dtype, scale=scale, pool=pool, pca=pca, data=data
    )
    home = data or (made.parent.parent if made.parent.name == "features" else Path("DATA"))
    say_next("train", "RECIPE", "--data", home, "--features", made.name, "--out", "RUN")
