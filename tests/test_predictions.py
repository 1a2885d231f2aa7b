"""Predictions for many images: inputs, forms of files, servers' rules, a kill and what follows."""

import csv
import json
import os
import re
import signal
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.core.errors import BadConfig, BadData, BadImage
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.features.extract import extract
from saccade.inference.prediction_files import Journal
from saccade.inference.predictor import Run
from tests.processes import forked
from tests.worlds import write_untrained_run

QUESTION = "what color is the circle?"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shapes with features of an untrained network, and a run of each task, untrained as well."""
    root = tmp_path_factory.mktemp("predictions")
    make_shapes(root / "shapes", images={"train": 24, "val": 6, "test": 8}, size=64, seed=1)
    data = prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    extract(data, "timm:test_resnet", weights="random", size=64, resize="squash")
    for run, recipe in (("vqa", "show-ask-attend-answer"), ("caption", "show-attend-tell")):
        write_untrained_run(DataFolder(data), f"{recipe}-small", root / run)
    return root


def images_of(made, count=4):
    return sorted((made / "shapes" / "images").iterdir())[:count]


def rows_of(path):
    """The rows of a file of any form, as texts."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".parquet":
        found = pq.read_table(path).to_pylist()
    else:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines())
    return [
        {n: " ".join(v) if isinstance(v, list) else str(v) for n, v in row.items()} for row in found
    ]


def test_every_form_of_a_file_holds_the_same_rows(made, tmp_path):
    forms = [
        rows_of(saccade.predict(made / "vqa", out=tmp_path / f"a.{ending}", batch_size=3))
        for ending in ("json", "jsonl", "csv", "parquet")
    ]
    assert forms[0] == forms[1] == forms[2] == forms[3]
    asked = DataFolder(made / "data").questions("test")
    assert [row["question_id"] for row in forms[0]] == [str(one.id) for one in asked]
    assert [row["question"] for row in forms[0]] == [one.text for one in asked]
    columns = ["question_id", "image_id", "image", "question", "answer", "confidence", "unknown"]
    assert list(forms[0][0]) == columns
    written = saccade.predict(made / "caption", out=tmp_path / "captions.csv")
    assert list(rows_of(written)[0]) == ["image_id", "image", "caption", "confidence"]
    assert not list(tmp_path.glob("*.partial"))


def test_predictions_are_those_of_single_calls_whatever_they_come_from(made, tmp_path):
    """Of a store, of image files, and asked one by one: the same answers and captions."""
    vqa, writer = saccade.load(made / "vqa", "cpu"), saccade.load(made / "caption", "cpu")
    files = images_of(made)
    answered = saccade.predict(
        made / "vqa", *files, out=tmp_path / "a.jsonl", questions=[QUESTION, "is it red?"]
    )
    rows = rows_of(answered)
    assert len(rows) == 2 * len(files)
    assert [row["question_id"] for row in rows] == [str(n) for n in range(1, len(rows) + 1)]
    for row in rows:
        answer = vqa.ask(row["image"], row["question"])
        assert row["answer"] == answer.text
        assert float(row["confidence"]) == pytest.approx(answer.top[0][1], abs=1e-4)
    captions = rows_of(saccade.predict(made / "caption", *files, out=tmp_path / "c.jsonl"))
    assert [row["image"] for row in captions] == [str(file) for file in files]
    assert [row["caption"] for row in captions] == [writer.caption(file).text for file in files]
    stored = rows_of(saccade.predict(made / "caption", out=tmp_path / "s.jsonl", split="train"))
    by_file = {row["image"]: row["caption"] for row in stored}
    for file, row in zip(files, captions, strict=True):
        there = next((one for name, one in by_file.items() if name.endswith(file.name)), None)
        assert there in (None, row["caption"])


