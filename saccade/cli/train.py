"""Commands that make runs: demo, train, average, ensemble, import-checkpoint."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.cli import app
from saccade.core.errors import BadCheckpoint
from saccade.core.formatting import values
from saccade.core.processes import processes_around
from saccade.core.tasks import TASK_INFO

commands = app.CommandTable()

DevicesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Train in so many processes, each on a GPU or part of the CPU."),
]
NodesOption = Annotated[
    int | None,
    typer.Option(min=1, help="On so many machines, each of which is given this command."),
]
LoggersOption = Annotated[
    list[str] | None,
    typer.Option("--logger", help="tensorboard, or module:NAME. May be repeated."),
]


@commands.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("demo"),
    vqa: Annotated[
        str | None, typer.Option(help="A VQA recipe; use a small one.", callback=app.check_recipe)
    ] = None,
    caption: Annotated[
        str | None, typer.Option(help="A captioning recipe.", callback=app.check_recipe)
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="Equal seeds give equal scores.")
    ] = 0,
    device: app.DeviceOption = "cpu",
) -> app.Result:
    """Everything, end to end, on images drawn on the spot."""
    from saccade.core.devices import check_device
    from saccade.recipes.load import load_recipe

    check_device(device)
    for name in filter(None, (vqa, caption)):
        load_recipe(name)
    from saccade.demo.run import DemoSettings
    from saccade.demo.run import demo as show_all

    chosen = {task: name for task, name in (("vqa", vqa), ("caption", caption)) if name}
    page = show_all(out, seed=seed, device=device, settings=DemoSettings(**chosen))
    return app.Result({"page": page})


@commands.command()
def advise(
    data: app.DataFolderArgument,
    task: Annotated[
        Literal["vqa", "caption"] | None, typer.Option(help="Of a folder with both.")
    ] = None,
) -> app.Result:
    """Choose the settings of auto-vqa or auto-caption."""
    from saccade.api import advise as choose
    from saccade.data.folder import DataFolder

    advice = choose(data, task)
    rows = [(f"{one.field}={one.value}", one.reason) for one in advice.settings]
    lines = [*app.columns(rows), f"All else: saccade show {advice.name}"]
    command = (
        f"saccade train {advice.name} --data {shlex.quote(str(data))} --out runs/{advice.name}"
    )
    if not DataFolder(data).stores():
        command = f"saccade extract {shlex.quote(str(data))} --for {advice.name}"
    result = {"recipe": advice.name, "settings": [one._asdict() for one in advice.settings]}
    return app.Result(result, [*lines, f"Next: {command}"])


@commands.command()
def train(
    recipe: app.RecipeArgument,
    data: app.DataFolderOption,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    changes: app.ChangesOption = None,
    features: app.FeaturesOption = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Start from the weights of this run.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Train so many seeds and join them into an ensemble.")
    ] = 1,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Cross-validate: cut train and val into so many parts by image."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in OUT was stopped.")
    ] = False,
    no_watchdog: Annotated[
        bool, typer.Option("--no-watchdog", help="Do not test the run, warn of it or stop it.")
    ] = False,
    keep: Annotated[
        str, typer.Option(help="Checkpoints: best, all, or 'every N' for every Nth epoch.")
    ] = "best",
    minutes: Annotated[
        float | None, typer.Option(help="End after so many, as after the last epoch.")
    ] = None,
    devices: DevicesOption = None,
    nodes: NodesOption = None,
    loggers: LoggersOption = None,
    allow: app.AllowOption = None,
    strict: app.StrictOption = False,
    device: app.DeviceOption = "auto",
) -> app.Result:
    """Train a recipe on a data folder, write a run folder."""
    from saccade.api import train as fit

    scores = fit(
        recipe,
        data,
        out,
        changes=changes or (),
        features=features,
        start=start,
        seeds=seeds,
        folds=folds,
        resume=resume,
        watchdog=not no_watchdog,
        keep=keep,
        minutes=minutes,
        devices=devices,
        nodes=nodes,
        loggers=loggers or (),
        allow=allow or (),
        strict=strict,
        device=device,
    )
    if (around := processes_around()) and not around.is_first:
        raise typer.Exit  # the first one of those that torchrun or srun started tells the result
    return app.Result({"run": out, "scores": scores}, [app.next_command("evaluate", out)])


@commands.command()
def average(
    run: app.RunArgument,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    last: Annotated[int, typer.Option(min=2, help="Checkpoints, those of the last epochs.")] = 5,
) -> app.Result:
    """Average the last checkpoints of a run, write a run folder."""
    from saccade.api import average as mean_of

    epochs = mean_of(run, out, last=last)
    line = f"The mean of the weights of epochs {', '.join(map(str, epochs))}."
    return app.Result({"run": out, "epochs": epochs}, [line, app.next_command("evaluate", out)])


@commands.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of one recipe.")],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
) -> app.Result:
    """Join runs into one that predicts the mean, write a run folder."""
    from saccade.api import ensemble as join

    made = join(runs, out)
    return app.Result({"run": made, "members": runs}, [app.next_command("evaluate", out)])


@commands.command("import-checkpoint")
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
    changes: app.ChangesOption = None,
    backbone: Annotated[str | None, typer.Option(help="Another backbone, timm:NAME.")] = None,
    weights: Annotated[str, typer.Option(help="Its weights: hub, random, or a file.")] = "hub",
    size: Annotated[int | None, typer.Option(help="Side of its input, in pixels.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="A feature store, whose backbone to use.")
    ] = None,
) -> app.Result:
    """Make a run of another program's checkpoint, without executing it."""
    if not file.exists():
        hint = "Give the path of the checkpoint."
        raise BadCheckpoint("no such file", location=file, hint=hint)
    from saccade.interop.import_checkpoint import import_checkpoint as bring

    chosen = {"words": words, "answers": answers, "changes": tuple(changes or ())}
    network = {"backbone": backbone, "weights": weights, "size": size, "store": store}
    made = bring(kind, file, out, **chosen, **network)
    header = made.run.header
    shown = {
        "checkpoint": made.layout,
        "model": header.recipe.model.kind,
        "words": header.sizes.words,
        "answers": header.sizes.answers,
        "backbone": f"{header.store.backbone.name}, {header.store.preprocessing.height} pixels",
    }
    shown = {name: value for name, value in shown.items() if value}
    usage = TASK_INFO[header.recipe.task].usage.format(run=shlex.quote(str(out)))
    lines = [*app.columns(values(shown)), *(f"note: {note}" for note in made.notes)]
    lines += [f"Next: saccade {usage}", f"To evaluate it: {made.extract}"]
    lines += [f"then: saccade evaluate {shlex.quote(str(out))} --data DATA"]
    return app.Result({"run": out, **shown, "notes": made.notes}, lines)
