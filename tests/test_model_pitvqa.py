"""PitVQA-Net against the released wiring, with the parts of transformers called as a whole."""

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional
from transformers import BlipTextConfig, BlipTextModel, GPT2Model, ViTConfig, ViTModel

from saccade.config import change
from saccade.core.errors import BadConfig, MissingWeights
from saccade.data.batch import Sizes, VqaBatch
from saccade.inference.predictor import load
from saccade.models.catalogue import MODELS, PitVqaConfig
from saccade.models.pitvqa import PitVqa
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.oracles import pairs
from tests.oracles import pitvqa as published
from tests.worlds import make_world

SIZES = Sizes(words=23, region_dim=6, answers=4, pad=22)
PUBLISHED = {
    "vocabulary": 23,
    "classes": 4,
    "vision": 6,
    "width": 8,
    "heads": 2,
    "ff": 12,
    "layers": 2,
    "hidden": 5,
}
NAMES = {
    "text_encoder": "text_encoder",
    "gpt_decoder": "language_model",
    "intermediate_layer": "intermediate",
    "se_layer.0": "gate",
    "LayerNorm": "norm",
    "classifier": "output",
}
CONVERT = pairs.renaming(NAMES)


def config(**changes):
    return PitVqaConfig(
        **{
            "width": 8,
            "text_heads": 2,
            "language_heads": 2,
            "feed_forward": 12,
            "text_layers": 2,
            "language_layers": 2,
            "max_length": 7,
            "hidden": 5,
            "dropout": 0,
            "language_dropout": 0,
        }
        | changes
    )


def vqa_batch(*, pad_words=0, pad_regions=0, dtype=torch.float64):
    """Five questions about three images, one of them without any; rubbish behind the regions."""
    draw = torch.Generator().manual_seed(0)
    length = torch.tensor([3, 8, 5, 1, 7])  # the second is longer than the model reads
    words = torch.randint(1, 22, (5, 8), generator=draw)
    words = words * (torch.arange(8) < length[:, None])
    regions, mask = torch.randn(3, 6, 6, generator=draw, dtype=dtype), torch.ones(3, 6) > 0
    mask[2, 4:] = False
    mask = functional.pad(mask, (0, pad_regions))
    regions = functional.pad(regions, (0, 0, 0, pad_regions))
    return VqaBatch(
        regions=regions.masked_fill(~mask[..., None], 9.0),
        region_mask=mask,
        image=torch.tensor([2, 0, 2, 2, 0]),
        question=functional.pad(words, (0, pad_words)),
        question_length=length,
        answers=torch.tensor([[0], [1], [2], [3], [1]]),
        answer_weights=torch.ones(5, 1, dtype=dtype),
    )


def both():
    """An oracle and saccade's model with its weights, in float64."""
    torch.manual_seed(0)
    oracle = published.PitVQANet(**PUBLISHED)
    for parameter in oracle.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.2)
    ours = PitVqa(config(), SIZES)
    pairs.copy_weights(oracle, ours, CONVERT)
    return oracle.double(), ours.double()


def answers_of(oracle, batch):
    """Each question on its own, with the real tokens of its image, up to the head."""
    pooled, looks = [], []
    for row, image in enumerate(batch.image.tolist()):
        question = batch.question[row, : int(batch.question_length[row])]
        ids, mask = published.padded([question], pad=22, max_length=7)
        one, look = oracle.pool(batch.regions[image][batch.region_mask[image]][None], ids, mask)
        pooled.append(one)
        looks.append(look[0][mask[0] > 0])
    return oracle.head(torch.cat(pooled)), looks


