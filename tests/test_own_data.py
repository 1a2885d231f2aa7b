"""Data of one's own: tables in every form, folders of Hugging Face datasets, Kaggle's copies."""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from saccade.core.errors import BadConfig, BadData
from saccade.data.checks import check
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord, Question
from saccade.data.splits import draw
from saccade.datasets.catalogue import read_source, reason
from saccade.datasets.columns import columns_of, fits, known_among
from saccade.datasets.custom_rows import split_in
from saccade.datasets.detect import recognise
from saccade.datasets.diagnose import nothing_known, unread_files
from saccade.datasets.layout import load
from saccade.datasets.prepare import prepare
from saccade.datasets.row_files import first_row
from tests.sample_files import write_lines as write
from tests.source_samples import (
    JPEG,
    OWN_TABLE,
    SAMPLES,
    beside,
    hf_table,
    save,
    save_arrow,
    touch,
)


class TestTable:
    def test_records(self, tmp_path):
        SAMPLES["table"](tmp_path)
        collection = read_source("table", tmp_path)
        assert collection.images == [
            ImageRecord(0, "images/cat.jpg", "train"),
            ImageRecord(1, "images/dog.jpg", "val"),
        ]
        assert collection.questions == [
            Question(0, 0, "What is it?", "train", ("a cat", "cat", "cat"), "cat"),
            Question(1, 0, "Black, or white?", "train", ("black",), "black"),
            Question(2, 1, "What is it?", "val", ("a dog", "dog|wolf"), "a dog"),
        ]

    @pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "csv.gz", "semicolons", "marked"])
    def test_every_form_gives_the_same_records(self, tmp_path, kind):
        SAMPLES["table"](tmp_path)
        expected = read_source("table", tmp_path).questions
        (tmp_path / "mine.csv").unlink()
        rows = [
            {"image": "cat.jpg", "question": "What is it?", "answer": "a cat|cat|cat"},
            {"image": "cat.jpg", "question": "Black, or white?", "answer": "black"},
            {"image": "dog.jpg", "question": "What is it?", "answer": ["a dog", "dog|wolf"]},
        ]
        for row, split in zip(rows, ("train", "train", "val"), strict=True):
            row["split"] = split
        if kind == "csv.gz":
            (tmp_path / "mine.csv.gz").write_bytes(gzip.compress(OWN_TABLE.encode()))
        elif kind == "marked":
            (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbf" + OWN_TABLE.encode())
        elif kind == "jsonl":
            write(tmp_path / "mine.jsonl", *map(json.dumps, rows))
        else:
            mark = {"csv": ",", "tsv": "\t", "semicolons": ";"}[kind]
            lines = [mark.join(rows[0])]
            for row in rows:
                given = row["answer"]
                told = given if isinstance(given, str) else json.dumps(given)
                fields = [row["image"], row["question"], told, row["split"]]
                lines.append(mark.join('"{}"'.format(f.replace('"', '""')) for f in fields))
            write(tmp_path / f"mine.{'tsv' if kind == 'tsv' else 'csv'}", *lines)
        assert read_source("table", tmp_path).questions == expected

    def test_a_small_packed_table_may_grow_as_it_likes(self, tmp_path):
        rows = "".join(f"{n}.jpg,A dog.\n" for n in range(9)) + "\n" * 2_000_000
        (tmp_path / "mine.csv.gz").write_bytes(
            packed := gzip.compress(f"image,caption\n{rows}".encode())
        )
        assert len(packed) * 100 < len(rows)
        assert len(read_source("table", tmp_path).captions) == 9

    def test_a_table_that_lies_elsewhere(self, tmp_path):
        path = write(tmp_path / "elsewhere/t.csv", "image,caption", "a.jpg,A dog.")
        touch(tmp_path / "root", "a.jpg")
        collection = read_source("table", tmp_path / "root", table=str(path))
        assert [p.file for p in collection.images] == ["a.jpg"]

    def test_captions_and_questions_in_one_row(self, tmp_path):
        write(
            tmp_path / "t.csv", "file_name,caption,question,answers", "a.jpg,A dog.|It runs.,Who?,7"
        )
        touch(tmp_path, "a.jpg")
        folder = DataFolder(prepare("table", tmp_path, beside(tmp_path, "made")))
        assert folder.tasks == ("vqa", "caption")
        assert folder.questions("train")[0].answers == ("7",)
        assert [c.words for c in folder.captions("train")] == [("a", "dog"), ("it", "runs")]

    def test_columns_of_other_names(self, tmp_path):
        write(tmp_path / "t.csv", "bild,frage,antwort", "a.jpg,Was?,ein Hund")
        touch(tmp_path, "a.jpg")
        with pytest.raises(BadData, match="no column of images"):
            read_source("table", tmp_path)
        collection = read_source(
            "table", tmp_path, columns="image:bild, question:frage, answer:antwort"
        )
        assert collection.questions[0].best_answer == "ein Hund"

    def test_a_file_for_each_split(self, tmp_path):
        for name in ("train", "dev", "test"):
            write(tmp_path / f"{name}.csv", "image,question,answer", f"{name}.jpg,What?,{name}")
        write(tmp_path / "colours.csv", "name,red,green,blue", "pink,1,0,1")
        touch(tmp_path, *(f"images/{name}.jpg" for name in ("train", "dev", "test")))
        questions = read_source("table", tmp_path).questions
        assert {q.best_answer: q.split for q in questions} == {
            "train": "train", "dev": "val", "test": "test",
        }  # fmt: skip

    def test_several_tables_want_a_choice(self, tmp_path):
        for name in ("one", "two"):
            write(tmp_path / f"{name}.csv", "image,caption", f"{name}.jpg,A thing.")
            touch(tmp_path, f"{name}.jpg")
        with pytest.raises(BadConfig, match=r"holds several tables: one\.csv, two\.csv"):
            read_source("table", tmp_path)
        assert len(read_source("table", tmp_path, table="two.csv").captions) == 1

    def test_names_without_endings_and_with_folders(self, tmp_path):
        root = tmp_path / "mine"
        write(
            root / "t.csv", "image,caption", "a,One.", "sub/b.png,Two.", "sub\\c.png,Three.",
            f"{root}/images/d.png,Four.", "./e.jpg,Five.",
        )  # fmt: skip
        touch(
            root, "images/a.jpeg", "images/sub/b.png", "images/sub/c.png", "images/d.png", "e.jpg"
        )
        files = {p.file for p in read_source("table", root).images}
        assert files == {
            "images/a.jpeg", "images/sub/b.png", "images/sub/c.png", "images/d.png", "e.jpg",
        }  # fmt: skip

    @pytest.mark.parametrize("name", ["/etc/passwd", "../secret.jpg", "images/../../secret.jpg"])
    def test_images_outside_of_the_folder_are_refused(self, tmp_path, name):
        write(tmp_path / "t.csv", "image,caption", f"{name},A thing.")
        with pytest.raises(BadData, match="outside of the folder"):
            prepare("table", tmp_path, tmp_path / "data", missing="keep")

    def test_test_questions_may_lack_answers(self, tmp_path):
        write(tmp_path / "t.jsonl", '{"image": "a.jpg", "question": "Why?", "split": "test"}')
        touch(tmp_path, "a.jpg")
        assert read_source("table", tmp_path).questions[0].answers == ()

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("{", "line 2 is not JSON"),
            ("[1]", r"line 2 is \[1\], not an object"),
            ('{"image": 3, "caption": "x"}', "line 2 names no image, but 3"),
            (
                '{"image": "a.jpg", "caption": true}',
                "line 2 has the caption True, which is no text",
            ),
            ('{"image": "a.jpg", "question": 5, "answer": "x"}', "line 2 asks 5, which is no text"),
            ('{"image": "a\\ud800.jpg", "caption": "x"}', "line 2 names no image"),
        ],
    )
    def test_broken_json_lines(self, tmp_path, line, what):
        path = write(tmp_path / "t.jsonl", '{"image": "a.jpg", "caption": "A dog."}', line)
        with pytest.raises(BadData, match=what) as caught:
            read_source("table", tmp_path)
        assert caught.value.location == str(path)


