"""Optimisers, schedules and the care of gradients and weights, against plain arithmetic."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saccade.config import (
    Adam,
    Adamax,
    AdamW,
    Constant,
    Exponential,
    InverseSqrt,
    MultiStep,
    ReduceOnPlateau,
    RmsProp,
    Sgd,
    SgdW,
    TrainConfig,
    WeightRule,
)
from saccade.core.errors import BadConfig
from saccade.training.optim import (
    ScheduleState,
    clip_gradients,
    constrain_weights,
    learning_rate_factor,
    make_optimiser,
    set_learning_rate,
)

STEPS = 6


def adam(chosen, weight, gradient, kept, step):
    first, second = chosen.betas
    mean, square = kept.get("mean", 0.0), kept.get("square", 0.0)
    kept["mean"] = mean = first * mean + (1 - first) * gradient
    kept["square"] = square = second * square + (1 - second) * gradient**2
    mean, square = mean / (1 - first**step), square / (1 - second**step)
    return weight - chosen.learning_rate * mean / (math.sqrt(square) + chosen.epsilon)


def adamw(chosen, weight, gradient, kept, step):
    decay = chosen.learning_rate * chosen.weight_decay * weight
    return adam(chosen, weight, gradient, kept, step) - decay


def sgdw(chosen, weight, gradient, kept, step):
    moved = sgd(chosen, weight, gradient, kept, step)
    return moved * (1 - chosen.learning_rate * chosen.weight_decay)


def adamax(chosen, weight, gradient, kept, step):
    first, second = chosen.betas
    kept["mean"] = mean = first * kept.get("mean", 0.0) + (1 - first) * gradient
    kept["most"] = most = max(second * kept.get("most", 0.0), abs(gradient) + chosen.epsilon)
    return weight - chosen.learning_rate / (1 - first**step) * mean / most


def rmsprop(chosen, weight, gradient, kept, step):
    square = chosen.alpha * kept.get("square", 0.0) + (1 - chosen.alpha) * gradient**2
    move = gradient / (math.sqrt(square) + chosen.epsilon)  # epsilon outside the root
    move += chosen.momentum * kept.get("move", 0.0)
    kept.update(square=square, move=move)
    return weight - chosen.learning_rate * move


def sgd(chosen, weight, gradient, kept, step):
    kept["move"] = move = chosen.momentum * kept.get("move", 0.0) + gradient
    return weight - chosen.learning_rate * move


@pytest.mark.parametrize(
    ("chosen", "plain"),
    [
        (Adam(learning_rate=0.01, betas=(0.8, 0.95), epsilon=1e-2), adam),
        (AdamW(learning_rate=0.01, betas=(0.8, 0.95), epsilon=1e-2, weight_decay=0.3), adamw),
        (Adamax(learning_rate=0.01, betas=(0.8, 0.95), epsilon=1e-2), adamax),
        (RmsProp(learning_rate=0.01, alpha=0.9, momentum=0.5, epsilon=1e-2), rmsprop),
        (RmsProp(learning_rate=0.01, alpha=0.9, epsilon=1e-2), rmsprop),
        (Sgd(learning_rate=0.01, momentum=0.7), sgd),
        (Sgd(learning_rate=0.01, momentum=0), sgd),
        (SgdW(learning_rate=0.01, momentum=0.7, weight_decay=0.3), sgdw),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_optimiser_steps_as_its_paper_says_with_the_recipe_s_numbers(chosen, plain):
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    gradients = torch.randn(STEPS, 4).double()
    expected, kept = model.weight.detach().flatten().tolist(), [{} for _ in range(4)]
    config = TrainConfig(optimiser=chosen)
    optimiser = make_optimiser(model, config)
    for step, gradient in enumerate(gradients, start=1):
        model.weight.grad = gradient.float().reshape(2, 2)
        clip_gradients(model, config)  # has nothing to do: no clipping, no coupled decay
        optimiser.step()
        constrain_weights(model, optimiser, config)
        expected = [
            plain(chosen, *values, step)
            for values in zip(expected, gradient.tolist(), kept, strict=True)
        ]
    torch.testing.assert_close(
        model.weight.detach().flatten(), torch.tensor(expected), rtol=1e-5, atol=1e-6
    )


class TestSchedules:
    def test_constant(self):
        assert learning_rate_factor(Constant(), ScheduleState(10**6, 99, 9)) == 1

    @given(st.integers(0, 10**6), st.integers(1, 10**6))
    def test_exponential_decay_halves(self, step, steps):
        factor = learning_rate_factor(Exponential(half_life=steps), ScheduleState(step, 0))
        assert factor == pytest.approx(math.exp(-math.log(2) * step / steps), rel=1e-9)

    def test_exponential_of_deeper_lstm_is_the_published_factor_per_step(self):
        one = learning_rate_factor(Exponential(half_life=28_786), ScheduleState(1, 0))
        assert one == pytest.approx(0.99997592083, abs=1e-9)

    def test_reduce_on_plateau_counts_decays_and_nothing_else(self):
        factors = [
            learning_rate_factor(ReduceOnPlateau(factor=0.8), ScheduleState(9, 9, n))
            for n in range(4)
        ]
        assert factors == pytest.approx([1, 0.8, 0.64, 0.512])

    def test_inverse_sqrt_is_highest_at_the_end_of_its_warm_up(self):
        schedule = InverseSqrt(warmup_steps=4)
        factors = [
            learning_rate_factor(schedule, ScheduleState(step, 0)) for step in (0, 1, 2, 3, 15, 63)
        ]
        assert factors == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1 / 2, 1 / 4])

    def test_inverse_sqrt_is_the_published_formula(self):
        width, warmup = 512, 20_000
        highest = width**-0.5 * warmup**-0.5
        for step in (1, 777, 20_000, 20_001, 500_000):
            published = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
            factor = learning_rate_factor(
                InverseSqrt(warmup_steps=warmup), ScheduleState(step - 1, 0)
            )
            assert highest * factor == pytest.approx(published, rel=1e-12)

    def test_multistep_of_openvqa_in_epochs(self):
        """A quarter, a half and three quarters, then all; a fifth of it twice."""
        schedule = MultiStep(
            unit="epoch", warmup_steps=3, warmup_factor=0.25, milestones=(10, 12), factor=0.2
        )
        factors = [
            learning_rate_factor(schedule, ScheduleState(10**6, epoch)) for epoch in range(13)
        ]
        assert factors == pytest.approx([0.25, 0.5, 0.75, *[1] * 7, 0.2, 0.2, 0.04])

    def test_multistep_of_pythia_in_steps(self):
        schedule = MultiStep(
            unit="step", warmup_steps=1000, warmup_factor=0.2, milestones=(5000, 7000), factor=0.1
        )
        steps = (0, 500, 999, 1000, 4999, 5000, 6999, 7000)
        factors = [learning_rate_factor(schedule, ScheduleState(step, 99)) for step in steps]
        assert factors == pytest.approx([0.2, 0.6, 0.9992, 1, 1, 0.1, 0.1, 0.01])

    def test_multistep_without_warm_up_starts_in_full(self):
        schedule = MultiStep(warmup_factor=0.2, milestones=(1,), factor=0.5)
        factors = [learning_rate_factor(schedule, ScheduleState(0, epoch)) for epoch in range(3)]
        assert factors == [1, 0.5, 0.5]

    def test_multistep_may_decay_during_warm_up_and_twice_at_once(self):
        schedule = MultiStep(
            unit="step", warmup_steps=10, warmup_factor=1e-9, milestones=(5, 5), factor=0.1
        )
        assert learning_rate_factor(schedule, ScheduleState(4, 0)) == pytest.approx(0.4, rel=1e-6)
        assert learning_rate_factor(schedule, ScheduleState(5, 0)) == pytest.approx(0.005, rel=1e-6)


class Pair(nn.Module):
    """Two layers whose names share a beginning, and a third."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(3, 2, bias=False)
        self.embed_more = nn.Linear(3, 2, bias=False)
        self.answer = nn.Linear(2, 4)

    def with_gradients(self, factor: float = 1.0) -> dict[str, torch.Tensor]:
        draw = torch.Generator().manual_seed(7)
        for parameter in self.parameters():
            parameter.grad = factor * torch.randn(parameter.shape, generator=draw)
        return {name: p.grad.clone() for name, p in self.named_parameters()}

    def gradients(self) -> dict[str, torch.Tensor]:
        return {name: p.grad for name, p in self.named_parameters()}


