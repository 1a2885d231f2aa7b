"""Att2in against the equations in the port's form."""

import pytest
import torch

from saccade.data.batch import Sizes
from saccade.models.att2in import Att2in
from saccade.models.catalogue import Att2inConfig
from tests import captioner_checks as checks
from tests.oracles import att2in as published
from tests.oracles import pairs

CONFIG = Att2inConfig(embedding=7, hidden=8, attention=5, dropout=0)
CONVERT = pairs.renaming(
    {
        "embed.0": "embed",
        "att_embed.0": "project_regions",
        "ctx2att": "key",
        "core.i2h": "word_gates",
        "core.h2h": "hidden_gates",
        "core.a2c": "image_candidates",
        "core.attention.h2att": "query",
        "core.attention.alpha_net": "score",
        "logit": "output",
    }
)


def both():
    """An oracle and saccade's model with its weights, in float64."""
    torch.manual_seed(1)
    oracle = published.Att2in2(13, 6, 7, 8, 5)
    oracle.embed[0].weight.data.mul_(3)  # sharper, so that beams differ
    oracle.logit.weight.data.mul_(4)
    ours = Att2in(CONFIG, checks.SIZES)
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
    checks.assert_learns_by_heart(Att2in(CONFIG, checks.SIZES), checks.caption_batch())


def test_the_parameter_count_is_that_of_the_port():
    """9,487 words, and one id for start, end and padding."""
    with torch.device("meta"):
        model = Att2in(Att2inConfig(), Sizes(words=9488, region_dim=2048))
        port = published.Att2in2(9488, 2048, 512, 512, 512)
    counts = [sum(parameter.numel() for parameter in m.parameters()) for m in (model, port)]
    assert counts == [14_451_985] * 2
