"""Vocabularies: from sentences to word ids and back, by the tokenizer of the published system.

That of a pretrained language model, such as GPT-2, is not counted in the training split: it comes
whole, with the rules that split words into pieces. Both are one JSON text, `tokenizer.json` of the
`tokenizers` library, which a run folder keeps.
"""

# ruff: noqa: PLC0415 - `tokenizers` is imported where one is read: most runs have none

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter, ValidationError

from saccade.core.errors import BadConfig, BadData
from saccade.core.settings import first_problem
from saccade.text.answers import AnswerList
from saccade.text.tokenizers import FILE, TOKENIZERS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
WHOLE = "tokenizer.json"
PARTS = ("vocab.json", "merges.txt")
"""The same as GPT-2 was published: ids of the pieces, and pairs of them in order of merging."""
END_OF_TEXT = "<|endoftext|>"
PADDING_PIECES = (PAD, "[PAD]", END_OF_TEXT)
"""The first of these that a file has; GPT-2's has none for it, and its end of text is taken."""
UNKNOWN_PIECES = (UNKNOWN, "[UNK]")
"""As above; where pieces go down to bytes, nothing is unknown."""
FILE_HINT = "Give tokenizer.json, or a folder with it or with vocab.json and merges.txt."


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
    """JSON text of a tokenizer that came from a file."""

    def __post_init__(self) -> None:
        specials = (self.pad, self.unknown, self.start, self.end)
        if any(id_ is not None and not 0 <= id_ < len(self.words) for id_ in specials):
            raise BadData("a vocabulary's special id has no word", hint=_HINT)
        if len(set(self.words)) != len(self.words):
            raise BadData("a vocabulary has a word twice", hint=_HINT)
        if (self.rules is None) != (self.tokenizer in TOKENIZERS):
            hint = f"Known are: {', '.join(TOKENIZERS)}. Install the package that has it."
            message = f"a vocabulary was made with the unknown tokenizer {self.tokenizer!r}"
            raise BadData(message, hint=hint)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        special = {self.pad, self.unknown, self.start, self.end}
        return {word: id_ for id_, word in enumerate(self.words) if id_ not in special}

    @cached_property
    def _from_file(self) -> "Tokenizer":
        assert self.rules is not None
        return _parse_tokenizer(self.rules)

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids that are no words of a text: those of padding and unknown words, and marks."""
        added = self._from_file.get_added_tokens_decoder() if self.rules is not None else {}
        marks = {id_ for id_, token in added.items() if token.special}
        own = {self.pad, self.unknown, self.start, self.end}
        return frozenset(id_ for id_ in own | marks if id_ is not None)

    def cut(self, text: str) -> list[str]:
        """The words of a text, as this vocabulary's tokenizer splits it."""
        if self.rules is None:
            return TOKENIZERS[self.tokenizer](text)
        return list(self._from_file.encode(text).tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of words, `unknown` for those that the vocabulary lacks."""
        ids, unknown = self._ids, self.unknown
        return [ids.get(token, unknown) for token in tokens]

    def unknown_words(self, tokens: Iterable[str]) -> list[str]:
        """The words among tokens that the vocabulary lacks, each once; marks are no words."""
        lacking = dict.fromkeys(token for token in tokens if token not in self._ids)
        return [token for token in lacking if any(map(str.isalnum, token))]

    def encode_caption(self, tokens: Iterable[str]) -> list[int]:
        """The ids of a caption between `start` and `end`."""
        if self.start is None or self.end is None:
            raise ValueError("a question vocabulary has no start and end word")
        return [self.start, *self.encode(tokens), self.end]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words up to the first `end`, without `start` and padding.

        Where one id is both start and end, as in self-critical.pytorch, the first one begins.
        """
        words = []
        for place, id_ in enumerate(ids):
            if id_ == self.end and (place > 0 or id_ != self.start):
                break
            if id_ not in (self.pad, self.start):
                words.append(self.words[id_])
        return words


_HINT = "Make it again from the data folder; vocabulary files are not to be edited by hand."


def question_vocabulary(
    counts: Mapping[str, int], *, tokenizer: str, min_count: int = 1, unk_token: bool = False
) -> Vocabulary:
    """The training words, numbered from 1, most frequent first, ties in reverse order of spelling.

    `counts` has each word's number of occurrences in training questions. Id 0 is both padding and
    the unknown word; with `unk_token` the unknown word is id 1 and words begin at 2. Source: the
    published code of Show, Ask, Attend, and Answer.
    """
    special = (PAD, UNKNOWN) if unk_token else (PAD,)
    kept = ((n, word) for word, n in counts.items() if n >= min_count and word not in special)
    words = (word for _, word in sorted(kept, reverse=True))
    return Vocabulary((*special, *words), pad=0, unknown=len(special) - 1, tokenizer=tokenizer)


def file_vocabulary(tokenizer: str) -> Vocabulary:
    """The vocabulary of a pretrained language model: `file:` and a `tokenizer.json`, or a folder
    that has one, or has GPT-2's two files.

    Its words are those of the file, whatever the training questions are. Raises MissingWeights or
    BadConfig where there is no such file, BadData where it is something else.
    """
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    # Imports huggingface_hub, for which a wrong setting should not wait.
    from saccade.core.weights import find_given

    path = find_given(tokenizer.removeprefix(FILE), "words of a language model", WHOLE)
    whole = path / WHOLE if path.is_dir() else path
    parts = [str(path / name) for name in PARTS]
    try:
        if whole.is_file():
            found = _parse_tokenizer(whole.read_text(encoding="utf-8"), whole)
        elif all(Path(part).is_file() for part in parts):
            found = Tokenizer(BPE.from_file(*parts))
            found.pre_tokenizer = ByteLevel(add_prefix_space=False)
            found.decoder = ByteLevelDecoder()
            found.add_special_tokens([END_OF_TEXT])
        else:
            raise BadConfig("there is no tokenizer", location=path, hint=FILE_HINT)
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"unreadable ({error})", location=path, hint=FILE_HINT) from None
    except (BadConfig, BadData):
        raise
    except Exception as error:  # the library raises nothing more special
        raise _no_tokenizer(error, path) from None
    ids = found.get_vocab(with_added_tokens=True)
    pieces = tuple(sorted(ids, key=lambda piece: ids[piece]))
    pad = next((ids[piece] for piece in PADDING_PIECES if piece in ids), None)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise BadData("a tokenizer's ids have gaps", location=path, hint=FILE_HINT)
    if pad is None:
        any_of = ", ".join(PADDING_PIECES)
        message = f"a tokenizer without any of {any_of}, to fill short questions with"
        raise BadData(message, location=path, hint="Add one to its special tokens.")
    unknown = next((ids[piece] for piece in UNKNOWN_PIECES if piece in ids), pad)
    return Vocabulary(pieces, pad, unknown, tokenizer, rules=found.to_str())


