"""The findings of `saccade check`: what can be wrong with data and features, before training.

A finding is an error where training would be wasted for certain, a warning where it may be, and a
note where nobody can know. The thresholds stand with the probes; where they were measured is told
in `docs/check.md`. No torch is imported here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from saccade.core.errors import in_number
from saccade.core.tables import Table
from saccade.data.checks import Finding

Group = Literal["labels", "words", "splits", "features", "images", "machine"]
EXAMPLES = 3
"""Examples that a finding has at most."""


class FindingInfo(NamedTuple):
    """What is known of a finding before any data are read."""

    group: Group
    level: Literal["error", "warning", "note"]
    about: str
    """What is looked at, and the threshold."""
    cause: str
    """What most often leads to it."""
    hint: str
    """What to do next."""


_COLUMNS = "Another column, or another file, was taken for the answers."
_PREPARE = "See where the answers come from (`dataset.json` lists the files), and prepare again."
_OTHER_FILES = "Give the files of one release, and prepare again."
_EXTRACT = "Extract them again under another --name, from the images as they are."
_BACKBONE = "Extract again with a trained backbone and its own preprocessing."

FINDINGS: Table[FindingInfo] = Table(
    "finding",
    {
        "no-answers": FindingInfo(
            "labels",
            "error",
            "training questions: none has an answer, or all answers are empty",
            "The answers are secret, or their column was not read.",
            _PREPARE,
        ),
        "empty-answers": FindingInfo(
            "labels",
            "warning",
            "training questions: over 5 % have no answer",
            "The source has none there, or a column is filled in part.",
            "Nothing to do, if that is known: they are left out of training.",
        ),
        "one-answer": FindingInfo(
            "labels",
            "error",
            "training answers: all are the same",
            _COLUMNS,
            _PREPARE,
        ),
        "top-answer": FindingInfo(
            "labels",
            "warning",
            "training answers: the most frequent one is 90 % of all or more",
            "The labels are unbalanced, or were not what was meant.",
            "Compare every score with the most frequent answer's, or balance the answers.",
        ),
        "stop-word-answers": FindingInfo(
            "labels",
            "error",
            "training answers: over 5 % are articles, prepositions and the like",
            "Words of captions were taken for answers.",
            "Train a captioning recipe on the captions, or give real answers.",
        ),
        "answers-met-once": FindingInfo(
            "labels",
            "error",
            "training answers: over 80 % of questions have an answer that no other one has",
            "Free text, ids or captions stand in place of answers; a model chooses from a list.",
            "Give short answers that repeat, or train a captioning recipe.",
        ),
        "answers-in-questions": FindingInfo(
            "labels",
            "warning",
            "training questions: over 80 % contain their own answer",
            "Captions were taken for questions and their words for answers.",
            "See some of them (examples below), and give real questions.",
        ),
        "statements": FindingInfo(
            "labels",
            "warning",
            "training questions: over 50 % look like statements (English: no question mark, no "
            "question word)",
            "Captions or titles were taken for questions.",
            "See some of them (examples below), and give real questions.",
        ),
        "questions-equal": FindingInfo(
            "labels",
            "warning",
            "training questions: all are the same",
            "A fixed text was put in place of questions, or labels of images became answers.",
            "Nothing to do for labels of images; a model will not learn to read questions.",
        ),
        "answers-without-image": FindingInfo(
            "labels",
            "warning",
            "training questions asked of several images: over 95 % always have the same answer",
            "The question alone decides, so there is nothing to learn from images.",
            "Compare with question_only after `saccade evaluate`, or ask what images decide.",
        ),
        "answers-unrelated": FindingInfo(
            "labels",
            "warning",
            "association of training answers with their questions, against 200 permutations",
            "Answers were shuffled or shifted against the questions.",
            "Compare some records with the source, then prepare again.",
        ),
        "validation-answers-unknown": FindingInfo(
            "labels",
            "error",
            "validation answers: under 50 % occur in training (or in the recipe's answer list)",
            "Training and validation are of different releases or languages.",
            _OTHER_FILES,
        ),
        "small-answer-list": FindingInfo(
            "labels",
            "warning",
            "the recipe's answer list: it has the answers of under 50 % of training questions",
            "answers.size is small, or answers.min_count is large.",
            "Change them: --set answers.size=none --set answers.min_count=1.",
        ),
        "one-caption": FindingInfo(
            "labels",
            "error",
            "training captions: all are the same",
            "A fixed text was put in place of captions.",
            "See where the captions come from, and prepare again.",
        ),
        "top-caption": FindingInfo(
            "labels",
            "warning",
            "training captions: over 50 % are the same sentence",
            "Names of classes, or an empty form, stand in place of captions.",
            "Nothing to do, if that is known: compare with constant_caption.",
        ),
        "captions-ask": FindingInfo(
            "labels",
            "warning",
            "training captions: over 50 % end with a question mark",
            "Questions were taken for captions.",
            "Prepare questions with their answers, and train a VQA recipe.",
        ),
        "questions-unknown": FindingInfo(
            "words",
            "error",
            "the recipe's vocabulary: it lacks over 95 % of the words of training questions",
            "text.min_count is larger than almost every count, or the tokenizer does not fit.",
            "Give --set text.min_count=1.",
        ),
        "captions-unknown": FindingInfo(
            "words",
            "error",
            "the recipe's vocabulary: it lacks over 95 % of the words of training captions",
            "text.min_count is larger than almost every count.",
            "Give --set text.min_count=1.",
        ),
        "many-words-unknown": FindingInfo(
            "words",
            "warning",
            "the recipe's vocabulary: it lacks 30 % to 95 % of the words of training texts",
            "text.min_count is large for so few texts.",
            "Give a smaller one: --set text.min_count=1.",
        ),
        "texts-cut": FindingInfo(
            "words",
            "warning",
            "text.max_length: over 50 % of training texts are longer",
            "Longer questions are cut off, longer captions are left out.",
            "Give --set text.max_length=none.",
        ),
        "validation-words-unknown": FindingInfo(
            "words",
            "warning",
            "words of validation texts: over 50 % never occur in training",
            "Training and validation are of different languages or releases.",
            _OTHER_FILES,
        ),
        "few-examples": FindingInfo(
            "splits",
            "warning",
            "training questions or captions: under 100",
            "The data set is tiny, or most of it was left out.",
            "See what was left out (`saccade prepare`); so few teach a model nothing.",
        ),
        "no-validation": FindingInfo(
            "splits",
            "warning",
            "the validation split: it has nothing to score by",
            "The source has none, or its answers are secret.",
            "Take some training images for it: saccade prepare ... --hold-out 0.1.",
        ),
        "small-validation": FindingInfo(
            "splits",
            "warning",
            "the validation split: under 100 questions (or images with captions), or under 20 "
            "images",
            "The 95 % interval of a score is too wide to choose an epoch by.",
            "Hold out more images (--hold-out), and do not compare epochs by few points.",
        ),
    },
)
"""Every finding by its name, which `--allow` takes."""


def finding(
    name: str,
    message: str,
    *,
    count: int = 0,
    numbers: Mapping[str, float] | None = None,
    examples: Sequence[str] = (),
) -> Finding:
    """A finding of the table, with what was measured in this data set."""
    info = FINDINGS[name]
    some = tuple(text if len(text) <= 100 else f"{text[:97]}..." for text in examples[:EXAMPLES])
    rounded = {key: round(float(value), 4) for key, value in (numbers or {}).items()}
    message = in_number(message)
    return Finding(info.level, message, count, some, info.cause, info.hint, name, rounded)


def describe(found: Finding) -> Iterator[str]:
    """A finding as lines for a person: what, some examples, why, and what to do."""
    yield f"{found.level} [{found.name}]: {found.message}."
    if found.examples:
        yield f"  such as: {'; '.join(found.examples)}"
    yield f"  {found.cause} {found.hint}"


def evenly(count: int, most: int) -> list[int]:
    """Places of at most `most` of `count` things, evenly spaced."""
    return [*range(0, count, max(-(-count // most), 1))]
