"""Images, questions and captions: what every data set is once a reader has been through its files.

Past this line nobody knows COCO from VQA v2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from saccade.core.errors import in_number

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class ImageRecord(NamedTuple):
    """One image file of a data set."""

    id: int
    """The data set's own number (COCO id, Karpathy `imgid`), or its place in a sorted list."""
    file: str
    """Path below the image root, with forward slashes."""
    split: Split


class Question(NamedTuple):
    """One question about one image, with people's answers."""

    id: int
    image_id: int
    text: str
    split: Split
    answers: tuple[str, ...] = ()
    """Every human answer as released (ten in VQA); empty where the answers are secret."""
    best_answer: str = ""
    """The official `multiple_choice_answer`: the answer most people gave."""
    answer_type: str = ""
    """"yes/no", "number" or "other" in VQA; the data set's own word elsewhere."""
    question_type: str = ""


class Caption(NamedTuple):
    """One sentence about one image."""

    id: int
    image_id: int
    text: str
    """As written by the annotator."""
    words: tuple[str, ...]
    """The data set's own tokens where it has them (Karpathy), else `text.caption_words(text)`."""
    split: Split


class ReleasedId(NamedTuple):
    """An id that is no whole number, or not unique, as it was released: servers ask for it."""

    kind: str
    """"image" or "question"."""
    id: int
    """The number that it has here."""
    released: str


def with_words(captions: Iterable[Caption]) -> tuple[list[Caption], list[str]]:
    """The captions that have a word, and a note about the others, if there are any."""
    given = list(captions)
    kept = [caption for caption in given if caption.words]
    lost = len(given) - len(kept)
    note = in_number(f"{lost} captions have no word and were left out.")
    return kept, [note] if lost else []


@dataclass(frozen=True)
class Collection:
    """All that a reader found: what `prepare` checks and writes into a data folder."""

    source: str
    """Name of the reader, a key of `datasets.catalogue.SOURCES`."""
    image_root: str
    """Absolute folder below which `ImageRecord.file` is found."""
    images: Sequence[ImageRecord]
    questions: Sequence[Question] = ()
    captions: Sequence[Caption] = ()
    licence: str = "unknown: ask whoever gave you the files"
    notes: Sequence[str] = field(default_factory=tuple)
    """What the user should know: records left out and why, one sentence each."""
    choices: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Multiple choice: what each question, by its id, offers. Open-ended sets have none."""
    pairs: Sequence[tuple[int, int]] = ()
    """VQA v2: ids of two questions with equal words, two images, and different answers."""
    rephrasings: Sequence[tuple[int, int]] = ()
    """VQA-Rephrasings: ids of a question in other words, and of the original."""
    entailments: Sequence[tuple[int, int]] = ()
    """GQA: ids of a question, and of one whose answer follows from its answer."""
    objects: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """COCO: the categories of the objects that are annotated in each image, by its id."""
    released_ids: Sequence[ReleasedId] = ()
    """Of images and questions whose numbers here are not the released ids."""
    files: Sequence[str] = ()
    """The files that were read, absolute."""
    window: str = "auto"
    """How images of more than 8 bits become 8, see `data.levels`."""
    shared_images: bool = False
    """Do the published splits divide records, so that an image may be in two of them?"""
    edition: str = ""
    """The published set that this should be ("2017", "balanced"), part of a key of
    `datasets.published_counts.OFFICIAL`; empty where nothing is published to compare with."""
