"""The verbs that use a run: judge it, ask it, let it speak, see where it looks."""

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.frame import (
    BeamOption,
    DeviceOption,
    ExplainOption,
    FeaturesOption,
    ImageArgument,
    RunArgument,
    app,
    show_rows,
)
from saccade.core.formatting import values
from saccade.data.records import Split


@app.command()
def evaluate(
    run: RunArgument,
    split: Annotated[Split | None, typer.Option(help="By default test, else val.")] = None,
    beam: BeamOption = None,
    revision: Annotated[str, typer.Option(help="Of the VQA scorer: 2021-03, 2016.")] = "2021-03",
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now.")] = None,
    features: FeaturesOption = None,
    wordnet: Annotated[
        Path | None, typer.Option(help="WordNet's folder or zip file, for WUPS.")
    ] = None,
    java: Annotated[bool, typer.Option("--java", help="Also METEOR and SPICE: minutes.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Score a run officially, beside baselines that never look."""
    from saccade.evaluation.evaluate import evaluate as judge

    scores = judge(
        run,
        split=split,
        data=data,
        features=features,
        beams=beam,
        revision=revision,
        wordnet=wordnet,
        java=java,
        device=device,
    )
    show_rows(values(scores))
    rows = run / f"judged-{scores['split']}.parquet"
    typer.echo(f"Written: {run / 'scores.json'}, {run / 'predictions.json'}, {rows}")


@app.command()
def ask(
    run: RunArgument,
    image: ImageArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.")],
    top: Annotated[int, typer.Option(min=1, help="So many answers, likeliest first.")] = 5,
    explain: ExplainOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Ask a question about a picture."""
    from saccade.inference.predictor import load

    opened = load(run, device)
    looked = opened.look(image)
    answer = opened.ask(looked, question, top=top)
    show_rows((f"{share:.3f}", text) for text, share in answer.top)
    if explain is not None:
        from saccade.inference.explain import explain_answer
        from saccade.viz.plots import save_png

        save_png(explain, explain_answer(opened, image, looked, question, answer))


@app.command()
def caption(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    beam: BeamOption = None,
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
    """Say what pictures show."""
    from saccade.inference.predictor import load

    opened = load(run, device)
    how = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    for image in images:
        if samples:
            texts = opened.sample(image, samples, seed=seed, **how)
        else:
            texts = [opened.caption(image, beam=beam).text]
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
    beam: BeamOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Draw where the model looked: per glimpse, or per word."""
    from saccade.inference.explain import explain as draw

    typer.echo(f"Drawn: {draw(run, image, out, question=question, beam=beam, device=device)}")
