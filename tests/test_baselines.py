"""Predictions without looking: each must find the regularity that it is there to find."""

import random

import numpy as np
import pytest
import torch

from saccade.baselines import (
    constant_caption,
    most_frequent_answer,
    most_frequent_per_question,
    most_frequent_per_question_type,
    nearest_neighbour_captions,
    question_only,
)
from saccade.errors import BadData
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.vqa import vqa_accuracy
from saccade.records import Question


def question(id_, text, answers, question_type=""):
    answers = (answers,) if isinstance(answers, str) else tuple(answers)
    return Question(id_, 1, text, "train", answers, question_type=question_type)


TRAINING = [
    question(1, "is it red?", ["yes"] * 10, "is it"),
    question(2, "is it blue?", ["no"] * 6 + ["yes"] * 4, "is it"),
    question(3, "what is it?", ["cat"] * 10, "what"),
    question(4, "What is it", ["dog"] * 9 + ["cat"], "what"),
    question(5, "is it here?", ["no"] * 10, "is it"),
    question(6, "secret?", [], "none"),
]
ASKED = [
    question(11, "is it green?", (), "is it"),
    question(12, "what is it?", (), "what"),
    question(13, "why?", (), "why"),
]


def test_most_frequent_answers():
    assert most_frequent_answer(TRAINING, ASKED) == {11: "no", 12: "no", 13: "no"}
    by_type = most_frequent_per_question_type(TRAINING, ASKED)
    assert by_type == {11: "no", 12: "cat", 13: "no"}
    by_text = most_frequent_per_question(TRAINING, ASKED)
    assert by_text == {11: "no", 12: "cat", 13: "no"}


@pytest.mark.parametrize(
    "baseline", [most_frequent_answer, most_frequent_per_question_type, question_only]
)
def test_training_without_answers_is_refused(baseline):
    with pytest.raises(BadData, match="no training question has an answer"):
        baseline([question(1, "why?", ())], ASKED)


def invented_questions(number, seed):
    """The colour decides a "what" question, the verb a yes/no question; the rest is chance."""
    choose = random.Random(seed)
    fruit = {"red": "cherry", "yellow": "banana", "green": "pear"}
    things = ["box", "car", "door", "hat", "tree", "cup"]
    questions = []
    for id_ in range(number):
        colour, thing = choose.choice(list(fruit)), choose.choice(things)
        other = choose.choice(things)
        if choose.random() < 0.5:
            text, right = (
                f"What {colour} fruit is in the {thing} beside the {other}?",
                fruit[colour],
            )
        else:
            verb = choose.choice(["open", "closed"])
            text = f"Is the {colour} {thing} {verb} or is the {other}?"
            right = "yes" if verb == "open" else "no"
        noise = choose.choice([*fruit.values(), "yes", "no"])
        questions.append(question(id_, text, [right] * 8 + [noise] * 2))
    return questions


def test_question_only_finds_what_words_give_away():
    training, held_out = invented_questions(800, 0), invented_questions(200, 1)
    said = question_only(training, held_out)
    assert vqa_accuracy(said, held_out).overall > 97
    assert vqa_accuracy(most_frequent_answer(training, held_out), held_out).overall < 40


def test_question_only_uses_whole_questions():
    """The same words in another order may well have another answer."""
    texts = ["cat on mat?", "mat on cat?"]
    training = [question(i, texts[i % 2], "yes" if i % 2 else "no") for i in range(200)]
    assert question_only(training, training[:2]) == {0: "no", 1: "yes"}


def test_question_only_is_seeded_and_leaves_the_seed_of_others_alone():
    training = invented_questions(300, 2)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = question_only(training, training, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert question_only(training, training, seed=3) == first


def test_question_only_answers_unknown_words_and_empty_questions():
    said = question_only(TRAINING, [question(1, "xyzzy?", ()), question(2, "?", ())])
    assert set(said) == {1, 2}
    assert set(said.values()) <= {"yes", "no", "cat", "dog"}


def invented_captions(seed, pictures=40):
    choose = random.Random(seed)
    nouns, places = ["dog", "cat", "man", "kettle"], ["street", "table", "grass"]
    return [
        [
            f"a {choose.choice(nouns)} is on the {choose.choice(places)}".split()
            for _ in range(choose.randint(1, 5))
        ]
        for _ in range(pictures)
    ]


def test_constant_caption_is_the_best_of_all():
    """Against trying every training caption on every picture with the metric itself."""
    references = [*invented_captions(4), [], [["the", "the", "the", "the", "the", "the"]]]
    described = [of for of in references if of]
    scores = {}
    for words in {tuple(sentence) for of in described for sentence in of}:
        scores[words] = corpus_bleu([words] * len(described), described).corpus[3]
    best = constant_caption(references)
    assert scores[best] == pytest.approx(max(scores.values()), abs=1e-12)
    assert len(scores) > 5


def test_constant_caption_of_a_sample_is_seeded():
    references = invented_captions(5, pictures=60)
    assert constant_caption(references, pictures=9) == constant_caption(references, pictures=9)
    with pytest.raises(BadData, match="no training captions"):
        constant_caption([[]])


def test_nearest_neighbour_captions():
    captions = [
        [["a", "red", "bus"], ["a", "big", "red", "bus"], ["people", "wait"]],
        [["two", "dogs"]],
        [],
    ]
    features = np.array([[1, 0], [0, 1], [1, 1]], np.float16)
    asked = np.array([[9, 1], [0.1, 5], [3, 3.1], [0, 0]], np.float32)
    said = nearest_neighbour_captions(features, captions, asked)
    # the third picture looks most like one without captions, which cannot be taken
    bus, dogs = ("a", "big", "red", "bus"), ("two", "dogs")
    assert said == [bus, dogs, dogs, bus]
    with pytest.raises(BadData, match="3 training pictures have features and 1 have captions"):
        nearest_neighbour_captions(features, captions[:1], asked)
