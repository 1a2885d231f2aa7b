"""Files of predictions that other programs wrote: read, matched by ids, and scored as runs are."""

import csv
import json
import re
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.core.errors import BadCheckpoint, BadConfig, BadData, BadRun, SaccadeWarning
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Caption, Collection, ImageRecord, Question, ReleasedId
from saccade.evaluation import baselines
from saccade.evaluation.scoring import read_rows
from saccade.interop.prediction_files import read_predictions
from saccade.interop.prediction_ids import match_predictions
from saccade.metrics.ptb import coco_words
from tests.oracles.official_vqa_scorer import leave_one_out, normalised_2021
from tests.worlds import make_world

PEOPLE = (
    ["yes"] * 10,
    ["2"] * 6 + ["two"] * 4,
    ["red"] * 9 + ["a red one"],
    ["no"] * 4 + ["3"] * 6,
)


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def lines(values):
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Questions and captions, two questions an image."""
    return make_world(tmp_path_factory.mktemp("score") / "data", train=4, val=4)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One question an image, as in VizWiz, with released ids that are GQA's in one of them."""
    root = tmp_path_factory.mktemp("single")

    def make(source, ids=(1, 2, 3, 4), released=()):
        images = [ImageRecord(n, f"val/VizWiz_val_{n:08}.jpg", "val") for n in range(4)]
        images.append(ImageRecord(9, "train/a.jpg", "train"))
        asked = [
            Question(id_, n, f"What is {n}?", "val", tuple(people), people[0], "other", "what")
            for n, (id_, people) in enumerate(zip(ids, PEOPLE, strict=True))
        ]
        asked.append(Question(10**9, 9, "What is it?", "train", ("yes",) * 10, "yes", "other", ""))
        made = Collection(source, str(root), images, asked, released_ids=released)
        write_folder(root / source, made)
        return DataFolder(root / source)

    return make


def answers(folder, change=str):
    return {q.id: change(q.best_answer) for q in folder.questions("val")}


# Layouts: each file gives the same answers.


def vqa_server(path, found, folder):
    return write(path / "a.json", [{"question_id": i, "answer": a} for i, a in found.items()])


def gqa_server(path, found, folder):
    rows = [{"questionId": str(i), "prediction": a} for i, a in found.items()]
    return write(path / "a.json", rows)


def mapping(path, found, folder):
    return write(path / "a.json", {str(i): a for i, a in found.items()})


def mapping_of_records(path, found, folder):
    return write(path / "a.json", {str(i): {"pred": a, "gt": "x"} for i, a in found.items()})


def list_in_an_object(path, found, folder):
    rows = [{"question_id": i, "answer": a} for i, a in found.items()]
    return write(path / "a.json", {"info": {"version": 1}, "results": rows})


def llava_lines(path, found, folder):
    rows = ({"question_id": i, "prompt": None, "text": a} for i, a in found.items())
    return write(path / "a.jsonl", lines(rows))


