"""Commands that use a run on any image: ask, caption."""

from pathlib import Path
from typing import Annotated, Any

import typer

from saccade.cli import app
from saccade.core.errors import BadConfig, BadImage

commands = typer.Typer(rich_markup_mode=None)


def _refuse_missing(*images: Path) -> None:
    """Raise BadImage for a path without a file, before anything slow is imported."""
    for image in images:
        if not image.exists():
            hint = "Give the path of an image file."
            raise BadImage("no such file", location=image, hint=hint)


@commands.command()
def ask(
    run: app.RunArgument,
    image: app.ImageArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.")],
    top: Annotated[int, typer.Option(min=1, help="Answers to print, the likeliest first.")] = 5,
    explain: app.ExplainOption = None,
    device: app.DeviceOption = "auto",
) -> None:
    """Ask a question about an image."""
    from saccade.api import load

    _refuse_missing(image)
    opened = load(run, device)
    encoded = opened.encode(image)
    answer = opened.ask(encoded, question, top=top)
    app.show_rows((f"{probability:.3f}", text) for text, probability in answer.top)
    if explain is not None:
        from saccade.inference.explain import explain_answer
        from saccade.viz.plots import save_png

        save_png(explain, explain_answer(opened, image, encoded, question, answer))


@commands.command()
def caption(
    run: app.RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    beam_size: app.BeamOption = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Sample so many captions instead of beam search.")
    ] = 0,
    temperature: Annotated[
        float, typer.Option(min=0.01, help="Of sampling; lower is closer to greedy.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Sample from so many words; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(min=0.01, max=1, help="Sample from the fewest words that reach it.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal captions.")] = 0,
    explain: app.ExplainCaptionsOption = None,
    device: app.DeviceOption = "auto",
) -> None:
    """Write the captions of images."""
    from saccade.api import load

    _refuse_missing(*images)
    if explain is not None:
        _explain_captions(run, images, explain, samples, beam_size, device)
        return
    opened = load(run, device)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    for image in images:
        if samples:
            texts = opened.sample(image, samples, seed=seed, **options)
        else:
            texts = [opened.caption(image, beam_size=beam_size).text]
        for text in texts:
            typer.echo(text if len(images) == 1 else f"{image}: {text}")


def _explain_captions(
    run: Path, images: list[Path], out: Path, samples: int, beam_size: int | None, device: str
) -> None:
    """Draw a map for each word of the images' captions, and print the captions."""
    from saccade.api import explain, load
    from saccade.cli.explain import explained_rows
    from saccade.core.console import steps_bar

    if samples:
        hint = "Leave --samples or --explain out."
        raise BadConfig("captions of beam search are explained, not samples", hint=hint)
    if out.suffix.lower() == ".png" and len(images) == 1 and images[0].is_file():
        from saccade.inference.explain import explain_caption
        from saccade.viz.plots import save_png

        opened = load(run, device)
        encoded = opened.encode(images[0])
        written = opened.caption(encoded, beam_size=beam_size)
        save_png(out, explain_caption(opened, images[0], encoded, written))
        typer.echo(written.text)
        return
    with steps_bar("explaining") as on_step:
        options: dict[str, Any] = {"beam_size": beam_size, "device": device, "on_step": on_step}
        page = explain(run, images, out=out, limit=None, **options)
    rows = explained_rows(page)
    for row in rows:
        if "caption" in row:
            typer.echo(f"{row['file']}: {row['caption']}")
    typer.echo(f"Drawn: {page}", err=True)
    if any("error" in row for row in rows):
        raise typer.Exit(1)
