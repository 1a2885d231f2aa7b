"""Broken input of every kind: each message names the file, the cause, and the cure."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.data.reading import read_json
from tests.broken_input import (
    Broken,
    change,
    cut,
    inflated,
    is_read_or_refused,
    is_refused,
    packed,
    remove,
    write,
)
from tests.source_samples import (
    coco_captions,
    karpathy,
    save,
    touch,
    vqa_annotations,
    vqa_questions,
)

QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
ANNOTATIONS = "v2_mscoco_train2014_annotations.json"
KARPATHY = "dataset_flickr8k.json"
COCO = "annotations/captions_train2017.json"
TOKENS = "Flickr8k.token.txt"
RAD = "trainset.json"


def first(key: str, **fields: object) -> Callable[[Any], object]:
    return lambda document: document[key][0].update(fields)


def second_like_first(key: str, *fields: str) -> Callable[[Any], object]:
    return lambda document: document[key][1].update({f: document[key][0][f] for f in fields})


def answer(**fields: object) -> Callable[[Any], object]:
    return lambda document: document["annotations"][1]["answers"][2].update(fields)


def image_in_two_splits(root: Path) -> None:
    for subset in ("train2014", "val2014"):
        stem = f"mscoco_{subset}"
        start = 0 if subset == "train2014" else 5
        questions, annotations = vqa_questions(subset, 9, 9), vqa_annotations(subset, 9, 9)
        questions["questions"] = questions["questions"][start : start + 4]
        annotations["annotations"] = annotations["annotations"][start : start + 4]
        save(root / f"v2_OpenEnded_{stem}_questions.json", questions)
        save(root / f"v2_{stem}_annotations.json", annotations)
    (root / "train2014").rename(root / "images")
    touch(root, "images/000000000009.jpg")
    next((root / "images").glob("COCO*")).unlink()


def sentence(place: int, **fields: object) -> Callable[[Any], object]:
    return lambda document: document["images"][place]["sentences"][0].update(fields)


COPY = "download the file again"
SAME_SPLIT = "of the same split"
BROKEN = {
    # Files that are no JSON.
    "empty file": Broken("vqa-v2", write(QUESTIONS, b""), QUESTIONS, "is empty", COPY),
    "only blanks": Broken("karpathy", write(KARPATHY, b" \n\n"), KARPATHY, "is empty", COPY),
    "cut off": Broken("vqa-v2", cut(ANNOTATIONS, 0.5), ANNOTATIONS, "breaks off", COPY),
    "cut off in a word": Broken("vqa-rad", cut(RAD, 0.013), RAD, "breaks off", COPY),
    "last brace missing": Broken("coco-captions", cut(COCO, 0.9999), COCO, "breaks off", COPY),
    "typing mistake": Broken(
        "karpathy", write(KARPATHY, '{"images": [1 2]}'), KARPATHY, "line 1, column 15", "Mend"
    ),
    "no UTF-8": Broken(
        "coco-captions", write(COCO, b'{"info": "caf\xe9"}'), COCO, "byte 13 is 0xe9", "UTF-8"
    ),
    "not a number": Broken(
        "vqa-v2", write(QUESTIONS, '{"questions": [NaN]}'), QUESTIONS, "NaN", "null"
    ),
    "web page": Broken(
        "vqa-rad", write(RAD, "<!DOCTYPE html><html>404</html>"), RAD, "web page", "download again"
    ),
    "LFS pointer": Broken(
        "karpathy",
        write(KARPATHY, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        KARPATHY,
        "Git LFS pointer",
        "git lfs pull",
    ),
    "too deep": Broken("vqa-rad", write(RAD, "[" * 200_000), RAD, "nested too deeply", COPY),
    "number of many digits": Broken(
        "vqa-rad", write(RAD, "[" + "9" * 5000 + "]"), RAD, "a number that JSON", "leave the record"
    ),
    "gzip cut off": Broken(
        "vqa-v2", packed(QUESTIONS, 0.5), f"{QUESTIONS}.gz", "not whole as a gzip", COPY
    ),
    "gzip that grows": Broken(
        "vqa-v2",
        inflated(QUESTIONS),
        f"{QUESTIONS}.gz",
        "would become more than 50",
        "unpack it yourself",
    ),
    "gzip in name only": Broken(
        "vqa-v2",
        lambda root: (root / ANNOTATIONS).rename(root / f"{ANNOTATIONS}.gz"),
        f"{ANNOTATIONS}.gz",
        "not whole as a gzip",
        COPY,
    ),
    "list for object": Broken(
        "vqa-v2", write(QUESTIONS, [1]), QUESTIONS, "a list […] where an object", "list sources"
    ),
    "object for list": Broken(
        "vqa-rad", write(RAD, vqa_questions("", 1)), RAD, "VQA questions", "list sources"
    ),
    # The wrong file under a right name.
    "captions for annotations": Broken(
        "vqa-v2", write(ANNOTATIONS, coco_captions(9)), ANNOTATIONS,
        "COCO captions", "coco-captions",
    ),
    "annotations for captions": Broken(
        "coco-captions", write(COCO, vqa_annotations("x", 9)), COCO, "VQA annotations", "vqa-v2"
    ),
    "annotations for questions": Broken(
        "vqa-v2", write(QUESTIONS, vqa_annotations("x", 9)), QUESTIONS, "VQA annotations", "vqa-v2"
    ),
    "questions for annotations": Broken(
        "vqa-v2", write(ANNOTATIONS, vqa_questions("x", 9)), ANNOTATIONS, "VQA questions", "vqa-v2"
    ),
    "Karpathy for COCO": Broken(
        "coco-captions", write(COCO, karpathy()), COCO, "Karpathy captions", "source karpathy"
    ),
    "COCO for Karpathy": Broken(
        "karpathy", write(KARPATHY, coco_captions(9)), KARPATHY, "COCO captions", "coco-captions"
    ),
    "objects for captions": Broken(
        "coco-captions",
        write(COCO, {"images": [1], "annotations": [{"id": 1, "bbox": [0, 0, 1, 1]}]}),
        COCO,
        "COCO objects",
        "list sources",
    ),
    "a model's answers for questions": Broken(
        "vqa-v2",
        write(QUESTIONS, [{"question_id": 1, "answer": "yes"}]),
        QUESTIONS,
        "a result file",
        "list sources",
    ),
    # Files that do not belong together.
    "annotations missing": Broken(
        "vqa-v2", remove(ANNOTATIONS), QUESTIONS, "has no annotations", "annotations=FILE"
    ),
    "questions missing": Broken(
        "vqa-v2", remove(QUESTIONS), ANNOTATIONS, "without a file of questions", SAME_SPLIT
    ),
    "annotations of another split": Broken(
        "vqa-v2", write(ANNOTATIONS, vqa_annotations("val2014", 9)), ANNOTATIONS,
        "is of val2014, but", SAME_SPLIT,
    ),
    "annotations of other questions": Broken(
        "vqa-v2", write(ANNOTATIONS, vqa_annotations("", 8)), ANNOTATIONS,
        "shares no question", SAME_SPLIT,
    ),
    "file renamed": Broken(
        "vqa-v2", write(QUESTIONS, vqa_questions("val2014", 9)), QUESTIONS,
        "named train2014 but holds val2014", "released name",
    ),
    "question unanswered": Broken(
        "vqa-v2", write(ANNOTATIONS, vqa_annotations("", 9, 2)), ANNOTATIONS,
        "no annotation for 1 questions, the first is 9002", "split and release",
    ),
    "answer to nothing": Broken(
        "vqa-v2", write(ANNOTATIONS, vqa_annotations("", 9, 4)), ANNOTATIONS,
        "answers 1 questions that nobody asked, the first is 9003", "split and release",
    ),
    "another image": Broken(
        "vqa-v2", change(ANNOTATIONS, first("annotations", image_id=8)), ANNOTATIONS,
        "question 9000 is about image 8", "same release",
    ),
    "two files for one split": Broken(
        "vqa-v2",
        lambda root: save(root / f"copy/{QUESTIONS}", vqa_questions("train2014", 9)),
        f"copy/{QUESTIONS}", "are both there", "Move one away",
    ),
    "captions about unknown images": Broken(
        "coco-captions", change(COCO, first("annotations", image_id=77)), COCO,
        "caption 90 about image 77", "released one",
    ),
    "no list of images": Broken(
        "coco-captions", change(COCO, lambda d: d.pop("images")), COCO,
        'no list "images"', "released file",
    ),
    "image without captions": Broken(
        "flickr8k", write("Flickr_8k.devImages.txt", "zebra.jpg\n"), TOKENS,
        "no record of 1 images of the split lists, the first is zebra.jpg", "same release",
    ),
    "no split lists": Broken(
        "flickr8k", remove(*(f"Flickr_8k.{s}Images.txt" for s in ("train", "dev", "test"))), "",
        "no split lists", "Flickr_8k.trainImages.txt",
    ),
    # Records.
    "field missing": Broken(
        "vqa-v2", change(QUESTIONS, lambda d: d["questions"][1].pop("question")), QUESTIONS,
        'question number 2 (question_id 9001) has no field "question"', "Mend or remove",
    ),
    "text for a number": Broken(
        "vqa-v2", change(QUESTIONS, first("questions", image_id="9")), QUESTIONS,
        "\"image_id\" of question number 1 (question_id 9000) is '9', not a whole number", "Mend",
    ),
    "truth for a number": Broken(
        "vqa-v2", change(QUESTIONS, first("questions", image_id=True)), QUESTIONS,
        "is True, not a whole number", "Mend",
    ),
    "number beyond 64 bits": Broken(
        "karpathy", change(KARPATHY, first("images", imgid=2**63)), KARPATHY,
        "9223372036854775808, not a whole number", "Mend",
    ),
    "half a character": Broken(
        "vqa-v2", change(QUESTIONS, first("questions", question="\ud83d?")), QUESTIONS,
        r"is '\ud83d?', not text", "Mend",
    ),
    "record that is none": Broken(
        "vqa-rad", write(RAD, [["qid", 1]]), RAD, "record number 1 is not an object", "Mend",
    ),
    "empty list": Broken(
        "vqa-v2", change(QUESTIONS, lambda d: d["questions"].clear()), QUESTIONS,
        'its list "questions" is empty', COPY,
    ),
    "question twice": Broken(
        "vqa-v2", change(QUESTIONS, second_like_first("questions", "question_id")), QUESTIONS,
        "question_id 9000 stands twice", "Keep one",
    ),
    "annotation twice": Broken(
        "vqa-v2", change(ANNOTATIONS, second_like_first("annotations", "question_id")),
        ANNOTATIONS, "question_id 9000 stands twice", "Keep one",
    ),
    "answer_id twice": Broken(
        "vqa-v2", change(ANNOTATIONS, answer(answer_id=1)), ANNOTATIONS,
        "question 9001 has two answers of the same answer_id", "1 to 10",
    ),
    "answer is a number": Broken(
        "vqa-v2", change(ANNOTATIONS, answer(answer=3)), ANNOTATIONS,
        "an answer to question 9001 is 3, not text", "in quotes",
    ),
    "answer is a list": Broken(
        "vqa-v2", change(ANNOTATIONS, answer(answer=["red"])), ANNOTATIONS,
        "an answer to question 9001 is ['red'], not text", "in quotes",
    ),
    "answers are bare words": Broken(
        "vqa-v2", change(ANNOTATIONS, first("annotations", answers=["red", "blue"])),
        ANNOTATIONS, "answers of question 9000 are not a list of", "released annotations",
    ),
    "no answers": Broken(
        "vqa-v2", change(ANNOTATIONS, first("annotations", answers=[])),
        ANNOTATIONS, "answers of question 9000 are not a list of", "released annotations",
    ),
    "imgid twice": Broken(
        "karpathy", change(KARPATHY, second_like_first("images", "imgid")), KARPATHY,
        "imgid 0 stands twice", "Keep one",
    ),
    "unknown split": Broken(
        "karpathy", change(KARPATHY, first("images", split="dev")), KARPATHY,
        "image 0 (0.jpg) is of split 'dev'", "train, restval, val, test",
    ),
    "no sentences": Broken(
        "karpathy", change(KARPATHY, first("images", sentences=[])), KARPATHY,
        "image 0 (images/0.jpg) has no sentences", "dataset_*.json",
    ),
    "sentid twice": Broken(
        "karpathy", change(KARPATHY, sentence(1, sentid=0)), KARPATHY,
        "sentid 0 stands twice", "Keep one",
    ),
    "tokens are numbers": Broken(
        "karpathy", change(KARPATHY, sentence(2, tokens=["a", 3])), KARPATHY,
        "tokens of sentence 4 are not all text", "released",
    ),
    "image id twice": Broken(
        "coco-captions", change(COCO, lambda d: d["images"].append(d["images"][0])), COCO,
        "image id 9 stands twice", "Keep one",
    ),
    "blanks for the tab": Broken(
        "flickr8k", write(TOKENS, "a.jpg#0  A horse .\n"), TOKENS,
        "line 1 is not NAME.jpg#K, a tab, and a caption", "editors turn tabs",
    ),
    "line without a number": Broken(
        "flickr8k", write(TOKENS, "a.jpg#0\tA horse .\nb.jpg\tA cow .\n"), TOKENS,
        "line 2 is not", "released Flickr8k.token.txt",
    ),
    "line twice": Broken(
        "flickr8k", write(TOKENS, "a.jpg#0\tA horse .\na.jpg#0\tA cow .\n"), TOKENS,
        "line 2 has a.jpg#0 a second time", "Keep one",
    ),
    "token file no UTF-8": Broken(
        "flickr8k", write(TOKENS, b"a.jpg#0\tcaf\xe9\n"), TOKENS, "byte 11", "UTF-8",
    ),
    "image in two lists": Broken(
        "flickr8k", write("Flickr_8k.testImages.txt", "b.jpg\nc.jpg\n"),
        "Flickr_8k.testImages.txt", "c.jpg is also in the list of the train", "released lists",
    ),
    "token file named as Kaggle's table": Broken(
        "flickr8k",
        lambda root: (root / TOKENS).rename(root / "captions.txt"),
        "captions.txt", "begins with the columns 'c.jpg#0", "prepare the source table",
    ),
    "qid twice": Broken(
        "vqa-rad", change(RAD, lambda d: d[3].update(qid=0)), RAD, "qid 0 stands twice", "Keep one",
    ),
    "empty answer": Broken(
        "vqa-rad", change(RAD, lambda d: d[3].update(answer="  ")), RAD,
        "record 4 (qid 3) is '  '", "Give it an answer",
    ),
    # What only shows when all files have been read.
    "image file missing": Broken(
        "vqa-v2", remove("train2014/COCO_train2014_000000000009.jpg"), "",
        "1 of 2 images is not there, the first are train2014/COCO_train2014_000000000009.jpg",
        "images=FOLDER",
    ),
    "image in two splits": Broken(
        "vqa-v2", image_in_two_splits, "", "1 image is in two splits", "overlap drop",
    ),
    "image file in two splits": Broken(
        "karpathy", change(KARPATHY, lambda d: d["images"][2].update(filename="0.jpg")), "",
        "images/0.jpg is image 0 (split train) and image 2 (split val)", "one record",
    ),
    "caption ids twice over splits": Broken(
        "coco-captions",
        change("annotations/captions_val2017.json", first("annotations", id=90)),
        "", "1 caption ids stand twice, the first is 90", "across splits",
    ),
    "question ids twice over splits": Broken(
        "vqa-v2",
        lambda root: [
            change(f"v2_{name}.json", first(key, question_id=9000))(root)
            for name, key in (
                ("OpenEnded_mscoco_val2014_questions", "questions"),
                ("mscoco_val2014_annotations", "annotations"),
            )
        ],
        "", "1 question ids stand twice, the first is 9000", "across splits",
    ),
    "image outside of the folder": Broken(
        "karpathy", change(KARPATHY, first("images", filename="../../secret.jpg")), "",
        "outside of the folder", "stay in it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_refused_with_file_cause_and_cure(name, tmp_path):
    is_refused(BROKEN[name], tmp_path)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_json_or_bad_data(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    with suppress(BadData):
        assert type(read_json(path, dict)) is dict


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PLACES = [
    ("vqa-v2", QUESTIONS, ("questions", 0, "question_id")),
    ("vqa-v2", QUESTIONS, ("questions", 0)),
    ("vqa-v2", QUESTIONS, ("questions",)),
    ("vqa-v2", QUESTIONS, ("data_subtype",)),
    ("vqa-v2", ANNOTATIONS, ("annotations", 0, "answers", 0)),
    ("vqa-v2", ANNOTATIONS, ("annotations", 0, "answers", 0, "answer_id")),
    ("vqa-v2", ANNOTATIONS, ("annotations", 0, "answers")),
    ("vqa-v2", ANNOTATIONS, ("annotations", 0)),
    ("karpathy", KARPATHY, ("images", 0, "filename")),
    ("karpathy", KARPATHY, ("images", 0, "filepath")),
    ("karpathy", KARPATHY, ("images", 0, "cocoid")),
    ("karpathy", KARPATHY, ("images", 0, "sentences", 0)),
    ("karpathy", KARPATHY, ("images", 0, "sentences", 0, "tokens")),
    ("coco-captions", COCO, ("images",)),
    ("coco-captions", COCO, ("images", 0)),
    ("coco-captions", COCO, ("annotations", 0, "caption")),
    ("vqa-rad", RAD, (0,)),
    ("vqa-rad", RAD, (0, "answer")),
    ("vqa-rad", RAD, (0, "image_name")),
]


@pytest.mark.parametrize(("source", "name", "place"), PLACES)
@settings(max_examples=30)
@given(value=values)
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory, source, name, place, value):
    is_read_or_refused(tmp_path_factory.getbasetemp(), source, name, place, value)
