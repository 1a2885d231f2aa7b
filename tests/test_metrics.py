"""Every score against the official code, its golden values, and invented cases."""

import importlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saccade.metrics.bleu
from saccade.core.errors import BadConfig, BadData
from saccade.data.records import Question
from saccade.evaluation.scoring import score_answers
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.catalogue import METRICS
from saccade.metrics.cider import corpus_cider, document_frequencies
from saccade.metrics.rouge import corpus_rouge_l, rouge_l
from saccade.metrics.vqa import accuracy, vqa_accuracy_of
from tests.oracles import official_vqa_scorer


def question(id_, answers, answer_type="other", question_type="what"):
    return Question(id_, 1, "what is it?", "val", tuple(answers), "", answer_type, question_type)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_exists_and_has_its_page(name):
    module, _, function = METRICS[name].compute.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    page = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text("utf-8")
    assert f"`{module.rpartition('.')[2]}`" in page


def test_every_metric_is_in_the_table():
    listed = {metric.compute.partition(":")[0] for metric in METRICS.values()}
    helpers = {"ptb", "catalogue", "intervals", "scorers", "coco_objects", "__init__"}
    files = Path(saccade.metrics.bleu.__file__).parent.glob("*.py")
    assert {f"saccade.metrics.{file.stem}" for file in files if file.stem not in helpers} == listed


# --- VQA accuracy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "accuracies"),
    [
        (10, [0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1]),
        (5, [0, 4 / 15, 8 / 15, 0.8, 1, 1]),
        (2, [0, 1 / 6, 1 / 3]),
        (1, [0, 1]),
    ],
)
def test_accuracy_of_so_many_matches(people, accuracies):
    said = [vqa_accuracy_of("cat", ["cat"] * k + ["dog"] * (people - k)) for k in range(people + 1)]
    assert said == pytest.approx(accuracies, abs=1e-12)


@pytest.mark.parametrize("revision", ["2021-03", "2016"])
def test_a_single_person_is_matched_after_normalisation(revision):
    assert vqa_accuracy_of(" Two  cats. ", ["2 cats"], revision) == 1
    assert vqa_accuracy_of("the T-shirt", ["a t shirt"], revision) == 1
    assert vqa_accuracy_of("cat", ["cats"], revision) == 0


def test_revisions_differ_where_they_should():
    all_black = ["black"] * 10
    assert vqa_accuracy_of("Black.", all_black) == 0
    assert vqa_accuracy_of("Black.", all_black, "2016") == 1
    with_article = ["the dog"] * 9 + ["cat"]
    assert vqa_accuracy_of("the dog", with_article) == 1
    assert vqa_accuracy_of("the dog", with_article, "2016") == 0


@pytest.mark.parametrize("revision", ["2021-03", "2016"])
def test_accuracy_as_an_independent_transcription(revision):
    choose = random.Random(3)
    pool = ["red", "Red", "red.", "the red", "t-shirt", "t shirt", "2", "two", " two", "1,000", ""]
    for _ in range(5_000):
        answers = choose.choices(pool, k=choose.choice([2, 3, 10]))
        said = choose.choice(pool)
        expected = official_vqa_scorer.ACCURACY[revision](said, answers)
        assert vqa_accuracy_of(said, answers, revision) == expected


def test_accuracy_over_questions_by_type():
    questions = [
        question(1, ["yes"] * 10, "yes/no", "is"),
        question(2, ["2"] * 2 + ["3"] * 8, "number", "how many"),
        question(3, ["red"] * 3 + ["pink"] * 7, "other", "what"),
        question(4, ["dog"] * 10, "other", "what"),
    ]
    scored = score_answers({4: "cat", 1: "yes", 2: "2", 3: "red"}, questions)
    per_question = dict(zip(scored.rows["id"], scored.rows["accuracy"], strict=True))
    assert per_question == pytest.approx({1: 1, 2: 0.6, 3: 0.9, 4: 0})
    scores = scored.scores
    assert scores["accuracy"] == pytest.approx(62.5)
    assert scores["per_answer_type"] == pytest.approx({"yes/no": 100, "number": 60, "other": 45})
    assert scores["per_question_type"] == pytest.approx({"is": 100, "how many": 60, "what": 45})
    assert scores["revision"] == "2021-03"


@pytest.mark.parametrize(
    ("predictions", "questions", "fault"),
    [
        (
            {1: "yes"},
            [question(1, ["yes"]), question(2, ["no"])],
            "1 question ids have no pred.* 2",
        ),
        ({1: "yes", 7: "no"}, [question(1, ["yes"])], "1 question ids were predicted but .* 7"),
        ({1: "yes"}, [question(1, ["yes"]), question(1, ["no"])], "stand twice"),
        ({1: "yes"}, [question(1, [])], "question 1 has no human answers"),
        ({}, [], "no questions"),
    ],
)
def test_results_that_do_not_fit_are_refused(predictions, questions, fault):
    with pytest.raises(BadData, match=fault):
        score_answers(predictions, questions)


def test_no_answers_and_unknown_revision_are_refused():
    with pytest.raises(BadData, match="human answers"):
        vqa_accuracy_of("yes", [])
    with pytest.raises(BadConfig, match="2022"):
        accuracy(["yes"], [question(1, ["yes", "no"])], revision="2022")


# --- Captions -------------------------------------------------------------------------------------

GOLDEN = json.loads((Path(__file__).parent / "golden" / "captions.json").read_text())


def cut(sentences):
    return [sentence.split() for sentence in sentences]


