"""The training loop for every model and both tasks, written out.

Fabric brings devices and precision; order, schedule, validation, saving and resuming stand here.
After each epoch the model is scored on the validation split by its own predictions (free-running,
never teacher-forced), the best weights are kept, and `last/` holds what an exact resume needs.
"""

import copy
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from torch import Tensor, nn

from saccade.checks.catalogue import describe
from saccade.checks.check import checked
from saccade.config import Cosine, Recipe, ReduceOnPlateau, TrainConfig, WeightRule, change
from saccade.core.console import stop_on_signal
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadData, BadRun, SaccadeError
from saccade.core.files import refuse_small_disk, write_bytes, write_text
from saccade.core.formatting import printable
from saccade.core.run_files import (
    LAST,
    WEIGHTS,
    checkpoint_interval,
    read_metadata,
    refuse_run,
    refuse_unsaved,
    selection_score,
)
from saccade.core.settings import first_problem
from saccade.core.tasks import TASK_INFO
from saccade.core.tensors import load_tensors, save_tensors
from saccade.data.checks import Finding
from saccade.data.examples import Views
from saccade.data.folder import DataFolder
from saccade.evaluation.scoring import (
    ScoredExamples,
    ScoreOptions,
    measured,
    score_interval,
    selected_score,
)
from saccade.evaluation.tasks import TASKS, Task
from saccade.experiment import Experiment, assemble
from saccade.inference.model import with_own_sizes
from saccade.models.encoder import without_encoder
from saccade.run_folder import (
    BACKBONE,
    CHECKPOINTS,
    OpenedRun,
    Origin,
    as_parent,
    changed_conditions,
    changed_settings,
    checked_log,
    checkpoint_path,
    note_resumed,
    open_run,
    refuse_other_settings,
    with_sizes_of,
    write_run,
)
from saccade.text.answers import merged_spellings
from saccade.text.tokenizers import TOKENIZERS
from saccade.training.exactness import conditions_on
from saccade.training.initialise import fresh_model, initialise
from saccade.training.loop import Progress, TrainingLoop, load_state, run_length, save_state
from saccade.training.objectives import objective_for, shares_for, train_metric
from saccade.training.optim import make_optimiser
from saccade.training.probes import set_watchdog
from saccade.training.progress import TrainingView, estimate
from saccade.training.watchdog import TrainingFinding

SAVE_EVERY_SECONDS = 600.0
Rows = list[dict[str, Any]]
"""Of the log, one for each epoch that has ended."""
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
    console: Console | None = None,
) -> dict[str, Any]:
    """Train a recipe, whose `name` run.json notes: see `saccade.train`."""
    console = console or Console()
    if resume:
        refuse_unsaved(out)
    run = open_run(out) if resume else None
    given = _as_it_runs(recipe, device, console, run or (open_run(start) if start else None))
    experiment = assemble(given, DataFolder(data), features, run)
    _check_out(out, experiment, run)
    progress, rows = _saved(out) if run else (Progress(), Rows())
    if _is_over(progress, experiment.recipe) or _is_out_of_time(progress, rows, minutes):
        _print(console, _over(progress, experiment.recipe, out))
        return _best(rows)["scores"]  # type: ignore[no-any-return]
    task = TASKS[experiment.recipe.task]
    examples, how_scored = _examples(task, experiment)
    findings = checked(experiment, out, device, allow, strict=strict)
    chosen = choose_device(device)
    conditions = conditions_on(chosen)
    remarks = [line for one in findings for line in describe(one)]
    remarks += [*_about_words(given, experiment), how_scored]
    remarks += [*_about_length(run, experiment.recipe), *_about_views(experiment, examples.views)]
    remarks += changed_conditions(run, conditions) if run else ()
    view = TrainingView(console, experiment.recipe, examples, chosen, remarks)
    model = fresh_model(experiment, start=start, resume=resume)
    experiment = replace(experiment, recipe=with_own_sizes(experiment.recipe, model))
    loop = _put_together(chosen, model, experiment.recipe, examples)
    loop.keep_every, loop.minutes = checkpoint_interval(keep), minutes
    cost = estimate(loop, progress.epoch)
    refuse_small_disk(BadRun, out, "the run", cost.disk_bytes, "choose another --out")
    if run:
        _load_last(out, loop)
        note_resumed(run, experiment.recipe, conditions)
    else:
        initialise(loop.model.module, experiment, examples, start, view.say)
        origin = _origin(experiment, start, findings)
        _start_run(out, name, loop, experiment, origin, conditions)
    view.show_estimate(cost, progress)
    if watchdog:
        set_watchdog(loop, experiment.recipe, cost, rows, view.say)
    _until_it_is_over(loop, task, experiment, progress, rows, view, out)
    view.kept(_best(rows), findings)
    return _best(rows)["scores"]  # type: ignore[no-any-return]


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
    device: torch.device, model: nn.Module, recipe: Recipe, examples: Any
) -> TrainingLoop:
    """The loop that trains a recipe's model."""
    # Imported here: it takes seconds, and all that can be refused is refused by now.
    from lightning_fabric import Fabric  # noqa: PLC0415

    where = [device.index] if device.index is not None else 1
    fabric = Fabric(accelerator=device.type, devices=where, precision=recipe.train.precision)
    config = training_of(recipe)
    wrapped, optimiser = fabric.setup(model, make_optimiser(model, config))
    return TrainingLoop(
        fabric,
        wrapped,
        optimiser,
        objective_for(recipe, examples),
        config,
        examples,
        shares_for(recipe),
        average=copy.deepcopy(wrapped.module) if config.ema else None,  # filled by the first step
    )


