"""`prepare DIR`: what lies in a folder is told by looking, and said with the reason."""

import re
import shlex
from pathlib import Path

import pytest

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import unchanged_folders
from saccade.data.folder import DataFolder
from saccade.datasets.catalogue import SOURCES, read_source, reason, source_and_root
from saccade.datasets.detect import recognise
from saccade.datasets.prepare import prepare
from tests.source_samples import (
    JPEG,
    OWN_TABLE,
    SAMPLES,
    beside,
    coco_captions,
    karpathy,
    save,
    touch,
    vqa_annotations,
    vqa_questions,
    write_vqa_v1,
    write_vqa_v2,
)


def write_questions_and_captions(root):
    """VQA v2 and COCO captions about the same image."""
    save(root / "v2_OpenEnded_mscoco_train2014_questions.json", vqa_questions("train2014", 9))
    save(root / "v2_mscoco_train2014_annotations.json", vqa_annotations("train2014", 9))
    document = coco_captions(9)
    document["images"][0]["file_name"] = "COCO_train2014_000000000009.jpg"
    save(root / "annotations/captions_train2014.json", document)
    touch(root, "train2014/COCO_train2014_000000000009.jpg")


def flickr8k_as_karpathy_has_it():
    """The sample's captions in an order, with numbers and tokens, of Karpathy's own."""
    return [
        {
            "filename": f"{name}.jpg",
            "imgid": place,
            "split": split,
            "sentences": [
                {"sentid": 2 * place + n, "raw": f"A horse , number {n} . ", "tokens": ["a"]}
                for n in (1, 0)
            ],
        }
        for place, (name, split) in enumerate(zip("cab", ("train", "val", "test"), strict=True))
    ]


def typed(command, out):
    """The data folder that a command makes, as a message names it, with OUT for DATA."""
    from typer.testing import CliRunner

    from saccade.cli.app import app

    words = [str(out) if word == "DATA" else word for word in shlex.split(command)]
    told = CliRunner().invoke(app, words[1:])
    assert told.exit_code == 0, told.output
    return out


@pytest.mark.parametrize("name", SOURCES)
def test_every_layout_is_recognised_as_itself_alone(name, tmp_path):
    SAMPLES[name](tmp_path)
    with unchanged_folders():
        why = {other: said for other in SOURCES if (said := reason(other, tmp_path))}
        parts, notes = recognise(tmp_path)
    assert list(why) == [name]
    assert why[name].startswith("there ")
    assert parts == [read_source(name, tmp_path)]
    assert notes == [f"Recognised as {name}: {why[name]}."]


@pytest.mark.parametrize("name", SOURCES)
def test_what_was_recognised_is_prepared_and_said(name, tmp_path):
    SAMPLES[name](tmp_path / "raw")
    folder = DataFolder(prepare(None, tmp_path / "raw", tmp_path / "data"))
    assert folder.about["source"] == name
    assert folder.about["notes"][0].startswith(f"Recognised as {name}: there ")


