"""Scores of what data has beside questions: choices, pairs, rephrasings, entailments."""

import json
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.folds import cut_images, write_fold
from saccade.data.records import Question
from saccade.datasets.catalogue import read_source
from saccade.datasets.prepare import prepare
from saccade.evaluation.scoring import ScoreOptions, score_answers, selected_score
from saccade.evaluation.vqa import likeliest_choices, score_texts
from saccade.metrics.catalogue import METRICS
from saccade.metrics.consistency import consensus, entailments, pairs
from saccade.metrics.multiple_choice import multiple_choice_accuracy
from saccade.text.answers import AnswerList
from tests.source_samples import SAMPLES, save, write_vqa_v2

TEN = {1: ["red"] * 10, 2: ["blue"] * 2 + ["red"] * 8, 3: ["no"] * 10, 4: ["2"] * 9 + ["two men"]}
QUESTIONS = [Question(id_, 7, "what?", "val", tuple(people)) for id_, people in TEN.items()]
BESIDE = ("multiple_choice_accuracy", "pair_accuracy", "consensus_1", "entailed_accuracy")


def by_choice(said, choices, chosen=None):
    given = {"choices": choices, "chosen": chosen, "revision": "2021-03"}
    return multiple_choice_accuracy(said, QUESTIONS, **given)


def test_an_answer_counts_where_it_is_a_choice_of_its_question():
    offered = {1: ("blue", "red"), 2: ("blue", "red"), 3: ("yes", "maybe"), 4: ("Two.", "3")}
    found = by_choice(["red", "blue", "no", "2"], offered)
    assert found.value == pytest.approx((1 + 0.6 + 0 + 1) / 4)
    assert by_choice(["red", "blue", "no", "2"], {2: ("red", "blue")}).value == pytest.approx(0.6)
    assert by_choice(["green"] * 4, {2: ("red", "blue")}).value == 0


def test_the_choice_of_a_model_stands_for_its_answer():
    offered = dict.fromkeys(TEN, ("red", "no", "2"))
    said = by_choice(["green"] * 4, offered, {1: "red", 3: "no", 4: "2"})
    assert said.value == pytest.approx(3 / 4)
    assert said.sums == [(1, 1), (0, 1), (1, 1), (1, 1)]


def test_the_likeliest_choice_is_the_highest_of_those_in_the_list():
    answers = AnswerList(("yes", "no", "red", "t shirt"), "official")
    logits = torch.tensor([[9.0, 1, 2, 0], [9, 8, 7, 6], [0, 1, 2, 3], [0, 0, 0, 1]])
    offered = {5: ("no", "red", "nine"), 6: ("blue",), 7: ("Yes", "A T-shirt."), 8: ()}
    found = likeliest_choices(logits, [5, 6, 7, 8], offered, answers)
    assert found == {5: "red", 7: "A T-shirt."}


def test_pairs_count_where_both_answers_are_wholly_right():
    both = [(1, 3), (1, 2), (2, 4), (3, 99)]
    found = pairs(["red", "red", "no", "No."], QUESTIONS, pairs=both, revision="2021-03")
    assert {name: result.value for name, result in found.items()} == {
        "pair_accuracy": pytest.approx(2 / 3),
        "pair_same_answer": pytest.approx(1 / 3),
    }
    half = pairs(["red", "blue", "no", "2"], QUESTIONS, pairs=[(1, 2)], revision="2021-03")
    assert half["pair_accuracy"].value == 0, "6 of 10 points are no whole answer"


@given(st.lists(st.lists(st.booleans(), min_size=2, max_size=6), min_size=1, max_size=5))
def test_consensus_is_the_share_of_the_groups_that_are_right(groups):
    asked, said, together = [], [], []
    for number, group in enumerate(groups):
        for place, right in enumerate(group):
            asked.append(Question(10 * number + place, 1, "what?", "val", ("red",)))
            said.append("red" if right else "blue")
            if place:
                together.append((10 * number + place, 10 * number))
    found = consensus(said, asked, rephrasings=together, revision="2021-03")
    for size in (1, 2, 3, 4):
        shares = [
            sum(map(all, combinations(group, size))) / len([*combinations(group, size)])
            for group in groups
            if len(group) >= size
        ]
        if shares:
            assert found[f"consensus_{size}"].value == pytest.approx(sum(shares) / len(shares))
        else:
            assert found[f"consensus_{size}"].not_of_this_data


