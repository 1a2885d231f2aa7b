"""Fine-tuning of a network: its stages, its batch norm, and memory for its gradients."""

import re
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from saccade.core.errors import BadConfig

STAGE = re.compile(r"\D+\.\d+(?=\.)|[^.]+\.[^.]+(?=\.)")
"""A numbered module, or one of the network's second level, in the name of a weight."""


def weights_from(network: nn.Module, stage: str) -> frozenset[str]:
    """Names of the weights of a stage and of all stages behind it.

    `stage` is a number, 0 for the stem, or what the names of its weights begin with, such as
    `layer2` or `blocks.10`. Raises BadConfig where there is no such stage.
    """
    numbered = stage.isdigit()
    order = _places(network, coarse=numbered)
    places = [place for name, place in order.items() if f"{name}.".startswith(f"{stage}.")]
    first = int(stage) if numbered else min(places, default=len(order))
    found = frozenset(name for name, place in order.items() if place >= first)
    if not found:
        coarse = _places(network, coarse=True)
        begins = {place: name for name, place in reversed(coarse.items())}
        stages = [f"{place} ({'.'.join(begins[place].split('.')[:2])})" for place in sorted(begins)]
        hint = f"Stages and the weights they begin with: {', '.join(stages)}."
        raise BadConfig(f"encoder.trains_from={stage}: the network has no such stage", hint=hint)
    return found


def _places(network: Any, *, coarse: bool) -> dict[str, int]:
    """The stage, or the block of one, of every weight, counted from the image on."""
    if hasattr(network, "group_matcher"):
        from timm.models import group_parameters  # noqa: PLC0415 - slow, and not for detectors

        matcher = network.group_matcher(coarse=coarse)
        return dict(group_parameters(network, matcher, reverse=True))
    # Else numbered modules follow each other, something else stands before and behind them.
    stages: dict[str, int] = {}
    found = {name: STAGE.match(name) for name, _ in network.named_parameters()}
    return {
        name: stages.setdefault(stage.group() if stage else name, len(stages))
        for name, stage in found.items()
    }


def forget_activations(network: Any) -> None:
    """Compute activations again for the gradient instead of keeping them. Raises BadConfig."""
    try:
        network.set_grad_checkpointing(True)
    except (AttributeError, AssertionError):
        hint = "Set encoder.checkpointing=false."
        raise BadConfig("this network cannot forget its activations", hint=hint) from None


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch-norm layers of a network."""
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


def is_folded(network: nn.Module) -> bool:
    """Whether statistics of batch norm were folded into the convolutions.

    Then every layer has weight 1, mean 0 and variance 1 - epsilon: it adds its bias and does
    nothing else. Statistics of a batch would do something else entirely.
    """
    layers = batch_norms(network)
    return bool(layers) and all(
        layer.weight is not None
        and layer.running_mean is not None
        and layer.running_var is not None
        and bool((layer.weight == 1).all())
        and not layer.running_mean.any()
        and bool(((layer.running_var + layer.eps - 1).abs() < layer.eps / 2).all())
        for layer in layers
    )


@torch.no_grad()
def unfold_batch_norm(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Give folded batch norm true statistics; what the network computes in eval mode stays.

    `images` are normalised `(n, 3, h, w)`, some hundreds together. Each layer's mean and variance
    become those of its input, and its weight and bias take them back.
    """
    zero = torch.zeros((), dtype=torch.float64)
    sums: dict[nn.Module, tuple[Tensor, Tensor, int]] = {}

    def add(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        values = given[0].transpose(0, 1).flatten(1)  # (channels, all else)
        total, squares, count = sums.get(layer, (zero, zero, 0))
        sums[layer] = (
            total + values.sum(dim=1, dtype=torch.float64),
            squares + values.square().sum(dim=1, dtype=torch.float64),
            count + values.shape[1],
        )

    layers = batch_norms(network)
    hooks = [layer.register_forward_pre_hook(add) for layer in layers]
    for some in images:
        network(some)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        total, squares, count = sums[layer]
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0)
        cast(Tensor, layer.running_mean).copy_(mean)
        cast(Tensor, layer.running_var).copy_(variance)
        layer.weight.copy_((variance + layer.eps).sqrt())
        layer.bias.add_(mean)
