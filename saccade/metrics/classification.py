"""VQA as classification: accuracy, balanced accuracy, macro precision, recall and F1.

The usual scores of surgical VQA, which has a handful of answers. Computed by scikit-learn.
Macro means are only comparable over the same labels, so the score says which ones it used.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData
from saccade.data.records import Question
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.vqa import check_numbers
from saccade.text.answers import comparable_answer

Averaging = Literal["plain", "pitvqa", "pitvqa_2024"]


class ClassificationScore(NamedTuple):
    """Shares in 0..1. Accuracy is over examples, everything else a mean over labels."""

    accuracy: float
    balanced_accuracy: float
    """Mean recall over the labels that occur among the true answers."""
    precision: float
    recall: float
    f1: float
    labels: tuple[str, ...]
    """What precision, recall and F1 are means over; also rows and columns of `confusion`."""
    confusion: NDArray[np.int64]
    """(L, L): row = true label, column = predicted label, where that is one of the labels."""
    averaging: Averaging


def classification(
    predictions: Sequence[str], references: Sequence[Question]
) -> dict[str, Result] | NotMeasured:
    """The scores of both averagings by their names in `METRICS`, over normalised answers.

    Plain means are over the labels that people gave in this split, so that runs can be compared.
    NotMeasured where a question has other than one human answer, which is no label.
    """
    if any(len(question.answers) != 1 for question in references):
        return NotMeasured("classification: needs questions with one human answer each")
    predicted = [comparable_answer(answer) for answer in predictions]
    true = [comparable_answer(question.answers[0]) for question in references]
    plain = classification_score(predicted, true, labels=sorted(set(true)))
    found = {"balanced_accuracy": Result(plain.balanced_accuracy)}
    pitvqa = classification_score(predicted, true, averaging="pitvqa")
    for ending, score in (("", plain), ("_pitvqa", pitvqa)):
        found[f"macro_precision{ending}"] = Result(score.precision)
        found[f"macro_recall{ending}"] = Result(score.recall)
        found[f"macro_f1{ending}"] = Result(score.f1)
    return found


def classification_score(
    predicted: Sequence[str],
    true: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    averaging: Averaging = "plain",
) -> ClassificationScore:
    """Score one predicted label per example.

    `labels` states the classes to average over; without it these are all that occur, true or
    predicted. Averaging:
    - "plain": a label that was never predicted has precision 0, one that never occurs recall 0.
    - "pitvqa": both count as 1 (scikit-learn's `zero_division=1`), over all labels that occur; so
      a label that was wrongly predicted but never true lifts the recall. As PitVQA's code asks.
    - "pitvqa_2024": the same as scikit-learn 1.3.2 understood it, where a label without a single
      hit has F1 = 1 if it was both predicted and true somewhere. So the published F1 values came
      about, some of them above both precision and recall. For comparison with those alone.
    Raises BadData when there is nothing to score, lengths differ or a true label is not stated.
    """
    check_numbers(predicted, true, "prediction", "example")
    occurring = sorted({*true, *predicted})
    stated = tuple(labels) if labels is not None else tuple(occurring)
    if missing := sorted(set(true) - set(stated)):
        message = f"{len(missing)} true labels are not among those stated, such as {missing[0]!r}"
        raise BadData(message, hint="State every label that can be true.")
    plain = averaging == "plain"
    over = stated if plain else tuple(occurring)
    # Numbers instead of words: scikit-learn is many times faster so. A prediction that is not
    # among the labels gets a number behind them, and is wrong like any other.
    places = {label: place for place, label in enumerate(over)}
    right = np.fromiter((places[label] for label in true), np.int64, len(true))
    given = np.fromiter((places.get(label, len(over)) for label in predicted), np.int64, len(true))
    # Imported here: training asks for these scores, most data has no single answers.
    from sklearn.metrics import precision_recall_fscore_support  # noqa: PLC0415

    precision, recall, f1, support = precision_recall_fscore_support(
        right, given, labels=range(len(over)), zero_division=0 if plain else 1
    )
    confusion = np.zeros((len(over), len(over) + 1), np.int64)
    np.add.at(confusion, (right, given), 1)
    confusion = confusion[:, :-1]
    if averaging == "pitvqa_2024":
        f1 = np.where((support > 0) & (confusion.sum(axis=0) > 0) & (recall == 0), 1.0, f1)
    return ClassificationScore(
        accuracy=float((right == given).mean()),
        balanced_accuracy=float(recall[support > 0].mean()),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        labels=over,
        confusion=confusion,
        averaging=averaging,
    )
