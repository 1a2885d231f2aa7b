"""Published counts of the public sets, so that a cut or mixed-up copy is noticed.

Counts are those of the releases, or of the papers that published the split. Where the records
themselves could be had, a fingerprint of their words is known too: equal counts with other words
are then noticed. A difference is no error (a selection is a data set too) but it is reported, since
scores of such a copy do not compare with published ones.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from saccade.data.checks import Finding
from saccade.data.records import SPLITS, Collection, Question, Split

TRAIN: tuple[Split, ...] = ("train",)
VAL: tuple[Split, ...] = ("val",)
TEST: tuple[Split, ...] = ("test",)
NOT_TEST: tuple[Split, ...] = ("train", "val")


class Count(NamedTuple):
    """Records of some splits together: where we draw a split ourselves, only the sum is known."""

    splits: tuple[Split, ...]
    images: int | None
    questions: int = 0
    captions: int = 0


FLICKR8K = (
    Count(TRAIN, 6_000, 0, 30_000),
    Count(VAL, 1_000, 0, 5_000),
    Count(TEST, 1_000, 0, 5_000),
)
# A set may have several counts for the same splits (test and test-dev): any of them will do.
OFFICIAL: dict[tuple[str, str], tuple[Count, ...]] = {
    ("vqa-v1", "mscoco"): (
        Count(TRAIN, 82_783, 248_349),
        Count(VAL, 40_504, 121_512),
        Count(TEST, 81_434, 244_302),
        Count(TEST, None, 60_864),
    ),
    ("vqa-v2", "mscoco"): (
        Count(TRAIN, 82_783, 443_757),
        Count(VAL, 40_504, 214_354),
        Count(TEST, 81_434, 447_793),
        Count(TEST, None, 107_394),
    ),
    ("karpathy", "coco"): (
        Count(TRAIN, 113_287, 0, 566_747),
        Count(VAL, 5_000, 0, 25_010),
        Count(TEST, 5_000, 0, 25_010),
    ),
    ("karpathy", "flickr8k"): FLICKR8K,
    ("karpathy", "flickr30k"): (
        Count(TRAIN, 29_000, 0, 145_000),
        Count(VAL, 1_014, 0, 5_070),
        Count(TEST, 1_000, 0, 5_000),
    ),
    ("flickr8k", "official"): FLICKR8K,
    ("flickr8k-cn", ""): FLICKR8K,
    ("multi30k", ""): (  # of task 2, and of task 1
        *(Count(TRAIN, 29_000, 0, 145_000), Count(VAL, 1_014, 0, 5_070)),
        *(Count(TEST, 1_000, 0, 5_000), Count(TRAIN, 29_000, 0, 29_000)),
        *(Count(VAL, 1_014, 0, 1_014), Count(TEST, 1_000, 0, 1_000)),
    ),
    ("flickr30k", "entities"): (
        Count(TRAIN, 29_783, 0, 148_915),
        Count(VAL, 1_000, 0, 5_000),
        Count(TEST, 1_000, 0, 5_000),
    ),
    ("coco-captions", "2014"): (
        Count(TRAIN, 82_783, 0, 414_113),
        Count(VAL, 40_504, 0, 202_654),
    ),
    ("coco-captions", "2017"): (
        Count(TRAIN, 118_287, 0, 591_753),
        Count(VAL, 5_000, 0, 25_014),
    ),
    ("visual-genome", "qa"): (Count(SPLITS, None, 1_445_322), Count(SPLITS, None, 1_773_258)),
    ("gqa", "balanced, testdev"): (
        Count(TRAIN, 72_140, 943_000),
        Count(VAL, 10_234, 132_062),
        Count(TEST, 398, 12_578),
    ),
    ("gqa", "all, testdev"): (
        Count(TRAIN, None, 14_305_356),
        Count(VAL, None, 2_011_853),
        Count(TEST, 398, 172_174),
    ),
    ("daquar", "894"): (Count(NOT_TEST, None, 6_795), Count(TEST, None, 5_673)),
    ("easy-vqa", "all"): (Count(NOT_TEST, 4_000, 38_575), Count(TEST, 1_000, 9_673)),
    ("vqa-rad", "official"): (Count(NOT_TEST, None, 3_064), Count(TEST, None, 451)),
    ("pitvqa", "published"): (Count(TRAIN, 84_406, 680_147), Count(VAL, 24_767, 203_868)),
    ("endovis18-vqa", "Classification"): (Count(TRAIN, 1_560, 9_014), Count(VAL, 447, 2_769)),
}

FINGERPRINTS: dict[tuple[str, str], dict[tuple[Split, ...], str]] = {
    ("vqa-rad", "official"): {
        NOT_TEST: "5cba217e44a9825ee1e65cde8e0a7a7b5d81539c0e5679431a12a562fdfc089e"
    },
    ("pitvqa", "published"): {  # as the published rules make them
        TRAIN: "3de476fc31dc4b33f9cc95ac78d85d01e64bafeff5d1c41048c14c3b2b64bad7",
        VAL: "71e422ed3f7275fcf0def882630cdc927ccaccf96daf895799abe835a2af5080",
    },
}
"""`words_of` the questions of those splits."""

MISTAKEN = {
    ("karpathy", "coco", 82_783): "the 30,504 images of split restval are missing",
    ("karpathy", "coco", 118_287): "these are COCO 2017's images, divided differently",
    ("coco-captions", "2014", 113_287): "these are Karpathy's training images",
    ("coco-captions", "2017", 113_287): "these are Karpathy's training images",
    ("vqa-v2", "mscoco", 248_349): "these are the questions of VQA v1",
    ("vqa-v1", "mscoco", 443_757): "these are the questions of VQA v2",
    ("easy-vqa", "all", 38_285): "these are the questions of its first release",
    ("easy-vqa", "all", 9_599): "these are the questions of its first release",
}
"""Explanations of counts that are known from elsewhere."""


def compare(collection: Collection) -> tuple[list[str], list[Finding]]:
    """Hold a collection, as read, against what is published: notes where it agrees, findings where
    it does not. Splits that are not there are passed over; an unknown set gives neither.
    """
    key = (collection.source, collection.edition)
    there = {q.split for q in collection.questions} | {c.split for c in collection.captions}
    known: dict[tuple[Split, ...], list[Count]] = {}
    for count in OFFICIAL.get(key, ()):
        if there & set(count.splits):
            known.setdefault(count.splits, []).append(count)
    agree, differ, causes = [], [], []
    for splits, counts in known.items():
        questions = [q for q in collection.questions if q.split in splits]
        captions = [c for c in collection.captions if c.split in splits]
        images = {q.image_id for q in questions} | {c.image_id for c in captions}
        found = Count(splits, len(images), len(questions), len(captions))
        name = " and ".join(splits)
        if not any(c.images in (None, found.images) and c[2:] == found[2:] for c in counts):
            published = _in_words(counts[0], counts[0])
            differ.append(f"{name}: {_in_words(found, counts[0])}, published {published}")
            causes += [MISTAKEN[(*key, n)] for n in found[1:] if n and (*key, n) in MISTAKEN]
        elif wanted := FINGERPRINTS.get(key, {}).get(splits):
            if words_of(questions) == wanted:
                agree.append(f"{name} is word for word the published one")
            else:
                differ.append(f"{name}: as many questions as published, but other words")
        else:
            agree.append(f"{name} has the published counts")
    notes = [f"Held against what is published: {'; '.join(agree)}."] if agree else []
    if not differ:
        return notes, []
    message = f"1 split of {collection.source} is not the published one"
    if len(differ) > 1:
        message = f"{len(differ)} splits of {collection.source} are not the published ones"
    cause = "; ".join(dict.fromkeys(causes)) or "a selection was made, or files are cut or mixed"
    cause = f"{cause[0].upper()}{cause[1:]}."
    hint = "Compare the files with the release; scores do not compare with published ones."
    return notes, [Finding("warning", message, len(differ), tuple(differ), cause, hint)]


def words_of(questions: Sequence[Question]) -> str:
    """SHA-256 over ids, words and answers in the order of ids, wherever the images lie."""
    digest = hashlib.sha256()
    records = ((q.id, q.text, q.answers) for q in sorted(questions, key=itemgetter(0)))
    while some := list(islice(records, 4096)):
        digest.update(json.dumps(some).encode())
    return digest.hexdigest()


def _in_words(count: Count, like: Count) -> str:
    """The counts in words, without those that are not known of `like`."""
    named = zip(count._fields[1:], count[1:], like[1:], strict=True)
    return " and ".join(f"{number:,} {name}" for name, number, known in named if known)
