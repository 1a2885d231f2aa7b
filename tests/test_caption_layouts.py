"""What the layouts of captions give: counts, splits, images and texts, told by hand."""

import json
from collections import Counter
from pathlib import Path

import pytest

from saccade.core.errors import BadConfig, BadData
from saccade.data.checks import check
from saccade.data.find_files import SeveralFit
from saccade.data.records import Question
from saccade.datasets.catalogue import read_source, reader_options, reason
from saccade.datasets.columns import COLUMNS
from saccade.datasets.detect import recognise
from saccade.datasets.layout import released
from tests.caption_layouts import (
    coco_form,
    iu_xray,
    lines,
    samples,
    save,
    shard,
    textcaps,
    touch,
)
from tests.source_samples import JPEG, SAMPLES


def counts(collection):
    """Images and captions of each split."""
    images = Counter(image.split for image in collection.images)
    captions = Counter(caption.split for caption in collection.captions)
    return {split: (images[split], captions[split]) for split in images}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coco-form", {"train": (2, 4), "val": (1, 2), "test": (1, 2)}),
        ("vizwiz-captions", {"train": (2, 6), "val": (1, 3), "test": (1, 0)}),
        ("textcaps", {"train": (2, 10), "val": (1, 5), "test": (1, 0)}),
        ("nocaps", {"train": (2, 20), "val": (1, 10), "test": (1, 0)}),
        ("ai-challenger", {"train": (2, 10), "val": (1, 5), "test": (1, 5)}),
        ("coco-cn", {"train": (2, 3), "val": (1, 1), "test": (1, 1)}),
        ("flickr8k-cn", {"train": (2, 10), "val": (1, 5), "test": (1, 5)}),
        ("stair-captions", {"train": (2, 10), "val": (1, 5)}),
        ("multi30k", {"train": (2, 10), "val": (1, 5)}),
        ("roco", {"train": (2, 2), "val": (1, 1), "test": (1, 1)}),
        ("iu-xray", {"train": (4, 4), "val": (2, 2), "test": (2, 2)}),
        ("conceptual-captions", {"train": (3, 3), "val": (1, 1)}),
        ("blip-captions", {"train": (2, 10), "val": (1, 5), "test": (1, 5)}),
        ("text-beside", {"train": (3, 6), "val": (2, 4)}),
        ("webdataset", {"train": (4, 4), "val": (2, 2)}),
    ],
)
def test_images_and_captions_of_each_split(name, expected, tmp_path):
    SAMPLES[name](tmp_path)
    assert counts(read_source(name, tmp_path)) == expected


