"""Messages in the user's language: English as they are written, or Chinese from a catalogue.

A message is written in English where it arises, and looked up where it is printed. An entry of the
catalogue is a sentence or two with named fields, "there is no {kind} {name}": what stands in the
place of a field is put into the translation as it is, or, where the field is one of `TRANSLATED`,
translated. What the catalogue lacks stays English, and so does everything for programs: JSON,
files, exceptions.
"""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TextIO

from saccade.core.errors import VERBS, SaccadeError

CATALOGUES = ("zh",)
"""Languages that have one, `messages.LANGUAGE.json` beside this file."""
VARIABLES = ("SACCADE_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set decides, as for gettext."""
TRANSLATED = {"finding", "hint", "kind", "level", "message", "rest", "why"}
"""Fields whose values are messages or words of ours; all others hold names and texts of users."""
START, WITHIN = r"[^:\[]", r"(?>'[^']*'|(?![.?!] [A-Z`]).)"
"""Parts of such values: at the beginning they do not reach over "error [...]:", and nowhere over
the end of a sentence that is not quoted."""
MOST_LETTERS, MOST_LEVELS = 2000, 8
"""Of a text, and of messages within messages, that are looked up."""
FIELD = r"\{(\w+)\}"
SENTENCES = re.compile(r"(?<=[.?!]) (?=[A-Z`])")


def language(environment: Mapping[str, str] = os.environ) -> str:
    """The language of messages, such as "zh"; "en" without a catalogue or letters."""
    given = next(filter(None, map(environment.get, VARIABLES)), "en")
    code = re.split(r"[_.@:-]", given.lower())[0]
    if code in CATALOGUES and _writes(sys.stderr):
        return code
    return "en"


def _writes(stream: TextIO) -> bool:
    """Has a stream letters for more than English?"""
    try:
        "中".encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def translated(text: str) -> str:
    """A line for a person in the user's language; a single word is a name or an answer."""
    chosen = language()
    return text if chosen == "en" or " " not in text.strip() else _in_language(text, chosen)


def error_line(error: SaccadeError) -> str:
    """An error as the command line prints it."""
    if (chosen := language()) == "en":
        return f"error: {error}"
    message, hint = (_in_language(part, chosen) for part in (error.message, error.hint))
    location = "" if error.location is None else f"{error.location}: "
    end = "" if message.endswith("?") else "。"
    return f"{_in_language('error', chosen)}: {location}{message}{end}{hint}"


def _in_language(text: str, chosen: str, level: int = 1) -> str:
    """A text, or each of its sentences, from the catalogue; blanks before it stay."""
    if len(text) > MOST_LETTERS or level > MOST_LEVELS:
        return text
    blanks = text[: len(text) - len(text.lstrip())]
    if (found := _entry(text.strip(), chosen, level)) is not None:
        return blanks + found
    if len(parts := SENTENCES.split(text)) == 1:
        return text
    done = [_in_language(part, chosen, level + 1) for part in parts]
    ends = ["" if one[-1:] in ("。", "？") else " " for one in done]
    return "".join(one + end for one, end in zip(done, ends, strict=True)).rstrip()


def _entry(text: str, chosen: str, level: int) -> str | None:
    """The translation of a text that is, or fits, one entry."""
    exact, patterns = _catalogue(chosen)
    if text in exact:
        return exact[text]
    for words, pattern, translation in patterns:
        if all(word in text for word in words) and (found := pattern.fullmatch(text)):
            fields = found.groupdict()
            for name in TRANSLATED & fields.keys():
                fields[name] = _in_language(fields[name], chosen, level + 1)
            return translation.format_map(fields)
    return None


class Pattern(NamedTuple):
    """An entry with fields."""

    words: Sequence[str]
    """Parts of a text that fits: found much faster than the expression fails."""
    expression: re.Pattern[str]
    translation: str


@cache
def _catalogue(chosen: str) -> tuple[dict[str, str], list[Pattern]]:
    """Entries without fields, and patterns of the others, those with the most letters first."""
    path = Path(__file__).with_name(f"messages.{chosen}.json")
    entries: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    patterns = []
    for one in sorted((one for one in entries if "{" in one), key=_letters, reverse=True):
        words = re.findall("[a-z]{4,}", re.sub(FIELD, "", one))
        words = [word.removesuffix("s") for word in words if word not in VERBS]
        patterns.append(Pattern(words, _pattern(one), entries[one]))
    return entries, patterns


def _letters(entry: str) -> int:
    return len(re.sub(FIELD, "", entry))


def _pattern(entry: str) -> re.Pattern[str]:
    """What fits an entry. One that begins with a number fits its singular too: `in_number`."""
    pattern = ""
    for place, part in enumerate(re.split(FIELD, entry)):
        if place % 2:
            name = START if not pattern else WITHIN
            pattern += f"(?P<{part}>{'.' if part in TRANSLATED else name}+?)"
            continue
        literal = re.escape(part)
        if entry.startswith("{"):
            literal = re.sub(r"^(\\ \w+?)s(?=\\ )", r"\1s?", literal)
            verb = rf"(?<=\\ )({'|'.join(VERBS)})(?=\\ |$)"
            literal = re.sub(verb, lambda found: f"(?:{found[1]}|{VERBS[found[1]]})", literal)
        pattern += literal
    return re.compile(pattern, re.DOTALL)
