"""A recipe's real model, tried on its real data without a run: `saccade check --probe`."""

from collections.abc import Iterable

import torch

from saccade.checks.catalogue import finding
from saccade.core.devices import choose_device
from saccade.data.checks import Finding
from saccade.evaluation.tasks import TASKS
from saccade.experiment import Experiment
from saccade.training.initialise import fresh_model, initialise
from saccade.training.loop import training_of
from saccade.training.probes import probe, setting_findings

PROBE_SECONDS = 12.0
"""Of each of at most three trainings, so that all end within a minute."""


def try_model(experiment: Experiment, before: Iterable[Finding]) -> list[Finding]:
    """What `probes` finds of an experiment's settings and of its model, which is built as `train`
    builds it; a note alone where `before` has errors, by which training would not begin."""
    if any(one.level == "error" for one in before):
        return [finding("model-not-tried", "there are errors, without which it can be tried")]
    recipe = experiment.recipe
    examples, config = TASKS[recipe.task].examples(experiment, "train"), training_of(recipe)
    found = [*setting_findings(config, len(examples.image))]
    with torch.random.fork_rng():
        model = fresh_model(experiment)
        if config.self_critical is None:
            initialise(model, experiment, examples)
        model = model.to(choose_device("auto"))
        tried = probe(model, examples, recipe, config, seconds=PROBE_SECONDS)
    known = {one.name for one in found}
    return found + [one for one in tried if one.name not in known]
