"""Text in images: Matplotlib draws it, with its own list of fallback fonts, a glyph at a time."""

import re
import unicodedata
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font
from PIL import Image

from saccade.core.errors import SaccadeWarning
from saccade.text.segmentation import CHARACTERS

# The colours of everything that is drawn, so that all figures look alike.

PAPER = "#ffffff"
INK = "#1a1c22"
QUIET = "#6b7080"
BLUE = "#2f6db5"
ORANGE = "#d9660b"

ALWAYS = "DejaVu Sans"
"""Comes with Matplotlib and has the letters of most alphabets."""
PREFERRED = re.compile("noto|source ?han|pingfang|hiragino|microsoft ?yahei|yu ?gothic", re.I)
"""Even, readable font families, which are tried before all others."""
PLACEHOLDERS = re.compile("last ?resort|adobe ?blank", re.I)
"""Fonts that have a mark, or nothing, in place of every letter."""
_Renderer: Any = RendererAgg  # Matplotlib's types lack it
_DPI = 72  # so that a size in points is a size in pixels
_PIECE = re.compile(rf"\s*(?:[{CHARACTERS}][^\w\s]*|[^\s{CHARACTERS}]+)")
"""What stays on one line: a word with the blanks before it; a character of Han and its like."""


class Font(NamedTuple):
    """A size in pixels and a weight; the families follow from the text."""

    size: int
    bold: bool = False

    def line(self, text: str) -> tuple[str, FontProperties]:
        """A line as Matplotlib draws it, in a fallback list of families that has its letters.

        A letter that no font has becomes a box, a blank or mark that no font has becomes nothing.
        """
        found, missing = families(text)
        for letter in missing:
            text = text.replace(letter, _replacement(letter))
        weight = "bold" if self.bold else "normal"
        return text, FontProperties(family=[*found], size=self.size, weight=weight)

    def width(self, text: str) -> float:
        """Width of one line in pixels."""
        if not text:
            return 0.0
        measure = _Renderer(1, 1, _DPI).get_text_width_height_descent
        return float(measure(*self.line(text), ismath=False)[0])

    def shorten(self, text: str, width: float) -> str:
        """Cut a text to `width` pixels; an ellipsis says that something is missing."""
        if self.width(text) <= width:
            return text
        while text and self.width(text + "…") > width:
            text = text[:-1]
        return text.rstrip() + "…"

    def wrap(self, text: str, width: float) -> list[str]:
        """Break a text into lines of at most `width` pixels; an empty text has no line.

        It is broken between words, and between characters of scripts that write no blanks.
        """
        lines: list[str] = []
        for piece in _PIECE.findall(text):
            word = piece.strip()
            longer = (lines[-1] + " " * piece[0].isspace() if lines else "") + word
            if lines and self.width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(self.shorten(word, width))
        return lines


class Text(NamedTuple):
    """One line of text on a page: the upper left corner (or upper middle) in pixels."""

    text: str
    x: float
    y: float
    font: Font
    colour: str = INK
    centred: bool = False


def draw_texts(width: int, height: int, texts: Sequence[Text]) -> Image.Image:
    """A white page of `width` x `height` pixels with lines of text.

    Letters that no installed font has are boxes there, which one `SaccadeWarning` says.
    """
    renderer, missing = _Renderer(width, height, _DPI), set[str]()
    for text, x, y, font, colour, centred in texts:
        context = renderer.new_gc()
        context.set_foreground(colour)
        left = x - font.width(text) / 2 if centred else x
        baseline = y + 0.93 * font.size  # DejaVu's ascent
        line, properties = font.line(text)
        renderer.draw_text(context, left, baseline, line, properties, 0, ismath=False)
        missing |= {letter for letter in families(text)[1] if _replacement(letter)}
    if missing:
        letters = "".join(sorted(missing, key=lambda letter: (not letter.isalnum(), letter))[:8])
        warnings.warn(
            f"no font here has {letters}: boxes are drawn. Install one that has: for Chinese, "
            "Japanese, Korean apt install fonts-noto-cjk",
            SaccadeWarning,
            stacklevel=3,
        )
    page = Image.new("RGBA", (width, height), PAPER)
    page.alpha_composite(Image.fromarray(np.array(renderer.buffer_rgba())))
    return page.convert("RGB")


def families(text: str) -> tuple[Sequence[str], frozenset[str]]:
    """Font families that have the letters of a text together, and letters that no font has."""
    return _families(frozenset(text))


@cache
def _families(letters: frozenset[str]) -> tuple[Sequence[str], frozenset[str]]:
    found, missing = [ALWAYS], letters - _known(fontManager.findfont(ALWAYS), letters)
    for family, file in _installed() if missing else ():
        if known := _known(file, missing):
            found.append(family)
            missing -= known
        if not missing:
            break
    return found, missing


def _replacement(letter: str) -> str:
    """A box; nothing for blanks, controls, and marks that only change their neighbours."""
    hidden = ("Cc", "Cf", "Zs", "Zl", "Zp", "Mn")
    return "" if unicodedata.category(letter) in hidden else "□"


def _known(file: str, letters: frozenset[str]) -> frozenset[str]:
    with suppress(OSError):  # a font that is gone since Matplotlib wrote its list
        font = get_font(file)
        return frozenset(letter for letter in letters if font.get_char_index(ord(letter)))
    return frozenset()


@cache
def _installed() -> list[tuple[str, str]]:
    """Names and files of all font families, the preferred ones first."""
    # Matplotlib keeps its list between processes: fonts installed since are not in it.
    for file in {*findSystemFonts()} - {entry.fname for entry in fontManager.ttflist}:
        with suppress(Exception):  # a broken file, or coloured images that have but one size
            fontManager.addfont(file)
    upright = {one.name: one.fname for one in fontManager.ttflist if one.style == "normal"}
    usable = [item for item in upright.items() if not PLACEHOLDERS.match(item[0])]
    return sorted(usable, key=lambda item: (not PREFERRED.match(item[0]), item[0]))
