"""Encoding, order and batching."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.data.examples import (
    CaptionExamples,
    Ragged,
    VqaExamples,
    batches,
    epoch_order,
    in_reading_order,
)
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import caption_vocabulary, question_vocabulary


class Shelf:
    """A feature store of three images, 30, 20 and 10, of which 20 could not be read."""

    def __init__(self) -> None:
        self.counts = np.array([4, 0, 2])
        self.features = np.arange(3 * 4 * 2, dtype=np.float16).reshape(3, 4, 2)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        return np.array([{30: 0, 20: 1, 10: 2}[int(i)] for i in ids])

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.features[rows], np.arange(4) < self.counts[rows][:, None]


@pytest.fixture
def folder(tmp_path):
    images = [ImageRecord(i, f"{i}.jpg", "train") for i in (30, 20, 10)]
    questions = [
        Question(1, 30, "What is it?", "train", ("cat",) * 7 + ("dog",) * 3, "cat", "other"),
        Question(2, 20, "Is it red?", "train", ("no",) * 10, "no", "yes/no"),
        Question(3, 10, "Is it a big red cat", "train", ("no",) * 8 + ("yes", "cat"), "no", "y"),
        Question(4, 10, "Where?", "train", ("nowhere",) * 10, "nowhere", "other"),
    ]
    captions = [
        Caption(1, 30, "A cat.", ("a", "cat"), "train"),
        Caption(2, 10, "A big dog runs.", ("a", "big", "dog", "runs"), "train"),
        Caption(3, 10, "Dog", ("dog",), "train"),
        Caption(4, 20, "Unseen", ("unseen",), "train"),
    ]
    write_folder(tmp_path / "d", Collection("x", str(tmp_path), images, questions, captions))
    return DataFolder(tmp_path / "d")


def test_questions_are_encoded_and_batched_by_image(folder):
    name = "show_ask_attend_answer"
    vocabulary = question_vocabulary(folder.word_counts(name, "questions"), tokenizer=name)
    answers = AnswerList(("no", "cat", "dog"), "none")
    whole = VqaExamples(folder, "train", Shelf(), vocabulary, answers)
    assert whole.ids.tolist() == [1, 3, 4]
    assert whole.left_out == {"image without features": 1, "no listed answer": 0}
    examples = VqaExamples(folder, "train", Shelf(), vocabulary, answers, target="shares")
    assert examples.ids.tolist() == [1, 3]
    assert examples.left_out["no listed answer"] == 1

    batch = whole.batch(np.array([1, 0, 2]))  # questions 3, 1, 4
    assert batch.image.tolist() == [1, 0, 1], "two images stand in the batch once each"
    assert batch.regions.shape == (2, 4, 2)
    assert batch.region_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.question_length.tolist() == [6, 3, 1]
    words = [vocabulary.words[i] for i in batch.question[0].tolist()]
    assert words == ["is", "it", "a", "big", "red", "cat"], "the ? was put there, then dropped"
    assert batch.question[1, 3:].tolist() == [0, 0, 0]
    torch.testing.assert_close(
        batch.answer_weights, torch.tensor([[0.8, 0.1], [0.7, 0.3], [0.0, 0.0]])
    )
    assert batch.answers.tolist() == [[0, 1], [1, 2], [0, 0]]


def of_people(tmp_path, *questions: tuple[str, ...], target, listed=("yes", "no", "red")):
    """Questions about one image with what people answered; the first is the best answer."""
    asked = [
        Question(i, 30, "Is it?", "train", given, given[0], "other")
        for i, given in enumerate(questions)
    ]
    image = [ImageRecord(30, "30.jpg", "train")]
    write_folder(tmp_path / "d", Collection("x", str(tmp_path), image, asked, []))
    vocabulary = question_vocabulary({"is": 1, "it": 1}, tokenizer="openvqa")
    answers = AnswerList(tuple(listed), "official")
    return VqaExamples(
        DataFolder(tmp_path / "d"), "train", Shelf(), vocabulary, answers, target=target
    )


def weights_of(examples) -> list[dict[int, float]]:
    batch = examples.batch(np.arange(len(examples)))
    return [
        {id_: round(weight, 5) for id_, weight in zip(ids, weights, strict=True) if weight}
        for ids, weights in zip(batch.answers.tolist(), batch.answer_weights.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("target", "weights"),
    [
        ("shares", [{0: 0.5, 1: 0.3, 2: 0.1}, {0: 1.0}]),
        ("scores", [{0: 1.0, 1: 0.9, 2: 0.3}, {0: 1.0}]),
        ("best", [{0: 1.0}, {0: 1.0}]),
    ],
)
def test_targets_say_how_right_a_listed_answer_is(tmp_path, target, weights):
    given = ("yes",) * 5 + ("No",) * 2 + ("no.", "Red", "green")
    examples = of_people(tmp_path, given, ("yes",) * 10, target=target)
    assert weights_of(examples) == weights


@pytest.mark.parametrize("people", [1, 2, 3, 5, 10])
def test_scores_are_the_official_accuracy_of_saying_the_answer(tmp_path, people):
    """Each person left out in turn: min(1, agreeing others / 3), averaged; one person has none."""
    for agreeing in range(1, people + 1):
        given = ["yes"] * agreeing + ["other"] * (people - agreeing)
        one_left_out = [
            min(1, sum(answer == "yes" for j, answer in enumerate(given) if j != i) / 3)
            for i in range(people)
        ]
        expected = sum(one_left_out) / people if people > 1 else 1.0
        folder = tmp_path / str(agreeing)
        folder.mkdir()
        found = weights_of(of_people(folder, tuple(given), target="scores"))
        assert found == ([{0: pytest.approx(expected, abs=1e-5)}] if expected else [{}])


def test_the_best_answer_alone_decides_what_is_left_out(tmp_path):
    """ "blue" is the best answer and not in the list: "yes" of nine others teaches nothing then."""
    questions = [("blue", *["yes"] * 4), ("red", "yes", "yes")]
    best = of_people(tmp_path, *questions, target="best")
    assert best.ids.tolist() == [1]
    assert best.left_out["no listed answer"] == 1
    assert weights_of(best) == [{2: 1.0}]


def test_questions_are_cut_and_never_empty(folder):
    vocabulary = question_vocabulary({"is": 2, "it": 1}, tokenizer="openvqa", unk_token=True)
    whole = VqaExamples(
        folder, "train", Shelf(), vocabulary, AnswerList(("no",), "none"), max_length=2
    )
    batch = whole.batch(np.arange(3))
    assert batch.question.tolist() == [[1, 2], [2, 3], [1, 0]]
    assert batch.question_length.tolist() == [2, 2, 1]


def test_regions_are_cut_to_the_most_that_an_image_of_the_batch_has(folder):
    vocabulary = caption_vocabulary(folder.word_counts("karpathy", "captions"), min_count=1)
    examples = CaptionExamples(folder, "train", Shelf(), vocabulary)
    assert examples.batch(np.array([1, 2])).regions.shape == (1, 2, 2)


def test_captions_stand_longest_first_between_start_and_end(folder):
    vocabulary = caption_vocabulary(folder.word_counts("karpathy", "captions"), min_count=1)
    examples = CaptionExamples(folder, "train", Shelf(), vocabulary, max_length=4)
    assert examples.left_out == {"image without features": 1, "caption too long": 0}
    batch = examples.batch(np.array([2, 0, 1]))
    assert batch.caption_length.tolist() == [6, 4, 3]
    assert [vocabulary.decode(row) for row in batch.caption.tolist()] == [
        ["a", "big", "dog", "runs"],
        ["a", "cat"],
        ["dog"],
    ]
    assert batch.caption[:, 0].tolist() == [vocabulary.start] * 3
    assert batch.caption.dtype == torch.int64
    short = CaptionExamples(folder, "train", Shelf(), vocabulary, max_length=3)
    assert short.left_out["caption too long"] == 1


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.one_of(st.none(), st.integers(1, 4)),
    st.integers(0, 3),
)
def test_an_epoch_takes_everything_once_with_images_side_by_side(images, per_image, epoch):
    image = np.array(images)
    order = epoch_order(image, per_image, seed=1, epoch=epoch)
    assert sorted(order.tolist()) == list(range(len(image)))
    assert order.tolist() == epoch_order(image, per_image, seed=1, epoch=epoch).tolist()
    runs = np.diff(np.flatnonzero(np.r_[True, np.diff(image[order]) != 0, True]))
    if per_image is None:
        assert len(runs) == len(set(images)), "all examples of an image stand together"
    else:
        counts = np.bincount(image)
        groups = np.ceil(counts / per_image).sum()
        assert len(runs) <= groups


def test_epochs_differ_and_so_do_seeds():
    image = np.repeat(np.arange(20), 3)
    orders = {tuple(epoch_order(image, 1, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_going_on_within_an_epoch_hands_out_the_rest(folder):
    vocabulary = caption_vocabulary(folder.word_counts("karpathy", "captions"), min_count=1)
    examples = CaptionExamples(folder, "train", Shelf(), vocabulary)
    order = in_reading_order(examples)
    assert examples.image[order].tolist() == sorted(examples.image.tolist())
    whole = [batch.caption.tolist() for batch in batches(examples, order, 1)]
    assert [batch.caption.tolist() for batch in batches(examples, order, 1, skip=1)] == whole[1:]


def test_ragged_rows_come_back_padded():
    ragged = Ragged.of([[1, 2, 3], [], [4]], np.int32)
    rows, length = ragged.padded(np.array([2, 1, 0]), fill=9)
    assert rows.tolist() == [[4, 9, 9], [9, 9, 9], [1, 2, 3]]
    assert length.tolist() == [1, 0, 3]
    assert Ragged.of([[], []], np.int32).padded(np.array([0]), fill=0)[0].tolist() == [[0]]


def test_a_question_takes_few_bytes(folder):
    examples = SimpleNamespace(
        words=Ragged.of([[1] * 6] * 1000, np.int32),
        answers=Ragged.of([[1] * 3] * 1000, np.int32),
        counts=Ragged.of([[1] * 3] * 1000, np.uint8),
    )
    held = sum(r.values.nbytes + r.offsets.nbytes for r in vars(examples).values())
    assert held / 1000 + 8 + 4 + 1 < 300  # and id, image row, people