def test_what_follows_from_a_wrong_answer_does_not_count():
    follows = [(1, 3), (1, 4), (1, 1), (3, 1), (4, 1), (2, 77)]
    given = {"entailments": follows, "revision": "2021-03"}
    assert entailments(["red", "red", "no", "9"], QUESTIONS, **given).value == (0.5 + 1) / 2
    assert entailments(["blue", "red", "yes", "9"], QUESTIONS, **given).value == 0


def test_data_without_them_has_no_such_scores_and_cannot_be_chosen_by_them():
    said = dict.fromkeys(TEN, "red")
    assert score_answers(said, QUESTIONS).scores.keys().isdisjoint(BESIDE)
    for name in BESIDE:
        scored = score_answers(said, QUESTIONS, ScoreOptions((name,)))
        with pytest.raises(BadData, match=name):
            selected_score(scored, name)
    assert all(METRICS[name].selectable for name in BESIDE)


def test_rephrasings_and_pairs_of_a_folder_are_kept_scored_and_folded(tmp_path):
    write_vqa_v2(tmp_path / "raw")
    (path,) = (tmp_path / "raw").glob("**/v2_OpenEnded*val*questions.json")
    document = json.loads(path.read_text())
    first, second, third = (question["question_id"] for question in document["questions"])
    document["questions"][1]["rephrasing_of"] = first
    save(path, document)
    save(tmp_path / "raw/v2_mscoco_val2014_complementary_pairs.json", [[second, third]])
    folder = DataFolder(prepare("vqa-v2", tmp_path / "raw", tmp_path / "data"))
    assert folder.rephrasings() == [(second, first)]
    right = {one.id: one.best_answer for one in folder.questions("val")}
    scores = score_texts(right, folder, "val").scores
    assert (scores["consensus_1"], scores["consensus_2"], scores["pair_accuracy"]) == (1, 1, 1)
    assert {"consensus_3", "multiple_choice_accuracy", "entailed_accuracy"}.isdisjoint(scores)
    half = score_texts(right | {second: ""}, folder, "val").scores
    assert (half["consensus_1"], half["consensus_2"], half["pair_accuracy"]) == (0.5, 0, 0)
    fold = write_fold(folder, tmp_path / "fold", cut_images(folder, 2, 0), 1)
    assert (fold.rephrasings(), fold.pairs()) == (folder.rephrasings(), folder.pairs())
    document["questions"][1]["rephrasing_of"] = "the first"
    save(path, document)
    with pytest.raises(BadData, match="rephrasing_of"):
        read_source("vqa-v2", tmp_path / "raw")


def test_what_follows_is_kept_of_gqa_but_for_training(tmp_path):
    SAMPLES["gqa"](tmp_path)
    for path in tmp_path.glob("questions/*_balanced_questions.json"):
        document = json.loads(path.read_text())
        first, *others = document
        document[first]["entailed"] = [first, *others, "999"]
        save(path, document)
    folder = DataFolder(prepare("gqa", tmp_path, tmp_path / "data"))
    asked = {split: [one.id for one in folder.questions(split)] for split in ("val", "test")}
    wanted = [(ids[0], other) for ids in asked.values() for other in ids[1:]]
    assert folder.entailments() == wanted
    assert wanted
    (path,) = tmp_path.glob("questions/val_balanced_questions.json")
    for entailed in ("999", [{"id": 1}]):
        document = json.loads(path.read_text())
        document[next(iter(document))]["entailed"] = entailed
        save(path, document)
        with pytest.raises(BadData, match="entails"):
            read_source("gqa", tmp_path)
