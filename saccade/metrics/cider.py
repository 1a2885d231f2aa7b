"""CIDEr, the tf-idf weighted agreement of a caption's n-grams with an image's references.

N-grams weigh more the fewer images they occur with (tf-idf), and caption and reference are
compared by the cosine of their weights, for n = 1 to 4. What COCO calls "CIDEr" is CIDEr-D, which
clips repeated n-grams and punishes a different length. Range 0..10, above 1 for good captions.
Source: Vedantam et al. 2015; tylin/coco-caption and ruotianluo/cider, oddities included: counts
are not divided by length, a sentence's length is its number of bigrams, and a corpus of one
image scores 0, because there no n-gram is rarer than another.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, log, sqrt
from typing import Literal, NamedTuple, Self

import numpy as np

from saccade.core.errors import BadData
from saccade.metrics.bleu import NGram, Sentence, check_captions, ngram_counts
from saccade.metrics.catalogue import Result

_MAX_N = 4
_SIGMA_SQUARED = 6.0**2
_SCALE = 10.0


class DocumentFrequencies(NamedTuple):
    """With how many images each n-gram occurs, in some corpus of references."""

    images: int
    having: Counter[NGram]


class _Weights(NamedTuple):
    """A sentence as tf-idf weights; items n - 1 belong to the n-grams."""

    of: list[dict[NGram, float]]
    norm: list[float]
    length: int


def document_frequencies(references: Iterable[Sequence[Sentence]]) -> DocumentFrequencies:
    """Count, for every n-gram, the images whose references contain it."""
    having: Counter[NGram] = Counter()
    images = 0
    for images, sentences in enumerate(references, start=1):  # noqa: B007 (the last number stays)
        having.update({g for s in sentences for of in ngram_counts(s, _MAX_N) for g in of})
    return DocumentFrequencies(images, having)


def corpus_cider(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    variant: Literal["cider-d", "cider"] = "cider-d",
    frequencies: DocumentFrequencies | None = None,
) -> Result:
    """CIDEr in 0..10 of one tokenized caption per image; the corpus score is the mean over images.

    Rarity is counted on `references` themselves, as officially, unless `frequencies` of another
    corpus are given; so scores of different sets of images cannot be compared otherwise.
    Raises BadData when the two do not match in number or an image has no reference.
    """
    check_captions(hypotheses, references)
    known = frequencies or document_frequencies(references)
    if known.images < 1:
        raise BadData("document frequencies of no images", hint="Count a corpus.")
    scores, clipped = list[float](), variant == "cider-d"
    for hypothesis, sentences in zip(hypotheses, references, strict=True):
        own = _weights(hypothesis, known)
        total = sum(_similarity(own, _weights(sentence, known), clipped) for sentence in sentences)
        scores.append(_SCALE * total / len(sentences))
    return Result(sum(scores) / len(scores), scores)


def _weights(sentence: Sentence, known: DocumentFrequencies) -> _Weights:
    most, having = log(known.images), known.having
    of = [
        {gram: count * (most - log(having.get(gram, 0) or 1)) for gram, count in counts.items()}
        for counts in ngram_counts(sentence, _MAX_N)
    ]
    norm = [sqrt(sum(weight * weight for weight in weights.values())) for weights in of]
    return _Weights(of, norm, length=max(len(sentence) - 1, 0))


def _similarity(own: _Weights, human: _Weights, clipped: bool) -> float:
    """Mean over n of the cosine of the n-gram weights.

    `clipped` to the reference's weights, and times a Gaussian of the lengths, for CIDEr-D.
    """
    total = 0.0
    for mine, theirs, norm, other in zip(own.of, human.of, own.norm, human.norm, strict=True):
        shared = [(w, theirs[gram]) for gram, w in mine.items() if gram in theirs]
        if clipped:
            shared = [(min(w, o), o) for w, o in shared]
        if norm * other:
            total += sum(w * o for w, o in shared) / (norm * other)
    apart = own.length - human.length if clipped else 0
    return total / _MAX_N * exp(-(apart**2) / (2 * _SIGMA_SQUARED))


# CIDEr-D of captions given as word ids, many at once: the reward of self-critical training.


class Sentences(NamedTuple):
    """Sentences of word ids behind each other, and the image that each is about."""

    words: np.ndarray  # (N,) int64
    length: np.ndarray  # (S,) int64, sums to N
    image: np.ndarray  # (S,) int64

    @classmethod
    def of(cls, padded: np.ndarray, length: np.ndarray, image: np.ndarray) -> Self:
        """Lay the rows of a rectangle `(S, T)` behind each other, without what pads them."""
        return cls(padded[np.arange(padded.shape[1]) < length[:, None]], length, image)

    @classmethod
    def joined(cls, *some: "Sentences") -> Self:
        """All sentences of some collections, one collection behind the other."""
        return cls(*(np.concatenate(parts) for parts in zip(*some, strict=True)))


class CiderOfIds(NamedTuple):
    """The n-grams of a corpus; item n - 1 belongs to those of n words, and there are G of them."""

    images: int
    vocabulary: int
    keys: list[np.ndarray]  # (G,) int64, rising; an n-gram's number is its place
    having: list[np.ndarray]  # (G,) with how many images it occurs

    @classmethod
    def of(cls, corpus: Sentences, vocabulary: int) -> Self:
        """Count the n-grams of a corpus, whose words are below `vocabulary`."""
        images, image = np.unique(corpus.image, return_inverse=True)
        keys, having = [], []
        numbers = np.zeros(len(corpus.words), np.int64)  # of the beginnings, one word shorter
        for start, last, sentence in _places(corpus):
            longer = numbers[start] * vocabulary + corpus.words[last]
            own, numbers[start] = np.unique(longer, return_inverse=True)
            together = np.sort(image[sentence] * np.int64(len(own)) + numbers[start])
            together = together[np.diff(together, prepend=-1) > 0]  # as np.unique, 10 times as fast
            keys.append(own)
            having.append(np.bincount(together % max(len(own), 1), minlength=len(own)))
        return cls(len(images), vocabulary, keys, having)

    def score(self, captions: Sentences, references: Sentences) -> np.ndarray:
        """CIDEr-D in 0..10 of each sentence `(S,)` against the references of the same image.

        Every image of `captions` must have a reference.
        """
        both = Sentences.joined(captions, references)
        mine, theirs = np.nonzero(captions.image[:, None] == references.image)  # (P,) each
        theirs = theirs + len(captions.length)
        total = np.zeros(len(mine))
        for sentence, gram, weight in self.weigh(both):
            norm = np.sqrt(np.bincount(sentence, weight**2, minlength=len(both.length)))
            # Each n-gram of `mine`, pair by pair, and its place among those of `theirs`.
            first = np.searchsorted(sentence, mine)
            number = np.searchsorted(sentence, mine, side="right") - first
            pair = np.repeat(np.arange(len(mine)), number)
            own = np.arange(len(pair)) - np.repeat(np.cumsum(number) - number, number) + first[pair]
            size = gram.max(initial=0) + 1
            place, same = _find(theirs[pair] * size + gram[own], sentence * size + gram)
            other = weight[place[same]]
            product = np.minimum(weight[own[same]], other) * other  # clipped to theirs
            shared = np.bincount(pair[same], product, minlength=len(mine)).astype(float)
            norms = norm[mine] * norm[theirs]
            total += np.divide(shared, norms, out=np.zeros(len(mine)), where=norms > 0)
        bigrams = np.maximum(both.length - 1, 0)
        apart = bigrams[mine] - bigrams[theirs]
        alike = total / _MAX_N * np.exp(-(apart**2) / (2 * _SIGMA_SQUARED))
        number = np.bincount(mine, minlength=len(captions.length))
        scores: np.ndarray = _SCALE * np.bincount(mine, alike, minlength=len(number)) / number
        return scores

    def weigh(self, sentences: Sentences) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For n = 1 to 4 each sentence's different n-grams, ordered by sentence and n-gram.

        The sentence, the n-gram's number and its tf-idf weight, (E,) each.
        """
        weighed = []
        numbers = np.zeros(len(sentences.words), np.int64)
        orders = zip(_places(sentences), self.keys, self.having, strict=True)
        for (start, last, sentence), known, having in orders:
            key = numbers[start] * self.vocabulary + sentences.words[last]
            place, found = _find(key, known)
            unknown, rank = np.unique(key[~found], return_inverse=True)
            place[~found] = len(known) + rank  # unknown ones are told apart, too
            numbers[start] = place
            size = len(known) + len(unknown) + 1
            code, count = np.unique(sentence * size + place, return_counts=True)
            gram = code % size
            images = np.ones(len(gram))
            images[gram < len(known)] = having[gram[gram < len(known)]]
            weighed.append((code // size, gram, count * (np.log(self.images) - np.log(images))))
        return weighed


def _places(sentences: Sentences) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For n = 1 to 4 where in `words` the n-grams start and end, and which sentence they are of."""
    sentence = np.repeat(np.arange(len(sentences.length)), sentences.length)
    behind = np.repeat(np.cumsum(sentences.length), sentences.length)  # where its sentence ends
    start = np.arange(len(sentences.words))
    places = []
    for n in range(1, _MAX_N + 1):
        whole = start[start + n <= behind]
        places.append((whole, whole + n - 1, sentence[whole]))
    return places


def _find(wanted: np.ndarray, rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where numbers stand among rising ones, and whether they do: both as many as `wanted`."""
    place = np.searchsorted(rising, wanted)
    inside = place < len(rising)
    found = inside.copy()
    found[inside] = rising[place[inside]] == wanted[inside]
    return place, found
