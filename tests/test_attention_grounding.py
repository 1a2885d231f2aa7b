"""Whether attention lands in a box: numbers that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saccade.evaluation.attention_grounding import _agreement
from saccade.features.store import grid_boxes


def test_by_hand():
    """Four cells; the box is the left half and so covers two of them whole."""
    weights = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    box = np.array([[0, 0, 0.5, 1]], np.float32)
    landed, chance, inside, even = _agreement(weights, grid_boxes(2, 2), box)
    assert (landed, chance, even) == (0.0, 0.5, 0.5)
    assert inside == pytest.approx(0.1 + 0.3)
    landed, *_ = _agreement(weights[::-1].copy(), grid_boxes(2, 2), box)
    assert landed == 1.0


def test_a_box_within_a_cell_but_off_its_centre_is_missed():
    weights = np.array([1, 0, 0, 0], np.float32)
    box = np.array([[0, 0, 0.125, 0.125]], np.float32)
    landed, _, inside, even = _agreement(weights, grid_boxes(2, 2), box)
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
    once = _agreement(weights, grid_boxes(4, 4), np.asarray(boxes, np.float32))
    twice = _agreement(weights, grid_boxes(4, 4), np.asarray(boxes * 2, np.float32))
    assert once == twice
    assert all(-1e-6 <= share <= 1 + 1e-6 for share in once)
