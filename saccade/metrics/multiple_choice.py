"""Multiple choice: the official VQA accuracy of the choice that a model holds likeliest.

A question of VQA v1 offers 18 answers. Source: Antol et al. 2015, sections 3 and 5: of the offered
answers the one with the highest score is the model's, and it is judged like an open answer.
"""

from collections.abc import Mapping, Sequence

from saccade.data.records import Question
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.text.answers import comparable_answer


def multiple_choice_accuracy(
    predictions: Sequence[str],
    references: Sequence[Question],
    *,
    choices: Mapping[int, Sequence[str]],
    chosen: Mapping[int, str] | None,
    revision: str,
) -> Result | NotMeasured:
    """The mean accuracy, 0..1, over the questions that offer choices.

    `choices` and `chosen` (the likeliest choice) are by question id. Where nobody has the model,
    `chosen` is None, and a prediction stands for itself: one that is none of the choices, be its
    spelling as it may, is wrong. `revision` is the VQA scorer's.
    """
    sums = [
        (
            vqa_accuracy_of(
                _answer(prediction, offered, chosen, question.id), question.answers, revision
            ),
            1,
        )
        if (offered := choices.get(question.id))
        else (0.0, 0)
        for prediction, question in zip(predictions, references, strict=True)
    ]
    asked = sum(one for _, one in sums)
    if not asked:
        return NotMeasured("multiple choice: the questions offer no choices", not_of_this_data=True)
    return Result(sum(score for score, _ in sums) / asked, sums=sums)


def _answer(
    prediction: str, offered: Sequence[str], chosen: Mapping[int, str] | None, question: int
) -> str:
    """The choice that a question is answered by; empty where the answer is none of them."""
    if chosen is not None:
        return chosen.get(question, "")
    return prediction if comparable_answer(prediction) in map(comparable_answer, offered) else ""
