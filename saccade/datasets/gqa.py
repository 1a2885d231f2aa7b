"""GQA: questions made from scene graphs, balanced or all; one dictionary of questions per split.

Question ids are digits with zeros in front ("02930152"), so a question's number is its id behind a
1 (102930152): nothing is lost and nothing collides. Images are Visual Genome's numbers; those of
testdev and test ("n578223") are 1,000,000,000,000 and their number. Layout: Hudson & Manning 2019,
the questions of version 1.2.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, by_name, files_like, folders_in, holds_texts
from saccade.data.folder import DataFolder
from saccade.data.options import one_of
from saccade.data.reading import RELEASED, collector_paused, columns, is_text, read_entries
from saccade.data.records import Collection, ImageRecord, Question, Split

TESTS = ("testdev", "test", "challenge", "submission")
"""Of all but the first the answers are secret."""
KINDS = ("balanced", "all")
FLICKR_NUMBERS = 10**12
FIELDS = {"imageId": str, "question": str}
KEPT = (*FIELDS, "answer", "types", "entailed")
AT_ONCE = 1000
"""Questions that are looked at together."""


def read(root: Path, kind: str = "", test: str = "testdev", images: str = "") -> Collection:
    """Read `{train,val,testdev}_{balanced,all}_questions.json`, there or in `questions/`.

    `kind` is "balanced" (the default where there are such files) or "all" (15 times as many).
    `test` names the questions of our test split: "testdev", or one of those whose answers are
    secret, "test", "challenge", "submission". `images` is the folder of the images (else
    `images/` or `root`). Raises BadData for questions of another form.
    """
    kinds = [one_of("kind", kind, KINDS)] if kind else list(KINDS)
    test = one_of("test", test, TESTS)
    parts: dict[str, Split] = {"train": "train", "val": "val", test: "test"}
    for chosen in kinds:
        found = [(path, parts[part]) for part in parts for path in _files(root, part, chosen)]
        if found:
            break
    else:
        message = f"holds no train_{kinds[0]}_questions.json, neither directly nor in questions/"
        hint = "Check --root; it should hold the questions as GQA's archive unpacks."
        raise BadData(message, location=root, hint=hint)
    return replace(
        _collection("gqa", root, images, found),
        notes=[f"The {chosen} questions were read."],
        edition=f"{chosen}, {test}",
    )


def _collection(
    source: str, root: Path, images: str, found: Sequence[tuple[Path, Split]]
) -> Collection:
    """The questions of these files, each with its split."""
    files = ImageFiles(root, images or None).beside(found[0][0])
    image_records: dict[ImageRecord, None] = {}
    questions: list[Question] = []
    entailments: list[tuple[int, int]] = []
    with collector_paused():
        for path, split in found:
            asked, number_of = _questions(path, split, entailments)
            questions += asked
            for name, number in number_of.items():
                file = files.find(f"{name}.jpg", folders=("images", ""))
                image_records[ImageRecord(number, file, split)] = None
    images_here = list(image_records)
    return Collection(source, str(files.root), images_here, questions, entailments=entailments)


def read_ood(root: Path, part: str = "all", images: str = "") -> Collection:
    """Read GQA-OOD (Kervadec et al. 2021): `ood_{val,testdev}_{all,head,tail}.json`, as the
    validation and test splits of GQA's balanced training questions, where those are there.

    `part` is "all", or the questions whose answers are frequent ("head") or rare ("tail") in their
    group. `images` is as in `read`. Raises BadData for questions of another form.
    """
    part = one_of("part", part, ("all", "head", "tail"))
    found: list[tuple[Path, Split]] = [(path, "train") for path in _files(root, "train", KINDS[0])]
    own: dict[str, Split] = {"val": "val", "testdev": "test"}
    tests = [(path, own[name]) for name in own for path in files_like(root, _ood(name, part))]
    if not tests:
        hint = "Check --root, or take another part: --option part=."
        raise BadData(f"holds no ood_testdev_{part}.json", location=root, hint=hint)
    read_here = _collection("gqa-ood", root, images, [*found, *tests])
    return replace(read_here, notes=[f"Part {part} was read, one of: all, head, tail."])


def _ood(name: str, part: str) -> str:
    return rf"(?:ood_)?{name}_{part}\.json"


def recognise_ood(root: Path) -> str | None:
    """Its files by name, if they have images as GQA's have."""
    found = files_like(root, _ood("(?:val|testdev)", "(?:all|head|tail)"))
    known = (path for path in found if holds_texts(path, '"imageId"'))
    path = next(known, None)
    return f"there is {path.relative_to(root).as_posix()}" if path else None


recognise = by_name(r"(?:train|val|testdev)_(?:balanced|all)_questions\.json")