class TestRules:
    def test_rates_hold_for_the_longest_beginning_at_every_moment(self):
        model = Pair()
        config = TrainConfig(
            optimiser=Sgd(learning_rate=0.5, momentum=0),
            schedule=MultiStep(unit="epoch", milestones=(2,), factor=0.1),
            rules={"embed": WeightRule(rate=80), "embed_more": WeightRule(rate=2)},
        )
        optimiser = make_optimiser(model, config)
        assert sum(len(group["params"]) for group in optimiser.param_groups) == 4
        for epoch, rate in ((0, 0.5), (2, 0.05)):
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            gradients = model.with_gradients()
            set_learning_rate(optimiser, config, ScheduleState(0, epoch))
            optimiser.step()
            times = {"embed.weight": 80, "embed_more.weight": 2}
            for name, parameter in model.named_parameters():
                moved = before[name] - rate * times.get(name, 1) * gradients[name]
                torch.testing.assert_close(parameter.detach(), moved)

    def test_a_single_weight_may_be_ruled_too(self):
        rules = {"answer": WeightRule(rate=3), "answer.bias": WeightRule(rate=5)}
        optimiser = make_optimiser(Pair(), TrainConfig(rules=rules))
        found = {
            group["rate"]: [tuple(p.shape) for p in group["params"]]
            for group in optimiser.param_groups
        }
        assert found == {1: [(2, 3), (2, 3)], 3: [(4, 2)], 5: [(4,)]}

    def test_a_rule_that_no_weight_fits_is_refused(self):
        with pytest.raises(BadConfig, match="'embedding'"):
            make_optimiser(Pair(), TrainConfig(rules={"embedding": WeightRule(rate=2)}))

    def test_weights_are_scaled_down_to_their_max_norm(self):
        model = Pair()
        rules = {"embed": WeightRule(max_norm=0.5), "embed_more": WeightRule(max_norm=50)}
        config = TrainConfig(rules=rules)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        assert before["embed.weight"].norm() > 0.5
        constrain_weights(model, make_optimiser(model, config), config)
        after = dict(model.named_parameters())
        short = before["embed.weight"] * 0.5 / before["embed.weight"].norm()
        torch.testing.assert_close(after["embed.weight"].detach(), short)
        for name in ("embed_more.weight", "answer.weight", "answer.bias"):
            torch.testing.assert_close(after[name].detach(), before[name], rtol=0, atol=0)

    def test_a_weight_of_zeros_stays_a_number_when_held(self):
        model, config = Pair(), TrainConfig(rules={"embed": WeightRule(max_norm=1)})
        nn.init.zeros_(model.embed.weight)
        constrain_weights(model, make_optimiser(model, config), config)
        assert model.embed.weight.eq(0).all()

    def test_decoupled_decay_follows_each_weight_s_learning_rate_and_rule(self):
        model = Pair()
        model.answer.bias.requires_grad_(False)
        config = TrainConfig(
            optimiser=SgdW(learning_rate=0.5, weight_decay=0.1),
            rules={"embed.": WeightRule(rate=4), "embed_more": WeightRule(weight_decay=False)},
        )
        optimiser = make_optimiser(model, config)
        set_learning_rate(optimiser, config, ScheduleState(0, 0))
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        constrain_weights(model, optimiser, config)
        for name, parameter in model.named_parameters():
            times = {"embed.weight": 4, "embed_more.weight": 0, "answer.bias": 0}.get(name, 1)
            share = 1 - 0.5 * 0.1 * times
            torch.testing.assert_close(parameter.detach(), before[name] * share)


