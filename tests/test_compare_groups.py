"""Comparisons that are more than one ranking: other data, other tasks, the captioning table."""

import json
import shutil

import pytest
from rich.console import Console

from saccade.comparison.page import compare
from saccade.comparison.runs import read_groups
from saccade.config import change
from saccade.core.errors import SaccadeError
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.evaluation.evaluate import evaluate
from saccade.evaluation.scoring import read_rows, write_rows
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.worlds import make_world, write_pixels, write_store

QUIET = Console(quiet=True)
EVIL = "<img src=x onerror=alert(1)>"
EPOCHS = 2


def make_run(folder, out, name, *changes, features="cells", start=None):
    recipe = RECIPES[name]
    fast = ("train.batch_size=16", "train.optimiser.learning_rate=0.005", f"train.epochs={EPOCHS}")
    for assignment in (*fast, *changes):
        recipe = change(recipe, assignment)
    train(recipe, folder.path, out, name=name, features=features, start=start, console=QUIET)
    return out


@pytest.fixture(scope="module")
def captioners(tmp_path_factory):
    """The three runs of a captioning write-up, in a world with a test split."""
    root = tmp_path_factory.mktemp("captioners")
    folder = with_test_split(root)
    encoder = ("encoder=timm:test_resnet", "encoder.weights=random", "encoder.trains_from=1")
    tell, attend = "show-tell-small", "show-attend-tell-small"
    runs = {
        "without attention": make_run(folder, root / "plain", tell),
        "with attention": make_run(folder, root / "attends", attend),
        "with fine-tuning": make_run(folder, root / "tuned", attend, *encoder, features="pixels"),
    }
    for run in runs.values():
        evaluate(run, split="test")
    return root, runs


def with_test_split(root):
    """A tiny world whose last images are for testing."""
    first = make_world(root / "first", train=32, val=16)
    last = {image.id for image in first.images("val")[8:]}

    def moved(record, id_):
        return record._replace(split="test") if id_ in last else record

    splits = ("train", "val")
    images = [moved(p, p.id) for p in first.images()]
    captions = [moved(c, c.image_id) for split in splits for c in first.captions(split)]
    questions = [moved(q, q.image_id) for split in splits for q in first.questions(split)]
    write_folder(root / "data", Collection("tiny", str(root), images, questions, captions))
    folder = DataFolder(root / "data")
    write_store(folder)
    write_pixels(folder)
    return folder


def test_three_runs_make_the_closing_table_of_a_captioning_write_up(captioners):
    root, runs = captioners
    page = compare(runs, root / "report.html", device="cpu")[0].read_text(encoding="utf-8")
    (path,) = (root / "report").glob("*-epochs.json")
    rows = json.loads(path.read_text())["rows"]
    assert set(rows[0]) == {"run", "split", "epoch", "training_loss", "loss", "top_5", "bleu_4"}
    assert len(rows) == 3 * (EPOCHS + 1)
    for name, run in runs.items():
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        scores = json.loads((run / "scores.json").read_text())["test"]
        of_epochs = [row for row in rows if row["run"] == name and row["split"] == "val"]
        for row, own in zip(of_epochs, log, strict=True):
            forced = own["scores"]["teacher_forced"]
            assert row["training_loss"] == own["loss"]
            assert row["bleu_4"] == own["scores"]["bleu_4"]
            assert (row["loss"], row["top_5"]) == (forced["loss"], forced["top_5_accuracy"])
            assert f">{row['loss']:.3f}<" in page or f"<b>{row['loss']:.3f}</b>" in page
        (tested,) = [row for row in rows if row["run"] == name and row["split"] == "test"]
        assert tested["bleu_4"] == scores["bleu_4"]
        assert tested["loss"] == scores["teacher_forced"]["loss"]
        assert tested["top_5"] == scores["teacher_forced"]["top_5_accuracy"]
        assert f"<b>{tested['top_5']:.1f}</b>" in page
        assert name in page
    assert "loss, teacher-forced" in page
    assert "top-5 %, teacher-forced" in page
    assert "on test" in page
    assert "timm:test_resnet, trained from 1" in page


