"""Checkpoints of other programs, synthetic ones: what was brought over says the very same."""

import json

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.nn import functional

import saccade
from saccade.data.batch import CaptionBatch, VqaBatch
from saccade.inference.decoding import beam_search, rules_of
from saccade.inference.explain import explain
from saccade.inference.model import load_model
from saccade.interop.import_checkpoint import import_checkpoint
from saccade.run_folder import open_run
from tests import import_samples as samples
from tests.captioner_checks import packed
from tests.import_samples import ANSWERS, CAPTION_WORDS, DIM, EYE, TOKENS


def imported(kind, path, **settings):
    out = path.parent / "run"
    import_checkpoint(kind, path, out, **{**EYE, **settings})
    run = open_run(out)
    return run, load_model(run)


def questions(dim=DIM):
    """Four questions, padded behind with 0, about two images of 2 x 2 regions."""
    draw = torch.Generator().manual_seed(1)
    return VqaBatch(
        regions=torch.randn(2, 4, dim, generator=draw),
        region_mask=torch.ones(2, 4, dtype=torch.bool),
        image=torch.tensor([0, 1, 1, 0]),
        question=torch.tensor([[1, 2, 3], [4, 7, 0], [5, 0, 0], [6, 6, 1]]),
        question_length=torch.tensor([3, 2, 1, 3]),
    )


def captions(vocabulary, regions):
    """Two captions of two images, the longer one first."""
    rows = [vocabulary.encode_caption(words) for words in (CAPTION_WORDS, ("a", "horse"))]
    length = torch.tensor([len(row) for row in rows])
    padded = [row + [vocabulary.pad] * (max(length) - len(row)) for row in rows]
    mask = torch.ones(regions.shape[:2], dtype=torch.bool)
    return CaptionBatch(regions, mask, torch.arange(2), torch.tensor(padded), length)


