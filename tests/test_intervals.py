"""Intervals and paired tests: against plain loops, and by whether they keep what they promise."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.metrics.bleu import bleu_of_rows, corpus_bleu
from saccade.metrics.intervals import Statistic, by_image, compare, intervals, mean


def of_questions(images, scores):
    """Mean accuracy of questions, asked about images."""
    each = np.column_stack([np.asarray(scores, float), np.ones(len(scores))])
    return Statistic(by_image(np.asarray(images), each), mean)


def test_questions_are_added_up_by_image():
    sums = by_image(np.array([9, 3, 9]), np.array([[1.0, 1], [5, 1], [3, 1]]))
    assert sums.tolist() == [[5, 1], [4, 2]]
    assert of_questions([9, 3, 9], [1, 5, 3]).whole() == pytest.approx(3)


def test_an_interval_is_made_of_scores_of_drawn_images():
    """Against a loop that draws images with the same random numbers and scores them anew."""
    random = np.random.default_rng(5)
    images = np.repeat(np.arange(30), random.integers(1, 5, 30))
    scores = random.random(len(images))
    [(low, high)] = intervals([of_questions(images, scores)], resamples=200, seed=3)
    drawn, means = np.random.default_rng(3).integers(30, size=(200, 30)), []
    for row in drawn:
        told = np.concatenate([scores[images == image] for image in row])
        means.append(told.mean())
    assert [low, high] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist())


def test_bleu_is_made_anew_for_every_drawing():
    random = np.random.default_rng(0)
    said = [[str(w) for w in random.integers(0, 4, random.integers(3, 9))] for _ in range(20)]
    human = [[[str(w) for w in random.integers(0, 4, 6)] for _ in range(3)] for _ in range(20)]
    statistic = Statistic(
        corpus_bleu(said, human).sums.astype(float), lambda sums: bleu_of_rows(sums)[..., 3]
    )
    assert statistic.whole() == pytest.approx(corpus_bleu(said, human).corpus[3])
    rows = np.random.default_rng(1).integers(20, size=(60, 20))
    wanted = [corpus_bleu([said[i] for i in r], [human[i] for i in r]).corpus[3] for r in rows]
    ends = np.percentile(wanted, [2.5, 97.5]).tolist()
    assert intervals([statistic], resamples=60, seed=1) == [pytest.approx(tuple(ends))]


@pytest.mark.parametrize("images", [2, 7, 50])
def test_many_images_are_drawn_in_several_goes(images, monkeypatch):
    """Whatever fits into memory at a time, every resample has its own images."""
    statistic = of_questions(range(images), np.random.default_rng(0).random(images))
    (whole,) = intervals([statistic], resamples=31)
    monkeypatch.setattr("saccade.metrics.intervals._AT_ONCE", 3 * images)
    assert intervals([statistic], resamples=31) == [pytest.approx(whole)]


def world(random, images=60, asked=4, shift=0.0):
    """Questions of one image are right together: how right an image is, is drawn first."""
    hard = random.beta(1.0, 1.0, images)
    right = random.random((images, asked)) < np.clip(hard[:, None] + shift, 0, 1)
    return np.repeat(np.arange(images), asked), right.ravel().astype(float)


def test_the_truth_lies_inside_as_often_as_promised_and_would_not_by_questions():
    random = np.random.default_rng(11)
    inside = by_question = 0
    for _ in range(400):
        images, right = world(random)
        [(low, high)] = intervals([of_questions(images, right)], resamples=300)
        inside += low <= 0.5 <= high
        [(low, high)] = intervals([of_questions(range(len(right)), right)], resamples=300)
        by_question += low <= 0.5 <= high
    assert 0.91 <= inside / 400 <= 0.98
    assert by_question / 400 < 0.90, "questions of one image are no independent witnesses"


def test_runs_that_differ_by_luck_alone_are_seldom_called_different():
    random = np.random.default_rng(2)
    different = np.zeros(3)
    for _ in range(300):
        hard = random.random((60, 1))
        images = np.repeat(np.arange(60), 3)
        one, other = ((random.random((60, 3)) < hard).ravel() for _ in "ab")
        found = compare(of_questions(images, one), of_questions(images, other), resamples=300)
        outside = not found.low <= 0 <= found.high
        different += [found.p_permutation < 0.05, found.p_bootstrap < 0.05, outside]
    assert (different / 300 <= 0.085).all()
    assert (different / 300 >= 0.015).all()


def test_a_difference_that_is_there_is_found():
    random = np.random.default_rng(3)
    images = np.repeat(np.arange(300), 3)
    hard = random.random((300, 1))
    worse = (random.random((300, 3)) < 0.7 * hard).ravel()
    better = (random.random((300, 3)) < hard).ravel()
    found = compare(of_questions(images, better), of_questions(images, worse))
    assert found.difference == pytest.approx(better.mean() - worse.mean())
    assert 0 < found.low < found.difference < found.high
    assert max(found.p_permutation, found.p_bootstrap) < 0.001
    back = compare(of_questions(images, worse), of_questions(images, better))
    assert [back.difference, back.low, back.high] == pytest.approx(
        [-found.difference, -found.high, -found.low]
    )
    assert back.p_permutation == found.p_permutation


def test_permutation_against_all_exchanges():
    """With seven images there are 128 ways to exchange; the random ones must agree with them."""
    random = np.random.default_rng(8)
    one, other = random.random(7), random.random(7) + 0.2
    gap = one - other
    all_of_them = [abs(np.mean(gap * signs)) for signs in itertools.product([1, -1], repeat=7)]
    exact = np.mean(np.array(all_of_them) >= abs(gap.mean()) - 1e-12)
    found = compare(of_questions(range(7), one), of_questions(range(7), other), resamples=20_000)
    assert found.p_permutation == pytest.approx(exact, abs=0.015)
    assert found.images == 7


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_a_run_is_not_different_from_itself(scores):
    run = of_questions(range(len(scores)), scores)
    found = compare(run, run, resamples=50)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.p_permutation == found.p_bootstrap == 1
    [(low, high)] = intervals([run], resamples=50)
    assert min(scores) - 1e-9 <= low <= high <= max(scores) + 1e-9


def test_what_cannot_be_told_is_refused():
    one, two, three = (of_questions(range(n), np.ones(n)) for n in (1, 2, 3))
    with pytest.raises(BadData, match="1 images are too few"):
        intervals([one])
    with pytest.raises(BadData, match="on 2 images, the other on 3"):
        compare(two, three)
    nowhere = Statistic(np.array([[0.0, 0], [1, 1], [1, 1]]), mean)  # a type few images have
    assert intervals([nowhere], resamples=200) == [(1, 1)]