class TestJson:
    ROWS = (
        {"image": "x.jpg", "caption": ["A dog.", "It runs."]},
        {"image": "y.jpg", "caption": "A"},
    )

    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize("packed", [False, True])
    def test_a_lone_list_of_objects_is_recognised(self, indent, packed, tmp_path):
        text = json.dumps(self.ROWS, indent=indent)
        touch(tmp_path, "x.jpg", "y.jpg")
        name = "mine.json.gz" if packed else "mine.json"
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        (part,), notes = recognise(tmp_path)
        assert notes == [f"Recognised as table: there is {name} with the columns image, caption."]
        assert [c.text for c in part.captions] == ["A dog.", "It runs.", "A"]

    def test_json_lines_that_are_called_json(self, tmp_path):
        write(tmp_path / "mine.json", *map(json.dumps, self.ROWS))
        touch(tmp_path, "x.jpg", "y.jpg")
        assert len(read_source("table", tmp_path).captions) == 3
        write(tmp_path / "mine.json", *map(json.dumps, self.ROWS), "[1]")
        with pytest.raises(BadData, match=r"line 3 is \[1\], not an object"):
            read_source("table", tmp_path)

    def test_a_list_below_with_its_images_beside_it(self, tmp_path):
        save(tmp_path / "a/mine.json", self.ROWS)
        touch(tmp_path, "a/x.jpg", "a/images/y.jpg")
        for options in ({}, {"table": "a/mine.json"}):
            images = read_source("table", tmp_path, **options).images
            assert [p.file for p in images] == ["a/x.jpg", "a/images/y.jpg"]

    def test_a_file_for_each_split(self, tmp_path):
        for split in ("train", "val"):
            rows = [{"image": f"{split}.jpg", "question": "Who?", "answer": split}]
            save(tmp_path / f"{split}_questions.json", rows)
            touch(tmp_path, f"{split}.jpg")
        save(tmp_path / "settings.json", {"image": "x", "question": "y"})
        questions = read_source("table", tmp_path).questions
        assert {q.best_answer: q.split for q in questions} == {"train": "train", "val": "val"}

    def test_only_the_beginning_is_looked_at(self, tmp_path, monkeypatch):
        row = {"image": "x.jpg", "caption": "A dog.", "more": "x" * 2**16}
        path = save(tmp_path / "mine.json", [row] * 64)
        monkeypatch.setattr(Path, "read_bytes", None)  # all of it
        assert list(first_row(path)) == ["image", "caption", "more"]
        assert reason("table", tmp_path)

    @pytest.mark.parametrize(
        "text",
        [
            "", "[", "[]", "[1]", "{}", '{"image": 1}', '[{"image": "x"', '{"image":\n"x"}', "[[[[",
            "[" * 2000, '[{"image": ' + "9" * 5000 + "}]", "\ufeff", "image",
        ],
    )  # fmt: skip
    def test_what_is_no_list_of_objects_has_no_columns(self, text, tmp_path):
        (tmp_path / "mine.json").write_text(text)
        assert first_row(tmp_path / "mine.json") == {}
        assert reason("table", tmp_path) is None

    @given(data=st.binary(max_size=60))
    @example(data=b"\x1f\x8b\x08")
    def test_any_bytes_have_columns_or_none(self, tmp_path_factory, data):
        for name in ("any.json", "any.jsonl", "any.csv", "any.tsv", "any.csv.gz"):
            path = tmp_path_factory.getbasetemp() / name
            path.write_bytes(data)
            assert all(type(column) is str for column in first_row(path))


class TestColumns:
    @pytest.mark.parametrize(
        "header",
        [
            "Image,Question,Answer", "IMAGE,QUESTION,ANSWERS", " image , Question,answer ",
            "Image Path,question,Answer", "image-path,question,answer", "File Name,QUESTION,Answer",
        ],
    )  # fmt: skip
    def test_names_are_known_however_they_are_written(self, header, tmp_path):
        write(tmp_path / "t.csv", header, "a.jpg,Was?,ein Hund")
        touch(tmp_path, "a.jpg")
        (part,), _ = recognise(tmp_path)
        assert part.questions[0].best_answer == "ein Hund"
        assert part.images[0].file == "a.jpg"

    def test_the_very_name_comes_first(self):
        names = ["Question", "question", "Path", "image", "Answer"]
        assert columns_of(names, "", Path("t.csv")) == {
            "question": ("question",), "image": ("image",), "answer": ("Answer",),
        }  # fmt: skip
        chosen = columns_of(names, "question:Question,image:path", Path("t.csv"))
        assert (chosen["question"], chosen["image"]) == (("Question",), ("Path",))

    def test_two_columns_that_become_one_name_are_for_the_user_to_choose(self, tmp_path):
        write(tmp_path / "t.csv", "image,Question,QUESTION,answer", "a.jpg,Was?,What?,it")
        touch(tmp_path, "a.jpg")
        with pytest.raises(BadConfig, match="several columns that could be the question") as caught:
            prepare(None, tmp_path, beside(tmp_path, "data"))
        assert "'Question', 'QUESTION'" in caught.value.message
        assert "columns=question:Question" in caught.value.hint
        collection = read_source("table", tmp_path, columns="question:QUESTION")
        assert collection.questions[0].text == "What?"

    def test_others_may_be_alike(self, tmp_path):
        write(tmp_path / "t.csv", "image,caption,Note,note", "a.jpg,A dog.,1,2")
        assert read_source("table", tmp_path).captions[0].text == "A dog."

    def test_every_row_of_json_lines_counts(self, tmp_path):
        rows = [{"Image": "a.jpg", "Caption": "A."}, {"image": "b.jpg", "caption": "B."}]
        write(tmp_path / "t.jsonl", *map(json.dumps, rows))
        with pytest.raises(BadData, match="line 1 names no image"):
            read_source("table", tmp_path)

    @given(st.lists(st.sampled_from(["image", "Image", " image", "caption", "CAPTION", "x", ""])))
    def test_any_names_are_told_or_refused(self, names):
        known = fits(names)
        try:
            chosen = columns_of(names, "", Path("t.csv"))
        except BadConfig:
            assert len({name.strip().lower() for name in names}) < len(names)
        except BadData:
            assert not known
        else:
            assert known
            assert known_among(names).keys() == chosen.keys()
            assert {name for columns in chosen.values() for name in columns} <= set(names)