def agree(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def image(folder):
    path = folder / "image.png"
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("new", [True, False])
def test_pytorch_vqa(tmp_path, new):
    path, oracle = samples.pytorch_vqa(tmp_path, new=new)
    run, model = imported("pytorch-vqa", path)
    batch = questions()
    grid = batch.regions[batch.image].transpose(1, 2).unflatten(2, (2, 2))
    wanted, got = oracle(grid, batch.question, batch.question_length), model(batch)
    agree(got.logits, wanted.logits)
    agree(got.attention, wanted.attention)
    assert run.words.vocabulary.encode(["what", "café", "unheard"]) == [2, 7, 0]
    assert run.words.answers.answers == ANSWERS
    answer = saccade.load(run.path).ask(image(tmp_path), "What is this?", top=2)
    assert answer.text in ANSWERS
    assert answer.attention.shape == (3, 4)
    drawn = explain(run.path, image(tmp_path), tmp_path / "looked.png", question="What?")
    assert drawn.stat().st_size > 1000


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("attention", ["newatt", "baseline0"])
def test_hengyuan_hu(tmp_path, attention, protocol):
    path, oracle = samples.hengyuan_hu(tmp_path, attention=attention, protocol=protocol)
    run, model = imported("hengyuan-hu", path)
    batch = questions()
    wanted = oracle(batch.regions[batch.image], batch.question - 1, batch.question_length)
    got = model(batch)
    agree(got.logits, wanted.logits)
    agree(got.attention, wanted.attention)
    assert [run.words.vocabulary.words[i] for i in (1, 7)] == [TOKENS[0], "café"]
    assert saccade.load(run.path).ask(image(tmp_path), "what's this?").text in ANSWERS


def test_hengyuan_hu_with_more_layers_and_todays_names_of_weight_norm(tmp_path):
    def todays(state):
        parts = {"weight_g": "original0", "weight_v": "original1"}
        new = {}
        for name, tensor in state.items():
            layer, _, leaf = name.rpartition(".")
            todays = f"parametrizations.weight.{parts[leaf]}" if leaf in parts else leaf
            new[f"{layer}.{todays}"] = tensor.reshape(1) if tensor.ndim == 0 else tensor
        return new

    shape = {"layers": 2, "ways": 2, "kind": "LSTM"}
    path, oracle = samples.hengyuan_hu(tmp_path, edit=todays, **shape)
    run, model = imported("hengyuan-hu", path)
    assert run.header.recipe.model.bidirectional
    batch = questions()
    wanted = oracle(batch.regions[batch.image], batch.question - 1, batch.question_length)
    agree(model(batch).logits, wanted.logits)


def attends(oracle, model, vocabulary, dim=DIM):
    """A decoder with attention over the 2 x 2 grid, which the oracle sees blown up."""
    batch = captions(vocabulary, torch.randn(2, 4, dim, generator=torch.Generator().manual_seed(1)))
    cells = show_cells(batch.regions)
    reading = oracle(cells, batch.caption, batch.caption_length)
    agree(model(batch).logits, packed(reading.predictions, batch))


def show_cells(regions):
    grid = regions.transpose(1, 2).unflatten(2, (2, 2))
    return functional.adaptive_avg_pool2d(grid, (14, 14)).permute(0, 2, 3, 1)


@pytest.mark.parametrize("new", [True, False])
def test_sgrvinod_whole_modules(tmp_path, new):
    oracle = samples.attend_tell(tmp_path)
    run, model = imported("sgrvinod", samples.whole_modules(tmp_path, oracle, new=new))
    attends(oracle, model, run.words.vocabulary)
    said = saccade.load(run.path).caption(image(tmp_path))
    assert said.boxes.shape == (4, 4)
    assert json.loads((run.path / "run.json").read_text())["store"]["preprocessing"]["height"] == 64


COURSE = {
    "write-up": {"attention.full_att": "attention.att", "f_beta": "beta"},
    "copies": {
        "attention.encoder_att": "attention.encoder",
        "attention.decoder_att": "attention.decoder",
        "attention.full_att": "attention.fc",
        "f_beta": "beta",
    },
}


@pytest.mark.parametrize("names", COURSE)
@pytest.mark.parametrize("form", ["decoder", "plain", "prefix"])
def test_sgrvinod_state_dicts_under_every_course_name(tmp_path, names, form):
    oracle = samples.attend_tell(tmp_path)
    state = {}
    for name, tensor in oracle.state_dict().items():
        layer, _, leaf = name.rpartition(".")
        state[f"{COURSE[names].get(layer, layer)}.{leaf}"] = tensor
    if form == "decoder":
        state = {"epoch": 1, "decoder": state}
    elif form == "prefix":
        state = {f"decoder.{name}": tensor for name, tensor in state.items()}
    path = tmp_path / "model.pth"
    torch.save(state, path)
    run, model = imported("sgrvinod", path)
    attends(oracle, model, run.words.vocabulary)


class ScalarGate(samples.show_attend_tell.ShowAttendTell):
    """A course copy's: what was seen times one number, which no sigmoid has squashed."""

    def next_state(self, word_vectors, encoder_out, hidden, memory):
        seen, alpha = self.attention(encoder_out, hidden)
        heard = torch.cat([word_vectors, self.f_beta(hidden) * seen], dim=1)
        return *self.decode_step(heard, (hidden, memory)), alpha


def test_the_scalar_gate_of_a_course_copy(tmp_path):
    sizes = {"attention_dim": 7, "embed_dim": 8, "decoder_dim": 12}
    oracle = ScalarGate(samples.word_map(tmp_path), DIM, **sizes)
    oracle.f_beta = torch.nn.Linear(12, 1)
    path = tmp_path / "decoder.pth"
    torch.save(samples.shaken(oracle).state_dict(), path)
    run, model = imported("sgrvinod", path)
    assert run.header.recipe.model.gate == "scalar"
    attends(oracle, model, run.words.vocabulary)
    said = beam_search(model, torch.randn(1, 4, DIM), torch.ones(1, 4).bool(), rules_of(
        run.words.vocabulary, run.header.recipe.decode))  # fmt: skip
    assert said


def test_sgrvinod_brings_its_own_encoder(tmp_path):
    torch.manual_seed(0)
    encoder = samples.TutorialEncoder(torchvision.models.resnet18(weights=None))
    for name, tensor in encoder.state_dict().items():
        if "running" in name:
            tensor.add_(torch.rand_like(tensor) * 0.1)
    encoder.eval()
    oracle = samples.attend_tell(tmp_path, dim=512)
    torch.nn.init.normal_(oracle.fc.weight)
    oracle.fc.bias.data[[0, 7]] = -99  # padding and start, which are never said here
    path = samples.whole_modules(tmp_path, oracle, encoder)
    out = tmp_path / "run"
    made = import_checkpoint("sgrvinod", path, out)
    assert "--weights" in made.extract
    run = saccade.load(out)
    image_path = image(tmp_path)
    pixels = torch.from_numpy(np.array(Image.open(image_path))).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        wanted = encoder.resnet(((pixels - mean[:, None, None]) / std[:, None, None])[None])
        cells = encoder.adaptive_pool(wanted).permute(0, 2, 3, 1)
        encoded = run.encode(image_path)
        seen = encoded.regions[0].T.unflatten(1, (8, 8))
        torch.testing.assert_close(seen, wanted[0], rtol=1e-3, atol=1e-4)
        vocabulary = open_run(out).words.vocabulary
        kinds = {"start": vocabulary.start, "end": vocabulary.end}
        spoken = samples.show_attend_tell.beam_search(oracle, cells, beam_size=3, **kinds)
        assert vocabulary.start == 7
        assert (
            run.caption(encoded, beam_size=3).text.split() == vocabulary.decode(spoken.words) != []
        )


@pytest.mark.parametrize("cells", [196, 1])
def test_the_courses_decoder_without_attention(tmp_path, cells):
    oracle = samples.course_rnn(tmp_path, cells)
    path = samples.whole_modules(tmp_path, oracle, name="DecoderWithRNN")
    run, model = imported("sgrvinod", path)
    assert run.header.recipe.model.init_pool == ("flatten" if cells == 196 else "mean")
    batch = captions(run.words.vocabulary, torch.randn(2, 4, DIM))
    seen = show_cells(batch.regions)
    seen = seen if cells == 196 else seen.mean(dim=(1, 2))
    wanted = oracle(seen, batch.caption, batch.caption_length)
    agree(model(batch).logits, packed(wanted, batch))


def reads(name, oracle, regions, batch):
    """The oracle's logits of both captions, each with its own length."""
    padded = torch.zeros(2, batch.caption.shape[1] - 1, len(CAPTION_WORDS) + 2)
    for row, length in enumerate(batch.caption_length.tolist()):
        caption, own = batch.caption[row, :length], regions[row]
        if name == "updown":
            said = oracle(own[None], caption[None])[0][0]
        elif name == "adaatt":
            said = oracle(own, caption).logits[0]
        elif name == "transformer":
            said = oracle(own, caption)[0]
        else:
            said = oracle(own.mean(dim=0)[None], caption[None], None)[0]
        padded[row, : length - 1] = said
    return packed(padded, batch)


@pytest.mark.parametrize("name", ["updown", "adaatt", "newfc", "show_tell", "transformer"])
def test_self_critical(tmp_path, name):
    options = {"num_att_heads": 4} if name == "transformer" else {}
    path, oracle = samples.self_critical(tmp_path, name, **options)
    run, model = imported("self-critical", path)
    vocabulary = run.words.vocabulary
    batch = captions(vocabulary, torch.randn(2, 4, DIM, generator=torch.Generator().manual_seed(1)))
    assert batch.caption[0].tolist() == [0, 1, 2, 3, 4, 5, 0]
    for row, words in zip(batch.caption.tolist(), (CAPTION_WORDS, ("a", "horse")), strict=True):
        assert vocabulary.decode(row) == vocabulary.decode(row[1:]) == list(words)
    agree(model(batch).logits, reads(name, oracle, batch.regions, batch))
    rules = rules_of(vocabulary, run.header.recipe.decode)
    assert rules.banned == (vocabulary.unknown,)
    for hypothesis in beam_search(model, batch.regions, batch.region_mask, rules):
        assert len(vocabulary.decode(hypothesis.words)) == len(hypothesis.words)
    assert isinstance(saccade.load(run.path).caption(image(tmp_path)).text, str)


@pytest.mark.parametrize("name", ["updown", "transformer"])
def test_a_batch_norm_on_regions_is_folded_into_the_layer_behind_it(tmp_path, name):
    norm = torch.nn.BatchNorm1d(DIM).eval()
    samples.shaken(norm)

    def behind_norm(state):
        new = {}
        for key, tensor in state.items():
            new[key.replace("att_embed.0", "att_embed.1")] = tensor
        return new | {f"att_embed.0.{key}": tensor for key, tensor in norm.state_dict().items()}

    path, oracle = samples.self_critical(tmp_path, name, edit=behind_norm)
    run, model = imported("self-critical", path)
    regions = torch.randn(2, 4, DIM, generator=torch.Generator().manual_seed(1))
    batch = captions(run.words.vocabulary, regions)
    if name == "updown":  # its mean region is not normalised
        oracle.att_embed = torch.nn.Sequential(Along(norm), oracle.att_embed)
        wanted = reads(name, oracle, regions, batch)
    else:
        wanted = reads(name, oracle, Along(norm)(regions), batch)
    with torch.no_grad():
        agree(model(batch).logits, wanted)


class Along(torch.nn.Module):
    """A batch norm over the last dimension of three."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, values):
        return self.norm(values.transpose(1, 2)).transpose(1, 2)
