"""What must hold for every line of the recipe table, its changes, and recipes from outside."""

import re
from typing import get_args

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.config import MultiStep, Optimiser, Recipe, Schedule, Sgd, WeightRule, change
from saccade.core.errors import BadConfig
from saccade.core.tasks import TASK_INFO
from saccade.data.batch import Sizes
from saccade.models.catalogue import MODELS, build_model
from saccade.recipes.catalogue import RECIPES
from saccade.recipes.load import load_recipe
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
    metric = recipe.train.select_by or TASK_INFO[recipe.task].default_metric
    assert 0 < scores[metric] <= 100


def test_every_published_model_has_a_recipe_and_a_small_one():
    own = "no score of this form"
    published = {n for n, entry in MODELS.items() if entry.published not in ("", own)}
    of = {recipe.model.kind for name, recipe in RECIPES.items() if not name.endswith("-small")}
    assert of >= published
    assert {RECIPES[name].model.kind for name in SMALL} >= published


def test_a_change_is_typed_and_leaves_the_recipe_alone():
    recipe = RECIPES["show-attend-tell"]
    changed = change(recipe, "train.optimiser.learning_rate=1e-3")
    assert changed.train.optimiser.learning_rate == 1e-3
    assert recipe.train.optimiser.learning_rate == 4e-4
    assert change(recipe, "train.clip_value=none").train.clip_value is None
    assert change(recipe, "model.pool_size=none").model.pool_size is None
    assert change(recipe, "decode.suppress_unk=true").decode.suppress_unk is True
    assert change(recipe, "features.options.vector=true").features.options == {"vector": True}
    assert change(recipe, "encoder=timm:resnet50").encoder.backbone == "timm:resnet50"
    encoder = change(recipe, "encoder=timm:resnet50", "encoder.trains_from=0").encoder
    assert encoder.trains_from == "0"
    rules = 'train.rules={"embed.": {"rate": 2}}', "train.rules.embed..max_norm=3"
    assert change(recipe, *rules).train.rules == {"embed.": WeightRule(rate=2, max_norm=3)}


@pytest.mark.parametrize("name", RECIPES)
def test_every_line_of_show_goes_back_in(name):
    asked = CliRunner().invoke(app, ["show", name])
    lines = [line for line in asked.stdout.splitlines() if not line.startswith("#")]
    assert len(lines) > 40
    recipe = RECIPES[name]
    for line in lines:
        assert change(recipe, line) == recipe, line
    assert change(recipe, *lines) == recipe


def kinds_of(union):
    return [
        get_args(one.model_fields["kind"].annotation)[0] for one in get_args(get_args(union)[0])
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_every_change_of_kind_is_taken_and_keeps_what_both_share(name):
    recipe = RECIPES[name]
    models = [kind for kind, entry in MODELS.items() if entry.task == recipe.task]
    for group, kinds in (("optimiser", kinds_of(Optimiser)), ("schedule", kinds_of(Schedule))):
        for kind in kinds:
            old = getattr(recipe.train, group)
            new = getattr(change(recipe, f"train.{group}.kind={kind}").train, group)
            assert new.kind == kind
            for field in old.model_fields_set & type(new).model_fields.keys() - {"kind"}:
                # No warm-up is no value of inverse_sqrt.
                if (kind, field, getattr(old, field)) != ("inverse_sqrt", "warmup_steps", 0):
                    assert getattr(new, field) == getattr(old, field), (kind, field)
    for kind in models:
        model = change(recipe, f"model.kind={kind}").model
        assert type(model) is MODELS[kind].config
        if "embedding" in type(recipe.model).model_fields and hasattr(model, "embedding"):
            assert model.embedding == recipe.model.embedding
    assert change(recipe, f"model.kind={recipe.model.kind}") == recipe


def test_a_new_kind_is_taken_before_its_fields_and_contradictions_may_be_resolved_later():
    recipe = RECIPES["up-down-self-critical"]
    changed = change(recipe, "train.schedule.kind=multistep", "train.schedule.milestones=[3, 5]")
    assert changed.train.schedule == MultiStep(milestones=(3, 5))
    assert change(recipe, "model.kind=show_attend_tell").model.doubly_stochastic == 0
    assert change(RECIPES["show-attend-tell"], "train.clip_norm=1", "train.clip_value=none")
    with pytest.raises(BadConfig, match=r"clip_norm=1: .*all but one"):
        change(RECIPES["show-attend-tell"], "train.clip_norm=1", "train.epochs=3")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.learning_rat=3", "train.optimiser.learning_rate"),
        ("epochs=3", "train.epochs"),
        ("train.epochs", "no '='"),
        ("=3", "no field"),
        ("kind=mcan", "no field"),
        ("train.epochs=-1", "train.epochs"),
        ("train.epochs=many", "integer"),
        ("train.epochs.more=1", "train.epochs"),
        ("nonsense.epochs=1", "no field 'nonsense.epochs'"),
        ("text.tokenizer=nltk", "no tokenizer 'nltk'"),
        ("train.clip_norm=1", "all but one to none"),
        ("train.schedule=none", "train.schedule"),
        ("train.schedule.kind=steps", "multistep"),
        ("decode=none", "needs `decode`"),
        ("answers.size=9", "has no `answers`"),
        ("model.kind=mcan", "needs `answers`"),
        ("model.kind=show_tel", "show_attend_tell"),
    ],
)
def test_a_wrong_change_is_answered_in_the_users_words(assignment, message):
    with pytest.raises(BadConfig, match=message):
        change(RECIPES["show-attend-tell"], assignment)


