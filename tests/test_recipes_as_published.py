"""What the published programs print or compute, against the recipes' settings."""

import math

import pytest

from saccade.recipes.catalogue import RECIPES
from saccade.training.optim import ScheduleState, learning_rate_factor

STEP = {"transformer", "lstm-cnn", "show-ask-attend-answer", "joint-embedding-pythia"}


def ruotianluo(epoch):
    return 5e-4 * 0.8 ** (epoch // 3)


def openvqa(rate):
    return lambda epoch: rate * min((epoch + 1) / 4, 1) * 0.2 ** ((epoch >= 10) + (epoch >= 12))


def pythia(step):
    decays = sum(step >= milestone for milestone in (5000, 7000, 9000, 11_000))
    return 0.01 * (0.2 + 0.8 * step / 1000 if step <= 1000 else 0.1**decays)


PUBLISHED = {
    "lstm-cnn": lambda step: 3e-4 * 0.99997592083**step,
    "show-ask-attend-answer": lambda step: 1e-3 * 0.5 ** (step / 50_000),
    "basic-vqa": lambda epoch: 1e-3 * 0.1 ** (epoch // 10),
    "joint-embedding-openvqa": openvqa(2e-3),
    "joint-embedding-pythia": pythia,
    "mcan": openvqa(1e-4),
    "show-tell-first-word": ruotianluo,
    "show-tell-im2txt": lambda epoch: 2 * 0.5 ** (epoch // 8),
    "up-down": ruotianluo,
    # Noam's, whose first step is number 1.
    "transformer": lambda step: 512**-0.5 * min((step + 1) ** -0.5, (step + 1) * 20_000**-1.5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_learning_rates_over_time(name):
    train = RECIPES[name].train
    for time in [0, 1, 500, 5000, 20_000, 140_000] if name in STEP else range(train.epochs):
        schedule_state = ScheduleState(time, 0) if name in STEP else ScheduleState(10**6, time)
        rate = train.optimiser.learning_rate * learning_rate_factor(train.schedule, schedule_state)
        assert math.isclose(rate, PUBLISHED[name](time), rel_tol=1e-4), (name, time)


def test_ibowimgs_two_learning_rates():
    train = RECIPES["ibowimg"].train
    rates = {name: train.optimiser.learning_rate * rule.rate for name, rule in train.rules.items()}
    assert rates == {"embed": pytest.approx(0.8), "output": pytest.approx(0.01)}


@pytest.mark.parametrize(
    "name",
    ["show-tell-first-word", "up-down", "up-down-self-critical", "transformer"],
)
def test_ruotianluos_captioners_are_selected_by_cider_and_suppress_unk(name):
    recipe = RECIPES[name]
    assert recipe.train.select_by == "cider"
    assert recipe.decode.suppress_unk
    assert recipe.text.min_count == 6  # more than five times
    assert recipe.text.max_length == 16


@pytest.mark.parametrize(
    ("names", "limit", "refill", "unfinished"),
    [
        # ruotianluo: 20 words, all beams count at the last one, the others fill the beam up
        (
            ("show-tell-first-word", "att2in", "up-down", "up-down-self-critical", "aoa",
             "transformer"),
            20, True, "keep",
        ),
        # sgrvinod: 51 steps with the end; a beam less for each caption that ended
        (("show-attend-tell", "show-attend-tell-fine-tuned", "show-tell"), 51, False, "drop"),
        # im2txt: 20 with the start; a partial caption only where none is complete
        (("show-tell-im2txt",), 19, True, "drop"),
        # Lu et al.: the length that they trained with; an ended beam keeps its place
        (("adaptive-attention", "adaptive-attention-lua"), 18, False, "keep"),
    ],
)  # fmt: skip
def test_beams_end_as_in_the_program_that_a_recipe_follows(names, limit, refill, unfinished):
    for decode in (RECIPES[name].decode for name in names):
        found = decode.max_length, decode.refill_beam, decode.unfinished
        assert found == (limit, refill, unfinished)


def test_the_two_adaptive_networks_count_words_and_stop_as_published():
    paper, lua = RECIPES["adaptive-attention"], RECIPES["adaptive-attention-lua"]
    assert (paper.text.min_count, lua.text.min_count) == (5, 6)
    assert paper.train.select_by == "cider"
    assert paper.train.patience == 6
