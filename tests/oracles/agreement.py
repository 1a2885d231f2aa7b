"""Whether saccade's model and a published one compute the same: answers, attention, gradients.

A `translate` function turns all of a published model's tensors into saccade's, by names, transposes
and reorderings alone. It carries the weights over and, being linear, the gradients too, so that
every number of the one gradient is compared with its partner in the other.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

Translate = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class Answered(NamedTuple):
    """What a published VQA model gives back for a batch of questions."""

    logits: Tensor  # (B, A)
    attention: Tensor | None = None  # (B, G, R)


def renamed(names: Mapping[str, str]) -> Translate:
    """Translate by layer names alone: {"published layer": "saccade's layer"}."""

    def translate(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ours = {}
        for name, tensor in published.items():
            layer, _, leaf = name.rpartition(".")
            ours[f"{names[layer]}.{leaf}"] = tensor
        return ours

    return translate


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter of a model by name."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradient of every parameter by name; zeros where none arrived."""
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }


def give_weights(published: nn.Module, ours: nn.Module, translate: Translate) -> None:
    """Load a published model's weights into saccade's; every parameter must find its partner."""
    ours.load_state_dict(translate(weights(published)))


def require_agreement(
    published: nn.Module,
    ours: nn.Module,
    translate: Translate,
    theirs: Answered,
    mine: Answered,
    limit: float = 1e-9,
) -> None:
    """Compare answers and attention of two models that share weights, then all gradients."""
    torch.testing.assert_close(mine.logits, theirs.logits, rtol=limit, atol=limit)
    if theirs.attention is not None:
        torch.testing.assert_close(mine.attention, theirs.attention, rtol=limit, atol=limit)
    noise = torch.randn_like(theirs.logits)
    (theirs.logits * noise).sum().backward()
    (mine.logits * noise).sum().backward()
    wanted = translate(gradients(published))
    for name, got in gradients(ours).items():
        message = f"{name}: {(got - wanted[name]).abs().max():.2g} apart at most"
        assert torch.allclose(got, wanted[name], rtol=limit, atol=limit), message
