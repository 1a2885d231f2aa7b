"""The command line: the whole way on a few images, and what a user's mistakes look like."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from saccade.cli.app import MODULES, CommandTable, Result, app, json_text
from saccade.cli.info import LISTS, cut_lines, whole_entries
from saccade.cli.main import main
from saccade.core.errors import BadConfig
from saccade.core.formatting import colour, number, pairs, printable, table, values
from saccade.datasets.shapes import make_shapes


def saccade(*words, status=0):
    """What a command prints; its errors where it is meant to fail."""
    asked = CliRunner().invoke(app, [str(word) for word in words])
    if asked.exception and not isinstance(asked.exception, SystemExit):
        raise asked.exception
    assert asked.exit_code == status, asked.output
    return asked.stderr if status else asked.stdout


def in_json(*words):
    """What a command prints with --json."""
    return json.loads(saccade(*words, "--json"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, data, features and two runs, all made by commands."""
    root = tmp_path_factory.mktemp("cli")
    make_shapes(root / "shapes", images={"train": 24, "val": 6, "test": 6}, size=64)
    data = root / "data"
    told = saccade("prepare", "vqa-v2+karpathy", "--root", root / "shapes", "--out", data)
    assert "train" in told
    assert f"Next: saccade extract {data}" in told
    told = saccade(
        "extract", data, "--backbone", "timm:test_resnet", "--weights", "random", "--name", "tiny",
        "--size", 64, "--resize", "squash", "--mean", "0.5,0.5,0.5", "--option", "output_stride=16",
    )  # fmt: skip
    assert "--features tiny" in told
    header = json.loads((data / "features" / "tiny" / "header.json").read_text())
    assert header["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert header["backbone"]["options"] == {"output_stride": 16}
    words = (
        "--data", data, "--set", "train.epochs=1", "--set", "train.batch_size=16", "--device", "cpu"
    )  # fmt: skip
    told = saccade("train", "show-ask-attend-answer-small", "--out", root / "vqa", *words)
    assert f"Next: saccade evaluate {root / 'vqa'}" in told
    found = in_json("train", "show-attend-tell-small", "--out", root / "caption", *words)
    assert found["run"] == str(root / "caption")
    assert found["scores"]["bleu_4"] >= 0
    return root


def image(place):
    return next((place / "shapes" / "images").iterdir())


def test_captions_can_be_drawn_and_equal_seeds_draw_equal_ones(place):
    drawn = ["caption", place / "caption", image(place), "--samples", 3, "--device", "cpu"]
    one = saccade(*drawn, "--temperature", 2, "--top-p", 0.9)
    assert one == saccade(*drawn, "--temperature", 2, "--top-p", 0.9)
    assert len(one.splitlines()) == 3
    assert one != saccade(*drawn, "--temperature", 2, "--top-p", 0.9, "--seed", 1)
    confidence = saccade(*drawn, "--top-k", 1).splitlines()
    greedy = ["caption", place / "caption", image(place), "--beam-size", 1, "--device", "cpu"]
    assert confidence == saccade(*greedy).splitlines() * 3
    told = saccade("caption", place / "vqa", image(place), "--samples", 2, status=1)
    assert "answers questions" in told


def test_what_is_no_option_of_a_source_is_said(place):
    given = ["prepare", place / "shapes", "--out", place / "x", "--option"]
    for name in ("missing", "overlap", "root", "out", "source"):
        told = saccade(*given, f"{name}=keep", status=1)
        assert f"{name} is no --option of a source. Write it as an argument" in told


@pytest.mark.parametrize(("run", "score"), [("vqa", "accuracy"), ("caption", "BLEU-4")])
def test_evaluate_prints_a_headline_and_no_fingerprint(place, run, score):
    lines = saccade("evaluate", place / run, "--split", "val", "--device", "cpu").splitlines()
    scores = json.loads((place / run / "scores.json").read_text())["val"]
    assert re.match(r"(accuracy|BLEU-4|CIDEr-D) [\d.]+%? \[", lines[0])
    assert any(line.startswith(score) for line in lines)
    assert lines[-1] == f"Next: saccade compare {place / run}"
    whole = "\n".join(lines)
    assert scores["data"] not in whole
    assert "records" not in whole
    assert not re.search(r"\d+e-\d|-0\.0|None", whole)
    assert {len(line) <= 80 for line in lines if str(place) not in line} == {True}


def test_ask_prints_answers_with_their_probabilities_and_draws(place):
    drawn = place / "asked.png"
    told = saccade(
        "ask", place / "vqa", image(place), "what colour is it?", "--top", 3, "--explain", drawn
    )
    shares = [float(line.split()[0]) for line in told.splitlines()]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    with Image.open(drawn) as page:
        assert page.width > 360


def test_caption_names_the_images_where_there_are_several(place):
    one, two = sorted((place / "shapes" / "images").iterdir())[:2]
    alone = saccade("caption", place / "caption", one).strip()
    both = saccade("caption", place / "caption", one, two, "--beam-size", 2).splitlines()
    assert str(one) not in alone
    assert [line.split(":")[0] for line in both] == [str(one), str(two)]


@pytest.mark.parametrize(("run", "words"), [("vqa", ["is it red?"]), ("caption", [])])
def test_explain_draws_a_page(place, run, words):
    drawn = place / f"{run}.png"
    assert str(drawn) in saccade("explain", place / run, image(place), *words, "--out", drawn)
    with Image.open(drawn) as page:
        assert page.format == "PNG"


def test_a_mistake_is_one_line_and_no_trace(place):
    data = place / "data"
    said = saccade("train", "show-atend-tell", "--data", data, "--out", place / "x", status=1)
    assert said.startswith("error: ")
    assert "show-attend-tell" in said
    assert said.count("\n") == 1
    said = saccade("ask", place / "caption", image(place), "why?", status=1)
    assert "Give: saccade caption" in said
    said = saccade("explain", place / "vqa", place / "none.png", "why?", status=1)
    assert "none.png" in said
    said = saccade("train", "show-attend-tell-small", "--data", place / "data",
                   "--out", place / "caption", status=1)  # fmt: skip
    assert "--resume" in said


def run(*command, **environment):
    """A process of its own, as a person types it."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_package_runs_as_a_module_and_tells_its_version():
    asked = run(sys.executable, "-m", "saccade", "--version")
    assert asked.stdout == f"saccade {version('saccade')}\n"
    short, long = (run(sys.executable, "-m", "saccade", word).stdout for word in ("-h", "--help"))
    assert short == long
    assert saccade("evaluate", "-h") == saccade("evaluate", "--help")
    assert saccade("store", "info", "-h") == saccade("store", "info", "--help")


def test_shells_can_complete_commands(tmp_path):
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    made = run(sys.executable, "-m", "saccade", "--install-completion", "bash", **home)
    assert made.returncode == 0, made.stderr
    assert "saccade" in (tmp_path / ".bashrc").read_text()
    asked = {"_SACCADE_COMPLETE": "complete_bash", "COMP_WORDS": "saccade eval", "COMP_CWORD": "1"}
    assert run(sys.executable, "-m", "saccade", **asked).stdout.split() == ["evaluate"]


def test_a_defect_of_ours_keeps_its_trace(monkeypatch):
    def broken(*_):
        raise RuntimeError("ours")

    monkeypatch.setattr("saccade.cli.info.columns", broken)
    with pytest.raises(RuntimeError, match="ours"):
        saccade("list", "models")


@pytest.mark.parametrize("begun", [True, False])
def test_who_interrupts_is_told_how_to_go_on(monkeypatch, capsys, tmp_path, begun):
    """What was not begun yet cannot be resumed."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("saccade.api.train", interrupted)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    if begun:
        (tmp_path / "run" / "run.json").touch()
    words = ["train", "show-attend-tell", "--data", "my data", "--out", "run"]
    monkeypatch.setattr(sys, "argv", ["saccade", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    resume = " --resume" if begun else ""
    again = f"saccade train show-attend-tell --data 'my data' --out run{resume}"
    assert capsys.readouterr().err.endswith(f"Go on with: {again}\n")


def test_what_cannot_go_on_is_not_told_to(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("saccade.api.evaluate", interrupted)
    monkeypatch.setattr(sys, "argv", ["saccade", "evaluate", "run"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    told = capsys.readouterr().err
    assert "Stopped" in told
    assert "Go on" not in told
    assert told.endswith(": saccade evaluate run\n"), "but to begin again"


@pytest.mark.parametrize("kind", ["models", "recipes", "sources", "metrics", "scorers"])
def test_lists_have_a_line_for_everything(kind):
    from saccade.datasets.catalogue import SOURCES
    from saccade.metrics.catalogue import METRICS
    from saccade.metrics.scorers import SCORERS
    from saccade.models.catalogue import MODELS
    from saccade.recipes.catalogue import RECIPES

    tables = {"models": MODELS, "recipes": RECIPES, "sources": SOURCES, "metrics": METRICS}
    tables["scorers"] = SCORERS
    names = [line.split()[0] for line in saccade("list", kind).splitlines()]
    assert names == list(tables[kind])


def test_recipes_are_listed_with_task_paper_and_published_score():
    from saccade.recipes.catalogue import RECIPES

    lines = dict(line.split(maxsplit=1) for line in saccade("list", "recipes").splitlines())
    for name, line in lines.items():
        assert RECIPES[name].task in line.split()
        assert "arXiv:" in line
        assert "Expect" not in line
        assert ("Published" in line) == (not name.endswith("-small"))
    assert lines["lstm-cnn"].endswith("which are 348 epochs.")
    assert "Published: test-standard 58.9." in lines["san-cnn"]


def test_backbones_can_be_narrowed():
    assert "timm:resnet50\n" in saccade("list", "backbones", "resnet5*")
    assert "no backbones match" in saccade("list", "backbones", "nothing-like-it", status=1)
    detectors = saccade("list", "backbones", "torchvision:*").split()
    assert "torchvision:fasterrcnn_resnet50_fpn_v2" in detectors
    assert set(saccade("list", "backbones", "ss*").split()) == {
        "torchvision:ssd300_vgg16",
        "torchvision:ssdlite320_mobilenet_v3_large",
    }
    assert set(detectors) < set(saccade("list", "backbones").split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of --for, --backbone and --detector"),
        (("--backbone", "timm:resnet50", "--detector", "torchvision:x"), "one of --for"),
        (("--detector", "timm:resnet50"), "no detector 'timm:resnet50'. Give torchvision:NAME"),
        (("--detector", "torchvision:ssd512_vgg16"), "'ssd512_vgg16'. Near it: torchvision:ssd300"),
        (
            ("--detector", "torchvision:ssd300_vgg16", "--option", "boxes=36"),
            "no --option boxes. There are: regions",
        ),
    ],
)
def test_a_detector_that_cannot_be_had(place, words, message):
    told = saccade("extract", place / "data", "--weights", "random", *words, status=1)
    assert message in " ".join(told.split())


def test_a_detector_is_a_backbone_with_a_name_of_its_own(place):
    name = "torchvision:ssdlite320_mobilenet_v3_large"
    told = saccade(
        "extract", place / "data", "--detector", name, "--weights", "random", "--name", "boxes",
        "--option", "regions=2", "--dtype", "float32",
    )  # fmt: skip
    assert "--features boxes" in told
    header = json.loads((place / "data" / "features" / "boxes" / "header.json").read_text())
    assert (header["backbone"]["name"], header["regions"]) == (name, 2)
    again = header["command"].split()[1:]
    assert "--features boxes" in saccade(*again)


def test_what_show_prints_is_what_set_takes():
    plain = saccade("show", "show-attend-tell").splitlines()
    changes = [line for line in plain if not line.startswith("#")]
    assert "train.optimiser.betas=[0.9, 0.999]" in changes
    assert "train.optimiser.learning_rate=0.0004" in changes
    again = [word for change in changes for word in ("--set", change)]
    assert saccade("show", "show-attend-tell", *again).splitlines() == plain
    other = saccade("show", "show-attend-tell", "--set", "train.epochs=3").splitlines()
    assert set(other) - set(plain) == {"train.epochs=3"}


@pytest.mark.parametrize("kind", [*LISTS])
def test_a_line_of_a_list_fits_the_terminal_and_a_name_shows_it_whole(kind, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    listing, width = LISTS[kind], 80
    rows = listing.rows()
    assert all(len(row) == len(listing.columns) for row in rows)
    assert max(map(len, cut_lines(rows, width))) <= width
    whole = [*whole_entries(rows[:3], width)]
    assert "".join("".join(whole).split()) == "".join("".join(map("".join, rows[:3])).split())
    assert max(map(len, whole)) <= width


def test_about_names_versions():
    told = saccade("about")
    assert "torch" in told
    assert "python" in told


def test_typed_words_become_values():
    assert pairs(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    assert [number(word) for word in ("3", "0.5", "true", "same")] == [3, 0.5, True, "same"]
    assert colour("0.1,0.2,0.3") == (0.1, 0.2, 0.3)
    assert colour(None) is None
    with pytest.raises(BadConfig, match="no '='"):
        pairs(["a"])
    with pytest.raises(BadConfig, match="no colour"):
        colour("0.1,red")


def test_tables_line_up():
    rows = values({"split": "val", "accuracy": 61.23456, "of": {"number": 30.0}})
    assert table(rows) == "split     val\naccuracy  61.23\nof\n  number  30"
    assert table(values({"tiny": 2e-10, "none": 0.0, "small": 0.0123})) == (
        "tiny   0.000\nnone   0\nsmall  0.0123"
    )
    rows = values({"interval": [-7.69999, 7], "bins": [{"to": 0.1}, {"to": 0.2}], "bare": ()})
    assert table(rows) == "interval  -7.7, 7\nbins      2 records\nbare      none"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "permission denied. Give another path"),
        (errno.ENOSPC, "Free disk space, then"),
    ],
)
def test_what_the_system_refuses_is_one_line(place, monkeypatch, number, said):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "/far/away")

    monkeypatch.setattr("saccade.datasets.prepare.prepare", refuse)
    told = saccade("prepare", place / "shapes", "--out", place / "new", status=1)
    assert told.startswith("error: /far/away: ")
    assert said in told
    monkeypatch.setattr(
        "saccade.datasets.prepare.prepare", lambda *_, **__: (place / "nothing").stat()
    )
    with pytest.raises(FileNotFoundError):  # a defect of ours keeps its trace
        saccade("prepare", place / "shapes", "--out", place / "new", status=1)


@pytest.mark.parametrize("option", ["hold_out=0.1", "hold-out=0.1", "out=x", "name=x"])
def test_an_option_of_another_kind_is_told(place, tmp_path, option):
    words = ["--root", place / "shapes", "--out", tmp_path / "data", "--option", option]
    told = saccade("prepare", "vqa-v2", *words, status=1)
    assert told.startswith("error: ")
    assert "--hold-out" in told or option.partition("=")[0] in told


def test_a_file_in_place_of_a_folder_is_one_line(place, tmp_path):
    (tmp_path / "file").write_text("")
    words = ["--root", place / "shapes", "--out", tmp_path / "file" / "data"]
    assert "not a directory" in saccade("prepare", "vqa-v2", *words, status=1)


def test_commands_to_give_next_can_be_typed(place, tmp_path):
    """Blanks in a name are quoted."""
    out = tmp_path / "my data"
    told = saccade("prepare", "vqa-v2", "--root", place / "shapes", "--out", out)
    line = next(one for one in told.splitlines() if one.startswith("Next: "))
    words = shlex.split(line)[2:]
    assert words[:3] == ["extract", str(out), "--for"]
    # As it is printed, but for weights, which are not at hand here.
    told = saccade(*words, "--weights", "random")
    header = json.loads((out / "features/resnet50-224-random/header.json").read_text())
    assert header["backbone"]["name"] == "timm:resnet50"
    assert header["preprocessing"]["resize"] == "squash"
    line = next(one for one in told.splitlines() if one.startswith("Next: "))
    words = shlex.split(line)[2:]
    assert words[:2] == ["train", "auto-vqa"]
    assert words[-2:] == ["--out", "runs/auto-vqa"]
    # Where an option says otherwise, it counts.
    saccade("extract", out, "--for", "mcan-small", "--size", 64, "--weights", "random")
    header = json.loads((out / "features/resnet18-64-random/header.json").read_text())
    assert header["preprocessing"]["height"] == 64


def test_a_recipe_with_an_encoder_is_given_pixels(place, tmp_path):
    recipe = "show-attend-tell-fine-tuned-small"
    told = saccade("extract", place / "data", "--for", recipe, "--name", "seen")
    header = json.loads((place / "data/features/seen/header.json").read_text())
    assert (header["backbone"]["name"], header["preprocessing"]["height"]) == ("pixels", 96)
    assert f"Next: saccade train {recipe} " in told


def test_an_empty_caption_is_shown(place, monkeypatch):
    from saccade.inference.answers import GeneratedCaption
    from saccade.inference.predictor import Run

    nothing = GeneratedCaption("", [], 0.0, None)
    monkeypatch.setattr(Run, "caption", lambda *_, **__: nothing)
    assert saccade("caption", place / "caption", image(place)) == "(no words)\n"


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (("ask", "run", "a.jpg", "is", "there", "a", "dog"), "'is there a dog'"),
        (("explain", "run", "a.jpg", "why", "not?"), "'why not?'"),
        (("evaluate", "my", "runs/vqa"), "'my runs/vqa'"),
        (("store", "info", "my", "store"), "'my store'"),
    ],
)
def test_words_without_quotes_are_told_to_be_quoted(words, quoted):
    told = saccade(*words, status=1)
    assert told.startswith("error: ")
    assert quoted in told


# --- JSON -----------------------------------------------------------------------------------------


def every_command(group, *words):
    """All commands below a group, by the words to type."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from every_command(command, *words, name)
        else:
            yield (*words, name), command


def test_every_command_has_a_result_for_programs():
    """By the table of commands: a new one is held to it the moment it is written."""
    found = dict(every_command(get_command(app)))
    assert {words[0] for words in found} == set(MODULES)
    for words, command in found.items():
        assert ["--json"] in [option.opts for option in command.params], words


def typed_in_json(place):
    """Commands, and entries of what each prints with --json."""
    data, store, picture = place / "data", place / "data/features/tiny", image(place)
    vqa, caption, shapes = place / "vqa", place / "caption", place / "shapes"
    return {
        "prepare": (["vqa-v2", "--root", shapes, "--out", place / "again"], {"splits", "notes"}),
        "extract": ([data, "--backbone", "timm:test_resnet", "--weights", "random",
                     "--size", 64, "--name", "jay"], {"store", "backbone", "ids_count"}),
        "check": ([data], {"findings", "error", "warning", "note"}),
        "store info": ([store], {"dim", "regions", "complete"}),
        "store verify": ([store], {"images", "notes"}),
        "store convert": ([store, "--name", "halves", "--pca", 4], {"store", "reduction"}),
        "evaluate": ([vqa, "--split", "val"], {"accuracy", "verdict", "baselines", "files"}),
        "faithfulness": ([vqa, "--split", "val", "--limit", 4], {"deletion", "checks", "files"}),
        "compare": ([vqa, "-o", place / "page.html"], {"page", "files", "ranking"}),
        "ask": ([vqa, picture, "is it red?", "is it blue?", "--top", 2], None),
        "caption": ([caption, picture, picture], None),
        "explain": ([vqa, picture, "is it red?", "-o", place / "jay.png"], {"drawn"}),
        "pack": ([data, "--out", place / "parts"], {"files", "bytes", "parts"}),
        "unpack": ([place / "parts", "--out", place / "unpacked"], {"kind", "files"}),
        "download": (["karpathy", "--to", place, "--dry-run"], {"plan"}),
        "show": (["san-small"], {"model", "train", "about"}),
        "about": ([], {"torch", "python"}),
        "list recipes": ([], None),
        "list metrics": (["bleu*"], None),
    }  # fmt: skip


def test_with_json_nothing_else_is_on_stdout(place):
    for words, (arguments, entries) in typed_in_json(place).items():
        found = in_json(*words.split(), *arguments)
        if entries is None:
            assert len(found) >= 2, words
            assert all(isinstance(one, dict) for one in found), words
        else:
            assert entries <= found.keys(), words
    scores = json.loads((place / "vqa" / "scores.json").read_text())["val"]
    assert in_json("evaluate", place / "vqa", "--split", "val")["accuracy"] == scores["accuracy"]
    told = CliRunner().invoke(app, ["show", "nothing-like-it", "--json"])
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("error: ")


def test_what_a_command_prints_by_the_way_goes_to_stderr_with_json():
    table = CommandTable()
    table.callback()(lambda: None)  # so that the one command has a name

    @table.command()
    def count(to: int) -> Result:
        sys.stdout.write("noise of a library\n")
        found = []

        def lines():
            for place in range(to):
                found.append(place)
                yield f"number {place}"
            if to > 2:
                raise typer.Exit(1)

        return Result(found, lines())

    asked = CliRunner().invoke(table, ["count", "2", "--json"])
    assert (json.loads(asked.stdout), asked.stderr) == ([0, 1], "noise of a library\n")
    asked = CliRunner().invoke(table, ["count", "3", "--json"])
    assert (json.loads(asked.stdout), asked.exit_code) == ([0, 1, 2], 1), "what failed was told"
    asked = CliRunner().invoke(table, ["count", "2"])
    assert asked.stdout == "noise of a library\nnumber 0\nnumber 1\n"


def test_a_name_cannot_command_the_terminal_nor_stop_a_line():
    """Escape sequences, text that runs backwards, bytes that are no UTF-8, and few letters."""
    asked = CliRunner().invoke(app, ["show", "x\x1b]0;owned\x07\u202e\udce9"])
    assert asked.exit_code == 1
    assert not {"\x1b", "\x07", "\u202e", "\udce9"} & {*asked.output}
    assert "x\\x1b]0;owned" in asked.output
    assert printable("é\tline\n\x9b", "ascii") == "\\xe9\tline\n\\x9b"


def test_json_has_null_for_what_is_no_number_and_nowhere_is_a_place_to_write_to():
    text = json_text({"loss": float("nan"), "most": [float("-inf"), 1.5], "path": Path("a\x9b")})
    assert json.loads(text) == {"loss": None, "most": [None, 1.5], "path": "a\x9b"}
    assert "\x9b" not in text
    closed = f"exec {shlex.quote(sys.executable)} -m saccade list recipes >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", closed], check=False).returncode == 0


def test_json_is_written_in_letters_that_stdout_has(monkeypatch):
    paths = {"image": Path("\u72d7.jpg"), "other": Path("\udce9.jpg")}
    assert json.loads(json_text(paths)) == {name: str(path) for name, path in paths.items()}
    assert "\u72d7" in json_text({"text": "\u72d7"})
    assert json_text({"text": "\udce9"}).isascii()
