"""Conversion of a feature store into a smaller one beside it.

With other numbers (float32, float16, or int8 with a scale), a coarser grid, or fewer numbers per
region (PCA). New images go through the same steps; a run accepts its features in any type.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import save
from torch import Tensor

from saccade.core.errors import BadConfig, BadData, BadStore
from saccade.core.files import link_or_copy, write_bytes
from saccade.core.formatting import size_in_words
from saccade.core.settings import Settings, checked_settings
from saccade.data.folder import DataFolder
from saccade.features import reduction
from saccade.features.reduction import pool as pool_grid
from saccade.features.settings import PIXELS, Reduction, Scale
from saccade.features.statistics import image_statistics
from saccade.features.store import FeatureStore, StoreHeader
from saccade.features.store_format import BACKBONE, REDUCTION
from saccade.features.store_writer import StoreWriter

TOGETHER = 32
"""Images that are converted at once."""
PCA_REGIONS = 200_000
"""Regions, about, that the components are fitted to at most."""
PCA_IMAGES = 32
"""Images at once. No setting: the sums below depend on it in their last bits."""


def fit_pca(
    store: FeatureStore, rows: np.ndarray, number: int, pool: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor, float]:
    """The first `number` principal components of the real regions of some images, after pooling.

    Returns the mean `(D,)`; the components `(k, D)`, the most important first, each of length 1;
    and the share of the variance that they hold. One pass, in which no regions are kept; where
    there are many images, over some of them. Raises BadConfig where there are fewer regions or
    fewer numbers per region.
    """
    rows = rows[store.counts[rows] > 0]
    each = int(np.prod(pool)) if pool else store.header.regions
    images = min(len(rows), max(PCA_REGIONS // each, 1))
    chosen = np.linspace(0, len(rows) - 1, images).astype(np.int64)
    dim, count = store.header.dim, 0
    total, products = torch.zeros(dim, dtype=torch.float64), torch.zeros(dim, dim).double()
    offset = torch.zeros(dim)
    for begin in range(0, len(chosen), PCA_IMAGES):
        read, mask = store.read(rows[chosen[begin : begin + PCA_IMAGES]])
        regions = torch.from_numpy(read)
        if pool is None:
            regions = regions[torch.from_numpy(mask)].float()  # without padding
        else:
            assert store.header.grid is not None  # all cells of a grid are real
            regions = pool_grid(regions, store.header.grid, pool).flatten(0, 1)
        if count == 0:
            offset = regions.mean(dim=0)  # near the mean, or squares would lose their last digits
        regions = regions - offset
        total += regions.sum(dim=0).double()
        products += (regions.T @ regions).double()
        count += len(regions)
    if number > min(dim, count - 1):
        message = f"{number} components cannot be had of {count:,} regions of {dim} numbers"
        raise BadConfig(message, hint=f"Give --pca at most {max(min(dim, count - 1), 0)}.")
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    best = directions.T.flip(0)[:number]
    largest = best.gather(1, best.abs().argmax(dim=1, keepdim=True))
    best = best * largest.sign()  # either sign would do: always the same one
    variances = variances.flip(0).clamp_min(0)
    kept = float(variances[:number].sum() / variances.sum().clamp_min(1e-30))
    return (mean + offset).float(), best.float().contiguous(), kept


class ConvertSettings(Settings):
    """Settings of a conversion."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the new store; by default the old one's name and the steps."""
    dtype: Literal["float32", "float16", "int8"] | None = None
    """By default the old one's."""
    scale: Scale | None = None
    """Of int8: one for each region (`row`), or one for each of its numbers (`channel`)."""
    pool: int | None = Field(None, ge=1)
    """Rows and columns of a coarser grid."""
    pca: int | None = Field(None, ge=1)
    """Numbers per region afterwards."""
    data: Path | None = None
    """The data folder, where the store does not lie in it: PCA is fitted to training images."""


