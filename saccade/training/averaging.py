"""Averages of weights, which generalise better than the weights of any one step."""

import torch
from torch import nn


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