class TestGradients:
    def test_nothing_is_touched_unless_asked(self):
        model = Pair()
        before = model.with_gradients()
        clip_gradients(model, TrainConfig())
        torch.testing.assert_close(model.gradients(), before, rtol=0, atol=0)

    def test_every_element_is_kept_within_a_value(self):
        model = Pair()
        before = model.with_gradients()
        clip_gradients(model, TrainConfig(clip_value=0.5))
        expected = {name: gradient.clamp(-0.5, 0.5) for name, gradient in before.items()}
        assert any((before[name].abs() > 0.5).any() for name in before)
        torch.testing.assert_close(model.gradients(), expected, rtol=0, atol=0)

    @pytest.mark.parametrize("factor", [10.0, 1e-3])
    def test_the_whole_is_scaled_down_to_a_norm_but_never_up(self, factor):
        model = Pair()
        before = model.with_gradients(factor)
        norm = math.sqrt(sum(float(gradient.pow(2).sum()) for gradient in before.values()))
        clip_gradients(model, TrainConfig(clip_norm=0.25))
        share = min(1, 0.25 / norm)
        expected = {name: gradient * share for name, gradient in before.items()}
        torch.testing.assert_close(model.gradients(), expected, rtol=1e-5, atol=1e-8)

    def test_each_tensor_is_scaled_down_by_itself(self):
        model = Pair()
        model.with_gradients()
        with torch.no_grad():
            model.answer.bias.grad.mul_(1e-3)
        before = {name: gradient.clone() for name, gradient in model.gradients().items()}
        clip_gradients(model, TrainConfig(clip_norm_per_tensor=0.1))
        expected = {n: g * min(1, 0.1 / float(g.norm())) for n, g in before.items()}
        torch.testing.assert_close(model.gradients(), expected, rtol=1e-4, atol=1e-8)
        torch.testing.assert_close(model.answer.bias.grad, before["answer.bias"], rtol=0, atol=0)

    @pytest.mark.parametrize("kind", [Adam, Adamax, RmsProp, Sgd])
    def test_coupled_decay_is_added_before_clipping_except_where_a_rule_says_no(self, kind):
        model = Pair()
        before = model.with_gradients()
        rules = {"embed": WeightRule(weight_decay=False), "embed_more": WeightRule()}
        optimiser = kind(weight_decay=3.0)
        config = TrainConfig(optimiser=optimiser, clip_value=0.5, rules=rules)
        clip_gradients(model, config)
        after = {name: p.detach().clone() for name, p in model.named_parameters()}
        constrain_weights(model, make_optimiser(model, config), config)
        torch.testing.assert_close(dict(model.named_parameters()), after, rtol=0, atol=0)
        for name, parameter in model.named_parameters():
            pull = 0 if name == "embed.weight" else 3.0 * parameter.detach()
            expected = (before[name] + pull).clamp(-0.5, 0.5)
            torch.testing.assert_close(parameter.grad, expected)

    def test_a_weight_without_a_gradient_is_no_obstacle(self):
        model = Pair()
        model.with_gradients()
        model.embed.weight.grad = None
        clip_gradients(
            model, TrainConfig(optimiser=Sgd(weight_decay=1.0), clip_norm_per_tensor=0.1)
        )
        assert model.embed.weight.grad is None

    def test_two_ways_to_clip_are_refused(self):
        with pytest.raises(ValueError, match="all but one"):
            TrainConfig(clip_norm=1, clip_norm_per_tensor=1)


