"""Commands about data: prepare, frames, download, pack and unpack."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.api import OnBad, OnFault
from saccade.cli.app import CommandTable, OptionsOption, Result, columns, echo, next_command
from saccade.core.errors import BadConfig
from saccade.core.formatting import byte_size, pairs, size_in_words, values

commands = CommandTable()


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
        OnFault, typer.Option(help="Images in two splits; published ones are kept.")
    ] = "refuse",
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
) -> Result:
    """Read a data set, verify it, write a data folder."""
    from saccade.api import prepare as make
    from saccade.datasets.catalogue import source_and_root

    name, folder = source_and_root(source, root, out)
    options = pairs(option)
    named = {key.replace("-", "_") for key in options}
    if own := {"missing", "overlap", "bad", "replace", "hold_out", "root", "out", "source"} & named:
        hint = f"Write it as an argument of its own: --{min(own).replace('_', '-')}."
        raise BadConfig(f"{min(own)} is no --option of a source", hint=hint)
    from saccade.data.folder import DataFolder
    from saccade.datasets.prepare import next_step, remarks

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
    about = DataFolder(out).about
    splits = {name: counts for name, counts in about["splits"].items() if any(counts.values())}
    lines = [*remarks(out), *columns(values(splits)), next_step(out)]
    return Result({"data": out, **about}, lines)


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
) -> Result:
    """Cut PitVQA's videos into an image a second."""
    from saccade.datasets.pitvqa_frames import cut_videos

    cut: list[dict[str, object]] = []

    def lines() -> Iterator[str]:
        for folder, count in cut_videos(videos, out, by):
            cut.append({"folder": folder, "images": count})
            yield f"{folder}: {count} images"
        step = "saccade prepare pitvqa --root DIR --out DATA (DIR holds images/ and the text)"
        yield f"Next: {step}"

    return Result(cut, lines())


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
) -> Result:
    """Fetch public data sets; goes on where it was stopped."""
    from saccade.transfer.download import download as fetch
    from saccade.transfer.download import plan

    planned = list(plan(names, to, mirror or ())) if dry_run else []
    if not dry_run:
        fetch(names, to, mirrors=mirror or (), tell=echo)
    return Result({"downloads": names, "to": to, "plan": planned}, planned)


@commands.command()
def pack(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A data or run folder.")],
    out: Annotated[Path, typer.Option(help="The folder to fill with parts.")],
    part_size: Annotated[str, typer.Option(help="Of each part, such as 500MB.")] = "500MB",
    images: Annotated[bool, typer.Option("--images", help="Pack the images too.")] = False,
) -> Result:
    """Bundle a folder into checksummed parts for a slow line."""
    from saccade.transfer.pack import pack as bundle

    made = bundle(data, out, part_size=byte_size(part_size), images=images)
    count, size = len(made.manifest.parts), size_in_words(made.manifest.bytes)
    parts = f"{count:,} parts" if count > 1 else "one part"
    lines = [f"{len(made.manifest.files):,} files, {size}, in {parts} in {out}."]
    if made.kept:
        lines.append(f"{made.kept:,} of these were there already.")
    if made.left_out:
        lines.append(f"warning: {made.left_out:,} images are not where the data folder says.")
    lines.append("Copy the whole folder; there, `sha256sum -c SHA256SUMS` checks it, and")
    lines.append(next_command("unpack", out.name, "--out", data.name))
    found = {"files": len(made.manifest.files), "bytes": made.manifest.bytes, "parts": count}
    left = {"there_already": made.kept, "left_out": made.left_out}
    return Result({"parcel": out, **found, **left}, lines)


@commands.command()
def unpack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What pack made.")],
    out: Annotated[Path, typer.Option(help="The new folder.")],
) -> Result:
    """Make the folder again of its parts, every byte checked."""
    from saccade.transfer.unpack import unpack as unbundle

    made = unbundle(folder, out)
    size = sum(file.bytes for file in made.files if file.same_as is None)
    line = f"{len(made.files):,} files, {size_in_words(size)}, in {out}: a {made.kind}."
    data = {"folder": out, "kind": made.kind, "files": len(made.files), "bytes": size}
    return Result(data, [line])
