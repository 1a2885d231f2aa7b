"""When a training is over: its epochs, steps, patience or minutes are."""

from pathlib import Path

from saccade.config import Recipe
from saccade.run_folder import open_run
from saccade.training.loop import Progress
from saccade.training.saving import Rows, saved_state


def is_over(progress: Progress, recipe: Recipe) -> bool:
    """Whether all epochs or steps are done, or so many epochs without a better score that training
    stops. A run that was stopped within an epoch, be it behind its last step, is not over."""
    config = recipe.train
    done = progress.epoch >= config.epochs
    done |= config.steps is not None and progress.step >= config.steps
    waited = config.patience is not None and progress.epochs_since_improvement >= config.patience
    fair = progress.epoch >= epochs_without_encoder(recipe) and progress.step >= config.min_steps
    return progress.batch == 0 and (done or (waited and fair))


def is_out_of_time(progress: Progress, rows: Rows, minutes: float | None) -> bool:
    """Whether training and scoring took the minutes that a run may take."""
    seconds = sum(row["seconds"] + row["seconds_scoring"] for row in rows) + progress.seconds
    return minutes is not None and seconds >= 60 * minutes


def was_cut_short(out: Path, minutes: float | None) -> bool:
    """Whether a run ended since its minutes were over, before what its recipe calls its end."""
    progress, rows = saved_state(out)
    out_of_time = is_out_of_time(progress, rows, minutes)
    return out_of_time and not is_over(progress, open_run(out).header.recipe)


def epochs_without_encoder(recipe: Recipe) -> int:
    """Epochs in which the model is trained and its encoder is not."""
    return recipe.encoder.first_epoch if recipe.encoder else 0
