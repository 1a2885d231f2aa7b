"""Feature files that are tables, a row an image: of bottom-up attention, LXMERT and VinVL.

Boxes and features are base64 of float32, boxes in pixels of the image. Rows stand in any order and
are as long as an image's features, so a file is read once to learn where each begins, and once
more in the order of ids. The released files have damaged rows: cut ones, some without an end of
line, so that the next is glued to them, and ids that stand in them twice. Such rows are left out
and named, and the whole row of the same image is taken.
"""

import base64
import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.reading import refuse_stand_ins
from saccade.interop.feature_matching import Key
from saccade.interop.feature_reader import (
    DETECTOR_INPUT,
    MADE_WRONGLY,
    Opened,
    Row,
    in_two_files,
    some,
    whole_image,
)

BOTTOM_UP: Mapping[int, tuple[str, ...]] = {
    6: ("id", "width", "height", "num_boxes", "boxes", "features"),
    10: (
        *("id", "height", "width", "objects_id", "objects_conf", "attrs_id", "attrs_conf"),
        *("num_boxes", "boxes", "features"),
    ),
}
"""Columns by their number: `tools/generate_tsv.py` of bottom-up attention (Anderson et al. 2018),
and `extract_coco_image.py` of LXMERT (Tan and Bansal 2019)."""
VINVL: Mapping[int, tuple[str, ...]] = {2: ("id", "json"), 3: ("id", "num_boxes", "features")}
"""Of VinVL (Zhang et al. 2021), as Oscar's `run_captioning.py` and `run_retrieval.py` read them,
and as its detector's own program, scene_graph_benchmark, writes `predictions.tsv`."""
PER_BOX = ("objects_id", "objects_conf", "attrs_id", "attrs_conf", "boxes", "features")
"""Columns that are base64 of as many numbers for every box."""
MAX_ROW = 256 * 2**20
"""Bytes of a row: more is no row of such a file."""
LETTERS = (string.ascii_letters + string.digits + "+/").encode()


class _Line(NamedTuple):
    """A row of a file, its base64 not decoded."""

    id: Key
    num_boxes: int
    dim: int
    size: tuple[int, int] | None
    features: bytes
    boxes: Any
    """Base64, a list, or None."""


class _Place(NamedTuple):
    """Where a row is."""

    file: int
    start: int
    end: int


def open_bottom_up(path: Path, _folder: DataFolder) -> Opened:
    """Open a TSV file of 6 columns, or LXMERT's of 10, or a folder of them. Raises BadData."""
    return _open(path, BOTTOM_UP, r"\.tsv(\.\d+)?$")


def open_vinvl(path: Path, _folder: DataFolder) -> Opened:
    """Open VinVL's TSV file, or a folder of them. Raises BadData.

    `.lineidx` beside it says where rows begin, and is not needed: it may belong to another file.
    """
    return _open(path, VINVL, r"(feat|predictions)\w*\.tsv(\.\d+)?$")


def _open(path: Path, columns: Mapping[int, tuple[str, ...]], pattern: str) -> Opened:
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if re.search(pattern, one.name))
    if not files or not all(one.is_file() for one in files):
        message = "there is no such file .tsv" if path.is_dir() else "no such file"
        hint = "Unpack the archive and give its folder or file."
        raise BadData(message, location=path, hint=hint)
    table = _Table(path, files, columns)
    for number in range(len(files)):
        table.scan(number)
    places, most, dim = table.whole_rows()
    held = ExitStack()
    streams = [held.enter_context(file.open("rb")) for file in files]

    def read(place: _Place) -> Row:
        streams[place.file].seek(place.start)
        line = streams[place.file].read(place.end - place.start)
        if len(line) != place.end - place.start:
            raise EOFError("the file ends in the middle")
        return _decoded(_parsed(line, columns))

    return Opened(
        places, read, most, dim, None, DETECTOR_INPUT, notes=tuple(table.notes), held=held
    )