def comma_table(path, found, folder):
    with (path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Question ID", "Predicted Answer", "answer"])
        writer.writerows([i, a, "the truth"] for i, a in found.items())
    return path / "a.csv"


def tab_table(path, found, folder):
    rows = "".join(f"{i}\t{a}\n" for i, a in found.items())
    return write(path / "a.tsv", f"id\tresponse\n{rows}")


def parquet(path, found, folder):
    columns = {"question_id": np.array([*found], float), "answer": [*found.values()]}
    pq.write_table(pa.table(columns), path / "a.parquet")
    return path / "a.parquet"


def lmms_eval_by_place(path, found, folder):
    texts = {q.id: q.text for q in folder.questions("val")}
    rows = [
        {
            "doc_id": n, "target": "['x']", "filtered_resps": [a], "exact_match": 1.0,
            "doc_hash": "0", "input": f"<image>{texts[i]}\nAnswer in a word.",
        }
        for n, (i, a) in enumerate(found.items())
    ]  # fmt: skip
    return write(path / "2026_samples_vqav2_val.jsonl", lines(reversed(rows)))


def lmms_eval_by_id(path, found, folder):
    rows = (
        {
            "doc_id": 0, "target": "x", "filtered_resps": [[a]],
            "submission": {"question_id": i, "answer": a.lower()},
        }
        for i, a in found.items()
    )  # fmt: skip
    return write(path / "2026_samples_textvqa_val.jsonl", lines(rows))


def lmms_eval_log(path, found, folder):
    rows = [
        {"doc_id": 7, "doc": {"question_id": i, "image": None}, "filtered_resps": [a]}
        for i, a in found.items()
    ]
    return write(path / "vqav2.json", {"args": {}, "model_configs": {}, "logs": rows})


def vlmevalkit(path, found, folder):
    openpyxl = pytest.importorskip("openpyxl")
    texts = {q.id: q.text for q in folder.questions("val")}
    book = openpyxl.Workbook()
    book.active.append(["index", "question", "answer", "prediction"])
    for n, (i, a) in enumerate(found.items()):
        book.active.append([n, texts[i], "['truth']", a])
    book.save(path / "model_VQAv2_VAL.xlsx")
    return path / "model_VQAv2_VAL.xlsx"


def pytorch_vqa(path, found, folder):
    """What its last epoch saves, in the order of its batches, as lists of tensors."""
    listed = sorted({*found.values()})
    order = [*range(len(found))][::-1]
    texts = [*found.values()]
    log = {
        "name": "run",
        "weights": {"module.x": torch.zeros(3)},
        "eval": {
            "answers": list(torch.tensor([listed.index(texts[n]) for n in order])),
            "accuracies": list(torch.ones(len(found))),
            "idx": list(torch.tensor(order)),
        },
        "vocab": {"question": {"a": 1}, "answer": {text: n for n, text in enumerate(listed)}},
    }
    torch.save(log, path / "log.pth")
    return path / "log.pth"


QUESTION_LAYOUTS = (
    *(vqa_server, gqa_server, mapping, mapping_of_records, list_in_an_object, llava_lines),
    *(comma_table, tab_table, parquet, lmms_eval_by_place, lmms_eval_by_id, vlmevalkit),
    *(lmms_eval_log, pytorch_vqa),
)


@pytest.mark.parametrize("layout", QUESTION_LAYOUTS, ids=lambda one: one.__name__)
def test_answers_of_every_layout(folder, tmp_path, layout):
    found = answers(folder, lambda answer: f"{answer}, I think")
    matched = match_predictions(read_predictions(layout(tmp_path, found, folder)), folder)
    assert (matched.task, matched.split) == ("vqa", "val")
    assert matched.texts == found
    assert list(matched.texts) == [q.id for q in folder.questions("val")]


def image_captioning_pytorch(path, found, folder):
    """`vis.json` of a folder of images: its ids are numbers of its own, its files are known."""
    files = {image.id: image.file for image in folder.images("val")}
    rows = [
        {"image_id": n + 500_000, "caption": text, "perplexity": 1.5, "file_name": f"in/{files[i]}"}
        for n, (i, text) in enumerate(found.items())
    ]
    return write(path / "vis.json", rows)


def saved_captions(path, found, folder):
    rows = [{"image_id": i, "caption": text, "entropy": 0.5} for i, text in found.items()]
    torch.save((rows, []), path / ".saved_pred_fc_val.pth")
    return path / ".saved_pred_fc_val.pth"


def scored_captions(path, found, folder):
    scored = {str(i): {"image_id": i, "CIDEr": 1.0, "caption": text} for i, text in found.items()}
    return write(path / "fc_val.json", {"overall": {"CIDEr": 1.0}, "imgToEval": scored})


def coco_server(path, found, folder):
    return write(path / "a.json", [{"image_id": i, "caption": t} for i, t in found.items()])


def vlmevalkit_captions(path, found, folder):
    human = folder.captions_by_image("val")
    head = "index\tanswer\tquestion\tprediction\n"
    rows = (
        f"{n}\t{[caption.text for caption in human[i]]}\tDescribe it.\t{text}\n"
        for n, (i, text) in enumerate(found.items())
    )
    return write(path / "model_COCO_VAL.tsv", head + "".join(rows))


@pytest.mark.parametrize(
    "layout",
    [
        image_captioning_pytorch, saved_captions, scored_captions, coco_server, mapping,
        vlmevalkit_captions,
    ],
    ids=lambda one: one.__name__,
)  # fmt: skip
def test_captions_of_every_layout(folder, tmp_path, layout):
    # a mapping does not say what its texts are: the keys of images are none of questions
    found = {id_: f"A thing {id_}." for id_ in folder.captions_by_image("val")}
    matched = match_predictions(read_predictions(layout(tmp_path, found, folder)), folder)
    assert (matched.task, matched.split) == ("caption", "val")
    assert matched.texts == found


def test_ids_as_servers_have_them(single, tmp_path):
    vizwiz = single("vizwiz-vqa")
    rows = [{"image": f"VizWiz_val_{n:08}.jpg", "answer": str(n)} for n in range(4)]
    file = read_predictions(write(tmp_path / "v.json", rows))
    assert match_predictions(file, vizwiz).texts == {1: "0", 2: "1", 3: "2", 4: "3"}
    gqa = single("gqa", ids=(102930152, 1020000, 105, 1201307251))
    ids = ("02930152", "020000", "05", "201307251")
    rows = [{"questionId": id_, "prediction": id_} for id_ in ids]
    file = read_predictions(write(tmp_path / "g.json", rows))
    assert tuple(match_predictions(file, gqa).texts.values()) == ids
    released = [ReleasedId("question", n, f"val-{n}-q") for n in (1, 2, 3, 4)]
    own = single("table", released=released)
    found = {f"val-{n}-q": "x" for n in (1, 2, 3, 4)}
    file = read_predictions(write(tmp_path / "o.json", found))
    assert match_predictions(file, own).missing == 0


# Broken files: the cause is named, and the place.


def test_missing_extra_and_doubled_ids_are_refused(folder, tmp_path):
    found = answers(folder)
    ids = [*found]

    def match(rows, **options):
        path = write(tmp_path / "a.json", [{"question_id": i, "answer": a} for i, a in rows])
        return match_predictions(read_predictions(path), folder, **options)

    few = [*found.items()][:-2]
    with pytest.raises(BadData, match=rf"2 of the 8 questions of the val .* {ids[-2]}, {ids[-1]}"):
        match(few)
    matched = match(few, missing="wrong")
    assert matched.missing == 2
    assert [matched.texts[id_] for id_ in ids[-2:]] == ["", ""]
    with pytest.raises(BadData, match=r"1 of 9 .* question_id '999' \(record 9\)"):
        match([*found.items(), (999, "x")])
    assert match([*found.items(), (999, "x")], extra="ignore").texts == found
    with pytest.raises(BadData, match=rf"question_id {ids[0]} \(record 1 and record 9\)"):
        match([*found.items(), (ids[0], "x")], extra="ignore", missing="wrong")
    with pytest.raises(BadData, match=r"question_id '5001'.* questions '40'"):
        match([(5001, "x"), (5002, "x")])
    with pytest.raises(BadData, match="train split"):
        match(found.items(), split="train")
    with pytest.raises(BadConfig, match="wrong"):
        match(few, missing="zero")


@pytest.mark.parametrize("text", ["answer", "caption"])
def test_texts_of_a_kind_that_the_data_have_none_of(tmp_path, text):
    """Else answers of one image look like ids that stand twice."""
    image = ImageRecord(1, "1.png", "val")
    question = Question(1, 1, "What is it?", "val", ("a",) * 10, "a", "other", "what")
    held = {
        "answer": {"captions": [Caption(1, 1, "a", ("a",), "val")]},
        "caption": {"questions": [question]},
    }[text]
    write_folder(tmp_path / "data", Collection("table", str(tmp_path), [image], **held))
    data = DataFolder(tmp_path / "data")
    path = write(tmp_path / "a.json", [{"image_id": 1, text: one} for one in "ab"])
    with pytest.raises(BadData, match=f"holds {text}s") as caught:
        match_predictions(read_predictions(path), data)
    assert caught.value.location == str(path)


def test_a_mapping_with_a_key_twice_is_refused(folder, tmp_path):
    found = answers(folder)
    entries = [f'"{i}": "{a}"' for i, a in [*found.items(), (next(iter(found)), "other")]]
    path = write(tmp_path / "a.json", f"{{{', '.join(entries)}}}")
    with pytest.raises(BadData, match="more than once"):
        match_predictions(read_predictions(path), folder)


def test_places_that_stand_beside_other_questions_are_refused(folder, tmp_path):
    path = lmms_eval_by_place(tmp_path, answers(folder), folder)
    text = path.read_text().replace('"doc_id": 1,', '"doc_id": 2,', 1)
    with pytest.raises(BadData, match="stand beside other questions"):
        match_predictions(read_predictions(write(path, text)), folder)
    few = [{"doc_id": 0, "filtered_resps": ["yes"]}, {"doc_id": 1, "filtered_resps": ["no"]}]
    with pytest.raises(BadData, match="doc_id '0'"):  # nothing says whose places these are
        match_predictions(read_predictions(write(tmp_path / "b.jsonl", lines(few))), folder)


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("a.json", [{"question_id": 1, "answer": None}], "record 1 has nothing as its answer"),
        ("a.json", [{"question_id": 1, "answer": ["a", "b"]}], "record 1 has"),
        ("a.json", [{"question_id": 1, "answer": True}], "record 1 has True"),
        ("a.json", [{"question_id": 1, "label": "x"}], "no column of texts.*question_id, label"),
        ("a.json", [{"number": 1, "answer": "x"}], "no column of ids.*number, answer"),
        ("a.json", {"1": "yes", "2": None}, "entry '2' has nothing"),
        ("a.json", [], "no predictions"),
        ("a.json", "[1, 2]", "record 1"),
        ("a.json", '[{"question_id": 1, "answer": "x"', "breaks off|not JSON|delimiter"),
        ("a.json", {"a": 1.5, "b": None}, "no predictions"),
        ("a.csv", "question_id,answer\n1,yes,no\n", "line 2 has 3 fields"),
        ("a.csv", "id,Answer,answer\n1,yes,no\n", "two columns.*'Answer' and 'answer'"),
        ("a.xlsx", "no workbook", "not a whole spreadsheet|openpyxl"),
        ("a.parquet", "PAR1", "not a whole Parquet"),
    ],
)
def test_broken_files_name_the_place(tmp_path, name, content, cause):
    with pytest.raises((BadData, BadConfig), match=cause) as refused:
        read_predictions(write(tmp_path / name, content))
    assert name in str(refused.value)


