"""Calibration against sums written out, and by what a curve may never depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.metrics.calibration import calibration_score

SHARES = st.floats(0, 1, allow_subnormal=False)
ANSWERS = st.lists(st.tuples(SHARES, st.sampled_from([0, 0.3, 0.6, 0.9, 1])), min_size=1)


def test_by_hand():
    score = calibration_score([0.95, 0.85, 0.85, 0.3], [1, 1, 0, 0.6], bins=2, points=4)
    low, high = score.bins
    assert (low.above, low.to, low.answers) == (0, 0.5, 1)
    assert (low.confidence, low.accuracy) == (0.3, 0.6)
    assert (high.answers, high.accuracy) == (3, pytest.approx(2 / 3))
    assert high.confidence == pytest.approx(2.65 / 3)
    assert score.ece == pytest.approx((0.3 + 0.65) / 4)
    # the second and third are equally sure: half an error each
    assert score.coverage == [0.25, 0.5, 0.75, 1]
    assert score.risk == pytest.approx([0, 0.25, 1 / 3, 0.35])
    assert score.aurc == pytest.approx((0 + 0.25 + 1 / 3 + 0.35) / 4)


def test_bounds_belong_to_the_bin_below_and_zero_to_the_first():
    score = calibration_score([0, 0.2, 0.4, 0.6, 0.8, 1], [0] * 6, bins=5)
    assert [bin_.answers for bin_ in score.bins] == [2, 1, 1, 1, 1]
    assert calibration_score([1 / 3], [1]).bins[4].answers == 1  # (4/15, 5/15]


@given(ANSWERS, st.integers(1, 20))
def test_error_as_its_definition(answers, bins):
    total = 0.0
    for number in range(bins):
        inside = [
            (confidence, right)
            for confidence, right in answers
            if (number / bins < confidence <= (number + 1) / bins)
            or (number == 0 and confidence == 0)
        ]
        if inside:
            total += abs(sum(r for _, r in inside) - sum(s for s, _ in inside))
    score = calibration_score(*zip(*answers, strict=True), bins=bins)
    assert sum(bin_.answers for bin_ in score.bins) == len(answers)
    # a confidence within rounding of a bound may fall on either side of it
    edges = [abs(confidence * bins - round(confidence * bins)) for confidence, _ in answers]
    if not any(0 < edge < 1e-9 for edge in edges):
        assert score.ece == pytest.approx(total / len(answers), abs=1e-9)


@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_curve_does_not_depend_on_the_order_of_the_answers(answers, random):
    before = calibration_score(*zip(*answers, strict=True))
    random.shuffle(answers)
    after = calibration_score(*zip(*answers, strict=True))
    assert after.risk == pytest.approx(before.risk)
    assert after.aurc == pytest.approx(before.aurc)
    assert after.risk[-1] == pytest.approx(1 - np.mean([right for _, right in answers]))
    assert len(after.coverage) == len(after.risk) == 20


def test_confidence_that_says_nothing_has_the_error_rate_for_an_area():
    assert calibration_score([0.5] * 8, [1, 0] * 4).aurc == pytest.approx(0.5)
    sorted_well = calibration_score(np.linspace(1, 0, 8), [1] * 4 + [0] * 4).aurc
    sorted_badly = calibration_score(np.linspace(0, 1, 8), [1] * 4 + [0] * 4).aurc
    assert sorted_well < 0.25
    assert sorted_badly > 0.75


@pytest.mark.parametrize(
    ("confidence", "right"), [([], []), ([0.5], []), ([1.5], [1]), ([0.5], [30]), ([np.nan], [1])]
)
def test_what_says_nothing_is_refused(confidence, right):
    with pytest.raises(BadData):
        calibration_score(confidence, right)
