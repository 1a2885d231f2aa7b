"""Whether attention lands in a box: numbers that can be worked out by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saccade.evaluation.attention_grounding import in_boxes, in_outlines, shares_inside
from saccade.features.store import grid_boxes


def agreement(weights, regions, boxes):
    return shares_inside(weights, regions, partial(in_boxes, boxes))


def test_by_hand():
    """Four cells; the box is the left half and so covers two of them whole."""
    weights = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    box = np.array([[0, 0, 0.5, 1]], np.float32)
    landed, chance, inside, even, middle = agreement(weights, grid_boxes(2, 2), box)
    assert (landed, chance, even) == (0.0, 0.5, 0.5)
    assert middle == 0, "a box is half-open: its right edge at 0.5 does not hold the middle"
    assert inside == pytest.approx(0.1 + 0.3)
    landed, *_ = agreement(weights[::-1].copy(), grid_boxes(2, 2), box)
    assert landed == 1.0


def test_a_box_within_a_cell_but_off_its_centre_is_missed():
    weights = np.array([1, 0, 0, 0], np.float32)
    box = np.array([[0, 0, 0.125, 0.125]], np.float32)
    landed, _, inside, even, _ = agreement(weights, grid_boxes(2, 2), box)
    assert landed == 0.0
    assert inside == pytest.approx(1 / 16)
    assert even == pytest.approx(1 / 64)


@given(
    arrays(np.float32, 16, elements=st.floats(0, 1, width=32)).filter(lambda w: w.sum() > 0.1),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=3),
)
def test_shares_are_shares_and_boxes_that_overlap_count_once(weights, corners):
    weights = weights / weights.sum()
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    once = agreement(weights, grid_boxes(4, 4), np.asarray(boxes, np.float32))
    twice = agreement(weights, grid_boxes(4, 4), np.asarray(boxes * 2, np.float32))
    assert once == twice
    assert all(-1e-6 <= share <= 1 + 1e-6 for share in once)


def test_regions_of_equal_weight_count_alike_wherever_they_stand():
    box = np.array([[0, 0, 0.5, 0.5]], np.float32)
    weights = np.array([0.4, 0.1, 0.1, 0.4], np.float32)
    for some in (weights, weights[::-1].copy()):
        assert agreement(some, grid_boxes(2, 2), box)[0] == 0.5


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=1, max_size=20))
def test_a_box_as_an_outline_holds_the_same_points(points):
    x, y = np.array(points).T
    box = 0.2, 0.1, 0.7, 0.6
    corners = np.array([(0.2, 0.1), (0.7, 0.1), (0.7, 0.6), (0.2, 0.6)])
    assert (in_boxes(np.array([box]), x, y) == in_outlines([corners], x, y)).all()
