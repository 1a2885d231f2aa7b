"""Joint embedding against independent readings of hengyuan-hu's code and openvqa's (7 and 8)."""

import pytest
import torch

from saccade.data.batch import Sizes
from saccade.models.catalogue import JointEmbeddingConfig
from saccade.models.joint_embedding import JointEmbedding, WeightNormLinear
from tests.model_checks import (
    CHECKS,
    SIZES,
    check_attention_sums_to_one,
    per_question,
    questions,
)
from tests.oracles import joint_embedding as published
from tests.oracles.agreement import give_weights, renamed, require_agreement

SMALL = JointEmbeddingConfig(
    embedding=8, question=6, hidden=9, classifier=18, padded_to=7, attention_dropout=0, dropout=0
)
OPENVQA = SMALL.model_copy(
    update={
        "form": "openvqa",
        "reader": "lstm",
        "question": 9,
    }
)
VARIANTS = {
    "newatt": SMALL,
    "baseline0": SMALL.model_copy(update={"form": "baseline0"}),
    "openvqa": OPENVQA,
    "LSTM": SMALL.model_copy(update={"reader": "lstm", "layers": 2}),
    "both ways": SMALL.model_copy(update={"bidirectional": True}),
    "no padding": SMALL.model_copy(update={"padded_to": None}),
    "no padding, both ways": SMALL.model_copy(update={"padded_to": None, "bidirectional": True}),
    "plain layers": SMALL.model_copy(update={"weight_norm": False, "form": "openvqa"}),
}
NAMES = {
    "w_emb.emb": "embed",
    "q_emb.rnn": "question_encoder.rnn",
    "v_att.v_proj.main.0": "attention.project_regions",
    "v_att.q_proj.main.0": "attention.project_question",
    "v_att.nonlinear.main.0": "attention.joint",
    "v_att.linear": "attention.score",
    "q_net.main.0": "project_question",
    "v_net.main.0": "project_image",
    "classifier.main.0": "hidden",
    "classifier.main.3": "output",
}
OPENVQA_NAMES = {
    "embedding": "embed",
    "rnn": "question_encoder.rnn",
    "backbone.v_att.linear_q": "attention.project_question",
    "backbone.v_att.linear_v": "attention.project_regions",
    "backbone.v_att.nonlinear.mlp.0": "attention.joint",
    "backbone.v_att.linear": "attention.score",
    "backbone.q_net.mlp.0": "project_question",
    "backbone.v_net.mlp.0": "project_image",
    "classifer.0": "hidden",
    "classifer.2": "output",
}


def translate(theirs):
    """Padding is their last word and our first."""
    ours = renamed(NAMES)(theirs)
    return {**ours, "embed.weight": ours["embed.weight"].roll(1, dims=0)}


@pytest.mark.parametrize(("layers", "ways", "kind"), [(1, 1, "GRU"), (2, 1, "LSTM"), (2, 2, "GRU")])
@pytest.mark.parametrize("form", ["newatt", "baseline0"])
def test_it_computes_what_the_public_code_computes(form, layers, ways, kind):
    """Questions padded in front there; as they are here, from the state after the zeros."""
    torch.manual_seed(0)
    theirs = published.BottomUp(
        SIZES.words - 1,
        SIZES.answers,
        SIZES.region_dim,
        attention=form,
        embedding=8,
        hidden=9,
        layers=layers,
        ways=ways,
        kind=kind,
        max_length=7,
    ).double()
    reader = {"reader": kind.lower(), "layers": layers, "bidirectional": ways == 2, "question": 9}
    ours = JointEmbedding(SMALL.model_copy(update={"form": form, **reader}), SIZES).double()
    give_weights(theirs, ours, translate)
    batch = questions(pad_words=2)
    answered = theirs(per_question(batch), batch.question - 1, batch.question_length)
    require_agreement(theirs, ours, translate, answered, ours(batch))


def test_a_question_that_is_too_long_is_cut_behind():
    torch.manual_seed(0)
    sizes = {"embedding": 8, "hidden": 9, "max_length": 3}
    theirs = published.BottomUp(SIZES.words - 1, SIZES.answers, SIZES.region_dim, **sizes).double()
    ours = JointEmbedding(SMALL.model_copy(update={"question": 9, "padded_to": 3}), SIZES).double()
    give_weights(theirs, ours, translate)
    batch = questions()
    answered = theirs(per_question(batch), batch.question - 1, batch.question_length)
    require_agreement(theirs, ours, translate, answered, ours(batch))


def test_it_computes_what_openvqa_computes():
    torch.manual_seed(0)
    sizes = {"embedding": 8, "hidden": 9, "max_length": 7}
    theirs = published.OpenVqa(SIZES.words, SIZES.answers, SIZES.region_dim, **sizes).double()
    ours, names = JointEmbedding(OPENVQA, SIZES).double(), renamed(OPENVQA_NAMES)
    give_weights(theirs, ours, names)
    batch = questions(pad_words=2)
    answered = theirs(per_question(batch), batch.question, batch.question_length)
    require_agreement(theirs, ours, names, answered, ours(batch))
    assert ours.embed.weight.grad[0].abs().max() > 0, "openvqa's padding is a word that learns"


@pytest.mark.parametrize("check", [*CHECKS, check_attention_sums_to_one])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_contract(name, check):
    torch.manual_seed(0)
    wide = {"question": 16, "hidden": 16, "classifier": 32}
    check(JointEmbedding(VARIANTS[name].model_copy(update=wide), SIZES))


def test_zeros_in_front_change_the_state_and_so_the_answer():
    torch.manual_seed(0)
    padded = JointEmbedding(SMALL, SIZES).double()
    plain = JointEmbedding(VARIANTS["no padding"], SIZES).double()
    plain.load_state_dict(padded.state_dict())
    batch = questions()
    assert not torch.allclose(padded(batch).logits, plain(batch).logits, rtol=1e-4)


def test_weight_norm_has_one_length_which_begins_as_the_matrix():
    torch.manual_seed(0)
    layer = WeightNormLinear(5, 3)
    assert layer.weight_g.shape == ()
    torch.testing.assert_close(layer.weight, layer.weight_v)
    layer.weight_v.data *= 7
    assert layer.weight.norm().item() == pytest.approx(layer.weight_g.item())


OPENVQA_FULL = JointEmbeddingConfig(form="openvqa", reader="lstm")


@pytest.mark.parametrize(
    ("config", "words", "count"),
    [
        (JointEmbeddingConfig(), 19_902, 24_851_177),
        (JointEmbeddingConfig(form="baseline0"), 19_902, 24_850_152),
        (OPENVQA_FULL, 20_573, 31_655_230),
    ],
)
def test_the_parameters_are_as_many_as_released(config, words, count):
    with torch.device("meta"):
        model = JointEmbedding(config, Sizes(words=words, region_dim=2048, answers=3129))
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_published_programs_have_as_many():
    with torch.device("meta"):
        models = [
            published.BottomUp(19_901, 3129),
            published.BottomUp(19_901, 3129, attention="baseline0"),
            published.OpenVqa(20_573, 3129),
        ]
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    assert counts == [24_851_177, 24_850_152, 31_655_230]
