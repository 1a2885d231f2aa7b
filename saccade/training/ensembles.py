"""Ensembles: runs of one recipe that differ in their seed or fold, joined into one run.

The ensemble's run folder has the weights of all its members in one file, as `members.0.` and so on,
and what each one scored while it trained in `run.json`; alone it predicts, like any other run.
"""

from collections.abc import Sequence
from pathlib import Path

from saccade.config import Recipe
from saccade.core.errors import BadRun
from saccade.core.run_files import WEIGHTS
from saccade.core.tensors import kept_epoch, load_tensors, save_tensors
from saccade.data.folder import DataFolder
from saccade.experiment import different_features
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

FREE = ("about", "train.", "features.")
"""Beginnings of the settings in which members may differ: those of their training, and the features
that the recipe was published with, which the run's own store replaces."""


def join_runs(runs: Sequence[Path], out: Path, cut: DataFolder | None = None) -> OpenedRun:
    """Make one run of several, as `saccade.ensemble` describes; `run.json` comes last.

    `cut` is the data folder where each run is of one of its folds.
    """
    opened = [open_run(run) for run in runs]
    for run in opened:
        _refuse_alone(run)
        _refuse_unlike(opened[0], run, of_folds=cut is not None)
    members = [
        member_of(run) if cut is None else member_of(run, fold, cut.fingerprint)
        for fold, run in enumerate(opened, start=1)
    ]
    if len({one.sha256 for one in members}) < len(members):
        message = "two of the runs have the same weights"
        raise BadRun(message, location=runs[-1], hint="Give runs of different seeds.")
    weights = {
        f"members.{number}.{name}": value
        for number, run in enumerate(runs)
        for name, value in load_tensors(run / WEIGHTS)[0].items()
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").unlink(missing_ok=True)  # of fewer members: never beside other weights
    save_tensors(out / WEIGHTS, weights, {"ensemble": ", ".join(map(str, runs))})
    header = opened[0].header
    findings = {one.name: one for run in opened for one in run.header.findings}
    origin = Origin(
        header.store,
        header.store_name,
        str(cut.path.resolve()) if cut else header.data,
        cut.fingerprint if cut else header.fingerprint,
        revision=header.revision,
        findings=tuple(findings.values()),
        members=tuple(members),
        folds=len(runs) if cut else None,
    )
    made = header.recipe, header.sizes, opened[0].words
    return write_run(out, header.recipe_name, made, origin, runs[0] / BACKBONE)


def member_of(run: OpenedRun, fold: int | None = None, fingerprint: str | None = None) -> Member:
    """What an ensemble notes of a member; of one of a fold with the fingerprint of the records
    that were cut."""
    epoch, rows = kept_epoch(run.path), read_log(run.path)
    row = next((row for row in rows if row["epoch"] == epoch), None)
    parent = as_parent(run.path)
    return Member(
        **(dict(parent) | {"fingerprint": fingerprint or parent.fingerprint}),
        seed=run.header.recipe.train.seed,
        fold=fold,
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


def _refuse_unlike(first: OpenedRun, other: OpenedRun, *, of_folds: bool) -> None:
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
    if not of_folds and first.header.fingerprint != other.header.fingerprint:
        fields.append("fingerprint")
    if not fields:
        return
    name = fields[0]
    told = f": {settings[name][0]} there, {settings[name][1]} here" if name in settings else ""
    message = f"is no member of an ensemble with {first.path}: {name} differs{told}"
    hint = "Give runs of one recipe on the same data and features, which differ in their seed."
    raise BadRun(message, location=other.path, hint=hint)