@pytest.mark.parametrize("training", [True, False])
def test_faithful_answers_are_the_released_ones(training):
    oracle, ours = both()
    batch = vqa_batch()
    oracle.train(training), ours.train(training)
    wanted, looks = answers_of(oracle, batch)
    output = ours(batch)
    torch.testing.assert_close(output.logits, wanted, rtol=0, atol=1e-9)
    for attention, look in zip(output.attention, looks, strict=True):
        torch.testing.assert_close(attention[0, : look.shape[1]], look.mean(dim=0))
    target = batch.answers[:, 0]
    functional.cross_entropy(wanted, target).backward()
    functional.cross_entropy(output.logits, target).backward()
    assert pairs.gradient_gap(oracle, ours, CONVERT) < 1e-9


def test_fixed_averages_real_words_only_and_knows_no_padding():
    """As if each question had been read alone and as it is."""
    oracle, _ = both()
    torch.manual_seed(1)
    ours = PitVqa(config(mode="fixed"), SIZES)
    state = CONVERT(dict(oracle.state_dict()))
    fresh = ours.state_dict()
    ours.load_state_dict({n: v if n.startswith("norm") else state[n] for n, v in fresh.items()})
    ours.double().eval()
    batch = vqa_batch()
    output = ours(batch)
    for row, image in enumerate(batch.image.tolist()):
        question = batch.question[row, : min(int(batch.question_length[row]), 7)]
        states = oracle.states(batch.regions[image][batch.region_mask[image]], question)
        hidden = ours.intermediate(states.mean(dim=0))
        hidden = ours.norm(hidden * torch.sigmoid(ours.gate(hidden)))
        torch.testing.assert_close(output.logits[row], ours.output(hidden))


@pytest.mark.parametrize("mode", ["faithful", "fixed"])
class TestBothModes:
    def model(self, mode, **changes):
        torch.manual_seed(0)
        model = PitVqa(config(mode=mode, **changes), SIZES)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
        return model

    def test_padding_changes_nothing(self, mode):
        model = self.model(mode).double().eval()
        plain, behind = model(vqa_batch()), model(vqa_batch(pad_words=3, pad_regions=2))
        torch.testing.assert_close(plain.logits, behind.logits)
        torch.testing.assert_close(plain.attention, behind.attention[..., :6])
        assert behind.attention[..., 6:].abs().sum() == 0

    def test_sharing_an_image_is_the_same_as_copying_it(self, mode):
        model, batch = self.model(mode).double().eval(), vqa_batch()
        shared = model(batch)
        batch.regions, batch.region_mask = (
            batch.regions[batch.image],
            batch.region_mask[batch.image],
        )
        batch.image = torch.arange(5)
        copied = model(batch)
        torch.testing.assert_close(shared.logits, copied.logits)
        torch.testing.assert_close(shared.attention, copied.attention)

    def test_attention_sums_to_one(self, mode):
        attention = self.model(mode).double().eval()(vqa_batch()).attention
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(5, 1, dtype=torch.float64))

    def test_every_trained_weight_learns_by_heart(self, mode):
        model, batch = self.model(mode), vqa_batch(dtype=torch.float32)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(40):
            optimiser.zero_grad()
            loss = functional.cross_entropy(model(batch).logits, batch.answers[:, 0])
            loss.backward()
            assert [
                n for n, p in model.named_parameters() if p.requires_grad and p.grad is None
            ] == []
            optimiser.step()
        assert loss.item() < 0.1
        asleep = [n for n, p in model.named_parameters() if not p.requires_grad]
        assert asleep == (["language_model.wte.weight"] if mode == "faithful" else [])

    def test_one_question_can_be_trained_on(self, mode):
        """The released code stops here: batch norm wants two."""
        model, batch = self.model(mode).train(), vqa_batch(dtype=torch.float32)
        for name in ("image", "question", "question_length"):
            setattr(batch, name, getattr(batch, name)[:1])
        model(batch).logits.sum().backward()
        assert model.training

    def test_dropout_is_where_it_was_asked_for(self, mode):
        batch = vqa_batch(dtype=torch.float32)
        for changes in ({"dropout": 0.5}, {"language_dropout": 0.5}):
            model = self.model(mode, **changes).train()
            assert not torch.equal(model(batch).logits, model(batch).logits)


