"""Word vectors from a file, for the word embedding that training begins with."""

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.core.errors import BadConfig, BadData
from saccade.text.vocabulary import Vocabulary

# Files of word vectors as they are published: GloVe and word2vec text, word2vec's binary form.

HINT = (
    "Give GloVe or word2vec text (a word and its numbers on each line, with single blanks between "
    "them) or word2vec's binary form, plain or .gz."
)
FETCH_AGAIN = "The file is not whole; fetch it again."
SHIFTED = (
    "Bytes were lost or added on the way, or vectors are not as long as the first line says: "
    "fetch the file again, in binary mode."
)
BEGINNING = 1 << 16
"""Bytes by which a file is known."""
PIECE = 1 << 20
"""Bytes read at once."""
LONGEST = 1 << 12
"""Bytes that no word is longer than: word2vec.c cuts at 98."""
SAVE_OTHERWISE = (
    "Where it was made write word2vec's form, in gensim: "
    "vectors.save_word2vec_format('vectors.bin', binary=True)."
)
UNPACK = "Unpack it and name the file of vectors that is in it."
STRANGERS: tuple[tuple[bytes, str, str], ...] = (
    (
        (793_712_314).to_bytes(4, "little"),
        "is a model of fastText (.bin), which makes vectors of pieces of words",
        "Give the .vec file that is published beside it, or write one: "
        "fasttext print-word-vectors MODEL.bin < WORDS.txt > vectors.vec.",
    ),
    (b"\x93NUMPY", "is an array of NumPy (.npy): numbers without their words", SAVE_OTHERWISE),
    (b"\x89HDF", "is an HDF5 file", SAVE_OTHERWISE),
    (b"BZh", "is packed by bzip2", UNPACK),
    (b"\xfd7zXZ", "is packed by xz", UNPACK),
    *(
        (
            b"\x80" + bytes([protocol]),
            "is a pickled object, as gensim's own save() writes; pickles can run programs, so "
            "none is opened",
            SAVE_OTHERWISE,
        )
        for protocol in range(2, 6)
    ),
)
"""What else is taken for word vectors: first bytes, what it is, and what to do."""


class Vectors(NamedTuple):
    """What was found of the words that were wanted, and how many words there are in all."""

    found: dict[int, np.ndarray]
    words: int


def read_vectors(path: Path, ids: Mapping[bytes, int], width: int) -> Vectors:
    """The vectors, by id, of the words in `ids`; of a word that stands twice the first one counts.

    Raises BadData, naming the line or the word, for a file that cannot be read, is something else,
    whose vectors are not `width` long, or that ends too early.
    """
    with _opened(path) as stream:
        begin = stream.read(BEGINNING)
    _refuse_strangers(path, begin)
    head, _, rest = begin.partition(b"\n")
    promised = _promise(head)
    with _opened(path) as stream:
        if promised is None:
            return _read_text(path, stream, ids, width, None)
        _check_width(path, promised[1], width)
        stream.readline()
        if _is_binary(rest, width):
            return _read_binary(path, stream, ids, width, promised[0])
        return _read_text(path, stream, ids, width, promised[0])


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    """The bytes of a file, unpacked. Raises BadData where it cannot be read."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield stream
    except FileNotFoundError:
        hint = "text.vectors names a file of word vectors; none begins with the model's own."
        raise BadData("no such file", location=path, hint=hint) from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"cannot be read ({error})", location=path, hint=HINT) from None


def _refuse_strangers(path: Path, begin: bytes) -> None:
    for magic, message, hint in STRANGERS:
        if begin.startswith(magic):
            raise BadData(message, location=path, hint=hint)
    if begin.startswith(b"PK\x03\x04"):
        member = begin[30 : 30 + int.from_bytes(begin[26:28], "little")].decode(errors="replace")
        message = f"is a zip archive, the first file in it is {member!r}"
        arrays = member.endswith((".npy", ".pkl"))  # NumPy's .npz, PyTorch's .pt
        raise BadData(message, location=path, hint=SAVE_OTHERWISE if arrays else UNPACK)


def _promise(head: bytes) -> tuple[int, int] | None:
    """How many words and numbers a first line says there are; None if it is a word's own."""
    match = re.fullmatch(rb"(\d{1,15}) (\d{1,15})[ \r]*", head)
    return (int(match[1]), int(match[2])) if match else None


def _is_binary(rest: bytes, width: int) -> bool:
    """If what follows word2vec's first line are the bytes of numbers, not their digits.

    Text is known by its first line, or else by what is no text in the bytes of the first vector.
    """
    vector = rest.partition(b" ")[2]
    line = vector.partition(b"\n")[0].rstrip(b" \r")
    if re.fullmatch(rb"[-+.\deE ]+", line) and line.count(b" ") == width - 1:
        return False
    some = vector[: 4 * width]
    return not _is_utf8(some) or re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", some) is not None


