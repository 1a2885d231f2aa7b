"""The verdict on scores, and the lines that evaluate prints: rows whose answer is known."""

import re
from itertools import product

import pytest

from saccade.data.records import Question
from saccade.evaluation.baselines import Baseline, baseline_gain, visual_gain
from saccade.evaluation.scoring import score_answers, score_captions, score_intervals
from saccade.evaluation.summary import headline, summary
from saccade.evaluation.verdict import BASELINES, CAUTIONS, Gap, give_verdict
from saccade.metrics.catalogue import METRICS

NUMBER = 60
KINDS = ("cat", "dog", "red")


def entry(task, scored, baselines, **labels):
    """What `scores.json` would hold."""
    made = {name: Baseline(one, {}) for name, one in baselines.items()}
    return {
        "split": "test", "task": task, **scored.scores,
        "interval": score_intervals(scored.rows),
        "baselines": {name: one.shown(task) for name, one in made.items()},
        **visual_gain(task, scored, made["shuffled_images"]),
        **baseline_gain(task, scored, made), "scorer": "the official one",
        "trained_on_this_split": False, "selected_on_this_split": False,
        "same_data_as_in_training": True, **labels,
    }  # fmt: skip


def answers(right, wrong_image, question_only, **labels):
    """Answers of which so many are right: the model's, with wrong images, of a question alone."""
    asked = [
        Question(i, i, "what?", "test", (KINDS[i % 3],) * 10, KINDS[i % 3], "other", "what")
        for i in range(NUMBER)
    ]
    some = [
        score_answers({q.id: q.answers[0] if q.id < count else "no" for q in asked}, asked)
        for count in (right, wrong_image, question_only)
    ]
    return entry("vqa", some[0], {"question_only": some[2], "shuffled_images": some[1]}, **labels)


HUMAN = {i: [("a", "big", KINDS[i % 3], "by", "tree", f"number{i}")] for i in range(NUMBER)}


def captions(say, wrong_image, constant, **labels):
    some = [score_captions({i: of(i) for i in HUMAN}, HUMAN) for of in (say, wrong_image, constant)]
    baselines = {"constant_caption": some[2], "shuffled_images": some[1]}
    return entry("caption", some[0], baselines, **labels)


def no_four_words(i):
    """Right words, never four in a row."""
    return (KINDS[i % 3], "number", f"number{i}", "tree")


def test_where_bleu_4_is_0_cider_decides():
    scores = captions(no_four_words, lambda i: ("the", "tree"), lambda i: ("the", "tree"))
    assert METRICS["bleu_4"].shown(scores["bleu_4"]) == "0.0 points"
    assert scores["visual_gain"]["bleu_4"] < 0.05
    assert scores["visual_gain"]["cider"] > 10
    verdict = give_verdict(scores)
    assert (verdict.metric, verdict.image_use) == ("cider", "yes")
    assert verdict.better_than_baseline == "yes"
    assert verdict.is_clear
    assert "BLEU-4" not in verdict.text
    assert headline(scores).startswith("CIDEr-D ")


def test_where_no_metric_has_resolution_nothing_is_claimed():
    scores = captions(*[lambda i: ("unheard", "words")] * 3)
    verdict = give_verdict(scores)
    assert (verdict.image_use, verdict.better_than_baseline) == ("too low to tell", "not certain")
    assert "hardly" not in verdict.text
    assert not verdict.is_clear
    assert " near " in headline(scores), "0.0 is not below 0.0"
    assert "higher" not in "\n".join(summary(scores))


def test_where_nothing_tells_of_the_image_the_metric_that_tells_the_baseline_decides():
    """BLEU-4 of 0 against 0 cannot be the headline where CIDEr-D has a baseline above the model."""
    scores = captions(*[lambda i: ("unheard", "words")] * 2, no_four_words)
    verdict = give_verdict(scores)
    assert (verdict.metric, verdict.image_use) == ("cider", "too low to tell")
    assert verdict.better_than_baseline == "no"
    assert headline(scores).startswith("CIDEr-D ")
    assert " below " in headline(scores)


