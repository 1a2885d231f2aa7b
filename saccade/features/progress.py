"""Progress of an extraction on stderr: size and time before the first image, a bar, skipped images.

The only file of `features` that prints.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rich.progress import Progress

from saccade.core.console import progress_bar, say
from saccade.core.formatting import duration, size_in_words
from saccade.features.store_format import Skipped
from saccade.features.store_writer import StoreWriter

NAMED = 20
"""Skipped images that are named at the end; skipped.json has them all."""


def say_start(writer: StoreWriter, seconds: float, device: str) -> None:
    """Print what will be made, how large it is and the time it takes: `seconds` an image."""
    header = writer.header
    spec, settings = header.backbone, header.preprocessing
    regions = " x ".join(map(str, header.grid or (header.regions,)))
    window = "" if settings.window == "auto" else f", window {settings.window}"
    views = f" in {header.views} views" if header.views > 1 else ""
    regions = f"up to {regions}" if header.scores else regions
    say(
        f"{header.ids_count:,} images{views} as {settings.width} x {settings.height} pixels "
        f"({settings.resize}{window}) through {spec.name} (weights: {spec.weights}): {regions} "
        f"regions of {header.dim} numbers, {header.dtype}."
    )
    if spec.weights == "random":
        warning = "THE WEIGHTS ARE RANDOM: the network was never trained, these are no features "
        say(f"{warning}to publish. Give --weights FILE, or hub, for real ones.", "bold red")
    left = header.rows - writer.done
    if writer.done:
        say(f"{writer.done:,} are there already, {left:,} are left.")
    size = size_in_words(header.nbytes())
    say(f"{size} on disk in {writer.path}; about {duration(seconds * left)} on {device}.")


def extraction_bar(writer: StoreWriter, show: bool | None) -> AbstractContextManager[Progress]:
    """A progress bar over the images; by default (None) where it `redraws`."""
    return progress_bar("extracting", writer.header.rows, writer.done, show)


def say_remarks(remarks: Sequence[str], told: int) -> int:
    """Print the first remark about an image, `told` have been met; returns how many have now."""
    if remarks and not told:
        say(f"warning: {remarks[0]}. Further ones are counted at the end.", "bold yellow")
    return told + len(remarks)


def say_made(path: Path, skipped: Sequence[Skipped], count: int, told: int) -> None:
    """Print how many of `count` images are in a store, why the others are not, and how many
    remarks there were.
    """
    say(f"{count - len(skipped):,} of {count:,} images are in {path}.")
    if told:
        say(f"warning: {told:,} images do not fit the settings, see above.", "bold yellow")
    if not skipped:
        return
    say(f"{len(skipped):,} could not be read and are left out:", "bold yellow")
    for one in skipped[:NAMED]:
        say(f"  {one.id}  {one.file}: {one.reason}")
    if len(skipped) > NAMED:
        say(f"  and {len(skipped) - NAMED:,} others; all are in {path / 'skipped.json'}.")


def say_complete(path: Path, left_out: int) -> None:
    """Print that a store is complete, and how images that it lacks are tried again."""
    say(f"{path} is complete already: nothing to do.")
    if left_out:
        say(
            f"{left_out:,} of its images could not be read and are left out, see "
            f"{path / 'skipped.json'}. Once they are mended, delete the folder {path} and give the "
            "same command again, or give it with another --name: then all are read again."
        )
