"""Making regions smaller: neighbours averaged, fewer numbers each, or one byte a number.

A store is converted with these steps, and an image that comes later goes through the same ones
(`Reducer`), down to the rounding, so that asking and training see the same numbers.
"""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from saccade.core.errors import BadConfig, BadStore
from saccade.core.files import write_bytes
from saccade.features.settings import Reduction

FILE = "reduction.safetensors"
"""Beside a store and beside a run: `mean (D,)` and `components (k, D)` of PCA, and `scales (D,)`
where every channel has its own scale."""
Scale = Literal["row", "channel"]
MOST = 127
"""The largest number that a byte holds on either side of 0."""


class Bytes(NamedTuple):
    """Regions in one byte a number."""

    values: Tensor  # (n, R, D) int8
    scales: Tensor  # (n, R) float32: what the numbers of each region are multiplied by


def to_bytes(regions: Tensor, channel: Tensor | None = None) -> Bytes:
    """Round regions `(n, R, D)` to bytes by a scale for each region, or for each channel.

    `channel (D,)` are known scales; what is beyond 127 of one becomes 127 of it, and the scales of
    regions are then 1.
    """
    regions = regions.float()
    if channel is None:
        scales = regions.abs().amax(dim=2) / MOST
        step = scales.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
    else:
        scales, step = torch.ones(regions.shape[:2]), channel
    return Bytes((regions / step).round_().clamp_(-MOST, MOST).to(torch.int8), scales)


def from_bytes(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Regions `(n, R, D)` float32 of bytes again; scales are float32, `(n, R, 1)` or `(D,)`.

    With numpy, which goes over them once: torch, which first writes them all as float32 and then
    multiplies, takes 2.5 times as long.
    """
    regions: np.ndarray = np.multiply(values, scales, dtype=np.float32)
    return regions


def channel_scales(largest: Tensor) -> Tensor:
    """Scales `(D,)` from the largest absolute value of each channel; at least a tiny number."""
    return (largest.float() / MOST).clamp_min(torch.finfo(torch.float32).tiny)


def refuse_uneven(grid: tuple[int, int], smaller: tuple[int, int]) -> None:
    """Raise BadConfig for a grid whose cells cannot be averaged to so many rows and columns."""
    (rows, columns), (high, wide) = grid, smaller
    if min(smaller) < 1 or rows % high or columns % wide:
        raise BadConfig(
            f"a grid of {rows} x {columns} cannot be averaged to {high} x {wide}",
            hint="Choose a grid whose sides divide the old one's, such as 7 for 14.",
        )


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


class Reducer:
    """What a store's header says was done behind the backbone, ready for other images."""

    def __init__(
        self, folder: Path, reduction: Reduction | None, dtype: str, scale: Scale | None
    ) -> None:
        """Read what is needed from `folder`, a store's or a run's. Raises BadStore."""
        self.reduction, self.dtype = reduction or Reduction(), dtype
        pca = self.reduction.pca is not None
        self.tensors = read_tensors(folder) if pca or scale == "channel" else {}
        wanted = {*(("mean", "components") if pca else ()), *(["scales"] * (scale == "channel"))}
        if not wanted <= self.tensors.keys() or (
            pca and digest_of_pca(self.tensors) != self.reduction.pca_sha256
        ):
            raise BadStore(
                "not the numbers that the features were made smaller with",
                location=folder / FILE,
                hint="Copy the file from the store that the run was trained on.",
            )

    @classmethod
    def of(cls, pool: tuple[int, int] | None, pca: dict[str, Tensor]) -> "Reducer":
        """Pooling and projecting with numbers that are at hand, `mean` and `components`."""
        made = cls(Path(), None, "float32", None)
        made.reduction = Reduction(pool=pool, pca=len(pca["components"]) if pca else None)
        made.tensors = pca
        return made

    def reduce(self, regions: Tensor, grid: tuple[int, int] | None) -> Tensor:
        """Pool and project regions `(n, R, D)` of a grid; float32 where anything is done."""
        if self.reduction.pool is not None:
            assert grid is not None  # a store of boxes cannot be pooled
            regions = pool(regions, grid, self.reduction.pool)
        if self.reduction.pca is not None:
            mean, components = (
                self.tensors[name].to(regions.device) for name in ("mean", "components")
            )
            regions = (regions.float() - mean) @ components.T
        return regions

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
    """The numbers beside a store or a run that its regions were made smaller with.

    Raises BadStore.
    """
    try:
        return load_file(folder / FILE)
    except (OSError, SafetensorError) as error:
        hint = "Copy it from the store that the features were converted to, or convert again."
        raise BadStore(f"unreadable ({error})", location=folder / FILE, hint=hint) from None


def read_channel_scales(folder: Path, dim: int) -> np.ndarray:
    """The scale of each channel beside a store or a run: `(dim,)` float32. Raises BadStore."""
    scales = read_tensors(folder).get("scales")
    if scales is None or scales.shape != (dim,) or scales.dtype != torch.float32:
        message = f"holds no scales of {dim} channels"
        raise BadStore(message, location=folder / FILE, hint="Convert the store again.")
    found: np.ndarray = scales.numpy()
    return found


def write_tensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write them beside a store, in one go."""
    write_bytes(folder / FILE, save(tensors))


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the file that `write_tensors` makes, in hexadecimal."""
    return hashlib.sha256(save(tensors)).hexdigest()
