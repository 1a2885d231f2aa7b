"""BLEU-1 to BLEU-4, the shares of n-grams that a human wrote too, and the counting of n-grams.

Exactly as the COCO caption evaluation computes it (its tiny constants included), over tokenized
captions. Source: Papineni et al. 2002; tylin/coco-caption `bleu_scorer.py`.
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
from saccade.metrics.catalogue import Result

Sentence = Sequence[str]
References = Sequence[Sequence[Sentence]]
"""The human captions of each image."""
NGram = tuple[str, ...]


def ngram_counts(words: Sentence, max_n: int) -> list[Counter[NGram]]:
    """Count the n-grams of a sentence; item n - 1 of the result holds those of n words."""
    return [
        Counter(zip(*(words[start:] for start in range(n)), strict=False))
        for n in range(1, max_n + 1)
    ]


def check_captions(hypotheses: Sequence[Sentence], references: References) -> None:
    """Raise BadData unless every hypothesis has its references, and there is one at all."""
    if len(hypotheses) != len(references):
        message = f"{len(hypotheses)} captions for {len(references)} images"
        raise BadData(message, hint="Give exactly one caption for each image, in the same order.")
    if not hypotheses:
        raise BadData("there are no captions to score", hint="Check the split's name.")
    for place, sentences in enumerate(references):
        if not sentences:
            message = f"image number {place} has no reference captions"
            raise BadData(message, hint="Leave images without human captions out of the scoring.")


_TINY, _SMALL = 1e-15, 1e-9


class BleuScore(NamedTuple):
    """BLEU-1 to BLEU-n in 0..1, of the corpus and of each image.

    The corpus score is not a mean: matches and lengths are summed over the images first.
    """

    corpus: tuple[float, ...]
    per_image: list[tuple[float, ...]]
    sums: NDArray[np.int64]
    """(I, 2n + 2): the `bleu_sums` of each image."""


def bleu(predictions: Sequence[Sentence], references: References) -> dict[str, Result]:
    """BLEU-1 to BLEU-4 of one tokenized caption per image, by their names in `METRICS`."""
    score = corpus_bleu(predictions, references)
    found = {}
    for n, value in enumerate(score.corpus, start=1):
        # Counts of 1..n words suffice, so that each score's sums can be read without the others.
        sums = np.hstack([score.sums[:, :n], score.sums[:, 4 : 4 + n], score.sums[:, -2:]])
        per_image = [image[n - 1] for image in score.per_image]
        found[f"bleu_{n}"] = Result(value, per_image, sums.tolist())
    return found


def corpus_bleu(hypotheses: Sequence[Sentence], references: References, n: int = 4) -> BleuScore:
    """Score one tokenized caption per image against all of that image's references.

    Raises BadData when the two do not match in number or an image has no reference.
    """
    check_captions(hypotheses, references)
    pairs = zip(hypotheses, references, strict=True)
    sums = np.array([bleu_sums(caption, human, n) for caption, human in pairs], np.int64)
    rows = bleu_of_rows(np.vstack([sums.sum(axis=0), sums])).tolist()
    return BleuScore(tuple(rows[0]), [tuple(row) for row in rows[1:]], sums)


def bleu_sums(hypothesis: Sentence, references: Sequence[Sentence], n: int = 4) -> list[int]:
    """The 2n + 2 counts that BLEU is made from; those of a corpus are the sums over its images.

    For each order the n-grams that a reference has too, each counted at most as often as there;
    for each order the n-grams of the hypothesis; its words; the words of the closest reference.
    """
    human = [ngram_counts(reference, n) for reference in references]
    correct = [
        sum(min(count, max(of[order].get(gram, 0) for of in human)) for gram, count in own.items())
        for order, own in enumerate(ngram_counts(hypothesis, n))
    ]
    length = len(hypothesis)
    possible = [max(0, length - order) for order in range(n)]
    return [*correct, *possible, length, closest_length(length, references)]


def closest_length(length: int, references: Sequence[Sentence]) -> int:
    """Words of the reference whose length is most similar; the shorter one of two."""
    return min((abs(len(reference) - length), len(reference)) for reference in references)[1]


def bleu_of_rows(sums: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-n `(..., n)` of many corpora, from their sums `(..., 2n + 2)`.

    Geometric means of the precisions, times the brevity penalty.
    """
    n = sums.shape[-1] // 2 - 1
    correct, possible = sums[..., :n] + _TINY, sums[..., n : 2 * n] + _SMALL
    ratio = (sums[..., -2:-1] + _TINY) / (sums[..., -1:] + _SMALL)
    brevity = np.exp(1 - 1 / np.minimum(ratio, 1))
    means = np.cumprod(correct / possible, axis=-1) ** (1 / np.arange(1, n + 1))
    scores: NDArray[np.float64] = means * brevity
    return scores


def bleu_of_sums(sums: NDArray[np.floating]) -> NDArray[np.float64]:
    """BLEU-n alone, (...), of sums `(..., 2n + 2)`."""
    return bleu_of_rows(sums)[..., -1]
