"""Ensembles: runs of one recipe that differ in their seed, joined into one run.

The ensemble's run folder has the weights of all its members in one file, as `members.0.` and so on,
and what each one scored while it trained in `run.json`; alone it predicts, like any other run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from saccade.config import Recipe
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadRun
from saccade.core.files import held
from saccade.core.formatting import printable
from saccade.core.run_files import MEMBERS, WEIGHTS, begun_members
from saccade.core.tensors import kept_epoch, load_tensors, save_tensors
from saccade.data.folder import DataFolder
from saccade.evaluation.scoring import measured, selected_score
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble_for_run, different_features
from saccade.inference.model import load_model
from saccade.metrics.catalogue import METRICS
from saccade.run_folder import (
    BACKBONE,
    Member,
    OpenedRun,
    Origin,
    as_parent,
    changed_settings,
    open_run,
    read_log,
    training_findings,
    write_run,
)
from saccade.training.train import train
from saccade.training.validation import selection_metric, validation_options

FREE = ("about", "train.", "features.")
"""Beginnings of the settings in which members may differ: those of their training, and the features
that the recipe was published with, which the run's own store replaces."""


def join_runs(runs: Sequence[Path], out: Path) -> OpenedRun:
    """Make one run of several, as `saccade.ensemble` describes; `run.json` comes last."""
    opened = [open_run(run) for run in runs]
    for run in opened:
        _refuse_alone(run)
        _refuse_unlike(opened[0], run)
    members = [_member(run) for run in opened]
    if len({one.sha256 for one in members}) < len(members):
        message = "two of the runs have the same weights"
        raise BadRun(message, location=runs[-1], hint="Give runs of different seeds.")
    weights = {
        f"members.{number}.{name}": value
        for number, run in enumerate(runs)
        for name, value in load_tensors(run / WEIGHTS)[0].items()
    }
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / WEIGHTS, weights, {"ensemble": ", ".join(map(str, runs))})
    header = opened[0].header
    findings = {one.name: one for run in opened for one in run.header.findings}
    origin = Origin(
        header.store,
        header.store_name,
        header.data,
        header.fingerprint,
        revision=header.revision,
        findings=tuple(findings.values()),
        members=tuple(members),
    )
    made = header.recipe, header.sizes, opened[0].words
    return write_run(out, header.recipe_name, made, origin, runs[0] / BACKBONE)


def _member(run: OpenedRun) -> Member:
    """What an ensemble notes of a member."""
    epoch, rows = kept_epoch(run.path), read_log(run.path)
    row = next((row for row in rows if row["epoch"] == epoch), None)
    return Member(
        **dict(as_parent(run.path)),
        seed=run.header.recipe.train.seed,
        epoch=epoch,
        metric=row["metric"] if row else None,
        score=row["score"] if row else None,
        findings=tuple(training_findings(run)),
    )


def _refuse_alone(run: OpenedRun) -> None:
    """Raise BadRun for a run that can be a member of no ensemble."""
    if run.header.members:
        message = "is an ensemble already"
        raise BadRun(message, location=run.path, hint="Give its members instead.")
    refuse_encoder(run.header.recipe, run.path)


def refuse_encoder(recipe: Recipe, location: Path) -> None:
    """Raise BadRun for a recipe with an encoder, of which each member would have another."""
    if recipe.encoder is not None:
        message = "has an encoder of its own, and an ensemble's members share their features"
        hint = "Train on stored features: --set encoder=none."
        raise BadRun(message, location=location, hint=hint)


