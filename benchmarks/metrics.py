"""All metrics without Java over the captions of a COCO test split: 5,000 images, 5 people each.

    python -m benchmarks.metrics

Synthetic captions have the lengths of the real ones, word frequencies after Zipf's law, and
references that share most of their n-grams. Where pycocoevalcap is installed its scorers run on the
same captions first, and every number must be equal.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np

from benchmarks import timing
from saccade.evaluation.scoring import ScoreOptions, score_captions, statistics
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.cider import corpus_cider
from saccade.metrics.diversity import diversity
from saccade.metrics.intervals import compare, intervals
from saccade.metrics.ptb import coco_words
from saccade.metrics.rouge import corpus_rouge_l

IMAGES, PEOPLE = 5000, 5
WORDS = 9486
BAR = 15.0
"""CPU seconds of one core, for all of it together."""
Sentences = list[list[str]]


def main() -> None:
    """Compare numbers where the official code is installed, then time every metric."""
    timing.one_thread()
    predictions, human = _captions()
    _require_official(predictions, human)
    everyone = [words for of in human for words in of]
    raw = [f"{' '.join(words).capitalize()}." for words in (*predictions, *everyone)]
    work: dict[str, Callable[[], object]] = {
        f"tokens of {len(raw):,} captions": partial(coco_words, raw),
        "BLEU-1..4": partial(corpus_bleu, predictions, human),
        "ROUGE-L": partial(corpus_rouge_l, predictions, human),
        "CIDEr-D": partial(corpus_cider, predictions, human),
        "CIDEr": partial(corpus_cider, predictions, human, variant="cider"),
        "diversity": partial(diversity, predictions, training=everyone),
    }
    spent = {name: timing.cpu_seconds(do) for name, do in work.items()}
    timing.report_limits(
        f"Metrics of {IMAGES:,} captions with {PEOPLE} references each",
        [timing.Limit(name, "-", seconds, BAR, "CPU s") for name, seconds in spent.items()]
        + [
            timing.Limit("all of these", "-", sum(spent.values()), BAR, "CPU s"),
            _intervals(predictions, human),
        ],
    )


def _intervals(predictions: Sentences, human: list[Sentences]) -> timing.Limit:
    """Three intervals and a paired test, from rows that are scored already."""
    options = ScoreOptions(("bleu_4", "cider", "rouge_l"))
    found = statistics(
        score_captions(dict(enumerate(predictions)), dict(enumerate(human)), options).rows
    )

    def measure() -> None:
        for name in ("bleu_4", "cider", "rouge_l"):
            intervals([found[name]])
        compare(found["bleu_4"], found["bleu_4"])

    return timing.Limit("intervals and a test", "-", timing.cpu_seconds(measure), BAR, "CPU s")


def _captions() -> tuple[Sentences, list[Sentences]]:
    """One caption and five references of each image, which share a good part of their words."""
    random = np.random.default_rng(0)
    shares = 1 / np.arange(3, WORDS + 3)
    shares /= shares.sum()

    def variant(words: list[int]) -> list[str]:
        """The same sentence with some words exchanged and some left out or added."""
        other = random.choice(WORDS, len(words), p=shares)
        kept = np.where(random.random(len(words)) < 0.7, words, other)
        length = int(np.clip(round(random.normal(10.5, 2.4)), 5, len(words)))
        return [f"word{word}" for word in kept[:length]]

    seeds = random.choice(WORDS, (IMAGES, 16), p=shares)
    human = [[variant(words) for _ in range(PEOPLE)] for words in seeds.tolist()]
    return [variant(words) for words in seeds.tolist()], human


def _require_official(predictions: Sentences, human: list[Sentences]) -> None:
    """Every corpus score as the pure-Python scorers of the COCO caption evaluation give it."""
    if find_spec("pycocoevalcap") is None:
        return
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer  # noqa: PLC0415
    from pycocoevalcap.cider.cider_scorer import CiderScorer  # noqa: PLC0415

    bleu, cider = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0)
    for words, of in zip(predictions, human, strict=True):
        pair = (" ".join(words), [" ".join(reference) for reference in of])
        bleu += pair
        cider += pair
    theirs = [*bleu.compute_score(option="closest")[0], cider.compute_score()[0]]
    ours = [*corpus_bleu(predictions, human).corpus, corpus_cider(predictions, human).value]
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    timing.require_equal("BLEU-1..4 and CIDEr-D as the official code", apart, limit=1e-9)


if __name__ == "__main__":
    main()
