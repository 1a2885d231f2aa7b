"""The page that compares runs: its numbers are the runs' own, and it needs nothing else."""

import base64
import csv
import io
import json
import re
import shutil
from html import unescape

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.comparison.page import compare
from saccade.comparison.ranking import holm, ranking
from saccade.comparison.runs import read_groups
from saccade.config import change
from saccade.core.errors import SaccadeError
from saccade.core.run_files import named
from saccade.data.folder import DataFolder
from saccade.evaluation.evaluate import evaluate
from saccade.evaluation.scoring import read_rows, statistics
from saccade.inference.display import HIDDEN
from saccade.metrics import intervals
from saccade.metrics.catalogue import METRICS, Metric
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.worlds import make_world

QUIET = Console(quiet=True)


def make_run(folder, out, recipe_name, *changes, epochs=4):
    recipe = RECIPES[recipe_name]
    fast = ("train.batch_size=16", "train.optimiser.learning_rate=0.005", f"train.epochs={epochs}")
    for assignment in (*fast, *changes):
        recipe = change(recipe, assignment)
    train(recipe, folder.path, out, name=recipe_name, features="cells", console=QUIET)
    evaluate(out)
    return out


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world with image files, and two scored runs that answer: one attends, one does not."""
    root = tmp_path_factory.mktemp("compare")
    folder = make_world(root / "data")
    about = json.loads((folder.path / "dataset.json").read_text())
    (root / "images").mkdir()
    for i, image in enumerate(folder.images()):
        Image.new("RGB", (48, 36), (5 * i, 90, 200)).save(root / "images" / image.file)
    about["image_root"] = str(root / "images")
    (folder.path / "dataset.json").write_text(json.dumps(about))
    folder = DataFolder(folder.path)
    make_run(folder, root / "attends", "show-ask-attend-answer-small", epochs=10)
    make_run(folder, root / "bag", "ibowimg-small")
    return root


@pytest.fixture(scope="module")
def page(world):
    runs = {"one that <b>attends</b>": world / "attends", "bag": world / "bag"}
    written = compare(runs, world / "out" / "both.html", watts=50, device="cpu")
    return written[0].read_text(encoding="utf-8")


def numbers(world, figure, page="both"):
    """Rows of a figure's files, which must agree with each other and with the page's own links."""
    (path,) = (world / "out" / page).glob(f"*-{figure}.json")
    rows = json.loads(path.read_text())["rows"]
    as_csv = list(csv.DictReader(io.StringIO(path.with_suffix(".csv").read_text())))
    assert as_csv == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ]
    return rows


def scores_of(run, split="val"):
    return json.loads((run / "scores.json").read_text())[split]


def test_the_page_is_whole_and_needs_nothing_else(page):
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)", page), "it loads something"
    assert not re.search(r"@import|url\(|<script|<link|<iframe|https?://", page)
    assert "default-src 'none'" in page
    assert 'name="viewport"' in page
    assert "@media print" in page
    for title in ("Ranking", "Significance", "Learning curves", "Examples", "Calibration", "Cost"):
        assert title in page
    assert "one that &lt;b&gt;attends&lt;/b&gt;" in page
    assert "<b>attends</b>" not in page


def test_numbers_on_the_page_are_those_of_the_scores(world, page):
    for run in ("attends", "bag"):
        scores = scores_of(world / run)
        low, high = scores["interval"]["accuracy"]
        assert f"<b>{scores['accuracy']:.1f}</b><small>[{low:.1f}, {high:.1f}]</small>" in page
        assert f">{scores['baselines']['question_only']['accuracy']:.1f}<" in page
        for value in scores["per_question_type"].values():
            assert f">{value:.1f}<" in page
        assert f"{sum(1 for _ in read_rows(world / run, 'val')['id']):,} questions" in page
    assert "VQA v1 test-standard 64.6" in page
    assert "VQA v1 test-standard 55.9" in page
    assert "selected epochs on this very split" in page


def test_files_hold_the_very_scores(world, page):
    del page
    ranked = {row["run"]: row for row in numbers(world, "ranking")}
    for name, run in (("one that <b>attends</b>", "attends"), ("bag", "bag")):
        scores, row = scores_of(world / run), ranked[name]
        assert row["accuracy"] == scores["accuracy"]
        assert [row["accuracy_low"], row["accuracy_high"]] == scores["interval"]["accuracy"]
        assert row["visual_gain_accuracy"] == scores["visual_gain"]["accuracy"]
    assert next(iter(ranked)) == "one that <b>attends</b>", "the best stands first"
    for row in numbers(world, "baselines"):
        run = "bag" if row["run"] == "bag" else "attends"
        assert row["accuracy"] == scores_of(world / run)["baselines"][row["baseline"]]["accuracy"]
    (answers,) = {r["questions"] for r in numbers(world, "types") if r["type_of"] == "answer"}
    assert answers == 16
    risk = [row["risk"] for row in numbers(world, "risk") if row["run"] == "bag"]
    assert risk == scores_of(world / "bag")["calibration"]["risk"]


def test_a_better_baseline_without_an_image_is_told_above_the_table(world):
    (group,) = read_groups({"bag": world / "bag"}, "val")
    (run,) = group.runs
    better = {
        "baseline_gain": {"accuracy": -60.0},
        "baseline_gain_interval": {"accuracy": [-70, -50]},
    }
    baselines = run.scores["baselines"] | {"question_only": {"accuracy": 98.7}}
    scores = {**run.scores, **better, "baselines": baselines}
    notes = ranking(group._replace(runs=[run._replace(scores=scores)])).notes
    assert any("question only" in note and "98.7%" in note and "60.0" in note for note in notes)


def test_every_link_holds_the_file_beside_the_page(world, page):
    links = re.findall(r'<a download="([^"]+)" href="data:[^,]+;base64,([^"]+)"', page)
    inside = {name: base64.b64decode(content) for name, content in links}
    beside = {path.name: path.read_bytes() for path in (world / "out" / "both").iterdir()}
    assert inside == beside
    assert len(inside) >= 20


def test_paired_tests_are_those_of_the_scored_rows(world, page):
    del page
    (row,) = numbers(world, "significance")
    first, second = (
        statistics(read_rows(world / run, "val"))["accuracy"] for run in ("attends", "bag")
    )
    found = intervals.compare(first, second)
    assert row["difference"] == found.difference
    assert (row["low"], row["high"], row["p_permutation"]) == (*found[1:3], found.p_permutation)
    assert row["p_holm"] == found.p_permutation, "one test needs no correction"


def test_a_metric_of_another_package_is_in_the_table_of_metrics(world, tmp_path, monkeypatch):
    line = Metric("brevity", "vqa", "other:brevity", 100.0, "%", 2, "high", "a plugin")
    monkeypatch.setitem(METRICS._lines, "brevity", line)
    runs = {}
    for name, value in (("bag", 0.123456), ("attends", {"not_measured": "no words"})):
        runs[name] = tmp_path / name
        shutil.copytree(world / name, runs[name])
        scores = json.loads((runs[name] / "scores.json").read_text())
        scores["val"]["brevity"] = value
        (runs[name] / "scores.json").write_text(json.dumps(scores))
    page = compare(runs, tmp_path / "out" / "more.html", examples=0)[0].read_text()
    (path,) = (tmp_path / "out" / "more").glob("*-metrics.json")
    rows = json.loads(path.read_text())["rows"]
    found = {row["of"]: row["value"] for row in rows if row["metric"] == "brevity"}
    assert found == {"bag": 0.123456, "attends": None}
    assert "brevity, %" in page
    assert ">12.35<" in page
    assert "no words" in page


def test_every_metric_with_a_number_is_in_the_table(world, page):
    del page
    shown = {row["metric"] for row in numbers(world, "metrics")}
    scores = scores_of(world / "bag")
    measured = {name for name in METRICS if isinstance(scores.get(name), float)}
    assert measured >= {"accuracy", "expected_calibration_error"}
    assert shown >= measured


def test_holm_corrects_for_the_number_of_tests():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_seeds_of_one_recipe_are_a_mean_and_a_spread(world, tmp_path):
    """A copy of a run is no second seed; a run of other settings is no seed at all."""
    folder = DataFolder(world / "data")
    runs = {"bag": world / "bag", "attends": world / "attends", "copy": tmp_path / "copy"}
    shutil.copytree(world / "bag", runs["copy"])
    for seed in (1, 2):
        change_seed = f"train.seed={seed}"
        runs[f"bag {seed}"] = make_run(
            folder, tmp_path / f"bag{seed}", "ibowimg-small", change_seed
        )
    runs["longer"] = make_run(
        folder, tmp_path / "longer", "ibowimg-small", "train.seed=3", epochs=5
    )
    compare(runs, tmp_path / "out" / "seeds.html", examples=0, device="cpu")
    (path,) = (tmp_path / "out" / "seeds").glob("*-seeds.json")
    (row,) = json.loads(path.read_text())["rows"]
    scores = [scores_of(runs[name])["accuracy"] for name in ("bag", "bag 1", "bag 2")]
    assert (row["recipe"], row["metric"], row["seeds"]) == ("ibowimg-small", "accuracy", 3)
    assert row["mean"] == pytest.approx(np.mean(scores))
    assert row["standard_deviation"] == pytest.approx(np.std(scores, ddof=1))
    assert (row["lowest"], row["highest"]) == (min(scores), max(scores))


def test_without_seeds_the_page_has_no_part_on_them(world, page):
    assert not list((world / "out" / "both").glob("*-seeds.*"))
    assert "Over training seeds" not in page


def test_cost_states_its_assumption_and_has_no_false_precision(world, page):
    row = next(row for row in numbers(world, "cost") if row["run"] == "bag")
    log = [json.loads(line) for line in (world / "bag/log.jsonl").read_text().splitlines()]
    assert row["seconds"] == pytest.approx(sum(r["seconds"] + r["seconds_scoring"] for r in log))
    energy = 50 * row["seconds"] / 3600
    assert row["energy_watt_hours"] == float(f"{energy:.2g}")
    assert "at 50 W" in unescape(page)
    assert row["parameters"] == row["trainable_parameters"] > 0


def test_examples_are_what_the_rule_says(world, page):
    rows, kinds = numbers(world, "examples"), {}
    for row in rows:
        kinds.setdefault((row["kind"], row["id"]), []).append(row["accuracy"])
    assert {kind for kind, _ in kinds} >= {"good", "disagreed"}
    for (kind, _), scores in kinds.items():
        assert len(scores) == 2
        disagreed = min(scores) == 0 < max(scores)
        fits = {"good": min(scores) > 0, "bad": max(scores) == 0, "disagreed": disagreed}
        assert fits[kind]
    images = [(row["image_id"], row["run"]) for row in rows]
    assert len(set(images)) == len(images), "each image stands there once"
    assert "attention, mean of" in page
    assert HIDDEN in page


def test_equal_runs_give_equal_pages_and_other_files_are_left(world, page, tmp_path):
    runs = {"one that <b>attends</b>": world / "attends", "bag": world / "bag"}
    out = tmp_path / "both.html"
    compare(runs, out, watts=50, device="cpu")
    assert out.read_text(encoding="utf-8") == page
    compare({"bag": world / "bag"}, out, device="cpu", examples=0)
    assert not list((tmp_path / "both").glob("*significance*")), "what is no longer so is gone"
    assert "One run, scored" in out.read_text()
    (tmp_path / "both" / "thesis.txt").write_text("years of work")
    with pytest.raises(SaccadeError, match=r"other things .* thesis.txt"):
        compare({"bag": world / "bag"}, out, device="cpu")
    with pytest.raises(SaccadeError, match="must be an HTML file"):
        compare({"bag": world / "bag"}, tmp_path / "page", device="cpu")


@pytest.fixture
def copy(world, tmp_path):
    shutil.copytree(world / "bag", tmp_path / "copy")
    return tmp_path / "copy"


def test_a_run_that_was_not_scored_says_what_to_type(world, copy):
    (copy / "scores.json").unlink()
    asked = CliRunner().invoke(app, ["compare", str(world / "attends"), str(copy)])
    assert asked.exit_code == 1
    assert f"saccade evaluate {copy} --split val" in asked.stderr
    with pytest.raises(SaccadeError, match="was not scored on test"):
        compare({"attends": world / "attends"}, copy / "x.html", split="test")
    with pytest.raises(SaccadeError, match="not a run folder"):
        compare({"x": world / "images"}, copy / "x.html")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda scores: scores.pop("interval"), "earlier saccade"),
        (lambda scores: scores.update(epoch=99), "was trained further"),
        (lambda scores: scores.update(accuracy=99.0), "does not amount to"),
    ],
)
def test_scores_that_are_not_of_the_run_are_refused(copy, spoil, message):
    whole = json.loads((copy / "scores.json").read_text())
    spoil(whole["val"])
    (copy / "scores.json").write_text(json.dumps(whole))
    with pytest.raises(SaccadeError, match=rf"{message}.*saccade evaluate"):
        read_groups({"copy": copy}, None)
    (copy / "scores.json").write_text("{")
    with pytest.raises(SaccadeError, match="not JSON"):
        read_groups({"copy": copy}, None)


def test_runs_are_called_by_their_folders_or_by_name(world, copy):
    twin = copy.with_name("deeper") / "bag"
    shutil.copytree(copy, twin)
    called = named([str(world / "bag"), str(twin), f"mine={world / 'attends'}"])
    assert list(called) == [f"{world.name}/bag", "deeper/bag", "mine"]
    with pytest.raises(SaccadeError, match="twice"):
        named([str(copy), f"other={copy}"])


def test_a_file_of_predictions_stands_beside_runs(world, copy):
    """Ranked and tested as a run is; what only a model can tell is not known, and never 0."""
    folder = DataFolder(world / "data")
    wrong = {q.id: "nothing" if q.id % 10 else q.best_answer for q in folder.questions("val")}
    file = copy.with_name("theirs.json")
    file.write_text(json.dumps([{"question_id": i, "answer": a} for i, a in wrong.items()]))
    scores = saccade.score(file, folder.path)
    runs = {"theirs": copy.with_name("theirs-scored"), "mine": world / "attends"}
    out = copy.with_name("out") / "page.html"
    html = compare(runs, out, device="cpu")[0].read_text(encoding="utf-8")

    def rows(figure):
        (path,) = out.with_suffix("").glob(f"*-{figure}.json")
        return {row["run"]: row for row in json.loads(path.read_text())["rows"]}

    ranked = rows("ranking")
    assert ranked["theirs"]["accuracy"] == scores["accuracy"]
    assert ranked["theirs"]["model"] is ranked["theirs"]["visual_gain_accuracy"] is None
    (test,) = rows("significance").values()
    gap = intervals.compare(
        *(statistics(read_rows(runs[test[of]], "val"))["accuracy"] for of in ("run", "other"))
    )
    assert test["difference"] == gap.difference
    assert test["p_permutation"] == gap.p_permutation
    cost = rows("cost")
    assert cost["theirs"]["parameters"] is cost["theirs"]["energy_watt_hours"] is None
    assert cost["mine"]["parameters"] > 0
    assert {row["run"] for row in rows("calibration").values()} == {"mine"}
    assert "a file of predictions has no model" in html
    assert "theirs.json" in html
    alone = compare({"theirs": runs["theirs"]}, out.with_name("alone.html"))
    assert "theirs.json" in alone[0].read_text(encoding="utf-8")
    (runs["theirs"] / "scored-val.parquet").unlink()
    with pytest.raises(SaccadeError, match=r"saccade evaluate|saccade score"):
        read_groups(runs, None)
    with pytest.raises(SaccadeError, match="would replace its own"):
        saccade.score(file, folder.path, world / "bag")
