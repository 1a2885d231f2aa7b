"""Averages of weights, which generalise better than the weights of any one step."""

from pathlib import Path

import torch
from torch import nn

from saccade.core.errors import BadRun
from saccade.core.run_files import WEIGHTS, refuse_run
from saccade.core.tensors import load_tensors, save_tensors
from saccade.run_folder import (
    BACKBONE,
    CHECKPOINTS,
    Origin,
    as_parent,
    checkpoints,
    open_run,
    write_run,
)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the average of a model's weights towards them, after `step` earlier steps.

    The decay grows to its full value, so that the first weights, which know nothing, are soon
    forgotten; the first step copies. Buffers, such as the statistics of batch norm, are copied:
    they are moving averages already. Polyak & Juditsky 1992; that the decay grows is TensorFlow's.
    """
    share = 1 - min(decay, step / (step + 9))
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, share)
    for held, buffer in zip(average.buffers(), model.buffers(), strict=True):
        held.copy_(buffer)


def average_checkpoints(run: Path, out: Path, last: int) -> list[int]:
    """Make a run of the mean of a run's last checkpoints, as `saccade.average` describes."""
    refuse_run(out)
    opened, kept = open_run(run), checkpoints(run)
    if len(kept) < last:
        message = f"there are {len(kept)} checkpoints, and --last is {last}"
        hint = "Train with --keep all or --keep 'every N', or average fewer (at least 2)."
        raise BadRun(message, location=run / CHECKPOINTS, hint=hint)
    epochs = sorted(kept)[-last:]
    tensors, _ = load_tensors(kept[epochs[-1]])  # counters are its own
    means = {name: value.double() for name, value in tensors.items() if value.is_floating_point()}
    for number, epoch in enumerate(reversed(epochs[:-1]), start=2):
        other, _ = load_tensors(kept[epoch])
        if {n: v.shape for n, v in other.items()} != {n: v.shape for n, v in tensors.items()}:
            message = "its weights are of another model than those of the last checkpoint"
            raise BadRun(message, location=kept[epoch], hint="Take it away; it is not of this run.")
        for name, mean in means.items():
            mean.lerp_(other[name].double(), 1 / number)
    tensors |= {name: mean.to(tensors[name].dtype) for name, mean in means.items()}
    out.mkdir(parents=True, exist_ok=True)
    about = {"averaged": f"epochs {', '.join(map(str, epochs))} of {run}"}
    save_tensors(out / WEIGHTS, tensors, about)
    header = opened.header
    origin = Origin(
        header.store,
        header.store_name,
        header.data,
        header.fingerprint,
        as_parent(run),
        header.revision,
    )
    made = header.recipe, header.sizes, opened.words
    # `run.json` comes last: without it the folder is no run.
    write_run(out, header.recipe_name, made, origin, run / BACKBONE)
    return epochs
