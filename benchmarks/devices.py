"""An epoch of one process against one of two that train together, one thread each.

    python -m benchmarks.devices

MCAN with four layers of 256 numbers, 64 questions a batch: a step is a second of computing and more
than ten million gradients to exchange. Losses must be equal first. The wall clock
counts; the CPU seconds beside it (of the process that took more) say what it would be on a machine
that does nothing else, for waiting takes none.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from saccade.config import Recipe, change
from saccade.core.processes import Processes, processes_around
from saccade.recipes.catalogue import RECIPES
from saccade.training.launch import launch
from saccade.training.loop import Progress, TrainingLoop
from saccade.training.train import train
from tests.worlds import make_world

BAR = 1.7
LIMIT = 1e-5
"""Of losses after some steps, in which Adam makes the rounding of small gradients larger."""
CHANGES = (
    *("model.hidden=256", "model.layers=4", "model.dropout=0", "train.batch_size=64"),
    *("train.epochs=2", "train.schedule.kind=multistep"),
)


def recipe() -> Recipe:
    """The recipe that is timed."""
    made = RECIPES["mcan-small"]
    for one in CHANGES:
        made = change(made, one)
    return made


def timed(data: Path, out: Path) -> dict[str, Any]:
    """Train, as one process or as one of several; the faster epoch's seconds go into a file."""
    torch.set_num_threads(1)
    spent: list[tuple[float, float]] = []
    epoch = TrainingLoop.epoch

    def watched(loop: TrainingLoop, progress: Progress) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield from epoch(loop, progress)
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))

    TrainingLoop.epoch = watched  # type: ignore[method-assign, assignment]
    try:
        train(recipe(), data, out, device="cpu", watchdog=False, console=Console(quiet=True))
    finally:
        TrainingLoop.epoch = epoch  # type: ignore[method-assign]
    rank = (processes_around() or Processes()).rank
    (out / f"seconds-{rank}.json").write_text(json.dumps(min(spent)))
    return {}


def losses(run: Path) -> list[float]:
    """The mean loss of each epoch."""
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


def main() -> None:
    """Train by one process and by two, and print what the second one brought."""
    with tempfile.TemporaryDirectory() as folder:
        data, one, two = (Path(folder) / name for name in ("data", "one", "two"))
        make_world(data, train=192, val=8)
        before = os.getloadavg()[0]
        timed(data, one)
        launch(Processes(devices=2), two, timed, data, two)
        apart = max(abs(a - b) / a for a, b in zip(losses(one), losses(two), strict=True))
        if not apart <= LIMIT:
            raise AssertionError(f"the losses are apart by {apart:.2g}, at most {LIMIT:g}")
        alone = json.loads((one / "seconds-0.json").read_text())
        both = [json.loads((two / f"seconds-{rank}.json").read_text()) for rank in (0, 1)]
    table = Table(title="an epoch of MCAN, 1 thread a process")
    for column in ("seconds", "1 process", "2 processes", "ratio"):
        table.add_column(column, justify="right")
    for place, name in enumerate(("wall clock", "CPU")):
        longer = max(one[place] for one in both)
        ratio = f"{alone[place] / longer:.2f}x"
        table.add_row(name, f"{alone[place]:.2f}", f"{longer:.2f}", ratio)
    Console().print(table)
    print(f"losses apart by {apart:.1g}; load of the machine {before:.1f}, {os.cpu_count()} cores")
    if alone[0] / max(one[0] for one in both) < BAR:
        raise SystemExit(f"the wall clock misses the bar of {BAR:g}x")


if __name__ == "__main__":
    main()
