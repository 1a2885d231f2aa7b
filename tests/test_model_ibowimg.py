"""iBOWIMG against an independent reading of the public code (VQA specification, section 3)."""

import pytest
import torch

from saccade.data.batch import Sizes
from saccade.models.catalogue import IBowImgConfig
from saccade.models.ibowimg import IBowImg, unique_words
from tests.model_checks import CHECKS, SIZES, questions
from tests.oracles import ibowimg as published
from tests.oracles.agreement import give_weights, require_agreement

SMALL = [IBowImgConfig(embedding=16, inputs=inputs) for inputs in ("both", "question", "image")]


def translate(theirs):
    return {"embed.weight": theirs["W_e"].T, "output.weight": theirs["W_c"]}


def test_it_computes_what_the_public_code_computes():
    torch.manual_seed(0)
    theirs = published.IBowImg(SIZES.words, SIZES.answers, SIZES.region_dim, word=16).double()
    ours = IBowImg(SMALL[0], SIZES).double()
    give_weights(theirs, ours, translate)
    batch = questions(pad_words=2)
    image = batch.regions.mean(dim=1)[batch.image]
    answered = theirs(image, batch.question, batch.question_length)
    require_agreement(theirs, ours, translate, answered, ours(batch))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("config", SMALL[:1], ids=lambda config: config.inputs)
def test_it_keeps_the_contract(config, check):
    torch.manual_seed(0)
    check(IBowImg(config, SIZES))


def test_neither_order_nor_number_of_words_matters():
    batch, model = questions(), IBowImg(SMALL[0], SIZES).double()
    before = model(batch).logits
    batch.question[0] = torch.tensor(sorted(batch.question[0].tolist(), reverse=True))
    torch.testing.assert_close(model(batch).logits, before)
    words, present = unique_words(torch.tensor([[7, 3, 7, 9]]), torch.tensor([3]))
    assert words[present].tolist() == [3, 7]


def test_the_blind_variants_are_blind_and_have_a_bias():
    """The released BOW takes the question alone, the released IMG the image alone."""
    batch, other = questions(), questions()
    other.regions = other.regions.flip(0)
    other.question = (other.question + 3) % SIZES.words
    for config, alike in zip(SMALL[1:], ("question", "regions"), strict=True):
        torch.manual_seed(0)
        model = IBowImg(config, SIZES).double()
        assert model.output.bias is not None
        before, after = model(batch).logits, model(other).logits
        assert not torch.allclose(before, after)
        setattr(other, alike, getattr(batch, alike))
        torch.testing.assert_close(model(other).logits, before)
        other.regions = batch.regions.flip(0)
        other.question = (batch.question + 3) % SIZES.words
    assert IBowImg(SMALL[0], SIZES).output.bias is None


def test_weights_begin_as_torch_begins_linear_layers():
    torch.manual_seed(0)
    model = IBowImg(IBowImgConfig(), Sizes(words=2500, region_dim=1024, answers=300))
    assert 0.9 < model.embed.weight.abs().max() * 2500**0.5 <= 1
    assert 0.9 < model.output.weight.abs().max() * 2048**0.5 <= 1


@pytest.mark.parametrize(("words", "answers"), [(12_046, 5_216), (7, 3)])
def test_the_parameters_are_as_many_as_released(words, answers):
    """1024 V + 2048 A."""
    with torch.device("meta"):
        model = IBowImg(IBowImgConfig(), Sizes(words=words, region_dim=1024, answers=answers))
        theirs = published.IBowImg(words, answers)
    counts = {sum(p.numel() for p in m.parameters()) for m in (model, theirs)}
    assert counts == {1024 * words + 2048 * answers}
