"""The reader of layouts that are files: paths, templates, patterns, joins, what is refused."""

import gzip
import json
import pickle
import shutil
from pathlib import Path

import pytest

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import SeveralFit
from saccade.data.folder import DataFolder
from saccade.datasets.catalogue import SOURCES, read_source, reason
from saccade.datasets.detect import recognise
from saccade.datasets.layout import Mapping, load, taken, values_at
from saccade.datasets.layout_files import files_of
from saccade.datasets.mapping import read
from saccade.datasets.plain_pickle import read_pickle
from saccade.datasets.prepare import prepare
from tests.caption_layouts import write_coco_form, write_vizwiz_captions
from tests.question_layouts import (
    write_chartqa,
    write_pope,
    write_slake,
    write_vizwiz,
    write_vqa_abstract,
    write_vqa_form,
)
from tests.sample_files import save, touch, write_lines
from tests.source_samples import beside

RECORD = {
    "a": {"b": [{"c": 1}, {"c": 2}]},
    "n": 7,
    "text": "12",
    "words": ["no", "yes"],
    "place": 1,
    "none": None,
    "blank": "",
    "rest": [],
    "of": {"x": {"v": "p"}, "y": {"v": "q"}},
}


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("n", [7]),
            ("a.b[].c", [1, 2]),
            ("a.b[1].c", [2]),
            ("a.b[2].c", []),
            ("words[place]", ["yes"]),
            ("words[n]", []),
            ("words[text]", []),
            ("words[gone]", []),
            ("of.*.v", ["p", "q"]),
            ("a.b.c", []),
            ("n.x", []),
            ("gone", []),
            ("", [RECORD]),
        ],
    )
    def test_what_a_path_leads_to(self, path, found):
        assert values_at(RECORD, path) == found

    @pytest.mark.parametrize(
        ("paths", "found"),
        [
            (("gone", "none", "blank", "rest", "n", "text"), [7]),
            (("words[] + n",), ["no", "yes", 7]),
            (("gone + n",), [7]),
            (("'test'",), ["test"]),
            (("{n:03d}.png",), ["007.png"]),
            (("{text:04d}.png",), ["0012.png"]),
            (("{words[0]}/{of.x.v}",), ["no/p"]),
            (("{gone}.png", "{n}.png"), ["7.png"]),
            (("{a.__class__}", "{a.b.__init__.__globals__}"), []),
            (("{words[0]:06d}",), []),
        ],
    )
    def test_the_first_that_gives_something_counts(self, paths, found):
        assert taken(RECORD, paths) == found


class TestFiles:
    @pytest.mark.parametrize(
        ("pattern", "there", "found"),
        [
            ("{split}.json", ["train.json", "val.json", "notes.json"], {"train", "val"}),
            ("q_{split}.json", ["q_val2014.json"], {"val2014"}),
            ("q_{split}.json", ["q_test-dev2015.json"], {"test-dev2015"}),
            ("{split}/a.json", ["train/a.json", "other/a.json"], {"train"}),
            ("{split}/{split}_a.json", ["train/train_a.json", "val/train_a.json"], {"train"}),
            ("*/{split}.json", ["x/train.json", "y/val.json", "val.json"], {"train", "val"}),
            ("q.(a)_{split}.json", ["q.(a)_val.json", "qx(a)_val.json"], {"val"}),
        ],
    )  # fmt: skip
    def test_split_stands_for_a_splits_word(self, pattern, there, found, tmp_path):
        touch(tmp_path, *there, *(f".{name}" for name in there if "/" not in name))
        assert {file.subset for file in files_of(tmp_path, (pattern,))} == found

    def test_other_braces_are_named(self, tmp_path):
        touch(tmp_path, "train/train_human.json", "train/train_augmented.json")
        found = files_of(tmp_path, ("{split}/{split}_{kind}.json",))
        assert [(file.subset, dict(file.named)) for file in found] == [
            ("train", {"kind": "augmented"}),
            ("train", {"kind": "human"}),
        ]

    def test_the_first_folder_that_has_some(self, tmp_path):
        touch(tmp_path, "b/train.json", "c/val.json")
        assert [file.path.parent.name for file in files_of(tmp_path, ("{split}.json",))] == ["b"]


MINE = {"image": "pic", "question": "q", "answers": "a"}


