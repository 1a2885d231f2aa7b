"""A run folder while its run is trained: begun before the first step, saved, logged, read again."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from saccade.checks.catalogue import finding
from saccade.core.errors import BadRun, SaccadeError
from saccade.core.files import write_text
from saccade.core.run_files import LAST, WEIGHTS, read_metadata, selection_score
from saccade.core.settings import first_problem
from saccade.core.tensors import load_tensors
from saccade.data.checks import Finding
from saccade.experiment import Experiment
from saccade.run_folder import (
    BACKBONE,
    CHECKPOINTS,
    Origin,
    as_parent,
    checked_log,
    write_run,
)
from saccade.training.loop import Progress, TrainingLoop, load_state, random_state, save_state

Rows = list[dict[str, Any]]
"""Of the log, one for each epoch that has ended."""


def origin_of(
    experiment: Experiment, start: Path | None, findings: Sequence[Finding] = ()
) -> Origin:
    """What a run notes of where it comes from; `start` is the run that it begins with."""
    store, folder = experiment.store, experiment.folder
    return Origin(
        store.header,
        store.path.name,
        str(folder.path.resolve()),
        folder.fingerprint,
        as_parent(start) if start else None,
        experiment.revision if experiment.recipe.answers else None,
        tuple(findings),
    )


def start_run(
    out: Path,
    name: str,
    loop: TrainingLoop,
    experiment: Experiment,
    origin: Origin,
    conditions: Mapping[str, str],
) -> None:
    """Write a run folder that can be resumed already, before the first step."""
    if loop.world.is_first:
        (out / "run.json").unlink(missing_ok=True)  # of a run that ended before its first step
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    save_last(out, loop, Progress(), [])
    if not loop.world.is_first:
        return
    made = experiment.recipe, experiment.sizes, experiment.words
    write_run(out, name, made, origin, experiment.store.path / BACKBONE, conditions)


@contextmanager
def logged_failure(loop: TrainingLoop, rows: Rows, out: Path) -> Iterator[None]:
    """Note in the log why training ended before its time: who uses the kept weights is told.

    Of several processes the first one notes it.
    """
    try:
        yield
    except SaccadeError as error:
        if rows and loop.world.is_first:
            stopped = finding("stopped", f"training stopped: {error.message}", hint=error.hint)
            rows[-1].setdefault("findings", []).append(asdict(stopped))
            write_log(out, rows)
        raise


def write_log(out: Path, rows: Rows) -> None:
    """Write `log.jsonl`, a line for each epoch."""
    write_text(out / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def saved_state(out: Path) -> tuple[Progress, Rows]:
    """Progress and log of a run as it was saved last, with its best weights there and whole.

    Raises BadRun.
    """
    hint = "Copy it again from where it came, or train again."
    try:
        state = json.loads(read_metadata(out / LAST)["progress"])
        progress = TypeAdapter(Progress).validate_python(state["progress"])
        rows = checked_log(state["log"], out / LAST)
    except ValidationError as error:
        message = f"the saved state cannot be read: {first_problem(error, 'the whole')}"
        raise BadRun(message, location=out / LAST, hint=hint) from None
    except (LookupError, TypeError, ValueError, RecursionError):
        message = "holds no state of a training"
        raise BadRun(message, location=out / LAST, hint=hint) from None
    if rows:
        load_tensors(out / WEIGHTS)  # no later epoch may be better, so they must be there
    return progress, rows


def load_last(out: Path, loop: TrainingLoop) -> None:
    """Put back weights, moments and random state. Raises BadRun where they are another model's."""
    try:
        model, optimiser = loop.model.module, loop.optimiser.optimizer
        state = load_state(out / LAST, model, optimiser, loop.average, loop.world.rank)
        if scale := state.get("precision"):
            loop.fabric.strategy.precision.load_state_dict(scale)
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        message = f"is no state of this run ({str(error).splitlines()[0][:200]})"
        hint = "Copy it again from where it came, or train again."
        raise BadRun(message, location=out / LAST, hint=hint) from None


def save_last(out: Path, loop: TrainingLoop, progress: Progress, rows: Rows) -> None:
    """Save what an exact resume needs: the first of several processes does, once all are here."""
    random = loop.world.from_all(random_state())
    if not loop.world.is_first:
        return
    precision = loop.fabric.strategy.precision.state_dict()  # the scale of losses in 16-mixed
    state: dict[str, Any] = {"progress": asdict(progress), "log": rows, "precision": precision}
    if loop.world.size > 1:
        state["processes"] = loop.world.size
    model, optimiser = loop.model.module, loop.optimiser.optimizer
    save_state(out / LAST, model, optimiser, state, loop.average, random)


def best_row(rows: Rows) -> dict[str, Any]:
    """The row of the best epoch, whose weights are kept."""
    return max(rows, key=selection_score)
