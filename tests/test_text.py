"""Tokenizers and vocabularies to the letter of the systems they belong to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.errors import BadData
from saccade.text import (
    TOKENIZERS,
    Vocabulary,
    as_question,
    caption_vocabulary,
    caption_words,
    question_vocabulary,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What color is the man's hat?", ["what", "color", "is", "the", "man's", "hat"]),
        ("Is it red, or  blue?", ["is", "it", "red,", "or", "", "blue"]),
        ("?", [""]),
        ("no mark", ["no", "mar"]),  # the last character goes, whatever it is
    ],
)
def test_show_ask_attend_answer_tokens(text, words):
    assert TOKENIZERS["show_ask_attend_answer"](text) == words


def test_caption_words_are_the_karpathy_form():
    assert caption_words("A man's T-shirt, (red) & new.\n") == ("a", "mans", "tshirt", "red", "new")
    assert TOKENIZERS["karpathy"]("Two  dogs!") == ["two", "dogs"]
    assert caption_words("...") == ()


@pytest.mark.parametrize("text", ["is it red", " is it red? ", "is it red?"])
def test_as_question_ends_with_a_question_mark(text):
    assert as_question(text) == "is it red?"


def test_question_vocabulary_order():
    counts = {"b": 2, "a": 2, "the": 5, "rare": 1, "<pad>": 9}
    vocabulary = question_vocabulary(counts, tokenizer="show_ask_attend_answer", min_count=2)
    assert vocabulary.words == ("<pad>", "the", "b", "a")
    assert vocabulary.encode(["the", "rare", "a", "<pad>"]) == [1, 0, 3, 0]
    assert len(vocabulary) == 4


def test_caption_vocabulary_order():
    vocabulary = caption_vocabulary({"a": 6, "rare": 5, "dog": 9, "<end>": 99})
    assert vocabulary.words == ("<pad>", "a", "dog", "<unk>", "<start>", "<end>")
    assert vocabulary.encode_caption(["a", "rare", "dog", "<end>"]) == [4, 1, 3, 2, 3, 5]
    assert vocabulary.decode([4, 1, 3, 2, 0, 5, 1]) == ["a", "<unk>", "dog"]


@given(st.lists(st.sampled_from(["a", "dog", "runs"]), max_size=9))
def test_known_words_survive_encoding(words):
    vocabulary = caption_vocabulary({"a": 1, "dog": 1, "runs": 1}, min_count=1)
    assert vocabulary.decode(vocabulary.encode_caption(words)) == words


def test_questions_have_no_start_and_end():
    vocabulary = question_vocabulary({"a": 1}, tokenizer="karpathy")
    with pytest.raises(ValueError, match="start and end"):
        vocabulary.encode_caption(["a"])


def test_vocabulary_survives_json():
    for vocabulary in (
        caption_vocabulary({"a": 9}),
        question_vocabulary({"a": 9}, tokenizer="karpathy"),
    ):
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@pytest.mark.parametrize(
    "change",
    [
        {"words": "abc"},
        {"words": ["<pad>", "a", "a"]},
        {"words": ["<pad>", 1]},
        {"pad": None},
        {"unknown": 7},
        {"start": -1},
        {"end": "2"},
        {"tokenizer": "nonesuch"},
    ],
)
def test_broken_vocabulary_is_refused(change):
    good = question_vocabulary({"a": 2, "b": 1}, tokenizer="karpathy").to_json()
    with pytest.raises(BadData, match=r"vocabulary\.json"):
        Vocabulary.from_json(good | change, where="vocabulary.json")
    with pytest.raises(BadData, match="not a vocabulary"):
        Vocabulary.from_json([], where="vocabulary.json")