def convert_store(path: Path, say: Callable[[str], object] = str, **settings: Any) -> Path:
    """Convert a complete store into a new one beside it; a killed conversion goes on.

    Args:
        path: The store.
        say: Called with sizes before anything is written.
        **settings: The fields of `ConvertSettings`.

    Returns:
        The path of the new store.

    Raises:
        BadConfig, BadData, BadStore: With the reason and what to do.
    """
    chosen = checked_settings(ConvertSettings, "store convert", **settings)
    old = FeatureStore.open(path)
    dtype, scale = _numbers(old.header, chosen)
    path = path if path.name not in ("", "..") else path.resolve()
    steps = [f"pool{chosen.pool}" if chosen.pool else "", f"pca{chosen.pca}" if chosen.pca else ""]
    steps += [dtype if chosen.dtype or scale else "", scale or ""]
    name = chosen.name or "-".join(filter(None, [path.name, *steps]))
    target = path.parent / name
    if name == path.name:
        raise BadConfig("the new store is the old one", hint="Say what to do, or give --name.")
    tensors = _tensors(old, chosen, scale, target, say)
    header = _header(old.header, chosen, tensors, (dtype, scale), path)
    say(
        f"{size_in_words(old.header.nbytes())} become {size_in_words(header.nbytes())} "
        f"({dtype}{f', a scale for each {scale}' if scale else ''}) in {target}"
    )
    with StoreWriter(target, header, old.ids) as writer:
        if writer.complete:
            say("complete already: nothing to do")
            return target
        if tensors:
            write_bytes(target / REDUCTION, save(tensors))
        if (path / BACKBONE).exists() and not (target / BACKBONE).exists():
            link_or_copy(path / BACKBONE, target / BACKBONE)
        for columns in _columns(old, writer):
            writer.add(**columns)
        writer.finish()
    return target


def _numbers(old: StoreHeader, chosen: ConvertSettings) -> tuple[str, Scale | None]:
    """Type and scale of the new store. Raises BadConfig for steps that cannot be done."""
    if old.backbone.name == PIXELS:
        raise BadConfig("pixels are not converted", hint="Extract smaller ones: --size.")
    dtype = chosen.dtype or ("int8" if chosen.scale else old.dtype)
    if chosen.scale and dtype != "int8":
        raise BadConfig(f"{dtype} needs no scale", hint="Leave out --scale, or give --dtype int8.")
    if chosen.pool:
        if old.grid is None:
            raise BadConfig("regions that are no grid cannot be averaged", hint="Leave out --pool.")
        reduction.refuse_uneven(old.grid, (chosen.pool, chosen.pool))
    if (chosen.pool or chosen.pca) and old.reduction and old.reduction.pca:
        hint = "Convert the store that this one was made of."
        raise BadConfig("PCA was done already, and no other step can follow", hint=hint)
    return dtype, (chosen.scale or old.scale or "row") if dtype == "int8" else None


def _header(
    old: StoreHeader,
    chosen: ConvertSettings,
    tensors: dict[str, Tensor],
    numbers: tuple[str, Scale | None],
    path: Path,
) -> StoreHeader:
    before = old.reduction or Reduction()
    pool = (chosen.pool, chosen.pool) if chosen.pool else before.pool
    digest = reduction.digest_of_pca(tensors) if "mean" in tensors else None
    small = Reduction(pool=pool, pca=chosen.pca or before.pca, pca_sha256=digest)
    grid = pool or old.grid
    given = chosen.model_dump(exclude_defaults=True).items()
    words = [w for field, value in given for w in (f"--{field}", str(value))]
    changes = {
        "grid": grid,
        "regions": grid[0] * grid[1] if grid else old.regions,
        "dim": chosen.pca or old.dim,
        "dtype": numbers[0],
        "scale": numbers[1],
        "reduction": small if small != Reduction() else None,
        "reduction_sha256": hashlib.sha256(save(tensors)).hexdigest() if tensors else None,
        "complete": False,
        "command": shlex.join(["saccade", "store", "convert", str(path), *words]),
    }
    return StoreHeader.model_validate({**old.model_dump(exclude={"format"}), **changes})


