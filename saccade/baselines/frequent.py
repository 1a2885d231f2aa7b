"""The commonest training answer: to everything, to questions of a type, to the very same words."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from saccade.core.errors import BadData
from saccade.data.records import Question
from saccade.text.vocabulary import caption_words

Words = tuple[str, ...]


def most_frequent_answer(
    training: Sequence[Question], questions: Sequence[Question]
) -> dict[int, str]:
    """Give every question the answer that most people gave in training."""
    return _most_frequent(training, questions, lambda question: "")


def most_frequent_per_question_type(
    training: Sequence[Question], questions: Sequence[Question]
) -> dict[int, str]:
    """Give every question the commonest training answer to questions of its type."""
    return _most_frequent(training, questions, lambda question: question.question_type)


def most_frequent_per_question(
    training: Sequence[Question], questions: Sequence[Question]
) -> dict[int, str]:
    """Give every question the commonest training answer to the very same words.

    The whole prior where questions come from a few templates, as in PitVQA.
    """
    return _most_frequent(training, questions, lambda question: caption_words(question.text))


def _most_frequent(
    training: Sequence[Question],
    questions: Sequence[Question],
    kind: Callable[[Question], str | Words],
) -> dict[int, str]:
    """The commonest answer of each kind of question; of all questions for a kind never seen."""
    everything: dict[str, float] = defaultdict(float)
    by_kind: dict[str | Words, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for question in training:
        of_kind = by_kind[kind(question)]
        for answer in question.answers:
            everything[answer] += 1 / len(question.answers)
            of_kind[answer] += 1 / len(question.answers)
    default = commonest(everything)
    best = {name: commonest(shares) if shares else default for name, shares in by_kind.items()}
    return {question.id: best.get(kind(question), default) for question in questions}


def commonest(shares: Mapping[str, float]) -> str:
    """The answer with the largest share. Raises BadData where there is none at all."""
    if not shares:
        raise BadData(
            "no training question has an answer, so there is nothing to learn a baseline from",
            cure="Prepare the data with its annotations.",
        )
    return max(shares, key=lambda answer: shares[answer])
