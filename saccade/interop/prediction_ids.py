"""Which example each prediction of a file is for: its ids are found in a data folder.

Every column that may hold ids is tried, as every kind of id, in every split; the one that knows
most rows is it. So neither task nor split nor the kind of id need be said, and a file whose ids are
not those of the data is told with both.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.core.tasks import TaskName
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Split
from saccade.datasets.gqa import released_ids
from saccade.interop.prediction_files import EVIDENCE, PredictionFile, plain

OnMissing = Literal["refuse", "wrong"]
OnExtra = Literal["refuse", "ignore"]


class MatchedPredictions(NamedTuple):
    """The texts of a file by the ids of the data folder."""

    task: TaskName
    split: Split
    texts: dict[int, str]
    """Of all questions, or images with captions, of the split."""
    missing: int
    """Examples without a prediction, whose text is empty."""
    extra: int
    """Predictions for other examples, which are left out."""


class _Examples(NamedTuple):
    """The examples of a task in a split, and all that may name them."""

    task: TaskName
    split: Split
    ids: list[int]
    named: Mapping[str, Mapping[str, int]]
    """Ids by kind and name."""
    evidence: Callable[[int], Iterable[str]]
    """Texts one of which stands in a row that is for the example."""


class _Candidate(NamedTuple):
    """A column's ids, taken as ids of some examples."""

    examples: _Examples
    column: str
    found: list[int | None]
    """The example of each row."""

    @property
    def known(self) -> int:
        """Rows whose example is known."""
        return len(self.found) - self.found.count(None)


def match_predictions(
    file: PredictionFile,
    folder: DataFolder,
    split: Split | None = None,
    *,
    missing: OnMissing = "refuse",
    extra: OnExtra = "refuse",
) -> MatchedPredictions:
    """Find the example of every prediction; without `split`, the one that has most of them.

    Raises BadData for ids that stand twice, that are not in the split (unless `extra` is "ignore"),
    and for examples without a prediction (unless `missing` is "wrong"); BadConfig for another word.
    """
    for name, word, words in (("missing", missing, OnMissing), ("extra", extra, OnExtra)):
        if word not in words.__args__:  # type: ignore[attr-defined]
            hint = f"Choose from {', '.join(words.__args__)}."  # type: ignore[attr-defined]
            raise BadConfig(f"--{name} {word} is unknown", hint=hint)
    best = _best(file, folder, split)
    _refuse_doubled(file, best)
    examples = best.examples
    texts = {id_: text for id_, text in zip(best.found, file.texts, strict=True) if id_ is not None}
    strange = [place for place, id_ in enumerate(best.found) if id_ is None]
    if strange and extra == "refuse":
        raise _extra(file, best, strange)
    without = [id_ for id_ in examples.ids if id_ not in texts]
    if without and missing == "refuse":
        some = ", ".join(_released(folder, examples.task, without[:3]))
        message = f"has no prediction for {len(without):,} of the {len(examples.ids):,} "
        message += f"{_things(examples.task)} of the {examples.split} split, such as {some}"
        hint = "Predict them too, score another --split, or count them as wrong: --missing wrong."
        raise BadData(message, location=file.path, hint=hint)
    ordered = {id_: texts.get(id_, "") for id_ in examples.ids}
    return MatchedPredictions(examples.task, examples.split, ordered, len(without), len(strange))


def _best(file: PredictionFile, folder: DataFolder, split: Split | None) -> _Candidate:
    """The reading of the file that knows most rows; of equal ones the first."""
    best, tried = None, list[_Examples]()
    for examples in _all_examples(file, folder, split):
        tried.append(examples)
        for kind, column in file.keys:
            if kind not in examples.named:
                continue
            one = _Candidate(examples, column, _find(file, examples, kind, column))
            if best is None or one.known > best.known:
                best = one
            if one.known == len(file.rows) == len(examples.ids):
                return one
    if best is None or not best.known:
        raise _unknown(file, folder, tried, split)
    return best


def _all_examples(
    file: PredictionFile, folder: DataFolder, split: Split | None
) -> Iterator[_Examples]:
    """The examples of each task that the texts may be for, in each split, the last one first."""
    said: dict[str, TaskName] = {"caption": "caption", "answer": "vqa"}
    task = said.get(plain(file.column))
    tasks = [one for one in folder.tasks if task in (None, one)]
    if not tasks:
        message = f"holds {plain(file.column)}s, and {folder.path} has none"
        hint = "Give the data folder that they were predicted for: --data."
        raise BadData(message, location=file.path, hint=hint)
    for one in tasks:
        for name in [split] if split else reversed(SPLITS):
            examples = _examples(folder, one, name)
            if examples.ids:
                yield examples


def _examples(folder: DataFolder, task: TaskName, split: Split) -> _Examples:
    images = {image.id: image.file for image in folder.images(split)}
    by_image: dict[int, list[int]] = {}
    texts: dict[int, list[str]]
    if task == "vqa":
        questions = folder.questions(split)
        texts = {question.id: [question.text] for question in questions}
        for question in questions:
            by_image.setdefault(question.image_id, []).append(question.id)
    else:
        texts = {i: [c.text for c in some] for i, some in folder.captions_by_image(split).items()}
        by_image = {id_: [id_] for id_ in texts}
    released = dict(zip(texts, _released(folder, task, texts), strict=True))
    of_images = dict(zip(images, released_ids(folder, "image", images), strict=True))
    alone = {image: ids[0] for image, ids in by_image.items() if len(ids) == 1}
    pictures = [(images[image], id_) for image, id_ in alone.items() if image in images]
    by_id = _names((name, id_) for id_ in texts for name in (released[id_], str(id_)))
    image_ids = ((n, id_) for i, id_ in alone.items() for n in (str(of_images.get(i, i)), str(i)))
    paths = ((PurePosixPath(file), id_) for file, id_ in pictures)
    files = ((str(name), id_) for path, id_ in paths for name in {path, path.name, path.stem})
    named = {
        "id": by_id,
        "image": _names([*image_ids, *(several := list(files))]),
        "file": _names(several),
        "place": {str(place): id_ for place, id_ in enumerate(texts)},
    }
    named |= {"question": by_id} if task == "vqa" else {}
    return _Examples(task, split, list(texts), named, texts.__getitem__)


