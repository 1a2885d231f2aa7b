"""The data folder: what is written is read back, and nothing half-written is ever believed."""

import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.core.errors import BadConfig, BadData
from saccade.core.tables import Table
from saccade.data import folder as folder_module
from saccade.data.checks import Finding
from saccade.data.folder import (
    FORMAT,
    DataFolder,
    fingerprint,
    write_folder,
)
from saccade.data.parquet import write_table
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.text.tokenizers import TOKENIZERS

IMAGES = [
    ImageRecord(7, "train/7.jpg", "train"),
    ImageRecord(3, "train/3.jpg", "train"),
    ImageRecord(9, "val/ü.png", "val"),
    ImageRecord(8, "test/8.jpg", "test"),
]
QUESTIONS = [
    Question(71, 7, "What, is it?", "train", ("cat", "cat", "dog"), "cat", "other", "what"),
    Question(70, 7, "Is it a cat", "train", ("yes", "no"), "yes", "yes/no", "is it"),
    Question(31, 3, "how many?", "train", ("2", "cat"), "2", "number", "how many"),
    Question(91, 9, "Wo ist die Straße?", "val", ("left",), "left", "other", ""),
    Question(81, 8, "Why?", "test"),
]
CAPTIONS = [
    Caption(1, 7, "A cat.", ("a", "cat"), "train"),
    Caption(2, 7, "A small cat", ("a", "small", "cat"), "train"),
    Caption(3, 9, "Ein Hund", ("ein", "hund"), "val"),
]
BOTH = Collection("both", "/images", IMAGES, QUESTIONS, CAPTIONS, "free", ("a note",))
VQA_ONLY = replace(BOTH, captions=())
FINDING = Finding("warning", "two things", 2, ("one", "two"), "a cause", "a cure")


@pytest.fixture
def path(tmp_path):
    write_folder(tmp_path / "data", BOTH, [FINDING])
    return tmp_path / "data"


def change(path: Path, **fields: object) -> None:
    seal = path / "dataset.json"
    seal.write_text(json.dumps({**json.loads(seal.read_text()), **fields}))


def add_tokenizer(monkeypatch, name, cut):
    table = Table("tokenizer", {**TOKENIZERS, name: cut})
    monkeypatch.setattr(folder_module, "TOKENIZERS", table)


class TestManyRecords:
    def test_what_is_written_lot_by_lot_comes_back(self, tmp_path, monkeypatch):
        monkeypatch.setattr("saccade.data.parquet.ROWS", 2)
        write_folder(tmp_path / "data", replace(BOTH, choices={71: ("cat", "dog"), 91: ("left",)}))
        folder = DataFolder(tmp_path / "data")
        assert pq.ParquetFile(tmp_path / "data/questions.parquet").num_row_groups == 3
        assert folder.images() == IMAGES
        for split in ("train", "val", "test"):
            assert folder.questions(split) == [q for q in QUESTIONS if q.split == split]
            assert folder.captions(split) == [c for c in CAPTIONS if c.split == split]
        assert folder.choices() == {71: ("cat", "dog"), 91: ("left",)}

    def test_little_is_held_beside_the_records(self, tmp_path):
        questions = QUESTIONS[:1] * 60_000
        tracemalloc.start()
        try:
            write_table(tmp_path / "questions.parquet", questions, Question._fields)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 32 * len(questions)  # one column of references at a time, of eight