def _start_run(
    out: Path,
    name: str,
    loop: TrainingLoop,
    experiment: Experiment,
    origin: Origin,
    conditions: Mapping[str, str],
) -> None:
    """Write a run folder that can be resumed already, before the first step."""
    (out / "run.json").unlink(missing_ok=True)  # of a run that ended before its first step
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    _save_last(out, loop, Progress(), [])
    made = experiment.recipe, experiment.sizes, experiment.words
    write_run(out, name, made, origin, experiment.store.path / BACKBONE, conditions)


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
    with stop_on_signal() as stopped, view.bar:
        while not (_is_over(progress, recipe) or _is_out_of_time(progress, rows, loop.minutes)):
            best = progress.best
            with _logged_failure(rows, out):
                _epoch(loop, progress, rows, view, stopped, out)
                view.scoring()
                _end_epoch(loop, task, experiment, progress, rows, out)
            view.epoch(rows[-1], best)
            with _logged_failure(rows, out):
                loop.watchdog.refuse_lost()
            if time.monotonic() - drawn > DRAW_EVERY_SECONDS:
                _draw(out, rows)
                drawn = time.monotonic()
    _draw(out, rows)


@contextmanager
def _logged_failure(rows: Rows, out: Path) -> Iterator[None]:
    """Note in the log why training ended before its time: who uses the kept weights is told."""
    try:
        yield
    except SaccadeError as error:
        if rows:
            finding = TrainingFinding("stopped", f"training stopped: {error.message}", error.hint)
            rows[-1].setdefault("findings", []).append(finding._asdict())
            _write_log(out, rows)
        raise