def test_word_vectors_start_as_the_vocabulary_mix_up_leaves_them():
    sizes = SIZES._replace(words=30_600)
    torch.manual_seed(0)
    mixed = PitVqa(config(), sizes).text_encoder.embeddings.word_embeddings.weight
    assert mixed[0].abs().sum() == 0
    assert mixed[1:30_524].std().item() == pytest.approx(0.02, rel=0.02)
    assert mixed[30_524:].std().item() == pytest.approx(1, rel=0.1)
    equal = PitVqa(config(mode="fixed"), sizes).text_encoder.embeddings.word_embeddings.weight
    assert equal.std().item() == pytest.approx(0.02, rel=0.02)
    assert equal[0].abs().sum() > 0


class TestPretrainedWeights:
    """From a folder as `save_pretrained` writes it; the hub's are folders like it."""

    def test_both_parts_start_from_folders(self, tmp_path):
        torch.manual_seed(1)
        there = published.PitVQANet(**PUBLISHED)
        there.text_encoder.save_pretrained(tmp_path / "blip")
        there.gpt_decoder.save_pretrained(tmp_path / "gpt2")
        model = PitVqa(
            config(text_weights=str(tmp_path / "blip"), language_weights=str(tmp_path / "gpt2")),
            SIZES,
        )
        before = model.intermediate.weight.clone()
        model.initialise()
        state, wanted = model.state_dict(), CONVERT(dict(there.state_dict()))
        for name in state:
            if name.startswith(("text_encoder.", "language_model.")):
                assert torch.equal(state[name], wanted[name]), name
        assert torch.equal(model.intermediate.weight, before)

    def test_blip_s_own_names_and_words_are_understood(self, tmp_path):
        """BLIP's VQA checkpoints call it `text_encoder.` and have 30,524 words."""
        torch.manual_seed(1)
        there = nn.Module()
        about = BlipTextConfig(
            vocab_size=31,
            hidden_size=8,
            encoder_hidden_size=6,
            intermediate_size=12,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
        there.text_encoder = BlipTextModel(about, add_pooling_layer=False)
        there.text_encoder.save_pretrained(tmp_path, state_dict=there.state_dict())
        model = PitVqa(config(text_weights=str(tmp_path)), SIZES)
        words = model.text_encoder.embeddings.word_embeddings.weight.clone()
        model.initialise()
        state = there.text_encoder.state_dict()
        for name, value in model.text_encoder.state_dict().items():
            if "word_embeddings" not in name:
                assert torch.equal(value, state[name]), name
        assert model.text_encoder.embeddings.word_embeddings.weight.shape == words.shape

    def test_training_begins_with_them_and_the_run_needs_them_no_more(self, tmp_path):
        world = make_world(tmp_path / "data", train=8, val=4)
        small, words = MODELS["pitvqa"].small, {"width": 64, "ff": 128, "heads": 4, "hidden": 5}
        torch.manual_seed(1)
        there = published.PitVQANet(
            **{**PUBLISHED, **words, "vision": 12, "layers": small.text_layers}
        )
        there.text_encoder.save_pretrained(tmp_path / "blip")
        there.gpt_decoder.save_pretrained(tmp_path / "gpt2")
        recipe = RECIPES["pitvqa-small"]
        for setting in (
            f"model.text_weights={tmp_path / 'blip'}",
            f"model.language_weights={tmp_path / 'gpt2'}",
            f"model.language_layers={small.text_layers}",
            "train.epochs=1",
            "train.optimiser.learning_rate=1e-12",
        ):
            recipe = change(recipe, setting)
        train(recipe, world.path, tmp_path / "run", watchdog=False, console=Console(quiet=True))
        for folder in ("blip", "gpt2"):
            (tmp_path / folder / "model.safetensors").unlink()
        state = load(tmp_path / "run").model.state_dict()
        wanted = CONVERT(dict(there.state_dict()))
        taken = [
            n
            for n in state
            if n.startswith(("text_encoder.", "language_model.")) and "word_emb" not in n
        ]
        assert len(taken) > 60
        for name in taken:
            torch.testing.assert_close(state[name], wanted[name])

    def test_nothing_happens_when_nothing_is_named(self):
        torch.manual_seed(0)
        model = PitVqa(config(), SIZES)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.initialise()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def test_other_sizes_and_missing_files_are_refused(self, tmp_path):
        model = PitVqa(config(language_weights=str(tmp_path / "nothing")), SIZES)
        with pytest.raises(MissingWeights, match=r"nothing.*model\.safetensors"):
            model.initialise()
        larger = PitVqa(config(feed_forward=16), SIZES)
        larger.language_model.save_pretrained(tmp_path / "larger")
        model = PitVqa(config(language_weights=str(tmp_path / "larger")), SIZES)
        with pytest.raises(BadConfig, match="of another shape"):
            model.initialise()


@pytest.fixture(scope="module")
def tower():
    with torch.device("meta"):
        return ViTModel(ViTConfig())


class TestParameterCounts:
    """Specification 5.4, on the meta device: nothing is allocated."""

    def count(self, module):
        return sum(parameter.numel() for parameter in module.parameters())

    @pytest.mark.parametrize(
        ("answers", "head", "whole"), [(59, 687_675, 363_930_171), (18, 666_642, 363_909_138)]
    )
    def test_the_released_model(self, tower, answers, head, whole):
        sizes = Sizes(words=50257, region_dim=768, answers=answers, regions=197)
        with torch.device("meta"):
            model = PitVqa(PitVqaConfig(), sizes)
        assert self.count(tower) == 86_389_248
        assert len(list(tower.parameters())) == 200
        assert self.count(model.text_encoder) == 152_413_440
        assert len(list(model.text_encoder.parameters())) == 316
        assert self.count(model.language_model) == 124_439_808
        assert len(list(model.language_model.parameters())) == 148
        rest = (model.intermediate, model.gate, model.norm, model.output)
        assert sum(map(self.count, rest)) == head
        assert self.count(model) + self.count(tower) == whole

    def test_fixed_leaves_out_what_is_never_used(self, tower):
        sizes = Sizes(words=50257, region_dim=768, answers=59, regions=197)
        with torch.device("meta"):
            model = PitVqa(PitVqaConfig(mode="fixed"), sizes)
        assert self.count(model) + self.count(tower) == 363_930_171 - 50_257 * 768

    def test_the_other_keys_are_the_published_ones(self):
        """What an importer has to rename: nothing below the top level."""
        with torch.device("meta"):
            model = PitVqa(PitVqaConfig(), Sizes(words=50257, region_dim=768, answers=59))
        names = set(model.state_dict())
        assert "text_encoder.encoder.layer.11.crossattention.self.query.weight" in names
        assert "text_encoder.encoder.layer.0.attention.output.LayerNorm.bias" in names
        assert "text_encoder.embeddings.position_embeddings.weight" in names
        assert "language_model.h.11.attn.c_attn.weight" in names
        assert isinstance(model.language_model, GPT2Model)
        assert model.language_model.h[0].attn.c_attn.weight.shape == (768, 3 * 768)  # (in, out)


def test_the_recipes_say_how_their_frames_are_seen():
    """The released code hands out pixels from 0 to 1; the ViT was trained on -1 to 1."""
    vit = "--backbone transformers:google/vit-base-patch16-224-in21k --size 224 --resize squash"
    released, fixed = RECIPES["pitvqa"].features, RECIPES["pitvqa-fixed"].features
    assert released.flags() == f"{vit} --mean 0,0,0 --std 1,1,1 --interpolation bicubic"
    assert fixed.flags() == f"{vit} --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5"
