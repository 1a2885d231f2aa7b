"""CIDEr: does the caption use the rare words that people use for this picture?

N-grams weigh more the fewer pictures they occur with (tf-idf), and caption and reference are
compared by the cosine of their weights, for n = 1 to 4. What COCO calls "CIDEr" is CIDEr-D, which
clips repeated n-grams and punishes a different length. Range 0..10, above 1 for good captions.
Source: Vedantam et al. 2015; tylin/coco-caption and ruotianluo/cider, oddities included: counts
are not divided by length, a sentence's length is its number of bigrams, and a corpus of one
picture scores 0, because there no n-gram is rarer than another.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, log, sqrt
from typing import Literal, NamedTuple

from saccade.core.errors import BadData
from saccade.metrics.ngrams import NGram, Sentence, check_captions, ngram_counts

_LONGEST = 4
_SIGMA_SQUARED = 6.0**2
_SCALE = 10.0


class CiderScore(NamedTuple):
    """CIDEr in 0..10; the corpus score is the mean over pictures."""

    corpus: float
    per_image: list[float]


class DocumentFrequencies(NamedTuple):
    """With how many pictures each n-gram occurs, in some corpus of references."""

    pictures: int
    having: Counter[NGram]


class _Weights(NamedTuple):
    """A sentence as tf-idf weights; items n - 1 belong to the n-grams."""

    of: list[dict[NGram, float]]
    norm: list[float]
    length: int


def document_frequencies(references: Iterable[Sequence[Sentence]]) -> DocumentFrequencies:
    """Count, for every n-gram, the pictures whose references contain it."""
    having: Counter[NGram] = Counter()
    pictures = 0
    for pictures, sentences in enumerate(references, start=1):  # noqa: B007 (the last number stays)
        having.update({g for s in sentences for of in ngram_counts(s, _LONGEST) for g in of})
    return DocumentFrequencies(pictures, having)


def corpus_cider(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    variant: Literal["cider-d", "cider"] = "cider-d",
    frequencies: DocumentFrequencies | None = None,
) -> CiderScore:
    """Score one tokenised caption per picture against all of that picture's references.

    Rarity is judged on `references` themselves, as officially, unless `frequencies` of another
    corpus are given; so scores of different sets of pictures cannot be compared otherwise.
    Raises BadData when the two do not match in number or a picture has no reference.
    """
    check_captions(hypotheses, references)
    known = frequencies or document_frequencies(references)
    if known.pictures < 1:
        raise BadData("document frequencies of no pictures say nothing", cure="Count a corpus.")
    similarity = _similarity_d if variant == "cider-d" else _similarity
    scores = []
    for hypothesis, sentences in zip(hypotheses, references, strict=True):
        said = _weights(hypothesis, known)
        total = sum(similarity(said, _weights(sentence, known)) for sentence in sentences)
        scores.append(_SCALE * total / len(sentences))
    return CiderScore(sum(scores) / len(scores), scores)


def _weights(sentence: Sentence, known: DocumentFrequencies) -> _Weights:
    most, having = log(known.pictures), known.having
    of = [
        {gram: count * (most - log(having.get(gram, 0) or 1)) for gram, count in counts.items()}
        for counts in ngram_counts(sentence, _LONGEST)
    ]
    norm = [sqrt(sum(weight * weight for weight in weights.values())) for weights in of]
    return _Weights(of, norm, length=max(len(sentence) - 1, 0))


def _similarity(said: _Weights, human: _Weights) -> float:
    """Mean over n of the cosine of the n-gram weights."""
    total = 0.0
    for mine, theirs, norm in zip(said.of, human.of, _products(said, human), strict=True):
        if norm:
            total += sum(w * theirs.get(gram, 0.0) for gram, w in mine.items()) / norm
    return total / _LONGEST


def _similarity_d(said: _Weights, human: _Weights) -> float:
    """The same with weights clipped to the reference's, times a Gaussian of the lengths."""
    total = 0.0
    for mine, theirs, norm in zip(said.of, human.of, _products(said, human), strict=True):
        if norm:
            shared = ((w, theirs[gram]) for gram, w in mine.items() if gram in theirs)
            total += sum(min(w, other) * other for w, other in shared) / norm
    return total / _LONGEST * exp(-((said.length - human.length) ** 2) / (2 * _SIGMA_SQUARED))


def _products(said: _Weights, human: _Weights) -> list[float]:
    return [mine * theirs for mine, theirs in zip(said.norm, human.norm, strict=True)]
