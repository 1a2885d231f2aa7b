"""What is said on stderr about a store: what is in it, and which pictures are not."""

from collections.abc import Sequence
from pathlib import Path

from saccade.core.console import say
from saccade.features.store_files import Skipped

NAMED = 20
"""Skipped pictures that are named at the end; skipped.json has them all."""


def tell_made(path: Path, skipped: Sequence[Skipped], count: int) -> None:
    """Say how many of `count` pictures are in a store, and why the others are not."""
    say(f"{count - len(skipped):,} of {count:,} pictures are in {path}.")
    if not skipped:
        return
    say(f"{len(skipped):,} could not be read and are left out:", "bold yellow")
    for one in skipped[:NAMED]:
        say(f"  {one.id}  {one.file}: {one.reason}")
    if len(skipped) > NAMED:
        say(f"  and {len(skipped) - NAMED:,} others; all are in {path / 'skipped.json'}.")


def tell_complete(path: Path, left_out: int) -> None:
    """Say that a store is there already, and how pictures that it lacks are looked at again."""
    say(f"{path} is complete already: nothing to do.")
    if left_out:
        say(
            f"{left_out:,} of its pictures could not be read and are left out, see "
            f"{path / 'skipped.json'}. Once they are mended, delete the folder {path} and give the "
            "same command again, or give it with another --name: then all are looked at again."
        )
