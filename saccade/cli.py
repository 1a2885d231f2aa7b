"""The command line: every verb parses, calls one function and prints what came of it.

Heavy imports stand inside the verbs, so `saccade --help` answers at once. A user's mistake is one
line on stderr and status 1; anything else that escapes is a defect of ours and keeps its trace.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from saccade.errors import SaccadeError
from saccade.records import Split
from saccade.terminal import colour, number, pairs, table, values

STOPPED = 130
"""What a shell expects of a program that was interrupted: 128 and the signal's number."""


class _Verbs(TyperGroup):
    """All verbs, and what happens when one does not end well."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SaccadeError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo(f"\n{_how_to_go_on(sys.argv[1:])}", err=True)
            raise typer.Exit(STOPPED) from None


app = typer.Typer(
    cls=_Verbs,
    help="Ask pictures, caption pictures, and see where the model looked. Begin with: saccade demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DataFolderArgument = Annotated[Path, typer.Argument(metavar="DATA", help="What prepare made.")]
DataFolderOption = Annotated[Path, typer.Option(help="The data folder, which prepare made.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="What train made.")]
ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.")]
RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="See: saccade list recipes.")]
FeaturesOption = Annotated[
    str | None, typer.Option(help="The feature store, where the data has several.")
]
BeamOption = Annotated[int | None, typer.Option(min=1, help="Beams; by default the recipe's.")]
ChangesOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="May be repeated.")
]
OptionsOption = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="May be repeated.")
]
DeviceOption = Annotated[str, typer.Option(help="auto (the GPU if there is one), cpu or cuda.")]
ExplainOption = Annotated[
    Path | None, typer.Option(help="Also draw where the model looked, as this PNG file.")
]
OnFault = Literal["refuse", "drop", "keep"]


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    app(prog_name="saccade")


def _how_to_go_on(words: Sequence[str]) -> str:
    again = ["saccade", *words]
    if words[:1] == ["train"] and "--resume" not in words:
        again.append("--resume")
    return f"Stopped; nothing is half-written. Go on with: {shlex.join(again)}"


def _print(rows: Iterable[Sequence[str]]) -> None:
    typer.echo(table(rows))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal scores.")] = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Everything, end to end, on pictures drawn on the spot."""
    # Threads that wait by spinning, OpenMP's habit, stand still where other programs run.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
    from saccade.demo import demo as show_all

    show_all(out, seed=seed, device=device)


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="See: saccade list sources. A+B joins two.")],
    root: Annotated[Path, typer.Option(help="The folder with the data set's files.")],
    out: Annotated[Path, typer.Option(help="The data folder to make.")],
    option: OptionsOption = None,
    missing: Annotated[OnFault, typer.Option(help="Pictures that are not there.")] = "refuse",
    overlap: Annotated[OnFault, typer.Option(help="Pictures in two splits.")] = "refuse",
) -> None:
    """Read a data set, verify it, write a data folder."""
    from saccade.data.folder import DataFolder
    from saccade.prepare import prepare as make

    make(source, root, out, missing=missing, overlap=overlap, **pairs(option))
    about = DataFolder(out).about
    for note in about["notes"]:
        typer.echo(f"note: {note}")
    for found in about["findings"]:
        typer.echo(f"{found['level']}: {found['what']}: {found['count']}. {found['cure']}")
    _print(
        values({split: counts for split, counts in about["splits"].items() if any(counts.values())})
    )
    typer.echo(f"Next: saccade extract {out} --backbone timm:NAME (a recipe names its own)")


