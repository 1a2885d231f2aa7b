"""WUPS over a WordNet made up for the purpose, with every similarity known by hand."""

import itertools
import shutil
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.data.records import Question
from saccade.metrics import wups as module
from saccade.metrics.catalogue import NotMeasured
from saccade.metrics.wups import noun_similarity, wups, wups_of
from tests.oracles import tiny_wordnet


def question(answer):
    return Question(1, 1, "what?", "val", (answer,))


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    return tiny_wordnet.write(tmp_path_factory.mktemp("wordnet") / "wordnet")


@pytest.fixture(scope="module")
def similarity(wordnet):
    return noun_similarity(wordnet)


NOUNS = sorted({word for sense in tiny_wordnet.PARENT for word in tiny_wordnet.words(sense)})


def test_similarity_of_every_pair_of_nouns(similarity):
    for one, other in itertools.product(NOUNS, NOUNS):
        wanted = tiny_wordnet.similarity(one, other)
        assert similarity(one, other) == pytest.approx(wanted), (one, other)
    assert similarity("dog", "hound") == 1  # synonyms
    assert similarity("dog", "cat") == pytest.approx(4 / 6)
    assert similarity("mouse", "hammer") == pytest.approx(4 / 6)  # the one of a computer
    assert similarity("mice", "cats") == pytest.approx(4 / 6)  # other forms are found
    assert similarity("ice cream", "entity") == pytest.approx(2 / 3)
    assert similarity("dog", "xyzzy") == 0


@pytest.mark.parametrize(
    ("said", "human", "at_0", "at_9"),
    [
        ("dog", "dog", 1, 1),
        ("dog", "hound", 1, 1),
        ("dog", "cat", 4 / 6, 0.4 / 6),
        ("puppy", "dog", 6 / 7, 0.6 / 7),
        ("xyzzy", "xyzzy", 1, 1),  # unknown to WordNet, but the same
        ("xyzzy", "dog", 0, 0),
        ("", "dog", 0, 0),
        ("", "", 1, 1),
        ("cat, dog", "dog,cat", 1, 1),  # sets have no order
        ("dog", "dog, cat", 4 / 6, 0.4 / 6),  # the cat is missing
        (["dog", "cat"], ["dog"], 4 / 6, 0.4 / 6),  # the cat is too much
        ("dog, cat", "hammer", (2 / 6) ** 2, (0.2 / 6) ** 2),
    ],
)
def test_answers_by_hand(similarity, said, human, at_0, at_9):
    assert wups_of(said, human, similarity, 0.0) == pytest.approx(at_0)
    assert wups_of(said, human, similarity, 0.9) == pytest.approx(at_9)


def by_definition(said, human, threshold):
    """min of the two products of best likenesses, each below the threshold a tenth."""
    table = {}
    for a, t in itertools.product(said, human):
        near = 1.0 if a == t else tiny_wordnet.similarity(a, t)
        table[a, t] = near * (0.1 if near < threshold else 1)
    left = right = 1.0
    for a in said:
        left *= max(table[a, t] for t in human)
    for t in human:
        right *= max(table[a, t] for a in said)
    return min(left, right)


SETS = st.lists(st.sampled_from([*NOUNS, "xyzzy"]), min_size=1, max_size=3)


@given(said=SETS, human=SETS, threshold=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_any_lists_as_the_definition_says(similarity, said, human, threshold):
    wanted = by_definition(said, human, threshold)
    assert wups_of(said, human, similarity, threshold) == pytest.approx(wanted)
    assert wups_of(",".join(said), ", ".join(human), similarity, threshold) == pytest.approx(wanted)


def test_a_set_of_answers_and_the_same_wordnet_in_a_zip(wordnet, tmp_path):
    said, human = ["dog", "puppy", "hammer"], [*map(question, ["hound", "dog", "hammer"])]
    score = wups(said, human, wordnet=wordnet)
    assert score["wups_0_9"].per_example == pytest.approx([1, 0.6 / 7, 1])
    assert score["wups_0_9"].value == pytest.approx(100 * (2 + 0.6 / 7) / 3)
    assert score["wups_0_0"].value == pytest.approx(100 * (2 + 6 / 7) / 3)
    for name, inside in (("deep.zip", "wordnet/"), ("flat.zip", "")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in wordnet.iterdir():
                archive.write(file, f"{inside}{file.name}")
        assert wups(said, human, wordnet=tmp_path / name) == score


def test_without_wordnet_or_its_reader_nothing_is_measured(monkeypatch, wordnet):
    assert isinstance(wups(["a"], [question("b")], wordnet=None), NotMeasured)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert "saccade[metrics]" in wups(["a"], [question("b")], wordnet=wordnet).reason


def test_what_is_no_wordnet_is_refused(wordnet, tmp_path):
    with pytest.raises(BadData, match="is no WordNet"):
        wups(["a"], [question("b")], wordnet=tmp_path / "nowhere")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(BadData, match=r"holds no index\.noun"):
        wups(["a"], [question("b")], wordnet=tmp_path / "other.zip")
    broken = tmp_path / "broken"
    shutil.copytree(wordnet, broken)
    (broken / "noun.exc").unlink()
    with pytest.raises(BadData, match="is no whole WordNet"):
        wups(["a"], [question("b")], wordnet=broken)
    (broken / "noun.exc").write_text("")
    (broken / "index.noun").write_text("dog n many\n")
    with pytest.raises(BadData, match="is no whole WordNet"):
        wups(["a"], [question("b")], wordnet=broken)
    with pytest.raises(BadData, match="cannot be scored"):
        wups(["a"], [], wordnet=wordnet)


@pytest.mark.parametrize("place", ["directory", "member"])
def test_a_damaged_zip_file_of_wordnet_is_told(tmp_path, place):
    path = tmp_path / "wordnet.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("wordnet/index.noun", "cat n 1 0 1 0 00001740\n" * 50)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") if place == "directory" else 60
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(BadData) as refused:
        noun_similarity(path)
    assert refused.value.location == str(path)
