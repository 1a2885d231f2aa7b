"""Look at every image once with a frozen backbone, and keep what it saw: `saccade extract`.

Nothing later looks at the images again: training reads regions from the store, which is hundreds
of times as fast. A run that was killed goes on where it stopped.
"""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from saccade.core.console import console, say
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadData
from saccade.core.formatting import duration, size_in_words
from saccade.core.settings import Settings, checked_settings
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.features.backbones import Backbone, build_backbone, choose_backbone, preprocessing_for
from saccade.features.images import ImageBatches, ReadBatch
from saccade.features.networks import EncodedImages
from saccade.features.settings import PIXELS, Colour, Interpolation, Option, Preprocessing, Resize
from saccade.features.store import StoreHeader, images_fingerprint
from saccade.features.store_format import BACKBONE, Skipped
from saccade.features.store_writer import StoreWriter

# What is said on stderr about a store: what is in it, and which images are not.

NAMED = 20
"""Skipped images that are named at the end; skipped.json has them all."""


def tell_made(path: Path, skipped: Sequence[Skipped], count: int) -> None:
    """Say how many of `count` images are in a store, and why the others are not."""
    say(f"{count - len(skipped):,} of {count:,} images are in {path}.")
    if not skipped:
        return
    say(f"{len(skipped):,} could not be read and are left out:", "bold yellow")
    for one in skipped[:NAMED]:
        say(f"  {one.id}  {one.file}: {one.reason}")
    if len(skipped) > NAMED:
        say(f"  and {len(skipped) - NAMED:,} others; all are in {path / 'skipped.json'}.")


def tell_complete(path: Path, left_out: int) -> None:
    """Say that a store is there already, and how images that it lacks are looked at again."""
    say(f"{path} is complete already: nothing to do.")
    if left_out:
        say(
            f"{left_out:,} of its images could not be read and are left out, see "
            f"{path / 'skipped.json'}. Once they are mended, delete the folder {path} and give the "
            "same command again, or give it with another --name: then all are looked at again."
        )


CHUNK = 256
"""Images, about, that a crash can cost."""
PREPROCESSING = ("size", "resize", "resize_to", "mean", "std", "interpolation")
"""Settings that, where given, replace the network's own."""


class ExtractSettings(Settings):
    """What features are made with, and how much of the machine is used for it."""

    backbone: str
    """`timm:NAME`, `transformers:NAME`, or `torchvision:NAME` of a detector; or `pixels`."""
    weights: str | Path = "hub"
    """`hub`, `random`, or a file; for `transformers:NAME` also a folder."""
    options: dict[str, Option] = Field({})
    """Passed to `timm.create_model`, or to `ViTConfig`; or how a detector chooses boxes."""
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the store; by default network and size."""
    size: int | None = Field(None, ge=8, le=4096)
    """Side of the square that the backbone sees, in pixels. This and the next five are the
    network's own by default."""
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
        """The command that does, or goes on with, the same extraction."""
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
    """Make the feature store of a data folder; returns its path.

    `settings` are the other fields of `ExtractSettings`. A store that is there already, made with
    equal settings, is finished, or left alone if it is complete. Images that cannot be read are
    left out, named at the end and in `skipped.json`. Raises BadConfig, BadData, BadStore or
    MissingWeights, nearly always before the first image.
    """
    chosen = checked_settings(ExtractSettings, "extract", backbone=backbone, **settings)
    folder = DataFolder(Path(data), image_root=chosen.image_root)
    images = sorted(folder.images(), key=lambda image: image.id)
    _refuse_wrong_root(folder.image_root, images)
    device = choose_device(chosen.device)
    eye = choose_backbone(chosen.backbone, chosen.weights, chosen.options, size=chosen.size)
    wishes = {name: getattr(chosen, name) for name in PREPROCESSING}
    preprocessing = preprocessing_for(eye.spec, **wishes)
    layout = eye.layout(preprocessing)
    header = StoreHeader(
        backbone=eye.spec,
        preprocessing=preprocessing,
        **layout._asdict(),
        scores=eye.finds_boxes,
        dtype="uint8" if eye.spec.name == PIXELS else chosen.dtype or "float16",
        ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command=chosen.command(Path(data)),
    )
    path = folder.store_path(chosen.name or _default_name(header))
    ids = np.array([image.id for image in images], dtype=np.int64)
    with StoreWriter(path, header, ids) as writer:
        if writer.complete:
            tell_complete(path, len(writer.skipped))
            return path
        eye = _kept_or_keep(eye, path).to(device)
        left = images[writer.done :]
        job = _Job(chosen, eye, preprocessing, folder.image_root, left, device)
        _announce(job, writer)
        _fill(job, writer)
        writer.finish()
        tell_made(path, writer.skipped, len(images))
    return path


class _Job(NamedTuple):
    """What there is to do."""

    settings: ExtractSettings
    backbone: Backbone
    preprocessing: Preprocessing
    root: Path
    images: Sequence[ImageRecord]
    """Those that are left."""
    device: torch.device

    def batches(self, size: int) -> ImageBatches:
        return ImageBatches(self.root, self.images, self.preprocessing, size)


