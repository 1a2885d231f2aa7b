"""Commands that use a run on any image: ask, caption, predict, explain."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli import app
from saccade.core.errors import BadConfig, BadImage
from saccade.data.records import Split
from saccade.prediction.servers import SERVERS

commands = typer.Typer(rich_markup_mode=None)


def _refuse_missing(*images: Path) -> None:
    """Raise BadImage where there is none of these paths, before anything slow is imported."""
    if not any(image.exists() for image in images):
        hint = "Give the path of an image file."
        raise BadImage("no such file", location=images[0], hint=hint)


@commands.command()
def ask(
    run: app.RunArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... QUESTION...",
            help="Image files, then questions in quotes; - takes one from each line of the input.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="Answers to print, the likeliest first.")] = 5,
    explain: app.ExplainOption = None,
    device: app.DeviceOption = "auto",
) -> None:
    """Ask questions about images."""
    from saccade.api import load

    images, questions = _images_and_questions(words)
    _refuse_missing(*images)
    several = len(images) * len(questions) > 1
    if explain is not None and several:
        hint = "Give one of each, or draw each with: saccade explain."
        raise BadConfig("--explain draws one question about one image", hint=hint)
    opened = load(run, device)
    opened.refuse_task("vqa")
    with _going_on(several) as attempt:
        for image in images:
            with attempt():
                encoded = opened.encode(image)
                for question in questions:
                    with attempt():
                        if several:
                            typer.echo(f"{image}: {question}")
                        answer = opened.ask(encoded, question, top=top)
                        if answer.unknown:
                            note = f"note: the model never learnt: {', '.join(answer.unknown)}"
                            typer.echo(note, err=True)
                        app.show_rows((f"{share:.3f}", text) for text, share in answer.top)
    if explain is not None:
        from saccade.inference.explain import explain_answer
        from saccade.viz.plots import save_png

        save_png(explain, explain_answer(opened, images[0], encoded, questions[0], answer))


def _images_and_questions(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The first word is an image, so are those behind it that are files or called so; the others
    are questions, and `-` stands for the lines of the input.
    """
    endings = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".dcm")
    first = next((n for n, word in enumerate(words) if n and not _is_image(word, endings)), None)
    images = [Path(word) for word in words[:first]]
    asked = list(words[len(images) :])
    if "-" in asked:
        lines = [line.strip() for line in sys.stdin]
        place = asked.index("-")
        asked[place : place + 1] = filter(None, lines)
    if not asked:
        hint = 'Write it in quotes behind the images: saccade ask RUN IMAGE "What is this?"'
        raise BadConfig("there is no question", hint=hint)
    return images, asked


def _is_image(word: str, endings: tuple[str, ...]) -> bool:
    return word.lower().endswith(endings) or (word != "-" and Path(word).is_file())


@contextmanager
def _going_on(several: bool) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Attempts of which one may fail without stopping the others, if there are `several`: its
    error is told at once, and the exit status is 1 in the end.
    """
    failed = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except (BadImage, BadConfig) as error:
            if not several:
                raise
            failed.append(error)
            typer.echo(f"error: {error}", err=True)

    yield attempt
    if failed:
        raise typer.Exit(1)


@commands.command()
def caption(
    run: app.RunArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, and folders of them.")
    ],
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

    _refuse_missing(*images)
    opened = load(run, device)
    opened.refuse_task("caption")
    from saccade.prediction.inputs import image_files

    files = list(image_files(images))
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    with _going_on(len(files) > 1) as attempt:
        for file in files:
            with attempt():
                encoded = opened.encode(file)
                if samples:
                    texts = opened.sample(encoded, samples, seed=seed, **options)
                else:
                    texts = [opened.caption(encoded, beam_size=beam_size).text]
                for text in texts:
                    typer.echo(text if len(files) == 1 else f"{file}: {text}")


@commands.command()
def predict(
    run: app.RunArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .json, .jsonl, .csv or .parquet file.")
    ],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT...]",
            help="A data folder (by default the run's), a table, or images and folders of them.",
        ),
    ] = None,
    split: Annotated[Split | None, typer.Option(help="By default test, else val.")] = None,
    server: Annotated[
        str | None,
        typer.Option("--for", metavar="SERVER", help=f"In its form: {', '.join(SERVERS)}."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the results, in the file name that a server asks for.")
    ] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="Asked about each image; may be repeated.")
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Where the images are, if they have moved.")
    ] = None,
    features: app.FeaturesOption = None,
    beam_size: app.BeamOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 32,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode images; 0: this one.")
    ] = 0,
    device: app.DeviceOption = "auto",
) -> None:
    """Write the answers or captions of many images into a file."""
    from saccade.api import predict as make
    from saccade.prediction.files import SKIPPED, beside

    written = make(
        run,
        *(inputs or ()),
        out=out,
        split=split,
        questions=question or (),
        server=server,
        image_root=image_root,
        name=name,
        features=features,
        beam_size=beam_size,
        batch_size=batch_size,
        workers=workers,
        device=device,
    )
    typer.echo(f"Written: {written}")
    if beside(written, SKIPPED).exists():
        raise typer.Exit(1)


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
    from saccade.core.run_files import read_run_json

    _refuse_missing(image)
    read_run_json(run)
    from saccade.inference.explain import explain as draw

    drawn = draw(run, image, out, question=question, beam_size=beam_size, device=device)
    typer.echo(f"Drawn: {drawn}")
