"""Commands about features: extract, import-features, store."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from saccade.cli import app
from saccade.core.errors import BadConfig
from saccade.core.formatting import colour, number, pairs, values
from saccade.core.language import translated

commands = app.CommandTable()

store = app.CommandTable(help="Describe, check or convert a feature store.", no_args_is_help=True)
commands.add_typer(store, name="store")


ForOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="RECIPE",
        help="Instead: what this recipe was made for, its size and its resizing too.",
        callback=app.check_recipe,
    ),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        help="timm:NAME, see: saccade list backbones; transformers:NAME of a ViT; or pixels."
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Instead: torchvision:NAME, whose boxes are kept; see: saccade list backbones "
        "'torchvision:*'."
    ),
]
SizeOption = Annotated[int | None, typer.Option(help="Side of the network's input, in pixels.")]
BatchOption = Annotated[
    int | None, typer.Option(min=1, help="Images at once; default: 32 on a GPU, 8 on a CPU.")
]
ResizeOption = Annotated[
    Literal["squash", "shorter_side", "inside", "crop"] | None,
    typer.Option(help="crop cuts the middle out of the image as it is."),
]
ViewsOption = Annotated[
    int, typer.Option(min=1, help="Stored of each image: the plain one, and others for training.")
]
AugmentOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="How these are changed: crop=0.6, flip=true, colour=0.2, rotation=0, seed=0.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="N/ALL", help="Only the Nth of so many parts, for other processes or machines."
    ),
]
EngineOption = Annotated[
    Literal["none", "ray"],
    typer.Option(help="What spreads the work over processes and machines."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Of a running Ray cluster; by default one is started here.")
]
ProcessesOption = Annotated[int | None, typer.Option(min=1, help="Of the engine ray; default: 2.")]
NumbersOption = Annotated[
    Literal["float16", "float32"] | None, typer.Option(help="float16, but uint8 for pixels.")
]


@commands.command()
def extract(
    data: app.DataFolderArgument,
    backbone: BackboneOption = None,
    detector: DetectorOption = None,
    recipe: ForOption = None,
    weights: Annotated[str, typer.Option(help="hub, random, a file, or a ViT's folder.")] = "hub",
    option: app.OptionsOption = None,
    name: Annotated[str | None, typer.Option(help="Of the store; default: network-size.")] = None,
    size: SizeOption = None,
    resize: ResizeOption = None,
    resize_to: Annotated[int | None, typer.Option(help="Shorter side before the crop.")] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="On a scale of 0..1.")] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="On a scale of 0..1.")] = None,
    interpolation: Annotated[Literal["bilinear", "bicubic"] | None, typer.Option()] = None,
    views: ViewsOption = 1,
    augment: AugmentOption = None,
    shard: ShardOption = None,
    dtype: NumbersOption = None,
    batch_size: BatchOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode images.")] = 0,
    image_root: Annotated[Path | None, typer.Option(help="Where the images are now.")] = None,
    device: app.DeviceOption = "auto",
    engine: EngineOption = "none",
    address: AddressOption = None,
    processes: ProcessesOption = None,
) -> app.Result:
    """Encode every image once with a frozen network."""
    from saccade.api import extract as make

    network = _one_of(backbone, detector, recipe)
    store = make(
        data,
        network,
        recipe=recipe,
        weights=weights,
        options={key: number(value) for key, value in pairs(option).items()},
        name=name,
        size=size,
        resize=resize,
        resize_to=resize_to,
        mean=colour(mean),
        std=colour(std),
        interpolation=interpolation,
        views=views,
        augment={key: number(value) for key, value in pairs(augment).items()},
        shard=shard,
        engine=engine,
        address=address,
        processes=processes,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        image_root=image_root,
        device=device,
    )
    if shard:
        merge = shlex.join(["saccade", "store", "merge", str(store.parent)])
        return app.Result(_header(store), [f"When all shards are there: {merge}"])
    return _made(store, data, recipe or ("RECIPE" if network == "pixels" else None))


def _made(store: Path, data: Path, recipe: str | None = None) -> app.Result:
    """A store that is ready to train on."""
    return app.Result(_header(store), [app.train_command(data, store.name, recipe)])


def _header(store: Path) -> dict[str, Any]:
    """A store's path and its header."""
    from saccade.features.store import read_header

    return {"store": store, **read_header(store).model_dump(mode="json")}


