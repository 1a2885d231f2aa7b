"""From a recipe's settings to steps: optimisers, learning-rate schedules, care for gradients.

Old codes treat weights one by one (own learning rates, own limits); `TrainConfig.rules` says so by
the beginning of a weight's name, the longest that fits.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from saccade.config import (
    Adam,
    Adamax,
    Exponential,
    InverseSqrt,
    MultiStep,
    ReduceOnPlateau,
    RmsProp,
    Schedule,
    TrainConfig,
    WeightRule,
)
from saccade.core.errors import BadConfig


class ScheduleState(NamedTuple):
    """When a learning rate is asked for."""

    step: int
    """Steps done."""
    epoch: int
    """Epochs done."""
    decays: int = 0
    """How often waiting for a better score was in vain."""


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The recipe's optimiser over every weight, one group for each learning rate.

    In one kernel (`fused`) where torch has one: five times as fast on a CPU. Raises BadConfig for
    a rule that fits no weight.
    """
    names = [name for name, _ in model.named_parameters()]
    for begin in config.rules:
        if not any(name.startswith(begin) for name in names):
            raise BadConfig(
                f"train.rules has a rule for {begin!r}, but no weight's name begins so",
                hint=f"Weights begin with: {', '.join(sorted({n.split('.')[0] for n in names}))}.",
            )
    chosen, rates = config.optimiser, defaultdict[float, list[nn.Parameter]](list)
    for parameter, rule in _ruled(model, config):
        rates[rule.rate].append(parameter)
    groups = [{"params": some, "rate": rate} for rate, some in rates.items()]
    if isinstance(chosen, Adam):
        return torch.optim.Adam(
            groups, chosen.learning_rate, chosen.betas, chosen.epsilon, fused=True
        )
    if isinstance(chosen, Adamax):
        return torch.optim.Adamax(groups, chosen.learning_rate, chosen.betas, chosen.epsilon)
    if isinstance(chosen, RmsProp):
        return torch.optim.RMSprop(
            groups,
            chosen.learning_rate,
            chosen.alpha,
            chosen.epsilon,
            momentum=chosen.momentum,
        )
    return torch.optim.SGD(groups, chosen.learning_rate, chosen.momentum, fused=True)


def set_learning_rate(
    optimiser: torch.optim.Optimizer, config: TrainConfig, schedule_state: ScheduleState
) -> None:
    """Bring every group of weights to its learning rate at this moment."""
    rate = config.optimiser.learning_rate * learning_rate_factor(config.schedule, schedule_state)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate"]


def learning_rate_factor(schedule: Schedule, schedule_state: ScheduleState) -> float:
    """What the learning rate is multiplied by."""
    if isinstance(schedule, Exponential):
        return float(0.5 ** (schedule_state.step / schedule.half_life))
    if isinstance(schedule, ReduceOnPlateau):
        return float(schedule.factor**schedule_state.decays)
    if isinstance(schedule, InverseSqrt):
        steps = schedule_state.step + 1
        return float(min(steps / schedule.warmup_steps, (schedule.warmup_steps / steps) ** 0.5))
    if isinstance(schedule, MultiStep):
        time = schedule_state.step if schedule.unit == "step" else schedule_state.epoch
        risen = min(1.0, time / schedule.warmup_steps) if schedule.warmup_steps else 1.0
        rise = schedule.warmup_factor + (1 - schedule.warmup_factor) * risen
        return float(rise * schedule.factor ** bisect_right(schedule.milestones, time))
    return 1.0


def clip_gradients(model: nn.Module, config: TrainConfig) -> None:
    """Add what pulls weights to zero, then clip, as the recipe says."""
    if config.l2:
        for parameter, rule in _ruled(model, config):
            if parameter.grad is not None and rule.l2:
                parameter.grad.add_(parameter.detach(), alpha=config.l2)
    if config.clip_value is not None:
        for parameter in model.parameters():  # torch's own clipping goes over them twice
            if parameter.grad is not None:
                parameter.grad.clamp_(-config.clip_value, config.clip_value)
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if config.clip_norm_per_tensor is not None:
        for parameter in model.parameters():
            nn.utils.clip_grad_norm_(parameter, config.clip_norm_per_tensor)


@torch.no_grad()
def constrain_weights(
    model: nn.Module, optimiser: torch.optim.Optimizer, config: TrainConfig
) -> None:
    """After a step: let weights shrink, and hold each within its largest length."""
    if config.shrink:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad:  # what does not learn stays as it is
                    parameter.mul_(1 - group["lr"] * config.shrink)
    if any(rule.max_norm is not None for rule in config.rules.values()):
        for parameter, rule in _ruled(model, config):
            if rule.max_norm is not None:
                parameter.mul_((rule.max_norm / parameter.norm()).clamp_max(1))


def _ruled(model: nn.Module, config: TrainConfig) -> Iterator[tuple[nn.Parameter, WeightRule]]:
    """Every weight with the rule that holds for it."""
    for name, parameter in model.named_parameters():
        fitting = [begin for begin in config.rules if name.startswith(begin)]
        yield parameter, config.rules[max(fitting, key=len)] if fitting else WeightRule()