@pytest.mark.parametrize(
    ("right", "wrong_image", "question_only", "better", "use"),
    [
        (50, 20, 20, "yes", "yes"),
        (20, 19, 40, "no", "not certain"),
        (20, 20, 21, "no", "hardly"),
        (20, 20, 20, "not certain", "hardly"),
        (50, 50, 10, "yes", "hardly"),
        (20, 45, 10, "yes", "misleads"),
        (0, 0, 0, "not certain", "too low to tell"),
        (0, 0, 30, "no", "too low to tell"),
        (60, 30, 58, "not certain", "yes"),
    ],
)
def test_the_verdict_on_answers(right, wrong_image, question_only, better, use):
    scores = answers(right, wrong_image, question_only)
    verdict = give_verdict(scores)
    assert (verdict.better_than_baseline, verdict.image_use) == (better, use)
    gap = 100 * (right - question_only) / NUMBER
    assert scores["baseline_gain"]["accuracy"] == pytest.approx(gap)
    assert verdict.is_clear == (better == use == "yes")
    # A better baseline that uses no image is named, with both scores.
    named = BASELINES["question_only"].title in verdict.text
    assert named == (better != "yes" and max(right, question_only) > 1)
    if better == "no":
        for score in (scores["accuracy"], scores["baselines"]["question_only"]["accuracy"]):
            assert METRICS["accuracy"].shown(score) in verdict.text


def test_a_baseline_that_is_better_by_one_metric_alone_is_told():
    """CIDEr-D shows that the image is used; by BLEU-4 one caption for all is better."""
    constant = ("a", "big", "cat", "by", "tree", "x")
    scores = captions(no_four_words, lambda i: ("the", "tree"), lambda i: constant)
    assert scores["baselines"]["constant_caption"]["bleu_4"] > 0.02 > scores["bleu_4"]
    verdict = give_verdict(scores)
    assert (verdict.metric, verdict.image_use) == ("cider", "yes")
    assert "one caption for all" in verdict.text
    assert "BLEU-4" in verdict.text


def test_what_one_image_cannot_show_is_not_measured():
    question = Question(1, 1, "what?", "test", ("cat",) * 10, "cat", "other", "what")
    scored = score_answers({1: "cat"}, [question])
    scores = entry("vqa", scored, {"question_only": scored, "shuffled_images": None})
    scores["visual_gain"] = {"not_measured": "1 cannot be exchanged"}
    scores["baselines"]["shuffled_images"] = scores["visual_gain"]
    verdict = give_verdict(scores)
    assert (verdict.image_use, verdict.better_than_baseline) == ("not measured",) * 2
    assert "1 cannot be exchanged" in verdict.text
    assert "not measured" in "\n".join(summary(scores))


def test_scores_of_an_earlier_version_still_get_a_verdict():
    scores = answers(50, 20, 20)
    del scores["baseline_gain"], scores["baseline_gain_interval"]
    verdict = give_verdict(scores)
    assert (verdict.better_than_baseline, verdict.image_use) == ("not measured", "yes")
    assert verdict.is_clear


def test_no_number_is_a_negative_zero_or_has_an_exponent():
    assert str(Gap(-0.04, -0.01, -1e-12)) == "0.0 [0.0, 0.0]"
    assert METRICS["bleu_4"].shown(-1e-9) == "0.0 points"
    for right, wrong, alone in product((0, 20, 21, 60), repeat=3):
        scores = answers(right, wrong, alone, epoch=None, recipe=None)
        told = "\n".join([*summary(scores), give_verdict(scores).text])
        assert not re.search(r"-0\.0\b|\de-\d|None|nan", told)


@pytest.mark.parametrize("scores", [
    answers(37, 36, 51), answers(60, 60, 60),
    captions(no_four_words, no_four_words, lambda i: ("a", "tree")),
], ids=["vqa", "vqa all right", "caption"])  # fmt: skip
def test_lines_fit_80_columns_and_the_headline_stands_first(scores):
    scores |= {"per_answer_type": {"": 50.0}, "confusion": [{"questions": 3}] * 30}
    lines = [*summary(scores)]
    assert lines[0] == headline(scores)
    assert max(len(line) for text in lines for line in text.splitlines()) <= 80
    for word in ("records", "none", "confusion", "per_answer_type", "coverage"):
        assert word not in "\n".join(lines), "curves and confusion stay in scores.json"
    table = lines[2].splitlines()
    assert table[0].split("  ")[0] == ""
    assert len(table) == 1 + len(scores["visual_gain"])


def test_many_types_are_the_best_and_the_worst():
    scores = answers(50, 20, 20)
    scores["per_question_type"] = {f"type {n:02}": float(n) for n in range(65)} | {"": 99.0}
    told = "\n".join(summary(scores))
    assert "(no type)" in told
    assert "and 54 others" in told
    assert ("type 64" in told, "type 30" in told, "type 00" in told) == (True, False, True)


@pytest.mark.parametrize(("label", "value"), CAUTIONS)
def test_what_a_reader_must_know_first_is_told(label, value):
    told = "\n".join(summary(answers(50, 20, 20, **{label: value})))
    caution = CAUTIONS[label, value]
    assert caution[1:] in told
    assert caution[1:] not in "\n".join(summary(answers(50, 20, 20)))
