# ruff: noqa: E501 - a table of cases, most of them one line long
"""Broken input to what somebody made of their own data: file, place, cause and cure each time."""

import json

import pyarrow.parquet as pq
import pytest

from tests.broken_input import Broken, change, cut, is_refused, remove, rewrite, write
from tests.source_samples import OWN_TABLE, hf_table, save_arrow, save_parquet

TABLE = "mine.csv"
METADATA, LINES = "train/metadata.csv", "validation/metadata.jsonl"
PARQUET = "data/train-00000-of-00002.parquet"
ARROW = "train/data-00000-of-00001.arrow"


def as_json(*more, cut=None):
    """The table as a JSON list of objects, with more records behind, cut off somewhere."""

    def spoil(root):
        (root / TABLE).unlink()
        rows = [{"image": "cat.jpg", "question": f"{n}?", "answer": "a"} for n in range(3)]
        (root / "mine.json").write_text(json.dumps([*rows, *more])[:cut])

    return spoil


def changed(columns):
    """Three rows as in the samples, with other columns; None takes one away."""
    table = hf_table(0, 3)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.remove_column(place) if place >= 0 else table
        table = table if values is None else table.append_column(name, [values])
    return table


def arrow(**columns):
    return lambda root: save_arrow(root / "train", changed(columns))


def parquet(**columns):
    return lambda root: save_parquet(root / PARQUET, changed(columns))


def damage(path):
    """Overwrite the first page of the images: the file's end still says that all is well."""
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(bytes(data))


