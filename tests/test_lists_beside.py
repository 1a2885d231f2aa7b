"""Lists beside the records: images by their ids, splits of images; and flags that are splits."""

import pytest

from saccade.core.errors import BadConfig, BadData
from saccade.data.folder import DataFolder
from saccade.datasets.catalogue import read_source
from saccade.datasets.detect import recognise
from saccade.datasets.prepare import prepare
from tests.sample_files import save, touch, write_lines

NAMES = [f"{n}.jpg" for n in range(6)]
ID_OF = {name: 5 - n for n, name in enumerate(NAMES)}
"""Each id is the number of another file, so that a guess gives a wrong image."""
TRAIN, VAL = NAMES[:4], NAMES[4:]


def images(root):
    touch(root, *(f"images/{name}" for name in NAMES))


def vqa(root, names=NAMES, prefix="", **more):
    """Questions and annotations in VQA's form that give only the ids of images."""
    images(root)
    asked = [
        {"question_id": n, "image_id": ID_OF[name], "question": f"Is it {name}?", **more}
        for n, name in enumerate(names)
    ]
    said = [{"question_id": n, "answers": ["yes"]} for n in range(len(asked))]
    save(root / f"{prefix}q.json", {"questions": asked})
    save(root / f"{prefix}a.json", {"annotations": said})


def coco(root):
    images(root)
    told = [{"image_id": id_, "id": id_, "caption": f"See {name}"} for name, id_ in ID_OF.items()]
    save(root / "captions.json", {"annotations": told})


def table(root, head="image,question,answer", more=lambda name: ""):
    images(root)
    write_lines(root / "mine.csv", head, *(f"{n},Is it {n}?,yes{more(n)}" for n in NAMES))


def about(root):
    """The name of the image's file that each record names in its text, and that it was given."""
    ((collection,), _) = recognise(root)
    file_of = {image.id: image.file for image in collection.images}
    records = [*collection.questions, *collection.captions]
    return {r.text.split()[-1].rstrip("?"): file_of[r.image_id] for r in records}


def splits(root, **options):
    ((collection,), _) = recognise(root, **options)
    return {image.file.rpartition("/")[2]: image.split for image in collection.images}


RIGHT = {name: f"images/{name}" for name in NAMES}
PUBLISHED = {**dict.fromkeys(TRAIN, "train"), **dict.fromkeys(VAL, "val")}
LISTS = {
    "images.json": {"images": [{"id": id_, "path": name} for name, id_ in ID_OF.items()]},
    "list.json": [{"image_id": str(id_), "file_name": name} for name, id_ in ID_OF.items()],
    "names.json": {str(id_): f"images/{name}" for name, id_ in ID_OF.items()},
    "records.json": {str(id_): {"file_name": name, "width": 3} for name, id_ in ID_OF.items()},
    "instances.json": {
        "images": [{"id": id_, "file_name": name} for name, id_ in ID_OF.items()],
        "annotations": [{"image_id": 0, "bbox": [0, 0, 1, 1]}],
    },
    "images.csv": None,
}


def save_list(root, name):
    if name.endswith(".csv"):
        write_lines(root / name, "id,file_name", *(f"{id_},{n}" for n, id_ in ID_OF.items()))
    else:
        save(root / name, LISTS[name])


class TestImagesById:
    @pytest.mark.parametrize("write", [vqa, coco])
    @pytest.mark.parametrize("name", LISTS)
    def test_a_list_beside_the_records_names_their_images(self, write, name, tmp_path):
        write(tmp_path)
        save_list(tmp_path, name)
        assert about(tmp_path) == RIGHT
        ((collection,), _) = recognise(tmp_path)
        assert str(tmp_path / name) in collection.files

    def test_a_list_for_each_split(self, tmp_path):
        for split, names in (("train", TRAIN), ("val", VAL)):
            vqa(tmp_path, names, prefix=f"{split}_")
            listed = [{"id": ID_OF[name], "file_name": name} for name in names]
            save(tmp_path / f"{split}_images.json", {"images": listed})
        assert about(tmp_path) == RIGHT

    def test_its_paths_may_begin_where_it_lies(self, tmp_path):
        vqa(tmp_path / "vqa")
        (tmp_path / "vqa/images").rename(tmp_path / "images")
        listed = [{"id": id_, "path": f"../images/{name}"} for name, id_ in ID_OF.items()]
        save(tmp_path / "vqa/images.json", {"images": listed})
        assert about(tmp_path) == RIGHT

    @pytest.mark.parametrize("write", [vqa, coco])
    def test_one_that_lacks_an_image_is_refused(self, write, tmp_path):
        write(tmp_path)
        listed = [{"id": ID_OF[name], "path": name} for name in NAMES[1:]]
        save(tmp_path / "images.json", {"images": listed})
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert caught.value.location == str(tmp_path / "images.json")
        assert str(ID_OF[NAMES[0]]) in caught.value.message

    def test_two_that_differ_are_refused(self, tmp_path):
        vqa(tmp_path)
        save_list(tmp_path, "images.json")
        save(tmp_path / "old.json", {str(n): name for n, name in enumerate(NAMES)})
        with pytest.raises(BadData, match=r"images\.json|old\.json"):
            recognise(tmp_path)

    def test_a_table_whose_images_are_ids_of_another(self, tmp_path):
        images(tmp_path)
        write_lines(
            tmp_path / "images.csv",
            "image,file_name,split",
            *(f"{id_},{name},{PUBLISHED[name]}" for name, id_ in ID_OF.items()),
        )
        asked = (f"{id_},Is it {name}?,yes" for name, id_ in ID_OF.items())
        write_lines(tmp_path / "qa.csv", "image,question,answer", *asked)
        assert about(tmp_path) == RIGHT
        assert splits(tmp_path) == PUBLISHED


