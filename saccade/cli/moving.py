"""The verbs that bring data here, and carry it on: fetch public sets, pack and unpack folders."""

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.frame import app, say_next
from saccade.core.formatting import byte_size, size_in_words


@app.command()
def download(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="See: saccade list downloads.")
    ],
    to: Annotated[Path, typer.Option(help="The folder to fetch to; sets may share one.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what, how much, and under which licence.")
    ] = False,
    mirror: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A folder on the web, tried first. May be repeated."),
    ] = None,
) -> None:
    """Fetch public data sets; goes on where it was stopped."""
    from saccade.transfer.download import download as fetch
    from saccade.transfer.download import plan

    if dry_run:
        for line in plan(names, to, mirror or ()):
            typer.echo(line)
        return
    fetch(names, to, mirrors=mirror or (), tell=typer.echo)


@app.command()
def pack(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A data or run folder.")],
    out: Annotated[Path, typer.Option(help="The folder to fill with parts.")],
    part_size: Annotated[str, typer.Option(help="Of each part, such as 500MB.")] = "500MB",
    pictures: Annotated[bool, typer.Option("--pictures", help="Bring the pictures too.")] = False,
) -> None:
    """Bundle a folder into checksummed parts for a slow line."""
    from saccade.transfer.pack import pack as bundle

    made = bundle(data, out, part_size=byte_size(part_size), pictures=pictures)
    count, size = len(made.manifest.parts), size_in_words(made.manifest.bytes)
    parts = f"{count:,} parts" if count > 1 else "one part"
    typer.echo(f"{len(made.manifest.files):,} files, {size}, in {parts} in {out}.")
    if made.kept:
        typer.echo(f"{made.kept:,} of these were there already.")
    if made.left_out:
        typer.echo(f"warning: {made.left_out:,} pictures are not where the data folder says.")
    typer.echo("Copy the whole folder; there, `sha256sum -c SHA256SUMS` checks it, and")
    say_next("unpack", out.name, "--out", data.name)


@app.command()
def unpack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What pack made.")],
    out: Annotated[Path, typer.Option(help="The new folder.")],
) -> None:
    """Make the folder again of its parts, every byte checked."""
    from saccade.transfer.unpack import unpack as unbundle

    made = unbundle(folder, out)
    size = size_in_words(sum(file.bytes for file in made.files if file.same_as is None))
    typer.echo(f"{len(made.files):,} files, {size}, in {out}: a {made.what}.")
