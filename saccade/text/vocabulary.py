"""From sentences to word ids and back: tokenizers as published, and the vocabulary.

Every published system cuts sentences in its own way; a vocabulary remembers which way was its own.
"""

import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from saccade.core.errors import BadData
from saccade.core.weights import find_given
from saccade.text.answers import CONTRACTIONS, AnswerList, normalise_punctuation
from saccade.text.segmentation import QUESTION_MARKS, has_no_blanks, words_of_any_script
from saccade.text.subwords import WHOLE, cutter_of, read_subwords

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def caption_words(text: str) -> tuple[str, ...]:
    """Cut a caption into lower-case words without ASCII punctuation.

    The form in which the Karpathy files hold COCO, Flickr8k and Flickr30k captions. A caption in
    Han, Kana or Hangul, which blanks do not cut, is cut as tokenizer "multilingual" does.
    """
    if has_no_blanks(text):
        return tuple(words_of_any_script(text))
    return tuple(text.lower().translate(_NO_PUNCTUATION).split())


def as_question(text: str) -> str:
    """Write a question as the released VQA files do: no blanks around it, "?" at its end.

    Tokenizers may count on the last character being a question mark, and cut it off.
    """
    text = text.strip()
    return text if text.endswith(QUESTION_MARKS) else f"{text}?"


def _show_ask_attend_answer(text: str) -> list[str]:
    """Lower-case, drop the last character whatever it is, cut at every single blank.

    So commas stay glued to words, and two blanks in a row give an empty word, as in the
    published code of Show, Ask, Attend, and Answer (Kazemi & Elqursh 2017).
    """
    return text.lower()[:-1].split(" ")


def _treebank(text: str) -> list[str]:
    """Lower-case; split off punctuation, and what hangs on an apostrophe, as the Penn Treebank.

    Marks of numbers, abbreviations and hyphens stay; a full stop is split off at the end only.
    """
    text = f" {text.lower()} "
    for pattern, replacement in _TREEBANK:
        text = pattern.sub(replacement, text)
    return text.split()


_TREEBANK = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'(?<=[ (\[{<])"', " `` "),
        (r'"', " '' "),
        (r"[;@#$%&?!*()\[\]{}<>]|--|\.\.+|[:,](?!\d)", r" \g<0> "),
        (r"(?<=[^. ])\.(?=[\s')\]}>]*$)", " . "),
        (r"(?<= )'(?!(?:re|ve|ll|[mtsdn])\b)(?=\w)", "' "),
        (r"(?<=[^' ])'(?= )", " ' "),
        (r"(?<=[^' ])(?:n't|'(?:[smd]|ll|re|ve))(?= )", r" \g<0> "),
        (r"\b(can)(not)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b", r"\1\3\5 \2\4\6"),
        (r"\b(gim|lem)(me)\b|\b(d)('ye)\b|\b(more)('n)\b", r"\1\3\5 \2\4\6"),
    )
]


def _basic_vqa(text: str) -> list[str]:
    """Lower-case, cut wherever something else than a word begins, keep what was in between."""
    pieces = (piece.strip() for piece in re.split(r"(\W+)", text.lower()))
    return [piece for piece in pieces if piece]


def _san(text: str) -> list[str]:
    """The official answer normaliser's punctuation and apostrophes on lower-case words."""
    words = normalise_punctuation(text.lower()).split()
    return [CONTRACTIONS.get(word, word) for word in words]


def _bottom_up(text: str) -> list[str]:
    """Lower-case without commas and question marks; "'s" is a word."""
    return text.lower().replace(",", "").replace("?", "").replace("'s", " 's").split()


_OPENVQA = str.maketrans("-/", "  ", ".,'!?\"()*#:;")

TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "show_ask_attend_answer": _show_ask_attend_answer,
    "karpathy": lambda text: list(caption_words(text)),
    "treebank": _treebank,
    "basic_vqa": _basic_vqa,
    "san": _san,
    "bottom_up": _bottom_up,
    "openvqa": lambda text: text.lower().translate(_OPENVQA).split(),
    "multilingual": words_of_any_script,  # Chinese, Japanese, Korean, and every script with blanks
}


FILE = "file:"
"""Before the path of a pretrained language model's tokenizer, in place of a tokenizer's name."""


