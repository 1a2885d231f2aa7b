"""Training loop: its progress, one epoch, one step, and the state that an exact resume needs."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from saccade.config import Recipe, TrainConfig, WeightRule
from saccade.core.tensors import load_tensors, save_tensors
from saccade.data.batch import CaptionBatch, VqaBatch
from saccade.data.examples import Examples, batches, epoch_order
from saccade.models.encoder import EncodedModel
from saccade.training import optim
from saccade.training.averaging import update_average
from saccade.training.labels import count_answers
from saccade.training.loggers import Reporter
from saccade.training.objectives import Objective, Shares, StepResult
from saccade.training.watchdog import Watchdog, not_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def accumulate_every(device: torch.device) -> int:
    """After how many steps their results are waited for: a CPU has each at once, on a GPU waiting
    costs more than a step."""
    return 10 if device.type == "cuda" else 1


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


class RunLength(NamedTuple):
    """How long a run is at most, patience aside."""

    steps_per_epoch: int
    steps: int
    epochs: int
    """The last one may be cut short."""


def run_length(config: TrainConfig, examples: int) -> RunLength:
    """The length of a run on that many examples."""
    batches_per_epoch = -(-examples // config.batch_size)
    steps_per_epoch = -(-batches_per_epoch // config.accumulate)
    steps = config.epochs * steps_per_epoch
    if config.steps is not None:
        steps = min(steps, config.steps)
    return RunLength(steps_per_epoch, steps, -(-steps // steps_per_epoch))


@dataclass
class Progress:
    """Counters of a run; with weights, optimiser and random state an exact resume."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches of the current epoch finished."""
    step: int = 0
    """Steps of the optimiser altogether."""
    decays: int = 0
    """How often the plateau schedule has lowered the learning rate."""
    epochs_since_improvement: int = 0
    """Epochs since the best score."""
    best: float = -math.inf
    loss: float = 0.0
    """Sum over the current epoch's examples, less the `pending` ones."""
    examples: int = 0
    """Examples of the current epoch so far."""
    pending: int = 0
    """Those of them whose losses were not waited for yet; 0 in what is saved."""
    train_score: float = 0.0
    """Sum over the current epoch, of what `objectives.StepResult` has; less the pending steps."""
    train_scored: int = 0
    """The number of words, questions or samples in it, with the pending steps."""
    answered: dict[int, list[int]] = field(default_factory=dict)
    """For each answer of the epoch: how often it was predicted rightly, predicted, and true; where
    every question has one human answer. Less the pending steps."""
    seconds: float = 0.0
    """Training time of the current epoch so far."""
    waited: float = 0.0
    """The part of it spent waiting for data."""

    @property
    def mean_loss(self) -> float:
        """Of the examples whose losses are known, which is what a person may be shown."""
        return self.loss / (self.examples - self.pending)