@pytest.mark.parametrize("name", SOURCES)
def test_rubbish_under_a_good_name_is_no_defect(name, tmp_path):
    SAMPLES[name](tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff\xfe\x00 rubbish")
    with unchanged_folders():
        for other in SOURCES:
            assert isinstance(reason(other, tmp_path), str | None)
        with pytest.raises((BadData, BadConfig)):
            prepare(None, tmp_path, tmp_path / "data")


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_mac_leaves_in_every_folder_changes_nothing(name, tmp_path):
    SAMPLES[name](tmp_path)
    before = recognise(tmp_path)
    for path in list(tmp_path.rglob("*")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7 not yours")
    for folder in [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]:
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / ".Trashes").mkdir()
    assert recognise(tmp_path) == before


class TestSeveral:
    def test_questions_and_captions_of_the_same_images_are_joined(self, tmp_path):
        write_questions_and_captions(tmp_path)
        folder = DataFolder(prepare(None, tmp_path, beside(tmp_path, "joined")))
        assert folder.about["source"] == "vqa-v2+coco-captions"
        assert folder.tasks == ("vqa", "caption")
        assert [note.split(":")[0] for note in folder.about["notes"][:2]] == [
            "Recognised as vqa-v2",
            "Recognised as coco-captions",
        ]

    def test_each_gets_the_options_that_it_has(self, tmp_path):
        write_questions_and_captions(tmp_path)
        later = coco_captions(9)  # both years: the user must say which
        save(tmp_path / "annotations/captions_train2017.json", later)
        with pytest.raises(BadConfig, match="as coco-captions it holds captions of 2014 and of"):
            recognise(tmp_path)
        parts, _ = recognise(tmp_path, year="2014", images=".")
        assert [part.source for part in parts] == ["vqa-v2", "coco-captions"]
        assert parts[1].edition == "2014"
        with pytest.raises(BadConfig, match="or coco-captions has no option 'yaer'") as caught:
            recognise(tmp_path, yaer="2014")
        assert "year" in caught.value.hint
        assert "questions" in caught.value.hint

    def test_where_one_of_several_has_several_files_both_commands_work(self, tmp_path):
        write_questions_and_captions(tmp_path)
        (tmp_path / "annotations/captions_train2014.json").unlink()
        for name in ("coco", "flickr8k", "flickr30k"):
            save(tmp_path / f"dataset_{name}.json", karpathy() | {"dataset": name})
        touch(tmp_path, *(f"{place}.jpg" for place in range(4)))
        with pytest.raises(BadConfig) as caught:
            recognise(tmp_path)
        assert "as karpathy it holds several files like dataset_*.json" in caught.value.message
        told = re.fullmatch(r"Say which: (.*), or leave karpathy aside: (.*)\.", caught.value.hint)
        assert told
        for command, source in zip(told.groups(), ("karpathy", "vqa-v2"), strict=True):
            assert DataFolder(typed(command, beside(tmp_path, source))).about["source"] == source
        with pytest.raises(BadConfig) as caught:  # the option alone does not choose the source
            recognise(tmp_path, file="dataset_flickr8k.json")
        command = caught.value.hint.removeprefix("Say which: ").removesuffix(".")
        assert command.endswith("--option file=dataset_flickr8k.json")
        assert typed(command, beside(tmp_path, "again")).is_dir()

    def test_one_alone_says_which_option_is_missing(self, tmp_path):
        for name in ("coco", "flickr8k"):
            save(tmp_path / f"dataset_{name}.json", karpathy())
        touch(tmp_path, *(f"{place}.jpg" for place in range(4)))
        with pytest.raises(BadConfig) as caught:
            recognise(tmp_path)
        assert caught.value.hint == (
            "Say which: --option file=dataset_coco.json or --option file=dataset_flickr8k.json."
        )
        (part,), _ = recognise(tmp_path, file="dataset_coco.json")
        assert part.source == "karpathy"

    def test_two_sets_of_questions_are_for_the_user_to_choose(self, tmp_path):
        write_vqa_v1(tmp_path)
        write_vqa_v2(tmp_path)
        (tmp_path / "v2_mscoco_val2014_annotations.json").write_text(
            (tmp_path / "mscoco_val2014_annotations.json").read_text().replace("pink", "blue")
        )
        with pytest.raises(BadConfig) as caught:
            prepare(None, tmp_path, tmp_path / "data")
        assert "vqa-v1 (there is OpenEnded_mscoco_train2014_questions.json)" in caught.value.message
        assert "vqa-v2 (there is v2_OpenEnded" in caught.value.message
        assert "Say which: saccade prepare vqa-v1 --root" in caught.value.hint

    def test_the_same_records_in_two_layouts_are_one(self, tmp_path):
        SAMPLES["flickr8k"](tmp_path)
        images = flickr8k_as_karpathy_has_it()
        save(tmp_path / "dataset_flickr8k.json", {"images": images, "dataset": "flickr8k"})
        parts, notes = recognise(tmp_path)
        assert [part.source for part in parts] == ["karpathy"]
        assert parts[0].images[0].file.endswith("/c.jpg")
        assert notes[1].startswith("It is flickr8k, too (there is Flickr8k.token.txt")

    @pytest.mark.parametrize(
        ("field", "value"), [("sentences", []), ("split", "test"), ("filename", "d.jpg")]
    )
    def test_another_text_split_or_image_makes_another_set(self, field, value, tmp_path):
        SAMPLES["flickr8k"](tmp_path)
        images = flickr8k_as_karpathy_has_it()
        images[0][field] = value or [{**images[0]["sentences"][0], "raw": "A cow ."}]
        save(tmp_path / "dataset_flickr8k.json", {"images": images, "dataset": "flickr8k"})
        with pytest.raises(BadConfig, match=r"karpathy \(.*\); flickr8k \("):
            recognise(tmp_path)

    def test_images_that_are_in_another_split_there_are_not_joined(self, tmp_path):
        SAMPLES["coco-captions"](tmp_path)  # image 9 is for training there
        (tmp_path / "mine.csv").write_text(
            "image,question,answer,split\nval2017/000000000042.jpg,What?,a cat,train\n"
        )
        with pytest.raises(BadConfig, match=r"coco-captions \(.*\); table \("):
            prepare(None, tmp_path, tmp_path / "data")


class TestNothing:
    def test_a_table_of_unknown_columns_is_named_with_what_to_type(self, tmp_path):
        """The command of the message, its COLUMNs filled in, does what it promises."""
        (tmp_path / "notes.csv").write_text("id,my photo,prompt,reply\n7,a.JPG,What?,a cat\n")
        touch(tmp_path, "a.JPG")
        with pytest.raises(BadData) as caught:
            prepare(None, tmp_path, tmp_path / "data")
        assert "; notes.csv has the columns id, my photo, prompt, reply" in caught.value.message
        command = re.search(r"(saccade prepare .*) \(or caption:COLUMN", caught.value.hint)[1]
        assert shlex.split(command)[2:] == [
            str(tmp_path), "--out", "DATA",
            "--option", "columns=image:my photo,question:COLUMN,answer:COLUMN",
        ]  # fmt: skip
        with pytest.raises(BadConfig, match="has no column 'COLUMN'"):
            recognise(tmp_path, columns="image:my photo,question:COLUMN,answer:COLUMN")
        command = command.replace("question:COLUMN", "question:prompt")
        made = typed(command.replace("answer:COLUMN", "answer:reply"), beside(tmp_path, "d"))
        assert DataFolder(made).questions("train")[0].best_answer == "a cat"

    def test_only_what_is_not_known_is_asked(self, tmp_path):
        save(tmp_path / "below/mine.json", [{"Image": "a.jpg", "text": "A dog."}])
        (tmp_path / "other.csv").write_text("a,b\n1,2\n")
        (tmp_path / "numbers.txt").write_text("a,b\n1,2\n")
        with pytest.raises(BadData, match=r"; below/mine\.json has the columns Image, text\."):
            recognise(tmp_path)
        with pytest.raises(
            BadData, match=r"table=below/mine\.json --option columns=caption:text\."
        ):
            recognise(tmp_path)

    @pytest.mark.parametrize(
        ("names", "what", "hint"),
        [
            ([], "there is nothing at all in it", "saccade list sources"),
            ([".DS_Store", "._a.csv"], "there is nothing at all in it", "saccade list sources"),
            (["a.bin", "b/c.bin", "d.txt"], "there is a.bin, b/, d.txt", "image,question,answer"),
            ([f"{n}.bin" for n in range(9)], "3.bin and 5 others", "table=FILE"),
            (["p/a.jpg", "b.png"], "only 2 images", "mine.csv: a first line image,question"),
            (["set.tar.gz"], "but the archive set.tar.gz", "Unpack it"),
        ],
    )
    def test_what_is_there_instead_is_said(self, names, what, hint, tmp_path):
        touch(tmp_path, *names)
        with pytest.raises(BadData) as caught:
            recognise(tmp_path)
        assert "holds no data set that is known here" in caught.value.message
        assert what in caught.value.message
        assert hint in caught.value.hint
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500 + 2 * len(str(tmp_path))

    def test_a_folder_further_down_is_pointed_to(self, tmp_path):
        write_vqa_v2(tmp_path / "download/unpacked")
        with pytest.raises(BadData, match=r"further down: download/ \(vqa-v2\)"):
            prepare(None, tmp_path, tmp_path / "data")

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(BadData, match="no such folder"):
            prepare(None, tmp_path / "nowhere", tmp_path / "data")


class TestCommandLine:
    def test_what_the_words_mean(self, tmp_path):
        assert source_and_root("vqa-v2", tmp_path, Path("data")) == ("vqa-v2", tmp_path)
        assert source_and_root(None, tmp_path, Path("data")) == (None, tmp_path)
        assert source_and_root(str(tmp_path), None, Path("data")) == (None, tmp_path)

    @pytest.mark.parametrize(
        ("word", "what"),
        [
            (None, "neither a folder nor a source is named"),
            ("vqa-v2+karpathy", "it is not said where the files of vqa-v2.karpathy are"),
            ("vqa-v3", "vqa-v3 is neither a folder nor a source"),
        ],
    )
    def test_words_that_name_no_folder(self, word, what):
        with pytest.raises(BadConfig, match=what) as caught:
            source_and_root(word, None, Path("data"))
        assert "--root DIR" in caught.value.hint

    def test_a_folder_alone(self, tmp_path):
        from typer.testing import CliRunner

        from saccade.cli.app import app

        (tmp_path / "mine.csv").write_text(OWN_TABLE)
        for name in ("cat", "dog"):
            (tmp_path / f"{name}.jpg").write_bytes(JPEG)
        words = ["prepare", str(tmp_path), "--out", str(beside(tmp_path, "told"))]
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 0, told.output
        assert "note: Recognised as table: there is mine.csv with the columns image" in told.output
        assert CliRunner().invoke(app, ["prepare", "--out", "x"]).exit_code == 1


class TestRealData:
    @pytest.mark.parametrize(
        ("folder", "source", "questions", "captions"),
        [
            ("flickr8k-2250", "karpathy", 0, 11250),
            ("vqa-rad", "vqa-rad", 3064, 0),
            ("coco-mini", "vqa-v2+coco-captions", 38, 795),
        ],
    )
    def test_folders_with_images(self, folder, source, questions, captions, real_data, tmp_path):
        made = DataFolder(prepare(None, real_data(folder), tmp_path / "data"))
        assert made.about["source"] == source
        splits = made.about["splits"].values()
        assert sum(split["questions"] for split in splits) == questions
        assert sum(split["captions"] for split in splits) == captions

    def test_questions_without_images(self, real_data, tmp_path):
        root = real_data("vqa-v2-text")
        kept = {"missing": "keep", "overlap": "keep"}
        made = DataFolder(prepare(None, root, tmp_path / "data", **kept))
        assert made.about["notes"][0].endswith("v2_OpenEnded_train_questions.json.gz.")
        (finding,) = [f for f in made.about["findings"] if "published" in f["message"]]
        assert "train: 33,745 images and 48,061 questions, published 82,783" in str(finding)

    def test_a_refusal_says_what_the_folder_was_taken_for(self, real_data, tmp_path):
        root = real_data("pitvqa-annotations")
        with pytest.raises(BadData, match=r"are not there.*Recognised as pitvqa"):
            prepare(None, root, tmp_path / "data")
        made = DataFolder(prepare(None, root, tmp_path / "data", missing="keep"))
        assert made.about["splits"]["val"]["questions"] == 203_868

    def test_a_folder_without_a_data_set(self, real_data, tmp_path):
        with pytest.raises(BadData, match="no data set that is known") as caught:
            prepare(None, real_data("metrics-golden"), tmp_path / "data")
        assert "saccade prepare" in caught.value.hint

    def test_every_folder_that_is_there_is_tried_above(self, real_data):
        """A new one needs a line: `prepare` by recognition must read it, or say why not."""
        tried = {"coco-mini", "flickr8k-2250", "metrics-golden"}
        tried |= {"pitvqa-annotations", "vqa-rad", "vqa-v2-text"}
        assert {path.name for path in real_data(".").iterdir() if path.is_dir()} <= tried