class TestCocoForm:
    def test_images_without_captions_are_there_to_be_predicted(self, tmp_path):
        SAMPLES["nocaps"](tmp_path)
        collection, findings = check(read_source("nocaps", tmp_path))
        assert collection.images[-1].id == 77
        assert [finding.level for finding in findings] == ["note"]
        assert "1 image has neither question nor caption" in findings[0].message

    def test_a_list_of_images_beside_their_captions_changes_nothing(self, tmp_path):
        SAMPLES["nocaps"](tmp_path)
        before = read_source("nocaps", tmp_path)
        save(tmp_path / "nocaps_val_image_info.json", coco_form({42: f"{42:015x}.jpg"}, 0))
        after = read_source("nocaps", tmp_path)
        assert (after.images, after.captions) == (before.images, before.captions)

    @pytest.mark.parametrize("name", ["train_annotations.json", "a/all.json", "captions.json"])
    def test_any_name_in_any_folder(self, name, tmp_path):
        save(tmp_path / name, coco_form({n: f"{n:05}.png" for n in range(20)}))
        touch(tmp_path, *(f"photos/{n:05}.png" for n in range(20)))
        (collection,), _ = recognise(tmp_path)
        assert collection.source == "coco-form"
        assert collection.images[3].file == "photos/00003.png"

    def test_the_split_of_each_image(self, tmp_path):
        document = coco_form({n: f"{n}.png" for n in range(4)})
        for image, word in zip(document["images"], ("train", "train", "dev", "eval"), strict=True):
            image["split"] = word
        save(tmp_path / "all.json", document)
        touch(tmp_path, *(f"images/{n}.png" for n in range(4)))
        assert counts(read_source("coco-form", tmp_path)) == {
            "train": (2, 4),
            "val": (1, 2),
            "test": (1, 2),
        }
        (tmp_path / "all.json").rename(tmp_path / "train.json")
        with pytest.raises(BadData, match="split 'dev', but the name of its file says train"):
            read_source("coco-form", tmp_path)
        document["images"][0]["split"] = "holdout"
        save(tmp_path / "train.json", document)
        with pytest.raises(BadData, match="holdout"):
            read_source("coco-form", tmp_path)

    @pytest.mark.parametrize(
        ("names", "silent"),
        [
            (("captions_trainval.json", "captions_minitest.json"), "captions_minitest.json"),
            (("train.json", "val.json", "more.json"), "more.json"),
            (("train.json", "train_and_val.json"), "train_and_val.json"),
        ],
    )
    def test_a_file_that_says_no_split_beside_one_that_does(self, names, silent, tmp_path):
        for n, name in enumerate(names):
            save(tmp_path / name, coco_form({n: f"{n}.png"}))
        with pytest.raises(BadData, match=names[0] if names[0] != silent else names[1]) as caught:
            read_source("coco-form", tmp_path)
        assert caught.value.location == str(tmp_path / silent)

    def test_files_of_no_split_are_one_set(self, tmp_path):
        for n, name in enumerate(("human.json", "latest.json")):
            save(tmp_path / name, coco_form({n * 9 + k: f"{n * 9 + k}.png" for k in range(9)}))
        assert len(read_source("coco-form", tmp_path).images) == 18

    @pytest.mark.parametrize("more", [{}, {"annotations": []}])
    def test_a_split_without_captions_is_there_to_be_predicted(self, more, tmp_path):
        save(tmp_path / "train.json", coco_form({n: f"{n}.png" for n in range(4)}))
        save(tmp_path / "test.json", {**coco_form({7: "7.png", 8: "8.png"}, 0), **more})
        boxes = {"images": [{"id": 3}], "annotations": [{"image_id": 3, "bbox": [0, 0, 1, 1]}]}
        save(tmp_path / "instances_val.json", boxes)
        collection = read_source("coco-form", tmp_path)
        assert [image.id for image in collection.images if image.split == "test"] == [7, 8]
        assert len(collection.images) == 6
        assert not any("say nothing" in note for note in collection.notes)

    @pytest.mark.parametrize("of", [str, float])
    def test_ids_that_are_text_in_one_list(self, of, tmp_path):
        document = coco_form({n: f"{n}.png" for n in range(4)})
        for record in document["annotations"]:
            record["image_id"] = of(record["image_id"])
        save(tmp_path / "train.json", document)
        images = {image.id: image.file for image in read_source("coco-form", tmp_path).images}
        assert len(images) == 4
        assert all(file.endswith(f"{n}.png") for n, file in images.items())

    def test_a_list_of_captions(self, tmp_path):
        document = coco_form({n: f"{n}.png" for n in range(4)}, 1)
        for record in document["annotations"]:
            record["caption"] = ["A cat.", "A dog."]
        save(tmp_path / "train.json", document)
        assert len(read_source("coco-form", tmp_path).captions) == 8

    def test_images_without_captions_are_no_rows(self, tmp_path):
        document = coco_form({n: f"{n}.png" for n in range(4)})
        boxes = [{"image_id": n, "bbox": [0, 0, 1, 1]} for n in (0, 3)]
        document["annotations"] = [a for a in document["annotations"] if a["image_id"] < 3]
        document["annotations"] += boxes
        save(tmp_path / "train.json", document)
        notes = read_source("coco-form", tmp_path).notes
        assert not [note for note in notes if "say nothing" in note]


