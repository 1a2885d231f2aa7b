"""Stacked attention networks against independent readings of the public codes (section 5)."""

import math

import pytest
import torch
from pydantic import ValidationError

from saccade.data.batch import Sizes
from saccade.models.catalogue import SanConfig
from saccade.models.san import San
from tests.model_checks import (
    CHECKS,
    SIZES,
    check_attention_sums_to_one,
    per_question,
    questions,
)
from tests.oracles import san as published
from tests.oracles.agreement import give_weights, renamed, require_agreement

SMALL = SanConfig(embedding=8, filters=(3, 4, 5), hidden=6, attention_width=9, dropout=0)
VARIANTS = {
    "convolution": SMALL,
    "convolution, released": SMALL.model_copy(update={"attention": "released"}),
    "released LSTM": SMALL.model_copy(update={"reader": "released_lstm"}),
    "released LSTM and attention": SMALL.model_copy(
        update={"reader": "released_lstm", "attention": "released"}
    ),
    "one hop": SMALL.model_copy(update={"hops": 1}),
    "three hops": SMALL.model_copy(update={"hops": 3, "attention": "released"}),
    "course": SMALL.model_copy(update={"reader": "lstm"}),
}
ROLES = {
    "image_att_mlp": "project_regions",
    "sent_att_mlp": "project_query",
    "combined_att_mlp": "score",
}
GRAMS = {"unigram": 0, "bigram": 1, "trigram": 2}
COURSE_NAMES = {
    "classifier": "project_regions",
    "embed": "embed",
    "lstm": "question_encoder",
    "image1": "hops.0.project_regions",
    "question1": "hops.0.project_query",
    "attention1": "hops.0.score",
    "image2": "hops.1.project_regions",
    "question2": "hops.1.project_query",
    "attention2": "hops.1.score",
    "answer_dist": "output",
}


def place(name):
    """Where a published layer stands in saccade."""
    if name.startswith("conv_"):
        return f"question_encoder.ngrams.{GRAMS[name.removeprefix('conv_')]}"
    role, _, number = name.rpartition("_")
    if role in ROLES:
        return f"hops.{int(number) - 1}.{ROLES[role]}"
    return {"image_mlp": "project_regions", "combined_mlp_0": "output"}[name]


def translate(theirs):
    """Matrices are [in, out] there; the empty word is a row here."""
    words = theirs["w_emb"]
    ours = {"embed.weight": torch.cat([words.new_zeros(1, words.shape[1]), words])}
    for name, tensor in theirs.items():
        if name.startswith("sent_lstm"):
            layer = {
                "w_x": "input_gates.weight",
                "w_h": "hidden_gates.weight",
                "b_h": "input_gates.bias",
            }[name[-3:]]
            ours[f"question_encoder.{layer}"] = tensor.T if tensor.ndim == 2 else tensor
        elif name != "w_emb":
            weight = name.endswith("_w")
            ours[f"{place(name[:-2])}.{'weight' if weight else 'bias'}"] = (
                tensor.T if weight else tensor
            )
    return ours


@pytest.mark.parametrize("attention", ["released", "paper"])
@pytest.mark.parametrize(("reader", "theirs"), [("convolution", "conv"), ("released_lstm", "lstm")])
def test_it_computes_what_the_public_code_computes(reader, theirs, attention):
    torch.manual_seed(0)
    theirs = published.Released(
        SIZES.words - 1,
        SIZES.answers,
        SIZES.region_dim,
        reader=theirs,
        attention=attention,
        embedding=8,
        hidden=6,
        middle=9,
        filters={"unigram": 3, "bigram": 4, "trigram": 5},
    ).double()
    ours = San(SMALL.model_copy(update={"reader": reader, "attention": attention}), SIZES).double()
    give_weights(theirs, ours, translate)
    batch = questions(pad_words=2)
    answered = theirs(per_question(batch), batch.question, batch.question_length)
    require_agreement(theirs, ours, translate, answered, ours(batch))


def test_it_computes_what_the_course_port_computes():
    torch.manual_seed(0)
    sizes = {"embedding": 8, "hidden": 6, "middle": 9}
    theirs = published.Course(SIZES.words, SIZES.answers, SIZES.region_dim, **sizes).double()
    ours, names = San(VARIANTS["course"], SIZES).double(), renamed(COURSE_NAMES)
    give_weights(theirs, ours, names)
    batch = questions(pad_words=2)
    answered = theirs(per_question(batch), batch.question, batch.question_length)
    require_agreement(theirs, ours, names, answered, ours(batch))


