"""Training on the terminal: the estimated cost before the first step, then the progress."""

import copy
import resource
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from saccade.config import Recipe
from saccade.core.formatting import duration
from saccade.data.examples import epoch_order
from saccade.metrics.catalogue import METRICS
from saccade.models.encoder import EncodedModel
from saccade.training.loop import TrainingLoop
from saccade.training.optim import ScheduleState

GIB = 2**30


class Estimate(NamedTuple):
    """Cost of a run, measured on one batch."""

    seconds_per_step: float
    parameters: int
    memory_bytes: int
    """Peak of this process so far, and what the optimiser will add."""
    disk_bytes: int
    """Best weights, and weights with moments for an exact resume."""


def estimate(loop: TrainingLoop) -> Estimate:
    """Time a step, without an update of the weights, in an epoch that trains all of the model.

    A copy of the model does it, whose batch statistics may move. The random state is restored, so
    that a run does not depend on being estimated.
    """
    model: nn.Module = copy.deepcopy(loop.model.module)
    if isinstance(model, EncodedModel):
        model.start_epoch(model.config.first_epoch)
    order = epoch_order(loop.examples.image, None, 0, 0)[: loop.config.batch_size]
    batch = loop.examples.batch(order).to(loop.fabric.device)
    schedule_state, seconds = ScheduleState(0, loop.config.epochs), 0.0
    with torch.random.fork_rng():
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            loop.objective(model.train(), batch, schedule_state).backward()
            seconds = time.perf_counter() - start
    parameters = sum(p.numel() for p in model.parameters())
    moments = 2 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Estimate(seconds, parameters, peak + 4 * moments, 4 * (2 * parameters + moments))


class TrainingView:
    """A progress bar on a terminal, while `bar` is entered; one line per epoch everywhere."""

    def __init__(
        self, console: Console, recipe: Recipe, examples: Any, remarks: Sequence[str] = ()
    ) -> None:
        """Begin with the `remarks` that are not empty, a line each."""
        self.console, self.config = console, recipe.train
        self.count, self.left_out = len(examples), examples.left_out
        self.steps = -(-self.count // recipe.train.batch_size)
        self.score = "-"
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn(
                "loss {task.fields[loss]:.3f} · score {task.fields[score]} · "
                "{task.fields[rate]:.0f}/s · waiting for data {task.fields[waiting]:.0%} · ends in"
            ),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        for remark in filter(None, remarks):
            self.say(remark)
        total = self.steps * self.config.epochs
        self.row = self.bar.add_task(
            "", total=total, epoch="1", loss=0.0, score="-", rate=0.0, waiting=0.0
        )

    def say(self, line: str) -> None:
        """Print one line."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def show_estimate(self, cost: Estimate) -> None:
        """Print what the run will cost before it starts, and which examples are left out."""
        epoch = cost.seconds_per_step * self.steps
        self.say(
            f"{cost.parameters:,} parameters, {self.count:,} examples; steps an epoch: "
            f"{self.steps:,}. About {duration(epoch)} an epoch, "
            f"{duration(epoch * self.config.epochs)} in all (epochs: {self.config.epochs}); "
            f"memory {cost.memory_bytes / GIB:.1f} GiB; disk {cost.disk_bytes / 2**20:.0f} MiB."
        )
        for reason, count in self.left_out.items():
            if count:
                self.say(f"Left out: {count:,} examples ({reason}).")

    def step(self, progress: Any) -> None:
        """Show one step."""
        self.bar.update(
            self.row,
            completed=progress.step,
            epoch=f"{progress.epoch + 1}/{self.config.epochs}",
            loss=progress.loss / progress.examples,
            score=self.score,
            rate=progress.examples / progress.seconds,
            waiting=progress.waited / progress.seconds,
        )

    def epoch(self, row: dict[str, Any], best: float) -> None:
        """Print the result of an epoch."""
        self.score = METRICS[row["metric"]].shown(row["score"])
        mark = " (best)" if row["score"] >= best else ""
        self.say(
            f"epoch {row['epoch']:3d}  loss {row['loss']:.4f}  {row['metric']} "
            f"{self.score}{mark}  {row['examples_per_second']:.0f} examples/s  waiting for "
            f"data {row['waiting']:.0%}  {row['seconds'] + row['seconds_scoring']:.1f} s"
        )
