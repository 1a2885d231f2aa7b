"""The data folder: what `prepare` writes and everything else reads.

    dataset.json       source, licence, counts, fingerprint, window, notes, findings; written last
    images.parquet     id, file, split                             (fields of `ImageRecord`)
    questions.parquet  id, image_id, text, split, answers, ...     (fields of `Question`)
    captions.parquet   id, image_id, text, words, split            (fields of `Caption`)
    choices.parquet    question_id, choices                        (multiple choice)
    pairs.parquet      question_id, other_id                       (VQA v2's complementary pairs)
    rephrasings.parquet   question_id, other_id                    (the same in other words)
    entailments.parquet   question_id, other_id                    (the other follows from it)
    objects.parquet    image_id, objects                           (categories, annotated)
    released_ids.parquet  kind, id, released                       (ids that are no numbers)
    cache/             word counts of the training split, one file a tokenizer; may be deleted
    features/NAME/     feature stores, made by `extract`
    images/            the images themselves, where `pack --images` brought them along

The tables are written and read by `data.parquet`, which is imported when one is asked for: a folder
that is none is refused without the half second that this takes.
"""

import hashlib
import inspect
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from saccade.core.errors import BadConfig, BadData
from saccade.core.files import as_json, refuse_missing_data, to_disk, write_json
from saccade.core.settings import first_problem
from saccade.core.tasks import TASK_INFO, RecordKind, TaskName
from saccade.data.checks import Finding
from saccade.data.reading import read_json
from saccade.data.records import (
    SPLITS,
    Caption,
    Collection,
    ImageRecord,
    Question,
    ReleasedId,
    Split,
)
from saccade.text.answers import ALWAYS, OFFICIAL
from saccade.text.segmentation import misfits
from saccade.text.tokenizers import TOKENIZERS, as_question

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2
"""Raised when an older folder, or an older cache of word counts, must no longer be read."""
RELATIONS = ("pairs", "rephrasings", "entailments")
"""The tables of questions that belong together, two by two."""
FIELDS: dict[str, tuple[str, ...]] = {
    "images": ImageRecord._fields,
    "questions": Question._fields,
    "captions": Caption._fields,
    "choices": ("question_id", "choices"),
    **dict.fromkeys(RELATIONS, ("question_id", "other_id")),
    "objects": ("image_id", "objects"),
    "released_ids": ReleasedId._fields,
}
"""The tables, each in a Parquet file of its name, and their columns."""
FILES = (*(f"{name}.parquet" for name in FIELDS), "dataset.json")
OF_FORMAT_1 = ("vocabulary.json", "answers.json")
"""Files of an older data folder that `write_folder` removes when it replaces one."""
IMAGES, CACHE = "images", "cache"
PREPARE_AGAIN = "Make it again: saccade prepare DIR --out DATA."
OFFICIALLY_SCORED = frozenset(
    {"vqa-v1", "vqa-v2", "vqa-abstract", "vqa-cp-v1", "vqa-cp-v2", "ok-vqa"}
)
"""Sources whose published scores are those of the official VQA code."""
CAPTION_TOKENIZER = "karpathy"
"""The tokenizer that `Caption.words` are cut with."""
MULTILINGUAL = "multilingual"
"""The tokenizer of questions in scripts without blanks."""


def write_folder(
    out: Path,
    collection: Collection,
    findings: Sequence[Finding] = (),
    *,
    unread: Mapping[str, str] = MappingProxyType({}),
    replace_other: bool = False,
) -> None:
    """Write a collection that has been through `data.checks.check`.

    Every file is whole or absent, and `dataset.json` comes last: without it the folder does not
    count. Equal collections give equal files. `features/` of an existing data folder stays.
    `unread` names the files that were not read, with the reasons. Raises BadData if `out` holds
    anything that is not of a data folder, BadConfig if it is one of other data, unless
    `replace_other`.
    """
    from saccade.data.parquet import write_table  # noqa: PLC0415 - slow to import

    if out.exists() and not out.is_dir():
        raise BadData("is a file", location=out, hint="Give another --out.")
    own = {*FILES, *(f"{name}.part" for name in FILES), *OF_FORMAT_1, CACHE, "features"}
    there = {path.name for path in out.iterdir()} if out.exists() else set()
    strange = [name for name in there - own if not name.startswith(".")]  # left by systems
    if strange == [IMAGES]:
        message = "was unpacked with images of its own: other records would be looked up in them"
        raise BadData(message, location=out, hint="Give a new folder as --out.")
    if strange:
        message = f"holds other things than a data folder, such as {min(strange)}"
        hint = "Give a new folder, or an earlier data folder, as --out."
        raise BadData(message, location=out, hint=hint)
    if not replace_other:
        _refuse_other_data(out, collection)
    out.mkdir(parents=True, exist_ok=True)
    tables = {name: records for name, records in _tables(collection).items() if records}
    parts = [out / f"{name}.parquet.part" for name in tables]
    for part, (name, records) in zip(parts, tables.items(), strict=True):
        write_table(part, records, FIELDS[name])
    kinds = ("images", "questions", "captions")
    counts = {kind: Counter(one.split for one in getattr(collection, kind)) for kind in kinds}
    about = {
        "format": FORMAT,
        "source": collection.source,
        "licence": collection.licence,
        "image_root": collection.image_root,
        "window": collection.window,
        "fingerprint": fingerprint(collection),
        "splits": {split: {kind: counts[kind][split] for kind in kinds} for split in SPLITS},
        "files": {"read": list(collection.files), "unread": dict(unread)},
        "notes": list(collection.notes),
        "findings": [asdict(finding) for finding in findings],
    }
    parts.append(out / "dataset.json.part")
    parts[-1].write_text(as_json(about), encoding="utf-8")
    for part in parts:
        with part.open("r+b") as stream:
            to_disk(stream)
    (out / "dataset.json").unlink(missing_ok=True)
    for name in (*FILES, *OF_FORMAT_1):
        if out / f"{name}.part" not in parts:
            (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / CACHE, ignore_errors=True)
    for part in parts:
        os.replace(part, part.with_suffix(""))


