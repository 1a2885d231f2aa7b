"""The product of experts against a loop over words, and its two parts against each other."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from saccade.data.batch import VqaOutput
from saccade.models.catalogue import ProductOfExpertsConfig
from saccade.models.product_of_experts import PRIMES, ProductOfExperts, QuestionBag
from saccade.training.objectives import loss_for
from tests.model_checks import CHECKS, SIZES, questions

SMALL = ProductOfExpertsConfig(
    embedding=16, slots=97, attention=8, hidden=12, prior_dropout=0, image_dropout=0, dropout=0
)


def drawn(seed=0):
    """A model none of whose weights is 0, as after training."""
    torch.manual_seed(seed)
    model = ProductOfExperts(SMALL, SIZES)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return model


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract(check):
    check(drawn())


def features(words):
    """Rows of the table that a question has: its words, its pairs with both ends, itself."""
    edge, slots = SIZES.words, SMALL.slots
    ended = [edge, *words, edge]
    pairs = [(a * PRIMES[0] + b) % slots for a, b in pairwise(ended)]
    whole = 1 + sum(w * (p * PRIMES[1] % PRIMES[0]) for p, w in enumerate(words, start=1))
    return [*words, *(SIZES.words + slot for slot in (*pairs, whole % slots))]


def test_a_question_is_the_mean_of_its_words_pairs_and_whole():
    torch.manual_seed(1)
    bag, batch = QuestionBag(SMALL, SIZES).double(), questions(pad_words=3)
    torch.nn.init.normal_(bag.embed.weight)
    encoded = bag(batch.question, batch.question_length)
    for row, length in enumerate(batch.question_length):
        ids = features(batch.question[row, :length].tolist())
        assert len(ids) == 2 * length + 2
        torch.testing.assert_close(encoded[row], bag.embed.weight[ids].mean(dim=0).relu())


def test_it_begins_as_its_prior_and_looks_everywhere():
    torch.manual_seed(0)
    output = ProductOfExperts(SMALL, SIZES).double()(questions())
    assert output.logits.abs().max() == 0
    torch.testing.assert_close(output.attention, torch.full_like(output.attention, 1 / 6))


def test_without_its_image_it_answers_by_the_prior_whatever_it_sees():
    model, batch = drawn().double().eval(), questions()
    other = replace(batch, regions=batch.regions.flip(0) * 3)
    assert not torch.allclose(model(batch).logits, model(other).logits)
    model.image_share.fill_(0)
    blind = model(batch)
    assert torch.equal(blind.logits, blind.prior_logits)
    assert torch.equal(blind.logits, model(other).logits)
    model.train()  # which learns with both, whatever the last validation said
    assert not torch.equal(model(batch).logits, model(batch).prior_logits)


def test_the_loss_is_that_of_both_and_of_the_prior_alone(recipe):
    model, batch = drawn().double().eval(), questions()
    output, loss = model(batch), loss_for(recipe)
    parts = [loss(VqaOutput(logits), batch) for logits in (output.logits, output.prior_logits)]
    torch.testing.assert_close(loss(output, batch), sum(parts))


@pytest.fixture
def recipe():
    from saccade.recipes.catalogue import RECIPES

    return RECIPES["auto-vqa"]
