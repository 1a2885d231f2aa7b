"""What people try first with a folder of their own: it works, or they are told what to type."""

import ast
import json
import re
import shlex
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest

import saccade.data
from saccade.core.errors import BadConfig, BadData
from saccade.data import find_files as image_files
from saccade.data.folder import DataFolder
from saccade.datasets.catalogue import SOURCES, read_source, reader_options, source_and_root
from saccade.datasets.detect import recognise
from saccade.datasets.prepare import prepare
from saccade.datasets.row_files import first_row, read_rows
from tests.source_samples import (
    SAMPLES,
    beside,
    save,
    save_arrow,
    touch,
    write_karpathy,
    write_vqa_v2,
)

ROWS = [("0.png", "A dog, big."), ("1.png", "A cat."), ("2.png", "A cow.")]


def own(root: Path, name: str = "t.csv", separator: str = ",", head: str = "image,caption") -> Path:
    """A table with images beside it."""
    touch(root, *(image for image, _ in ROWS))
    lines = [separator.join(head.split(","))]
    lines += [f'{image}{separator}"{text}"' for image, text in ROWS]
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def refused(root: Path, **options: str) -> BadData | BadConfig:
    with pytest.raises((BadData, BadConfig)) as caught:
        prepare(None, root, root.parent / "data", **options)
    assert "\n" not in str(caught.value)
    return caught.value