def test_a_split_without_answers_is_predicted_from_files_where_there_are_no_features(
    made, tmp_path
):
    """Case 02: questions of test2015, and its images, without a store."""
    hidden = tmp_path / "vqa"
    for split in ("train2014", "val2014", "test2015"):
        questions, answers = [], []
        (hidden / split).mkdir(parents=True)
        base = {"train2014": 100, "val2014": 200, "test2015": 300}[split]
        for number in range(base, base + 3):
            name = f"COCO_{split}_{number:012d}.jpg"
            Image.new("RGB", (48, 48), (number % 256, 9, 9)).save(hidden / split / name)
            about = {"image_id": number, "question_id": number * 1000}
            questions.append({**about, "question": "What color is it?"})
            people = [{"answer": "red", "answer_id": n} for n in range(1, 11)]
            kinds = {"question_type": "x", "answer_type": "other", "multiple_choice_answer": "red"}
            answers.append({**about, **kinds, "answers": people})
        head = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": split}
        file = hidden / f"v2_OpenEnded_mscoco_{split}_questions.json"
        file.write_text(json.dumps({**head, "task_type": "Open-Ended", "questions": questions}))
        if split != "test2015":
            file = hidden / f"v2_mscoco_{split}_annotations.json"
            file.write_text(json.dumps({**head, "annotations": answers}))
    data = prepare("vqa-v2", hidden, tmp_path / "data")
    out = saccade.predict(
        made / "vqa", data, out=tmp_path, split="test", server="vqa", name="my model"
    )
    assert out.name == "vqa_OpenEnded_mscoco_test2015_my-model_results.json"
    check_vqa(out, {300_000, 301_000, 302_000})


# What each server asks of a file, checked without our code.


def check_vqa(path, ids):
    """visualqa.org/evaluation.html, and the loader of GT-Vision-Lab/VQA: a JSON list, ids as
    numbers, exactly the questions of the split; the name as visualqa.org/vqa_v1_challenge.html.
    """
    name = r"vqa_(OpenEnded|MultipleChoice)_(mscoco|abstract_v002)_[a-z-]+\d{4}_[^_]+_results\.json"
    assert re.fullmatch(name, path.name)
    results = json.loads(path.read_text(encoding="utf-8"))
    assert all(set(one) == {"question_id", "answer"} for one in results)
    assert all(type(one["question_id"]) is int and one["answer"].strip() for one in results)
    assert sorted(one["question_id"] for one in results) == sorted(ids)


def check_texts(path, key, text, ids):
    """The others: a list of objects of these two fields, no id missing, none doubled."""
    results = json.loads(path.read_text(encoding="utf-8"))
    assert all(set(one) == {key, text} and one[text].strip() for one in results)
    assert sorted(one[key] for one in results) == sorted(ids)


@pytest.fixture(scope="module")
def gqa(tmp_path_factory):
    """Case 01: GQA's ids have zeros in front; the answers of its test split are secret."""
    root = tmp_path_factory.mktemp("gqa")
    (root / "images").mkdir()
    for split, first in (("train", 100), ("val", 200), ("testdev", 300)):
        asked = {}
        for number in range(first, first + 3):
            name = f"n{number}" if split == "testdev" else str(number)
            Image.new("RGB", (32, 32), (number % 256, 0, 0)).save(root / f"images/{name}.jpg")
            for id_ in (f"{number * 10:08d}", str(20_000_000 + number)):
                answer = {} if split == "testdev" else {"answer": "red"}
                asked[id_] = {"imageId": name, "question": "What color is it?", **answer}
        (root / f"{split}_balanced_questions.json").write_text(json.dumps(asked))
    return prepare("gqa", root, root / "data")


def test_gqa_gets_its_own_ids_back(made, gqa, tmp_path):
    out = saccade.predict(made / "vqa", gqa, out=tmp_path / "gqa.json", server="gqa")
    wanted = [id_ for n in (300, 301, 302) for id_ in (f"{n * 10:08d}", str(20_000_000 + n))]
    check_texts(out, "questionId", "prediction", wanted)
    rows = rows_of(saccade.predict(made / "vqa", gqa, out=tmp_path / "own.csv"))
    assert [row["question_id"] for row in rows] == wanted
    assert {row["image_id"] for row in rows} == {"n300", "n301", "n302"}


def test_vizwiz_and_textvqa_and_captions_have_their_own_forms(made, tmp_path):
    root = tmp_path / "vizwiz"
    for split in ("train", "val", "test"):
        (root / split).mkdir(parents=True)
        names = [f"VizWiz_{split}_{n:08d}.jpg" for n in range(3)]
        for name in names:
            Image.new("RGB", (32, 32), (90, 9, 9)).save(root / split / name)
        people = {} if split == "test" else {"answers": [{"answer": "red"}] * 10}
        asked = [{"image": name, "question": "What color?", **people} for name in names]
        (root / f"{split}.json").write_text(json.dumps(asked))
    data = prepare("vizwiz-vqa", root, tmp_path / "data")
    out = saccade.predict(made / "vqa", data, out=tmp_path / "v.json", server="vizwiz-vqa")
    check_texts(out, "image", "answer", names)
    numbers = [one.id for one in DataFolder(made / "data").questions("val")]
    out = saccade.predict(made / "vqa", out=tmp_path / "t.json", split="val", server="textvqa")
    check_texts(out, "question_id", "answer", numbers)
    images = [one.id for one in DataFolder(made / "data").images("test")]
    for server in ("coco-captions", "nocaps", "vizwiz-captions"):
        out = saccade.predict(made / "caption", out=tmp_path / server, server=server, name="x")
        check_texts(out, "image_id", "caption", images)
        if server == "coco-captions":
            assert re.fullmatch(r"captions_[a-z]+\d*_x_results\.json", out.name)


