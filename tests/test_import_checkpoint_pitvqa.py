"""PitVQA-Net's checkpoints: state dicts and whole modules, the ViT by its old and its new names."""

import json
import re

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import ViTConfig, ViTModel

import saccade
from saccade.core.errors import BadCheckpoint
from saccade.data.batch import VqaBatch
from saccade.datasets.pitvqa import CLASSES
from saccade.inference.model import load_model
from saccade.interop.import_checkpoint import import_checkpoint
from saccade.interop.pitvqa import ENDOVIS18
from saccade.run_folder import open_run
from tests.import_samples import parallel, published_as, shaken
from tests.oracles import pitvqa as published

END = "<|endoftext|>"
WIDTH, PATCH = 64, 16


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A small tokenizer of GPT-2's kind, in its two files."""
    cutter = Tokenizer(BPE())
    cutter.pre_tokenizer = ByteLevel(add_prefix_space=False)
    learn = BpeTrainer(vocab_size=290, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    learn.special_tokens = [END]
    cutter.train_from_iterator(["What is the surgical phase shown in the image?"] * 3, learn)
    folder = tmp_path_factory.mktemp("gpt2")
    cutter.model.save(str(folder))
    return folder


class PitVQANet(published.PitVQANet):
    """The whole network, ViT and tokenizer included."""

    def __init__(self, words, classes=59, **heads):
        sizes = {"vision": WIDTH, "width": WIDTH, "ff": 48, "layers": 2, "hidden": 20}
        super().__init__(vocabulary=words, classes=classes, **{"heads": 1} | sizes | heads)
        self.visual_encoder = ViTModel(
            ViTConfig(
                hidden_size=WIDTH,
                num_hidden_layers=2,
                num_attention_heads=1,
                intermediate_size=40,
                image_size=2 * PATCH,
                patch_size=PATCH,
            )
        )


def network(gpt2, classes=59, **heads):
    torch.manual_seed(0)
    words = json.loads((gpt2 / "vocab.json").read_text())
    return shaken(PitVQANet(len(words), classes, **heads))


OLD = (
    *(
        (rf"attention\.{new}_proj", f"attention.attention.{old}")
        for new, old in (("q", "query"), ("k", "key"), ("v", "value"))
    ),
    (r"attention\.o_proj", "attention.output.dense"),
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
    (r"\.layers\.", ".encoder.layer."),
)


def old_names(state):
    """As transformers 4 called the ViT's layers, with the constants that it saved."""
    turned = {}
    for name, tensor in state.items():
        old = name
        if name.startswith("visual_encoder."):
            for pattern, called in OLD:
                old = re.sub(pattern, called, old)
        turned[old] = tensor
    turned["gpt_decoder.h.0.attn.bias"] = torch.ones(1, 1, 8, 8).bool()
    turned["text_encoder.embeddings.position_ids"] = torch.arange(8)[None]
    return turned


def with_words(folder, gpt2):
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_text((gpt2 / name).read_text())


def agrees(oracle, run, folder):
    """Frames of the ViT's own size, asked two questions of different length."""
    loaded = saccade.load(run)
    image = folder / "frame.png"
    Image.effect_mandelbrot((32, 32), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(image)
    encoded = loaded.encode(image)
    pixels = torch.tensor(list(Image.open(image).get_flattened_data())).reshape(32, 32, 3)
    with torch.inference_mode():
        frame = pixels.permute(2, 0, 1)[None] / 255  # and no more: not normalised
        seen = oracle.visual_encoder(frame).last_hidden_state
        torch.testing.assert_close(encoded.regions, seen, rtol=1e-4, atol=1e-4)
        vocabulary = loaded.opened.words.vocabulary
        for question in ("What is the image?", "shown?"):
            ids = vocabulary.encode(vocabulary.cut(question))
            padded, mask = published.padded([torch.tensor(ids)], vocabulary.pad, 30)
            wanted = oracle.head(oracle.pool(seen, padded, mask)[0])[0].softmax(dim=0)
            top = loaded.ask(encoded, question, top=3).top
            best = wanted.topk(3)
            answers = loaded.opened.words.answers.answers
            assert [name for name, _ in top] == [answers[i] for i in best.indices.tolist()]
            got = torch.tensor([share for _, share in top])
            torch.testing.assert_close(got, best.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", [old_names, dict])
@pytest.mark.parametrize("answers", [CLASSES, ENDOVIS18])
def test_a_state_dict_answers_as_the_released_network(tmp_path, gpt2, names, answers):
    oracle = network(gpt2, len(answers))
    path = tmp_path / "Best.pth.tar"
    torch.save({"epoch": 3, "Acc": 0.7, "model": parallel(names(oracle.state_dict()))}, path)
    with_words(tmp_path, gpt2)
    made = import_checkpoint("pitvqa", path, tmp_path / "run")
    assert "--mean 0,0,0 --std 1,1,1 --interpolation bicubic" in made.extract
    assert open_run(tmp_path / "run").words.answers.answers == tuple(answers)
    agrees(oracle, tmp_path / "run", tmp_path)


class Tokens:
    """What a pickled slow tokenizer of GPT-2 holds."""

    def __init__(self, folder):
        self.encoder = json.loads((folder / "vocab.json").read_text())
        lines = (folder / "merges.txt").read_text().splitlines()
        pairs = [tuple(line.split()) for line in lines if not line.startswith("#")]
        self.bpe_ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.pat = re.compile("x")


@pytest.mark.parametrize("heads", [(1, 1), (2, 4), (8, 2)])
def test_a_whole_module_brings_its_words_and_the_heads_of_both_networks(tmp_path, gpt2, heads):
    oracle = network(gpt2, heads=heads[0], gpt_heads=heads[1])
    oracle.tokenizer = Tokens(gpt2)
    path = tmp_path / "pitvqa_pit24_weights_3.pth.tar"
    optimiser = torch.optim.Adam(oracle.parameters(), lr=2e-5)
    with (
        published_as("PitVQANet", PitVQANet=PitVQANet),
        published_as("transformers.tokenization", GPT2Tokenizer=Tokens),
    ):
        value = {"epoch": 3, "model": oracle, "optimizer": optimiser, "final_args": {"lr": 2e-5}}
        torch.save(value, path)
    made = import_checkpoint("pitvqa", path, tmp_path / "run")
    assert not any("heads" in note for note in made.notes)
    model = open_run(tmp_path / "run").header.recipe.model
    assert (model.text_heads, model.language_heads) == heads
    agrees(oracle, tmp_path / "run", tmp_path)


def test_a_state_dict_tells_no_heads(tmp_path, gpt2):
    """What is taken instead is said, and can be set, for each network by itself."""
    oracle = network(gpt2, heads=2, gpt_heads=4)
    path = tmp_path / "Best.pth"
    torch.save(oracle.state_dict(), path)
    with_words(tmp_path, gpt2)
    told = import_checkpoint("pitvqa", path, tmp_path / "guessed").notes
    assert any("model.text_heads=1, model.language_heads=1" in note for note in told)
    settings = ("model.text_heads=2", "model.language_heads=4")
    import_checkpoint("pitvqa", path, tmp_path / "run", changes=settings)
    agrees(oracle, tmp_path / "run", tmp_path)


@pytest.mark.parametrize("said", ["text_heads", "language_heads"])
def test_heads_of_an_unusual_width_are_asked_for(tmp_path, gpt2, said):
    """96 numbers are 12 heads of 8 as well as 8 of 12: nothing is taken for granted."""
    words = len(json.loads((gpt2 / "vocab.json").read_text()))
    sizes = {"vision": WIDTH, "width": 96, "heads": 8, "ff": 48, "layers": 1, "hidden": 20}
    path = tmp_path / "behind.pth"
    torch.save(published.PitVQANet(vocabulary=words, classes=59, **sizes).state_dict(), path)
    with pytest.raises(BadCheckpoint, match="heads"):
        import_checkpoint(
            "pitvqa", path, tmp_path / "run", words=gpt2, changes=(f"model.{said}=8",),
            backbone="timm:test_vit", weights="random",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_store_may_look_instead(tmp_path, gpt2):
    """Without its ViT the checkpoint is an ordinary model over 64 numbers a region."""
    oracle = network(gpt2)
    state = {n: t for n, t in oracle.state_dict().items() if not n.startswith("visual_encoder.")}
    path = tmp_path / "behind.pth"
    torch.save(state, path)
    eye = {"backbone": "timm:test_vit", "weights": "random"}
    import_checkpoint("pitvqa", path, tmp_path / "run", words=gpt2, **eye)
    run = open_run(tmp_path / "run")
    model = load_model(run)
    regions = torch.randn(1, 5, WIDTH)
    ids = torch.tensor([[5, 6, 7]])
    batch = VqaBatch(regions, torch.ones(1, 5).bool(), torch.tensor([0]), ids, torch.tensor([3]))
    padded, mask = published.padded([ids[0]], run.words.vocabulary.pad, 30)
    with torch.no_grad():
        wanted = oracle.head(oracle.pool(regions, padded, mask)[0])
        torch.testing.assert_close(model(batch).logits, wanted, rtol=1e-4, atol=1e-5)


def test_what_is_missing_is_asked_for(tmp_path, gpt2):
    oracle, path = network(gpt2, classes=7), tmp_path / "Best.pth"
    torch.save(oracle.state_dict(), path)
    out = tmp_path / "run"
    with pytest.raises(BadCheckpoint, match=r"no tokenizer.json, nor vocab.json.*--words FILE"):
        import_checkpoint("pitvqa", path, out)
    with_words(tmp_path, gpt2)
    with pytest.raises(BadCheckpoint, match=r"no known data set of 7.*--answers FILE"):
        import_checkpoint("pitvqa", path, out)
    torch.save({n: t for n, t in oracle.state_dict().items() if "h.1.ln_1" not in n}, path)
    with pytest.raises(BadCheckpoint, match=r"2 missing \(gpt_decoder.h.1.ln_1.weight"):
        import_checkpoint("pitvqa", path, out)
    assert not out.exists()
