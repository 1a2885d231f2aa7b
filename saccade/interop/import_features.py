"""`saccade import-features`: a feature store made of another program's feature file.

Files are read an image at a time, in the order of the data folder's ids, and nothing in them is
executed. Which image is which is never guessed: see `interop/feature_matching.py`. A run on such
features can be trained and evaluated; an image that comes later it cannot be shown, for the
network that made them is no part of saccade.
"""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from saccade.core.errors import BadData, BadImage, BadStore
from saccade.core.settings import Settings, checked_settings
from saccade.core.tables import Table
from saccade.data.folder import DataFolder
from saccade.data.image_files import image_bytes
from saccade.data.records import ImageRecord
from saccade.datasets.catalogue import published
from saccade.features.settings import IMPORTED, PIXELS, BackboneSpec
from saccade.features.statistics import FILE, file_statistics, image_statistics
from saccade.features.store import StoreHeader, images_fingerprint, keeps_statistics, read_header
from saccade.features.store_format import Skipped
from saccade.features.store_writer import StoreWriter
from saccade.interop.feature_matching import By, Matched, match
from saccade.interop.feature_reader import (
    Opened,
    SoundRow,
    compare_size,
    compare_sizes,
    some,
    sound_row,
)

KINDS: Table[Callable[[Path, DataFolder], Opened]] = Table(
    "kind of feature file",
    {
        "bottom-up": "saccade.interop.feature_tables:open_bottom_up",
        "vinvl": "saccade.interop.feature_tables:open_vinvl",
        "hengyuan-hu": "saccade.interop.feature_formats:open_hengyuan_hu",
        "pytorch-vqa": "saccade.interop.feature_formats:open_pytorch_vqa",
        "openvqa": "saccade.interop.feature_formats:open_openvqa",
        "self-critical": "saccade.interop.feature_formats:open_self_critical",
        "sgrvinod": "saccade.interop.feature_formats:open_sgrvinod",
        "m2": "saccade.interop.feature_formats:open_m2",
        "nocaps": "saccade.interop.feature_formats:open_nocaps",
        "grid-feats": "saccade.interop.feature_formats:open_grid_feats",
        "scan": "saccade.interop.feature_formats:open_scan",
    },
)
"""The feature files that can be imported, one line each."""
TOGETHER = 16


class FeatureImport(Settings):
    """How a feature file becomes a store."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the store; by default the file's kind."""
    dtype: Literal["float16", "float32"] = "float16"
    """Small images stay what they are, uint8."""
    image_root: Path | None = None
    """Where the images are now; they tell their sizes, which must be those that the file says."""
    match: By | None = None
    """Numbers are the images' names, or ids of the data folder; by default names, and ids where
    these are the published ones."""
    missing: Literal["refuse", "drop"] = "refuse"
    """What is done where more than half of the images are not in the file."""


def import_features(
    kind: str,
    file: str | Path,
    data: str | Path,
    say: Callable[[str], object] = str,
    **settings: Any,
) -> Path:
    """Make a store of a feature file of a kind in `KINDS`; returns its path.

    `settings` are the fields of `FeatureImport`; `say` is given sizes and notes. Images of the data
    folder that the file lacks are left out, as unreadable ones are by `extract`; more than half of
    them only with `missing="drop"`. An unfinished store is resumed. Raises BadConfig, BadData,
    BadStore.
    """
    opener = KINDS.look_up(kind)
    chosen = checked_settings(FeatureImport, "import-features", **settings)
    path, folder = Path(file), DataFolder(Path(data), image_root=chosen.image_root)
    opened = opener(path, folder)
    images = sorted(folder.images(), key=lambda one: one.id)
    with opened.held:
        if opened.matched:
            matched = Matched({int(key): key for key in opened.places})
        else:
            source = str(folder.about.get("source", ""))
            matched = match(tuple(opened.places), images, source, chosen.match, path)
        target = folder.store_path(chosen.name or kind)
        job = _Import(kind, path, opened, folder, images, matched, chosen, target)
        job.compare(say)
        header = job.header()
        known = [one for one in images if one.id in matched.keys]
        compare_sizes(known, job.read, folder.image_root, path)
        if (target / "header.json").is_file():
            words = shlex.split(read_header(target).command)
            before = words[words.index("--match") + 1] if "--match" in words[:-1] else None
            if before != chosen.match:  # then other images may have been found
                option = f"--match {before}" if before else "no --match"
                hint = "Choose another --name, or delete the folder to begin again."
                raise BadStore(f"the store was begun with {option}", location=target, hint=hint)
        say(f"{header.nbytes() / 1e6:,.1f} MB on disk in {target}")
        ids = np.array([one.id for one in images], dtype=np.int64)
        with StoreWriter(target, header, ids) as writer:
            if writer.complete:
                say("complete already: nothing to do")
                return target
            for begin in range(writer.done, len(images), TOGETHER):
                writer.add(**job.columns(images[begin : begin + TOGETHER], header))
            writer.finish()
    return target