class _Table:
    """Rows of one or several files: which are whole, and what is said of the others."""

    def __init__(
        self, path: Path, files: Sequence[Path], columns: Mapping[int, tuple[str, ...]]
    ) -> None:
        self.path, self.files, self.columns = path, files, columns
        self.rows: list[tuple[Key, int, int, _Place]] = []  # id, boxes, numbers of a box, place
        self.damage: list[tuple[Key | None, str]] = []
        self.notes: list[str] = []

    def scan(self, number: int) -> None:
        """Find the rows of a file."""
        file, offset, columns = self.files[number], 0, self.columns
        with file.open("rb") as stream:
            refuse_stand_ins(file, stream.read(1000).decode("utf-8", "replace"))
            stream.seek(0)
            while line := stream.readline(MAX_ROW):
                place = _Place(number, offset, offset + len(line))
                offset = place.end
                if place.start == 0 and self._are_names(line):
                    continue
                try:
                    row = _parsed(line, columns)
                except (ValueError, TypeError, OverflowError, RecursionError) as error:
                    why = f"byte {place.start:,} of {file.name}: {error}"
                    if not line.endswith(b"\n"):
                        why += "; the file ends in it: if it should be longer, copy it again"
                    self.damage.append((_named(line), why))
                    continue
                if len(columns) > 1:  # a row of another layout is one that is cut or glued
                    fields = line.count(b"\t") + 1
                    columns = {fields: columns[fields]}
                self.rows.append((row.id, row.num_boxes, row.dim, place))

    def _are_names(self, line: bytes) -> bool:
        """Is the first line one of names, as writers of CSV put it? Raises BadData for others."""
        names = [re.sub("^(image|img)_", "", one) for one in line.decode("latin-1").split()]
        if names[:1] != ["id"]:
            return False
        short = {"width": "w", "height": "h"}
        known = [[short.get(name, name) for name in wanted] for wanted in self.columns.values()]
        if names not in known:
            message = f"columns {', '.join(names)}; read are {' or '.join(map(', '.join, known))}"
            raise BadData(message, location=self.path, hint="Put the columns into that order.")
        return True

    def whole_rows(self) -> tuple[dict[Key, _Place], int, int]:
        """Place of each image, the boxes that one has at most, and the numbers of a box."""
        if not self.rows:
            why = self.damage[0][1] if self.damage else "it is empty"
            message = f"there is not one whole row ({why})"
            raise BadData(message, location=self.path, hint=MADE_WRONGLY)
        dim, most = self._width(), 0
        places: dict[Key, _Place] = {}
        same: list[Key] = []
        other: list[Key] = []
        for id_, count, width, place in self.rows:
            if width != dim:
                file = self.files[place.file].name
                why = f"byte {place.start:,} of {file}: regions of {width} numbers, not {dim}"
                self.damage.append((id_, why))
                continue
            before, most = places.setdefault(id_, place), max(most, count)
            if before != place:
                (same if self._line(before) == self._line(place) else other).append(id_)
                one, two = (self.files[each.file] for each in (before, place))
                if other[-1:] == [id_] and _run(one) != _run(two):
                    raise in_two_files(id_, one, two, self.path)
        self._say(places, same, other)
        return places, most, dim

    def _width(self) -> int:
        """Numbers of a box in most rows. Raises BadData where they differ from file to file."""
        widths = [Counter[int]() for _ in self.files]
        for _, _, width, place in self.rows:
            widths[place.file][width] += 1
        dim = sum(widths, Counter()).most_common(1)[0][0]
        for file, found in zip(self.files, widths, strict=True):
            if found and found.most_common(1)[0][0] != dim:
                width = found.most_common(1)[0][0]
                message = f"regions of {width} numbers, other files have {dim}"
                raise BadData(message, location=file, hint="Import files of one kind.")
        return dim

    def _line(self, place: _Place) -> bytes:
        with self.files[place.file].open("rb") as stream:
            stream.seek(place.start)
            return stream.read(place.end - place.start).rstrip(b"\r\n")

    def _say(self, places: Mapping[Key, _Place], same: list[Key], other: list[Key]) -> None:
        if self.damage:
            told = [f"{'?' if id_ is None else f'image {id_}'} ({why})" for id_, why in self.damage]
            self.notes.append(f"{len(told):,} damaged rows were left out: {some(told)}")
            images = {id_ for id_, _ in self.damage if id_ is not None}
            whole = sorted(map(str, images & places.keys()))
            if whole:
                note = f"{len(whole):,} of these images have a whole row too, which was taken"
                self.notes.append(f"{note}: {some(whole)}")
        for twice, what in ((same, "equal"), (other, "different")):
            if twice:
                note = f"{len(twice):,} rows are of images that have one already, with {what}"
                self.notes.append(f"{note} content; the first was taken: {some(twice)}")


def _run(file: Path) -> str:
    """A file's name without its number: several processes wrote `NAME.tsv.0`, `NAME.tsv.1`."""
    return re.sub(r"\.\d+$", "", file.name)