def test_damaged_and_dangerous_torch_files_are_refused(tmp_path):
    with pytest.raises(BadCheckpoint):
        read_predictions(write(tmp_path / "a.pth", "x"))
    log = {"eval": {"answers": [5], "idx": [0]}, "vocab": {"answer": {"yes": 0}}}
    torch.save(log, tmp_path / "b.pth")
    with pytest.raises(BadData, match="do not belong together"):
        read_predictions(tmp_path / "b.pth")


def test_a_spreadsheet_that_would_fill_the_memory_is_refused(tmp_path):
    pytest.importorskip("openpyxl")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 60_000_000)
    with pytest.raises(BadData, match="far larger"):
        read_predictions(tmp_path / "a.xlsx")


# Scores: those of the official rules, and of a run.


def test_rows_far_away_and_broken_cells_of_a_spreadsheet(folder, tmp_path):
    """A sheet may claim a million rows of 16,384 cells, and name texts that it does not have."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["question_id", "answer"])
    for row, (id_, answer) in enumerate(answers(folder).items(), start=3000):
        book.active.cell(row, 1, id_), book.active.cell(row, 2, answer)
    book.save(tmp_path / "good.xlsx")
    sheet = "xl/worksheets/sheet1.xml"

    def changed(name, *pair):
        with (
            zipfile.ZipFile(tmp_path / "good.xlsx") as old,
            zipfile.ZipFile(tmp_path / name, "w") as new,
        ):
            for one in old.namelist():
                text = old.read(one).decode()
                new.writestr(one, re.sub(*pair, text, count=1) if one == sheet else text)
        return tmp_path / name

    claims = changed("claims.xlsx", r'<dimension ref="[^"]*"', '<dimension ref="A1:XFD1048576"')
    found = read_predictions(claims)
    assert list(found.texts) == [*answers(folder).values()]
    assert found.rows[0].place == "row 3000"
    lacking = changed("lacks.xlsx", '<c r="A1".*?</c>', '<c r="A1" t="s"><v>99999</v></c>')
    with pytest.raises(BadData, match=r"lacks\.xlsx"):
        read_predictions(lacking)


@pytest.mark.parametrize(
    "content",
    [
        '[{"question_id": 1, "answer": "\\ud800"}]',
        '{"imgToEval": {"1": 5}}',
        '{"imgToEval": {}}',
    ],
)
def test_half_characters_and_objects_of_no_form_are_refused(tmp_path, content):
    with pytest.raises(BadData, match=r"a\.json"):
        read_predictions(write(tmp_path / "a.json", content))


@pytest.mark.parametrize("content", ["[1]", '{"test": 5}', '"x"'])
def test_scores_of_another_program_are_not_replaced(folder, tmp_path, content):
    file = mapping(tmp_path, answers(folder), folder)
    (tmp_path / "out").mkdir()
    kept = write(tmp_path / "out" / "scores.json", content)
    with pytest.raises(BadRun, match="out"):
        saccade.score(file, folder.path, tmp_path / "out")
    assert kept.read_text() == content


@pytest.fixture
def fast(monkeypatch):
    """Without the classifier of questions, which has its own tests."""
    monkeypatch.setattr(baselines.blind, "question_only", lambda training, _: {})


def test_scores_are_the_official_ones_question_by_question(single, tmp_path, fast):
    vqa = single("vqa-v2")
    texts = {1: "Yes.", 2: "Two", 3: "the red", 4: "no!"}
    path = write(tmp_path / "my.json", [{"question_id": i, "answer": t} for i, t in texts.items()])
    with pytest.warns(SaccadeWarning, match=r"'Yes\.'.* costs 25.00 points.*100.00|costs 25"):
        scores = saccade.score(path, vqa.path, missing="wrong")
    out = tmp_path / "my-scored"
    rows = read_rows(out, "val")
    for id_, text, value in zip(rows["id"], rows["answer"], rows["accuracy"], strict=True):
        people = PEOPLE[id_ - 1]
        assert value == pytest.approx(leave_one_out(*normalised_2021(text, people)), abs=1e-12)
    assert scores["accuracy"] == pytest.approx(25 * sum(rows["accuracy"]))
    assert json.loads((out / "scores.json").read_text())["val"] == scores
    assert json.loads((out / "predictions.json").read_text())[0]["answer"] == "Yes."
    form = scores["not_normalised"]
    assert form["points_lost"] == pytest.approx(25)
    assert form["accuracy_normalised"] == pytest.approx(scores["accuracy"] + 25)
    assert scores["trained_on_this_split"] is scores["model"] is scores["epoch"] is None
    assert scores["baselines"]["most_frequent_answer"]["accuracy"] == pytest.approx(25)
    assert "not_measured" in scores["visual_gain"]
    with pytest.raises(BadRun, match="another file"):
        saccade.score(write(tmp_path / "b.json", path.read_text()), vqa.path, out)
    with pytest.raises(BadData, match=r"there is no such file"):
        saccade.score(tmp_path / "c.json", vqa.path, tmp_path / "c")


def test_captions_are_scored_raw_by_the_official_tokenizer(folder, tmp_path):
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu_scorer")
    cider = pytest.importorskip("pycocoevalcap.cider.cider_scorer")
    human = folder.captions_by_image("val")
    ends = ("on the grass.", "is big!", "that's a cat's", "on the Grass, ok")
    texts = {id_: f"A cat {end}" for id_, end in zip(human, ends, strict=True)}
    scores = saccade.score(coco_server(tmp_path, texts, folder), folder.path, tmp_path / "out")
    (four, three) = bleu.BleuScorer(n=4), cider.CiderScorer(n=4, sigma=6.0)
    for words, some in zip(coco_words([*texts.values()]), human.values(), strict=True):
        cooked = [" ".join(one) for one in coco_words([caption.text for caption in some])]
        four += (" ".join(words), cooked)
        three += (" ".join(words), cooked)
    official = scores["leaderboard"]
    assert official["bleu_4"] == pytest.approx(four.compute_score(option="closest")[0][3], abs=1e-9)
    assert official["cider"] == pytest.approx(three.compute_score()[0], abs=1e-9)
    assert scores["task"] == "caption"
    # captions exchanged for each other need no model
    assert set(scores["visual_gain"]) == {"bleu_4", "cider"}
    assert read_rows(tmp_path / "out", "val")["caption"] == [*texts.values()]
    page = saccade.compare([tmp_path / "out"], tmp_path / "page.html", device="cpu")[0]
    assert "model not known" in page.read_text(encoding="utf-8")


def test_the_command_begins_with_the_score_and_says_what_comes_next(single, tmp_path, fast):
    vqa = single("vqa-v2")
    path = write(tmp_path / "my.csv", "question_id,answer\n1,yes\n2,2\n3,red\n4,3\n")
    out = tmp_path / "out"
    words = ["score", str(path), "--data", str(vqa.path), "--out", str(out)]
    asked = CliRunner().invoke(app, words)
    assert asked.exit_code == 0, asked.stderr
    first, *_, last = asked.stdout.splitlines()
    value = json.loads((out / "scores.json").read_text())["val"]["accuracy"]
    assert f"accuracy {value:.1f}%" in first
    assert "above prior 25.0" in first
    assert str(out) in last
    refused = CliRunner().invoke(app, [*words, "--split", "train"])
    assert refused.exit_code == 1
    assert "my.csv" in refused.stderr
