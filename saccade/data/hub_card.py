"""The card of a data set from the Hugging Face hub: what its `README.md` states of the licence."""

import re
from pathlib import Path

from saccade.data.reading import read_start
from saccade.data.records import Collection


def stated_licence(folder: Path) -> str:
    """The licence in the card's head (between lines of three dashes); else that none is known."""
    start = read_start(folder / "README.md")
    head = re.match(r"---\s*\n(.*?)\n---", start, re.S)
    said = re.search(r"^licen[sc]e:\s*(?:-\s*)?([\w.+-]+)", head[1], re.M) if head else None
    return f"{said[1]}, says its card" if said else Collection.licence