def own(root, mapping, records, name="own.json"):
    """A mapping as TOML, and the records it is about, with an image for each."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in mapping.items()]
    write_lines(root / "mapping.toml", *lines)
    save(root / name, records)
    touch(root, *(f"images/{n}.jpg" for n in range(10)))
    return root


def rows(count=10, **more):
    return [{"pic": f"{n}.jpg", "q": f"Is it {n}?", "a": "yes", **more} for n in range(count)]


class TestOwnMapping:
    def test_five_lines_read_an_own_form(self, tmp_path):
        collection = read(own(tmp_path, MINE, rows()))
        assert len(collection.questions) == 10
        assert {image.split for image in collection.images} == {"train", "val", "test"}

    def test_it_may_lie_elsewhere(self, tmp_path):
        own(tmp_path / "data", MINE, rows())
        path = (tmp_path / "data/mapping.toml").rename(tmp_path / "mine.toml")
        assert len(read(tmp_path / "data", mapping=str(path)).questions) == 10
        made = prepare(None, tmp_path / "data", tmp_path / "out", mapping=str(path))
        assert made.is_dir()

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("image = ", "TOML"),
            ('image = "a"\nqestion = "b"', "qestion"),
            ('image = "a"\nquestion = 3', "question"),
            ('image = "a"\nlines = "(?P<x>"', "lines"),
            ('image = "{a"\nquestion = "q"', "image"),
            ('image = "a}"\nquestion = "q"', "image"),
            ('image = "{}.jpg"\nquestion = "q"', "image"),
            ('image = "{a!r}"\nquestion = "q"', "image"),
            ('image = "{a:zz}.jpg"\nquestion = "q"', "zz"),
            ('image = "a"\nquestion = "q"\n[parts.x]\nqestion = "r"', "qestion"),
            ('image = "a"\nquestion = "q"\n[join]\nrecords = "[]"', "join.on"),
        ],
    )
    def test_a_mapping_that_is_none(self, text, says, tmp_path):
        path = write_lines(tmp_path / "mapping.toml", text)
        with pytest.raises(BadConfig) as caught:
            load(path)
        assert caught.value.location == str(path)
        assert says in caught.value.message
        assert caught.value.hint
        assert "\n" not in str(caught.value)

    def test_one_that_is_missing_or_says_too_little(self, tmp_path):
        with pytest.raises(BadData, match=r"mine\.toml"):
            read(tmp_path, mapping="mine.toml")
        write_lines(tmp_path / "mapping.toml", 'image = "a"')
        with pytest.raises(BadConfig, match="too little"):
            read(tmp_path)

    def test_a_wrong_path_is_told_with_its_file(self, tmp_path):
        own(tmp_path, {**MINE, "records": "data.items[]"}, {"data": {"rows": rows()}})
        with pytest.raises(BadData):  # no file holds the names that it goes by
            read(tmp_path)
        own(tmp_path, {**MINE, "records": "data.items[]"}, {"data": {"rows": rows(), "items": []}})
        with pytest.raises(BadData, match=r"data\.items") as caught:
            read(tmp_path)
        assert caught.value.location == str(tmp_path / "own.json")
        own(tmp_path, {**MINE, "image": "picture"}, rows())
        with pytest.raises(BadData, match="record 1 names no image"):
            read(tmp_path)

    def test_a_record_that_lacks_what_others_have_is_told(self, tmp_path):
        mapping = {**MINE, "records": "[].asked[]"}
        scenes = [{"asked": [row]} for row in rows()]
        own(tmp_path, mapping, [*scenes, {"asket": []}])
        with pytest.raises(BadData, match="record 11 names no image"):
            read(tmp_path)
        assert len(read(tmp_path, bad="drop").questions) == 10
        own(tmp_path, mapping, [*scenes, {"asked": []}])  # an image about which nobody asks
        assert len(read(tmp_path).questions) == 10

    def test_lines_of_text(self, tmp_path):
        mapping = {**MINE, "files": "*.txt", "lines": r"(?P<pic>\S+) (?P<q>[^|]+)\|(?P<a>.+)"}
        own(tmp_path, mapping, [])
        write_lines(tmp_path / "t.txt", *(f"{n}.jpg Is it {n}?|yes" for n in range(10)))
        assert {q.answers for q in read(tmp_path).questions} == {("yes",)}
        write_lines(tmp_path / "t.txt", "0.jpg Is it?|yes", "", "none")
        with pytest.raises(BadData, match="line 3") as caught:
            read(tmp_path)
        assert caught.value.location == str(tmp_path / "t.txt")
        assert "--bad drop" in caught.value.hint
        kept = read(tmp_path, bad="drop")
        assert len(kept.questions) == 1
        assert "1 row cannot be used" in kept.notes[-1]

    def test_records_of_a_dictionary_have_their_key(self, tmp_path):
        mapping = {"records": "*", "image": "{$key}.jpg", "question": "q", "answers": "a"}
        own(tmp_path, mapping, {str(n): {"q": "Is it?", "a": "yes"} for n in range(10)})
        assert {image.file for image in read(tmp_path).images} == {
            f"images/{n}.jpg" for n in range(10)
        }

    def test_a_record_has_the_fields_around_it(self, tmp_path):
        mapping = {**MINE, "records": "sets[].rows[]", "image": "{of.pic}", "split": "name"}
        document = {
            "sets": [
                {"name": name, "of": {"pic": f"{n}.jpg"}, "rows": rows(2)}
                for n, name in enumerate(("train", "val"))
            ]
        }
        images = read(own(tmp_path, mapping, document)).images
        assert {(image.file, image.split) for image in images} == {
            ("images/0.jpg", "train"),
            ("images/1.jpg", "val"),
        }

    def test_filter_and_remove_and_words_and_separator(self, tmp_path):
        mapping = {
            **MINE,
            "filter": {"pic": [], "kind": ["a", "1"]},
            "remove": ["<image>"],
            "separator": ";",
            "question_type": "kind",
        }
        records = rows(10, kind=1)
        records[0] |= {"pic": None}
        records[1] |= {"kind": "b"}
        records[2] |= {"q": "<image>\nIs it?", "a": "yes;no"}
        root = own(tmp_path, {k: v for k, v in mapping.items() if k != "filter"}, records)
        more = '[filter]\npic = []\nkind = ["a", "1"]\n[words.question_type]\n1 = "one"\n'
        path = root / "mapping.toml"
        path.write_text(path.read_text() + more)
        collection = read(root)
        assert len(collection.questions) == 8
        assert [note.split(" was left out")[0] for note in collection.notes[:2]] == ["1 record"] * 2
        assert {q.question_type for q in collection.questions} == {"one"}
        assert ("Is it?", ("yes", "no")) in {(q.text, q.answers) for q in collection.questions}

    @pytest.mark.parametrize("wanted", ["true", '"true"', '"True"', "[true]", "[1]"])
    def test_a_filter_of_true(self, wanted, tmp_path):
        records = [{**row, "active": n < 4} for n, row in enumerate(rows())]
        if wanted == "[1]":
            records = [{**row, "active": int(row["active"])} for row in records]
        root = own(tmp_path, MINE, records)
        path = root / "mapping.toml"
        path.write_text(f"{path.read_text()}[filter]\nactive = {wanted}\n")
        assert len(read(root).questions) == 4

    @pytest.mark.parametrize("packed", [True, False])
    def test_a_pattern_of_packed_files(self, packed, tmp_path):
        own(tmp_path, {**MINE, "files": "{split}_q.json.gz"}, rows(), name="train_q.json")
        path = tmp_path / "train_q.json"
        if packed:
            path.with_name("train_q.json.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        assert len(read(tmp_path).questions) == 10

    def test_one_that_is_given_is_of_the_whole_folder(self, tmp_path):
        root = own(tmp_path / "set", MINE, [])
        (root / "own.json").unlink()
        save(root / "annotations" / "own.json", rows())
        save(root / "annotations" / "train.json", {"annotations": [{"caption": ""}], "images": []})
        mapping = (root / "mapping.toml").rename(tmp_path / "own.toml")
        mapping.write_text(f'files = "annotations/own.json"\n{mapping.read_text()}')
        (collection,), _ = recognise(root, mapping=str(mapping))
        assert len(collection.questions) == 10

    def test_image_names_of_numbers(self, tmp_path):
        mapping = {"image_id": "pic", "question": "q", "answers": "a"}
        records = [{**row, "pic": n} for n, row in enumerate(rows())]
        own(tmp_path, mapping, records)
        touch(tmp_path, *(f"photos/I_{n:07d}_x.png" for n in range(10)))
        given = read(tmp_path, images="photos", image_name="I_{:07d}_x.png")
        found = read(tmp_path, images="photos")
        assert given.images == found.images
        assert {image.file for image in given.images} == {f"I_{n:07d}_x.png" for n in range(10)}
        for wrong in ("{:07d", "{:zz}.png", "{other}.png", "photo.png"):
            with pytest.raises(BadConfig, match="image"):
                read(tmp_path, images="photos", image_name=wrong)

    def test_numbers_of_a_table_are_numbers(self, tmp_path):
        mapping = {"image_id": "pic", "question": "q", "answers": "a"}
        own(tmp_path, mapping, [])
        (tmp_path / "own.json").unlink()
        write_lines(tmp_path / "own.csv", "pic,q,a", *(f"{n},Is it?,yes" for n in range(2, 9)))
        assert sorted(image.id for image in read(tmp_path).images) == list(range(2, 9))


class TestWrongMapping:
    @pytest.mark.parametrize("files", [{}, {"files": "own.json"}])
    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"image": "{scene.number:05d}.png"}, 'image = "{scene.number:05d}.png"'),
            ({"image": "picture"}, 'image = "picture"'),
            ({"question": "q.txt"}, 'question = "q.txt"'),
            ({"question": "asks"}, 'question = "asks"'),
            ({"question": "answers"}, 'question = "answers" is a list'),
            ({"answers": "answers"}, '"answers[]"'),
            ({"image": "answers"}, '"answers[]"'),
        ],
    )
    def test_the_field_its_path_and_what_the_record_has(self, wrong, says, files, tmp_path):
        records = [{"number": n, **row, "answers": ["a", "b"]} for n, row in enumerate(rows())]
        with pytest.raises(BadData) as caught:
            read(own(tmp_path, {**MINE, **files, **wrong}, records))
        assert says in caught.value.hint
        assert caught.value.location == str(tmp_path / "own.json")
        if "list" not in caught.value.hint:
            assert "number, pic, q, a, answers" in caught.value.hint


class TestWhichImage:
    @pytest.mark.parametrize(
        ("there", "fitting"),
        [
            (["a/0.jpg", "b/0.jpg"], ["a/0.jpg", "b/0.jpg"]),
            (["images/a/0.jpg", "images/b/0.jpg"], ["images/a/0.jpg", "images/b/0.jpg"]),
            (["train/0.jpg", "images/train/0.jpg"], ["images/train/0.jpg", "train/0.jpg"]),
            (["train/0.jpg", "val/0.jpg", "images/0.jpg"], ["train/0.jpg"]),
            (["images/0.jpg", "val/0.jpg"], ["images/0.jpg"]),
        ],
    )
    @pytest.mark.parametrize("name", ["0.jpg", 0])
    def test_folders_that_no_split_tells_apart(self, name, there, fitting, tmp_path):
        image = {"image_id": "pic"} if name == 0 else {"image": "pic"}
        own(tmp_path, {**image, "captions": "c"}, [], name="other/x.json")
        shutil.rmtree(tmp_path / "other")
        shutil.rmtree(tmp_path / "images")
        save(tmp_path / "train.json", [{"pic": name, "c": "A cat."}])
        touch(tmp_path, *there)
        if len(fitting) == 1:
            assert [image.file for image in read(tmp_path).images] == fitting
        else:
            with pytest.raises(BadData, match=" and ".join(fitting)) as caught:
                read(tmp_path)
            assert "images=" in caught.value.hint

    @pytest.mark.parametrize("more", ["0003.jpg", "3.png", "000000000003.jpg"])
    def test_two_spellings_of_a_number(self, more, tmp_path):
        records = [{"pic": n, "q": "Is it?", "a": "yes"} for n in (3, 4)]
        own(tmp_path, {"image_id": "pic", "question": "q", "answers": "a"}, records)
        touch(tmp_path, f"images/{more}", f"images/{more.replace('3', '4')}")
        with pytest.raises(BadData, match=r"\b3\.jpg") as caught:
            read(tmp_path)
        assert more in str(caught.value)
        if more != "0003.jpg":  # of which the usual names are tried where not all are there
            (tmp_path / "images/4.jpg").unlink()
            (tmp_path / f"images/{more.replace('3', '4')}").unlink()
            with pytest.raises(BadData, match="image 3"):
                read(tmp_path)

    def test_the_split_of_the_record_tells_folders_apart(self, tmp_path):
        records = [{**row, "part": split} for row in rows(2) for split in ("train", "val")]
        own(tmp_path, {**MINE, "split": "part"}, records)
        shutil.rmtree(tmp_path / "images")
        touch(tmp_path, *(f"{split}/{n}.jpg" for split in ("train", "val") for n in range(2)))
        images = read(tmp_path).images
        assert {(image.split, image.file.split("/")[0]) for image in images} == {
            ("train", "train"),
            ("val", "val"),
        }


class TestJoin:
    JOIN = '[join]\nfiles = "a_{split}.json"\nrecords = "replies[]"\non = "n = number"\n'

    def made(self, root, replies):
        mapping = {"files": "q_{split}.json", "image": "pic", "question": "q", "answers": "said"}
        asked = [{"n": n, "pic": f"{n}.jpg", "q": "Is it?"} for n in range(3)]
        own(root, mapping, asked, name="q_train.json")
        path = root / "mapping.toml"
        path.write_text(path.read_text() + self.JOIN)
        save(root / "a_train.json", {"replies": replies})
        return root

    def test_records_of_the_same_key_are_one(self, tmp_path):
        root = self.made(tmp_path, [{"number": n, "said": f"it is {n}"} for n in (2, 1, 0, 9)])
        collection = read(root)
        assert [q.answers[0] for q in collection.questions] == ["it is 0", "it is 1", "it is 2"]
        assert any("1 records of a_train.json" in note for note in collection.notes)

    def test_files_of_different_splits(self, tmp_path):
        with pytest.raises(BadData, match="different splits"):
            read(self.made(tmp_path, [{"number": n + 50, "said": "x"} for n in range(3)]))

    def test_a_key_twice(self, tmp_path):
        with pytest.raises(BadData, match="number 1 twice") as caught:
            read(self.made(tmp_path, [{"number": 1, "said": "x"}, {"number": 1, "said": "y"}]))
        assert caught.value.location == str(tmp_path / "a_train.json")

    def test_the_files_of_another_split_do_not_join(self, tmp_path):
        root = self.made(tmp_path, [{"number": n, "said": "yes"} for n in range(3)])
        save(root / "a_val.json", {"replies": [{"number": 0, "said": "no"}]})
        assert {q.answers for q in read(root).questions} == {("yes",)}


class TestVqaForm:
    @pytest.mark.parametrize("beside", [False, True])
    def test_a_list_of_images_names_them(self, beside, tmp_path):
        """In the file of the questions, or in that of the answers; numbers are those of others."""
        images = {"images": [{"id": 8 - n, "file_name": f"{n}.jpg"} for n in range(9)]}
        self.read(tmp_path, {"answer": "yes"}, more=images, beside=beside)
        found = {image.id: image.file for image in read_source("vqa-form", tmp_path).images}
        assert found == {8 - n: f"images/{n}.jpg" for n in range(9)}

    @pytest.mark.parametrize(
        "images", [[{"id": n, "shot": "a.jpg"} for n in range(9)], {"0": {"file_name": "0.jpg"}}]
    )
    def test_a_list_of_images_without_names_is_asked_about(self, images, tmp_path):
        with pytest.raises(BadData, match=r"images\[\]") as caught:
            self.read(tmp_path, {"answer": "yes"}, more={"images": images})
        assert "mapping=" in caught.value.hint

    def test_the_image_and_the_split_by_their_usual_names(self, tmp_path):
        words = ["train"] * 5 + ["val", "val", "test", "test"]
        asked = [
            {"question_id": n, "image": f"{n}.jpg", "question": "Is it?", "subset": word}
            for n, word in enumerate(words)
        ]
        answered = [{"question_id": n, "answer": "yes"} for n in range(9)]
        save(tmp_path / "all.json", {"name": "x", "questions": asked, "annotations": answered})
        touch(tmp_path, *(f"images/{n}.jpg" for n in range(9)))
        collection = read_source("vqa-form", tmp_path)
        assert [question.split for question in collection.questions] == words

    def test_a_record_without_an_image_tells_its_fields(self, tmp_path):
        asked = [{"question_id": n, "shot": f"{n}.jpg", "question": "Is it?"} for n in range(9)]
        answered = [{"question_id": n, "answer": "yes"} for n in range(9)]
        save(tmp_path / "all.json", {"questions": asked, "annotations": answered})
        with pytest.raises(BadData, match="record 1") as caught:
            read_source("vqa-form", tmp_path)
        assert all(word in caught.value.hint for word in ("shot", "file_name", "mapping="))

    def test_two_files_of_the_same_answers(self, tmp_path):
        self.read(tmp_path, {"answer": "yes"})
        old = [{"question_id": n, "image_id": n, "answer": "no"} for n in range(9)]
        save(tmp_path / "reply_old.json", {"annotations": old})
        with pytest.raises(SeveralFit, match=r"reply\.json and reply_old\.json") as caught:
            read_source("vqa-form", tmp_path)
        first, second = caught.value.choices
        assert (first, second) == ("ask.json,reply.json", "ask.json,reply_old.json")
        answers = {q.answers for q in read_source("vqa-form", tmp_path, files=second).questions}
        assert answers == {("no",)}

    def test_two_files_of_the_same_questions(self, tmp_path):
        self.read(tmp_path, {"answer": "yes"})
        shutil.copy(tmp_path / "ask.json", tmp_path / "ask_copy.json")
        with pytest.raises(SeveralFit, match="ask_copy"):
            read_source("vqa-form", tmp_path)

    @pytest.mark.parametrize(
        "said",
        [
            {"answers": ["yes", "no"]},
            {"answers": [{"answer": "yes"}, {"answer": "no"}]},
            {"answers": ["yes", {"answer": "no"}]},
            {"answer": ["yes", "no"]},
        ],
    )
    def test_answers_are_texts_or_objects(self, said, tmp_path):
        assert self.read(tmp_path, said) == {("yes", "no")}

    @pytest.mark.parametrize("said", [{"answer": "yes"}, {"answers": "yes"}])
    def test_a_single_answer(self, said, tmp_path):
        assert self.read(tmp_path, said) == {("yes",)}

    @pytest.mark.parametrize("said", [[{"raw": "yes"}], [["yes"]], {"yes": 3}, [True]])
    def test_what_is_no_answer_becomes_none(self, said, tmp_path):
        with pytest.raises(BadData, match="answer"):
            self.read(tmp_path, {"answers": said})

    @staticmethod
    def read(root, said, of=int, more=None, beside=False):
        asked = [{"question_id": n, "image_id": n, "question": "Is it?"} for n in range(9)]
        save(root / "ask.json", {"questions": asked, **({} if beside else more or {})})
        answered = [{"question_id": of(n), "image_id": n, **said} for n in range(9)]
        save(root / "reply.json", {"annotations": answered, **(more or {} if beside else {})})
        touch(root, *(f"images/{n}.jpg" for n in range(9)))
        return {question.answers for question in read_source("vqa-form", root).questions}

    @pytest.mark.parametrize("apart", [True, False])
    def test_lists_alone(self, apart, tmp_path):
        asked = [{"question_id": n, "image_id": n, "question": "Is it?"} for n in range(9)]
        answered = [{"question_id": n, "image_id": n, "answers": ["yes"]} for n in range(9)]
        if apart:
            save(tmp_path / "reply.json", answered)
        else:
            asked = [{**one, **other} for one, other in zip(asked, answered, strict=True)]
        save(tmp_path / "ask.json", asked)
        save(tmp_path / "other.json", {"question_id": 1, "image_id": 1, "question": "no list"})
        touch(tmp_path, *(f"images/{n}.jpg" for n in range(9)))
        folder = DataFolder(prepare(None, tmp_path, beside(tmp_path, "data")))
        assert folder.about["source"] == "vqa-form"
        assert {q.answers for q in folder.questions("train")} == {("yes",)}

    def test_packed_files_are_read(self, tmp_path):
        """Also beside the same unpacked, and where texts in them tell layouts apart."""
        write_vqa_form(tmp_path)
        before = read_source("vqa-form", tmp_path)
        for path in tmp_path.rglob("*.json"):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert read_source("vqa-form", tmp_path) == before
        for path in tmp_path.rglob("*.json"):
            path.unlink()
        parts, _ = recognise(tmp_path)
        assert [part.source for part in parts] == ["vqa-form"]
        assert parts[0].questions == before.questions

    def test_ids_that_are_text_in_one_file(self, tmp_path):
        assert self.read(tmp_path, {"answer": "yes"}, of=str) == {("yes",)}

    def test_one_file_of_answers_for_several_splits(self, tmp_path):
        asked = [{"question_id": n, "image_id": n, "question": "Is it?"} for n in range(9)]
        for split, some in (("train", asked[:4]), ("val", asked[4:6]), ("test", asked[6:])):
            save(tmp_path / f"ask_{split}.json", {"questions": some})
        answered = [{"question_id": n, "answer": "yes"} for n in [*range(6), 50]]
        save(tmp_path / "reply.json", {"annotations": answered})
        collection = read_source("vqa-form", tmp_path)
        assert {q.split: q.answers for q in collection.questions} == {
            "train": ("yes",),
            "val": ("yes",),
            "test": (),
        }
        notes = [note for note in collection.notes if "belong to none" in note]
        assert [note[:22] for note in notes] == ["1 records of reply.jso"]


class TestParts:
    def test_a_part_of_the_records(self, tmp_path):
        write_slake(tmp_path)
        texts = {
            part: {q.text for q in read_source("slake", tmp_path, part=part).questions}
            for part in ("", "en", "zh")
        }
        assert texts["en"] == {"What modality is used?"}
        assert texts["zh"] == {"这是什么模态?"}
        assert texts[""] == texts["en"] | texts["zh"]

    def test_a_part_of_the_files(self, tmp_path):
        write_vqa_abstract(tmp_path)
        collection = read_source("vqa-abstract", tmp_path, part="multiple-choice")
        assert set(collection.choices) == {question.id for question in collection.questions}
        assert not read_source("vqa-abstract", tmp_path).choices

    def test_parts_by_the_names_of_files(self, tmp_path):
        write_pope(tmp_path / "pope")
        ids = [q.id for q in read_source("pope", tmp_path / "pope", part="popular").questions]
        assert ids == [1, 2, 3, 4]
        write_chartqa(tmp_path / "chart")
        human = read_source("chartqa", tmp_path / "chart", part="human")
        assert {q.question_type for q in human.questions} == {"human"}
        assert len(human.questions) == 9

    def test_parts_that_there_are_not(self, tmp_path):
        write_slake(tmp_path)
        with pytest.raises(BadConfig, match="fr"):
            read_source("slake", tmp_path, part="fr")
        with pytest.raises(BadConfig, match="part=en"):
            read(own(tmp_path / "own", MINE, rows()), part="en")


def nested():
    """Lists of lists that a few bytes refer to, 2**60 values in all, and one that holds itself."""
    inner = []
    for _ in range(60):
        inner = [inner, inner]
    itself = []
    itself.append(itself)
    return [inner], [itself]


class Evil:
    def __reduce__(self):
        return print, ("called",)


class TestPickles:
    @pytest.mark.parametrize("protocol", range(6))
    def test_plain_values_of_every_protocol(self, protocol, tmp_path):
        value = [{"a": "é", "b": [1, 2.5, None, True], "c": {"d": (1, "x")}}] * 3
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
        assert read_pickle(tmp_path / "a.pkl") == value

    @pytest.mark.parametrize(
        "data",
        [
            pickle.dumps([Evil()]),
            pickle.dumps([print]),
            *map(pickle.dumps, nested()),
            pickle.dumps([{"a": b"bytes"}]),
            pickle.dumps([{1, 2}], 4),
            b"cos\nsystem\n(S'true'\ntR.",
            b"(S'true'\nios\nsystem\n.",
            b"\x82\x01.",
            b"N\x72\xff\xff\xff\x7f]",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"]" * 10,
            b"",
            b"version https://git-lfs.github.com/spec/v1\n",
        ],
    )
    def test_nothing_else_is_made(self, data, tmp_path, capsys):
        (tmp_path / "a.pkl").write_bytes(data)
        with pytest.raises(BadData) as caught:
            read_pickle(tmp_path / "a.pkl")
        assert caught.value.location == str(tmp_path / "a.pkl")
        assert capsys.readouterr().out == ""


def test_fields_that_no_path_names_are_let_go(tmp_path):
    """And those that are named are there, whatever names they go by."""
    mapping = {"image": "{p.x y}.jpg", "question": "q", "answers": ["r[] + s[k].t"], "id": "n"}
    record = {"p": {"x y": 3}, "q": "Is it?", "r": ["a"], "s": [{"t": "b"}, {"t": "c"}], "k": 1}
    collection = read(own(tmp_path, mapping, [{**record, "n": 5, "z": [record] * 9}]))
    assert collection.questions[0].answers == ("a", "c")
    assert collection.images[0].file == "images/3.jpg"
    assert collection.questions[0].id == 5


def test_every_released_layout_is_whole():
    from saccade.datasets.layout import LAYOUTS

    for path in LAYOUTS.glob("*.toml"):
        mapping = load(path)
        assert isinstance(mapping, Mapping)
        assert mapping.image or mapping.image_id
        assert mapping.question or mapping.captions
        assert mapping.files or mapping.holds or mapping.join or path.stem == "coco-form"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("coco-form", write_coco_form),
        ("vizwiz-captions", write_vizwiz_captions),
        ("vizwiz-vqa", write_vizwiz),
        ("slake", write_slake),
    ],
)
def test_json_that_is_packed_is_its_layouts_alone(name, write, tmp_path):
    write(tmp_path)
    before = read_source(name, tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert [other for other in SOURCES if reason(other, tmp_path)] == [name]
    after = read_source(name, tmp_path)
    assert (after.questions, after.captions) == (before.questions, before.captions)
    assert {Path(file).suffix for file in after.files} == {".gz"}


@pytest.mark.parametrize("keys", [(2**61 - 1) * 3, -(2**70), 10**400])
def test_numbers_of_which_many_have_one_hash_are_no_keys(keys, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([{keys: 1}]))
    with pytest.raises(BadData, match="too large a number"):
        read_pickle(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(b"(lp%d\n." % keys)  # an object by its number
    with pytest.raises(BadData, match="too large a number"):
        read_pickle(tmp_path / "a.pkl")


def test_files_of_a_part_that_was_not_asked_for_are_told_as_such(tmp_path):
    write_vqa_abstract(tmp_path / "raw")
    folder = DataFolder(prepare(None, tmp_path / "raw", tmp_path / "data"))
    unread = folder.about["files"]["unread"]
    assert unread
    assert all("part or form" in why for name, why in unread.items() if "MultipleChoice" in name)


def turns(*spoken):
    return [{"from": who, "value": text} for who, text in spoken]


TALK = (("human", "<image>\nWhat is it?"), ("gpt", "A cup."))


class TestConversations:
    def read(self, root, records, name="talk.json"):
        touch(root, *(f"images/{n}.jpg" for n in range(10)))
        save(root / name, records)
        ((collection,), _) = recognise(root)
        return collection

    @pytest.mark.parametrize(
        ("more", "left"),
        [
            ([("human", "Hello?"), *TALK], 1),
            ([*TALK, ("human", "Go on."), ("human", "And?"), ("gpt", "Red.")], 1),
            ([("human", "Zoom in?"), ("function_call", "zoom()"), ("gpt", "Done."), *TALK], 1),
            ([("gpt", "Ask me."), *TALK], 1),
            ([("system", "Be short."), *TALK, ("gpt", "A red one.")], 2),
        ],
    )
    def test_only_what_the_assistant_says_is_an_answer(self, more, left, tmp_path):
        talks = [{"image": f"{n}.jpg", "conversations": turns(*TALK)} for n in range(9)]
        talks += [{"image": "9.jpg", "conversations": turns(*more)}]
        collection = self.read(tmp_path, talks)
        answers = {q.text: q.answers for q in collection.questions}
        assert answers["What is it?"] == ("A cup.",)
        assert not answers.keys() & {"Hello?", "Go on.", "Zoom in?", "Ask me."}
        counts = [int(n.split()[0]) for n in collection.notes if "left out" in n]
        assert min(counts) >= 1
        assert sum(counts) >= left

    @pytest.mark.parametrize("field", ["image", "images", "image_path"])
    @pytest.mark.parametrize("several", [False, True])
    def test_the_field_of_the_image(self, field, several, tmp_path):
        name = [[f"{n}.jpg"] if several else f"{n}.jpg" for n in range(10)]
        talks = [{field: name[n], "conversations": turns(*TALK)} for n in range(10)]
        assert len(self.read(tmp_path, talks).images) == 10

    def test_two_images_of_one_question_are_refused(self, tmp_path):
        talks = [{"images": ["1.jpg", "2.jpg"], "conversations": turns(*TALK)}]
        with pytest.raises(BadData):
            self.read(tmp_path, talks)

    def test_a_field_says_the_split(self, tmp_path):
        talks = [
            {
                "image": f"{n}.jpg",
                "mode": "val" if n > 6 else "train",
                "conversations": turns(*TALK),
            }
            for n in range(10)
        ]
        found = self.read(tmp_path, talks)
        assert {i.file[-5:-4] for i in found.images if i.split == "val"} == {*"789"}

    def test_questions_of_a_test_file_need_no_answer(self, tmp_path):
        talks = [{"image": f"{n}.jpg", "conversations": turns(*TALK)} for n in range(8)]
        save(tmp_path / "train.json", talks)
        secret = [{"image": f"{n}.jpg", "conversations": turns(TALK[0])} for n in (8, 9)]
        found = self.read(tmp_path, secret, "test.json")
        assert [q.answers for q in found.questions if q.split == "test"] == [(), ()]


def test_what_is_asked_for_is_never_the_answer_of_what_comes_next(tmp_path):
    """`$next` in a layout of one's own, where an answer is missing."""
    mapping = {"image": "pic", "question": "q", "answers": "$next.q", "filter.who": ["Q"]}
    records = [
        {"pic": f"{n}.jpg", "q": f"{who} {n}", "who": who} for n in range(10) for who in ("Q", "A")
    ]
    del records[7]
    found = read(own(tmp_path, mapping, records))
    assert [q.answers for q in found.questions] == [(f"A {n}",) for n in range(10) if n != 3]


