"""The feature store: what a frozen backbone saw in every picture, ready to be read at any speed.

    header.json            what the features are and what they were made with
    features.npy           (N, R, D) regions, one row per picture
    counts.npy             (N,) int32 real regions of each picture, 0 where it could not be read
    sizes.npy              (N, 2) int32 width and height of each picture, in pixels
    boxes.npy              (N, R, 4) float32, only where regions are not the cells of a grid
    ids.npy                (N,) int64 picture ids, rising
    chunks.jsonl           checksum of each stretch of rows, in the order they were written
    skipped.json           id, file and reason of each picture that could not be read
    backbone.safetensors   the backbone's weights, for pictures that come later

Plain arrays, mapped into memory: reading is as fast as copying. The backbone's own grid is kept;
a model that wants another number of cells makes a view of it. `StoreWriter` writes all this.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saccade.errors import BadStore
from saccade.features.settings import PIXELS, BackboneSpec, Preprocessing, grid_boxes
from saccade.records import Picture

EXTRACT_AGAIN = "Delete the folder and make it again: saccade extract DATA --backbone NAME."


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
    dtype: Literal["float16", "float32", "uint8"]
    """`uint8` for pixels, and for nothing else."""
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
        return arrays

    def nbytes(self) -> int:
        """Bytes on disk of all arrays."""
        return sum(int(np.prod(shape)) * kind.itemsize for shape, kind in self.columns().values())


class Skipped(NamedTuple):
    """A picture without features, and why."""

    id: int
    file: str
    reason: str


class Chunk(NamedTuple):
    """A stretch of rows that is safely on disk."""

    start: int
    end: int
    crc32: int
    skipped: tuple[Skipped, ...]


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
        self._boxes = arrays.get("boxes")

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
        """Regions `(n, R, D)` as stored, copied from the map, and which are real `(n, R)` bool."""
        mask = np.arange(self.header.regions) < self.counts[rows][:, None]
        return self.features[rows], mask

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
        """Read everything and compare checksums. Raises BadStore naming the first damaged rows."""
        arrays = {
            name: open_array(self.path, name, *c) for name, c in self.header.columns().items()
        }
        for chunk in read_chunks(self.path):
            if checksum(arrays, chunk.start, chunk.end) != chunk.crc32:
                what = f"rows {chunk.start} to {chunk.end - 1} have changed since they were written"
                raise BadStore(what, where=self.path, cure=EXTRACT_AGAIN)


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


def open_array(path: Path, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
    """Map one array of a store, read-only. Raises BadStore unless it is as the header says."""
    file = path / f"{name}.npy"
    try:
        # A plain view of the map: numpy's own subclass costs time on every index.
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except FileNotFoundError:
        raise BadStore("missing", where=file, cure=EXTRACT_AGAIN) from None
    except (ValueError, OSError, EOFError) as error:
        raise BadStore(f"not whole ({error})", where=file, cure=EXTRACT_AGAIN) from None
    if array.shape != shape or array.dtype != kind:
        what = f"holds {array.dtype} {array.shape}, the header says {kind} {shape}"
        raise BadStore(what, where=file, cure=EXTRACT_AGAIN)
    return array


def read_chunks(path: Path) -> list[Chunk]:
    """What `chunks.jsonl` says is safely on disk: stretches that follow each other from row 0.

    A last line that was cut off by a crash, and anything after it, does not count.
    """
    chunks: list[Chunk] = []
    try:
        lines = (path / "chunks.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            start, end, crc32, skipped = json.loads(line).values()
            chunk = Chunk(start, end, crc32, tuple(Skipped(**one) for one in skipped))
        except (ValueError, TypeError, AttributeError):
            break
        if not line.endswith("\n") or chunk.start != (chunks[-1].end if chunks else 0):
            break
        chunks.append(chunk)
    return chunks


def checksum(arrays: dict[str, np.ndarray], start: int, end: int) -> int:
    """CRC-32 of some rows of a store's arrays, in the order of `StoreHeader.columns`."""
    crc = 0
    for array in arrays.values():
        crc = zlib.crc32(np.ascontiguousarray(array[start:end]).data, crc)
    return crc