class _Import(NamedTuple):
    """A feature file, opened, and the data folder whose images it has."""

    kind: str
    path: Path
    opened: Opened
    folder: DataFolder
    images: Sequence[ImageRecord]
    matched: Matched
    chosen: FeatureImport
    target: Path

    def compare(self, say: Callable[[str], object]) -> None:
        """Say which images only one side has. Raises BadData where they have few in common."""
        keys, places, count = self.matched.keys, self.opened.places, len(self.images)
        lacking = [one.file for one in self.images if one.id not in keys]
        extra = sorted(places.keys() - set(keys.values()), key=lambda key: (str(type(key)), key))
        hint = "Give features of this data set, or prepare the data set that they belong to."
        source = self.folder.about.get("source", "")
        if self.chosen.match is None and not published(source):
            hint += (
                f" The ids of source {source} are places in a list, so numbers are looked for in "
                "names alone; only if the file was made with the ids of this data folder's "
                "images.parquet, give --match id."
            )
        if len(lacking) == count:
            theirs = f"none of its {len(places):,} images ({some(extra)})"
            message = f"{theirs} is one of the data folder's {count:,} ({some(lacking)})"
            raise BadData(message, location=self.path, hint=hint)
        if 2 * len(lacking) > count and self.chosen.missing == "refuse":
            ours = f"{len(lacking):,} of the data folder's {count:,} images are not in it"
            theirs = f"{len(extra):,} others are ({some(extra) or 'none'})"
            message = f"{ours} ({some(lacking)}), but {theirs}"
            hint += " --missing drop leaves out what is not there."
            raise BadData(message, location=self.path, hint=hint)
        if lacking:
            say(f"{len(lacking):,} images are not in the file and left out: {some(lacking)}")
        if extra:
            say(f"{len(extra):,} of its images are not in the data folder: {some(extra)}")
        for note in (*self.opened.notes, *self.matched.notes):
            say(note)

    def header(self) -> StoreHeader:
        """The header of the store."""
        opened, file, data = self.opened, self.path, self.folder.path
        words = ["saccade", "import-features", self.kind, str(file), "--data", str(data)]
        for field, value in self.chosen.model_dump(exclude_defaults=True).items():
            words += [f"--{field.replace('_', '-')}", str(value)]
        name, weights = f"{IMPORTED}:{self.kind}", file.name
        if opened.pixels:
            name, weights = PIXELS, "none"
        return StoreHeader(
            backbone=BackboneSpec(name=name, weights=weights),
            preprocessing=opened.preprocessing,
            grid=opened.grid,
            regions=opened.regions,
            dim=opened.dim,
            dtype="uint8" if opened.pixels else self.chosen.dtype,
            statistics=keeps_statistics(self.target),
            ids_count=len(self.images),
            dataset_fingerprint=images_fingerprint(self.images),
            complete=False,
            command=shlex.join(words),
        )

    def read(self, image: ImageRecord) -> SoundRow:
        """The regions of an image that is in the file."""
        place = self.opened.places[self.matched.keys[image.id]]
        return sound_row(self.opened, place, image, self.folder.image_root, self.path)

    def columns(self, images: Sequence[ImageRecord], header: StoreHeader) -> dict[str, Any]:
        """Rows of the store, by column."""
        columns: dict[str, Any] = {"skipped": []}
        for name, (shape, kind) in header.columns().items():
            columns[name] = np.zeros((len(images), *shape[1:]), kind)
        files = np.zeros(len(images), FILE)
        for place, image in enumerate(images):
            if image.id not in self.matched.keys:
                columns["skipped"] += [Skipped(image.id, image.file, f"not in {self.path.name}")]
                continue
            row = self.read(image)
            file = self.folder.image_root / image.file
            with suppress(OSError, BadImage):  # images are not needed here
                files[place] = file_statistics(file, image_bytes(file))
            compare_size(image, row, self.folder.image_root, self.path)
            count = len(row.regions)
            with np.errstate(over="ignore"):  # refused below
                columns["features"][place, :count] = row.regions
            columns["counts"][place], columns["sizes"][place] = count, row.size
            if header.grid is None:
                columns["boxes"][place, :count] = row.boxes
        if not np.isfinite(columns["features"]).all():
            message = f"features of image {images[0].id} or a next one do not fit {header.dtype}"
            hint = "Give --dtype float32 and another --name; if it stays, the file is damaged."
            raise BadStore(message, location=self.path, hint=hint)
        if header.statistics:
            numbers = columns["features"], columns["counts"], header.grid
            columns["statistics"] = image_statistics(*numbers, files)
        return columns
