"""Captions without a captioner: one sentence for every image, or those of similar images.

A captioner that does not clearly beat the first has learnt how people write; one that does not beat
the second has memorised its training captions.
"""

from collections import Counter
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData
from saccade.data.examples import Ragged
from saccade.metrics.bleu import NGram, References, bleu_of_rows, closest_length, ngram_counts
from saccade.metrics.cider import CiderOfIds, Sentences

Words = tuple[str, ...]


def constant_caption(references: References, *, images: int = 2000, seed: int = 0) -> Words:
    """The training caption that scores best as the caption of every training image.

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
        correct = [
            sum(having[gram, k] for gram, count in counts.items() for k in range(1, count + 1))
            for counts in ngram_counts(words, 4)
        ]
        possible = [len(chosen) * max(0, len(words) - order) for order in range(4)]
        sums = [*correct, *possible, len(chosen) * len(words), closest[len(words)]]
        return float(bleu_of_rows(np.array(sums))[-1])

    return max(candidates, key=score)


def neighbour_captions(
    training_features: NDArray[np.floating],
    training_captions: References,
    features: NDArray[np.floating],
    *,
    neighbours: int,
) -> list[Words]:
    """The consensus of the human captions of the most similar training images, for every image.

    `training_features (N, D)` and `features (M, D)` are pooled features, compared by their cosine;
    `training_captions` has the captions of each of the N. Of all captions of the `neighbours`
    nearest images the one is taken whose mean CIDEr with all the others is highest: the consensus
    of Devlin et al. 2015 ("Exploring nearest neighbor approaches"), section 3, with all candidates
    in place of the best few. Plain CIDEr is the cosine of vectors, so the mean over the others is
    one product with their sum. Raises BadData when sizes do not fit together.
    """
    described = np.flatnonzero([bool(sentences) for sentences in training_captions])
    if len(training_features) != len(training_captions) or not len(described):
        have = f"{len(training_features)} training images have features"
        hint = "Give features and captions of the same images, in the same order."
        raise BadData(f"{have} and {len(described)} have captions", hint=hint)
    groups = [training_captions[int(place)] for place in described]
    sentences = [tuple(sentence) for sentence in chain.from_iterable(groups)]
    grams, weights = _cider_vectors(groups)
    of_image = Ragged.of([[1] * len(group) for group in groups], np.int8)  # rows: their captions
    known = _unit(np.asarray(training_features)[described])
    chosen: list[Words] = []
    for start in range(0, len(features), 1024):
        cosines = _unit(features[start : start + 1024]) @ known.T
        number = min(neighbours, cosines.shape[1])
        nearest = np.argpartition(-cosines, number - 1, axis=1)[:, :number]
        for images in nearest:
            candidates, _ = of_image.places(np.sort(images))
            places, starts = grams.places(candidates)
            _, gram = np.unique(grams.values[places], return_inverse=True)
            weight = weights[places]
            together = np.bincount(gram, weight)
            sentence = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(places)))
            with_all = np.bincount(sentence, weight * together[gram], minlength=len(starts))
            with_itself = np.bincount(sentence, weight * weight, minlength=len(starts))
            best = (with_all - with_itself).round(12).argmax()  # the first of equal ones
            chosen.append(sentences[candidates[best]])
    return chosen


def _cider_vectors(groups: References) -> tuple[Ragged, NDArray[np.float64]]:
    """Every sentence as n-gram numbers with weights, whose products are plain CIDEr / 10.

    Document frequencies are counted over the images of `groups`, whose sentences are in a row.
    """
    sentences = [sentence for group in groups for sentence in group]
    ids: dict[str, int] = {}
    words = np.array([ids.setdefault(w, len(ids)) for s in sentences for w in s], np.int64)
    images = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    corpus = Sentences(words, np.array([len(sentence) for sentence in sentences]), images)
    counted = CiderOfIds.of(corpus, len(ids))
    firsts = np.cumsum([0, *map(len, counted.keys)])  # n-grams of all lengths in one numbering
    found = []
    for first, (of, gram, weight) in zip(firsts, counted.weigh(corpus), strict=False):
        norm = 2 * np.sqrt(np.bincount(of, weight**2, minlength=len(sentences)))[of]
        unit = np.divide(weight, norm, out=np.zeros(len(weight)), where=norm > 0)
        found.append((of, gram + first, unit))
    of, grams, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(of, kind="stable")
    offsets = np.searchsorted(of[order], np.arange(len(sentences) + 1))
    return Ragged(grams[order], offsets), weights[order]


def _unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = np.asarray(features, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(lengths, 1e-12)
    return unit