class TestReading:
    def test_records_come_back_as_they_were(self, path):
        folder = DataFolder(path)
        assert folder.images() == IMAGES
        assert folder.images("train") == IMAGES[:2]
        assert [folder.questions(s) for s in ("train", "val", "test")] == [
            QUESTIONS[:3],
            QUESTIONS[3:4],
            QUESTIONS[4:],
        ]
        assert folder.captions("train") == CAPTIONS[:2]
        assert folder.captions("test") == []
        assert folder.tasks == ("vqa", "caption")

    def test_equal_texts_are_one_object(self, path):
        first, second, _ = DataFolder(path).questions("train")
        assert first.answers[0] is first.answers[1]
        assert first.split is second.split

    def test_tables_have_the_fields_of_records(self, path):
        table = DataFolder(path).question_table("train")
        assert tuple(table.column_names) == Question._fields
        assert table.column("image_id").to_numpy().tolist() == [7, 7, 3]
        assert table.column("answers").to_pylist()[1] == ["yes", "no"]
        assert table.column("text").to_pylist()[0] == "What, is it?"
        assert tuple(DataFolder(path).caption_table("val").column_names) == Caption._fields

    def test_about(self, path):
        folder = DataFolder(path)
        assert folder.about["licence"] == "free"
        assert folder.about["notes"] == ["a note"]
        assert folder.about["findings"][0]["examples"] == ["one", "two"]
        assert folder.about["splits"]["train"] == {"images": 2, "questions": 3, "captions": 2}
        assert folder.fingerprint == fingerprint(BOTH)

    def test_images_may_have_moved(self, path, monkeypatch):
        assert DataFolder(path).image_root == Path("/images")
        monkeypatch.setenv("SACCADE_IMAGES", "/elsewhere")
        assert DataFolder(path).image_root == Path("/elsewhere")
        assert DataFolder(path, image_root=Path("/here")).image_root == Path("/here")

    def test_stores(self, path):
        folder = DataFolder(path)
        assert folder.stores() == []
        for name in ("vgg", "resnet"):
            folder.store_path(name).mkdir(parents=True)
        (path / "features" / "note.txt").write_text("")
        assert folder.stores() == ["resnet", "vgg"]

    def test_a_question_takes_few_bytes(self, tmp_path):
        one = QUESTIONS[0]._replace(answers=("yes",) * 8 + ("no", "maybe"), text="Is it so? " * 4)
        many = [one._replace(id=n) for n in range(2000)]
        write_folder(tmp_path / "data", replace(VQA_ONLY, questions=many))
        table = DataFolder(tmp_path / "data").question_table("train")
        assert table.nbytes / len(table) < 150


class TestCounts:
    def test_words_of_the_training_split_in_order_of_first_use(self, path):
        words = DataFolder(path).word_counts("show_ask_attend_answer", "questions")
        assert list(words.items()) == [
            ("what,", 1),
            ("is", 2),
            ("it", 2),
            ("a", 1),
            ("cat", 1),
            ("how", 1),
            ("many", 1),
        ]

    def test_caption_words(self, path):
        folder = DataFolder(path)
        assert list(folder.word_counts("karpathy", "captions").items()) == [
            ("a", 2), ("cat", 2), ("small", 1),
        ]  # fmt: skip
        assert folder.word_counts("karpathy", "questions")["is"] == 2

    def test_what_cannot_be_counted(self, tmp_path):
        write_folder(tmp_path / "data", replace(VQA_ONLY, questions=QUESTIONS[3:]))
        folder = DataFolder(tmp_path / "data")
        with pytest.raises(BadData, match="holds no captions"):
            folder.word_counts("karpathy", "captions")
        with pytest.raises(BadConfig, match="captions are not cut by tokenizer 'show"):
            folder.word_counts("show_ask_attend_answer", "captions")
        with pytest.raises(BadData, match="no questions for training"):
            folder.word_counts("karpathy", "questions")

    def test_a_new_tokenizer_needs_no_new_folder(self, path, monkeypatch):
        add_tokenizer(monkeypatch, "letters", list)
        assert DataFolder(path).word_counts("letters", "questions")["h"] == 2

    def test_words_are_cut_once_and_kept_by_tokenizer(self, path, monkeypatch):
        cut = []

        def words(text):
            cut.append(text)
            return text.split()

        add_tokenizer(monkeypatch, "mine", words)
        folder = DataFolder(path)
        first = folder.word_counts("mine", "questions")
        assert len(cut) == 3
        assert list(DataFolder(path).word_counts("mine", "questions").items()) == list(
            first.items()
        )
        assert folder.word_counts("karpathy", "questions") != first
        assert len(cut) == 3
        assert len(list((path / "cache").iterdir())) == 2
        (kept,) = (path / "cache").glob("words-mine-*.json")
        kept.write_text('{"cut')  # by a crash
        assert folder.word_counts("mine", "questions") == first
        assert json.loads(kept.read_text()) == first

    def test_other_questions_are_counted_anew(self, path):
        before = DataFolder(path).word_counts("karpathy", "questions")
        write_folder(path, replace(BOTH, questions=QUESTIONS[1:]))
        assert DataFolder(path).word_counts("karpathy", "questions") != before
        assert len(list((path / "cache").iterdir())) == 1

    def test_a_folder_that_cannot_be_written_has_no_cache(self, path, monkeypatch):
        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
        assert DataFolder(path).word_counts("karpathy", "questions")["is"] == 2
        assert not (path / "cache").exists()

    def test_answers(self, path):
        folder = DataFolder(path)
        counts = {"cat": 3, "dog": 1, "yes": 1, "no": 1, "2": 1}
        assert list(folder.answer_counts().items()) == list(counts.items())
        assert folder.answer_counts("best_answers") == {"cat": 1, "yes": 1, "2": 1}

    def test_unknown_tokenizer(self, path):
        with pytest.raises(BadConfig, match=r"no tokenizer 'spacy'.*karpathy"):
            DataFolder(path).word_counts("spacy", "questions")


