"""Commands that score predictions: evaluate, score, compare."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from saccade.cli.app import (
    BeamOption,
    DataFolderOption,
    DeviceOption,
    FeaturesOption,
    RunArgument,
    say_next,
    show_rows,
)
from saccade.core.formatting import values
from saccade.core.run_files import scores_folder
from saccade.data.records import Split

commands = typer.Typer(rich_markup_mode=None)
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
) -> None:
    """Score a run officially, beside baselines that need no image."""
    from saccade.api import evaluate as score

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
    _show_scores(scores)
    rows = run / f"scored-{scores['split']}.parquet"
    typer.echo(f"Written: {run / 'scores.json'}, {run / 'predictions.json'}, {rows}")


def _show_scores(scores: dict[str, Any]) -> None:
    """Print every score, then what stands beside them."""
    from saccade.metrics.catalogue import METRICS, titled

    show_rows(titled(scores))
    found = {name: scores.pop(name) for name in METRICS if name in scores}
    for reason in {v["not_measured"]: None for v in found.values() if isinstance(v, dict)}:
        typer.echo(f"Not measured: {reason}")
    if "not_measured" not in scores["interval"]:  # as where there is one image alone
        scores["interval"] = {
            METRICS[name].title: " to ".join(map(METRICS[name].shown, ends))
            for name, ends in scores["interval"].items()
        }
    scores["baselines"] = {
        name: dict(titled(one)) | {n: v for n, v in one.items() if n not in METRICS}
        for name, one in scores["baselines"].items()
    }
    show_rows(values(scores))


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
) -> None:
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
    typer.echo(_headline(scores))
    rows = folder / f"scored-{scores['split']}.parquet"
    _show_scores({name: value for name, value in scores.items() if value is not None})
    typer.echo(f"Written: {folder / 'scores.json'}, {folder / 'predictions.json'}, {rows}")
    say_next("compare", folder, "RUN")


def _headline(scores: dict[str, Any]) -> str:
    """Each main score with its interval, and the best baseline that needs no image, in a line."""
    from saccade.core.tasks import TASK_INFO
    from saccade.metrics.catalogue import METRICS

    parts = []
    for name in TASK_INFO[scores["task"]].main_metrics:
        of, ends = METRICS[name], scores["interval"].get(name)
        known = {title: one[name] for title, one in scores["baselines"].items() if name in one}
        known.pop("shuffled_images", None)
        best = max(known, key=lambda title: known[title], default=None)
        interval = f" [{of.shown(ends[0])}, {of.shown(ends[1])}]" if ends else ""
        beside = f", {best.replace('_', ' ')} {of.shown(known[best])}" if best else ""
        parts.append(f"{of.title} {of.shown(scores[name])}{interval}{beside}")
    things = "questions" if "questions" in scores else "images"
    return f"{'; '.join(parts)} ({scores[things]:,} {things}, {scores['split']} split)"


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
