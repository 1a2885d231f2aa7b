"""Word vectors from a file, for the word embedding that training begins with."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.core.errors import BadConfig, BadData
from saccade.data.word_vector_files import CURE, read_vectors
from saccade.text.vocabulary import Vocabulary


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
        raise BadData("is empty", where=path, cure=CURE)
    if not found:
        what = f"none of its {words:,} words is one of the vocabulary's {len(ids):,}"
        raise BadData(what, where=path, cure="Choose word vectors of the data's language.")
    return WordVectors(np.array(list(found), np.int64), np.stack(list(found.values())), len(ids))


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
