"""Objects in people's captions (CHAIR), and what needs no image to answer POPE's questions.

    SACCADE_REAL_DATA=... python -m benchmarks.objects

Of COCO 2017's images in `coco-mini`, with their instances and five captions each.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from saccade.core.formatting import table
from saccade.data.records import Question
from saccade.datasets.catalogue import read_source
from saccade.metrics.catalogue import NotMeasured
from saccade.metrics.chair import chair
from saccade.metrics.ptb import coco_words
from saccade.metrics.yes_no import yes_no

DATA = Path(os.environ.get("SACCADE_REAL_DATA", "../shared/data")) / "coco-mini"


def main() -> None:
    """Print both tables."""
    print(
        table([("each caption against", "captions", "mentions", "CHAIR_s", "CHAIR_i"), *_chair()])
    )
    print()
    head = "questions", "answers", "number", "accuracy", "precision", "recall", "F1", "yes"
    print(table([head, *_pope()]))


def _chair() -> Iterator[Sequence[str]]:
    """People's captions, each against the objects of its image."""
    collection = read_source("coco-captions", DATA)
    ids = [caption.image_id for caption in collection.captions]
    words = coco_words([caption.text for caption in collection.captions])
    of_image = defaultdict(list)
    for id_, caption in zip(ids, words, strict=True):
        of_image[id_].append(caption)
    others = [
        [other for other in of_image[id_] if other is not caption]
        for id_, caption in zip(ids, words, strict=True)
    ]
    for name, human in (("instances alone", [[]] * len(ids)), ("and four other captions", others)):
        found = chair(words, human, objects=collection.objects, image_ids=ids)
        assert not isinstance(found, NotMeasured)
        mentions = sum(row[1] for row in found["chair_i"].sums or ())
        shares = [f"{100 * found[key].value:.1f} %" for key in ("chair_s", "chair_i")]
        yield name, f"{len(ids):,}", f"{mentions:,.0f}", *shares


def _pope() -> Iterator[Sequence[str]]:
    """Answers without an image: always yes, and what was oftenest right of the object in train."""
    questions = read_source("coco-pope", DATA).questions
    for how in dict.fromkeys(question.question_type for question in questions):
        asked = [q for q in questions if q.question_type == how]
        train, val = ([q for q in asked if q.split == split] for split in ("train", "val"))
        yield how, "yes", *_row(["yes"] * len(val), val)
        seen = defaultdict[str, Counter[str]](Counter)
        for question in train:
            seen[question.text][question.best_answer] += 1
        usual = Counter(q.best_answer for q in train).most_common(1)[0][0]
        said = [(seen[q.text].most_common(1) or [(usual, 0)])[0][0] for q in val]
        yield how, "by the object", *_row(said, val)


def _row(said: Sequence[str], asked: Sequence[Question]) -> Iterator[str]:
    found = yes_no(said, asked)
    assert not isinstance(found, NotMeasured)
    yield f"{len(asked):,}"
    yield from (f"{100 * result.value:.1f} %" for result in found.values())


if __name__ == "__main__":
    main()
