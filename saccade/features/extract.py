"""Extraction of features: a frozen backbone encodes every image once, `saccade extract`.

Training reads regions from the store and never the images, which is hundreds of times as fast. A
run that was killed goes on where it stopped.
"""

import shlex
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadData
from saccade.core.settings import Settings, checked_settings
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.features.backbones import Backbone, build_backbone, choose_backbone, preprocessing_for
from saccade.features.images import ImageBatches, ReadBatch
from saccade.features.progress import extraction_bar, say_complete, say_made, say_remarks, say_start
from saccade.features.settings import PIXELS, Colour, Interpolation, Option, Resize
from saccade.features.store import StoreHeader, images_fingerprint
from saccade.features.store_format import BACKBONE
from saccade.features.store_writer import StoreWriter

PREPROCESSING = ("size", "resize", "resize_to", "mean", "std", "interpolation")
"""Settings that, where given, replace the network's own."""


class ExtractSettings(Settings):
    """Settings of an extraction."""

    backbone: str
    """`timm:NAME`, `transformers:NAME`, or `torchvision:NAME` of a detector; or `pixels`."""
    weights: str | Path = "hub"
    """`hub`, `random`, or a file; for `transformers:NAME` also a folder."""
    options: dict[str, Option] = Field({})
    """Passed to `timm.create_model`, or to `ViTConfig`; or how a detector chooses boxes."""
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the store; by default network and size."""
    size: int | None = Field(None, ge=8, le=4096)
    """Side of the backbone's square input, in pixels. This and the next five are the network's own
    by default."""
    resize: Resize | None = None
    resize_to: int | None = None
    mean: Colour | None = None
    std: Colour | None = None
    interpolation: Interpolation | None = None
    dtype: Literal["float16", "float32"] | None = None
    """By default float16; pixels are uint8."""
    batch_size: int = Field(32, ge=1)
    workers: int = Field(0, ge=0)
    """Processes that decode images; 0 decodes in this one."""
    device: str = "auto"
    """`auto` is the GPU where there is one."""
    image_root: Path | None = None
    """Where the images are now, if they have moved."""
    progress: bool | None = None
    """Show a bar; by default on a terminal only."""

    @model_validator(mode="after")
    def _pixels_are_bytes(self) -> Self:
        if self.backbone == PIXELS and self.dtype is not None:
            raise ValueError("pixels are always uint8: leave dtype out")
        return self

    def command(self, data: Path) -> str:
        """The command that starts, or goes on with, the same extraction."""
        words = ["saccade", "extract", str(data)]
        for field, value in self.model_dump(exclude_defaults=True).items():
            if field == "options":
                words += [w for k, v in value.items() for w in ("--option", f"{k}={v}")]
            elif field in ("mean", "std"):
                words += [f"--{field}", ",".join(f"{share:g}" for share in value)]
            elif field != "progress":
                words += [f"--{field.replace('_', '-')}", str(value)]
        return shlex.join(words)


def extract(data: str | Path, backbone: str, **settings: Any) -> Path:
    """Extract the features of a data folder's images into a store.

    A store made with equal settings is finished, or left alone if it is complete. Images that
    cannot be read are left out, named at the end and in `skipped.json`.

    Args:
        data: The data folder.
        backbone: `timm:NAME`, `transformers:NAME`, `torchvision:NAME` or `pixels`.
        **settings: The other fields of `ExtractSettings`.

    Returns:
        The path of the store.

    Raises:
        BadConfig, BadData, BadStore, MissingWeights: Nearly always before the first image.
    """
    chosen = checked_settings(ExtractSettings, "extract", backbone=backbone, **settings)
    folder = DataFolder(Path(data), image_root=chosen.image_root)
    images = sorted(folder.images(), key=lambda image: image.id)
    refuse_wrong_root(folder.image_root, images)
    device = choose_device(chosen.device)
    network = choose_backbone(chosen.backbone, chosen.weights, chosen.options, size=chosen.size)
    wishes = {name: getattr(chosen, name) for name in PREPROCESSING}
    preprocessing = preprocessing_for(network.spec, window=folder.window, **wishes)
    header = StoreHeader(
        backbone=network.spec,
        preprocessing=preprocessing,
        **network.layout(preprocessing)._asdict(),
        scores=network.finds_boxes,
        dtype="uint8" if network.spec.name == PIXELS else chosen.dtype or "float16",
        ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command=chosen.command(Path(data)),
    )
    random = "-random" if network.spec.weights == "random" else ""
    short = network.spec.network.rpartition("/")[2]
    path = folder.store_path(chosen.name or f"{short}-{preprocessing.height}{random}")
    ids = np.array([image.id for image in images], dtype=np.int64)
    with StoreWriter(path, header, ids) as writer:
        if writer.complete:
            say_complete(path, len(writer.skipped))
            return path
        if (kept := path / BACKBONE).exists():  # the network that the store was begun with
            network = build_backbone(network.spec, kept)
        elif network.spec.name != PIXELS:
            network.save(kept)
        network.to(device)
        batches = partial(ImageBatches, folder.image_root, images[writer.done :], preprocessing)
        few = batches(max(min(4, chosen.batch_size, len(images) - writer.done), 1))
        say_start(writer, _seconds_per_image(network, few, device), str(device))
        told = 0
        loader = batches(chosen.batch_size).loader(chosen.workers, pin=device.type == "cuda")
        with extraction_bar(writer, chosen.progress) as bar:
            for read in loader:
                columns = _columns(network, read, writer, chosen.batch_size, device)
                writer.add(**columns, skipped=read.skipped)
                told = say_remarks(read.remarks, told)
                bar.advance(bar.task_ids[0], len(read.readable))
        writer.finish()
        say_made(path, writer.skipped, len(images), told)
    return path


def _columns(
    network: Backbone, read: ReadBatch, writer: StoreWriter, batch_size: int, device: torch.device
) -> dict[str, np.ndarray]:
    """The store's columns of a batch; 0 for unreadable images."""
    header, count = writer.header, len(read.readable)
    columns = header.columns().items()
    stored = {name: np.zeros((count, *shape[1:]), kind) for name, (shape, kind) in columns}
    stored["sizes"] = read.sizes
    if not read.readable.any():
        return stored
    try:
        pixels = read.pixels.to(device, non_blocking=True)
        encoded = network.encode(pixels, header.preprocessing, read.sizes[read.readable])
        regions = encoded.regions.to(getattr(torch, header.dtype))
        fits = bool(regions.isfinite().all() & (regions.any() == encoded.regions.any()))
        fits &= encoded.scores is None or bool(np.isfinite(encoded.scores).all())
    except torch.OutOfMemoryError:
        message = f"{device} has not enough memory for {batch_size} images at once"
        hint = "Give a smaller --batch-size; what is in the store stays."
        raise BadConfig(message, hint=hint) from None
    if not fits:  # too large, or so small that all of them would be 0
        other = " and another --name" if writer.done else ""
        message = f"{header.backbone.name} gives numbers that {header.dtype} cannot hold"
        hint = f"Give --dtype float32{other}; if it stays, the weights are broken."
        raise BadConfig(message, hint=hint)
    found = {"features": regions.cpu().numpy(), **encoded._asdict()}
    for name in stored.keys() - {"sizes"}:
        stored[name][read.readable] = found[name]
    return stored


def _seconds_per_image(network: Backbone, few: ImageBatches, device: torch.device) -> float:
    """Measured on a few of those that are left; a GPU does better in full batches."""
    settings, count = few.preprocessing, few.size
    blank = torch.zeros(count, 3, settings.height, settings.width, dtype=torch.uint8)
    sizes = np.full((count, 2), (settings.width, settings.height))
    network.encode(blank.to(device), settings, sizes)  # the first time is slow
    begin = time.perf_counter()
    if few.images:
        few[0]
    network.encode(blank.to(device), settings, sizes).regions.cpu()
    return (time.perf_counter() - begin) / count


def refuse_wrong_root(root: Path, images: Sequence[ImageRecord]) -> None:
    """Raise BadData for a wrong folder at once, before 100,000 images are reported missing."""
    sample = images[:: max(len(images) // 32, 1)]
    if not any((root / image.file).is_file() for image in sample):
        message = f"there is neither {sample[0].file} nor any other image that was looked for"
        hint = "Say where the images are now: --image-root DIR, or SACCADE_IMAGES."
        raise BadData(message, location=root, hint=hint)
