"""Inputs of `predict`: a split of a data folder, a folder of images, image files, or a table."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import images_in
from saccade.data.folder import DataFolder
from saccade.data.reading import is_text
from saccade.data.records import SPLITS, ImageRecord, Split
from saccade.datasets.columns import COLUMNS, Names, known_among, listed
from saccade.datasets.custom_rows import Row
from saccade.datasets.gqa import released_ids
from saccade.datasets.row_files import read_rows

TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
"""Endings of the names of tables, of which a `.gz` may stand behind all but the last."""
PARTS: Names = {
    "image": COLUMNS["image"],
    "question": COLUMNS["question"],
    "id": ("question_id", "id"),
}
"""The columns of a table that are read."""
Id = int | str


class Inputs(NamedTuple):
    """Images, and the questions that are asked about them, each of which gets a prediction.

    N predictions about I images.
    """

    images: list[ImageRecord]
    """(I,) `id` is the data folder's own number, or the place here; all of them are asked about."""
    image_ids: list[Id]
    """(I,) as released."""
    root: Path
    """What the images' paths begin from."""
    image: np.ndarray
    """(N,) int64 place in `images` of each prediction."""
    ids: list[Id]
    """(N,) of the questions, or of the images where captions are written; as released."""
    questions: list[str] | None
    """(N,) None where captions are written."""
    folder: DataFolder | None = None
    split: Split | None = None

    def fingerprint(self) -> str:
        """A hash of all that is predicted about: ids, paths and questions."""
        digest = hashlib.sha256(f"{self.root.absolute()}\n{self.ids}\n".encode())
        digest.update(self.image.tobytes())
        for part in ((one.file for one in self.images), self.questions or ()):
            digest.update("\n".join([*part, ""]).encode(errors="surrogatepass"))
        return digest.hexdigest()


def read_inputs(
    given: Sequence[Path],
    *,
    asks_question: bool,
    split: Split | None = None,
    questions: Sequence[str] = (),
    image_root: Path | None = None,
) -> Inputs:
    """Read what a user gives: a data folder, a table, or images and folders of images.

    `questions` are asked about each image, where the run answers questions and the input has
    none of its own. Raises BadData, or BadConfig for inputs that do not belong together.
    """
    first = given[0]
    if any(map(is_data_folder, given)):
        _refuse("a data folder", len(given) > 1, questions, "--question")
        return _of_split(DataFolder(first, image_root=image_root), split, asks_question)
    if split is not None:
        message = f"has no splits, and {split!r} is asked for"
        raise BadConfig(message, location=first, hint="Give a data folder, or leave --split out.")
    if is_table(first):
        _refuse("a table", len(given) > 1, questions if asks_question else (), "--question")
        return _of_table(first, image_root, asks_question)
    return _of_files(given, questions if asks_question else None)


def is_data_folder(path: Path) -> bool:
    """True for what `prepare` has made."""
    return (path / "dataset.json").is_file()


def is_table(path: Path) -> bool:
    """True for a file that is called a table."""
    return path.name.lower().removesuffix(".gz").endswith(TABLES)


def _refuse(kind: str, several: bool, questions: Sequence[str], option: str) -> None:
    if several:
        raise BadConfig(f"{kind} stands alone as input", hint="Predict for each by itself.")
    if questions:
        hint = f"Leave {option} out, or give images instead."
        raise BadConfig(f"{kind} has questions of its own", hint=hint)