class TestTextCaps:
    def test_references_count_once_in_whatever_order(self, tmp_path):
        SAMPLES["textcaps"](tmp_path)
        document = textcaps("train", (9, 10))
        document["data"] = document["data"][::2] + document["data"][1::2]
        save(tmp_path / "TextCaps_0.1_train.json", document)
        assert counts(read_source("textcaps", tmp_path))["train"] == (2, 10)

    def test_two_people_may_say_the_same(self, tmp_path):
        SAMPLES["textcaps"](tmp_path)
        document = textcaps("train", (9,))
        for record in document["data"]:
            record["reference_strs"] = ["A bottle."] * 2 + ["Milk."] * 3
        save(tmp_path / "TextCaps_0.1_train.json", document)
        captions = [
            c.text for c in read_source("textcaps", tmp_path).captions if c.split == "train"
        ]
        assert captions == ["A bottle."] * 2 + ["Milk."] * 3


class TestLists:
    def test_images_of_no_list_are_left_out_and_counted(self, tmp_path):
        SAMPLES["flickr8k-cn"](tmp_path)
        lines(tmp_path / "data/flickr8ktest.txt", "0077_ab")
        lines(tmp_path / "data/flickr8kval.txt", "")
        (tmp_path / "data/flickr8kval.txt").unlink()
        collection = read_source("flickr8k-cn", tmp_path)
        assert {image.split for image in collection.images} == {"train", "test", "val"}
        assert len(collection.images) == 3
        assert any("5 records are of images in no split list" in n for n in collection.notes)

    def test_without_lists_images_are_drawn(self, tmp_path):
        SAMPLES["flickr8k-cn"](tmp_path)
        for path in (tmp_path / "data").glob("flickr8k[tv]*.txt"):
            path.unlink()
        collection = read_source("flickr8k-cn", tmp_path)
        assert "There is no published split" in collection.notes[0]
        assert len(collection.images) == 4

    def test_flickr8ks_own_lists(self, tmp_path):
        SAMPLES["flickr8k-cn"](tmp_path)
        for path in (tmp_path / "data").glob("flickr8k[tv]*.txt"):
            path.unlink()
        names = {
            "train": ("0009_ab.jpg", "0010_ab.jpg"),
            "dev": ("0042_ab.jpg",),
            "test": ("0077_ab.jpg",),
        }
        for word, listed in names.items():
            lines(tmp_path / f"Flickr_8k.{word}Images.txt", *listed)
        lines(tmp_path / "data/Flickr_8k.trainImages.txt", "0009_ab.jpg")
        splits = [image.split for image in read_source("flickr8k-cn", tmp_path).images]
        assert Counter(splits) == {"train": 2, "val": 1, "test": 1}


def test_the_tests_of_ai_challenger_are_apart(tmp_path):
    SAMPLES["ai-challenger"](tmp_path)
    first = {image.file for image in read_source("ai-challenger", tmp_path).images}
    home = tmp_path / "ai_challenger_caption_test_b_20180103"
    record = {"url": "http://host/5", "image_id": "5.jpg", "caption": ["两只猫"] * 5}
    save(home / "caption_test_b_annotations_20180103.json", [record])
    touch(home, "caption_test_b_images_20180103/5.jpg")
    assert {image.file for image in read_source("ai-challenger", tmp_path).images} == first
    second = {image.file for image in read_source("ai-challenger", tmp_path, part="b").images}
    assert [Path(file).name for file in second - first] == ["5.jpg"]
    assert [Path(file).name for file in first - second] == ["00000004.jpg"]


def test_captions_that_vizwiz_rejects_are_counted(tmp_path):
    SAMPLES["vizwiz-captions"](tmp_path)
    notes = read_source("vizwiz-captions", tmp_path).notes
    assert "2 records were left out of train.json: is_rejected is True." in notes
    assert "1 record was left out of val.json: is_precanned is True." in notes


