"""Two beam searches over one image, saying the whole beginning again before every word.

No state is carried along, so nothing can be mixed up: `log_p` is asked for the distribution of
the next word after any list of words.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

LogP = Callable[[tuple[int, ...]], Tensor]
"""From words said so far, the start word among them, to log p of the next word (V,)."""


class Spoken(NamedTuple):
    """One caption as it was decoded."""

    words: list[int]  # without start and end
    score: float  # sum of log-probabilities, the end word's included where it was reached


def beam_search(log_p: LogP, *, start: int, end: int, beam_size: int, max_length: int) -> Spoken:
    """The best caption by the plain sum of log-probabilities; one beam is greedy decoding. An ended
    caption leaves its beam, which is not refilled.
    """
    live: list[tuple[list[int], float]] = [([start], 0.0)]
    done: list[Spoken] = []
    for _ in range(max_length):
        options = [
            ([*words, word], score + value)
            for words, score in live
            for word, value in enumerate(log_p(tuple(words)).tolist())
        ]
        best = sorted(options, key=lambda option: -option[1])[: beam_size - len(done)]
        done += [Spoken(words[1:-1], score) for words, score in best if words[-1] == end]
        live = [(words, score) for words, score in best if words[-1] != end]
        if not live:
            break
    if done:
        return max(done, key=lambda spoken: spoken.score)
    words, score = max(live, key=lambda beam_size: beam_size[1])
    return Spoken(words[1:], score)


def ruotianluos_beam_search(
    log_p: LogP, *, start: int, end: int, unknown: int, beam_size: int, max_length: int
) -> Spoken:
    """The search of self-critical.pytorch (specification, 4.3): nothing is masked and nothing is
    taken out of a beam. Whoever says the unknown word, and whoever ended, goes on with a handicap
    of 1000; at the limit all are done.
    """
    beams: list[tuple[list[int], float]] = [([], 0.0)]
    done: list[tuple[list[int], float]] = []
    for t in range(max_length):
        candidates = [
            ([*words, word], score + value - 1000 * (word == unknown))
            for words, score in beams
            for word, value in enumerate(log_p((start, *words)).tolist())
        ]
        best = sorted(candidates, key=lambda candidate: -candidate[1])[:beam_size]
        over = t == max_length - 1
        done += [(words, score) for words, score in best if over or words[-1] == end]
        beams = [(words, score - 1000 * (words[-1] == end)) for words, score in best]
    words, score = max(done, key=lambda beam: beam[1])
    return Spoken(words[: words.index(end)] if end in words else words, score)
