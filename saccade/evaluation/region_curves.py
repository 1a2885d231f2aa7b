"""Deletion and insertion curves over regions: what a model's probability does as regions are hidden
in the order of a map's weights, or shown in that order.

Shapes: B examples, M maps of each, R regions, S = `STEPS` + 1 points of a curve.

Source: Petsiuk et al. 2018 (RISE), section 4.2, for pixels. Here a step hides regions, the start
point is on the curve, and the axis is the share of regions, 0..1.
"""

import torch
from torch import Tensor

STEPS = 10
"""Steps of a curve. The first one hides a tenth of the regions, or one where they are few."""
EQUAL = 1e-5
"""Weights are compared in steps of this: what rounding makes of equal ones must not order them."""


def ranks(weights: Tensor, mask: Tensor, keys: Tensor) -> Tensor:
    """The place of each region in the order of falling weights, 0 for the largest: `(B, R)` int64.

    `keys (B, R)`, drawn at random, decide between equal weights: never where the regions lie.
    Regions that are not in `mask (B, R)` come last.
    """
    levels = (weights / EQUAL).round().masked_fill(~mask, -torch.inf)
    order = keys.argsort(dim=-1)
    order = order.gather(-1, (-levels).gather(-1, order).argsort(dim=-1, stable=True))
    return order.argsort(dim=-1)


def hidden_counts(mask: Tensor) -> Tensor:
    """How many regions each point of a curve hides: `(B, S)` int64, from 0 to all of `mask`."""
    regions = mask.sum(dim=1, keepdim=True)
    steps = torch.arange(STEPS + 1, device=mask.device)
    counts = (regions * steps / STEPS).round().long()
    return torch.where(steps > 0, counts.clamp_min(1), 0)


def hidden_regions(ranks: Tensor, counts: Tensor) -> Tensor:
    """The regions that each point of the curves hides: `(B, M, 2, S - 2, R)` bool.

    `ranks (B, M, R)`; the curves are deletion, then insertion, without their ends, which hide
    nothing or everything in any order.
    """
    inner = counts[:, None, 1:-1, None]  # (B, 1, S - 2, 1)
    place = ranks[:, :, None, :]  # (B, M, 1, R)
    return torch.stack([place < inner, place >= inner], dim=2)


def area(curve: Tensor, counts: Tensor) -> Tensor:
    """The area below curves `(B, ..., S)` over the share of regions, by the trapezoidal rule.

    `counts (B, S)` are those of `hidden_counts`; an area is a mean probability, 0..1.
    """
    share = counts / counts[:, -1:]
    width = share.diff(dim=1).view(len(share), *[1] * (curve.ndim - 2), -1)
    return (width * (curve[..., 1:] + curve[..., :-1]) / 2).sum(dim=-1)


def rank_correlation(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Spearman's correlation of two maps `(B, R)` over the regions of `mask`: `(B,)`, -1..1.

    Equal weights share their mean rank; NaN where a map is constant.
    """

    def centred(weights: Tensor) -> Tensor:
        levels, both = (weights / EQUAL).round(), mask[:, :, None] & mask[:, None, :]
        below = (levels[:, :, None] > levels[:, None, :]) & both
        equal = (levels[:, :, None] == levels[:, None, :]) & both
        rank = below.sum(dim=2) + equal.sum(dim=2).double() / 2
        mean = (rank * mask).sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True)
        return (rank - mean) * mask

    one, other = centred(first.double()), centred(second.double())
    norm = one.norm(dim=1) * other.norm(dim=1)
    return torch.where(norm > 0, (one * other).sum(dim=1) / norm, torch.nan)


def is_constant(weights: Tensor, mask: Tensor) -> Tensor:
    """Which maps `(B, R)` weigh all regions of `mask` alike, and so mark nothing: `(B,)` bool."""
    most = weights.masked_fill(~mask, -torch.inf).amax(dim=1)
    least = weights.masked_fill(~mask, torch.inf).amin(dim=1)
    return most - least < EQUAL
