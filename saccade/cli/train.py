"""The verbs that make runs: demo, train, import-checkpoint."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.app import (
    ChangesOption,
    DataFolderOption,
    DeviceOption,
    FeaturesOption,
    RecipeArgument,
    app,
    say_next,
    show_rows,
)
from saccade.core.formatting import values


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("demo"),
    vqa: Annotated[str | None, typer.Option(help="A recipe that answers; use a small one.")] = None,
    caption: Annotated[str | None, typer.Option(help="A recipe that describes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal scores.")] = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Everything, end to end, on images drawn on the spot."""
    # Threads that wait by spinning, OpenMP's habit, stand still where other programs run.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
    from saccade.demo.run import DemoSettings
    from saccade.demo.run import demo as show_all

    chosen = {task: name for task, name in (("vqa", vqa), ("caption", caption)) if name}
    show_all(out, seed=seed, device=device, settings=DemoSettings(**chosen))


@app.command()
def train(
    recipe: RecipeArgument,
    data: DataFolderOption,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    changes: ChangesOption = None,
    features: FeaturesOption = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Begin with the weights of this run.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where OUT stands.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a recipe on a data folder, write a run folder."""
    from saccade.recipes.catalogue import load_recipe
    from saccade.training.train import train as fit

    chosen = load_recipe(recipe, changes or ())
    fit(
        chosen,
        data,
        out,
        name=recipe,
        features=features,
        start=start,
        resume=resume,
        device=device,
    )
    say_next("evaluate", out)


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
        str | None, typer.Option(help="Another network to look at images with, timm:NAME.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Its weights: hub, random, or a file.")] = "hub",
    size: Annotated[int | None, typer.Option(help="Side of what that network sees.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="A feature store, to look at images as it did.")
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
