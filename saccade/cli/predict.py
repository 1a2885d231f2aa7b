"""Commands that use a run on any image: ask, caption, explain."""

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli import app
from saccade.core.errors import BadConfig, BadImage
from saccade.core.formatting import NO_WORDS

commands = typer.Typer(rich_markup_mode=None)


def _refuse_missing(*images: Path) -> None:
    """Raise BadImage for a path without a file, before anything slow is imported."""
    for image in images:
        if str(image).startswith(("http:", "https:")):
            hint = "Download it first, and give the path of the file."
            raise BadImage("is an address on the web", location=image, hint=hint)
        if not image.exists():
            hint = "Give the path of an image file."
            raise BadImage("no such file", location=image, hint=hint)


def _refuse_other_files(image: Path) -> None:
    """Raise BadImage for a file that is no image, before anything slow is imported."""
    from saccade.data.image_files import image_bytes, read_levels

    read_levels(image_bytes(image), image)


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
    from saccade.core.run_files import refuse_other_task

    _refuse_missing(image)
    refuse_other_task(run, asks_question=True)
    _refuse_other_files(image)
    if not question.strip():
        raise BadConfig("the question is empty", location="QUESTION", hint="Write it in quotes.")
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
    device: app.DeviceOption = "auto",
) -> None:
    """Write the captions of images."""
    from saccade.api import load
    from saccade.core.run_files import refuse_other_task

    _refuse_missing(*images)
    refuse_other_task(run, asks_question=False)
    opened = load(run, device)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    for image in images:
        if samples:
            texts = opened.sample(image, samples, seed=seed, **options)
        else:
            texts = [opened.caption(image, beam_size=beam_size).text]
        for text in texts:
            shown = text or NO_WORDS
            typer.echo(shown if len(images) == 1 else f"{image}: {shown}")


@commands.command()
def explain(
    run: app.RunArgument,
    image: app.ImageArgument,
    question: Annotated[str | None, typer.Argument(help="For VQA runs.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file to draw.")] = Path(
        "attention.png"
    ),
    beam_size: app.BeamOption = None,
    device: app.DeviceOption = "auto",
) -> None:
    """Draw the model's attention: per glimpse, or per word."""
    from saccade.core.devices import check_device
    from saccade.core.run_files import refuse_other_task

    needs = "Give it a question." if question is None else "Leave the question out."
    _refuse_missing(image)
    refuse_other_task(run, asks_question=question is not None, needs=needs)
    _refuse_other_files(image)
    check_device(device)
    from saccade.inference.explain import explain as draw

    drawn = draw(run, image, out, question=question, beam_size=beam_size, device=device)
    typer.echo(f"Drawn: {drawn}")