def test_a_server_of_another_task_single_images_and_ids_of_another_kind_are_refused(
    made, gqa, tmp_path
):
    for words, named in (
        ({"server": "nocaps"}, "nocaps"),
        ({"server": "nonesuch"}, "nonesuch"),
        ({"server": "vqa", "inputs": images_of(made), "questions": [QUESTION]}, "split"),
        ({"server": "vqa", "out": tmp_path / "a.csv"}, "a.csv"),
        ({"out": tmp_path / "a.txt"}, "a.txt"),
        ({"inputs": images_of(made)}, "--question"),
        ({"inputs": images_of(made), "questions": [QUESTION], "split": "val"}, "--split"),
        ({"inputs": [made / "data"], "questions": [QUESTION]}, "--question"),
    ):
        given = {"out": tmp_path / "a.json"} | {n: v for n, v in words.items() if n != "inputs"}
        with pytest.raises(BadConfig, match=re.escape(named)):
            saccade.predict(made / "vqa", *words.get("inputs", ()), **given)
    with pytest.raises(BadData, match="share their image"):
        saccade.predict(made / "vqa", out=tmp_path / "a.json", server="vizwiz-vqa")
    assert not list(tmp_path.iterdir())


def test_a_table_keeps_its_order_and_ids(made, tmp_path):
    files = images_of(made, 3)
    asked = [(2, "is it red?", "q7"), (0, QUESTION, "q1"), (2, QUESTION, "q3"), (1, QUESTION, "a")]
    with (tmp_path / "asked.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question_id", "图片", "question"])
        writer.writerows([id_, files[n].name, question] for n, question, id_ in asked)
    given = {"out": tmp_path / "a.csv", "image_root": files[0].parent, "batch_size": 2}
    rows = rows_of(saccade.predict(made / "vqa", tmp_path / "asked.csv", **given))
    found = [(row["question_id"], row["image"], row["question"]) for row in rows]
    assert found == [(id_, files[n].name, question) for n, question, id_ in asked]
    for row in rows:
        asked_alone = saccade.load(made / "vqa", "cpu").ask(
            files[0].parent / row["image"], row["question"]
        )
        assert row["answer"] == asked_alone.text
    (tmp_path / "images").symlink_to(files[0].parent)  # beside the table, where `prepare` looks too
    beside = {"out": tmp_path / "beside.csv", "batch_size": 2}
    assert rows_of(saccade.predict(made / "vqa", tmp_path / "asked.csv", **beside)) == rows
    (tmp_path / "twice.jsonl").write_text(
        "\n".join(json.dumps({"id": 1, "image": "a.png", "question": "why?"}) for _ in "ab")
    )
    with pytest.raises(BadData, match=r"twice\.jsonl"):
        saccade.predict(made / "vqa", tmp_path / "twice.jsonl", out=tmp_path / "b.csv")
    (tmp_path / "none.csv").write_text("image,answer\na.png,b\n")
    with pytest.raises(BadData, match=r"none\.csv"):
        saccade.predict(made / "vqa", tmp_path / "none.csv", out=tmp_path / "b.csv")


