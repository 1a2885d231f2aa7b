"""One run of a sweep in a process of its own: trained or resumed, then scored.

    python -m saccade.sweeps.one_run < PlannedRun as a line of JSON

A process of its own gives its memory back, and what kills it does not kill the sweep. It prints its
outcome as JSON; all that training and evaluation print goes to stderr. Where stdin ends, since the
sweep did, it stops as at Ctrl-C: no training goes on that nobody waits for.
"""

import json
import os
import signal
import sys
import threading
from contextlib import redirect_stdout
from typing import Any

from saccade.core.errors import STOPPED, SaccadeError
from saccade.core.tensors import kept_epoch
from saccade.evaluation.evaluate import evaluate
from saccade.sweeps.plan import PlannedRun
from saccade.training.stopping import was_cut_short
from saccade.training.train import train


def outcome_of(run: PlannedRun) -> dict[str, Any]:
    """What becomes of a run: it is finished, or failed for a reason."""
    try:
        return _train_and_score(run)
    except SaccadeError as error:
        return {"state": "failed", "reason": str(error)}


def _train_and_score(run: PlannedRun) -> dict[str, Any]:
    """Train a run to its end and score it, as far as that was not done already."""
    begun = (run.out / "run.json").exists()
    train(
        run.recipe,
        run.folder,
        run.out,
        name=run.recipe_name,
        features=run.features,
        resume=begun,
        minutes=run.minutes,
        device=run.device,
    )
    scores = run.out / "scores.json"
    found = json.loads(scores.read_text(encoding="utf-8")) if scores.exists() else {}
    if found.get(run.split, {}).get("epoch") != kept_epoch(run.out):
        evaluate(
            run.out,
            split=run.split,
            data=run.folder,
            features=run.features,
            device=run.device,
        )
    log = (run.out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in log]
    return {
        "state": "finished",
        "epochs": len(rows),
        "minutes": sum(row["seconds"] + row["seconds_scoring"] for row in rows) / 60,
        "cut_short": was_cut_short(run.out, run.minutes),
    }


def _stop_with_the_sweep() -> None:
    """Wait until stdin ends, then stop this process as Ctrl-C would."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Run what stands on stdin; prints its outcome. Returns the exit status."""
    run = PlannedRun.model_validate(json.loads(sys.stdin.readline()))
    # Not sys.stdin: what a thread still reads from there, Python could not close at its end.
    threading.Thread(target=_stop_with_the_sweep, daemon=True).start()
    try:
        with redirect_stdout(sys.stderr):
            outcome = outcome_of(run)
    except KeyboardInterrupt:
        return STOPPED
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
