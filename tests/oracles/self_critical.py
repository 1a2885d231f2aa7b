"""Self-critical training, written out for one caption and one word at a time.

From Rennie et al. 2017 (arXiv:1612.00563) and Vedantam et al. 2015 (CIDEr), in the form of
ruotianluo's self-critical.pytorch: captions are lists of ids that end with the end word where it
was reached, and it is a token like any other.
"""

import math


def grams(words, n):
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


class Corpus:
    """In how many images of the training split an n-gram occurs."""

    def __init__(self, references_of):
        self.references_of = references_of  # image -> list of captions

    def idf(self, gram):
        having = 0
        for captions in self.references_of.values():
            having += any(gram in grams(words, len(gram)) for words in captions)
        return math.log(len(self.references_of)) - math.log(max(having, 1))

    def vector(self, words, n):
        found = grams(words, n)
        return {gram: found.count(gram) * self.idf(gram) for gram in set(found)}

    def cider_d(self, said, references):
        total = 0.0
        for human in references:
            for n in (1, 2, 3, 4):
                mine, theirs = self.vector(said, n), self.vector(human, n)
                product = sum(min(mine[g], theirs[g]) * theirs[g] for g in mine if g in theirs)
                norm = math.sqrt(sum(w * w for w in mine.values()))
                norm *= math.sqrt(sum(w * w for w in theirs.values()))
                apart = max(len(said) - 1, 0) - max(len(human) - 1, 0)
                if norm:
                    total += product / norm * math.exp(-(apart**2) / 72) / 4
        return 10 * total / len(references)


def loss(corpus, samples_of, log_p_of, greedy_of=None):
    """Of fixed samples: image -> captions, and `log_p_of(image, caption)` for its words.

    The baseline is the image's greedy caption, or the mean of the other samples.
    """
    total, words = 0.0, 0
    for image, samples in samples_of.items():
        references = corpus.references_of[image]
        scores = [corpus.cider_d(caption, references) for caption in samples]
        for k, caption in enumerate(samples):
            if greedy_of is None:
                others = scores[:k] + scores[k + 1 :]
                baseline = sum(others) / len(others)
            else:
                baseline = corpus.cider_d(greedy_of[image], references)
            for log_p in log_p_of(image, caption):
                total = total - log_p * (scores[k] - baseline)
                words += 1
    return total / words
