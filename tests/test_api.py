"""The public face: what `saccade` offers, and that the examples of its docstrings run."""

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import saccade
from saccade import api
from saccade.core.errors import BadConfig, BadRun
from saccade.recipes.catalogue import RECIPES
from tests.worlds import make_world

FUNCTIONS = (
    *("prepare", "extract", "advise", "train", "average", "ensemble", "evaluate", "score"),
    *(
        "faithfulness",
        "load",
        "from_pretrained",
        "push_to_hub",
        "predict",
        "explain",
        "export",
        "compare",
        "sweep",
    ),
    "serve",
)


def test_the_examples_of_the_docstrings_run(tmp_path, monkeypatch):
    """In the order of a project, each on what the ones before have made."""
    monkeypatch.chdir(tmp_path)
    names = {"saccade": saccade, "Path": Path}
    for function in FUNCTIONS:
        examples = doctest.DocTestParser().get_examples(getattr(api, function).__doc__)
        assert examples, function
        for example in examples:
            if example.want:
                assert repr(eval(example.source, names)) == example.want.strip(), function
            else:
                exec(example.source, names)
    again = saccade.compare(["first=run"], "again.html", examples=0, device="cpu")
    assert again[0] == Path("again.html")


def test_what_is_offered_is_listed_and_explained():
    assert set(FUNCTIONS) < set(dir(saccade))
    for name in FUNCTIONS:
        function = getattr(api, name)
        for section in ("Args:", "Returns:", "Raises:", "Example:"):
            assert section in function.__doc__, name
        signature = inspect.signature(function)
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty
            assert f"{parameter.name}:" in function.__doc__, f"{name}({parameter.name})"
        assert signature.return_annotation is not signature.empty
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        saccade.trian  # noqa: B018


def test_looking_at_the_face_imports_nothing_heavy():
    code = """
import sys, saccade
assert saccade.__version__ and "train" in dir(saccade)
for name in saccade.__all__:
    getattr(saccade, name)
assert not {"torch", "numpy", "pydantic", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recipe_may_be_given_as_an_object(tmp_path):
    recipe, data = RECIPES["show-ask-attend-answer-small"], tmp_path / "data"
    make_world(data, train=4, val=2)
    with pytest.raises(BadConfig, match="epoch"):
        saccade.train(recipe, data, tmp_path / "run", changes=["train.epoch=3"])
    with pytest.raises(BadRun):
        saccade.load(str(tmp_path))
