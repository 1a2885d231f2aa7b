# ruff: noqa: E501 - a table of cases, most of them one line long
"""Broken input to the sources with layouts of their own: file, place, cause and cure each time."""

import shutil
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saccade.core.errors import BadConfig, SaccadeError
from saccade.data.checks import check
from saccade.datasets.catalogue import SOURCES, read_source
from tests.broken_input import (
    Broken,
    change,
    cut,
    is_read_or_refused,
    is_refused,
    remove,
    rewrite,
    write,
)
from tests.source_samples import (
    PIT_LINES,
    RAD_MAKERS,
    SAMPLES,
    rad_makers_records,
    save,
    vqa_questions,
)
from tests.test_broken_captions import BROKEN as BROKEN_CAPTIONS
from tests.test_broken_files import BROKEN as BROKEN_JSON
from tests.test_broken_own_data import ARROW, LINES, METADATA, PARQUET, TABLE
from tests.test_broken_own_data import BROKEN as BROKEN_OWN
from tests.test_broken_question_layouts import BROKEN as BROKEN_LAYOUTS

V1 = "OpenEnded_mscoco_train2014_questions.json"
GENOME, LISTED = "question_answers.json", "image_data.json"
GQA = "questions/train_balanced_questions.json"
DAQUAR = "qa.894.raw.train.txt"
EASY = "train/questions.json"
PIT = "QA/video_01/00003.txt"
ENDO = "seq_1/vqa/Classification/frame120_QA.txt"
CHOLEC = "Classification/1/0_QA.txt"
TOKENS30 = "results_20130124.token"


def gqa(**fields):
    return change(GQA, lambda document: document["0293010"].update(fields))


def genome(**fields):
    return change(GENOME, lambda document: document[3]["qas"][1].update(fields))


def rad(how):
    """The makers' file in place of the two that were made of it, with something wrong in it."""

    def spoil(root):
        records = rad_makers_records()
        how(records)
        save(root / RAD_MAKERS, records)
        (root / "trainset.json").unlink()

    return spoil


def rad_of(**fields):
    return rad(lambda records: records[3].update(fields))


POPE_OBJECTS = "annotations/instances_train2017.json"


def objects(how):
    return change(POPE_OBJECTS, how)


