"""Official VQA accuracy: an answer is right as far as other people gave it too.

Every human answer in turn is left out; the prediction earns min(1, matches among the others / 3);
the mean over the turns is the question's accuracy. With ten people, k matches earn min(1, 0.3 k).
Source: GT-Vision-Lab/VQA `vqaEval.py`; Antol et al. 2015, section 3.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from saccade.core.errors import BadData
from saccade.data.records import Question
from saccade.text.answers import normalise_answer, normalise_pair

_ENOUGH = 3
"""So many other people must have given an answer for it to be wholly right."""


class VqaScore(NamedTuple):
    """Accuracies of a set of predictions: means in per cent, single questions in 0..1."""

    overall: float
    per_answer_type: dict[str, float]
    per_question_type: dict[str, float]
    per_question: dict[int, float]
    revision: str


@cache
def _left_out(matches: int, people: int) -> float:
    """Mean over the people of min(1, matches among the others / 3)."""
    matching = matches * min(1.0, (matches - 1) / _ENOUGH)
    other = (people - matches) * min(1.0, matches / _ENOUGH)
    return (matching + other) / people


def vqa_accuracy_of(prediction: str, answers: Sequence[str], revision: str = "2021-03") -> float:
    """Accuracy in 0..1 of one prediction against everything that people answered.

    People are told apart by their place in `answers`, so equal answers count as often as given.
    With fewer than four people a full score is out of reach, as in the official code. With a single
    one (VQA-RAD, say) nobody would be left to agree with: then it is 1 if prediction and answer
    are equal after full normalisation, else 0. Raises BadData when there are no answers.
    """
    if not answers:
        raise BadData(
            "a question without human answers cannot be scored",
            hint="Score a split that has annotations.",
        )
    if len(answers) == 1:
        return float(normalise_answer(prediction.strip()) == normalise_answer(answers[0].strip()))
    prediction, human = normalise_pair(prediction, answers, revision)
    return _left_out(human.count(prediction), len(human))


def vqa_accuracy(
    predictions: Mapping[int, str], questions: Sequence[Question], revision: str = "2021-03"
) -> VqaScore:
    """Score one answer for each question; `predictions` gives it by question id.

    `revision` chooses the official normaliser of 2021 (default) or of 2016, see `answers`; the
    score says which one it was. Raises BadData when a question is missing in `predictions`, stands
    twice in `questions`, or is not among them.
    """
    _check_same_ids(predictions, questions)
    per_question: dict[int, float] = {}
    by_answer_type: dict[str, list[float]] = defaultdict(list)
    by_question_type: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        if not question.answers:
            raise BadData(
                f"question {question.id} has no human answers to be scored by",
                hint="Score a split that has annotations.",
            )
        accuracy = vqa_accuracy_of(predictions[question.id], question.answers, revision)
        per_question[question.id] = accuracy
        by_answer_type[question.answer_type].append(accuracy)
        by_question_type[question.question_type].append(accuracy)
    return VqaScore(
        overall=_per_cent(per_question.values()),
        per_answer_type={kind: _per_cent(of) for kind, of in sorted(by_answer_type.items())},
        per_question_type={kind: _per_cent(of) for kind, of in sorted(by_question_type.items())},
        per_question=per_question,
        revision=revision,
    )


def _per_cent(accuracies: Collection[float]) -> float:
    return 100 * sum(accuracies) / len(accuracies)


def _check_same_ids(predictions: Mapping[int, str], questions: Sequence[Question]) -> None:
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
