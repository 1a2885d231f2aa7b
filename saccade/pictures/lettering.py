"""Letters and colours of everything that is drawn, so that all pages look alike."""

import re
from functools import cache
from pathlib import Path

from matplotlib import get_data_path
from matplotlib.font_manager import findSystemFonts
from PIL import ImageFont

from saccade.pictures.fonts import Fonts
from saccade.text.segmentation import CHARACTERS

PAPER = "#ffffff"
INK = "#1a1c22"
QUIET = "#6b7080"
BLUE = "#2f6db5"
ORANGE = "#d9660b"


_PIECE = re.compile(rf"\s*(?:[{CHARACTERS}][^\w\s]*|[^\s{CHARACTERS}]+)")
"""What stays on one line: a word with the blanks before it; a character of Han and its like."""


@cache
def fonts() -> Fonts:
    """DejaVu Sans, which comes with matplotlib and knows most alphabets, and the system's."""
    folder = Path(get_data_path()) / "fonts" / "ttf"
    return Fonts(folder / "DejaVuSans.ttf", folder / "DejaVuSans-Bold.ttf", findSystemFonts)


def font(size: int, bold: bool = False, text: str = "") -> ImageFont.FreeTypeFont:
    """A font at `size` pixels that has the letters of `text`, if there is one."""
    return _opened(str(fonts().file_for(text, bold)), size)


@cache
def _opened(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


def fold(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels; empty text has no line.

    It is broken between words, and between characters of scripts that are written without blanks.
    """
    lines: list[str] = []
    for piece in _PIECE.findall(text):
        word = piece.strip()
        longer = (lines[-1] + " " * piece[0].isspace() if lines else "") + word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, face, width))
    return lines


def shorten(text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a text to `width` pixels; three dots say that something is missing."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