class TestWriting:
    def test_equal_data_gives_equal_files(self, tmp_path, path):
        write_folder(tmp_path / "again", BOTH, [FINDING])
        for file in path.iterdir():
            assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()

    def test_writing_again_keeps_features_and_drops_what_is_stale(self, path):
        (path / "features" / "resnet").mkdir(parents=True)
        write_folder(path, VQA_ONLY)
        folder = DataFolder(path)
        assert folder.tasks == ("vqa",)
        assert folder.stores() == ["resnet"]
        assert not (path / "captions.parquet").exists()
        assert not list(path.glob("*.part"))

    @pytest.mark.parametrize("survives", range(7))
    def test_a_crash_never_leaves_a_mixture(self, path, monkeypatch, survives):
        moved = []

        def crash(source, target):
            if len(moved) == survives:
                raise KeyboardInterrupt
            moved.append(target)
            Path(source).rename(target)

        monkeypatch.setattr(folder_module.os, "replace", crash)
        changed = replace(VQA_ONLY, questions=QUESTIONS[1:], notes=("new",))
        try:
            write_folder(path, changed)
        except KeyboardInterrupt:
            with pytest.raises(BadData, match="unfinished data folder"):
                DataFolder(path)
        else:
            assert DataFolder(path).about["notes"] == ["new"]
        monkeypatch.undo()
        write_folder(path, changed)
        assert DataFolder(path).questions("train") == QUESTIONS[1:3]

    def test_a_crash_before_the_end_of_writing_keeps_the_old_folder(self, path, monkeypatch):
        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(folder_module.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_folder(path, VQA_ONLY)
        assert DataFolder(path).captions("train") == CAPTIONS[:2]

    def test_other_things_are_not_overwritten(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(BadData, match=r"other things than a data folder, such as thesis\.tex"):
            write_folder(tmp_path, BOTH)
        with pytest.raises(BadData, match="is a file"):
            write_folder(tmp_path / "thesis.tex", BOTH)
        assert os.listdir(tmp_path) == ["thesis.tex"]

    def test_what_systems_leave_everywhere_is_no_other_thing(self, path):
        (path / ".DS_Store").write_bytes(b"a window's place")
        write_folder(path, BOTH)
        assert (path / ".DS_Store").read_bytes() == b"a window's place"


class TestBroken:
    def test_no_folder(self, tmp_path):
        with pytest.raises(BadData, match=r"no such data folder.*saccade prepare"):
            DataFolder(tmp_path / "nowhere")

    @pytest.mark.parametrize("format", [FORMAT - 1, FORMAT + 1, None])
    def test_another_format(self, path, format):
        change(path, format=format)
        with pytest.raises(BadData, match=r"dataset\.json: was made by") as caught:
            DataFolder(path)
        assert f"saccade prepare both --root DIR --out {path}" in caught.value.hint
        assert ("Update saccade" in caught.value.hint) == (format != FORMAT - 1)
        write_folder(path, BOTH)
        assert DataFolder(path).about["format"] == FORMAT

    def test_a_folder_of_format_1_is_replaced(self, path):
        (path / "vocabulary.json").write_text("{}")
        write_folder(path, BOTH)
        assert not (path / "vocabulary.json").exists()

    @pytest.mark.parametrize("field", ["splits", "fingerprint", "image_root"])
    def test_fields_missing(self, path, field):
        about = json.loads((path / "dataset.json").read_text())
        del about[field]
        (path / "dataset.json").write_text(json.dumps(about))
        with pytest.raises(BadData, match=f"{field}: Field required") as caught:
            DataFolder(path)
        assert caught.value.location == str(path / "dataset.json")

    @pytest.mark.parametrize("keep", [0, 3, 100, -1])
    def test_table_cut_off(self, path, keep):
        file = path / "questions.parquet"
        file.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(BadData, match=r"questions\.parquet: is not whole.*saccade prepare"):
            DataFolder(path).questions("train")

    def test_table_missing(self, path):
        (path / "captions.parquet").unlink()
        with pytest.raises(BadData, match=r"captions\.parquet: is missing"):
            DataFolder(path).captions("train")

    def test_table_of_another_folder(self, path, tmp_path):
        write_folder(tmp_path / "other", replace(BOTH, questions=QUESTIONS[1:]))
        (tmp_path / "other" / "questions.parquet").replace(path / "questions.parquet")
        with pytest.raises(BadData, match=r"has 2 rows .* says 3"):
            DataFolder(path).questions("train")

    def test_table_with_other_columns(self, path):
        table = pq.read_table(path / "questions.parquet").drop_columns(["answer_type"])
        pq.write_table(table, path / "questions.parquet")
        with pytest.raises(BadData, match="has 3 rows of"):
            DataFolder(path).questions("train")

    def test_json_cut_off(self, path):
        (path / "dataset.json").write_text((path / "dataset.json").read_text()[:20])
        with pytest.raises(BadData, match=r"dataset\.json: breaks off"):
            DataFolder(path)

    def test_what_is_not_there(self, tmp_path, path):
        write_folder(tmp_path / "vqa", VQA_ONLY)
        with pytest.raises(BadData, match="holds no captions, only vqa"):
            DataFolder(tmp_path / "vqa").captions("train")
        write_folder(tmp_path / "captions", replace(BOTH, questions=()))
        with pytest.raises(BadData, match="holds no questions, only caption"):
            DataFolder(tmp_path / "captions").answer_counts()
        with pytest.raises(BadConfig, match="no split 'dev'"):
            DataFolder(path).images("dev")


def test_fingerprint_sees_every_field_and_the_order():
    seen = {fingerprint(BOTH)}
    for place, field in enumerate(Question._fields):
        value = QUESTIONS[0][place]
        other = value + 1 if isinstance(value, int) else ("x",) if field == "answers" else "val"
        changed = [QUESTIONS[0]._replace(**{field: other}), *QUESTIONS[1:]]
        seen.add(fingerprint(replace(BOTH, questions=changed)))
    seen.add(fingerprint(replace(BOTH, questions=QUESTIONS[::-1])))
    seen.add(fingerprint(replace(BOTH, images=IMAGES[:3])))
    seen.add(fingerprint(replace(BOTH, captions=CAPTIONS[:2])))
    assert len(seen) == len(Question._fields) + 4
    elsewhere = replace(BOTH, image_root="/elsewhere", notes=(), source="other")
    assert fingerprint(elsewhere) == fingerprint(BOTH)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(2**63), 2**63 - 1),
            texts,
            st.sampled_from(["train", "val", "test"]),
            st.lists(texts, max_size=4).map(tuple),
            texts,
            texts,
            texts,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_question_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any-folder"
    questions = [Question(*row) for row in rows]
    write_folder(path, replace(VQA_ONLY, questions=questions))
    folder = DataFolder(path)
    for split in ("train", "val", "test"):
        assert folder.questions(split) == [q for q in questions if q.split == split]


def test_questions_are_cut_once_to_count_those_of_another_script(path, monkeypatch):
    made = []
    monkeypatch.setattr(folder_module, "misfits", lambda cut, text: bool(made.append(text)))
    folder = DataFolder(path)
    assert folder.tokenizer_for("san") == "san"
    assert folder.misfits("san") == 0
    assert len(made) == 3
