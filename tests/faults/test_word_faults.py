"""Each setting that a data folder or the machine cannot bear raises its finding."""

import pytest

import saccade
from saccade.checks.check import checked
from saccade.checks.machine import check_machine
from saccade.core.errors import BadData
from saccade.experiment import assemble
from saccade.recipes.load import load_recipe
from tests.worlds import make_world

VQA, CAPTION = "show-ask-attend-answer-small", "show-attend-tell-small"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("words") / "data", train=80, val=24)


def found(world, recipe, *changes):
    return {one.name: one for one in saccade.check(world.path, recipe, changes=changes)}


@pytest.mark.parametrize("recipe", [VQA, CAPTION])
def test_a_recipe_that_fits_raises_nothing_but_its_network(world, recipe):
    small = {"untrained-backbone", "small-validation"}
    bad = {n for n, one in found(world, recipe).items() if one.level != "note"}
    assert bad - small == set()


@pytest.mark.parametrize(
    ("recipe", "change", "name", "level"),
    [
        (VQA, "text.min_count=100000", "questions-unknown", "error"),
        (VQA, "text.min_count=90", "many-words-unknown", "warning"),
        (VQA, "text.max_length=1", "texts-cut", "warning"),
        (VQA, "answers.min_count=300", "small-answer-list", "warning"),
        (VQA, "answers.min_count=100000", "validation-answers-unknown", "error"),
        (CAPTION, "text.min_count=100000", "captions-unknown", "error"),
        (CAPTION, "text.max_length=2", "texts-cut", "warning"),
        (VQA, "model.question=400000", "memory", "error"),
    ],
)
def test_a_setting_that_spoils_it(world, recipe, change, name, level):
    assert found(world, recipe, change)[name].level == level


def test_a_disk_that_is_too_small(world, tmp_path, monkeypatch):
    monkeypatch.setattr("saccade.checks.machine.free_bytes", lambda _: 1000)
    experiment = assemble(load_recipe(VQA), world)
    with pytest.raises(BadData) as refused:
        checked(experiment, tmp_path / "run", "cpu", strict=False)
    assert "--allow disk" in refused.value.hint
    known = checked(experiment, tmp_path / "run", "cpu", ["disk"], strict=False)
    assert {one.level for one in known if one.name == "disk"} == {"warning"}
    averaged = assemble(load_recipe(VQA, ["train.ema=0.9"]), world)
    of_each = [
        one.numbers["needed"]
        for tried in (experiment, averaged)
        for one in check_machine(tried, tmp_path / "run", "cpu")
    ]
    # Best weights, and twice the state: weights, two moments, and their average.
    assert of_each[1] / of_each[0] == pytest.approx((1 + 2 * 4) / (1 + 2 * 3))
