"""Training on the terminal: the estimated cost before the first step, then the progress."""

import copy
import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from torch import nn

from saccade.checks.machine import run_bytes
from saccade.config import Recipe
from saccade.core.console import redraws
from saccade.core.formatting import duration, printable
from saccade.core.language import translated
from saccade.core.run_files import selection_score
from saccade.data.checks import Finding
from saccade.data.examples import epoch_order
from saccade.metrics.catalogue import METRICS
from saccade.models.encoder import EncodedModel
from saccade.training.loop import Progress, TrainingLoop, run_length
from saccade.training.objectives import train_metric
from saccade.training.optim import ScheduleState

GIB = 2**30
LABELS = ("macro_precision", "macro_recall", "macro_f1")
FEW_STEPS = 100
"""A run of fewer steps is warned about: the smallest model here needs some hundreds."""
ENOUGH_STEPS = 500


class Estimate(NamedTuple):
    """Cost of a run, measured on one batch."""

    seconds_per_step: float
    parameters: int
    memory_bytes: int
    """Peak of this process so far, and what the optimiser will add."""
    disk_bytes: int
    """As `checks.machine.run_bytes` counts them, with the checkpoints that will be kept."""


def estimate(loop: TrainingLoop, epochs_done: int) -> Estimate:
    """Time a step, without an update of the weights, in an epoch that trains all of the model.

    A copy of the model does it, whose batch statistics may move. The random state is restored, so
    that a run does not depend on being estimated.
    """
    model: nn.Module = copy.deepcopy(loop.model.module)
    if isinstance(model, EncodedModel):
        model.start_epoch(model.config.first_epoch)
    part = -(-loop.config.batch_size // loop.world.size)
    order = epoch_order(loop.examples.image, None, 0, 0)[:part]
    batch = loop.examples.batch(order).to(loop.fabric.device)
    schedule_state, seconds = ScheduleState(0, loop.config.epochs), 0.0
    with torch.random.fork_rng():
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            loop.objective(model.train(), batch, schedule_state).loss.backward()
            seconds = time.perf_counter() - start
    parameters = sum(p.numel() for p in model.parameters())
    moments = 2 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    every, averaged = loop.keep_every, loop.average is not None
    kept = loop.length.epochs // every - epochs_done // every if every else 0
    disk = run_bytes(parameters, moments, averaged=averaged, checkpoints=kept)
    return Estimate(seconds * loop.config.accumulate, parameters, peak + 4 * moments, disk)


class GpuUse(NamedTuple):
    """What the training process takes of its GPU."""

    memory: int
    """Bytes that it has reserved at most so far."""
    total: int
    """Bytes that the GPU has."""
    busy: float | None
    """Share of the last second or so in which it computed, 0..1; None where NVIDIA's library for
    Python (nvidia-ml-py) is not installed."""

    def __str__(self) -> str:
        memory = f"GPU {self.memory / GIB:.1f} of {self.total / GIB:.0f} GiB"
        return memory if self.busy is None else f"{memory}, {self.busy:.0%} busy"


def gpu_use(device: torch.device) -> GpuUse | None:
    """What training takes of its GPU; None on a CPU."""
    if device.type != "cuda":
        return None
    try:
        busy = torch.cuda.utilization(device) / 100
    except Exception:  # as many as there are drivers; a number for the screen stops no training
        busy = None
    memory = torch.cuda.max_memory_reserved(device)
    return GpuUse(memory, torch.cuda.get_device_properties(device).total_memory, busy)


def cut_to(width: int, parts: Iterable[str], between: str = "  ") -> str:
    """The parts on a line, in the order of their importance: the last ones go where it is full."""
    line = ""
    for part in parts:
        longer = f"{line}{between}{part}" if line else part
        if len(longer) > width:
            break
        line = longer
    return line


def _labels_line(row: Mapping[str, Any]) -> str:
    """Macro precision, recall and F1 of an epoch, on both splits."""
    both = []
    for scores, split in ((row["scores"], "val"), (row["train_scores"], "train")):
        shown = (METRICS[name].shown(scores[name]) for name in LABELS if name in scores)
        both.append(f"{'/'.join(shown)} {split}")
    return f"macro P/R/F1 {', '.join(both)}"


class TrainingView:
    """A progress bar, where it `redraws`, while `bar` is entered; one line per epoch everywhere."""

    GPU_EVERY_SECONDS = 1.0

    def __init__(
        self,
        console: Console,
        recipe: Recipe,
        examples: Any,
        device: torch.device,
        remarks: Sequence[str] = (),
    ) -> None:
        """Begin with the `remarks` that are not empty, a line each."""
        self.console, self.config, self.device = console, recipe.train, device
        self.count, self.left_out = len(examples), examples.left_out
        self.length = run_length(recipe.train, self.count)
        self.train_metric, self.score = train_metric(recipe), "none yet"
        self.scoring_seconds, self.gpu, self.gpu_seen = 0.0, gpu_use(device), time.monotonic()
        self.bound_is_said = False
        self.bar_width = max(10, min(console.width // 5, 40))
        self.bar = Bar(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(self.bar_width),
            TextColumn("{task.fields[details]}"),
            console=console,
            transient=True,
            disable=not redraws(console),
        )
        for remark in filter(None, remarks):
            self.say(remark)
        self.row = self.bar.add_task("", total=self.length.steps, epoch="", details="")

    def say(self, line: str) -> None:
        """Print one line."""
        self.console.print(
            printable(translated(line)), highlight=False, markup=False, soft_wrap=True
        )

    def show_estimate(self, cost: Estimate, progress: Progress) -> None:
        """Print what the rest of the run will cost, which examples are left out, and a warning
        where the whole of it is too short to learn much."""
        per_epoch, total, epochs = self.length
        epoch, left = (cost.seconds_per_step * n for n in (per_epoch, total - progress.step))
        done = f", {progress.epoch} of them done" if progress.epoch else ""
        span = "for the rest" if progress.step else "in all"
        self.say(
            f"{cost.parameters:,} parameters, {self.count:,} examples; steps an epoch: "
            f"{per_epoch:,}. About {duration(epoch)} an epoch, "
            f"{duration(left)} {span} (epochs: {epochs}{done}); "
            f"memory {cost.memory_bytes / GIB:.1f} GiB; disk {cost.disk_bytes / 2**20:.0f} MiB."
        )
        for reason, count in self.left_out.items():
            if count:
                self.say(f"Left out: {count:,} examples ({reason}).")
        if total < FEW_STEPS:
            more = f"train.epochs={-(-ENOUGH_STEPS // per_epoch)}"
            end = "; a run can also be resumed so."
            if self.config.steps == total:
                more, end = f"train.steps={ENOUGH_STEPS}", "."
            message = f"warning: {total:,} training steps in all are too few to learn much. Train"
            self.say(f"{message} longer, with --set {more}{end}")

    def step(self, progress: Progress) -> None:
        """Show one step."""
        if self.gpu and time.monotonic() - self.gpu_seen > self.GPU_EVERY_SECONDS:
            self.gpu, self.gpu_seen = gpu_use(self.device), time.monotonic()
        epoch = f"epoch {progress.epoch + 1}/{self.length.epochs}"
        width = self.console.width - len(epoch) - self.bar_width - 3  # blanks between columns
        details = cut_to(width, self._details(progress), " · ")
        self.bar.update(self.row, completed=progress.step, epoch=epoch, details=details)

    def _details(self, progress: Progress) -> Iterator[str]:
        """The numbers beside the bar, the most important first."""
        left = self.length.steps - progress.step
        scorings = self.length.epochs - progress.epoch
        per_step = progress.seconds * self.config.accumulate / progress.batch
        seconds = left * per_step + scorings * self.scoring_seconds
        yield f"ends in {duration(seconds)}"
        yield f"loss {progress.mean_loss:.3f}"
        yield f"score {self.score}"
        yield f"{progress.examples / progress.seconds:,.0f}/s"
        if self.gpu:
            yield str(self.gpu)
        yield f"waiting for data {progress.waited / progress.seconds:.0%}"

    def scoring(self) -> None:
        """Say that the epoch's steps are done, and the validation split is being scored."""
        self.bar.update(self.row, details="scoring the val split")

    def epoch(self, row: dict[str, Any], best: float) -> None:
        """Print the result of an epoch; `best` is what chose the best one before it."""
        shown, scores = METRICS[row["metric"]].shown, row["scores"]
        self.score, self.scoring_seconds = shown(row["score"]), row["seconds_scoring"]
        chooses = selection_score(row)
        if not self.bound_is_said and "upper_bound" in scores:
            bound = METRICS["accuracy"].shown(scores["upper_bound"])
            self.say(f"The answer list allows an accuracy of {bound} at most on the val split.")
            self.bound_is_said = True
        seconds = row["seconds"] + row["seconds_scoring"]
        # What reads like the best one so far is none, be it larger by a hair.
        is_best = chooses > best and shown(chooses) != shown(best)
        notes = [f"smoothed {shown(chooses)}"] if "smoothed_score" in row else []
        notes += ["best"] if is_best else []
        mark = f" ({', '.join(notes)})" if notes else ""
        parts = [
            f"epoch {row['epoch']}/{self.length.epochs}",
            f"loss {row['loss']:.3f}",
            f"{row['metric']} {self.score}{mark}",
            f"{self.train_metric.title} {row['train_score']:.1f}{self.train_metric.unit} train",
            f"{seconds:.1f} s" if seconds < 100 else duration(seconds),
            f"{row['examples_per_second']:,.0f} examples/s",
            f"waiting for data {row['waiting']:.0%}",
        ]
        top_5 = scores.get("teacher_forced", {}).get("top_5_accuracy")
        parts[4:4] = [f"{top_5:.1f}% val"] if top_5 is not None else []
        parts[4:4] = [_labels_line(row)] if "train_scores" in row else []
        parts[-1:-1] = [str(self.gpu)] if self.gpu else []
        width = self.console.width if self.console.is_terminal else 1000  # a log has it all
        self.say(cut_to(width, parts))

    def kept(self, row: dict[str, Any], findings: Sequence[Finding]) -> None:
        """Print which epoch's weights the run holds, whose mark may be of an earlier session, and
        once more what was warned of before the first step."""
        of = METRICS[row["metric"]]
        title = f"smoothed {of.title}" if "smoothed_score" in row else of.title
        best = f"the best by {title} on the val split, {of.shown(selection_score(row))}"
        self.say(f"Kept: the weights of epoch {row['epoch']}, {best}.")
        for one in findings:
            if one.level == "warning":
                self.say(f"warning [{one.name}], from before the training: {one.message}.")
