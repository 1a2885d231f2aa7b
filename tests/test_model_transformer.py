"""The Transformer captioner against the port that it follows."""

import pytest
import torch
from pydantic import ValidationError

from saccade.data.batch import Sizes
from saccade.models.catalogue import TransformerConfig
from saccade.models.transformer import Norm, Transformer
from tests import captioner_checks as checks
from tests.oracles import pairs
from tests.oracles import transformer as published

CONFIG = TransformerConfig(
    width=8,
    feed_forward=12,
    heads=2,
    encoder_layers=2,
    decoder_layers=3,
    dropout=0,
    region_dropout=0,
)
SIZES = {"d": 8, "ff": 12, "h": 2, "layers": (2, 3)}


def convert(state):
    """The published names as saccade's; key and value layers of the port side by side."""
    names = {
        "att_embed.0": "project_regions",
        "model.tgt_embed.0.lut": "embed",
        "model.generator.proj": "output",
        "model.encoder.norm": "encoder_norm",
        "model.decoder.norm": "decoder_norm",
    }
    for stack, layers in (("encoder", 2), ("decoder", 3)):
        for i in range(layers):
            old, new = f"model.{stack}.layers.{i}", f"{stack}.{i}"
            last = 1 if stack == "encoder" else 2
            names |= {
                f"{old}.sublayer.0.norm": f"{new}.self_norm",
                f"{old}.sublayer.1.norm": f"{new}.cross_norm",
                f"{old}.sublayer.{last}.norm": f"{new}.feed_forward.0",
                f"{old}.self_attn.linears.0": f"{new}.self_attention.query",
                f"{old}.self_attn.linears.1": f"{new}.keys.key",
                f"{old}.self_attn.linears.2": f"{new}.keys.value",
                f"{old}.self_attn.linears.3": f"{new}.self_attention.merge",
                f"{old}.src_attn.linears.0": f"{new}.cross_attention.query",
                f"{old}.src_attn.linears.1": f"region_keys.{i}.key",
                f"{old}.src_attn.linears.2": f"region_keys.{i}.value",
                f"{old}.src_attn.linears.3": f"{new}.cross_attention.merge",
                f"{old}.feed_forward.w_1": f"{new}.feed_forward.1",
                f"{old}.feed_forward.w_2": f"{new}.feed_forward.4",
            }
    state = {name: value for name, value in state.items() if not name.endswith(".pe")}
    state = pairs.renaming(names)(state)
    state = {n.replace("a_2", "scale").replace("b_2", "shift"): v for n, v in state.items()}
    for name in [name for name in state if ".key." in name]:
        value = state.pop(name.replace(".key.", ".value."))
        state[name.replace(".key.", ".")] = torch.cat([state.pop(name), value])
    return state


def both():
    """An oracle and saccade's model with its weights, in float64."""
    torch.manual_seed(4)
    oracle = published.Transformer(13, 6, **SIZES)
    for name, parameter in oracle.named_parameters():
        if "norm" in name:
            parameter.data.add_(torch.randn_like(parameter) * 0.3)  # that scale and shift matter
    oracle.model.generator.proj.weight.data.mul_(3)  # sharper, so that beams differ
    ours = Transformer(CONFIG, checks.SIZES)
    pairs.copy_weights(oracle, ours, convert)
    return oracle.double(), ours.double()


@pytest.mark.parametrize("special", [checks.OWN, checks.SHARED])
def test_reading(special):
    oracle, ours = both()
    batch = checks.caption_batch(special)
    checks.assert_reads_each_as(oracle, ours, batch, convert)


def test_saying():
    oracle, ours = both()

    def log_p_of(regions):
        return lambda words: oracle(regions, torch.tensor([*words, 0]))[0][-1].log_softmax(0)

    checks.assert_says_as(log_p_of, ours, checks.caption_batch())


def test_steps_and_beams():
    ours = both()[1]
    checks.assert_steps_as_it_reads(ours, checks.caption_batch())
    checks.assert_beams_do_not_mix(ours, checks.caption_batch())


@pytest.mark.parametrize("special", [checks.OWN, checks.SHARED])
def test_padding_changes_nothing(special):
    checks.assert_padding_changes_nothing(both()[1], special)


def test_attention_sums_to_one():
    checks.assert_attention_sums_to_one(both()[1], checks.caption_batch())


def test_it_learns_by_heart():
    torch.manual_seed(0)
    ours = Transformer(CONFIG, checks.SIZES)
    checks.assert_learns_by_heart(ours, checks.caption_batch(), learning_rate=1e-2)


def test_the_norm_is_not_torch_s():
    values = torch.randn(3, 6, dtype=torch.float64)
    ours, torchs = Norm(6).double()(values), torch.nn.functional.layer_norm(values, (6,), eps=0)
    torch.testing.assert_close(ours, torchs * (5 / 6) ** 0.5, rtol=1e-5, atol=0)


def test_first_weights_are_xavier_s_layer_by_layer():
    """Keys and values stand side by side but are two layers."""
    torch.manual_seed(0)
    config = TransformerConfig(width=64, feed_forward=96, heads=4)
    ours = Transformer(config, Sizes(words=50, region_dim=70))
    square, wide = (6 / 128) ** 0.5, (6 / 160) ** 0.5
    for layer, bound in (
        (ours.decoder[0].keys, square),
        (ours.region_keys[1], square),
        (ours.encoder[2].self_attention.query, square),
        (ours.encoder[0].feed_forward[1], wide),
        (ours.embed, (6 / 114) ** 0.5),
        (ours.project_regions, 70**-0.5),  # outside the core: as torch makes it
    ):
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.02)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="heads must divide width"):
        TransformerConfig(width=10, heads=3)


def test_the_parameter_count_is_the_published_one():
    """9,487 words, and one id for start, end and padding."""
    with torch.device("meta"):
        model = Transformer(TransformerConfig(), Sizes(words=9488, region_dim=2048))
    assert sum(parameter.numel() for parameter in model.parameters()) == 54_914_832