def typed(hint: str, out: Path) -> DataFolder:
    """The data folder that the first command in a message makes, OUT for DATA."""
    from typer.testing import CliRunner

    from saccade.cli.app import app

    command = re.search(r"saccade (prepare .*?)(?: \(or |\.(?: |$))", hint)[1]
    words = [str(out) if word == "DATA" else word for word in shlex.split(command)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    return DataFolder(out)


class TestTables:
    @pytest.mark.parametrize("separator", [",", "\t", ";"])
    @pytest.mark.parametrize("name", ["t.csv", "t.tsv", "T.CSV", "T.Tsv"])
    def test_the_separator_is_what_stands_there(self, separator, name, tmp_path):
        own(tmp_path, name, separator)
        (part,), _ = recognise(tmp_path)
        assert [caption.text for caption in part.captions] == [text for _, text in ROWS]

    @pytest.mark.parametrize("separator", [",", "\t", ";"])
    def test_a_first_line_may_name_it(self, separator, tmp_path):
        path = own(tmp_path, separator=separator)
        path.write_text(f"sep={separator}\r\n" + path.read_text())
        assert list(first_row(path)) == ["image", "caption"]
        names, rows = read_rows(path)
        assert list(names) == ["image", "caption"]
        assert rows[0][:4] == (path, "line 3", {"image": "0.png", "caption": "A dog, big."}, None)

    def test_nothing_but_that_line(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_text("sep=;\n")
        assert first_row(path) == {}
        with pytest.raises(BadData, match="is empty"):
            read_rows(path)

    def test_a_first_column_without_a_name(self, tmp_path):
        path = tmp_path / "t.tsv"
        path.write_text("\timage\tcaption\n0\ta.png\tA dog.\n")
        assert first_row(path) == {"": "0", "image": "a.png", "caption": "A dog."}

    def test_commas_in_quotes_and_between_tabs_separate_nothing(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_text('image;"caption, if any, or, none";x\na;b;c\n')
        assert list(first_row(path)) == ["image", "caption, if any, or, none", "x"]
        path = path.rename(tmp_path / "t.tsv")
        path.write_text("image\tcaption, if any, or none\na\tb\n")
        assert list(first_row(path)) == ["image", "caption, if any, or none"]

    @pytest.mark.parametrize("name", ["A.JSON", "A.JSONL", "METADATA.CSV"])
    def test_capitals_in_other_names(self, name, tmp_path):
        row = {"file_name": "a.JPG", "caption": "A dog."}
        touch(tmp_path, "a.JPG")
        text = {"A.JSON": json.dumps([row]), "A.JSONL": json.dumps(row)}
        (tmp_path / name).write_text(text.get(name, "file_name,caption\na.JPG,A dog.\n"))
        (part,), _ = recognise(tmp_path)
        assert part.captions[0].text == "A dog."

    @pytest.mark.parametrize(
        ("name", "content", "what", "hint"),
        [
            ("t.csv", "image,caption\n".encode("utf-16"), "t.csv is UTF-16", "as CSV UTF-8"),
            ("t.csv", b"caf\xe9,caption\n0.png,A.\n", "t.csv is not UTF-8", "as CSV UTF-8"),
            ("T.CSV", b"", "T.CSV is empty", "Save or copy"),
            ("t.csv", b"one\ntwo\n", "t.csv has only one column, 'one'", "commas"),
            ("t.csv", b"PK\x03\x04\0\0", "t.csv is no text", "CSV UTF-8"),
            ("t.json", b'{"data": [{"image": 1}]}', 'a list (its first field is "data")', "rows"),
            ("t.json", b'{"0.png": ["A dog."]}', 'field is "0.png")', "list of rows"),
            ("t.json", b"[]", "t.json is an empty list", "list of rows"),
            ("t.json", b"[1, 2]", "t.json does not begin as a list of objects", "list of rows"),
            ("t.jsonl", b"rubbish", "t.jsonl does not begin as", "list of rows"),
            ("t.xlsx", b"PK\x03\x04", "t.xlsx is a spreadsheet", "as CSV UTF-8"),
            ("sub/t.ODS", b"PK\x03\x04", "sub/t.ODS is a spreadsheet", "as CSV UTF-8"),
            ("t.txt", b"image\tcaption\n0.png\tA.\n", "t.txt is text", "--option table=t.txt"),
            ("t.txt", b"Hello.\n", "only 3 images; t.txt is text without known", "mine.csv"),
        ],
    )  # fmt: skip
    def test_a_table_that_is_not_read_is_named(self, name, content, what, hint, tmp_path):
        touch(tmp_path, *(image for image, _ in ROWS))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        error = refused(tmp_path)
        assert what in error.message
        assert hint in error.hint

    def test_a_table_that_may_not_be_opened(self, tmp_path, monkeypatch):
        path, opened = own(tmp_path), Path.open

        def guarded(self, *words, **more):
            if self == path:
                raise PermissionError(13, "Permission denied")
            return opened(self, *words, **more)

        monkeypatch.setattr(Path, "open", guarded)
        assert "t.csv cannot be read (Permission denied)" in refused(tmp_path).message

    def test_text_that_is_said_to_be_a_table(self, tmp_path):
        own(tmp_path, "t.txt", "\t")
        (part,), notes = recognise(tmp_path, table="t.txt")
        assert len(part.captions) == 3
        assert "there is t.txt with the columns image, caption" in notes[0]

    def test_the_table_that_is_said_is_the_reason(self, tmp_path):
        own(tmp_path, "t.csv")
        own(tmp_path, "u.csv")
        _, notes = recognise(tmp_path, table="u.csv")
        assert notes[0].startswith("Recognised as table: there is u.csv")
        assert "no such file" in refused(tmp_path, table="no.csv").message


class TestColumns:
    def test_what_is_said_of_columns_counts_in_recognition(self, tmp_path):
        own(tmp_path, head="photo,words")
        (part,), _ = recognise(tmp_path, columns="image:photo,caption:words")
        assert len(part.captions) == 3
        assert (
            "has no column 'foto'" in refused(tmp_path, columns="image:foto,caption:words").message
        )
        assert "is not a list like" in refused(tmp_path, columns="photo").message

    def test_with_several_tables_the_command_names_one(self, tmp_path):
        own(tmp_path, "a b.csv", head="photo,caption")
        (tmp_path / "z.csv").write_text("x,y\n1,2\n")
        hint = refused(tmp_path).hint
        assert "--option 'table=a b.csv' --option columns=image:photo" in hint
        assert len(typed(hint, beside(tmp_path, "d")).captions("train")) == 1

    def test_every_message_says_option_before_an_option(self):
        names = "|".join(sorted({name for source in SOURCES for name in reader_options(source)}))
        said = re.compile(rf"(?<![\w(-])(?:{names})=(?!\s*$)")
        for path in Path(saccade.data.__file__).parent.glob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text())))
            prose = {node.value for node in nodes if isinstance(node, ast.Expr)}
            inner = {
                part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values
            }
            for node in nodes:
                if not isinstance(node, ast.JoinedStr | ast.Constant) or node in prose | inner:
                    continue
                text = ast.unparse(node)
                for match in said.finditer(text) if " " in text else ():  # else a part of a command
                    assert "--option" in text[: match.start()], f"{path.name}: {text}"


