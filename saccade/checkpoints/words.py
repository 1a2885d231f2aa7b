"""The words and answers that stand beside a checkpoint, or in it: from files to `Vocabulary`.

Published programs keep them as JSON or as pickles; both are read here, the latter by the machine
that runs nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.checkpoints.torch_files import read_checkpoint
from saccade.core.errors import BadCheckpoint, BadData
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import PAD, Vocabulary


def read_file(path: Path) -> Any:
    """What a file of words holds, be it JSON or a pickle. Raises BadCheckpoint."""
    if path.suffix != ".json":
        return read_checkpoint(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadCheckpoint("no such file", where=path, cure="Check the name.") from None
    except (OSError, ValueError, RecursionError) as error:
        cure = "Give the file that the checkpoint's own program wrote."
        raise BadCheckpoint(f"not JSON ({error})", where=path, cure=cure) from None


def beside(
    checkpoint: Path, given: Path | None, found: Sequence[Path], looked_for: str, what: str
) -> Path:
    """The file that was given, or the only one `found` beside the checkpoint.

    Raises BadCheckpoint where there is none, or more than one.
    """
    if given is not None:
        return given
    if len(found) == 1:
        return found[0]
    there = f"{len(found)} files {looked_for}" if found else f"no {looked_for}"
    raise BadCheckpoint(
        f"it holds no {what}, and beside it there {'are' if found else 'is'} {there}",
        where=checkpoint,
        cure=f"Give the file with --{what} FILE.",
    )


def caption_words(word_map: object, where: Path) -> Vocabulary:
    """A WORDMAP of the PyTorch tutorial: {word: id}, with the special words among them."""
    words = in_order(word_map, where)
    special = {
        name: words.index(name) for name in (PAD, "<unk>", "<start>", "<end>") if name in words
    }
    if len(special) < 4:
        lacking = sorted({PAD, "<unk>", "<start>", "<end>"} - special.keys())
        raise _no_words(where, f"it lacks {', '.join(lacking)}")
    return Vocabulary(
        tuple(words),
        pad=special[PAD],
        unknown=special["<unk>"],
        tokenizer="karpathy",
        start=special["<start>"],
        end=special["<end>"],
    )


def one_end_words(ix_to_word: object, where: Path) -> Vocabulary:
    """{"1": word, ...} of self-critical.pytorch, where id 0 begins, ends and fills captions."""
    if not isinstance(ix_to_word, dict) or not ix_to_word:
        raise _no_words(where, "it is no map from ids to words")
    try:
        turned = {str(word): int(id_) for id_, word in ix_to_word.items()}
    except (TypeError, ValueError):
        raise _no_words(where, "an id is no number") from None
    words = in_order({"<end>": 0, **turned}, where)
    unknown = words.index("UNK") if "UNK" in words else 0
    return Vocabulary(tuple(words), pad=0, unknown=unknown, tokenizer="karpathy", start=0, end=0)


def question_words(token_to_id: object, tokenizer: str, where: Path) -> Vocabulary:
    """{token: id from 1 on}; id 0 is padding and every unknown word."""
    if not isinstance(token_to_id, dict):
        raise _no_words(where, "it is no map from words to ids")
    words = in_order({PAD: 0, **token_to_id}, where)
    return Vocabulary(tuple(words), pad=0, unknown=0, tokenizer=tokenizer)


def answers_of(labels: object, normaliser: str, where: Path) -> AnswerList:
    """A list of answers, or {answer: id}. Raises BadCheckpoint."""
    given = in_order(labels, where) if isinstance(labels, dict) else labels
    if not isinstance(given, list) or not all(isinstance(answer, str) for answer in given):
        raise BadCheckpoint("this is no list of answers", where=where, cure=_CURE)
    try:
        return AnswerList(tuple(given), normaliser)
    except BadData as error:
        raise BadCheckpoint(error.what, where=where, cure=_CURE) from None


def in_order(ids: object, where: Path) -> list[str]:
    """The words of {word: id} by their ids, which must be 0, 1, 2, ... Raises BadCheckpoint."""
    if not isinstance(ids, Mapping) or not all(
        isinstance(word, str) and isinstance(id_, int) for word, id_ in ids.items()
    ):
        raise _no_words(where, "it is no map from words to ids")
    ordered = sorted(ids, key=ids.__getitem__)
    if sorted(ids.values()) != list(range(len(ids))):
        raise _no_words(where, f"its {len(ids)} ids are not 0 to {len(ids) - 1}")
    return ordered


def check_sizes(what: str, found: int, wanted: int, where: Path) -> None:
    """The words of a file must be as many as the checkpoint's rows. Raises BadCheckpoint."""
    if found != wanted:
        raise BadCheckpoint(
            f"{found} {what}, but the checkpoint was trained with {wanted}",
            where=where,
            cure="Give the file that was written for this checkpoint.",
        )


_CURE = "Give the file that the checkpoint's own program wrote."


def _no_words(where: Path, why: str) -> BadCheckpoint:
    return BadCheckpoint(f"this is no vocabulary of that program: {why}", where=where, cure=_CURE)
