"""Probes of a run before its first step: its settings by arithmetic, and the real model by trying.

`probe` trains a copy of the model on 64 examples. What it finds are warnings: a run that cannot
recover is stopped by the watchdog, which sees the whole of it.
"""

import copy
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saccade.checks.catalogue import finding
from saccade.config import (
    Adam,
    AdamConfig,
    Recipe,
    ReduceOnPlateau,
    RmsProp,
    TrainConfig,
)
from saccade.data.batch import Batch, CaptionBatch, VqaBatch
from saccade.data.checks import Finding
from saccade.data.examples import epoch_order
from saccade.models.encoder import EncodedModel
from saccade.training import optim
from saccade.training.loop import TrainingLoop, run_length
from saccade.training.objectives import loss_for
from saccade.training.progress import Estimate
from saccade.training.watchdog import RATE, Watchdog, lower_rate, uniform_loss

EXAMPLES, STEPS = 64, 100
"""A model that can learn anything learns so many examples by heart in so many steps."""
ENOUGH = 0.2
"""Share of the loss that a run must be able to take away: in those steps, or where it is longer
than `LONG` of them, extrapolated to the whole of it."""
LONG = 1000
MIN_STEPS = 20
"""A probe of fewer steps says nothing; a model too slow for them is not tried."""
SECONDS, SHARE, SHORT_SHARE = 5.0, 0.02, 0.2
"""A probe may take `SHARE` of the run or so many seconds, but not more than `SHORT_SHARE` of it."""
DEAD = 1e-3
"""A learning rate that is so small a share of its peak trains nothing any more."""
LEAST_PEAK = 0.1
SMALLEST_PATH = 1e-5
"""A weight of 0.1 in float32 that moves by less than this in a whole run is the same afterwards."""
STANDARD = Adam()


def set_watchdog(
    loop: TrainingLoop,
    recipe: Recipe,
    cost: Estimate,
    rows: Sequence[Mapping[str, Any]],
    say: Callable[[str], object],
) -> None:
    """Give a loop its watchdog, which tells what can be told before the first step.

    A resumed run, of which the log has `rows`, is not tried again, nor told the same twice.
    """
    # One number for all processes, so that all judge alike.
    loop.watchdog = Watchdog(loop.config, loop.world.from_first(lambda: uniform_loss(loop)), say)
    if not loop.world.is_first:
        return
    loop.watchdog.told = {one["name"] for row in rows for one in row.get("findings", ())}
    loop.watchdog.warn(setting_findings(loop.config, len(loop.examples.image)))
    if not rows:
        loop.watchdog.warn(model_findings(loop, recipe, cost))


def model_findings(loop: TrainingLoop, recipe: Recipe, cost: Estimate) -> list[Finding]:
    """What `probe` finds in the time that a run of this `cost` can spare; none of a short one."""
    config = loop.config
    steps = run_length(config, len(loop.examples.image)).steps
    in_all = steps * cost.seconds_per_step
    seconds = max(SHARE * in_all, min(SECONDS, SHORT_SHARE * in_all))
    needed = MIN_STEPS * cost.seconds_per_step * EXAMPLES / config.batch_size
    if steps < STEPS or needed > seconds:
        return []
    found = probe(loop.model.module, loop.examples, recipe, config, seconds=seconds)
    return [one for one in found if one.level != "note"]


