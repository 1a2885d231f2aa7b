"""The training loop for every model and both tasks, written out.

Fabric brings devices, processes and precision; order, schedule, validation, saving and resuming
stand here. After each epoch the model is scored on the validation split by its own predictions
(free-running, never teacher-forced), the best weights are kept, and `last/` holds what an exact
resume needs. Where several processes train together, the first one scores, writes and speaks.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from saccade.checks.catalogue import describe
from saccade.checks.check import checked
from saccade.config import Cosine, Recipe, ReduceOnPlateau, TrainConfig, change
from saccade.core.console import stop_on_signal
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadData, BadRun
from saccade.core.files import refuse_small_disk, write_bytes
from saccade.core.formatting import printable
from saccade.core.language import translated
from saccade.core.processes import Processes, processes_around
from saccade.core.run_files import (
    WEIGHTS,
    checkpoint_interval,
    refuse_run,
    refuse_unsaved,
    selection_score,
)
from saccade.core.tensors import save_tensors
from saccade.data.folder import DataFolder
from saccade.evaluation.tasks import TASKS, Task
from saccade.experiment import Experiment, assemble
from saccade.inference.model import with_own_sizes
from saccade.run_folder import (
    CHECKPOINTS,
    OpenedRun,
    changed_conditions,
    checkpoint_path,
    note_resumed,
    open_run,
    refuse_other_settings,
    with_sizes_of,
)
from saccade.text.vocabulary import Words
from saccade.training.distributed import World, device_of, make_fabric
from saccade.training.exactness import conditions_on
from saccade.training.initialise import fresh_model, initialise
from saccade.training.loggers import LoggedRun, MakeLogger, start_loggers
from saccade.training.loop import Progress, TrainingLoop, run_length, training_of
from saccade.training.objectives import Shares, objective_for
from saccade.training.optim import make_optimiser
from saccade.training.probes import set_watchdog
from saccade.training.progress import TrainingView, estimate
from saccade.training.remarks import about_end, about_length, about_views, about_words
from saccade.training.saving import (
    Rows,
    best_row,
    load_last,
    logged_failure,
    origin_of,
    save_last,
    saved_state,
    start_run,
    write_log,
)
from saccade.training.stopping import epochs_without_encoder, is_out_of_time, is_over
from saccade.training.validation import validated_row

SAVE_EVERY_SECONDS = 600.0
DRAW_EVERY_SECONDS = 10.0
"""Least time between two drawings of the curves: one costs as much as an epoch of a tiny run."""


def train(  # noqa: PLR0913  the options of `saccade train`
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    name: str = "custom",
    features: str | None = None,
    start: Path | None = None,
    resume: bool = False,
    keep: str = "best",
    minutes: float | None = None,
    allow: Sequence[str] = (),
    strict: bool = False,
    device: str = "auto",
    watchdog: bool = True,
    loggers: Sequence[str | MakeLogger] = (),
    console: Console | None = None,
    words: Words | None = None,
) -> dict[str, Any]:
    """Train a recipe of some `name`, alone or as one of several processes: see `saccade.train`."""
    processes = processes_around() or Processes()
    console = _console_of(processes, console)
    if resume:
        refuse_unsaved(out)
    run = open_run(out) if resume else None
    given = _as_it_runs(recipe, device, console, run or (open_run(start) if start else None))
    experiment = assemble(given, DataFolder(data), features, run, words)
    _check_out(out, experiment, run)
    progress, rows = saved_state(out) if run else (Progress(), Rows())
    if is_over(progress, experiment.recipe) or is_out_of_time(progress, rows, minutes):
        _print(console, about_end(progress, experiment.recipe, out))
        return best_row(rows)["scores"]  # type: ignore[no-any-return]
    task = TASKS[experiment.recipe.task]
    examples, how_scored = _examples(task, experiment)
    findings = checked(experiment, out, device, allow, strict=strict)
    chosen = device_of(device, processes)
    conditions = conditions_on(chosen, processes.size)
    remarks = [*chain.from_iterable(map(describe, findings)), *about_words(given, experiment)]
    remarks += [how_scored, *_remarks(run, experiment, examples, conditions)]
    view = TrainingView(console, experiment.recipe, examples, chosen, remarks)
    model = fresh_model(experiment, start=start, resume=resume)
    experiment = replace(experiment, recipe=with_own_sizes(experiment.recipe, model))
    loop = _put_together(chosen, model, experiment.recipe, examples, processes)
    loop.keep_every, loop.minutes = checkpoint_interval(keep), minutes
    cost = estimate(loop, progress.epoch)
    refuse_small_disk(BadRun, out, "the run", cost.disk_bytes, "choose another --out")
    if run:
        load_last(out, loop)
        loop.world.from_first(lambda: note_resumed(run, experiment.recipe, conditions))
    else:
        initialise(loop.model.module, experiment, examples, start, view.say)
        loop.world.start(loop.model.module, experiment.recipe.train.seed)
        start_run(out, name, loop, experiment, origin_of(experiment, start, findings), conditions)
    view.show_estimate(cost, progress)
    if watchdog:
        set_watchdog(loop, experiment.recipe, cost, rows, view.say)
    told, logged = loggers if processes.is_first else (), LoggedRun(out, name, progress.step)
    loop.reporter = start_loggers(told, logged, experiment.recipe, view.say)
    _until_it_is_over(loop, task, experiment, progress, rows, view, out)
    view.kept(best_row(rows), findings)
    return best_row(rows)["scores"]  # type: ignore[no-any-return]


def _remarks(
    run: OpenedRun | None, experiment: Experiment, examples: Any, conditions: Mapping[str, str]
) -> Iterator[str]:
    """What a person is told of the run's length, its views and other conditions than before."""
    yield from about_length(run, experiment.recipe)
    yield from about_views(experiment, examples.views)
    yield from changed_conditions(run, conditions) if run else ()


