"""Documents in two languages have the same parts; the site is built without a warning."""

import re
import shutil
import sys
import warnings
from pathlib import Path

import pytest

import saccade
from saccade.datasets.catalogue import SOURCES
from tests.processes import forked

ROOT = Path(__file__).parent.parent
BOTH = [("README.md", "README.zh.md"), ("docs/tutorial.md", "docs/tutorial.zh.md")]


def blocks(text):
    """Blocks of code without their comments, which are translated."""
    return [re.sub(r"\s+#.*", "", block) for block in re.findall(r"```.*?```", text, re.S)]


def prose(text):
    return re.sub(r"```.*?```", "", text, flags=re.S)


@pytest.mark.parametrize(("english", "chinese"), BOTH)
def test_both_languages_have_the_same_headings_commands_and_links(english, chinese):
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in (english, chinese)]
    assert blocks(texts[0]) == blocks(texts[1])
    levels = [[len(marks) for marks in re.findall(r"^#+(?= )", prose(t), re.M)] for t in texts]
    assert levels[0] == levels[1]
    first, second = (set(re.findall(r"`[^`\n]+`", prose(text))) for text in texts)
    assert first <= second
    first, second = (set(re.findall(r"\]\(([^)\s]+)\)", prose(text))) for text in texts)
    assert {
        link for link in first ^ second if not re.search(r"(README|tutorial)\.|^#", link)
    } == set()


@pytest.mark.parametrize("chinese", [chinese for _, chinese in BOTH])
def test_a_translation_says_which_version_it_follows(chinese):
    text = (ROOT / chinese).read_text(encoding="utf-8")
    assert f"对应 saccade {saccade.__version__}" in text


@pytest.mark.parametrize("chinese", [chinese for _, chinese in BOTH])
def test_a_paragraph_of_chinese_is_one_line(chinese):
    """Browsers show a line's end as a blank, and Chinese has none."""
    text = prose((ROOT / chinese).read_text(encoding="utf-8"))
    assert not re.findall("[\u3001-\u303f\u4e00-\u9fff\uff01-\uff65]\n[\u4e00-\u9fff].*", text)


def test_the_site_is_built_without_a_warning(tmp_path):
    """Every page stands in the tree and every link leads somewhere; docstrings are read, too.

    Of a copy: pages that are made from tables are written among the others.
    """
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason="the site needs the extra docs")

    ignored = shutil.ignore_patterns("made", "__pycache__")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=ignored)
    for file in ROOT.glob("*.md"):
        shutil.copy(file, tmp_path)
    (tmp_path / "saccade").symlink_to(ROOT / "saccade")

    def build():
        from sphinx.cmd.build import main

        warnings.simplefilter("ignore")  # those of Sphinx's own code are not ours
        words = ["--quiet", "--fail-on-warning", "--keep-going", "-b", "dummy"]
        sys.exit(
            main(
                [
                    *words,
                    "-d",
                    str(tmp_path / "trees"),
                    str(tmp_path / "docs"),
                    str(tmp_path / "site"),
                ]
            )
        )

    done = forked(build)
    assert done.returncode == 0, done.stderr
    made = {path.stem for path in (tmp_path / "docs/made").rglob("*.md")}
    assert {*SOURCES, "bleu", "vqa"} <= made
