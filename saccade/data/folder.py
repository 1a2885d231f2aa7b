"""The data folder: what `prepare` writes and everything else reads.

    dataset.json       source, licence, counts, fingerprint, notes and findings; written last
    images.parquet     id, file, split                             (fields of `records.Image`)
    questions.parquet  id, image_id, text, split, answers, ...     (fields of `records.Question`)
    captions.parquet   id, image_id, text, words, split            (fields of `records.Caption`)
    choices.parquet, pairs.parquet                                 (see `data.companions`)
    vocabulary.json    how often each word stands in the training split, first seen first
    answers.json       the same for human answers
    features/NAME/     feature stores, made by `extract`
    images/          the images themselves, where `pack --images` brought them along

Repeated text (answers, words, splits) is kept once, as Parquet dictionaries: a VQA v2 question
takes about 150 bytes in memory.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadConfig, BadData
from saccade.core.files import to_disk
from saccade.data.checks import Finding
from saccade.data.reading import read_json
from saccade.data.records import SPLITS, Caption, Collection, ImageRecord, Question, Split
from saccade.text.tokenizers import TOKENIZERS, as_question

# Records as Arrow tables and back: a column per field, repeated text kept once.

ROWS = 2**17
"""Records that are laid out at a time; each lot is a row group of the file."""

_SHARED = pa.dictionary(pa.int32(), pa.string())
_KIND = {
    "id": pa.int64(),
    "image_id": pa.int64(),
    "text": pa.string(),
    "file": pa.string(),
    "split": _SHARED,
    "answers": pa.list_(_SHARED),
    "words": pa.list_(_SHARED),
    "best_answer": _SHARED,
    "answer_type": _SHARED,
    "question_type": _SHARED,
    "choices": pa.list_(_SHARED),
    "question_id": pa.int64(),
    "other_id": pa.int64(),
}


def write_table(path: Path, records: Sequence[tuple[Any, ...]], fields: Sequence[str]) -> None:
    """Write records of `saccade.data.records` as Parquet; `fields` are their kind's `_fields`.

    They are laid out `ROWS` at a time, so little is held beside them, however many there are.
    """
    schema = pa.schema([(field, _KIND[field]) for field in fields])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(records), ROWS):
            some = records[start : start + ROWS]
            columns = [
                pa.array([record[place] for record in some], kind)
                for place, kind in enumerate(schema.types)
            ]
            writer.write_table(pa.table(columns, schema))


def to_rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    """Hand out rows in which equal texts are one object, so that records stay small."""
    return zip(*(_values(column.combine_chunks()) for column in table.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        words = column.dictionary.to_pylist()
        return [words[index] for index in column.indices.to_pylist()]
    if pa.types.is_list(column.type):
        flat = iter(_values(column.flatten()))
        return [tuple(islice(flat, length)) for length in column.value_lengths().to_pylist()]
    return cast(list[Any], column.to_pylist())


# What some data sets say beside their questions: choices to pick from, and balanced pairs.

CHOICES, PAIRS = "choices.parquet", "pairs.parquet"


class Companion(NamedTuple):
    """A table to be written beside the questions."""

    file: str
    records: Sequence[tuple[Any, ...]]
    fields: tuple[str, ...]


def companions(collection: Collection) -> list[Companion]:
    """The tables that a collection needs; what is about questions it no longer has is left out."""
    ids = {question.id for question in collection.questions}
    choices = [(id_, offered) for id_, offered in collection.choices.items() if id_ in ids]
    pairs = [pair for pair in collection.pairs if ids.issuperset(pair)]
    tables = (
        Companion(CHOICES, choices, ("question_id", "choices")),
        Companion(PAIRS, pairs, ("question_id", "other_id")),
    )
    return [table for table in tables if table.records]


def read_choices(folder: Path) -> dict[int, tuple[str, ...]]:
    """What each question of a data folder offers; empty for an open-ended set."""
    return dict(_rows(folder / CHOICES))


def read_balanced_pairs(folder: Path) -> list[tuple[int, int]]:
    """The balanced pairs of question ids of a data folder; empty where none are known."""
    return [(one, other) for one, other in _rows(folder / PAIRS)]


def _rows(path: Path) -> list[tuple[Any, ...]]:
    if not path.is_file():
        return []
    try:
        return list(to_rows(pq.read_table(path).unify_dictionaries().combine_chunks()))
    except (pa.ArrowException, OSError) as error:
        message = f"is not whole ({str(error).splitlines()[0][:80]})"
        raise BadData(message, location=path, hint="Prepare the data folder again.") from None


Task = Literal["vqa", "caption"]

FORMAT = 1
FILES = (
    "images.parquet",
    "questions.parquet",
    "captions.parquet",
    CHOICES,
    PAIRS,
    "vocabulary.json",
    "answers.json",
    "dataset.json",
)
IMAGES = "images"
PREPARE_AGAIN = "Make it again: saccade prepare DIR --out DATA."
CAPTION_TOKENIZER = "karpathy"
"""What `Caption.words` are cut with; see `records.Caption`."""


def write_folder(out: Path, collection: Collection, findings: Sequence[Finding] = ()) -> None:
    """Write a collection that has been through `data.checks.check`.

    Every file is whole or absent, and `dataset.json` comes last: without it the folder does not
    count. Equal collections give equal files. `features/` of an existing data folder stays.
    Raises BadData if `out` holds anything that is not of a data folder.
    """
    _refuse_strange(out)
    out.mkdir(parents=True, exist_ok=True)
    questions = [q for q in collection.questions if q.split == "train"]
    captions = [c for c in collection.captions if c.split == "train"]
    words = {"questions": _question_words(questions), "captions": _caption_words(captions)}
    answers = {
        "answers": dict(Counter(chain.from_iterable(q.answers for q in questions))),
        "best_answers": dict(Counter(q.best_answer for q in questions if q.answers)),
    }
    written = [_write_table(out / "images.parquet", collection.images, ImageRecord._fields)]
    if collection.questions:
        written += [_write_table(out / "questions.parquet", collection.questions, Question._fields)]
        written += [_write_json(out / "answers.json", answers)]
    if collection.captions:
        written += [_write_table(out / "captions.parquet", collection.captions, Caption._fields)]
    for name, records, fields in companions(collection):
        written += [_write_table(out / name, records, fields)]
    written += [_write_json(out / "vocabulary.json", words)]
    written += [_write_json(out / "dataset.json", _about(collection, findings))]
    (out / "dataset.json").unlink(missing_ok=True)
    for name in FILES:
        if out / f"{name}.part" not in written:
            (out / name).unlink(missing_ok=True)
    for part in written:
        os.replace(part, part.with_suffix(""))


def _refuse_strange(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise BadData("is a file", location=out, hint="Give another --out.")
    own = {*FILES, *(f"{name}.part" for name in FILES), "features"}
    there = {path.name for path in out.iterdir()} if out.exists() else set()
    strange = [name for name in there - own if not name.startswith(".")]  # left by systems
    if strange == [IMAGES]:
        message = "was unpacked with images of its own: other records would be looked up in them"
        raise BadData(message, location=out, hint="Give a new folder as --out.")
    if strange:
        message = f"holds other things than a data folder, such as {min(strange)}"
        hint = "Give a new folder, or an earlier data folder, as --out."
        raise BadData(message, location=out, hint=hint)


def _about(collection: Collection, findings: Sequence[Finding]) -> dict[str, Any]:
    kinds: dict[str, Sequence[ImageRecord | Question | Caption]] = {
        "images": collection.images,
        "questions": collection.questions,
        "captions": collection.captions,
    }
    counts = {kind: Counter(record.split for record in kinds[kind]) for kind in kinds}
    return {
        "format": FORMAT,
        "source": collection.source,
        "licence": collection.licence,
        "image_root": collection.image_root,
        "fingerprint": fingerprint(collection),
        "splits": {split: {kind: counts[kind][split] for kind in kinds} for split in SPLITS},
        "notes": list(collection.notes),
        "findings": [asdict(finding) for finding in findings],
    }


def fingerprint(collection: Collection) -> str:
    """SHA-256 over all records in order: equal data, equal fingerprint, wherever it lies."""
    digest = hashlib.sha256()
    beside = [table.records for table in companions(collection)]
    for records in (collection.images, collection.questions, collection.captions, *beside):
        rest = iter(records)
        while some := list(islice(rest, 4096)):
            digest.update(json.dumps(some).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _question_words(questions: Sequence[Question]) -> dict[str, dict[str, int]]:
    """Words of each tokenizer with their counts; a question that is asked again is cut once."""
    texts = Counter(as_question(question.text) for question in questions)
    return {name: _weighted(tokenize, texts) for name, tokenize in TOKENIZERS.items() if texts}


def _weighted(tokenize: Callable[[str], list[str]], texts: Counter[str]) -> dict[str, int]:
    words: dict[str, int] = {}
    for text, times in texts.items():
        for word in tokenize(text):
            words[word] = words.get(word, 0) + times
    return words


def _caption_words(captions: Sequence[Caption]) -> dict[str, dict[str, int]]:
    counts = Counter(chain.from_iterable(caption.words for caption in captions))
    return {CAPTION_TOKENIZER: dict(counts)} if counts else {}


def _write_table(path: Path, records: Sequence[tuple[Any, ...]], fields: Sequence[str]) -> Path:
    part = path.with_name(path.name + ".part")
    write_table(part, records, fields)
    to_disk(part)
    return part


def _write_json(path: Path, value: object) -> Path:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.write("\n")
    to_disk(part)
    return part


class DataFolder:
    """A prepared data set. Opening reads `dataset.json` alone; tables are read when asked for."""

    def __init__(self, path: Path, *, image_root: Path | None = None) -> None:
        """Open `path`; images are below `image_root`, else the environment's SACCADE_IMAGES,
        else the folder's own `images/`, else where they were when the folder was prepared.

        Raises BadData if there is no data folder, an unfinished one, or one of a newer format.
        """
        self.path = Path(path)
        seal = self.path / "dataset.json"
        if not seal.is_file():
            begun = any((self.path / name).exists() for name in FILES)
            message = "is an unfinished data folder" if begun else "is not a data folder"
            raise BadData(f"{message}: it has no dataset.json", location=path, hint=PREPARE_AGAIN)
        self.about: dict[str, Any] = read_json(seal, dict)
        number = self.about.get("format")
        if not isinstance(number, int) or number > FORMAT:
            message = f"was made by a newer saccade (format {number}, this one knows {FORMAT})"
            raise BadData(
                message, location=seal, hint="Update saccade, or prepare the folder again."
            )
        if not {"image_root", "fingerprint", "splits"} <= self.about.keys():
            raise BadData("lacks some of its fields", location=seal, hint=PREPARE_AGAIN)
        moved = image_root or os.environ.get("SACCADE_IMAGES")
        own = self.path / IMAGES
        self.image_root = Path(moved or (own if own.is_dir() else self.about["image_root"]))
        self.fingerprint: str = self.about["fingerprint"]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the records can be used for."""
        splits = self.about["splits"].values()
        needs: dict[Task, str] = {"vqa": "questions", "caption": "captions"}
        return tuple(t for t, kind in needs.items() if any(counts[kind] for counts in splits))

    def images(self, split: Split | None = None) -> list[ImageRecord]:
        """All images, or those of one split, in the source's order."""
        return [ImageRecord(*row) for row in to_rows(self._table("images", ImageRecord, split))]

    def questions(self, split: Split) -> list[Question]:
        """The questions of a split, in the source's order. Raises BadData if the folder has none
        at all; a split without questions is an empty list.
        """
        return [Question(*row) for row in to_rows(self.question_table(split))]

    def captions(self, split: Split) -> list[Caption]:
        """The captions of a split, as `questions`."""
        return [Caption(*row) for row in to_rows(self.caption_table(split))]

    def captions_by_image(self, split: Split) -> dict[int, list[Caption]]:
        """The captions of a split by the id of their image, in the source's order."""
        found: dict[int, list[Caption]] = {}
        for caption in self.captions(split):
            found.setdefault(caption.image_id, []).append(caption)
        return found

    def question_table(self, split: Split) -> pa.Table:
        """The same as `questions`, as a table: a column per field of `records.Question`."""
        return self._table("questions", Question, split)

    def caption_table(self, split: Split) -> pa.Table:
        """The same as `captions`, as a table: a column per field of `records.Caption`."""
        return self._table("captions", Caption, split)

    def word_counts(
        self, tokenizer: str, of: Literal["questions", "captions"] | None = None
    ) -> dict[str, int]:
        """How often each word stands in the training split, in the order of first use.

        By default captions are counted for "karpathy", their own tokenizer, if there are any, and
        questions else. Raises BadConfig for a tokenizer that these were not counted with.
        """
        counts = read_json(self.path / "vocabulary.json", dict)
        if of is None:
            of = "captions" if counts.get("captions") and tokenizer == "karpathy" else "questions"
        if tokenizer not in counts.get(of, {}):
            raise BadConfig(
                f"words of training {of} were not counted with tokenizer {tokenizer!r}",
                location=self.path,
                hint=f"There are: {', '.join(counts.get(of, {})) or 'none'}. {PREPARE_AGAIN}",
            )
        return cast(dict[str, int], counts[of][tokenizer])

    def answer_counts(self, of: Literal["answers", "best_answers"] = "answers") -> dict[str, int]:
        """How often people gave each answer in the training split, as released, first seen first.

        `best_answers` counts each question's best answer instead.
        """
        if "vqa" not in self.tasks:
            raise self._lacks("questions")
        return cast(dict[str, int], read_json(self.path / "answers.json", dict)[of])

    def stores(self) -> list[str]:
        """Names of the feature stores, whole or not."""
        features = self.path / "features"
        if not features.is_dir():
            return []
        return sorted(entry.name for entry in features.iterdir() if entry.is_dir())

    def store_path(self, name: str) -> Path:
        """Where the feature store of that name is, or will be."""
        return self.path / "features" / name

    def _table(self, name: str, kind: type[Any], split: Split | None) -> pa.Table:
        if split not in (None, *SPLITS):
            raise BadConfig(f"there is no split {split!r}", hint=f"Splits: {', '.join(SPLITS)}.")
        kind_name = "images" if name == "images" else name
        counts = {key: value[kind_name] for key, value in self.about["splits"].items()}
        if not sum(counts.values()):
            raise self._lacks(kind_name)
        path = self.path / f"{name}.parquet"
        chosen = [("split", "=", split)] if split else None
        try:
            table = pq.read_table(path, memory_map=True, filters=chosen)
        except FileNotFoundError:
            raise BadData("is missing", location=path, hint=PREPARE_AGAIN) from None
        except (pa.ArrowException, OSError) as error:
            message = f"is not whole ({str(error).splitlines()[0][:80]})"
            raise BadData(message, location=path, hint=PREPARE_AGAIN) from None
        expected = counts[split] if split else sum(counts.values())
        if len(table) != expected or tuple(table.column_names) != kind._fields:
            message = f"has {len(table)} rows of {table.column_names}; dataset.json says {expected}"
            raise BadData(message, location=path, hint=PREPARE_AGAIN)
        return table.unify_dictionaries().combine_chunks()

    def _lacks(self, kind: str) -> BadData:
        has = " and ".join(self.tasks) or "no records"
        hint = f"Prepare a source with {kind}; `saccade list sources` shows them."
        return BadData(f"holds no {kind}, only {has}", location=self.path, hint=hint)
