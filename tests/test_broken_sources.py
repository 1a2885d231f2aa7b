# ruff: noqa: E501 - a table of cases, most of them one line long
"""Broken input to the sources with layouts of their own: file, place, cause and cure each time."""

import shutil
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saccade.data.checks import check
from saccade.data.sources import SOURCES, read_source
from saccade.errors import BadConfig, BadData, SaccadeError
from tests.source_samples import (
    OWN_TABLE,
    PIT_LINES,
    SAMPLES,
    hf_table,
    save,
    save_arrow,
    vqa_questions,
)
from tests.test_broken_files import BROKEN as BROKEN_JSON
from tests.test_broken_files import Broken, change, cut, remove, write

V1 = "OpenEnded_mscoco_train2014_questions.json"
GENOME, LISTED = "question_answers.json", "image_data.json"
GQA = "questions/train_balanced_questions.json"
DAQUAR = "qa.894.raw.train.txt"
EASY = "train/questions.json"
PIT = "QA/video_01/00003.txt"
ENDO = "seq_1/vqa/Classification/frame120_QA.txt"
CHOLEC = "Classification/1/0_QA.txt"
TOKENS30 = "results_20130124.token"
TABLE = "mine.csv"
ARROW = "train/data-00000-of-00001.arrow"


def gqa(**fields):
    return change(GQA, lambda document: document["0293010"].update(fields))


def genome(**fields):
    return change(GENOME, lambda document: document[3]["qas"][1].update(fields))


def rewrite(name, old, new):
    def spoil(root):
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return spoil


def arrow(**columns):
    def spoil(root):
        table = hf_table(0, 3)
        for name, values in columns.items():
            place = table.schema.get_field_index(name)
            table = table.remove_column(place) if place >= 0 else table
            table = table if values is None else table.append_column(name, [values])
        save_arrow(root / "train", table)

    return spoil