def _write_log(out: Path, rows: Rows) -> None:
    write_text(out / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def _saved(out: Path) -> tuple[Progress, Rows]:
    """Progress and log of a run as it was saved last, with its best weights there and whole.

    Raises BadRun.
    """
    hint = "Copy it again from where it came, or train again."
    try:
        state = json.loads(read_metadata(out / LAST)["progress"])
        progress = TypeAdapter(Progress).validate_python(state["progress"])
        rows = checked_log(state["log"], out / LAST)
    except ValidationError as error:
        message = f"the saved state cannot be read: {first_problem(error, 'the whole')}"
        raise BadRun(message, location=out / LAST, hint=hint) from None
    except (LookupError, TypeError, ValueError, RecursionError):
        message = "holds no state of a training"
        raise BadRun(message, location=out / LAST, hint=hint) from None
    if rows:
        load_tensors(out / WEIGHTS)  # no later epoch may be better, so they must be there
    return progress, rows


def _load_last(out: Path, loop: TrainingLoop) -> None:
    """Put back weights, moments and random state. Raises BadRun where they are another model's."""
    try:
        state = load_state(out / LAST, loop.model.module, loop.optimiser.optimizer, loop.average)
        if scale := state.get("precision"):
            loop.fabric.strategy.precision.load_state_dict(scale)
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        message = f"is no state of this run ({str(error).splitlines()[0][:200]})"
        hint = "Copy it again from where it came, or train again."
        raise BadRun(message, location=out / LAST, hint=hint) from None


def _best(rows: Rows) -> dict[str, Any]:
    """The row of the best epoch, whose weights are kept."""
    return max(rows, key=selection_score)


def _over(progress: Progress, recipe: Recipe, out: Path) -> str:
    """What is told of a finished run that is to be resumed."""
    epochs, patience = recipe.train.epochs, recipe.train.patience
    done = f"{out} is finished, and nothing was trained: {progress.epoch} epochs are done"
    if recipe.train.steps is not None and progress.step >= recipe.train.steps:
        start = "Begin another run with its weights: --from, and another --out."
        return f"{done} and {progress.step} steps, and train.steps is {recipe.train.steps}. {start}"
    if progress.epoch >= epochs:
        more = 2 * progress.epoch
        return f"{done} and train.epochs is {epochs}. Go on with --set train.epochs={more}."
    if not _is_over(progress, recipe):
        return f"{done}, and its minutes are over. Go on with more --minutes."
    return (
        f"{done}, the last {progress.epochs_since_improvement} without a better score, and "
        f"train.patience is {patience}. Go on with --set train.patience=none."
    )


def _about_length(run: OpenedRun | None, recipe: Recipe) -> Iterator[str]:
    """What it means that a resumed run ends at another time than it was to end at."""
    for field, (old, new) in changed_settings(run.header.recipe, recipe).items() if run else ():
        yield (
            f"{field} was {old} and is now {new}. The schedule ({recipe.train.schedule.kind}) "
            "counts from the start, so the run equals one that had this value all along."
        )


def _print(console: Console, line: str) -> None:
    console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _origin(experiment: Experiment, start: Path | None, findings: Sequence[Finding] = ()) -> Origin:
    """What a run notes of where it comes from; `start` is the run that it begins with."""
    store, folder = experiment.store, experiment.folder
    return Origin(
        store.header,
        store.path.name,
        str(folder.path.resolve()),
        folder.fingerprint,
        as_parent(start) if start else None,
        experiment.revision if experiment.recipe.answers else None,
        tuple(findings),
    )


def _about_words(recipe: Recipe, experiment: Experiment) -> Iterator[str]:
    """What tokenizer and answer list make of questions and answers, where it is to be known."""
    given, taken = recipe.text.tokenizer, experiment.recipe.text.tokenizer
    folder, answers = experiment.folder, experiment.words.answers
    if answers is None:
        return
    if given != taken:
        yield f"Questions are cut by tokenizer {taken}: {given} is not made for their script."
    elif taken in TOKENIZERS and (count := folder.misfits(taken)):
        yield f"Tokenizer {taken} is not made for the script of {count:,} training questions."
    if answers.merged and (merged := merged_spellings(folder.answer_counts())):
        some = "; ".join(merged[:3])
        yield f"{len(merged):,} groups of answers differ by marks, and are one: {some}."


def _about_views(experiment: Experiment, views: Views) -> Iterator[str]:
    """Which views of the images are shown, and how many examples show no mirrored ones."""
    if views.mirrorable is None:
        return
    store, never = experiment.store, views.never_mirrored
    flips = bool(store.mirrored(np.arange(store.views)).any())
    yield f"Each epoch shows one of {store.views} views of an image, drawn at random" + (
        f"; {never:,} of {len(views.mirrorable):,} examples are never mirrored."
        if flips
        else "; none is mirrored."
    )


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


def training_of(recipe: Recipe) -> TrainConfig:
    """A recipe's training settings; rules name the weights as they are called behind an encoder."""
    config, encoder = recipe.train, recipe.encoder
    if encoder is None:
        return config
    rules = {f"model.{prefix}": rule for prefix, rule in config.rules.items()}
    if encoder.learning_rate is not None:
        rate = encoder.learning_rate / config.optimiser.learning_rate
        rules["encoder."] = WeightRule(rate=rate)
    return config.model_copy(update={"rules": rules})


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
    for _ in loop.epoch(progress):
        view.step(progress)
        if stopped or time.monotonic() - saved > SAVE_EVERY_SECONDS:
            loop.accumulate_losses(progress)
            _save_last(out, loop, progress, rows)
            saved = time.monotonic()
        if stopped:
            _draw(out, rows)
            raise KeyboardInterrupt
        if _is_out_of_time(progress, rows, loop.minutes):
            loop.accumulate_losses(progress)
            return


def _row(
    loop: TrainingLoop, task: Task, experiment: Experiment, progress: Progress, rows: Rows
) -> tuple[dict[str, Any], ScoredExamples]:
    """Score the model on the validation split: the row of the epoch that ends, for the log, and
    what was scored."""
    recipe, info = experiment.recipe, TASK_INFO[experiment.recipe.task]
    start, smoothing = time.perf_counter(), recipe.train.select_smoothing
    metric = recipe.train.select_by or info.default_metric  # chooses the best epoch
    beam_size = recipe.decode.validation_beam_size if recipe.decode else None
    metrics = tuple(dict.fromkeys((metric, *info.epoch_metrics)))
    options = ScoreOptions(metrics, beam_size, experiment.revision)
    scored, without = _validate(loop, task, experiment, options, metric)
    score = selected_score(scored, metric)
    chooses: dict[str, Any] = {}
    if smoothing:
        raw = [*(row["score"] for row in rows), score]
        interval = score_interval(scored, metric)
        chooses = {"smoothed_score": smoothed(raw, smoothing), "interval": interval}
    row: dict[str, Any] = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "loss": progress.mean_loss,
        "train_metric": train_metric(recipe).title,
        "train_score": 100 * progress.train_score / progress.train_scored,
        "metric": metric,
        "score": score,
        **chooses,
        **({} if without is None else {"score_without_image": without}),
        "scores": measured(scored),
        "learning_rate": loop.optimiser.param_groups[0]["lr"],
        "examples_per_second": progress.examples / progress.seconds,
        "waiting": progress.waited / progress.seconds,
        "seconds": progress.seconds,
        "seconds_scoring": time.perf_counter() - start,
    }
    return row, scored


