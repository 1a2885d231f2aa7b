"""METEOR and SPICE, which exist as Java programs only: measured where they can be, else said why.

Both come with the package pycocoevalcap (`pip install 'saccade[metrics]'`) and need a Java runtime;
SPICE also needs the Stanford models, which that package fetches from the network on request.
Whatever is missing, fails or takes too long, the result is `NotMeasured` with the reason: these
functions never crash over it, never fetch anything, and never give 0 for "unknown".
Source: Denkowski & Lavie 2014 (METEOR 1.5); Anderson et al. 2016 (SPICE 1.0).
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Timer
from time import monotonic
from typing import NamedTuple

from saccade.metrics.bleu import Sentence, check_captions


class Measured(NamedTuple):
    """A score in 0..1; METEOR's corpus score is made from summed statistics and is no mean."""

    corpus: float
    per_image: list[float]


class NotMeasured(NamedTuple):
    """Why there is no score, in one sentence for the report."""

    reason: str


class _NoScoreError(Exception):
    """Ends a measurement; its text becomes the reason."""


def meteor(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    seconds: float = 600,
) -> Measured | NotMeasured:
    """Score tokenised captions by METEOR 1.5, as COCO does; 5,000 images take about 20 seconds.

    Raises BadData when captions and references do not match in number; for nothing else.
    """
    check_captions(hypotheses, references)
    questions = [
        " ||| ".join(["SCORE", *map(_plain, human), _plain(said)])
        for said, human in zip(hypotheses, references, strict=True)
    ]
    try:
        archive = _archive("meteor/meteor-1.5.jar")
        scores = _converse(archive, questions, seconds)
        return _finite(scores[-1], scores[:-1])
    except (_NoScoreError, OSError, ValueError) as error:
        return NotMeasured(f"METEOR: {error}")


def _converse(archive: Path, questions: Sequence[str], seconds: float) -> list[float]:
    """Ask for the statistics of each caption, then for the scores that they amount to.

    One question, one answer, so that neither side ever waits for the other to read.
    """
    command = [_java(), "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", archive.name]
    command += ["-", "-", "-stdio", "-l", "en", "-norm"]
    with (
        TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        ExitStack() as stack,
    ):
        pipe = subprocess.PIPE
        program = subprocess.Popen(
            command,
            cwd=archive.parent,
            stdin=pipe,
            stdout=pipe,
            stderr=complaints,
            encoding="utf-8",
        )
        stack.callback(_end, program)
        timer, deadline = Timer(seconds, program.kill), monotonic() + seconds
        stack.callback(timer.cancel)
        timer.start()
        try:
            statistics = [_ask(program, question) for question in questions]
            first = _ask(program, " ||| ".join(["EVAL", *statistics]))
            assert program.stdout is not None
            return [float(first), *(float(program.stdout.readline()) for _ in questions)]
        except (OSError, ValueError):  # it is gone, or says something that is no number
            if monotonic() >= deadline:
                raise _too_long(seconds) from None
            program.kill()
            program.wait()
            complaints.seek(0)
            raise _NoScoreError(_failure(program.returncode, complaints.read())) from None


def _ask(program: subprocess.Popen[str], question: str) -> str:
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{question}\n")
    program.stdin.flush()
    return program.stdout.readline().strip()


def _end(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.wait()
    for pipe in (program.stdin, program.stdout):
        with suppress(OSError):  # what was still to be written has no reader any more
            if pipe is not None:
                pipe.close()


def spice(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    seconds: float = 1800,
) -> Measured | NotMeasured:
    """Score tokenised captions by SPICE 1.0, as COCO does; 5,000 images take some 15 minutes.

    Raises BadData when captions and references do not match in number; for nothing else.
    """
    check_captions(hypotheses, references)
    rows = [
        {"image_id": place, "test": _plain(said), "refs": [_plain(words) for words in human]}
        for place, (said, human) in enumerate(zip(hypotheses, references, strict=True))
    ]
    try:
        archive = _archive("spice/spice-1.0.jar")
        _archive("spice/lib/stanford-corenlp-3.6.0-models.jar")
        with TemporaryDirectory() as folder:
            given, result = Path(folder, "captions.json"), Path(folder, "scores.json")
            given.write_text(json.dumps(rows), "utf-8")
            command = [_java(), "-Xmx8G", "-jar", str(archive), str(given), "-out", str(result)]
            _run([*command, "-subset", "-silent"], archive.parent, seconds)
            rows_back = json.loads(result.read_text("utf-8"))
        found = {row["image_id"]: row["scores"]["All"]["f"] for row in rows_back}
        scores = [float(found[place]) for place in range(len(rows))]
        return _finite(sum(scores) / len(scores), scores)
    except (_NoScoreError, OSError, ValueError, KeyError, TypeError) as error:
        return NotMeasured(f"SPICE: {error}")


def _plain(words: Sentence) -> str:
    """Join words so that they cannot be taken for the program's own separator."""
    return " ".join(" ".join(words).replace("|||", " ").split())


def _archive(name: str) -> Path:
    package = find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise _NoScoreError(
            "the package pycocoevalcap is not installed; pip install 'saccade[metrics]'"
        )
    path = Path(package.submodule_search_locations[0], name)
    if not path.exists():
        fetch = "python -m pycocoevalcap.spice.get_stanford_models"
        hint = f"fetch it with `{fetch}`" if "stanford" in name else "install pycocoevalcap again"
        raise _NoScoreError(f"{path.name} is missing; {hint}")
    return path


def _java() -> str:
    program = shutil.which("java")
    if program is None:
        raise _NoScoreError("Java is not installed")
    return program


def _run(command: Sequence[str], folder: Path, seconds: float) -> None:
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_long(seconds) from None
    if run.returncode != 0:
        raise _NoScoreError(_failure(run.returncode, run.stderr))


def _too_long(seconds: float) -> _NoScoreError:
    return _NoScoreError(f"it took longer than the {seconds:g} seconds allowed")


def _failure(status: int, complaints: str) -> str:
    first = next(iter(complaints.strip().splitlines()), "it said nothing")
    return f"Java failed (status {status}): {first[:200]}"


def _finite(corpus: float, per_image: list[float]) -> Measured:
    if not all(map(isfinite, [corpus, *per_image])):
        raise _NoScoreError("it gave something that is not a number")
    return Measured(corpus, per_image)
