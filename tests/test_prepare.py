"""`prepare`: from the files of a data set to a data folder, and what it says on the way."""

import json

import pytest

from saccade.core.errors import BadConfig, BadData, SaccadeError
from saccade.data.folder import DataFolder
from saccade.data.records import Caption, Collection, ImageRecord, Question
from saccade.data.splits import hold_out
from saccade.datasets.catalogue import SOURCES, read_source
from saccade.datasets.prepare import next_step, prepare, remarks
from tests.sample_files import write_lines
from tests.source_samples import (
    SAMPLES,
    beside,
    coco_captions,
    rad_record,
    save,
    touch,
    vqa_questions,
    write_vqa_v2,
)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_prepared_without_loss(name, tmp_path):
    SAMPLES[name](tmp_path / "raw")
    path = prepare(name, tmp_path / "raw", tmp_path / "data")
    folder, read = DataFolder(path), read_source(name, tmp_path / "raw")
    assert path == tmp_path / "data"
    kept = {image.id: image.file for image in read.images}  # once where two splits share it
    assert {image.id: image.file for image in folder.images()} == kept
    assert len(folder.images()) == len(kept)
    for split in ("train", "val", "test"):
        if read.questions:
            of_split = [q for q in read.questions if q.split == split]
            assert folder.questions(split) == of_split
        if read.captions:
            assert folder.captions(split) == [c for c in read.captions if c.split == split]
    assert folder.about["source"] == name
    assert folder.about["licence"] == SOURCES[name].licence
    for image in folder.images():
        assert (folder.image_root / image.file).is_file()


def test_vocabulary_and_answers_come_from_the_training_split_alone(tmp_path):
    write_vqa_v2(tmp_path / "raw")
    questions = vqa_questions("val2014", 42)
    for question in questions["questions"]:
        question["question"] = "Secret?"
    save(tmp_path / "raw/v2_OpenEnded_mscoco_val2014_questions.json", questions)
    folder = DataFolder(prepare("vqa-v2", tmp_path / "raw", tmp_path / "data"))
    assert "secret" not in folder.word_counts("show_ask_attend_answer", "questions")
    assert folder.answer_counts() == {"red": 24, "pink": 3, "crimson": 3}


class TestMissingImages:
    @pytest.fixture
    def raw(self, tmp_path):
        write_vqa_v2(tmp_path / "raw")
        (tmp_path / "raw/val2014/COCO_val2014_000000000042.jpg").unlink()
        return tmp_path / "raw"

    def test_refused(self, raw, tmp_path):
        with pytest.raises(BadData, match=r"1 of 2 images is not there.*missing drop"):
            prepare("vqa-v2", raw, tmp_path / "data")
        assert not (tmp_path / "data").exists()

    def test_dropped_and_counted(self, raw, tmp_path):
        folder = DataFolder(prepare("vqa-v2", raw, tmp_path / "data", missing="drop"))
        assert [p.id for p in folder.images()] == [9]
        assert folder.questions("val") == []
        finding = folder.about["findings"][0]
        assert finding["message"].startswith("1 of 2 images is not there; they and their 3 records")
        assert (finding["level"], finding["count"]) == ("warning", 1)
        assert finding["examples"] == ["val2014/COCO_val2014_000000000042.jpg"]
        assert finding["cause"]
        assert finding["hint"]

    def test_kept_for_text_only(self, raw, tmp_path):
        folder = DataFolder(prepare("vqa-v2", raw, tmp_path / "data", missing="keep"))
        assert len(folder.questions("val")) == 3
        assert "without images" in folder.about["findings"][0]["hint"]

    def test_nothing_left(self, raw, tmp_path):
        (raw / "train2014/COCO_train2014_000000000009.jpg").unlink()
        with pytest.raises(BadData, match="nothing would be left"):
            prepare("vqa-v2", raw, tmp_path / "data", missing="drop")

    def test_a_folder_is_no_image(self, raw, tmp_path):
        (raw / "val2014/COCO_val2014_000000000042.jpg").mkdir()
        with pytest.raises(BadData, match="1 of 2 images is not there"):
            prepare("vqa-v2", raw, tmp_path / "data")