def test_a_step_of_ibowimg_is_the_published_one():
    """g clipped to 0.1; m = 0.9 m - rate g; w = (w + m)(1 - 5e-6 rate); w within max_norm."""
    model = nn.ModuleDict({"embed": nn.Linear(5, 3, bias=False)})
    config = TrainConfig(
        optimiser=SgdW(learning_rate=0.8, momentum=0.9, weight_decay=5e-6),
        clip_norm_per_tensor=0.1,
        rules={"embed": WeightRule(rate=0.5, max_norm=0.9)},
    )
    optimiser = make_optimiser(model, config)
    weight = model["embed"].weight
    expected, momentum = weight.detach().clone().double(), 0.0
    for step in range(5):
        weight.grad = torch.randn(3, 5, generator=torch.Generator().manual_seed(step))
        gradient = weight.grad.double() * min(1, 0.1 / float(weight.grad.norm()))
        momentum = 0.9 * momentum - 0.4 * gradient
        expected = (expected + momentum) * (1 - 0.4 * 5e-6)
        expected = expected * min(1, 0.9 / float(expected.norm()))
        set_learning_rate(optimiser, config, ScheduleState(step, 0))
        clip_gradients(model, config)
        optimiser.step()
        constrain_weights(model, optimiser, config)
    torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-6)