def splits_of(folder, **options):
    """The names of the images of each split, as a table below `folder` is read."""
    collection = read_source("table", folder, **options)
    names = {image.split: set() for image in collection.images}
    for image in collection.images:
        names[image.split].add(image.file)
    return names


class TestNothingInTheWrongSplit:
    """What a file beside the others, or a column, says of a split counts, or is asked about."""

    FILES = ("train", "validate", "test")

    @pytest.mark.parametrize(
        ("word", "split"),
        [
            *(("validate", "val"), ("valid", "val"), ("dev", "val"), ("Validation", "val")),
            *(("eval", "test"), ("evaluation", "test"), ("testdev", "test"), ("test-dev", "test")),
        ],
    )
    def test_words_of_splits(self, word, split, tmp_path):
        write(tmp_path / "train.csv", "image,caption", "a.jpg,A.", "c.jpg,C.")
        write(tmp_path / f"my_{word}.csv", "image,caption", "b.jpg,B.")
        touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
        found = splits_of(tmp_path, val_share="0")
        assert found == {"train": {"a.jpg", "c.jpg"}, split: {"b.jpg"}}
        column = tmp_path / "column"
        rows = [f"{n}.jpg,C {n}.,train" for n in range(3)]
        write(column / "t.csv", "image,caption,split", *rows, f"b.jpg,B.,{word}")
        touch(column, *(f"{n}.jpg" for n in range(3)), "b.jpg")
        assert splits_of(column, val_share="0")[split] == {"b.jpg"}

    @pytest.mark.parametrize("name", ["extra.csv", "trainval.csv", "more.jsonl", "train_val.csv"])
    def test_a_file_of_the_same_columns_that_says_no_split_is_asked_about(self, name, tmp_path):
        for part in ("train", "val"):
            write(tmp_path / f"{part}.csv", "image,caption", f"{part}.jpg,A.")
        line = '{"image": "x.jpg", "caption": "X."}' if name.endswith("l") else "image,caption"
        write(tmp_path / name, line, *([] if name.endswith("l") else ["x.jpg,X."]))
        touch(tmp_path, "train.jpg", "val.jpg", "x.jpg")
        if name == "trainval.csv":
            assert split_in(name) is None
        with pytest.raises(BadConfig) as caught:
            prepare(None, tmp_path, beside(tmp_path, "data"))
        assert name in caught.value.message
        assert "table=" in caught.value.hint
        found = splits_of(tmp_path, table=f"train.csv,val.csv,{name}:test")
        assert found == {"train": {"train.jpg"}, "val": {"val.jpg"}, "test": {"x.jpg"}}

    def test_a_column_that_contradicts_the_file_is_asked_about(self, tmp_path):
        write(tmp_path / "train.csv", "image,caption,part", "a.jpg,A.,train", "b.jpg,B.,test")
        write(tmp_path / "val.csv", "image,caption,part", "c.jpg,C.,val")
        touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
        named = {"train": {"a.jpg", "b.jpg"}, "val": {"c.jpg"}}
        assert splits_of(tmp_path) == named
        for path in tmp_path.glob("*.csv"):
            path.write_text(path.read_text().replace("part", "split"))
        with pytest.raises(BadData, match="line 3") as caught:
            read_source("table", tmp_path)
        assert caught.value.location == str(tmp_path / "train.csv")
        assert splits_of(tmp_path, columns="split:") == named
        by_column = {"train": {"a.jpg"}, "val": {"c.jpg"}, "test": {"b.jpg"}}
        assert splits_of(tmp_path, columns="split:split") == by_column

    def test_two_spellings_are_one_image(self, tmp_path):
        spelt = ["sub/0.jpg", "sub//0.jpg", "./sub/0.jpg", "sub/./0.jpg", "sub\\0.jpg"]
        rows = [f"{name},Q {n}?,yes,{'train' if n else 'test'}" for n, name in enumerate(spelt)]
        write(tmp_path / "t.csv", "image,question,answer,split", *rows)
        touch(tmp_path, "sub/0.jpg")
        collection = read_source("table", tmp_path)
        assert {image.file for image in collection.images} == {"sub/0.jpg"}
        assert {image.id for image in collection.images} == {0}
        with pytest.raises(BadData, match="two splits"):
            prepare("table", tmp_path, beside(tmp_path, "data"))

    @pytest.mark.parametrize("second", ["png", "JPG", "webp", "tiff"])
    def test_a_name_that_two_files_have_is_asked_about(self, second, tmp_path):
        write(tmp_path / "t.csv", "image,caption", "a,A.", "b,B.")
        touch(tmp_path, "images/a.jpg", f"images/a.{second}", "images/b.jpg")
        with pytest.raises(BadData, match=r"a\.(jpg|JPG) and a\.") as caught:
            read_source("table", tmp_path)
        assert "ending" in caught.value.hint


