"""The official answer rules, against published vectors and an independent transcription."""

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadConfig, BadData
from saccade.text.answers import (
    CONTRACTIONS,
    NORMALISERS,
    REVISIONS,
    AnswerList,
    answer_list,
    normalise_answer,
    normalise_digits_and_articles,
    normalise_pair,
    normalise_punctuation,
)
from saccade.text.vocabulary import Words, question_vocabulary
from tests.oracles import official_vqa_scorer as oracle

# input, official in full, the variant of Show, Ask, Attend, and Answer
VECTORS = [
    ("The Cat", "cat", "The Cat"),
    ("none", "0", "none"),
    ("a", "", "a"),
    ("left one", "left 1", "left one"),
    ("T-shirt", "t shirt", "T shirt"),
    ("black-white - red", "blackwhite red", "black white  red"),
    ("u.s.", "us", "u.s."),
    ("st. louis", "st louis", "st. louis"),
    ("100,978", "100978", "100978"),
    ("1,000-2,000", "10002000", "1000 2000"),
    ("5.", "5", "5."),
    *[(same, same, same) for same in (".5", "5.5", "1.5.2", "no.1", "50%", "#1", "rock & roll")],
    ("10:30 a.m.", "10:30 am", "10:30 a.m."),
    ("a/c", "c", "a c"),
    ("yes/no", "yes no", "yes no"),
    ("(red)", "red", "red"),
    ("dont", "don't", "dont"),
    ("Im", "im", "Im"),
    ("somebody'd", "somebodyd", "somebody'd"),
    ("red, white, and blue", "red white and blue", "red white and blue"),
    ("$1,000", "$1000", "$1000"),
    ("eleven", "eleven", "eleven"),
    ("one hundred", "1 hundred", "one hundred"),
    ("x_y", "x y", "x y"),
]


@pytest.mark.parametrize(("text", "official", "show_ask_attend_answer"), VECTORS)
def test_published_vectors(text, official, show_ask_attend_answer):
    assert normalise_answer(text) == official
    assert NORMALISERS["official"](text) == official
    assert NORMALISERS["show_ask_attend_answer"](text) == show_ask_attend_answer
    assert NORMALISERS["none"](text) == text


def test_contraction_table_is_the_official_one():
    written = json.dumps(sorted(CONTRACTIONS.items())).encode()
    published = "3e5960526f62912d3b70896069c43c13d7c21be38d50ca28efbb9095b499454f"
    assert hashlib.sha256(written).hexdigest() == published


def test_at_most_32_full_stops_are_deleted():
    assert normalise_punctuation("." * 40) == "." * 8


def invented_answers(number, seed=0):
    """Answers as people might write them, and as only a fuzzer would."""
    choose = random.Random(seed)
    words = ["cat", "The", "a", "an", "none", "Two", "ten", "eleven", "dont", "Ive", "somebody'd"]
    words += ["yall'd've", "'ows'at", "3", "1,000", "2.5", "5.", "u.s.", "T-shirt", "x", "ẞ", "٣,٤"]
    glue = [*oracle.MARKS, *".':$%&#*", *"     \n\t", ". ", " ,", "- ", "", "", "\xa0", "..."]
    for _ in range(number):
        parts = choose.choices(words, k=choose.randint(0, 4))
        yield "".join(part + choose.choice(glue) for part in parts) + choose.choice(["", "", "."])


def test_a_hundred_thousand_answers_as_an_independent_transcription():
    tried = Counter()
    for text in invented_answers(110_000):
        said = normalise_punctuation(text)
        assert said == oracle.punctuation(text), repr(text)
        assert normalise_digits_and_articles(said) == oracle.digits_and_articles(said), repr(text)
        tried[said != text] += 1
    assert min(tried.values()) > 5_000  # both kinds were met: changed and unchanged


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_hundred_thousand_answers_of_people_and_models_in_both_revisions(revision):
    """Whole records: which side is normalised, and how far, depends on what all people wrote."""
    choose = random.Random(7)
    pool = list(invented_answers(60_000, seed=1))
    agreed = 0
    for _ in range(10_000):
        few = choose.sample(pool, k=choose.choice([1, 1, 2, 3, 9]))
        people = choose.choices([*few, *few, few[0].upper()] if len(few) > 1 else few, k=10)
        said = choose.choice([*few, choose.choice(pool)])
        assert normalise_pair(said, people, revision) == oracle.NORMALISED[revision](said, people)
        agreed += len(set(people)) == 1
    assert 2_000 < agreed < 8_000  # both kinds of records were met


@given(st.text(alphabet="aA1٣.,-/ \n\t'\u2019?!é", max_size=12))
def test_any_text_as_an_independent_transcription(text):
    assert normalise_answer(text) == oracle.digits_and_articles(oracle.punctuation(text))


