"""word2vec's binary form and fastText's text, and files that are taken for word vectors."""

import gzip
import io
import pickle
import tracemalloc
import zipfile
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saccade.core.errors import BadData
from saccade.text.segmentation import words_of_any_script
from saccade.text.vocabulary import Vocabulary, caption_vocabulary, question_vocabulary
from saccade.training import word_vectors as word_vector_files
from saccade.training.word_vectors import read_word_vectors

VECTORS = {
    "the": [0.5, -1.5, 2],
    "cat": [1, 0.25, 3],
    "of": [7, 8, 9],
    "café": [-0.25, 0, 0.125],
    "new_york": [4, 5, 6],
}
WORDS = caption_vocabulary({"cat": 9, "café": 8, "bird": 7, "the": 6}, min_count=1)
EXPECTED = {1: [1, 0.25, 3], 2: [-0.25, 0, 0.125], 4: [0.5, -1.5, 2]}


def binary(vectors, behind=b"\n", count=None, width=None):
    """The bytes as word2vec.c writes them; gensim writes nothing behind a vector."""
    width = width or len(next(iter(vectors.values())))
    head = f"{len(vectors) if count is None else count} {width}\n".encode()
    return head + b"".join(
        word.encode() + b" " + np.array(values, "<f4").tobytes() + behind
        for word, values in vectors.items()
    )


def text(vectors, behind=""):
    width = len(next(iter(vectors.values())))
    lines = [f"{len(vectors)} {width}"]
    lines += [
        " ".join([word, *(repr(float(value)) for value in values)]) + behind
        for word, values in vectors.items()
    ]
    return ("\n".join(lines) + "\n").encode()


def written(tmp_path, content, name="vectors.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def found(path, words=WORDS, width=3):
    vectors = read_word_vectors(path, words, width)
    assert vectors.values.dtype == np.float32
    return dict(zip(vectors.ids.tolist(), vectors.values.tolist(), strict=True))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(binary(VECTORS), id="as word2vec.c writes it"),
        pytest.param(binary(VECTORS, behind=b""), id="as gensim writes it"),
        pytest.param(gzip.compress(binary(VECTORS)), id="gzip"),
        pytest.param(
            b"".join(gzip.compress(bytes([byte])) for byte in binary(VECTORS)), id="gzip in bits"
        ),
        pytest.param(binary(VECTORS).replace(b"5 3\n", b"5 3 \r\n", 1), id="a head with more"),
        pytest.param(binary({**VECTORS, "<unk>": [9, 9, 9]}), id="special words"),
        pytest.param(text(VECTORS), id="text"),
        pytest.param(text(VECTORS, behind=" "), id="fastText's .vec"),
    ],
)
def test_either_form_is_known_by_what_is_in_it(tmp_path, content):
    for name in ("vectors.bin", "vectors.vec", "vectors.txt.gz"):
        assert found(written(tmp_path, content, name)) == EXPECTED


def test_of_a_word_that_stands_twice_the_first_one_counts(tmp_path):
    twice = binary(VECTORS) + binary({"cat": [9, 9, 9]}).partition(b"\n")[2]
    assert found(written(tmp_path, twice.replace(b"5 3", b"6 3", 1))) == EXPECTED


def test_numbers_that_look_like_letters_are_numbers(tmp_path):
    """Float32 whose bytes are digits, blanks and line ends: a vector's bytes are never searched."""
    tricky = np.frombuffer(b"1 2\n \n 3cat ", "<f4").tolist()
    vectors = {"the": [0, 0, 0], "cat": tricky, "café": [1, 2, 3]}
    assert found(written(tmp_path, binary(vectors))) == {4: [0, 0, 0], 1: tricky, 2: [1, 2, 3]}


def test_a_word_that_word2vec_cut_within_a_letter_is_let_pass(tmp_path):
    content = binary(VECTORS).replace("café".encode(), b"caf\xc3")
    assert found(written(tmp_path, content)).keys() == {1, 4}


