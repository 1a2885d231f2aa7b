"""The site: Sphinx with MyST and furo, built by `make docs` into `site/`."""

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
from table_pages import write_pages

project = "saccade"
author = "the saccade authors"
version = release = version_of("saccade")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}

highlight_language = "text"  # blocks without a language are output
html_theme = "furo"
html_title = f"saccade {release}"
html_show_sphinx = html_show_copyright = False
html_copy_source = False
html_static_path = ["images/site.css"]
html_css_files = ["site.css"]

myst_heading_anchors = 4  # links to #headings, as on a page of a repository
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
default_role = "code"  # docstrings write `names` as Markdown does

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = {
    "README.md": "index",
    "README.zh.md": "zh",
    "ARCHITECTURE.md": "architecture",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
}
"""Of files in the repository's root: the page that shows each."""

BELOW = {"data": "made/sources/*", "metrics": "made/metrics/*", "decisions/README": "0*"}
"""Of a page: the pages that stand below it."""


def on_site(name: str, text: str) -> str:
    """The text of a page as the site has it.

    A line that is only a link to a file of `PAGES` becomes that file's text. Links to these files
    lead to their pages; a link to any other file that is not in `docs` becomes its words alone.
    A pattern of the tree (`serve*`) that no page fits is left out. Pages that list others have
    these below them in the tree.
    """

    def linked(text: str, folder: Path) -> str:
        def link(found: re.Match[str]) -> str:
            label, target, anchor = found.groups(default="")
            path = (folder / target).resolve()
            if path.parent == ROOT and path.name in PAGES:
                return f"{label}(/{PAGES[path.name]}.md{anchor})"
            inside = path.is_relative_to(DOCS) and path.exists()
            return f"{label}(/{path.relative_to(DOCS)}{anchor})" if inside else label[1:-1]

        return re.sub(r"(\[[^\]]*\])\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)", link, text)

    def shown(found: re.Match[str]) -> str:
        return linked((ROOT / found[1]).read_text(encoding="utf-8"), ROOT)

    text = re.sub(
        r"^([a-z]+)\*\n", lambda m: m[0] * any(DOCS.glob(f"{m[1]}*.md")), text, flags=re.M
    )
    if below := BELOW.get(name):
        text += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{below}\n```\n"
    files = "|".join(map(re.escape, PAGES))
    parts = re.split(rf"^(\[[^\]]*\]\(\.\./(?:{files})\)\n)", text, flags=re.M)
    return "".join(
        re.sub(r".*\(\.\./(.*)\)\n", shown, part) if n % 2 else linked(part, (DOCS / name).parent)
        for n, part in enumerate(parts)
    )


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""

    def read(app: Sphinx, name: str, source: list[str]) -> None:
        for file in (file for file, page in PAGES.items() if page == name):
            app.env.note_dependency(str(ROOT / file), docname=name)  # read again when it changes
        source[0] = on_site(name, source[0])

    def describe(
        _app: Sphinx, what: str, _name: str, _of: object, _how: object, lines: list[str]
    ) -> None:
        if what == "attribute":  # napoleon takes "Names that are known: ..." for a type otherwise
            lines.insert(0, "")

    write_pages()
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", describe, priority=100)
