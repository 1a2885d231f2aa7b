"""Captions without a captioner: one sentence for every image, or what was said of similar ones.

A captioner that does not clearly beat the first has learnt how people write; one that does not beat
the second has learnt to remember.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData
from saccade.data.examples import Ragged
from saccade.metrics.bleu import BleuSums, NGram, Sentence, bleu_of, closest_length, ngram_counts

Words = tuple[str, ...]
_LONGEST = 4


def constant_caption(
    references: Sequence[Sequence[Sentence]], *, images: int = 2000, seed: int = 0
) -> Words:
    """Find the training caption that scores best when it is said about every training image.

    Best by corpus BLEU-4, computed exactly over (a random choice of) `images` of them;
    `references` are the captions of each training image. Raises BadData when there are none.
    """
    chosen = [sentences for sentences in references if sentences]
    if not chosen:
        raise BadData("there are no training captions", hint="Check the split's name.")
    if len(chosen) > images:
        random = np.random.default_rng(seed)
        chosen = [chosen[i] for i in random.choice(len(chosen), images, replace=False)]
    having: Counter[tuple[NGram, int]] = Counter()
    """Per n-gram and number k: images of which some caption has it at least k times."""
    for sentences in chosen:
        most: Counter[NGram] = Counter()
        for sentence in sentences:
            for counts in ngram_counts(sentence, 4):
                most |= counts
        having.update((gram, k) for gram, count in most.items() for k in range(1, count + 1))
    candidates = {tuple(sentence): None for sentences in chosen for sentence in sentences}
    closest = {
        length: sum(closest_length(length, sentences) for sentences in chosen)
        for length in set(map(len, candidates))
    }

    def score(words: Words) -> float:
        correct = (
            sum(having[gram, k] for gram, count in counts.items() for k in range(1, count + 1))
            for counts in ngram_counts(words, 4)
        )
        possible = tuple(len(chosen) * max(0, len(words) - order) for order in range(4))
        length = len(chosen) * len(words)
        return bleu_of(BleuSums(tuple(correct), possible, length, closest[len(words)]))[-1]

    return max(candidates, key=score)


def neighbour_captions(
    training_features: NDArray[np.floating],
    training_captions: Sequence[Sequence[Sentence]],
    features: NDArray[np.floating],
    *,
    neighbours: int,
) -> list[Words]:
    """Caption every image with what people agree on about the training images most like it.

    `training_features (N, D)` and `features (M, D)` are pooled features, compared by their cosine;
    `training_captions` has the captions of each of the N. Of all captions of the `neighbours`
    nearest images the one is taken whose mean CIDEr with all the others is highest: the consensus
    of Devlin et al. 2015 ("Exploring nearest neighbor approaches"), section 3, with all candidates
    in place of the best few. Plain CIDEr is the cosine of vectors, so the mean over the others is
    one product with their sum. Raises BadData when sizes do not fit together.
    """
    described = np.flatnonzero([bool(sentences) for sentences in training_captions])
    if len(training_features) != len(training_captions) or not len(described):
        raise BadData(
            f"{len(training_features)} training images have features and "
            f"{len(described)} have captions",
            hint="Give features and captions of the same images, in the same order.",
        )
    groups = [training_captions[int(place)] for place in described]
    sentences = [tuple(sentence) for sentence in chain.from_iterable(groups)]
    grams, weights = _cider_vectors(groups)
    of_image = Ragged.of([[1] * len(group) for group in groups], np.int8)  # rows: their captions
    known = _unit(np.asarray(training_features)[described])
    chosen: list[Words] = []
    for begin in range(0, len(features), 1024):
        alike = _unit(features[begin : begin + 1024]) @ known.T
        number = min(neighbours, alike.shape[1])
        nearest = np.argpartition(-alike, number - 1, axis=1)[:, :number]
        for images in nearest:
            candidates, _ = of_image.places(np.sort(images))
            chosen.append(sentences[_consensus(candidates, grams, weights)])
    return chosen


def _consensus(candidates: NDArray[np.int64], grams: Ragged, weights: NDArray[np.float64]) -> int:
    """Which of some sentences is most like the others; the first of several equally so."""
    places, begins = grams.places(candidates)
    _, number = np.unique(grams.values[places], return_inverse=True)
    weight = weights[places]
    together = np.bincount(number, weight)
    sentence = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(places)))
    with_all = np.bincount(sentence, weight * together[number], minlength=len(begins))
    with_itself = np.bincount(sentence, weight * weight, minlength=len(begins))
    return int(candidates[(with_all - with_itself).round(12).argmax()])


def _cider_vectors(groups: Sequence[Sequence[Sentence]]) -> tuple[Ragged, NDArray[np.float64]]:
    """Every sentence as n-gram numbers with weights, whose products are plain CIDEr / 10.

    Rarity is counted over the images of `groups`, whose sentences follow each other.
    """
    sentences = [sentence for group in groups for sentence in group]
    ids: dict[str, int] = {}
    words = np.array([ids.setdefault(w, len(ids)) for s in sentences for w in s], np.int64)
    length = np.array([len(sentence) for sentence in sentences])
    sentence = np.repeat(np.arange(len(sentences)), length)
    image = np.repeat(np.arange(len(groups)), [len(group) for group in groups])[sentence]
    found = [
        _weigh(sentence[last], image[last], gram, len(sentences), len(groups))
        for last, gram in _ngrams(words, sentence, len(ids))
    ]
    beside = np.cumsum([0, *(int(gram.max(initial=-1)) + 1 for _, gram, _ in found)])
    of = np.concatenate([of for of, _, _ in found])
    gram = np.concatenate(
        [gram + first for first, (_, gram, _) in zip(beside, found, strict=False)]
    )
    order = np.argsort(of, kind="stable")
    offsets = np.searchsorted(of[order], np.arange(len(sentences) + 1))
    weight = np.concatenate([weight for _, _, weight in found])[order]
    return Ragged(gram[order], offsets), weight


def _ngrams(
    words: NDArray[np.int64], sentence: NDArray[np.int64], vocabulary: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For n = 1 to 4 where n-grams end, and a number for each: equal ones have the same."""
    last, gram = np.arange(len(words)), words
    yield last, gram
    for _ in range(_LONGEST - 1):
        inside = (last + 1 < len(words)) & (
            sentence[np.minimum(last + 1, len(words) - 1)] == sentence[last]
        )
        last, gram = last[inside] + 1, gram[inside]
        _, gram = np.unique(gram * vocabulary + words[last], return_inverse=True)
        yield last, gram


def _weigh(
    sentence: NDArray[np.int64],
    image: NDArray[np.int64],
    gram: NDArray[np.int64],
    sentences: int,
    images: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The different n-grams of every sentence with their tf-idf weights; squares sum to 1/4."""
    size = int(gram.max(initial=-1)) + 1
    having = np.bincount(np.unique(image * size + gram) % max(size, 1), minlength=size)
    code, count = np.unique(sentence * size + gram, return_counts=True)
    of, gram = code // max(size, 1), code % max(size, 1)
    weight = count * np.log(images / having[gram])
    norm = np.sqrt(np.bincount(of, weight**2, minlength=sentences))[of]
    return of, gram, np.divide(weight, 2 * norm, out=np.zeros(len(weight)), where=norm > 0)


def _unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = np.asarray(features, np.float32)
    unit: NDArray[np.float32] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-12
    )
    return unit