@pytest.mark.parametrize("behind", [b"\n", b""])
def test_gensims_promise_of_words_that_stood_twice_is_a_note(tmp_path, behind):
    path = written(tmp_path, binary(VECTORS, behind=behind, count=7))
    assert found(path) == EXPECTED
    note = read_word_vectors(path, WORDS, 3).note
    assert "holds 5 words" in note
    assert "promises 7" in note
    with pytest.raises(BadData, match="ends within word 6 of 7"):
        found(written(tmp_path, path.read_bytes() + b"bird \0\0"))


NAN = binary({**VECTORS, "bird": [1, float("nan"), 3]})
HUGE = binary({"the": [1, 2, 3], "x" * 5000: [1, 2, 3]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary(VECTORS)[:-1], None),  # only the line's end behind the last vector is missing
        (binary(VECTORS)[:-2], "ends within word 5 of 5. The file is not whole"),
        (binary(VECTORS, behind=b"")[:-20], "ends within word 5 of 5"),
        (binary(VECTORS)[:12], "ends within word 1 of 5"),
        (binary(VECTORS, count=7), None),  # what gensim writes, see below
        (binary(VECTORS, count=4), "goes on after the 4 words"),
        (binary(VECTORS) + b"more", "goes on after the 5 words"),
        (binary(VECTORS, width=4), r"vectors of 4 numbers, the model's words have 3.*embedding=4"),
        (NAN, "the vector of word 6 has something else than numbers"),
        (binary({**VECTORS, "bird": [1, 2, float("inf")]}), "the vector of word 6 has something"),
        (binary(VECTORS).replace(b"of", b"o\xff"), "word 3 of 5 is not UTF-8. Bytes were lost"),
        (binary(VECTORS).replace(b"cat", b"c\xe9t"), "word 2 of 5 is not UTF-8"),
        (HUGE, "word 2 of 2 has no blank behind it"),
        (binary({"foo": [1, 2, 3]}), "none of its 1 words is one of the vocabulary's 4"),
        (b"0 3\n", "is empty"),
        (b"0 3\n\x00\x01 \x02", "is empty|goes on after the 0 words"),
        (gzip.compress(binary(VECTORS), mtime=0)[:-9], "cannot be read"),
    ],
)
def test_a_broken_file_is_named_with_its_word(tmp_path, content, message):
    path = written(tmp_path, content)
    if message is None:
        assert found(path) == EXPECTED
        return
    with pytest.raises(BadData, match=message) as caught:
        read_word_vectors(path, WORDS, 3)
    assert caught.value.location == str(path)


def test_vectors_of_another_length_than_the_first_line_says(tmp_path):
    """Every later word begins in the middle of a vector: bytes of numbers are hardly ever words."""
    rng = np.random.default_rng(0)
    vectors = {f"word{n}": rng.normal(size=8) for n in range(50)}
    for said in (7, 9):
        path = written(tmp_path, binary(vectors, width=said))
        with pytest.raises(BadData, match=r"word \d+ of 50 (is not UTF-8|has no blank)|ends|has"):
            read_word_vectors(path, caption_vocabulary({"word0": 1}, min_count=1), said)


def npz():
    made = io.BytesIO()
    np.savez(made, vectors=np.zeros(3))
    return made.getvalue()


def npy():
    made = io.BytesIO()
    np.save(made, np.zeros(3))
    return made.getvalue()


