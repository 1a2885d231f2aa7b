"""Word vectors from published files (GloVe, word2vec), as the initial word embedding of a model.

Read are GloVe's and word2vec's text and word2vec's binary form, plain or packed by gzip.
"""

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

HINT = (
    "Give GloVe or word2vec text (a word and its numbers on each line, with single blanks between "
    "them) or word2vec's binary form, plain or .gz."
)
FETCH_AGAIN = "The file is not whole; fetch it again."
SHIFTED = (
    "Bytes were lost or added on the way, or vectors are not as long as the first line says: "
    "fetch the file again, in binary mode."
)
HEAD = 1 << 16
"""Bytes by which a file's format is recognised."""
CHUNK = 1 << 20
"""Bytes read at once."""
MAX_WORD = 1 << 12
"""Bytes of the longest word: word2vec.c cuts at 98."""
SAVE_OTHERWISE = (
    "Where it was made write word2vec's form, in gensim: "
    "vectors.save_word2vec_format('vectors.bin', binary=True)."
)
UNPACK = "Unpack it and name the file of vectors that is in it."
OTHER_FORMATS: tuple[tuple[bytes | tuple[bytes, ...], str, str], ...] = (
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
    (
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "is a pickled object, as gensim's own save() writes; pickles can run programs, so none is "
        "opened",
        SAVE_OTHERWISE,
    ),
)
"""Files that are mistaken for word vectors: first bytes, message, hint."""


class WordVectors(NamedTuple):
    """The vectors of those words of a vocabulary that a file has."""

    ids: np.ndarray  # (n,) int64
    values: np.ndarray  # (n, width) float32
    wanted: int
    """Number of the vocabulary's words, without special ones."""
    note: str = ""
    """What the user should know of the file."""


def read_word_vectors(path: Path, vocabulary: Vocabulary, width: int) -> WordVectors:
    """Read the vectors of a vocabulary's words; of a word that stands twice the first one counts.

    Special words (padding, unknown, start, end) have none. Raises BadData, naming the line or the
    word, for a file that cannot be read, is something else, whose vectors are not `width` long, or
    that ends within a word, and for one that has none of the words. One that ends behind a whole
    word, and earlier than its first line says, is noted.
    """
    special = {vocabulary.pad, vocabulary.unknown, vocabulary.start, vocabulary.end}
    ids = {word.encode(): id_ for id_, word in enumerate(vocabulary.words) if id_ not in special}
    with _opened(path) as stream:
        head = stream.read(HEAD)
    for magic, message, hint in OTHER_FORMATS:
        if head.startswith(magic):
            raise _bad(path, message, hint)
    if head.startswith(b"PK\x03\x04"):
        member = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode(errors="replace")
        arrays = member.endswith((".npy", ".pkl"))  # NumPy's .npz, PyTorch's .pt
        message = f"is a zip archive, the first file in it is {member!r}"
        raise _bad(path, message, SAVE_OTHERWISE if arrays else UNPACK)
    line, _, rest = head.partition(b"\n")
    # word2vec's first line: how many words and numbers there are. GloVe's is a word's own.
    sizes = re.fullmatch(rb"(\d{1,15}) (\d{1,15})[ \r]*", line)
    with _opened(path) as stream:
        if sizes is None:
            found, words = _read_text(path, stream, ids, width, None)
        else:
            _check_width(path, int(sizes[2]), width)
            stream.readline()
            read = _read_binary if _is_binary(rest, width) else _read_text
            found, words = read(path, stream, ids, width, int(sizes[1]))
    if not words:
        raise _bad(path, "is empty")
    note, promised = "", words if sizes is None else int(sizes[1])
    if promised != words:  # gensim counts a word twice that its own source had twice
        note = (
            f" It holds {words:,} words and its first line promises {promised:,}, as gensim writes "
            "where words stood twice in its source."
        )
    if not found:
        message = f"none of its {words:,} words is one of the vocabulary's {len(ids):,}"
        raise _bad(path, message, "Choose word vectors of the data's language.")
    return WordVectors(
        np.array(list(found), np.int64), np.stack(list(found.values())), len(ids), note
    )


Found = tuple[dict[int, np.ndarray], int]
"""The vectors found, by word id, and the number of words in the file."""


def _bad(path: Path, message: str, hint: str = HINT) -> BadData:
    return BadData(message, location=path, hint=hint)


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    """The bytes of a file, unpacked. Raises BadData where it cannot be read."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield stream
    except FileNotFoundError:
        hint = "text.vectors names a file of word vectors; none keeps the model's own."
        raise _bad(path, "no such file", hint) from None
    except (OSError, EOFError, zlib.error) as error:
        raise _bad(path, f"cannot be read ({error})") from None


def _is_binary(rest: bytes, width: int) -> bool:
    """If float32 numbers stand behind word2vec's first line: bytes that are no text tell it."""
    vector = rest.partition(b" ")[2]
    line = vector.partition(b"\n")[0].rstrip(b" \r")
    if re.fullmatch(rb"[-+.\deE ]+", line) and line.count(b" ") == width - 1:
        return False
    some = vector[: 4 * width]
    return not _is_utf8(some) or re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", some) is not None