@dataclass(frozen=True)
class Vocabulary:
    """All words that a model knows; a word's id is its place in `words`.

    `pad` fills short rows of a batch and `unknown` stands for every other word (they may be one
    id). Captions also have `start` and `end`. Words that spell a special word of ours, such as
    "<start>", are unknown words. Raises BadData when a word stands twice or an id has no word.
    """

    words: tuple[str, ...]
    pad: int
    unknown: int
    tokenizer: str
    start: int | None = None
    end: int | None = None
    rules: str | None = None
    """How text is cut where the tokenizer came from a file; see `subwords`."""

    def __post_init__(self) -> None:
        specials = (self.pad, self.unknown, self.start, self.end)
        if any(id_ is not None and not 0 <= id_ < len(self.words) for id_ in specials):
            raise BadData("a vocabulary's special id has no word", hint=_HINT)
        if len(set(self.words)) != len(self.words):
            raise BadData("a vocabulary has a word twice", hint=_HINT)
        if (self.rules is None) != (self.tokenizer in TOKENIZERS):
            raise BadData(
                f"a vocabulary was made with the unknown tokenizer {self.tokenizer!r}",
                hint=f"Known are: {', '.join(TOKENIZERS)}.",
            )

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        special = {self.pad, self.unknown, self.start, self.end}
        return {word: id_ for id_, word in enumerate(self.words) if id_ not in special}

    @cached_property
    def _cutter(self) -> Any:
        assert self.rules is not None
        return cutter_of(self.rules)

    def cut(self, text: str) -> list[str]:
        """Cut text into the vocabulary's own kind of words."""
        if self.rules is None:
            return TOKENIZERS[self.tokenizer](text)
        return list(self._cutter.encode(text).tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Give the ids of words, `unknown` for those that the vocabulary lacks."""
        ids, unknown = self._ids, self.unknown
        return [ids.get(token, unknown) for token in tokens]

    def encode_caption(self, tokens: Iterable[str]) -> list[int]:
        """Give the ids of a caption between `start` and `end`."""
        if self.start is None or self.end is None:
            raise ValueError("a question vocabulary has no start and end word")
        return [self.start, *self.encode(tokens), self.end]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Give back the words up to the first `end`, without `start` and padding.

        Where one id is both start and end, as in self-critical.pytorch, the first one begins.
        """
        words = []
        for place, id_ in enumerate(ids):
            if id_ == self.end and (place > 0 or id_ != self.start):
                break
            if id_ not in (self.pad, self.start):
                words.append(self.words[id_])
        return words

    def to_json(self) -> dict[str, Any]:
        """Turn into plain lists and numbers, for a run folder."""
        return {
            "tokenizer": self.tokenizer,
            "pad": self.pad,
            "unknown": self.unknown,
            "start": self.start,
            "end": self.end,
            "words": list(self.words),
            **({} if self.rules is None else {"rules": self.rules}),
        }

    @classmethod
    def from_json(cls, value: object, location: str | Path | None = None) -> Self:
        """Take back what `to_json` gave; raises BadData, naming `where`, if it is anything else."""
        match value:
            case {
                "tokenizer": str(tokenizer),
                "pad": int(pad),
                "unknown": int(unknown),
                "start": int() | None as start,
                "end": int() | None as end,
                "words": [*words],
                **others,
            } if all(isinstance(word, str) for word in words):
                rules = str(others["rules"]) if "rules" in others else None
                try:
                    return cls(tuple(words), pad, unknown, tokenizer, start, end, rules)
                except BadData as error:
                    raise BadData(error.message, location=location, hint=error.hint) from None
        raise BadData("this is not a vocabulary", location=location, hint=_HINT)


_HINT = "Make it again from the data folder; vocabulary files are not to be edited by hand."


def question_vocabulary(
    counts: Mapping[str, int], *, tokenizer: str, min_count: int = 1, unk_token: bool = False
) -> Vocabulary:
    """Number the training words from 1, most frequent first, ties in reverse order of spelling.

    Id 0 is both padding and the unknown word; with `unk_token` that is id 1 and words begin
    at 2. Source: the published code of Show, Ask, Attend, and Answer. `counts` gives each word's
    number of occurrences in training questions.
    """
    special = (PAD, UNKNOWN) if unk_token else (PAD,)
    kept = ((n, word) for word, n in counts.items() if n >= min_count and word not in special)
    words = (word for _, word in sorted(kept, reverse=True))
    return Vocabulary((*special, *words), pad=0, unknown=len(special) - 1, tokenizer=tokenizer)


def file_vocabulary(tokenizer: str) -> Vocabulary:
    """The vocabulary of a pretrained language model: `file:` and a path, see `read_subwords`.

    Its words are those of the file, whatever the training questions are. Raises BadConfig, BadData.
    """
    named = tokenizer.removeprefix(FILE)
    found = read_subwords(find_given(named, "words of a language model", WHOLE))
    return Vocabulary(found.pieces, found.pad, found.unknown, tokenizer, rules=found.rules)


def caption_vocabulary(
    counts: Mapping[str, int], *, tokenizer: str = "karpathy", min_count: int = 6
) -> Vocabulary:
    """Number the training words from 1 in the order of `counts`, then the special words.

    Words seen fewer than `min_count` times are unknown words; the published Show, Attend and Tell
    ports keep words seen more than 5 times. Id 0 is padding.
    """
    special: Sequence[str] = (UNKNOWN, START, END)
    words = [w for w, n in counts.items() if n >= min_count and w not in (PAD, *special)]
    first = len(words) + 1
    return Vocabulary(
        (PAD, *words, *special),
        pad=0,
        unknown=first,
        start=first + 1,
        end=first + 2,
        tokenizer=tokenizer,
    )


@dataclass(frozen=True)
class Words:
    """What turns a run's ids into text and back: alone it re-creates every sentence."""

    vocabulary: Vocabulary
    answers: AnswerList | None = None