def _examples(task: Task, experiment: Experiment) -> tuple[Any, str]:
    """The training examples, and how the validation split will be scored. Raises BadConfig or
    BadData now for what would fail after the first epoch.
    """
    examples, config = task.examples(experiment, "train"), experiment.recipe.train
    if not len(examples):
        hint = f"Left out: {examples.left_out}."
        raise BadData("no training example is left", location=experiment.folder.path, hint=hint)
    _check_warm_up(config, len(examples))
    by = config.select_by, experiment.revision
    return examples, task.check_validation(experiment.folder, *by)


def _put_together(
    device: torch.device, model: nn.Module, recipe: Recipe, examples: Any, processes: Processes
) -> TrainingLoop:
    """The loop that trains a recipe's model."""
    fabric = make_fabric(device, recipe.train.precision, processes)
    config = training_of(recipe)
    wrapped, optimiser = fabric.setup(model, make_optimiser(model, config))
    return TrainingLoop(
        fabric,
        wrapped,
        optimiser,
        objective_for(recipe, examples),
        config,
        examples,
        Shares(recipe),
        World(processes.rank, processes.size),
        average=copy.deepcopy(wrapped.module) if config.ema else None,  # filled by the first step
    )


def _until_it_is_over(
    loop: TrainingLoop,
    task: Task,
    experiment: Experiment,
    progress: Progress,
    rows: Rows,
    view: TrainingView,
    out: Path,
) -> None:
    """Train and score epoch after epoch; raises KeyboardInterrupt if stopped."""
    drawn, recipe = time.monotonic(), experiment.recipe
    with stop_on_signal() as stopped, view.bar, loop.reporter.told_of_end():
        while not (is_over(progress, recipe) or is_out_of_time(progress, rows, loop.minutes)):
            best = progress.best
            with logged_failure(loop, rows, out):
                _epoch(loop, progress, rows, view, stopped, out)
                view.scoring()
                _end_epoch(loop, task, experiment, progress, rows, out)
            view.epoch(rows[-1], best)
            loop.reporter.epoch(rows[-1])
            with logged_failure(loop, rows, out):
                loop.watchdog.refuse_lost()
            if time.monotonic() - drawn > DRAW_EVERY_SECONDS:
                _draw(loop, out, rows)
                drawn = time.monotonic()
    _draw(loop, out, rows)


def _console_of(processes: Processes, console: Console | None) -> Console:
    """Where a process prints: nowhere, unless it is the first one."""
    if processes.is_first:
        return console or Console()
    return Console(quiet=True, force_terminal=False)


def _print(console: Console, line: str) -> None:
    console.print(printable(translated(line)), highlight=False, markup=False, soft_wrap=True)


def _as_it_runs(recipe: Recipe, device: str, console: Console, before: OpenedRun | None) -> Recipe:
    """The recipe with the sizes of an earlier run's encoder, and with the precision that the device
    has, which is said where it is another.
    """
    recipe = recipe if before is None else with_sizes_of(recipe, before)
    if recipe.train.precision != "16-mixed" or choose_device(device).type != "cpu":
        return recipe
    note = "precision: a CPU has no 16-mixed; this run is trained and recorded as bf16-mixed"
    _print(console, note)
    return change(recipe, "train.precision=bf16-mixed")


def _check_warm_up(config: TrainConfig, examples: int) -> None:
    """Raise BadConfig where the run would end before a cosine begins to fall."""
    schedule, steps = config.schedule, run_length(config, examples).steps
    if isinstance(schedule, Cosine) and schedule.warmup_steps >= steps:
        message = f"the run has {steps:,} steps, and train.schedule.warmup_steps is"
        hint = "Set train.schedule.warmup_steps to about a tenth of the steps, or train longer."
        raise BadConfig(f"{message} {schedule.warmup_steps:,}", hint=hint)


