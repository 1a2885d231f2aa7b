"""Principal components of a store's regions, fitted in one pass that keeps no regions."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.core.errors import BadConfig
from saccade.features.reduction import pool as pooled
from saccade.features.store import FeatureStore

REGIONS = 200_000
"""So many regions, about, are enough to know the components by."""
TOGETHER = 32


class Components(NamedTuple):
    """The directions in which regions differ most."""

    mean: Tensor  # (D,) float32
    components: Tensor  # (k, D) float32, the most important first, each of length 1
    kept: float
    """Share of the regions' variance that they hold."""


def fit_pca(
    store: FeatureStore, rows: np.ndarray, number: int, pool: tuple[int, int] | None = None
) -> Components:
    """Fit `number` components to the real regions of some pictures, of some of these where they
    are many, after pooling.

    Raises BadConfig where there are fewer regions or fewer numbers per region.
    """
    rows = rows[store.counts[rows] > 0]
    each = int(np.prod(pool)) if pool else store.header.regions
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), max(REGIONS // each, 1))).astype(np.int64)
    dim, count = store.header.dim, 0
    total, products = torch.zeros(dim, dtype=torch.float64), torch.zeros(dim, dim).double()
    about = torch.zeros(dim)
    for begin in range(0, len(chosen), TOGETHER):
        regions = _real_regions(store, rows[chosen[begin : begin + TOGETHER]], pool)
        if count == 0:
            about = regions.mean(dim=0)  # near the mean, or squares would lose their last digits
        regions = regions - about
        total += regions.sum(dim=0).double()
        products += (regions.T @ regions).double()
        count += len(regions)
    if number > min(dim, count - 1):
        raise BadConfig(
            f"{number} components cannot be had of {count:,} training regions of {dim} numbers",
            cure=f"Give --pca at most {max(min(dim, count - 1), 0)}.",
        )
    mean = total / count
    spread, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    best = directions.T.flip(0)[:number]
    largest = best.gather(1, best.abs().argmax(dim=1, keepdim=True))
    best = best * largest.sign()  # either sign would do: always the same one
    spread = spread.flip(0).clamp_min(0)
    kept = float(spread[:number].sum() / spread.sum().clamp_min(1e-30))
    return Components((mean + about).float(), best.float().contiguous(), kept)


def _real_regions(store: FeatureStore, rows: np.ndarray, pool: tuple[int, int] | None) -> Tensor:
    """Regions `(n, D)` float32 of some pictures, without what only fills up."""
    read, mask = store.read(rows)
    regions = torch.from_numpy(read)
    if pool is None:
        return regions[torch.from_numpy(mask)].float()
    assert store.header.grid is not None  # all cells of a grid are real
    return pooled(regions, store.header.grid, pool).flatten(0, 1)
