"""`saccade import-features`: a feature store made of another program's feature file.

Files are read an image at a time, in the order of the data folder's ids, and nothing in them is
executed. Which image is which is never guessed: see `interop/feature_matching.py`. A run on such
features can be trained and evaluated; an image that comes later it cannot be shown, for the
network that made them is no part of saccade.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from saccade.core.errors import BadData, BadStore
from saccade.core.settings import Settings, checked_settings
from saccade.core.tables import Table
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.features.settings import IMPORTED, PIXELS, BackboneSpec
from saccade.features.store import StoreHeader, images_fingerprint, read_header
from saccade.features.store_format import Skipped
from saccade.features.store_writer import StoreWriter
from saccade.interop.feature_kinds import KINDS
from saccade.interop.feature_matching import By, Key, Matched, match, published
from saccade.interop.feature_reader import (
    DEFECTS,
    ImageSides,
    Opened,
    SoundRow,
    checked,
    damaged,
    refuse_beyond,
)

TOGETHER = 16
NAMED = 5


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
    opener = Table("kind of feature file", KINDS).look_up(kind)
    chosen = checked_settings(FeatureImport, "import-features", **settings)
    path, folder = Path(file), DataFolder(Path(data), image_root=chosen.image_root)
    images = sorted(folder.images(), key=lambda one: one.id)
    opened = opener(path, folder)
    with opened.held:
        if opened.matched:
            matched = Matched({int(key): key for key in opened.places})
        else:
            source = str(folder.about.get("source", ""))
            matched = match(tuple(opened.places), images, source, chosen.match, path)
        _compare(opened, matched, images, folder, path, chosen, say)
        sides = ImageSides(folder.image_root)
        header = _header(kind, opened, images, path, Path(data), chosen)

        def read(image: ImageRecord) -> SoundRow:
            place = opened.places[matched.keys[image.id]]
            return _sound_row(opened, place, image, sides, path)

        sides.compare([one for one in images if one.id in matched.keys], read, path)
        target = folder.store_path(chosen.name or kind)
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
            for columns in _batches(read, images[writer.done :], matched.keys, header, path):
                writer.add(**columns)
            writer.finish()
    return target


def _compare(
    opened: Opened,
    matched: Matched,
    images: Sequence[ImageRecord],
    folder: DataFolder,
    path: Path,
    chosen: FeatureImport,
    say: Callable[[str], object],
) -> None:
    """Say which images only one side has. Raises BadData where they have few in common."""
    lacking = [one.file for one in images if one.id not in matched.keys]
    extra = sorted(opened.places.keys() - set(matched.keys.values()))
    if len(lacking) == len(images):
        message = (
            f"none of its {len(opened.places):,} images ({_some(extra)}) is one of the data "
            f"folder's {len(images):,} ({_some(lacking)})"
        )
        raise BadData(message, location=path, hint=_hint(folder, chosen))
    if 2 * len(lacking) > len(images) and chosen.missing == "refuse":
        message = (
            f"{len(lacking):,} of the data folder's {len(images):,} images are not in it "
            f"({_some(lacking)}), but {len(extra):,} others are ({_some(extra) or 'none'})"
        )
        hint = f"{_hint(folder, chosen)} --missing drop leaves out what is not there."
        raise BadData(message, location=path, hint=hint)
    if lacking:
        say(f"{len(lacking):,} images are not in the file and left out: {_some(lacking)}")
    if extra:
        say(f"{len(extra):,} of its images are not in the data folder: {_some(extra)}")
    for note in (*opened.notes, *matched.notes):
        say(note)


def _hint(folder: DataFolder, chosen: FeatureImport) -> str:
    hint = "Give features of this data set, or prepare the data set that they belong to."
    source = folder.about.get("source", "")
    if chosen.match is None and not published(source):
        hint += (
            f" The ids of source {source} are places in a list, so numbers are looked for in "
            "names alone; only if the file was made with the ids of this data folder's "
            "images.parquet, give --match id."
        )
    return hint


def _some(names: Sequence[Key]) -> str:
    return ", ".join(map(str, names[:NAMED])) + ("..." if len(names) > NAMED else "")


def _header(
    kind: str,
    opened: Opened,
    images: Sequence[ImageRecord],
    path: Path,
    data: Path,
    chosen: FeatureImport,
) -> StoreHeader:
    words = ["saccade", "import-features", kind, str(path), "--data", str(data)]
    for field, value in chosen.model_dump(exclude_defaults=True).items():
        words += [f"--{field.replace('_', '-')}", str(value)]
    name, weights = (PIXELS, "none") if opened.pixels else (f"{IMPORTED}:{kind}", path.name)
    return StoreHeader(
        backbone=BackboneSpec(name=name, weights=weights),
        preprocessing=opened.preprocessing,
        grid=opened.grid,
        regions=opened.regions,
        dim=opened.dim,
        dtype="uint8" if opened.pixels else chosen.dtype,
        ids_count=len(images),
        dataset_fingerprint=images_fingerprint(images),
        complete=False,
        command=shlex.join(words),
    )


def _batches(
    read: Callable[[ImageRecord], SoundRow],
    images: Sequence[ImageRecord],
    known: Mapping[int, Key],
    header: StoreHeader,
    path: Path,
) -> Iterator[dict[str, Any]]:
    """Rows of the store, by column, some images at a time."""
    for begin in range(0, len(images), TOGETHER):
        some = images[begin : begin + TOGETHER]
        columns: dict[str, Any] = {
            name: np.zeros((len(some), *shape[1:]), kind)
            for name, (shape, kind) in header.columns().items()
        }
        columns["skipped"] = []
        for place, image in enumerate(some):
            if image.id not in known:
                columns["skipped"] += [Skipped(image.id, image.file, f"not in {path.name}")]
                continue
            row = read(image)
            count = len(row.regions)
            with np.errstate(over="ignore"):  # refused below
                columns["features"][place, :count] = row.regions
            columns["counts"][place], columns["sizes"][place] = count, row.size
            if header.grid is None:
                columns["boxes"][place, :count] = row.boxes
        if not np.isfinite(columns["features"]).all():
            message = f"features of image {some[0].id} or a next one do not fit {header.dtype}"
            hint = "Give --dtype float32 and another --name; if it stays, the file is damaged."
            raise BadStore(message, location=path, hint=hint)
        yield columns


def _sound_row(
    opened: Opened, place: Any, image: ImageRecord, sides: ImageSides, path: Path
) -> SoundRow:
    """The regions of an image at a place of the file.

    Raises BadData for damage, for unexpected shapes, and for regions of another image.
    """
    try:
        row = checked(opened.read(place), lambda: sides.of(image))
        wanted = (min(len(row.regions), opened.regions), opened.dim)
        if row.regions.shape != wanted or not len(row.regions):
            raise ValueError(f"regions {row.regions.shape}, announced were {wanted}")
        if (row.boxes is None) != (opened.grid is not None):
            raise ValueError("boxes of a grid" if row.boxes is not None else "no boxes")
    except DEFECTS as error:
        why = " ".join(f"{error}".split())[:200]
        message = f"features of image {image.id} ({image.file}) cannot be read ({why})"
        raise damaged(path, message) from None
    refuse_beyond(row, image, path)
    return row