class TestSeveralColumns:
    @pytest.mark.parametrize(
        "names",
        [
            [f"caption_{n}" for n in range(5)],
            [f"caption{n}" for n in range(1, 6)],
            [f"Caption {n}" for n in range(1, 6)],
            ["caption", *(f"caption.{n}" for n in range(1, 5))],
        ],
    )
    def test_numbered_captions_are_all_read(self, names, tmp_path):
        write(tmp_path / "t.csv", f"image,{','.join(names)}", "a.jpg,A,B,C,D,E", "b.jpg,F,G,H,I,J")
        collection = read_source("table", tmp_path)
        assert [caption.text for caption in collection.captions] == list("ABCDEFGHIJ")

    def test_columns_that_the_user_names_are_all_read(self, tmp_path):
        write(tmp_path / "t.csv", "image,first,second", "a.jpg,A,B")
        given = "caption:first,captions:second"
        texts = [c.text for c in read_source("table", tmp_path, columns=given).captions]
        assert texts == ["A", "B"]

    def test_one_part_may_not_be_named_twice(self, tmp_path):
        write(tmp_path / "t.csv", "photo,picture,caption", "a.jpg,b.jpg,A")
        with pytest.raises(BadConfig, match="'photo', 'picture'"):
            read_source("table", tmp_path, columns="image:photo,image:picture")

    def test_answer_is_the_best_of_answers(self, tmp_path):
        rows = [{"image": "a.jpg", "question": "Q?", "answers": ["a", "b", "b"], "answer": "a"}]
        write(tmp_path / "t.jsonl", *map(json.dumps, rows))
        (question,) = read_source("table", tmp_path).questions
        assert (question.answers, question.best_answer) == (("a", "b", "b"), "a")
        rows[0]["answer"] = "c"
        write(tmp_path / "t.jsonl", *map(json.dumps, rows))
        with pytest.raises(BadData, match="best answer 'c'"):
            read_source("table", tmp_path)

    def test_an_answer_beside_numbered_ones_may_be_one_of_choices(self, tmp_path):
        write(tmp_path / "t.csv", "image,question,answer_1,answer_2,answer", "a.jpg,Q?,x,y,x")
        with pytest.raises(BadConfig, match="several columns that could be the answer"):
            read_source("table", tmp_path)
        chosen = read_source("table", tmp_path, columns="answer:answer")
        assert chosen.questions[0].answers == ("x",)


CHOICES = ["red", "green", "blue"]


def asked(answers, **more):
    """Rows of JSON: a question with three choices for each answer."""
    return [
        json.dumps(
            {"image": f"{n}.jpg", "question": f"{n}?", "options": CHOICES, "answer": a} | more
        )
        for n, a in enumerate(answers)
    ]


class TestMultipleChoice:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("B", "green"), ("(c)", "blue"), ("A.", "red"), ("B) green", "green"), ("blue", "blue"),
            ("Green", "Green"), (["C"], "blue"), ("D", "D"), ("B) red", "B) red"),
            ("purple", "purple"), ("\uff08\uff22\uff09", "green"),
        ],
    )  # fmt: skip
    def test_a_letter_is_the_choice(self, tmp_path, given, meant):
        write(tmp_path / "t.jsonl", *asked([given, "red"]))
        collection = read_source("table", tmp_path)
        assert [q.best_answer for q in collection.questions] == [meant, "red"]
        strange = meant.lower() not in CHOICES
        assert strange == any("1 answer is none" in note for note in collection.notes)

    @pytest.mark.parametrize(
        "names",
        ["A,B,C", "选项A,选项B,选项C", "Option A,Option B,Option C", "choice1,choice2,choice3",
         "option_0,option_1,option_2"],
    )  # fmt: skip
    def test_each_choice_may_have_its_column(self, tmp_path, names):
        rows = ["0.jpg,Q0?,red,green,blue,C", "1.jpg,Q1?,yes,no,,B", "2.jpg,Q2?,,on,off,C"]
        write(tmp_path / "t.csv", f"image,question,{names},answer", *rows)
        collection = read_source("table", tmp_path)
        assert [q.best_answer for q in collection.questions] == ["blue", "no", "off"]
        assert list(collection.choices.values()) == [tuple(CHOICES), ("yes", "no"), ("on", "off")]

    @pytest.mark.parametrize("as_text", [False, True])
    def test_places_are_counted_so_that_all_answers_are_choices(self, tmp_path, as_text):
        for places, meant in (([0, 1, 2], CHOICES), ([3, 1, 1], ["blue", "red", "red"])):
            write(tmp_path / "t.jsonl", *asked([str(n) if as_text else n for n in places]))
            questions = read_source("table", tmp_path).questions
            assert [q.best_answer for q in questions] == meant

    def test_places_that_could_be_counted_either_way_are_asked_about(self, tmp_path):
        write(tmp_path / "t.jsonl", *asked([1, 2, 2]))
        with pytest.raises(BadConfig) as caught:
            read_source("table", tmp_path)
        assert "choices_from=0" in caught.value.hint
        for first, meant in (("0", ["green", "blue", "blue"]), ("1", ["red", "green", "green"])):
            questions = read_source("table", tmp_path, choices_from=first).questions
            assert [q.best_answer for q in questions] == meant

    def test_numbers_that_are_choices_are_no_places(self, tmp_path):
        write(tmp_path / "t.jsonl", *asked([1, 3, 2], options=["3", "2", "1"]))
        questions = read_source("table", tmp_path).questions
        assert [q.best_answer for q in questions] == ["1", "3", "2"]

    def test_a_place_that_is_none_is_refused_or_left_out(self, tmp_path):
        write(tmp_path / "t.jsonl", *asked([0, 1, 2, 3]))
        with pytest.raises(BadData, match="line 4 has the answer 3, but 3 choices"):
            read_source("table", tmp_path)
        assert len(read_source("table", tmp_path, bad="drop").questions) == 3

    def test_choices_by_letter_in_an_object(self, tmp_path):
        write(tmp_path / "t.jsonl", *asked(["B"], options=dict(zip("ABC", CHOICES, strict=True))))
        assert read_source("table", tmp_path).questions[0].best_answer == "green"

    @pytest.mark.parametrize("answer", [2, "C", [{"answer": "C"}]])
    def test_in_the_form_of_vqa(self, tmp_path, answer):
        ids = [{"question_id": n, "image_id": n} for n in range(2)]
        questions = [i | {"question": "Q?", "choices": CHOICES} for i in ids]
        first = {int: 0, str: "A", list: [{"answer": "A"}]}[type(answer)]
        annotations = [ids[0] | {"answer": answer}, ids[1] | {"answer": first}]
        write(tmp_path / "questions.json", json.dumps({"questions": questions}))
        write(tmp_path / "annotations.json", json.dumps({"annotations": annotations}))
        collection = read_source("vqa-form", tmp_path)
        assert [q.best_answer for q in collection.questions] == ["blue", "red"]