def _files(root: Path, part: str, kind: str) -> list[Path]:
    """The file of a part; `train_all` is released as a folder of ten."""
    found = files_like(root, rf"{part}_{kind}_questions\.json")
    if len(found) > 1:
        message = f"and {found[1]} are both there"
        raise BadData(message, location=found[0], hint="Move one of them away.")
    name = f"{part}_{kind}_questions"
    pieces = (home.glob(f"{name}/{name}_*.json") for home in (root, *folders_in(root)))
    return found or sorted(chain.from_iterable(pieces))


def _questions(
    path: Path, split: Split, entailments: list[tuple[int, int]]
) -> tuple[list[Question], dict[str, int]]:
    """The questions in the file's order, and the number of each image by its name. What follows
    from the answers of a split that is not learnt from is added to `entailments`.

    Nine tenths of a record are programs and scene graphs: they go as soon as they are read. Equal
    answers, types and numbers of images are one object.
    """
    questions: list[Question] = []
    number_of: dict[str, int] = {}
    answers_of: dict[str, tuple[str, ...]] = {"": ()}
    entries = ((id_, _kept(record)) for id_, record in read_entries(path, dict))
    while some := list(islice(entries, AT_ONCE)):
        records = [record for _, record in some]
        names, texts = columns(records, FIELDS, path=path, name="question", before=len(questions))
        for (id_, record), name, text in zip(some, names, texts, strict=True):
            if not re.fullmatch(r"[0-9]{1,17}", id_):
                raise _no_questions(f"one key is {id_[:30]!a}", path)
            answer, types = record.get("answer"), record.get("types")
            if answer is not None and (not is_text([answer]) or not answer.strip()):
                message = f"the answer of question {id_} is {ascii(answer)[:40]}, not text"
                raise BadData(message, location=path, hint=RELEASED)
            # The form ("query", "verify") and what is asked for ("obj", "attr"), where stated.
            types = types if isinstance(types, dict) else {}
            given = ((answer or "").strip(), types.get("structural"), types.get("semantic"))
            answer, *kind = (sys.intern(str(word)) if is_text([word]) else "" for word in given)
            answers = answers_of.setdefault(answer, (answer,))
            if (image := number_of.get(name)) is None:
                if not (match := re.fullmatch(r"(n?)([0-9]{1,12})", name)):
                    message = f"question {id_} is about image {name[:30]!a}, which is no number"
                    hint = 'GQA\'s images are numbers such as "2370799" or "n578223".'
                    raise BadData(message, location=path, hint=hint)
                image = int(match[2]) + (FLICKR_NUMBERS if match[1] else 0)
                number_of[name] = image
            questions.append(Question(int(f"1{id_}"), image, text, split, answers, answer, *kind))
            if split != "train" and (entailed := record.get("entailed")):
                entailments += _entailed(id_, entailed, path)
    if not questions:
        raise _no_questions("it is empty", path)
    answered = sum(bool(question.answers) for question in questions)
    if split != "test" and answered < len(questions):
        message = f"{len(questions) - answered} of {len(questions)} questions have no answer"
        raise BadData(message, location=path, hint="Take GQA's released file of questions.")
    return questions, number_of


def _entailed(question: str, entailed: Any, path: Path) -> list[tuple[int, int]]:
    """A question beside each that follows from its answer; GQA lists it among those itself."""
    if not isinstance(entailed, list) or not all(
        re.fullmatch(r"[0-9]{1,17}", str(i)) for i in entailed
    ):
        message = f"what question {question} entails is {ascii(entailed)[:40]}, not question ids"
        raise BadData(message, location=path, hint=RELEASED)
    return [(int(f"1{question}"), int(f"1{other}")) for other in entailed if other != question]


def _kept(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    return {field: record[field] for field in KEPT if field in record}


def _no_questions(shown: str, path: Path) -> BadData:
    message = f"is not a dictionary from question ids to questions: {shown}"
    return BadData(message, location=path, hint="Take GQA's released file of questions.")


def released_ids(
    folder: DataFolder, kind: Literal["image", "question"], numbers: Iterable[int]
) -> list[int | str]:
    """Questions or images of a data folder, by the folder's numbers, as their data set released
    them; numbers of GQA are its released ids in another form.
    """
    if not {"gqa", "gqa-ood"}.isdisjoint(str(folder.about.get("source")).split("+")):
        return [_released_id(kind, number) for number in numbers]
    known = folder.released_ids(kind)
    return [known.get(number, number) for number in numbers]


def _released_id(kind: Literal["image", "question"], number: int) -> str:
    if kind == "question":
        return str(number)[1:]
    flickr = number >= FLICKR_NUMBERS
    return f"n{number - FLICKR_NUMBERS}" if flickr else str(number)
