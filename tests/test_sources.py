"""Every line of the table of sources, and what each reader makes of its layout."""

import gzip
import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from saccade.core import tables
from saccade.core.errors import BadConfig, BadData, SaccadeWarning
from saccade.data.folder import DataFolder, fingerprint
from saccade.data.records import SPLITS, Caption, Collection, ImageRecord, Question
from saccade.datasets import catalogue, detect, diagnose
from saccade.datasets.catalogue import SOURCES, Source, read_source, reason
from saccade.datasets.detect import recognise
from saccade.datasets.prepare import prepare
from saccade.datasets.published_counts import compare
from tests.source_samples import (
    ANSWERS,
    RAD_MAKERS,
    SAMPLES,
    beside,
    coco_captions,
    karpathy,
    rad_makers_records,
    rad_record,
    save,
    touch,
    vqa_annotations,
    vqa_questions,
    write_vqa_rad_of_makers,
    write_vqa_v2,
)

RELEASED_SPLITS = {"gqa-ood": {"val", "test"}, "pope": {"test"}}
"""Of sets for evaluation alone, in which there is nothing to learn from."""
SHARED_IMAGES = {"vqa-cp-v1", "vqa-cp-v2", "vivqa", "slake"}
"""Sets whose published splits divide questions, or the images of each language in another way."""
PATHS = {"blip-vqa"}
"""Sets whose records name images by folder and file."""
SHARED_FORMS = {"vqa-v1": {"ok-vqa"}}
"""Sets that a source reads, too, where the user names it: the files have its names and form."""


