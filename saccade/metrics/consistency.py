"""Consistency: are questions that belong together answered rightly together?

Three kinds of belonging, each where the data has it: complementary pairs (VQA v2: the same words
about two similar images with different answers), rephrasings of one question about one image, and
questions whose answers follow from that of another (GQA's entailments). Accuracy is the official
one of each answer. A score is of groups of questions, so images are no sample of it: no interval.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import comb

from saccade.data.records import Question
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.vqa import accuracy
from saccade.text.answers import comparable_answer

SIZES = (1, 2, 3, 4)
"""Of the groups of rephrasings whose answers must all be right, as published."""


def pairs(
    predictions: Sequence[str],
    references: Sequence[Question],
    *,
    pairs: Iterable[tuple[int, int]],
    revision: str,
) -> dict[str, Result] | NotMeasured:
    """Complementary pairs by the names in `METRICS`, as shares of the pairs that were asked whole.

    `pair_accuracy`: both answers are wholly right (accuracy 1). `pair_same_answer`: both answers
    are the same, so that one at least is not the commonest: all of them where the image is not
    looked at. `pairs` are of question ids. Source: Goyal et al. 2017, section 3, for the pairs;
    Zhang et al. 2018 for their accuracy.
    """
    right, given = _right(predictions, references, revision), _answers(predictions, references)
    asked = [pair for pair in pairs if right.keys() >= set(pair)]
    if not asked:
        return NotMeasured(
            "pairs: no two questions are a complementary pair", not_of_this_data=True
        )
    whole = sum(right[one] == right[other] == 1 for one, other in asked)
    same = sum(given[one] == given[other] for one, other in asked)
    return {
        "pair_accuracy": Result(whole / len(asked)),
        "pair_same_answer": Result(same / len(asked)),
    }


def consensus(
    predictions: Sequence[str],
    references: Sequence[Question],
    *,
    rephrasings: Iterable[tuple[int, int]],
    revision: str,
) -> dict[str, Result | NotMeasured] | NotMeasured:
    """The consensus score of 1 to 4 rephrasings, by their names in `METRICS`.

    Of a question and its rephrasings, the share of the groups of k of them of which each answer is
    right in part (accuracy above 0); the mean over the questions that have k. `rephrasings` are
    pairs of the ids of a rephrasing and of its original. Source: Shah et al. 2019, section 3.
    """
    right = _right(predictions, references, revision)
    groups = _groups((other, one) for one, other in rephrasings if {one, other} <= right.keys())
    if not groups:
        message = "consensus: no question is a rephrasing of another"
        return NotMeasured(message, not_of_this_data=True)
    counts = [
        (1 + len(others), sum(right[id_] > 0 for id_ in (original, *others)))
        for original, others in groups.items()
    ]
    missing = NotMeasured("consensus: no question has so many rephrasings", not_of_this_data=True)
    found = dict[str, Result | NotMeasured]()
    for size in SIZES:
        shares = [comb(good, size) / comb(all_, size) for all_, good in counts if all_ >= size]
        score = Result(sum(shares) / len(shares)) if shares else missing
        found[f"consensus_{size}"] = score
    return found


def entailments(
    predictions: Sequence[str],
    references: Sequence[Question],
    *,
    entailments: Iterable[tuple[int, int]],
    revision: str,
) -> Result | NotMeasured:
    """GQA's consistency: of each question that was answered rightly, the share of the questions
    entailed by it that were, too; the mean over those questions, 0 where none was right.

    `entailments` are pairs of the ids of a question and of one that follows from its answer; itself
    does not count, nor do those that were not asked: GQA's balanced questions have few of theirs,
    and the published numbers are over all. Source: Hudson & Manning 2019, section 4.4, and eval.py.
    """
    right = _right(predictions, references, revision)
    groups = _groups((a, b) for a, b in entailments if a != b and {a, b} <= right.keys())
    if not groups:
        message = "entailments: no question follows from another"
        return NotMeasured(message, not_of_this_data=True)
    shares = [
        sum(right[other] == 1 for other in others) / len(others)
        for question, others in groups.items()
        if right[question] == 1
    ]
    return Result(sum(shares) / len(shares) if shares else 0.0)


def _right(
    predictions: Sequence[str], references: Sequence[Question], revision: str
) -> dict[int, float]:
    """The accuracy of each answer, 0..1, by question id."""
    each = accuracy(predictions, references, revision=revision).per_example or ()
    return {question.id: score for question, score in zip(references, each, strict=True)}


def _answers(predictions: Sequence[str], references: Sequence[Question]) -> dict[int, str]:
    """Each answer in its comparable form, by question id."""
    asked = zip(references, predictions, strict=True)
    return {question.id: comparable_answer(answer) for question, answer in asked}


def _groups(belonging: Iterable[tuple[int, int]]) -> Mapping[int, Sequence[int]]:
    """The ids that belong to each id, in their order, each once."""
    groups: dict[int, dict[int, None]] = {}
    for of, one in belonging:
        groups.setdefault(of, {})[one] = None
    return {of: [*some] for of, some in groups.items()}
