"""All runs of a sweep, one after the other; what became of each stands in `sweep.json`.

A run that is finished is not run again, one that was interrupted goes on, one that failed is
recorded with the reason while the others go on.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import ValidationError

from saccade.core.errors import STOPPED, BadRun
from saccade.core.files import held, write_json
from saccade.core.formatting import duration
from saccade.core.settings import Settings, first_problem
from saccade.sweeps.plan import STATE, PlannedRun, Sweep

COMMAND = (sys.executable, "-m", "saccade.sweeps.one_run")


class RunRecord(Settings):
    """What became of a run."""

    key: str
    """As of `PlannedRun` when it was run."""
    state: Literal["finished", "failed"]
    epochs: int = 0
    minutes: float = 0.0
    """Of training and validation, as its log has them."""
    cut_short: bool = False
    """Whether its time limit ended it, and not its recipe."""
    reason: str = ""
    """Why it failed."""

    def __str__(self) -> str:
        if self.state == "failed":
            return f"failed: {self.reason}"
        cut = ", stopped at its time limit" if self.cut_short else ""
        return f"finished, {self.epochs} epochs in {duration(60 * self.minutes)}{cut}"


class State(Settings):
    """The content of `sweep.json`."""

    format: Literal[1]
    file: str
    """That was given last."""
    runs: dict[str, RunRecord]
    """By name; also runs that the file asks for no more."""


Records = dict[str, RunRecord]


def read_records(out: Path) -> Records:
    """What `sweep.json` says of runs. Raises BadRun where it is damaged."""
    path = out / STATE
    if not path.exists():
        return {}
    try:
        return State.model_validate(json.loads(path.read_text(encoding="utf-8"))).runs
    except ValidationError as error:
        message = first_problem(error, "the whole")
    except ValueError as error:  # no JSON, or no UTF-8
        message = f"not JSON ({error})"
    hint = "Delete it: what is trained is found again in the folders of the runs."
    raise BadRun(message, location=path, hint=hint)


def state_of(run: PlannedRun, records: Records) -> str:
    """What a sweep would do with a run: it is "finished" or "failed", "to resume" or "to train"."""
    record, begun = records.get(run.name), (run.out / "run.json").exists()
    if record and record.key == run.key and (begun or record.state == "failed"):
        return record.state
    return "to resume" if begun else "to train"


def expected_minutes(run: PlannedRun, records: Records, runs: list[PlannedRun]) -> float | None:
    """What training and validation will take: as earlier runs of its configuration did, else of its
    recipe, else at most what a run may take; None where nothing is known."""
    done = [(one, records[one.name].minutes) for one in runs if is_done(one, records)]
    same = [minutes for one, minutes in done if one.configuration == run.configuration]
    alike = [minutes for one, minutes in done if one.recipe_name == run.recipe_name]
    return fmean(same or alike) if same or alike else run.minutes


def planned_runs(sweep: Sweep) -> list[dict[str, Any]]:
    """Name, state and expected minutes of every run, where nothing is run."""
    records = read_records(sweep.out)
    return [
        {
            "name": run.name,
            "state": state_of(run, records),
            "minutes": expected_minutes(run, records, sweep.runs),
        }
        for run in sweep.runs
    ]


def is_done(run: PlannedRun, records: Records) -> bool:
    """Whether a run was trained and scored."""
    return run.name in records and records[run.name].state == "finished"


def run_all(
    sweep: Sweep, *, retry: bool = False, report: Callable[[str], None] = lambda _: None
) -> Records:
    """Train and score what is not finished; `retry` also runs again what failed.

    `report` is called with a line before and after each run. Raises KeyboardInterrupt when it is
    stopped: the run in progress is saved, and goes on the next time.
    """
    with held(BadRun, sweep.out, "sweep", "`out`"):
        records = read_records(sweep.out)
        _write(sweep, records)  # from now on the folder is known as this sweep's
        for number, run in enumerate(sweep.runs, start=1):
            place, state = f"{number} of {len(sweep.runs)}, {run.name}", state_of(run, records)
            if state in {"to train", "to resume"} or (state == "failed" and retry):
                limit = f", at most {duration(60 * run.minutes)}" if run.minutes else ""
                report(f"{place}: {'trains' if state == 'to train' else 'goes on'}{limit}")
                outcome = _in_its_own_process(run, _log_file(run))
                records[run.name] = RunRecord(key=run.key, **outcome)
                _write(sweep, records)
            report(f"{place}: {records[run.name]}")
    return records


def _log_file(run: PlannedRun) -> Path:
    """What a run printed."""
    return run.out.parent.parent / "logs" / f"{run.name}.txt"


def _write(sweep: Sweep, records: Records) -> None:
    state = State(format=1, file=str(sweep.file), runs=records)
    write_json(sweep.out / STATE, state.model_dump())


def _in_its_own_process(run: PlannedRun, log: Path) -> dict[str, Any]:
    """Train and score a run; what it printed is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab") as printed,
        subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(run.model_dump(mode="json")) + "\n")
            process.stdin.flush()
            lines = process.stdout.read().splitlines()
            status = process.wait()
        except BaseException:
            process.stdin.close()  # it saves what it has, and ends
            process.wait()
            raise
    if status == 0 and lines:
        return dict(json.loads(lines[-1]))
    if status in (-signal.SIGTERM, -signal.SIGINT, STOPPED):
        raise KeyboardInterrupt
    return {"state": "failed", "reason": _why(status, log)}


def _why(status: int, log: Path) -> str:
    """Why a process ended before it told its outcome."""
    if status < 0:
        name = signal.Signals(-status).name
        memory = ", most often for want of memory" if status == -signal.SIGKILL else ""
        return f"its process was killed by {name}{memory}. See {log}"
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return f"its process ended with status {status}: {' '.join(last)}. See {log}"
