"""Word vectors from files: what is read, what is refused, and where it ends up."""

import gzip

import numpy as np
import pytest
import torch
from rich.console import Console

from saccade.config import change
from saccade.core.errors import SaccadeError
from saccade.core.tensors import load_tensors
from saccade.data.batch import Sizes
from saccade.inference.model import load_model
from saccade.models.catalogue import MODELS, build_model
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.text.vocabulary import caption_vocabulary, question_vocabulary
from saccade.training.train import train
from saccade.training.word_vectors import initialise_embedding, read_word_vectors
from tests.worlds import make_world

GLOVE = "the 0.5 -1.5 2\ncat 1 2e-1 3\nof 7 8 9\ncafé -0.25 0 0.125\ndog 4 5 6\n"
WORDS = caption_vocabulary({"cat": 9, "café": 8, "bird": 7, "the": 6}, min_count=1)
EXPECTED = {1: [1, 0.2, 3], 2: [-0.25, 0, 0.125], 4: [0.5, -1.5, 2]}


def found(path, words=WORDS, width=3):
    vectors = read_word_vectors(path, words, width)
    return dict(zip(vectors.ids.tolist(), vectors.values.tolist(), strict=True))


def written(tmp_path, content, name="vectors.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(GLOVE, id="GloVe"),
        pytest.param(GLOVE.rstrip("\n"), id="without a last line's end"),
        pytest.param("5 3\n" + GLOVE, id="word2vec text"),
        pytest.param("5 3\n" + GLOVE.replace("\n", " \n"), id="word2vec's blanks behind"),
        pytest.param(GLOVE.replace("\n", "\r\n"), id="lines as Windows ends them"),
        pytest.param(GLOVE + "\n\n", id="empty lines"),
        pytest.param(GLOVE + "cat 9 9 9\n", id="a word twice: the first one counts"),
        pytest.param(GLOVE + "the cat 1 2 3\n. . . 1 2 3\n", id="words with blanks"),
        pytest.param(GLOVE + "<unk> 9 9 9\n<start> 9 9 9\n<pad> 9 9 9\n", id="special words"),
        pytest.param(GLOVE + "of x y z\n", id="numbers of other words are not read"),
        pytest.param(gzip.compress(GLOVE.encode()), id="gzip"),
    ],
)
def test_vectors_of_the_vocabulary_are_read(tmp_path, content):
    assert found(written(tmp_path, content)) == {
        id_: pytest.approx(values) for id_, values in EXPECTED.items()
    }