def _tensors(
    old: FeatureStore,
    chosen: ConvertSettings,
    scale: Scale | None,
    target: Path,
    say: Callable[[str], object],
) -> dict[str, Tensor]:
    """Components and scales of the new store: as a first, killed try computed them, or new."""
    if (target / REDUCTION).exists():
        return reduction.read_tensors(target)
    tensors: dict[str, Tensor] = {}
    pool = (chosen.pool, chosen.pool) if chosen.pool else None
    if chosen.pca is not None:
        folder = chosen.data or old.path.absolute().parent.parent
        try:
            images = DataFolder(folder).images()
        except BadData as error:
            hint = "Say where the data folder is, for its training images: --data DATA."
            raise BadData(error.message, location=error.location, hint=hint) from None
        ids = sorted(one.id for one in images if one.split == "train")
        mean, components, kept = fit_pca(old, old.rows(ids), chosen.pca, pool)
        tensors = {"mean": mean, "components": components}
        say(f"{chosen.pca} of {old.header.dim} components keep {100 * kept:.1f} % of variance")
    elif old.header.reduction and old.header.reduction.pca:
        before = reduction.read_tensors(old.path)
        tensors = {name: before[name] for name in ("mean", "components")}
    if scale == "channel":
        largest = torch.zeros(chosen.pca or old.header.dim)
        for _, regions, _ in _parts(old, pool, tensors if chosen.pca else {}, 0):
            largest = torch.maximum(largest, regions.abs().amax(dim=(0, 1)))
        tensors["scales"] = reduction.channel_scales(largest)
    return tensors


def _parts(
    old: FeatureStore, pool: tuple[int, int] | None, pca: dict[str, Tensor], first_row: int
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """The old store's images from a row on, some at a time, pooled and projected: row numbers,
    regions `(n, R, D)` float32 with padding of 0, and their mask `(n, R)`.
    """
    for start in range(first_row, old.header.rows, TOGETHER):
        rows = np.arange(start, min(start + TOGETHER, old.header.rows))
        read, real = old.read(rows)
        if not np.isfinite(read).all():
            message = f"features of image {old.ids[start % len(old)]} or a next one are no numbers"
            hint = f"See: saccade store verify {shlex.quote(str(old.path))}"
            raise BadStore(message, location=old.path, hint=hint)
        regions = reduction.reduce(torch.from_numpy(read), old.header.grid, pool, pca).float()
        real = np.repeat(real.any(axis=1, keepdims=True), regions.shape[1], 1) if pool else real
        mask = torch.from_numpy(real)
        yield rows, regions.mul_(mask[..., None]), mask


def _columns(old: FeatureStore, writer: StoreWriter) -> Iterator[dict[str, Any]]:
    """The new store's columns, some rows at a time. Raises BadStore for numbers too large."""
    header, target, begin = writer.header, writer.path, writer.done
    new, before = header.reduction or Reduction(), old.header.reduction or Reduction()
    tensors = reduction.read_tensors(target) if header.reduction_sha256 else {}
    pca = tensors if new.pca != before.pca else {}
    skipped = {one.id: one for one in old.skipped()}
    pool = new.pool if new.pool != before.pool else None
    for rows, regions, mask in _parts(old, pool, pca, begin):
        columns: dict[str, Any] = {
            "counts": mask.sum(dim=1).numpy().astype(np.int32),
            "sizes": old.sizes[rows],
            "boxes": old.boxes(rows) if header.grid is None else None,
            "scores": old.scores(rows),
            "skipped": [
                skipped[one] for one in old.ids[rows % len(old)].tolist() if one in skipped
            ],
        }
        if header.dtype == "int8":
            packed = reduction.to_bytes(regions, tensors.get("scales"))
            columns |= {"features": packed.values.numpy(), "scales": packed.scales.numpy()}
        else:
            columns["features"] = regions.to(getattr(torch, header.dtype)).numpy()
            if not np.isfinite(columns["features"]).all():
                message = (
                    f"image {old.ids[rows[0] % len(old)]} or a next one does not fit {header.dtype}"
                )
                other = " and another --name" if writer.done else ""
                raise BadStore(message, location=target, hint=f"Give --dtype float32{other}.")
        if old.statistics is not None:
            numbers = columns["features"], columns["counts"], header.grid
            columns["statistics"] = image_statistics(*numbers, old.statistics["file"][rows])
        yield columns