def _is_utf8(text: bytes) -> bool:
    """If it is UTF-8, even if the last letter is cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def _check_width(path: Path, held: int, width: int) -> None:
    if held < 2 <= width:
        raise BadData("line 1 is not a word and its numbers", location=path, hint=HINT)
    if held != width:
        raise BadData(
            f"has vectors of {held} numbers, the model's words have {width}",
            location=path,
            hint="Choose another file, or make the model's words as wide: "
            f"model.embedding={held} (model.width in a Transformer).",
        )


def _read_text(
    path: Path, stream: BufferedIOBase, ids: Mapping[bytes, int], width: int, promised: int | None
) -> Vectors:
    found: dict[int, np.ndarray] = {}
    words = 0
    for number, line in enumerate(stream, start=1 if promised is None else 2):
        whole = line.rstrip(b" \r\n")
        if not whole:
            continue
        word, _, rest = whole.partition(b" ")
        held = rest.count(b" ") + 1 if rest else 0
        if number == 1:
            _check_width(path, held, width)
        words += 1
        if held < width:
            message = f"line {number:,} has {held} numbers, others have {width}"
            raise BadData(message, location=path, hint=f"Is the file whole? {HINT}")
        try:
            word.decode()
        except UnicodeDecodeError:
            message = f"line {number:,} begins with a word that is not UTF-8"
            raise BadData(message, location=path, hint=HINT) from None
        id_ = ids.get(word)
        # Held too much: a word that has blanks itself, as some have in GloVe's largest file.
        if id_ is not None and id_ not in found and held == width:
            found[id_] = _numbers(path, number, rest)
    if promised not in (None, words):
        message = f"has {words:,} words, its first line promises {promised:,}"
        raise BadData(message, location=path, hint=FETCH_AGAIN)
    return Vectors(found, words)


def _numbers(path: Path, number: int, text: bytes) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split(b" ")], np.float32)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise BadData(f"line {number:,} has something else than numbers", location=path, hint=HINT)
    return values


def _read_binary(
    path: Path, stream: BufferedIOBase, ids: Mapping[bytes, int], width: int, count: int
) -> Vectors:
    found: dict[int, np.ndarray] = {}
    some, at, size = b"", 0, 4 * width  # the bytes at hand, a place in them, a vector's bytes
    for number in range(1, count + 1):
        blank = some.find(b" ", at)
        if blank < 0 or len(some) < blank + 1 + size:
            some, at = some[at:] + stream.read(PIECE + LONGEST + size), 0
            blank = some.find(b" ")
        if blank < 0 or blank - at > LONGEST or len(some) < blank + 1 + size:
            raise _no_word(path, some[at:], number, count)
        word = some[at:blank].removeprefix(b"\n")
        at = blank + 1 + size
        if not word.isascii() and not _is_utf8(word):  # word2vec.c cuts long ones within a letter
            message = f"word {number:,} of {count:,} is not UTF-8"
            raise BadData(message, location=path, hint=SHIFTED)
        id_ = ids.get(word)
        if id_ is not None and id_ not in found:
            values = np.frombuffer(some, "<f4", width, blank + 1)
            if not np.isfinite(values).all():
                message = f"the vector of word {number:,} has something else than numbers"
                raise BadData(message, location=path, hint=FETCH_AGAIN)
            found[id_] = values.astype(np.float32)  # a copy, or it would keep the whole piece
    if (some[at:] + stream.read(PIECE)).strip():
        message = f"goes on after the {count:,} words that its first line promises"
        raise BadData(message, location=path, hint=SHIFTED)
    return Vectors(found, count)


def _no_word(path: Path, rest: bytes, number: int, count: int) -> BadData:
    """What is wrong where the next bytes are no word with a blank and a vector behind it."""
    if not rest.strip():
        message = f"has {number - 1:,} words, its first line promises {count:,}"
        return BadData(message, location=path, hint=FETCH_AGAIN)
    if len(rest.partition(b" ")[0]) > LONGEST:
        message = f"word {number:,} of {count:,} has no blank behind it"
        return BadData(message, location=path, hint=SHIFTED)
    return BadData(f"ends within word {number:,} of {count:,}", location=path, hint=FETCH_AGAIN)


class WordVectors(NamedTuple):
    """The vectors of those of a vocabulary's words that a file has."""

    ids: np.ndarray  # (n,) int64
    values: np.ndarray  # (n, width) float32
    wanted: int
    """So many words the vocabulary has, special ones not counted."""


def read_word_vectors(path: Path, vocabulary: Vocabulary, width: int) -> WordVectors:
    """Read the vectors of a vocabulary's words; of a word that stands twice the first one counts.

    Special words (padding, unknown, start, end) have none. Raises BadData, naming the line or the
    word, for a file that cannot be read, whose vectors are not `width` long, or that ends too
    early, and for one that has none of the words.
    """
    special = {vocabulary.pad, vocabulary.unknown, vocabulary.start, vocabulary.end}
    ids = {word.encode(): id_ for id_, word in enumerate(vocabulary.words) if id_ not in special}
    found, words = read_vectors(path, ids, width)
    if not words:
        raise BadData("is empty", location=path, hint=HINT)
    if not found:
        message = f"none of its {words:,} words is one of the vocabulary's {len(ids):,}"
        raise BadData(message, location=path, hint="Choose word vectors of the data's language.")
    return WordVectors(np.array(list(found), np.int64), np.stack(list(found.values())), len(ids))


@torch.no_grad()
def initialise_embedding(
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
            hint="Set text.vectors=none.",
        )
    vectors = read_word_vectors(path, vocabulary, embed.embedding_dim)
    weight = embed.weight
    if missing == "zero":
        weight.zero_()
    weight[torch.from_numpy(vectors.ids)] = torch.from_numpy(vectors.values).to(weight)
    return f"{len(vectors.ids):,} of {vectors.wanted:,} words have a vector in {path.name}."
