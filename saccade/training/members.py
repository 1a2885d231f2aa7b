"""Training the members of an ensemble: one run after the other, by seed or by fold, then the join.

Each member is an ordinary run in `members/` of the ensemble's folder: it can be resumed, evaluated
and compared by itself. Folds are also a way to use a validation split that is too small to choose
by: each image is validated by the member that has not learnt from it, and learnt from by all other
members ("cross-validation committee": Krogh & Vedelsby 1995; Parmanto et al. 1996).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from saccade.config import Recipe
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadRun
from saccade.core.files import held
from saccade.core.formatting import printable
from saccade.core.language import translated
from saccade.core.run_files import FOLDS, MEMBERS, begun_members
from saccade.data.folder import DataFolder
from saccade.data.folds import cut_images, write_fold
from saccade.evaluation.scoring import measured, selected_score
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble, assemble_for_run
from saccade.inference.model import load_model
from saccade.metrics.catalogue import METRICS
from saccade.run_folder import OpenedRun, open_run
from saccade.text.vocabulary import Words
from saccade.training.ensembles import join_runs, member_of, refuse_encoder
from saccade.training.train import train
from saccade.training.validation import selection_metric, validation_options


class Part(NamedTuple):
    """The training of one member."""

    run: Path
    recipe: Recipe
    data: Path
    words: Words | None = None
    """Of all folds together: members have equal ones."""


def train_members(  # noqa: PLR0913  the options of `saccade train`
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seeds: int = 1,
    folds: int | None = None,
    resume: bool = False,
    minutes: float | None = None,
    features: str | None = None,
    device: str = "auto",
    console: Console | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train a recipe, or several seeds or folds of it and join them: see `saccade.train`.

    With `resume` the members that were begun go on, and an ensemble that is there is scored again.
    Returns the validation scores; of folds the mean of the members', each on its own fold.
    """
    console, scores = console or Console(), list[dict[str, Any]]()
    options |= {"features": features, "device": device, "console": console}
    if seeds == 1 and folds is None:
        return train(recipe, data, out, resume=resume, minutes=minutes, **options)
    refuse_encoder(recipe, out)
    folder = DataFolder(data)
    parts = (
        _folds(recipe, folder, out, folds, features) if folds else _seeds(recipe, data, out, seeds)
    )
    if resume and (begun := begun_members(out)) and begun[0] != parts[0].run:
        message = f"its first member is {begun[0].name}, and would be {parts[0].run.name} now"
        hint = "Give the --seeds or --folds and the train.seed that it was begun with."
        raise BadRun(message, location=out, hint=hint)
    for number, part in enumerate(parts, start=1):
        _say(console, f"Member {number} of {len(parts)}: {part.run}")
        with held(BadRun, part.run, "train", "--out"):
            scores.append(
                train(
                    part.recipe,
                    part.data,
                    part.run,
                    resume=resume and (part.run / "run.json").exists(),
                    minutes=None if minutes is None else minutes / len(parts),
                    words=part.words,
                    **options,
                )
            )
    made = _joined([part.run for part in parts], out, folder if folds else None)
    found = _mean(scores) if folds else _validated(made, folder, features, device)
    for line in _about(made, found[selection_metric(recipe)]):
        _say(console, line)
    return found


def _seeds(recipe: Recipe, data: Path, out: Path, seeds: int) -> list[Part]:
    """A member for the recipe's own seed and those that follow. Raises BadConfig where none do."""
    first = recipe.train.seed
    if first + seeds > 2**64:
        hint = f"Set train.seed to {2**64 - seeds} at most."
        raise BadConfig(f"there are no {seeds} seeds from {first} on", hint=hint)
    return [
        Part(
            out / MEMBERS / f"seed-{seed}",
            recipe.replace(train=recipe.train.replace(seed=seed)),
            data,
        )
        for seed in range(first, first + seeds)
    ]


def _folds(
    recipe: Recipe, folder: DataFolder, out: Path, folds: int, features: str | None
) -> list[Part]:
    """A member for each fold, whose data folder is written where it is not there."""
    cut = cut_images(folder, folds, recipe.train.seed)
    whole = write_fold(folder, out / FOLDS / "all", cut, None)
    words, parts = assemble(recipe, whole, features).words, list[Part]()
    for fold in range(1, folds + 1):
        of_fold = write_fold(folder, out / FOLDS / f"fold-{fold}", cut, fold)
        parts.append(Part(out / MEMBERS / f"fold-{fold}", recipe, of_fold.path, words))
    return parts


def _joined(runs: list[Path], out: Path, cut: DataFolder | None) -> OpenedRun:
    """The ensemble of the members as they are now, which may be there already."""
    made = open_run(out) if (out / "run.json").exists() else None
    known = [one.sha256 for one in made.header.members] if made else []
    if made is None or known != [member_of(open_run(run)).sha256 for run in runs]:
        return join_runs(runs, out, cut)
    return made


def _mean(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each number that all members have."""
    numbers = [
        {name: value for name, value in one.items() if isinstance(value, int | float)}
        for one in scores
    ]
    shared = set.intersection(*(set(one) for one in numbers))
    return {
        name: sum(one[name] for one in numbers) / len(numbers)
        for name in numbers[0]
        if name in shared
    }


def _validated(
    ensemble: OpenedRun, folder: DataFolder, features: str | None, device: str
) -> dict[str, Any]:
    """The validation scores of an ensemble, measured as its members' were while they trained."""
    experiment, place = assemble_for_run(ensemble, folder, features), choose_device(device)
    task, options = TASKS[experiment.recipe.task], validation_options(experiment)
    model = load_model(ensemble).to(place)
    scored = task.score_model(model, experiment, "val", place, options)
    selected_score(scored, selection_metric(experiment.recipe))  # it is a number
    return measured(scored)


def _about(ensemble: OpenedRun, score: float) -> Iterator[str]:
    """What a person is told of an ensemble: the score of each member, and that of all."""
    header = ensemble.header
    metric = selection_metric(header.recipe)
    shown = METRICS[metric].shown
    for member in header.members:
        if member.score is not None:
            yield f"{member.title}  {metric} {shown(member.score)}"
    if header.folds:
        yield f"cross-validated  {metric} {shown(score)}, the mean of the folds"
        yield "It has learnt from the val split too: only another split can score the ensemble."
    else:
        yield f"ensemble  {metric} {shown(score)} on the val split"


def _say(console: Console, line: str) -> None:
    console.print(printable(translated(line)), highlight=False, markup=False, soft_wrap=True)