class TestMulti30k:
    def test_a_language_is_chosen(self, tmp_path):
        SAMPLES["multi30k"](tmp_path)
        assert "part" in reader_options("multi30k")
        english = read_source("multi30k", tmp_path)
        german = read_source("multi30k", tmp_path, part="de")
        assert english.captions[0].text == "A dog runs . 1"
        assert german.captions[4].text == "Ein Hund rennt . 5"
        assert german.images == english.images
        (part,), _ = recognise(tmp_path, part="de")
        assert part == german

    @pytest.mark.parametrize("language", ["fr", "../en"])
    def test_a_language_that_is_not_there(self, language, tmp_path):
        SAMPLES["multi30k"](tmp_path)
        with pytest.raises((BadData, BadConfig)):
            read_source("multi30k", tmp_path, part=language)

    def test_only_german(self, tmp_path):
        SAMPLES["multi30k"](tmp_path)
        for path in (tmp_path / "raw").glob("*.en"):
            path.unlink()
        assert recognise(tmp_path, part="de")[0][0].source == "multi30k"

    def test_task_1_packed_as_released(self, tmp_path):
        import gzip

        for split, name in (("train", "1.jpg"), ("val", "2.jpg"), ("test_2016_flickr", "3.jpg")):
            lines(tmp_path / f"task1/image_splits/{split}.txt", name)
            path = tmp_path / f"task1/raw/{split}.en.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(b"A dog runs.\n"))
            touch(tmp_path, f"flickr30k-images/{name}")
        (collection,), _ = recognise(tmp_path)
        assert counts(collection) == {"train": (1, 1), "val": (1, 1), "test": (1, 1)}
        assert {image.file.split("/")[0] for image in collection.images} == {"flickr30k-images"}

        # Later tests are of other images; a name of 2017's has its caption's number behind it.
        for split in ("test_2017_mscoco", "test_2018_flickr"):
            lines(tmp_path / f"task1/image_splits/{split}.txt", "COCO_val2014_000000000042.jpg#7")
            lines(tmp_path / f"task1/raw/{split}.en", "A cat.")
        assert recognise(tmp_path)[0] == [collection]


class TestRoco:
    def test_the_table_gives_the_same(self, tmp_path):
        SAMPLES["roco"](tmp_path)
        told = read_source("roco", tmp_path)
        for path in tmp_path.rglob("captions.txt"):
            path.unlink()
        again = read_source("roco", tmp_path)
        assert again.captions == told.captions
        assert again.images == told.images
        assert told.captions[0].text.endswith(", [arrow] | mass.")

    def test_images_under_their_names_in_the_articles(self, tmp_path):
        lines(tmp_path / "traindata.csv", "id,name,caption", "ROCO_00002,PMC2.jpg,Axial CT.")
        lines(tmp_path / "valdata.csv", "id,name,caption", "ROCO_00003,PMC3.jpg,Axial CT.")
        touch(tmp_path, "images/PMC2.jpg", "images/PMC3.jpg")
        (collection,), _ = recognise(tmp_path)
        assert [image.file for image in collection.images] == ["images/PMC2.jpg", "images/PMC3.jpg"]


def test_sets_of_blip_are_not_mixed(tmp_path):
    SAMPLES["blip-captions"](tmp_path / "annotation")
    row = {"image": "flickr30k-images/1.jpg", "caption": "A dog.", "image_id": 0}
    save(tmp_path / "annotation/flickr30k_train.json", [row])
    save(tmp_path / "annotation/coco_karpathy_val_gt.json", coco_form({42: "x.jpg"}))
    (collection,), _ = recognise(tmp_path)
    assert counts(collection) == {"train": (2, 10), "val": (1, 5), "test": (1, 5)}


def test_a_report_is_about_each_of_its_images(tmp_path):
    SAMPLES["iu-xray"](tmp_path)
    collection = read_source("iu-xray", tmp_path)
    assert {image.file for image in collection.images} == {
        f"images/{path}"
        for some in iu_xray().values()
        for one in some
        for path in one["image_path"]
    }