@pytest.mark.parametrize("name", SOURCES)
class TestEverySource:
    @pytest.fixture
    def root(self, name, tmp_path):
        SAMPLES[name](tmp_path)
        return tmp_path

    def test_every_source_reads_its_layout(self, name, root):
        collection = read_source(name, root)
        assert collection.source == name
        assert collection.licence
        assert collection.questions or collection.captions
        assert {image.split for image in collection.images} >= RELEASED_SPLITS.get(
            name, {"train", "val"}
        )
        known = {(image.id, image.split) for image in collection.images}
        ids = {image.id for image in collection.images}
        assert len(known) == len(collection.images)
        assert (len(ids) < len(known)) == (name in SHARED_IMAGES)
        for record in (*collection.questions, *collection.captions):
            assert (record.image_id, record.split) in known

    def test_every_source_gives_plain_records(self, name, root):
        collection = read_source(name, root)
        for image in collection.images:
            assert [type(value) for value in image] == [int, str, str]
            assert (Path(collection.image_root) / image.file).is_file()
            assert image.split in SPLITS
        for question in collection.questions:
            assert type(question) is Question
            assert type(question.answers) is tuple
            assert question.best_answer in (question.answers or ("",))
            assert question.answers or question.split == "test"
        for caption in collection.captions:
            assert type(caption) is Caption
            assert type(caption.words) is tuple
            assert caption.words
            assert all(word == word.lower() for word in caption.words)

    def test_every_source_is_deterministic(self, name, root):
        assert fingerprint(read_source(name, root)) == fingerprint(read_source(name, root))

    def test_every_source_refuses_an_empty_folder(self, name, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(BadData) as caught:
            read_source(name, empty)
        assert str(empty) in str(caught.value)
        assert caught.value.hint

    def test_every_source_refuses_the_layouts_of_others(self, name, tmp_path):
        for other, write in SAMPLES.items():
            if other != name and other not in SHARED_FORMS.get(name, ()):
                write(tmp_path / other)
                with pytest.raises(BadData):
                    read_source(name, tmp_path / other)

    def test_every_source_knows_its_options(self, name, root):
        with pytest.raises(BadConfig, match=r"no option 'colour'.*It has: .*images"):
            read_source(name, root, colour="red")

    def test_every_source_finds_images_elsewhere(self, name, root):
        elsewhere = beside(root, "elsewhere")
        files = [image.file for image in read_source(name, root).images]
        names = [Path(file).name for file in files]
        flat = len(set(names)) == len(names) and name not in PATHS
        touch(elsewhere, *(names if flat else files))
        collection = read_source(name, root, images=str(elsewhere))
        assert collection.image_root == str(elsewhere)
        assert all((elsewhere / image.file).is_file() for image in collection.images)

    def test_every_source_refuses_a_missing_image_folder(self, name, root):
        with pytest.raises(BadConfig, match="no such folder of images"):
            read_source(name, root, images="nowhere")


def test_samples_cover_the_table():
    assert SAMPLES.keys() == SOURCES.keys()


def test_unknown_source_is_refused(tmp_path):
    with pytest.raises(BadConfig, match=r"no source 'vqa-v3'\. Did you mean 'vqa-v"):
        read_source("vqa-v3", tmp_path)


def test_missing_root_is_refused(tmp_path):
    with pytest.raises(BadData, match="no such folder"):
        read_source("vqa-v2", tmp_path / "nowhere")


class TestVqa:
    def test_records(self, tmp_path):
        write_vqa_v2(tmp_path)
        collection = read_source("vqa-v2", tmp_path)
        assert collection.questions[0] == Question(
            9000, 9, "What is 0?", "train", tuple(ANSWERS), "red", "other", "what is"
        )
        assert collection.images == [
            ImageRecord(9, "train2014/COCO_train2014_000000000009.jpg", "train"),
            ImageRecord(42, "val2014/COCO_val2014_000000000042.jpg", "val"),
        ]

    def test_versions_live_side_by_side(self, tmp_path):
        SAMPLES["vqa-v1"](tmp_path)
        questions = vqa_questions("train2014", 77)
        save(tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json", questions)
        annotations = vqa_annotations("train2014", 77)
        save(tmp_path / "v2_mscoco_train2014_annotations.json", annotations)
        assert {q.image_id for q in read_source("vqa-v1", tmp_path).questions} == {9, 42}
        assert {q.image_id for q in read_source("vqa-v2", tmp_path).questions} == {77}

    def test_packed_files_in_a_folder_below(self, tmp_path):
        for name, value in (
            ("v2_OpenEnded_mscoco_val2014_questions.json.gz", vqa_questions("val2014", 42)),
            ("v2_mscoco_val2014_annotations.json.gz", vqa_annotations("val2014", 42)),
        ):
            (tmp_path / "vqa").mkdir(exist_ok=True)
            (tmp_path / "vqa" / name).write_bytes(gzip.compress(json.dumps(value).encode()))
        assert len(read_source("vqa-v2", tmp_path).questions) == 3

    def test_annotations_in_another_order(self, tmp_path):
        write_vqa_v2(tmp_path)
        annotations = vqa_annotations("train2014", 9)
        for place, record in enumerate(annotations["annotations"]):
            record["multiple_choice_answer"] = f"answer {place}"
        annotations["annotations"].reverse()
        save(tmp_path / "v2_mscoco_train2014_annotations.json", annotations)
        best = [q.best_answer for q in read_source("vqa-v2", tmp_path).questions[:3]]
        assert best == ["answer 0", "answer 1", "answer 2"]

    def test_test_questions_come_without_answers(self, tmp_path):
        write_vqa_v2(tmp_path)
        for subset, count in (("test2015", 3), ("test-dev2015", 2)):
            path = tmp_path / f"v2_OpenEnded_mscoco_{subset}_questions.json"
            save(path, vqa_questions(subset, 5, count))
        collection = read_source("vqa-v2", tmp_path)
        secret = [q for q in collection.questions if q.split == "test"]
        assert len(secret) == 3
        assert secret[0].answers == ()
        assert collection.images[-1].file.endswith("COCO_test2015_000000000005.jpg")
        assert any("test-dev2015" in note for note in collection.notes)

    def test_test_dev_alone_uses_test_images(self, tmp_path):
        path = tmp_path / "v2_OpenEnded_mscoco_test-dev2015_questions.json"
        save(path, vqa_questions("test-dev2015", 5))
        touch(tmp_path, "test2015/COCO_test2015_000000000005.jpg")
        collection = read_source("vqa-v2", tmp_path)
        assert collection.images[0].file == "test2015/COCO_test2015_000000000005.jpg"

    def test_names_without_a_split(self, tmp_path):
        save(tmp_path / "v2_OpenEnded_questions.json", vqa_questions("train2014", 9))
        save(tmp_path / "v2_annotations.json", vqa_annotations("train2014", 9))
        touch(tmp_path, "train2017/000000000009.jpg")
        collection = read_source("vqa-v2", tmp_path)
        assert {q.split for q in collection.questions} == {"train"}
        assert collection.images[0].file == "train2017/000000000009.jpg"
        collection = read_source("vqa-v2", tmp_path, split="val")
        assert {q.split for q in collection.questions} == {"val"}

    def test_a_pair_named_by_the_user(self, tmp_path):
        questions = vqa_questions("", 9)
        save(tmp_path / "mine/q.json", questions)
        save(tmp_path / "mine/a.json", vqa_annotations("", 9))
        named = {"questions": "mine/q.json", "annotations": "mine/a.json"}
        with pytest.raises(BadConfig, match="does not say which split"):
            read_source("vqa-v2", tmp_path, **named)
        collection = read_source("vqa-v2", tmp_path, **named, split="train")
        assert len(collection.questions) == 3

    def test_options_that_make_no_sense(self, tmp_path):
        write_vqa_v2(tmp_path)
        with pytest.raises(BadConfig, match="is of no use"):
            read_source("vqa-v2", tmp_path, split="train")
        with pytest.raises(BadConfig, match="split=training is not known"):
            read_source("vqa-v2", tmp_path, split="training")
        with pytest.raises(BadConfig, match="without questions="):
            read_source("vqa-v2", tmp_path, annotations="a.json")


class TestCaptions:
    def test_restval_joins_train(self, tmp_path):
        SAMPLES["karpathy"](tmp_path)
        images = read_source("karpathy", tmp_path).images
        assert [p.split for p in images] == ["train", "train", "val", "test"]

    def test_coco_ids_and_folders(self, tmp_path):
        document = karpathy()
        for place, image in enumerate(document["images"]):
            image |= {"cocoid": 500 + place, "filepath": "val2014"}
            touch(tmp_path, f"val2014/{image['filename']}")
        save(tmp_path / "dataset_coco.json", document)
        collection = read_source("karpathy", tmp_path)
        assert [p.id for p in collection.images] == [500, 501, 502, 503]
        assert collection.images[0].file == "val2014/0.jpg"
        assert collection.captions[-1].image_id == 503

    def test_tokens_are_kept_as_given(self, tmp_path):
        SAMPLES["karpathy"](tmp_path)
        first = read_source("karpathy", tmp_path).captions[0]
        assert first == Caption(0, 0, "A dog, number 0.", ("a", "dog", "number0"), "train")

    def test_sentences_without_words_are_left_out_and_counted(self, tmp_path):
        document = karpathy()
        document["images"][0]["sentences"][1]["tokens"] = []
        save(tmp_path / "dataset_flickr8k.json", document)
        collection = read_source("karpathy", tmp_path)
        assert len(collection.captions) == 7
        assert "1 caption has no word" in collection.notes[0]

    def test_two_karpathy_files_want_a_choice(self, tmp_path):
        SAMPLES["karpathy"](tmp_path)
        save(tmp_path / "dataset_coco.json", karpathy())
        with pytest.raises(BadConfig, match=r"dataset_coco\.json, dataset_flickr8k\.json"):
            read_source("karpathy", tmp_path)
        assert read_source("karpathy", tmp_path, file="dataset_coco.json").captions

    @pytest.mark.parametrize(
        "name", ["dataset_flickr8k-v2.json", "dataset.json", "captions of mine.json"]
    )
    def test_karpathys_file_is_found_by_its_name_or_its_fields(self, name, tmp_path):
        save(tmp_path / name, karpathy())
        assert reason("karpathy", tmp_path) is not None
        assert len(read_source("karpathy", tmp_path).captions) == 8
        assert read_source("karpathy", tmp_path, file=name).captions

    def test_coco_words_and_years(self, tmp_path):
        SAMPLES["coco-captions"](tmp_path)
        captions = read_source("coco-captions", tmp_path).captions
        assert captions[0].words == ("a", "cat", "number", "0")
        save(tmp_path / "annotations/captions_val2014.json", coco_captions(42))
        with pytest.raises(BadConfig, match="--option year=2014 or --option year=2017"):
            read_source("coco-captions", tmp_path)
        assert len(read_source("coco-captions", tmp_path, year="2014").captions) == 2

    def test_flickr8k_leaves_out_unlisted_images_and_counts_them(self, tmp_path):
        SAMPLES["flickr8k"](tmp_path)
        collection = read_source("flickr8k", tmp_path)
        assert collection.images == [
            ImageRecord(0, "Flicker8k_Dataset/a.jpg", "val"),
            ImageRecord(1, "Flicker8k_Dataset/b.jpg", "test"),
            ImageRecord(2, "Flicker8k_Dataset/c.jpg", "train"),
        ]
        assert [c.id for c in collection.captions] == list(range(6))
        assert collection.captions[0].words == ("a", "horse", "number", "0")
        assert "1 images with captions are in no split list" in collection.notes[0]


class TestVqaRad:
    def test_answers_are_text_without_blanks(self, tmp_path):
        SAMPLES["vqa-rad"](tmp_path)
        collection = read_source("vqa-rad", tmp_path)
        assert {q.answers for q in collection.questions} == {("4",), ("Yes",)}
        assert {q.answer_type for q in collection.questions} == {"CLOSED"}

    def test_validation_images_are_drawn_by_seed(self, tmp_path):
        SAMPLES["vqa-rad"](tmp_path)
        val = [
            {p.id for p in read_source("vqa-rad", tmp_path, seed=seed).images if p.split == "val"}
            for seed in ("0", "0", "1")
        ]
        assert val[0] == val[1] != val[2]
        assert len(val[0]) == 2
        none = read_source("vqa-rad", tmp_path, val_share="0")
        assert {p.split for p in none.images} == {"train"}

    def test_official_test_file(self, tmp_path):
        SAMPLES["vqa-rad"](tmp_path)
        save(tmp_path / "testset.json", [rad_record(100, 3), rad_record(101, 55)])
        collection = read_source("vqa-rad", tmp_path, val_share="0")
        of_test = {p.id for p in collection.images if p.split == "test"}
        of_train = {p.id for p in collection.images if p.split == "train"}
        assert len(of_test) == 2
        assert len(of_test & of_train) == 1

    def test_the_makers_file(self, tmp_path):
        write_vqa_rad_of_makers(tmp_path)
        collection = read_source("vqa-rad", tmp_path, val_share="0")
        assert collection.edition == "official"
        records = rad_makers_records()
        told = {q.id: (q.text, q.split) for q in collection.questions}
        # Numbers 1 and 2 are the first record, a test question, and its frame, for training.
        assert [told[n] for n in range(1, 5)] == [
            ("Is there 0?", "test"),
            ("Is/Are there 0?", "train"),
            ("Is there 1?", "train"),
            ("Is there 2?", "train"),
        ]
        asked = {text for text, split in told.values() if split == "test"}
        assert asked == {r["question"] for r in records if r["phrase_type"].startswith("test_")}
        assert sorted(told) == list(range(1, 26))
        assert collection.notes[0].startswith("5 training questions are others once more")
        assert "2 of them test questions" in collection.notes[0]
        assert collection.images[0].file == "VQA_RAD Image Folder/synpic0.jpg"
        found = {name: said for name in SOURCES if (said := reason(name, tmp_path))}
        assert found == {"vqa-rad": f"there is {RAD_MAKERS}"}

    @pytest.mark.parametrize("gone", [None, "", "drop"])
    def test_a_frame_that_is_not_there(self, tmp_path, gone):
        records = rad_makers_records()
        for record in records:
            record["question_frame"] = gone
            if gone == "drop":
                del record["question_frame"]
        save(tmp_path / RAD_MAKERS, records)
        collection = read_source("vqa-rad", tmp_path)
        assert len(collection.questions) == len(records)
        assert len(collection.notes) == 1

    def test_the_makers_file_is_read_where_a_part_of_the_other_is_missing(self, tmp_path):
        write_vqa_rad_of_makers(tmp_path)
        save(tmp_path / "trainset.json", [rad_record(n, n // 2) for n in range(6)])
        assert len(read_source("vqa-rad", tmp_path).questions) == 25
        save(tmp_path / "testset.json", [rad_record(100, 3)])
        assert len(read_source("vqa-rad", tmp_path).questions) == 7

    @pytest.mark.parametrize("share", ["1", "-0.1", "much", "nan"])
    def test_shares_that_are_none(self, tmp_path, share):
        SAMPLES["vqa-rad"](tmp_path)
        with pytest.raises(BadConfig, match="is no share"):
            read_source("vqa-rad", tmp_path, val_share=share)


class TestJoined:
    def test_other_files_for_the_same_image_are_refused(self, tmp_path):
        write_vqa_v2(tmp_path)
        document = karpathy()
        document["images"][0]["cocoid"] = 9
        for place, image in enumerate(document["images"][1:], start=100):
            image["cocoid"] = place
        save(tmp_path / "dataset_coco.json", document)
        with pytest.raises(BadData, match=r"image 9 is train2014/.* in one source"):
            read_source("vqa-v2+karpathy", tmp_path)

    def test_options_go_to_the_reader_that_has_them(self, tmp_path):
        write_vqa_v2(tmp_path)
        SAMPLES["coco-captions"](tmp_path)
        (tmp_path / "train2014").rename(tmp_path / "elsewhere")
        with pytest.raises(BadConfig, match=r"no option 'file'\. It has: .*year"):
            read_source("vqa-v2+coco-captions", tmp_path, file="x")


class TestRealData:
    def test_flickr8k_is_the_same_in_both_layouts(self, real_data):
        root = real_data("flickr8k-2250")
        one, other = read_source("karpathy", root), read_source("flickr8k", root)
        assert len(one.images) == 2250
        assert len(one.captions) == 11250
        assert fingerprint(one) == fingerprint(other)

    def test_vqa_rad(self, real_data):
        collection = read_source("vqa-rad", real_data("vqa-rad"))
        assert len(collection.questions) == 3064
        assert len(collection.images) == 314
        assert {q.answer_type for q in collection.questions} == {"CLOSED", "OPEN"}

    def test_vqa_rad_of_the_makers_gives_the_published_training_questions(
        self, real_data, tmp_path
    ):
        """Their file as it must have been: what number the training file lacks is a test question,
        and a question behind whose number comes a frame had that frame."""
        known = {
            r["qid"]: r for r in json.loads((real_data("vqa-rad") / "trainset.json").read_text())
        }
        frames = {n for n, r in known.items() if r["phrase_type"] == "frame"}
        made = []
        for number in sorted(set(range(1, 3516)) - frames):
            record = known.get(number)
            if record is None:  # a test question is not here, but its frame may be
                like = known.get(number + 1, known[1])
                record = {**like, "question": "Is it?", "phrase_type": "test_freeform"}
            frame = known[number + 1]["question"] if number + 1 in frames else "NULL"
            made.append({**record, "qid": len(made), "question_frame": frame})
        assert len(made) == 2248
        save(tmp_path / RAD_MAKERS, made)
        collection = read_source("vqa-rad", tmp_path, images=str(real_data("vqa-rad") / "images"))
        notes, findings = compare(collection)
        assert "train and val is word for word the published one" in notes[0]
        assert "test has the published counts" in notes[0]
        assert findings == []
        assert "1267 training questions are others once more" in collection.notes[0]
        assert "284 of them test questions" in collection.notes[0]

    def test_coco_mini(self, real_data):
        captions = read_source("coco-captions", real_data("coco-mini"))
        questions = read_source("vqa-v2", real_data("coco-mini"))
        assert len(captions.captions) == 795
        assert len(questions.questions) == 38
        for collection in (captions, questions):
            root = Path(collection.image_root)
            assert all((root / image.file).is_file() for image in collection.images)


@pytest.mark.parametrize(
    "name",
    sorted(SAMPLES.keys() - {"gqa", "gqa-ood", "coco-captions", "coco-pope", "hf-parquet"}),
)
def test_files_may_lie_in_a_folder_directly_below(name, tmp_path):
    """With their images beside them, as archives unpack; the others' layouts have folders."""
    (tmp_path / "inner").mkdir()
    SAMPLES[name](tmp_path / "inner")
    collection = read_source(name, tmp_path)
    assert collection.images
    assert all((Path(collection.image_root) / one.file).exists() for one in collection.images)


def _read_notes(root, images="images"):
    lines = (root / "notes.txt").read_text().splitlines()
    records = [ImageRecord(n, f"{line.split(':')[0]}", "train") for n, line in enumerate(lines)]
    captions = [
        Caption(n, n, line, tuple(line.split(":")[1].split()), "train")
        for n, line in enumerate(lines)
    ]
    return Collection("notes", str(root), records, captions=captions)


def _recognise_notes(root):
    if (root / "broken").exists():
        raise RuntimeError("a plugin that fails")
    return "there is notes.txt" if (root / "notes.txt").is_file() else None


NOTES = Source(_read_notes, _recognise_notes, "notes", "notes.txt", "ours")
NO_SOURCE = "not a source"
ELSEWHERE = NOTES._replace(reader="nowhere.at_all:read")


@pytest.mark.filterwarnings("ignore:the source:saccade.core.errors.SaccadeWarning")
class TestPlugins:
    @pytest.fixture
    def sources(self, monkeypatch):
        lines = {"notes": "NOTES", "vqa-v2": "NOTES", "none": "NO_SOURCE", "elsewhere": "ELSEWHERE"}
        points = [
            EntryPoint(name, f"{__name__}:{value}", "saccade.datasets")
            for name, value in lines.items()
        ]
        monkeypatch.setattr(tables, "entry_points", lambda group: points)
        table = tables.Table("source", catalogue._SOURCES, "saccade.datasets", catalogue._check)
        for module in (catalogue, detect, diagnose):
            monkeypatch.setattr(module, "SOURCES", table)
        return table

    def test_a_source_of_another_package_is_prepared_and_recognised(self, sources, tmp_path):
        touch(tmp_path / "raw", "a.png", "b.png")
        (tmp_path / "raw/notes.txt").write_text("a.png: a dog\nb.png: a cat\n")
        assert read_source("notes", tmp_path / "raw", images=".").licence == "ours"
        options = {"hold_out": 0.5}
        made = DataFolder(prepare(None, tmp_path / "raw", tmp_path / "data", **options))
        assert made.about["source"] == "notes"
        assert made.about["notes"][0] == "Recognised as notes: there is notes.txt."

    def test_what_cannot_be_used_is_told_and_stops_nothing(self, sources, tmp_path):
        with pytest.warns(SaccadeWarning) as told:
            assert "notes" in list(sources)
        problems = " ".join(str(warning.message) for warning in told)
        assert "'none'" in problems
        assert "not a Source" in problems
        assert "'elsewhere'" in problems
        assert "saccade has one of that name" in problems
        with pytest.raises(BadConfig, match="'none'"):
            read_source("none", tmp_path)

    def test_a_recogniser_that_fails_does_not_hide_the_others(self, sources, tmp_path):
        SAMPLES["vqa-rad"](tmp_path)
        (tmp_path / "broken").mkdir()
        assert recognise(tmp_path)[0][0].source == "vqa-rad"