def test_the_name_of_a_file_says_nothing_of_gzip(tmp_path):
    assert found(written(tmp_path, GLOVE, "vectors.gz")).keys() == EXPECTED.keys()
    assert (
        found(written(tmp_path, gzip.compress(GLOVE.encode()), "v.txt")).keys() == EXPECTED.keys()
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("0 3\n", "is empty"),
        ("the 1 2\ncat 3 4\n", r"vectors of 2 numbers, the model's words have 3.*embedding=2"),
        ("5 2\nthe 1 2\n", "vectors of 2 numbers"),
        ("5 3\nthe 1 2\n", "line 2 has 2 numbers, others have 3"),
        (GLOVE + "bird 1 2\n", "line 6 has 2 numbers"),
        (GLOVE + "ca", "line 6 has 0 numbers, others have 3. Is the file whole"),
        (GLOVE + "bird 1 x 3\n", "line 6 has something else than numbers"),
        (GLOVE + "bird 1 nan 3\n", "line 6 has something else than numbers"),
        (GLOVE + "bird 1  3\n", "line 6 has something else than numbers"),
        (GLOVE.encode() + b"na\xefve 1 2 3\n", "line 6 begins with a word that is not UTF-8"),
        (GLOVE.encode("utf-16"), "line 1 begins with a word that is not UTF-8"),
        ("7 3\n" + GLOVE.rstrip("\n"), "has 5 words, its first line promises 7.*no end"),
        ("4 3\n" + GLOVE, "has 5 words, its first line promises 4"),
        ("foo 1 2 3\nbar 1 2 3\n", "none of its 2 words is one of the vocabulary's 4"),
        ("the\t1\t2\t3\n", "line 1 is not a word and its numbers"),
        ("5 3\nthe \t1 2", "line 2 has 2 numbers"),
        (gzip.compress(GLOVE.encode(), mtime=0)[:-9], "cannot be read"),
        (gzip.compress(GLOVE.encode(), mtime=0)[:20] + b"rubbish" * 9, "cannot be read"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(SaccadeError, match=message) as caught:
        read_word_vectors(path, WORDS, 3)
    assert caught.value.location == str(path)


def test_gensims_promise_of_words_that_stood_twice_is_a_note(tmp_path):
    path = written(tmp_path, "7 3\n" + GLOVE)
    assert found(path).keys() == EXPECTED.keys()
    note = read_word_vectors(path, WORDS, 3).note
    assert "holds 5 words" in note
    assert "promises 7" in note
    assert "fetch" not in note
    model = with_width("joint_embedding")
    assert note in initialise_embedding(model, path, QUESTION)
    assert read_word_vectors(written(tmp_path, "5 3\n" + GLOVE), WORDS, 3).note == ""


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SaccadeError, match="no such file"):
        read_word_vectors(tmp_path / "none.txt", WORDS, 3)
    with pytest.raises(SaccadeError, match="cannot be read"):
        read_word_vectors(tmp_path, WORDS, 3)


SIZES = Sizes(words=6, region_dim=5, answers=4, grid=(2, 3), regions=6)
QUESTION = question_vocabulary(
    {"cat": 5, "the": 4, "of": 3, "bird": 2, "what": 1}, tokenizer="karpathy"
)
HAVE = [QUESTION.words.index(word) for word in ("cat", "the", "of")]


def with_width(name, width=3):
    torch.manual_seed(0)
    fields = type(MODELS[name].small).model_fields
    if "embedding" not in fields:
        return None
    return build_model(MODELS[name].small.model_copy(update={"embedding": width}), SIZES)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_with_words_takes_them(tmp_path, name):
    path = written(tmp_path, GLOVE)
    model = with_width(name)
    if model is None:
        torch.manual_seed(0)
        model = build_model(MODELS[name].small, SIZES)
        with pytest.raises(SaccadeError, match=r"no word embedding|vectors of 3 numbers"):
            initialise_embedding(model, path, QUESTION)
        return
    before = model.embed.weight.detach().clone()
    said = initialise_embedding(model, path, QUESTION)
    assert said == "3 of 5 words have a vector in vectors.txt."
    wanted = [[1, 0.2, 3], [0.5, -1.5, 2], [7, 8, 9]]
    torch.testing.assert_close(model.embed.weight[HAVE].detach(), torch.tensor(wanted))
    others = [id_ for id_ in range(6) if id_ not in HAVE]
    assert torch.equal(model.embed.weight[others], before[others]), "the others keep theirs"
    assert model.embed.weight.requires_grad


def test_the_published_code_gives_other_words_zeros(tmp_path):
    model = with_width("joint_embedding")
    initialise_embedding(model, written(tmp_path, GLOVE), QUESTION, missing="zero")
    others = [id_ for id_ in range(6) if id_ not in HAVE]
    assert not model.embed.weight[others].any()
    assert RECIPES["joint-embedding"].text.vectors_missing == "zero"


def test_a_model_that_hears_nothing_has_no_words(tmp_path):
    config = MODELS["ibowimg"].small.model_copy(update={"inputs": "image"})
    with pytest.raises(SaccadeError, match="IBowImg has no word embedding"):
        initialise_embedding(build_model(config, SIZES), written(tmp_path, GLOVE), QUESTION)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


def recipe_with(path, *changes):
    recipe = RECIPES["joint-embedding-small"]
    for assignment in (
        "train.epochs=1",
        "train.batch_size=16",
        "model.embedding=3",
        f"text.vectors={path}",
        *changes,
    ):
        recipe = change(recipe, assignment)
    return recipe


def test_a_run_begins_with_them_says_so_and_needs_the_file_no_more(world, tmp_path):
    path = written(tmp_path, "cat 1 2 3\nis 4 5 6\nred 7 8 9\n")
    recipe = recipe_with(path, "train.optimiser.learning_rate=1e-9")
    console = Console(record=True, width=20)
    train(recipe, world.path, tmp_path / "run", console=console)
    assert "2 of 5 words have a vector in vectors.txt." in console.export_text()
    path.unlink()
    run = open_run(tmp_path / "run")
    weight = load_model(run).embed.weight
    words = run.words.vocabulary.words
    torch.testing.assert_close(weight[words.index("cat")], torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(weight[words.index("is")], torch.tensor([4.0, 5.0, 6.0]))
    assert weight[words.index("what")].abs().max() < 1e-6, "zero, as this recipe has it"
    scores = train(
        change(recipe, "train.seed=0"), world.path, tmp_path / "run", resume=True, console=QUIET
    )
    assert scores


QUIET = Console(quiet=True)


def test_they_learn_like_any_weight(world, tmp_path):
    path = written(tmp_path, "cat 1 2 3\nis 4 5 6\n")
    train(recipe_with(path), world.path, tmp_path / "run", console=QUIET)
    words = open_run(tmp_path / "run").words.vocabulary.words
    weight = load_tensors(tmp_path / "run" / "last" / "state.safetensors")[0]["model.embed.weight"]
    moved = (weight[words.index("cat")] - torch.tensor([1.0, 2.0, 3.0])).abs()
    assert 1e-4 < moved.max() < 1


def test_an_earlier_run_and_vectors_contradict_each_other(world, tmp_path):
    path = written(tmp_path, "cat 1 2 3\n")
    train(recipe_with(path), world.path, tmp_path / "run", console=QUIET)
    with pytest.raises(SaccadeError, match="leave out --from"):
        train(
            recipe_with(path), world.path, tmp_path / "two", start=tmp_path / "run", console=QUIET
        )


def test_a_wrong_file_stops_before_the_run_begins(world, tmp_path):
    with pytest.raises(SaccadeError, match=r"model\.embedding=2"):
        train(
            recipe_with(written(tmp_path, "cat 1 2\n")), world.path, tmp_path / "run", console=QUIET
        )
    assert not (tmp_path / "run").exists()


def test_only_the_lines_of_known_words_are_turned_into_numbers(tmp_path, monkeypatch):
    from saccade.training import word_vectors as word_vector_files

    parsed = []
    monkeypatch.setattr(
        word_vector_files,
        "_numbers",
        lambda path, number, text: parsed.append(number) or np.zeros(3),
    )
    found(written(tmp_path, GLOVE))
    assert parsed == [1, 2, 4]
