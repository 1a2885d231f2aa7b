"""Checkpoints of other programs, synthetic ones: what was brought over says the very same."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.nn import functional

import saccade
from saccade.core.errors import BadCheckpoint
from saccade.data.batch import CaptionBatch, VqaBatch
from saccade.inference.decoding import beam_search, rules_of
from saccade.inference.explain import explain
from saccade.inference.model import load_model
from saccade.interop.import_checkpoint import import_checkpoint
from saccade.run_folder import open_run
from tests import import_samples as samples
from tests.captioner_checks import packed
from tests.import_samples import ANSWERS, CAPTION_WORDS, DIM, EYE, TOKENS
from tests.oracles import search


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


def of_mcan_vqa(state):
    return {key.replace("adapter.frcn", "img_feat"): tensor for key, tensor in state.items()}


@pytest.mark.parametrize(("name", "edit"), [("mcan", dict), ("mcan", of_mcan_vqa), ("butd", dict)])
def test_openvqa(tmp_path, name, edit):
    """Which pads every image to 100 regions; BUTD attends to what it pads with."""
    path, oracle = samples.openvqa(tmp_path, name, edit=edit)
    changes = ("model.heads=2",) if name == "mcan" else ()
    run, model = imported("openvqa", path, changes=changes)
    batch = questions()
    batch.region_mask[1, 3:] = False
    image_of_each = (batch.regions * batch.region_mask[..., None])[batch.image]
    padded = functional.pad(image_of_each, (0, 0, 0, 96))
    with torch.no_grad():
        wanted = oracle(padded, batch.question, batch.question_length).logits
        got = model(batch)
    torch.testing.assert_close(got.logits, wanted, rtol=4e-6, atol=4e-6)
    torch.testing.assert_close(got.attention.sum(dim=2), torch.ones(4, 1))
    many = replace(batch, regions=torch.randn(2, 120, DIM), region_mask=torch.ones(2, 120).bool())
    if name == "butd":  # more regions than it pads to: nothing is added
        with torch.no_grad():
            wanted = oracle(many.regions[many.image], many.question, many.question_length).logits
            torch.testing.assert_close(model(many).logits, wanted, rtol=4e-6, atol=4e-6)
    assert run.words.vocabulary.encode(["what", "unheard", "café"]) == [4, 1, 8]
    assert run.words.answers.answers == ANSWERS
    assert saccade.load(run.path).ask(image(tmp_path), "What is this?").text in ANSWERS


def test_openvqas_words_must_be_written_out(tmp_path):
    path, _ = samples.openvqa(tmp_path, "mcan")
    words = json.loads((tmp_path / "token_to_ix.json").read_text())
    (tmp_path / "token_to_ix.json").write_text(json.dumps({w: words[w] for w in list(words)[2:]}))
    with pytest.raises(BadCheckpoint, match="ids are not 0") as told:
        imported("openvqa", path)
    assert "token_to_ix.json" in str(told.value.location)
    swapped = words | {"PAD": 1, "UNK": 0}
    (tmp_path / "token_to_ix.json").write_text(json.dumps(swapped))
    with pytest.raises(BadCheckpoint, match="PAD and UNK"):
        imported("openvqa", path)
    (tmp_path / "token_to_ix.json").unlink()
    with pytest.raises(BadCheckpoint, match="--words FILE"):
        imported("openvqa", path)
    assert not (tmp_path / "run").exists()


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
    """The oracle's logits of the captions, each with its own length."""
    rows = len(batch.caption)
    padded = torch.zeros(rows, batch.caption.shape[1] - 1, len(CAPTION_WORDS) + 2)
    for row, length in enumerate(batch.caption_length.tolist()):
        caption, own = batch.caption[row, :length], regions[row]
        if name == "updown":
            said = oracle(own[None], caption[None])[0][0]
        elif name.startswith("adaatt"):
            said = oracle(own, caption).logits[0]
        elif name in ("transformer", "att2in2", "aoa"):
            said = oracle(own, caption)[0]
        else:
            said = oracle(own.mean(dim=0)[None], caption[None], None)[0]
        padded[row, : length - 1] = said
    return packed(padded, batch)


HEADS = {"transformer": {"num_att_heads": 4}, "aoa": {"num_heads": 2}}
NETS = ("updown", "adaatt", "newfc", "show_tell", "transformer", "att2in2", "fc", "adaattmo", "aoa")


@pytest.mark.parametrize("name", NETS)
def test_self_critical(tmp_path, name):
    path, oracle = samples.self_critical(tmp_path, name, **HEADS.get(name, {}))
    run, model = imported("self-critical", path)
    vocabulary = run.words.vocabulary
    batch = captions(vocabulary, torch.randn(2, 4, DIM, generator=torch.Generator().manual_seed(1)))
    assert batch.caption[0].tolist() == [0, 1, 2, 3, 4, 5, 0]
    for row, words in zip(batch.caption.tolist(), (CAPTION_WORDS, ("a", "horse")), strict=True):
        assert vocabulary.decode(row) == vocabulary.decode(row[1:]) == list(words)
    with torch.no_grad():
        wanted = reads(name, oracle, batch.regions, batch)
        torch.testing.assert_close(model(batch).logits, wanted, rtol=4e-6, atol=4e-6)
    assert isinstance(saccade.load(run.path).caption(image(tmp_path)).text, str)


