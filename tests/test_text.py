"""Tokenizers and vocabularies to the letter of the systems they belong to."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.text.tokenizers import TOKENIZERS, as_question, caption_words
from saccade.text.vocabulary import Words, caption_vocabulary, question_vocabulary


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


# What a question becomes in each published way of cutting. The treebank column is what NLTK says.
CUTS = [
    (
        "What color is the man's hat?",
        {
            "treebank": ["what", "color", "is", "the", "man", "'s", "hat", "?"],
            "basic_vqa": ["what", "color", "is", "the", "man", "'", "s", "hat", "?"],
            "san": ["what", "color", "is", "the", "man's", "hat"],
            "bottom_up": ["what", "color", "is", "the", "man", "'s", "hat"],
            "openvqa": ["what", "color", "is", "the", "mans", "hat"],
        },
    ),
    (
        "Isn't it red, or  blue?",
        {
            "treebank": ["is", "n't", "it", "red", ",", "or", "blue", "?"],
            "basic_vqa": ["isn", "'", "t", "it", "red", ",", "or", "blue", "?"],
            "san": ["isn't", "it", "red", "or", "blue"],
            "bottom_up": ["isn't", "it", "red", "or", "blue"],
            "openvqa": ["isnt", "it", "red", "or", "blue"],
        },
    ),
    (
        "Dont they have 1,000 dogs?",
        {
            "treebank": ["dont", "they", "have", "1,000", "dogs", "?"],
            "basic_vqa": ["dont", "they", "have", "1", ",", "000", "dogs", "?"],
            # a comma within a number takes every mark away without a blank; the official table
            # gives the apostrophe back
            "san": ["don't", "they", "have", "1000", "dogs"],
            "bottom_up": ["dont", "they", "have", "1000", "dogs"],
            "openvqa": ["dont", "they", "have", "1000", "dogs"],
        },
    ),
    (
        "T-shirt/jacket: 3.5 u.s. (red)?",
        {
            "treebank": ["t-shirt/jacket", ":", "3.5", "u.s.", "(", "red", ")", "?"],
            # what stands between two words is one piece, its blanks taken off at the ends only
            "basic_vqa": [
                "t",
                "-",
                "shirt",
                "/",
                "jacket",
                ":",
                "3",
                ".",
                "5",
                "u",
                ".",
                "s",
                ". (",
                "red",
                ")?",
            ],
            # of the brackets "(" stands beside a blank and vanishes; the others become blanks
            "san": ["t", "shirt", "jacket:", "3.5", "us", "red"],
            "bottom_up": ["t-shirt/jacket:", "3.5", "u.s.", "(red)"],
            "openvqa": ["t", "shirt", "jacket", "35", "us", "red"],
        },
    ),
    ("?", {"treebank": ["?"], "basic_vqa": ["?"], "san": [], "bottom_up": [], "openvqa": []}),
]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [(name, text, words) for text, cuts in CUTS for name, words in cuts.items()],
)
def test_every_published_way_of_cutting_a_question(name, text, words):
    assert TOKENIZERS[name](text) == words


def test_no_tokenizer_is_forgotten():
    here = {"show_ask_attend_answer", "karpathy", "multilingual"} | set(CUTS[0][1])
    assert here == set(TOKENIZERS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('The sign says "no parking".', "the sign says `` no parking '' ."),
        ("Who can't or cannot swim?", "who ca n't or can not swim ?"),
        ("Are the dogs' tails long?", "are the dogs ' tails long ?"),
        ("What's 'it', they'll ask", "what 's ' it ' , they 'll ask"),
        ("Gimme what he's gonna wanna", "gim me what he 's gon na wan na"),
        ("D'ye want more'n that?", "d 'ye want more 'n that ?"),
        ("Is it 3:30 p.m.?", "is it 3:30 p.m. ?"),
        ("One sentence. Another.", "one sentence. another ."),  # the last full stop only
        ("He left... (why?)", "he left ... ( why ? )"),
        ("$5 & 50% #1 - a--b; x@y", "$ 5 & 50 % # 1 - a -- b ; x @ y"),
    ],
)
def test_treebank_in_detail(text, words):
    assert TOKENIZERS["treebank"](text) == words.split(" ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Is the cat's, uh, 's?", ["is", "the", "cat", "'s", "uh", "'s"]),
        ("it'simple", ["it", "'simple"]),  # wherever it stands
        ("is it?now", ["is", "itnow"]),  # marks go without leaving a blank
    ],
)
def test_bottom_up_in_detail(text, words):
    assert TOKENIZERS["bottom_up"](text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("how many-legged one/two", ["how", "many", "legged", "one", "two"]),
        ("o'clock. (a:b;c) *#!", ["oclock", "abc"]),
        ("a [b] & c_d", ["a", "[b]", "&", "c_d"]),  # other marks stay
    ],
)
def test_openvqa_in_detail(text, words):
    assert TOKENIZERS["openvqa"](text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the Two dogs, none", ["the", "two", "dogs", "none"]),  # articles and numbers stay
        ("Whats a yes/no - one?", ["what's", "a", "yes", "no", "one"]),
        ("im sure youre", ["im", "sure", "you're"]),  # the table's "Im" is never met in lower case
    ],
)
def test_san_in_detail(text, words):
    assert TOKENIZERS["san"](text) == words


@given(st.text(alphabet="aB1's .,?!-/()\"\t", max_size=20))
def test_words_are_never_empty_except_where_the_published_code_makes_them(text):
    for name, cut in TOKENIZERS.items():
        words = cut(text)
        assert words == [word.lower() for word in words], name
        if name != "show_ask_attend_answer":
            assert all(word.strip() == word != "" for word in words), name


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
        words = Words(vocabulary)
        written = json.loads(json.dumps(words.to_json()))
        assert Words.from_json(written, Path("words.json")) == words


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
    good = Words(question_vocabulary({"a": 2, "b": 1}, tokenizer="karpathy")).to_json()
    for broken in ({"vocabulary": good["vocabulary"] | change, "answers": None}, {}, []):
        with pytest.raises(BadData, match=r"vocabulary|the whole") as refused:
            Words.from_json(broken, Path("words.json"))
        assert refused.value.location == "words.json"
