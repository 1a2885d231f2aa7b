"""What a program without saccade needs of words: the vocabulary, and tokenizers as data.

A tokenizer is a list of steps, each of which changes a text, and a last one that cuts it:
    ["replace", PATTERN, WITH]   every match of a regular expression, as Python's `re.sub`
    ["lower"] ["strip"]          lower case; blanks at both ends go
    ["marks", ALL, SOME]         matches of ALL vanish where the text has the same one among those
                                 of SOME, or a comma between digits; else they become blanks
    ["split", SEPARATOR]         cut at every one of them, or at stretches of blanks (null)
    ["find", PATTERN]            the matches, without blanks around them, but empty ones
    ["map", WORDS]               words that are written otherwise
"""

import re
import string
from collections.abc import Mapping
from typing import Any

from saccade.text.answers import BESIDE_BLANK, CONTRACTIONS, FULL_STOP, LISTED
from saccade.text.segmentation import QUESTION_MARKS
from saccade.text.tokenizers import TREEBANK, as_question
from saccade.text.vocabulary import Vocabulary

Step = list[Any]
_ENDS_IN_A_MARK: list[Step] = [
    ["strip"],
    ["replace", rf"(?<![{''.join(map(re.escape, QUESTION_MARKS))}])\Z", "?"],
]
STEPS: Mapping[str, list[Step]] = {
    "show_ask_attend_answer": [["lower"], ["replace", r"(?s).\Z", ""], ["split", " "]],
    "karpathy": [
        ["lower"],
        ["replace", f"[{re.escape(string.punctuation)}]", ""],
        ["split", None],
    ],
    "treebank": [
        ["lower"],
        ["replace", r"\A|\Z", " "],
        *(["replace", pattern.pattern, replacement] for pattern, replacement in TREEBANK),
        ["split", None],
    ],
    "basic_vqa": [["lower"], ["find", r"\W+|\w+"]],
    "san": [
        ["lower"],
        ["marks", LISTED.pattern, BESIDE_BLANK.pattern],
        ["replace", FULL_STOP.pattern, ""],
        ["split", None],
        ["map", CONTRACTIONS],
    ],
    "bottom_up": [
        ["lower"],
        ["replace", "[,?]", ""],
        ["replace", "'s", " 's"],
        ["split", None],
    ],
    "openvqa": [
        ["lower"],
        ["replace", "[-/]", " "],
        ["replace", r"""[.,'!?"()*#:;]""", ""],
        ["split", None],
    ],
}
"""By the name of a tokenizer; the others cannot be written as steps."""
SAMPLES = ("what is it", "Is the man's hat red, or blue?", "How many are 1,000 - 2?")
"""Questions whose ids are told too, so that another program can be tried on them."""


def described(vocabulary: Vocabulary, max_length: int | None) -> dict[str, Any]:
    """A vocabulary for other programs: its words, and how a question becomes their ids."""
    about: dict[str, Any] = {
        "words": list(vocabulary.words),
        "pad": vocabulary.pad,
        "unknown": vocabulary.unknown,
        "start": vocabulary.start,
        "end": vocabulary.end,
    }
    if vocabulary.start is not None:  # captions are only written
        return about
    steps = STEPS.get(vocabulary.tokenizer)
    about |= {
        "tokenizer": vocabulary.tokenizer,
        "steps": None if steps is None else [*_ENDS_IN_A_MARK, *steps],
        "max_length": max_length,
    }
    if vocabulary.rules is not None:
        about["tokenizer_json"] = vocabulary.rules
    words = {text: vocabulary.cut(as_question(text))[:max_length] for text in SAMPLES}
    return about | {"samples": {text: vocabulary.encode(cut) for text, cut in words.items()}}