class TestConceptualCaptions:
    def write(self, root, count=12, url="https://host/{}/photo.jpg"):
        told = [f"a view of city {n}\t{url.format(n)}" for n in range(count)]
        lines(root / "Train_GCC-training.tsv", *told)

    def files(self, root, **options):
        collection = read_source("conceptual-captions", root, val_share="0", **options)
        file_of = {image.id: image.file for image in collection.images}
        return {caption.text: file_of[caption.image_id] for caption in collection.captions}

    @pytest.mark.parametrize("width", [1, 5, 9])
    def test_by_number_of_any_width(self, width, tmp_path):
        self.write(tmp_path)
        touch(tmp_path, *(f"images/{n:0{width}}.jpg" for n in (0, 3, 11)))
        found = self.files(tmp_path)
        assert found["a view of city 3"] == f"images/{3:0{width}}.jpg"
        missing = [file for file in found.values() if not (tmp_path / file).is_file()]
        assert len(missing) == 9
        collection, _ = check(read_source("conceptual-captions", tmp_path), missing="drop")
        assert len(collection.captions) == 3

    def test_counted_from_1(self, tmp_path):
        self.write(tmp_path)
        touch(tmp_path, *(f"images/{n}.jpg" for n in (1, 12)))
        assert self.files(tmp_path)["a view of city 0"] == "images/1.jpg"

    def test_where_it_begins_is_asked_if_nothing_tells(self, tmp_path):
        self.write(tmp_path)
        touch(tmp_path, "images/5.jpg")
        with pytest.raises(BadConfig, match="--option first=0 or --option first=1"):
            self.files(tmp_path)
        assert self.files(tmp_path, first="0")["a view of city 5"] == "images/5.jpg"
        assert self.files(tmp_path, first="1")["a view of city 4"] == "images/5.jpg"

    def test_by_the_last_part_of_the_address(self, tmp_path):
        self.write(tmp_path, url="https://host/photos/view-{}.jpg?w=9")
        touch(tmp_path, *(f"images/view-{n}.jpg" for n in range(12)))
        assert self.files(tmp_path)["a view of city 7"] == "images/view-7.jpg"

    def test_numbers_with_a_checksum_and_no_ending(self, tmp_path):
        """The names that DownloadConceptualCaptions gives: row, `_`, checksum of the address."""
        self.write(tmp_path)
        touch(tmp_path, "training/0_1846325471", "training/3_7", "training/10_4023")
        assert self.files(tmp_path)["a view of city 3"] == "training/3_7"
        assert self.files(tmp_path)["a view of city 10"] == "training/10_4023"

    def test_one_name_for_several_addresses_is_nobodys(self, tmp_path):
        self.write(tmp_path)
        touch(tmp_path, "images/photo.jpg")
        assert "images/photo.jpg" not in self.files(tmp_path).values()
        collection = read_source("conceptual-captions", tmp_path)
        assert any("12 lines of Train_GCC-training.tsv share" in note for note in collection.notes)

    def test_images_of_another_split_are_not_taken(self, tmp_path):
        self.write(tmp_path)
        lines(tmp_path / "Validation_GCC-1.1.0-Validation.tsv", "a dog\thttp://host/a.jpg")
        touch(tmp_path, "train/0.jpg", "val/0.jpg", "train/7.jpg")
        found = self.files(tmp_path)
        assert found["a view of city 0"] == "train/0.jpg"
        assert found["a dog"] == "val/0.jpg"

    def test_the_header_that_img2dataset_wants(self, tmp_path):
        self.write(tmp_path, 2)
        path = tmp_path / "Train_GCC-training.tsv"
        path.write_text("caption\turl\n" + path.read_text())
        touch(tmp_path, "00000/000000000.jpg", "00000/000000001.jpg")
        assert self.files(tmp_path)["a view of city 1"] == "00000/000000001.jpg"


class TestTextBeside:
    def test_one_folder_is_divided_by_image(self, tmp_path):
        for n in range(20):
            lines(tmp_path / f"10_dogs/{n}.caption", f"A dog, number {n}")
            touch(tmp_path, f"10_dogs/{n}.webp")
        lines(tmp_path / "notes.txt", "mine")
        (collection,), _ = recognise(tmp_path)
        assert Counter(image.split for image in collection.images) == {
            "train": 16,
            "val": 2,
            "test": 2,
        }
        assert "1 text is not beside an image and was left out." in collection.notes

    def test_boxes_are_no_captions(self, tmp_path):
        lines(tmp_path / "a.txt", "0 0.5 0.5 0.25 0.25")
        touch(tmp_path, "a.jpg")
        assert reason("text-beside", tmp_path) is None

    def test_an_empty_text_says_nothing(self, tmp_path):
        SAMPLES["text-beside"](tmp_path)
        (tmp_path / "train/0001.txt").write_text("\n")
        collection, findings = check(read_source("text-beside", tmp_path))
        assert len(collection.captions) == 8
        assert not any("say nothing" in note for note in collection.notes)  # the image is kept
        assert any("1 image has neither question nor caption" in f.message for f in findings)


