"""Commands that score predictions: evaluate, score, compare."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from saccade.cli.app import (
    BeamOption,
    CommandTable,
    DataFolderOption,
    DeviceOption,
    FeaturesOption,
    Result,
    RunArgument,
    next_command,
)
from saccade.core.run_files import scores_folder
from saccade.data.records import Split

commands = CommandTable()
RevisionOption = Annotated[
    str | None,
    typer.Option(help="Of the VQA scorer: 2021-03, 2016, always; by default the data's."),
]
WordnetOption = Annotated[Path | None, typer.Option(help="WordNet's folder or zip file, for WUPS.")]
JavaOption = Annotated[bool, typer.Option("--java", help="Also METEOR and SPICE: minutes.")]


@commands.command()
def evaluate(
    run: RunArgument,
    split: Annotated[Split | None, typer.Option(help="By default test, else val.")] = None,
    beam_size: BeamOption = None,
    revision: RevisionOption = None,
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: FeaturesOption = None,
    wordnet: WordnetOption = None,
    java: JavaOption = False,
    device: DeviceOption = "auto",
) -> Result:
    """Score a run officially, beside baselines that need no image."""
    from saccade.api import evaluate as score
    from saccade.core.console import show_progress

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
    return _shown(run, scores, "compare", run)


def _shown(folder: Path, scores: dict[str, Any], *following: object) -> Result:
    """The scores, the files that hold them, and the command to give next."""
    from saccade.evaluation.summary import summary

    files = [folder / "scores.json", folder / "predictions.json"]
    files += [folder / f"scored-{scores['split']}.parquet"]
    written = f"Written to {folder}: {', '.join(file.name for file in files)}"
    lines = [*summary(scores), written, next_command(*following)]
    return Result({**scores, "files": files}, lines)


@commands.command()
def score(
    predictions: Annotated[
        Path, typer.Argument(metavar="FILE", help="Answers or captions that any program wrote.")
    ],
    data: DataFolderOption,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder; by default FILE-scored.")
    ] = None,
    split: Annotated[Split | None, typer.Option(help="By default the one of the ids.")] = None,
    missing: Annotated[
        str, typer.Option(help="Examples without a prediction: refuse, or count as wrong.")
    ] = "refuse",
    extra: Annotated[
        str, typer.Option(help="Predictions for other examples: refuse or ignore.")
    ] = "refuse",
    revision: RevisionOption = None,
    wordnet: WordnetOption = None,
    java: JavaOption = False,
) -> Result:
    """Score anybody's file of predictions officially, beside baselines; no model is needed."""
    from saccade.api import score as score_file

    scores = score_file(
        predictions,
        data,
        out,
        split=split,
        missing=cast(Any, missing),
        extra=cast(Any, extra),
        revision=revision,
        wordnet=wordnet,
        java=java,
    )
    folder = out or scores_folder(predictions)
    return _shown(folder, scores, "compare", folder, "RUN")


@commands.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Scored runs or files; NAME=RUN gives a name."),
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
