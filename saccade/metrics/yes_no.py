"""Yes or no, as POPE scores it: does a model see an object wherever it is asked for one?

"Yes" is what is to be found, so precision falls where a model says yes to what is not there.
Source: Li et al. 2023, section 4; AoiDragon/POPE `evaluate.py`, which reads any text as an answer.
"""

from collections.abc import Sequence

from saccade.data.records import Question
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.text.answers import commonest_answer, comparable_answer

_NO = frozenset({"No", "not", "no"})


def yes_no(
    predictions: Sequence[str], references: Sequence[Question]
) -> dict[str, Result] | NotMeasured:
    """Accuracy, precision, recall and F1 of "yes", and the share of answers that are "yes", by
    their names in `METRICS`, each 0..1; 0 where there is nothing to divide by.

    Only where the human answer to every question is yes or no.
    """
    true = [comparable_answer(q.best_answer or commonest_answer(q.answers)) for q in references]
    if not {"yes", "no"}.issuperset(true):
        message = "yes or no: other answers than these are right"
        return NotMeasured(message, not_of_this_data=True)
    said, right = [says_yes(one) for one in predictions], [one == "yes" for one in true]
    hits = sum(map(min, said, right))
    precision, recall = _share(hits, sum(said)), _share(hits, sum(right))
    equal = [float(one == other) for one, other in zip(said, right, strict=True)]
    return {
        "yes_no_accuracy": Result(_share(sum(equal), len(equal)), equal),
        "yes_precision": Result(precision),
        "yes_recall": Result(recall),
        "yes_f1": Result(_share(2 * precision * recall, precision + recall)),
        "yes_share": Result(_share(sum(said), len(said)), [float(one) for one in said]),
    }


def says_yes(text: str) -> bool:
    """Is a text no "no"? The published reading: the first sentence has none of No, no, not."""
    return _NO.isdisjoint(text.split(".", maxsplit=1)[0].replace(",", "").split(" "))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
