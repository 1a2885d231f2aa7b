# ruff: noqa: RUF001 - letters of other scripts are what this is about
"""Other scripts than the Latin: from a table in UTF-8 to words, answers and scores."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from saccade.config import change
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import Collection, ImageRecord, Question
from saccade.datasets.prepare import prepare
from saccade.metrics.bleu import corpus_bleu
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.text.answers import normalise_answer
from saccade.text.segmentation import as_sentence, words_of_any_script
from saccade.text.tokenizers import TOKENIZERS, as_question, caption_words
from saccade.text.vocabulary import question_vocabulary
from saccade.training.train import train
from tests.source_samples import touch
from tests.worlds import make_world

CUT = [
    ("图中有什么颜色的猫？", "图 中 有 什 么 颜 色 的 猫"),
    ("这是iPhone 15吗?", "这 是 iphone 15 吗"),
    ("猫は何匹いますか？", "猫 は 何 匹 い ま す か"),
    ("ｶﾒﾗとカメラ", "カ メ ラ と カ メ ラ"),  # narrow Kana are the same letters
    ("고양이가 몇 마리 있어요?", "고 양 이 가 몇 마 리 있 어 요"),
    ("한글", "한 글"),  # decomposed Hangul
    ("𠮷野家", "𠮷 野 家"),  # beyond the first 65,536 characters
    ("人々", "人 々"),
    ("Ｗｈａｔ　ｉｓ　２？", "what is 2"),  # wide Latin
    ("Was für ein Tier ist's?", "was für ein tier ists"),
    ("Où est l’élève ?", "où est lélève"),
    ("Какого цвета кошка?", "какого цвета кошка"),
    ("ما لون القطة؟", "ما لون القطة"),
    ("बिल्ली कहाँ है?", "बिल्ली कहाँ है"),  # vowel signs belong to their letters
    ("می‌خواهم", "میخواهم"),  # a joiner of no width
    ("Ποιο ζώο είναι;", "ποιο ζώο είναι"),
    ("แมว 2 ตัวสีดำ?", "แ ม ว 2 ตั ว สี ดำ"),  # signs belong to their letters
    ("น้ำiPhone๑๕", "น้ำ iphone๑๕"),
    ("ແມວກິນນ້ຳ", "ແ ມ ວ ກິ ນ ນ້ຳ"),
    ("ឆ្មានៅឯណា?", "ឆ្មា នៅ ឯ ណា"),  # a letter below a letter
    ("ကြောင် ရှိသလား။", "ကြော င် ရှိ သ လား"),
    ("", ""),
    ("…？！", ""),
]


@pytest.mark.parametrize(("text", "words"), CUT)
def test_words_of_every_script(text, words):
    assert words_of_any_script(text) == words.split()
    assert TOKENIZERS["multilingual"](text) == words.split()


@given(st.text(max_size=30))
def test_any_text_gives_words_that_stay_as_they_are(text):
    words = words_of_any_script(text)
    assert all(word and word.split() == [word] for word in words)
    again = words_of_any_script(" ".join(words))
    assert words_of_any_script(" ".join(again)) == again  # lower case may compose anew, once


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=30))
def test_captions_with_blanks_are_cut_as_they_ever_were(text):
    from string import punctuation

    plain = text.lower().translate(str.maketrans("", "", punctuation)).split()
    assert caption_words(text) == tuple(plain)


@pytest.mark.parametrize("text", ["图中有什么？", "何ですか？", "Was?", "ما هذا؟"])
def test_questions_end_with_the_mark_of_their_script(text):
    assert as_question(text) == text
    assert as_question(text[:-1]) == f"{text[:-1]}?"


# A set of one's own in three languages, with names of files in them, as a spreadsheet writes it.
ROWS = [
    ("猫.jpg", "图中有什么动物？", "猫|猫|小猫", "一只黑色的猫坐在桌子上。", "train"),
    ("猫.jpg", "猫是什么颜色的？", "黑色", "桌子上有一只猫。", "train"),
    ("犬.jpg", "何匹の犬がいますか？", "２匹|2匹", "二匹の犬が走っている。", "train"),
    ("개.jpg", "개가 몇 마리 있어요?", "두 마리", "개 두 마리가 뛰고 있다.", "val"),
]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "图片"
    root.mkdir()
    lines = ["image,question,answer,caption,split", *(",".join(row) for row in ROWS)]
    (root / "表.csv").write_text("\n".join(lines), encoding="utf-8")
    touch(root, *(row[0] for row in ROWS))
    return DataFolder(prepare(None, root, tmp_path / "data"))


class TestCjkSet:
    def test_texts_and_names_are_kept_letter_for_letter(self, folder):
        train = folder.questions("train")
        assert [q.text for q in train] == [row[1] for row in ROWS[:3]]
        assert train[0].answers == ("猫", "猫", "小猫")
        assert {p.file for p in folder.images()} == {row[0] for row in ROWS}
        assert all((folder.image_root / p.file).is_file() for p in folder.images())
        assert folder.answer_counts()["小猫"] == 1

    def test_question_words_are_characters_that_a_vocabulary_knows(self, folder):
        counts = folder.word_counts("multilingual", "questions")
        assert counts["猫"] == 1
        assert counts["什"] == 2
        vocabulary = question_vocabulary(counts, tokenizer="multilingual")
        ids = vocabulary.encode(vocabulary.cut("什么颜色的猫？"))
        assert vocabulary.decode(ids) == ["什", "么", "颜", "色", "的", "猫"]

    def test_captions_are_words_that_scores_can_count(self, folder):
        said = [caption.words for caption in folder.captions("train")]
        assert said[0] == tuple("一只黑色的猫坐在桌子上")
        assert folder.word_counts("karpathy", "captions")["一"] == 2
        bleu = corpus_bleu([said[1]], [[said[0], said[1]]]).corpus
        assert bleu[0] == pytest.approx(1)
        # 一只猫桌子上: six of its eleven characters stand in the other caption
        assert corpus_bleu([said[0]], [[said[1]]]).corpus[0] == pytest.approx(6 / 11)

    def test_the_way_to_cut_questions_is_told(self, folder):
        (told,) = [f for f in folder.about["findings"] if "multilingual" in f["hint"]]
        assert told["level"] == "note"
        assert told["count"] == len(ROWS)

    def test_answers_are_compared_without_being_cut(self):
        assert normalise_answer("小猫") == "小猫"
        assert normalise_answer(" 猫 ") == "猫"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("a dog runs .", "a dog runs ."),
        ("\u4e00 \u53ea \u72d7 \u5728 \u8dd1", "\u4e00\u53ea\u72d7\u5728\u8dd1"),
        ("\u4e00 iphone 15 \u624b \u673a", "\u4e00 iphone 15 \u624b\u673a"),
    ],
)
def test_sentences_are_written_as_their_script_is(words, sentence):
    assert as_sentence(words.split()) == sentence


# Which tokenizer a training takes.

ASKED = {
    "Chinese": ["图中有什么动物？", "这只猫是什么颜色的？", "桌子上有几只猫,狗在哪里？"],
    "Japanese": ["猫は何匹いますか？", "何色ですか？", "犬はどこにいますか？"],
    "Thai": ["แมวสีอะไร", "ในภาพมีหมากี่ตัว?", "นี่คืออะไร"],
    "Lao": ["ແມວສີຫຍັງ?", "ມີໝາຈັກໂຕ?", "ນີ້ແມ່ນຫຍັງ?"],
    "Khmer": ["តើឆ្មានៅឯណា?", "តើមានឆ្កែប៉ុន្មាន?", "នេះជាអ្វី?"],
    "Burmese": ["ကြောင်ကဘာအရောင်လဲ?", "ခွေးဘယ်နှစ်ကောင်ရှိလဲ?", "ဒါကဘာလဲ?"],
}
SPACED = {
    "English": ["What is it?", "How many dogs are there?", "Is it red?"],
    "Russian": ["Какого цвета кошка?", "Сколько собак?", "Что это?"],
    "Arabic": ["ما لون القطة؟", "كم عدد الكلاب؟", "ما هذا؟"],
    "Hindi": ["बिल्ली कहाँ है?", "यह क्या है?", "कितने कुत्ते हैं?"],
    "Vietnamese": ["Con mèo màu gì?", "Có mấy con chó?", "Đây là gì?"],
}
AT_BLANKS = [name for name in TOKENIZERS if name not in ("multilingual", "karpathy")]


def asked_folder(out, texts, source="table"):
    images = [ImageRecord(i, f"{i}.png", "train") for i in range(len(texts))]
    questions = [
        Question(i, i, text, "train", ("yes", "no"), "yes") for i, text in enumerate(texts)
    ]
    write_folder(out, Collection(source, str(out), images, questions))
    return DataFolder(out)


@pytest.mark.parametrize("name", AT_BLANKS)
@pytest.mark.parametrize("language", ASKED)
def test_questions_without_blanks_are_cut_whatever_the_recipe_names(tmp_path, language, name):
    folder = asked_folder(tmp_path / "data", ASKED[language])
    assert folder.tokenizer_for(name) == "multilingual"
    assert all(len(words_of_any_script(text)) > 2 for text in ASKED[language])


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("language", SPACED)
def test_questions_with_blanks_are_cut_as_the_recipe_says(tmp_path, language, name):
    parts_signs = language == "Hindi" and name == "basic_vqa"  # no letters, for its pattern
    taken = asked_folder(tmp_path / "data", SPACED[language]).tokenizer_for(name)
    assert taken == ("multilingual" if parts_signs else name)


@pytest.mark.parametrize("language", ASKED)
def test_a_tokenizer_that_cuts_such_a_script_is_kept(tmp_path, language, monkeypatch):
    """As one of another package that knows the language."""
    folder = asked_folder(tmp_path / "data", ASKED[language])

    def pairs(text):
        words = words_of_any_script(text)
        return ["".join(words[i : i + 2]) for i in range(0, len(words), 2)]

    monkeypatch.setitem(TOKENIZERS._lines, "pairs", pairs)
    for name in ("multilingual", "karpathy", "pairs"):
        assert folder.tokenizer_for(name) == name


@pytest.mark.parametrize(("unspaced", "taken"), [(0, "san"), (1, "san"), (5, "multilingual")])
def test_a_bilingual_set_is_cut_for_both(tmp_path, unspaced, taken):
    texts = ["What is it?"] * (20 - unspaced) + ["这是什么动物？"] * unspaced
    assert asked_folder(tmp_path / "data", texts).tokenizer_for("san") == taken


@pytest.mark.slow
def test_a_training_notes_and_says_which_tokenizer_it_took(tmp_path):
    folder = make_world(tmp_path / "data")
    chinese = {"What is it?": "这是什么动物？", "Is it a cat?": "这是一只猫吗？"}
    write_folder(
        folder.path,
        Collection(
            "table",
            str(folder.path),
            folder.images(),
            [
                question._replace(text=chinese[question.text])
                for split in ("train", "val")
                for question in folder.questions(split)
            ],
        ),
        replace_other=True,
    )
    recipe = change(RECIPES["san-small"], "train.epochs=1")
    console = Console(record=True, width=500, file=io.StringIO())
    train(recipe, folder.path, tmp_path / "run", console=console, device="cpu")
    (line,) = [line for line in console.export_text().splitlines() if "multilingual" in line]
    assert recipe.text.tokenizer in line
    run = open_run(tmp_path / "run")
    assert run.header.recipe.text.tokenizer == run.words.vocabulary.tokenizer == "multilingual"
    assert {"猫", "吗"} < set(run.words.vocabulary.words)
    more = change(recipe, "train.epochs=1")  # resumed as it was begun
    train(more, folder.path, tmp_path / "run", resume=True, console=Console(quiet=True))


@pytest.mark.parametrize("language", ASKED)
def test_captions_without_blanks_are_cut_when_they_are_read(language):
    for text in ASKED[language]:
        words = caption_words(text)
        assert len(words) > 2
        assert as_sentence(words) in text.replace(",", "").replace("ໝ", "ຫມ")
