"""VQA v1 and v2 in the official layout: one file of questions and one of annotations per split.

The split is read off the file name (`..._train2014_...`, `..._val_...`); a pair whose name is
silent says it in its `data_subtype`, or the user does. Open-ended and multiple-choice questions are
the same ones, with the same ids. Layout: visualqa.org, "Data format".
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import ImageFiles, by_name, files_like, first_reason
from saccade.data.options import one_of
from saccade.data.reading import COPY_AGAIN, columns, is_text, read_json, record_list, unique
from saccade.data.records import SPLITS, Collection, ImageRecord, Question, Split

# The annotations: ten human answers to each question.

SAME_SPLIT = "Give questions and annotations of the same split."
ANNOTATION_FIELDS = {"question_id": int, "image_id": int, "answers": list}
MORE_FIELDS = {"multiple_choice_answer": str, "answer_type": str, "question_type": str}
"""All records of a file have such a field, or none has it."""


def _read_annotations(
    path: Path, subtype: str, questions: Path, ids: list[int], image_ids: list[int]
) -> list[list[Any]]:
    """Answers, best answer, answer type and question type: a list of each, in the order of `ids`,
    the questions, which are about `image_ids` and of the part `subtype` ("train2014").
    """
    document = read_json(path, dict, object_hook=_answer_pairs())
    records = record_list(document, "annotations", path=path, expected="VQA annotations")
    own = str(document.get("data_subtype") or "")
    if own and subtype and own != subtype:
        message = f"is of {own}, but {questions.name} is of {subtype}"
        raise BadData(message, location=path, hint=SAME_SPLIT)
    more = {
        field: kind
        for field, kind in MORE_FIELDS.items()
        if any(field in record for record in records if isinstance(record, dict))
    }
    table = columns(records, {**ANNOTATION_FIELDS, **more}, path=path, name="annotation")
    theirs, about, given, *others = table
    unique(theirs, path=path, name="question_id")
    answers = _answers(given, theirs, path)
    said = {field: list(map(sys.intern, one)) for field, one in zip(more, others, strict=True)}
    if "multiple_choice_answer" not in said:
        said["multiple_choice_answer"] = [Counter(ten).most_common(1)[0][0] for ten in answers]
    columns_out: list[list[Any]] = [answers]
    columns_out += [said.get(field) or [""] * len(theirs) for field in MORE_FIELDS]
    if theirs != ids:  # released files have equal order; others may have any
        row_of = {number: row for row, number in enumerate(theirs)}
        asked = set(ids)
        unanswered = [number for number in ids if number not in row_of]
        unasked = [number for number in theirs if number not in asked]
        if len(unanswered) == len(ids):
            message = f"shares no question with {questions.name}: they are of different splits"
            raise BadData(message, location=path, hint=SAME_SPLIT)
        if strange := unanswered or unasked:
            what = "answers {} questions that nobody asked"
            what = "has no annotation for {} questions" if unanswered else what
            message = f"{what.format(len(strange))}, the first is {strange[0]}"
            hint = f"Are both of the same split and release? The other is {questions.name}."
            raise BadData(message, location=path, hint=hint)
        rows = [row_of[number] for number in ids]
        about = [about[row] for row in rows]
        columns_out = [[column[row] for row in rows] for column in columns_out]
    if about != image_ids:
        row = next(row for row, image in enumerate(about) if image != image_ids[row])
        theirs_is = f"says that question {ids[row]} is about image {about[row]}"
        hint = "The two files are not a pair: take both from the same release."
        message = f"{theirs_is}; {questions.name} says {image_ids[row]}"
        raise BadData(message, location=path, hint=hint)
    return columns_out


def _answer_pairs() -> Callable[[dict[str, Any]], Any]:
    """A hook that makes each `{answer, answer_confidence, answer_id}` a shared pair: 4.4 million
    objects (VQA v2) would take more than a gigabyte.
    """
    shared: dict[tuple[Any, Any], tuple[Any, Any]] = {}

    def as_pair(record: dict[str, Any]) -> Any:
        if "answer" not in record or "question_id" in record:
            return record
        pair = (record["answer"], record.get("answer_id"))
        try:
            return shared.setdefault(pair, pair)
        except TypeError:  # an answer that is a list or an object: `_checked` refuses it
            return pair

    return as_pair


def _answers(given: Sequence[list[Any]], ids: Sequence[int], path: Path) -> list[tuple[str, ...]]:
    """Human answers as tuples; questions with equal answers share one."""
    known: dict[tuple[Any, ...], tuple[str, ...]] = {}
    answers = []
    for number, pairs in zip(ids, map(tuple, given), strict=True):
        try:
            checked = known.get(pairs)
        except TypeError:
            checked = None
        if checked is None:
            checked = known[pairs] = _checked(pairs, number, path)
        answers.append(checked)
    return answers


def _checked(pairs: tuple[Any, ...], number: int, path: Path) -> tuple[str, ...]:
    if not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        message = f"the answers of question {number} are not a list of {{answer, answer_id}}"
        raise BadData(message, location=path, hint="Write them as the released annotations do.")
    for text, place in pairs:
        if not is_text([text]):
            message = f"an answer to question {number} is {text!a}, not text"
            raise BadData(message, location=path, hint='Write every answer in quotes: "3", not 3.')
        if type(place) not in (int, NoneType):
            message = f"an answer_id of question {number} is {place!a}, not a whole number"
            raise BadData(message, location=path, hint=f"Number them 1 to {len(pairs)}.")
    places = [place for _, place in pairs if place is not None]
    if len(set(places)) != len(places):
        message = f"question {number} has two answers of the same answer_id"
        raise BadData(message, location=path, hint=f"Number them 1 to {len(pairs)}. {COPY_AGAIN}")
    return tuple(sys.intern(text) for text, _ in pairs)


# Choices, complementary pairs and rephrasings, which releases have beside questions and answers.

PAIRS = r"v2_(?:mscoco_)?[a-z0-9-]+_complementary_pairs\.json(?:\.gz)?"


def _choices(records: list[Any], path: Path) -> dict[int, tuple[str, ...]]:
    """The choices of each question (`multiple_choices`, 18 in VQA v1), by question id."""
    fields = {"question_id": int, "multiple_choices": list}
    ids, offered = columns(records, fields, path=path, name="question")
    for number, texts in zip(ids, offered, strict=True):
        if not texts or not is_text(texts):
            message = f"the choices of question {number} are {ascii(texts)[:60]}, not texts"
            raise BadData(message, location=path, hint="Take the released multiple-choice file.")
    return dict(zip(ids, map(tuple, offered), strict=True))


def _rephrasings(records: list[Any], path: Path) -> list[tuple[int, int]]:
    """Ids of the questions that are another one in other words (`rephrasing_of`), and of that."""
    given = [record for record in records if "rephrasing_of" in record]
    if not given:
        return []
    fields = {"question_id": int, "rephrasing_of": int}
    ids, originals = columns(given, fields, path=path, name="question")
    return list(zip(ids, originals, strict=True))


def _complementary_pairs(root: Path) -> list[tuple[int, int]]:
    """The pairs of question ids of every `v2_mscoco_*_complementary_pairs.json` below `root`."""
    pairs: list[tuple[int, int]] = []
    for path in files_like(root, PAIRS):
        for place, pair in enumerate(read_json(path, list), start=1):
            if not isinstance(pair, list) or [type(number) for number in pair] != [int, int]:
                message = f"pair number {place} is {ascii(pair)[:40]}, not two question ids"
                hint = "Take the released file: a list of [question_id, question_id]."
                raise BadData(message, location=path, hint=hint)
            pairs.append((pair[0], pair[1]))
    return pairs


SUBSET = r"(?:(?P<subset>(?:train|val|test)[a-z0-9-]*)_)?"
QUESTIONS = r"questions\.json(?:\.gz)?"
QUESTION_FIELDS = {"question_id": int, "image_id": int, "question": str}
FORMS = {"open-ended": "OpenEnded", "multiple-choice": "MultipleChoice"}
BOTH = "--option questions=FILE --option annotations=FILE"
"""Options that name a pair of files."""


class Pair(NamedTuple):
    """The two files of one split."""

    questions: Path
    annotations: Path | None
    """None for test questions, whose answers are secret."""
    subset: str
    """The part in the files' names, "train2014" or "val"; empty where they are silent."""


