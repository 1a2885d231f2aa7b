"""A demonstration of a few dozen images: everything is made, and nothing else is touched."""

import csv
import html
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from saccade.cli.app import app
from saccade.core.errors import SaccadeError
from saccade.datasets.shapes import make_shapes
from saccade.demo.backbone import train_backbone
from saccade.demo.run import DemoSettings, demo
from saccade.inference.explain import explain
from saccade.metrics.catalogue import METRICS, metrics_of
from saccade.viz.html import fill
from tests.processes import forked

TINY = DemoSettings(
    train=32, val=8, test=10, size=64, backbone_epochs=1, changes=("train.epochs=1",)
)
ROOT = Path(__file__).parent.parent
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    demo(out, settings=TINY, console=QUIET)
    return out


def test_the_report_is_one_page_that_needs_nothing_else(made):
    page = (made / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)", page), "it loads something"
    assert not re.search(r"@import|url\((?![\"']?data:)", page)
    assert page.count("data:image/") > 5
    assert "BLEU-4" in page
    assert "saccade ask" in page
    assert "saccade caption" in page


def test_the_report_shows_every_kind_of_question_and_its_own_scores(made):
    page = (made / "report.html").read_text(encoding="utf-8")
    scores = json.loads((made / "runs/vqa/scores.json").read_text())["test"]
    assert f">{scores['accuracy']:.1f}<" in page
    for kind in scores["per_question_type"]:
        assert f"{kind} …" in page
    assert page.count('class="box"') > 0, "no asked-about shape is framed"


@pytest.mark.parametrize("task", ["vqa", "caption"])
def test_the_report_shows_every_metric_that_was_measured(made, task):
    page = html.unescape((made / "report.html").read_text(encoding="utf-8"))
    scores = json.loads((made / "runs" / task / "scores.json").read_text())["test"]
    measured = {name: scores[name] for name in metrics_of(task) if name in scores}
    assert len(measured) > 4
    for name, value in measured.items():
        if not isinstance(value, dict):  # a reason instead
            metric = METRICS[name]
            assert f"<td>{metric.title}</td><td>{metric.shown(value)}</td>" in page


def test_text_of_others_cannot_become_part_of_the_page():
    evil = "<script>alert(1)</script>"
    parts = ("headlines", "answers", "wrong_answers", "captions", "charts", "metrics")
    parts += ("curves", "stages")
    texts = {"lead": evil, "notes": [evil], "commands": [(evil, evil)], "versions": evil}
    page = fill("demo/page.html.j2", **dict.fromkeys(parts, ()), **texts)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 5


def test_the_commands_on_the_page_work_as_they_stand(made):
    page = html.unescape((made / "report.html").read_text(encoding="utf-8"))
    lines = re.search(r"<pre><code>(.*? ask .*?)</code>", page)[1]
    program, *words = shlex.split(lines)
    assert shutil.which(program)
    done = forked(lambda: app(words, prog_name="saccade"))
    assert done.returncode == 0, done.stderr
    assert re.match(r"[01]\.\d+  \w+", done.stdout)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_commands_about_the_demonstration_work_as_they_are_written(made, monkeypatch, page):
    """Those of the texts, in the order of the texts; README shows their output, too."""
    monkeypatch.chdir(made.parent)
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match("saccade .*demo/runs/", line)]
    assert len(lines) >= 3
    printed = ""
    for line in lines:
        done = forked(lambda line=line: app(shlex.split(line)[1:], prog_name="saccade"))
        assert done.returncode == 0, f"{line}: {done.stderr}"
        printed += done.stdout
    shown = re.search(r"```\n(0\.\d.*?)```", text, re.S)[1]
    # Numbers and words are those of another training; the lines have the same form.
    for form in (r"0\.\d{3}  \w", *([r"accuracy [\d.]+% \["] * (page == "README.md"))):
        assert re.search(f"^{form}", shown, re.M)
        assert re.search(f"^{form}", printed, re.M)
    assert (made.parent / "looked.png").exists() == (page == "docs/tutorial.md")


ELSEWHERE = {
    "serve": "it goes on until it is stopped: test_serve.py",
    "sweep": "it needs its file: test_sweep.py",
}
"""Commands of the block that this test leaves to others."""
ADDED = {
    "extract": "--backbone timm:test_resnet --weights random --size 64 --resize squash",
    "train": "--minutes 0.1",
}
"""What stands for an evening and a network: weights by chance and a few seconds."""


