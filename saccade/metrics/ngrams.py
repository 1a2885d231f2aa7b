"""Counting runs of words, which BLEU, CIDEr and diversity all rest on."""

from collections import Counter
from collections.abc import Sequence

from saccade.core.errors import BadData

Sentence = Sequence[str]
NGram = tuple[str, ...]


def ngram_counts(words: Sentence, longest: int) -> list[Counter[NGram]]:
    """Count the n-grams of a sentence; item n - 1 of the result holds those of n words."""
    return [
        Counter(zip(*(words[start:] for start in range(n)), strict=False))
        for n in range(1, longest + 1)
    ]


def check_captions(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]]
) -> None:
    """Raise BadData unless every hypothesis has its references, and there is one at all."""
    if len(hypotheses) != len(references):
        raise BadData(
            f"{len(hypotheses)} captions were said about {len(references)} pictures",
            cure="Give exactly one caption for each picture, in the same order.",
        )
    if not hypotheses:
        raise BadData("there are no captions to score", cure="Check the split's name.")
    for place, sentences in enumerate(references):
        if not sentences:
            raise BadData(
                f"picture number {place} has no reference captions",
                cure="Leave pictures without human captions out of the scoring.",
            )
