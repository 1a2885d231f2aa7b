"""Findings about the machine: memory and disk that a training needs, against what there is."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from saccade.checks.catalogue import finding
from saccade.core.files import at_or_above, free_bytes
from saccade.core.formatting import size_in_words
from saccade.data.checks import Finding
from saccade.experiment import Experiment
from saccade.features.store_format import BACKBONE

NUMBER = 4
"""Bytes of a weight."""


def run_bytes(weights: int, moments: int, *, averaged: bool, checkpoints: int = 0) -> int:
    """Bytes of a run on its disk, of so many weights and moments: the best weights and those of
    checkpoints; and the state for an exact resume, twice while the next one is written."""
    state = weights * (1 + averaged) + moments
    return NUMBER * (weights * (1 + checkpoints) + 2 * state)


def check_machine(
    experiment: Experiment, out: Path | None, device: str = "auto"
) -> Iterator[Finding]:
    """Whether weights, gradients, moments and averages fit; with `out`, whether its disk can hold
    the run.

    The model is built without its numbers, so that one too large for any memory is told at once.
    That of an encoder is not: its library would allocate it.
    """
    nothing = experiment.words.answers is not None and not experiment.sizes.answers
    if experiment.recipe.encoder is not None or nothing:
        return
    import torch  # noqa: PLC0415 - slow to import

    from saccade.core.devices import choose_device  # noqa: PLC0415
    from saccade.inference.model import build  # noqa: PLC0415

    recipe, preprocessing = experiment.recipe, experiment.store.header.preprocessing
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = build(recipe, experiment.sizes, preprocessing)
    weights, averaged = sum(one.numel() for one in model.parameters()), bool(recipe.train.ema)
    place = choose_device(device)
    needed, free = NUMBER * (4 + averaged) * weights, _free_memory(place.type)
    if free is not None and needed > 0.95 * free:
        message = f"training takes {size_in_words(needed)} of memory at least on {place.type}, "
        message += f"{size_in_words(free)} are free"
        yield finding("memory", message, numbers={"needed": needed, "free": free})
    if out is None:
        return
    backbone = experiment.store.path / BACKBONE
    other_disk = backbone.exists() and backbone.stat().st_dev != at_or_above(out).stat().st_dev
    copied = backbone.stat().st_size if other_disk else 0
    written = run_bytes(weights, 2 * weights, averaged=averaged)
    needed, free = int(1.1 * (written + copied)), free_bytes(out)
    if needed > free:
        message = f"the run needs {size_in_words(needed)} of disk, {size_in_words(free)} are free"
        yield finding("disk", message, numbers={"needed": needed, "free": free})


def _free_memory(device: str) -> int | None:
    """Bytes that are free on the GPU, or in this computer; None where the system does not say."""
    if device == "cuda":
        import torch  # noqa: PLC0415 - slow to import

        return int(torch.cuda.mem_get_info()[0])
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(one for one in lines if one.startswith("MemAvailable")).split()[1])
    return None
