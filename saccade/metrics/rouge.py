"""ROUGE-L, the longest common subsequence of words of caption and reference.

As in the COCO caption evaluation, which takes the best precision and the best recall over the
references, even from different ones. Source: Lin 2004; tylin/coco-caption `rouge.py`.
"""

from collections.abc import Sequence

from saccade.metrics.bleu import References, Sentence, check_captions
from saccade.metrics.catalogue import Result

_BETA_SQUARED = 1.2**2
"""How much more recall weighs than precision."""


def corpus_rouge_l(hypotheses: Sequence[Sentence], references: References) -> Result:
    """ROUGE-L in 0..1 of one tokenized caption per image; the corpus score is the mean over images.

    Raises BadData when the two do not match in number or an image has no reference.
    """
    check_captions(hypotheses, references)
    scores = [rouge_l(words, human) for words, human in zip(hypotheses, references, strict=True)]
    return Result(sum(scores) / len(scores), scores)


def rouge_l(hypothesis: Sentence, references: Sequence[Sentence]) -> float:
    """Score one caption. A sentence without words counts as one empty word, as officially."""
    words = hypothesis or ("",)
    everywhere = (1 << len(words)) - 1
    places: dict[str, int] = {}  # of each word, as bits
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    precision = recall = 0.0
    for reference in references:
        human = reference or ("",)
        # Longest common subsequence, a whole row of the usual table per step: zero bits of `row`
        # mark where the table's row grows by one (Hyyrö 2004, bit-parallel computation).
        row = everywhere
        for word in human:
            here = row & places.get(word, 0)
            row = (row + here | row - here) & everywhere
        shared = len(words) - row.bit_count()
        precision = max(precision, shared / len(words))
        recall = max(recall, shared / len(human))
    if precision == 0:
        return 0.0
    return (1 + _BETA_SQUARED) * precision * recall / (recall + _BETA_SQUARED * precision)
