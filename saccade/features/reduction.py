"""Reduction of regions: neighbours averaged (pooling), fewer numbers each (PCA), or int8.

A store is converted with these steps, and a new image goes through the same ones (`Reducer`), down
to the rounding, so that prediction and training get the same numbers.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from saccade.core.errors import BadConfig, BadStore
from saccade.features.settings import Reduction, Scale
from saccade.features.store_format import REDUCTION, from_bytes, read_reduction

INT8_MAX = 127
"""The largest value that is used, on either side of 0."""


class Bytes(NamedTuple):
    """Regions as int8."""

    values: Tensor  # (n, R, D) int8
    scales: Tensor  # (n, R) float32: what the numbers of each region are multiplied by


def to_bytes(regions: Tensor, channel: Tensor | None = None) -> Bytes:
    """Round regions `(n, R, D)` to int8 by a scale for each region, or for each channel.

    `channel (D,)` are known scales; values beyond 127 times a scale are clipped, and the scales of
    regions are then 1.
    """
    regions = regions.float()
    if channel is None:
        scales = regions.abs().amax(dim=2) / INT8_MAX
        step = scales.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
    else:
        scales, step = torch.ones(regions.shape[:2]), channel
    return Bytes((regions / step).round_().clamp_(-INT8_MAX, INT8_MAX).to(torch.int8), scales)


def channel_scales(largest: Tensor) -> Tensor:
    """Scales `(D,)` from the largest absolute value of each channel; at least a tiny number."""
    return (largest.float() / INT8_MAX).clamp_min(torch.finfo(torch.float32).tiny)


def refuse_uneven(grid: tuple[int, int], smaller: tuple[int, int]) -> None:
    """Raise BadConfig for a grid whose cells cannot be averaged to so many rows and columns."""
    (rows, columns), (high, wide) = grid, smaller
    if min(smaller) < 1 or rows % high or columns % wide:
        message = f"a grid of {rows} x {columns} cannot be averaged to {high} x {wide}"
        hint = "Choose a grid whose sides divide the old one's, such as 7 for 14."
        raise BadConfig(message, hint=hint)


def pool(regions: Tensor, grid: tuple[int, int], smaller: tuple[int, int]) -> Tensor:
    """Average the cells of a grid: `(n, rows * columns, D)` to `(n, fewer, D)`.

    Raises BadConfig unless whole cells fall together.
    """
    refuse_uneven(grid, smaller)
    (rows, columns), (high, wide) = grid, smaller
    cells = regions.unflatten(1, (high, rows // high, wide, columns // wide))
    averaged: Tensor = cells.float().mean(dim=(2, 4))
    return averaged.flatten(1, 2)


def digest_of_pca(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of mean and components, in hexadecimal."""
    digest = hashlib.sha256()
    for name in ("mean", "components"):
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def reduce(
    regions: Tensor,
    grid: tuple[int, int] | None,
    smaller: tuple[int, int] | None,
    pca: dict[str, Tensor],
) -> Tensor:
    """Regions `(n, R, D)` of a grid, pooled to a smaller one and projected, where either is given.

    `pca` has the `mean` and the `components`.
    """
    if smaller is not None:
        assert grid is not None  # a store of boxes cannot be pooled
        regions = pool(regions, grid, smaller)
    if pca:
        mean, components = (pca[name].to(regions.device) for name in ("mean", "components"))
        if torch.onnx.is_in_onnx_export():
            return (regions.float() - mean) @ components.T
        # One image at a time: in a larger product the last bits depend on the number of rows,
        # and a conversion that goes on must give what an undisturbed one gives.
        regions = torch.stack([(one - mean) @ components.T for one in regions.float()])
    return regions


class Reducer:
    """The steps that a store's header says follow the backbone, for other images."""

    def __init__(
        self, folder: Path, reduction: Reduction | None, dtype: str, scale: Scale | None
    ) -> None:
        """`folder` is a store's or a run's. Raises BadStore for missing or other components."""
        self.reduction, self.dtype = reduction or Reduction(), dtype
        pca = self.reduction.pca is not None
        self.tensors = read_tensors(folder) if pca or scale == "channel" else {}
        wanted = {*(("mean", "components") if pca else ()), *(["scales"] * (scale == "channel"))}
        if not wanted <= self.tensors.keys() or (
            pca and digest_of_pca(self.tensors) != self.reduction.pca_sha256
        ):
            message = "not the numbers that the features were made smaller with"
            hint = "Copy the file from the store that the run was trained on."
            raise BadStore(message, location=folder / REDUCTION, hint=hint)

    def reduce(self, regions: Tensor, grid: tuple[int, int] | None) -> Tensor:
        """Pool and project regions `(n, R, D)` of a grid; float32 where anything is done."""
        pca = self.tensors if self.reduction.pca is not None else {}
        return reduce(regions, grid, self.reduction.pool, pca)

    def rounded(self, regions: Tensor) -> Tensor:
        """Regions as the store would give them back: float32, rounded as its numbers are."""
        if self.dtype != "int8":
            return regions.to(getattr(torch, self.dtype)).float()
        channel = self.tensors.get("scales")
        packed = to_bytes(regions.cpu(), channel)
        scales = packed.scales[..., None] if channel is None else channel
        again = from_bytes(packed.values.numpy(), scales.numpy())
        return torch.from_numpy(again).to(regions.device)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Components and scales beside a store or a run. Raises BadStore."""
    return {name: torch.from_numpy(array) for name, array in read_reduction(folder).items()}
