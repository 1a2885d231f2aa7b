"""Letters and colours of everything that is drawn, so that all pages look alike."""

from functools import cache
from pathlib import Path

from matplotlib import get_data_path
from PIL import ImageFont

PAPER = "#ffffff"
INK = "#1a1c22"
QUIET = "#6b7080"
BLUE = "#2f6db5"
ORANGE = "#d9660b"


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `size` pixels: it comes with matplotlib and knows most alphabets."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


def fold(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels, between words; empty text has no line."""
    lines: list[str] = []
    for word in text.split():
        if lines and face.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
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
