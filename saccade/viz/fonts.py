"""Which font has the letters of a text: the one that is always there, or another of the system."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from matplotlib import get_data_path
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from saccade.core.console import say as tell
from saccade.text.segmentation import CHARACTERS

LIKED = ("notosanscjk", "sourcehansans", "pingfang", "hiragino", "msyh", "yugoth", "malgun", "noto")
"""How names of fonts begin that are even and easy to read, the best first."""
EMPTY = ("lastresort", "adobeblank")
"""Fonts that have a mark, or nothing, in place of every letter."""


class Fonts:
    """A font that is always there, and the system's, which are looked through where it lacks a
    letter.
    """

    def __init__(
        self,
        regular: Path,
        bold: Path,
        others: Callable[[], Iterable[str]],
        say: Callable[[str], object] = tell,
    ) -> None:
        """`others` lists font files; `say` hears, once, that some letters are nowhere."""
        self._own, self._others, self._say = {False: regular, True: bold}, others, say
        self._chosen: dict[tuple[frozenset[int], bool], Path] = {}
        self._nowhere: frozenset[int] = frozenset()

    def file_for(self, text: str, bold: bool) -> Path:
        """The font that has most letters of a text; between equals, the one that is always there.

        Letters that no font has are drawn as empty boxes, which is said the first time.
        """
        wanted = _letters(text) - self._nowhere
        if (wanted, bold) not in self._chosen:
            self._chosen[wanted, bold] = self._choose(wanted, bold)
        return self._chosen[wanted, bold]

    def _choose(self, wanted: frozenset[int], bold: bool) -> Path:
        best, most = self._own[bold], _known(self._own[bold], wanted)
        somewhere = most
        if most == wanted:
            return best
        for file in sorted(map(Path, self._others()), key=lambda path: _rank(path, bold)):
            known = _known(file, wanted)
            if (known <= somewhere and len(known) <= len(most)) or not _opens(file):
                continue
            somewhere |= known
            if len(known) > len(most):
                best, most = file, known
            if most == wanted:
                return best
        if lacking := wanted - somewhere:
            if not self._nowhere:
                letters = sorted(map(chr, lacking), key=lambda letter: not letter.isalnum())
                self._say(
                    f"note: no font here has {''.join(letters[:8])}: empty boxes are drawn. "
                    "Install one that has: for Chinese, Japanese, Korean apt install fonts-noto-cjk"
                )
            self._nowhere |= lacking
        return best


def _letters(text: str) -> frozenset[int]:
    """All that is drawn: no blanks, and no marks that only change what stands beside them."""
    hidden = ("Cc", "Cf", "Zs", "Zl", "Zp", "Mn")
    return frozenset(ord(one) for one in text if unicodedata.category(one) not in hidden)


def _known(file: Path, wanted: frozenset[int]) -> frozenset[int]:
    """Which letters a font has; none if it cannot be read."""
    try:
        font = FT2Font(str(file))
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(letter for letter in wanted if font.get_char_index(letter))


def _opens(file: Path) -> bool:
    """Can letters of any size be drawn with it? Not with coloured images, nor with `EMPTY`."""
    name = file.name.lower().replace(" ", "").replace("-", "")
    try:
        ImageFont.truetype(str(file), 16)
    except OSError:
        return False
    return not name.startswith(EMPTY)


def _rank(file: Path, bold: bool) -> tuple[int, int, str]:
    """Which fonts are tried first: those that are liked, then those of the wanted weight."""
    name = file.stem.lower().replace(" ", "").replace("-", "")
    liked = next((place for place, word in enumerate(LIKED) if name.startswith(word)), len(LIKED))
    heavy, plain = "bold" in name or name.endswith("bd"), "regular" in name
    slanted = any(word in name for word in ("italic", "oblique", "mono", "thin", "light", "black"))
    return liked, 2 * slanted + (not heavy if bold else heavy) + (not plain and not bold), str(file)


# Letters and colours of everything that is drawn, so that all pages look alike.

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
