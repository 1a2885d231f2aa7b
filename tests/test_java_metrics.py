"""METEOR and SPICE: what is said when they cannot be measured, and how their programs are asked.

A small script stands for Java; the real METEOR runs when SACCADE_JAVA is set (it takes long).
"""

import json
import os
import shutil
import sys

import pytest

from saccade.core.errors import BadData
from saccade.metrics import java
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.java import meteor, spice

SAID = [["a", "man", "rides", "a", "bike"], ["two", "dogs"]]
HUMAN = [[["a", "man", "riding", "a", "red", "bike"]], [["two", "dogs"], ["some", "|||", "dogs"]]]
BOTH = [meteor, spice]

METEOR_PROGRAM = """
import sys
for line in sys.stdin:
    head, *rest = line.rstrip("\\n").split(" ||| ")
    if head == "SCORE":
        print(len(rest), len(rest[-1].split()), flush=True)
    else:
        for statistics in rest:
            print(int(statistics.split()[1]) / 10)
        print(0.25, flush=True)
"""
SPICE_PROGRAM = """
import json, sys
given, _, result = sys.argv[4:7]
rows = json.load(open(given))
scores = [{"image_id": r["image_id"], "scores": {"All": {"f": len(r["refs"]) / 4}}} for r in rows]
json.dump(scores[::-1], open(result, "w"))
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder that looks like the installed package, and a program that looks like Java."""
    for name in ("meteor-1.5", "spice-1.0", "stanford-corenlp-3.6.0-models"):
        (tmp_path / f"{name}.jar").touch()
    monkeypatch.setattr(java, "_archive", lambda name: tmp_path / name.rpartition("/")[2])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def program(source):
        (tmp_path / "java").write_text(f"#!{sys.executable}\n{source}")
        (tmp_path / "java").chmod(0o755)

    return program


def test_meteor_is_asked_caption_by_caption(installed):
    installed(METEOR_PROGRAM)
    assert meteor(SAID, HUMAN) == Result(0.25, [0.5, 0.2])
    assert meteor([[]], [[["a"]]]) == Result(0.25, [0.0])


def test_spice_scores_are_put_into_the_order_of_the_images(installed):
    installed(SPICE_PROGRAM)
    assert spice(SAID, HUMAN) == Result(0.375, [0.25, 0.5])


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize(
    ("source", "seconds", "reason"),
    [
        ("import time; time.sleep(60)", 0.5, "longer than the 0.5 seconds"),
        ("import sys; sys.exit('no memory left')", 60, "no memory left"),
        ("print('none')", 60, ""),
    ],
)
def test_a_program_that_fails_gives_a_reason_and_no_score(
    installed, metric, source, seconds, reason
):
    installed(source)
    result = metric(SAID, HUMAN, seconds=seconds)
    assert isinstance(result, NotMeasured)
    assert reason in result.reason
    assert result.reason.startswith(metric.__name__.upper())


def test_no_number_is_no_score(installed):
    installed(METEOR_PROGRAM.replace("print(0.25", "print('NaN'"))
    assert meteor(SAID, HUMAN) == NotMeasured("METEOR: it gave something that is not a number")


@pytest.mark.parametrize("metric", BOTH)
def test_no_java(metric, installed, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    result = metric(SAID, HUMAN)
    assert result == NotMeasured(f"{metric.__name__.upper()}: Java is not installed")


@pytest.mark.parametrize("metric", BOTH)
def test_no_package(metric, monkeypatch):
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    assert "pip install 'saccade[metrics]'" in metric(SAID, HUMAN).reason


def test_no_stanford_models(tmp_path, monkeypatch):
    package = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(java, "find_spec", lambda name: package)
    (tmp_path / "spice").mkdir()
    (tmp_path / "spice" / "spice-1.0.jar").touch()
    assert "get_stanford_models" in spice(SAID, HUMAN).reason
    assert "install pycocoevalcap again" in meteor(SAID, HUMAN).reason


@pytest.mark.parametrize("metric", BOTH)
def test_captions_that_do_not_fit_are_refused(metric):
    with pytest.raises(BadData, match="1 captions for 2 images"):
        metric(SAID[:1], HUMAN)


@pytest.mark.skipif("SACCADE_JAVA" not in os.environ, reason="SACCADE_JAVA is not set")
def test_the_real_meteor(real_data):
    assert meteor(SAID[:1], HUMAN[:1]).value == pytest.approx(0.3619621506, abs=1e-9)
    rows = json.loads(real_data("metrics-golden/fakecap_tokenized.json").read_text())
    expected = json.loads(real_data("metrics-golden/expected.json").read_text())
    said = [row["test"].split() for row in rows]
    human = [[reference.split() for reference in row["refs"]] for row in rows]
    assert meteor(said, human).value == pytest.approx(expected["METEOR"], abs=1e-9)