class TestPathsThatGiveNothing:
    @pytest.mark.parametrize(
        ("more", "named"),
        [
            ({"split": "spilt"}, "spilt"),
            ({"best_answer": "bst"}, "bst"),
            ({"choices": "opt[]"}, "opt[]"),
            ({"answer_type": "kind"}, "kind"),
            ({"filter.lnag": ["en"]}, "lnag"),
            ({"exclude.Lang": ["en"]}, "Lang"),
        ],
    )
    def test_one_is_refused_by_name(self, more, named, tmp_path):
        with pytest.raises(BadData) as caught:
            read(own(tmp_path, {**MINE, **more}, rows(lang="en")))
        assert named in str(caught.value)
        assert caught.value.location == str(tmp_path / "own.json")

    def test_words_of_what_is_no_part(self, tmp_path):
        with pytest.raises(BadConfig, match="antwort"):
            read(own(tmp_path, {**MINE, "words.antwort.yes": "ja"}, rows()))

    def test_the_texts_that_a_file_must_hold_are_named(self, tmp_path):
        with pytest.raises(BadData, match='"dta"'):
            read(own(tmp_path, {**MINE, "records": "dta[]"}, {"data": rows()}))

    def test_a_question_that_is_a_text_of_the_mapping(self, tmp_path):
        mapping = {**MINE, "question": "'Which one?'", "records": "data[]"}
        found = read(own(tmp_path, mapping, {"data": rows()}))
        assert {question.text for question in found.questions} == {"Which one?"}

    def test_parallel_files_need_no_files(self, tmp_path):
        touch(tmp_path, *(f"images/{n}.jpg" for n in range(4)))
        for split, numbers in (("train", (0, 1)), ("val", (2, 3))):
            write_lines(tmp_path / f"{split}.i.txt", *(f"{n}.jpg" for n in numbers))
            write_lines(tmp_path / f"{split}.q.txt", *(f"Is it {n}?" for n in numbers))
            write_lines(tmp_path / f"{split}.a.txt", "yes", "no")
        said = ['image = "i"', 'question = "q"', 'answers = "a"', "[parallel]"]
        said += [f'{one} = "{{split}}.{one}.txt"' for one in "iqa"]
        write_lines(tmp_path / "mapping.toml", *said)
        assert [q.split for q in read(tmp_path).questions] == ["train", "train", "val", "val"]


def test_ids_beyond_64_bits_are_kept_as_texts(tmp_path):
    records = [{**row, "n": 2**63 + place} for place, row in enumerate(rows())]
    made = prepare(None, own(tmp_path, {**MINE, "id": "n"}, records), tmp_path / "out")
    assert DataFolder(made).released_ids("question")[0] == str(2**63)


def test_annotations_of_another_image_are_refused(tmp_path):
    touch(tmp_path, "images/0.jpg", "images/1.jpg")
    asked = [{"question_id": n, "image_id": n, "question": "Is it?"} for n in range(2)]
    said = [{"question_id": n, "image_id": 1 - n, "answers": ["yes"]} for n in range(2)]
    save(tmp_path / "train_q.json", {"questions": asked})
    save(tmp_path / "train_a.json", {"annotations": said})
    with pytest.raises(BadData) as caught:
        recognise(tmp_path)
    assert caught.value.location == str(tmp_path / "train_q.json")