class TestImagesOfSplits:
    """Names that stand in each split's folder are images of their own."""

    def files(self, root, **options):
        return {(image.file, image.split) for image in read_source("table", root, **options).images}

    @pytest.mark.parametrize(
        "folders",
        [("images/train", "images/val"), ("train", "val"), ("images_train", "images_val"),
         ("images", "val"), ("train/images", "valid/images"), ("训练", "验证")],
    )  # fmt: skip
    @pytest.mark.parametrize("column", [False, True])
    def test_each_in_the_folder_of_its_split(self, tmp_path, folders, column):
        if column:
            rows = [f"{n}.jpg,A {s}.,{s}" for s in ("train", "val") for n in range(2)]
            write(tmp_path / "t.csv", "image,caption,split", *rows)
        else:
            for split in ("train", "val"):
                write(tmp_path / f"{split}.csv", "image,caption", "0.jpg,A.", "1,B.")
        touch(tmp_path, *(f"{folder}/{n}.jpg" for folder in folders for n in range(2)))
        found = {
            (f"{f}/{n}.jpg", s)
            for f, s in zip(folders, ("train", "val"), strict=True)
            for n in range(2)
        }
        assert self.files(tmp_path) == found
        check(read_source("table", tmp_path))

    def test_the_folders_say_the_split_of_a_table_without(self, tmp_path):
        write(tmp_path / "t.csv", "image,caption", "0.jpg,A.", "1.jpg,B.")
        touch(tmp_path, "images/train/0.jpg", "images/test/1.jpg")
        assert self.files(tmp_path, val_share="0") == {
            ("images/train/0.jpg", "train"), ("images/test/1.jpg", "test"),
        }  # fmt: skip
        touch(tmp_path, "images/test/0.jpg")
        with pytest.raises(BadData, match=r"0\.jpg could be images/test/0\.jpg and images/train"):
            read_source("table", tmp_path)

    def test_a_folder_of_any_name_comes_after_the_usual_ones(self, tmp_path):
        write(tmp_path / "t.csv", "image,caption,split", "0.jpg,A.,train", "1.jpg,B.,val")
        touch(tmp_path, "图片/0.jpg", "图片/1.jpg", "images/1.jpg")
        assert self.files(tmp_path) == {("图片/0.jpg", "train"), ("images/1.jpg", "val")}

    def test_numbers_without_their_zeros(self, tmp_path):
        write(tmp_path / "t.csv", "image,caption,split", "7,A.,train", "10,B.,val")
        touch(tmp_path, "images/00007.jpg", "images/00010.jpg")
        assert self.files(tmp_path) == {("images/00007.jpg", "train"), ("images/00010.jpg", "val")}


class TestQuotations:
    @pytest.mark.parametrize("mark", [",", "\t"])
    @pytest.mark.parametrize("begin", ['{n}.jpg{m}"it begins{m}yes', '"{n}.jpg{m}it begins{m}yes'])
    def test_one_that_swallows_rows_is_refused_or_left_out(self, tmp_path, mark, begin):
        rows = [f"{n}.jpg{mark}What is {n}?{mark}yes" for n in range(9)]
        rows[2] = begin.format(n=2, m=mark)
        rows[5] = f'5.jpg{mark}it ends"{mark}yes'
        write(tmp_path / "t.csv", mark.join(("image", "question", "answer")), *rows)
        with pytest.raises(BadData) as caught:
            read_source("table", tmp_path)
        assert "line 4 has a quotation up to line 7, with 3 lines" in caught.value.message
        collection = read_source("table", tmp_path, bad="drop")
        assert len(collection.questions) == 5
        assert any("1 row" in note and "3 lines" in note for note in collection.notes)

    def test_a_text_may_have_lines(self, tmp_path):
        texts = [
            "One, two.\nThree, four.",
            "A dog\n\nruns, in 2 parks.",
            "Line 1\nLine 2, 3.jpg is",
        ]
        rows = [f'{n}.jpg,"{text}"' for n, text in enumerate(texts)]
        write(tmp_path / "t.csv", "image,caption", *rows)
        assert [c.text for c in read_source("table", tmp_path).captions] == texts


class TestBrackets:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("[Figure 3] a dog", ["[Figure 3] a dog"]), ("[30]", ["[30]"]), ("[unk]", ["[unk]"]),
            ('["a dog"]', ["a dog"]), ("['a dog', \"it's\"]", ["a dog", "it's"]),
        ],
    )  # fmt: skip
    def test_only_quoted_texts_are_a_list(self, tmp_path, written, meant):
        field = written.replace('"', '""')
        write(tmp_path / "t.csv", "image,caption", f'0.jpg,"{field}"')
        assert [c.text for c in read_source("table", tmp_path).captions] == meant

    @pytest.mark.parametrize(
        "written", ["['a dog' 'a cat']", "['a dog', 'a cat'", "['a', open(1)]"]
    )
    def test_a_list_in_another_form_is_refused(self, tmp_path, written):
        write(tmp_path / "t.csv", "image,caption", f'0.jpg,"{written}"')
        with pytest.raises(BadData, match="line 2 has a broken list"):
            read_source("table", tmp_path)

    def test_a_list_of_one_name_is_the_image(self, tmp_path):
        rows = [{"images": [f"images/{n}.jpg"], "caption": "A."} for n in range(2)]
        write(tmp_path / "t.jsonl", *map(json.dumps, rows))
        images = read_source("table", tmp_path, columns="image:images").images
        assert [image.file for image in images] == ["images/0.jpg", "images/1.jpg"]


class TestTableOfImages:
    """A table of images beside one of captions or questions, which names images by an id."""

    def lay(self, root, images=("7,0.jpg,train", "3,1.jpg,val"), texts=("3,B.", "7,A.")):
        write(root / "images.csv", "image_id,file_name,split", *images)
        write(root / "captions.csv", "image_id,caption", *texts)
        touch(root, *(f"images/{n}.jpg" for n in (0, 1, 3, 7)))

    @pytest.mark.parametrize("options", [{}, {"table": "captions.csv"}])
    def test_joined_by_the_id(self, tmp_path, options):
        self.lay(tmp_path)
        assert reason("table", tmp_path, options)
        collection = read_source("table", tmp_path, **options)
        files = {image.id: (image.file, image.split) for image in collection.images}
        assert {(c.text, *files[c.image_id]) for c in collection.captions} == {
            ("A.", "images/0.jpg", "train"), ("B.", "images/1.jpg", "val"),
        }  # fmt: skip

    def test_ids_of_captions_are_no_ids_of_images(self, tmp_path):
        write(tmp_path / "images.csv", "id,file_name,split", "0,0.jpg,train", "1,1.jpg,val")
        write(tmp_path / "captions.csv", "id,image_id,caption", "0,1,B.", "1,0,A.")
        collection = read_source("table", tmp_path)
        files = {image.id: image.file for image in collection.images}
        assert {(c.text, files[c.image_id][-5:]) for c in collection.captions} == {
            ("A.", "0.jpg"), ("B.", "1.jpg"),
        }  # fmt: skip

    def test_an_image_that_is_lacking_or_there_twice(self, tmp_path):
        self.lay(tmp_path, texts=("3,B.", "8,A."))
        with pytest.raises(BadData, match=r"line 3 is of image_id '8', which images\.csv lacks"):
            read_source("table", tmp_path)
        assert len(read_source("table", tmp_path, bad="drop").captions) == 1
        self.lay(tmp_path, images=("7,0.jpg,train", "7,1.jpg,val"))
        with pytest.raises(BadData, match="line 3 has the image_id '7' a second time"):
            read_source("table", tmp_path)


