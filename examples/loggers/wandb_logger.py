"""Weights & Biases: `saccade train ... --logger wandb_logger:wandb_run`, this folder on PYTHONPATH.

`pip install wandb`. `WANDB_PROJECT` names the project, `WANDB_MODE=offline` sends nothing; Python
takes another one, `loggers=[lambda run: Wandb(run, project="mine")]`.
"""

from pathlib import Path
from uuid import uuid4

import wandb


class Wandb:
    """A run of Weights & Biases; a resumed training goes on with it."""

    def __init__(self, run, **options):
        note = Path(run.path) / "wandb-id.txt"  # by which it is found again
        known = note.read_text() if run.step and note.exists() else uuid4().hex[:8]
        note.write_text(known)
        name = f"{run.recipe_name} {run.path.name}"
        self.run = wandb.init(id=known, resume="allow", name=name, dir=str(run.path), **options)

    def log_hyperparams(self, params):
        self.run.config.update(params, allow_val_change=True)

    def log_metrics(self, metrics, step):
        self.run.log(metrics, step=step)

    def finalize(self, status):
        self.run.finish(exit_code=0 if status == "success" else 1)


def wandb_run(run):
    """The logger, with what the environment says."""
    return Wandb(run)