def test_cost_of_an_encoder_that_is_trained(captioners):
    _, runs = captioners
    (group,) = read_groups(runs, "test")
    of = {run.name: run for run in group.runs}
    assert of["with fine-tuning"].trainable < of["with fine-tuning"].parameters
    assert of["with attention"].trainable == of["with attention"].parameters
    assert of["with fine-tuning"].parameters > of["with attention"].parameters


@pytest.fixture(scope="module")
def others(captioners):
    """Two runs that answer, on the captioners' data and on other data with evil texts."""
    root, runs = captioners
    folder = DataFolder(root / "data")
    answers = make_run(folder, root / "answers", "ibowimg-small")
    evaluate(answers, split="test")
    images, captions, questions = [], [], []
    for i in range(24):
        split = "train" if i < 16 else "test" if i < 20 else "val"
        images.append(ImageRecord(i, f"{i}.png", split))
        answer = EVIL + " too" * (i % 2)
        human = (answer,) * 3
        questions.append(Question(i, i, f"{EVIL}?", split, human, answer, EVIL, EVIL))
        captions.append(Caption(i, i, EVIL, (EVIL, "a"), split))
    write_folder(root / "evil", Collection(EVIL, str(root), images, questions, captions))
    write_store(DataFolder(root / "evil"))
    evil = make_run(DataFolder(root / "evil"), root / "evil-run", "ibowimg-small")
    evaluate(evil, split="test")
    return runs | {"answers": answers, "evil": evil}


def test_other_data_is_never_in_the_same_ranking(captioners, others):
    root, _ = captioners
    groups = read_groups(others, None)
    assert [len(group.runs) for group in groups] == [3, 1, 1]
    assert len({(group.task, group.data) for group in groups}) == 3
    assert [group.split for group in groups] == ["test"] * 3, "the last that all were scored on"
    page = compare(others, root / "all.html", device="cpu")[0].read_text(encoding="utf-8")
    assert page.count('<section class="part"') == 3
    assert "cannot be ranked with scores of another" in page
    rankings = list((root / "all").glob("*-ranking.json"))
    assert sorted(len(json.loads(path.read_text())["rows"]) for path in rankings) == [1, 1, 3]


def test_text_of_others_cannot_become_part_of_the_page(captioners, others):
    root, _ = captioners
    page = compare({EVIL: others["evil"]}, root / "evil-page.html", device="cpu")[0].read_text()
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 5


def test_without_its_data_a_comparison_lacks_examples_alone(captioners, others, tmp_path):
    root, runs = captioners
    out = tmp_path / "report.html"
    wrong = compare({"evil": others["evil"]}, out, data=tmp_path / "no", examples=1)
    assert "People said" in wrong[0].read_text(), "the run itself knows where its data is"
    header = json.loads((runs["with attention"] / "run.json").read_text())
    moved = json.loads(json.dumps(header)) | {"data": str(tmp_path / "gone")}
    (runs["with attention"] / "run.json").write_text(json.dumps(moved))
    try:
        page = compare({"one": runs["with attention"]}, out, device="cpu")[0].read_text()
        assert "No examples" in page
        assert "--data" in page
        there = compare({"one": runs["with attention"]}, out, data=root / "data", device="cpu")
        assert "The image file could not be read" in there[0].read_text()
    finally:
        (runs["with attention"] / "run.json").write_text(json.dumps(header))


def test_rows_of_other_examples_are_refused(captioners, tmp_path):
    _, runs = captioners
    copy = tmp_path / "copy"
    shutil.copytree(runs["with attention"], copy)
    rows = read_rows(copy, "test")
    write_rows(copy, "test", rows | {"image_id": [id_ + 1 for id_ in rows["image_id"]]})
    with pytest.raises(SaccadeError, match="scored on other examples"):
        read_groups(runs | {"copy": copy}, "test")
