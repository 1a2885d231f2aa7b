"""The verbs that make something: data folders, features, runs, and the demo of it all."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.cli.frame import (
    ChangesOption,
    DataFolderArgument,
    DataFolderOption,
    DeviceOption,
    FeaturesOption,
    OnFault,
    OptionsOption,
    RecipeArgument,
    app,
    say_next,
    show_rows,
)
from saccade.core.errors import BadConfig
from saccade.core.formatting import colour, number, pairs, values


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("demo"),
    vqa: Annotated[str | None, typer.Option(help="A recipe that answers; use a small one.")] = None,
    caption: Annotated[str | None, typer.Option(help="A recipe that describes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal scores.")] = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Everything, end to end, on pictures drawn on the spot."""
    # Threads that wait by spinning, OpenMP's habit, stand still where other programs run.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
    from saccade.demo import DemoSettings
    from saccade.demo import demo as show_all

    chosen = {task: name for task, name in (("vqa", vqa), ("caption", caption)) if name}
    show_all(out, seed=seed, device=device, settings=DemoSettings(**chosen))


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="The data folder to make.")],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE|DIR",
            help="See: saccade list sources. A+B joins two. A folder alone is looked at.",
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The folder with the data set's files; then name a SOURCE.")
    ] = None,
    option: OptionsOption = None,
    missing: Annotated[OnFault, typer.Option(help="Pictures that are not there.")] = "refuse",
    overlap: Annotated[OnFault, typer.Option(help="Pictures in two splits.")] = "refuse",
    hold_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of the training pictures: the validation split of a task that has none.",
        ),
    ] = None,
) -> None:
    """Read a data set, verify it, write a data folder."""
    from saccade.data.folder import DataFolder
    from saccade.datasets.prepare import next_step, source_and_root, told
    from saccade.datasets.prepare import prepare as make

    name, folder = source_and_root(source, root)
    options = pairs(option)
    named = {key.replace("-", "_") for key in options}
    if own := {"missing", "overlap", "hold_out", "root", "out", "source"} & named:
        cure = f"Write it as an argument of its own: --{min(own).replace('_', '-')}."
        raise BadConfig(f"{min(own)} is no --option of a source", cure=cure)
    make(name, folder, out, missing=missing, overlap=overlap, hold_out=hold_out, **options)
    for line in told(out):
        typer.echo(line)
    splits = DataFolder(out).about["splits"]
    show_rows(values({split: counts for split, counts in splits.items() if any(counts.values())}))
    typer.echo(next_step(out))


@app.command()
def frames(
    videos: Annotated[Path, typer.Argument(help="A video, or a folder of PitVQA's 25.")],
    out: Annotated[Path, typer.Option(help="The folder of pictures: images/ of the data set.")],
) -> None:
    """Cut PitVQA's videos into a picture a second, as published."""
    from saccade.datasets.pitvqa_frames import cut_videos

    for folder, count in cut_videos(videos, out):
        typer.echo(f"{folder}: {count} pictures")
    typer.echo(
        "Next: saccade prepare pitvqa --root DIR --out DATA (DIR holds images/ and the text)"
    )


@app.command()
def extract(
    data: DataFolderArgument,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="timm:NAME, see: saccade list backbones; transformers:NAME of a ViT; or pixels."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Instead: torchvision:NAME, whose boxes are kept; see: saccade list backbones "
            "'torchvision:*'."
        ),
    ] = None,
    weights: Annotated[str, typer.Option(help="hub, random, a file, or a ViT's folder.")] = "hub",
    option: OptionsOption = None,
    name: Annotated[str | None, typer.Option(help="Of the store; default: network-size.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of what the network sees.")] = None,
    resize: Annotated[Literal["squash", "shorter_side", "inside"] | None, typer.Option()] = None,
    resize_to: Annotated[int | None, typer.Option(help="Shorter side before the crop.")] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="On a scale of 0..1.")] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="On a scale of 0..1.")] = None,
    interpolation: Annotated[Literal["bilinear", "bicubic"] | None, typer.Option()] = None,
    dtype: Annotated[
        Literal["float16", "float32"] | None, typer.Option(help="float16, but uint8 for pixels.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode pictures.")] = 0,
    image_root: Annotated[Path | None, typer.Option(help="Where the pictures are now.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Look at every picture once with a frozen network."""
    from saccade.features.extract import extract as make

    network = _one_of(backbone, detector)
    store = make(
        data,
        network,
        weights=weights,
        options={key: number(value) for key, value in pairs(option).items()},
        name=name,
        size=size,
        resize=resize,
        resize_to=resize_to,
        mean=colour(mean),
        std=colour(std),
        interpolation=interpolation,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        image_root=image_root,
        device=device,
    )
    say_next("train", "RECIPE", "--data", data, "--features", store.name, "--out", "RUN")


def _one_of(backbone: str | None, detector: str | None) -> str:
    """The network that features are made with. A detector is a backbone too; its own option refuses
    what finds no boxes.
    """
    if detector is not None and not detector.startswith("torchvision:"):
        cure = "Give torchvision:NAME, see: saccade list backbones 'torchvision:*'."
        raise BadConfig(f"no detector {detector!r}", cure=cure)
    network = detector if backbone is None else backbone
    if network is None or None not in (backbone, detector):
        cure = "Give one of them: --backbone timm:NAME, or --detector torchvision:NAME."
        raise BadConfig("extract takes either --backbone or --detector", cure=cure)
    return network


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
    from saccade.recipes.catalogue import changed_recipe
    from saccade.training.train import train as fit

    chosen = changed_recipe(recipe, changes or ())
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