def _released(folder: DataFolder, task: TaskName, ids: Iterable[int]) -> list[str]:
    """The released ids of questions, or of images."""
    return [str(id_) for id_ in released_ids(folder, "question" if task == "vqa" else "image", ids)]


def _names(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Ids by name; a name of several examples is none."""
    found: dict[str, int] = {}
    several = set[str]()
    for name, id_ in pairs:
        if found.setdefault(name, id_) != id_:
            several.add(name)
    return {name: id_ for name, id_ in found.items() if name not in several}


def _find(file: PredictionFile, examples: _Examples, kind: str, column: str) -> list[int | None]:
    """The example of each row by a column's ids, as far as nothing in the row contradicts."""
    named, names = examples.named[kind], file.names
    shown = [names[name] for name in EVIDENCE[examples.task] if name in names]
    shown = [name for name in shown if name != file.column]
    # Of places nothing says that they are those of this split, but their number.
    is_trusted = kind != "place" or len(file.rows) == len(examples.ids)
    found = list[int | None]()
    for row in file.rows:
        name = _name(row.values.get(column))
        id_ = named.get(name)
        if id_ is None and "/" in name:
            id_ = named.get(name.rsplit("/", 1)[1])
        if id_ is not None:
            text = _words(" ".join(str(row.values.get(one) or "") for one in shown))
            known = (_words(one) in text for one in examples.evidence(id_))
            id_ = id_ if (any(known) if text else is_trusted) else None
        found.append(id_)
    return found


def _name(value: object) -> str:
    """An id as text; a table with holes has its whole numbers as 5.0."""
    return (
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    )


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


# Refusals: how many, which, and what to do.


def _things(task: TaskName) -> str:
    return "questions" if task == "vqa" else "images with captions"


def _unknown(
    file: PredictionFile, folder: DataFolder, tried: list[_Examples], split: Split | None
) -> BadData:
    """The error about a file of which no row is known."""
    columns = dict.fromkeys(column for _, column in file.keys)
    theirs = (f"{name} {_name(file.rows[0].values.get(name))[:40]!r}" for name in columns)
    of = f"the {split} split of {folder.path}" if split else str(folder.path)
    message = f"holds predictions for other examples than {of} has: it has {', '.join(theirs)}"
    if tried:
        ours = ", ".join(map(repr, _released(folder, tried[0].task, tried[0].ids[:2])))
        message += f", the data {_things(tried[0].task)} {ours}"
        others = (_contradicted(file, one, range(len(file.rows))) for one in tried)
        message += next(filter(None, others), "")
    hint = "Give the data folder of the questions that were asked (--data), or the right --split."
    return BadData(message, location=file.path, hint=hint)


def _refuse_doubled(file: PredictionFile, best: _Candidate) -> None:
    counts = Counter(id_ for id_ in best.found if id_ is not None)
    doubled = {id_ for id_, count in counts.items() if count > 1}
    if doubled:
        places = [place for place, id_ in enumerate(best.found) if id_ in doubled]
        first = file.rows[places[0]]
        other = next(p for p in places[1:] if best.found[p] == best.found[places[0]])
        what = _name(first.values.get(best.column))
        ids = "one id" if len(doubled) == 1 else f"{len(doubled):,} ids"
        message = f"has {ids} more than once, such as {best.column} {what} "
        message += f"({first.place} and {file.rows[other].place})"
        hint = "Keep one prediction for each; were two files put behind each other?"
        raise BadData(message, location=file.path, hint=hint)


def _extra(file: PredictionFile, best: _Candidate, strange: list[int]) -> BadData:
    """The error about rows that are for no example of the split."""
    examples, first = best.examples, file.rows[strange[0]]
    message = f"has {len(strange):,} of {len(file.rows):,} predictions that are for no "
    message += f"{_things(examples.task)[:-1] if examples.task == 'vqa' else 'image'} of the "
    message += f"{examples.split} split, such as {best.column} "
    message += f"{_name(first.values.get(best.column))[:40]!r} ({first.place})"
    message += _contradicted(file, examples, strange)
    hint = "Score another --split, or leave them out: --extra ignore."
    return BadData(message, location=file.path, hint=hint)


def _contradicted(file: PredictionFile, examples: _Examples, places: Iterable[int]) -> str:
    """What is to be said where ids are known, and the rows speak of other examples."""
    pairs = [(examples.named.get(kind, {}), column) for kind, column in file.keys]
    rows = [file.rows[place].values for place in places]
    if not any(_name(row.get(column)) in named for named, column in pairs for row in rows):
        return ""
    shown = [file.names[name] for name in EVIDENCE[examples.task] if name in file.names]
    columns = ", ".join(name for name in shown if name != file.column)
    return f"; ids that are known stand beside other questions or captions (column {columns})"
