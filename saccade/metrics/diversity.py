"""Diversity of captions, which BLEU does not see: does a captioner repeat a few safe sentences?

These numbers have no best value; compare them with those of the human captions. Source of the
distinct n-grams: Li et al. 2016 (distinct-n); of the novel captions: Devlin et al. 2015.
"""

from collections.abc import Iterable, Sequence

from saccade.core.errors import BadData
from saccade.metrics.bleu import Sentence, ngram_counts
from saccade.metrics.catalogue import Result


def diversity(
    predictions: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]] = (),
    *,
    training: Iterable[Sentence],
) -> dict[str, Result]:
    """Diversity of tokenized captions, beside the (equally tokenized) training captions.

    By their names in `METRICS`: distinct_n, the different n-grams as a share of all n-grams, 0
    where there are none; the different captions, and those that are no training caption, as
    shares of all; words per caption; different words used, and those among the training captions'
    as a share of the training captions' different words. Shares of n-grams fall with the number of
    captions, so compare sets of equal size. Raises BadData when there are no captions.
    """
    del references  # a caption is as varied whatever people wrote of the image
    if not predictions:
        raise BadData("there are no captions to measure", hint="Check the split's name.")
    captions = [tuple(words) for words in predictions]
    known = {tuple(words) for words in training}
    vocabulary = {word for words in known for word in words}
    grams = [ngram_counts(words, 4) for words in captions]
    values: dict[str, float] = {}
    for n in range(1, 5):
        total = sum(counts[n - 1].total() for counts in grams)
        different = len(set().union(*(counts[n - 1] for counts in grams)))
        values[f"distinct_{n}"] = different / total if total else 0.0
    used = {word for words in captions for word in words}
    values |= {
        "distinct_captions": len(set(captions)) / len(captions),
        "novel_captions": sum(words not in known for words in captions) / len(captions),
        "caption_length": sum(map(len, captions)) / len(captions),
        "words_used": len(used),
        "vocabulary_used": len(used & vocabulary) / len(vocabulary) if vocabulary else 0.0,
    }
    return {name: Result(value) for name, value in values.items()}
