"""Is a model right as often as it says? And how right is it where it is surest?

Both compare a confidence with how right the answer was, 0 to 1; official VQA accuracy is such a
number too, so "right" may be partial. Source: expected calibration error, Guo et al. 2017, section
2; risk and coverage, Geifman & El-Yaniv 2017; area under that curve, Geifman et al. 2019.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData

BINS = 15
POINTS = 20


class Bin(NamedTuple):
    """The answers whose confidence lies between two bounds."""

    above: float
    to: float
    """Confidences in (above, to]; 0 belongs to the first bin."""
    answers: int
    confidence: float
    """Their mean confidence; 0 where there are none."""
    accuracy: float
    """Their mean accuracy; 0 where there are none."""


class CalibrationScore(NamedTuple):
    """How far confidence can be trusted."""

    ece: float
    """Expected calibration error, 0..1: mean over answers of |accuracy - confidence| of the bin."""
    bins: list[Bin]
    coverage: list[float]
    """Shares of the answers, the surest first: 0.05, 0.1, ..., 1."""
    risk: list[float]
    """Mean of 1 - accuracy over so many of the surest answers."""
    aurc: float
    """Area under the risk-coverage curve, 0..1: mean risk over all numbers of answers. Low is
    good; a model whose confidence says nothing has its error rate."""


def calibration_score(
    confidence: Sequence[float] | NDArray[np.float64],
    accuracy: Sequence[float] | NDArray[np.float64],
    *,
    bins: int = BINS,
    points: int = POINTS,
) -> CalibrationScore:
    """Compare confidences with accuracies, both in 0..1, one of each per answer.

    Bins are equally wide. Among equally sure answers nobody comes first: the curve goes straight
    through them, so their order changes nothing. Raises BadData when there are none, lengths
    differ, or a number is outside 0..1.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(accuracy, np.float64)
    if len(confidence) != len(right) or not len(confidence):
        raise BadData(
            f"{len(confidence)} confidences for {len(right)} answers say nothing",
            hint="Give one confidence and one accuracy for each answer, and at least one.",
        )
    if not ((confidence >= 0) & (confidence <= 1) & (right >= 0) & (right <= 1)).all():
        raise BadData("a confidence or accuracy is outside 0..1", hint="Give shares, not per cent.")
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    number = np.bincount(place, minlength=bins)
    some = np.maximum(number, 1)
    mean_sure = np.bincount(place, confidence, minlength=bins) / some
    mean_right = np.bincount(place, right, minlength=bins) / some
    edges = np.arange(bins + 1) / bins
    risks = _risks(confidence, right)
    coverage = np.arange(1, points + 1) / points
    answers = np.maximum(np.round(coverage * len(risks)).astype(int), 1)
    return CalibrationScore(
        ece=float((number * np.abs(mean_right - mean_sure)).sum() / len(confidence)),
        bins=[
            Bin(*row)
            for row in zip(
                edges[:-1].tolist(),
                edges[1:].tolist(),
                number.tolist(),
                mean_sure.tolist(),
                mean_right.tolist(),
                strict=True,
            )
        ],
        coverage=coverage.tolist(),
        risk=risks[answers - 1].tolist(),
        aurc=float(risks.mean()),
    )


def _risks(confidence: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of 1 - accuracy over the 1, 2, ..., n surest answers; ties share their errors evenly."""
    values, group, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    error = np.bincount(group, 1 - right, minlength=len(values)) / size
    risks: NDArray[np.float64] = np.cumsum(np.repeat(error, size)) / np.arange(
        1, len(confidence) + 1
    )
    return risks
