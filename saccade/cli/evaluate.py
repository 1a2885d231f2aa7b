"""Commands that score predictions and maps: evaluate, faithfulness, score, compare, sweep."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
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
    columns,
    echo,
    next_command,
)
from saccade.core.formatting import duration
from saccade.core.run_files import FAITHFULNESS, scores_folder
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
def faithfulness(
    run: RunArgument,
    split: Annotated[Split | None, typer.Option(help="By default test, else val.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="So many questions or images at most, by lot.")
    ] = 200,
    boxes: Annotated[
        Path | None,
        typer.Option(help="True places: Shapes' boxes.json or scenes.json, COCO's instances."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: FeaturesOption = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Copies of images in one forward pass.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn by lot.")] = 0,
    device: DeviceOption = "auto",
) -> Result:
    """Measure whether maps mark what the predictions rest on."""
    from saccade.api import faithfulness as measure
    from saccade.core.console import show_progress

    with show_progress():
        scores = measure(
            run,
            split=split,
            limit=limit,
            boxes=boxes,
            data=data,
            features=features,
            batch_size=batch_size,
            seed=seed,
            device=device,
        )
    from saccade.evaluation.faithfulness_scores import lines

    file = run / FAITHFULNESS
    return Result({**scores, "files": [file]}, [*lines(scores), f"Written: {file}"])


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
    scorers: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="NAME", help="Also another program's number; repeatable."),
    ] = None,
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
        scorers=scorers or (),
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


@commands.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML: see docs/sweep.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing; print what would run.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Also run again what failed.")] = False,
) -> Result:
    """Train and score recipes, settings, seeds and data folders; one table."""
    from saccade.api import sweep as run_them
    from saccade.core.console import show_progress

    with show_progress():
        found = run_them(file, dry_run=dry_run, retry=retry, report=partial(echo, err=True))
    if dry_run:
        return Result(found, _planned(found["runs"]))
    return Result(found, _table_of_sweep(found))


def _planned(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What would run, and how long that may take."""
    pairs = [(run, run["minutes"]) for run in runs]
    yield from columns(
        (run["name"], run["state"], "" if minutes is None else duration(60 * minutes))
        for run, minutes in pairs
    )
    left = [minutes for run, minutes in pairs if run["state"].startswith("to ")]
    known = sum(minutes for minutes in left if minutes is not None)
    told = f"about {duration(60 * known)} at most" if None not in left else "of unknown length"
    yield f"{len(left)} of {len(runs)} runs to go{f', {told}' if left else ''}"


def _table_of_sweep(found: Mapping[str, Any]) -> Iterator[str]:
    """The table for a terminal; `table.md` has the rest."""
    from saccade.metrics.catalogue import METRICS
    from saccade.sweeps.table import HEADS, difference_text, minutes_text, score_cells

    rows = [
        (
            " ".join(filter(None, (row["data"], row["recipe"], row["settings"]))),
            METRICS[metric].title,
            *score_cells(row, metric),
            minutes_text(row),
        )
        for row in found["rows"]
        for metric in row["scores"]
    ]
    if rows:
        yield from columns([("", "", *HEADS, "minutes"), *rows])
    yield from map(difference_text, found["differences"])
    yield from (f"note: {note}" for note in found["notes"])
    yield from (f"failed: {name}: {reason}" for name, reason in found["failed"].items())
    yield f"Written: {', '.join(found['files'])}"
    if found["failed"]:
        raise typer.Exit(1)