def _one_of(backbone: str | None, detector: str | None, recipe: str | None) -> str | None:
    """The network, from one option or the other, or none where it is the recipe's; --detector
    takes only what finds boxes."""
    if detector is not None and not detector.startswith("torchvision:"):
        hint = "Give torchvision:NAME, see: saccade list backbones 'torchvision:*'."
        raise BadConfig(f"no detector {detector!r}", hint=hint)
    if [backbone, detector, recipe].count(None) != 2:
        hint = "Give one of them: --for RECIPE takes what a recipe was made for, see: saccade list "
        hint += "recipes; --backbone timm:NAME; or --detector torchvision:NAME."
        raise BadConfig("extract takes one of --for, --backbone and --detector", hint=hint)
    return detector or backbone


@commands.command("import-features")
def import_features(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="bottom-up, vinvl, hengyuan-hu, pytorch-vqa, openvqa, self-critical, sgrvinod, "
            "m2, nocaps, grid-feats or scan.",
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file, or the folder of them.")],
    data: app.DataFolderOption,
    name: Annotated[str | None, typer.Option(help="Of the store; default: the kind.")] = None,
    dtype: Annotated[Literal["float16", "float32"], typer.Option()] = "float16",
    image_root: Annotated[Path | None, typer.Option(help="Where the images are now.")] = None,
    match: Annotated[
        Literal["name", "id"] | None,
        typer.Option(help="What the file's numbers are; default: names, or published ids."),
    ] = None,
    missing: Annotated[
        Literal["refuse", "drop"],
        typer.Option(help="More than half of the images, where they are not in the file."),
    ] = "refuse",
) -> app.Result:
    """Make a feature store of another program's feature file."""
    from saccade.interop.import_features import import_features as bring

    chosen = {"name": name, "dtype": dtype, "image_root": image_root}
    chosen |= {"match": match, "missing": missing}
    return _made(bring(kind, file, data, app.echo, **chosen), data)


StoreArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="A folder in features/ of a data folder.")
]


@store.command()
def info(path: StoreArgument) -> app.Result:
    """Say what a store holds and what it was made with."""
    from saccade.features.store import describe_store

    return app.Result(_header(path), app.columns(values(describe_store(path))))


@store.command()
def verify(path: StoreArgument) -> app.Result:
    """Read every file of a store: checksums, counts, numbers that are none."""
    from saccade.features.store import verify_store

    images, notes = verify_store(path)
    for note in notes:
        app.echo(translated(f"note: {note}"), err=True)
    data = {"store": path, "images": images, "notes": notes}
    return app.Result(data, [f"{path} is whole: {images:,} images"])


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
) -> app.Result:
    """Make a smaller store of a store."""
    from saccade.features.convert import convert_store

    made = convert_store(
        path, say=app.echo, name=name, dtype=dtype, scale=scale, pool=pool, pca=pca, data=data
    )
    home = data or (made.parent.parent if made.parent.name == "features" else Path("DATA"))
    return _made(made, home)


@store.command()
def merge(
    given: Annotated[
        list[Path],
        typer.Argument(metavar="SHARDS...", help="DATA/shards/NAME, or the folders of the shards."),
    ],
    data: Annotated[
        Path | None, typer.Option(help="The data folder, where the shards are not in it.")
    ] = None,
) -> app.Result:
    """Make one store of the shards of `extract --shard`."""
    from saccade.features.shards import merge_shards

    made = merge_shards(given, data, app.echo)
    return _made(made, made.parent.parent)