def _of_split(folder: DataFolder, split: Split | None, asks_question: bool) -> Inputs:
    """The questions of a split, or its images, with truth or without."""
    kind = "questions" if asks_question else "images"
    counts = {one: folder.about["splits"][one][kind] for one in SPLITS}
    split = split or ("test" if counts["test"] else "val")
    if not counts.get(split, 1):
        others = ", ".join(one for one in SPLITS if counts[one]) or "there is none"
        message = f"the {split} split has no {kind}"
        raise BadData(message, location=folder.path, hint=f"Choose with --split: {others}.")
    if not asks_question:
        images = folder.images(split)
        ids = released_ids(folder, "image", [one.id for one in images])
        place = np.arange(len(images))
        return Inputs(images, ids, folder.image_root, place, ids, None, folder, split)
    table = folder.question_table(split)
    about = table.column("image_id").to_numpy()
    by_id = {one.id: one for one in folder.images()}
    numbers, first, place = np.unique(about, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # images in the order of their first question
    rank = np.argsort(order, kind="stable")
    images = [by_id[number] for number in numbers[order].tolist()]
    return Inputs(
        images,
        released_ids(folder, "image", [one.id for one in images]),
        folder.image_root,
        rank[place],
        released_ids(folder, "question", table.column("id").to_pylist()),
        table.column("text").to_pylist(),
        folder,
        split,
    )


def _of_table(path: Path, image_root: Path | None, asks_question: bool) -> Inputs:
    """The rows of a table, each an image and, where the run asks for it, a question."""
    names, rows = read_rows(path)
    columns = known_among(names, PARTS)
    for part in ("image", *(["question"] if asks_question else [])):
        if part not in columns:
            message = f"has no column of {part}s; it has {listed(names, 12) or 'none'}"
            hint = "Name the columns image and question."
            raise BadData(message, location=path, hint=hint)
    files: dict[str, int] = {}
    place, ids, questions = [], [], []
    for number, row in enumerate(rows, start=1):
        row.refuse_fault()
        cells: list[Any] = [row.values.get(columns[part]) for part in columns if part != "id"]
        wanted = cells if asks_question else cells[:1]
        if not is_text(wanted) or not all(one.strip() for one in wanted):
            hint = "Write the path of an image, and a question, or leave the row out."
            raise row.bad(f"has {ascii(wanted)[:60]} as image and question", hint)
        place.append(files.setdefault(wanted[0].strip(), len(files)))
        ids.append(_id_of(row, columns.get("id", ""), number))
        questions += wanted[1:]
    if not rows:
        raise BadData("has no rows", location=path, hint="Write an image and a question in each.")
    if any(isinstance(id_, str) for id_ in ids):  # a column is of one type
        ids = list(map(str, ids))
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        message = f"has {twice!r} twice in its column {columns['id']!r}"
        raise BadData(message, location=path, hint="Give each row an id of its own.")
    images, root = _records(files), image_root or _root_of(path, files)
    if not asks_question:
        return _captioned(images, root)
    return Inputs(images, list(files), root, np.array(place), ids, questions)


def _root_of(table: Path, files: Iterable[str]) -> Path:
    """The folder of a table's images: `images/` beside it, as for `prepare`, or its own."""
    beside = table.parent / "images"
    is_there = beside.is_dir() and any((beside / file).is_file() for file in files)
    return beside if is_there else table.parent


def _id_of(row: Row, column: str, number: int) -> Id:
    """A row's id: that of its column, where it has one, else its number. Raises BadData."""
    value = row.values.get(column)
    if isinstance(value, float) and (value.is_integer() or math.isnan(value)):  # of a table's holes
        value = None if math.isnan(value) else int(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return number
    if isinstance(value, bool) or not (isinstance(value, int) or is_text([value])):
        hint = "Write a whole number or a text, or leave the cell empty."
        raise row.bad(f"has {ascii(value)[:40]} as its {column}", hint)
    return value if isinstance(value, str) or abs(value) < 2**63 else str(value)


def _of_files(given: Sequence[Path], questions: Sequence[str] | None) -> Inputs:
    """Image files, and the images of folders; each is asked each of the questions."""
    root, files = Path(), [str(path) for path in images_in(given)]
    if len(given) == 1 and given[0].is_dir():
        root, files = given[0], [Path(file).relative_to(given[0]).as_posix() for file in files]
    images = _records(dict.fromkeys(files))
    if questions is None:
        return _captioned(images, root)
    if not questions:
        hint = 'Give it one: --question "What is this?", or a table with images and questions.'
        raise BadConfig("the run answers questions, and images bring none along", hint=hint)
    if not is_text(questions) or not all(map(str.strip, questions)):
        message = f"{ascii(list(questions))[:60]}: a question is empty, or no UTF-8 text"
        raise BadConfig(message, location="--question", hint='Write it in quotes: "What is this?"')
    if len(set(questions)) < len(questions):
        (twice, _), *_ = Counter(questions).most_common(1)
        message = f"{ascii(twice)[:60]} is asked twice"
        raise BadConfig(message, location="--question", hint="Give each question once.")
    asked = list(product(range(len(images)), questions))
    place = np.array([number for number, _ in asked])
    names: list[Id] = [image.file for image in images]
    return Inputs(images, names, root, place, [*range(1, len(asked) + 1)], [q for _, q in asked])


def _captioned(images: list[ImageRecord], root: Path) -> Inputs:
    names: list[Id] = [image.file for image in images]
    return Inputs(images, names, root, np.arange(len(images)), names, None)


def _records(files: Iterable[str]) -> list[ImageRecord]:
    return [ImageRecord(number, file, "test") for number, file in enumerate(files)]
