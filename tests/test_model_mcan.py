"""MCAN against an independent reading of openvqa (section 8)."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from saccade.data.batch import Sizes
from saccade.models.catalogue import McanConfig
from saccade.models.mcan import Mcan, Norm
from tests.model_checks import (
    CHECKS,
    SIZES,
    check_attention_sums_to_one,
    per_question,
    questions,
)
from tests.oracles import mcan as published
from tests.oracles import names
from tests.oracles.agreement import give_weights, require_agreement

SMALL = McanConfig(
    embedding=8, hidden=12, heads=3, layers=2, feed_forward=10, summary=7, joint=9, dropout=0
)
VARIANTS = {
    "two layers": SMALL,
    "one layer": SMALL.model_copy(update={"layers": 1}),
    "two glimpses": SMALL.model_copy(update={"glimpses": 2}),
}


def test_it_computes_what_openvqa_computes():
    """Trimmed to the batch here, padded to 14 words and 10 regions there."""
    torch.manual_seed(0)
    theirs = published.Mcan(
        SIZES.words,
        SIZES.answers,
        SIZES.region_dim,
        embedding=8,
        hidden=12,
        heads=3,
        layers=2,
        feed_forward=10,
        flat=7,
        joint=9,
        most=10,
    ).double()
    ours = Mcan(SMALL, SIZES).double()
    give_weights(theirs, ours, names.mcan)
    batch = questions(pad_words=2)
    batch.region_mask[1, 4:] = False  # the second image has four regions
    shown = per_question(batch) * batch.region_mask[batch.image][..., None]
    answered = theirs(shown, batch.question, batch.question_length)
    cut = published.Answered(answered.logits, answered.attention[..., :6])
    require_agreement(theirs, ours, names.mcan, cut, ours(batch))


@pytest.mark.parametrize("check", [*CHECKS, check_attention_sums_to_one])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_contract(name, check):
    torch.manual_seed(0)
    check(Mcan(VARIANTS[name], SIZES))


def test_its_normalisation_is_not_torchs():
    """Unbiased deviation: smaller by the root of (n - 1) / n, 0.99902 for 512 numbers."""
    values = torch.randn(4, 512, dtype=torch.float64)
    ratio = Norm(512).double()(values) / nn.LayerNorm(512).double()(values)
    torch.testing.assert_close(ratio, torch.full_like(ratio, (511 / 512) ** 0.5), rtol=2e-5, atol=0)


def test_heads_that_do_not_share_the_width_are_refused():
    with pytest.raises(ValidationError, match="cannot be shared"):
        McanConfig(hidden=512, heads=7)


LARGE = McanConfig(hidden=1024, feed_forward=4096, joint=2048)


@pytest.mark.parametrize(("config", "count"), [(McanConfig(), 57_812_791), (LARGE, 201_723_191)])
def test_the_parameters_are_as_many_as_released(config, count):
    """201.72 million for MCAN-large, as its paper's code prints it."""
    with torch.device("meta"):
        model = Mcan(config, Sizes(words=20_573, region_dim=2048, answers=3129))
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_published_program_has_as_many():
    with torch.device("meta"):
        assert sum(p.numel() for p in published.Mcan(20_573, 3129).parameters()) == 57_812_791
