"""AoANet against the equations in the port's form."""

import pytest
import torch

from saccade.data.batch import Sizes
from saccade.models.aoa import Aoa
from saccade.models.catalogue import AoaConfig
from tests import captioner_checks as checks
from tests.oracles import aoa as published
from tests.oracles import pairs

CONFIG = AoaConfig(
    embedding=7,
    hidden=8,
    heads=2,
    layers=3,
    dropout=0,
    attention_dropout=0,
    gate_dropout=0,
)
LAYER = {
    "self_attn.linears.0": "query",
    "self_attn.linears.1": "key",
    "self_attn.linears.2": "value",
    "self_attn.aoa_layer.0": "gate",
    "sublayer.0.norm": "norm",
}
NAMES = {
    "embed.0": "embed",
    "att_embed.0": "project_regions",
    **{f"refiner.layers.{i}.{a}": f"refiner.{i}.{b}" for i in range(3) for a, b in LAYER.items()},
    "refiner.norm": "refiner_norm",
    "ctx2att": "values_and_keys",
    "core.att_lstm": "lstm",
    "core.attention.norm": "query_norm",
    "core.attention.linears.0": "query",
    "core.att2ctx.0": "gate",
    "logit": "output",
}
LEAVES = {"a_2": "scale", "b_2": "shift"}


def CONVERT(published):
    """From published tensors to saccade's, by names alone."""
    ours = {}
    for name, tensor in published.items():
        layer, _, leaf = name.rpartition(".")
        ours[f"{NAMES[layer]}.{LEAVES.get(leaf, leaf)}"] = tensor
    return ours


def both():
    """An oracle and saccade's model with its weights, in float64."""
    torch.manual_seed(1)
    oracle = published.AoaNet(13, 6, 7, 8, 2, 3)
    oracle.embed[0].weight.data.mul_(3)  # sharper, so that beams differ
    oracle.logit.weight.data.mul_(4)
    ours = Aoa(CONFIG, checks.SIZES)
    pairs.copy_weights(oracle, ours, CONVERT)
    return oracle.double(), ours.double()


@pytest.mark.parametrize("special", [checks.OWN, checks.SHARED])
def test_reading(special):
    oracle, ours = both()
    batch = checks.caption_batch(special)
    checks.assert_reads_each_as(oracle, ours, batch, CONVERT)


def test_saying():
    oracle, ours = both()

    def log_p_of(regions):
        def log_p(words):
            return oracle(regions, torch.tensor([*words, 0]))[0][-1].log_softmax(0)

        return log_p

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
    checks.assert_learns_by_heart(Aoa(CONFIG, checks.SIZES), checks.caption_batch())


def test_the_parameter_count_is_that_of_the_port():
    """9,487 words, and one id for start, end and padding."""
    with torch.device("meta"):
        model = Aoa(AoaConfig(), Sizes(words=9488, region_dim=2048))
        port = published.AoaNet(9488, 2048, 1024, 1024, 8, 6)
    counts = [sum(parameter.numel() for parameter in m.parameters()) for m in (model, port)]
    assert counts == [85_562_640] * 2
