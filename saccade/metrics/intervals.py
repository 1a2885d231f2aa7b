"""How far a score would move with other images, and whether two runs differ by more than luck.

The unit is the image: its questions or captions are drawn together, because they are right and
wrong together. A score is given as sums over images and a function of the sums, so that a corpus
score (BLEU) is made anew for every drawing; CIDEr keeps the rarities of the whole split.
Source: Efron & Tibshirani 1993, chapters 13 (percentiles) and 16; Koehn 2004 (paired bootstrap);
Noreen 1989 (approximate randomisation).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData

Floats = NDArray[np.float64]
RESAMPLES = 2000
_AT_ONCE = 2**22
"""Images drawn in one go, whatever the number of resamples: bounds the memory."""


class Statistic(NamedTuple):
    """A score of a set of images, made from sums over them."""

    sums: Floats
    """(I, S): what each image adds."""
    score: Callable[[Floats], Floats]
    """From sums (..., S) to scores (...). A score that has nothing to stand on is NaN."""

    def whole(self) -> float:
        """The score of all images together."""
        return float(self.score(self.sums.sum(axis=0)))


class Difference(NamedTuple):
    """How much better a first run is than a second one on the same images."""

    difference: float
    low: float
    high: float
    """The 95 % interval of the difference by the paired bootstrap."""
    p_bootstrap: float
    """Twice the share of resamples on the other side of zero."""
    p_permutation: float
    """Share of random exchanges of the two runs, image by image, that make as large a
    difference: if the runs were alike, who said what would not matter."""
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


def interval(
    statistic: Statistic, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Where the score of other images of the same kind would lie, by the percentile bootstrap.

    Raises BadData for fewer than two images: one alone says nothing about others.
    """
    _check(statistic)
    return _percentiles(_resampled([statistic], resamples, seed)[0], level)


def compare(
    first: Statistic,
    second: Statistic,
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two runs, whose statistics have the same images in the same order.

    Raises BadData where they have not, or for fewer than two images.
    """
    _check(first)
    if len(first.sums) != len(second.sums):
        raise BadData(
            f"one run was judged on {len(first.sums)} images, the other on {len(second.sums)}",
            hint="Evaluate both on the same split of the same data.",
        )
    drawn = np.subtract(*_resampled([first, second], resamples, seed))
    low, high = _percentiles(drawn, level)
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    found = first.whole() - second.whole()
    exchanged = _exchanged(first, second, resamples, seed)
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


def _check(statistic: Statistic) -> None:
    if len(statistic.sums) < 2:
        raise BadData(
            f"{len(statistic.sums)} images are too few to say how sure a score is",
            hint="Judge a split with at least two images.",
        )


def _chunks(resamples: int, images: int) -> Iterator[int]:
    """How many resamples to make at a time."""
    at_once = max(1, _AT_ONCE // images)
    for begin in range(0, resamples, at_once):
        yield min(at_once, resamples - begin)


def _resampled(statistics: list[Statistic], resamples: int, seed: int) -> Floats:
    """Scores of every statistic on the same drawings of images with replacement: (n, resamples).

    Only how often each image was drawn matters, so a drawing is a row of counts.
    """
    random = np.random.default_rng(seed)
    images = len(statistics[0].sums)
    scores: list[list[Floats]] = [[] for _ in statistics]
    for number in _chunks(resamples, images):
        drawn = random.integers(images, size=(number, images))
        drawn += np.arange(number)[:, None] * images
        counts = np.bincount(drawn.ravel(), minlength=number * images).astype(np.float64)
        for statistic, found in zip(statistics, scores, strict=True):
            found.append(statistic.score(counts.reshape(number, images) @ statistic.sums))
    return np.stack([np.concatenate(found) for found in scores])


def _exchanged(first: Statistic, second: Statistic, rounds: int, seed: int) -> Floats:
    """Differences after each image changes sides or stays, by the toss of a coin: (rounds,)."""
    random = np.random.default_rng(seed)
    gap = second.sums - first.sums
    mine, theirs = first.sums.sum(axis=0), second.sums.sum(axis=0)
    found = []
    for number in _chunks(rounds, len(gap)):
        moved = random.integers(2, size=(number, len(gap))).astype(np.float64) @ gap
        found.append(first.score(mine + moved) - second.score(theirs - moved))
    return np.concatenate(found)


def _percentiles(scores: Floats, level: float) -> tuple[float, float]:
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(scores, [tail, 100 - tail]).tolist()
    return low, high
