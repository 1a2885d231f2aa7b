"""The command that shows what predictions rest on: explain."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from saccade.cli import app
from saccade.cli.predict import names_image, refuse_unquoted
from saccade.core.formatting import NO_WORDS
from saccade.core.run_files import EXPLANATIONS
from saccade.data.records import Split

commands = app.CommandTable()


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
) -> app.Result:
    """Draw what predictions rest on, as attention maps over images."""
    from saccade.api import explain as draw
    from saccade.core.console import show_progress
    from saccade.core.devices import check_device

    images, question = _images_and_question(words or [])
    check_device(device)
    with show_progress():
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
        )
    return explained(drawn)


def explained(page: Path) -> app.Result:
    """What was drawn: a page with the data beside it, or a PNG file. Status 1 where an image could
    not be read.
    """
    rows: list[dict[str, Any]] = []
    if page.suffix.lower() != ".png":
        with (page.parent / EXPLANATIONS[1]).open(encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]

    def lines() -> Iterator[str]:
        for row in rows:
            if "caption" in row:
                yield f"{row['file']}: {row['caption'] or NO_WORDS}"
        yield f"Drawn: {page}"
        if any("error" in row for row in rows):
            raise typer.Exit(1)

    return app.Result({"drawn": page, "explained": rows}, lines())


def _images_and_question(words: list[str]) -> tuple[list[Path], str | None]:
    """The last word is a question where it is no path and not named as an image is."""
    others = [word for word in words[1:] if not names_image(word)]
    refuse_unquoted(others)
    if not others or words[-1] != others[-1]:
        return [Path(word) for word in words], None
    return [Path(word) for word in words[:-1]], words[-1]