def test_a_bad_image_is_named_and_the_others_go_on(made, tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, file in enumerate(images_of(made, 5)):
        (folder / "sub" / f"{number}.png").write_bytes(file.read_bytes())
    (folder / "bad.jpg").write_text("no image")
    (folder / "notes.txt").write_text("no image either")
    out = saccade.predict(made / "caption", folder, out=tmp_path / "c.csv", batch_size=2)
    rows = rows_of(out)
    names = ["bad.jpg", *(f"sub/{n}.png" for n in range(5))]
    assert [row["image"] for row in rows] == names
    assert [bool(row["caption"]) for row in rows] == [False, *[True] * 5]
    (skipped,) = json.loads((tmp_path / "c.csv.skipped.json").read_text())
    assert skipped["image"] == "bad.jpg"
    assert skipped["reason"]
    (folder / "bad.jpg").unlink()
    saccade.predict(made / "caption", folder, out=tmp_path / "c.csv")
    assert not (tmp_path / "c.csv.skipped.json").exists()


def test_words_that_the_model_never_learnt_are_named_and_alone_get_no_answer(made, tmp_path):
    file, run = images_of(made, 1)[0], saccade.load(made / "vqa", "cpu")
    answer = run.ask(file, "what color is the zeppelin?")
    assert answer.unknown == ("zeppelin",)
    assert run.ask(file, QUESTION).unknown == ()
    with pytest.raises(BadConfig, match="zxcv"):
        run.ask(file, "zxcv qwer?")
    asked = [QUESTION, "zxcv qwer?", "what color is the zeppelin?"]
    rows = rows_of(saccade.predict(made / "vqa", file, out=tmp_path / "a.json", questions=asked))
    assert [row["unknown"] for row in rows] == ["", "zxcv qwer", "zeppelin"]
    assert [bool(row["answer"]) for row in rows] == [True, False, True]
    assert float(rows[1]["confidence"]) == 0


# A killed run goes on.


def test_a_killed_run_goes_on_and_writes_what_an_undisturbed_one_writes(
    made, tmp_path, monkeypatch
):
    """Killed by the system while it writes a line; then by Ctrl-C; then left alone."""
    whole = saccade.predict(made / "vqa", out=tmp_path / "whole.csv", split="train", batch_size=2)
    out, journal = tmp_path / "out.csv", tmp_path / "out.csv.partial"

    def predict_and_die():
        add, left = Journal.add, [3]

        def killed(self, entries):
            add(self, entries)
            left[0] -= 1
            if not left[0]:
                with self.path.open("ab") as file:
                    file.write(b'{"text": "cut o')
                os.kill(os.getpid(), signal.SIGKILL)

        Journal.add = killed
        saccade.predict(made / "vqa", out=out, split="train", batch_size=2, device="cpu")

    done = forked(predict_and_die)
    assert done.returncode == -signal.SIGKILL, done.stderr
    killed_at = journal.read_bytes().count(b"\n")
    assert killed_at > 3
    assert not out.exists()
    answers = Run.answer

    def interrupted(run, batches, top=1):
        yield from answers(run, batches, top)
        if journal.read_bytes().count(b"\n") > killed_at + 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Run, "answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            saccade.predict(made / "vqa", out=out, split="train", batch_size=2, device="cpu")
    assert journal.read_bytes().count(b"\n") > killed_at
    saccade.predict(made / "vqa", out=out, split="train", batch_size=2, device="cpu")
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_going_on_with_other_weights_inputs_or_options_is_refused(made, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("saccade.inference.predict._write", stopped)
        with pytest.raises(KeyboardInterrupt):
            saccade.predict(made / "caption", out=out)
    begun = (tmp_path / "out.csv.partial").read_bytes()
    other = write_untrained_run(DataFolder(made / "data"), "show-tell-small", tmp_path / "other")
    for named, run, words in (
        ("weights", other, {}),
        ("inputs", made / "caption", {"split": "val"}),
        ("options", made / "caption", {"beam_size": 2}),
    ):
        with pytest.raises(BadData, match=named) as refused:
            saccade.predict(run, out=out, **words)
        assert refused.value.location == str(tmp_path / "out.csv.partial")
    assert (tmp_path / "out.csv.partial").read_bytes() == begun
    saccade.predict(made / "caption", out=out)
    assert len(rows_of(out)) == len(DataFolder(made / "data").images("test"))


def test_a_journal_counts_whole_lines_is_locked_and_names_damage(tmp_path):
    path = tmp_path / "x.partial"
    journal = Journal(path, {"inputs": 1})
    journal.add({"text": str(n)} for n in range(5))
    with pytest.raises(BadData, match="another process"):
        Journal(path, {"inputs": 1})
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"text": "5')
    journal = Journal(path, {"inputs": 1})
    assert len(journal) == 5
    journal.keep(3)
    journal.add([{"text": "new"}])
    assert [entry["text"] for entry in journal.read([3, 0, 2])] == ["new", "0", "2"]
    journal.close()
    path.write_bytes(path.read_bytes().replace(b'{"text": "0"}', b'{"text": "0"\0'))
    journal = Journal(path, {"inputs": 1})
    with pytest.raises(BadData, match="line 2"):
        list(journal.read([0]))
    journal.close()
    for line in ("[1]", "{}", '"text"', "[" * 10**5):
        path.write_text(f'{{"inputs": 1}}\n{line}\n', encoding="utf-8")
        journal = Journal(path, {"inputs": 1})
        with pytest.raises(BadData, match="line 2"):
            list(journal.read([0]))
        journal.close()
    path.write_text('{"inputs": 1}\n{"text": ""}\n', encoding="utf-8")
    with pytest.raises(BadData, match="inputs"):
        Journal(path, {"inputs": 2})


def test_nothing_that_is_read_is_replaced(made, tmp_path):
    table = tmp_path / "asked.jsonl"
    table.write_text(json.dumps({"image": str(images_of(made)[0]), "question": QUESTION}))
    for out in (table, made / "vqa" / "run.json", tmp_path / "link.jsonl"):
        if out.name == "link.jsonl":
            out.symlink_to(table)
        before = out.read_bytes()
        with pytest.raises(BadConfig, match=re.escape(str(out))):
            saccade.predict(made / "vqa", table, out=out, device="cpu")
        assert out.read_bytes() == before
    data = made / "data"
    with pytest.raises(BadConfig, match=r"dataset\.json"):
        saccade.predict(made / "vqa", data, out=data / "dataset.json", device="cpu")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(BadConfig, match=r"folder\.json"):
        saccade.predict(made / "vqa", data, out=tmp_path / "folder.json", device="cpu")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([7, None, ""], [7, 2, 3]),
        ([7.0, float("nan"), 9.0], [7, 2, 9]),
        (["007", 8, "x"], ["007", "8", "x"]),
        ([2**63, 1, 2], [str(2**63), "1", "2"]),
        (["1", 1, 2], None),
        ([True, 5, 6], None),
        ([1.5, 5, 6], None),
        ([[1], 5, 6], None),
        (["\ud800", 5, 6], None),
    ],
)
def test_ids_of_a_table_are_kept_or_refused(made, tmp_path, given, kept):
    table, about = tmp_path / "asked.jsonl", {"image": str(images_of(made)[0])}
    values = [{**about, "question": QUESTION, "question_id": one} for one in given]
    if "NaN" in json.dumps(given):  # JSON has none; a table with holes has
        table = tmp_path / "asked.parquet"
        pq.write_table(pa.Table.from_pylist(values), table)
    else:
        table.write_text("".join(f"{json.dumps(one)}\n" for one in values))
    if kept is None:
        with pytest.raises(BadData, match="question_id"):
            saccade.predict(made / "vqa", table, out=tmp_path / "a.jsonl", device="cpu")
        return
    for ending in ("jsonl", "parquet"):
        out = saccade.predict(made / "vqa", table, out=tmp_path / f"a.{ending}", device="cpu")
        assert [row["question_id"] for row in rows_of(out)] == list(map(str, kept))