def read_v1(
    root: Path,
    questions: str = "",
    annotations: str = "",
    split: str = "",
    images: str = "",
    form: str = "open-ended",
) -> Collection:
    """Read VQA v1. Options as for `read_v2`, and `form`: "open-ended" or "multiple-choice".

    Multiple choice has the same questions, each with 18 answers to choose from
    (`MultipleChoice_mscoco_train2014_questions.json`); they are kept beside the questions.
    """
    form = one_of("form", form, FORMS)
    return _read(root, "", questions, annotations, split, images, FORMS[form])


def read_v2(
    root: Path, questions: str = "", annotations: str = "", split: str = "", images: str = ""
) -> Collection:
    """Read VQA v2: all pairs of files in `root` and the folders directly below it.

    `questions` and `annotations` name one pair instead (relative to `root`); `split` (train, val
    or test) says what a pair is when its names do not; `images` is the folder of the images.
    Images are `COCO_train2014_000000000009.jpg` or `000000000009.jpg` (or `.png`), in a folder
    named after the split, in `images/`, or in `root`. `v2_mscoco_*_complementary_pairs.json`, where
    there, is kept beside the questions, and so is which question is another one in other words
    (`rephrasing_of`, VQA-Rephrasings). Raises BadData where the files disagree.
    """
    return _read(root, "v2_", questions, annotations, split, images, FORMS["open-ended"])


