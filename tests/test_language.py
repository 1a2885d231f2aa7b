"""Messages in Chinese: both languages have the same fields, and English a place in the source."""

import ast
import json
import re
from pathlib import Path
from string import Formatter

import pytest

from saccade.cli.app import app
from saccade.core.errors import BadConfig, in_number
from saccade.core.language import VARIABLES, error_line, language, translated
from tests.processes import forked

ROOT = Path(__file__).parent.parent / "saccade"
CATALOGUE = ROOT / "core/messages.zh.json"
ENTRIES = json.loads(CATALOGUE.read_text(encoding="utf-8"))
OF_OTHERS = (
    *("Missing ", "No such ", "Invalid value", "Did you", "{value} is not one", "Input should"),
    *("permission", "no space", "not a dir"),
    *("there is nothing", "Else lay", "Lay the", "For data of", "Get it from", "{parameters} par"),
    *("Install completion", "Show completion", "of {count} images, "),
)
"""Beginnings of messages of Typer, pydantic and the system; and of ours of too many parts."""


def fields(text):
    return sorted({name for _, name, _, _ in Formatter().parse(text) if name is not None})


def strings(node):
    """All texts below a node in the order of the source, without the values in f-strings."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from strings(child)


@pytest.fixture(scope="module")
def written():
    """What the source files write, a text each."""
    files = sorted(ROOT.rglob("*.py"))
    return ["".join(strings(ast.parse(file.read_text(encoding="utf-8")))) for file in files]


def test_a_beginner_meets_150_messages_in_chinese():
    assert len([one for one in ENTRIES if " " in one]) >= 150


def test_an_entry_has_both_languages_and_the_same_fields():
    for english, chinese in ENTRIES.items():
        words = [re.sub(r"\{\w+\}", "", text) for text in (english, chinese)]
        assert words[0].isascii()
        assert re.search("[\u4e00-\u9fff]", words[1]) or not re.search("[A-Za-z]{2}", words[0])
        assert fields(english) == fields(chinese), english


def test_every_entry_is_still_written_somewhere(written):
    """A message that was changed in the source would be English again, and nobody would see it."""
    for english in ENTRIES:
        parts = re.split(r"\{\w+\}|[:;.,](?: |$)| and | or | \(", english)
        for part in () if english.startswith(OF_OTHERS) else filter(None, map(str.strip, parts)):
            assert any(part in text for text in written), f"{english!r}: {part!r}"


def test_the_first_variable_that_is_set_decides():
    assert language({}) == "en"
    for number, name in enumerate(VARIABLES):
        others = dict.fromkeys(VARIABLES[number + 1 :], "de_DE.UTF-8")
        assert language({**others, name: "zh_CN.UTF-8"}) == "zh"
        assert language({**dict.fromkeys(VARIABLES, "zh_TW"), **{VARIABLES[0]: "C"}}) == "en"
    assert language({"LANG": "zhuang"}) == "en"


def test_english_is_what_it_was(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    error = BadConfig("there is no recipe 'x'", location="--recipe", hint="There are: a, b.")
    assert error_line(error) == "error: --recipe: there is no recipe 'x'. There are: a, b."
    assert [one for one in ENTRIES if translated(one) != one] == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("there is no recipe 'x y'", "没有名为 'x y' 的配方"),
        ("3 of 8 images are not there", "8 张图像中有 3 张不存在"),
        (in_number("1 of 8 images are not there"), "8 张图像中有 1 张不存在"),
        (in_number("1 images are in two splits"), "有 1 张图像同时在两个划分中"),
        ("note: nobody translated this", "提示: nobody translated this"),
        ("Give it a question. Nobody wrote this.", "请给它一个问题。Nobody wrote this."),
        ("caption", "caption"),
        ("holds no caption", "里面没有 caption"),
        ("a caption that the model wrote", "a caption that the model wrote"),
        ("  such as: a; b {c}", "  例如: a; b {c}"),
    ],
)  # fmt: skip
def test_fields_are_kept_and_what_is_not_listed_stays(monkeypatch, english, chinese):
    monkeypatch.setenv("SACCADE_LANG", "zh")
    assert translated(english) == chinese


def test_every_entry_is_found_by_its_own_text(monkeypatch):
    """No entry hides another one, whatever stands in its fields."""
    monkeypatch.setenv("SACCADE_LANG", "zh")
    for english, chinese in ENTRIES.items():
        values = {name: f"Xx{number}x" for number, name in enumerate(fields(english))}
        if " " in english:
            assert translated(english.format(**values)) == chinese.format(**values)


@pytest.mark.parametrize("part", ["a of b ", "1 of 2 x: ", "x=y: ", "' ", "a: b. ", ". A", "{x} "])
def test_a_text_that_repeats_itself_is_given_up_soon(monkeypatch, part):
    monkeypatch.setenv("SACCADE_LANG", "zh")
    for times in (100, 1999 // len(part), 5000):
        translated(part * times)


@pytest.mark.parametrize(
    ("words", "chinese"),
    [
        ("evaluate no-run", "不是运行文件夹"),
        ("train show-atend-tell --data data --out run", "没有名为 'show-atend-tell' 的配方"),
        ("train show-attend-tell --data data --out run --set train.epoch=3", "'train.epoch'"),
        ("train show-attend-tell --data no-data --out run", "没有这个数据文件夹"),
        ("prepare no-folder --out run", "既不是文件夹，也不是数据来源"),
        ("prepare empty --out run", "里面什么也没有"),
        ("train my.toml --data data --out run", "没有这个文件或文件夹"),
        ("extract data", "--backbone、--detector 之一"),
        ("ask no-run no.png why?", "请给出图像文件的路径"),
        ("ask no-run", "缺少参数"),
        ("no-command", "没有命令 'no-command'"),
    ],
)
def test_a_refusal_is_in_chinese_and_names_the_same_things(monkeypatch, tmp_path, words, chinese):
    """Status and names are those of English; what the user typed is not translated."""
    for name in ("data", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "data/dataset.json").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def run(chosen):
        monkeypatch.setenv("SACCADE_LANG", chosen)
        return forked(lambda: app(words.split(), prog_name="saccade"))

    english, translation = run("en"), run("zh")
    assert (english.returncode, english.stdout) == (translation.returncode, translation.stdout)
    assert english.returncode in (1, 2)
    assert english.stderr.isascii()
    assert chinese in translation.stderr
    for name in re.findall(r"'[^']+'|[\w/-]+\.\w+", english.stderr.splitlines()[-1]):
        assert name in translation.stderr


@pytest.mark.parametrize("command", ["", "train", "store"])
def test_help_is_in_chinese_with_the_same_options(monkeypatch, command):
    texts = []
    for chosen in ("en", "zh"):
        monkeypatch.setenv("SACCADE_LANG", chosen)
        words = [*command.split(), "--help"]
        texts.append(forked(lambda words=words: app(words, prog_name="saccade")).stdout)
    assert texts[0].isascii()
    assert len(re.findall("[\u4e00-\u9fff]", texts[1])) > 20
    assert re.findall(r"^  (--?\w\S*)", texts[0], re.M) == re.findall(
        r"^  (--?\w\S*)", texts[1], re.M
    )


def test_json_is_the_same_in_every_language(monkeypatch):
    outputs = []
    for chosen in ("en", "zh"):
        monkeypatch.setenv("SACCADE_LANG", chosen)
        outputs.append(forked(lambda: app(["show", "san-small", "--json"])).stdout)
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])
