"""Precision, recall and F1 of an epoch's training batches, where each question has one answer.

They are of the batches as they are trained on, as the training score is: no second pass is made.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean


def count_answers(counts: dict[int, list[int]], answered: Iterable[Iterable[int]]) -> None:
    """Add predicted and true answers, a sequence of each, to how often an answer was predicted
    rightly, was predicted, and was true."""
    for predicted, true in zip(*answered, strict=True):
        counts.setdefault(predicted, [0, 0, 0])[1] += 1
        of_true = counts.setdefault(true, [0, 0, 0])
        of_true[2] += 1
        of_true[0] += predicted == true


def macro_scores(counts: Mapping[int, list[int]]) -> dict[str, float]:
    """Macro precision, recall and F1, 0..1, by their names in `METRICS`: means over the answers
    that were true at least once. One that was never predicted has precision 0."""
    labels = [count for count in counts.values() if count[2]]
    return {
        "macro_precision": fmean(hits / max(predicted, 1) for hits, predicted, _ in labels),
        "macro_recall": fmean(hits / true for hits, _, true in labels),
        "macro_f1": fmean(2 * hits / (predicted + true) for hits, predicted, true in labels),
    }
