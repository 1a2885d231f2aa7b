"""Calibration: is a model as often right as its confidence says, and right where it is confident?

Both compare a confidence with the official accuracy, 0 to 1. Source: expected calibration error,
Guo et al. 2017, section 2; risk and coverage, Geifman & El-Yaniv 2017; area under that curve,
Geifman et al. 2019.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData
from saccade.data.records import Question
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.vqa import accuracy as vqa_accuracy
from saccade.metrics.vqa import check_numbers
from saccade.text.answers import OFFICIAL

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
    """Calibration error, and risk against coverage."""

    ece: float
    """Expected calibration error, 0..1: mean over answers of |accuracy - confidence| of the bin."""
    bins: list[Bin]
    coverage: list[float]
    """Shares of the answers, the most confident first: 0.05, 0.1, ..., 1."""
    risk: list[float]
    """Mean of 1 - accuracy over these shares of the answers."""
    aurc: float
    """Area under the risk-coverage curve, 0..1: mean risk over all numbers of answers. Low is
    good; a random confidence has the model's error rate."""


def calibration(
    predictions: Sequence[str],
    references: Sequence[Question],
    *,
    confidence: Sequence[float],
    revision: str = OFFICIAL,
) -> dict[str, Result] | NotMeasured:
    """Both errors by their names in `METRICS`, from a confidence (0..1) in each answer."""
    if np.isnan(confidence).any():
        return NotMeasured("calibration: no confidences were given")
    right = vqa_accuracy(predictions, references, revision=revision).per_example or ()
    score = calibration_score(confidence, right)
    area = Result(score.aurc)
    return {"expected_calibration_error": Result(score.ece), "area_under_risk_coverage": area}


def calibration_score(
    confidence: Sequence[float] | NDArray[np.float64],
    accuracy: Sequence[float] | NDArray[np.float64],
    *,
    bins: int = BINS,
    points: int = POINTS,
) -> CalibrationScore:
    """Compare confidences with accuracies, both in 0..1, one of each per answer.

    Bins are equally wide. Answers of equal confidence share their errors: the curve is a straight
    line through them, so their order changes nothing. Raises BadData when there are none, lengths
    differ, or a number is outside 0..1.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(accuracy, np.float64)
    check_numbers(confidence, right, "confidence", "answer")
    if not ((confidence >= 0) & (confidence <= 1) & (right >= 0) & (right <= 1)).all():
        raise BadData("a confidence or accuracy is outside 0..1", hint="Give shares, not per cent.")
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    number = np.bincount(place, minlength=bins)
    some = np.maximum(number, 1)
    mean_confidence = np.bincount(place, confidence, minlength=bins) / some
    mean_right = np.bincount(place, right, minlength=bins) / some
    edges = np.arange(bins + 1) / bins
    columns = (edges[:-1], edges[1:], number, mean_confidence, mean_right)
    # Risks are the mean of 1 - accuracy over the 1, 2, ..., n most confident answers.
    values, group, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    error = np.bincount(group, 1 - right, minlength=len(values)) / size
    risks = np.cumsum(np.repeat(error, size)) / np.arange(1, len(confidence) + 1)
    coverage = np.arange(1, points + 1) / points
    answers = np.maximum(np.round(coverage * len(risks)).astype(int), 1)
    return CalibrationScore(
        ece=float((number * np.abs(mean_right - mean_confidence)).sum() / len(confidence)),
        bins=[Bin(*row) for row in zip(*(column.tolist() for column in columns), strict=True)],
        coverage=coverage.tolist(),
        risk=risks[answers - 1].tolist(),
        aurc=float(risks.mean()),
    )
