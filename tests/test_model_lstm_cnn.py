"""Deeper LSTM Q + norm I against independent readings of both public codes (section 4)."""

from dataclasses import replace

import pytest
import torch

from saccade.data.batch import Sizes
from saccade.models.catalogue import LstmCnnConfig
from saccade.models.lstm_cnn import LstmCnn
from tests.model_checks import CHECKS, SIZES, questions
from tests.oracles import lstm_cnn as published
from tests.oracles.agreement import give_weights, renamed, require_agreement

PAPER = LstmCnnConfig(embedding=8, hidden=6, common=10, dropout=0)
BASIC = PAPER.model_copy(update={"form": "basic_vqa", "padded_to": 9})
VARIANTS = {
    "paper": PAPER,
    "concat": PAPER.model_copy(update={"fusion": "concat"}),
    "one layer, norm left out": PAPER.model_copy(update={"layers": 1, "normalise": False}),
    "basic_vqa": BASIC,
    "basic_vqa, concat": BASIC.model_copy(update={"fusion": "concat"}),
    "basic_vqa without padding": BASIC.model_copy(update={"padded_to": None}),
}
BASIC_NAMES = {
    "img_encoder.fc": "project_image",
    "qst_encoder.word2vec": "embed",
    "qst_encoder.lstm": "question_encoder",
    "qst_encoder.fc": "project_question",
    "fc1": "hidden",
    "fc2": "output",
}
LAYER_NAMES = {"question": "project_question", "image": "project_image", "classifier": "output"}
LSTM_NAMES = {"i2h": "ih", "h2h": "hh"}


def as_torch_orders_gates(blocks):
    """Input, forget, output, candidate -> input, forget, candidate, output."""
    taken, kept, shown, candidate = blocks.chunk(4)
    return torch.cat([taken, kept, candidate, shown])


def translate_paper(theirs):
    ours = {"embed.weight": theirs["embedding.weight"].T, "embed_bias": theirs["embedding.bias"]}
    for name, tensor in theirs.items():
        layer, leaf = name.split(".")
        if layer in LAYER_NAMES:
            ours[f"{LAYER_NAMES[layer]}.{leaf}"] = tensor
        elif layer[:3] in LSTM_NAMES:
            number = int(layer[-1]) - 1
            ours[f"question_encoder.{leaf}_{LSTM_NAMES[layer[:3]]}_l{number}"] = (
                as_torch_orders_gates(tensor)
            )
    return ours


@pytest.mark.parametrize(("fusion", "published_fusion"), [("product", "AxB"), ("concat", "A_B")])
def test_it_computes_what_the_papers_code_computes(fusion, published_fusion):
    torch.manual_seed(0)
    sizes = {"embedding": 8, "hidden": 6, "common": 10, "fusion": published_fusion}
    theirs = published.DeeperLstm(SIZES.words, SIZES.answers, SIZES.region_dim, **sizes).double()
    ours = LstmCnn(PAPER.model_copy(update={"fusion": fusion}), SIZES).double()
    give_weights(theirs, ours, translate_paper)
    batch = questions(pad_words=2)
    image = batch.regions.mean(dim=1)[batch.image]
    answered = theirs(image, batch.question, batch.question_length)
    require_agreement(theirs, ours, translate_paper, answered, ours(batch))
    assert theirs.proj.weight.grad is None, "what is left out here never learns there"


def test_it_computes_what_basic_vqa_computes():
    torch.manual_seed(0)
    sizes = {"embedding": 8, "hidden": 6, "common": 10, "positions": 9}
    theirs = published.BasicVqa(SIZES.words, SIZES.answers, SIZES.region_dim, **sizes).double()
    ours, translate = LstmCnn(BASIC, SIZES).double(), renamed(BASIC_NAMES)
    give_weights(theirs, ours, translate)
    batch = questions(pad_words=2)
    image = batch.regions.mean(dim=1)[batch.image]
    answered = theirs(image, batch.question, batch.question_length)
    require_agreement(theirs, ours, translate, answered, ours(batch))


def test_basic_vqa_reads_on_through_padding_and_the_paper_does_not():
    """Another number of padding words changes basic_vqa's answer; its padding word learns."""
    torch.manual_seed(0)
    model = LstmCnn(BASIC, SIZES).double()
    shorter = LstmCnn(BASIC.model_copy(update={"padded_to": 5}), SIZES).double()
    shorter.load_state_dict(model.state_dict())
    batch = questions()
    assert not torch.allclose(model(batch).logits, shorter(batch).logits, rtol=1e-3)
    model(batch).logits.sum().backward()
    assert model.embed.weight.grad[0].abs().max() > 0
    paper = LstmCnn(PAPER, SIZES).double()
    paper(batch).logits.sum().backward()
    assert paper.embed.weight.grad[0].abs().max() == 0


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_contract(name, check):
    torch.manual_seed(0)
    config = VARIANTS[name].model_copy(update={"common": 32, "hidden": 16})
    if config.padded_to:  # after many words of padding a fresh LSTM knows little of the question
        config = config.model_copy(update={"padded_to": 5})
    check(LstmCnn(config, SIZES))


def test_the_image_is_scaled_to_length_one_or_left_as_it_is():
    batch = questions()
    ten_times = replace(batch, regions=batch.regions * 10)
    for config, same in ((PAPER, True), (VARIANTS["one layer, norm left out"], False)):
        model = LstmCnn(config, SIZES).double().eval()
        assert torch.allclose(model(batch).logits, model(ten_times).logits) is same


def test_no_gradient_goes_through_basic_vqas_length():
    """So making an image's projection longer is not counted as doing nothing."""
    torch.manual_seed(0)
    model = LstmCnn(BASIC, SIZES).double()
    seen = []
    model.project_image.register_forward_hook(
        lambda _module, _given, out: (out.retain_grad(), seen.append(out))[1]
    )
    model(questions()).logits.sum().backward()
    along = (seen[0] * seen[0].grad).sum(dim=1)  # zero if the length had a gradient
    assert along.abs().min() > 1e-6


def test_the_papers_weights_begin_within_008():
    torch.manual_seed(0)
    for name, parameter in LstmCnn(PAPER, SIZES).named_parameters():
        assert parameter.abs().max() <= 0.08, name
        assert parameter.abs().max() > 0.03, name


@pytest.mark.parametrize(
    ("config", "words", "count"),
    [
        (LstmCnnConfig(), 14_771, 10_882_737 + 200 * 14_771 - 513),
        (LstmCnnConfig(fusion="concat"), 14_771, 11_906_737 + 200 * 14_771 - 513),
        (LstmCnnConfig(form="basic_vqa", embedding=300), 17_856, 12_087_824 + 300 * 17_856),
    ],
)
def test_the_parameters_are_as_many_as_released(config, words, count):
    """The paper's code has 513 more: an output of its LSTM that no loss ever reaches."""
    with torch.device("meta"):
        model = LstmCnn(config, Sizes(words=words, region_dim=4096, answers=1000))
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_published_programs_have_as_many():
    with torch.device("meta"):
        assert sum(p.numel() for p in published.DeeperLstm(14_771, 1000).parameters()) == 13_836_937
        basic = published.BasicVqa(10, 1000)
    assert sum(p.numel() for p in basic.parameters()) == 12_087_824 + 300 * 10