@pytest.mark.parametrize("name", NETS)
def test_self_critical_says_what_the_program_says(tmp_path, name):
    """Its own search over the oracle, where the unknown word is likely and captions differ."""

    def outspoken(state):
        layer = "model.generator.proj" if name == "transformer" else "logit"
        state[f"{layer}.weight"].normal_(std=2)
        for key in ("embed.0.weight", "embed.weight", "model.tgt_embed.0.lut.weight"):
            state.get(key, torch.zeros(1)).mul_(4)
        state[f"{layer}.bias"].copy_(torch.tensor([-1.0, 0, 0, 0, 0, 0, 1]))
        return state

    path, oracle = samples.self_critical(tmp_path, name, edit=outspoken, **HEADS.get(name, {}))
    run, model = imported("self-critical", path)
    rules = rules_of(run.words.vocabulary, run.header.recipe.decode)
    assert rules.banned == (run.words.vocabulary.unknown,)
    assert rules.max_length == (16 if name in ("fc", "show_tell") else 20)
    rules = replace(rules, max_length=6)
    regions = torch.randn(6, 4, DIM, generator=torch.Generator().manual_seed(2)) * 2
    mask, said = torch.ones(6, 4).bool(), []
    for beam_size in (2, 3, 5):
        found = beam_search(model, regions, mask, rules, beam_size=beam_size)
        for own, hypothesis in zip(regions, found, strict=True):

            def log_p(words, own=own):
                caption = torch.tensor([[*words, 0]])
                batch = CaptionBatch(
                    own[None], mask[:1], torch.tensor([0]), caption,
                    torch.tensor([caption.shape[1]]),
                )  # fmt: skip
                return reads(name, oracle, batch.regions, batch)[-1].log_softmax(0)

            with torch.no_grad():
                wanted = search.ruotianluos_beam_search(
                    functools.cache(log_p),
                    start=0,
                    end=0,
                    unknown=rules.banned[0],
                    beam_size=beam_size,
                    max_length=6,
                )
            assert hypothesis.words == wanted.words
            assert abs(hypothesis.log_probability - wanted.score) < 2e-5
            said.append((tuple(hypothesis.words), hypothesis.ended))
    assert len(set(said)) > 1, "captions that are all alike show little"


class Along(torch.nn.Module):
    """A batch norm over the last dimension."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, values):
        return self.norm(values.flatten(0, -2)).view_as(values)


@pytest.mark.parametrize("use_bn", [1, 2])
@pytest.mark.parametrize("name", ["updown", "adaatt", "adaattmo", "transformer", "att2in2", "aoa"])
def test_batch_norms_before_and_behind_the_layer_of_regions(tmp_path, name, use_bn):
    """The first is folded into the layer, the second (`use_bn=2`) is kept."""
    width = {"updown": 12}.get(name, 8)
    norms = [samples.shaken(torch.nn.BatchNorm1d(n).eval()) for n in (DIM, width)][:use_bn]

    def with_norms(state):
        new = {key.replace("att_embed.0", "att_embed.1"): tensor for key, tensor in state.items()}
        for place, norm in zip((0, 4), norms, strict=False):
            parts = norm.state_dict().items()
            new |= {f"att_embed.{place}.{key}": tensor for key, tensor in parts}
        return new

    path, oracle = samples.self_critical(tmp_path, name, edit=with_norms, **HEADS.get(name, {}))
    run, model = imported("self-critical", path)
    assert run.header.recipe.model.region_norm == (use_bn == 2)
    regions = torch.randn(2, 4, DIM, generator=torch.Generator().manual_seed(1))
    batch = captions(run.words.vocabulary, regions)
    before, *behind = map(Along, norms)  # the mean region is not normalised
    oracle.att_embed = torch.nn.Sequential(before, *oracle.att_embed, *behind)
    with torch.no_grad():
        wanted = reads(name, oracle, regions, batch)
        torch.testing.assert_close(model(batch).logits, wanted, rtol=4e-6, atol=4e-6)


def test_heads_that_no_file_tells_are_said(tmp_path):
    """Any number of them has the same tensors: wrong ones would answer wrongly in silence."""
    path, _ = samples.self_critical(tmp_path, "transformer", num_att_heads=2)
    told = import_checkpoint("self-critical", path, tmp_path / "told", **EYE)
    assert not any("heads" in note for note in told.notes)
    words = tmp_path / "words.json"  # of the program's data, without its options
    words.write_text(json.dumps({"ix_to_word": {
        str(id_): word for id_, word in enumerate([*CAPTION_WORDS, "UNK"], start=1)
    }}))  # fmt: skip
    alone = import_checkpoint("self-critical", path, tmp_path / "alone", words=words, **EYE)
    assert any("model.heads=8" in note for note in alone.notes)
    (tmp_path / "openvqa").mkdir()
    path, _ = samples.openvqa(tmp_path / "openvqa", "mcan")
    made = import_checkpoint("openvqa", path, tmp_path / "mcan", **EYE)
    assert any("model.heads=8" in note for note in made.notes)


def test_a_setting_without_tensors_is_refused(tmp_path):
    path, _ = samples.self_critical(tmp_path, "aoa", num_heads=2, out_res=1)
    with pytest.raises(BadCheckpoint, match="out_res"):
        imported("self-critical", path)
