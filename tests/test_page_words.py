"""The page's files without a browser: its words in both languages, and what its policy forbids."""

import json
import re
from pathlib import Path

import pytest

import saccade

ROOT = Path(saccade.__file__).parent
PAGE = ROOT / "server" / "page"
TABLE = json.loads((PAGE / "words.json").read_text(encoding="utf-8"))
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js"))}
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")


def fields(text):
    return sorted(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", TABLE)
def test_every_language_has_the_same_keys_and_fields(language):
    assert {key: fields(text) for key, text in TABLE[language].items()} == {
        key: fields(text) for key, text in TABLE["en"].items()
    }
    assert all(text.strip() for text in TABLE[language].values())
    assert len(TABLE[language]["sides"].split("|")) == 9


def test_chinese_is_not_english():
    """A text that was copied and never translated is Latin letters only."""
    plain = {key: re.sub(r"\{\w+\}", "", text) for key, text in TABLE["zh"].items()}
    same = {key for key, text in plain.items() if re.search("[a-z]", text) and text.isascii()}
    assert same == {"question_example"}  # models here learnt English questions


def test_the_page_uses_every_word_and_no_other():
    source = INDEX + "".join(SCRIPTS.values())
    named = set(re.findall(r'"(\w+)"', source))
    drawings = re.findall(r"^  (\w+)\(pen\)", SCRIPTS["examples.js"], re.M)
    families = {"task_": ("vqa", "caption"), "example_": drawings}
    used = {key + name for key, names in families.items() for name in names}
    assert set(TABLE["en"]) - named == used
    asked = re.findall(r'\btext\("(\w+)"|data-(?:text|label|placeholder)="(\w+)"', source)
    assert {key for pair in asked for key in pair if key} <= set(TABLE["en"])


def test_the_page_is_what_its_policy_allows():
    """Nothing inline, nothing from elsewhere, and every file that is named is there."""
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", INDEX)
    for text in (INDEX, *SCRIPTS.values(), (PAGE / "page.css").read_text(encoding="utf-8")):
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"// .*", "", text)))
        assert not found - {"http://www.w3.org"}
    for name in re.findall(r'(?:href|src)="page/([^"]+)"', INDEX):
        assert (PAGE / name).is_file() or name == "style.css", name
    for script in SCRIPTS.values():
        for name in re.findall(r'from "\./([^"]+)"', script):
            assert name in SCRIPTS
        assert "innerHTML" not in script, "what a server or a model writes is no markup"
