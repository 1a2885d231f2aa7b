"""The one training loop, written out, for every model and both tasks.

Fabric brings devices and precision; order, schedule, judging, saving and resuming stand here.
After each epoch the model is judged on the validation split by what it says on its own (never
teacher-forced), the best weights are kept, and `last/` holds what an exact resume needs.
"""

import copy
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from rich.console import Console
from torch import nn

from saccade.config import Recipe, ReduceOnPlateau, TrainConfig
from saccade.core.console import stop_on_signal
from saccade.core.errors import BadData, BadRun
from saccade.core.files import refuse_small_disk, write_bytes, write_text
from saccade.data.examples import epoch_order
from saccade.data.folder import DataFolder
from saccade.evaluation.tasks import TASKS, Task
from saccade.experiment import assemble
from saccade.models.encoder import Pixels
from saccade.run_folder import Experiment, create_run, open_run, save_tensors, training_of
from saccade.training.initialise import fresh_model, initialise
from saccade.training.loop import Progress, TrainingLoop, load_state, save_state
from saccade.training.objectives import objective_for
from saccade.training.optim import make_optimiser
from saccade.training.progress import TrainingView, estimate
from saccade.viz.plots import curves

SAVE_EVERY_SECONDS = 600.0


def train(  # noqa: PLR0913  each is something a person may want to say
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    name: str = "custom",
    features: str | None = None,
    start: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    console: Console | None = None,
) -> dict[str, Any]:
    """Train a recipe on a data folder; returns the validation scores of the best epoch.

    `features` names a store of the data folder (needed only where there are several). `start` is
    an earlier run, of the same model and words, whose best weights this one begins with. With
    `resume` the run in `out` goes on exactly where it was saved last: same order, same random
    numbers, same weights as if it had never stopped. Raises BadRun where `out` holds a run already
    and `resume` is not given, BadData or BadStore where the data cannot be trained on.
    """
    experiment = assemble(recipe, DataFolder(data), features)
    task = TASKS[recipe.task]
    examples = task.examples(experiment, "train")
    if not len(examples):
        raise BadData(
            "no training example is left", location=data, hint=f"Left out: {examples.left_out}."
        )
    task.ground_truth(experiment.folder, "val")
    _check_out(out, experiment, resume)
    view = TrainingView(console or Console(), recipe, examples)
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.train.precision)
    config = training_of(recipe)
    model, optimiser = _begin(fabric, fresh_model(experiment, start=start, resume=resume), config)
    objective = objective_for(recipe, examples)
    trial = examples.batch(epoch_order(examples.image, None, 0, 0)[: recipe.train.batch_size])
    price = estimate(_twin(model), trial.to(fabric.device), objective, config.epochs)
    refuse_small_disk(BadRun, out, "the run", price.disk_bytes, "choose another --out")
    progress, rows = Progress(), list[dict[str, Any]]()
    if resume:
        state = load_state(out / "last" / "state.safetensors", model.module, optimiser.optimizer)
        progress, rows = Progress(**state["progress"]), state["log"]
    else:
        initialise(model.module, experiment, examples, start, view.say)
        create_run(out, name, experiment, start)
    view.show_estimate(price)
    fitting = TrainingLoop(fabric, model, optimiser, objective, config, examples)
    with stop_on_signal() as stopped, view:
        while progress.epoch < config.epochs and not _give_up(progress, recipe):
            saved = time.monotonic()
            for _ in fitting.epoch(progress):
                view.step(progress)
                if stopped or time.monotonic() - saved > SAVE_EVERY_SECONDS:
                    fitting.accumulate_losses(progress)
                    _save_last(out, model, optimiser, progress, rows)
                    saved = time.monotonic()
                if stopped:
                    raise KeyboardInterrupt
            rows.append(_end_epoch(fitting, task, experiment, progress, out))
            write_text(out / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
            write_bytes(out / "curves.png", curves(rows))
            _save_last(out, model, optimiser, progress, rows)
            view.epoch(rows[-1], progress.best)
    return max(rows, key=lambda row: row["score"])["scores"]  # type: ignore[no-any-return]


def _begin(fabric: Fabric, model: nn.Module, config: TrainConfig) -> tuple[Any, Any]:
    """A model and its optimiser, on their device."""
    return fabric.setup(model, make_optimiser(model, config))  # type: ignore[no-any-return]


def _twin(model: Any) -> nn.Module:
    """A copy to measure the price of a step on: of the dearest, where an encoder learns later."""
    twin: nn.Module = copy.deepcopy(model.module)
    if isinstance(twin, Pixels):
        twin.start_epoch(twin.config.first_epoch)
    return twin


def _check_out(out: Path, experiment: Experiment, resume: bool) -> None:
    """Refuse to write over a run, or to go on with another recipe or other data."""
    begun = (out / "run.json").exists()
    if not resume:
        if begun:
            raise BadRun(
                "there is a run already",
                location=out,
                hint="Go on with it by --resume, or choose another --out.",
            )
        return
    header = open_run(out).header
    if header.recipe != experiment.recipe:
        raise BadRun(
            "the run was begun with other settings",
            location=out,
            hint="Resume with the same recipe and --set options (see run.json).",
        )
    if (
        header.fingerprint != experiment.folder.fingerprint
        or header.store != experiment.store.header
    ):
        raise BadRun(
            "the run was begun on other data or features",
            location=out,
            hint=f"Resume with the data folder it was begun on: {header.data}",
        )


def _end_epoch(
    fitting: TrainingLoop, task: Task, experiment: Experiment, progress: Progress, out: Path
) -> dict[str, Any]:
    """Judge the model, keep it if it is the best, and turn the page."""
    config, model = fitting.config, fitting.model.module
    begin = time.perf_counter()
    decode = experiment.recipe.decode
    with fitting.fabric.autocast():
        scored = task.score_split(
            model,
            experiment,
            "val",
            fitting.fabric.device,
            beam_size=decode.validation_beam_size if decode else None,
        )
    metric = experiment.recipe.train.select_by or task.metric
    score = scored.scores[metric]
    row = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "loss": progress.loss / progress.examples,
        "metric": metric,
        "score": score,
        "scores": scored.scores,
        "learning_rate": fitting.optimiser.param_groups[0]["lr"],
        "examples_per_second": progress.examples / progress.seconds,
        "waiting": progress.waited / progress.seconds,
        "seconds": progress.seconds,
        "seconds_scoring": time.perf_counter() - begin,
    }
    if score > progress.best:
        progress.best, progress.epochs_since_improvement = score, 0
        save_tensors(out / "model.safetensors", model.state_dict(), {"epoch": str(row["epoch"])})
    else:
        progress.epochs_since_improvement += 1
        if (
            isinstance(config.schedule, ReduceOnPlateau)
            and not progress.epochs_since_improvement % config.schedule.patience
        ):
            progress.decays += 1
    progress.epoch += 1
    progress.batch = progress.examples = 0
    progress.loss = progress.seconds = progress.waited = 0.0
    if progress.epoch == _alone(experiment.recipe):
        progress.epochs_since_improvement = (
            0  # with an encoder that learns, a new search for the best begins
        )
    return row


def _give_up(progress: Progress, recipe: Recipe) -> bool:
    patience = recipe.train.patience
    tired = patience is not None and progress.epochs_since_improvement >= patience
    return tired and progress.epoch >= _alone(recipe)


def _alone(recipe: Recipe) -> int:
    """So many epochs the model learns without its encoder."""
    return recipe.encoder.first_epoch if recipe.encoder else 0


def _save_last(
    out: Path, model: Any, optimiser: Any, progress: Progress, rows: list[dict[str, Any]]
) -> None:
    state = {"progress": asdict(progress), "log": rows}
    save_state(out / "last" / "state.safetensors", model.module, optimiser.optimizer, state)