def invented_corpus(seed, images=12):
    """Hypotheses and references of a few words, some of them empty or very short."""
    choose = random.Random(seed)
    words = ["a", "the", "dog", "cat", "runs", "sits", "on", "in", "red", "big", "street"]
    weights = range(len(words), 0, -1)

    def sentence(shortest):
        return choose.choices(words, weights, k=choose.randint(shortest, 9))

    return (
        [sentence(0) for _ in range(images)],
        [[sentence(1) for _ in range(choose.randint(1, 5))] for _ in range(images)],
    )


def test_golden_captions():
    said, human = cut(GOLDEN["hypotheses"]), [cut(of) for of in GOLDEN["references"]]
    for name, score in (
        ("bleu", corpus_bleu(said, human)),
        ("rouge_l", corpus_rouge_l(said, human)),
        ("cider_d", corpus_cider(said, human)),
    ):
        corpus, per_image, _ = score
        assert corpus == pytest.approx(GOLDEN[name]["corpus"], abs=1e-9), name
        official = GOLDEN[name]["per_image"]
        assert np.asarray(per_image) == pytest.approx(np.asarray(official), abs=1e-9), name


@pytest.fixture(scope="module")
def coco():
    """The pure-Python scorers of the COCO caption evaluation, where they are installed."""
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed")
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider_scorer import CiderScorer
    from pycocoevalcap.rouge.rouge import Rouge

    def official(said, human):
        texts = [" ".join(words) for words in said]
        sentences = [[" ".join(words) for words in of] for of in human]
        bleu, cider = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0)
        for text, of in zip(texts, sentences, strict=True):
            bleu += (text, of)
            cider += (text, of)
        corpus, per_image = bleu.compute_score(option="closest")
        rouge = Rouge().compute_score(
            dict(enumerate(sentences)), {i: [text] for i, text in enumerate(texts)}
        )
        return (corpus, np.transpose(per_image)), rouge, cider.compute_score()

    return official


@pytest.mark.parametrize("seed", range(20))
def test_random_corpora_as_the_official_code(coco, seed):
    said, human = invented_corpus(seed)
    ours = corpus_bleu(said, human), corpus_rouge_l(said, human), corpus_cider(said, human)
    for score, (corpus, per_image) in zip(ours, coco(said, human), strict=True):
        assert np.asarray(score[0]) == pytest.approx(np.asarray(corpus), abs=1e-9)
        assert np.asarray(score[1]) == pytest.approx(np.asarray(per_image), abs=1e-9)


def test_bleu_agrees_with_nltk_only_on_long_enough_sentences():
    """The values are those of nltk 3.10.4, `corpus_bleu(human, said)`."""
    human = [cut(["a dog runs on the big street", "the dog"]), cut(["two cats sit in the grass"])]
    said = cut(["the dog runs on the big grass", "cats sit in the grass"])
    assert corpus_bleu(said, human).corpus[3] == pytest.approx(0.719973663159454, abs=1e-9)
    # nltk counts a sentence of two words as one missed 3-gram and one missed 4-gram
    said[1] = ["the", "grass"]
    assert corpus_bleu(said, human).corpus[3] > 0.3874493301739842 + 0.01


def test_perfect_captions():
    human = [cut(["a dog runs on grass", "the dog"]), cut(["two cats sit in the street"])]
    said = [sentences[0] for sentences in human]
    assert corpus_bleu(said, human).corpus == pytest.approx([1, 1, 1, 1])
    assert corpus_rouge_l(said, human).value == pytest.approx(1)
    alone = [[of[0]] for of in human]
    assert corpus_cider(said, alone).value == pytest.approx(10)
    assert corpus_cider(said[:1], alone[:1]).value == 0  # one image: nothing is rare


def test_rouge_takes_precision_and_recall_from_different_references():
    # precision 1 from the long reference, recall 1 from the short one
    assert rouge_l(["a", "dog"], cut(["see a big dog run", "dog"])) == 1
    assert rouge_l([], cut(["a dog"])) == 0
    assert rouge_l(list("abcd"), cut(["d c b a"])) == pytest.approx(0.25)


def lcs_by_table(one, other):
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
            )
    return table[-1, -1]


@given(st.lists(st.sampled_from("abcd"), min_size=1), st.lists(st.sampled_from("abcd"), min_size=1))
def test_longest_common_subsequence(one, other):
    shared = lcs_by_table(one, other)
    p, r = shared / len(one), shared / len(other)
    expected = 0 if shared == 0 else 2.44 * p * r / (r + 1.44 * p)
    assert rouge_l(one, [other]) == pytest.approx(expected)


def test_cider_with_frequencies_of_another_corpus():
    said, human = invented_corpus(1)
    own = document_frequencies(human)
    assert own.images == 12
    assert corpus_cider(said, human, frequencies=own) == corpus_cider(said, human)
    one_by_one = [
        corpus_cider([s], [h], frequencies=own).value for s, h in zip(said, human, strict=True)
    ]
    assert one_by_one == pytest.approx(corpus_cider(said, human).per_example)
    assert own.having[("dog",)] == sum(any("dog" in s for s in of) for of in human)


def test_plain_cider_neither_clips_nor_punishes_length():
    human = [cut(["a dog"]), cut(["red cats sit here"])]
    said = [["a", "dog", "a", "dog"], ["red", "cats"]]
    plain, clipped = corpus_cider(said, human, variant="cider"), corpus_cider(said, human)
    assert all(p > c for p, c in zip(plain.per_example, clipped.per_example, strict=True))


@pytest.mark.parametrize("metric", [corpus_bleu, corpus_rouge_l, corpus_cider])
def test_captions_that_do_not_fit_are_refused(metric):
    with pytest.raises(BadData, match="1 captions for 2 images"):
        metric([["a"]], [[["a"]], [["b"]]])
    with pytest.raises(BadData, match="image number 1 has no reference"):
        metric([["a"], ["b"]], [[["a"]], []])
    with pytest.raises(BadData, match="no captions"):
        metric([], [])
