"""Tables that other packages add lines to: what a plugin may do, and what it cannot break."""

import json
import sys

import pytest
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core import tables
from saccade.core.errors import BadConfig, BadRun, SaccadeWarning
from saccade.core.tables import Table, load_object
from saccade.models.catalogue import MODELS, Entry
from saccade.recipes.catalogue import RECIPES
from saccade.recipes.load import load_recipe

GROUP = "saccade.tests"


def install(folder, package, points, code="", group=GROUP):
    """Write a module and the metadata of an installed package that offers entry points."""
    (folder / f"{package}.py").write_text(code)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {package}:{value}" for name, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder whose packages are installed."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def check(line):
    if not isinstance(line, int):
        raise TypeError("a number was expected")


def numbers():
    return Table("number", {"one": 1, "two": 2}, group=GROUP, check=check)


def test_lines_of_plugins_stand_beside_those_of_the_house(site):
    install(site, "more", {"three": "THREE", "four": "FOUR"}, "THREE, FOUR = 3, 4")
    table = numbers()
    assert "three" in table
    assert table["three"] == table.look_up("three") == 3
    assert dict(table) == {"one": 1, "two": 2, "three": 3, "four": 4}
    assert len(table) == 4  # and no warning, which would be an error here


def test_entry_points_are_read_only_when_they_are_needed(site, monkeypatch):
    install(site, "more", {"three": "THREE"}, "raise SystemExit('imported')")

    def refuse(**_):
        raise AssertionError("entry points were read")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "entry_points", refuse)
        assert numbers()["one"] == 1
        assert dict(Table("number", {"one": 1})) == {"one": 1}
    assert "more" not in sys.modules


def test_a_plugin_that_cannot_be_used_never_breaks_the_others(site):
    install(site, "good", {"three": "THREE"}, "THREE = 3")
    install(site, "broken", {"four": "FOUR"}, "import nowhere")
    install(site, "leaves", {"five": "FIVE"}, "raise SystemExit(1)")
    install(site, "wrong", {"six": "SIX"}, "SIX = 'six'")
    install(site, "thief", {"one": "ONE"}, "ONE = 11")
    install(site, "first", {"seven": "SEVEN"}, "SEVEN = 7")
    install(site, "second", {"seven": "SEVEN"}, "SEVEN = 77")
    table = numbers()
    with pytest.warns(SaccadeWarning) as told:
        assert dict(table) == {"one": 1, "two": 2, "three": 3}
    problems = {str(warning.message) for warning in told}
    assert len(problems) == 5
    expected = {
        "four": ("broken", "nowhere"),
        "five": ("leaves", "SystemExit"),
        "six": ("wrong", "a number was expected"),
        "one": ("thief", "saccade has one"),
        "seven": ("first and second", "only one package"),
    }
    for name, words in expected.items():
        (problem,) = [line for line in problems if repr(name) in line]
        assert "\n" not in problem
        assert all(word in problem for word in words)
        if name != "one":
            with pytest.raises(BadConfig, match=words[0]):
                table.look_up(name)


def test_a_name_that_is_nowhere_has_the_nearest_of_all(site):
    install(site, "more", {"three": "THREE"}, "THREE = 3")
    with pytest.raises(BadConfig, match=r"Did you mean 'three'\? .*one, three, two"):
        numbers().look_up("thre")
    with pytest.raises(KeyError):
        numbers()["thre"]


def test_an_object_by_reference():
    assert load_object("saccade.core.tables:Table.look_up") is Table.look_up
    for reference in ("saccade.nowhere:x", "saccade.core.tables:x", "saccade.core.tables", ""):
        with pytest.raises(BadConfig, match="cannot be imported"):
            load_object(reference)


PLUGIN = """
from typing import Literal
from saccade.models.catalogue import Entry, ModelConfig
class BowConfig(ModelConfig):
    kind: Literal["bow"] = "bow"
    width: int = 9
BOW = Entry("bow_model:Bow", BowConfig, {"width": 3}, "vqa", "Bag of words", "Nobody", "none")
"""


@pytest.mark.filterwarnings("always:the model:saccade.core.errors.SaccadeWarning")
def test_a_model_of_a_plugin_is_listed_and_configured_without_torch(site, monkeypatch):
    install(site, "bow", {"bow": "BOW", "mcan": "BOW", "bad": "x"}, PLUGIN, "saccade.models")
    table = Table("model", MODELS._lines, group="saccade.models", check=MODELS._check)
    monkeypatch.setattr("saccade.models.catalogue.MODELS", table)
    monkeypatch.setattr("saccade.config.MODELS", table)
    listed = CliRunner().invoke(app, ["list", "models"])
    assert "Bag of words" in listed.stdout
    assert listed.stderr.count("note: the model") == 2
    recipe = load_recipe("joint-embedding", ["model.kind=bow", "model.width=5"])
    assert (recipe.task, recipe.model.width) == ("vqa", 5)
    again = type(recipe).model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert isinstance(table["bow"], Entry)


@pytest.mark.parametrize("missing", ["model", "tokenizer"])
def test_a_run_whose_plugin_is_not_installed_is_one_sentence(tmp_path, missing):
    from saccade.core.run_files import RUN_FORMAT
    from saccade.run_folder import open_run

    recipe = RECIPES["joint-embedding-small"].model_dump(mode="json")
    if missing == "model":
        recipe["model"] = {"kind": "bow", "width": 3}
    else:
        recipe["text"]["tokenizer"] = "bow"
    (tmp_path / "run.json").write_text(json.dumps({"format": RUN_FORMAT, "recipe": recipe}))
    with pytest.raises(BadRun, match=f"no {missing} 'bow'. Install the package") as told:
        open_run(tmp_path)
    assert told.value.location == str(tmp_path / "run.json")
