"""Make a feature store of another program's feature file: `saccade import-features`.

Files are read a picture at a time, in the order of the data folder's ids, and nothing in them is
executed. A run on such features can be trained and evaluated; a picture that comes later it cannot
be shown, for the network that made them is no part of saccade.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from saccade.data.folder import DataFolder
from saccade.errors import BadConfig, BadData, BadStore
from saccade.feature_files.kinds import KINDS
from saccade.feature_files.opened import COPY_AGAIN, DEFECTS, Opened, Row
from saccade.features.imported import IMPORTED
from saccade.features.settings import PIXELS, BackboneSpec
from saccade.features.store import StoreHeader, pictures_fingerprint
from saccade.features.store_files import Skipped
from saccade.features.store_writer import StoreWriter
from saccade.frozen import Frozen, first_problem
from saccade.models.catalogue import look_up
from saccade.records import Picture

TOGETHER = 16
CHUNK = 256
"""Pictures, about, that a crash can cost."""
NAMED = 5


class FeatureImport(Frozen):
    """How a feature file becomes a store."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the store; by default the file's kind."""
    dtype: Literal["float16", "float32"] = "float16"
    """Small pictures stay what they are, uint8."""
    image_root: Path | None = None
    """Where the pictures are now; they tell their sizes, where the file does not."""


def import_features(
    kind: str,
    file: str | Path,
    data: str | Path,
    say: Callable[[str], object] = str,
    **settings: Any,
) -> Path:
    """Make a store of a feature file of a kind in `KINDS`; returns its path.

    `settings` are the fields of `FeatureImport`; `say` hears sizes and what does not belong
    together. Pictures of the data folder that the file lacks are left out, as unreadable ones are
    by `extract`. A store that was begun is gone on with. Raises BadConfig, BadData, BadStore.
    """
    opener = look_up(dict(KINDS), "kind of feature file", kind)
    try:
        chosen = FeatureImport(**settings)
    except ValidationError as error:
        what = first_problem(error, "settings")
        raise BadConfig(what, cure="See: saccade import-features --help") from None
    path, folder = Path(file), DataFolder(Path(data), image_root=chosen.image_root)
    pictures = sorted(folder.pictures(), key=lambda one: one.id)
    opened = opener(path, folder, pictures)
    with opened.held:
        _compare(opened, pictures, path, say)
        header = _header(kind, opened, pictures, path, Path(data), chosen)
        target = folder.store_path(chosen.name or kind)
        say(f"{header.nbytes() / 1e6:,.1f} MB on disk in {target}")
        ids = np.array([one.id for one in pictures], dtype=np.int64)
        with StoreWriter(target, header, ids) as writer:
            if writer.complete:
                say("complete already: nothing to do")
                return target
            batches = _batches(opened, pictures[writer.done :], header, path)
            for number, columns in enumerate(batches, start=1):
                writer.add(**columns)
                if number % max(CHUNK // TOGETHER, 1) == 0:
                    writer.close_chunk()
            writer.finish()
    return target


def _compare(
    opened: Opened, pictures: Sequence[Picture], path: Path, say: Callable[[str], object]
) -> None:
    """Say which pictures only one side has. Raises BadData where they have none in common."""
    here, there = {one.id for one in pictures}, opened.places.keys()
    lacking, extra = sorted(here - there), sorted(there - here)
    if len(lacking) == len(here):
        raise BadData(
            f"none of its {len(there):,} pictures ({_some(extra)}) is one of the data folder's "
            f"{len(here):,} ({_some(lacking)})",
            where=path,
            cure="Give features of this data set, or prepare the data set that they belong to.",
        )
    if lacking:
        say(f"{len(lacking):,} pictures are not in the file and left out: {_some(lacking)}")
    if extra:
        say(f"{len(extra):,} of its pictures are not in the data folder: {_some(extra)}")
    for note in opened.notes:
        say(note)


def _some(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:NAMED])) + ("..." if len(ids) > NAMED else "")


def _header(
    kind: str,
    opened: Opened,
    pictures: Sequence[Picture],
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
        preprocessing=opened.looked,
        grid=opened.grid,
        regions=opened.regions,
        dim=opened.dim,
        dtype="uint8" if opened.pixels else chosen.dtype,
        ids_count=len(pictures),
        dataset_fingerprint=pictures_fingerprint(pictures),
        complete=False,
        command=shlex.join(words),
    )


def _batches(
    opened: Opened, pictures: Sequence[Picture], header: StoreHeader, path: Path
) -> Iterator[dict[str, Any]]:
    """What is stored, by column, some pictures at a time."""
    for begin in range(0, len(pictures), TOGETHER):
        some = pictures[begin : begin + TOGETHER]
        columns: dict[str, Any] = {
            name: np.zeros((len(some), *shape[1:]), kind)
            for name, (shape, kind) in header.columns().items()
        }
        columns["skipped"] = []
        for place, picture in enumerate(some):
            if picture.id not in opened.places:
                skipped = Skipped(picture.id, picture.file, f"not in {path.name}")
                columns["skipped"].append(skipped)
                continue
            row = _row(opened, picture, header, path)
            count = len(row.regions)
            with np.errstate(over="ignore"):  # told below
                columns["features"][place, :count] = row.regions
            columns["counts"][place], columns["sizes"][place] = count, row.size
            if header.grid is None:
                columns["boxes"][place, :count] = row.boxes
        if not np.isfinite(columns["features"]).all():
            what = f"features of picture {some[0].id} or a next one do not fit {header.dtype}"
            cure = "Give --dtype float32 and another --name; if it stays, the file is damaged."
            raise BadStore(what, where=path, cure=cure)
        yield columns


def _row(opened: Opened, picture: Picture, header: StoreHeader, path: Path) -> Row:
    """One picture's regions. Raises BadData for damage and for what is not as it was announced."""
    try:
        row = opened.read(opened.places[picture.id])
        wanted = (min(len(row.regions), header.regions), header.dim)
        if row.regions.shape != wanted or not len(row.regions):
            raise ValueError(f"regions {row.regions.shape}, announced were {wanted}")
    except DEFECTS as error:
        why = " ".join(f"{error}".split())[:200]
        what = f"features of picture {picture.id} cannot be read ({why})"
        raise BadData(what, where=path, cure=COPY_AGAIN) from None
    return row