class TestRecipesFromOutside:
    """Files and other packages in place of a name."""

    @pytest.mark.parametrize("name", RECIPES)
    def test_what_show_prints_as_json_is_a_recipe(self, tmp_path, name):
        file = tmp_path / "recipe.json"
        file.write_text(CliRunner().invoke(app, ["show", name, "--json"]).stdout)
        assert load_recipe(file) == RECIPES[name]

    def test_a_file_may_hold_only_what_differs(self, tmp_path):
        (tmp_path / "my.toml").write_text(
            """base = "show-attend-tell"
            about = "Mine."
            train.clip_value = "none"
            train.clip_norm = 2
            [model]
            embedding = 300
            [train.optimiser]
            momentum = 0.5
            kind = "sgd"
            [train.rules."decoder."]
            rate = 0.5
            """
        )
        (tmp_path / "my.json").write_text(
            """{"base": "show-attend-tell", "about": "Mine.", "train.clip_value": null,
            "train": {"clip_norm": 2, "rules": {"decoder.": {"rate": 0.5}}},
            "model.embedding": 300, "train.optimiser": {"momentum": 0.5, "kind": "sgd"}}"""
        )
        mine = load_recipe(str(tmp_path / "my.toml"), ["train.epochs=2"])
        assert mine == load_recipe(tmp_path / "my.json", ["train.epochs=2"])
        assert mine.train.optimiser == Sgd(learning_rate=4e-4, momentum=0.5)
        assert (mine.about, mine.model.embedding, mine.model.hidden) == ("Mine.", 300, 512)
        assert (mine.train.clip_value, mine.train.clip_norm, mine.train.epochs) == (None, 2, 2)
        assert mine.train.rules == {"decoder.": WeightRule(rate=0.5)}

    def test_a_file_may_hold_a_whole_recipe(self, tmp_path):
        file = tmp_path / "my.toml"
        file.write_text(
            """about = "Mine."
            model = {kind = "show_tell", pool_size = "none"}
            features = {}
            text.min_count = 5
            train = {}
            decode = {}
            """
        )
        mine = load_recipe(file)
        assert (mine.model.kind, mine.model.pool_size, mine.text.min_count) == (
            "show_tell",
            None,
            5,
        )

    def test_a_recipe_of_another_package(self, tmp_path, monkeypatch):
        (tmp_path / "mine.py").write_text(
            "from saccade.recipes.load import load_recipe\n"
            "SLOW = load_recipe('mcan', ['train.epochs=99'])\n"
        )
        (tmp_path / "broken.py").write_text("1 / 0")
        monkeypatch.syspath_prepend(tmp_path)
        assert load_recipe("mine:SLOW").train.epochs == 99
        for reference in ("mine:FAST", "nowhere:SLOW", "mine:load_recipe", "broken:SLOW", ":x"):
            with pytest.raises(BadConfig, match=reference):
                load_recipe(reference)

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("my.toml", None, "my.toml"),
            ("my.toml", "base = ", "not TOML"),
            ("my.json", "{", "not JSON"),
            ("my.json", "[1]", "table of fields"),
            ("my.toml", 'base = "mcam"', "my.toml: there is no recipe 'mcam'. Did you mean 'mcan'"),
            ("my.toml", 'base = "my.toml"', "base"),
            ("my.toml", 'base = "mcan"\ntrain.epoch = 3', "train.epochs"),
            ("my.toml", 'base = "mcan"\ntrain.epochs = "many"', "train.epochs"),
            ("my.toml", 'base = "mcan"\nmodel.heads = 7', "heads"),
            ("my.toml", 'about = "x"', "Field required"),
            ("my.toml", 'about = "x"\nmodel.embedding = 3', "kind is missing"),
        ],
    )
    def test_what_is_wrong_with_a_file(self, tmp_path, name, text, message):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(BadConfig, match=re.escape(message)) as told:
            load_recipe(tmp_path / name)
        assert told.value.location == str(tmp_path / name)

    def test_a_wrong_name(self):
        with pytest.raises(BadConfig, match="Did you mean 'show-attend-tell'"):
            load_recipe("show-atend-tell")
