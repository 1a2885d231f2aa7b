"""Checks of a collection: what stops `prepare`, and what is only worth knowing.

Errors are raised; what was left out or looks odd becomes a finding in `dataset.json`.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from os.path import isfile
from pathlib import Path
from typing import Literal, TypeVar

from saccade.core.errors import BadConfig, BadData, in_number
from saccade.data.find_files import is_absolute, there_instead
from saccade.data.options import as_window
from saccade.data.records import SPLITS, Caption, Collection, ImageRecord, Question
from saccade.text.answers import ALWAYS, OFFICIAL, changed_unanimous, merged_spellings
from saccade.text.segmentation import has_no_blanks

Item = TypeVar("Item", bound=Hashable)

EIGHT_BITS = (".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".avif")
"""Endings of formats that are read as 8 bits a channel: they need no window."""
ON_FAULT = ("refuse", "drop", "keep")


@dataclass(frozen=True)
class Finding:
    """One thing that is odd about a data set, how often, and what to do about it."""

    level: Literal["error", "warning", "note"]
    message: str
    count: int
    examples: tuple[str, ...]
    """The first few records concerned, where there are some."""
    cause: str
    hint: str
    name: str = ""
    """Of `checks.catalogue.FINDINGS`; empty where `prepare` found it."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What was measured, for programs."""


def check(
    collection: Collection,
    *,
    missing: str = "refuse",
    overlap: str = "refuse",
    window: str = "auto",
    secret: bool = False,
) -> tuple[Collection, list[Finding]]:
    """Verify a collection; returns what may be used of it, and the findings.

    `missing` says what to do about images whose file is not there, `overlap` about images in
    two splits: "refuse" (raise), "drop" (leave out their records: all of a missing image's; of an
    image in two splits those of the less guarded one, train before val before test), "keep"
    (leave them in). Images that published splits share are kept unless told "drop", with a finding.
    `window` is how images of more than 8 bits become 8, see `data.levels`. With `secret`, answers
    that are not there are on the server of a published set. Raises BadData for errors, BadConfig
    for other words.
    """
    for option, value in (("missing", missing), ("overlap", overlap)):
        if value not in ON_FAULT:
            hint = f"Give one of: {', '.join(ON_FAULT)}."
            raise BadConfig(f"--{option} {value} is not known", hint=hint)
    findings: list[Finding] = []
    collection = _leave_wordless_out(collection, findings)
    window = as_window("window", window)
    if not collection.images or not (collection.questions or collection.captions):
        hint = "Check --root: do the files there hold any records?"
        raise BadData("there is nothing to prepare", location=collection.image_root, hint=hint)
    if fault := next(_faults(collection), None):
        message, hint = fault
        raise BadData(message, location=collection.image_root, hint=hint)
    collection = _check_splits(collection, overlap, findings)
    collection = _check_files(collection, missing, findings)
    collection = _check_window(collection, window, findings)
    found = [*findings, *_oddities(collection, secret)]
    return collection, [replace(one, message=in_number(one.message)) for one in found]


def _leave_wordless_out(collection: Collection, findings: list[Finding]) -> Collection:
    """Without questions and captions that have no word: one bad record is one record."""
    for name, records in _kinds(collection):
        if lost := [f"{name} {one.id}" for one in records if not re.search(r"\w", one.text)]:
            message = f"{len(lost)} {name}s have no word and were left out"
            cause, hint = "The source has them without text.", "Nothing to do, if that is known."
            findings.append(Finding("warning", message, len(lost), _examples(lost), cause, hint))
            collection, _ = _keep(collection, lambda record: bool(re.search(r"\w", record.text)))
    return collection


def _kinds(collection: Collection) -> tuple[tuple[str, Sequence[Question | Caption]], ...]:
    return ("question", collection.questions), ("caption", collection.captions)