BROKEN = {
    # A table of one's own
    "table: no image column": Broken(
        "table", rewrite(TABLE, "image,", "photo,"), TABLE,
        "has no column of images (image); it has photo, question, answer", "columns=image:photo",
    ),
    "table: neither question nor caption": Broken(
        "table", rewrite(TABLE, "question,", "asked,"), TABLE, "no column of questions or", "columns=",
    ),
    "table: row too long": Broken(
        "table", rewrite(TABLE, '"Black, or white?"', "Black, or white?"), TABLE,
        "line 3 has 5 fields, line 1 has 4", "Quote a field",
    ),
    "table: quote never closed": Broken(
        "table", rewrite(TABLE, "a cat|cat|cat", '"a cat'), TABLE, "cannot be read as a table", "Quote",
    ),
    "table: no answer": Broken(
        "table", rewrite(TABLE, "a cat|cat|cat", " | "), TABLE,
        "line 2 has no answer to 'What is it?'", "split test",
    ),
    "table: unknown split": Broken(
        "table", rewrite(TABLE, ",val", ",later"), TABLE, "line 4 is of split 'later'", "train, val",
    ),
    "table: split here and there": Broken(
        "table", rewrite(TABLE, ",val", ","), TABLE, "line 4 has no split, but others have", "Fill",
    ),
    "table: no image": Broken(
        "table", rewrite(TABLE, "dog.jpg", ""), TABLE, "line 4 names no image, but ''", "name",
    ),
    "table: broken list": Broken(
        "table", rewrite(TABLE, '""dog|wolf""]', '""dog|wolf'), TABLE, "line 4 has a broken list", "|",
    ),
    "table: column twice": Broken(
        "table", rewrite(TABLE, "question,answer", "question,question"), TABLE,
        "two columns named 'question'", "own name",
    ),
    "table: brackets never closed": Broken(
        "table", write(TABLE, f"image,caption\ncat.jpg,{'[' * 100_000}\n"), TABLE,
        "line 2 has a broken list: '[[[[", "quote a",
    ),
    "table: no number in a list": Broken(
        "table", rewrite(TABLE, "a cat|cat|cat", '"[""a cat"", NaN]"'), TABLE,
        "line 2 has a broken list", "Write [",
    ),
    "table: a number without end": Broken(
        "table", rewrite(TABLE, "a cat|cat|cat", '"[""a cat"", 1e999]"'), TABLE,
        "line 2 has the answer ['a cat', inf], which is no text", "as text",
    ),
    "table: only a header": Broken(
        "table", write(TABLE, "image,question,answer\n"), "", "there is not one row", "--root",
    ),
    "table: UTF-16 as spreadsheets save it": Broken(
        "table", write(TABLE, OWN_TABLE.encode("utf-16")), TABLE, "byte 0 is 0xff", "UTF-8",
    ),
    "table: image missing": Broken(
        "table", remove("images/dog.jpg"), "", "1 of 2 images is not there", "images=FOLDER",
    ),
    # A folder of Hugging Face datasets
    "hf: Arrow cut off": Broken("hf-datasets", cut(ARROW, 0.4), ARROW, "not a whole Arrow", "again"),
    "hf: Arrow is text": Broken("hf-datasets", write(ARROW, "x" * 99), ARROW, "not a whole", "again"),
    "hf: Arrow file missing": Broken("hf-datasets", remove(ARROW), ARROW, "is missing", "whole folder"),
    "hf: state missing": Broken(
        "hf-datasets", remove("train/state.json"), "", "datasets can read (FileNotFound", "again",
    ),
    "hf: state without files": Broken(
        "hf-datasets", write("train/state.json", {"a": 1}), "", "'_data_files'", "save it again",
    ),
    "hf: a choice of rows": Broken(
        "hf-datasets",
        change("train/state.json", lambda d: d.update(_indices_data_files=[{"filename": "i"}])),
        "train/state.json", "keeps a choice of rows", "flatten_indices",
    ),
    "hf: unknown split": Broken(
        "hf-datasets",
        lambda root: [
            (root / "validation").rename(root / "extra"),
            write("dataset_dict.json", {"splits": ["train", "extra"]})(root),
        ],
        "", "has the split 'extra'", "leave out that split",
    ),
    "hf: no splits": Broken(
        "hf-datasets", write("dataset_dict.json", {}), "", "KeyError: 'splits'", "save it again",
    ),
    "hf: no questions": Broken(
        "hf-datasets", arrow(question=None, caption=None), "train", "no column of questions",
        "columns=",
    ),
    "hf: no answer": Broken(
        "hf-datasets", arrow(answers=[["a"], [], ["b"]]), "train", "row 2 has no answer",
        "split test",
    ),
    "hf: image of unknown kind": Broken(
        "hf-datasets", arrow(image=[{"bytes": b"rubbish", "path": None}] * 3), "train",
        "row 1 has an image of unknown kind", "JPEG",
    ),
    "hf: no image": Broken(
        "hf-datasets", arrow(image=["a.jpg", None, "b.jpg"]), "train", "row 2 names no image", "name",
    ),
    # A JSON list, as a table
    "list: cut off": Broken("table", as_json(cut=-9), "mine.json", "breaks off", "again"),
    "list: a bare value in it": Broken(
        "table", as_json([1]), "mine.json", "record 4 is [1], not an object", "Write {",
    ),
    "list: a number without end": Broken(
        "table", as_json({"image": "cat.jpg", "question": "?", "answer": float("inf")}), "mine.json",
        "a number that JSON does not know: Infinity", "null",
    ),
    # An imagefolder
    "folder: image missing": Broken(
        "imagefolder", rewrite(METADATA, "0002.png", "nowhere.png"), "",
        "1 of 6 images is not there, the first are train/nowhere.png", "images=",
    ),
    "folder: image outside": Broken(
        "imagefolder", rewrite(METADATA, "0002.png", "../../secret.png"), "",
        "names the file 'train/../../secret.png', outside of the folder", "stay in it",
    ),
    "folder: no captions": Broken(
        "imagefolder", rewrite(METADATA, "text", "label"), METADATA,
        "has no column of questions or captions; it has file_name, label", "columns=",
    ),
    "folder: no name": Broken(
        "imagefolder", rewrite(METADATA, "0001.png", " "), METADATA, "line 3 names no image", "name",
    ),
    "folder: row too long": Broken(
        "imagefolder", rewrite(METADATA, '"A dog, number 1."', "A dog, number 1."), METADATA,
        "line 3 has 3 fields, line 1 has 2", "Quote a field",
    ),
    "folder: no UTF-8": Broken(
        "imagefolder", write(METADATA, b"file_name,text\n0000.png,caf\xe9"), METADATA,
        "byte 27", "UTF-8",
    ),
    "folder: JSON lines cut off": Broken(
        "imagefolder", cut(LINES, 0.9), LINES, "line 3 is not JSON", "one object",
    ),
    "folder: no number": Broken(
        "imagefolder", rewrite(LINES, '["A cat.", "Cat 1."]', "NaN"), LINES,
        "line 2 holds a number that JSON does not know: NaN", "null",
    ),
    "folder: a number without end": Broken(
        "imagefolder", rewrite(LINES, '["A cat.", "Cat 1."]', "-Infinity"), LINES,
        "line 2 holds a number that JSON does not know: -Infinity", "leave the row out",
    ),
    "folder: a number too large": Broken(
        "imagefolder", rewrite(LINES, '["A cat.", "Cat 1."]', "1e999"), LINES,
        "line 2 has the caption inf, which is no text", "as text",
    ),
    "folder: a list of records": Broken(
        "imagefolder", rewrite(LINES, '["A cat.", "Cat 1."]', '{"en": "A cat."}'), LINES,
        "line 2 has the caption {'en': 'A cat.'}", "caption",
    ),
    # Parquet
    "parquet: cut off": Broken("hf-parquet", cut(PARQUET, 0.6), PARQUET, "not a whole Parquet", "again"),
    "parquet: empty": Broken("hf-parquet", write(PARQUET, b""), PARQUET, "not a whole Parquet", "again"),
    "parquet: a page is damaged": Broken(
        "hf-parquet", lambda root: damage(root / PARQUET), PARQUET, "not a whole Parquet", "again",
    ),
    "parquet: LFS pointer": Broken(
        "hf-parquet", write(PARQUET, "version https://git-lfs.github.com/spec/v1\n"), PARQUET,
        "Git LFS pointer", "git lfs pull",
    ),
    "parquet: bytes that are no image": Broken(
        "hf-parquet", parquet(image=[{"bytes": b"rubbish", "path": "a.jpg"}] * 3), PARQUET,
        "row 1 has an image of unknown kind, beginning with 72756262", "JPEG",
    ),
    "parquet: a sound for an image": Broken(
        "hf-parquet", parquet(image=[b"RIFF\x24\0\0\0WAVEfmt "] * 3), PARQUET,
        "row 1 has an image of unknown kind, beginning with 52494646", "WebP",
    ),
    "parquet: empty bytes": Broken(
        "hf-parquet", parquet(image=[b""] * 3), PARQUET, "row 1 has an image of unknown kind", "JPEG",
    ),
    "parquet: no image": Broken(
        "hf-parquet", parquet(image=[{"bytes": None, "path": None}] * 3), PARQUET,
        "row 1 names no image, but None", "name",
    ),
    "parquet: image file missing": Broken(
        "hf-parquet", parquet(image=[{"bytes": None, "path": f"{n}.jpg"} for n in range(3)]), "",
        "3 of 7 images are not there, the first are data/0.jpg", "images=FOLDER",
    ),
    "parquet: several images in a row": Broken(
        "hf-parquet", parquet(image=[["a.jpg", "b.jpg"]] * 3), PARQUET,
        "row 1 names no image, but ['a.jpg', 'b.jpg']", "name",
    ),
    "parquet: nested questions": Broken(
        "hf-parquet", parquet(question=[{"en": "Who?", "de": "Wer?"}] * 3), PARQUET,
        "row 1 asks {'en': 'Who?', 'de': 'Wer?'}, which is no text", "as text",
    ),
    "parquet: nested answers": Broken(
        "hf-parquet", parquet(answers=[{"answer": [["a"]]}] * 3), PARQUET,
        "row 1 has the answer [['a']], which is no text", "as text",
    ),
    "parquet: answers that are no numbers": Broken(
        "hf-parquet", parquet(answers=[1.5, float("nan"), 2.0]), PARQUET,
        "row 2 has the answer nan, which is no text", "as text",
    ),
    "parquet: kinds that are no numbers": Broken(
        "hf-parquet", parquet(answer_type=[1.0, 1.0, float("nan")]), PARQUET,
        "row 3 has the answer_type nan", "Leave it empty",
    ),
    "parquet: nothing said": Broken(
        "hf-parquet", parquet(question=None, caption=None), PARQUET, "no column of questions", "columns=",
    ),
    "parquet: a file of no split": Broken(
        "hf-parquet", lambda root: save_parquet(root / "data/more.parquet", hf_table(0, 3)),
        "data/more.parquet", "says no split in its name, but others do", "move it away",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_refused_with_file_cause_and_cure(name, tmp_path):
    is_refused(BROKEN[name], tmp_path)