@pytest.mark.parametrize("check", [*CHECKS, check_attention_sums_to_one])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_contract(name, check):
    torch.manual_seed(0)
    wide = {"hidden": 32, "filters": (8, 12, 12), "embedding": 16, "attention_width": 16}
    check(San(VARIANTS[name].model_copy(update=wide), SIZES))


def test_there_is_one_attention_map_per_hop():
    assert San(VARIANTS["three hops"], SIZES).double()(questions()).attention.shape == (5, 3, 6)


def test_the_released_attention_cannot_be_sharp_and_the_papers_can():
    """Scores within -1 and 1: no region gets more than e^2 times another's weight."""
    ratios = {}
    for form in ("released", "paper"):
        torch.manual_seed(0)
        model = San(SMALL.model_copy(update={"attention": form}), SIZES).double()
        for hop in model.hops:
            for layer in (hop.project_regions, hop.project_query, hop.score):
                torch.nn.init.normal_(layer.weight, std=30)
        attention = model(questions()).attention
        ratios[form] = (attention.max(dim=2).values / attention.min(dim=2).values).max().item()
    assert ratios["released"] <= math.e**2 + 1e-9
    assert ratios["released"] > 4
    assert ratios["paper"] > 1000


def test_the_released_lstm_reads_backwards():
    """The first word is read last, so with everything forgotten it alone decides."""
    torch.manual_seed(0)
    model = San(VARIANTS["released LSTM"], SIZES).double()
    torch.nn.init.constant_(
        model.question_encoder.input_gates.bias.data.chunk(4)[1], -50
    )  # forget all
    torch.nn.init.zeros_(model.question_encoder.hidden_gates.weight)
    batch = questions()
    before = model(batch).logits
    batch.question[:, 1:] = batch.question[:, 1:].flip(0)
    torch.testing.assert_close(model(batch).logits, before)
    batch.question[:, 0] = batch.question[:, 0] % 10 + 1
    assert not torch.allclose(model(batch).logits, before, atol=1e-9)


def test_released_weights_begin_as_released():
    torch.manual_seed(0)
    model = San(VARIANTS["released LSTM"], SIZES)
    assert model.embed.weight[0].abs().max() == 0
    assert 0.3 < model.embed.weight.abs().max() <= 0.5
    assert 0.005 < model.hops[0].project_regions.weight.abs().max() <= 0.01
    taken, kept, shown, candidate = model.question_encoder.input_gates.bias.chunk(4)
    assert kept.eq(1).all()
    assert torch.cat([taken, shown, candidate]).abs().max() == 0
    course = San(VARIANTS["course"], SIZES)
    assert course.embed.weight[0].abs().max() > 0, "Xavier fills the padding's row too"


def test_dropout_in_the_released_attention_is_refused():
    with pytest.raises(ValidationError, match="attention=paper"):
        SanConfig(attention="released", attention_dropout=0.5)


COURSE = SanConfig(reader="lstm", embedding=1000, attention_dropout=0.5)


@pytest.mark.parametrize(
    ("config", "words", "count"),
    [
        (SanConfig(attention="released", reader="released_lstm"), 13_747, 16_769_938 + 500),
        (SanConfig(attention="released"), 13_747, 12_844_434 + 500),
        (COURSE, 10_000, 11_948_010 + 1000 * 10_000),
    ],
)
def test_the_parameters_are_as_many_as_released(config, words, count):
    """500 more than released: the empty word is a row of the table, though it never learns."""
    with torch.device("meta"):
        model = San(config, Sizes(words=words, region_dim=512, answers=1000))
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_published_programs_have_as_many():
    with torch.device("meta"):
        lstm = published.Released(13_746, 1000, reader="lstm")
        conv = published.Released(13_746, 1000)
        course = published.Course(10_000, 1000)
    counts = [sum(p.numel() for p in model.parameters()) for model in (lstm, conv, course)]
    assert counts == [16_769_938, 12_844_434, 11_948_010 + 1000 * 10_000]