def _faults(collection: Collection) -> Iterator[tuple[str, str]]:
    """Message and hint of what no option can excuse."""
    known = {image.id for image in collection.images}
    for name, records in _kinds(collection):
        if twice := _twice([record.id for record in records]):
            message = f"{len(twice)} {name} ids stand twice, the first is {twice[0]}"
            yield message, f"Every {name} needs its own id, also across splits."
        if stray := next((record for record in records if record.image_id not in known), None):
            message = f"{name} {stray.id} is about image {stray.image_id}, which is unknown"
            yield message, "Take all files from the same release."
    file_of: dict[int, str] = {}
    owner: dict[str, ImageRecord] = {}
    for image in collection.images:
        if file_of.setdefault(image.id, image.file) != image.file:
            message = f"image {image.id} has two files: {file_of[image.id]}, {image.file}"
            yield message, "Keep one record per image id."
        other = owner.setdefault(image.file, image)
        if other.id != image.id:
            ids = (f"image {one.id} (split {one.split})" for one in (other, image))
            yield f"{image.file} is {' and '.join(ids)}", "Keep one record per image file."
        parts = image.file.split("/")
        named = any(part not in ("", ".") for part in parts)
        if is_absolute(image.file) or ".." in parts or "\0" in image.file or not named:
            message = f"image {image.id} names the file {image.file!r}, outside of the folder"
            yield message, "File names are relative to the folder of images and stay in it."
    if copies := _twice(collection.images):
        message = f"image {copies[0].id} stands twice in split {copies[0].split}"
        yield message, "Keep one record per image."


def _check_splits(collection: Collection, overlap: str, findings: list[Finding]) -> Collection:
    """Give every image one split, the most guarded of those that it is in."""
    of: dict[int, ImageRecord] = {}
    shared: list[ImageRecord] = []
    for image in collection.images:
        before = of.setdefault(image.id, image)
        if before.split != image.split:
            shared.append(image)
            of[image.id] = max(before, image, key=lambda p: SPLITS.index(p.split))
    if not shared:
        return collection
    count = len({image.id for image in shared})
    examples = _examples(f"{image.id} ({image.file})" for image in shared)
    message = f"{count} images are in two splits"
    if overlap == "refuse" and not collection.shared_images:
        message += f", the first is {examples[0]}"
        drop = "--overlap drop leaves their less guarded records out"
        hint = f"A model would be tested on what it learnt: {drop}, --overlap keep leaves them in."
        raise BadData(in_number(message), location=collection.image_root, hint=hint)
    collection = replace(collection, images=list(of.values()))
    hint = "Say so beside every score, or prepare with --overlap drop."
    if overlap == "drop":
        split_of = {image.id: image.split for image in of.values()}
        collection, out = _keep(collection, lambda r: r.split == split_of[r.image_id])
        message += f"; {out} records of the less guarded split were left out"
        hint = "Nothing to do; scores differ from those of the published split."
    cause = "The source divides records, not images."
    findings.append(Finding("warning", message, count, examples, cause, hint))
    return collection


def _keep(
    collection: Collection, wanted: Callable[[Question | Caption], bool]
) -> tuple[Collection, int]:
    """Records that are wanted, and how many were not."""
    questions = [record for record in collection.questions if wanted(record)]
    captions = [record for record in collection.captions if wanted(record)]
    before = len(collection.questions) + len(collection.captions)
    kept = replace(collection, questions=questions, captions=captions)
    return kept, before - len(questions) - len(captions)


def _check_files(collection: Collection, missing: str, findings: list[Finding]) -> Collection:
    root = collection.image_root
    if not (lost := without_file(root, collection.images)):
        return collection
    examples = _examples(f"{p.file}{there_instead(root, p.file)}" for p in lost)
    message = f"{len(lost)} of {len(collection.images)} images are not there"
    if missing == "refuse":
        message += f", the first are {', '.join(examples)}"
        given = "Put them there, or give their folder (in that of the data set, or absolute) with "
        given += "--option images=FOLDER"
        hint = f"{given}; --missing drop leaves their records out, --missing keep keeps them."
        raise BadData(in_number(message), location=root, hint=hint)
    hint = "Use this folder without images only, or put them there and prepare again."
    if missing == "drop":
        gone = {image.id for image in lost}
        collection, out = _keep(collection, lambda record: record.image_id not in gone)
        if not collection.questions and not collection.captions:
            hint = "Check --root and --option images=FOLDER; --missing keep keeps the text alone."
            raise BadData(f"{message}: nothing would be left", location=root, hint=hint)
        images = [image for image in collection.images if image.id not in gone]
        collection = replace(collection, images=images)
        message += f"; they and their {out} records were left out"
        hint = "Scores are of the rest only: find the files if they are to be compared."
    cause = f"The files are not below {root}."
    findings.append(Finding("warning", message, len(lost), examples, cause, hint))
    return collection


