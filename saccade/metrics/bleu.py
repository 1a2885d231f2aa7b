"""BLEU, the bilingual evaluation understudy: which share of n-grams did a human write too?

Exactly as the COCO caption evaluation computes it (its tiny constants included), over words that
are already cut. Source: Papineni et al. 2002; tylin/coco-caption `bleu_scorer.py`.
nltk's `corpus_bleu` differs where a hypothesis has fewer than n words (it counts such a sentence
as having one n-gram, COCO as having none) or where no n-gram of an order matches (about 1e-103
there, about 1e-6 here); on ordinary corpora the two agree to about 1e-11.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData

# Counting runs of words, which BLEU, CIDEr and diversity all rest on.

Sentence = Sequence[str]
NGram = tuple[str, ...]


def ngram_counts(words: Sentence, longest: int) -> list[Counter[NGram]]:
    """Count the n-grams of a sentence; item n - 1 of the result holds those of n words."""
    return [
        Counter(zip(*(words[start:] for start in range(n)), strict=False))
        for n in range(1, longest + 1)
    ]


def check_captions(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]]
) -> None:
    """Raise BadData unless every hypothesis has its references, and there is one at all."""
    if len(hypotheses) != len(references):
        raise BadData(
            f"{len(hypotheses)} captions were said about {len(references)} images",
            hint="Give exactly one caption for each image, in the same order.",
        )
    if not hypotheses:
        raise BadData("there are no captions to score", hint="Check the split's name.")
    for place, sentences in enumerate(references):
        if not sentences:
            raise BadData(
                f"image number {place} has no reference captions",
                hint="Leave images without human captions out of the scoring.",
            )


_TINY, _SMALL = 1e-15, 1e-9


class BleuScore(NamedTuple):
    """BLEU-1 to BLEU-n in 0..1, of the corpus and of each image.

    The corpus score is not a mean: matches and lengths are summed over the images first.
    """

    corpus: tuple[float, ...]
    per_image: list[tuple[float, ...]]
    sums: NDArray[np.int64]
    """(I, 2n + 2): the `BleuSums` of each image as one row."""


class BleuSums(NamedTuple):
    """What BLEU is made from. Sums of several images are the sums of their corpus."""

    correct: tuple[int, ...]
    """Per n: n-grams that a reference has too, each counted at most as often as there."""
    possible: tuple[int, ...]
    """Per n: n-grams in the hypothesis."""
    length: int
    reference_length: int
    """Words of the reference of most similar length; the shorter one of two equally similar."""


def corpus_bleu(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]], n: int = 4
) -> BleuScore:
    """Score one tokenised caption per image against all of that image's references.

    Raises BadData when the two do not match in number or an image has no reference.
    """
    check_captions(hypotheses, references)
    sums = np.array(
        [
            (*of.correct, *of.possible, of.length, of.reference_length)
            for said, human in zip(hypotheses, references, strict=True)
            for of in [bleu_sums(said, human, n)]
        ],
        np.int64,
    )
    rows = bleu_of_rows(np.vstack([sums.sum(axis=0), sums])).tolist()
    return BleuScore(tuple(rows[0]), [tuple(row) for row in rows[1:]], sums)


def bleu_sums(hypothesis: Sentence, references: Sequence[Sentence], n: int = 4) -> BleuSums:
    """Compare one caption with an image's references."""
    human = [ngram_counts(reference, n) for reference in references]
    correct = [
        sum(min(count, max(of[order].get(gram, 0) for of in human)) for gram, count in said.items())
        for order, said in enumerate(ngram_counts(hypothesis, n))
    ]
    length = len(hypothesis)
    possible = tuple(max(0, length - order) for order in range(n))
    return BleuSums(tuple(correct), possible, length, closest_length(length, references))


def closest_length(length: int, references: Sequence[Sentence]) -> int:
    """Words of the reference whose length is most similar; the shorter one of two."""
    return min((abs(len(reference) - length), len(reference)) for reference in references)[1]


def bleu_of(sums: BleuSums) -> tuple[float, ...]:
    """Turn sums into BLEU-1 to BLEU-n: geometric means of precisions, times brevity penalty."""
    row = (*sums.correct, *sums.possible, sums.length, sums.reference_length)
    return tuple(bleu_of_rows(np.array(row)).tolist())


def bleu_of_rows(sums: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
    """The same for many corpora at once: sums `(..., 2n + 2)` as rows, BLEU `(..., n)`."""
    n = sums.shape[-1] // 2 - 1
    correct, possible = sums[..., :n] + _TINY, sums[..., n : 2 * n] + _SMALL
    ratio = (sums[..., -2:-1] + _TINY) / (sums[..., -1:] + _SMALL)
    brevity = np.exp(1 - 1 / np.minimum(ratio, 1))
    means = np.cumprod(correct / possible, axis=-1) ** (1 / np.arange(1, n + 1))
    scores: NDArray[np.float64] = means * brevity
    return scores