def _is_utf8(text: bytes) -> bool:
    """If bytes are UTF-8, even if the last letter is cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def _check_width(path: Path, held: int, width: int) -> None:
    if held < 2 <= width:
        raise _bad(path, "line 1 is not a word and its numbers")
    if held != width:
        hint = (
            "Choose another file, or make the model's words as wide: "
            f"model.embedding={held} (model.width in a Transformer)."
        )
        raise _bad(path, f"has vectors of {held} numbers, the model's words have {width}", hint)


def _read_text(
    path: Path, stream: BufferedIOBase, ids: Mapping[bytes, int], width: int, count: int | None
) -> Found:
    found: dict[int, np.ndarray] = {}
    words, line = 0, b""
    for number, line in enumerate(stream, start=1 if count is None else 2):
        stripped = line.rstrip(b" \r\n")
        if not stripped:
            continue
        word, _, rest = stripped.partition(b" ")
        held = rest.count(b" ") + 1 if rest else 0
        if number == 1:
            _check_width(path, held, width)
        words += 1
        if held < width:
            message = f"line {number:,} has {held} numbers, others have {width}"
            raise _bad(path, message, f"Is the file whole? {HINT}")
        try:
            word.decode()
        except UnicodeDecodeError:
            raise _bad(path, f"line {number:,} begins with a word that is not UTF-8") from None
        id_ = ids.get(word)
        # Too many numbers: a word with blanks in it, as some have in GloVe's largest file.
        if id_ is not None and id_ not in found and held == width:
            found[id_] = _numbers(path, number, rest)
    if count is not None and (words > count or (words < count and not line.endswith(b"\n"))):
        message = f"has {words:,} words, its first line promises {count:,}"
        message += ", and its last line has no end" if words < count else ""
        raise _bad(path, message, FETCH_AGAIN)
    return found, words


def _numbers(path: Path, number: int, text: bytes) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split(b" ")], np.float32)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise _bad(path, f"line {number:,} has something else than numbers")
    return values


def _read_binary(
    path: Path, stream: BufferedIOBase, ids: Mapping[bytes, int], width: int, count: int
) -> Found:
    found: dict[int, np.ndarray] = {}
    chunk, at, size = b"", 0, 4 * width  # bytes read, a place in them, bytes of a vector
    for number in range(1, count + 1):
        blank = chunk.find(b" ", at)
        if blank < 0 or len(chunk) < blank + 1 + size:
            chunk, at = chunk[at:] + stream.read(CHUNK + MAX_WORD + size), 0
            blank = chunk.find(b" ")
        if blank < 0 or blank - at > MAX_WORD or len(chunk) < blank + 1 + size:
            rest = chunk[at:]
            if not rest.strip():
                return found, number - 1
            if len(rest.partition(b" ")[0]) > MAX_WORD:
                raise _bad(path, f"word {number:,} of {count:,} has no blank behind it", SHIFTED)
            raise _bad(path, f"ends within word {number:,} of {count:,}", FETCH_AGAIN)
        word = chunk[at:blank].removeprefix(b"\n")
        at = blank + 1 + size
        if not word.isascii() and not _is_utf8(word):  # word2vec.c cuts long ones within a letter
            raise _bad(path, f"word {number:,} of {count:,} is not UTF-8", SHIFTED)
        id_ = ids.get(word)
        if id_ is not None and id_ not in found:
            values = np.frombuffer(chunk, "<f4", width, blank + 1)
            if not np.isfinite(values).all():
                message = f"the vector of word {number:,} has something else than numbers"
                raise _bad(path, message, FETCH_AGAIN)
            found[id_] = values.astype(np.float32)  # a copy, or it would keep the whole chunk
    if (chunk[at:] + stream.read(CHUNK)).strip():
        raise _bad(path, f"goes on after the {count:,} words its first line promises", SHIFTED)
    return found, count


@torch.no_grad()
def initialise_embedding(
    model: nn.Module, path: Path, vocabulary: Vocabulary, missing: str = "random"
) -> str:
    """Copy the vectors of a file into a model's word embedding, `model.embed`; returns a note.

    Words without one keep the model's initial values, or become zeros if `missing` is "zero".
    Raises BadConfig for a model without a word embedding, BadData as `read_word_vectors`.
    """
    embed = getattr(model, "embed", None)
    if not isinstance(embed, nn.Embedding | nn.EmbeddingBag):
        message = f"{type(model).__name__} has no word embedding that vectors could be put into"
        raise BadConfig(message, hint="Set text.vectors=none.")
    vectors = read_word_vectors(path, vocabulary, embed.embedding_dim)
    weight = embed.weight
    if missing == "zero":
        weight.zero_()
    weight[torch.from_numpy(vectors.ids)] = torch.from_numpy(vectors.values).to(weight)
    found = f"{len(vectors.ids):,} of {vectors.wanted:,} words"
    return f"{found} have a vector in {path.name}.{vectors.note}"
