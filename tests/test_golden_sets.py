"""Every golden set of the official code on real text, within 1e-9; found by SACCADE_REAL_DATA.

The treebank pairs are in `test_ptb.py`, METEOR (which needs Java) in `test_java_metrics.py`.
"""

import gzip
import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from saccade.data.records import Question
from saccade.datasets.pitvqa import NO_ANSWER, seconds_of
from saccade.evaluation.blind_answers import KINDS, most_frequent
from saccade.evaluation.scoring import ScoreOptions, score_answers
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.cider import corpus_cider
from saccade.metrics.classification import classification_score
from saccade.metrics.ptb import coco_words
from saccade.metrics.rouge import corpus_rouge_l
from tests import test_java_metrics, test_ptb

EXACT = 1e-9


def cut(sentences):
    return [sentence.split() for sentence in sentences]


@cache
def read(path):
    whole = path.read_bytes()
    return json.loads(gzip.decompress(whole) if path.suffix == ".gz" else whole)


@pytest.fixture
def golden(real_data):
    return lambda name: read(real_data(f"metrics-golden/{name}"))


# --- VQA accuracy: 57,038 real records, both revisions --------------------------------------------

PREDICTORS = {
    "first_human_answer": lambda record: record["answers"][0]["answer"],
    "multiple_choice_answer": lambda record: record["multiple_choice_answer"],
    "constant_yes": lambda record: "yes",
}


@pytest.mark.parametrize(("split", "records"), [("train", 48_061), ("val", 8_977)])
def test_vqa_accuracy(golden, real_data, split, records):
    """As the official scorer prints it, rounded to four decimals of a per cent."""
    found = read(real_data(f"vqa-v2-text/v2_{split}_annotations.json.gz"))["annotations"]
    assert len(found) == records
    questions = [
        Question(
            r["question_id"],
            r["image_id"],
            "",
            split,
            tuple(a["answer"] for a in r["answers"]),
            r["multiple_choice_answer"],
            r["answer_type"],
            r["question_type"],
        )
        for r in found
    ]
    for revision, key in (("2021-03", "expected"), ("2016", "older_revision")):
        for name, predict in PREDICTORS.items():
            said = {record["question_id"]: predict(record) for record in found}
            options = ScoreOptions(("accuracy",), revision=revision)
            scores = score_answers(said, questions, options).scores
            scores = {"overall": scores["accuracy"], **scores["per_answer_type"]}
            wanted = golden("vqa_accuracy.json")[key][split][name]
            assert {kind: round(of, 4) for kind, of in scores.items()} == wanted


# --- Captions -------------------------------------------------------------------------------------


def test_official_demo_of_a_thousand_images(golden):
    rows, corpus = golden("fakecap_tokenized.json"), golden("expected.json")
    per_image = golden("expected_per_image.json")
    said, human = cut(row["test"] for row in rows), [cut(row["refs"]) for row in rows]
    bleu = corpus_bleu(said, human)
    assert bleu.corpus == pytest.approx([corpus[f"Bleu_{n}"] for n in (1, 2, 3, 4)], abs=EXACT)
    assert [of[3] for of in bleu.per_image] == pytest.approx(per_image["Bleu_4"], abs=EXACT)
    counts = corpus["bleu_counts"]
    assert bleu.sums.sum(axis=0).tolist() == [
        *counts["correct"],
        *counts["guess"],
        counts["testlen"],
        counts["reflen"],
    ]
    for name, score in (
        ("ROUGE_L", corpus_rouge_l(said, human)),
        ("CIDEr", corpus_cider(said, human)),
    ):
        assert score.value == pytest.approx(corpus[name], abs=EXACT)
        assert score.per_example == pytest.approx(per_image[name], abs=EXACT)
        assert round(score.value, 3) == corpus["printed"][name]


def test_three_invented_images(golden):
    small, both = golden("golden_small.json"), golden("golden_cider.json")
    said = cut(small["res"][id_][0] for id_ in small["gts"])
    human = [cut(of) for of in small["gts"].values()]
    bleu = corpus_bleu(said, human)
    assert bleu.corpus == pytest.approx(small["BLEU"], abs=EXACT)
    assert np.asarray(bleu.per_image) == pytest.approx(np.transpose(small["BLEU_img"]), abs=EXACT)
    for score, corpus, per_image in (
        (corpus_rouge_l(said, human), small["ROUGE_L"], small["ROUGE_img"]),
        (corpus_cider(said, human), small["CIDEr"], small["CIDEr_img"]),
        (corpus_cider(said, human), *both["small_ciderD"]),
        (corpus_cider(said, human, variant="cider"), *both["small_cider_plain"]),
    ):
        assert [score.value, *score.per_example] == pytest.approx([corpus, *per_image], abs=EXACT)


