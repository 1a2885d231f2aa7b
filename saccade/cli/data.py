"""Commands about data: prepare, frames, download, pack and unpack."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.api import OnBad, OnFault
from saccade.cli.app import OptionsOption, say_next, show_rows
from saccade.core.errors import BadConfig
from saccade.core.formatting import byte_size, pairs, size_in_words, values

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def prepare(
    out: Annotated[Path, typer.Option(help="The data folder to make.")],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE|DIR",
            help="See: saccade list sources. A+B joins two; hf:ORG/NAME; or a folder alone.",
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The folder with the data set's files; then name a SOURCE.")
    ] = None,
    option: OptionsOption = None,
    missing: Annotated[OnFault, typer.Option(help="Images that are not there.")] = "refuse",
    overlap: Annotated[
        OnFault | None,
        typer.Option(help="Images in two splits. Else refused, but where they were published so."),
    ] = None,
    bad: Annotated[
        OnBad, typer.Option(help="Single records that cannot be used, in sources of rows.")
    ] = "refuse",
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over a data folder of other data.")
    ] = False,
    hold_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of the training images: the validation split of a task that has none.",
        ),
    ] = None,
) -> None:
    """Read a data set, verify it, write a data folder."""
    from saccade.api import prepare as make
    from saccade.data.folder import DataFolder
    from saccade.datasets.prepare import next_step, remarks, source_and_root

    name, folder = source_and_root(source, root, out)
    options = pairs(option)
    named = {key.replace("-", "_") for key in options}
    if own := {"missing", "overlap", "bad", "replace", "hold_out", "root", "out", "source"} & named:
        hint = f"Write it as an argument of its own: --{min(own).replace('_', '-')}."
        raise BadConfig(f"{min(own)} is no --option of a source", hint=hint)
    make(
        name,
        folder,
        out,
        missing=missing,
        overlap=overlap,
        hold_out=hold_out,
        bad=bad,
        replace=replace,
        **options,
    )
    for line in remarks(out):
        typer.echo(line)
    splits = DataFolder(out).about["splits"]
    show_rows(values({split: counts for split, counts in splits.items() if any(counts.values())}))
    typer.echo(next_step(out))


@commands.command()
def frames(
    videos: Annotated[Path, typer.Argument(help="A video, or a folder of PitVQA's 25.")],
    out: Annotated[Path, typer.Option(help="The folder of images: images/ of the data set.")],
    by: Annotated[
        Literal["count", "time"] | None,
        typer.Option(
            help="count frames, as published (video_01 ...), or take each one's own time."
        ),
    ] = None,
) -> None:
    """Cut PitVQA's videos into an image a second."""
    from saccade.datasets.pitvqa_frames import cut_videos

    for folder, count in cut_videos(videos, out, by):
        typer.echo(f"{folder}: {count} images")
    step = "saccade prepare pitvqa --root DIR --out DATA (DIR holds images/ and the text)"
    typer.echo(f"Next: {step}")


@commands.command()
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


@commands.command()
def pack(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A data or run folder.")],
    out: Annotated[Path, typer.Option(help="The folder to fill with parts.")],
    part_size: Annotated[str, typer.Option(help="Of each part, such as 500MB.")] = "500MB",
    images: Annotated[bool, typer.Option("--images", help="Pack the images too.")] = False,
) -> None:
    """Bundle a folder into checksummed parts for a slow line."""
    from saccade.transfer.pack import pack as bundle

    made = bundle(data, out, part_size=byte_size(part_size), images=images)
    count, size = len(made.manifest.parts), size_in_words(made.manifest.bytes)
    parts = f"{count:,} parts" if count > 1 else "one part"
    typer.echo(f"{len(made.manifest.files):,} files, {size}, in {parts} in {out}.")
    if made.kept:
        typer.echo(f"{made.kept:,} of these were there already.")
    if made.left_out:
        typer.echo(f"warning: {made.left_out:,} images are not where the data folder says.")
    typer.echo("Copy the whole folder; there, `sha256sum -c SHA256SUMS` checks it, and")
    say_next("unpack", out.name, "--out", data.name)


@commands.command()
def unpack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What pack made.")],
    out: Annotated[Path, typer.Option(help="The new folder.")],
) -> None:
    """Make the folder again of its parts, every byte checked."""
    from saccade.transfer.unpack import unpack as unbundle

    made = unbundle(folder, out)
    size = size_in_words(sum(file.bytes for file in made.files if file.same_as is None))
    typer.echo(f"{len(made.files):,} files, {size}, in {out}: a {made.kind}.")