def _fill(job: _Job, writer: StoreWriter) -> None:
    size = job.settings.batch_size
    loader = job.batches(size).loader(job.settings.workers, pin=job.device.type == "cuda")
    show = console().is_terminal if job.settings.progress is None else job.settings.progress
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress("extracting", *columns, console=console(), disable=not show) as bar:
        task = bar.add_task("", total=writer.header.ids_count, completed=writer.done)
        for number, read in enumerate(loader, start=1):
            writer.add(**_columns(job, writer, read), skipped=read.skipped)
            if number % max(CHUNK // size, 1) == 0:
                writer.close_chunk()
            bar.advance(task, len(read.readable))


def _columns(job: _Job, writer: StoreWriter, read: ReadBatch) -> dict[str, np.ndarray]:
    """What is stored of a batch, by column; 0 for unreadable images."""
    header, count = writer.header, len(read.readable)
    stored = {
        name: np.zeros((count, *shape[1:]), kind)
        for name, (shape, kind) in header.columns().items()
    }
    stored["sizes"] = read.sizes
    if not read.readable.any():
        return stored
    try:
        seen = _encode(job, read)
        regions = seen.regions.to(getattr(torch, header.dtype))
        fits = bool(regions.isfinite().all() & (regions.any() == seen.regions.any()))
        fits &= seen.scores is None or bool(np.isfinite(seen.scores).all())
    except torch.OutOfMemoryError:
        raise BadConfig(
            f"{job.device} has no room for {job.settings.batch_size} images at once",
            hint="Give a smaller --batch-size; what is in the store stays.",
        ) from None
    if not fits:  # too large, or so small that all of them would be 0
        other = " and another --name" if writer.done else ""
        raise BadConfig(
            f"{job.backbone.spec.name} gives numbers that {header.dtype} cannot hold",
            hint=f"Give --dtype float32{other}; if it stays, the weights are broken.",
        )
    found = {"features": regions.cpu().numpy(), **seen._asdict()}
    for name in stored.keys() - {"sizes"}:
        stored[name][read.readable] = found[name]
    return stored


def _encode(job: _Job, read: ReadBatch) -> EncodedImages:
    pixels = read.pixels.to(job.device, non_blocking=True)
    return job.backbone.encode(pixels, job.preprocessing, read.sizes[read.readable])


def _announce(job: _Job, writer: StoreWriter) -> None:
    """Say what will be made, how large it is and how long it takes, before the first image."""
    header, spec, into = writer.header, job.backbone.spec, job.preprocessing
    regions = " x ".join(map(str, header.grid or (header.regions,)))
    regions = f"up to {regions}" if header.scores else regions
    say(
        f"{header.ids_count:,} images as {into.width} x {into.height} pixels ({into.resize}) "
        f"through {spec.name} (weights: {spec.weights}): {regions} regions of {header.dim} "
        f"numbers, {header.dtype}."
    )
    if spec.weights == "random":
        warning = "THE WEIGHTS ARE RANDOM: the network was never trained, these are no features "
        say(f"{warning}to publish. Give --weights FILE, or hub, for real ones.", "bold red")
    if writer.done:
        say(f"{writer.done:,} are there already, {len(job.images):,} are left.")
    left = duration(_seconds_per_image(job) * len(job.images))
    size = size_in_words(header.nbytes())
    say(f"{size} on disk in {writer.path}; about {left} on {job.device}.")


def _seconds_per_image(job: _Job) -> float:
    """Measured on the first few that are left; a GPU does better in full batches."""
    few = max(min(4, job.settings.batch_size, len(job.images)), 1)
    side = (job.preprocessing.height, job.preprocessing.width)
    blank = torch.zeros(few, 3, *side, dtype=torch.uint8, device=job.device)
    sizes = np.full((few, 2), side[::-1])
    job.backbone.encode(blank, job.preprocessing, sizes)  # the first time is slow
    begin = time.perf_counter()
    if job.images:
        job.batches(few)[0]
    job.backbone.encode(blank, job.preprocessing, sizes).regions.cpu()
    return (time.perf_counter() - begin) / few


def _refuse_wrong_root(root: Path, images: Sequence[ImageRecord]) -> None:
    """Tell a wrong folder at once, before a hundred thousand images are reported missing."""
    sample = images[:: max(len(images) // 32, 1)]
    if not any((root / image.file).is_file() for image in sample):
        raise BadData(
            f"there is neither {sample[0].file} nor any other image that was looked for",
            location=root,
            hint="Say where the images are now: --image-root DIR, or SACCADE_IMAGES.",
        )


def _default_name(header: StoreHeader) -> str:
    spec = header.backbone
    random = "-random" if spec.weights == "random" else ""
    return f"{spec.network.rpartition('/')[2]}-{header.preprocessing.height}{random}"


def _kept_or_keep(backbone: Backbone, path: Path) -> Backbone:
    """The network that the store was begun with; a new store is given a copy of its weights."""
    kept = path / BACKBONE
    if backbone.spec.name == PIXELS:
        return backbone
    if kept.exists():
        return build_backbone(backbone.spec, kept)
    backbone.save(kept)
    return backbone
