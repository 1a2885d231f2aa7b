"""Extraction of features: a frozen backbone encodes every image once, `saccade extract`.

Training reads regions from the store and never the images, which is hundreds of times as fast. A
run that was killed goes on where it stopped.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadStore, in_number
from saccade.core.settings import checked_settings
from saccade.data.checks import refuse_wrong_root
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.features.backbones import Backbone, build_backbone, choose_backbone, preprocessing_for
from saccade.features.images import ImageBatches, ReadBatch
from saccade.features.progress import extraction_bar, say_complete, say_made, say_remarks, say_start
from saccade.features.settings import PIXELS, ExtractSettings
from saccade.features.shards import shard_of, shard_path
from saccade.features.statistics import image_statistics, replaced_files
from saccade.features.store import StoreHeader, images_fingerprint, keeps_statistics
from saccade.features.store_format import BACKBONE, open_array
from saccade.features.store_writer import StoreWriter

PREPROCESSING = ("size", "resize", "resize_to", "mean", "std", "interpolation")
"""Settings that, where given, replace the network's own."""


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
    batch_size = chosen.batch_size or (8 if device.type == "cpu" else 32)
    network = choose_backbone(chosen.backbone, chosen.weights, chosen.options, size=chosen.size)
    header = _header_of(network, chosen, folder, images, batch_size)
    name = chosen.name or _usual_name(header)
    shard = header.shard
    path = shard_path(folder.path, name, shard) if shard else folder.store_path(name)
    header = header.model_copy(update={"statistics": keeps_statistics(path)})
    ids = np.array([image.id for image in images], dtype=np.int64)
    with StoreWriter(path, header, ids, network.nbytes) as writer:
        if writer.complete:
            _refuse_replaced(path, header, folder, images)
            say_complete(path, len(writer.skipped))
            return path
        if (kept := path / BACKBONE).exists():  # the network that the store was begun with
            network = build_backbone(network.spec, kept)
        elif network.spec.name != PIXELS:
            network.save(kept)
        network.to(device)
        # All plain views, then all second ones: a chunk is a range of rows.
        rows = slice(header.first_row + writer.done, header.last_row)
        left = (images * chosen.views)[rows]
        views = [view for view in range(chosen.views) for _ in images][rows]
        source = folder.image_root, left, header.preprocessing
        batches = partial(ImageBatches, *source, views=views, augmentation=header.augmentation)
        few = batches(max(min(4, batch_size, len(left)), 1))
        say_start(writer, _seconds_per_image(network, few, device), str(device))
        told = 0
        loader = batches(batch_size).loader(chosen.workers, pin=device.type == "cuda")
        with extraction_bar(writer, chosen.progress) as bar:
            for read in loader:
                columns = _columns(network, read, writer, batch_size, device)
                writer.add(**columns, skipped=read.skipped)
                told = say_remarks(read.remarks, told)
                bar.advance(bar.task_ids[0], len(read.readable))
        writer.finish()
        count = len({one.id for one in (images * chosen.views)[header.first_row : header.last_row]})
        say_made(path, writer.skipped, count, told)
    return path


def _header_of(
    network: Backbone,
    chosen: ExtractSettings,
    folder: DataFolder,
    images: list[ImageRecord],
    batch_size: int,
) -> StoreHeader:
    """The header of a store, or of a shard of one, that is begun."""
    rows, shard = len(images) * chosen.views, chosen.shard
    wishes = {name: getattr(chosen, name) for name in PREPROCESSING}
    preprocessing = preprocessing_for(network.spec, window=folder.window, **wishes)
    return StoreHeader(
        backbone=network.spec,
        preprocessing=preprocessing,
        **network.layout(preprocessing)._asdict(),
        scores=network.finds_boxes,
        dtype="uint8" if network.spec.name == PIXELS else chosen.dtype or "float16",
        ids_count=len(images),
        views=chosen.views,
        augmentation=chosen.augment if chosen.views > 1 else None,
        shard=shard_of(shard, rows, batch_size) if shard else None,
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command=chosen.command(folder.path),
    )


def _usual_name(header: StoreHeader) -> str:
    """The name of a store that was given none."""
    short, size = header.backbone.network.rpartition("/")[2], header.preprocessing.height
    random = "-random" if header.backbone.weights == "random" else ""
    several = f"-views{header.views}" if header.views > 1 else ""
    return f"{short}-{size}{random}{several}"


def _columns(
    network: Backbone, read: ReadBatch, writer: StoreWriter, batch_size: int, device: torch.device
) -> dict[str, np.ndarray]:
    """The store's columns of a batch; 0 for unreadable images."""
    header, count = writer.header, len(read.readable)
    columns = header.columns().items()
    stored = {name: np.zeros((count, *shape[1:]), kind) for name, (shape, kind) in columns}
    stored["sizes"] = read.sizes
    if not read.readable.any():
        return _with_statistics(stored, header, read.files)
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
    for name in stored.keys() - {"sizes", "statistics"}:
        stored[name][read.readable] = found[name]
    return _with_statistics(stored, header, read.files)


def _with_statistics(
    stored: dict[str, np.ndarray], header: StoreHeader, files: np.ndarray
) -> dict[str, np.ndarray]:
    """The columns, with statistics where the store keeps them."""
    if not header.statistics:
        return stored
    given = stored["features"], stored["counts"], header.grid
    return stored | {"statistics": image_statistics(*given, files)}


def _refuse_replaced(
    path: Path, header: StoreHeader, folder: DataFolder, images: Sequence[ImageRecord]
) -> None:
    """Raise BadStore where image files are not those that a complete store was made of."""
    if not header.statistics:
        return
    table = open_array(path, "statistics", *header.columns()["statistics"])
    plain = images[header.first_row : header.last_row]
    if found := replaced_files(folder.image_root, plain, table["file"][: len(plain)]).files:
        message = f"{len(found):,} image files were replaced since the features were extracted"
        message += f", the first is {found[0]}"
        hint = f"Delete the folder {path} and give the same command again, or another --name."
        raise BadStore(in_number(message), location=path, hint=hint)


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
