"""Adaptive attention against the paper's equations and the released network."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from saccade.data.batch import Sizes
from saccade.models.adaptive_attention import AdaptiveAttention
from saccade.models.catalogue import AdaptiveAttentionConfig
from tests import captioner_checks as checks
from tests.oracles import adaptive_attention as published
from tests.oracles import pairs

CONFIGS = {
    "paper": AdaptiveAttentionConfig(embedding=5, hidden=8, attention=4, dropout=0),
    "lua": AdaptiveAttentionConfig(variant="lua", embedding=8, hidden=8, attention=8, dropout=0),
}
CONFIGS["maxout"] = CONFIGS["lua"].replace(cell="maxout")
PAPER = pairs.renaming(
    {
        "encoder.affine_a": "project_regions",
        "encoder.affine_b": "project_mean",
        "decoder.embed": "embed",
        "decoder.LSTM.weight_hh_l0": "hidden_gates.weight",
        "decoder.LSTM.bias_hh_l0": "hidden_gates.bias",
        "decoder.LSTM.weight_ih_l0": "gates",
        "decoder.LSTM.bias_ih_l0": "word_gates.bias",
        "decoder.adaptive.sentinel.affine_x": "sentinel",
        "decoder.adaptive.sentinel.affine_h": "sentinel_hidden",
        "decoder.adaptive.atten.affine_v": "region_key",
        "decoder.adaptive.atten.affine_g": "query",
        "decoder.adaptive.atten.affine_s": "sentinel_key",
        "decoder.adaptive.atten.affine_h": "score",
        "decoder.adaptive.mlp": "output",
    }
)
LUA = pairs.renaming(
    {
        "embed.0": "embed",
        "fc_embed.0": "project_mean",
        "att_embed.0": "project_regions",
        "ctx2att": "region_key",
        "logit": "output",
        "core.lstm.w2h": "word_gates",
        "core.lstm.v2h": "mean_gates",
        "core.lstm.h2h.0": "hidden_gates",
        "core.lstm.r_w2h": "sentinel_word",
        "core.lstm.r_v2h": "sentinel_mean",
        "core.lstm.r_h2h": "sentinel_hidden",
        "core.attention.fr_linear.0": "sentinel_value",
        "core.attention.fr_embed": "sentinel_key",
        "core.attention.ho_linear.0": "hidden_value",
        "core.attention.ho_embed": "query",
        "core.attention.att2h": "merge",
        "core.attention.alpha_net": "score",
    }
)


def split_columns(state):
    """The port's layers over [word; mean region] as two layers."""
    state = PAPER(state)
    for one, both in (("gates", "{}_gates.weight"), ("sentinel.weight", "sentinel_{}.weight")):
        word, mean = state.pop(one).chunk(2, dim=1)
        state |= {both.format("word"): word, both.format("mean"): mean}
    return state


def reorder_gates(state):
    """The released order in, forget, out, candidate as torch's."""
    state = LUA(state)
    for name in state:
        if name.split(".")[0] in ("word_gates", "mean_gates", "hidden_gates"):
            admit, forget, release, candidate = state[name].chunk(4)
            state[name] = torch.cat([admit, forget, candidate, release])
    return state


def both(variant):
    """An oracle and saccade's model with its weights, in float64."""
    torch.manual_seed(2)
    if variant == "paper":
        oracle, convert = published.Paper(13, 6, 5, 8, 4), split_columns
    elif variant == "maxout":
        oracle, convert = published.AdaAtt(13, 6, 8, maxout=True), LUA
    else:
        oracle, convert = published.AdaAtt(13, 6, 8), reorder_gates
    for parameter in oracle.parameters():
        parameter.data.mul_(2)  # sharper, so that beams differ
    ours = AdaptiveAttention(CONFIGS[variant], checks.SIZES)
    pairs.copy_weights(oracle, ours, convert)
    return oracle.double(), ours.double(), convert


def told_of(oracle, batch):
    """The oracle's reading of a batch, one caption with its own image after the other."""
    told = [
        oracle(regions, caption[:length])
        for regions, caption, length in zip(
            checks.own_images(batch), batch.caption, batch.caption_length, strict=True
        )
    ]
    return pad_sequence([one.logits[0] for one in told], batch_first=True), told


