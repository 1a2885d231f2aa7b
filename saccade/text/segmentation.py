"""Word segmentation of text in any script, without a dictionary.

Chinese, Japanese, Thai and others are written without blanks, so nobody can say where a word ends
without knowing the language. A character of Han, Kana or Hangul is a word of its own here, which is
how captions in these scripts are commonly scored; so is a letter of Thai, Lao, Khmer, Burmese and
their kin with its signs. Every other script is cut at blanks and marks.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

_WITH_SIGNS = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f"
    "\u109a-\u109d\u1780-\u17d3\u17d7\u17dc\u17dd\u1950-\u19c9\u1a20-\u1a7c\ua9e0-\ua9ef"
    "\ua9fa-\ua9fe\uaa60-\uaadd"
)
"""Thai, Lao, Burmese, Khmer, Tai Le, New Tai Lue, Tai Tham and Tai Viet: scripts of Unicode's line
breaking class SA (annex 14), without their digits."""
_STACKS = "\u1039\u17d2\u1a60"
"""Signs that put the next letter below this one, in Burmese, Khmer and Tai Tham."""
CHARACTERS = (
    "\u1100-\u11ff\u3005-\u3007\u3041-\u30ff\u3105-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018dff\U0001b000-\U0001b16f"
    "\U00020000-\U000323af" + _WITH_SIGNS
)
"""Han, Kana, Bopomofo and Hangul (Unicode 15), and the scripts before, as inside the brackets of a
regular expression."""

# Patterns as text: `re` compiles them at their first use, not whenever a recipe is read.
_ALONE = f"[{CHARACTERS}]"
_RUN = f"{_ALONE}+"
_IN_STACK = f"(?<=[{_STACKS}]) (?=[{_WITH_SIGNS}])"
_BEHIND = f"(?<=[{_WITH_SIGNS}])(?=[^ {_WITH_SIGNS}])"
_AM = (("\u0e4d\u0e32", "\u0e33"), ("\u0ecd\u0eb2", "\u0eb3"))
"""Vowels of Thai and Lao that NFKC takes apart, and nothing puts together again."""
BETWEEN = f"(?<=[{CHARACTERS}]) (?=[{CHARACTERS}])"
"""A blank between two characters of such a script, which goes when a caption is written."""
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
        elif kind[0] == "M" or letter in "\u0e33\u0eb3" or not re.match(_ALONE, letter):
            cut = letter
        else:
            cut = f" {letter}" if re.match(f"[{_WITH_SIGNS}]", letter) else f" {letter} "
        self[code] = cut
        return cut


_MARKS = _Marks()


def words_of_any_script(text: str) -> list[str]:
    """Lower-case words: letters, digits and their accents between blanks and marks, which go.

    A character of a script without blanks is a word. Wide, narrow and composed forms of a letter
    are made one first (Unicode NFKC), so that the same word is always spelt the same.
    """
    text = unicodedata.normalize("NFKC", text).lower()
    for parts, whole in _AM:
        text = text.replace(parts, whole)
    cut = text.translate(_MARKS)
    return re.sub(_BEHIND, " ", re.sub(_IN_STACK, "", cut)).split()


def as_sentence(words: Iterable[str]) -> str:
    """Words as they are written: with blanks between them, but for scripts that have none."""
    return re.sub(BETWEEN, "", " ".join(words))


def has_no_blanks(text: str) -> bool:
    """Say whether a text has characters of a script that is written without blanks."""
    return not text.isascii() and re.search(_ALONE, text) is not None


def misfits(cut: Callable[[str], list[str]], text: str) -> bool:
    """Say whether a tokenizer is not made for the script of a text: it leaves the longest stretch
    without blanks whole, as one that cuts at blanks and marks does, or parts signs from their
    letters. One that knows the language, or cuts characters, does neither.
    """
    if text.isascii():
        return False
    words = cut(text)
    if any(unicodedata.category(word[0])[0] == "M" for word in words if word):
        return True
    longest, left = (_run_length(one) for one in (text, " ".join(words)))
    return 1 < longest <= left


def _run_length(text: str) -> int:
    return max(map(len, re.findall(_RUN, text)), default=0)