class TestWebdataset:
    def test_images_are_written_once(self, tmp_path):
        SAMPLES["webdataset"](tmp_path)
        collection = read_source("webdataset", tmp_path)
        files = {image.file for image in collection.images}
        assert {(tmp_path / file).read_bytes() for file in files} == {
            data
            for first in (0, 10, 20)
            for name, data in samples(first, 2).items()
            if ".jpg" in name
        }
        before = {file: (tmp_path / file).stat().st_mtime_ns for file in files}
        read_source("webdataset", tmp_path)
        assert {file: (tmp_path / file).stat().st_mtime_ns for file in files} == before
        assert collection.captions[0].text == "A boat, number 0."

    def test_questions_in_json_one_or_several(self, tmp_path):
        asked = [{"question": "Who?", "answers": ["me", "I"]}, {"question": "Why?", "answer": "so"}]
        members = {
            "a/1.png": b"\x89PNG1", "a/1.json": json.dumps(asked).encode(),
            "a/2.v2.jpg": b"no part of it", "a/2.jpg": JPEG + b"2",
            "a/2.json": json.dumps(asked[0]).encode(),
        }  # fmt: skip
        shard(tmp_path / "train/0.tar", members)
        collection = read_source("webdataset", tmp_path, val_share="0")
        assert [(q.text, q.answers) for q in collection.questions] == [
            ("Who?", ("me", "I")), ("Why?", ("so",)), ("Who?", ("me", "I")),
        ]  # fmt: skip
        assert type(collection.questions[0]) is Question

    def test_names_lead_nowhere(self, tmp_path):
        members = {"../../evil.jpg": JPEG, "../../evil.txt": b"A dog.", "/x/y.jpg": JPEG + b"1"}
        shard(tmp_path / "in/train.tar", {**members, "/x/y.txt": b"A cat."})
        collection = read_source("webdataset", tmp_path / "in")
        assert all(image.file.startswith("unpacked-images/") for image in collection.images)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]

    def test_a_member_that_is_too_large_is_not_read(self, tmp_path, monkeypatch):
        from saccade.datasets import webdataset

        SAMPLES["webdataset"](tmp_path)
        monkeypatch.setattr(webdataset, "LARGEST", 20)
        with pytest.raises(BadData, match=r"holds '000000000\.json' of"):
            read_source("webdataset", tmp_path)

    def test_an_archive_of_other_things_is_none(self, tmp_path):
        shard(tmp_path / "images.tar", {"a.jpg": JPEG, "b.jpg": JPEG})
        assert reason("webdataset", tmp_path) is None


