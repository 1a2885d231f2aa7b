"""Words of pretrained language models: the file's ids, and runs that need the file no more."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import GPT2Tokenizer

from saccade.config import TextConfig, change
from saccade.core.errors import BadConfig, BadData, MissingWeights
from saccade.experiment import assemble
from saccade.features.preprocessing import grid_boxes
from saccade.inference.predictor import EncodedImage, load
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.text.vocabulary import Words, file_vocabulary
from saccade.training.train import train
from tests.worlds import make_world

END = "<|endoftext|>"
TEXTS = [
    "What is the surgical phase shown in the image?",
    "is it a cat?",
    "  two  blanks,CAPITALS and 1234 digits",
    "ünïcode 手術 \U0001f600 it's",
    f"the end {END} and after",
    "",
]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer of GPT-2's kind in its two files: bytes, merges, end of text last."""
    cutter = Tokenizer(BPE())
    cutter.pre_tokenizer = ByteLevel(add_prefix_space=False)
    learn = BpeTrainer(vocab_size=300, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    cutter.train_from_iterator([*TEXTS, "What is it? Is it a cat? a cow"] * 3, learn)
    folder = tmp_path_factory.mktemp("gpt2")
    cutter.model.save(str(folder))
    words = json.loads((folder / "vocab.json").read_text())
    words[END] = len(words)
    (folder / "vocab.json").write_text(json.dumps(words))
    return folder


@pytest.fixture(scope="module")
def oracle(gpt2: Path) -> GPT2Tokenizer:
    return GPT2Tokenizer(vocab=str(gpt2 / "vocab.json"), merges=str(gpt2 / "merges.txt"))


class TestGpt2:
    @pytest.mark.parametrize("text", TEXTS)
    def test_ids_are_those_of_transformers(self, gpt2, oracle, text) -> None:
        vocabulary = file_vocabulary(f"file:{gpt2}")
        assert vocabulary.encode(vocabulary.cut(text)) == oracle(text)["input_ids"]

    def test_end_of_text_fills_short_questions_and_nothing_is_unknown(self, gpt2) -> None:
        vocabulary = file_vocabulary(f"file:{gpt2}")
        last = len(vocabulary) - 1
        assert (vocabulary.pad, vocabulary.unknown) == (last, last)
        assert vocabulary.words[last] == END
        assert last not in vocabulary.encode(vocabulary.cut("unheard-of \x00\x7f"))

    def test_one_file_says_the_same_as_two_whatever_it_says_of_padding(
        self, gpt2, tmp_path
    ) -> None:
        two = file_vocabulary(f"file:{gpt2}")
        cutter = Tokenizer.from_str(two.rules)
        cutter.enable_padding(length=40)
        cutter.enable_truncation(3)
        cutter.save(str(tmp_path / "tokenizer.json"))
        for path in (tmp_path, tmp_path / "tokenizer.json"):
            assert replace(file_vocabulary(f"file:{path}"), tokenizer=two.tokenizer) == two

    def test_the_vocabulary_alone_cuts_as_before(self, gpt2) -> None:
        vocabulary = file_vocabulary(f"file:{gpt2}")
        written = json.loads(json.dumps(Words(vocabulary).to_json()))
        again = Words.from_json(written, Path("words.json")).vocabulary
        assert again == vocabulary
        assert [again.cut(text) for text in TEXTS] == [vocabulary.cut(text) for text in TEXTS]


def test_berts_kind_has_padding_and_an_unknown_word_of_its_own(tmp_path: Path) -> None:
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "is", "it", "a", "cat", "##s", "?")
    cutter = Tokenizer(WordPiece({word: id_ for id_, word in enumerate(words)}, unk_token="[UNK]"))
    cutter.pre_tokenizer = Whitespace()
    cutter.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    cutter.save(str(tmp_path / "tokenizer.json"))
    vocabulary = file_vocabulary(f"file:{tmp_path}")
    assert (vocabulary.pad, vocabulary.unknown, vocabulary.words) == (0, 1, words)
    assert vocabulary.encode(vocabulary.cut("is it dog cats?")) == [2, 4, 5, 1, 7, 8, 9, 3]


