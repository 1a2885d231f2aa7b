"""Metadata of the package that depends on where its source is published."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(
    r"(?P<code>(`+).*?(?<!`)\2(?!`))"
    r"|(?P<image>!?)\[(?P<words>(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]"
    r"\((?![a-z]+:|#)(?P<path>[^)\s]+)\)",
    re.DOTALL,
)
"""A link, or image, of Markdown that leads to a file beside; its text may hold an image. Or code,
which has none."""


def with_absolute_links(text: str, repository: str) -> str:
    """Markdown that is read elsewhere: links to files lead into the repository, images are taken
    from it. Without one, the texts of the links are left, and no images."""

    def absolute(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        image, words = match["image"], LINK.sub(absolute, match["words"])
        if not repository:
            return "" if image else words
        kind = "raw" if image else "blob"
        return f"{image}[{words}]({repository}/{kind}/main/{match['path']})"

    return LINK.sub(absolute, text)


class ReadmeAndUrls(MetadataHookInterface):
    """README with links that lead somewhere on a package index, and the project's addresses."""

    def update(self, metadata: dict[str, Any]) -> None:
        repository = self.config["repository"].rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        readme = with_absolute_links(text, repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
        pages = {"Repository": "", "Documentation": "/blob/main/docs/tutorial.md"}
        pages |= {"Changelog": "/blob/main/CHANGELOG.md", "Issues": "/issues"}
        metadata["urls"] = {name: repository + end for name, end in pages.items() if repository}
