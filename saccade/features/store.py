"""The feature store: what a frozen backbone saw in every picture, ready to be read at any speed.

    header.json            what the features are and what they were made with
    features.npy           (N, R, D) regions, one row per picture
    counts.npy             (N,) int32 real regions of each picture, 0 where it could not be read
    sizes.npy              (N, 2) int32 width and height of each picture, in pixels
    boxes.npy              (N, R, 4) float32, only where regions are not the cells of a grid
    scores.npy             (N, R) float32, only of a detector: how sure it is of each box
    scales.npy             (N, R) float32, only where regions are bytes with a scale each
    ids.npy                (N,) int64 picture ids, rising
    chunks.jsonl           checksum of each stretch of rows, in the order they were written
    skipped.json           id, file and reason of each picture that could not be read
    backbone.safetensors   the backbone's weights, for pictures that come later
    reduction.safetensors  what regions were made smaller with, where they were converted

Plain arrays, mapped into memory: reading is as fast as copying. The backbone's own grid is kept;
a model that wants another number of cells makes a view of it. `StoreWriter` writes all this.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saccade.errors import BadStore
from saccade.features.reduction import FILE as REDUCTION
from saccade.features.reduction import Scale, from_bytes, read_tensors
from saccade.features.settings import PIXELS, BackboneSpec, Preprocessing, Reduction, grid_boxes
from saccade.features.store_files import (
    EXTRACT_AGAIN,
    Skipped,
    checksum,
    let_go,
    open_array,
    read_chunks,
)
from saccade.files import sha256_of
from saccade.records import Picture

HOLD = 256 * 2**20
"""Bytes of a store that one process reads before it lets go of what the system mapped for it."""


class StoreHeader(BaseModel):
    """What `header.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    backbone: BackboneSpec
    preprocessing: Preprocessing
    grid: tuple[int, int] | None
    """Rows and columns: region r is cell (r // columns, r % columns). None for boxes."""
    regions: int = Field(ge=1)
    """Regions per picture, at most."""
    dim: int = Field(ge=1)
    """Numbers per region."""
    dtype: Literal["float16", "float32", "uint8", "int8"]
    """`uint8` for pixels, and for nothing else; `int8` needs a scale."""
    scale: Scale | None = None
    """What bytes are multiplied by: a scale for each region, or for each of its numbers."""
    scores: bool = False
    """Is it known how sure a detector was of each box?"""
    reduction: Reduction | None = None
    """What was done to the backbone's regions."""
    reduction_sha256: str | None = None
    """Of `reduction.safetensors`, where there is one."""
    ids_count: int = Field(ge=1)
    """Pictures."""
    dataset_fingerprint: str
    """Of the data set's pictures, see `pictures_fingerprint`."""
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
        return self

    def columns(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type of every array but the ids, by file name without `.npy`."""
        count = self.ids_count
        arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            "features": ((count, self.regions, self.dim), np.dtype(self.dtype)),
            "counts": ((count,), np.dtype(np.int32)),
            "sizes": ((count, 2), np.dtype(np.int32)),
        }
        if self.grid is None:
            arrays["boxes"] = ((count, self.regions, 4), np.dtype(np.float32))
        if self.scores:
            arrays["scores"] = ((count, self.regions), np.dtype(np.float32))
        if self.scale == "row":
            arrays["scales"] = ((count, self.regions), np.dtype(np.float32))
        return arrays

    def nbytes(self) -> int:
        """Bytes on disk of all arrays."""
        return sum(int(np.prod(shape)) * kind.itemsize for shape, kind in self.columns().values())


class FeatureStore:
    """A complete store, open for reading. Cheap to pickle: a worker opens the files itself."""

    def __init__(self, path: Path, header: StoreHeader) -> None:
        self.path, self.header = path, header
        arrays = {
            name: open_array(path, name, shape, kind)
            for name, (shape, kind) in header.columns().items()
        }
        self.ids = np.array(open_array(path, "ids", (header.ids_count,), np.dtype(np.int64)))
        """(N,) int64, rising."""
        if not (np.diff(self.ids) > 0).all():
            raise BadStore("the ids do not rise", where=path / "ids.npy", cure=EXTRACT_AGAIN)
        self.features = arrays["features"]
        """(N, R, D) mapped from disk, read-only."""
        self.counts = np.array(arrays["counts"])
        """(N,) int32 real regions of each picture; 0 means it was skipped."""
        self.sizes = np.array(arrays["sizes"])
        """(N, 2) int32 width and height, in pixels."""
        self._boxes, self._scores = arrays.get("boxes"), arrays.get("scores")
        self._scales = arrays.get("scales")
        self._channels = read_tensors(path)["scales"] if header.scale == "channel" else None
        self._held = 0

    @classmethod
    def open(cls, path: str | Path, *, pictures: Iterable[Picture] | None = None) -> "FeatureStore":
        """Open a store and check its arrays against its header.

        With `pictures`, also check that it was made for exactly these. Raises BadStore where it is
        missing, not complete (with the command that goes on), damaged, or made for other pictures.
        """
        path = Path(path)
        header = read_header(path)
        if not header.complete:
            done = sum(chunk.end - chunk.start for chunk in read_chunks(path))
            what = f"not complete: {done:,} of {header.ids_count:,} pictures are there"
            raise BadStore(what, where=path, cure=f"Go on with: {header.command}")
        if pictures is not None and pictures_fingerprint(pictures) != header.dataset_fingerprint:
            raise BadStore(
                "the store was made for other pictures than the data folder has now",
                where=path,
                cure="Extract again under another --name, or prepare the data folder as it was.",
            )
        return cls(path, header)

    def __reduce__(self) -> tuple[Callable[[Path], "FeatureStore"], tuple[Path]]:
        return (FeatureStore.open, (self.path,))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """Row numbers of picture ids, `(n,)` int64. Raises BadStore naming an id it lacks."""
        wanted = np.asarray(ids, dtype=np.int64)
        rows = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        lacking = wanted[self.ids[rows] != wanted]
        if len(lacking):
            raise BadStore(
                f"there are no features of picture {lacking[0]}, nor of {len(lacking) - 1} others",
                where=self.path,
                cure="The store belongs to other data; extract this data folder's own.",
            )
        return rows

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Regions `(n, R, D)` copied from the map, and which are real `(n, R)` bool.

        Numbers are as they are stored, but bytes with a scale are float32 again.
        """
        mask = np.arange(self.header.regions) < self.counts[rows][:, None]
        return self._decoded(self.copy(rows), rows), mask

    def copy(self, rows: np.ndarray) -> np.ndarray:
        """Regions `(n, R, D)` as stored. Large stores are read to the end in little memory."""
        taken: np.ndarray = self.features[rows]
        self._held += taken.nbytes
        if self._held > HOLD:
            let_go(self.features)
            self._held = 0
        return taken

    def _decoded(self, taken: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.header.dtype != "int8":
            return taken
        scales = self._channels
        if self._scales is not None:
            scales = torch.from_numpy(self._scales[rows])[..., None]
        assert scales is not None
        decoded: np.ndarray = from_bytes(torch.from_numpy(taken), scales).numpy()
        return decoded

    def scores(self, rows: np.ndarray) -> np.ndarray | None:
        """How sure the detector was of each box `(n, R)` float32; None of anything else."""
        return None if self._scores is None else self._scores[rows]

    def boxes(self, rows: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
        """Boxes `(n, R, 4)` float32 of the regions, x0 y0 x1 y1 as shares of width and height of
        the original picture. Boxes of a skipped picture mean nothing.

        `cells (R, 4)` are what an encoder makes of pixels, as shares of what it is shown.
        """
        if cells is None and self._boxes is not None:
            boxes: np.ndarray = self._boxes[rows]
            return boxes
        if cells is None:
            assert self.header.grid is not None
            cells = grid_boxes(*self.header.grid)
        width, height = np.maximum(self.sizes[rows], 1).T
        return self.header.preprocessing.box_in_image(cells, width, height)

    def skipped(self) -> list[Skipped]:
        """Pictures that could not be read."""
        return [skipped for chunk in read_chunks(self.path) for skipped in chunk.skipped]

    def verify(self) -> None:
        """Read everything: compare checksums, look for what is no number, count regions.

        Raises BadStore naming the first damaged rows.
        """
        arrays = {
            name: open_array(self.path, name, *c) for name, c in self.header.columns().items()
        }
        chunks, kept = read_chunks(self.path), self.header.reduction_sha256
        for start, end, crc32, _ in chunks:
            place = f"rows {start} to {end - 1}"
            if end > len(self) or checksum(arrays, start, end) != crc32:
                what = f"{place} have changed since they were written"
                raise BadStore(what, where=self.path, cure=EXTRACT_AGAIN)
            counts = arrays["counts"][start:end]
            if ((counts < 0) | (counts > self.header.regions)).any():
                what = f"{place}: a picture has {counts.max()} of {self.header.regions} regions"
                raise BadStore(what, where=self.path, cure=EXTRACT_AGAIN)
            for name in ("features", "boxes", "scores", "scales"):
                floats = name in arrays and arrays[name].dtype.kind == "f"
                if floats and not np.isfinite(arrays[name][start:end]).all():
                    what = f"{place}: {name} that are no numbers"
                    raise BadStore(what, where=self.path, cure=EXTRACT_AGAIN)
            let_go(arrays["features"])
        if (chunks[-1].end if chunks else 0) != len(self):
            what = f"only {chunks[-1].end if chunks else 0} of {len(self)} rows have a checksum"
            raise BadStore(what, where=self.path / "chunks.jsonl", cure=EXTRACT_AGAIN)
        if kept is not None and sha256_of(self.path / REDUCTION) != kept:
            what = "has changed since it was written"
            raise BadStore(what, where=self.path / REDUCTION, cure="Convert the store again.")


def pictures_fingerprint(pictures: Iterable[Picture]) -> str:
    """SHA-256 over ids and files in the order of ids: equal for equal pictures, whatever is asked
    or said about them and however they are split.
    """
    digest = hashlib.sha256()
    for number, file in sorted((picture.id, picture.file) for picture in pictures):
        digest.update(f"{number}\t{file}\n".encode())
    return digest.hexdigest()


def read_header(path: Path) -> StoreHeader:
    """Read `header.json` of a store. Raises BadStore where it is missing or not understood."""
    file = path / "header.json"
    try:
        text = file.read_text(encoding="utf-8")
        return StoreHeader.model_validate_json(text)
    except FileNotFoundError:
        cure = "Make one: saccade extract DATA --backbone NAME."
        raise BadStore("there is no feature store", where=path, cure=cure) from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "header"
        cure = "It is damaged or from another version of saccade. " + EXTRACT_AGAIN
        raise BadStore(f"{place}: {problem['msg']}", where=file, cure=cure) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadStore(f"unreadable ({error})", where=file, cure=EXTRACT_AGAIN) from None
