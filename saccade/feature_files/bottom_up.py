"""Bottom-up attention's TSV files: `image_id, width, height, num_boxes, boxes, features`.

Boxes and features are base64 of float32, boxes in pixels of the original picture (Anderson et al.
2018, `tools/read_tsv.py` of its code). Rows stand in any order and are as long as a picture's
features, so the file is read once to learn where each begins, and once more in the order of ids.
"""

import base64
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Picture
from saccade.feature_files.opened import COPY_AGAIN, Opened, Row, looked, read_exactly

LONGEST = 256 * 2**20
"""Bytes of a row: more is no row of such a file."""


class _Place(NamedTuple):
    file: int
    offset: int
    length: int


def open_features(path: Path, folder: DataFolder, pictures: Sequence[Picture]) -> Opened:
    """Open a TSV file, or a folder of them (`trainval_36/*.tsv*`). Raises BadData."""
    del folder, pictures
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if re.search(r"\.tsv(\.\d+)?$", one.name))
    if not files or not all(one.is_file() for one in files):
        what = "there is no file .tsv" if path.is_dir() else "no such file"
        raise BadData(what, where=path, cure="Unpack the archive and give its folder or file.")
    places: dict[int | str, _Place] = {}
    most = dim = twice = 0
    for number, file in enumerate(files):
        offset = 0
        with file.open("rb") as stream:
            while line := stream.readline(LONGEST):
                where = f"{file}, byte {offset}"
                id_, boxes, width = _told(line, where)
                if dim not in (0, width):
                    what = f"regions of {width} numbers, before there were {dim}"
                    raise BadData(what, where=where, cure=COPY_AGAIN)
                before = places.setdefault(id_, _Place(number, offset, len(line)))
                if before.file != number:
                    what = f"picture {id_} is in {files[before.file].name} and in {file.name}"
                    raise BadData(what, where=path, cure="Give the file that is meant.")
                twice += before.offset != offset
                most, dim, offset = max(most, boxes), width, offset + len(line)
    if not places:
        raise BadData("there is not one row", where=path, cure=COPY_AGAIN)
    held = ExitStack()
    streams = [held.enter_context(file.open("rb")) for file in files]
    notes = (f"{twice:,} pictures stand in it twice; the first row was taken",) if twice else ()
    # The detector's own: shorter side 600, longer at most 1000, values of 0..255.
    into = looked(1000, "inside", 600)
    return Opened(
        places, lambda one: _read(streams, one), most, dim, None, into, notes=notes, held=held
    )


def _told(line: bytes, where: str) -> tuple[int, int, int]:
    """Picture id, boxes and numbers per box of a row, from its beginning and the length of its
    fields. Raises BadData.
    """
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) != 6:
        what = (
            f"a row of {len(fields)} fields, not image_id, width, height, number, boxes, features"
        )
        raise BadData(what, where=where, cure=COPY_AGAIN)
    try:
        id_, count = int(fields[0]), int(fields[3])
        boxes, numbers = _bytes_in(fields[4]), _bytes_in(fields[5])
        if count < 1 or boxes != count * 16 or numbers % (4 * count) or not numbers:
            raise ValueError(f"{count} boxes in {boxes} bytes, their features in {numbers}")
    except ValueError as error:
        raise BadData(f"no row of features ({error})", where=where, cure=COPY_AGAIN) from None
    return id_, count, numbers // (4 * count)


def _bytes_in(text: bytes) -> int:
    """How many bytes a base64 text stands for."""
    return len(text) * 3 // 4 - (len(text[-2:]) - len(text[-2:].rstrip(b"=")))


def _read(streams: Sequence[BinaryIO], place: _Place) -> Row:
    line = read_exactly(streams[place.file], place.offset, place.length)
    _, wide, high, count, boxes, features = line.rstrip(b"\r\n").split(b"\t")
    size = (int(wide), int(high))
    found = [
        np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(int(count), -1)
        for text in (boxes, features)
    ]
    return Row(found[1], found[0], size, in_pixels=True)
