"""The command that shows what predictions rest on: explain."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from saccade.cli import app
from saccade.core.run_files import EXPLANATIONS
from saccade.data.find_files import IMAGES
from saccade.data.records import Split

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def explain(
    run: app.RunArgument,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE...] [QUESTION]",
            help="Image files or folders of them; for VQA runs a question, in quotes.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder to write, or a PNG file for one image. By default explained, "
            "or attention.png for one image.",
        ),
    ] = None,
    split: Annotated[
        Split | None, typer.Option(help="Explain the predictions of a split instead of files.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the first ones.")] = 200,
    only: Annotated[
        Literal["right", "wrong"] | None, typer.Option(help="Of a split's answers, only these.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: app.FeaturesOption = None,
    beam_size: app.BeamOption = None,
    device: app.DeviceOption = "auto",
) -> None:
    """Draw what predictions rest on, as attention maps over images."""
    from saccade.api import explain as draw
    from saccade.core.console import steps_bar

    images, question = _images_and_question(words or [])
    with steps_bar("explaining") as on_step:
        drawn = draw(
            run,
            images,
            question,
            out=out,
            split=split,
            limit=limit,
            only=only,
            data=data,
            features=features,
            beam_size=beam_size,
            device=device,
            on_step=on_step,
        )
    typer.echo(f"Drawn: {drawn}")
    if any("error" in row for row in explained_rows(drawn)):
        raise typer.Exit(1)


def explained_rows(page: Path) -> list[dict[str, Any]]:
    """The data beside a page of explanations; none beside a single drawing."""
    if page.suffix.lower() == ".png":
        return []
    with (page.parent / EXPLANATIONS[1]).open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def _images_and_question(words: list[str]) -> tuple[list[Path], str | None]:
    """The last word is a question where it is no path and not named as an image is."""
    last = words[-1] if len(words) > 1 else ""
    if not last or Path(last).exists() or re.fullmatch(IMAGES, last):
        return [Path(word) for word in words], None
    return [Path(word) for word in words[:-1]], last
