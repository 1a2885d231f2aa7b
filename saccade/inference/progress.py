"""Progress of predictions on stderr: what is left, a bar, images that could not be read.

The only file of `inference` that prints.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rich.progress import Progress

from saccade.core.console import progress_bar, say
from saccade.core.errors import in_number
from saccade.features.store_format import Skipped

NAMED = 20
"""Images that are named at the end; the file beside the predictions has them all."""


def say_start(count: int, done: int, of: str, device: str) -> None:
    """Print how many predictions there will be, and from what."""
    say(in_number(f"{count:,} predictions from {of}, on {device}."))
    if done:
        say(f"{done:,} are there already, {count - done:,} are left.")


def prediction_bar(count: int, done: int, show: bool | None) -> AbstractContextManager[Progress]:
    """A progress bar over the predictions; by default (None) where it `redraws`."""
    return progress_bar("predicting", count, done, show)


def say_end(out: Path, count: int, skipped: Sequence[Skipped], file: Path) -> None:
    """Print how many predictions there are, and which images could not be read."""
    say(f"{in_number(f'{count:,} predictions are in')} {out}.")
    if not skipped:
        return
    say(in_number(f"{len(skipped):,} images could not be read:"), "bold yellow")
    for one in skipped[:NAMED]:
        say(f"  {one.file}: {one.reason}")
    others = f"and {len(skipped) - NAMED:,} others; " if len(skipped) > NAMED else ""
    say(f"  {others}all are in {file}.")


def say_unknown(some: int, none: int, filled: bool) -> None:
    """Print how many questions have words that the model never learnt, and how many no others."""
    if some:
        lacks = in_number(f"{some:,} questions have words that the model never learnt")
        answer = (
            "answered all the same, as the server wants" if filled else "left without an answer"
        )
        end = f"; those that have no other words, {none:,}, are {answer}" if none else ""
        say(f"note: {lacks}{end}.")