class TestWhichColumn:
    def test_an_unknown_column_of_answers(self, tmp_path):
        write(tmp_path / "t.csv", "image,question,réponse", "0.jpg,Où?,là")
        for bad in ("refuse", "drop"):
            with pytest.raises(BadData, match="no answer to 'Où") as caught:
                read_source("table", tmp_path, bad=bad)
            assert "columns=answer:NAME" in caught.value.hint
            assert "image, question, réponse" in caught.value.hint

    @pytest.mark.parametrize("name", ["gt_answer", "ground_truth", "标准答案", "参考答案"])
    def test_further_names_of_answers(self, tmp_path, name):
        write(tmp_path / "t.csv", f"image,question,{name}", "0.jpg,Q?,yes")
        assert read_source("table", tmp_path).questions[0].answers == ("yes",)

    def test_the_command_reads_the_tables_of_all_splits(self, tmp_path):
        write(tmp_path / "train.csv", "id,image_id,question,answer", "0,a,Q?,yes")
        write(tmp_path / "test.csv", "id,image_id,question", "1,b,Q?")
        write(tmp_path / "sample_submission.csv", "id,answer", "1,yes")
        hint = nothing_known(tmp_path, {}).hint
        assert "columns=image:COLUMN" in hint
        assert "table=" not in hint
        questions = read_source("table", tmp_path, columns="image:image_id").questions
        assert {q.split for q in questions} == {"train", "test"}

    def test_several_questions_in_a_row(self, tmp_path):
        names = "image,question1,answer1,question2,answer2"
        write(tmp_path / "t.csv", names, "0.jpg,Q?,yes,R?,no")
        assert "question1, question2" in nothing_known(tmp_path, {}).hint
        given = "question:question1,answer:answer1"
        assert "question2" in read_source("table", tmp_path, columns=given).notes[0]


class TestDrawnSplits:
    def test_validation_is_drawn_from_training_images_where_only_it_is_missing(self, tmp_path):
        lines = [
            f"{n % 30}.jpg,Question {n}?,yes,{'test' if n % 3 else 'train'}" for n in range(90)
        ]
        write(tmp_path / "t.csv", "image,question,answer,split", *lines)
        collection = read_source("table", tmp_path, val_share="0.2")
        assert Counter(p.split for p in collection.images) == {"train": 8, "val": 2, "test": 20}
        assert Counter(q.split for q in collection.questions) == {"train": 24, "val": 6, "test": 60}
        assert "2 of 10 training images, drawn with seed 0" in collection.notes[-1]
        none = read_source("table", tmp_path, val_share="0")
        assert {p.split for p in none.images} == {"train", "test"}

    def test_an_image_that_is_tested_on_too_is_never_drawn(self, tmp_path):
        lines = ["a.jpg,A.,train", "a.jpg,A.,test", "b.jpg,B.,train", "c.jpg,C.,train"]
        write(tmp_path / "t.csv", "image,caption,split", *lines)
        touch(tmp_path, *(f"images/{name}.jpg" for name in "abc"))
        images = read_source("table", tmp_path, val_share="0.99").images
        assert {p.split for p in images if p.file == "images/a.jpg"} == {"train", "test"}
        assert Counter(p.split for p in images) == {"train": 2, "val": 1, "test": 1}

    def test_no_image_is_in_two_splits(self, tmp_path):
        lines = [f"{n % 30}.jpg,Question {n}?,yes" for n in range(90)]
        write(tmp_path / "t.csv", "image,question,answer", *lines)
        touch(tmp_path, *(f"{n}.jpg" for n in range(30)))
        folder = DataFolder(prepare("table", tmp_path, beside(tmp_path, "made"), val_share="0.2"))
        assert Counter(p.split for p in folder.images()) == {"train": 21, "val": 6, "test": 3}
        assert len(folder.questions("val")) == 18
        assert "6 for val and 3 for test were drawn with seed 0" in folder.about["notes"][0]

    @given(
        names=st.sets(st.text(max_size=5), max_size=40),
        val=st.floats(0, 0.6),
        test=st.floats(0, 0.39),
        seed=st.integers(0, 9),
    )
    def test_shares_hold_whatever_the_order(self, names, val, test, seed):
        shares = {"val": val, "test": test}
        drawn = draw(names, shares, seed)
        assert drawn == draw(sorted(names, reverse=True), shares, seed)
        assert drawn.keys() == names
        counts = Counter(drawn.values())
        assert counts["train"] >= min(len(names), 1)
        for split, share in shares.items():
            assert counts[split] <= max(round(share * len(names)), 1 if share else 0)