def test_names_that_no_file_can_have_stop_no_others_and_other_letters_are_refused(made, tmp_path):
    good, table = images_of(made)[0], tmp_path / "asked.jsonl"
    names = [str(good), "x" * 5000, "nul\0.png", "loop.png", "\x1b[31mred.png"]
    (tmp_path / "loop.png").symlink_to("loop.png")
    rows = [{"image": name, "question": QUESTION} for name in names]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = saccade.predict(made / "vqa", table, out=tmp_path / "a.csv", device="cpu")
    skipped = json.loads((tmp_path / "a.csv.skipped.json").read_text())
    assert [one["image"] for one in skipped] == names[1:]
    assert len(rows_of(out)) == len(names)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes(good.read_bytes())
    with pytest.raises(BadImage, match="caf"):
        saccade.predict(made / "caption", photos, out=tmp_path / "b.csv", device="cpu")
    for question in ("", "what \udce9?"):
        with pytest.raises(BadConfig, match="--question"):
            saccade.predict(
                made / "vqa", good, questions=[question], out=tmp_path / "c.csv", device="cpu"
            )


def test_memory_does_not_grow_with_the_number_of_images(made, tmp_path):
    """Six times as many images: what is held beside the list of names stays as it was."""
    file = images_of(made, 1)[0]
    peaks = []
    for count in (20, 120):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(file, folder / f"{number:06d}.png")
        tracemalloc.start()
        saccade.predict(made / "caption", folder, out=tmp_path / f"{count}.csv", batch_size=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 100 * 4096, peaks


def saccade_(*words, given="", status=0):
    """What a command prints, on both streams."""
    asked = CliRunner().invoke(app, [str(word) for word in words], input=given)
    if asked.exception and not isinstance(asked.exception, SystemExit):
        raise asked.exception
    assert asked.exit_code == status, asked.output
    return asked.stdout, asked.stderr


def test_ask_takes_several_images_and_questions_and_those_of_the_input(made, tmp_path):
    first, second = images_of(made, 2)
    (tmp_path / "bad.png").write_text("no image")
    told, errors = saccade_(
        "ask", made / "vqa", first, tmp_path / "bad.png", second, QUESTION, "-", "--top", 1,
        given="is it red?\n\nzxcv qwer\nany zeppelin?\n", status=1,
    )  # fmt: skip
    for image in (first, second):
        for question in (QUESTION, "is it red?", "zxcv qwer", "any zeppelin?"):
            assert f"{image}: {question}\n" in told
    assert len(re.findall(r"^[01]\.\d{3}  ", told, re.M)) == 2 * 3
    assert errors.count("bad.png") == 1
    assert errors.count("zeppelin") == errors.count("error: ") - 1 == 2
    assert "zxcv" in saccade_("ask", made / "vqa", first, "zxcv qwer", status=1)[1]
    assert "question" in saccade_("ask", made / "vqa", first, second, status=1)[1]


def test_the_command_line_tells_programs_what_python_does(made):
    """The server's answers are held against `to_dict`, too: see test_serve.py."""
    (first,) = images_of(made, 1)
    answer = saccade.load(made / "vqa").ask(first, QUESTION, top=3).to_dict()
    (told,) = json.loads(saccade_("ask", made / "vqa", first, QUESTION, "--json", "--top", 3)[0])
    assert told == {"image": str(first), "question": QUESTION, **json.loads(json.dumps(answer))}
    caption = saccade.load(made / "caption").caption(first).to_dict()
    (told,) = json.loads(saccade_("caption", made / "caption", first, "--json")[0])
    assert told == {"image": str(first), **json.loads(json.dumps(caption))}


def test_ask_tells_what_the_prior_alone_would_answer(made, tmp_path):
    write_untrained_run(DataFolder(made / "data"), "auto-vqa", tmp_path / "run")
    (first,) = images_of(made, 1)
    run = saccade.load(tmp_path / "run")
    assert run.ask(first, QUESTION).prior == run.ask(first, QUESTION).top, "it begins as its prior"
    torch.manual_seed(0)
    for weight in run.model.parameters():
        torch.nn.init.normal_(weight)
    both = run.ask(first, QUESTION, top=3)
    run.model.image_share.fill_(0)
    assert both.prior == run.ask(first, QUESTION, top=3).top != both.top
    given = "ask", tmp_path / "run", first, QUESTION
    assert "\nWithout the image: " in saccade_(*given, "--top", 2)[0]
    (told,) = json.loads(saccade_(*given, "--json", "--top", 2)[0])
    assert told["prior"] == told["top"]
    assert "Without the image" not in saccade_("ask", made / "vqa", first, QUESTION)[0]


def test_caption_takes_folders_and_a_bad_file_stops_nothing(made, tmp_path):
    for file in images_of(made, 3):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "bad.png").write_text("no image")
    told, errors = saccade_("caption", made / "caption", tmp_path, tmp_path / "gone.png", status=1)
    assert [line.partition(": ")[0] for line in told.splitlines()] == [
        str(tmp_path / file.name) for file in images_of(made, 3)
    ]
    assert "bad.png" in errors
    assert "gone.png" in errors


def test_the_command_writes_and_ends_with_1_where_an_image_was_bad(made, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    out = tmp_path / "c.csv"
    told, _ = saccade_("predict", made / "caption", *images_of(made, 2), "--out", out)
    assert str(out) in told
    given = [*images_of(made, 2), tmp_path / "bad.png", "--out", out]
    assert "bad.png" in saccade_("predict", made / "caption", *given, status=1)[1]
    assert "no-data" in saccade_("predict", made / "vqa", "no-data", "-o", out, status=1)[1]
    named = ["predict", made / "vqa", "--for", "vqa", "--name", "x", "--out", tmp_path / "up"]
    saccade_(*named)
    (file,) = (tmp_path / "up").iterdir()
    assert file.name.endswith("_x_results.json")