class TestTwoColumnsOfImages:
    def write(self, root, number, column="image_path"):
        images(root)
        lines = (f"{number(name)},{name},Is it {name}?,yes" for name in NAMES)
        write_lines(root / "mine.csv", f"image,{column},question,answer", *lines)

    @pytest.mark.parametrize("column", ["image_path", "file", "Filename"])
    def test_the_one_that_names_files_counts(self, column, tmp_path):
        self.write(tmp_path, lambda name: 1000 + ID_OF[name], column)
        assert about(tmp_path) == RIGHT

    def test_two_that_name_different_files_are_asked_for(self, tmp_path):
        self.write(tmp_path, ID_OF.get)
        with pytest.raises(BadConfig) as caught:
            recognise(tmp_path)
        assert "columns=image:image_path" in caught.value.hint
        found = read_source("table", tmp_path, columns="image:image_path")
        assert {image.file for image in found.images} == set(RIGHT.values())

    def test_two_that_name_the_same_files_do_not_matter(self, tmp_path):
        self.write(tmp_path, lambda name: f"images/{name}")
        assert about(tmp_path) == RIGHT


def save_splits(root, name):
    if name == "lists":
        write_lines(root / "train.txt", *TRAIN)
        write_lines(root / "val.txt", *(f"images/{one}" for one in VAL))
    elif name == "table":
        write_lines(root / "split.csv", "image,split", *(f"{n},{s}" for n, s in PUBLISHED.items()))
    else:
        save(root / "splits.json", {"train": TRAIN, "val": [one[:-4] for one in VAL]})


class TestSplitsBeside:
    @pytest.mark.parametrize("name", ["lists", "table", "object"])
    @pytest.mark.parametrize("kind", ["table", "coco-form", "text-beside"])
    def test_a_list_of_splits_is_read(self, kind, name, tmp_path):
        if kind == "table":
            table(tmp_path)
        elif kind == "text-beside":
            images(tmp_path)
            for one in NAMES:
                write_lines(tmp_path / f"images/{one[:-4]}.txt", f"See {one}")
        else:
            coco(tmp_path)
            save_list(tmp_path, "names.json")
        save_splits(tmp_path, name)
        assert splits(tmp_path) == PUBLISHED
        ((collection,), _) = recognise(tmp_path)
        assert not any("left out" in note for note in collection.notes)

    def test_one_that_does_not_list_all_is_refused(self, tmp_path):
        table(tmp_path)
        write_lines(tmp_path / "train.txt", *TRAIN)
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert caught.value.location == str(tmp_path / "train.txt")
        assert VAL[0] in caught.value.message

    def test_an_image_of_two_is_refused(self, tmp_path):
        table(tmp_path)
        write_lines(tmp_path / "train.txt", *NAMES)
        write_lines(tmp_path / "val.txt", *VAL)
        with pytest.raises(BadData, match=VAL[0]):
            recognise(tmp_path)

    def test_a_text_about_something_else_is_none(self, tmp_path):
        table(tmp_path)
        write_lines(tmp_path / "train.txt", "lr 0.1", "epochs 3")
        assert set(splits(tmp_path).values()) == {"train", "val", "test"}

    def test_splits_of_joined_tables_that_differ_are_refused(self, tmp_path):
        images(tmp_path)
        write_lines(
            tmp_path / "i.csv",
            "image_id,file_name,split",
            *(f"{n},{n}.jpg,train" for n in range(6)),
        )
        asked = (f"{n},Is it {n}?,yes,{PUBLISHED[f'{n}.jpg']}" for n in range(6))
        write_lines(tmp_path / "q.csv", "image_id,question,answer,split", *asked)
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert caught.value.location == str(tmp_path / "q.csv")