@pytest.mark.parametrize("variant", CONFIGS)
class TestAgainstTheOracle:
    @pytest.mark.parametrize("special", [checks.OWN, checks.SHARED])
    def test_reading(self, variant, special):
        oracle, ours, convert = both(variant)
        batch = checks.caption_batch(special)
        logits, told = told_of(oracle, batch)
        checks.assert_reads_as(oracle, ours, batch, convert, logits)
        output = ours(batch)
        for row, one in enumerate(told):
            steps, looks = one.alpha.shape[1:]
            torch.testing.assert_close(
                output.attention[row, :steps, : looks - 1], one.alpha[0, :, :-1]
            )
            torch.testing.assert_close(output.sentinel[row, :steps], one.alpha[0, :, -1])
            assert output.sentinel[row, steps:].abs().sum() == 0

    def test_saying(self, variant):
        oracle, ours, _ = both(variant)

        def log_p_of(regions):
            return lambda words: (
                oracle(regions, torch.tensor([*words, 0])).logits[0, -1].log_softmax(0)
            )

        checks.assert_says_as(log_p_of, ours, checks.caption_batch())

    def test_steps_and_beams(self, variant):
        ours = both(variant)[1]
        checks.assert_steps_as_it_reads(ours, checks.caption_batch())
        checks.assert_beams_do_not_mix(ours, checks.caption_batch())

    @pytest.mark.parametrize("special", [checks.OWN, checks.SHARED])
    def test_padding_changes_nothing(self, variant, special):
        checks.assert_padding_changes_nothing(both(variant)[1], special)

    def test_attention_and_sentinel_share_one(self, variant):
        ours, batch = both(variant)[1], checks.caption_batch()
        checks.assert_attention_sums_to_one(ours, batch)
        beta = ours(batch).sentinel
        beta = beta[torch.arange(beta.shape[1]) < (batch.caption_length - 1)[:, None]]
        assert ((beta > 0) & (beta < 1)).all()
        assert beta.std() > 0.01, "a sentinel that never changes says nothing"

    def test_it_learns_by_heart(self, variant):
        torch.manual_seed(0)
        ours = AdaptiveAttention(CONFIGS[variant], checks.SIZES)
        checks.assert_learns_by_heart(ours, checks.caption_batch())


def test_the_two_ways_to_write_what_is_attended_are_one():
    """Specification 3.1: beta s + (1 - beta) c is the sum over regions and sentinel at once.

    The oracle computes the first, saccade the second, and `test_reading` finds them equal; here
    the oracle measures the identity itself.
    """
    oracle = both("paper")[0]
    _, told = told_of(oracle, checks.caption_batch())
    assert max(one.identity.item() for one in told) < 1e-14


def test_first_weights_of_the_port():
    torch.manual_seed(0)
    config = AdaptiveAttentionConfig(embedding=60, hidden=90, attention=30)
    ours = AdaptiveAttention(config, Sizes(words=50, region_dim=70))
    for layer, inputs in ((ours.project_regions, 70), (ours.project_mean, 70)):
        assert layer.bias.abs().sum() == 0
        assert layer.weight.abs().max().item() == pytest.approx((6 / inputs) ** 0.5, rel=0.02)
    assert ours.output.weight.std().item() == pytest.approx((2 / 90) ** 0.5, rel=0.05)
    assert ours.word_gates.weight.abs().max().item() == pytest.approx(90**-0.5, rel=0.02)
    sentinel = torch.cat([ours.sentinel_word.weight, ours.sentinel_mean.weight], dim=1)
    assert sentinel.abs().max().item() == pytest.approx((6 / (120 + 90)) ** 0.5, rel=0.02)
    assert ours.region_key.weight.abs().max().item() == pytest.approx(
        (6 / (90 + 30)) ** 0.5, rel=0.02
    )


def test_dropout_stands_before_layers_in_the_port_and_behind_activations_in_lua():
    """Both variants say something else each time in training, and the same in evaluation."""
    for variant, without in CONFIGS.items():
        torch.manual_seed(0)
        config = without.model_copy(update={"dropout": 0.5})
        ours, batch = AdaptiveAttention(config, checks.SIZES).double(), checks.caption_batch()
        assert (ours.input_dropout.p, ours.output_dropout.p) == (
            (0.5, 0) if variant == "paper" else (0, 0.5)
        )
        assert not torch.equal(ours(batch).logits, ours(batch).logits)
        assert torch.equal(ours.eval()(batch).logits, ours(batch).logits)


@pytest.mark.parametrize(
    ("config", "words", "count"),
    [
        # The port's decoder 9,996,352 and its encoder heads 1,573,632 (specification 3.4).
        (AdaptiveAttentionConfig(), 9487, 9_996_352 + 1_573_632),
        # 9,487 words and one id for start, end and padding (specification 3.3).
        (
            AdaptiveAttentionConfig(variant="lua", embedding=512, attention=512),
            9488,
            17_339_665,
        ),
    ],
)
def test_parameter_counts_are_the_published_ones(config, words, count):
    with torch.device("meta"):
        model = AdaptiveAttention(config, Sizes(words=words, region_dim=2048))
    assert sum(parameter.numel() for parameter in model.parameters()) == count