def _parsed(line: bytes, columns: Mapping[int, tuple[str, ...]]) -> _Line:
    """A row, checked by the lengths of its fields. Raises ValueError, KeyError, TypeError."""
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) not in columns:
        wanted = " or ".join(map(str, columns))
        glued = "; rows are glued together" if len(fields) > max(columns) else ""
        raise ValueError(f"{len(fields)} fields, not {wanted}{glued}")
    row: dict[str, Any] = dict(zip(columns[len(fields)], fields, strict=True))
    if "json" in row:
        told = _gathered(json.loads(row["json"]))
        if not isinstance(told, dict) or not {"num_boxes", "features"} <= told.keys():
            raise ValueError("its JSON has no num_boxes and features")
        row |= {name: v.encode() if isinstance(v, str) else v for name, v in told.items()}
        row |= {"width": told.get("image_w"), "height": told.get("image_h")}
    count, numbers = int(row["num_boxes"]), {}
    for name in PER_BOX:
        if isinstance(row.get(name), bytes):
            row[name] = _unquoted(row[name])
            numbers[name] = _float32s(row[name])
    boxes = numbers.get("boxes", count * 4)
    odd = [name for name, found in numbers.items() if found % max(count, 1) or not found]
    if count < 1 or boxes != count * 4 or odd or "features" not in numbers:
        raise ValueError(f"{count} boxes, but numbers for them: {numbers}")
    size = (row.get("width"), row.get("height"))
    known = None if None in size else (int(size[0]), int(size[1]))  # type: ignore[arg-type]
    if known and min(known) < 1:
        raise ValueError(f"an image of {known[0]} x {known[1]} pixels")
    id_, dim = _named(line), numbers["features"] // count
    if id_ is None:
        raise ValueError("no id")
    return _Line(id_, count, dim, known, row["features"], row.get("boxes"))


def _gathered(told: Any) -> Any:
    """What a row says of all its boxes, where it says it of each: `objects`, as they were found."""
    if not isinstance(told, dict) or not isinstance(objects := told.get("objects"), list):
        return told
    if not all(isinstance(one, dict) and {"rect", "feature"} <= one.keys() for one in objects):
        raise ValueError("its objects have no rect and feature (TEST.TSV_SAVE_SUBSET)")
    if len(widths := {_float32s(str(one["feature"]).encode()) for one in objects}) > 1:
        raise ValueError(f"objects of {sorted(widths)} numbers")
    features = b"".join(base64.b64decode(one["feature"]) for one in objects)
    boxes = [one["rect"] for one in objects]
    return {"num_boxes": len(objects), "features": base64.b64encode(features), "boxes": boxes}


def _named(line: bytes) -> Key | None:
    """The id that a row begins with: a number, or a name. None where it cannot be one."""
    text = line[:300].split(b"\t")[0].decode("utf-8", "replace").strip()
    if not text or len(text) > 200 or not text.isprintable() or "\ufffd" in text:
        return None
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text


def _unquoted(text: bytes) -> bytes:
    """Base64 without `b'...'`, which Python 3 writes where programs of Python 2 go on unchanged."""
    return text[2:-1] if text[:2] == b"b'" and text[-1:] == b"'" else text


def _float32s(text: bytes) -> int:
    """How many numbers of four bytes base64 is. Raises ValueError where it is not whole."""
    padding = len(text) - len(text.rstrip(b"="))
    if len(text) % 4 or padding > 2 or text[: len(text) - padding].translate(None, LETTERS):
        raise ValueError("base64 that is cut or changed")
    size = len(text) // 4 * 3 - padding
    if size % 4:
        raise ValueError(f"{size} bytes are not whole numbers")
    return size // 4


def _decoded(row: _Line) -> Row:
    features = np.frombuffer(base64.b64decode(row.features), "<f4").reshape(row.num_boxes, -1)
    place = features[:, -6:].astype(np.float64)
    if row.size is None and row.dim > 6 and _is_place(place):
        return Row(features, place[:, :4])
    boxes = row.boxes
    if boxes is None:
        return Row(features, whole_image(row.num_boxes), row.size)
    if isinstance(boxes, bytes):
        boxes = np.frombuffer(base64.b64decode(boxes), "<f4")
    boxes = np.asarray(boxes, np.float32).reshape(row.num_boxes, 4)
    return Row(features, boxes, row.size, in_pixels=True)


def _is_place(place: np.ndarray) -> bool:
    """Are the last six numbers of regions x0 y0 x1 y1, width and height, as shares of the image?

    So VinVL's features end. Boxes that stand in the features fit any size of the image.
    """
    sides = np.abs(place[:, 2:4] - place[:, :2] - place[:, 4:])
    return bool(sides.max() < 1e-3 and place.min() > -1e-3 and place.max() < 1.01)
