"""Classification scores, PitVQA's averaging among them, and the diversity of captions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from saccade.core.errors import BadData
from saccade.metrics.classification import classification_score
from saccade.metrics.diversity import diversity


def with_recalls(recalls, examples=10_000, unseen="never true"):
    """True and predicted labels so that each class has its recall and misses go elsewhere."""
    true, predicted = [], []
    for number, recall in enumerate(recalls):
        hits = round(recall * examples)
        true += [f"class {number}"] * examples
        predicted += [f"class {number}"] * hits + [unseen] * (examples - hits)
    return predicted, true


def test_scores_by_hand():
    true = ["cat", "cat", "cat", "dog", "dog", "bird"]
    predicted = ["cat", "cat", "dog", "dog", "fish", "cat"]
    score = classification_score(predicted, true)
    assert score.labels == ("bird", "cat", "dog", "fish")
    assert score.accuracy == pytest.approx(3 / 6)
    assert score.balanced_accuracy == pytest.approx((0 + 2 / 3 + 1 / 2) / 3)
    assert score.precision == pytest.approx((0 + 2 / 3 + 1 / 2 + 0) / 4)
    assert score.recall == pytest.approx((0 + 2 / 3 + 1 / 2 + 0) / 4)
    assert score.f1 == pytest.approx((0 + 2 / 3 + 1 / 2 + 0) / 4)
    assert score.confusion.tolist() == [[0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_stated_labels_are_what_is_averaged_over():
    stated = classification_score(["a", "z"], ["a", "b"], labels=["a", "b", "c"])
    assert stated.labels == ("a", "b", "c")
    assert stated.recall == pytest.approx(1 / 3)
    assert stated.balanced_accuracy == pytest.approx(1 / 2)  # over true labels, come what may
    with pytest.raises(BadData, match="1 true labels are not among those stated, such as 'b'"):
        classification_score(["a", "a"], ["a", "b"], labels=["a"])


@pytest.mark.parametrize(("predicted", "true"), [([], []), (["a"], ["a", "b"])])
def test_what_cannot_be_scored_is_refused(predicted, true):
    with pytest.raises(BadData, match="cannot be scored"):
        classification_score(predicted, true)


@pytest.mark.parametrize(
    ("true_labels", "balanced_accuracy", "published_recall"),
    [(57, 0.5673, 0.5748), (15, 0.4506, 0.4849), (15, 0.4729, 0.5058)],
)
def test_published_pitvqa_recalls(true_labels, balanced_accuracy, published_recall):
    """One label that is predicted but never true counts as a recall of 1 in PitVQA's mean."""
    predicted, true = with_recalls([balanced_accuracy] * true_labels)
    score = classification_score(predicted, true, averaging="pitvqa")
    assert score.balanced_accuracy == pytest.approx(balanced_accuracy)
    assert score.recall == pytest.approx(published_recall, abs=6e-5)
    assert len(score.labels) == true_labels + 1


LABELS = st.lists(st.tuples(*[st.sampled_from("abcde")] * 2), min_size=1, max_size=30)


@given(LABELS)
def test_pitvqa_averaging_against_its_formula(pairs):
    true, predicted = zip(*pairs, strict=True)
    k, u = len(set(true)), len(set(predicted) - set(true))
    plain = classification_score(predicted, true)
    score = classification_score(predicted, true, averaging="pitvqa")
    assert score.recall == pytest.approx((plain.balanced_accuracy * k + u) / (k + u))
    assert score.f1 == pytest.approx(plain.f1)
    assert plain.recall <= score.recall
    assert plain.precision <= score.precision


@given(LABELS)
def test_plain_averaging_is_that_of_scikit_learn(pairs):
    true, predicted = zip(*pairs, strict=True)
    score = classification_score(predicted, true)
    assert score.f1 == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
    if set(predicted) <= set(true) and len(set(true)) > 1:
        assert score.balanced_accuracy == pytest.approx(balanced_accuracy_score(true, predicted))
    assert score.confusion.sum() == len(pairs)
    assert score.accuracy == pytest.approx(np.trace(score.confusion) / len(pairs))


def test_f1_above_both_precision_and_recall_as_printed_in_2024():
    true = ["a", "a", "b", "c"]
    predicted = ["a", "a", "c", "b"]  # b and c: predicted and true, never a hit
    score = classification_score(predicted, true, averaging="pitvqa_2024")
    assert score.f1 == 1
    assert score.precision == score.recall == pytest.approx(1 / 3)
    today = classification_score(predicted, true, averaging="pitvqa")
    assert today.f1 == pytest.approx(1 / 3)


def test_diversity_by_hand():
    training = [["a", "dog", "runs"], ["a", "cat", "sits", "here"]]
    said = [["a", "dog", "runs"], ["a", "dog", "sits"], ["a", "dog", "sits"], ["zebra"]]
    found = {name: result.value for name, result in diversity(said, training=training).items()}
    distinct = [found.pop(f"distinct_{n}") for n in (1, 2, 3, 4)]
    assert distinct == pytest.approx([5 / 10, 3 / 6, 2 / 3, 0])
    assert found == pytest.approx(
        {
            "distinct_captions": 3 / 4,
            "novel_captions": 3 / 4,
            "caption_length": 10 / 4,
            "words_used": 5,
            "vocabulary_used": 4 / 6,
        }
    )


def test_diversity_of_nothing():
    assert diversity([[]], training=[])["distinct_1"].value == 0
    with pytest.raises(BadData, match="no captions"):
        diversity([], training=[["a"]])
