"""WUPS: the similarity of predicted and true answers in WordNet's tree of nouns.

Wu-Palmer similarity of two words is twice the depth of what they have in common over the sum of
their depths: 1 for synonyms, high for "cat" and "dog". Even unlike nouns are rather
similar, so a similarity below a threshold (0.9, 0.0) counts a tenth.
Source: Malinowski & Fritz 2014, section 4 and its published program: an answer is a set of items
with commas between them; every noun sense is tried; a word that WordNet does not know is similar to
itself alone. WordNet is not part of saccade: without it the result is `NotMeasured`.
"""

import io
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

from saccade.core.errors import BadData
from saccade.core.files import Limits
from saccade.data.records import Question
from saccade.metrics.catalogue import NotMeasured, Result
from saccade.metrics.vqa import check_numbers

THRESHOLDS = {"wups_0_9": 0.9, "wups_0_0": 0.0}
_DOWN = 0.1
_HINT = "Give the folder with WordNet's index.noun and data.noun, or nltk's wordnet.zip."
Answer = str | Sequence[str]
Similarity = Callable[[str, str], float]


def wups(
    predictions: Sequence[str], references: Sequence[Question], *, wordnet: Path | None
) -> dict[str, Result] | NotMeasured:
    """WUPS at 0.9 and 0.0 by their names in `METRICS`: 0..100, and 0..1 of each answer.

    An answer is a text with commas between its items; the true one is the question's best answer,
    else its commonest. `wordnet` is WordNet's folder (`index.noun`, `data.noun`, ...) or a zip file
    with it, as distributed for nltk. Raises BadData where it is neither, when there is nothing to
    score, or lengths differ.
    """
    check_numbers(predictions, references, "prediction")
    if wordnet is None:
        return NotMeasured("WUPS: no WordNet was given")
    if find_spec("nltk") is None:
        return NotMeasured("WUPS: nltk is not installed; pip install 'saccade[metrics]'")
    similarity = noun_similarity(wordnet)
    true = [q.best_answer or Counter(q.answers).most_common(1)[0][0] for q in references]
    found = {}
    for name, threshold in THRESHOLDS.items():
        scores = [
            wups_of(predicted, human, similarity, threshold)
            for predicted, human in zip(predictions, true, strict=True)
        ]
        found[name] = Result(100 * sum(scores) / len(scores), scores)
    return found


def wups_of(predicted: Answer, true: Answer, similarity: Similarity, threshold: float) -> float:
    """One answer, 0..1: the lower of both directions, in each the product over items of the
    similarity to the nearest item of the other side.
    """
    mine, human = _items(predicted), _items(true)
    if not mine or not human:
        return float(mine == human)

    def alike(one: str, other: str) -> float:
        near = 1.0 if one == other else similarity(one, other)
        return near if near >= threshold else _DOWN * near

    return min(
        prod(max(alike(item, other) for other in others) for item in items)
        for items, others in ((mine, human), (human, mine))
    )


def _items(answer: Answer) -> list[str]:
    if isinstance(answer, str):
        answer = answer.split(",")
    return [item.strip().lower() for item in answer if item.strip()]


def noun_similarity(wordnet: Path) -> Similarity:
    """Wu-Palmer similarity of two nouns in a WordNet on disk: the best over their senses, 0 where
    one is unknown. Raises BadData where `wordnet` is none.
    """
    reader = _open(wordnet)

    @lru_cache(maxsize=2**20)
    def similarity(one: str, other: str) -> float:
        pairs = ((a, b) for a in senses(one) for b in senses(other))
        return max((a.wup_similarity(b) or 0.0 for a, b in pairs), default=0.0)

    @lru_cache(maxsize=2**16)
    def senses(word: str) -> tuple[Any, ...]:
        # WordNet writes a blank as _, which the published program leaves to its user.
        with _whole(wordnet):
            return tuple(reader.synsets(word.replace(" ", "_"), pos="n"))

    return similarity


def _open(path: Path) -> Any:
    """nltk's reader over files that are read here, each as a whole: nltk would only read below
    folders of its own, leave files open, and look for other versions of WordNet.
    """
    # Imported here: it takes seconds, and may be missing.
    from nltk.corpus.reader.wordnet import WordNetCorpusReader  # noqa: PLC0415
    from nltk.data import PathPointer  # noqa: PLC0415

    packed, files = zipfile.is_zipfile(path), dict[str, str]()
    if packed:
        with _whole(path), zipfile.ZipFile(path) as archive:
            files = {PurePosixPath(name).name: name for name in archive.namelist()}
            if sum(one.file_size for one in archive.infolist()) > Limits().bytes_of(path):
                raise BadData("would become too large", location=path, hint=_HINT)
        if "index.noun" not in files:
            raise BadData("holds no index.noun", location=path, hint=_HINT)
    elif not (path / "index.noun").is_file():
        raise BadData("is no WordNet", location=path, hint=_HINT)

    def read(name: str) -> bytes:
        if not packed:
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(files[name])

    class File(PathPointer):  # type: ignore[misc]
        def __init__(self, name: str = "") -> None:
            self.name = name

        def join(self, fileid: str) -> "File":
            return File(fileid)

        def open(self, encoding: str | None = None) -> io.StringIO:
            del encoding
            return io.StringIO(read(self.name).decode("latin-1"))  # a letter a byte: places fit

        def file_size(self) -> int:
            return len(read(self.name))

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        def open(self, file: str) -> io.StringIO:
            return File(file).open()

        def map_wn(self, version: str = "wordnet") -> None:
            del version

    with _whole(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "multilingual functions are not available"
        return Reader(File(), None)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raise BadData where the WordNet that is read is damaged."""
    try:
        yield
    except BadData:
        raise
    except Exception as error:  # nltk and zipfile, given damaged bytes, may raise anything
        message = f"is no whole WordNet ({str(error) or type(error).__name__})"
        raise BadData(message, location=path, hint=_HINT) from None
