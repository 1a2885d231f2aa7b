"""What BLEU does not see: does the captioner say many different things, or one thing again?

Captioners earn good scores with few safe sentences. These numbers have no best value; compare
them with those of the human captions. Source of the distinct n-grams: Li et al. 2016 (distinct-n);
of the novel captions: Devlin et al. 2015.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from saccade.core.errors import BadData
from saccade.metrics.bleu import Sentence, ngram_counts


class DiversityScore(NamedTuple):
    """How varied a set of captions is."""

    distinct: tuple[float, ...]
    """Per n from 1: different n-grams as a share of all n-grams, in 0..1; 0 if there are none."""
    different: float
    """Different captions as a share of all, in 0..1."""
    novel: float
    """Captions that stand nowhere in the training captions, as a share of all, in 0..1."""
    mean_length: float
    """Words per caption."""
    words: int
    """Different words used."""
    vocabulary_used: float
    """The same as a share of the different words of the training captions, in 0..1."""


def caption_diversity(
    captions: Sequence[Sentence], training: Iterable[Sentence], *, n: int = 4
) -> DiversityScore:
    """Measure tokenised captions beside the (equally tokenised) training captions.

    Shares of n-grams fall with the number of captions, so compare sets of equal size. Raises
    BadData when there are no captions.
    """
    if not captions:
        raise BadData("there are no captions to measure", hint="Check the split's name.")
    said = [tuple(words) for words in captions]
    known: set[Sentence] = set()
    vocabulary: set[str] = set()
    for words in training:
        known.add(tuple(words))
        vocabulary.update(words)
    grams = [ngram_counts(words, n) for words in said]
    distinct = []
    for order in range(n):
        total = sum(counts[order].total() for counts in grams)
        different = len(set().union(*(counts[order] for counts in grams)))
        distinct.append(different / total if total else 0.0)
    used = {word for words in said for word in words}
    return DiversityScore(
        distinct=tuple(distinct),
        different=len(set(said)) / len(said),
        novel=sum(words not in known for words in said) / len(said),
        mean_length=sum(map(len, said)) / len(said),
        words=len(used),
        vocabulary_used=len(used & vocabulary) / len(vocabulary) if vocabulary else 0.0,
    )
