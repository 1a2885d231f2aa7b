"""Word vectors from a file, for the word embedding that training begins with.

GloVe text has a line for each word, the word and its numbers; word2vec text has one line more, in
front, that says how many words and numbers there are. Files of millions of words are read line by
line; only the lines of words that the vocabulary has are turned into numbers.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.errors import BadConfig, BadData
from saccade.text import Vocabulary

_CURE = (
    "Give GloVe or word2vec text, plain or .gz: a word and its numbers on each line, with single "
    "blanks between them."
)


class WordVectors(NamedTuple):
    """The vectors of those of a vocabulary's words that a file has."""

    ids: np.ndarray  # (n,) int64
    values: np.ndarray  # (n, width) float32
    wanted: int
    """So many words the vocabulary has, special ones not counted."""


def read_word_vectors(path: Path, vocabulary: Vocabulary, width: int) -> WordVectors:
    """Read the vectors of a vocabulary's words; of a word that stands twice the first one counts.

    Special words (padding, unknown, start, end) have none. Raises BadData, naming the line, for a
    file that cannot be read, whose vectors are not `width` long, or that ends too early.
    """
    special = {vocabulary.pad, vocabulary.unknown, vocabulary.start, vocabulary.end}
    ids = {word.encode(): id_ for id_, word in enumerate(vocabulary.words) if id_ not in special}
    found: dict[int, np.ndarray] = {}
    promised, words = None, 0
    for number, line in _lines(path):
        word, _, rest = line.partition(b" ")
        held = rest.count(b" ") + 1 if rest else 0
        if number == 1:
            if held == 1 and word.isdigit() and rest.isdigit():  # word2vec: how many, how long
                promised = int(word)
                _check_width(path, int(rest), width)
                continue
            _check_width(path, held, width)
        words += 1
        if held < width:
            what = f"line {number:,} has {held} numbers, others have {width}"
            raise BadData(what, where=path, cure=f"Is the file whole? {_CURE}")
        try:
            word.decode()
        except UnicodeDecodeError:
            what = f"line {number:,} begins with a word that is not UTF-8"
            raise BadData(what, where=path, cure=_CURE) from None
        id_ = ids.get(word)
        # Held too much: a word that has blanks itself, as some have in GloVe's largest file.
        if id_ is not None and id_ not in found and held == width:
            found[id_] = _numbers(path, number, rest)
    if promised not in (None, words):
        what = f"has {words:,} words, its first line promises {promised:,}"
        raise BadData(what, where=path, cure="The file is not whole; fetch it again.")
    if not words:
        raise BadData("is empty", where=path, cure=_CURE)
    if not found:
        what = f"none of its {words:,} words is one of the vocabulary's {len(ids):,}"
        raise BadData(what, where=path, cure="Choose word vectors of the data's language.")
    return WordVectors(np.array(list(found), np.int64), np.stack(list(found.values())), len(ids))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, counted from 1, without what ends them; empty ones are left out.

    Raises BadData where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if whole := line.rstrip(b" \r\n"):
                    yield number, whole
    except FileNotFoundError:
        cure = "text.vectors names a file of word vectors; none begins with the model's own."
        raise BadData("no such file", where=path, cure=cure) from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"cannot be read ({error})", where=path, cure=_CURE) from None


def _check_width(path: Path, held: int, width: int) -> None:
    if held < 2 <= width:
        raise BadData("line 1 is not a word and its numbers", where=path, cure=_CURE)
    if held != width:
        raise BadData(
            f"has vectors of {held} numbers, the model's words have {width}",
            where=path,
            cure="Choose another file, or make the model's words as wide: "
            f"model.embedding={held} (model.width in a Transformer).",
        )


def _numbers(path: Path, number: int, text: bytes) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split(b" ")], np.float32)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise BadData(f"line {number:,} has something else than numbers", where=path, cure=_CURE)
    return values


@torch.no_grad()
def begin_with_vectors(
    model: nn.Module, path: Path, vocabulary: Vocabulary, missing: str = "random"
) -> str:
    """Put the vectors of a file into a model's word embedding, `model.embed`, and say how many.

    Words without one keep what the model gave them, or become zeros where `missing` is "zero".
    Raises BadConfig for a model without a word embedding, BadData as `read_word_vectors`.
    """
    embed = getattr(model, "embed", None)
    if not isinstance(embed, nn.Embedding | nn.EmbeddingBag):
        raise BadConfig(
            f"{type(model).__name__} has no word embedding that vectors could be put into",
            cure="Set text.vectors=none.",
        )
    vectors = read_word_vectors(path, vocabulary, embed.embedding_dim)
    weight = embed.weight
    if missing == "zero":
        weight.zero_()
    weight[torch.from_numpy(vectors.ids)] = torch.from_numpy(vectors.values).to(weight)
    return f"{len(vectors.ids):,} of {vectors.wanted:,} words have a vector in {path.name}."