class TestWhatIsNoTokenizer:
    def test_a_folder_without_files(self, tmp_path) -> None:
        with pytest.raises(BadConfig, match=r"there is no tokenizer.*vocab\.json"):
            file_vocabulary(f"file:{tmp_path}")
        with pytest.raises(MissingWeights, match=r"nowhere: there are no words.*put it as nowhere"):
            file_vocabulary("file:nowhere")

    @pytest.mark.parametrize("text", ["{", "{}", "[1]", "\x00"])
    def test_other_files(self, tmp_path, text) -> None:
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(BadData, match="no tokenizer"):
            file_vocabulary(f"file:{tmp_path}")

    def test_two_files_that_do_not_belong_together(self, gpt2, tmp_path) -> None:
        (tmp_path / "vocab.json").write_text('{"a": 0, "<|endoftext|>": 1}')
        (tmp_path / "merges.txt").write_bytes((gpt2 / "merges.txt").read_bytes())
        with pytest.raises(BadData, match="no tokenizer"):
            file_vocabulary(f"file:{tmp_path}")
        (tmp_path / "merges.txt").write_bytes(b"\xff\xfe")
        with pytest.raises(BadData):
            file_vocabulary(f"file:{tmp_path}")

    @pytest.mark.parametrize(
        ("words", "message"),
        [({"a": 0, "<pad>": 2}, "gaps"), ({"a": 0, "b": 1}, "to fill short questions with")],
    )
    def test_vocabularies_that_cannot_be_used(self, tmp_path, words, message) -> None:
        Tokenizer(BPE(vocab=words, merges=[])).save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(BadData, match=message):
            file_vocabulary(f"file:{tmp_path}")

    def test_rules_that_were_edited(self, gpt2) -> None:
        written, path = Words(file_vocabulary(f"file:{gpt2}")).to_json(), Path("words.json")
        written["vocabulary"]["rules"] = "{}"
        with pytest.raises(BadData, match="no tokenizer"):
            Words.from_json(written, path).vocabulary.cut("a")
        del written["vocabulary"]["rules"]
        with pytest.raises(BadData, match="unknown tokenizer"):
            Words.from_json(written, path)


def test_a_recipe_takes_them_for_questions_only_and_takes_them_whole() -> None:
    assert TextConfig(tokenizer="file:gpt2", max_length=3).tokenizer == "file:gpt2"
    for recipe, change_, message in (
        ("show-attend-tell-small", "text.tokenizer=file:gpt2", "captions are counted in the data"),
        ("joint-embedding-openvqa", "text.tokenizer=file:gpt2", "all known"),
        ("pitvqa", "text.min_count=2", "all known"),
    ):
        with pytest.raises(BadConfig, match=message):
            change(RECIPES[recipe], change_)


@pytest.mark.parametrize("mode", ["faithful", "fixed"])
def test_a_run_carries_its_tokenizer(gpt2: Path, tmp_path: Path, mode: str) -> None:
    """Data folder to answer, with the tokenizer's file gone before the answer."""
    away = tmp_path / "words"
    away.mkdir()
    for file in gpt2.iterdir():
        (away / file.name).write_bytes(file.read_bytes())
    world = make_world(tmp_path / "data", train=12, val=4)
    recipe = RECIPES["pitvqa-small"]
    for setting in (f"text.tokenizer=file:{away}", f"model.mode={mode}", "train.epochs=1"):
        recipe = change(recipe, setting)
    experiment = assemble(recipe, world)
    assert experiment.sizes.pad == experiment.sizes.words - 1
    train(recipe, world.path, tmp_path / "run", console=Console(quiet=True))
    for file in away.iterdir():
        file.unlink()
    run = open_run(tmp_path / "run")
    assert run.words.vocabulary == experiment.words.vocabulary
    assert run.header.sizes == experiment.sizes
    regions, mask = experiment.store.read(experiment.store.rows([0]))
    encoded = EncodedImage(
        torch.from_numpy(regions).float(), torch.from_numpy(mask), grid_boxes(2, 3)
    )
    answer = load(tmp_path / "run").ask(encoded, "What is it")
    assert answer.text in ("cat", "dog", "cow", "fox", "yes", "no", "nothing")
    with pytest.raises(BadConfig, match="there is no tokenizer"):
        assemble(recipe, world)
