"""Both programs brought to the same weights, whatever their names and shapes.

As `names.py`, for systems whose layers also differ in the last part of a name, are split, or
keep their gates in another order: a `Converter` turns a published state dict into saccade's. It is
linear and moves numbers without changing them, so it turns gradients too.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
Converter = Callable[[State], State]


def renaming(names: Mapping[str, str]) -> Converter:
    """Only names differ: the longest beginning of a name that is known counts."""

    def convert(state: State) -> State:
        converted = {}
        for name, value in state.items():
            begin = max((begin for begin in names if name.startswith(begin)), key=len, default=None)
            if begin is None:
                raise KeyError(f"{name} has no partner")
            converted[names[begin] + name[len(begin) :]] = value
        return converted

    return convert


def copy_weights(published: nn.Module, ours: nn.Module, convert: Converter) -> None:
    """Give saccade's model the published one's state; both sides must come out even."""
    ours.load_state_dict(convert(dict(published.state_dict())), strict=True)


def gradient_gap(published: nn.Module, ours: nn.Module, convert: Converter) -> float:
    """Relative L2 distance of the two whole gradients; a gradient that is missing counts as 0."""
    wanted = convert({name: _gradient(p) for name, p in published.named_parameters()})
    got = {name: _gradient(p) for name, p in ours.named_parameters()}
    if wanted.keys() != got.keys():
        raise KeyError(f"without a partner: {', '.join(wanted.keys() ^ got.keys())}")
    apart = sum(float((wanted[n] - got[n]).double().square().sum()) for n in wanted)
    size = sum(float(gradient.double().square().sum()) for gradient in wanted.values())
    return float((apart / size) ** 0.5)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
