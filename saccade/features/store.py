"""The feature store: regions of every image from a frozen backbone, ready to be read at any speed.

    header.json            what the features are and what they were made with
    features.npy           (N, R, D) regions, one row per image
    counts.npy             (N,) int32 real regions of each image, 0 where it could not be read
    sizes.npy              (N, 2) int32 width and height of each image, in pixels
    boxes.npy              (N, R, 4) float32, only where regions are not the cells of a grid
    scores.npy             (N, R) float32, only of a detector: its confidence in each box
    scales.npy             (N, R) float32, only where regions are int8 with a scale each
    statistics.npy         (N,) of each image its file, pixels and features, see `statistics`
    ids.npy                (N,) int64 image ids, rising
    skipped.json           id, file and reason of each image that could not be read
    backbone.safetensors   the backbone's weights, for new images
    reduction.safetensors  PCA and scales, where the store was converted with any
    manifest.jsonl         checksum of each chunk of rows, in the order they were written; at the
                           end the checksums of all other files, without the rows of arrays

Plain arrays, mapped into memory: reading is as fast as copying. The backbone's own grid is kept;
a model that wants another number of cells makes a view of it. `StoreWriter` writes all this.
Neither torch nor a library of networks is imported here, so a wrong path is told at once.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from saccade.core.errors import BadStore
from saccade.core.formatting import size_in_words
from saccade.core.settings import Settings, first_problem
from saccade.data.records import ImageRecord
from saccade.features.preprocessing import boxes_in_image, grid_boxes
from saccade.features.settings import (
    PIXELS,
    Augmentation,
    BackboneSpec,
    Preprocessing,
    Reduction,
    Scale,
)
from saccade.features.statistics import IMAGE
from saccade.features.store_format import (
    EXTRACT_AGAIN,
    MAKE_AGAIN,
    MemoryLimit,
    Skipped,
    find_damage,
    foreign_files,
    from_bytes,
    open_array,
    read_channel_scales,
    read_chunks,
    skipped_images,
)

NAMED = 5
"""Damages that a message names."""


class Shard(Settings):
    """One of the parts that `extract --shard` divides a store into: consecutive rows of it."""

    number: int = Field(ge=1)
    of: int = Field(ge=1)
    start: int = Field(ge=0)
    """Its first row in the whole store."""
    end: int
    """The row behind its last one."""

    @model_validator(mode="after")
    def _holds_rows(self) -> Self:
        if self.number > self.of or self.start >= self.end:
            raise ValueError(f"there is no part {self} of a store")
        return self

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class StoreHeader(Settings):
    """The contents of `header.json`."""

    format: Literal[3] = 3
    backbone: BackboneSpec
    preprocessing: Preprocessing
    grid: tuple[int, int] | None
    """Rows and columns: region r is cell (r // columns, r % columns). None for boxes."""
    regions: int = Field(ge=1)
    """Regions per image, at most."""
    dim: int = Field(ge=1)
    """Numbers per region."""
    dtype: Literal["float16", "float32", "uint8", "int8"]
    """`uint8` for pixels, and for nothing else; `int8` needs a scale."""
    scale: Scale | None = None
    """Only of int8."""
    scores: bool = False
    """Whether the confidence of a detector in each box is stored."""
    statistics: bool = False
    """Whether the statistics of each image are stored; stores of older versions have none."""
    reduction: Reduction | None = None
    """What was done to the backbone's regions."""
    reduction_sha256: str | None = None
    """Of `reduction.safetensors`, where there is one."""
    ids_count: int = Field(ge=1)
    """Images."""
    views: int = Field(1, ge=1)
    """Of each image: the plain one, and others that are changed at random, for training."""
    augmentation: Augmentation | None = None
    """How these were made."""
    shard: Shard | None = None
    """Which rows these are, where they are not all."""
    dataset_fingerprint: str
    """Of the data set's images, see `images_fingerprint`."""
    complete: bool
    command: str
    """What made the store, and goes on with it where it is not complete."""

    @model_validator(mode="after")
    def _grid_fills_the_regions(self) -> Self:
        if self.grid is not None and self.grid[0] * self.grid[1] != self.regions:
            raise ValueError(f"a grid of {self.grid} does not have {self.regions} regions")
        if (self.dtype == "uint8") != (self.backbone.name == PIXELS):
            raise ValueError(f"{self.backbone.name} are not kept as {self.dtype}")
        if (self.dtype == "int8") != (self.scale is not None):
            raise ValueError(f"{self.dtype} and a scale of {self.scale} contradict each other")
        if (self.views > 1) != (self.augmentation is not None):
            raise ValueError(f"{self.views} views contradict augmentation: {self.augmentation}")
        if self.shard and self.shard.end > self.ids_count * self.views:
            raise ValueError(f"shard {self.shard} goes beyond {self.ids_count} images")
        return self

    @property
    def rows(self) -> int:
        """Of every array but the ids: all images' plain views, then all their second ones ..."""
        return self.last_row - self.first_row

    @property
    def first_row(self) -> int:
        """Its place in the whole store: above 0 for a later shard."""
        return self.shard.start if self.shard else 0

    @property
    def last_row(self) -> int:
        """The place behind the last row in the whole store."""
        return self.shard.end if self.shard else self.ids_count * self.views

    @property
    def unit(self) -> str:
        """What a row is called."""
        return "images" if self.views == 1 else "views of images"

    def columns(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type of every array but the ids, by file name without `.npy`."""
        count, regions = self.rows, self.regions
        integer, real = np.dtype(np.int32), np.dtype(np.float32)
        return {
            "features": ((count, regions, self.dim), np.dtype(self.dtype)),
            "counts": ((count,), integer),
            "sizes": ((count, 2), integer),
            **({"boxes": ((count, regions, 4), real)} if self.grid is None else {}),
            **({"scores": ((count, regions), real)} if self.scores else {}),
            **({"scales": ((count, regions), real)} if self.scale == "row" else {}),
            **({"statistics": ((count,), IMAGE)} if self.statistics else {}),
        }

    def nbytes(self) -> int:
        """Bytes on disk of all arrays but the ids."""
        return sum(int(np.prod(shape)) * kind.itemsize for shape, kind in self.columns().values())


class FeatureStore:
    """A complete store, open for reading. Cheap to pickle: a worker opens the files itself."""

    def __init__(self, path: Path, header: StoreHeader) -> None:
        self.path, self.header = path, header
        hint = MAKE_AGAIN.format(header.command)
        columns = header.columns().items()
        arrays = {name: open_array(path, name, *about, hint) for name, about in columns}
        self.ids = np.array(open_array(path, "ids", (header.ids_count,), np.dtype(np.int64), hint))
        """(N,) int64, rising."""
        if not (self.ids[1:] > self.ids[:-1]).all():
            raise BadStore("the ids do not rise", location=path / "ids.npy", hint=hint)
        self.features = arrays["features"]
        """(N, R, D) mapped from disk, read-only."""
        self.counts = np.array(arrays["counts"])
        """(N,) int32 real regions of each image; 0 means it was skipped. Other views follow."""
        self.sizes = np.array(arrays["sizes"])
        """(N, 2) int32 width and height, in pixels. Other views follow."""
        self._boxes, self._scores = arrays.get("boxes"), arrays.get("scores")
        self._scales = arrays.get("scales")
        self.statistics = arrays.get("statistics")
        """(N,) of `statistics.IMAGE`, mapped from disk; None in a store of an older version."""
        by_channel = header.scale == "channel"
        self._channels = read_channel_scales(path, header.dim) if by_channel else None
        self._memory = MemoryLimit(list(arrays.values()))

    @classmethod
    def open(cls, path: str | Path, *, images: Iterable[ImageRecord] | None = None) -> Self:
        """Open a store and check its arrays against its header.

        With `images`, also check that it was made for exactly these. Raises BadStore where it is
        missing, not complete (with the command that goes on), damaged, or made for other images.
        """
        path, wanted = Path(path), None if images is None else sorted(images)
        header = complete_header(path)
        if header.shard is not None:
            message = f"is shard {header.shard} of a store"
            hint = f"Put the shards together: saccade store merge {path.parent}"
            raise BadStore(message, location=path, hint=hint)
        if wanted is not None and images_fingerprint(wanted) != header.dataset_fingerprint:
            message = "the store was made for other images than the data folder has now"
            hint = "Extract again under another --name, or prepare the data folder as it was."
            raise BadStore(message, location=path, hint=hint)
        store = cls(path, header)
        if wanted is not None and store.ids.tolist() != [one.id for one in wanted]:
            message = "the ids are not those of the images that the store was made for"
            hint = MAKE_AGAIN.format(header.command)
            raise BadStore(message, location=path / "ids.npy", hint=hint)
        return store

    def __reduce__(self) -> tuple[Callable[[Path], "FeatureStore"], tuple[Path]]:
        return (FeatureStore.open, (self.path,))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """Row numbers of image ids, `(n,)` int64. Raises BadStore naming an id it lacks."""
        wanted = np.asarray(ids, dtype=np.int64)
        rows = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        lacking = wanted[self.ids[rows] != wanted]
        if len(lacking):
            images = f"image {lacking[0]}, nor of {len(lacking) - 1} others"
            hint = "The store belongs to other data; extract this data folder's own."
            raise BadStore(f"there are no features of {images}", location=self.path, hint=hint)
        return rows

    @property
    def views(self) -> int:
        """Stored views of each image; the first is the plain image."""
        return self.header.views

    def views_of(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Row numbers of other views of the images whose plain views stand at `rows`."""
        found: np.ndarray = rows + views * len(self)
        return found

    def mirrored(self, views: np.ndarray) -> np.ndarray:
        """Whether views, by their numbers, are mirrored: the second one and every other."""
        flip = self.header.augmentation is not None and self.header.augmentation.flip
        found: np.ndarray = (views % 2 == 1) & flip
        return found

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Regions `(n, R, D)` copied from the map, and which are real `(n, R)` bool.

        Numbers are as they are stored, but int8 with a scale is float32 again.
        """
        mask = np.arange(self.header.regions) < self.counts[rows][:, None]
        regions = self.copy(rows)
        if self.header.dtype == "int8":
            scales = self._channels if self._scales is None else self._scales[rows][..., None]
            assert scales is not None
            regions = from_bytes(regions, scales)
        return regions, mask

    def largest_number(self, rows: np.ndarray) -> float:
        """The largest absolute value in the regions of some images.

        Raises BadStore that names the images whose regions hold NaN or infinite numbers.
        """
        largest, wrong = 0.0, list[int]()
        for row in rows if self.header.dtype != "uint8" else ():
            regions = self.read(np.array([row]))[0][0, : self.counts[row]]
            if np.isfinite(regions).all():
                largest = max(largest, float(np.abs(regions).max(initial=0)))
            else:
                wrong.append(int(self.ids[row]))
        if wrong:
            named = ", ".join(map(str, wrong[:NAMED]))
            others = f" and {len(wrong) - NAMED} others" if len(wrong) > NAMED else ""
            images = "image" if len(wrong) == 1 else "images"
            message = f"the features of {images} {named}{others} hold NaN or infinite numbers"
            hint = MAKE_AGAIN.format(self.header.command)
            raise BadStore(message, location=self.path / "features.npy", hint=hint)
        return largest

    def copy(self, rows: np.ndarray) -> np.ndarray:
        """Regions `(n, R, D)` as stored. Large stores are read to the end in little memory."""
        copied: np.ndarray = self.features[rows]
        self._memory.check(copied.nbytes)
        return copied

    def scores(self, rows: np.ndarray) -> np.ndarray | None:
        """The detector's confidence in each box `(n, R)` float32; None for other backbones."""
        return None if self._scores is None else self._scores[rows]

    def boxes(self, rows: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
        """Boxes `(n, R, 4)` float32 of the regions, x0 y0 x1 y1 as shares of width and height of
        the original image. Boxes of a skipped image mean nothing.

        `cells (R, 4)` are what an encoder makes of pixels, as shares of its input.
        """
        if cells is None and self._boxes is not None:
            boxes: np.ndarray = self._boxes[rows]
            return boxes
        if cells is None:
            assert self.header.grid is not None
            cells = grid_boxes(*self.header.grid)
        width, height = np.maximum(self.sizes[rows], 1).T
        return boxes_in_image(cells, self.header.preprocessing, width, height)

    def skipped(self) -> list[Skipped]:
        """Images that could not be read."""
        return skipped_images(read_chunks(self.path))

    def verify(self) -> list[str]:
        """Notes of `verify_store`. Raises BadStore for a damaged store."""
        return verify_store(self.path)[1]


def verify_store(path: Path) -> tuple[int, list[str]]:
    """Read everything: compare checksums, search for values that are no numbers, count regions.

    Returns how many images there are, and notes about files that are not the store's. Raises
    BadStore naming all that is damaged; a header that cannot be read is named alone.
    """
    header = complete_header(path)
    damage = find_damage(path, header.columns(), header.ids_count, header.regions)
    if damage:
        others = f"; and {len(damage) - NAMED} others" if len(damage) > NAMED else ""
        hint = "Copy it again from where it came, or delete the folder and make it again: "
        message = "; ".join(damage[:NAMED]) + others
        raise BadStore(message, location=path, hint=hint + header.command)
    return header.ids_count, foreign_files(path)


def describe_store(path: Path) -> dict[str, Any]:
    """Facts about a store, complete or not, the most important first. Raises BadStore."""
    header, chunks = read_header(path), read_chunks(path)
    done, skipped = (chunks[-1].end if chunks else 0), len(skipped_images(chunks))
    backbone, settings, reduced = header.backbone, header.preprocessing, header.reduction
    random = ", THE NETWORK WAS NEVER TRAINED" if backbone.weights == "random" else ""
    scaled = f", a scale for each {header.scale}" if header.scale else ""
    facts = {
        "backbone": backbone.name,
        "options": ", ".join(f"{k}={v}" for k, v in backbone.options.items()),
        "weights": backbone.weights + random,
        "weights SHA-256": backbone.weights_sha256,
        "images": f"{header.ids_count:,}",
        "shard": header.shard
        and f"{header.shard}: rows {header.first_row:,} to {header.last_row - 1:,}",
        "views": f"{header.views} of each" if header.views > 1 else None,
        "left out": f"{skipped:,} of these, which could not be read" if skipped else None,
        "input": f"{settings.width} x {settings.height} pixels ({settings.resize})",
        "window": None if settings.window == "auto" else settings.window,
        "regions": _times(header.grid) or f"boxes, up to {header.regions}",
        "numbers": f"{header.dim}, {header.dtype}{scaled}",
        "pooled to": _times(reduced.pool) if reduced else None,
        "PCA": f"{reduced.pca} components" if reduced and reduced.pca else None,
        "size": size_in_words(header.nbytes()),
        "complete": "yes" if header.complete else f"no: {done:,} {header.unit} are there",
        "made by": header.command,
    }
    return {name: value for name, value in facts.items() if value}


def _times(grid: tuple[int, int] | None) -> str:
    return " x ".join(map(str, grid or ()))


def images_fingerprint(images: Iterable[ImageRecord]) -> str:
    """SHA-256 over ids and files in the order of ids: equal for equal images, whatever their
    questions, captions and splits.
    """
    digest = hashlib.sha256()
    for number, file in sorted((image.id, image.file) for image in images):
        digest.update(f"{number}\t{file}\n".encode())
    return digest.hexdigest()


def complete_header(path: Path) -> StoreHeader:
    """The header of a store that is complete. Raises BadStore with the command that goes on."""
    header = read_header(path)
    if not header.complete:
        done = sum(chunk.end - chunk.start for chunk in read_chunks(path))
        message = f"not complete: {done:,} of {header.rows:,} {header.unit} are there"
        raise BadStore(message, location=path, hint=f"Go on with: {header.command}")
    return header


def keeps_statistics(path: Path) -> bool:
    """Whether the store that is begun, or gone on with, keeps statistics: an older one has none."""
    return not (path / "header.json").exists() or read_header(path).statistics


def read_header(path: Path) -> StoreHeader:
    """The header of a store. Raises BadStore where it is missing, damaged or too old."""
    file = path / "header.json"
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(fields, dict) and fields.get("format") in (1, 2):
            message = f"written by an older version of saccade (format {fields['format']})"
            command = fields.get("command") or "saccade extract DATA --backbone NAME"
            raise BadStore(message, location=path, hint=MAKE_AGAIN.format(command))
        return StoreHeader.model_validate(fields)
    except FileNotFoundError:
        if (path / "features.npy").exists():
            raise BadStore("missing", location=file, hint=EXTRACT_AGAIN) from None
        hint = "Make one: saccade extract DATA --backbone NAME."
        raise BadStore("there is no feature store", location=path, hint=hint) from None
    except ValidationError as error:
        hint = "It is damaged or from another version of saccade. " + EXTRACT_AGAIN
        raise BadStore(first_problem(error, "header"), location=file, hint=hint) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadStore(f"unreadable ({error})", location=file, hint=EXTRACT_AGAIN) from None