class TestFlags:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("is_train", lambda name: int(name in TRAIN)),
            ("train", lambda name: name in TRAIN),
            ("is_val", lambda name: "yes" if name in VAL else "no"),
            ("phase", lambda name: "trn" if name in TRAIN else "vld"),
        ],
    )
    def test_a_column_of_a_table_is_asked_for_and_then_read(self, column, value, tmp_path):
        table(tmp_path, f"image,question,answer,{column}", lambda name: f",{value(name)}")
        with pytest.raises(BadConfig) as caught:
            recognise(tmp_path)
        assert f"columns=split:{column}" in caught.value.hint
        assert splits(tmp_path, columns=f"split:{column}") == PUBLISHED

    def test_words_in_one(self, tmp_path):
        usage = dict.fromkeys(TRAIN, "Training") | dict.fromkeys(VAL, "PublicTest")
        table(tmp_path, "image,question,answer,Usage", lambda name: f",{usage[name]}")
        with pytest.raises(BadConfig, match="Usage"):
            recognise(tmp_path)

    def test_a_number_of_something_else_is_none(self, tmp_path):
        table(tmp_path, "image,question,answer,train", lambda name: f",{len(name)}")
        assert set(splits(tmp_path).values()) == {"train", "val", "test"}

    def test_a_field_of_records_is_refused(self, tmp_path):
        vqa(tmp_path, is_train=True)
        save_list(tmp_path, "images.json")
        with pytest.raises(BadData, match="is_train"):
            recognise(tmp_path)

    def test_a_field_of_words_is_read(self, tmp_path):
        vqa(tmp_path, mode="val")
        save_list(tmp_path, "images.json")
        assert set(splits(tmp_path).values()) == {"val"}

    @pytest.mark.parametrize("column", ["covid_test", "train_speed"])
    def test_yes_and_no_of_something_else_are_none(self, column, tmp_path):
        table(tmp_path, f"image,question,answer,{column}", lambda name: f",{name in TRAIN:d}")
        assert set(splits(tmp_path).values()) == {"train", "val", "test"}


class TestSplitsInsideOfSplits:
    """`train/val/`: the last folder that names a split says it."""

    @pytest.mark.parametrize("kind", ["table", "coco", "text"])
    def test_the_last_folder_counts(self, kind, tmp_path):
        for folder in ("train", "train/val"):
            touch(tmp_path, *(f"{folder}/{n}.jpg" for n in range(3)))
            if kind == "table":
                rows = (f"{n}.jpg,See {folder} {n}" for n in range(3))
                write_lines(tmp_path / folder / "captions.csv", "image,caption", *rows)
            elif kind == "text":
                for n in range(3):
                    write_lines(tmp_path / folder / f"{n}.TXT", f"See {folder} {n}")
            else:
                first = 10 * len(folder)
                listed = [{"id": first + n, "file_name": f"{n}.jpg"} for n in range(3)]
                told = [{"image_id": first + n, "caption": f"See {folder} {n}"} for n in range(3)]
                save(tmp_path / folder / "c.json", {"images": listed, "annotations": told})
        ((collection,), _) = recognise(tmp_path)
        file_of = {image.id: image.file for image in collection.images}
        for caption in collection.captions:
            folder, number = caption.text.split()[1:]
            assert file_of[caption.image_id] == f"{folder}/{number}.jpg"
            assert caption.split == folder.rpartition("/")[2]
        assert len(collection.captions) == 6

    def test_deeper_files_are_listed_as_not_read(self, tmp_path):
        table(tmp_path)
        write_lines(tmp_path / "train/2024/01/more.csv", "image,question,answer", "0.jpg,Is it?,no")
        made = prepare(None, tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
        assert "train/2024/01/more.csv" in DataFolder(made).about["files"]["unread"]


class TestCells:
    @pytest.mark.parametrize(
        "cell",
        [
            '{"yes": 2, "no": 1}',
            "{'yes': 2}",
            "('yes', 'no')",
            "{'yes', 'no'}",
            "{'answer': 'yes', 'answer_id': 1}",
        ],
    )
    def test_a_container_as_text_is_refused(self, cell, tmp_path):
        images(tmp_path)
        records = [{"image": n, "question": "Is it?", "answer": cell} for n in NAMES]
        save(tmp_path / "mine.json", records)
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert caught.value.location == str(tmp_path / "mine.json")
        assert "answer" in caught.value.message

    @pytest.mark.parametrize("cell", ["(3, 4)", "{x}", "(left)", "{1, 2}", "None", "N/A"])
    def test_other_texts_in_brackets_are_texts(self, cell, tmp_path):
        images(tmp_path)
        records = [{"image": n, "question": "Is it?", "answer": cell} for n in NAMES]
        save(tmp_path / "mine.json", records)
        ((collection,), _) = recognise(tmp_path)
        assert {question.answers for question in collection.questions} == {(cell,)}

    def test_nan_is_an_empty_cell(self, tmp_path):
        images(tmp_path)
        lines = (f"{n},Is it {n}?,{'nan' if n in VAL else 'yes'}" for n in NAMES)
        write_lines(tmp_path / "mine.csv", "image,question,answer", *lines)
        with pytest.raises(BadData, match="line 6"):
            recognise(tmp_path)