def _refuse_unlike(first: OpenedRun, other: OpenedRun) -> None:
    """Raise BadRun where the probabilities of two runs have no mean; it names what differs."""
    settings = changed_settings(first.header.recipe, other.header.recipe)
    fields = [name for name in settings if not name.startswith(FREE)]
    if store := different_features(first.header.store, other.header.store):
        fields.append(f"store.{store}")
    words, theirs = first.words, other.words
    if words.vocabulary != theirs.vocabulary:
        fields.append("vocabulary")
    if words.answers != theirs.answers:
        fields.append("answers")
    if first.header.fingerprint != other.header.fingerprint:
        fields.append("fingerprint")
    if not fields:
        return
    name = fields[0]
    told = f": {settings[name][0]} there, {settings[name][1]} here" if name in settings else ""
    message = f"is no member of an ensemble with {first.path}: {name} differs{told}"
    hint = "Give runs of one recipe on the same data and features, which differ in their seed."
    raise BadRun(message, location=other.path, hint=hint)


def member_recipes(recipe: Recipe, seeds: int) -> list[Recipe]:
    """The recipe with its own seed and those that follow. Raises BadConfig where there is none."""
    first = recipe.train.seed
    if first + seeds > 2**64:
        hint = f"Set train.seed to {2**64 - seeds} at most."
        raise BadConfig(f"there are no {seeds} seeds from {first} on", hint=hint)
    return [
        recipe.replace(train=recipe.train.replace(seed=seed))
        for seed in range(first, first + seeds)
    ]


def member_folder(out: Path, recipe: Recipe) -> Path:
    """Where `train --seeds` trains a member."""
    return out / MEMBERS / f"seed-{recipe.train.seed}"


def train_seeds(  # noqa: PLR0913  the options of `saccade train`
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seeds: int,
    resume: bool = False,
    minutes: float | None = None,
    features: str | None = None,
    device: str = "auto",
    console: Console | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train a recipe, or several seeds of it and join them: see `saccade.train`.

    Each of several is a run of its own in `members/`. With `resume` those that were begun go on,
    and an ensemble that is there already is scored again. Returns the validation scores.
    """
    console, runs = console or Console(), list[Path]()
    options |= {"features": features, "device": device, "console": console}
    if seeds == 1:
        return train(recipe, data, out, resume=resume, minutes=minutes, **options)
    refuse_encoder(recipe, out)
    begun = begun_members(out)
    if resume and begun[:1] != [member_folder(out, recipe)]:
        message = f"its first member is {begun[0].name}, and train.seed is {recipe.train.seed}"
        hint = f"Set train.seed={begun[0].name.removeprefix('seed-')}, or choose another --out."
        raise BadRun(message, location=out, hint=hint)
    for number, one in enumerate(member_recipes(recipe, seeds), start=1):
        run = member_folder(out, one)
        runs.append(run)
        _say(console, f"Member {number} of {seeds}, seed {one.train.seed}: {run}")
        with held(BadRun, run, "train", "--out"):
            train(
                one,
                data,
                run,
                resume=resume and (run / "run.json").exists(),
                minutes=None if minutes is None else minutes / seeds,
                **options,
            )
    made = open_run(out) if (out / "run.json").exists() else None
    known = [one.sha256 for one in made.header.members] if made else []
    if made is None or known != [_member(open_run(run)).sha256 for run in runs]:
        made = join_runs(runs, out)
    return _validated(made, data, features, device, console)


def _validated(
    ensemble: OpenedRun, data: Path, features: str | None, device: str, console: Console
) -> dict[str, Any]:
    """The validation scores of an ensemble, measured as its members' were while they trained."""
    experiment, place = (
        assemble_for_run(ensemble, DataFolder(data), features),
        choose_device(device),
    )
    metric, task = selection_metric(experiment.recipe), TASKS[experiment.recipe.task]
    options, model = validation_options(experiment), load_model(ensemble).to(place)
    scored = task.score_model(model, experiment, "val", place, options)
    shown = METRICS[metric].shown
    for member in ensemble.header.members:
        if member.score is not None:
            _say(console, f"seed {member.seed}  {metric} {shown(member.score)} on the val split")
    _say(console, f"ensemble  {metric} {shown(selected_score(scored, metric))} on the val split")
    return measured(scored)


def _say(console: Console, line: str) -> None:
    console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
