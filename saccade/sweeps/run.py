"""All runs of a sweep, one after the other; what became of each stands in `sweep.json`.

A run that is finished is not run again, one that was interrupted goes on, one that failed is
recorded with the reason while the others go on.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from saccade.core.errors import BadRun
from saccade.core.files import as_json, held, write_text
from saccade.core.formatting import duration
from saccade.sweeps.plan import STATE, PlannedRun, Sweep

FORMAT = 1
Records = dict[str, dict[str, Any]]
"""What became of each run, by its name: `state` ("finished" or "failed"), and of a finished one
`epochs`, `minutes` and `cut_short`, of a failed one its `reason`; `key` as of `PlannedRun`."""


def read_records(out: Path) -> Records:
    """What `sweep.json` says of runs. Raises BadRun where it is damaged."""
    path = out / STATE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']!r}, this version reads {FORMAT}")
        return {name: {**one, "state": str(one["state"])} for name, one in found["runs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "Delete it: what is trained is found again in the runs' folders."
        raise BadRun(f"not a sweep's state ({error})", location=path, hint=hint) from None


def state_of(run: PlannedRun, records: Records) -> str:
    """What a sweep would do with a run: it is "finished" or "failed", "to resume" or "to train"."""
    record, begun = records.get(run.name, {}), (run.out / "run.json").exists()
    if record.get("key") == run.key and (begun or record["state"] == "failed"):
        return str(record["state"])
    return "to resume" if begun else "to train"


def expected_minutes(run: PlannedRun, records: Records, runs: list[PlannedRun]) -> float | None:
    """What training and validation will take: as earlier runs of its configuration did, else of its
    recipe, else at most what a run may take; None where nothing is known."""
    done = {
        one: records[one.name]["minutes"] for one in runs if "minutes" in records.get(one.name, {})
    }
    same = [minutes for one, minutes in done.items() if one.configuration == run.configuration]
    alike = [minutes for one, minutes in done.items() if one.recipe_name == run.recipe_name]
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


def run_all(
    sweep: Sweep, *, retry: bool = False, report: Callable[[str], None] = lambda _: None
) -> Records:
    """Train and score what is not finished; `retry` also runs again what failed.

    `report` is called with a line before and after each run. Raises KeyboardInterrupt when it is
    stopped: the run in progress is saved, and goes on the next time.
    """
    with held(BadRun, sweep.out, "sweep", "`out`"):
        records = read_records(sweep.out)
        for number, run in enumerate(sweep.runs, start=1):
            place, state = f"{number} of {len(sweep.runs)}, {run.name}", state_of(run, records)
            if state in {"to train", "to resume"} or (state == "failed" and retry):
                limit = f", at most {duration(60 * run.minutes)}" if run.minutes else ""
                report(f"{place}: {'trains' if state == 'to train' else 'goes on'}{limit}")
                records[run.name] = {**_in_its_own_process(run, _log_file(run)), "key": run.key}
                _write(sweep, records)
            report(f"{place}: {told(records[run.name])}")
    return records


def told(record: Mapping[str, Any]) -> str:
    """What became of a run, in words."""
    if record["state"] == "failed":
        return f"failed: {record['reason']}"
    cut = ", stopped at its time limit" if record["cut_short"] else ""
    return f"finished, {record['epochs']} epochs in {duration(60 * record['minutes'])}{cut}"


def _log_file(run: PlannedRun) -> Path:
    """What a run printed."""
    return run.out.parent.parent / "logs" / f"{run.name}.txt"


def _write(sweep: Sweep, records: Records) -> None:
    whole = {"format": FORMAT, "file": str(sweep.file), "runs": records}
    write_text(sweep.out / STATE, as_json(whole))


def _in_its_own_process(run: PlannedRun, log: Path) -> dict[str, Any]:
    """Train and score a run; what it printed is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "saccade.sweeps.one_run"]
    with (
        log.open("ab") as printed,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, text=True
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
    if status in (-signal.SIGTERM, -signal.SIGINT, 130):
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
