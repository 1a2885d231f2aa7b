"""What a person is told about a run before it begins, or where it is over already."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from saccade.config import Recipe
from saccade.data.examples import Views
from saccade.experiment import Experiment
from saccade.run_folder import OpenedRun, changed_settings
from saccade.text.answers import merged_spellings
from saccade.text.tokenizers import TOKENIZERS
from saccade.training.loop import Progress
from saccade.training.stopping import is_over


def about_end(progress: Progress, recipe: Recipe, out: Path) -> str:
    """What is told of a finished run that is to be resumed."""
    epochs, patience = recipe.train.epochs, recipe.train.patience
    done = f"{out} is finished, and nothing was trained: {progress.epoch} epochs are done"
    if recipe.train.steps is not None and progress.step >= recipe.train.steps:
        start = "Begin another run with its weights: --from, and another --out."
        return f"{done} and {progress.step} steps, and train.steps is {recipe.train.steps}. {start}"
    if progress.epoch >= epochs:
        more = 2 * progress.epoch
        return f"{done} and train.epochs is {epochs}. Go on with --set train.epochs={more}."
    if not is_over(progress, recipe):
        return f"{done}, and its minutes are over. Go on with more --minutes."
    return (
        f"{done}, the last {progress.epochs_since_improvement} without a better score, and "
        f"train.patience is {patience}. Go on with --set train.patience=none."
    )


def about_length(run: OpenedRun | None, recipe: Recipe) -> Iterator[str]:
    """What it means that a resumed run ends at another time than it was to end at."""
    for field, (old, new) in changed_settings(run.header.recipe, recipe).items() if run else ():
        yield (
            f"{field} was {old} and is now {new}. The schedule ({recipe.train.schedule.kind}) "
            "counts from the start, so the run equals one that had this value all along."
        )


def about_words(recipe: Recipe, experiment: Experiment) -> Iterator[str]:
    """What tokenizer and answer list make of questions and answers, where it is to be known."""
    given, taken = recipe.text.tokenizer, experiment.recipe.text.tokenizer
    folder, answers = experiment.folder, experiment.words.answers
    if answers is None:
        return
    if given != taken:
        yield f"Questions are cut by tokenizer {taken}: {given} is not made for their script."
    elif taken in TOKENIZERS and (count := folder.misfits(taken)):
        yield f"Tokenizer {taken} is not made for the script of {count:,} training questions."
    if answers.merged and (merged := merged_spellings(folder.answer_counts())):
        some = "; ".join(merged[:3])
        yield f"{len(merged):,} groups of answers differ by marks, and are one: {some}."


def about_views(experiment: Experiment, views: Views) -> Iterator[str]:
    """Which views of the images are shown, and how many examples show no mirrored ones."""
    if views.mirrorable is None:
        return
    store, never = experiment.store, views.never_mirrored
    flips = bool(store.mirrored(np.arange(store.views)).any())
    yield f"Each epoch shows one of {store.views} views of an image, drawn at random" + (
        f"; {never:,} of {len(views.mirrorable):,} examples are never mirrored."
        if flips
        else "; none is mirrored."
    )
