"""Commands that score runs: evaluate, compare."""

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.app import BeamOption, DeviceOption, FeaturesOption, RunArgument, show_rows
from saccade.core.formatting import values
from saccade.data.records import Split

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def evaluate(
    run: RunArgument,
    split: Annotated[Split | None, typer.Option(help="By default test, else val.")] = None,
    beam_size: BeamOption = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Of the VQA scorer: 2021-03, 2016, always; by default the data's."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: FeaturesOption = None,
    wordnet: Annotated[
        Path | None, typer.Option(help="WordNet's folder or zip file, for WUPS.")
    ] = None,
    java: Annotated[bool, typer.Option("--java", help="Also METEOR and SPICE: minutes.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Score a run officially, beside baselines that need no image."""
    from saccade.api import evaluate as score
    from saccade.metrics.catalogue import METRICS, titled

    scores = score(
        run,
        split=split,
        data=data,
        features=features,
        beam_size=beam_size,
        revision=revision,
        wordnet=wordnet,
        java=java,
        device=device,
    )
    show_rows(titled(scores))
    found = {name: scores.pop(name) for name in METRICS if name in scores}
    for reason in {v["not_measured"]: None for v in found.values() if isinstance(v, dict)}:
        typer.echo(f"Not measured: {reason}")
    scores["interval"] = {
        METRICS[name].title: " to ".join(map(METRICS[name].shown, ends))
        for name, ends in scores["interval"].items()
    }
    scores["baselines"] = {
        name: dict(titled(one)) | {n: v for n, v in one.items() if n not in METRICS}
        for name, one in scores["baselines"].items()
    }
    show_rows(values(scores))
    rows = run / f"scored-{scores['split']}.parquet"
    typer.echo(f"Written: {run / 'scores.json'}, {run / 'predictions.json'}, {rows}")


@commands.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Scored runs; NAME=RUN gives a name.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page; numbers go beside it, report/ here.")
    ] = Path("report.html"),
    split: Annotated[
        Split | None, typer.Option(help="By default the last that all were scored on.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: FeaturesOption = None,
    watts: Annotated[
        float, typer.Option(min=0, help="Power of the machine, to estimate energy.")
    ] = 100,
    examples: Annotated[
        int, typer.Option(min=0, help="So many good, bad and disputed examples.")
    ] = 3,
    device: DeviceOption = "auto",
) -> None:
    """Compare scored runs on one HTML page with everything inside."""
    from saccade.api import compare as write

    page, *files = write(
        runs,
        out,
        split=split,
        data=data,
        features=features,
        watts=watts,
        examples=examples,
        device=device,
    )
    typer.echo(f"Written: {page}, and its numbers in {files[0].parent} ({len(files)} files)")