class TestNamesOfImagesInCocoForm:
    def test_the_name_of_a_mask_is_not_the_images(self, tmp_path):
        document = coco_form({n: f"{n}.jpg" for n in range(20)}, 1)
        for record in document["annotations"]:
            record["file_name"] = f"{record['image_id']}.png"
        save(tmp_path / "captions.json", document)
        touch(tmp_path, *(f"images/{n}.jpg" for n in range(20)))
        touch(tmp_path, *(f"masks/{n}.png" for n in range(20)))
        files = [image.file for image in read_source("coco-form", tmp_path).images]
        assert files == [f"images/{n}.jpg" for n in range(20)]

    @pytest.mark.parametrize("field", ["path", "image", "filename", "name", "coco_url"])
    def test_a_name_counts_more_than_a_number(self, field, tmp_path):
        """Images are called by numbers, but not by their own."""
        folder = "http://host/val/" if field == "coco_url" else ""
        self.write(tmp_path, lambda n: {field: f"{folder}{n}.jpg"})
        images = {image.id: image.file for image in read_source("coco-form", tmp_path).images}
        assert images == {19 - n: f"images/{n}.jpg" for n in range(20)}

    def test_a_list_of_images_without_names_is_asked_about(self, tmp_path):
        self.write(tmp_path, lambda n: {"photograph": f"{n}.jpg"})
        with pytest.raises(BadData, match="image 19") as caught:
            read_source("coco-form", tmp_path)
        assert "photograph" in caught.value.hint
        assert "mapping=" in caught.value.hint
        images = read_source("coco-form", tmp_path, image_name="{}.jpg").images
        assert all(image.file == f"images/{image.id}.jpg" for image in images)

    def test_every_english_column_of_a_table_is_known(self):
        known = {name for name in COLUMNS["image"] if name.isascii()}
        form, questions = released("coco-form"), released("vqa-form")
        assert questions.join.join.image == form.join.image
        for names in (form.image, form.join.image, questions.image, questions.otherwise.image):
            assert known <= set(names)

    @staticmethod
    def write(root, named):
        document = coco_form({19 - n: "" for n in range(20)}, 1)
        document["images"] = [{"id": 19 - n, **named(n)} for n in range(20)]
        save(root / "captions.json", document)
        touch(root, *(f"images/{n}.jpg" for n in range(20)))


class TestOwnSplits:
    WORDS = ("train", "train", "val", "test")

    @pytest.mark.parametrize("field", ["subset", "phase", "set", "partition", "fold"])
    def test_a_field_of_splits(self, field, tmp_path):
        self.write(tmp_path, **{field: self.WORDS})
        found = counts(read_source("coco-form", tmp_path))
        assert found == {"train": (2, 2), "val": (1, 1), "test": (1, 1)}

    def test_other_words_are_no_splits(self, tmp_path):
        self.write(tmp_path, set=("A", "A", "B", "B"))
        notes = read_source("coco-form", tmp_path).notes
        assert any("no published split" in note for note in notes)

    @pytest.mark.parametrize(
        "fields",
        [{"set": ("train", "train", "val", "holdout")}, {"set": WORDS, "phase": WORDS[::-1]}],
    )
    def test_what_may_be_another_split_is_asked_about(self, fields, tmp_path):
        self.write(tmp_path, **fields)
        with pytest.raises(BadData, match="set"):
            read_source("coco-form", tmp_path)

    @staticmethod
    def write(root, **fields):
        document = coco_form({n: f"{n}.png" for n in range(4)}, 1)
        for n, image in enumerate(document["images"]):
            image |= {field: words[n] for field, words in fields.items()}
        save(root / "all.json", document)
        touch(root, *(f"images/{n}.png" for n in range(4)))


class TestTwoFilesOfTheSame:
    @pytest.mark.parametrize("copy", ["train_v2.json", "train_small.json"])
    def test_which_one_is_asked_and_can_be_chosen(self, copy, tmp_path):
        save(tmp_path / "train.json", coco_form({n: f"{n}.png" for n in range(4)}))
        save(tmp_path / copy, coco_form({n: f"{n}.png" for n in range(2)}, 1))
        save(tmp_path / "val.json", coco_form({n: f"{n}.png" for n in (7, 8)}))
        touch(tmp_path, *(f"images/{n}.png" for n in range(9)))
        with pytest.raises(SeveralFit) as caught:
            read_source("coco-form", tmp_path)
        assert caught.value.option == "files"
        found = {
            choice: counts(read_source("coco-form", tmp_path, files=choice))
            for choice in caught.value.choices
        }
        assert found == {
            "train.json,val.json": {"train": (4, 8), "val": (2, 4)},
            f"{copy},val.json": {"train": (2, 2), "val": (2, 4)},
        }

    def test_a_file_that_is_none_of_them(self, tmp_path):
        save(tmp_path / "train.json", coco_form({n: f"{n}.png" for n in range(4)}))
        with pytest.raises(BadConfig, match=r"train_v3\.json"):
            read_source("coco-form", tmp_path, files="train_v3.json")