def test_the_readmes_way_with_own_images_works_as_it_is_written(made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    shutil.copytree(made / "shapes/images", "my-folder/images")
    images = {}
    for split in ("train", "val", "test"):
        asked, answered = (
            json.loads((made / "shapes" / name.format(split)).read_text())
            for name in ("v2_OpenEnded_{}_questions.json", "v2_{}_annotations.json")
        )
        for one, two in zip(asked["questions"], answered["annotations"], strict=True):
            images.setdefault(one["image_id"], []).append(
                (one["question"], two["multiple_choice_answer"])
            )
    drawn = json.loads((made / "shapes/dataset_shapes.json").read_text())["images"]
    names = {one["cocoid"]: one["filename"] for one in drawn}
    with open("my-folder/table.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "question", "answer"])
        table.writerows((names[i], *pair) for i, pairs in images.items() for pair in pairs)
    for place, name in (("photo.jpg", 0), ("photos/a.jpg", 1), ("photos/b.jpg", 2)):
        Image.open(made / "shapes/images" / sorted(names.values())[name]).save(place)

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(saccade prepare my-folder.*?)```", text, re.S)
    done = []
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "extract":
            words = words[: words.index("--for")]
        if words[0] not in ELSEWHERE:
            done.append([*words, *shlex.split(ADDED.get(words[0], ""))])
    assert len(done) >= 10
    for words in done:
        if words[0] == "compare":
            shutil.copytree("runs/mine", "runs/other")
        told = forked(lambda words=words: app(words, prog_name="saccade"))
        assert told.returncode == 0, f"{words}: {told.stderr}"
    for made_file in ("explained/index.html", "answers.csv", "onnx/model.onnx", "report.html"):
        assert (tmp_path / made_file).exists()


def test_the_python_of_the_readme_works_as_it_is_written(made, monkeypatch):
    monkeypatch.chdir(made.parent)
    block = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    )
    names = {}
    exec(block[1], names)
    assert names["scores"]["task"] == "vqa"
    assert names["answer"].text == names["answer"].top[0][0]
    assert names["answer"].attention.sum(axis=1) == pytest.approx(1, abs=1e-5)
    with Image.open(made / "answer.png") as drawn:
        assert min(drawn.size) > 100


def test_the_runs_answer_and_are_explained(made, tmp_path):
    image_record = min((made / "shapes" / "images").iterdir())
    drawn = explain(
        made / "runs/vqa", image_record, tmp_path / "a.png", "What colour is the circle?"
    )
    with Image.open(drawn) as image:
        assert min(image.size) > 100
    drawn = explain(made / "runs/caption", image_record, tmp_path / "b.png")
    with Image.open(drawn) as image:
        assert min(image.size) > 100
    with pytest.raises(SaccadeError, match="Give it a question"):
        explain(made / "runs/vqa", image_record, tmp_path / "c.png")
    with pytest.raises(SaccadeError, match="Leave the question out"):
        explain(made / "runs/caption", image_record, tmp_path / "c.png", "what?")


def test_other_systems_can_be_shown_even_ones_without_attention(tmp_path):
    chosen = TINY.model_copy(update={"vqa": "ibowimg-small", "caption": "show-tell-small"})
    page = demo(tmp_path / "demo", settings=chosen, console=QUIET).read_text(encoding="utf-8")
    assert "iBOWIMG" in page
    assert "Attention</h" not in page, "nothing attends, so there is nothing to measure"
    image_record = min((tmp_path / "demo/shapes/images").iterdir())
    for run, question in (("vqa", "What colour is the circle?"), ("caption", None)):
        drawn = explain(tmp_path / "demo/runs" / run, image_record, tmp_path / "x.png", question)
        with Image.open(drawn) as image:
            assert min(image.size) > 100


@pytest.mark.parametrize(
    ("task", "name", "said"),
    [("vqa", "show-tell-small", "no vqa recipe"), ("caption", "show_tell", "show-tell")],
)
def test_recipes_of_another_task_or_unknown_are_refused(tmp_path, task, name, said):
    with pytest.raises(SaccadeError, match=said):
        demo(tmp_path / "demo", settings=TINY.model_copy(update={task: name}), console=QUIET)
    assert not (tmp_path / "demo").exists()


def test_again_into_the_same_folder_and_never_over_other_things(made, tmp_path):
    before = (made / "runs/vqa/scores.json").read_text()
    demo(made, settings=TINY, console=QUIET)
    assert (made / "runs/vqa/scores.json").read_text() == before, "equal seeds, equal scores"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SaccadeError, match="mine"):
        demo(tmp_path / "mine", settings=TINY, console=QUIET)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_backbone_is_trained_on_five_batches(tmp_path):
    """Its schedule once divided by the 0 steps that a fifth of five left to rise in."""
    make_shapes(tmp_path / "shapes", images={"train": 80, "val": 4, "test": 4}, seed=0)
    out = tmp_path / "backbone.safetensors"
    backbone = train_backbone(tmp_path / "shapes", out, size=64, epochs=1)
    assert (backbone.images, backbone.epochs) == (80, 1)