def _refuse_other_data(out: Path, collection: Collection) -> None:
    """Raise BadConfig where `out` is a data folder of another source, or of other files."""
    if not (out / "dataset.json").is_file():
        return
    about = read_json(out / "dataset.json", dict)
    theirs = about.get("source"), about.get("image_root"), (about.get("files") or {}).get("read")
    ours = collection.source, collection.image_root, list(collection.files)
    if any(old not in (None, new) for old, new in zip(theirs, ours, strict=True)):
        names = ", ".join(theirs[2] or [])[:200] or f"images in {theirs[1]}"
        message = f"is the data folder of other data: {theirs[0]} ({names})"
        hint = "Give another --out, or --replace to lose that one and write this in its place."
        raise BadConfig(message, location=out, hint=hint)


def _tables(collection: Collection) -> dict[str, Sequence[tuple[Any, ...]]]:
    """The records of each table; those about questions or images that were left out are, too."""
    ids = {question.id for question in collection.questions}
    images = {image.id for image in collection.images}
    return {
        "images": collection.images,
        "questions": collection.questions,
        "captions": collection.captions,
        "choices": [item for item in collection.choices.items() if item[0] in ids],
        **{
            name: [pair for pair in getattr(collection, name) if ids.issuperset(pair)]
            for name in RELATIONS
        },
        "objects": [item for item in collection.objects.items() if item[0] in images],
        "released_ids": collection.released_ids,
    }


def fingerprint(collection: Collection) -> str:
    """SHA-256 over all records in order: equal data, equal fingerprint, wherever it lies."""
    digest = hashlib.sha256()
    for name, records in _tables(collection).items():
        if not records and name in ("choices", *RELATIONS, "objects", "released_ids"):
            continue
        rest = iter(records)
        while some := list(islice(rest, 4096)):
            digest.update(json.dumps(some).encode())
        digest.update(b"\n")
    return digest.hexdigest()


class _Counts(BaseModel):
    """Records of a split."""

    images: int = Field(ge=0)
    questions: int = Field(ge=0)
    captions: int = Field(ge=0)


class _Files(BaseModel):
    """Files that were there when the folder was prepared."""

    read: list[str] = []
    unread: dict[str, str] = {}


class _About(BaseModel):
    """What `dataset.json` must have; the rest is for people."""

    model_config = ConfigDict(strict=True)

    source: str = ""
    image_root: str = Field(pattern=r"^[^\x00]*$")
    fingerprint: str
    window: str = "auto"
    splits: dict[Split, _Counts] = Field(min_length=len(SPLITS))
    files: _Files = _Files()
    notes: list[str] = []
    findings: list[dict[str, Any]] = []


