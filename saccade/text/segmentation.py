"""Word segmentation of text in any script, without a dictionary.

Chinese and Japanese are written without blanks, so nobody can say where a word ends without knowing
the language. A character of Han, Kana or Hangul is a word of its own here, which is how captions in
these scripts are commonly scored; every other script is cut at blanks and marks.
"""

import re
import unicodedata
from collections.abc import Iterable

CHARACTERS = (
    "\u1100-\u11ff\u3005-\u3007\u3041-\u30ff\u3105-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018dff\U0001b000-\U0001b16f"
    "\U00020000-\U000323af"
)
"""Han, Kana, Bopomofo and Hangul (Unicode 15), as inside the brackets of a regular expression."""

# Patterns as text: `re` compiles them at their first use, not whenever a recipe is read.
_ALONE = f"[{CHARACTERS}]"
_BETWEEN = f"(?<=[{CHARACTERS}]) (?=[{CHARACTERS}])"
QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\ufe56", "\u2048", "\u2047", "\u0df4", "\ua60f")
"""Of Latin, of Chinese and Japanese, of Arabic, and rarer ones."""


class _Marks(dict[int, str]):
    """Replacement of each character: a blank for marks, nothing for apostrophes and joiners."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = unicodedata.category(letter)
        if letter in "'\u2019" or kind == "Cf":
            cut = ""
        elif kind[0] in "PSZC":
            cut = " "
        else:
            cut = f" {letter} " if re.match(_ALONE, letter) else letter
        self[code] = cut
        return cut


_MARKS = _Marks()


def words_of_any_script(text: str) -> list[str]:
    """Lower-case words: letters, digits and their accents between blanks and marks, which go.

    A character of Han, Kana or Hangul is a word. Wide, narrow and composed forms of a letter are
    made one first (Unicode NFKC), so that the same word is always spelt the same.
    """
    return unicodedata.normalize("NFKC", text).lower().translate(_MARKS).split()


def as_sentence(words: Iterable[str]) -> str:
    """Words as they are written: with blanks between them, but for scripts that have none."""
    return re.sub(_BETWEEN, "", " ".join(words))


def has_no_blanks(text: str) -> bool:
    """Say whether a text has characters of a script that is written without blanks."""
    return not text.isascii() and re.search(_ALONE, text) is not None
