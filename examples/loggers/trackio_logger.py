"""Trackio: `saccade train ... --logger trackio_logger:trackio_run`, this folder on PYTHONPATH.

`pip install trackio`, then `trackio show`. Numbers stay on this machine (`TRACKIO_DIR`) unless a
Space is named: `loggers=[lambda run: Trackio(run, space_id="me/board")]`.
"""

import trackio


class Trackio:
    """A run of trackio; a resumed training goes on with the one of its name."""

    def __init__(self, run, project="saccade", **options):
        name = f"{run.recipe_name} {run.path.name}"
        self.start = {"project": project, "name": name, "resume": "allow", **options}
        self.run = None

    def log_hyperparams(self, params):
        self.run = trackio.init(config=params, embed=False, **self.start)

    def log_metrics(self, metrics, step):
        self.run.log(metrics, step=step)

    def finalize(self, status):
        if self.run is not None:
            self.run.log({"ended": status})
            self.run.finish()


def trackio_run(run):
    """The logger, with the project `saccade`."""
    return Trackio(run)