class TestHuggingFace:
    def test_images_inside_are_written_out_once(self, tmp_path):
        SAMPLES["hf-datasets"](tmp_path)
        collection = read_source("hf-datasets", tmp_path)
        assert Counter(p.split for p in collection.images) == {"train": 3, "val": 2}
        for image in collection.images:
            assert image.file.startswith("unpacked-images/")
            assert (tmp_path / image.file).read_bytes()[:3] == JPEG
        assert collection.questions[0].answers == ("red",)
        assert len(collection.captions) == 10
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
        assert len(before) == 5
        read_source("hf-datasets", tmp_path)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")} == before

    def test_equal_images_are_one(self, tmp_path):
        table = pa.concat_tables([hf_table(0, 2), hf_table(0, 2)])
        save_arrow(tmp_path, table)
        collection = read_source("hf-datasets", tmp_path, val_share="0", test_share="0")
        assert len(collection.images) == 2
        assert len(collection.questions) == 4

    def test_one_split_is_divided_by_image(self, tmp_path):
        save_arrow(tmp_path / "saved", hf_table(0, 20))
        collection = read_source("hf-datasets", tmp_path)
        assert Counter(p.split for p in collection.images) == {"train": 16, "val": 2, "test": 2}

    def test_images_as_paths_and_records_as_lists(self, tmp_path):
        rows = {
            "image": ["images/a.png", "images/b.png"],
            "question": ["Who?", "Why?"],
            "answers": [{"answer": ["me", "I", "me"]}, {"answer": ["so"]}],
        }
        save_arrow(tmp_path, pa.table(rows))
        touch(tmp_path, "images/a.png", "images/b.png")
        collection = read_source("hf-datasets", tmp_path, val_share="0", test_share="0")
        assert [p.file for p in collection.images] == ["images/a.png", "images/b.png"]
        assert collection.questions[0].answers == ("me", "I", "me")
        assert collection.questions[0].best_answer == "me"
        assert not (tmp_path / "unpacked-images").exists()

    def test_classes_are_called_by_their_names(self, tmp_path):
        from datasets import ClassLabel, Dataset

        rows = {"image": ["a.png"] * 2, "question": ["Who?"] * 2, "answer": [1, 0]}
        label = ClassLabel(names=["cat", "dog"])
        Dataset.from_dict(rows).cast_column("answer", label).save_to_disk(str(tmp_path))
        questions = read_source("hf-datasets", tmp_path).questions
        assert [q.best_answer for q in questions] == ["dog", "cat"]

    def test_a_choice_of_rows(self, tmp_path):
        from datasets import Dataset

        Dataset(hf_table(0, 9)).select([4, 2]).save_to_disk(str(tmp_path))
        collection = read_source("hf-datasets", tmp_path, val_share="0", test_share="0")
        assert [q.text for q in collection.questions] == ["What is 4?", "What is 2?"]

    def test_without_the_package_it_is_said_how_to_get_it(self, tmp_path, monkeypatch):
        SAMPLES["hf-datasets"](tmp_path)
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(BadConfig, match=r"needs the package datasets.*saccade\[hf\]"):
            read_source("hf-datasets", tmp_path)

    def test_a_folder_that_cannot_be_written_to(self, tmp_path):
        SAMPLES["hf-datasets"](tmp_path)
        (tmp_path / "unpacked-images").write_text("in the way")
        with pytest.raises(BadData, match="cannot be written to") as caught:
            read_source("hf-datasets", tmp_path)
        assert "images=FOLDER" in caught.value.hint
        (tmp_path / "elsewhere").mkdir()
        collection = read_source("hf-datasets", tmp_path, images="elsewhere")
        assert all((tmp_path / "elsewhere" / p.file).is_file() for p in collection.images)


class TestFlickrTables:
    def test_kaggles_flickr8k(self, tmp_path):
        write(
            tmp_path / "captions.txt", "image,caption", "a.jpg,A dog runs .",
            'a.jpg,"A black dog , running ."', "b.jpg,A cat .",
        )  # fmt: skip
        touch(tmp_path, "Images/a.jpg", "Images/b.jpg")
        collection = read_source("flickr8k", tmp_path, test_share="0")
        assert [p.file for p in collection.images] == ["Images/a.jpg", "Images/b.jpg"]
        assert {c.text for c in collection.captions} >= {"A black dog , running ."}
        assert Counter(p.split for p in collection.images) == {"train": 1, "val": 1}
        assert "Flickr_8k.trainImages.txt" in collection.notes[0]
        assert collection.edition == ""

    def test_kaggles_flickr8k_with_the_official_lists(self, tmp_path):
        SAMPLES["flickr8k"](tmp_path)
        official = read_source("flickr8k", tmp_path)
        lines = [
            f"{p.file.split('/')[1]},A horse , number {n} ."
            for p in official.images
            for n in (0, 1)
        ]
        (tmp_path / "Flickr8k.token.txt").unlink()
        quoted = ['{},"{}"'.format(*line.split(",", 1)) for line in lines]
        write(tmp_path / "captions.txt", "image,caption", *quoted)
        table = read_source("flickr8k", tmp_path)
        assert table.captions == official.captions
        assert table.edition == "official"

    def test_kaggles_flickr30k(self, tmp_path):
        write(
            tmp_path / "results.csv", "image_name| comment_number| comment",
            '10.jpg| 0| A "dog" , he said , runs .', "10.jpg| 4   A dog runs across the grass .",
            "20.jpg| 0| A cat | or two .",
        )  # fmt: skip
        touch(tmp_path, "flickr30k_images/10.jpg", "flickr30k_images/20.jpg")
        collection = read_source("flickr30k", tmp_path, val_share="0", test_share="0")
        assert [c.text for c in collection.captions] == [
            'A "dog" , he said , runs .', "A dog runs across the grass .", "A cat | or two .",
        ]  # fmt: skip
        assert "source karpathy" in collection.notes[0]

    @pytest.mark.parametrize(
        ("name", "head"),
        [("captions.txt", "image,caption"), ("results.csv", "image_name| comment_number| comment")],
    )
    def test_a_byte_order_mark_hides_nothing(self, tmp_path, name, head):
        row = "a.jpg| 0| A dog ." if "|" in head else "a.jpg,A dog ."
        (tmp_path / name).write_text(f"{head}\n{row}\n", encoding="utf-8-sig")
        touch(tmp_path, "a.jpg")
        (part,), _ = recognise(tmp_path)
        assert part.source.startswith("flickr")
        assert [c.text for c in part.captions] == ["A dog ."]

    def test_as_many_images_of_flickr30k_are_drawn_as_karpathy_took(self, tmp_path):
        rows = (f"{n}.jpg| 0| A dog ." for n in range(31_783))
        write(tmp_path / "results.csv", "image_name| comment_number| comment", *rows)
        images = read_source("flickr30k", tmp_path).images
        assert Counter(p.split for p in images) == {"train": 29_769, "val": 1_014, "test": 1_000}

    @pytest.mark.parametrize(
        ("lines", "what"),
        [
            (["image_name,comment"], "does not begin with image_name"),
            (["image_name| comment_number| comment", "10.jpg| A dog ."], "line 2 is not NAME.jpg"),
        ],
    )
    def test_broken_bars(self, tmp_path, lines, what):
        write(tmp_path / "results.csv", *lines)
        with pytest.raises(BadData, match=what):
            read_source("flickr30k", tmp_path)

    def test_lists_of_flickr30k_entities_lack_the_ending(self, tmp_path):
        SAMPLES["flickr30k"](tmp_path)
        images = read_source("flickr30k", tmp_path).images
        assert [(p.file.split("/")[1], p.split) for p in images] == [
            ("10.jpg", "val"), ("20.jpg", "train"), ("30.jpg", "test"),
        ]  # fmt: skip