class TestImagesInTwoSplits:
    @pytest.fixture
    def raw(self, tmp_path):
        SAMPLES["vqa-rad"](tmp_path / "raw")
        again = {**rad_record(6, 3), "qid": 100}  # image and words of training record 6
        save(tmp_path / "raw/testset.json", [again, rad_record(101, 55)])
        touch(tmp_path / "raw", "images/synpic55.jpg")
        return tmp_path / "raw"

    def prepared(self, raw, overlap):
        return DataFolder(
            prepare("vqa-rad", raw, raw.parent / "data", overlap=overlap, val_share="0")
        )

    def test_refused_where_published_splits_share_none(self, raw):
        SAMPLES["vizwiz-vqa"](raw)
        (raw / "Annotations/train.json").write_bytes((raw / "Annotations/val.json").read_bytes())
        with pytest.raises(BadData, match=r"3 images are in two splits.*overlap keep"):
            prepare("vizwiz-vqa", raw, raw.parent / "data")

    @pytest.mark.parametrize("name", ["vqa-rad", "vqa-cp-v2", "vivqa", "slake"])
    def test_published_splits_that_share_images_are_read_and_told(self, raw, name):
        if name != "vqa-rad":
            SAMPLES[name](raw.with_name(name))
        folder = DataFolder(prepare(name, raw.with_name("raw" if name == "vqa-rad" else name),
                                    raw.parent / "data", val_share="0"))  # fmt: skip
        (told,) = (f for f in folder.about["findings"] if "in two splits" in f["message"])
        assert (told["level"], told["count"]) == ("warning", 1)

    def test_less_guarded_records_dropped(self, raw):
        folder = self.prepared(raw, "drop")
        shared = {q.image_id for q in folder.questions("test")}
        assert not shared & {q.image_id for q in folder.questions("train")}
        assert len(folder.questions("train")) == 18
        assert "2 records of the less guarded split" in folder.about["findings"][0]["message"]
        assert {p.split for p in folder.images() if p.id in shared} == {"test"}

    def test_kept_with_a_warning_about_leaks(self, raw):
        folder = self.prepared(raw, "keep")
        assert len(folder.questions("train")) == 20
        assert len(folder.questions("test")) == 2
        assert len({p.id for p in folder.images()}) == len(folder.images()) == 11
        overlap, leaks = (
            next(f for f in folder.about["findings"] if words in f["message"])
            for words in ("in two splits", "training questions")
        )
        assert overlap["count"] == leaks["count"] == 1
        assert leaks["examples"] == ["100: Is there 6?"]