def _check_window(collection: Collection, window: str, findings: list[Finding]) -> Collection:
    """Take the window that the user says, the source gives, or some of the images show."""
    if window != "auto" or collection.window != "auto":
        return replace(collection, window=window if window != "auto" else collection.window)
    files = [image.file for image in collection.images]
    if not (deep := [file for file in files if not file.lower().endswith(EIGHT_BITS)]):
        return collection
    from saccade.data.image_files import set_window  # noqa: PLC0415 - slow to import

    window, found, wide = set_window(Path(collection.image_root), deep)
    if not found:
        return collection
    if wide:
        message = "images of 16 bits use a small part of them, but others do not: they will be dark"
        cause = f"Of {len(found) + len(wide)} that were opened {len(wide)} have values beyond it"
        cause += f", the first is {wide[0]}: they may be scaled otherwise."
        hint = "Leave those out, or say the window of the others: --option window=0,4095 (12 bits)."
        findings.append(Finding("warning", message, len(found), _examples(found), cause, hint))
        return collection
    low_high = window.partition(":")[2]
    message = f"images of 16 bits use a small part of them, and are shown through {low_high}"
    cause = f"Of {len(found)} that were opened none has other values, nor names a window."
    hint = f"Say it, if you know better: --option window={low_high}, or LO,HI, or full."
    findings.append(Finding("warning", message, len(found), _examples(found), cause, hint))
    return replace(collection, window=window)