class DataFolder:
    """A prepared data set. Opening reads `dataset.json` alone; tables are read when asked for."""

    def __init__(self, path: Path, *, image_root: Path | None = None) -> None:
        """Open `path`; images are below `image_root`, else the environment's SACCADE_IMAGES,
        else the folder's own `images/`, else where they were when the folder was prepared.

        Raises BadData if there is no data folder, an unfinished one, or one of another format.
        """
        self.path = Path(path)
        seal = self.path / "dataset.json"
        if not seal.is_file():
            refuse_missing_data(self.path)
            begun = any((self.path / name).exists() for name in FILES)
            message = "is an unfinished data folder" if begun else "is not a data folder"
            raise BadData(f"{message}: it has no dataset.json", location=path, hint=PREPARE_AGAIN)
        self.about: dict[str, Any] = read_json(seal, dict)
        if (number := self.about.get("format")) != FORMAT:
            older = isinstance(number, int) and number < FORMAT
            message = f"was made by {'an older' if older else 'a newer'} saccade"
            again = f"saccade prepare {self.about.get('source')} --root DIR --out {self.path}."
            hint = f"Make it again: {again}" if older else f"Update saccade, or type: {again}"
            message += f" (format {number}, this one reads {FORMAT})"
            raise BadData(message, location=seal, hint=hint)
        try:
            _About.model_validate(self.about)
        except ValidationError as error:
            message = first_problem(error, "the whole")
            raise BadData(message, location=seal, hint=PREPARE_AGAIN) from None
        moved = image_root or os.environ.get("SACCADE_IMAGES")
        own = self.path / IMAGES
        self.image_root = Path(moved or (own if own.is_dir() else self.about["image_root"]))
        self.fingerprint: str = self.about["fingerprint"]
        self.window: str = self.about.get("window", "auto")
        """How images of more than 8 bits become 8, see `data.levels`."""
        self._misfits: dict[str, int] = {}

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks that the records can be used for."""
        splits = self.about["splits"].values()
        tasks: tuple[TaskName, ...] = get_args(TaskName)
        return tuple(t for t in tasks if any(counts[TASK_INFO[t].records] for counts in splits))

    @property
    def revision(self) -> str:
        """The revision of the VQA scorer that its answers are judged by, unless one is asked for:
        the official one where scores of others are to be compared with.
        """
        parts = str(self.about.get("source")).split("+")
        return ALWAYS if OFFICIALLY_SCORED.isdisjoint(parts) else OFFICIAL

    def images(self, split: Split | None = None) -> list[ImageRecord]:
        """All images, or those of one split, in the source's order."""
        return [ImageRecord(*row) for row in _rows(self._table("images", split))]

    def questions(self, split: Split) -> list[Question]:
        """The questions of a split, in the source's order. Raises BadData if the folder has none
        at all; a split without questions is an empty list.
        """
        return [Question(*row) for row in _rows(self.question_table(split))]

    def captions(self, split: Split) -> list[Caption]:
        """The captions of a split, as `questions`."""
        return [Caption(*row) for row in _rows(self.caption_table(split))]

    def captions_by_image(self, split: Split) -> dict[int, list[Caption]]:
        """The captions of a split by the id of their image, in the source's order."""
        found: dict[int, list[Caption]] = {}
        for caption in self.captions(split):
            found.setdefault(caption.image_id, []).append(caption)
        return found

    def question_table(self, split: Split) -> "pa.Table":
        """The same as `questions`, as a table: a column per field of `Question`."""
        return self._table("questions", split)

    def caption_table(self, split: Split) -> "pa.Table":
        """The same as `captions`, as a table: a column per field of `Caption`."""
        return self._table("captions", split)

    def record_table(self, task: TaskName, split: Split) -> "pa.Table":
        """The records that a task has in a split: its questions, or its captions."""
        return self._table(TASK_INFO[task].records, split)

    def choices(self) -> dict[int, tuple[str, ...]]:
        """The choices that each question offers; empty for an open-ended set."""
        return dict(self._beside("choices"))

    def pairs(self) -> list[tuple[int, int]]:
        """The complementary pairs of question ids; empty where none are known."""
        return list(self._beside("pairs"))

    def rephrasings(self) -> list[tuple[int, int]]:
        """Ids of a question in other words, and of the original; empty where none are known."""
        return list(self._beside("rephrasings"))

    def entailments(self) -> list[tuple[int, int]]:
        """Ids of a question, and of one that its answer entails; empty where none are known."""
        return list(self._beside("entailments"))

    def objects(self) -> dict[int, tuple[str, ...]]:
        """The categories of the objects that are annotated in each image, by its id; empty where
        none are known.
        """
        return dict(self._beside("objects"))

    def released_ids(self, kind: Literal["image", "question"]) -> dict[int, str]:
        """The released ids by the numbers used here; empty where they are the same."""
        return {id_: name for of, id_, name in self._beside("released_ids") if of == kind}

    def word_counts(self, tokenizer: str, of: RecordKind) -> dict[str, int]:
        """Counts of the words of the training split, in the order of first use.

        Questions are cut when they are counted, with any of `TOKENIZERS`; the counts are kept in
        `cache/`. Captions were cut when they were read. Raises BadConfig for another tokenizer,
        BadData where there is no such text for training.
        """
        from saccade.data.parquet import count  # noqa: PLC0415 - slow to import

        if of == "captions":
            if tokenizer != CAPTION_TOKENIZER:
                hint = f"They were cut by {CAPTION_TOKENIZER!r} when they were read: name that."
                raise BadConfig(f"captions are not cut by tokenizer {tokenizer!r}", hint=hint)
            counts = count(self.caption_table("train").column("words"))
        else:
            counts = self._question_words(tokenizer)
        if not counts:
            hint = "Prepare a source with a training split."
            raise BadData(f"has no {of} for training", location=self.path, hint=hint)
        return counts

    def tokenizer_for(self, tokenizer: str) -> str:
        """The tokenizer that fits the training questions: the given one of `TOKENIZERS`, or
        "multilingual" where that is not made for their script, such as one without blanks.
        """
        misfit = self.misfits(tokenizer)
        # A tenth, not most: in a bilingual set the questions with blanks are cut rightly by both.
        whole = self.question_table("train").num_rows
        return MULTILINGUAL if misfit * 10 > whole else tokenizer

    def misfits(self, tokenizer: str) -> int:
        """Number of training questions whose script one of `TOKENIZERS` is not made for."""
        if tokenizer not in self._misfits:  # asked for when one is chosen, and when that is told
            texts = self.question_table("train").column("text").to_pylist()
            cut = TOKENIZERS.look_up(tokenizer)
            self._misfits[tokenizer] = sum(misfits(cut, as_question(text)) for text in texts)
        return self._misfits[tokenizer]

    def answer_counts(self, of: Literal["answers", "best_answers"] = "answers") -> dict[str, int]:
        """Counts of people's answers in the training split, as released, in the order of first use.

        `best_answers` counts each question's best answer instead.
        """
        from saccade.data.parquet import answered, count  # noqa: PLC0415 - slow to import

        table = self.question_table("train")
        if of == "answers":
            return count(table.column("answers"))
        return count(answered(table).column("best_answer"))

    def stores(self) -> list[str]:
        """Names of the feature stores, whole or not."""
        features = self.path / "features"
        if not features.is_dir():
            return []
        return sorted(entry.name for entry in features.iterdir() if entry.is_dir())

    def store_path(self, name: str) -> Path:
        """Path of the feature store of that name, there or not."""
        return self.path / "features" / name

    def _table(self, name: str, split: Split | None) -> "pa.Table":
        if split not in (None, *SPLITS):
            raise BadConfig(f"there is no split {split!r}", hint=f"Splits: {', '.join(SPLITS)}.")
        counts = {key: value[name] for key, value in self.about["splits"].items()}
        if not sum(counts.values()):
            has = " and ".join(self.tasks) or "no records"
            hint = f"Prepare a source with {name}; `saccade list sources` shows them."
            raise BadData(f"holds no {name}, only {has}", location=self.path, hint=hint)
        from saccade.data.parquet import read_table  # noqa: PLC0415 - slow to import

        path = self.path / f"{name}.parquet"
        table = read_table(path, PREPARE_AGAIN, split)
        expected = counts[split] if split else sum(counts.values())
        if len(table) != expected or tuple(table.column_names) != FIELDS[name]:
            message = f"has {len(table)} rows of {table.column_names}; dataset.json says {expected}"
            raise BadData(message, location=path, hint=PREPARE_AGAIN)
        return table

    def _beside(self, name: str) -> Iterable[tuple[Any, ...]]:
        from saccade.data.parquet import read_table  # noqa: PLC0415 - slow to import

        path = self.path / f"{name}.parquet"
        return _rows(read_table(path, PREPARE_AGAIN)) if path.is_file() else ()

    def _question_words(self, tokenizer: str) -> dict[str, int]:
        """Counts of the cache, or else counted now; a folder that is read-only has no cache."""
        cut = TOKENIZERS.look_up(tokenizer)
        source = ""  # of the file it stands in: a plugin's that was edited counts anew
        with suppress(TypeError, OSError, ValueError):  # not written in Python
            source = Path(inspect.getfile(cut)).read_text(encoding="utf-8")
        key = hashlib.sha256(f"{FORMAT} {self.fingerprint} {tokenizer} {source}".encode())
        plain = re.sub(r"\W", "_", tokenizer)
        cache = self.path / CACHE / f"words-{plain}-{key.hexdigest()[:16]}.json"
        with suppress(BadData):  # not there, or cut off by a crash
            return cast(dict[str, int], read_json(cache, dict))
        texts = Counter(map(as_question, self.question_table("train").column("text").to_pylist()))
        counts: dict[str, int] = {}
        for text, times in texts.items():  # a question that is asked again is cut once
            for word in cut(text):
                counts[word] = counts.get(word, 0) + times
        with suppress(OSError):
            cache.parent.mkdir(exist_ok=True)
            write_json(cache, counts)
        return counts


def _rows(table: "pa.Table") -> Iterable[tuple[Any, ...]]:
    from saccade.data.parquet import to_rows  # noqa: PLC0415 - slow to import

    return to_rows(table)