class TestFindings:
    def test_empty_splits_are_pointed_out(self, tmp_path):
        save(tmp_path / "raw/annotations/captions_val2017.json", coco_captions(42))
        touch(tmp_path / "raw", "val2017/000000000042.jpg")
        folder = DataFolder(prepare("coco-captions", tmp_path / "raw", tmp_path / "data"))
        assert [f["message"] for f in folder.about["findings"]] == [
            "split train has no captions: there is nothing to learn from",
            "1 split of coco-captions is not the published one",
        ]
        assert folder.about["findings"][0]["hint"].endswith("do not train on these captions.")

    def test_each_task_needs_its_own_validation_split(self, tmp_path):
        """Captions of both splits, questions of one: as a joined folder may well be."""
        lines = ["image,caption,question,answer,split", "a.jpg,A.,Who?,me,train", "b.jpg,B.,,,val"]
        (tmp_path / "t.csv").write_text("\n".join(lines))
        touch(tmp_path, "a.jpg", "b.jpg")
        made = prepare("table", tmp_path, beside(tmp_path, "made"))
        (finding,) = DataFolder(made).about["findings"]
        assert finding["level"] == "warning"
        assert finding["message"].startswith("split val has no questions: nothing can be trained")
        assert "--hold-out 0.1" in finding["hint"]
        assert any("split val has no questions" in line for line in remarks(made))

    def test_training_images_are_held_out_on_demand(self, tmp_path):
        """Of the task that lacks a validation split, with all that belongs to them."""
        root = tmp_path / "raw"
        SAMPLES["table"](root)
        rows = [f"{n}.png,Is it {n}?,yes,train" for n in range(20)]
        (root / "mine.csv").write_text("\n".join(["image,question,answer,split", *rows]))
        for n in range(20):
            touch(root, f"{n}.png")
        before = prepare("table", root, tmp_path / "none", val_share="0", table="mine.csv")
        assert "--hold-out 0.1" in DataFolder(before).about["findings"][0]["hint"]
        made = prepare(
            "table", root, tmp_path / "data", val_share="0", table="mine.csv", hold_out=0.2
        )
        folder = DataFolder(made)
        held = {question.image_id for question in folder.questions("val")}
        assert len(held) == 4 == len(folder.images("val"))
        assert held.isdisjoint(question.image_id for question in folder.questions("train"))
        assert "4 of 20 training images with questions, drawn with seed 0" in remarks(made)[1]
        for share, said in ((0.2, "there is a validation split"), (1.0, "no share")):
            with pytest.raises(BadConfig, match=said):
                prepare("table", root, tmp_path / "no", table="mine.csv", hold_out=share)

    def test_images_of_another_split_are_not_held_out(self):
        """An image that is in training and test keeps its test questions where they are."""
        images = [ImageRecord(n, f"{n}.jpg", "train") for n in range(6)]
        images += [ImageRecord(n, f"{n}.jpg", "test") for n in range(4)]
        asked = [Question(10 * p.id, p.id, "what?", p.split, ("cat",), "cat") for p in images]
        whole = hold_out(Collection("own", "", images, asked), 0.9)
        assert sum(question.split == "val" for question in whole.questions) == 1
        assert sum(question.split == "test" for question in whole.questions) == 4
        with pytest.raises(BadConfig, match="no two images for training alone"):
            hold_out(Collection("own", "", images[5:], asked[5:]), 0.5)

    def test_questions_that_lack_validation_take_it_from_captions_training(self, tmp_path):
        """As in coco-mini: captions of both splits, questions about training images alone."""
        images = [ImageRecord(n, f"{n}.jpg", "train" if n < 10 else "val") for n in range(12)]
        questions = [Question(n, n, "what?", "train", ("cat",), "cat") for n in range(6)]
        captions = [Caption(n, n, "a cat", ("a", "cat"), images[n].split) for n in range(12)]
        whole = hold_out(Collection("a+b", "", images, questions, captions), 0.5)
        held = {question.image_id for question in whole.questions if question.split == "val"}
        assert len(held) == 3
        assert {c.image_id for c in whole.captions if c.split == "val"} == held | {10, 11}
        assert {p.id for p in whole.images if p.split == "val"} == held | {10, 11}
        assert len(whole.notes) == 1

    def test_images_without_captions_are_kept_and_counted(self, tmp_path):
        SAMPLES["coco-captions"](tmp_path / "raw")
        document = coco_captions(42)
        document["images"].append({"id": 43, "file_name": "43.jpg"})
        save(tmp_path / "raw/annotations/captions_val2017.json", document)
        touch(tmp_path / "raw", "val2017/43.jpg")
        folder = DataFolder(prepare("coco-captions", tmp_path / "raw", tmp_path / "data"))
        assert folder.about["findings"][0]["examples"] == ["val2017/43.jpg"]
        assert 43 in {p.id for p in folder.images()}

    def test_secret_answers_and_repeated_questions_are_counted(self, tmp_path):
        write_vqa_v2(tmp_path / "raw")
        questions = vqa_questions("test2015", 5)
        questions["questions"][2]["question"] = "what is 0?"
        save(tmp_path / "raw/v2_OpenEnded_mscoco_test2015_questions.json", questions)
        touch(tmp_path / "raw", "test2015/COCO_test2015_000000000005.jpg")
        folder = DataFolder(prepare("vqa-v2", tmp_path / "raw", tmp_path / "data"))
        found = {f["message"]: f["level"] for f in folder.about["findings"]}
        assert found == {
            "3 splits of vqa-v2 are not the published ones": "warning",
            "3 questions have no answers": "note",
            "1 question repeats an earlier one about the same image": "note",
        }
        assert folder.questions("test")[0] == Question(5000, 5, "What is 0?", "test")

    def test_good_data_has_no_findings(self, tmp_path):
        SAMPLES["table"](tmp_path / "raw")
        folder = DataFolder(prepare("table", tmp_path / "raw", tmp_path / "data"))
        findings = [found["message"] for found in folder.about["findings"]]
        assert all("differ by marks" in message for message in findings)  # a cat, cat: both answers


