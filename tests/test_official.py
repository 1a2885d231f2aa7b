"""What is known of the public sets, and what is said about a copy that differs."""

import pytest

from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.datasets.catalogue import SOURCES, read_source
from saccade.datasets.published_counts import FINGERPRINTS, MISTAKEN, OFFICIAL, compare, words_of
from tests.source_samples import SAMPLES


def captions(source, edition, **counts):
    """A collection with so many images in each split, a caption each."""
    images, said, number = [], [], 0
    for split, count in counts.items():
        for _ in range(count):
            images.append(ImageRecord(number, f"{number}.jpg", split))
            said.append(Caption(number, number, "A dog", ("a", "dog"), split))
            number += 1
    return Collection(source, ".", images, captions=said, edition=edition)


def test_karpathy_without_restval_is_noticed():
    notes, (finding,) = compare(captions("karpathy", "coco", train=82_783))
    assert notes == []
    assert finding.level == "warning"
    assert finding.examples == (
        "train: 82,783 images and 82,783 captions, published 113,287 images and 566,747 captions",
    )
    assert finding.cause == "The 30,504 images of split restval are missing."
    assert "do not compare" in finding.hint


def test_questions_of_the_other_version_are_noticed():
    questions = [Question(n, 0, "?", "train", ("a",), "a") for n in range(248_349)]
    collection = Collection(
        "vqa-v2", ".", [ImageRecord(0, "a", "train")], questions, edition="mscoco"
    )
    (finding,) = compare(collection)[1]
    assert finding.cause == "These are the questions of VQA v1."


def test_an_earlier_release_is_noticed():
    questions = [Question(n, n % 1000, "?", "test", ("yes",), "yes") for n in range(9_599)]
    images = [ImageRecord(n, f"{n}.png", "test") for n in range(1000)]
    collection = Collection("easy-vqa", ".", images, questions, edition="all")
    (finding,) = compare(collection)[1]
    assert finding.cause == "These are the questions of its first release."


@pytest.mark.parametrize(("source", "edition"), OFFICIAL)
def test_every_published_count_is_one_that_could_be(source, edition):
    assert source in SOURCES
    for count in OFFICIAL[source, edition]:
        assert bool(count.questions) != bool(count.captions)
        if count.images:
            assert max(count.questions, count.captions) >= count.images
    assert FINGERPRINTS.keys() <= OFFICIAL.keys()
    assert {key[:2] for key in MISTAKEN} <= OFFICIAL.keys()


COUNTED = {
    *("vqa-v1", "vqa-v2", "visual-genome", "gqa", "daquar", "easy-vqa", "vqa-rad", "pitvqa"),
    *("endovis18-vqa", "karpathy", "coco-captions", "flickr8k", "flickr30k"),
    *("flickr8k-cn", "multi30k"),
}
"""Sources with published counts to compare with."""


@pytest.mark.parametrize("name", SOURCES)
def test_samples_say_which_edition_they_would_be(name, tmp_path):
    SAMPLES[name](tmp_path)
    collection = read_source(name, tmp_path)
    known = {edition for source, edition in OFFICIAL if source == name}
    counted = name in COUNTED
    assert bool(known) == counted
    if not counted:
        assert compare(collection) == ([], [])
    else:
        assert collection.edition in known
        (finding,) = compare(collection)[1]
        assert finding.count == len(finding.examples)


def test_counts_that_agree_are_noted_and_other_words_are_not_forgiven(monkeypatch):
    questions = [Question(n, n, f"Is it {n}?", "train", ("no",), "no") for n in range(5)]
    images = [ImageRecord(n, f"{n}.jpg", "train") for n in range(5)]
    key = ("vqa-rad", "official")
    collection = Collection("vqa-rad", ".", images, questions, edition="official")
    splits = ("train", "val")
    rows = (OFFICIAL[key][0]._replace(questions=5), OFFICIAL[key][1])
    monkeypatch.setitem(OFFICIAL, key, rows)
    monkeypatch.setitem(FINGERPRINTS, key, {splits: words_of(questions)})
    assert compare(collection) == (
        ["Held against what is published: train and val is word for word the published one."],
        [],
    )
    assert words_of(questions[::-1]) == words_of(questions)
    questions[2] = questions[2]._replace(text="Is it not?")
    (finding,) = compare(collection)[1]
    assert finding.examples == ("train and val: as many questions as published, but other words",)
    monkeypatch.setitem(FINGERPRINTS, key, {})
    assert compare(collection)[0] == [
        "Held against what is published: train and val has the published counts."
    ]


@pytest.mark.parametrize(("train", "val", "test", "known"), [
    (6_101, 694, 5_673, True), (6_795, 0, 5_673, True), (6_201, 694, 5_573, False),
    (6_795, 0, 5_572, False),
])  # fmt: skip
def test_daquars_test_questions_count_on_their_own(train, val, test, known):
    """Validation is drawn from training questions; none of them makes up for a test question."""
    splits = ["train"] * train + ["val"] * val + ["test"] * test
    questions = [Question(n, n, "?", split, ("a",), "a") for n, split in enumerate(splits)]
    images = [ImageRecord(n, f"{n}.png", split) for n, split in enumerate(splits)]
    notes, findings = compare(Collection("daquar", ".", images, questions, edition="894"))
    assert (len(notes), len(findings)) == ((1, 0) if known else (int(train + val == 6_795), 1))
    if not known:
        assert f"test: {test:,} questions, published 5,673 questions" in findings[0].examples


def test_one_of_several_counts_will_do():
    questions = [Question(n, n % 9, "?", "test") for n in range(107_394)]
    images = [ImageRecord(n, f"{n}", "test") for n in range(9)]
    collection = Collection("vqa-v2", ".", images, questions, edition="mscoco")
    assert compare(collection) == (
        ["Held against what is published: test has the published counts."],
        [],
    )


def test_vqa_rad_is_word_for_word_the_published_one(real_data):
    notes, findings = compare(read_source("vqa-rad", real_data("vqa-rad")))
    assert "word for word" in notes[0]
    assert findings == []
