"""The one training loop, written out, for every model and both tasks.

Fabric brings devices and precision; order, schedule, judging, saving and resuming stand here.
After each epoch the model is judged on the validation split by what it says on its own (never
teacher-forced), the best weights are kept, and `last/` holds what an exact resume needs.
"""

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric import Fabric
from rich.console import Console
from torch import Tensor

from saccade.batch import CaptionBatch, VqaBatch
from saccade.config import Recipe
from saccade.data.datasets import CaptionExamples, VqaExamples, batches, epoch_order
from saccade.data.folder import DataFolder
from saccade.errors import BadData, BadRun
from saccade.losses import Loss, loss_for
from saccade.material import gather
from saccade.models.catalogue import build_model
from saccade.optimisers import (
    Moment,
    make_optimiser,
    set_learning_rate,
    tend_gradients,
    tend_weights,
)
from saccade.pictures.curves import curves
from saccade.pictures.files import write_bytes
from saccade.run import begin_run, load_state, open_run, save_state, save_tensors, write_text
from saccade.tasks import TASKS, Material, Task
from saccade.train_config import OnPlateau, TrainConfig
from saccade.training_view import TrainingView, estimate

SAVE_EVERY_SECONDS = 600.0
SETTLE_EVERY = 10  # steps


@dataclass
class Progress:
    """Where a run stands: with the weights and the random state, all that an exact resume needs."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches of the current epoch finished."""
    step: int = 0
    """Batches finished altogether."""
    decays: int = 0
    """How often the plateau schedule has lowered the learning rate."""
    stale: int = 0
    """Epochs since the best score."""
    best: float = -math.inf
    loss: float = 0.0
    """Sum over the current epoch's examples."""
    examples: int = 0
    """Examples of the current epoch so far."""
    seconds: float = 0.0
    """Training time of the current epoch so far."""
    waited: float = 0.0
    """The part of it spent waiting for data."""


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    name: str = "custom",
    features: str | None = None,
    resume: bool = False,
    device: str = "auto",
    console: Console | None = None,
) -> dict[str, Any]:
    """Train a recipe on a data folder; returns the validation scores of the best epoch.

    `features` names a store of the data folder (needed only where there are several). With
    `resume` the run in `out` goes on exactly where it was saved last: same order, same random
    numbers, same weights as if it had never stopped. Raises BadRun where `out` holds a run already
    and `resume` is not given, BadData or BadStore where the data cannot be trained on.
    """
    material = gather(recipe, DataFolder(data), features)
    task = TASKS[recipe.task]
    examples = task.examples(material, "train")
    if not len(examples):
        raise BadData(
            "no training example is left", where=data, cure=f"Left out: {examples.left_out}."
        )
    _check_out(out, material, resume)
    view = TrainingView(console or Console(), recipe, examples)
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.train.precision)
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe.model, material.sizes)
    optimiser: Any = make_optimiser(model, recipe.train)
    model, optimiser = fabric.setup(model, optimiser)
    progress, rows = Progress(), list[dict[str, Any]]()
    if resume:
        state = load_state(out / "last" / "state.safetensors", model.module, optimiser.optimizer)
        progress, rows = Progress(**state["progress"]), state["log"]
    else:
        begin_run(out, name, material)
    trial = examples.batch(epoch_order(examples.picture, None, 0, 0)[: recipe.train.batch_size])
    loss = loss_for(recipe)
    view.show_estimate(estimate(copy.deepcopy(model.module), trial.to(fabric.device), loss))
    fitting = _Fitting(fabric, model, optimiser, task, loss, recipe.train, examples)
    with _stop_on_signal() as stopped, view:
        while progress.epoch < recipe.train.epochs and not _give_up(progress, recipe.train):
            saved = time.monotonic()
            for _ in fitting.epoch(progress):
                view.step(progress)
                if stopped or time.monotonic() - saved > SAVE_EVERY_SECONDS:
                    fitting.settle(progress)
                    _save_last(out, model, optimiser, progress, rows)
                    saved = time.monotonic()
                if stopped:
                    raise KeyboardInterrupt
            rows.append(_end_epoch(fitting, material, progress, out))
            write_text(out / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
            write_bytes(out / "curves.png", curves(rows))
            _save_last(out, model, optimiser, progress, rows)
            view.epoch(rows[-1], progress.best)
    return max(rows, key=lambda row: row["scores"][task.metric])["scores"]  # type: ignore[no-any-return]


def _check_out(out: Path, material: Material, resume: bool) -> None:
    """Refuse to write over a run, or to go on with another recipe or other data."""
    begun = (out / "run.json").exists()
    if not resume:
        if begun:
            raise BadRun(
                "there is a run already",
                where=out,
                cure="Go on with it by --resume, or choose another --out.",
            )
        return
    header = open_run(out).header
    if header.recipe != material.recipe:
        raise BadRun(
            "the run was begun with other settings",
            where=out,
            cure="Resume with the same recipe and --set options (see run.json).",
        )
    if header.fingerprint != material.folder.fingerprint or header.store != material.store.header:
        raise BadRun(
            "the run was begun on other data or features",
            where=out,
            cure=f"Resume with the data folder it was begun on: {header.data}",
        )


@dataclass
class _Fitting:
    """The pieces of the loop that stay the same from step to step."""

    fabric: Fabric
    model: Any
    optimiser: Any
    task: Task
    loss: Loss
    config: TrainConfig
    examples: VqaExamples | CaptionExamples
    losses: list[Tensor] = field(default_factory=list)
    """Of the last few steps, not yet waited for: on a GPU, waiting costs more than the step."""

    def epoch(self, progress: Progress) -> Iterator[None]:
        """Go through the rest of the current epoch, one step at a time."""
        config = self.config
        order = epoch_order(self.examples.picture, config.per_picture, config.seed, progress.epoch)
        data = batches(
            self.examples,
            order,
            config.batch_size,
            skip=progress.batch,
            workers=config.workers,
            pin=self.fabric.device.type == "cuda",
        )
        self.model.train()
        begin = time.perf_counter()
        for batch in data:
            waited = time.perf_counter() - begin
            self.losses.append(self.step(batch.to(self.fabric.device), progress) * len(batch))
            progress.batch += 1
            progress.step += 1
            progress.examples += len(batch)
            progress.waited += waited
            if len(self.losses) == SETTLE_EVERY:
                self.settle(progress)
            progress.seconds += time.perf_counter() - begin
            begin = time.perf_counter()
            yield
        self.settle(progress)

    def step(self, batch: VqaBatch | CaptionBatch, progress: Progress) -> Tensor:
        """One step: look, compare, learn. Returns the loss, without waiting for it."""
        moment = Moment(progress.step, progress.epoch, progress.decays)
        set_learning_rate(self.optimiser, self.config, moment)
        loss = self.loss(self.model(batch), batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        tend_gradients(self.model.module, self.config)
        self.optimiser.step()
        tend_weights(self.model.module, self.optimiser, self.config)
        return loss.detach()

    def settle(self, progress: Progress) -> None:
        """Wait for the losses of the last steps and add them up. Raises BadData for NaN."""
        for loss in torch.stack(self.losses).tolist() if self.losses else []:
            if not math.isfinite(loss):
                raise BadData(
                    f"the loss became {loss} before step {progress.step}",
                    cure="Lower train.optimiser.learning_rate or clip the gradient; the best "
                    "weights so far are kept.",
                )
            progress.loss += loss
        self.losses.clear()


def _end_epoch(
    fitting: _Fitting, material: Material, progress: Progress, out: Path
) -> dict[str, Any]:
    """Judge the model, keep it if it is the best, and turn the page."""
    task, config, model = fitting.task, fitting.config, fitting.model.module
    begin = time.perf_counter()
    decode = material.recipe.decode
    with fitting.fabric.autocast():
        judged = task.judge(
            model,
            material,
            "val",
            fitting.fabric.device,
            beams=decode.validation_beams if decode else None,
        )
    score = judged.scores[task.metric]
    row = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "loss": progress.loss / progress.examples,
        "metric": task.metric,
        "score": score,
        "scores": judged.scores,
        "learning_rate": fitting.optimiser.param_groups[0]["lr"],
        "examples_per_second": progress.examples / progress.seconds,
        "waiting": progress.waited / progress.seconds,
        "seconds": progress.seconds,
        "seconds_judging": time.perf_counter() - begin,
    }
    if score > progress.best:
        progress.best, progress.stale = score, 0
        save_tensors(out / "model.safetensors", model.state_dict(), {"epoch": str(row["epoch"])})
    else:
        progress.stale += 1
        if isinstance(config.schedule, OnPlateau) and not progress.stale % config.schedule.patience:
            progress.decays += 1
    progress.epoch += 1
    progress.batch = progress.examples = 0
    progress.loss = progress.seconds = progress.waited = 0.0
    return row


def _give_up(progress: Progress, config: TrainConfig) -> bool:
    return config.patience is not None and progress.stale >= config.patience


def _save_last(
    out: Path, model: Any, optimiser: Any, progress: Progress, rows: list[dict[str, Any]]
) -> None:
    state = {"progress": asdict(progress), "log": rows}
    save_state(out / "last" / "state.safetensors", model.module, optimiser.optimizer, state)


@contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """Let the step in progress end before a Ctrl-C or a termination is obeyed."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only there are signals heard
        yield received
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
