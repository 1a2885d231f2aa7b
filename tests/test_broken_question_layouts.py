"""Broken input to the sources whose layout is a file: file, place, cause and cure each time."""

import pickle

import pytest

from tests.broken_input import Broken, change, cut, is_refused, remove, rewrite, write
from tests.question_layouts import save_pickle

OK = "OpenEnded_mscoco_train2014_questions.json"
OK_ANSWERS = "mscoco_train2014_annotations.json"
AOK, VIZ, TEXT = "aokvqa_v1p0_train.json", "Annotations/train.json", "TextVQA_0.5.1_train.json"
ASK, REPLIES = "ask.train.json", "replies.train.json"
OOD, CLEVR = "data/ood_testdev_all.json", "questions/CLEVR_train_questions.json"
LINES, IDS = "train/questions.txt", "train/img_ids.txt"
SEVEN = "dataset_v7w_telling.json"
ABSTRACT = "OpenEnded_abstract_v002_train2015_questions.json"
ABSTRACT_ANSWERS = "abstract_v002_train2015_annotations.json"
PATH = "qas/train/train_qa.pkl"
MED = "ImageClef-2019-VQA-Med-Training/All_QA_Pairs_train.txt"
MED_TEST = "VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt"
POPE, CHART, SCIENCE = "coco_pope_random.json", "train/train_human.json", "problems.json"
LLAVA, BLIP = "instruct_2k.json", "vqa_train.json"


def first(name, field=None, **more):
    """Change fields of the first record, in the list `field` of the file; None takes one out."""

    def how(document):
        records = document[field] if field else document
        for key, value in more.items():
            records[0][key] = value
            if value is None:
                del records[0][key]

    return change(name, how)


def twice(name, field=None):
    return change(name, lambda d: (d[field] if field else d).append((d[field] if field else d)[0]))


def shifted(name, field=None):
    """All records of another file: ids that nobody asks for."""

    def how(document):
        for record in document[field] if field else document:
            record["question_id"] = f"other {record['question_id']}"

    return change(name, how)


def pickled(how):
    def spoil(root):
        records = pickle.loads((root / PATH).read_bytes())
        how(records)
        save_pickle(root / PATH, records)

    return spoil


class Caller:
    """Would create a file where it is unpickled."""

    def __reduce__(self):
        return open, ("called", "w")