def zipped(name):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "the 1 2 3\n")
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((793712314).to_bytes(4, "little") + bytes(60), r"a model of fastText.*Give the \.vec"),
        *((pickle.dumps({"a": 1}, n), "is a pickled object.*save_word2vec_format") for n in (2, 5)),
        (npz(), r"is a zip archive, the first file in it is 'vectors\.npy'.*save_word2vec_format"),
        (npy(), r"is an array of NumPy.*without their words"),
        (zipped("glove.6B.300d.txt"), r"is 'glove\.6B\.300d\.txt'. Unpack it"),
        (zipped("archive/data.pkl"), r"data\.pkl'. Where it was made"),
        (zipped("\x1b[2J"), r"is '\\x1b\[2J'"),
        (b"BZh91AY", "is packed by bzip2. Unpack it"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_other_files_are_told_by_name(tmp_path, content, message, pack):
    with pytest.raises(BadData, match=message):
        read_word_vectors(written(tmp_path, pack(content)), WORDS, 3)


LETTERS = st.characters(codec="utf-8", exclude_categories=("Z", "C"))
NUMBERS = st.floats(-10, 10, width=32)


@st.composite
def some_vectors(draw):
    width = draw(st.integers(4, 9))
    numbers = st.lists(NUMBERS, min_size=width, max_size=width)
    return draw(st.dictionaries(st.text(LETTERS, min_size=1), numbers, min_size=1, max_size=8))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_vectors(), st.data())
def test_text_and_binary_of_the_same_vectors_are_read_the_same(tmp_path, vectors, data):
    wanted = data.draw(st.sets(st.sampled_from(sorted(vectors)), min_size=1))
    words = ("<pad>", *sorted(wanted - {"<pad>"}))
    vocabulary = Vocabulary(words, pad=0, unknown=0, tokenizer="karpathy")
    width = len(next(iter(vectors.values())))
    expected = {n: vectors[word] for n, word in enumerate(words) if n}
    contents = [text(vectors), binary(vectors), binary(vectors, behind=b"")]
    for content in [*contents, *map(partial(gzip.compress, compresslevel=1), contents)]:
        path = written(tmp_path, content)
        if not expected:
            with pytest.raises(BadData, match="none of its"):
                read_word_vectors(path, vocabulary, width)
        else:
            assert found(path, vocabulary, width) == expected


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 200), added=st.binary(max_size=20), at=st.integers(0, 120))
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, cut, added, at):
    whole = binary(VECTORS)
    path = written(tmp_path, (whole[:at] + added + whole[at:])[:cut])
    with suppress(BadData):
        assert np.isfinite(read_word_vectors(path, WORDS, 3).values).all()


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_it_does_not_matter_where_a_piece_ends(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(word_vector_files, "CHUNK", piece)
    monkeypatch.setattr(word_vector_files, "MAX_WORD", 10)
    assert found(written(tmp_path, binary(VECTORS))) == EXPECTED


def test_memory_holds_what_is_wanted_and_not_the_file(tmp_path):
    width, count = 300, 20_000  # 24 MB
    row = np.arange(width, dtype="<f4").tobytes()
    path = tmp_path / "large.bin"
    with path.open("wb") as stream:
        stream.write(f"{count} {width}\n".encode())
        for number in range(count):
            stream.write(b"w%d " % number + row + b"\n")
    words = caption_vocabulary({f"w{n}": 1 for n in range(0, count, 1000)}, min_count=1)
    tracemalloc.start()
    try:
        vectors = read_word_vectors(path, words, width)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert vectors.values.shape == (20, width)
    assert most < 6_000_000


def test_chinese_words_are_found_in_fasttexts_file(tmp_path):
    """cc.zh.300.vec holds words and single characters; questions are cut into characters."""
    content = text(
        {"\uff0c": [1, 1, 1], "的": [1, 2, 3], "猫": [4, 5, 6], "什么": [7, 8, 9], "?": [0, 0, 1]}
    )
    asked = ["这是什么颜色的猫\uff1f", "猫在哪里?"]
    counts: dict[str, int] = {}
    for word in (word for question in asked for word in words_of_any_script(question)):
        counts[word] = counts.get(word, 0) + 1
    words = question_vocabulary(counts, tokenizer="multilingual")
    read = read_word_vectors(
        written(tmp_path, gzip.compress(content), "cc.zh.300.vec.gz"), words, 3
    )
    known = {words.words[id_]: row.tolist() for id_, row in zip(read.ids, read.values, strict=True)}
    assert known["猫"] == [4, 5, 6]
    assert known["的"] == [1, 2, 3]
    assert "什么" not in known, "a word of two characters is no word of the vocabulary"
