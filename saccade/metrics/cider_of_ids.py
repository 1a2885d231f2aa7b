"""CIDEr-D of captions given as word ids, many at once: the reward of self-critical training.

The numbers are those of `metrics.cider` on the ids written as words, with the document frequencies
of a corpus. There n-grams are tuples in dicts; here an n-gram is one number (its beginning's number
times the vocabulary's size, plus its last word) and sorted arrays are searched, so that COCO's 567
thousand references take seconds to count and a few bytes an n-gram to keep.
"""

from typing import NamedTuple, Self

import numpy as np

_LONGEST = 4
_SIGMA_SQUARED = 6.0**2
_SCALE = 10.0


class Sentences(NamedTuple):
    """Sentences of word ids behind each other, and the picture that each is about."""

    words: np.ndarray  # (N,) int64
    length: np.ndarray  # (S,) int64, sums to N
    picture: np.ndarray  # (S,) int64

    @classmethod
    def of(cls, padded: np.ndarray, length: np.ndarray, picture: np.ndarray) -> Self:
        """Lay the rows of a rectangle `(S, T)` behind each other, without what pads them."""
        return cls(padded[np.arange(padded.shape[1]) < length[:, None]], length, picture)

    @classmethod
    def joined(cls, *some: "Sentences") -> Self:
        """All sentences of some collections, one collection behind the other."""
        return cls(*(np.concatenate(parts) for parts in zip(*some, strict=True)))


class CiderOfIds(NamedTuple):
    """The n-grams of a corpus; item n - 1 belongs to those of n words, and there are G of them."""

    pictures: int
    vocabulary: int
    keys: list[np.ndarray]  # (G,) int64, rising; an n-gram's number is its place
    having: list[np.ndarray]  # (G,) with how many pictures it occurs

    @classmethod
    def of(cls, corpus: Sentences, vocabulary: int) -> Self:
        """Count the n-grams of a corpus, whose words are below `vocabulary`."""
        pictures, picture = np.unique(corpus.picture, return_inverse=True)
        keys, having = [], []
        numbers = np.zeros(len(corpus.words), np.int64)  # of the beginnings, one word shorter
        for begin, last, sentence in _places(corpus):
            own, numbers[begin] = np.unique(
                numbers[begin] * vocabulary + corpus.words[last], return_inverse=True
            )
            together = np.sort(picture[sentence] * np.int64(len(own)) + numbers[begin])
            together = together[np.diff(together, prepend=-1) > 0]  # as np.unique, 10 times as fast
            keys.append(own)
            having.append(np.bincount(together % max(len(own), 1), minlength=len(own)))
        return cls(len(pictures), vocabulary, keys, having)

    def score(self, said: Sentences, references: Sentences) -> np.ndarray:
        """CIDEr-D in 0..10 of each sentence `(S,)` against the references of the same picture.

        Every picture that something is said about must have a reference.
        """
        both = Sentences.joined(said, references)
        mine, theirs = np.nonzero(said.picture[:, None] == references.picture)  # (P,) each
        theirs = theirs + len(said.length)
        total = np.zeros(len(mine))
        for sentence, gram, weight in self._weigh(both):
            norm = np.sqrt(np.bincount(sentence, weight**2, minlength=len(both.length)))
            shared = _shared(sentence, gram, weight, mine, theirs)
            norms = norm[mine] * norm[theirs]
            total += np.divide(shared, norms, out=np.zeros(len(mine)), where=norms > 0)
        bigrams = np.maximum(both.length - 1, 0)
        apart = bigrams[mine] - bigrams[theirs]
        alike = total / _LONGEST * np.exp(-(apart**2) / (2 * _SIGMA_SQUARED))
        number = np.bincount(mine, minlength=len(said.length))
        scores: np.ndarray = _SCALE * np.bincount(mine, alike, minlength=len(number)) / number
        return scores

    def _weigh(self, sentences: Sentences) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For n = 1 to 4 every sentence's different n-grams, ordered by sentence and n-gram:
        the sentence, the n-gram's number and its tf-idf weight, (E,) each.
        """
        weighed = []
        numbers = np.zeros(len(sentences.words), np.int64)
        places = _places(sentences)
        for (begin, last, sentence), known, having in zip(
            places, self.keys, self.having, strict=True
        ):
            key = numbers[begin] * self.vocabulary + sentences.words[last]
            place, found = _find(key, known)
            strange, rank = np.unique(key[~found], return_inverse=True)
            place[~found] = len(known) + rank  # unknown ones are told apart, too
            numbers[begin] = place
            size = len(known) + len(strange) + 1
            code, count = np.unique(sentence * size + place, return_counts=True)
            gram = code % size
            pictures = np.ones(len(gram))
            pictures[gram < len(known)] = having[gram[gram < len(known)]]
            weighed.append((code // size, gram, count * (np.log(self.pictures) - np.log(pictures))))
        return weighed


def _places(sentences: Sentences) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For n = 1 to 4 where in `words` the n-grams begin and end, and which sentence they are of."""
    sentence = np.repeat(np.arange(len(sentences.length)), sentences.length)
    behind = np.repeat(np.cumsum(sentences.length), sentences.length)  # where its sentence ends
    begin = np.arange(len(sentences.words))
    places = []
    for n in range(1, _LONGEST + 1):
        whole = begin[begin + n <= behind]
        places.append((whole, whole + n - 1, sentence[whole]))
    return places


def _find(wanted: np.ndarray, rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where numbers stand among rising ones, and whether they do: both as many as `wanted`."""
    place = np.searchsorted(rising, wanted)
    inside = place < len(rising)
    found = inside.copy()
    found[inside] = rising[place[inside]] == wanted[inside]
    return place, found


def _shared(
    sentence: np.ndarray,
    gram: np.ndarray,
    weight: np.ndarray,
    mine: np.ndarray,
    theirs: np.ndarray,
) -> np.ndarray:
    """Product of the weights (E,) of sentences `mine` and `theirs` (P,), mine clipped to theirs."""
    first = np.searchsorted(sentence, mine)
    number = np.searchsorted(sentence, mine, side="right") - first
    pair = np.repeat(np.arange(len(mine)), number)
    of_mine = np.arange(len(pair)) - np.repeat(np.cumsum(number) - number, number) + first[pair]
    size = gram.max(initial=0) + 1
    place, same = _find(theirs[pair] * size + gram[of_mine], sentence * size + gram)
    other = weight[place[same]]
    product = np.minimum(weight[of_mine[same]], other) * other
    total: np.ndarray = np.bincount(pair[same], product, minlength=len(mine)).astype(float)
    return total
