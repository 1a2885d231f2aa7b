"""Bootstrap intervals of a score, and paired significance tests of two runs.

The unit is the image: its questions or captions are resampled together, because they are right and
wrong together. A score is given as sums over images and a function of the sums, so that a corpus
score (BLEU) is computed for every resample; CIDEr keeps the document frequencies of the whole
split.
Source: Efron & Tibshirani 1993, chapters 13 (percentiles) and 16; Koehn 2004 (paired bootstrap);
Noreen 1989 (approximate randomisation).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData

Floats = NDArray[np.float64]
RESAMPLES = 2000
_AT_ONCE = 2**22
"""Images resampled at a time, whatever the number of resamples: bounds the memory."""


class Statistic(NamedTuple):
    """A score of a set of images, made from sums over them."""

    sums: Floats
    """(I, S): what each image adds."""
    score: Callable[[Floats], Floats]
    """From sums (..., S) to scores (...). A score of no examples is NaN."""

    def whole(self) -> float:
        """The score of all images together."""
        return float(self.score(self.sums.sum(axis=0)))


class Difference(NamedTuple):
    """The score of a first run less that of a second one, on the same images."""

    difference: float
    low: float
    high: float
    """The 95 % interval of the difference by the paired bootstrap."""
    p_bootstrap: float
    """Twice the share of resamples on the other side of zero."""
    p_permutation: float
    """Share of random exchanges of the two runs, image by image, that make as large a
    difference: under the null hypothesis it does not matter which run a prediction is of."""
    images: int


def by_image(images: NDArray[np.int64], values: Floats) -> Floats:
    """Add up rows `(n, S)` that belong to the same image `(n,)`: (I, S), ids rising."""
    _, place = np.unique(images, return_inverse=True)
    sums = np.zeros((int(place.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, place, values)
    return sums


def mean(sums: Floats) -> Floats:
    """The score of sums `(..., 2)` of values and of their number: a mean over examples."""
    with np.errstate(invalid="ignore"):
        quotient: Floats = sums[..., 0] / sums[..., 1]
    return quotient


def average(statistics: Sequence[Statistic]) -> Statistic:
    """The mean score of several runs on the same images, as a score of its own."""
    ends = np.cumsum([one.sums.shape[1] for one in statistics])[:-1]

    def score(sums: Floats) -> Floats:
        parts = zip(statistics, np.split(sums, ends, axis=-1), strict=True)
        scores: Floats = np.mean([one.score(part) for one, part in parts], axis=0)
        return scores

    return Statistic(np.concatenate([one.sums for one in statistics], axis=1), score)


def intervals(
    statistics: Sequence[Statistic], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[tuple[float, float]]:
    """Intervals of scores of the same images, over other images of the same kind.

    By the percentile bootstrap, all from the same resamples. Raises BadData for fewer than two
    images: one alone says nothing about others.
    """
    return [_percentiles(scores) for scores in _resampled(statistics, resamples, seed)]


def compare(
    first: Statistic, second: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Compare two runs, whose statistics have the same images in the same order.

    Raises BadData where the numbers of images differ, or for fewer than two images.
    """
    if len(first.sums) != len(second.sums):
        message = f"one run was scored on {len(first.sums)} images, the other on {len(second.sums)}"
        raise BadData(message, hint="Evaluate both on the same split of the same data.")
    drawn = np.subtract(*_resampled([first, second], resamples, seed))
    low, high = _percentiles(drawn)
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    found = first.whole() - second.whole()
    # Differences after the two runs are exchanged on a random half of the images.
    random, rounds = np.random.default_rng(seed), list[Floats]()
    gap = second.sums - first.sums
    mine, theirs = first.sums.sum(axis=0), second.sums.sum(axis=0)
    for number in _chunks(resamples, len(gap)):
        moved = random.integers(2, size=(number, len(gap))).astype(np.float64) @ gap
        rounds.append(first.score(mine + moved) - second.score(theirs - moved))
    exchanged = np.concatenate(rounds)
    # A difference that rounding alone tells apart from the one found is as large as it.
    as_large = (np.abs(exchanged) >= abs(found) - 1e-12).sum()
    return Difference(
        difference=found,
        low=low,
        high=high,
        p_bootstrap=min(1.0, 2 * float(1 + beyond) / (1 + resamples)),
        p_permutation=float(1 + as_large) / (1 + resamples),
        images=len(first.sums),
    )


def _chunks(resamples: int, images: int) -> Iterator[int]:
    """How many resamples to make at a time."""
    at_once = max(1, _AT_ONCE // images)
    for start in range(0, resamples, at_once):
        yield min(at_once, resamples - start)


def _resampled(statistics: Sequence[Statistic], resamples: int, seed: int) -> Floats:
    """Scores of every statistic on the same resamples with replacement: (n, resamples).

    Only how often each image was drawn matters, so a resample is a row of counts.
    """
    random = np.random.default_rng(seed)
    images = len(statistics[0].sums)
    if images < 2:
        message = f"{images} images are too few for an interval"
        raise BadData(message, hint="Score a split with at least two images.")
    scores: list[list[Floats]] = [[] for _ in statistics]
    for number in _chunks(resamples, images):
        drawn = random.integers(images, size=(number, images))
        drawn += np.arange(number)[:, None] * images
        counts = np.bincount(drawn.ravel(), minlength=number * images).astype(np.float64)
        for statistic, found in zip(statistics, scores, strict=True):
            found.append(statistic.score(counts.reshape(number, images) @ statistic.sums))
    return np.stack([np.concatenate(found) for found in scores])


def _percentiles(scores: Floats) -> tuple[float, float]:
    """The two ends between which 95 % of the scores lie."""
    tail = 50 * (1 - 0.95)
    low, high = np.nanpercentile(scores, [tail, 100 - tail]).tolist()
    return low, high
