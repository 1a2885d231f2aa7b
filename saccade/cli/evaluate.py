"""Commands that score runs: evaluate, compare."""

import json
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.app import (
    BeamOption,
    CommandTable,
    DeviceOption,
    FeaturesOption,
    Result,
    RunArgument,
    next_command,
)
from saccade.data.records import Split

commands = CommandTable()


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
) -> Result:
    """Score a run officially, beside baselines that need no image."""
    from saccade.api import evaluate as score
    from saccade.core.console import show_progress
    from saccade.evaluation.summary import summary

    with show_progress():
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
    files = [run / "scores.json", run / "predictions.json"]
    files += [run / f"scored-{scores['split']}.parquet"]
    written = f"Written to {run}: {', '.join(file.name for file in files)}"
    lines = [*summary(scores), written, next_command("compare", run)]
    return Result({**scores, "files": files}, lines)


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
) -> Result:
    """Compare scored runs on one HTML page with everything inside."""
    from saccade.api import compare as write
    from saccade.core.console import show_progress

    with show_progress():
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
    tables = [file for file in files if file.stem.endswith("-ranking") and file.suffix == ".json"]
    found = {
        file.stem.removesuffix("-ranking"): json.loads(file.read_text(encoding="utf-8"))
        for file in tables
    }
    ranking = {name: one["rows"] for name, one in found.items()}
    folder = files[0].parent
    line = f"Written: {page}, and its numbers in {folder} ({len(files)} files)"
    return Result({"page": page, "files": files, "ranking": ranking}, [line])