BROKEN = {
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
        'picture number 3 has no list "qas"', "released question_answers.json",
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
        "visual-genome", genome(answer="  "), GENOME, "question 41 (picture 4) has an empty", "leave",
    ),
    "genome: unlisted picture": Broken(
        "visual-genome", genome(image_id=77), LISTED,
        "does not list 1 pictures that are asked about, the first is 77", "same version",
    ),
    "genome: picture list of another kind": Broken(
        "visual-genome", write(LISTED, {"images": []}), LISTED, "an object {…} where a list", "list",
    ),
    # GQA
    "gqa: cut off": Broken("gqa", cut(GQA, 0.5), GQA, "breaks off", "again"),
    "gqa: a list": Broken("gqa", write(GQA, []), GQA, "a list […] where an object", "list sources"),
    "gqa: empty": Broken("gqa", write(GQA, {}), GQA, "not a dictionary", "released file"),
    "gqa: another dictionary": Broken(
        "gqa", write(GQA, {"a": {"imageId": "1", "question": "?"}}), GQA, "one key is 'a'", "released",
    ),
    "gqa: no picture": Broken(
        "gqa", change(GQA, lambda d: d["0293010"].pop("imageId")), GQA, 'no field "imageId"', "Mend",
    ),
    "gqa: picture is no number": Broken(
        "gqa", gqa(imageId="cat"), GQA, "question 0293010 is about picture 'cat'", '"n578223"',
    ),
    "gqa: answer is a number": Broken(
        "gqa", gqa(answer=3), GQA, "the answer of question 0293010 is 3, not text", "Mend",
    ),
    "gqa: training questions without answers": Broken(
        "gqa", change(GQA, lambda d: d["0293010"].pop("answer")), GQA,
        "1 of 3 questions have no answer", "released file",
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
        "pitvqa", remove("images/video_01/00005.png"), "", "1 of 4 pictures are not there", "images=",
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
        "endovis18-vqa", remove("seq_1/left_frames/frame120.png"), "", "1 of 4 pictures", "images=",
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
    # Flickr30k
    "flickr30k: blanks for the tab": Broken(
        "flickr30k", write(TOKENS30, "10.jpg#0  A horse .\n"), TOKENS30, "line 1 is not", "tabs",
    ),
    "flickr30k: line twice": Broken(
        "flickr30k", write(TOKENS30, "10.jpg#0\tA\n10.jpg#0\tB\n"), TOKENS30,
        "line 2 has 10.jpg#0 a second time", "Keep one",
    ),
    "flickr30k: picture without a caption": Broken(
        "flickr30k", write("train.txt", "20\n21\n"), TOKENS30,
        "no caption for 1 pictures of the split lists, the first is 21.jpg", "same release",
    ),
    "flickr30k: picture in two lists": Broken(
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
    # A table of one's own
    "table: no picture column": Broken(
        "table", rewrite(TABLE, "image,", "photo,"), TABLE,
        "has no column of pictures (image); it has photo, question, answer", "columns=image:photo",
    ),
    "table: neither question nor caption": Broken(
        "table", rewrite(TABLE, "question,", "asked,"), TABLE, "no column of questions or", "columns=",
    ),
    "table: row too long": Broken(
        "table", rewrite(TABLE, '"Black, or white?"', "Black, or white?"), TABLE,
        "line 3 has 5 fields, line 1 has 4", "Quote a field",
    ),
    "table: quote never closed": Broken(
        "table", rewrite(TABLE, "a cat|cat|cat", '"a cat'), TABLE, "cannot be read as a table", "Quote",
    ),
    "table: no answer": Broken(
        "table", rewrite(TABLE, "a cat|cat|cat", " | "), TABLE,
        "line 2 has no answer to 'What is it?'", "split test",
    ),
    "table: unknown split": Broken(
        "table", rewrite(TABLE, ",val", ",later"), TABLE, "line 4 is of split 'later'", "train, val",
    ),
    "table: split here and there": Broken(
        "table", rewrite(TABLE, ",val", ","), TABLE, "line 4 has no split, but others have", "Fill",
    ),
    "table: no picture": Broken(
        "table", rewrite(TABLE, "dog.jpg", ""), TABLE, "line 4 names no picture, but ''", "name",
    ),
    "table: broken list": Broken(
        "table", rewrite(TABLE, '""dog|wolf""]', '""dog|wolf'), TABLE, "line 4 has a broken list", "|",
    ),
    "table: column twice": Broken(
        "table", rewrite(TABLE, "question,answer", "question,question"), TABLE,
        "two columns named 'question'", "own name",
    ),
    "table: row says nothing": Broken(
        "table", rewrite(TABLE, 'What is it?,"[', ',"['), TABLE, "line 4 says nothing", "leave",
    ),
    "table: only a header": Broken(
        "table", write(TABLE, "image,question,answer\n"), "", "there is not one row", "--root",
    ),
    "table: UTF-16 as spreadsheets save it": Broken(
        "table", write(TABLE, OWN_TABLE.encode("utf-16")), TABLE, "byte 0 is 0xff", "UTF-8",
    ),
    "table: picture missing": Broken(
        "table", remove("images/dog.jpg"), "", "1 of 2 pictures are not there", "images=FOLDER",
    ),
    # A folder of Hugging Face datasets
    "hf: Arrow cut off": Broken("hf-datasets", cut(ARROW, 0.4), ARROW, "not a whole Arrow", "again"),
    "hf: Arrow is text": Broken("hf-datasets", write(ARROW, "x" * 99), ARROW, "not a whole", "again"),
    "hf: Arrow file missing": Broken("hf-datasets", remove(ARROW), ARROW, "is missing", "whole folder"),
    "hf: state missing": Broken(
        "hf-datasets", remove("train/state.json"), "train/state.json", "no such file", "--root",
    ),
    "hf: state without files": Broken(
        "hf-datasets", write("train/state.json", {"a": 1}), "train/state.json",
        'no list "_data_files"', "save_to_disk",
    ),
    "hf: a choice of rows": Broken(
        "hf-datasets",
        change("train/state.json", lambda d: d.update(_indices_data_files=[{"filename": "i"}])),
        "train/state.json", "keeps a choice of rows", "flatten_indices",
    ),
    "hf: unknown split": Broken(
        "hf-datasets", write("dataset_dict.json", {"splits": ["train", "extra"]}),
        "dataset_dict.json", "has the split 'extra'", "save again",
    ),
    "hf: no splits": Broken(
        "hf-datasets", write("dataset_dict.json", {}), "dataset_dict.json", 'no list "splits"', "Save",
    ),
    "hf: no questions": Broken(
        "hf-datasets", arrow(question=None, caption=None), ARROW, "no column of questions", "columns=",
    ),
    "hf: no answer": Broken(
        "hf-datasets", arrow(answers=[["a"], [], ["b"]]), ARROW, "row 2 has no answer", "split test",
    ),
    "hf: picture of unknown kind": Broken(
        "hf-datasets", arrow(image=[{"bytes": b"rubbish", "path": None}] * 3), ARROW,
        "row 1 has a picture of unknown kind", "JPEG",
    ),
    "hf: no picture": Broken(
        "hf-datasets", arrow(image=["a.jpg", None, "b.jpg"]), ARROW, "row 2 names no picture", "name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_refused_with_file_cause_and_cure(name, tmp_path):
    broken = BROKEN[name]
    SAMPLES[broken.source](tmp_path)
    check(read_source(broken.source, tmp_path))  # good so far
    broken.spoil(tmp_path)
    with pytest.raises(BadData) as caught:
        check(read_source(broken.source, tmp_path))
    error = caught.value
    assert error.where == str(tmp_path / broken.names)
    assert broken.cause in error.what
    assert broken.cure in error.cure
    assert "\n" not in str(error)
    assert len(str(error)) < 400 + 2 * len(str(tmp_path))


def test_every_source_is_broken_in_at_least_five_ways():
    kinds = Counter(broken.source for broken in (*BROKEN.values(), *BROKEN_JSON.values()))
    assert kinds.keys() == SOURCES.keys()
    assert {name: n for name, n in kinds.items() if n < 5} == {}


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
        ("table", {"columns": "image:picture"}, "has no column 'picture'; it has image"),
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
        shutil.rmtree(root / "unpacked-pictures", ignore_errors=True)


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
    import json

    root = tmp_path_factory.getbasetemp() / f"values-{source}"
    if not root.exists():
        SAMPLES[source](root)
    whole = (root / name).read_text()
    document = json.loads(whole)
    parent = document
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    save(root / name, document)
    try:
        with suppress(SaccadeError):
            check(read_source(source, root))
    finally:
        (root / name).write_text(whole)