BROKEN = {
    "coco-pope: cut off": Broken("coco-pope", cut(POPE_OBJECTS, 0.5), POPE_OBJECTS, "breaks off", "again"),
    "coco-pope: no categories": Broken("coco-pope", objects(lambda d: d.pop("categories")), POPE_OBJECTS, "categories", "sources"),
    "coco-pope: a category twice": Broken(
        "coco-pope", objects(lambda d: d["categories"].append(d["categories"][0])), POPE_OBJECTS, "category id 1", "",
    ),
    "coco-pope: another category": Broken(
        "coco-pope", objects(lambda d: d["annotations"][1].update(category_id=99)), POPE_OBJECTS, "category 99", "released",
    ),
    "coco-pope: a name of no text": Broken(
        "coco-pope", objects(lambda d: d["categories"][0].update(name=3)), POPE_OBJECTS, "name", "",
    ),
    "coco-pope: few objects": Broken(
        "coco-pope", objects(lambda d: d.update(annotations=d["annotations"][-2:])), POPE_OBJECTS, "3 kinds", "released",
    ),

    "v1: cut off": Broken("vqa-v1", cut(V1, 0.7), V1, "breaks off", "again"),
    "v1: empty": Broken("vqa-v1", write(V1, b""), V1, "is empty", "again"),
    "v1: of version 2's annotations": Broken(
        "vqa-v1", write("mscoco_train2014_annotations.json", vqa_questions("train2014", 9)),
        "mscoco_train2014_annotations.json", "it looks like VQA questions", "vqa-v2",
    ),
    "v1: annotations missing": Broken(
        "vqa-v1", remove("mscoco_train2014_annotations.json"), V1, "has no annotations", "name it",
    ),
    "v1: a bare list": Broken("vqa-v1", write(V1, [1, 2]), V1, "a list […] where an object", "list"),
    # Visual Genome
    "genome: cut off": Broken("visual-genome", cut(GENOME, 0.5), GENOME, "breaks off", "again"),
    "genome: no qas": Broken(
        "visual-genome", change(GENOME, lambda d: d[2].pop("qas")), GENOME,
        'image number 3 has no list "qas"', "released question_answers.json",
    ),
    "genome: no question": Broken("visual-genome", write(GENOME, []), GENOME, "no question", "Copy"),
    "genome: qa_id twice": Broken(
        "visual-genome", genome(qa_id=40), GENOME, "qa_id 40 stands twice", "Keep one",
    ),
    "genome: answer is a number": Broken(
        "visual-genome", genome(answer=3), GENOME,
        '"answer" of question number 8 (qa_id 41) is 3, not text', "Mend or remove",
    ),
    "genome: empty answer": Broken(
        "visual-genome", genome(answer="  "), GENOME, "question 41 (image 4) has an empty", "leave",
    ),
    "genome: unlisted image": Broken(
        "visual-genome", genome(image_id=77), LISTED,
        "does not list 1 images that are asked about, the first is 77", "same version",
    ),
    "genome: image list of another kind": Broken(
        "visual-genome", write(LISTED, {"images": []}), LISTED, "an object {…} where a list", "list",
    ),
    # GQA
    "gqa: cut off": Broken("gqa", cut(GQA, 0.5), GQA, "breaks off", "again"),
    "gqa: a list": Broken("gqa", write(GQA, []), GQA, "a list […] where an object", "list sources"),
    "gqa: empty": Broken("gqa", write(GQA, {}), GQA, "not a dictionary", "released file"),
    "gqa: another dictionary": Broken(
        "gqa", write(GQA, {"a": {"imageId": "1", "question": "?"}}), GQA, "one key is 'a'", "released",
    ),
    "gqa: no image": Broken(
        "gqa", change(GQA, lambda d: d["0293010"].pop("imageId")), GQA, 'no field "imageId"', "Mend",
    ),
    "gqa: image is no number": Broken(
        "gqa", gqa(imageId="cat"), GQA, "question 0293010 is about image 'cat'", '"n578223"',
    ),
    "gqa: answer is a number": Broken(
        "gqa", gqa(answer=3), GQA, "the answer of question 0293010 is 3, not text", "Mend",
    ),
    "gqa: training questions without answers": Broken(
        "gqa", change(GQA, lambda d: d["0293010"].pop("answer")), GQA,
        "1 of 3 questions have no answer", "released file",
    ),
    # VQA-RAD as its makers released it
    "rad: nothing in it": Broken("vqa-rad", rad(list.clear), RAD_MAKERS, "an empty list", "again"),
    "rad: unknown phrase": Broken(
        "vqa-rad", rad_of(phrase_type="validation"), RAD_MAKERS,
        "\"phrase_type\" of record 4 is 'validation'", "test_freeform, test_para",
    ),
    "rad: no phrase": Broken(
        "vqa-rad", rad(lambda records: records[3].pop("phrase_type")), RAD_MAKERS,
        'record number 4 has no field "phrase_type"', "Mend or remove",
    ),
    "rad: number of a record twice": Broken(
        "vqa-rad", rad_of(qid="101"), RAD_MAKERS, "qid 101 stands twice", "two files",
    ),
    "rad: frame that is no text": Broken(
        "vqa-rad", rad_of(question_frame=["a"]), RAD_MAKERS,
        "\"question_frame\" of record 4 is ['a'], not text", '"NULL"',
    ),
    "rad: no answer": Broken(
        "vqa-rad", rad_of(answer=None), RAD_MAKERS,
        "the answer of record 4 (qid 103) is None", "leave the record out",
    ),
    "rad: no objects": Broken(
        "vqa-rad", rad(lambda records: records.__setitem__(3, [1])), RAD_MAKERS,
        "record number 4 is not an object", "released file",
    ),
    # DAQUAR
    "daquar: a line lost": Broken(
        "daquar", rewrite(DAQUAR, "lamp\n", ""), DAQUAR, "39 lines: the last question", "in turn",
    ),
    "daquar: an answer for a question": Broken(
        "daquar", rewrite(DAQUAR, "what is on the table in the image1 ?\n", "a lamp\n"), DAQUAR,
        "line 1 should be a question about imageN: 'a lamp'", "lost or added",
    ),
    "daquar: answers first": Broken(
        "daquar", write(DAQUAR, "lamp\nwhat is in the image1 ?\n"), DAQUAR, "line 1 should", "in turn",
    ),
    "daquar: empty": Broken("daquar", write(DAQUAR, b"\n \n"), DAQUAR, "is empty", "again"),
    "daquar: no UTF-8": Broken("daquar", write(DAQUAR, b"caf\xe9\n"), DAQUAR, "byte 3", "UTF-8"),
    "daquar: web page": Broken(
        "daquar", write(DAQUAR, "<!DOCTYPE html><html>404"), DAQUAR, "web page", "download again",
    ),
    # easy-VQA
    "easy: cut off": Broken("easy-vqa", cut(EASY, 0.5), EASY, "breaks off", "again"),
    "easy: objects": Broken(
        "easy-vqa", write(EASY, [{"question": "?"}]), EASY, "record 1 is {'question': '?'}", "mend",
    ),
    "easy: number as text": Broken(
        "easy-vqa", change(EASY, lambda d: d[2].__setitem__(2, "1")), EASY, "record 3 is", "released",
    ),
    "easy: true for a number": Broken(
        "easy-vqa", change(EASY, lambda d: d[2].__setitem__(2, True)), EASY, "record 3 is", "mend",
    ),
    "easy: unknown answer": Broken(
        "easy-vqa", change(EASY, lambda d: d[1].__setitem__(1, "perhaps")), EASY,
        "record 2 has the answer 'perhaps', which answers.txt lacks", "same release",
    ),
    "easy: empty list": Broken("easy-vqa", write(EASY, []), EASY, "is an empty list", "Copy"),
    "easy: empty list of answers": Broken(
        "easy-vqa", write("answers.txt", b""), "answers.txt", "is empty", "again",
    ),
    # PitVQA, EndoVis-18-VQA, Cholec80-VQA
    "pitvqa: no bar": Broken(
        "pitvqa", write(PIT, PIT_LINES + "What now?\n"), PIT, "line 10 is not question|answer", "Mend",
    ),
    "pitvqa: no answer": Broken("pitvqa", write(PIT, "What now?|\n"), PIT, "line 1 is not", "Mend"),
    "pitvqa: two bars": Broken("pitvqa", write(PIT, "What|now|?\n"), PIT, "line 1 is not", "released"),
    "pitvqa: no UTF-8": Broken("pitvqa", write(PIT, b"caf\xe9|a\n"), PIT, "byte 3", "UTF-8"),
    "pitvqa: name without a second": Broken(
        "pitvqa", write("QA/video_01/three.txt", PIT_LINES), "QA/video_01/three.txt",
        "is not named after its second", "Rename",
    ),
    "pitvqa: unknown operation": Broken(
        "pitvqa", lambda root: (root / "QA/video_26").mkdir(), "QA/video_26",
        "video_01 to video_25", "Move it away",
    ),
    "pitvqa: frame missing": Broken(
        "pitvqa", remove("images/video_01/00005.png"), "", "1 of 4 images is not there", "images=",
    ),
    "endovis: no bar": Broken(
        "endovis18-vqa", write(ENDO, "What organ?\n"), ENDO, "line 1 is not question|answer", "Mend",
    ),
    "endovis: no question": Broken("endovis18-vqa", write(ENDO, "|kidney\n"), ENDO, "line 1", "Mend"),
    "endovis: no UTF-8": Broken("endovis18-vqa", write(ENDO, b"\xff\xfe|a\n"), ENDO, "byte 0", "UTF-8"),
    "endovis: another name": Broken(
        "endovis18-vqa", write("seq_1/vqa/Classification/notes.txt", "a|b"),
        "seq_1/vqa/Classification/notes.txt", "not named after its frame", "Rename",
    ),
    "endovis: nothing asked": Broken(
        "endovis18-vqa",
        lambda root: [path.write_text("") for path in root.rglob("*_QA.txt")],
        "", "has no question", "Copy it again",
    ),
    "endovis: frame missing": Broken(
        "endovis18-vqa", remove("seq_1/left_frames/frame120.png"), "", "1 of 4 images", "images=",
    ),
    "cholec: no bar": Broken("cholec80-vqa", write(CHOLEC, "phase\n"), CHOLEC, "line 1 is not", "Mend"),
    "cholec: no answer": Broken("cholec80-vqa", write(CHOLEC, "x?|\n"), CHOLEC, "line 1", "released"),
    "cholec: no UTF-8": Broken("cholec80-vqa", write(CHOLEC, b"\x80|a\n"), CHOLEC, "byte 0", "UTF-8"),
    "cholec: another name": Broken(
        "cholec80-vqa", write("Classification/1/frame.txt", "a|b"), "Classification/1/frame.txt",
        "not named after its frame", "Rename",
    ),
    "cholec: no hundredth frame": Broken(
        "cholec80-vqa",
        lambda root: [path.unlink() for path in root.rglob("*0_QA.txt")],
        "", "has no question in Classification/1", "every=",
    ),
    "cholec: frame missing": Broken(
        "cholec80-vqa", remove("cropped_image/1/100.png"), "", "1 of 4 images", "images=",
    ),
    # Flickr30k
    "flickr30k: blanks for the tab": Broken(
        "flickr30k", write(TOKENS30, "10.jpg#0  A horse .\n"), TOKENS30, "line 1 is not", "tabs",
    ),
    "flickr30k: line twice": Broken(
        "flickr30k", write(TOKENS30, "10.jpg#0\tA\n10.jpg#0\tB\n"), TOKENS30,
        "line 2 has 10.jpg#0 a second time", "Keep one",
    ),
    "flickr30k: image without a caption": Broken(
        "flickr30k", write("train.txt", "20\n21\n"), TOKENS30,
        "no record of 1 images of the split lists, the first is 21.jpg", "same release",
    ),
    "flickr30k: image in two lists": Broken(
        "flickr30k", write("test.txt", "30\n20.jpg\n"), "test.txt", "20.jpg is also in", "one split",
    ),
    "flickr30k: LFS pointer": Broken(
        "flickr30k", write(TOKENS30, "version https://git-lfs.github.com/spec/v1\n"), TOKENS30,
        "Git LFS pointer", "git lfs pull",
    ),
    "flickr30k: zero bytes": Broken(
        "flickr30k", write(TOKENS30, "10.jpg#0\tA\n".encode("utf-16-be")), TOKENS30,
        "zero bytes", "UTF-8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_refused_with_file_cause_and_cure(name, tmp_path):
    is_refused(BROKEN[name], tmp_path)


def test_every_source_is_broken_in_at_least_five_ways():
    """Five kinds: the same cause at another place is none of its own."""
    causes = {name: set() for name in SOURCES}
    tables = BROKEN, BROKEN_JSON, BROKEN_OWN, BROKEN_LAYOUTS, BROKEN_CAPTIONS
    for broken in (broken for table in tables for broken in table.values()):
        causes[broken.source].add(broken.cause)
    assert {name: found for name, found in causes.items() if len(found) < 5} == {}


@pytest.mark.parametrize(
    ("source", "options", "what"),
    [
        ("vqa-v1", {"form": "essay"}, "form=essay is not known"),
        ("gqa", {"kind": "some"}, "kind=some is not known"),
        ("gqa", {"test": "val"}, "test=val is not known"),
        ("pitvqa", {"origin": "film"}, "origin=film is not known"),
        ("pitvqa", {"all_answers": "true"}, "all_answers=true is not known"),
        ("endovis18-vqa", {"form": "Essay"}, "form=Essay is not known"),
        ("cholec80-vqa", {"form": "Essay"}, "form=Essay is not known"),
        ("cholec80-vqa", {"every": "0"}, "every=0 is no such number"),
        ("flickr30k", {"val_share": "1"}, "val_share=1 is no share"),
        ("visual-genome", {"test_share": "much"}, "test_share=much is no share"),
        ("daquar", {"seed": "-1"}, "seed=-1 is no such number"),
        ("table", {"columns": "photo"}, "columns=photo is not a list like"),
        ("table", {"columns": "image:photo"}, "has no column 'photo'; it has image"),
        ("table", {"columns": "image:image,image:a b"}, "has no column 'a b'; it has image"),
        ("imagefolder", {"columns": "caption:prompt"}, "has no column 'prompt'; it has file_name"),
        ("hf-parquet", {"columns": "caption:text"}, "has no column 'text'; it has image, question"),
        ("hf-datasets", {"columns": "size:x"}, "columns=size:x is not a list like"),
    ],
)
def test_options_that_make_no_sense(source, options, what, tmp_path):
    SAMPLES[source](tmp_path)
    with pytest.raises(BadConfig, match=what.replace("(", r"\(")):
        read_source(source, tmp_path, **options)


TEXTS = [
    ("table", TABLE),
    ("flickr30k", TOKENS30),
    ("daquar", DAQUAR),
    ("pitvqa", PIT),
    ("endovis18-vqa", ENDO),
    ("cholec80-vqa", CHOLEC),
    ("easy-vqa", "answers.txt"),
    ("imagefolder", METADATA),
    ("imagefolder", LINES),
    ("hf-parquet", PARQUET),
    ("hf-datasets", ARROW),
]


@pytest.mark.parametrize(("source", "name"), TEXTS)
@settings(max_examples=25)
@example(data=b"\x80", keep=0.13671875)  # the name of a column within a column of an Arrow file
@given(data=st.binary(max_size=120), keep=st.floats(0, 1))
def test_any_bytes_anywhere_are_read_or_refused(tmp_path_factory, source, name, data, keep):
    root = tmp_path_factory.getbasetemp() / f"bytes-{source}"
    if not root.exists():
        SAMPLES[source](root)
    whole = (root / name).read_bytes()
    place = int(len(whole) * keep)
    (root / name).write_bytes(whole[:place] + data + whole[place + len(data) :])
    try:
        with suppress(SaccadeError):
            check(read_source(source, root))
    finally:
        (root / name).write_bytes(whole)
        shutil.rmtree(root / "unpacked-images", ignore_errors=True)


values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers())
PLACES = [
    ("visual-genome", GENOME, (0, "qas", 0)),
    ("visual-genome", GENOME, (0, "qas", 0, "image_id")),
    ("visual-genome", GENOME, (0, "qas")),
    ("visual-genome", LISTED, (0, "url")),
    ("visual-genome", LISTED, (0, "coco_id")),
    ("gqa", GQA, ("0293010",)),
    ("gqa", GQA, ("0293010", "types")),
    ("gqa", GQA, ("0293010", "types", "semantic")),
    ("gqa", GQA, ("0293010", "answer")),
    ("gqa", GQA, ("0293010", "imageId")),
    ("easy-vqa", EASY, (0,)),
    ("easy-vqa", EASY, (0, 2)),
    ("hf-datasets", "dataset_dict.json", ("splits",)),
    ("hf-datasets", "train/state.json", ("_data_files", 0, "filename")),
    ("hf-datasets", "train/state.json", ("_data_files",)),
]


@pytest.mark.parametrize(("source", "name", "place"), PLACES)
@settings(max_examples=20)
@given(value=values)
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory, source, name, place, value):
    is_read_or_refused(tmp_path_factory.getbasetemp(), source, name, place, value)