def without_file(root: str | Path, images: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Images whose file is not below `root`. Lists each folder once: files are not touched."""
    listed: dict[str, set[str]] = {}
    lost = []
    for image in images:
        folder, _, name = image.file.rpartition("/")
        if folder not in listed:
            try:
                with os.scandir(os.path.join(root, folder)) as entries:
                    listed[folder] = {entry.name for entry in entries if not entry.is_dir()}
            except OSError:
                listed[folder] = set()
        if name not in listed[folder]:
            lost.append(image)
    return lost


def _oddities(collection: Collection, secret: bool) -> Iterator[Finding]:
    """Findings about a collection that may be used as it is."""
    questions = collection.questions
    yield from _empty_splits(collection)
    described = {record.image_id for _, records in _kinds(collection) for record in records}
    if silent := [image.file for image in collection.images if image.id not in described]:
        message = f"{len(silent)} images have neither question nor caption"
        cause, hint = "The source lists them all the same.", "Nothing to do: they are kept."
        yield Finding("note", message, len(silent), _examples(silent), cause, hint)
    if unanswered := [str(question.id) for question in questions if not question.answers]:
        message = f"{len(unanswered)} questions have no answers"
        cause, hint = "The source has none.", "The split can be predicted, not scored."
        if secret:
            cause = "Their answers are secret."
            hint = "Predict them, and send the file to the server."
        yield Finding("note", message, len(unanswered), _examples(unanswered), cause, hint)
    yield from _forms(questions)
    # Hashes first: with the keys, millions of questions would be held twice.
    times_of = Counter(hash(_asked(question)) for question in questions)
    again = {number for number, times in times_of.items() if times > 1}
    times = Counter(asked for asked in map(_asked, questions) if hash(asked) in again)
    if count := sum(times.values()) - len(times):
        message = f"{count} questions repeat an earlier one about the same image"
        examples = (f"image {image}: {text}" for (image, text), n in times.items() if n > 1)
        cause, hint = "The source has them twice.", "Nothing to do: each counts on its own."
        yield Finding("note", message, count, _examples(examples), cause, hint)
    scored = [q for q in questions if q.split != "train" and q.answers]
    training = ((_asked(q), q.best_answer.lower()) for q in questions if q.split == "train")
    learnt = {(_asked(q), q.best_answer.lower()) for q in scored}.intersection(training)
    if leaks := [q for q in scored if (_asked(q), q.best_answer.lower()) in learnt]:
        message = f"{len(leaks)} questions to be scored are, with their answer, training questions"
        examples = (f"{q.id}: {q.text}" for q in leaks)
        cause = "The published split has them in both."
        hint = "Leave them out for a clean score: --overlap drop."
        yield Finding("warning", message, len(leaks), _examples(examples), cause, hint)


def _forms(questions: Sequence[Question]) -> Iterator[Finding]:
    """How questions and answers are written, where a tokenizer or a scorer minds."""
    unspaced = [question.text for question in questions if has_no_blanks(question.text)]
    if 10 * len(unspaced) > len(questions):
        message = f"{len(unspaced)} questions are in Chinese, Japanese, Thai or such letters"
        cause = "Most tokenizers cut at blanks and would make one word of each."
        hint = "Nothing to do: in place of such a tokenizer `train` takes multilingual."
        yield Finding("note", message, len(unspaced), _examples(unspaced), cause, hint)
    if changed := changed_unanimous(question.answers for question in questions):
        count = changed.total()
        message = f"{count} questions have an answer that all agreed on and the normaliser changes"
        cause = f"Revision {OFFICIAL} of the scorer lets nothing normalised meet such an answer."
        hint = (
            f"Scores of official VQA sets count them as wrong; revision {ALWAYS}, the default of "
        )
        hint += "all other data, does not."
        yield Finding("note", message, count, _examples(changed), cause, hint)

    if merged := merged_spellings(dict.fromkeys(a for q in questions for a in q.answers)):
        message = f"{len(merged)} groups of answers differ by marks or small words, and are one"
        cause = f"Revision {ALWAYS} of the scorer takes the answers of a group for the same."
        hint = "If they mean different things, write them so: minus 5 for -5."
        yield Finding("note", message, len(merged), _examples(merged), cause, hint)


def _asked(question: Question) -> tuple[int, str]:
    return question.image_id, question.text.lower()


def _empty_splits(collection: Collection) -> Iterator[Finding]:
    """Each task on its own: a folder may have captions of a split, but no questions."""
    of_val = "Add its files, or take some training images for it: --hold-out 0.1."
    if len(collection.images) == 1:
        of_val = "Add images: one alone cannot be in two splits."
    for kind, records in _kinds(collection):
        in_use = {record.split for record in records}
        cause = f"The source has no {kind}s of this split below --root."
        if records and "train" not in in_use:
            message = f"split train has no {kind}s: there is nothing to learn from"
            hint = f"Add its files, or do not train on these {kind}s."
            yield Finding("warning", message, 1, (), cause, hint)
        if records and "val" not in in_use:
            message = f"split val has no {kind}s: nothing can be trained on them"
            yield Finding("warning", message, 1, (), cause, of_val)


def _twice(items: Sequence[Item]) -> list[Item]:
    """Those that occur more than once, in order."""
    if len(set(items)) == len(items):
        return []
    return [item for item, times in Counter(items).items() if times > 1]


def _examples(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(texts, 3))


def refuse_wrong_root(root: Path, images: Sequence[ImageRecord]) -> None:
    """Raise BadData for a wrong folder at once, before 100,000 images are reported missing."""
    sample = images[:: max(len(images) // 32, 1)]
    if not any(isfile(root / image.file) for image in sample):
        message = f"there is neither {sample[0].file} nor any other image that was looked for"
        hint = "Say where the images are now: --image-root DIR, or SACCADE_IMAGES."
        raise BadData(message, location=root, hint=hint)
