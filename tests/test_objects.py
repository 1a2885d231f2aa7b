"""Objects of images: in captions (CHAIR), and asked for (POPE)."""

import json
import os
import random
from pathlib import Path

import pytest

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Question
from saccade.datasets.catalogue import read_source
from saccade.datasets.coco_pope import STRATEGIES, ask
from saccade.datasets.prepare import prepare
from saccade.evaluation.captioning import score_texts
from saccade.evaluation.scoring import score_answers
from saccade.metrics.chair import chair
from saccade.metrics.coco_objects import NAMES, objects_mentioned
from saccade.metrics.yes_no import says_yes, yes_no
from tests.source_samples import SAMPLES, coco_instances, save, write_coco

REAL = Path(os.environ.get("SACCADE_REAL_DATA", "../shared/data")) / "coco-mini"


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("two dogs and a puppy on the couch", ["dog", "dog", "couch"]),
        ("a man eats a hot dog at a stop sign", ["person", "hot dog", "stop sign"]),
        ("a couple of baby elephants near train tracks", ["elephant"]),
        ("a passenger train and three knives", ["train", "knife"]),
        (
            "wine glasses on a table beside a teddy bear",
            ["wine glass", "dining table", "teddy bear"],
        ),
        ("a toilet seat", ["toilet"]),
        ("firemen and policemen with buses and benches", ["person", "person", "bus", "bench"]),
        ("the caterpillar drives carefully", []),
    ],
)
def test_the_longest_name_is_the_object(caption, objects):
    assert objects_mentioned(caption.split()) == objects


def test_every_category_is_one_of_80_and_named_by_itself():
    assert len(NAMES) == 80
    for category in NAMES:
        assert objects_mentioned(category.split()) == [category]
    others = [name for names in NAMES.values() for name in names.split()]
    assert len(others) == len(set(others)), "no word is of two categories"


def test_chair_counts_mentions_and_captions():
    captions = ["a dog and a cat and a cat", "a dog", "the sky", "a man on a bike"]
    people = [["a dog near a kitten"], ["an orange"], ["a cow"], ["a bicycle"]]
    objects = {1: ("dog",), 2: ("cat",), 3: (), 4: ("car",)}
    words = [caption.split() for caption in captions]
    human = [[caption.split() for caption in some] for some in people]
    found = chair(words, human, objects=objects, image_ids=[1, 2, 3, 4])
    assert found["chair_s"].value == 2 / 4  # the dog of the second, the man of the last
    assert found["chair_i"].value == 2 / 6
    assert found["chair_i"].sums == [(0, 3), (1, 1), (0, 0), (1, 2)]
    nothing = chair([["sky"]], [[]], objects={1: ("dog",)}, image_ids=[1])
    assert nothing["chair_i"].value == nothing["chair_s"].value == 0


def test_without_objects_there_is_no_chair():
    assert chair([["a"]], [[]], objects={}, image_ids=[1]).not_of_this_data
    other = chair([["a"]], [[]], objects={1: ("lamp",)}, image_ids=[1])
    assert "'lamp'" in other.reason
    assert not other.not_of_this_data


def test_the_objects_beside_coco_captions_are_kept_and_scored(tmp_path):
    write_coco(tmp_path / "raw")
    plain = DataFolder(prepare("coco-captions", tmp_path / "raw", tmp_path / "plain"))
    said = dict.fromkeys((one.id for one in plain.images("val")), "A man with a dog and a horse.")
    assert plain.objects() == {}
    assert "chair_s" not in score_texts(said, plain, "val").scores
    for split, image in (("train2017", 9), ("val2017", 42)):
        save(tmp_path / f"raw/annotations/instances_{split}.json", coco_instances(image))
    folder = DataFolder(prepare("coco-captions", tmp_path / "raw", tmp_path / "data"))
    assert folder.objects() == {9: ("person", "dog", "cup"), 42: ("person", "dog", "cup")}
    scored = score_texts(said, folder, "val")
    assert (scored.scores["chair_s"], scored.scores["chair_i"]) == (1, 1 / 3)
    assert scored.rows["chair_s"] == [1]
    assert folder.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("text", "yes"),
    [("Yes, there is a dog.", True), ("No.", False), ("There is not. Yes", False), ("dog", True)],
)
def test_an_answer_is_yes_unless_it_says_no(text, yes):
    assert says_yes(text) == yes