def _validate(
    loop: TrainingLoop, task: Task, experiment: Experiment, options: ScoreOptions, metric: str
) -> tuple[ScoredExamples, float | None]:
    """Score the model on the validation split. One that has an answer prior is scored without its
    image, too, and answers by the prior alone unless the image makes it better; the second value
    is the prior's score.
    """

    def score() -> ScoredExamples:
        with loop.fabric.autocast():
            device = loop.fabric.device
            return task.score_model(loop.validated, experiment, "val", device, options)

    share: Tensor | None = getattr(without_encoder(loop.validated), "image_share", None)
    if share is None:
        return score(), None
    share.fill_(0)
    prior = score()
    share.fill_(1)
    scored, without = score(), selected_score(prior, metric)
    if selected_score(scored, metric) > without:
        return scored, without
    share.fill_(0)
    return prior, without


def smoothed(scores: Sequence[float], decay: float) -> float:
    """The moving mean of scores, the last one weighs most. Equal scores have themselves as mean."""
    mean = 0.0
    for number, score in enumerate(scores, start=1):
        mean += (score - mean) * ((1 - decay) / (1 - decay**number))
    return mean


def _end_epoch(
    loop: TrainingLoop,
    task: Task,
    experiment: Experiment,
    progress: Progress,
    rows: Rows,
    out: Path,
) -> None:
    """Score the model, keep it if it is the best, add a row to the log, and save all of it."""
    config, recipe, model = loop.config, experiment.recipe, loop.validated
    row, scored = _row(loop, task, experiment, progress, rows)
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
    progress.loss = progress.train_score = progress.seconds = progress.waited = 0.0
    if progress.epoch == _epochs_without_encoder(recipe):
        progress.epochs_since_improvement = 0  # the encoder trains from now on: patience is new
    rows.append(row)
    is_last = _is_over(progress, recipe)
    loop.watchdog.epoch(rows, scored, experiment.folder, is_last=is_last)
    row["findings"] = loop.watchdog.take()
    _write_log(out, rows)
    _save_last(out, loop, progress, rows)


def _draw(out: Path, rows: list[dict[str, Any]]) -> None:
    """Draw the log so far; without an epoch there is nothing to draw."""
    from saccade.viz.plots import curves  # noqa: PLC0415  Matplotlib would delay the start

    if rows:
        write_bytes(out / "curves.png", curves(rows))


def _is_over(progress: Progress, recipe: Recipe) -> bool:
    """Whether all epochs or steps are done, or so many epochs without a better score that training
    stops. A run that was stopped within an epoch, be it behind its last step, is not over."""
    config = recipe.train
    done = progress.epoch >= config.epochs
    done |= config.steps is not None and progress.step >= config.steps
    waited = config.patience is not None and progress.epochs_since_improvement >= config.patience
    fair = progress.epoch >= _epochs_without_encoder(recipe) and progress.step >= config.min_steps
    return progress.batch == 0 and (done or (waited and fair))


def _is_out_of_time(progress: Progress, rows: Rows, minutes: float | None) -> bool:
    """Whether training and scoring took the minutes that a run may take."""
    seconds = sum(row["seconds"] + row["seconds_scoring"] for row in rows) + progress.seconds
    return minutes is not None and seconds >= 60 * minutes


def was_cut_short(out: Path, minutes: float | None) -> bool:
    """Whether a run ended since its minutes were over, before what its recipe calls its end."""
    progress, rows = _saved(out)
    out_of_time = _is_out_of_time(progress, rows, minutes)
    return out_of_time and not _is_over(progress, open_run(out).header.recipe)


def _epochs_without_encoder(recipe: Recipe) -> int:
    """Epochs in which the model is trained and its encoder is not."""
    return recipe.encoder.first_epoch if recipe.encoder else 0


def _save_last(out: Path, loop: TrainingLoop, progress: Progress, rows: Rows) -> None:
    precision = loop.fabric.strategy.precision.state_dict()  # the scale of losses in 16-mixed
    state = {"progress": asdict(progress), "log": rows, "precision": precision}
    save_state(out / LAST, loop.model.module, loop.optimiser.optimizer, state, loop.average)