class TestImages:
    def test_whole_paths_want_the_users_word(self, tmp_path):
        touch(tmp_path / "images", "a/0.png", "b/1.png")
        lines = [f"{tmp_path}/images/{name},A dog." for name in ("a/0.png", "b/1.png")]
        (tmp_path / "own").mkdir()
        (tmp_path / "own/t.csv").write_text("image,caption\n" + "\n".join(lines))
        error = refused(tmp_path / "own")
        assert "line 2 names" in error.message
        assert "outside of the folder of images" in error.message
        assert f"say so: --option images={tmp_path}/images." in error.hint
        for images in (f"{tmp_path}/images", "/"):
            (part,), _ = recognise(tmp_path / "own", images=images)
            assert all((Path(part.image_root) / p.file).is_file() for p in part.images)

    def test_in_arrow_tables_too(self, tmp_path):
        touch(tmp_path / "images", "0.png", "1.png")
        names = [f"{tmp_path}/images/{n}.png" for n in range(2)]
        save_arrow(tmp_path / "saved", pa.table({"image": names, "caption": ["A dog."] * 2}))
        assert f"--option images={tmp_path}/images." in refused(tmp_path / "saved").hint
        recognise(tmp_path / "saved", images=f"{tmp_path}/images")

    @pytest.mark.parametrize(
        ("names", "what", "hint"),
        [
            (("/nowhere/x/a.png", "/nowhere/x/b.png"), "outside of", "is no folder /nowhere/x"),
            (("/nowhere/a.png", "b.png"), "outside of", "relative to one folder"),
            (("C:\\a.png", "D:\\b.png"), "names 'C:/a.png', outside of", "."),
            (("/etc/../a.png", "/etc/b.png"), "outside of the folder", "stay in it"),
            (("http://a.b/c.png", "x.png"), "but the address 'http", "Download the images first"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_followed(self, names, what, hint, tmp_path):
        (tmp_path / "t.csv").write_text("image,caption\n" + "".join(f"{n},A.\n" for n in names))
        error = refused(tmp_path, missing="keep") if ".." in names[0] else refused(tmp_path)
        assert what in error.message
        assert hint in error.hint

    @pytest.mark.parametrize(
        ("named", "what"),
        [
            ("0.PNG", "the first are 0.PNG (there is 0.png)"),
            ("1.jpg", "1.jpg (there is 1.png)"),
            ("sub/1.png", "sub/1.png (there is no folder sub/)"),
            ("9.png", "the first are 9.png. "),
        ],
    )
    def test_missing_images_are_named_with_what_is_there(self, named, what, tmp_path):
        own(tmp_path).write_text(f"image,caption\n{named},A dog.\n2.png,A cow.\n")
        assert what in refused(tmp_path).message

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_accents_may_be_written_either_way(self, form, tmp_path):
        other = {"NFC": "NFD", "NFD": "NFC"}[form]
        name = "Bäume/Bär.png"
        touch(tmp_path, unicodedata.normalize(other, name))
        path = tmp_path / "t.csv"
        path.write_text(f"image,caption\n{unicodedata.normalize(form, name)},A bear.\n")
        collection = read_source("table", tmp_path)
        assert (tmp_path / collection.images[0].file).is_file()

    def test_one_image_alone(self, tmp_path):
        own(tmp_path).write_text("image,caption\n0.png,A dog.\n")
        about = DataFolder(prepare(None, tmp_path, beside(tmp_path, "data"))).about
        assert "none was drawn" in about["notes"][-1]
        assert [found["hint"] for found in about["findings"]] == [
            "Add images: one alone cannot be in two splits."
        ]

    def test_answers_that_are_true_or_false(self, tmp_path):
        save(tmp_path / "t.json", [{"image": "0.png", "question": "Is it?", "answer": True}])
        assert refused(tmp_path).hint.startswith('Write "yes" or "no".')


class TestFolders:
    @pytest.mark.parametrize("name", ["karpathy", "flickr8k", "flickr30k", "vqa-v2", "daquar"])
    def test_images_lie_beside_the_text_one_folder_down(self, name, tmp_path):
        SAMPLES[name](tmp_path / "inner")
        prepare(name, tmp_path, beside(tmp_path, "data"))  # checks that they are there
        inside = read_source(name, tmp_path / "inner").images
        below = read_source(name, tmp_path).images
        assert [p.file for p in below] == [f"inner/{p.file}" for p in inside]

    @pytest.mark.parametrize("name", ["flickr8k", "flickr30k"])
    def test_images_lie_deeper_as_archives_unpack(self, name, tmp_path):
        SAMPLES[name](tmp_path)
        before = read_source(name, tmp_path).images
        folder = tmp_path / before[0].file.split("/")[0]
        folder.rename(tmp_path / "unpacked")
        (tmp_path / "Flickr_Dataset").mkdir()
        (tmp_path / "unpacked").rename(tmp_path / "Flickr_Dataset" / folder.name)
        after = read_source(name, tmp_path).images
        assert [p.file for p in after] == [f"Flickr_Dataset/{p.file}" for p in before]

    def test_text_in_a_folder_of_its_own_is_as_good(self, tmp_path):
        write_karpathy(tmp_path)
        (tmp_path / "text").mkdir()
        (tmp_path / "dataset_flickr8k.json").rename(tmp_path / "text/dataset_flickr8k.json")
        assert read_source("karpathy", tmp_path).images[0].file == "images/0.jpg"
        for image in (tmp_path / "images").iterdir():
            image.unlink()
        (tmp_path / "images").rmdir()  # where they should lie, though text/ is there
        assert read_source("karpathy", tmp_path).images[0].file == "images/0.jpg"

    def test_a_folder_of_several_data_sets(self, tmp_path):
        write_karpathy(tmp_path / "k")
        write_vqa_v2(tmp_path / "v")
        error = refused(tmp_path)
        assert "holds several data sets: k/ (karpathy), v/ (vqa-v2)" in error.message
        assert typed(error.hint, beside(tmp_path, "d")).about["source"] == "karpathy"

    def test_text_in_folders_of_its_own_beside_the_images_is_one_set(self, tmp_path):
        SAMPLES["vqa-v2"](tmp_path)
        (tmp_path / "vqa").mkdir()
        for path in list(tmp_path.glob("*.json")):
            path.rename(tmp_path / "vqa" / path.name)
        own(tmp_path / "more")
        assert "could be several data sets: vqa-v2" in refused(tmp_path).message

    @pytest.mark.parametrize("inner", ["a", "a/b", "a/b/c", "a/b/c/d"])
    def test_the_folder_that_is_named_is_recognised(self, inner, tmp_path):
        own(tmp_path / "root/x" / inner)
        hint = refused(tmp_path / "root").hint
        assert typed(hint, tmp_path / "data").about["source"] == "table"

    @pytest.mark.parametrize("name", ["t.csv", "0.png"])
    def test_a_file_for_a_folder(self, name, tmp_path):
        own(tmp_path / "my data")
        with pytest.raises(BadData, match="is a file, not a folder") as caught:
            source_and_root(str(tmp_path / "my data" / name), None, Path("data"))
        assert typed(caught.value.hint, tmp_path / "data").about["source"] == "table"
        with pytest.raises(BadData, match="is a file") as caught:
            prepare("table", tmp_path / "my data" / name, tmp_path / "d")
        assert typed(caught.value.hint, tmp_path / "again").about["source"] == "table"

    def test_an_archive_for_a_folder(self, tmp_path):
        touch(tmp_path, "data.zip")
        with pytest.raises(BadData, match=r"is an archive, not a folder\. Unpack it"):
            source_and_root(str(tmp_path / "data.zip"), None, Path("data"))


class TestTwoTables:
    def two(self, root: Path, *captions: str, head: str = "image,caption") -> None:
        touch(root, *(f"{n}.png" for n in range(9)))
        lines = ["image,question,answer", *(f"{n}.png,What?,a {n}" for n in range(6))]
        (root / "t.csv").write_text("\n".join(lines))
        (root / "u.csv").write_text("\n".join([head, *captions]))

    def test_questions_and_captions_of_the_same_images_are_joined(self, tmp_path):
        self.two(tmp_path, *(f"{n}.png,A dog {n}." for n in range(3, 9)))
        folder = DataFolder(prepare(None, tmp_path, beside(tmp_path, "data")))
        assert folder.tasks == ("vqa", "caption")
        assert len(folder.images()) == 9
        assert folder.about["files"]["read"] == ["t.csv", "u.csv"]
        split_of = {image.id: image.split for image in folder.images()}
        for split in ("train", "val", "test"):
            for record in (*folder.questions(split), *folder.captions(split)):
                assert split_of[record.image_id] == split

    @pytest.mark.parametrize(
        ("head", "captions"),
        [
            ("image,caption", ["7.png,A dog.", "8.png,A cat."]),  # other images
            ("image,caption,split", ["1.png,A dog.,train", "2.png,A cat.,val"]),
            ("image,question,caption,answer", ["1.png,Who?,A dog.,me"]),  # of both kinds
        ],
    )
    def test_others_are_for_the_user_to_choose(self, head, captions, tmp_path):
        self.two(tmp_path, *captions, head=head)
        error = refused(tmp_path)
        assert "holds several tables: t.csv, u.csv" in error.message
        assert "--option table=t.csv or --option table=u.csv" in error.hint

    def test_a_file_of_each_kind_for_each_split(self, tmp_path):
        for split, n in (("train", 0), ("val", 1)):
            for kind, head in (("asked", "image,question,answer"), ("said", "image,caption")):
                row = f"{n}.png,What?,it" if kind == "asked" else f"{n}.png,A dog."
                (tmp_path / f"{split}_{kind}.csv").write_text(f"{head}\n{row}\n")
            touch(tmp_path, f"{n}.png")
        collection = read_source("table", tmp_path)
        assert [question.split for question in collection.questions] == ["train", "val"]
        assert [caption.split for caption in collection.captions] == ["train", "val"]


def test_what_agrees_with_the_published_set_agreed_before_records_were_left_out(
    tmp_path, monkeypatch
):
    own(tmp_path).write_text("image,caption\n0.png,A.\n1.png,A dog.\n8.png,A cow.\n")
    monkeypatch.setattr("saccade.datasets.prepare.compare", lambda part: (["All agree."], []))
    about = DataFolder(prepare(None, tmp_path, beside(tmp_path, "d"), missing="drop")).about
    assert "All agree, before records were left out." in about["notes"]


class TestBrokenBeginnings:
    """What is looked at while a folder is recognised may be anything at all."""

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("t.csv", b"\xef\xbb\xbfimage;caption\n1.png;\xc3\xa9 a\xff"),
            ("t.json", b'{"a\\x": 1}'),
            ("t.json", b'{"\\ud800": [1]}'),
            ("t.csv.gz", b"\x1f\x8bjunk"),
        ],
    )
    def test_it_is_told_and_nothing_escapes(self, name, content, tmp_path):
        root = tmp_path / "raw"
        touch(root, "1.png")
        (root / name).write_bytes(content)
        error = refused(root)
        assert name in str(error) or "UTF-8" in str(error)
        assert "is empty." not in str(error)


class TestImagesThatAreSpeltApart:
    def test_a_folder_is_looked_through_once(self, tmp_path, monkeypatch):
        """Each name is composed once, however many images are looked for."""
        names = [f"gr\u00e4\u00df{number}.png" for number in range(40)]
        touch(tmp_path, *(unicodedata.normalize("NFD", name) for name in names))
        made, plain = [], image_files._composed
        monkeypatch.setattr(
            image_files, "_composed", lambda name: (made.append(name), plain(name))[1]
        )
        files = image_files.ImageFiles(tmp_path)
        found = [files.find(name) for name in names]
        assert found == [unicodedata.normalize("NFD", name) for name in names]
        assert len(made) <= 3 * len(names)


def test_a_search_is_made_once_while_folders_are_unchanged():
    made = []
    search = image_files.found_once(lambda name: made.append(name) or len(made))
    assert (search("a"), search("a")) == (1, 2)
    with image_files.unchanged_folders():
        assert (search("a"), search("a"), search("b")) == (3, 3, 4)
        with image_files.unchanged_folders():
            assert search("a") == 3
    assert search("a") == 5