def _check_out(out: Path, experiment: Experiment, run: OpenedRun | None) -> None:
    """Refuse to write over a run, or to resume one with another recipe, data or features."""
    if run is None:
        refuse_run(out)
        return
    refuse_other_settings(run, experiment.recipe)
    header, folder, store = run.header, experiment.folder, experiment.store
    if header.fingerprint != folder.fingerprint:
        message = f"the run was started on other records than {folder.path} has now: their "
        message += f"fingerprint was {header.fingerprint} and is {folder.fingerprint}"
        hint = f"Resume with the data folder it was started on, {header.data}, as it was then."
        raise BadRun(message, location=out, hint=hint)
    if header.store != store.header:
        old, new = header.store.model_dump(), store.header.model_dump()
        field = next(name for name in old if old[name] != new[name])
        message = f"the run was started on other features than {store.path} has: {field} was "
        message += f"{old[field]} and is {new[field]}"
        hint = f"Give those it was started on: --features {header.store_name}."
        raise BadRun(message, location=out, hint=hint)


def _epoch(
    loop: TrainingLoop,
    progress: Progress,
    rows: list[dict[str, Any]],
    view: TrainingView,
    stopped: list[int],
    out: Path,
) -> None:
    """Train the rest of an epoch, or until the time is over, and save now and then; raises
    KeyboardInterrupt if stopped."""
    saved = time.monotonic()
    loop.reporter.start_epoch(progress)
    for _ in loop.epoch(progress):
        view.step(progress)
        loop.reporter.step(progress, loop.optimiser.param_groups[0]["lr"])
        if loop.world.size > 1 and loop.results:
            continue  # where their losses are not waited for, processes ask each other nothing
        stop, save, end = loop.world.any(
            bool(stopped),
            time.monotonic() - saved > SAVE_EVERY_SECONDS,
            is_out_of_time(progress, rows, loop.minutes),
        )
        if stop or save:
            loop.accumulate_losses(progress)
            save_last(out, loop, progress, rows)
            saved = time.monotonic()
        if stop:
            _draw(loop, out, rows)
            raise KeyboardInterrupt
        if end:
            loop.accumulate_losses(progress)
            return


def _end_epoch(
    loop: TrainingLoop,
    task: Task,
    experiment: Experiment,
    progress: Progress,
    rows: Rows,
    out: Path,
) -> None:
    """Score the model, keep it if it is the best, add a row to the log, and save all of it.

    The first process does; the others take from it what it found and decided.
    """

    def scored() -> tuple[Progress, dict[str, Any], BadRun | None]:
        _score_epoch(loop, task, experiment, progress, rows, out)
        return progress, rows[-1], loop.watchdog.lost

    decided, row, loop.watchdog.lost = loop.world.from_first(scored)
    if not loop.world.is_first:
        vars(progress).update(vars(decided))
        rows.append(row)
    loop.world.same_state(loop.model.module, loop.average)  # buffers, batch norm's and a prior's
    save_last(out, loop, progress, rows)


def _score_epoch(
    loop: TrainingLoop,
    task: Task,
    experiment: Experiment,
    progress: Progress,
    rows: Rows,
    out: Path,
) -> None:
    """Score the model, keep it if it is the best, and add a row to the log."""
    config, recipe, model = loop.config, experiment.recipe, loop.validated
    row, scored = validated_row(loop, task, experiment, progress, rows)
    score = selection_score(row)
    epoch = {"epoch": str(row["epoch"])}
    if loop.keep_every and row["epoch"] % loop.keep_every == 0:
        (out / CHECKPOINTS).mkdir(exist_ok=True)
        save_tensors(checkpoint_path(out, row["epoch"]), model.state_dict(), epoch)
    if score > progress.best:
        progress.best, progress.epochs_since_improvement = score, 0
        save_tensors(out / WEIGHTS, model.state_dict(), epoch)
    else:
        progress.epochs_since_improvement += 1
        schedule, waited = config.schedule, progress.epochs_since_improvement
        if isinstance(schedule, ReduceOnPlateau) and waited % schedule.patience == 0:
            progress.decays += 1
    progress.epoch += 1
    progress.batch = progress.examples = progress.train_scored = 0
    progress.answered = {}
    progress.loss = progress.train_score = progress.seconds = progress.waited = 0.0
    if progress.epoch == epochs_without_encoder(recipe):
        progress.epochs_since_improvement = 0  # the encoder trains from now on: patience is new
    rows.append(row)
    is_last = is_over(progress, recipe)
    loop.watchdog.epoch(rows, scored, experiment.folder, is_last=is_last)
    row["findings"] = loop.watchdog.take()
    write_log(out, rows)


def _draw(loop: TrainingLoop, out: Path, rows: list[dict[str, Any]]) -> None:
    """Draw the log so far; without an epoch there is nothing to draw."""
    from saccade.viz.plots import curves  # noqa: PLC0415  Matplotlib would delay the start

    if rows and loop.world.is_first:
        write_bytes(out / "curves.png", curves(rows))
