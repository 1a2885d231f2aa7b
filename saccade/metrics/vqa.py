"""Official VQA accuracy: an answer counts by how many people gave it too.

Every human answer in turn is left out; the prediction earns min(1, matches among the others / 3);
the mean over the turns is the question's accuracy. With ten people, k matches earn min(1, 0.3 k).
Source: GT-Vision-Lab/VQA `vqaEval.py`; Antol et al. 2015, section 3.
"""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence, Sized
from functools import cache
from typing import Any

from saccade.core.errors import BadData, SaccadeWarning, in_number
from saccade.data.records import Question
from saccade.metrics.catalogue import Result
from saccade.text.answers import (
    OFFICIAL,
    comparable_answer,
    is_official_form,
    normalise_answer,
    normalise_pair,
)

_ENOUGH = 3
"""So many other people must have given an answer for it to be wholly right."""
_TOLD = 0.05
"""Points: an unofficial form that costs less is not told."""


@cache
def leave_one_out(matching: tuple[bool, ...]) -> float:
    """Mean over the people, who gave the answer or not, of min(1, matches among the others / 3).

    Summed in their order, as the official code does, so that the last bit is the same.
    """
    matches = sum(matching)
    return sum(min(1.0, (matches - own) / _ENOUGH) for own in matching) / len(matching)


def vqa_accuracy_of(prediction: str, answers: Sequence[str], revision: str = OFFICIAL) -> float:
    """Accuracy in 0..1 of one prediction against everything that people answered.

    People are told apart by their place in `answers`, so equal answers count as often as given.
    With fewer than four people a full score is out of reach, as in the official code. With a single
    one (VQA-RAD, say) nobody would be left to agree with: then it is 1 if prediction and answer
    are equal after full normalisation (`comparable_answer`), else 0. Raises BadData when there are
    no answers.
    """
    if not answers:
        message = "a question without human answers cannot be scored"
        raise BadData(message, hint="Score a split that has annotations.")
    if len(answers) == 1:
        return float(comparable_answer(prediction) == comparable_answer(answers[0]))
    prediction, human = normalise_pair(prediction, answers, revision)
    return leave_one_out(tuple(answer == prediction for answer in human))


def accuracy(
    predictions: Sequence[str], references: Sequence[Question], *, revision: str = OFFICIAL
) -> Result:
    """Accuracy of one answer per question, in the same order: per cent, and 0..1 of each.

    `revision` chooses how both are normalised before, see `text.answers.normalise_pair`.
    Raises BadData where a question has no human answers.
    """
    scores = []
    for prediction, question in zip(predictions, references, strict=True):
        if not question.answers:
            message = f"question {question.id} has no human answers to be scored by"
            raise BadData(message, hint="Score a split that has annotations.")
        scores.append(vqa_accuracy_of(prediction, question.answers, revision))
    return Result(100 * sum(scores) / len(scores), scores)


def accuracy_by(kinds: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """Mean accuracy in per cent of each kind of question, from accuracies in 0..1."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for kind, score in zip(kinds, scores, strict=True):
        by_kind[kind].append(score)
    return {kind: 100 * sum(of) / len(of) for kind, of in sorted(by_kind.items())}


def cost_of_form(
    predictions: Sequence[str],
    questions: Sequence[Question],
    revision: str,
    total: int | None = None,
) -> dict[str, Any]:
    """How many answers are not in the official form ("Yes."), an example, and the points that it
    costs, where the questions have human answers. `total` counts those left out here, too.

    Revision 2021-03 normalises nothing where all people wrote the same, so there they are wrong.
    """
    changed, gained = list[str](), 0.0
    answered = all(question.answers for question in questions)
    for text, question in zip(predictions, questions, strict=True):
        if is_official_form(text):
            continue
        changed.append(text)
        if answered:
            formal = normalise_answer(text) or text
            now, then = (vqa_accuracy_of(t, question.answers, revision) for t in (text, formal))
            gained += then - now
    example = {"example": changed[0]} if changed else {}
    lost = {"points_lost": 100 * gained / (total or len(questions))} if answered else {}
    return {"answers": len(changed), **example, **lost}


def warn_of_form(form: Mapping[str, Any], score: float | None = None) -> None:
    """Warn where the answers' form costs points by the official revision of 2021, or may do so
    where nobody knows (no `points_lost`, of answers that a server judges).
    """
    lost = form.get("points_lost")
    if not form.get("answers") or (lost is not None and lost < _TOLD):
        return
    note = f"{form['answers']:,} answers are not in the official form, such as {form['example']!r}"
    note += f", which costs {lost:.2f} points" if lost is not None else ""
    note += f": revision {OFFICIAL} normalises nothing where all people wrote the same"
    if score is not None and lost is not None:
        note += (
            f". In that form (lower case, no full stop or article) the score is {score + lost:.2f}"
        )
    warnings.warn(in_number(f"{note}."), SaccadeWarning, stacklevel=2)


def check_same_ids(predictions: Mapping[int, str], questions: Sequence[Question]) -> None:
    """Raise BadData unless each question has one prediction, and no other question has one."""
    asked = {question.id for question in questions}
    if len(asked) != len(questions):
        raise BadData(
            f"{len(questions) - len(asked)} question ids stand twice in the questions",
            hint="Questions of one split have different ids; prepare the data again.",
        )
    if not asked:
        raise BadData("there are no questions to score", hint="Check the split's name.")
    for ids, fault, hint in (
        (asked - predictions.keys(), "have no prediction", "Answer every question, if need be ''."),
        (predictions.keys() - asked, "were predicted but never asked", "Score the split asked."),
    ):
        if ids:
            some = ", ".join(str(id_) for id_ in sorted(ids)[:3])
            raise BadData(f"{len(ids)} question ids {fault}, such as {some}", hint=hint)


def check_numbers(given: Sized, wanted: Sized, subject: str, each: str = "question") -> None:
    """Raise BadData unless there is one thing given for each that is wanted, and one at all."""
    if len(given) != len(wanted) or not len(wanted):
        message = f"{len(given)} {subject}s for {len(wanted)} {each}s cannot be scored"
        raise BadData(message, hint=f"Give one {subject} for each {each}, and at least one.")
