"""The verbs that use a run: judge it, ask it, let it speak, see where it looks."""

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.app import (
    BeamOption,
    DeviceOption,
    ExplainOption,
    ImageArgument,
    RunArgument,
    app,
    show_rows,
)


@app.command()
def ask(
    run: RunArgument,
    image: ImageArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.")],
    top: Annotated[int, typer.Option(min=1, help="So many answers, likeliest first.")] = 5,
    explain: ExplainOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Ask a question about an image."""
    from saccade.inference.predictor import load

    opened = load(run, device)
    encoded = opened.encode(image)
    answer = opened.ask(encoded, question, top=top)
    show_rows((f"{share:.3f}", text) for text, share in answer.top)
    if explain is not None:
        from saccade.inference.explain import explain_answer
        from saccade.viz.plots import save_png

        save_png(explain, explain_answer(opened, image, encoded, question, answer))


@app.command()
def caption(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    beam_size: BeamOption = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Draw so many captions instead of searching for one.")
    ] = 0,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of draws; lower is surer.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw among so many words; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(min=0.01, max=1, help="Draw among the fewest words that reach it.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds draw equal captions.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Say what images show."""
    from saccade.inference.predictor import load

    opened = load(run, device)
    how = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    for image in images:
        if samples:
            texts = opened.sample(image, samples, seed=seed, **how)
        else:
            texts = [opened.caption(image, beam_size=beam_size).text]
        for said in texts:
            typer.echo(said if len(images) == 1 else f"{image}: {said}")


@app.command()
def explain(
    run: RunArgument,
    image: ImageArgument,
    question: Annotated[str | None, typer.Argument(help="For runs that answer.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file to draw.")] = Path(
        "looked.png"
    ),
    beam_size: BeamOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Draw where the model looked: per glimpse, or per word."""
    from saccade.inference.explain import explain as draw

    typer.echo(
        f"Drawn: {draw(run, image, out, question=question, beam_size=beam_size, device=device)}"
    )
