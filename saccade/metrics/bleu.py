"""BLEU, the bilingual evaluation understudy: which share of n-grams did a human write too?

Exactly as the COCO caption evaluation computes it (its tiny constants included), over words that
are already cut. Source: Papineni et al. 2002; tylin/coco-caption `bleu_scorer.py`.
nltk's `corpus_bleu` differs where a hypothesis has fewer than n words (it counts such a sentence
as having one n-gram, COCO as having none) or where no n-gram of an order matches (about 1e-103
there, about 1e-6 here); on ordinary corpora the two agree to about 1e-11.
"""

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

from saccade.metrics.ngrams import Sentence, check_captions, ngram_counts

_TINY, _SMALL = 1e-15, 1e-9


class BleuScore(NamedTuple):
    """BLEU-1 to BLEU-n in 0..1, of the corpus and of each picture.

    The corpus score is not a mean: matches and lengths are summed over the pictures first.
    """

    corpus: tuple[float, ...]
    per_image: list[tuple[float, ...]]


class BleuSums(NamedTuple):
    """What BLEU is made from. Sums of several pictures are the sums of their corpus."""

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
    """Score one tokenised caption per picture against all of that picture's references.

    Raises BadData when the two do not match in number or a picture has no reference.
    """
    check_captions(hypotheses, references)
    sums = [bleu_sums(said, human, n) for said, human in zip(hypotheses, references, strict=True)]
    corpus = BleuSums(
        correct=tuple(map(sum, zip(*(of.correct for of in sums), strict=True))),
        possible=tuple(map(sum, zip(*(of.possible for of in sums), strict=True))),
        length=sum(of.length for of in sums),
        reference_length=sum(of.reference_length for of in sums),
    )
    return BleuScore(bleu_of(corpus), [bleu_of(of) for of in sums])


def bleu_sums(hypothesis: Sentence, references: Sequence[Sentence], n: int = 4) -> BleuSums:
    """Compare one caption with a picture's references."""
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
    ratio = (sums.length + _TINY) / (sums.reference_length + _SMALL)
    brevity = exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order, (correct, possible) in enumerate(zip(sums.correct, sums.possible, strict=True), 1):
        product *= (correct + _TINY) / (possible + _SMALL)
        scores.append(product ** (1 / order) * brevity)
    return tuple(scores)
