# ruff: noqa: RUF001 - letters of other scripts are what this is about
"""Chinese tables as Chinese programs save them: GB18030, names of columns and splits; and text of
every other encoding, which is refused and not guessed."""

import gzip
import json
import random

import pytest

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.reading import GuessedEncoding, read_start, read_text
from saccade.datasets.columns import COLUMNS
from saccade.datasets.custom_rows import SPLIT_WORDS
from saccade.datasets.prepare import prepare
from tests.sample_files import touch

CHINESE = [
    "图片,问题,答案\n1.jpg,图中有几只猫？,两只\n2.jpg,这只狗是什么颜色的？,棕色\n",
    "image,caption\r\na.jpg,一只棕色的狗在草地上奔跑。\r\nb.jpg,两个人坐在桌子旁边吃饭。\r\n",
    "image,question,answer\na.png,病灶位于哪个器官？,肝脏\nb.png,胸片显示什么异常?,肺炎 🫁\n",
    "圖片,問題,答案\n1.jpg,圖中有幾隻貓？,兩隻\n2.jpg,這隻狗是什麼顏色的？,棕色\n",
    '[{"image": "1.jpg", "question": "天气怎么样？", "answer": "晴"}]',
]
OTHERS = [
    ("latin-1", "image,question\n1,Où est l'élève ?\n2,une fédération préférée\n"),
    ("latin-1", "image,caption\n1.jpg,une fédération préférée\n"),
    ("latin-1", "a,fenêtre\nb,élève\nc,forêt"),
    ("latin-1", "name,größer\n1,süße Äpfel\n2,Füße,Bäume\n"),
    ("latin-1", "image,question\n1,¿Cuántos niños están jugando?\n"),
    ("latin-1", "image,caption\n1,ein Caf\xe9"),
    ("cp1252", "image,question\n1,What’s the dog’s “colour”?\n"),
    ("cp1250", "image,question\n1,Jaký je největší kůň na obrázku?\n2,żółte łódki\n"),
    ("cp1251", "image,answer\n1,кошка\n2,дети\n3,да\n"),
    ("koi8-r", "image,answer\n1,дача\n2,дети\n3,да\n"),
    ("big5", "image,question,answer\n1.jpg,圖中有幾隻貓？,兩隻\n2.jpg,一個男人在海邊騎馬嗎,是\n"),
    ("big5", "image,caption\n1.jpg,兩個人坐在桌子旁邊吃飯。\n"),
    (
        "euc-kr",
        "image,question,answer\n1,고양이는 무슨 색이에요?,검은색\n2,개가 몇 마리 있어요?,두 마리\n",
    ),
    ("euc-kr", "image,caption\n1,한 남자가 바다에서 서핑을 하고 있다\n2,아이가 웃는다\n"),
    ("shift_jis", "image,question,answer\n1,猫は何匹いますか？,二匹\n2,犬は何色ですか,黒\n"),
    ("euc-jp", "image,question,answer\n1,猫は何匹いますか？,二匹\n2,犬は何色ですか,黒\n"),
    ("euc-jp", "image,caption\n1,男性二人\n2,白黒写真\n"),
    ("tis-620", "image,question\n1,แมวสีอะไร\n2,ในภาพมีหมากี่ตัว\n"),
    ("cp1253", "image,question\n1,Ποιο ζώο είναι στην εικόνα;\n"),
    ("cp1255", "image,question\n1,מה צבע החתול\n"),
    ("cp1256", "image,question\n1,ما لون القطة؟\n"),
    ("utf-16", CHINESE[0]),
    ("utf-16-be", CHINESE[0]),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["gb18030", "gbk"])
@pytest.mark.parametrize("text", CHINESE)
def test_chinese_that_is_no_utf_8_is_read_with_a_warning(tmp_path, text, encoding, packed):
    if encoding == "gbk":
        text = text.replace("🫁", "")  # GB18030 alone has it
    path = tmp_path / ("rows.csv.gz" if packed else "rows.csv")
    path.write_bytes((gzip.compress if packed else bytes)(text.encode(encoding)))
    with pytest.warns(GuessedEncoding, match=r"rows\.csv"):
        assert read_text(path) == text
    assert read_start(path) == text
    assert text.startswith(read_start(path, 60))