@pytest.mark.parametrize(
    ("form", "file"), [("raw", "golden_human.json"), ("ptb", "golden_human_ptb.json")]
)
def test_five_thousand_human_captions(golden, form, file):
    text, wanted = golden("human_coco_test.json.gz"), golden(file)["coco"]
    said, human = cut(text["hypothesis"][form]), [cut(of) for of in text["references"][form]]
    bleu = corpus_bleu(said, human)
    assert bleu.corpus == pytest.approx(wanted["BLEU"], abs=EXACT)
    assert bleu.corpus == pytest.approx(wanted.get("nltk", wanted["BLEU"]), abs=EXACT)
    assert corpus_rouge_l(said, human).value == pytest.approx(wanted["ROUGE_L"], abs=EXACT)
    assert corpus_cider(said, human).value == pytest.approx(wanted["CIDEr"], abs=EXACT)
    if form == "ptb":
        plain = corpus_cider(said, human, variant="cider").value
        wanted = golden("golden_cider.json")["human_coco_ptb_cider_plain"]
        assert plain == pytest.approx(wanted, abs=EXACT)


def test_raw_captions_are_cut_as_the_original_cuts_them(golden):
    text = golden("human_coco_test.json.gz")
    said, human = text["hypothesis"], text["references"]
    assert [" ".join(words) for words in coco_words(said["raw"])] == said["ptb"]
    raw, ptb = ([caption for of in human[form] for caption in of] for form in ("raw", "ptb"))
    assert [" ".join(words) for words in coco_words(raw)] == ptb
    assert len(raw) == 20_000


# --- PitVQA: 884,242 questions made from public annotations ---------------------------------------


@pytest.fixture(scope="module")
def surgical(real_data):
    """(question, answer) lines by split, as the rules make them from steps and instruments."""
    root = real_data("pitvqa-annotations")
    lines = {"train": [], "val": []}
    for video in range(1, 26):
        split = "val" if video in (2, 6, 12, 13, 24) else "train"
        names = (
            root / f"{kind}_csv" / f"{kind}_{video:02}.csv" for kind in ("steps", "instruments")
        )
        for _, some in seconds_of(*names):
            lines[split] += some
    return lines


def test_answers_of_pitvqa(golden, surgical):
    for split, wanted in golden("pit_answers.json").items():
        assert Counter(answer for _, answer in surgical[split]) == wanted


def test_scores_of_pitvqa_s_best_prior(surgical):
    """The most frequent training answer to each question: 44.43 %, balanced 14.56, F1 11.9."""
    kept = {
        split: [(asked, answer) for asked, answer in lines if answer not in NO_ANSWER]
        for split, lines in surgical.items()
    }
    assert {split: len(lines) for split, lines in kept.items()} == {
        "train": 680_147,
        "val": 203_868,
    }
    told = {}
    for question, answer in kept["train"]:
        told.setdefault(question, []).append(answer)
    training = [Question(0, 0, text, "train", tuple(answers)) for text, answers in told.items()]
    asked = {text: number for number, text in enumerate(sorted({q for q, _ in kept["val"]}))}
    assert len({q for lines in kept.values() for q, _ in lines}) == 51
    questions = [Question(number, 0, text, "val") for text, number in asked.items()]
    best = most_frequent(training, questions, KINDS["most_frequent_per_question"])
    score = classification_score(
        [best[asked[question]] for question, _ in kept["val"]], [true for _, true in kept["val"]]
    )
    assert score.accuracy == pytest.approx(0.4443, abs=5e-5)
    assert score.balanced_accuracy == pytest.approx(0.1456, abs=5e-5)
    assert score.f1 == pytest.approx(0.119, abs=5e-4)


# --- Nothing is forgotten -------------------------------------------------------------------------

SCORED_BY = {
    "expected.json": test_official_demo_of_a_thousand_images,
    "expected_per_image.json": test_official_demo_of_a_thousand_images,
    "fakecap_tokenized.json": test_official_demo_of_a_thousand_images,
    "golden_cider.json": test_five_thousand_human_captions,
    "golden_human.json": test_five_thousand_human_captions,
    "golden_human_ptb.json": test_five_thousand_human_captions,
    "golden_small.json": test_three_invented_images,
    "human_coco_test.json.gz": test_raw_captions_are_cut_as_the_original_cuts_them,
    "pit_answers.json": test_answers_of_pitvqa,
    "ptb_golden.json": test_ptb.test_hand_made_golden_captions,
    "ptb_pairs.tsv": test_ptb.test_every_real_pair_is_equal,
    "vqa_accuracy.json": test_vqa_accuracy,
}
"""METEOR of `expected.json` and `golden_small.json`: `test_java_metrics.test_the_real_meteor`."""


def test_every_golden_set_is_scored_by_a_test(real_data):
    there = {path.name for path in Path(real_data("metrics-golden")).iterdir()} - {"README.md"}
    assert there == set(SCORED_BY)
    assert callable(test_java_metrics.test_the_real_meteor)
