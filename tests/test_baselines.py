"""Predictions without looking: each must find the regularity that it is there to find."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.data.records import Question
from saccade.evaluation.blind_answers import (
    KINDS,
    OtherImages,
    OtherQuestions,
    derangement,
    most_frequent,
    question_only,
)
from saccade.evaluation.blind_captions import constant_caption, neighbour_captions
from saccade.evaluation.scoring import score_answers
from saccade.features.store import FeatureStore
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.cider import corpus_cider, document_frequencies
from tests.worlds import make_world


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
    assert most_frequent(TRAINING, ASKED, KINDS["most_frequent_answer"]) == {
        11: "no",
        12: "no",
        13: "no",
    }
    by_type = most_frequent(TRAINING, ASKED, KINDS["most_frequent_per_question_type"])
    assert by_type == {11: "no", 12: "cat", 13: "no"}
    by_text = most_frequent(TRAINING, ASKED, KINDS["most_frequent_per_question"])
    assert by_text == {11: "no", 12: "cat", 13: "no"}


@pytest.mark.parametrize(
    "baseline", [*(partial(most_frequent, kind=kind) for kind in KINDS.values()), question_only]
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
    assert score_answers(said, held_out).scores["accuracy"] > 97
    frequent = most_frequent(training, held_out, KINDS["most_frequent_answer"])
    assert score_answers(frequent, held_out).scores["accuracy"] < 40


def test_question_only_uses_whole_questions():
    """The same words in another order may well have another answer."""
    texts = ["cat on mat?", "mat on cat?"]
    training = [question(i, texts[i % 2], "yes" if i % 2 else "no") for i in range(200)]
    assert question_only(training, training[:2]) == {0: "no", 1: "yes"}


def test_question_only_learns_a_few_questions_that_are_often_asked():
    """Nine questions of 120 images each: an epoch over the different ones is a single step."""
    answers = [[f"{place}-{word}" for word in ("often", "seldom")] for place in range(9)]
    training = [
        question(9 * image + place, f"what is {place}?", answers[place][image % 3 == 0])
        for image in range(120)
        for place in range(9)
    ]
    found = question_only(training, training[:9])
    assert [found[place] for place in range(9)] == [often for often, _ in answers]


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


def invented_captions(seed, images=40):
    choose = random.Random(seed)
    nouns, places = ["dog", "cat", "man", "kettle"], ["street", "table", "grass"]
    return [
        [
            f"a {choose.choice(nouns)} is on the {choose.choice(places)}".split()
            for _ in range(choose.randint(1, 5))
        ]
        for _ in range(images)
    ]


def test_constant_caption_is_the_best_of_all():
    """Against trying every training caption on every image with the metric itself."""
    references = [*invented_captions(4), [], [["the", "the", "the", "the", "the", "the"]]]
    described = [of for of in references if of]
    scores = {}
    for words in {tuple(sentence) for of in described for sentence in of}:
        scores[words] = corpus_bleu([words] * len(described), described).corpus[3]
    best = constant_caption(references)
    assert scores[best] == pytest.approx(max(scores.values()), abs=1e-12)
    assert len(scores) > 5


def test_constant_caption_of_a_sample_is_seeded():
    references = invented_captions(5, images=60)
    assert constant_caption(references, images=9) == constant_caption(references, images=9)
    with pytest.raises(BadData, match="no training captions"):
        constant_caption([[]])


BUS = [["a", "red", "bus"], ["a", "big", "red", "bus"], ["people", "wait"]]


def test_the_nearest_image_s_most_agreed_caption():
    captions = [BUS, [["two", "dogs"]], []]
    features = np.array([[1, 0], [0, 1], [1, 1]], np.float16)
    asked = np.array([[9, 1], [0.1, 5], [3, 3.1], [0, 0]], np.float32)
    said = neighbour_captions(features, captions, asked, neighbours=1)
    # the third image looks most like one without captions, which cannot be taken
    bus, dogs = ("a", "red", "bus"), ("two", "dogs")  # the two buses agree; the first is taken
    assert said[:3] == [bus, dogs, dogs]
    assert said[3] in (bus, dogs)  # an image of nothing is like all others
    with pytest.raises(BadData, match="3 training images have features and 1 have captions"):
        neighbour_captions(features, captions[:1], asked, neighbours=1)
    with pytest.raises(BadData, match="1 training images have features and 0 have captions"):
        neighbour_captions(features[:1], [[]], asked, neighbours=1)


@pytest.mark.parametrize("seed", range(5))
def test_consensus_is_the_mean_cider_with_all_other_candidates(seed):
    """Against the metric itself, candidate by candidate."""
    captions = [*invented_captions(seed, images=12), [["a"], [], ["a", "dog"]]]
    random = np.random.default_rng(seed)
    known, asked = random.normal(size=(13, 5)), random.normal(size=(6, 5))
    rarity = document_frequencies(captions)
    said = neighbour_captions(known, captions, asked, neighbours=4)
    for row, words in zip(asked, said, strict=True):
        cosine = known @ row / np.linalg.norm(known, axis=1)
        candidates = [s for place in np.argsort(-cosine)[:4] for s in captions[place]]

        def agreement(place, candidates=candidates):
            others = candidates[:place] + candidates[place + 1 :]
            score = corpus_cider(
                [candidates[place]] * len(others),
                [[other] for other in others],
                variant="cider",
                frequencies=rarity,
            )
            return score.value

        scores = [agreement(place) for place in range(len(candidates))]
        taken = max(scores[p] for p, s in enumerate(candidates) if tuple(s) == words)
        assert taken == pytest.approx(max(scores), abs=1e-9)


def test_more_neighbours_than_images_and_captions_that_nobody_shares():
    one = neighbour_captions(np.ones((1, 3)), [BUS], np.ones((2, 3)), neighbours=9)
    assert one == [("a", "red", "bus")] * 2  # one image: nothing is rare, the first is taken
    silent = neighbour_captions(np.ones((2, 3)), [[[]], [[]]], np.ones((1, 3)), neighbours=2)
    assert silent == [()]


@given(number=st.integers(2, 60), seed=st.integers(0, 5))
def test_nobody_keeps_their_place(number, seed):
    order = derangement(number, seed)
    assert sorted(order) == list(range(number))
    assert (order != np.arange(number)).all()
    assert (order == derangement(number, seed)).all()


def test_one_alone_cannot_be_exchanged():
    with pytest.raises(BadData, match="1 cannot be exchanged"):
        derangement(1)


def test_a_store_that_shows_other_images(tmp_path):
    folder = make_world(tmp_path / "data")
    store = FeatureStore.open(folder.store_path("cells"))
    val = np.array([image.id for image in folder.images("val")])
    store.counts[store.rows(val[:1])] = 0  # could not be read
    other = OtherImages(store, val)
    assert (other.rows(val[:1]) == store.rows(val[:1])).all()
    assert (other.rows(val[1:]) != store.rows(val[1:])).all()
    assert sorted(other.rows(val)) == sorted(store.rows(val)), "only among themselves"
    train = np.array([image.id for image in folder.images("train")])
    assert (other.rows(train) == store.rows(train)).all()
    assert other.header is store.header
    assert (other.read(other.rows(val))[0] == store.read(other.rows(val))[0]).all()


def test_a_folder_whose_questions_have_changed_places(tmp_path):
    folder = make_world(tmp_path / "data")
    other = OtherQuestions(folder, "val", seed=1)
    assert other.questions("train") == folder.questions("train")
    before, after = folder.questions("val"), other.questions("val")
    assert [q._replace(text="") for q in after] == [q._replace(text="") for q in before]
    assert sorted(q.text for q in after) == sorted(q.text for q in before)
    assert [q.text for q in after] != [q.text for q in before]
