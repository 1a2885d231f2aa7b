"""Findings about answers, questions and captions, read from the tables of a data folder."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from saccade.checks.association import association_z
from saccade.checks.catalogue import evenly, finding
from saccade.core.tasks import TaskName
from saccade.data.checks import Finding
from saccade.data.folder import DataFolder
from saccade.data.parquet import answered, to_rows
from saccade.data.records import Question
from saccade.text.answers import comparable_answer
from saccade.text.segmentation import QUESTION_MARKS
from saccade.text.vocabulary import Words

SAMPLE = 20_000
"""Questions or captions that are read at most, evenly spaced over the split."""
ENOUGH = 50
"""Records that a share needs to mean anything."""
STOP_WORDS = frozenset(
    """
    a an the of and or with to for by from at as that this these those is are was were be been its
    his her their le la les el los un une una der das und ein eine de du 的 了 在 和 一个
    """.split()  # noqa: SIM905  a list of fifty quotes cannot be read
)
"""Words that answer no question. "on", "in", "it", "no" and the like are answers of clean sets."""
ASKS = frozenset(
    """
    what which who whom whose when where why how is are was were am do does did can could will
    would shall should has have had may might must name list count describe identify find give
    tell choose select please in on at of from to for by with
    """.split()  # noqa: SIM905
)
"""Words that an English question begins with, or a prepositional phrase before it."""


def check_questions(folder: DataFolder) -> Iterator[Finding]:
    """Findings about the training questions and their answers."""
    table = folder.question_table("train")
    if not (total := table.num_rows):
        return
    lacking = total - answered(table).num_rows
    forms = answer_forms(folder.answer_counts("best_answers"))
    lacking += forms.pop("", 0)
    if lacking == total:
        message = f"{total:,} training questions have no answer"
        yield finding("no-answers", message, count=total)
        return
    if lacking > 0.05 * total:
        message = f"{lacking:,} of {total:,} training questions have no answer"
        yield finding("empty-answers", message, count=lacking, numbers={"share": lacking / total})
    yield from _about_answers(forms)
    questions = sampled_questions(folder)
    yield from _about_texts(questions)
    yield from _about_pairs(questions)


def sampled_questions(folder: DataFolder) -> list[Question]:
    """Training questions that somebody answered, evenly spaced."""
    table = answered(folder.question_table("train"))
    taken = table.take(evenly(table.num_rows, SAMPLE)).unify_dictionaries()
    return [Question(*row) for row in to_rows(taken.combine_chunks())]


def answer_forms(counts: Mapping[str, int]) -> Counter[str]:
    """Answers by the form in which they are compared."""
    forms = Counter[str]()
    for answer, count in counts.items():
        forms[comparable_answer(answer)] += count
    return forms


def _about_answers(forms: Counter[str]) -> Iterator[Finding]:
    total = forms.total()
    top, times = forms.most_common(1)[0]
    numbers: dict[str, float] = {"answers": len(forms), "questions": total}
    if len(forms) == 1 and total > 1:
        message = f"{total:,} training questions all have the answer {top!r}"
        yield finding("one-answer", message, count=total, numbers=numbers)
        return
    if times >= 0.9 * total and total >= ENOUGH:
        message = f"{times:,} of {total:,} training questions have the answer {top!r}"
        numbers["share"] = times / total
        yield finding("top-answer", message, count=times, numbers=numbers)
    stop = {answer: count for answer, count in forms.items() if answer in STOP_WORDS}
    if "b" in forms and "c" in forms:
        stop.pop("a", None)  # the letters of choices
    if (count := sum(stop.values())) > 0.05 * total:
        message = f"{count:,} of {total:,} training answers are words such as {min(stop)!r}"
        some = [f"{answer}: {number:,}" for answer, number in Counter(stop).most_common(3)]
        yield finding("stop-word-answers", message, count=count,
                      numbers={"share": count / total}, examples=some)  # fmt: skip
    once = [answer for answer, count in forms.items() if count == 1]
    if len(once) > 0.8 * total and total >= ENOUGH:
        message = f"{len(once):,} of {total:,} training questions have an answer of their own"
        yield finding("answers-met-once", message, count=len(once),
                      numbers={"share": len(once) / total}, examples=once)  # fmt: skip


def _about_texts(questions: Sequence[Question]) -> Iterator[Finding]:
    if len(questions) < ENOUGH:
        return
    texts = Counter(question.text.strip().lower() for question in questions)
    if len(texts) == 1:
        message = f"{len(questions):,} training questions are all {questions[0].text!r}"
        yield finding("questions-equal", message, count=len(questions))
    letters = [question.text for question in questions if question.text.isascii()]
    states = [text for text in letters if not _asks(text)]
    words = sum(len(text.split()) for text in letters) / max(len(letters), 1)
    if len(states) > 0.5 * len(questions):
        message = f"{len(states):,} of {len(questions):,} training questions look like statements"
        numbers = {"share": len(states) / len(questions), "words": words}
        yield finding("statements", message, count=len(states), numbers=numbers, examples=states)


def _asks(text: str) -> bool:
    words = text.lower().split()
    return any(mark in text for mark in QUESTION_MARKS) or words[:1] == [] or words[0] in ASKS


def _about_pairs(questions: Sequence[Question]) -> Iterator[Finding]:
    """Findings about questions together with their answers."""
    total = len(questions)
    if total < ENOUGH:
        return
    inside = [one for one in questions if _contains(one.text, one.best_answer)]
    if len(inside) > 0.8 * total:
        message = f"{len(inside):,} of {total:,} training questions contain their answer"
        some = [f"{one.text} {one.best_answer}" for one in inside[:3]]
        yield finding("answers-in-questions", message, count=len(inside),
                      numbers={"share": len(inside) / total}, examples=some)  # fmt: skip
    answers, images = defaultdict[str, Counter[str]](Counter), defaultdict[str, set[int]](set)
    for one in questions:
        text = one.text.strip().lower()
        answers[text][comparable_answer(one.best_answer)] += 1
        images[text].add(one.image_id)
    repeated = [text for text, shown in images.items() if len(shown) > 1]
    asked = sum(answers[text].total() for text in repeated)
    decided = sum(answers[text].total() for text in repeated if len(answers[text]) == 1)
    if len(repeated) > 1 and asked >= ENOUGH and decided > 0.95 * asked:
        message = f"{decided:,} of {asked:,} questions asked of several images have one answer"
        some = [f"{text} {next(iter(answers[text]))}" for text in repeated[:3]]
        yield finding("answers-without-image", message, count=decided,
                      numbers={"share": decided / asked}, examples=some)  # fmt: skip
    yield from _unrelated(questions)


def _contains(text: str, answer: str) -> bool:
    plain, wanted = (" ".join(re.findall(r"\w+", one.lower())) for one in (text, answer))
    return bool(wanted) and f" {wanted} " in f" {plain} "


def question_groups(questions: Sequence[Question]) -> list[str]:
    """The group of each question: its text where that is repeated, else its first two words."""
    texts = [question.text.strip().lower() for question in questions]
    times = Counter(texts)
    return [text if times[text] >= 5 else " ".join(text.split()[:2]) for text in texts]


def association_labels(
    folder: DataFolder, task: TaskName, images: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """What is told of each image, twice `(n, k)`: by every other question or caption, and the rest.

    Of answers, how far they are from what is usual for their question; of captions, their words.
    """
    wanted = pa.array(images, pa.int64())
    table = folder.record_table(task, "train")
    table = table.filter(pc.is_in(table.column("image_id"), value_set=wanted)).unify_dictionaries()
    if task == "vqa":
        questions = [Question(*row) for row in to_rows(answered(table).combine_chunks())]
        ids = [one.image_id for one in questions]
        told = one_hot([comparable_answer(one.best_answer) for one in questions], 50)
        groups = np.unique(question_groups(questions), return_inverse=True)[1]
        usual = np.zeros((groups.max(initial=-1) + 1, told.shape[1]), np.float32)
        np.add.at(usual, groups, told)
        told -= (usual / np.maximum(np.bincount(groups), 1)[:, None])[groups]
    else:
        ids, texts = table.column("image_id").to_pylist(), table.column("words").to_pylist()
        common = Counter(word for words in texts for word in set(words)).most_common(100)
        columns = {word: place for place, (word, _) in enumerate(common)}
        told = np.zeros((len(texts), len(columns)), np.float32)
        for row, words in enumerate(texts):
            told[row, [columns[word] for word in words if word in columns]] = 1
    place_of, met = {id_: place for place, id_ in enumerate(images)}, Counter[int]()
    halves = np.zeros((2, len(images), told.shape[1]), np.float32)
    for id_, row in zip(ids, told, strict=True):
        halves[met[id_] % 2, place_of[id_]] += row
        met[id_] += 1
    return halves[0], halves[1]


def one_hot(labels: Sequence[str], most: int) -> np.ndarray:
    """`(n, k)` float32: which of the `most` commonest labels each one is."""
    columns = {label: i for i, (label, _) in enumerate(Counter(labels).most_common(most))}
    table = np.zeros((len(labels), len(columns)), np.float32)
    for row, label in enumerate(labels):
        if label in columns:
            table[row, columns[label]] = 1
    return table


def _unrelated(questions: Sequence[Question]) -> Iterator[Finding]:
    """Answers that have nothing to do with their questions, where these could tell something."""
    some = [questions[place] for place in evenly(len(questions), 4000)]
    groups, answers = question_groups(some), [comparable_answer(one.best_answer) for one in some]
    kinds = len(set(groups)), len(set(answers))
    if len(some) < 300 or kinds[0] < 2 or kinds[1] < 3:  # yes and no may well be balanced
        return
    z = association_z(one_hot(groups, 100), one_hot(answers, 100))
    if z < 3:
        message = f"{len(some):,} training answers have nothing to do with their questions"
        numbers = {"z": z, "groups": kinds[0], "answers": kinds[1]}
        pairs = [f"{one.text} {one.best_answer}" for one in some[:3]]
        yield finding("answers-unrelated", message, numbers=numbers, examples=pairs)


def check_captions(folder: DataFolder) -> Iterator[Finding]:
    """Findings about the training captions."""
    texts = folder.caption_table("train").column("text").to_pylist()
    total = len(texts)
    if total < 2:
        return
    (top, times) = Counter(text.strip().lower() for text in texts).most_common(1)[0]
    if times == total:
        message = f"{total:,} training captions are all {top!r}"
        yield finding("one-caption", message, count=total)
    elif times > 0.5 * total and total >= ENOUGH:
        message = f"{times:,} of {total:,} training captions are {top!r}"
        yield finding("top-caption", message, count=times, numbers={"share": times / total})
    asking = [text for text in texts if text.rstrip().endswith(QUESTION_MARKS)]
    if len(asking) > 0.5 * total:
        message = f"{len(asking):,} of {total:,} training captions end with a question mark"
        yield finding("captions-ask", message, count=len(asking), examples=asking)


def check_validation_answers(folder: DataFolder, words: Words | None) -> Iterator[Finding]:
    """Whether the answers of the validation split can be learnt from the training split."""
    table = answered(folder.question_table("val"))
    if table.num_rows < 10:
        return
    counts = Counter(table.column("best_answer").to_pylist())
    listed = words.answers if words else None
    if listed is not None:
        known = {answer for answer in counts if listed.encode([answer])[0]}
    else:
        train = set(answer_forms(folder.answer_counts()))
        known = {answer for answer in counts if comparable_answer(answer) in train}
    lost = {answer: count for answer, count in counts.items() if answer not in known}
    if (count := sum(lost.values())) > 0.5 * table.num_rows:
        place = "the recipe's answer list" if listed is not None else "training"
        message = f"{count:,} of {table.num_rows:,} validation answers are not in {place}"
        yield finding("validation-answers-unknown", message, count=count,
                      numbers={"share": count / table.num_rows},
                      examples=[answer for answer, _ in Counter(lost).most_common(3)])  # fmt: skip


def check_answer_list(folder: DataFolder, words: Words) -> Iterator[Finding]:
    """Whether the recipe's answer list has what most training questions were answered with."""
    assert words.answers is not None
    counts = folder.answer_counts("best_answers")
    lost = {one: count for one, count in counts.items() if not words.answers.encode([one])[0]}
    total, count = sum(counts.values()), sum(lost.values())
    if total >= ENOUGH and count > 0.5 * total:
        message = f"{count:,} of {total:,} training questions have an answer that is not listed"
        numbers = {"share": count / total, "answers": len(words.answers)}
        yield finding("small-answer-list", message, count=count, numbers=numbers,
                      examples=list(islice(lost, 3)))  # fmt: skip
