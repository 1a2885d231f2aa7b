"""Commands that use a run on any image: ask, caption, predict."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from os.path import exists
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saccade.cli import app
from saccade.core.errors import BadConfig, BadImage
from saccade.core.formatting import NO_WORDS
from saccade.core.language import error_line, translated
from saccade.core.run_files import refuse_replacing
from saccade.data.find_files import images_in, is_image, refuse_addresses
from saccade.data.records import Split
from saccade.inference.evaluation_servers import SERVERS

if TYPE_CHECKING:
    from saccade.inference.answers import Answer

commands = app.CommandTable()


def _refuse_missing(*images: Path) -> None:
    """Raise BadImage where there is none of these paths, before anything slow is imported."""
    refuse_addresses(images)
    if not any(image.exists() for image in images):
        hint = "Give the path of an image file."
        raise BadImage("no such file", location=images[0], hint=hint)


def _refuse_other_files(image: Path) -> None:
    """Raise BadImage for a file that is no image, before anything slow is imported."""
    from saccade.data.image_files import image_bytes, read_levels

    read_levels(image_bytes(image), image)


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
) -> app.Result:
    """Ask questions about images."""
    from saccade.api import load
    from saccade.core.run_files import refuse_other_task

    images, questions = _images_and_questions(words)
    several = len(images) * len(questions) > 1
    _refuse_missing(*images)
    refuse_other_task(run, asks_question=True)
    if not several:
        _refuse_other_files(images[0])
    if explain is not None:
        refuse_replacing(explain, images)
    if explain is not None and several:
        hint = "Give one of each, or draw each with: saccade explain."
        raise BadConfig("--explain draws one question about one image", hint=hint)
    opened = load(run, device)
    found: list[dict[str, object]] = []

    def lines() -> Iterator[str]:
        with _going_on(several) as attempt:
            for image in images:
                with attempt():
                    encoded = opened.encode(image)
                    for question in questions:
                        if several:
                            yield f"{image}: {question}"
                        with attempt():
                            answer = opened.ask(encoded, question, top=top)
                            about = {"image": image, "question": question}
                            found.append(about | answer.to_dict())
                            yield from _lines(answer)
        if explain is not None:
            from saccade.inference.explain import draw_answer
            from saccade.inference.occlusion import with_answer_map
            from saccade.viz.plots import save_png

            answer = with_answer_map(opened, encoded, questions[0], answer)
            save_png(explain, draw_answer(opened, images[0], questions[0], answer))

    return app.Result(found, lines())


def _lines(answer: "Answer") -> Iterator[str]:
    """An answer for a person."""
    if answer.unknown:
        unknown = f"note: the model never learnt: {', '.join(answer.unknown)}"
        app.echo(translated(unknown), err=True)
    yield from app.columns((f"{share:.3f}", text) for text, share in answer.top)
    if answer.prior is not None:
        text, share = answer.prior[0]
        yield f"Without the image: {text} ({share:.3f})"


def _images_and_questions(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The first word is an image, so are those behind it that are files or called so; the others
    are questions, and `-` stands for the lines of the input.
    """
    first = next((n for n, word in enumerate(words) if n and not names_image(word)), None)
    images = [Path(word) for word in words[:first]]
    asked = list(words[len(images) :])
    refuse_unquoted(asked)
    if "-" in asked:
        lines = [line.strip() for line in sys.stdin]
        place = asked.index("-")
        asked[place : place + 1] = filter(None, lines)
    if not any(map(str.strip, asked)):
        hint = 'Write it in quotes behind the images: saccade ask RUN IMAGE "What is this?"'
        raise BadConfig("there is no question", location="QUESTION", hint=hint)
    return images, asked


def refuse_unquoted(questions: Sequence[str]) -> None:
    """Raise BadConfig for several questions of one word each: one that was not quoted."""
    if len(questions) > 1 and all(word.isascii() and " " not in word for word in questions):
        hint = f"Quote the question: {shlex.quote(' '.join(questions))}"
        raise BadConfig(f"{len(questions)} questions of one word", location=questions[0], hint=hint)


def names_image(word: str) -> bool:
    """If a word is a file or folder, or named as an image is."""
    return is_image(word) or (word not in ("", "-") and exists(word))


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
            app.echo(error_line(error), err=True)

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
    seed: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="Equal seeds give equal captions.")
    ] = 0,
    explain: app.ExplainCaptionsOption = None,
    device: app.DeviceOption = "auto",
) -> app.Result:
    """Write the captions of images."""
    from saccade.api import load
    from saccade.core.run_files import refuse_other_task

    _refuse_missing(*images)
    refuse_other_task(run, asks_question=False)
    if explain is not None:
        return _explain_captions(run, images, explain, samples, beam_size, device)
    opened, files = load(run, device), images_in(images)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    found: list[dict[str, object]] = []

    def lines() -> Iterator[str]:
        with _going_on(len(files) > 1) as attempt:
            for file in files:
                with attempt():
                    encoded = opened.encode(file)
                    if samples:
                        texts = opened.sample(encoded, samples, seed=seed, **options)
                        told: list[dict[str, Any]] = [{"text": text} for text in texts]
                    else:
                        told = [opened.caption(encoded, beam_size=beam_size).to_dict()]
                    for one in told:
                        found.append({"image": file, **one})
                        shown = one["text"] or NO_WORDS
                        yield shown if len(files) == 1 else f"{file}: {shown}"

    return app.Result(found, lines())


def _explain_captions(
    run: Path,
    images: Sequence[Path],
    out: Path,
    samples: int,
    beam_size: int | None,
    device: str,
) -> app.Result:
    """Draw a map for each word of the images' captions."""
    from saccade.api import explain, load
    from saccade.cli.explain import explained
    from saccade.core.console import show_progress

    if samples:
        hint = "Leave --samples or --explain out."
        raise BadConfig("captions of beam search are explained, not samples", hint=hint)
    if out.suffix.lower() == ".png" and len(images) == 1 and images[0].is_file():
        from saccade.inference.explain import draw_caption
        from saccade.viz.plots import save_png

        refuse_replacing(out, images)
        opened = load(run, device)
        encoded = opened.encode(images[0])
        written = opened.explain(encoded, beam_size=beam_size)
        save_png(out, draw_caption(opened, images[0], written))
        found = {"image": images[0], "caption": written.text, "drawn": out}
        return app.Result([found], [written.text or NO_WORDS])
    with show_progress():
        page = explain(run, images, out=out, limit=None, beam_size=beam_size, device=device)
    return explained(page)


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
) -> app.Result:
    """Write the answers or captions of many images into a file."""
    from saccade.api import predict as make
    from saccade.inference.prediction_files import SKIPPED, beside

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
    skipped = beside(written, SKIPPED)

    def lines() -> Iterator[str]:
        yield f"Written: {written}"
        if skipped.exists():
            raise typer.Exit(1)

    left_out = skipped if skipped.exists() else None
    return app.Result({"predictions": written, "skipped": left_out}, lines())
