"""METEOR and SPICE by their own Java programs: measured where they can run, else the reason.

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
from contextlib import suppress
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Timer
from time import monotonic

from saccade.metrics.bleu import Sentence, check_captions
from saccade.metrics.catalogue import NotMeasured, Result


class _NoScoreError(Exception):
    """Ends a measurement; its text becomes the reason."""


def meteor(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    java: bool = True,
    seconds: float = 600,
) -> Result | NotMeasured:
    """METEOR 1.5 in 0..1, as COCO computes it; 5,000 images take about 20 seconds.

    The corpus score is made from summed statistics and is no mean. Raises BadData when captions
    and references do not match in number; for nothing else.
    """
    check_captions(hypotheses, references)
    if not java:
        return NotMeasured("METEOR: not asked for (--java)")
    requests = [
        " ||| ".join(["SCORE", *map(_plain, human), _plain(words)])
        for words, human in zip(hypotheses, references, strict=True)
    ]
    try:
        archive = _archive("meteor/meteor-1.5.jar")
        *per_image, corpus = _finite(_converse(archive, requests, seconds))
        return Result(corpus, per_image)
    except (_NoScoreError, OSError, ValueError) as error:
        return NotMeasured(f"METEOR: {error}")


def _converse(archive: Path, requests: Sequence[str], seconds: float) -> list[float]:
    """Ask for the statistics of each caption, then for its score; that of the corpus comes last.

    One request, one reply, so that neither side ever waits for the other to read.
    """
    command = [_java(), "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", archive.name]
    command += ["-", "-", "-stdio", "-l", "en", "-norm"]
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as messages:
        pipe = subprocess.PIPE
        program = subprocess.Popen(
            command, cwd=archive.parent, stdin=pipe, stdout=pipe, stderr=messages, encoding="utf-8"
        )
        timer, deadline = Timer(seconds, program.kill), monotonic() + seconds
        timer.start()
        given, replies = program.stdin, program.stdout
        assert given is not None
        assert replies is not None

        def ask(request: str) -> str:
            given.write(f"{request}\n")
            given.flush()
            return replies.readline().strip()

        try:
            statistics = [ask(request) for request in requests]
            first = ask(" ||| ".join(["EVAL", *statistics]))
            return [float(first), *(float(replies.readline()) for _ in requests)]
        except (OSError, ValueError):  # it is gone, or replies with no number
            if monotonic() >= deadline:
                raise _too_long(seconds) from None
            program.kill()
            program.wait()
            messages.seek(0)
            raise _failure(program.returncode, messages.read()) from None
        finally:
            timer.cancel()
            program.kill()
            program.wait()
            replies.close()
            with suppress(OSError):  # what was still to be written has no reader any more
                given.close()


def spice(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    java: bool = True,
    seconds: float = 1800,
) -> Result | NotMeasured:
    """SPICE 1.0 in 0..1, as COCO computes it; 5,000 images take some 15 minutes.

    Raises BadData when captions and references do not match in number; for nothing else.
    """
    check_captions(hypotheses, references)
    if not java:
        return NotMeasured("SPICE: not asked for (--java)")
    rows = [
        {"image_id": place, "test": _plain(caption), "refs": [_plain(words) for words in human]}
        for place, (caption, human) in enumerate(zip(hypotheses, references, strict=True))
    ]
    try:
        archive = _archive("spice/spice-1.0.jar")
        _archive("spice/lib/stanford-corenlp-3.6.0-models.jar")
        with TemporaryDirectory() as folder:
            given, result = Path(folder, "captions.json"), Path(folder, "scores.json")
            given.write_text(json.dumps(rows), "utf-8")
            command = [_java(), "-Xmx8G", "-jar", str(archive), str(given), "-out", str(result)]
            run = subprocess.run(
                [*command, "-subset", "-silent"],
                cwd=archive.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                check=False,
            )
            if run.returncode != 0:
                raise _failure(run.returncode, run.stderr)
            rows_back = json.loads(result.read_text("utf-8"))
        found = {row["image_id"]: row["scores"]["All"]["f"] for row in rows_back}
        scores = _finite([float(found[place]) for place in range(len(rows))])
        return Result(sum(scores) / len(scores), scores)
    except subprocess.TimeoutExpired:
        return NotMeasured(f"SPICE: {_too_long(seconds)}")
    except (_NoScoreError, OSError, ValueError, KeyError, TypeError) as error:
        return NotMeasured(f"SPICE: {error}")


def _plain(words: Sentence) -> str:
    """Join words so that they cannot be taken for the program's own separator."""
    return " ".join(" ".join(words).replace("|||", " ").split())


def _archive(name: str) -> Path:
    package = find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        why = "the package pycocoevalcap is not installed; pip install 'saccade[metrics]'"
        raise _NoScoreError(why)
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


def _too_long(seconds: float) -> _NoScoreError:
    return _NoScoreError(f"it took longer than the {seconds:g} seconds allowed")


def _failure(status: int, messages: str) -> _NoScoreError:
    first = next(iter(messages.strip().splitlines()), "no message")
    return _NoScoreError(f"Java failed (status {status}): {first[:200]}")


def _finite(scores: list[float]) -> list[float]:
    if not all(map(isfinite, scores)):
        raise _NoScoreError("it gave something that is not a number")
    return scores
