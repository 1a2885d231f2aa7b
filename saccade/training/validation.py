"""Validation at the end of an epoch: its row of the log, and the score that chooses the best."""

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from saccade.config import Recipe
from saccade.core.tasks import TASK_INFO
from saccade.evaluation.scoring import (
    ScoredExamples,
    ScoreOptions,
    measured,
    score_interval,
    selected_score,
)
from saccade.evaluation.tasks import Task
from saccade.experiment import Experiment
from saccade.models.encoder import without_encoder
from saccade.training.labels import macro_scores
from saccade.training.loop import Progress, TrainingLoop
from saccade.training.objectives import train_metric
from saccade.training.saving import Rows


def validated_row(
    loop: TrainingLoop, task: Task, experiment: Experiment, progress: Progress, rows: Rows
) -> tuple[dict[str, Any], ScoredExamples]:
    """Score the model on the validation split: the row of the epoch that ends, for the log, and
    what was scored."""
    recipe, metric = experiment.recipe, selection_metric(experiment.recipe)
    start, smoothing = time.perf_counter(), recipe.train.select_smoothing
    options = validation_options(experiment)
    scored, without = _validate(loop, task, experiment, options, metric)
    score = selected_score(scored, metric)
    chooses: dict[str, Any] = {}
    if smoothing:
        raw = [*(row["score"] for row in rows), score]
        interval = score_interval(scored, metric)
        chooses = {"smoothed_score": smoothed(raw, smoothing), "interval": interval}
    row: dict[str, Any] = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "loss": progress.mean_loss,
        "train_metric": train_metric(recipe).title,
        "train_score": 100 * progress.train_score / progress.train_scored,
        **({"train_scores": macro_scores(progress.answered)} if progress.answered else {}),
        "metric": metric,
        "score": score,
        **chooses,
        **({} if without is None else {"score_without_image": without}),
        "scores": measured(scored),
        "learning_rate": loop.optimiser.param_groups[0]["lr"],
        "examples_per_second": progress.examples / progress.seconds,
        "waiting": progress.waited / progress.seconds,
        "seconds": progress.seconds,
        "seconds_scoring": time.perf_counter() - start,
    }
    return row, scored


def selection_metric(recipe: Recipe) -> str:
    """The metric of a recipe that chooses the best epoch."""
    return recipe.train.select_by or TASK_INFO[recipe.task].default_metric


def validation_options(experiment: Experiment) -> ScoreOptions:
    """How the validation split is scored while training."""
    recipe = experiment.recipe
    beam_size = recipe.decode.validation_beam_size if recipe.decode else None
    metrics = selection_metric(recipe), *TASK_INFO[recipe.task].epoch_metrics
    return ScoreOptions(tuple(dict.fromkeys(metrics)), beam_size, experiment.revision, prior=True)


def _validate(
    loop: TrainingLoop, task: Task, experiment: Experiment, options: ScoreOptions, metric: str
) -> tuple[ScoredExamples, float | None]:
    """Score the model on the validation split. One that has an answer prior answers by it alone
    unless the image makes it better; the second value is the prior's score, of the same pass.
    """
    share: Tensor | None = getattr(without_encoder(loop.validated), "image_share", None)
    if share is not None:
        share.fill_(1)
    with loop.fabric.autocast():
        scored = task.score_model(loop.validated, experiment, "val", loop.fabric.device, options)
    if share is None or scored.prior is None:
        return scored, None
    without = selected_score(scored.prior, metric)
    if selected_score(scored, metric) > without:
        return scored, without
    share.fill_(0)
    return scored.prior, without


def smoothed(scores: Sequence[float], decay: float) -> float:
    """The moving mean of scores, the last one weighs most. Equal scores have themselves as mean."""
    mean = 0.0
    for number, score in enumerate(scores, start=1):
        mean += (score - mean) * ((1 - decay) / (1 - decay**number))
    return mean
