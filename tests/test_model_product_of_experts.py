"""The product of experts against a loop over words, and its two parts against each other."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from saccade.config import change
from saccade.data.batch import VqaOutput
from saccade.models.catalogue import ProductOfExpertsConfig
from saccade.models.product_of_experts import PRIMES, ProductOfExperts, QuestionBag
from saccade.training.objectives import loss_for
from tests.model_checks import CHECKS, SIZES, check_every_weight_learns, questions

SMALL = ProductOfExpertsConfig(
    embedding=16, slots=97, attention=8, hidden=12, prior_dropout=0, image_dropout=0, dropout=0
)


def drawn(seed=0, **settings):
    """A model none of whose weights is 0, as after training."""
    torch.manual_seed(seed)
    model = ProductOfExperts(SMALL.replace(**settings), SIZES)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return model


@pytest.mark.parametrize("prior", ["product", "rubi", "lmh"])
@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract(check, prior, recipe):
    if prior == "product" or check is not check_every_weight_learns:
        check(drawn(prior=prior))
        return
    model = drawn(prior=prior).double().train()  # some weights only learn by the prior's own loss
    loss_for(recipe)(model(questions()), questions()).backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())


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


@pytest.mark.parametrize("prior", ["product", "rubi", "lmh"])
def test_without_its_image_it_answers_by_the_prior_whatever_it_sees(prior):
    model, batch = drawn(prior=prior).double().eval(), questions()
    other = replace(batch, regions=batch.regions.flip(0) * 3)
    both = model(batch)
    assert not torch.allclose(both.logits, model(other).logits)
    model.image_share.fill_(0)
    blind = model(batch)
    assert torch.equal(blind.logits, blind.prior_logits)
    assert torch.equal(blind.logits, both.prior_logits)  # one pass tells both
    assert torch.equal(blind.logits, model(other).logits)
    model.train()  # which learns with both, whatever the last validation said
    assert not torch.equal(model(batch).logits, model(batch).prior_logits)


def parts(model, batch):
    """The output, and the scores (B, A) of either expert with what the image's answers from."""
    kept = {}

    def keep(part, given, scores):
        kept[part] = scores, given[0]

    for part in (model.output, model.prior_output):
        part.register_forward_hook(keep)
    output = model(batch)
    (image, hidden), (prior, _) = kept[model.output], kept[model.prior_output]
    return output, image, prior, hidden


@pytest.mark.parametrize("prior", ["rubi", "lmh"])
def test_after_training_the_image_expert_answers_alone(prior):
    output, image, _, _ = parts(drawn(prior=prior).double().eval(), questions())
    assert torch.equal(output.logits, image)
    assert output.added_prior is None


def test_rubi_masks_the_scores_and_has_an_answer_of_its_own():
    model = drawn(prior="rubi").double().train()
    output, image, prior, _ = parts(model, questions())
    torch.testing.assert_close(output.logits, image / (1 + torch.exp(-prior)))
    torch.testing.assert_close(output.prior_logits, model.prior_answer(prior))


@pytest.mark.parametrize("kind", ["softmax", "logistic"])
def test_lmh_is_the_papers_sum_of_log_probabilities_and_their_entropy(recipe, kind):
    """In log-probabilities as section 3.2 and, for "logistic", the published code write it."""
    model, batch = drawn(prior="lmh", entropy_weight=0.7).double().train(), questions()
    output, image, prior, hidden = parts(model, batch)
    g = torch.log1p(torch.exp(model.prior_weight(hidden)))
    target = torch.zeros_like(image).scatter_add_(1, batch.answers, batch.answer_weights.double())
    if kind == "softmax":
        log_p, log_b = (x.log_softmax(dim=1)[..., None, :] for x in (image, prior))
        target = target[:, None]
    else:  # an answer is right or not: two outcomes of each
        log_p, log_b = (torch.stack([x, -x], -1).sigmoid().log() for x in (image, prior))
        target, g = torch.stack([target, 1 - target], -1), g[..., None]
    g = g if kind == "logistic" else g[..., None]
    together, weighted = (x - x.logsumexp(-1, keepdim=True) for x in (log_p + g * log_b, g * log_b))
    losses = [-(target * x).sum(dim=(1, 2)).mean() for x in (together, log_b)]
    entropy = -(weighted.exp() * weighted).sum(-1).mean()
    chosen = change(recipe, f"answers.loss={kind}")
    torch.testing.assert_close(loss_for(chosen)(output, batch), sum(losses) + 0.7 * entropy)


def test_in_lmh_the_prior_is_fixed_for_the_loss_of_both():
    output, _, _, _ = parts(model := drawn(prior="lmh").double().train(), questions())
    (output.logits.square().sum() + output.added_prior.square().sum()).backward()
    assert model.prior_output.weight.grad is None
    assert model.prior_weight.weight.grad.abs().max() > 0


def test_the_loss_is_that_of_both_and_of_the_prior_alone(recipe):
    model, batch = drawn().double().eval(), questions()
    output, loss = model(batch), loss_for(recipe)
    parts = [loss(VqaOutput(logits), batch) for logits in (output.logits, output.prior_logits)]
    torch.testing.assert_close(loss(output, batch), sum(parts))


@pytest.fixture
def recipe():
    from saccade.recipes.catalogue import RECIPES

    return RECIPES["auto-vqa"]
