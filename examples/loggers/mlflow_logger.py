"""MLflow: `saccade train ... --logger mlflow_logger:mlflow_run`, this folder on PYTHONPATH.

`pip install mlflow`. `MLFLOW_TRACKING_URI` names the server; without it, all is kept in a file
here, and nothing is sent. (`mlflow-skinny` has no such file: it needs a server, or `file:FOLDER`.)
"""

import os
import re
from pathlib import Path

import mlflow

LONGEST = 500
"""Letters of a setting that every server takes."""


class MlFlow:
    """A run of MLflow; a resumed training goes on with it."""

    def __init__(self, run):
        self.client = mlflow.MlflowClient()
        note = Path(run.path) / "mlflow-id.txt"  # by which it is found again
        self.known = run.step > 0 and note.exists()
        if not self.known:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "saccade")
            found = self.client.get_experiment_by_name(name)
            place = found.experiment_id if found else self.client.create_experiment(name)
            new = self.client.create_run(place, run_name=f"{run.recipe_name} {run.path.name}")
            note.write_text(new.info.run_id)
        self.id = note.read_text()

    def log_hyperparams(self, params):
        for name, value in {} if self.known else params.items():  # they cannot change there
            self.client.log_param(self.id, allowed(name), str(value)[:LONGEST])

    def log_metrics(self, metrics, step):
        for name, value in metrics.items():
            self.client.log_metric(self.id, allowed(name), value, step=step)

    def finalize(self, status):
        ends = {"success": "FINISHED", "interrupted": "KILLED"}
        self.client.set_terminated(self.id, ends.get(status, "FAILED"))


def allowed(name):
    """A name in the letters that MLflow takes: types of questions may have others."""
    return re.sub(r"[^\w\-./ ]", "_", name, flags=re.ASCII)


def mlflow_run(run):
    """The logger, with what the environment says."""
    return MlFlow(run)
