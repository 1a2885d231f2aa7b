"""Each fault of answers, questions and captions raises its finding, and healthy data none."""

import random
from functools import partial
from pathlib import Path

import pytest

import saccade
from saccade.checks.catalogue import FINDINGS
from saccade.core.errors import BadConfig
from saccade.data.records import with_words

ROOT = Path(__file__).parent.parent.parent
BAD = ("error", "warning")


def answer(question, text):
    return question._replace(answers=(text,) * len(question.answers), best_answer=text)


def by_split(change, records, splits=("train",)):
    return [change(one) if one.split in splits else one for one in records]


def every(text, questions):
    return [answer(one, text(one) if callable(text) else text) for one in questions]


def mostly(text, share, questions):
    return [answer(one, text) if i % 100 < share else one for i, one in enumerate(questions)]


def shuffled(questions):
    drawn = [one.best_answer for one in questions]
    random.Random(0).shuffle(drawn)
    return [answer(one, text) for one, text in zip(questions, drawn, strict=True)]


def captions_as_questions(word, records):
    of = {one.image_id: one.text for one in records.captions}
    return [answer(one._replace(text=of[one.image_id]), word(of[one.image_id]))
            for one in records.questions]  # fmt: skip


def unanswered(questions):
    return [one._replace(answers=(), best_answer="") for one in questions]


def only(count, split, records):
    """All records but those of a split, of which `count` stay."""
    kept = [one for one in records if one.split == split][:count]
    return [one for one in records if one.split != split] + kept


QUESTIONS = {
    "every answer is one class": (partial(every, "red"), "one-answer"),
    "one answer in 95 of 100": (partial(mostly, "red", 95), "top-answer"),
    "'the' is 92 of 100 answers": (partial(mostly, "the", 92), "stop-word-answers"),
    "'a' is a tenth of the answers": (partial(mostly, "a", 10), "stop-word-answers"),
    "a Chinese particle is a tenth of them": (partial(mostly, "的", 10), "stop-word-answers"),
    "answers are ids": (partial(every, lambda one: str(one.id)), "answers-met-once"),
    "nobody answered": (unanswered, "no-answers"),
    "every answer is empty": (partial(every, " "), "no-answers"),
    "a fifth of the answers is empty": (partial(mostly, "", 20), "empty-answers"),
    "answers are shuffled": (shuffled, "answers-unrelated"),
    "one question for all": (
        lambda questions: [one._replace(text="what is it?") for one in questions],
        "questions-equal",
    ),
    "the question says it": (
        lambda questions: [one._replace(text=f"is it {one.best_answer}?") for one in questions],
        "answers-in-questions",
    ),
    "the question alone decides": (
        lambda questions: [answer(one, f"{len(one.text)}") for one in questions],
        "answers-without-image",
    ),
    "titles stand for questions": (
        lambda questions: [one._replace(text=f"Image number {one.id}") for one in questions],
        "statements",
    ),
    "validation is of another release": (
        partial(by_split, lambda one: answer(one, f"n{one.id % 7}"), splits=("val", "test")),
        "validation-answers-unknown",
    ),
    "validation is of another language": (
        partial(by_split, lambda one: one._replace(text=one.text[::-1]), splits=("val", "test")),
        "validation-words-unknown",
    ),
    "two questions to learn from": (lambda all_: only(2, "train", all_), "few-examples"),
    "five questions choose the epoch": (lambda all_: only(5, "val", all_), "small-validation"),
    "no question chooses the epoch": (lambda all_: only(0, "val", all_), "no-validation"),
}


def names(folder, **options):
    return {one.name for one in saccade.check(folder.path, **options) if one.level in BAD}


def test_healthy_data_raise_nothing(folder_of):
    assert names(folder_of()) == set()


@pytest.mark.parametrize("fault", QUESTIONS)
def test_a_fault_of_questions(folder_of, records, fault):
    change, name = QUESTIONS[fault]
    found = saccade.check(folder_of(questions=change(list(records.questions))).path)
    of = {one.name: one for one in found}
    assert name in of, (fault, [*of])
    assert of[name].level == FINDINGS[name].level
    assert of[name].cause
    assert of[name].hint


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (lambda text: text.split()[0], "stop-word-answers"),
        (lambda text: text.split()[1], "answers-in-questions"),
        (lambda text: text.split()[1], "statements"),
    ],
)
def test_captions_are_no_questions(folder_of, records, word, name):
    assert name in names(folder_of(questions=captions_as_questions(word, records)))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (lambda _: "a photo", "one-caption"),
        (lambda one: "a photo" if one.id % 4 else one.text, "top-caption"),
        (lambda one: f"what is {one.text}?", "captions-ask"),
    ],
)
def test_a_fault_of_captions(folder_of, records, text, name):
    made = [
        one._replace(text=text(one), words=tuple(text(one).split())) for one in records.captions
    ]
    assert name in names(folder_of(captions=with_words(made)[0]))


def test_letters_of_choices_are_no_articles(folder_of, records):
    letters = [answer(one, "abcd"[i % 4]) for i, one in enumerate(records.questions)]
    assert "stop-word-answers" not in names(folder_of(questions=letters))


def test_what_is_allowed_is_a_note_and_what_is_strict_an_error(folder_of, records):
    folder = folder_of(questions=every("red", records.questions))
    found = saccade.check(folder.path, allow=["one-answer"])
    assert {one.level for one in found if one.name == "one-answer"} == {"warning"}
    few = folder_of(questions=only(5, "val", records.questions))
    assert "error" in {one.level for one in saccade.check(few.path, strict=True)}
    known = ["small-validation", "validation-words-unknown"]
    assert "error" not in {one.level for one in saccade.check(few.path, strict=True, allow=known)}
    with pytest.raises(BadConfig, match="one-answer"):
        saccade.check(folder.path, allow=["one-anser"])


def test_every_finding_is_in_the_documentation():
    text = (ROOT / "docs/check.md").read_text(encoding="utf-8")
    for name, info in FINDINGS.items():
        assert f"| `{name}` | {info.group} | {info.level} |" in text, name


@pytest.mark.parametrize("most", [40, None])
def test_texts_that_a_column_cut(folder_of, records, most):
    drawn = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(drawn.choices(letters, k=drawn.randint(2, 9))) for _ in range(300)]

    def told(one):
        text = " ".join(drawn.choices(words, k=drawn.randint(4, 14)))[:most].strip()
        return one._replace(text=text, words=tuple(text.split()))

    found = names(folder_of(captions=with_words([told(one) for one in records.captions])[0]))
    assert ("texts-cut-off" in found) == (most is not None)


def test_sentences_of_one_length_are_not_cut(folder_of, records):
    made = []
    for place, one in enumerate(records.captions):
        text = f"a photo of thing number {place:04d}"
        made.append(one._replace(text=text, words=tuple(text.split())))
    assert "texts-cut-off" not in names(folder_of(captions=with_words(made)[0]))