BROKEN = {
    # OK-VQA
    "ok-vqa: cut off": Broken("ok-vqa", cut(OK, 0.5), OK, "breaks off", "Copy or download"),
    "ok-vqa: question id twice among answers": Broken(
        "ok-vqa", twice(OK_ANSWERS, "annotations"), OK_ANSWERS, "question_id 1000 twice", "Keep one"
    ),
    "ok-vqa: answers of another part": Broken(
        "ok-vqa", shifted(OK_ANSWERS, "annotations"), OK, "shares no question_id", "same release"
    ),
    "ok-vqa: no answers": Broken(
        "ok-vqa", first(OK_ANSWERS, "annotations", answers=[]), OK, "record 1 has no answer", "test"
    ),
    "ok-vqa: image missing": Broken(
        "ok-vqa",
        remove("train2014/COCO_train2014_000000000101.jpg"),
        "",
        "1 of 6 images",
        "images=",
    ),
    "ok-vqa: question is a list": Broken(
        "ok-vqa", first(OK, "questions", question=["What?"]), OK, "record 1 asks", "text"
    ),
    # A-OKVQA
    "a-okvqa: an object": Broken(
        "a-okvqa",
        write(AOK, {"question": [], "direct_answers": []}),
        AOK,
        "is an object",
        "list sources",
    ),
    "a-okvqa: cut off": Broken("a-okvqa", cut(AOK, 0.7), AOK, "breaks off", "Copy or download"),
    "a-okvqa: another split inside": Broken(
        "a-okvqa",
        first(AOK, split="elsewhere"),
        AOK,
        "record 1 is of split 'elsewhere'",
        "train, val or test",
    ),
    "a-okvqa: answers that are no text": Broken(
        "a-okvqa", first(AOK, direct_answers=[True]), AOK, "record 1 has the answer", "yes"
    ),
    "a-okvqa: without image": Broken(
        "a-okvqa", first(AOK, image_id=None), AOK, "record 1 names no image", "image"
    ),
    "a-okvqa: choices of numbers without end": Broken(
        "a-okvqa", first(AOK, choices=[{}]), AOK, "record 1 has the choices", "text"
    ),
    # VizWiz
    "vizwiz: no JSON": Broken(
        "vizwiz-vqa", write(VIZ, '[{"image": "VizWiz_1.jpg" "question"'), VIZ, "is not JSON", "Mend"
    ),
    "vizwiz: an address for a name": Broken(
        "vizwiz-vqa",
        first(VIZ, image="https://host/VizWiz_1.jpg"),
        VIZ,
        "record 1 names no file, but the address",
        "Download",
    ),
    "vizwiz: answers missing": Broken(
        "vizwiz-vqa", first(VIZ, answers=None), VIZ, "record 1 has no answer", "test"
    ),
    "vizwiz: image missing": Broken(
        "vizwiz-vqa", remove("val/VizWiz_val_00000001.jpg"), "", "1 of 9 images", "images="
    ),
    "vizwiz: half a character": Broken(
        "vizwiz-vqa", first(VIZ, question="\ud800?"), VIZ, "record 1 asks", "text"
    ),
    "vizwiz: empty": Broken(
        "vizwiz-vqa",
        write(VIZ, '["VizWiz_", "question", NaN]'),
        VIZ,
        "a number that JSON does not know",
        "null",
    ),
    # TextVQA
    "textvqa: cut off": Broken("textvqa", cut(TEXT, 0.6), TEXT, "breaks off", "Copy or download"),
    "textvqa: no records": Broken(
        "textvqa",
        write(TEXT, {"data": [], "question": 0}),
        TEXT,
        "holds no records at 'data[]'",
        "released",
    ),
    "textvqa: image missing": Broken(
        "textvqa", remove("test_images/0atest1f2.jpg"), "", "1 of 9 images", "images="
    ),
    "textvqa: another set": Broken(
        "textvqa",
        first(TEXT, "data", set_name="val"),
        TEXT,
        "the name of its file says train",
        "Mend",
    ),
    "textvqa: answers without text": Broken(
        "textvqa", first(TEXT, "data", answers=["", ""]), TEXT, "record 1 has no answer", "test"
    ),
    # VQA's form
    "vqa-form: cut off": Broken("vqa-form", cut(ASK, 0.8), ASK, "breaks off", "Copy or download"),
    "vqa-form: question id twice": Broken(
        "vqa-form", twice(REPLIES, "annotations"), REPLIES, "question_id q1000 twice", "Keep one"
    ),
    "vqa-form: answers of another part": Broken(
        "vqa-form", shifted(REPLIES, "annotations"), ASK, "shares no question_id", "same release"
    ),
    "vqa-form: best answer that nobody gave": Broken(
        "vqa-form",
        first(REPLIES, "annotations", multiple_choice_answer="blue"),
        ASK,
        "best answer 'blue'",
        "answer",
    ),
    "vqa-form: a question of nothing but numbers": Broken(
        "vqa-form", first(ASK, "questions", question=7), ASK, "record 1 asks 7", "text"
    ),
    "vqa-form: image missing": Broken(
        "vqa-form", remove("pictures/151.png"), "", "1 of 6 images", "images="
    ),
    # One's own
    "mapping: cut off": Broken(
        "mapping", cut("mine.json", 0.4), "mine.json", "breaks off", "Copy or download"
    ),
    "mapping: a record that lacks what others have": Broken(
        "mapping",
        rewrite("mine.json", '"asked"', '"asket"'),
        "mine.json",
        "record 1 names",
        "Write",
    ),
    "mapping: no question": Broken(
        "mapping",
        write("mine.json", {"scenes": [], "asked": 1, "q": 1, "text": 1}),
        "mine.json",
        "holds no records",
        "mend the mapping",
    ),
    "mapping: answers of no text": Broken(
        "mapping",
        rewrite("mine.json", '"a berry"', "false"),
        "mine.json",
        "record 1 has the answer",
        "yes",
    ),
    "mapping: unknown split": Broken(
        "mapping",
        rewrite("mine.json", '"train"', '"some"'),
        "mine.json",
        "record 1 is of split 'some'",
        "train, val or test",
    ),
    "mapping: image missing": Broken(
        "mapping", remove("images/00150.png"), "", "1 of 9 images", "images="
    ),
    # VQA-CP
    **{
        f"vqa-cp {version}: {what}": Broken(f"vqa-cp-{version}", spoil, names, cause, hint)
        for version in ("v1", "v2")
        for q, a in (
            (f"vqacp_{version}_train_questions.json", f"vqacp_{version}_train_annotations.json"),
        )
        for what, spoil, names, cause, hint in (
            ("cut off", cut(q, 0.5), q, "breaks off", "Copy or download"),
            ("question id twice", twice(a), a, "question_id 1000 twice", "Keep one"),
            ("answers of test", shifted(a), q, "shares no question_id", "same release"),
            ("no coco_split", first(q, coco_split=7), "", "1 of 8 images", "images="),
            (
                "best answer that nobody gave",
                first(a, multiple_choice_answer="blue"),
                q,
                "best answer 'blue'",
                "answer",
            ),
            ("no answers", remove(a), q, "record 1 has no answer", "test"),
        )
    },
    # GQA-OOD
    "gqa-ood: cut off": Broken("gqa-ood", cut(OOD, 0.5), OOD, "breaks off", "Copy or download"),
    "gqa-ood: a list": Broken(
        "gqa-ood", write(OOD, [{"imageId": "1"}]), OOD, "is a list", "list sources"
    ),
    "gqa-ood: a key of words": Broken(
        "gqa-ood", rewrite(OOD, '"200"', '"a200"'), OOD, "one key is 'a200'", "GQA"
    ),
    "gqa-ood: image of words": Broken(
        "gqa-ood", rewrite(OOD, '"n578223"', '"cat"'), OOD, "about image 'cat'", "numbers"
    ),
    "gqa-ood: image missing": Broken(
        "gqa-ood", remove("images/n578223.jpg"), "", "1 of 2 images", "images="
    ),
    "gqa-ood: no answer": Broken(
        "gqa-ood",
        rewrite("data/ood_val_all.json", '"answer"', '"reply"'),
        "data/ood_val_all.json",
        "1 of 3 questions have no answer",
        "released",
    ),
    # CLEVR
    "clevr: cut off": Broken("clevr", cut(CLEVR, 0.5), CLEVR, "breaks off", "Copy or download"),
    "clevr: no answer": Broken(
        "clevr", first(CLEVR, "questions", answer=None), CLEVR, "record 1 has no answer", "test"
    ),
    "clevr: no image": Broken(
        "clevr",
        first(CLEVR, "questions", image_filename=None),
        CLEVR,
        "record 1 names no image",
        "image",
    ),
    "clevr: image missing": Broken(
        "clevr", remove("images/val/CLEVR_val_000001.png"), "", "1 of 6 images", "images="
    ),
    "clevr: no number": Broken(
        "clevr",
        rewrite(CLEVR, '"image_index": 0', '"image_index": NaN'),
        CLEVR,
        "a number that JSON does not know",
        "null",
    ),
    # COCO-QA
    "coco-qa: a line too few": Broken(
        "coco-qa",
        write("train/answers.txt", "white\ntwo\n"),
        LINES,
        "not equally many lines",
        "same release",
    ),
    "coco-qa: no UTF-8": Broken(
        "coco-qa", write(LINES, b"\xff\xfe\n"), LINES, "is not UTF-8", "UTF-8"
    ),
    "coco-qa: file missing": Broken("coco-qa", remove(IDS), IDS, "no such file", "--root"),
    "coco-qa: no answer": Broken(
        "coco-qa",
        write("train/answers.txt", "white\n\ncat\n"),
        LINES,
        "line 2 has no answer",
        "test",
    ),
    "coco-qa: image missing": Broken(
        "coco-qa", write(IDS, "600\n601\n99\n"), "", "1 of 6 images", "images="
    ),
    "coco-qa: a web page": Broken(
        "coco-qa", write(LINES, "<!DOCTYPE html>\n"), LINES, "web page", "download again"
    ),
    # Visual7W
    "visual7w: cut off": Broken(
        "visual7w", cut(SEVEN, 0.5), SEVEN, "breaks off", "Copy or download"
    ),
    "visual7w: no pairs": Broken(
        "visual7w",
        change(SEVEN, lambda d: [i.update(qa_pairs=[]) for i in d["images"]]),
        SEVEN,
        "holds no records",
        "released",
    ),
    "visual7w: no answer": Broken(
        "visual7w",
        change(SEVEN, lambda d: d["images"][0]["qa_pairs"][0].pop("answer")),
        SEVEN,
        "record 1 has no answer",
        "test",
    ),
    "visual7w: unknown split": Broken(
        "visual7w",
        rewrite(SEVEN, '"train"', '"some"'),
        SEVEN,
        "record 1 is of split 'some'",
        "train, val or test",
    ),
    "visual7w: choices of no text": Broken(
        "visual7w",
        rewrite(SEVEN, '"A cat."', "null, [1]"),
        SEVEN,
        "record 1 has the choices",
        "text",
    ),
    "visual7w: image missing": Broken(
        "visual7w", remove("images/v7w_150.jpg"), "", "1 of 6 images", "images="
    ),
    # VQA's abstract scenes
    "vqa-abstract: cut off": Broken(
        "vqa-abstract", cut(ABSTRACT, 0.5), ABSTRACT, "breaks off", "Copy or download"
    ),
    "vqa-abstract: question id twice": Broken(
        "vqa-abstract",
        twice(ABSTRACT_ANSWERS, "annotations"),
        ABSTRACT_ANSWERS,
        "question_id 0 twice",
        "Keep one",
    ),
    "vqa-abstract: answers of another part": Broken(
        "vqa-abstract",
        shifted(ABSTRACT_ANSWERS, "annotations"),
        ABSTRACT,
        "shares no question_id",
        "same release",
    ),
    "vqa-abstract: best answer that nobody gave": Broken(
        "vqa-abstract",
        first(ABSTRACT_ANSWERS, "annotations", multiple_choice_answer="blue"),
        ABSTRACT,
        "best answer 'blue'",
        "answer",
    ),
    "vqa-abstract: image missing": Broken(
        "vqa-abstract",
        remove("scene_img_abstract_v002_train2015/abstract_v002_train2015_000000000002.png"),
        "",
        "1 of 6 images",
        "images=",
    ),
    # ViVQA
    "vivqa: fields too many": Broken(
        "vivqa",
        rewrite("train.csv", ",557,", ",557,8,"),
        "train.csv",
        "line 2 has 6 fields",
        "Quote",
    ),
    "vivqa: quotation without end": Broken(
        "vivqa",
        rewrite("train.csv", "màu của", '"màu của'),
        "train.csv",
        "cannot be read as a table",
        "Quote",
    ),
    "vivqa: no answer": Broken(
        "vivqa", rewrite("train.csv", "màu trắng", ""), "train.csv", "line 2 has no answer", "test"
    ),
    "vivqa: no image": Broken(
        "vivqa", rewrite("train.csv", "557", ""), "train.csv", "line 2 names no image", "image"
    ),
    "vivqa: image missing": Broken(
        "vivqa", remove("images/000000000557.jpg"), "", "1 of 7 images", "images="
    ),
    # SLAKE
    "slake: cut off": Broken(
        "slake", cut("train.json", 0.5), "train.json", "breaks off", "Copy or download"
    ),
    "slake: an object": Broken(
        "slake",
        write("train.json", {"q_lang": "", "question": ""}),
        "train.json",
        "is an object",
        "list sources",
    ),
    "slake: no answer": Broken(
        "slake",
        change("validate.json", lambda records: [record.pop("answer") for record in records]),
        "validate.json",
        "has no record with answer",
        "released",
    ),
    "slake: image missing": Broken(
        "slake", remove("imgs/xmlab4/source.jpg"), "", "1 of 9 images", "images="
    ),
    "slake: image that is a number": Broken(
        "slake",
        first("train.json", img_name=3),
        "train.json",
        "record 1 names no image, but 3",
        "name",
    ),
    # PathVQA
    "pathvqa: a pickle that calls": Broken(
        "pathvqa",
        lambda root: save_pickle(root / PATH, [Caller()]),
        PATH,
        "which is no plain value",
        "Copy it again",
    ),
    "pathvqa: cut off": Broken(
        "pathvqa", cut(PATH, 0.5), PATH, "is not a whole pickle", "Copy it again"
    ),
    "pathvqa: a dictionary": Broken(
        "pathvqa",
        lambda root: save_pickle(root / PATH, {"a": 1}),
        PATH,
        "holds a dict where a list",
        "file that this source names",
    ),
    "pathvqa: no answer": Broken(
        "pathvqa", pickled(lambda r: r[0].pop("answer")), PATH, "record 1 has no answer", "test"
    ),
    "pathvqa: no image": Broken(
        "pathvqa", pickled(lambda r: r[1].pop("image")), PATH, "record 2 names no image", "image"
    ),
    "pathvqa: image missing": Broken(
        "pathvqa", remove("images/val/val_0001.jpg"), "", "1 of 9 images", "images="
    ),
    # VQA-Med
    "vqa-med: no bar": Broken(
        "vqa-med-2019",
        write(MED, "synpic100 is this?\n"),
        MED,
        "line 1 is not of the form",
        "released",
    ),
    "vqa-med: no answer": Broken(
        "vqa-med-2019", write(MED, "synpic100|is this?|#\n"), MED, "line 1 has no answer", "test"
    ),
    "vqa-med: no UTF-8": Broken(
        "vqa-med-2019", write(MED_TEST, b"\xff|a?|b\n"), MED_TEST, "is not UTF-8", "UTF-8"
    ),
    "vqa-med: image missing": Broken(
        "vqa-med-2019", write(MED, "synpic9|is this?|no\n"), "", "1 of 6 images", "images="
    ),
    "vqa-med: zero bytes": Broken(
        "vqa-med-2019", write(MED, "a|b?|c\n".encode("utf-16-le")), MED, "zero bytes", "UTF-8"
    ),
    # POPE
    "pope: no JSON": Broken(
        "pope", rewrite(POPE, '"image":', '"image"'), POPE, "is not JSON", "Mend"
    ),
    "pope: a line without image": Broken(
        "pope", rewrite(POPE, '"image"', '"picture"'), POPE, "line 1 names no image", "image"
    ),
    "pope: a label of no text": Broken(
        "pope", rewrite(POPE, '"yes"', "[{}]"), POPE, "line 2 has the answer", "text"
    ),
    "pope: a question of no text": Broken(
        "pope",
        rewrite(POPE, '"Is there a random in the image?"', "{}"),
        POPE,
        "line 1 asks",
        "text",
    ),
    "pope: image missing": Broken(
        "pope", remove("val2014/COCO_val2014_000000000003.jpg"), "", "1 of 4 images", "images="
    ),
    "pope: not a number": Broken(
        "pope",
        rewrite(POPE, '"question_id": 2', '"question_id": NaN'),
        POPE,
        "line 2 holds a number",
        "mend it",
    ),
    # ChartQA
    "chartqa: cut off": Broken("chartqa", cut(CHART, 0.5), CHART, "breaks off", "Copy or download"),
    "chartqa: no label": Broken(
        "chartqa", first(CHART, label=None), CHART, "record 1 has no answer", "test"
    ),
    "chartqa: a question of no text": Broken(
        "chartqa", first(CHART, query=1), CHART, "record 1 asks 1", "text"
    ),
    "chartqa: image missing": Broken(
        "chartqa", remove("val/png/150.png"), "", "1 of 18 images", "images="
    ),
    "chartqa: a label that is a truth": Broken(
        "chartqa", first(CHART, label=True), CHART, "record 1 has the answer", "yes"
    ),
    # ScienceQA
    "scienceqa: cut off": Broken(
        "scienceqa", cut(SCIENCE, 0.5), SCIENCE, "breaks off", "Copy or download"
    ),
    "scienceqa: a choice that there is not": Broken(
        "scienceqa",
        change(SCIENCE, lambda d: d["101"].update(answer=2)),
        SCIENCE,
        "record 2 has no answer",
        "test",
    ),
    "scienceqa: unknown split": Broken(
        "scienceqa",
        change(SCIENCE, lambda d: d["101"].update(split="all")),
        SCIENCE,
        "record 2 is of split 'all'",
        "train, val or test",
    ),
    "scienceqa: a list": Broken(
        "scienceqa",
        write(SCIENCE, [{"choices": [], "question": 1}]),
        SCIENCE,
        "is a list",
        "list sources",
    ),
    "scienceqa: choices of no text": Broken(
        "scienceqa",
        change(SCIENCE, lambda d: d["101"].update(answer=0, choices=["a", {}])),
        SCIENCE,
        "record 2 has the choices",
        "text",
    ),
    "scienceqa: image missing": Broken(
        "scienceqa", remove("images/train/101/image.png"), "", "1 of 6 images", "images="
    ),
    # LLaVA
    "llava: cut off": Broken("llava", cut(LLAVA, 0.5), LLAVA, "breaks off", "Copy or download"),
    "llava: nobody replies": Broken(
        "llava",
        change(LLAVA, lambda d: d[0]["conversations"].pop()),
        LLAVA,
        "record 3 has no answer",
        "test",
    ),
    "llava: speech of no text": Broken(
        "llava",
        change(LLAVA, lambda d: d[0]["conversations"][0].update(value=3)),
        LLAVA,
        "record 1 asks 3",
        "text",
    ),
    "llava: several images": Broken(
        "llava",
        first(LLAVA, image=["a.jpg", "b.jpg"]),
        LLAVA,
        "record 1 names no image, but ['a.jpg'",
        "name",
    ),
    "llava: image missing": Broken(
        "llava", remove("train2017/000000000007.jpg"), "", "1 of 20 images", "images="
    ),
    # Lists of BLIP
    "blip: cut off": Broken("blip-vqa", cut(BLIP, 0.5), BLIP, "breaks off", "Copy or download"),
    "blip: no answer": Broken(
        "blip-vqa", first(BLIP, answer=[]), BLIP, "record 1 has no answer", "test"
    ),
    "blip: an address": Broken(
        "blip-vqa",
        first(BLIP, image="http://host/a.jpg"),
        BLIP,
        "record 1 names no file, but the address",
        "Download",
    ),
    "blip: a whole path": Broken(
        "blip-vqa",
        first(BLIP, image="/data/coco/a.jpg"),
        BLIP,
        "outside of the folder of images",
        "relative",
    ),
    "blip: image missing": Broken(
        "blip-vqa", remove("VG_100K_2/7.jpg"), "", "1 of 10 images", "images="
    ),
    "blip: an object": Broken(
        "blip-vqa",
        write(BLIP, {"dataset": 1, "image": 2, "question": 3}),
        BLIP,
        "is an object",
        "list sources",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_refused_with_file_cause_and_cure(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    is_refused(BROKEN[name], tmp_path)
    assert not (tmp_path / "called").exists()