class TestOptions:
    @pytest.mark.parametrize("option", ["missing", "overlap"])
    def test_unknown_words(self, option, tmp_path):
        write_vqa_v2(tmp_path)
        with pytest.raises(BadConfig, match=f"--{option} ignore is not known"):
            prepare("vqa-v2", tmp_path, tmp_path / "data", **{option: "ignore"})

    def test_unknown_option(self, tmp_path):
        write_vqa_v2(tmp_path)
        with pytest.raises(BadConfig, match="no option 'jobs'"):
            prepare("vqa-v2", tmp_path, tmp_path / "data", jobs="3")

    def test_preparing_into_the_source_folder_is_refused(self, tmp_path):
        write_vqa_v2(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(BadData, match="other things than a data folder"):
            prepare("vqa-v2", tmp_path, tmp_path)
        assert sorted(tmp_path.rglob("*")) == before


class TestWhatIsSaid:
    def test_next_is_extraction_where_there_are_images(self, tmp_path):
        write_vqa_v2(tmp_path / "raw")
        (tmp_path / "raw/val2014/COCO_val2014_000000000042.jpg").unlink()
        made = prepare("vqa-v2", tmp_path / "raw", tmp_path / "data", missing="keep")
        assert next_step(made).startswith(f"Next: saccade extract {made} --for ")

    def test_next_are_the_images_where_there_is_none(self, tmp_path):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw/t.csv").write_text("image,caption\na.jpg,A dog.\nb.jpg,A cat.\n")
        made = prepare("table", tmp_path / "raw", tmp_path / "data", missing="keep")
        assert "extract " not in next_step(made)
        assert f"below {tmp_path / 'raw'} (the first is a.jpg)" in next_step(made)
        assert "--option images=FOLDER" in next_step(made)
        touch(tmp_path / "raw", "a.jpg", "b.jpg")
        assert "saccade extract" in next_step(made)

    def test_every_line_is_a_sentence(self, tmp_path):
        save(tmp_path / "raw/annotations/captions_val2017.json", coco_captions(42))
        touch(tmp_path / "raw", "val2017/000000000042.jpg")
        lines = remarks(prepare(None, tmp_path / "raw", tmp_path / "data"))
        assert [line.split(":")[0] for line in lines] == [
            "read", "note", "warning", "warning",
        ]  # fmt: skip
        assert all(line.endswith(".") and ".." not in line for line in lines)


def test_an_unpacked_folder_with_its_own_images_is_not_prepared_over(tmp_path):
    write_vqa_v2(tmp_path / "raw")
    out = prepare("vqa-v2", tmp_path / "raw", tmp_path / "data")
    touch(out, "images/a.jpg")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(BadData, match="was unpacked with images of its own") as caught:
        prepare("vqa-v2", tmp_path / "raw", out)
    assert caught.value.hint == "Give a new folder as --out."
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


class TestFilesThatWereRead:
    def test_every_file_is_read_or_named_with_the_reason(self, tmp_path):
        write_vqa_v2(tmp_path / "raw")
        write_lines(tmp_path / "raw/notes.csv", "who,when", "me,today")
        (tmp_path / "raw/old.xlsx").write_bytes(b"PK")
        save(tmp_path / "raw/instances_val2014.json", {"annotations": [{"bbox": [0, 0, 1, 1]}]})
        # Objects are POPE's questions only where nothing asks or describes beside them.
        about = DataFolder(prepare(None, tmp_path / "raw", tmp_path / "data")).about["files"]
        assert sorted(about["read"]) == sorted(p.name for p in (tmp_path / "raw").glob("*v2_*"))
        assert about["unread"].keys() == {"notes.csv", "old.xlsx", "instances_val2014.json"}
        assert "who, when" in about["unread"]["notes.csv"]
        assert all(about["unread"].values())

    def test_many_files_of_a_kind_are_counted(self, tmp_path):
        for frame in range(30):
            write_lines(tmp_path / f"raw/seq_1/vqa/Classification/frame{frame:03}_QA.txt", "a|b")
            touch(tmp_path, f"raw/seq_1/left_frames/frame{frame:03}.png")
        write_lines(tmp_path / "raw/seq_2/vqa/Classification/frame000_QA.txt", "a|b")
        touch(tmp_path, "raw/seq_2/left_frames/frame000.png")
        made = prepare("endovis18-vqa", tmp_path / "raw", tmp_path / "data")
        assert DataFolder(made).about["files"]["read"] == [
            "seq_1/vqa/Classification/*.txt (30 files)",
            "seq_2/vqa/Classification/frame000_QA.txt",
        ]

    def test_other_data_is_only_written_over_when_told(self, tmp_path):
        SAMPLES["vqa-v2"](tmp_path / "one")
        SAMPLES["karpathy"](tmp_path / "two")
        out = prepare(None, tmp_path / "one", tmp_path / "data")
        before = {path: path.read_bytes() for path in out.iterdir()}
        with pytest.raises(BadConfig, match="vqa-v2") as caught:
            prepare(None, tmp_path / "two", out)
        assert "--replace" in caught.value.hint
        assert before == {path: path.read_bytes() for path in out.iterdir()}
        prepare(None, tmp_path / "one", out)  # the same again
        prepare(None, tmp_path / "two", out, replace_other=True)
        assert DataFolder(out).about["source"] == "karpathy"

    def test_another_table_of_the_same_folder_is_other_data(self, tmp_path):
        for name in ("a", "b"):
            write_lines(tmp_path / f"raw/{name}.csv", "image,caption", f"{name}.jpg,A {name}.")
        touch(tmp_path / "raw", "a.jpg", "b.jpg")
        prepare("table", tmp_path / "raw", tmp_path / "data", table="a.csv")
        with pytest.raises(BadConfig, match=r"a\.csv"):
            prepare("table", tmp_path / "raw", tmp_path / "data", table="b.csv")


class TestOneBadRecord:
    def test_a_question_without_a_word_is_left_out_with_a_count(self, tmp_path):
        write_vqa_v2(tmp_path / "raw")
        path = tmp_path / "raw/v2_OpenEnded_mscoco_train2014_questions.json"
        document = json.loads(path.read_text())
        for place, text in enumerate((" ", "???")):
            document["questions"][place]["question"] = text
        save(path, document)
        folder = DataFolder(prepare(None, tmp_path / "raw", tmp_path / "data"))
        assert [question.id for question in folder.questions("train")] == [9002]
        (found,) = [f for f in folder.about["findings"] if "no word" in f["message"]]
        assert found["count"] == 2
        assert found["examples"] == ["question 9000", "question 9001"]

    @pytest.mark.parametrize("bad", ["", "What?,", ",A dog.", "What?,yes|"])
    def test_rows_that_cannot_be_used_are_left_out_with_a_count(self, bad, tmp_path):
        row = f"a.jpg,{bad}" if bad.endswith(("|", ",")) else f" ,{bad or 'x,y'}"
        good = [f"{n}.jpg,Is it {n}?,yes" for n in range(5)]
        rows = [*good[:2], row.replace("yes|", ""), *good[2:]]
        write_lines(tmp_path / "raw/t.csv", "image,question,answer", *rows)
        touch(tmp_path / "raw", "a.jpg", *(f"{n}.jpg" for n in range(5)))
        with pytest.raises(BadData, match="line 4"):
            prepare(None, tmp_path / "raw", tmp_path / "data", test_share="0")
        made = prepare(None, tmp_path / "raw", tmp_path / "data", bad="drop", test_share="0")
        counts = DataFolder(made).about["splits"]
        assert sum(split["questions"] for split in counts.values()) == 5
        (note,) = [n for n in DataFolder(made).about["notes"] if "cannot be used" in n]
        assert note.startswith("1 row ")
        assert "line 4" in note

    def test_a_source_without_rows_has_no_such_option(self, tmp_path):
        write_vqa_v2(tmp_path)
        with pytest.raises(BadConfig, match="bad"):
            prepare("vqa-v2", tmp_path, beside(tmp_path, "data"), bad="drop")


def test_preparing_again_gives_the_same_folder(tmp_path):
    SAMPLES["karpathy"](tmp_path / "raw")
    path = prepare("karpathy", tmp_path / "raw", tmp_path / "data")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    (path / "features").mkdir()
    prepare("karpathy", tmp_path / "raw", path)
    assert {file.name: file.read_bytes() for file in path.glob("*.*")} == before
    assert (path / "features").is_dir()


def test_every_message_stays_on_one_line(tmp_path):
    write_vqa_v2(tmp_path)
    for broken in ("", "[", '{"questions": [{}]}', '{"questions": 1}', "null"):
        (tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(broken)
        with pytest.raises(SaccadeError) as caught:
            prepare("vqa-v2", tmp_path, tmp_path / "data")
        assert "\n" not in str(caught.value)
        assert "v2_OpenEnded_mscoco_val2014_questions.json" in str(caught.value)


class TestRealData:
    def test_flickr8k(self, real_data, tmp_path):
        root = real_data("flickr8k-2250")
        one = DataFolder(prepare("karpathy", root, tmp_path / "one"))
        other = DataFolder(prepare("flickr8k", root, tmp_path / "other"))
        assert one.fingerprint == other.fingerprint
        for folder in (one, other):
            (finding,) = folder.about["findings"]  # a quarter of the set: that is said
            assert finding["examples"] == [
                "train: 2,000 images and 10,000 captions, "
                "published 6,000 images and 30,000 captions",
                "val: 250 images and 1,250 captions, published 1,000 images and 5,000 captions",
            ]
        words = one.word_counts("karpathy", "captions")
        assert (len(words), sum(words.values())) == (4567, 108062)
        assert sum(count > 5 for count in words.values()) == 1222

    def test_vqa_rad(self, real_data, tmp_path):
        folder = DataFolder(prepare("vqa-rad", real_data("vqa-rad"), tmp_path / "data"))
        train, val = folder.questions("train"), folder.questions("val")
        assert len(train) + len(val) == 3064
        assert not {q.image_id for q in train} & {q.image_id for q in val}
        assert {p.split for p in folder.images()} == {"train", "val"}

    def test_vqa_v2_text(self, real_data, tmp_path):
        root = real_data("vqa-v2-text")
        with pytest.raises(BadData, match="3930 images are in two splits"):
            prepare("vqa-v2", root, tmp_path / "data", missing="keep")
        options = {"overlap": "keep", "missing": "keep"}
        folder = DataFolder(prepare("vqa-v2", root, tmp_path / "data", **options))
        table = folder.question_table("train")
        assert len(table) == 48061
        assert table.nbytes / len(table) < 300
        assert sum(folder.answer_counts().values()) == 480610
        counts = [finding["count"] for finding in folder.about["findings"][:2]]
        assert counts == [3930, 38075]
