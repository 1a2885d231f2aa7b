"""What must hold for every line of the recipe table."""

import pytest
import torch
from rich.console import Console

from saccade.config import Recipe, change
from saccade.core.errors import SaccadeError
from saccade.data.batch import Sizes
from saccade.models.catalogue import MODELS, build_model
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.worlds import make_world, write_pixels

SMALL = [name for name in RECIPES if name.endswith("-small")]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = make_world(tmp_path_factory.mktemp("recipes") / "data")
    write_pixels(folder)
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe(name):
    """It says what it reproduces, survives being written down, and its model can be built."""
    recipe = RECIPES[name]
    assert len(recipe.about.split()) > 5
    if not name.endswith("-small"):
        assert "Published" in recipe.about
        assert "Expect" in recipe.about
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    with torch.device("meta"):
        build_model(recipe.model, Sizes(words=50, region_dim=8, answers=9, grid=(4, 4), regions=16))


@pytest.mark.parametrize("name", SMALL)
def test_every_small_recipe_trains(world, tmp_path, name):
    recipe = change(change(RECIPES[name], "train.epochs=2"), "train.batch_size=16")
    scores = train(recipe, world.path, tmp_path / "run", console=Console(quiet=True))
    assert 0 < scores["accuracy" if recipe.task == "vqa" else "bleu_1"] <= 100


def test_every_model_has_a_recipe_and_a_small_one():
    of = {recipe.model.kind for name, recipe in RECIPES.items() if not name.endswith("-small")}
    assert of == set(MODELS)
    assert {RECIPES[name].model.kind for name in SMALL} == set(MODELS)


def test_a_change_is_typed_and_leaves_the_recipe_alone():
    recipe = RECIPES["show-attend-tell"]
    changed = change(recipe, "train.optimiser.learning_rate=1e-3")
    assert changed.train.optimiser.learning_rate == 1e-3
    assert recipe.train.optimiser.learning_rate == 4e-4
    assert change(recipe, "train.clip_value=none").train.clip_value is None
    assert change(recipe, "model.view=none").model.view is None
    assert change(recipe, "decode.suppress_unk=true").decode.suppress_unk is True


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.learning_rat=3", "epochs"),
        ("train.epochs", "no '='"),
        ("train.epochs=-1", "train.epochs"),
        ("train.epochs=many", "integer"),
        ("nonsense.epochs=1", "no such field"),
        ("text.tokenizer=nltk", "tokenizer must be one of"),
        ("train.clip_norm=1", "all but one to none"),
        ("decode=none", "needs `decode`"),
        ("model.kind=show_tel", "show_attend_tell"),
    ],
)
def test_a_wrong_change_is_answered_in_the_users_words(assignment, message):
    with pytest.raises(SaccadeError, match=message):
        change(RECIPES["show-attend-tell"], assignment)
