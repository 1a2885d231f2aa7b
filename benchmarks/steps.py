"""A training step of both sides, and the proof that both compute the same."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from benchmarks import timing
from saccade.config import Recipe
from saccade.data.batch import CaptionBatch, VqaBatch
from saccade.training.objectives import loss_for
from saccade.training.optim import (
    ScheduleState,
    clip_gradients,
    constrain_weights,
    make_optimiser,
    set_learning_rate,
)
from tests.oracles import pairs

Step = Callable[[], float]


def saccade_step(model: nn.Module, batch: VqaBatch | CaptionBatch, recipe: Recipe) -> Step:
    """One step as `saccade.training.train` takes it."""
    optimiser, loss_of = make_optimiser(model, recipe.train), loss_for(recipe)
    set_learning_rate(optimiser, recipe.train, ScheduleState(0, 0))

    def step() -> float:
        loss = loss_of(model(batch), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(model, recipe.train)
        optimiser.step()
        constrain_weights(model, optimiser, recipe.train)
        return float(loss.detach())

    return step


def published_step(
    loss_of: Callable[[], Tensor], optimiser: torch.optim.Optimizer, clip: Callable[[], object]
) -> Step:
    """One step as the published trainings take it."""

    def step() -> float:
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        clip()
        optimiser.step()
        return float(loss.detach())

    return step


def require_equal(
    what: str,
    sides: tuple[nn.Module, nn.Module],
    losses: tuple[Callable[[], Tensor], Callable[[], Tensor]],
    names: Mapping[str, str] | pairs.Converter,
    limit: float = 1e-5,
) -> None:
    """Same weights, no dropout: same loss, same gradient within `limit`. Published side first."""
    theirs, ours = sides
    convert = names if callable(names) else pairs.renaming(names)
    pairs.copy_weights(theirs, ours, convert)
    wanted, got = (loss() for loss in losses)
    wanted.backward()
    got.backward()
    timing.require_equal(f"{what}, loss", timing.relative_difference(wanted, got))
    timing.require_equal(f"{what}, gradient", pairs.gradient_gap(theirs, ours, convert), limit)