class TestSplitsOfRows:
    def test_folders_of_images_named_after_splits(self, tmp_path):
        names = ("train/0.jpg", "train/1.jpg", "val/2.jpg", "test/3.jpg")
        write(tmp_path / "q.csv", "image,question,answer", *(f"{name},a?,b" for name in names))
        touch(tmp_path, *(f"images/{name}" for name in names))
        collection = read_source("table", tmp_path)
        splits = [one.split for one in collection.questions]
        assert splits == ["train", "train", "val", "test"]
        assert any("folders" in note for note in collection.notes)

    @pytest.mark.parametrize("seed", range(4))
    def test_no_answer_is_a_bad_row_wherever_it_is_drawn(self, tmp_path, seed):
        lines = [f"{n}.jpg,a?,{'' if n == 2 else 'b'}" for n in range(4)]
        write(tmp_path / "q.csv", "image,question,answer", *lines, "1.jpg,,b")
        touch(tmp_path, *(f"{n}.jpg" for n in range(4)))
        options = {"val_share": 0.25, "test_share": 0.5, "seed": seed}
        with pytest.raises(BadData, match="line 4 has no answer"):
            read_source("table", tmp_path, **options)
        collection = read_source("table", tmp_path, bad="drop", **options)
        assert len(collection.questions) == 3
        assert any("1 row" in note and "nothing about" in note for note in collection.notes)

    @pytest.mark.parametrize("column", ["set", "subset", "集合", "partition", "fold"])
    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
    def test_a_column_of_words_of_splits_is_asked_about(self, tmp_path, column, kind):
        rows = [
            {"image": f"{n}.jpg", "question": "a?", "answer": "b", column: word}
            for n, word in enumerate(("train", "Dev", "测试集", "train"))
        ]
        source = "hf-parquet" if kind == "parquet" else "table"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "q.parquet")
        elif kind == "jsonl":
            write(tmp_path / "q.jsonl", *map(json.dumps, rows))
        else:
            write(tmp_path / "q.csv", ",".join(rows[0]), *(",".join(row.values()) for row in rows))
        with pytest.raises(BadConfig) as caught:
            read_source(source, tmp_path)
        assert f"columns=split:{column}" in caught.value.hint.replace("'", "")
        collection = read_source(source, tmp_path, columns=f"split:{column}")
        assert [one.split for one in collection.questions] == ["train", "val", "test", "train"]
        assert len(read_source(source, tmp_path, columns="split:").questions) == 4

    def test_a_category_is_no_split(self, tmp_path):
        lines = ["0.jpg,a?,b,train", "1.jpg,a?,b,bus"]
        write(tmp_path / "q.csv", "image,question,answer,category", *lines)
        assert len(read_source("table", tmp_path).questions) == 2

    def test_rows_of_another_length_are_bad_rows(self, tmp_path):
        lines = ["0.jpg,a?,b", "1.jpg,a?,b,c", "2.jpg", "3.jpg,a?,b"]
        write(tmp_path / "q.csv", "image,question,answer", *lines)
        with pytest.raises(BadData, match="line 3 has 4 fields") as caught:
            read_source("table", tmp_path)
        assert "--bad drop" in caught.value.hint
        assert len(read_source("table", tmp_path, bad="drop").questions) == 2


class TestPathsOfAnotherMachine:
    @pytest.mark.parametrize("home", ["D:\\work\\set\\images\\", "/nowhere/me/pictures/train/"])
    @pytest.mark.parametrize("there", ["images/", "", "images/train/"])
    def test_found_by_their_ends(self, tmp_path, home, there):
        if "train" in there and "D:" in home:
            home += "train\\"
        write(tmp_path / "q.csv", "image,caption", *(f"{home}{n}.jpg,A dog." for n in range(3)))
        touch(tmp_path, *(f"{there}{n}.jpg" for n in range(3)))
        collection = read_source("table", tmp_path)
        assert [one.file for one in collection.images] == [f"{there}{n}.jpg" for n in range(3)]
        assert any("by their last parts" in note for note in collection.notes)

    def test_two_files_could_be_one(self, tmp_path):
        write(tmp_path / "q.csv", "image,caption", "/nowhere/me/0.jpg,A dog.")
        touch(tmp_path, "me/0.jpg", "images/0.jpg")
        with pytest.raises(BadData, match="outside of the folder"):
            read_source("table", tmp_path)

    def test_folders_that_tell_images_apart_are_kept(self, tmp_path):
        names = ("/nowhere/me/a/0.jpg", "/nowhere/me/b/0.jpg")
        write(tmp_path / "q.csv", "image,caption", *(f"{name},A dog." for name in names))
        touch(tmp_path, "images/a/0.jpg", "images/b/0.jpg")
        files = [one.file for one in read_source("table", tmp_path).images]
        assert files == ["images/a/0.jpg", "images/b/0.jpg"]
        (tmp_path / "images/b/0.jpg").unlink()
        with pytest.raises(BadData) as caught:
            read_source("table", tmp_path)
        assert "--option images=FOLDER" in caught.value.hint


class TestWordsAboutOwnData:
    def test_who_has_no_answers_is_told_of_no_server(self, tmp_path):
        lines = ("0.jpg,a?,b,train", "1.jpg,a?,b,val", "2.jpg,a?,,test")
        write(tmp_path / "q.csv", "image,question,answer,split", *lines)
        touch(tmp_path, *(f"{n}.jpg" for n in range(3)))
        collection = read_source("table", tmp_path)
        for secret in (False, True):
            (found,) = (f for f in check(collection, secret=secret)[1] if "no answers" in f.message)
            assert found.message == "1 question has no answers"
            assert ("server" in found.hint) == secret

    def test_a_column_without_a_name(self, tmp_path):
        write(tmp_path / "q.csv", ",photo,label", "0,0.jpg,cat")
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert "(no name), photo" in caught.value.message

    def test_a_field_that_is_no_field_of_a_mapping(self, tmp_path):
        write(tmp_path / "mapping.toml", 'file = "a.json"')
        with pytest.raises(BadConfig) as caught:
            load(tmp_path / "mapping.toml")
        assert "`file`" in caught.value.message
        assert "`files`" in caught.value.message

    def test_why_a_table_was_not_read(self, tmp_path):
        write(tmp_path / "q.csv", "image,question,answer", "0.jpg,a?,b", "1.jpg,a?,b")
        write(tmp_path / "sizes.csv", "image,width,height", "0.jpg,1,2")
        (why,) = unread_files(tmp_path, [tmp_path / "q.csv"]).values()
        assert "questions or captions" in why
        assert "width" in why
        assert "by its name" not in why