def test_a_byte_order_mark_is_no_letter(tmp_path):
    (tmp_path / "a.csv").write_bytes(f"\ufeff{CHINESE[0]}".encode("gb18030"))
    with pytest.warns(GuessedEncoding):
        assert read_text(tmp_path / "a.csv") == CHINESE[0]


@pytest.mark.parametrize(("encoding", "text"), OTHERS)
def test_other_encodings_are_refused_with_their_place(tmp_path, encoding, text):
    path = tmp_path / "rows.csv"
    data = text.encode(encoding)
    path.write_bytes(data)
    with pytest.raises(UnicodeDecodeError) as place:
        data.decode("utf-8")
    with pytest.raises(BadData) as refused:
        read_text(path)
    assert refused.value.location == str(path)
    assert f"byte {place.value.start} " in refused.value.message


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_byte_in_utf_8_is_not_taken_for_another_encoding(tmp_path, place):
    data = bytearray((CHINESE[0] * 20).encode())
    data[place:place] = b"\xff" if place else b"\xfe"
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(BadData, match="byte"):
        read_text(tmp_path / "a.csv")


def test_noise_is_never_chinese(tmp_path):
    draw = random.Random(0)
    high = [
        bytes(draw.choices(range(0xB0, 0xF8), k=2 * n)) for n in range(40, 90) for _ in range(20)
    ]
    for data in high:  # all of it would be letters of GB2312
        (tmp_path / "a.csv").write_bytes(b"image,caption\n1.jpg," + data)
        with pytest.raises(BadData):
            read_text(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.jsonl"])
def test_a_chinese_table_is_prepared_without_any_option(tmp_path, name):
    columns = ("文件名", "问题", "答案", "划分")
    rows = [
        ("猫.jpg", "图中有什么动物？", "猫", "训练"),
        ("狗.jpg", "这只狗是什么颜色的？", "棕色|黑色", "训练集"),
        ("人.jpg", "图中有几个人？", "两个", "验证"),
        ("车.jpg", "车停在哪里？", "路边", "测试集"),
    ]
    between = "\t" if name.endswith("tsv") else ","
    lines = [between.join(row) for row in (columns, *rows)]
    if name.endswith("jsonl"):
        lines = [
            json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows
        ]
    root = tmp_path / "set"
    root.mkdir()
    (root / name).write_bytes("\n".join(lines).encode("gb18030"))
    touch(root, *(row[0] for row in rows))
    folder = DataFolder(prepare(None, root, tmp_path / "data"))
    assert [q.text for q in folder.questions("train")] == [rows[0][1], rows[1][1]]
    assert folder.questions("train")[1].answers == ("棕色", "黑色")
    assert [q.text for q in folder.questions("val")] == [rows[2][1]]
    assert [q.text for q in folder.questions("test")] == [rows[3][1]]
    (note,) = [note for note in folder.about["notes"] if "GB18030" in note]
    assert name in note


def test_a_table_in_utf_8_has_no_such_note(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    (root / "data.csv").write_text(CHINESE[0].replace("1.jpg", "2.jpg"), encoding="utf-8")
    touch(root, "2.jpg")
    folder = DataFolder(prepare(None, root, tmp_path / "data"))
    assert not [note for note in folder.about["notes"] if "GB18030" in note]


def test_no_name_of_a_column_stands_for_two_parts():
    names = [name for known in COLUMNS.values() for name in known]
    assert len(set(names)) == len(names)
    assert set(SPLIT_WORDS.values()) == {"train", "val", "test"}


@pytest.mark.parametrize("what", COLUMNS)
def test_every_name_of_a_column_is_known(what):
    from saccade.datasets.columns import known_among

    for name in COLUMNS[what]:
        assert known_among([f" {name.upper()} "]) == {what: f" {name.upper()} "}