@dataclass
class TrainingLoop:
    """The parts of training that stay the same from step to step."""

    fabric: "Fabric"
    model: Any
    optimiser: Any
    objective: Objective
    config: TrainConfig
    examples: Examples
    shares: Shares
    average: nn.Module | None = None
    """A copy of the model with the moving average of its weights, where the recipe has `ema`."""
    keep_every: int = 0
    """Epochs between the checkpoints that are kept beside the best weights; 0 keeps none."""
    minutes: float | None = None
    """Of training and validation, after which the run ends as after its last epoch."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    reporter: Reporter = field(default_factory=Reporter)
    results: list[Tensor] = field(default_factory=list)
    """Loss and training score of the last few batches, each (2,), not yet waited for."""
    answered: list[Tensor] = field(default_factory=list)
    """Of the same batches `StepResult.answered`, where there is one."""

    @cached_property
    def length(self) -> RunLength:
        """How long the run is at most."""
        return run_length(self.config, len(self.examples.image))

    @property
    def validated(self) -> nn.Module:
        """The model whose weights are validated and kept."""
        module: nn.Module = self.model.module
        return module if self.average is None else self.average

    def epoch(self, progress: Progress) -> Iterator[None]:
        """Train for the rest of the current epoch, or of the run; yields after every step."""
        config = self.config
        image, each = self.examples.image, config.samples_per_image
        self.examples.start_epoch(config.seed, progress.epoch)
        order = epoch_order(image, each, config.seed, progress.epoch)
        workers, pin = config.workers, self.fabric.device.type == "cuda"
        every = accumulate_every(self.fabric.device)
        begin, size = progress.batch, config.batch_size
        data = batches(self.examples, order, size, skip=begin, workers=workers, pin=pin)
        if isinstance(self.model.module, EncodedModel):
            self.model.module.start_epoch(progress.epoch)
        self.model.train()
        start = time.perf_counter()
        while progress.step < self.length.steps:
            group = list(islice(data, config.accumulate))
            if not group:
                break
            waited = time.perf_counter() - start
            for batch, result in zip(group, self.step(group, progress), strict=True):
                # Of one type, so that a single copy brings both from the device.
                sums = (result.loss.detach() * len(batch)).float(), result.score.float()
                self.results.append(torch.stack(sums))
                self.answered += [] if result.answered is None else [result.answered]
                progress.examples += len(batch)
                progress.pending += len(batch)
                progress.train_scored += result.scored
            progress.batch += len(group)
            progress.step += 1
            progress.waited += waited
            # The first step at once, then ever more of them: a short epoch has a loss to show, too.
            if len(self.results) >= min(every, max((progress.batch - begin) // 2, 1)):
                self.accumulate_losses(progress)
            progress.seconds += time.perf_counter() - start
            start = time.perf_counter()
            yield
        self.accumulate_losses(progress)

    def step(
        self, group: Sequence[VqaBatch | CaptionBatch], progress: Progress
    ) -> list[StepResult]:
        """One step of the optimiser, on some batches as if they were one. Returns what it measured
        of each, without waiting for the device."""
        step = progress.step
        schedule_state = optim.ScheduleState(
            step, progress.epoch, progress.decays, self.length.steps
        )
        optim.set_learning_rate(self.optimiser, self.config, schedule_state)
        self.optimiser.zero_grad(set_to_none=True)
        results = list[StepResult]()
        for batch, share in zip(group, self.shares(group), strict=True):
            with self.fabric.autocast():  # an objective may call more of a model than `forward`
                result = self.objective(self.model, batch.to(self.fabric.device), schedule_state)
            self.fabric.backward(result.loss * share)
            results.append(result._replace(loss=result.loss.detach()))
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        if scaler is not None:  # 16-mixed: gradients are clipped, and decay is added, in true size
            scaler.unscale_(self.optimiser.optimizer)
        self.watchdog.gradient(self.model.module, step)
        optim.clip_gradients(self.model.module, self.config)
        self.optimiser.step()
        optim.constrain_weights(self.model.module, self.optimiser, self.config)
        if self.average is not None and self.config.ema is not None:
            update_average(self.average, self.model.module, self.config.ema, step)
        return results

    def accumulate_losses(self, progress: Progress) -> None:
        """Wait for the results of the last steps and add them up.

        Raises BadStore or BadRun for NaN, BadRun where the watchdog gives the run up.
        """
        before = progress.loss
        for loss, score in torch.stack(self.results).tolist() if self.results else []:
            if not math.isfinite(loss):
                raise not_finite(self, progress, loss)
            progress.loss += loss
            progress.train_score += score
        if self.answered:
            count_answers(progress.answered, torch.cat(self.answered, dim=1).tolist())
            self.answered.clear()
        if progress.pending:
            self.watchdog.loss((progress.loss - before) / progress.pending, progress.step)
        progress.pending = 0
        self.results.clear()


def save_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Mapping[str, Any],
    average: nn.Module | None = None,
) -> None:
    """Write what an exact resume needs into one file: weights, their average, moments, random
    state, progress."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, {"progress": json.dumps(progress)})


def load_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: nn.Module | None = None,
) -> dict[str, Any]:
    """Put back what `save_state` wrote, and return its progress."""
    tensors, metadata = load_tensors(path)
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "random": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        if kind == "optimiser":
            index, _, name = name.partition(".")
            moments.setdefault(int(index), {})[name] = value
        else:
            groups[kind][name] = value
    model.load_state_dict(groups["model"])
    if average is not None:
        average.load_state_dict(groups["average"])
    settings = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": settings})
    for parameter, kept in optimiser.state.items():
        for name, value in kept.items():
            if value.ndim > 1:  # the memory layout of the weight: fused steps rely on it
                kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    torch.set_rng_state(groups["random"]["cpu"])
    if "cuda" in groups["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(groups["random"]["cuda"])
    progress: dict[str, Any] = json.loads(metadata["progress"])
    return progress