def test_new_revision_normalises_both_sides_or_neither():
    assert normalise_pair(" Black. ", ["black"] * 10) == ("Black.", ["black"] * 10)
    answers = ["black"] * 9 + ["a  T-shirt"]
    assert normalise_pair("The Black.", answers) == ("black", ["black"] * 9 + ["t shirt"])


def test_old_revision_never_strips_articles_from_human_answers():
    answers = ["the dog"] * 9 + ["dog-like"]
    assert normalise_pair("the dog", answers, "2016") == ("dog", ["the dog"] * 9 + ["dog like"])
    assert normalise_pair("t-shirt", ["t-shirt"] * 3, "2016") == ("t shirt", ["t-shirt"] * 3)


def test_unknown_revision_is_refused():
    with pytest.raises(BadConfig, match="2021-03, 2016"):
        normalise_pair("yes", ["yes"], "2017")
    assert REVISIONS[0] == "2021-03"


def test_answer_list_takes_the_commonest_and_sorts_backwards():
    counts = {"yes": 5, "T-shirt": 2, "no": 7, "T shirt": 3, "red": 1, "blue": 1}
    listed = answer_list(counts, size=4, normaliser="show_ask_attend_answer")
    assert listed.answers == ("no", "yes", "T shirt", "red")  # red came before blue
    assert len(listed) == 4
    assert listed.encode(["T-shirt", "green", "yes", "T shirt"]) == ([2, 1], [2, 1])
    assert listed.encode(["green"]) == ([], [])


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        ({}, ("a cat", "2", "x_y", "Two", "u.s.", "A cat")),
        ({"size": 2}, ("a cat", "2")),
        ({"size": 5}, ("a cat", "2", "x_y", "Two", "A cat")),  # it came before "u.s."
        ({"size": 99}, ("a cat", "2", "x_y", "Two", "u.s.", "A cat")),
        ({"min_count": 3}, ("a cat", "2")),
        ({"min_count": 9}, ()),
        ({"only_words": True}, ("2", "x_y", "Two")),
        ({"only_words": True, "size": 2}, ("2", "x_y")),  # what is left out takes no place
        ({"normaliser": "official"}, ("cat", "2", "x y", "us")),
        ({"normaliser": "official", "min_count": 5}, ("cat", "2")),  # counted after normalising
        ({"normaliser": "official", "only_words": True}, ("cat", "2", "us")),
        ({"normaliser": "show_ask_attend_answer"}, ("a cat", "2", "x y", "Two", "u.s.", "A cat")),
    ],
)
def test_answer_list_options(options, listed):
    counts = {"a cat": 4, "A cat": 1, "x_y": 2, "2": 3, "Two": 2, "the": 0, "u.s.": 1}
    counts = {answer: count for answer, count in counts.items() if count}
    made = answer_list(counts, **{"size": None, "normaliser": "none", **options})
    assert made.answers == listed


def test_an_answer_of_which_nothing_is_left_is_no_answer():
    listed = answer_list({"the": 9, "": 7, "yes": 1}, size=2, normaliser="official")
    assert listed.answers == ("yes",)


def test_raw_answers_that_read_alike_are_one():
    listed = AnswerList(("2", "t shirt"), "official")
    assert listed.encode(["two", "T-shirt", "2.", "three", "the 2"]) == ([0, 1], [3, 1])
    raw = AnswerList(("2", "t shirt"), "none")
    assert raw.encode(["two", "T-shirt", "2", "three"]) == ([0], [1])


def test_answer_list_survives_json():
    listed = answer_list({"yes": 2, "no": 1}, size=9, normaliser="none")
    words = Words(question_vocabulary({"a": 1}, tokenizer="karpathy"), listed)
    assert Words.from_json(json.loads(json.dumps(words.to_json())), Path("words.json")) == words


@pytest.mark.parametrize(
    "value",
    [
        [],
        "yes",
        {"normaliser": "none"},
        {"normaliser": "none", "answers": "yes"},
        {"normaliser": "none", "answers": ["yes", 2]},
        {"normaliser": "none", "answers": ["yes", "yes"]},
        {"normaliser": "nonesuch", "answers": ["yes"]},
    ],
)
def test_broken_answer_list_is_refused(value):
    written = Words(question_vocabulary({"a": 1}, tokenizer="karpathy")).to_json()
    with pytest.raises(BadData, match=r"answer") as refused:
        Words.from_json(written | {"answers": value}, Path("words.json"))
    assert refused.value.location == "words.json"


def test_unknown_normaliser_is_refused():
    with pytest.raises(BadConfig, match="nonesuch"):
        answer_list({"yes": 1}, size=1, normaliser="nonesuch")