def setting_findings(config: TrainConfig, examples: int) -> Iterator[Finding]:
    """What is wrong with settings whatever the data is: learning rate, schedule, workers."""
    per_epoch, steps, epochs = run_length(config, examples)
    schedule = config.schedule
    some = np.unique(np.linspace(0, steps - 1, min(steps, 1000)).astype(int))
    states = (optim.ScheduleState(int(n), int(n) // per_epoch, total=steps) for n in some)
    factors = np.array([optim.learning_rate_factor(schedule, state) for state in states])
    peak, field = float(factors.max()), f"train.schedule ({schedule.kind})"
    moves = float(np.ptp(factors)) > DEAD * peak
    if isinstance(schedule, ReduceOnPlateau):
        moves = schedule.patience < epochs - 1  # the first epoch is always the best so far
    if not moves and schedule.kind != "constant" and steps >= STEPS:  # fewer are told by themselves
        message = f"{field} never changes the learning rate in the {steps:,} steps of this run"
        yield finding("schedule-without-effect", message)
    if peak < LEAST_PEAK:
        message = f"{field} never reaches a tenth of the learning rate: at most {peak:.2g} of it in"
        yield finding("warmup-too-long", f"{message} {steps:,} steps")
    alive = some[np.flatnonzero(factors >= DEAD * peak)[-1]] + 1
    if alive <= steps / 2:
        message = f"{field} leaves less than {DEAD:g} of the learning rate after about {alive:,} of"
        yield finding("schedule-dead", f"{message} {steps:,} steps")
    path = config.optimiser.learning_rate * float(factors.mean()) * steps
    by_step = isinstance(config.optimiser, AdamConfig | RmsProp)  # whatever the gradient's size
    if by_step and path < SMALLEST_PATH and peak >= LEAST_PEAK:
        message = f"a learning rate of {config.optimiser.learning_rate:g} moves a weight by "
        message += f"{path:.1g} at most in {steps:,} steps: nothing is learnt"
        hint = f"Raise it: --set {RATE}={type(config.optimiser)().learning_rate:g}."
        yield finding("learning-rate-too-low", message, hint=hint)
    # Not all systems tell which cores a process may use.
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    if config.workers > (cores := len(allowed)):
        message = f"train.workers is {config.workers}, and this machine has {cores} cores"
        hint = f"Set train.workers={max(cores - 1, 0)}."
        yield finding("too-many-workers", message, hint=hint)


def probe(
    model: nn.Module,
    examples: Any,
    recipe: Recipe,
    config: TrainConfig,
    *,
    seconds: float = SECONDS,
) -> list[Finding]:
    """Train a copy of a model on 64 examples for 100 steps, or until it clearly learns.

    `config` is the recipe's training, with rules that name this model's weights. Warns where the
    loss does not fall (and whether it would at another learning rate), where a weight gets no
    gradient, where the output depends neither on the image nor on the question, or on padding. The
    model and the random state are as before. A note says by how much the loss fell, or that the
    model is too slow for `seconds`.
    """
    if config.self_critical is not None:
        why = "self-critical training begins with the weights of another run, which are not here"
        return [finding("model-not-tried", why)]
    rows = epoch_order(examples.image, 1, 0, 0)[:EXAMPLES]
    batch = examples.batch(rows).to(next(model.parameters()).device)
    total = run_length(config, len(examples)).steps
    needed = ENOUGH * min(1.0, LONG / total)
    with torch.random.fork_rng():
        own = _Trial(model, batch, recipe, config)
        own.train(seconds, needed)
        if own.fell(needed):
            return [*own.findings(), finding("model-tried", own.course(), numbers=own.numbers())]
        # Cut short by the clock, it need not have come as far as in all steps.
        on_its_way = own.steps < STEPS and own.fell(needed * own.steps / STEPS)
        if own.steps < min(MIN_STEPS, STEPS) or on_its_way:
            why = f"it made {own.steps} steps in {seconds:.3g} seconds: too few to tell"
            return [finding("model-not-tried", why, numbers=own.numbers())]
        without = config.optimiser.replace(weight_decay=0.0)
        optimisers = [without, STANDARD] if config.optimiser.weight_decay else [STANDARD]
        for optimiser in optimisers:
            other = _Trial(model, batch, recipe, config.replace(optimiser=optimiser))
            other.train(seconds, needed)
            if other.fell(needed):
                break
        return [_not_learnt(own, other, needed), *other.findings()]


def _not_learnt(own: "_Trial", other: "_Trial", needed: float) -> Finding:
    """Why the loss of a few examples does not fall, from what it does by another optimiser."""
    mine, theirs = own.config.optimiser, other.config.optimiser
    message, numbers = own.course(), own.numbers()
    if not other.fell(needed):
        return finding("cannot-learn", message, numbers=numbers)
    if theirs is not STANDARD:
        message += f" with a weight decay of {mine.weight_decay:g}, and to {other.last:.4g} without"
        return finding("weight-decay-too-high", message, numbers=numbers)
    message += f" at a learning rate of {mine.learning_rate:g}, and to {other.last:.4g} by Adam at "
    message += f"{theirs.learning_rate:g}"
    if mine.learning_rate > theirs.learning_rate:
        hint = lower_rate(own.config)
        return finding("learning-rate-too-high", message, hint=hint, numbers=numbers)
    hint = f"Raise it: --set {RATE}={theirs.learning_rate:g}."
    return finding("learning-rate-too-low", message, hint=hint, numbers=numbers)


class _Trial:
    """A copy of a model that is trained on one batch."""

    def __init__(self, model: nn.Module, batch: Any, recipe: Recipe, config: TrainConfig) -> None:
        self.model, self.batch, self.config = copy.deepcopy(model), batch, config
        if isinstance(self.model, EncodedModel):
            self.model.start_epoch(self.model.config.first_epoch)
        self.loss_of, self.steps = loss_for(recipe), 0
        self.first = self.last = self.loss()
        self.uniform = self.loss(flat=True)
        trained = ((n, p) for n, p in self.model.named_parameters() if p.requires_grad)
        self.idle: dict[str, nn.Parameter] = dict(trained)
        """Weights whose gradient was 0 in every step."""

    @torch.no_grad()
    def loss(self, *, flat: bool = False) -> float:
        """The loss without dropout; `flat`, as if all predictions were equally probable."""
        output = self.model.eval()(self.batch)
        if flat:
            output = replace(output, logits=torch.zeros_like(output.logits))
        return float(self.loss_of(output, self.batch))

    def fell(self, share: float) -> bool:
        """Whether the loss fell by this share of what it was, or shows that much was learnt.

        That weights which were worse than equal probabilities came down to them, is no learning.
        """
        return self.last < max((1 - share) * min(self.first, self.uniform), self.uniform / 2)

    def course(self) -> str:
        """What the loss did."""
        message = f"in {self.steps} steps on {len(self.batch)} examples the loss went from "
        return f"{message}{self.first:.4g} to {self.last:.4g}"

    def numbers(self) -> dict[str, float]:
        """The same for programs."""
        return {"steps": self.steps, "first_loss": self.first, "last_loss": self.last}

    def train(self, seconds: float, share: float) -> None:
        """Up to `STEPS` steps at the highest learning rate of the schedule, until the loss fell by
        that share or the time is over."""
        optimiser = optim.make_optimiser(self.model, self.config)
        for group in optimiser.param_groups:
            group["lr"] = self.config.optimiser.learning_rate * group["rate"]
        end = time.monotonic() + seconds
        while self.steps < STEPS and time.monotonic() < end:
            optimiser.zero_grad(set_to_none=True)
            self.loss_of(self.model.train()(self.batch), self.batch).backward()
            seen = [n for n, p in self.idle.items() if p.grad is not None and bool(p.grad.any())]
            for name in seen:
                del self.idle[name]
            optim.clip_gradients(self.model, self.config)
            optimiser.step()
            optim.constrain_weights(self.model, optimiser, self.config)
            self.steps += 1
            if self.steps % 5 == 0:
                self.last = self.loss()
                if self.steps >= MIN_STEPS and self.fell(share):
                    break

    @torch.no_grad()
    def findings(self) -> Iterator[Finding]:
        """What the trained copy does not depend on, or depends on and should not."""
        self.model.eval()
        batch, output = self.batch, self.model(self.batch).logits.float()
        if self.idle:
            message = f"{len(self.idle)} weights get no gradient, such as {min(self.idle)}"
            yield finding("no-gradient", message, examples=sorted(self.idle))
        others = self.model(replace(batch, image=batch.image.roll(1))).logits.float()
        if len(batch.image.unique()) > 1 and _equal(output, others):
            same = bool((batch.regions == batch.regions[:1]).all())
            why = "the features of different images are equal" if same else "the model ignores them"
            hint = "Extract the features again." if same else "It can learn from the words alone."
            message = f"the output does not depend on the image: {why}"
            yield finding("image-without-effect", message, hint=hint)
        if isinstance(batch, VqaBatch):
            yield from self._about_question(batch, output)
        alone = self.model(_last_example(batch)).logits.float()
        if not _equal(_of_last_example(batch, output), alone, 1e-3):
            message = "an example alone has another output than beside others"
            yield finding("padding-has-effect", message)

    def _about_question(self, batch: VqaBatch, output: Tensor) -> Iterator[Finding]:
        others = replace(
            batch,
            question=batch.question.roll(1, 0),
            question_length=batch.question_length.roll(1),
        )
        one_question = len(batch.question.unique(dim=0)) == 1  # as where images are classified
        why = "the model ignores it"
        if len(batch.question.unique()) == 1:
            why = "all its words are the same one to the model"
        elif one_question or not _equal(output, self.model(others).logits.float()):
            return
        message = f"the output does not depend on the question: {why}"
        yield finding("question-without-effect", message)


def _equal(one: Tensor, other: Tensor, tolerance: float = 1e-6) -> bool:
    scale = max(1.0, float(one.abs().max()))
    return float((one - other).abs().max()) <= tolerance * scale


def _last_example(batch: Any) -> Any:
    """The last example of a batch alone, without padding."""
    image = batch.image[-1:]
    regions = int(batch.region_mask[image].sum())
    own: dict[str, Tensor] = {
        "regions": batch.regions[image, :regions],
        "region_mask": batch.region_mask[image, :regions],
        "image": torch.zeros_like(image),
    }
    if isinstance(batch, CaptionBatch):
        length = batch.caption_length[-1:]
        own |= {"caption": batch.caption[-1:, : int(length)], "caption_length": length}
    else:
        length = batch.question_length[-1:]
        own |= {"question": batch.question[-1:, : int(length)], "question_length": length}
        own |= {"answers": batch.answers[-1:], "answer_weights": batch.answer_weights[-1:]}
    return replace(batch, **own)


def _of_last_example(batch: Batch, logits: Tensor) -> Tensor:
    """The part of a batch's output that belongs to its last example."""
    if not isinstance(batch, CaptionBatch):
        return logits[-1:]
    # Packed, time first: of each time the last row, as long as the last caption lasts.
    place = torch.arange(int(batch.caption_length[-1]) - 1, device=logits.device)
    return logits[(place + 1) * len(batch) - 1]
