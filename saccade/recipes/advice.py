"""Recipes for data that nobody has published numbers on: `auto-vqa` and `auto-caption`.

A published recipe is made for its data set: half a million questions, days of training. These two
begin as the recipes of that name in the table; `advise` looks at a data folder and chooses what
depends on it. Every choice is a rule with its reason; docs/small-data.md has the runs behind them.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, get_args

from saccade.config import Recipe, apply_changes
from saccade.core.errors import BadData
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.recipes.catalogue import RECIPES
from saccade.recipes.load import load_recipe

if TYPE_CHECKING:
    from saccade.data.folder import DataFolder

EPOCHS = 40
"""How often a VQA run sees each question, where `STEPS` allow it."""
STEPS = 800, 40_000
"""Fewest and most steps of a VQA run."""
CAPTION_STEPS = 100
"""Fewest steps of a captioner; `train` warns of fewer."""
WARM_UP = 20
"""One step in so many is of the warm-up."""
SMALL_VALIDATION = 1000
"""Below so many questions, or images with captions, an epoch's score goes up and down by points."""

FOLDED_VALIDATION = 500
"""Below so many questions `train --folds` is named, which validates on all images."""


class AdvisedSetting(NamedTuple):
    """One setting that the data decides."""

    field: str
    value: str
    reason: str


class Advice(NamedTuple):
    """A recipe for a data folder, and the reasons of what was chosen."""

    name: str
    recipe: Recipe
    settings: tuple[AdvisedSetting, ...]


def advise(folder: "DataFolder", task: TaskName | None = None) -> Advice:
    """The recipe for a data folder; `task` decides where it has questions and captions.

    Raises BadData for a folder without training records of the task.
    """
    task = task or next(iter(folder.tasks), None)
    if task is None or task not in folder.tasks:
        message = f"has no records of the task {task}" if task else "has no questions or captions"
        raise BadData(message, location=folder.path, hint="Prepare the data with its annotations.")
    records = folder.about["splits"].get("train", {}).get(TASK_INFO[task].records, 0)
    if not records:
        hint = "Training needs a train split: prepare the data with it."
        raise BadData(f"has no training {TASK_INFO[task].records}", location=folder.path, hint=hint)
    name = TASK_INFO[task].automatic_recipe
    base = RECIPES.look_up(name)
    settings = tuple(ADVISERS[task](folder, base, records))
    fields = [((*one.field.split("."),), one.value) for one in settings]
    return Advice(name, apply_changes(base, fields), settings)


def load_recipe_for(
    folder: "DataFolder", recipe: str | os.PathLike[str] | Recipe, changes: Iterable[str] = ()
) -> Recipe:
    """As `load_recipe`; an automatic one as `advise` has it for the data folder."""
    task = task_of(recipe)
    return load_recipe(advise(folder, task).recipe if task else recipe, changes)


def task_of(recipe: str | os.PathLike[str] | Recipe) -> TaskName | None:
    """The task of an automatic recipe's name; None for all others."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)
    return next((task for task in tasks if TASK_INFO[task].automatic_recipe == recipe), None)


def _for_questions(folder: "DataFolder", base: Recipe, questions: int) -> Iterator[AdvisedSetting]:
    steps_an_epoch = math.ceil(questions / base.train.batch_size)
    steps = min(max(EPOCHS * steps_an_epoch, STEPS[0]), STEPS[1])
    yield from _length(steps, steps_an_epoch, f"{questions:,} training questions")
    hidden = 256 if questions < 20_000 else 512 if questions < 200_000 else 1024
    yield AdvisedSetting(
        "model.hidden", f"{hidden}", "256 below 20,000 questions, 512 below 200,000"
    )
    distinct = len(folder.answer_counts("best_answers"))
    if distinct > 3000:
        yield AdvisedSetting(
            "answers.size", "3000", f"{distinct:,} different answers: the commonest"
        )
    several = sum(folder.answer_counts().values()) > questions
    reason = "several people answered" if several else "one person answered"
    yield AdvisedSetting("answers.target", "shares" if several else "best", reason)
    yield from _selection(folder, "questions")


def _for_captions(folder: "DataFolder", base: Recipe, captions: int) -> Iterator[AdvisedSetting]:
    steps_an_epoch = math.ceil(captions / base.train.batch_size)
    epochs = 10 if captions < 100_000 else 6
    steps = max(epochs * steps_an_epoch, CAPTION_STEPS)
    yield from _length(steps, steps_an_epoch, f"{captions:,} training captions")
    least = 3 if captions < 50_000 else 5
    yield AdvisedSetting("text.min_count", f"{least}", "3 below 50,000 captions, else 5")
    yield from _selection(folder, "images")


def _selection(folder: "DataFolder", examples: str) -> Iterator[AdvisedSetting]:
    """A smoothed score chooses the epoch where few `examples`, as the folder counts them, score."""
    scored = folder.about["splits"].get("val", {}).get(examples, 0)
    if scored < SMALL_VALIDATION:
        reason = f"{scored:,} validation {examples}: one epoch's score is partly luck"
        if examples == "questions" and scored < FOLDED_VALIDATION:
            reason += "; train --folds 5 validates on all images"
        yield AdvisedSetting("train.select_smoothing", "0.7", reason)


def _length(steps: int, steps_an_epoch: int, of: str) -> Iterator[AdvisedSetting]:
    """How long to train: in steps, since small data needs many epochs and large data few."""
    yield AdvisedSetting("train.steps", f"{steps}", f"{of}, {steps_an_epoch:,} steps an epoch")
    yield AdvisedSetting(
        "train.epochs", f"{math.ceil(steps / steps_an_epoch)}", "enough for these steps"
    )
    warm_up = max(steps // WARM_UP, 1)
    yield AdvisedSetting("train.schedule.warmup_steps", f"{warm_up}", f"a {WARM_UP}th of the steps")


ADVISERS: Mapping[TaskName, Callable[["DataFolder", Recipe, int], Iterator[AdvisedSetting]]] = {
    "vqa": _for_questions,
    "caption": _for_captions,
}
