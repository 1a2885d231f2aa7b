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
from saccade.training.distributed import World
from saccade.training.labels import count_answers
from saccade.training.loggers import Reporter
from saccade.training.objectives import Counts, Objective, Shares, StepResult
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
    world: World = field(default_factory=World)
    average: nn.Module | None = None
    """A copy of the model with the moving average of its weights, where the recipe has `ema`."""
    keep_every: int = 0
    """Epochs between the checkpoints that are kept beside the best weights; 0 keeps none."""
    minutes: float | None = None
    """Of training and validation, after which the run ends as after its last epoch."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    reporter: Reporter = field(default_factory=Reporter)
    results: list[Tensor] = field(default_factory=list)
    """Loss and training score of the last few batches, each (2,), not yet waited for; of several
    processes each has its part."""
    scored: int = 0
    """The number of predictions in these scores."""
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
        part = self.world.rank, self.world.size
        data = batches(self.examples, order, size, skip=begin, workers=workers, pin=pin, part=part)
        if isinstance(self.model.module, EncodedModel):
            self.model.module.start_epoch(progress.epoch)
        self.model.train()
        start = time.perf_counter()
        while progress.step < self.length.steps:
            group = list(islice(data, config.accumulate))
            if not group:
                break
            waited = time.perf_counter() - start
            own, whole = self.counts(group, progress)
            results = self.step(group, own, whole, progress)
            for counts, result in zip(whole, results, strict=True):
                # Of one type, so that a single copy brings both from the device.
                sums = (result.loss * counts.examples).float(), result.score.float()
                self.results.append(torch.stack(sums))
                progress.examples += counts.examples
                progress.pending += counts.examples
                self.scored += result.scored
                self.answered += [] if result.answered is None else [result.answered]
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

    def counts(
        self, group: Sequence[VqaBatch | CaptionBatch], progress: Progress
    ) -> tuple[list[Counts], list[Counts]]:
        """The counts of this process's parts of some batches, and of the whole batches."""
        own = [self.shares.count(batch) for batch in group]
        if self.world.size == 1:
            return own, own
        for number in range(len(group)):
            begin = (progress.batch + number) * self.config.batch_size
            if begin + self.world.rank >= len(self.examples.image):  # a part that is none
                own[number] = Counts(0, 0, 0)
        sums = self.world.sum(torch.tensor(own)).tolist()
        return own, [Counts(*one) for one in sums]

    def step(
        self,
        group: Sequence[VqaBatch | CaptionBatch],
        own: Sequence[Counts],
        whole: Sequence[Counts],
        progress: Progress,
    ) -> list[StepResult]:
        """One step of the optimiser, on some batches as if they were one: on `own` parts of the
        `whole` ones. Returns what it measured of each, without waiting for the device."""
        step = progress.step
        schedule_state = optim.ScheduleState(
            step, progress.epoch, progress.decays, self.length.steps
        )
        optim.set_learning_rate(self.optimiser, self.config, schedule_state)
        self.optimiser.zero_grad(set_to_none=True)
        results = list[StepResult]()
        shares = self.shares.of_batches(whole)
        for batch, share, part, counts in zip(group, shares, own, whole, strict=True):
            with self.fabric.autocast():  # an objective may call more of a model than `forward`
                result = self.objective(self.model, batch.to(self.fabric.device), schedule_state)
            loss = result.loss
            if self.world.size > 1:
                loss = self.shares.of_part(result, part, counts)
                result = result if part.examples else nothing_of(result)
            self.fabric.backward(loss * share)
            results.append(result._replace(loss=loss.detach(), penalty=None))
        self.world.sum_gradients(self.model.module)
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
        for loss, score in self._summed_results(progress):
            if not math.isfinite(loss):
                raise not_finite(self, progress, loss)
            progress.loss += loss
            progress.train_score += score
        if self.answered:
            for answered in self.world.from_all(torch.cat(self.answered, dim=1).tolist()):
                count_answers(progress.answered, answered)
            self.answered.clear()
        if progress.pending:
            self.watchdog.loss((progress.loss - before) / progress.pending, progress.step)
        progress.pending = 0
        self.results.clear()

    def _summed_results(self, progress: Progress) -> list[tuple[float, float]]:
        """Loss and training score of the last batches, of all processes together."""
        if not self.results:
            return []
        found = torch.stack(self.results).double().cpu()
        scored = torch.tensor([self.scored], dtype=found.dtype)
        *sums, count = self.world.sum(torch.cat([found.flatten(), scored])).tolist()
        progress.train_scored += int(count)
        self.scored = 0
        return list(zip(sums[::2], sums[1::2], strict=True))


def nothing_of(result: StepResult) -> StepResult:
    """What was measured of a part of a batch that has no examples, and was computed on others."""
    answered = None if result.answered is None else result.answered[:, :0]
    return result._replace(score=result.score * 0, scored=0, answered=answered)


def random_state() -> dict[str, Tensor]:
    """The state of the random numbers that this process draws."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def save_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Mapping[str, Any],
    average: nn.Module | None = None,
    random: Sequence[Mapping[str, Tensor]] = (),
) -> None:
    """Write what an exact resume needs into one file: weights, their average, moments, random
    state (by default this process's, else of all that train together), progress."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
    for rank, state in enumerate(random or [random_state()]):
        prefix = f"random.{rank}." if rank else "random."
        tensors |= {f"{prefix}{kind}": value for kind, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, {"progress": json.dumps(progress)})


def load_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: nn.Module | None = None,
    rank: int = 0,
) -> dict[str, Any]:
    """Put back what `save_state` wrote, random state of the process `rank`; return its progress."""
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
    prefix, random = f"{rank}." if rank else "", groups["random"]
    torch.set_rng_state(random[f"{prefix}cpu"])
    if f"{prefix}cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state(random[f"{prefix}cuda"])
    progress: dict[str, Any] = json.loads(metadata["progress"])
    return progress