def _parse_tokenizer(rules: str, location: Path | None = None) -> "Tokenizer":
    """The tokenizer that a JSON text describes, without padding and truncation. Raises BadData."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(rules)
    except Exception as error:  # the library raises nothing more special
        raise _no_tokenizer(error, location) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _no_tokenizer(error: Exception, location: Path | None) -> BadData:
    message = f"no tokenizer ({str(error).splitlines()[0][:200]})"
    return BadData(message, location=location, hint=FILE_HINT)


def caption_vocabulary(
    counts: Mapping[str, int], *, tokenizer: str = "karpathy", min_count: int = 6
) -> Vocabulary:
    """The training words, numbered from 1 in the order of `counts`, then the special words.

    Words that occur fewer than `min_count` times are unknown words; the published Show, Attend and
    Tell ports keep words that occur more than 5 times. Id 0 is padding.
    """
    special = (PAD, UNKNOWN, START, END)
    kept = (word for word, n in counts.items() if n >= min_count and word not in special)
    words = (PAD, *kept, UNKNOWN, START, END)
    end = len(words) - 1
    return Vocabulary(words, 0, end - 2, tokenizer, start=end - 1, end=end)


@dataclass(frozen=True)
class Words:
    """The vocabulary and the answer list of a run: what turns its ids into text and back."""

    vocabulary: Vocabulary
    answers: AnswerList | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for a run folder."""
        vocabulary, answers = asdict(self.vocabulary), None
        if self.vocabulary.rules is None:
            del vocabulary["rules"]
        if self.answers is not None:
            answers = asdict(self.answers)
        return {"vocabulary": vocabulary, "answers": answers}

    @classmethod
    def from_json(cls, value: object, location: Path) -> Self:
        """Read what `to_json` gave; raises BadData, naming `location`, for anything else."""
        try:  # as text, where a list of the strict reader may become a tuple
            return TypeAdapter(cls).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            message, hint = first_problem(error, "the whole"), _HINT
        except BadData as error:
            message, hint = error.message, error.hint
        raise BadData(message, location=location, hint=hint)
