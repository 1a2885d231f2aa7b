"""The verbs that bring another program's checkpoint or features over."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.cli.frame import ChangesOption, DataFolderOption, app, say_next, show_rows
from saccade.core.formatting import values


@app.command("import-checkpoint")
def import_checkpoint(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="pytorch-vqa, hengyuan-hu, sgrvinod, self-critical or pitvqa."
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The checkpoint.")],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    words: Annotated[
        Path | None, typer.Option(help="Its words, where they are not in it or alone beside it.")
    ] = None,
    answers: Annotated[Path | None, typer.Option(help="Its answers, likewise.")] = None,
    changes: ChangesOption = None,
    backbone: Annotated[
        str | None, typer.Option(help="Another network to look at pictures with, timm:NAME.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Its weights: hub, random, or a file.")] = "hub",
    size: Annotated[int | None, typer.Option(help="Side of what that network sees.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="A feature store, to look at pictures as it did.")
    ] = None,
) -> None:
    """Make a run of another program's checkpoint, without executing it."""
    from saccade.interop.import_checkpoint import import_checkpoint as bring

    made = bring(
        kind,
        file,
        out,
        words=words,
        answers=answers,
        changes=tuple(changes or ()),
        backbone=backbone,
        weights=weights,
        size=size,
        store=store,
    )
    header = made.run.header
    told = {
        "checkpoint": made.layout,
        "model": header.recipe.model.kind,
        "words": header.sizes.words,
        "answers": header.sizes.answers,
        "looks with": f"{header.store.backbone.name}, {header.store.preprocessing.height} pixels",
    }
    show_rows(values({name: value for name, value in told.items() if value}))
    for note in made.notes:
        typer.echo(f"note: {note}")
    using = 'ask {run} IMAGE "QUESTION"' if header.recipe.task == "vqa" else "caption {run} IMAGE"
    typer.echo(f"Next: saccade {using.format(run=shlex.quote(str(out)))}")
    typer.echo(f"To evaluate it: {made.extract}")
    typer.echo(f"then: saccade evaluate {shlex.quote(str(out))} --data DATA")


@app.command("import-features")
def import_features(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="bottom-up, hengyuan-hu, pytorch-vqa, openvqa, self-critical or sgrvinod.",
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file, or the folder of them.")],
    data: DataFolderOption,
    name: Annotated[str | None, typer.Option(help="Of the store; default: the kind.")] = None,
    dtype: Annotated[Literal["float16", "float32"], typer.Option()] = "float16",
    image_root: Annotated[Path | None, typer.Option(help="Where the pictures are now.")] = None,
    match: Annotated[
        Literal["name", "id"] | None,
        typer.Option(help="What the file's numbers are; default: names, or published ids."),
    ] = None,
    missing: Annotated[
        Literal["refuse", "drop"],
        typer.Option(help="More than half of the pictures, where they are not in the file."),
    ] = "refuse",
) -> None:
    """Make a feature store of another program's feature file."""
    from saccade.interop.import_features import import_features as bring

    store = bring(
        kind,
        file,
        data,
        say=typer.echo,
        name=name,
        dtype=dtype,
        image_root=image_root,
        match=match,
        missing=missing,
    )
    say_next("train", "RECIPE", "--data", data, "--features", store.name, "--out", "RUN")