def asked(answers):
    return [Question(n, n, "?", "test", (text,), text) for n, text in enumerate(answers)]


def test_yes_and_no_by_hand():
    true = asked(["yes", "yes", "yes", "no", "no", "no"])
    found = yes_no(["yes", "Yes, a dog", "no", "yes", "no", "There is not one"], true)
    assert {name: result.value for name, result in found.items()} == pytest.approx(
        {
            "yes_no_accuracy": 4 / 6,
            "yes_precision": 2 / 3,
            "yes_recall": 2 / 3,
            "yes_f1": 2 / 3,
            "yes_share": 3 / 6,
        }
    )
    never = yes_no(["no"] * 6, true)
    assert never["yes_precision"].value == never["yes_f1"].value == 0
    assert "yes_f1" not in score_answers({0: "yes"}, asked(["red"])).scores


OBJECTS = {
    1: ("person", "dog", "cup"),
    2: ("person", "dog", "car"),
    3: ("person", "dog", "car", "cat"),
    4: ("cup", "cat", "bus"),
}


@pytest.mark.parametrize("how", STRATEGIES)
def test_three_objects_that_are_there_and_three_that_are_not(how):
    questions = [*ask(OBJECTS, how, random.Random(0))]
    for image, names in OBJECTS.items():
        own = [(name, there) for of, name, there in questions if of == image]
        assert [name for name, there in own if there] == [*names[:3]]
        absent = [name for name, there in own if not there]
        assert len(absent) == len(set(absent)) == min(3, 6 - len(names))
        assert set(absent).isdisjoint(names)


def test_what_is_not_there_is_the_commonest_or_what_is_seen_with_it():
    def absent(image, how):
        return [
            n for of, n, there in ask(OBJECTS, how, random.Random(0)) if of == image and not there
        ]

    assert absent(1, "popular")[0] == "car"  # 2 images, as cat and cup, and the first of them
    assert absent(4, "popular") == ["person", "dog", "car"]
    # With a cup: person and dog once each, cat and bus are there; with a cat: car is left.
    assert absent(4, "adversarial")[:2] == ["person", "dog"]


def test_questions_about_objects_are_drawn_the_same_each_time(tmp_path):
    SAMPLES["coco-pope"](tmp_path)
    collection = read_source("coco-pope", tmp_path)
    assert collection == read_source("coco-pope", tmp_path)
    assert {question.question_type for question in collection.questions} == {*STRATEGIES}
    assert len({question.id for question in collection.questions}) == len(collection.questions)
    assert "Is there an orange in the image?" in {one.text for one in collection.questions}
    assert {image.id for image in collection.images} == {9, 10, 42, 43}
    one = read_source("coco-pope", tmp_path, strategy="popular", count="1")
    assert len(one.images) == 2
    assert {question.question_type for question in one.questions} == {"popular"}
    path = tmp_path / "annotations/instances_val2017.json"
    document = json.loads(path.read_text())
    document["annotations"] = document["annotations"][-2:]
    save(path, document)
    with pytest.raises(BadData, match="3 kinds"):
        read_source("coco-pope", tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="real data is not here")
def test_a_person_seldom_names_what_is_not_there(tmp_path):
    folder = DataFolder(prepare("coco-captions", REAL, tmp_path / "data"))
    human = folder.captions_by_image("val")
    first = {id_: some[0].text for id_, some in human.items()}
    assert score_texts(first, folder, "val").scores["chair_s"] == 0, "their own words are there"