@app.command()
def extract(
    data: DataFolderArgument,
    backbone: Annotated[str, typer.Option(help="timm:NAME, see: saccade list backbones.")],
    weights: Annotated[str, typer.Option(help="hub, random, or a file.")] = "hub",
    option: OptionsOption = None,
    name: Annotated[str | None, typer.Option(help="Of the store; default: network-size.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of what the network sees.")] = None,
    resize: Annotated[Literal["squash", "shorter_side"] | None, typer.Option()] = None,
    resize_to: Annotated[int | None, typer.Option(help="Shorter side before the crop.")] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="On a scale of 0..1.")] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="On a scale of 0..1.")] = None,
    interpolation: Annotated[Literal["bilinear", "bicubic"] | None, typer.Option()] = None,
    dtype: Literal["float16", "float32"] = "float16",
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode pictures.")] = 0,
    image_root: Annotated[Path | None, typer.Option(help="Where the pictures are now.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Look at every picture once with a frozen network."""
    from saccade.extract import extract as make

    store = make(
        data,
        backbone,
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
    typer.echo(f"Next: saccade train RECIPE --data {data} --features {store.name} --out RUN")


@app.command()
def train(
    recipe: RecipeArgument,
    data: DataFolderOption,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    changes: ChangesOption = None,
    features: FeaturesOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where OUT stands.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a recipe on a data folder, write a run folder."""
    from saccade.listing import changed_recipe
    from saccade.train import train as fit

    chosen = changed_recipe(recipe, changes or ())
    fit(chosen, data, out, name=recipe, features=features, resume=resume, device=device)
    typer.echo(f"Next: saccade evaluate {out}")


@app.command()
def evaluate(
    run: RunArgument,
    split: Annotated[Split | None, typer.Option(help="By default test, else val.")] = None,
    beam: BeamOption = None,
    revision: Annotated[str, typer.Option(help="Of the VQA scorer: 2021-03, 2016.")] = "2021-03",
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: FeaturesOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Score a run officially, beside baselines that never look."""
    from saccade.evaluate import evaluate as judge

    scores = judge(
        run,
        split=split,
        data=data,
        features=features,
        beams=beam,
        revision=revision,
        device=device,
    )
    _print(values(scores))
    typer.echo(f"Written: {run / 'scores.json'}, {run / 'predictions.json'}")


@app.command()
def ask(
    run: RunArgument,
    image: ImageArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.")],
    top: Annotated[int, typer.Option(min=1, help="So many answers, likeliest first.")] = 5,
    explain: ExplainOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Ask a question about a picture."""
    from saccade.predict import load

    opened = load(run, device)
    answer = opened.ask(image, question, top=top)
    _print((f"{share:.3f}", text) for text, share in answer.top)
    if explain is not None:
        from saccade.explain import draw_answer
        from saccade.pictures.files import save_png

        save_png(explain, draw_answer(opened, image, question, answer))


@app.command()
def caption(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    beam: BeamOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Say what pictures show."""
    from saccade.predict import load

    opened = load(run, device)
    for image in images:
        said = opened.caption(image, beam=beam).text
        typer.echo(said if len(images) == 1 else f"{image}: {said}")


@app.command()
def explain(
    run: RunArgument,
    image: ImageArgument,
    question: Annotated[str | None, typer.Argument(help="For runs that answer.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file to draw.")] = Path(
        "looked.png"
    ),
    beam: BeamOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Draw where the model looked: per glimpse, or per word."""
    from saccade.explain import explain as draw

    typer.echo(f"Drawn: {draw(run, image, out, question=question, beam=beam, device=device)}")


@app.command("list")
def list_names(
    kind: Literal["models", "recipes", "sources", "metrics", "backbones"],
    pattern: Annotated[str, typer.Argument(help="Of backbones, such as 'resnet*'.")] = "*",
) -> None:
    """List models, recipes, sources, metrics or backbones."""
    from saccade.listing import rows_of

    _print(rows_of(kind, pattern))


@app.command()
def show(recipe: RecipeArgument, changes: ChangesOption = None) -> None:
    """Print every setting of a recipe, as --set takes them."""
    from saccade.listing import changed_recipe, fields_of

    chosen = changed_recipe(recipe, changes or ())
    for line in chosen.about.splitlines():
        typer.echo(f"# {line.strip()}")
    for field, value in fields_of(chosen):
        typer.echo(f"{field}={value}")


@app.command()
def about() -> None:
    """Print versions and devices, for reports of defects."""
    from saccade.listing import versions

    _print(versions())
