"""Folders as the Hugging Face hub has them: images with metadata, and Parquet files."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.core.errors import BadConfig, BadData
from saccade.data.checks import check
from saccade.data.folder import DataFolder
from saccade.data.records import Caption, ImageRecord, Question
from saccade.datasets.catalogue import OWN, read_source, source_and_root
from saccade.datasets.detect import recognise
from saccade.datasets.prepare import prepare
from tests.sample_files import write_lines as write
from tests.source_samples import JPEG, SAMPLES, beside, hf_table, save_parquet, touch
from tests.web_site import serve_hub

PNG = b"\x89PNG\r\n\x1a\n"


class TestImagefolder:
    def test_text_is_the_caption_and_folders_are_splits(self, tmp_path):
        SAMPLES["imagefolder"](tmp_path)
        collection = read_source("imagefolder", tmp_path)
        assert collection.images[:2] == [
            ImageRecord(0, "train/0000.png", "train"),
            ImageRecord(1, "train/0001.png", "train"),
        ]
        assert collection.captions[0] == Caption(
            0, 0, "A dog, number 0.", ("a", "dog", "number", "0"), "train"
        )
        assert Counter(c.split for c in collection.captions) == {"train": 3, "val": 6}
        names = ("train/metadata.csv", "validation/metadata.jsonl")
        assert list(collection.files) == [str(tmp_path / name) for name in names]

    def test_questions_below_a_folder_of_data(self, tmp_path):
        row = {"file_name": "images/a.png", "question": "Who?", "answers": ["me", "I", "me"]}
        write(tmp_path / "data/train/metadata.jsonl", json.dumps(row))
        write(tmp_path / "data/test/metadata.jsonl", json.dumps(row))
        touch(tmp_path, "data/train/images/a.png", "data/test/images/a.png")
        collection = read_source("imagefolder", tmp_path)
        assert {p.file: p.split for p in collection.images} == {
            "train/images/a.png": "train",
            "test/images/a.png": "test",
        }
        assert collection.questions[0].answers == ("me", "I", "me")

    @pytest.mark.parametrize("column", ["file_name", "image_file_name"])
    def test_one_folder_is_divided_by_image(self, column, tmp_path):
        write(tmp_path / "metadata.csv", f"{column},text", *(f"{n}.png,A {n}." for n in range(20)))
        touch(tmp_path, *(f"{n}.png" for n in range(20)))
        collection = read_source("imagefolder", tmp_path)
        assert Counter(p.split for p in collection.images) == {"train": 16, "val": 2, "test": 2}

    def test_one_file_above_the_folders_of_the_splits(self, tmp_path):
        names = ["train/a.png", "validation/a.png", "test/a.png"]
        write(tmp_path / "metadata.csv", "file_name,text", *(f"{name},A dog." for name in names))
        touch(tmp_path, *names)
        images = read_source("imagefolder", tmp_path).images
        assert {p.file: p.split for p in images} == dict(
            zip(names, ("train", "val", "test"), strict=True)
        )

    def test_a_column_of_splits_counts_more_than_folders(self, tmp_path):
        write(
            tmp_path / "metadata.csv", "file_name,text,split", "train/a.png,A dog.,val",
            "train/b.png,A cat.,train",
        )  # fmt: skip
        touch(tmp_path, "train/a.png", "train/b.png")
        assert [p.split for p in read_source("imagefolder", tmp_path).images] == ["val", "train"]

    def test_captions_of_another_name(self, tmp_path):
        write(tmp_path / "metadata.csv", "file_name,prompt", "a.png,A dog.")
        touch(tmp_path, "a.png")
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert "metadata.csv has the columns file_name, prompt" in caught.value.message
        assert f"prepare {tmp_path} --out DATA --option columns=question:" in caught.value.hint
        (collection,), _ = recognise(tmp_path, columns="caption:prompt")
        assert collection == read_source("imagefolder", tmp_path, columns="caption:prompt")
        assert collection.captions[0].text == "A dog."

    def test_metadata_for_the_same_images_twice(self, tmp_path):
        SAMPLES["imagefolder"](tmp_path)
        write(tmp_path / "train/metadata.jsonl", '{"file_name": "0000.png", "text": "A dog."}')
        with pytest.raises(BadConfig, match=r"metadata twice: train/metadata\.csv, train/metadata"):
            read_source("imagefolder", tmp_path)

    def test_it_is_no_table(self, tmp_path):
        write(tmp_path / "metadata.csv", "file_name,caption", "a.png,A dog.")
        touch(tmp_path, "a.png")
        with pytest.raises(BadData, match="holds no table"):
            read_source("table", tmp_path)
        (part,), _ = recognise(tmp_path)
        assert part.source == "imagefolder"


class TestParquet:
    def test_records(self, tmp_path):
        SAMPLES["hf-parquet"](tmp_path)
        collection = read_source("hf-parquet", tmp_path)
        assert Counter(p.split for p in collection.images) == {"train": 5, "val": 2}
        assert collection.questions[0] == Question(
            0, collection.images[0].id, "What is 0?", "train", ("red",), "red"
        )
        assert len(collection.captions) == 14
        first = JPEG + bytes([0])
        assert collection.images[0].file == f"unpacked-images/{sha256(first).hexdigest()[:24]}.jpg"
        assert (tmp_path / collection.images[0].file).read_bytes() == first
        assert "Images lay inside the tables" in collection.notes[0]

    def test_the_same_records_as_a_saved_folder(self, tmp_path):
        SAMPLES["hf-datasets"](tmp_path / "saved")
        save_parquet(tmp_path / "hub/train.parquet", hf_table(0, 3))
        save_parquet(tmp_path / "hub/validation.parquet", hf_table(10, 2))
        saved = read_source("hf-datasets", tmp_path / "saved")
        hub = read_source("hf-parquet", tmp_path / "hub")
        assert hub.questions == saved.questions
        assert hub.captions == saved.captions
        assert hub.images == saved.images

    def test_what_else_lies_in_a_clone_from_the_hub_changes_nothing(self, tmp_path):
        SAMPLES["hf-parquet"](tmp_path)
        (tmp_path / "dataset_infos.json").write_text('{"default": {"features": {}}}')
        (tmp_path / ".gitattributes").write_text("*.parquet filter=lfs\n")
        (part,), (note,) = recognise(tmp_path)
        assert part == read_source("hf-parquet", tmp_path)
        assert "Recognised as hf-parquet: there is data/train-00000-of-00002.parquet" in note

    def test_folders_named_after_splits(self, tmp_path):
        save_parquet(tmp_path / "default/train/0000.parquet", hf_table(0, 3))
        save_parquet(tmp_path / "default/test/0000.parquet", hf_table(10, 2))
        with pytest.raises(BadData, match=r"further down: default/ \(hf-parquet\)"):
            recognise(tmp_path)
        collection = read_source("hf-parquet", tmp_path / "default", val_share="0")
        assert Counter(p.split for p in collection.images) == {"train": 3, "test": 2}

    def test_validation_is_drawn_where_only_it_is_missing(self, tmp_path):
        save_parquet(tmp_path / "data/train-00000-of-00001.parquet", hf_table(0, 20))
        save_parquet(tmp_path / "data/test-00000-of-00001.parquet", hf_table(30, 5))
        collection = read_source("hf-parquet", tmp_path)
        assert Counter(p.split for p in collection.images) == {"train": 18, "val": 2, "test": 5}
        assert Counter(c.split for c in collection.captions) == {"train": 36, "val": 4, "test": 10}
        assert any("2 of 20 training images, drawn with seed 0" in n for n in collection.notes)
        assert check(collection)[1] == []

    def test_several_data_sets_are_for_the_user_to_choose(self, tmp_path):
        for name in ("radiology", "surgery"):
            save_parquet(tmp_path / f"{name}/train-00000-of-00001.parquet", hf_table(0, 3))
        with pytest.raises(BadConfig, match="several data sets: radiology/, surgery/"):
            read_source("hf-parquet", tmp_path)
        assert len(read_source("hf-parquet", tmp_path / "surgery").questions) == 3

    def test_images_as_paths_and_as_bytes_alone(self, tmp_path):
        rows = {
            "image": pa.array([{"bytes": None, "path": "a.png"}, {"bytes": PNG, "path": "b.png"}]),
            "question": ["Who?", "Why?"],
            "answer": ["me", "so"],
        }
        save_parquet(tmp_path / "train.parquet", pa.table(rows))
        save_parquet(tmp_path / "val.parquet", pa.table({**rows, "image": [PNG + b"1", PNG]}))
        touch(tmp_path, "images/a.png")
        files = {p.file for p in read_source("hf-parquet", tmp_path).images}
        assert {"images/a.png"} < files
        assert {file.partition("/")[0] for file in files} == {"images", "unpacked-images"}

    def test_classes_are_called_by_their_names(self, tmp_path):
        label = {"_type": "ClassLabel", "names": ["cat", "dog"]}
        about = json.dumps({"info": {"features": {"Answer": label}}})
        rows = {"Image": ["a.png"] * 2, "Question": ["Who?"] * 2, "Answer": [1, 0]}
        table = pa.table(rows).replace_schema_metadata({"huggingface": about})
        save_parquet(tmp_path / "train.parquet", table)
        questions = read_source("hf-parquet", tmp_path, val_share="0").questions
        assert [q.best_answer for q in questions] == ["dog", "cat"]

    @pytest.mark.parametrize("about", ["[", "[]", '{"info": 3}', '{"info": {"features": [1]}}'])
    def test_metadata_of_others_is_passed_over(self, about, tmp_path):
        table = hf_table(0, 2).replace_schema_metadata({"huggingface": about})
        save_parquet(tmp_path / "train.parquet", table)
        assert len(read_source("hf-parquet", tmp_path).questions) == 2

    def test_two_columns_of_one_name(self, tmp_path):
        table = hf_table(0, 2)
        table = table.append_column("question", table["question"])
        save_parquet(tmp_path / "train.parquet", table)
        with pytest.raises(BadConfig, match="several columns that could be the question"):
            read_source("hf-parquet", tmp_path)

    def test_text_is_a_caption_only_by_the_users_word(self, tmp_path):
        rows = {"image": [JPEG + b"1", JPEG + b"2"], "text": ["A dog.", "A cat."]}
        save_parquet(tmp_path / "data/train-00000-of-00001.parquet", pa.table(rows))
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert f"prepare {tmp_path} --out DATA --option columns=caption:text. " in str(caught.value)
        (collection,), _ = recognise(tmp_path, columns="caption:text")
        assert collection == read_source("hf-parquet", tmp_path, columns="caption:text")
        assert [c.text for c in collection.captions] == ["A dog.", "A cat."]

    def test_what_cannot_be_read_is_recognised_by_its_name_and_refused(self, tmp_path):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        write(tmp_path / "data/train-00000-of-00001.parquet", pointer)
        with pytest.raises(BadData, match="Git LFS pointer"):
            prepare(None, tmp_path, beside(tmp_path, "data"))

    def test_a_data_folder_is_none_of_these(self, tmp_path):
        SAMPLES["hf-parquet"](tmp_path / "hub")
        made = prepare(None, tmp_path / "hub", tmp_path / "data")
        with pytest.raises(BadData, match=r"it is a data folder already\. Go on with: saccade ext"):
            recognise(made)

    def test_one_row_group_is_in_memory_at_a_time(self, tmp_path):
        """48 MiB of images in row groups of 8 MiB."""
        images = [JPEG + n.to_bytes(2) + bytes(2**17) for n in range(384)]
        rows = {"image": images, "caption": ["A dog."] * len(images)}
        path = tmp_path / "train.parquet"
        pq.write_table(
            pa.table(rows), path, compression="none", use_dictionary=False, row_group_size=64
        )
        del rows, images
        before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
        pa.set_memory_pool(pool)
        try:
            assert len(read_source("hf-parquet", tmp_path).captions) == 384
        finally:
            pa.set_memory_pool(before)
        assert path.stat().st_size > 48 * 2**20
        assert 8 * 2**20 < pool.max_memory() < 24 * 2**20


class TestCard:
    @pytest.mark.parametrize(
        ("card", "licence"),
        [
            ("---\nlicense: cc-by-4.0\n---\n# Ours", "cc-by-4.0, says its card"),
            ("---\nlicense:\n- mit\ntags: []\n---\n", "mit, says its card"),
            ("---\r\ntask: vqa\r\nlicense: mit\r\n---\r\n", "mit, says its card"),
            ("# Ours\nlicense: mit\n", OWN),
            ("---\ntask: vqa\n---\nlicense: mit\n", OWN),
            ("", OWN),
        ],
    )
    @pytest.mark.parametrize("source", ["imagefolder", "hf-parquet"])
    def test_the_licence_is_the_cards(self, source, card, licence, tmp_path):
        SAMPLES[source](tmp_path)
        (tmp_path / "README.md").write_bytes(card.encode())
        folder = DataFolder(prepare(None, tmp_path, beside(tmp_path, "made")))
        assert folder.about["licence"] == licence


class TestHub:
    """`hf:`, on a local folder: nothing here needs the network."""

    @pytest.fixture(autouse=True)
    def offline(self, tmp_path, monkeypatch):
        import datasets

        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def test_the_same_records_as_its_parquet_files(self, tmp_path):
        SAMPLES["hf-parquet"](tmp_path / "hub")
        plain = read_source("hf-parquet", tmp_path / "hub")
        folder = DataFolder(prepare(f"hf:{tmp_path}/hub", tmp_path / "images", tmp_path / "data"))
        assert folder.questions("train") == [q for q in plain.questions if q.split == "train"]
        assert folder.captions("val") == [c for c in plain.captions if c.split == "val"]
        assert folder.about["source"] == f"hf:{tmp_path}/hub"
        assert {p.file for p in folder.images()} == {
            p.file.removeprefix("unpacked-images/") for p in plain.images
        }
        assert all((tmp_path / "images" / p.file).is_file() for p in folder.images())

    def test_the_licence_and_a_split_that_is_drawn(self, tmp_path):
        save_parquet(tmp_path / "hub/data/train-00000-of-00001.parquet", hf_table(0, 20))
        (tmp_path / "hub/README.md").write_text("---\nlicense: mit\n---\n# Ours\n")
        name = f"hf:{tmp_path}/hub"
        collection = read_source(name, tmp_path / "images", val_share="0.2", test_share="0")
        assert Counter(p.split for p in collection.images) == {"train": 16, "val": 4}
        assert collection.licence == "mit, says its card"

    def test_a_set_that_cannot_be_had_is_one_sentence(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(BadData, match="cannot be loaded from the Hugging Face hub") as caught:
            prepare("hf:nobody/nothing", tmp_path / "images", tmp_path / "data")
        assert "HF_HUB_OFFLINE is set" in caught.value.hint
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "images").exists()

    def test_only_files_of_the_cache_are_followed(self, tmp_path):
        (tmp_path / "mine.png").write_bytes(PNG + b"private")
        rows = {"image": [str(tmp_path / "mine.png")] * 2, "caption": ["A dog.", "A cat."]}
        save_parquet(tmp_path / "hub/train.parquet", pa.table(rows))
        with pytest.raises(BadData, match="outside of the folder of images"):
            read_source(f"hf:{tmp_path}/hub", tmp_path / "images")

    def test_the_command_line_puts_its_images_beside_the_data(self, tmp_path):
        name, folder = source_and_root("hf:org/name", None, tmp_path / "data")
        assert (name, folder) == ("hf:org/name", tmp_path / "data-images")


@pytest.mark.slow  # processes; the library tries again for 30 seconds where files fail
class TestHubOverHttp:
    """`hf:` in a process of its own, whose hub is a stand-in on this machine."""

    @pytest.fixture
    def ask(self, tmp_path):
        """Prepares `ours/set` as the hub has it, the folder `hub`, at the address given."""
        SAMPLES["hf-parquet"](tmp_path / "hub")
        (tmp_path / "hub/README.md").write_text("---\nlicense: mit\n---\n# Ours\n")

        def ask(address, name="ours/set", **variables):
            own = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home")}
            gone = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE")
            kept = {key: value for key, value in os.environ.items() if key not in gone}
            words = ["prepare", f"hf:{name}", "--out", str(tmp_path / "data"), "--replace"]
            return subprocess.run(
                [sys.executable, "-m", "saccade", *words],
                env={**kept, **own, **variables}, capture_output=True, text=True, check=False,
            )  # fmt: skip

        return ask

    def test_a_set_is_downloaded_and_read_then_taken_from_the_cache(self, ask, tmp_path):
        plain = read_source("hf-parquet", tmp_path / "hub")
        with serve_hub("ours/set", tmp_path / "hub") as address:
            told = ask(address)
        assert told.returncode == 0, told.stderr
        folder = DataFolder(tmp_path / "data")
        assert folder.captions("train") == [c for c in plain.captions if c.split == "train"]
        assert folder.questions("val") == [q for q in plain.questions if q.split == "val"]
        assert folder.about["licence"] == "mit, says its card"
        assert all((tmp_path / "data-images" / image.file).is_file() for image in folder.images())
        shutil.rmtree(tmp_path / "data")
        assert ask(address, HF_HUB_OFFLINE="1").returncode == 0
        assert DataFolder(tmp_path / "data").questions("val") == folder.questions("val")

    @pytest.mark.parametrize("fault", ["no such set", "files fail", "no hub at all"])
    def test_what_cannot_be_had_is_one_sentence(self, fault, ask, tmp_path):
        if fault == "files fail":
            (tmp_path / "hub/BROKEN").touch()
        with serve_hub("ours/set", tmp_path / "hub") as address:
            place = "http://127.0.0.1:9" if fault == "no hub at all" else address
            told = ask(place, "ours/other" if fault == "no such set" else "ours/set")
        assert told.returncode == 1
        assert "Traceback" not in told.stderr
        assert "cannot be loaded from the Hugging Face hub" in told.stderr + told.stdout
        assert not (tmp_path / "data").exists()


CLASS = {"names": ["no", "yes", "maybe"], "_type": "ClassLabel"}


class TestClassesAndChoices:
    def save(self, folder, name="train-00000-of-00001", kind=CLASS, **columns):
        table = pa.table(
            {"image": [f"{n}.jpg" for n in range(len(columns["question"]))], **columns}
        )
        features = json.dumps({"info": {"features": {"answer": kind, "answers": kind}}})
        (folder / "data").mkdir(exist_ok=True)
        path = folder / f"data/{name}.parquet"
        pq.write_table(table.replace_schema_metadata({"huggingface": features}), path)

    def test_no_label_is_no_answer(self, tmp_path):
        self.save(tmp_path, question=["a?", "b?"], answer=[1, 0])
        self.save(tmp_path, "test-00000-of-00001", question=["c?"], answer=[-1])
        questions = read_source("hf-parquet", tmp_path).questions
        assert [one.answers for one in questions] == [(), ("yes",), ("no",)]
        self.save(tmp_path, question=["a?", "b?"], answer=[1, -1])
        with pytest.raises(BadData, match="row 2 has no answer"):
            read_source("hf-parquet", tmp_path)
        assert len(read_source("hf-parquet", tmp_path, bad="drop").questions) == 2

    @pytest.mark.parametrize("kind", ["List", "Sequence", "LargeList", "a list"])
    def test_lists_of_classes(self, tmp_path, kind):
        said = [CLASS] if kind == "a list" else {"feature": CLASS, "_type": kind}
        self.save(tmp_path, kind=said, question=["a?", "b?"], answers=[[0, 1, 1], [2]])
        answers = [one.answers for one in read_source("hf-parquet", tmp_path).questions]
        assert answers == [("no", "yes", "yes"), ("maybe",)]

    def test_a_number_beside_choices_is_their_place(self, tmp_path):
        choices = [["red", "blue"], ["one", "two", "three"]]
        self.save(tmp_path, kind=None, question=["a?", "b?"], answer=[1, 0], choices=choices)
        collection = read_source("hf-parquet", tmp_path)
        assert [one.answers for one in collection.questions] == [("blue",), ("one",)]
        assert collection.choices == {0: ("red", "blue"), 1: ("one", "two", "three")}
        self.save(tmp_path, kind=None, question=["a?", "b?"], answer=[2, 0], choices=choices)
        with pytest.raises(BadData, match="row 1 has the answer 2"):
            read_source("hf-parquet", tmp_path)

    def test_shards_that_are_missing(self, tmp_path):
        self.save(tmp_path, "train-00001-of-00003", question=["a?"], answer=[1])
        with pytest.raises(BadData, match=r"train-00000-of-00003.*train-00002-of-00003"):
            read_source("hf-parquet", tmp_path)