V1_FILES = rf"(?:OpenEnded|MultipleChoice)_(?:mscoco_)?{SUBSET}{QUESTIONS}"
V2_FILES = rf"v2_OpenEnded_(?:mscoco_)?{SUBSET}{QUESTIONS}"
_STEM = r"(?:v2_(?:OpenEnded_)?(?:mscoco_)?|(?:OpenEnded|MultipleChoice)_(?:mscoco_)?|mscoco_)"
FILES = rf"{_STEM}(?:(?:train|val|test)[a-z0-9-]*_)?(?:questions|annotations)\.json(?:\.gz)?"
"""Names of the official files, as a pattern."""
recognise_v2 = by_name(V2_FILES)


def recognise_v1(root: Path) -> str | None:
    """Files of VQA v1's names; OK-VQA gives its own the same."""
    from saccade.datasets.layout_files import claimed  # noqa: PLC0415 - it knows these names, too

    return None if claimed(root, "ok-vqa") else first_reason(root, V1_FILES)


def _read(
    root: Path, prefix: str, questions: str, annotations: str, split: str, images: str, form: str
) -> Collection:
    if split:
        one_of("split", split, SPLITS)
    if annotations and not questions:
        hint = f"Name both files of the pair: {BOTH}."
        raise BadConfig("--option annotations= is of no use without questions=", hint=hint)
    if questions:
        named = re.search(rf"_{SUBSET}questions\.json", questions)
        answers = root / annotations if annotations else None
        pairs = [Pair(root / questions, answers, (named and named["subset"]) or "")]
    else:
        pairs = list(_find_pairs(root, prefix, form))
        if split and all(pair.subset for pair in pairs):
            names = ", ".join(pair.questions.name for pair in pairs)
            message = f"--option split={split} is of no use: {names} say their splits"
            raise BadConfig(message, hint=f"Leave it out, or name one pair: {BOTH}.")
    notes = []
    if {"test2015", "test-dev2015"} <= {pair.subset for pair in pairs}:
        pairs = [pair for pair in pairs if pair.subset != "test-dev2015"]
        notes.append("test-dev2015 was not read: its questions are a part of test2015.")
    files = ImageFiles(root, images or None)
    licences: dict[str, None] = {}
    image_records: list[ImageRecord] = []
    found: list[Question] = []
    choices: dict[int, tuple[str, ...]] = {}
    rephrasings: list[tuple[int, int]] = []
    for pair in pairs:
        document = read_json(pair.questions, dict)
        images_here, questions_here = _read_pair(pair, document, split, files)
        image_records += images_here
        found += questions_here
        rephrasings += _rephrasings(document["questions"], pair.questions)
        if form == FORMS["multiple-choice"]:
            choices |= _choices(document["questions"], pair.questions)
        licence, stated = Collection.licence, document.get("license")
        # For COCO the table of sources has more: the images' licences, too.
        if document.get("data_type", "mscoco") != "mscoco" and isinstance(stated, dict):
            licence = str(stated.get("name", licence))
        licences[licence] = None
        if pair.annotations is None:
            notes.append(f"{pair.questions.name}: {len(questions_here)} questions, no answers.")
    return Collection(
        source="vqa-v2" if prefix else "vqa-v1",
        image_root=str(files.root),
        images=image_records,
        questions=found,
        licence="; ".join(licences),
        notes=notes,
        choices=choices,
        pairs=_complementary_pairs(root) if prefix else (),
        rephrasings=rephrasings,
        edition="mscoco" if list(licences) == [Collection.licence] else "",
    )


