"""How a model is made to learn from a batch: what it does, and how wrong that was.

`objective_for(recipe)` chooses. Nearly always a model reads the batch, captions word by word from
their human beginning (teacher forcing), and the loss compares.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from saccade.config import Recipe
from saccade.losses import loss_for
from saccade.optimisers import Moment

Objective = Callable[[Any, Any, Moment], Tensor]
"""(model, batch, moment) -> scalar."""


def objective_for(recipe: Recipe) -> Objective:
    """What training with a recipe makes smaller."""
    loss = loss_for(recipe)

    def objective(model: Any, batch: Any, moment: Moment) -> Tensor:
        del moment
        return loss(model(batch), batch)

    return objective
