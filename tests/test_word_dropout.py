"""Words of training questions that are replaced by the unknown word."""

import pytest
import torch

from saccade.config import change
from saccade.core.errors import BadConfig
from saccade.data.batch import VqaBatch
from saccade.recipes.catalogue import RECIPES
from saccade.text.vocabulary import Vocabulary
from saccade.training.objectives import objective_for, without_words
from saccade.training.optim import ScheduleState

PLAIN = Vocabulary(("<pad>", "<unk>", "cat", "dog"), 0, 1, "karpathy")
ONE_ID = Vocabulary(("<pad>", "cat", "dog", "cow"), 0, 0, "karpathy")


def asked(questions, length):
    return VqaBatch(
        regions=torch.zeros(1, 1, 1),
        region_mask=torch.ones(1, 1, dtype=torch.bool),
        image=torch.zeros(len(questions), dtype=torch.int64),
        question=questions,
        question_length=length,
    )


@pytest.mark.parametrize("vocabulary", [PLAIN, ONE_ID])
def test_words_become_unknown_at_the_rate_and_padding_stays(vocabulary):
    torch.manual_seed(0)
    words = torch.randint(2, 4, (4000, 5))
    words[:, 4] = vocabulary.pad
    batch = asked(words.clone(), torch.full((4000,), 4))
    found = without_words(batch, vocabulary, 0.3)
    assert torch.equal(batch.question, words), "the batch itself is as it was"
    assert found.question[:, 4].eq(vocabulary.pad).all()
    changed = found.question[:, :4] != words[:, :4]
    assert found.question[:, :4][changed].eq(vocabulary.unknown).all()
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert changed.float().mean(dim=0).std() < 0.03, "every place alike"
    again = without_words(batch, vocabulary, 0.3)
    assert not torch.equal(again.question, found.question), "anew each time"


def test_marks_of_a_language_model_stay():
    tokenizers = pytest.importorskip("tokenizers")
    ids = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "cat": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    vocabulary = Vocabulary(tuple(ids), 0, 1, "file:some", rules=tokenizer.to_str())
    batch = asked(torch.tensor([[2, 4, 4, 3, 0]]), torch.tensor([4]))
    torch.manual_seed(0)
    found = without_words(batch, vocabulary, 0.999)
    assert found.question.tolist() == [[2, 1, 1, 3, 0]]


def test_the_objective_reads_what_is_left_and_draws_nothing_without():
    read = []

    def model(batch):
        read.append(batch.question)
        raise StopIteration

    class Examples:
        vocabulary = PLAIN

    for probability, unknown in ((0.0, 0), (0.999, 2)):
        recipe = RECIPES["show-ask-attend-answer-small"]
        recipe = change(recipe, f"text.word_dropout={probability}")
        torch.manual_seed(5)
        batch = asked(torch.tensor([[2, 3]]), torch.tensor([2]))
        with pytest.raises(StopIteration):
            objective_for(recipe, Examples())(model, batch, ScheduleState(0, 0))
        assert int(read[-1].eq(PLAIN.unknown).sum()) == unknown
        drawn = torch.rand(1)
        torch.manual_seed(5)
        assert torch.equal(drawn, torch.rand(1)) == (probability == 0)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("show-attend-tell", ["text.word_dropout=0.1"]),
        ("show-ask-attend-answer", ["text.word_dropout=1"]),
        ("show-ask-attend-answer", ["train.label_smoothing=1"]),
        ("show-ask-attend-answer", ["train.label_smoothing=-0.1"]),
        ("show-tell", ["train.self_critical=on", "train.label_smoothing=0.1"]),
        ("show-ask-attend-answer", ["train.ema=1"]),
        ("show-ask-attend-answer", ["train.steps=0"]),
        ("show-ask-attend-answer", ["train.accumulate=0"]),
    ],
)
def test_what_would_do_nothing_or_harm_is_refused(name, changes):
    with pytest.raises(BadConfig, match=changes[-1].partition("=")[0].rpartition(".")[2]):
        change(RECIPES[name], *changes)