def _find_pairs(root: Path, prefix: str, form: str) -> Iterator[Pair]:
    """Match the files below `root` by their official names, in the order train, val, test."""
    head = f"{prefix}{form}_"
    questions = _by_subset(root, rf"{head}(?:mscoco_)?{SUBSET}{QUESTIONS}")
    annotations = _by_subset(root, rf"{prefix}(?:mscoco_)?{SUBSET}annotations\.json(?:\.gz)?")
    if not questions:
        message = f"holds no file named like {head}mscoco_train2014_questions.json"
        hint = f"Check --root, or name the files: {BOTH} --option split=train."
        raise BadData(message, location=root, hint=hint)
    if lonely := [path for subset, path in annotations.items() if subset not in questions]:
        hint = f"Put {head}..._questions.json of the same split beside it."
        raise BadData("are annotations without a file of questions", location=lonely[0], hint=hint)
    order: dict[Split | None, int] = {split: place for place, split in enumerate(SPLITS)}
    for subset in sorted(questions, key=lambda name: (order.get(_split_of(name), -1), name)):
        yield Pair(questions[subset], annotations.get(subset), subset)


def _by_subset(root: Path, pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files_like(root, pattern):
        match = re.fullmatch(pattern, path.name)
        subset = (match and match.group("subset")) or ""
        before = found.setdefault(subset, path)
        if before not in (path, path.with_name(path.name.removesuffix(".gz"))):
            hint = f"Move one away, or name the pair: {BOTH}."
            raise BadData(f"and {before} are both there", location=path, hint=hint)
    return found


def _split_of(subset: str) -> Split | None:
    return next((split for split in SPLITS if subset.startswith(split)), None)


def _read_pair(
    pair: Pair, document: dict[str, Any], given: str, files: ImageFiles
) -> tuple[list[ImageRecord], list[Question]]:
    records = record_list(document, "questions", path=pair.questions, expected="VQA questions")
    ids, image_ids, texts = columns(records, QUESTION_FIELDS, path=pair.questions, name="question")
    unique(ids, path=pair.questions, name="question_id")
    subtype = str(document.get("data_subtype") or "")
    if any(letter.isdigit() for letter in pair.subset) and subtype not in ("", pair.subset):
        message = f"is named {pair.subset} but holds {subtype} (its data_subtype)"
        hint = "Give the file its released name back, or download it again."
        raise BadData(message, location=pair.questions, hint=hint)
    split = _split_of(pair.subset) or next((s for s in SPLITS if s == given), _split_of(subtype))
    if split is None:
        hint = "Say it: --option split=train, split=val or split=test."
        raise BadConfig("does not say which split it is", location=pair.questions, hint=hint)
    if pair.annotations is None and split != "test":
        message = f"has no annotations beside it, as questions of split {split} must have"
        file = "..._annotations.json of the same part"
        hint = f"Put {file} below --root, or name it: --option annotations=FILE."
        raise BadData(message, location=pair.questions, hint=hint)
    answers: list[list[Any]] = []
    if pair.annotations is not None:
        answers = _read_annotations(pair.annotations, subtype, pair.questions, ids, image_ids)
    rows = zip(ids, image_ids, texts, [split] * len(ids), *answers, strict=True)
    questions = [Question(*row) for row in rows]
    place = (subtype or pair.subset).replace("test-dev", "test")
    folders = [place, f"images/{place}", "images", "", "train2017", "val2017"]
    beside = files.beside(pair.questions)
    images = []
    for number in dict.fromkeys(image_ids):
        name = f"{number:012}"
        names = (f"COCO_{place}_{name}.jpg", f"{name}.jpg", f"{name}.png")
        images.append(
            ImageRecord(number, beside.find(*names, folders=folders, anywhere=True), split)
        )
    return images, questions
