"""Losses, against sums written out one question and one answer at a time."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from saccade.config import change
from saccade.data.batch import CaptionBatch, CaptionOutput, VqaBatch, VqaOutput
from saccade.models.losses import answer_loss, caption_loss, logistic, sampled, soft
from saccade.recipes.catalogue import RECIPES
from saccade.training.objectives import loss_for


def asked(answers, weights) -> VqaBatch:
    """A batch of which a loss reads the answers only."""
    nothing = torch.zeros(len(answers), 1)
    return VqaBatch(
        regions=nothing[:, :, None],
        region_mask=nothing.bool(),
        image=nothing[:, 0].long(),
        question=nothing.long(),
        question_length=nothing[:, 0].long() + 1,
        answers=torch.tensor(answers),
        answer_weights=torch.tensor(weights),
    )


def log_shares(row: list[float]) -> list[float]:
    most = max(row)
    total = most + math.log(sum(math.exp(x - most) for x in row))
    return [x - total for x in row]


@st.composite
def questions(draw):
    """Logits (B, A) and, for each question, some different answers with weights; 0 pads."""
    number, answers, listed = (draw(st.integers(1, n)) for n in (4, 6, 3))
    number_of_logits = st.lists(st.floats(-30, 30, width=32), min_size=answers, max_size=answers)
    logits = draw(st.lists(number_of_logits, min_size=number, max_size=number))
    right = [
        draw(
            st.dictionaries(
                st.integers(0, answers - 1), st.floats(0.125, 1, width=32), max_size=listed
            )
        )
        for _ in range(number)
    ]
    ids = [[*some, *[0] * (listed - len(some))] for some in right]
    weights = [[*some.values(), *[0.0] * (listed - len(some))] for some in right]
    return logits, right, asked(ids, weights)


@given(questions())
def test_soft_is_cross_entropy_with_every_answer_by_its_weight(drawn):
    logits, right, batch = drawn
    expected = [
        -sum((weight * log_shares(row)[id_] for id_, weight in some.items()), 0.0)
        for row, some in zip(logits, right, strict=True)
    ]
    output = VqaOutput(torch.tensor(logits))
    torch.testing.assert_close(soft(output, batch), torch.tensor(expected), rtol=1e-5, atol=1e-4)
    mean = torch.tensor(sum(expected) / len(expected))
    torch.testing.assert_close(answer_loss(output, batch), mean, rtol=1e-5, atol=1e-4)


@given(questions())
def test_logistic_judges_every_answer_by_itself(drawn):
    logits, right, batch = drawn
    expected = []
    for row, some in zip(logits, right, strict=True):
        total = 0.0
        for id_, logit in enumerate(row):
            said_yes, said_no = -math.log1p(math.exp(-logit)), -math.log1p(math.exp(logit))
            truth = some.get(id_, 0.0)
            total -= truth * said_yes + (1 - truth) * said_no
        expected.append(total)
    found = logistic(VqaOutput(torch.tensor(logits)), batch)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-4)


def test_a_weight_of_less_than_one_in_all_counts_for_less():
    """Answers that are not in the list take their share of the loss away; nothing is rescaled."""
    output = VqaOutput(torch.tensor([[1.0, 2.0, 3.0]]))
    whole, half = (soft(output, asked([[1]], [[weight]])) for weight in (1.0, 0.5))
    torch.testing.assert_close(whole, 2 * half)


@given(questions(), st.floats(0.01, 0.99))
def test_smoothed_targets_are_those_that_torch_makes(drawn, smoothing):
    logits, right, batch = drawn
    rows, dense = torch.tensor(logits), torch.zeros(len(logits), len(logits[0]))
    for target, some in zip(dense, right, strict=True):
        for id_, weight in some.items():
            target[id_] = weight
    expected = functional.cross_entropy(rows, dense, reduction="none", label_smoothing=smoothing)
    found = soft(VqaOutput(rows), batch, smoothing)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    smooth = dense * (1 - smoothing) + smoothing / dense.shape[1]
    yes, no = functional.logsigmoid(rows.double()), functional.logsigmoid(-rows.double())
    expected = -(smooth * yes + (1 - smooth) * no).sum(dim=1)
    found = logistic(VqaOutput(rows), batch, smoothing).double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["softmax", "sampled", "logistic"])
def test_a_recipe_that_smooths_is_smoothed(name):
    recipe = change(RECIPES["joint-embedding"], "answers.target=best", f"answers.loss={name}")
    output, batch = VqaOutput(torch.tensor([[1.0, -2.0, 0.5]])), asked([[2]], [[1.0]])
    losses = [
        loss_for(change(recipe, f"train.label_smoothing={share}"))(output, batch).item()
        for share in (0, 0.3)
    ]
    assert losses[0] != pytest.approx(losses[1], abs=1e-3)
    if name != "logistic":
        nll = [-cost for cost in log_shares([1.0, -2.0, 0.5])]
        assert losses[1] == pytest.approx(0.7 * nll[2] + 0.1 * sum(nll), rel=1e-6)


def test_captions_are_smoothed_over_the_vocabulary():
    logits, said = [[0.5, 1.0, -1.0], [2.0, 0.0, 0.0]], [2, 0]
    nll = [[-cost for cost in log_shares(row)] for row in logits]
    expected = [0.9 * row[id_] + 0.1 / 3 * sum(row) for row, id_ in zip(nll, said, strict=True)]
    loss = loss_for(change(RECIPES["show-tell"], "train.label_smoothing=0.1"))
    found = loss(CaptionOutput(torch.tensor(logits), torch.tensor(said)), None)
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-6)


@pytest.mark.parametrize("loss", [soft, sampled, logistic])
def test_padding_of_the_answers_changes_nothing(loss):
    output = VqaOutput(torch.tensor([[0.5, -1.0, 2.0]]))
    plain, padded = asked([[2]], [[0.75]]), asked([[2, 0, 0]], [[0.75, 0.0, 0.0]])
    torch.testing.assert_close(loss(output, plain), loss(output, padded))


def test_sampled_draws_one_answer_by_its_weight_anew_each_time():
    torch.manual_seed(0)
    row, number = [2.0, 0.0, -1.0, 5.0], 40_000
    batch = asked([[2, 0, 1]] * number, [[0.6, 0.3, 0.0]] * number)
    found = sampled(VqaOutput(torch.tensor([row] * number)), batch)
    costs = [round(-x, 4) for x in log_shares(row)]
    times = Counter(round(x, 4) for x in found.tolist())
    assert set(times) == {costs[2], costs[0]}, "what weighs nothing is never drawn"
    assert times[costs[2]] / number == pytest.approx(2 / 3, abs=0.01)
    again = sampled(VqaOutput(torch.tensor([row] * number)), batch)
    assert not torch.equal(found, again)


@pytest.mark.parametrize(("name", "each"), [("softmax", soft), ("logistic", logistic)])
def test_a_batch_is_averaged_or_added_up(name, each):
    recipe = change(RECIPES["joint-embedding"], f"answers.loss={name}")
    output = VqaOutput(torch.tensor([[1.0, -2.0], [0.5, 0.25], [3.0, 1.0]]))
    batch = asked([[0], [1], [1]], [[1.0], [0.3], [0.9]])
    losses = each(output, batch).tolist()
    assert loss_for(recipe)(output, batch).item() == pytest.approx(sum(losses) / 3, rel=1e-6)
    summed = change(recipe, "answers.summed=true")
    assert loss_for(summed)(output, batch).item() == pytest.approx(sum(losses), rel=1e-6)


def test_a_recipe_that_draws_an_answer_gets_the_drawing_loss():
    output, batch = VqaOutput(torch.tensor([[1.0, -2.0, 0.5]])), asked([[0, 2]], [[0.5, 0.5]])
    torch.manual_seed(3)
    found = [loss_for(RECIPES["san-cnn"])(output, batch).item() for _ in range(40)]
    costs = log_shares([1.0, -2.0, 0.5])
    assert {round(x, 5) for x in found} == {round(-costs[0], 5), round(-costs[2], 5)}


@pytest.mark.parametrize("loss", [answer_loss, soft, sampled, logistic])
def test_a_batch_without_answers_has_no_loss(loss):
    batch = asked([[0]], [[1.0]])
    batch.answers = batch.answer_weights = None
    with pytest.raises(ValueError, match="without answers"):
        loss(VqaOutput(torch.zeros(1, 2)), batch)


def test_captions_are_averaged_over_words_and_a_penalty_is_added():
    logits = [[0.5, 1.0, -1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, -3.0, 1.0], [1.0, 1.0, 2.0]]
    said = [2, 0, 1, 1, 2]
    expected = -sum(log_shares(row)[id_] for row, id_ in zip(logits, said, strict=True)) / 5
    batch = CaptionBatch(
        regions=torch.zeros(2, 1, 1),
        region_mask=torch.ones(2, 1, dtype=torch.bool),
        image=torch.arange(2),
        caption=torch.zeros(2, 4, dtype=torch.int64),
        caption_length=torch.tensor([4, 3]),
    )
    output = CaptionOutput(torch.tensor(logits, requires_grad=True), torch.tensor(said))
    assert caption_loss(output, batch).item() == pytest.approx(expected, rel=1e-6)
    assert loss_for(RECIPES["show-tell"]) is caption_loss
    output.penalty = torch.tensor(0.25, requires_grad=True)
    loss = caption_loss(output, batch)
    assert loss.item() == pytest.approx(expected + 0.25, rel=1e-6)
    loss.backward()
    assert output.penalty.grad.item() == 1, "the penalty is learnt from, too"
