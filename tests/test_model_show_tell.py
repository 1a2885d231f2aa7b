"""Show and Tell against the three public forms."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.core.errors import BadConfig
from saccade.data.batch import Sizes
from saccade.models.catalogue import ShowTellConfig
from saccade.models.show_tell import MaxoutLstm, ShowTell
from tests import captioner_checks as checks
from tests.oracles import pairs
from tests.oracles import show_tell as published

COURSE = pairs.renaming(
    {
        "embedding": "embed",
        "decode_step.weight_ih": "lstm.weight_ih_l0",
        "decode_step.weight_hh": "lstm.weight_hh_l0",
        "decode_step.bias_ih": "lstm.bias_ih_l0",
        "decode_step.bias_hh": "lstm.bias_hh_l0",
        "init": "project_image",
        "bn": "norm",
        "fc": "output",
    }
)
FIRST_WORD = pairs.renaming(
    {"img_embed": "project_image", "core": "lstm", "embed": "embed", "logit": "output"}
)
NEW_FC = pairs.renaming(
    {
        "fc_embed": "project_image",
        "_core.i2h": "lstm.input_gates",
        "_core.h2h": "lstm.hidden_gates",
        "embed": "embed",
        "logit": "output",
    }
)
GRID = checks.SIZES._replace(grid=(2, 3), regions=6)
SAME = (6, 6, 6)  # a grid has no padding


def config(**changes):
    return ShowTellConfig(embedding=9, hidden=9, dropout=0, **changes)


RUOTIANLUO = {"init_pool": "mean", "pool_size": None, "batch_norm": None}
FORMS = {
    "course flatten": config(pool_size=3),
    "course mean": config(pool_size=3, init_pool="mean"),
    "first word": config(**RUOTIANLUO, cell_bias=False),
    "maxout": config(**RUOTIANLUO, cell="maxout", init="torch"),
}


def images_for(name, batch):
    """Each caption's image as that form's code takes it."""
    grids = batch.regions.transpose(1, 2).unflatten(2, (2, 3))
    looks = nn.functional.adaptive_avg_pool2d(grids, 3).permute(0, 2, 3, 1)  # (I, 3, 3, D)
    shown = {"course flatten": looks, "course mean": looks.mean(dim=(1, 2))}
    return shown.get(name, batch.regions.mean(dim=1))[batch.image]


def both(name):
    """An oracle and saccade's model with its weights, in float64; ends are made likely."""
    torch.manual_seed(1)
    if name.startswith("course"):
        inputs = 6 * (9 if "flatten" in name else 1)
        oracle, convert = published.DecoderWithRNN(13, inputs, width=9, dropout=0), COURSE
        oracle.bn.running_mean.normal_()
        oracle.bn.running_var.uniform_(0.5, 2)
    elif name == "first word":
        oracle, convert = published.ShowTellModel(13, 6, 9, 0), FIRST_WORD
    else:
        oracle, convert = published.NewFCModel(13, 6, 9, 0), NEW_FC
    for parameter in oracle.parameters():
        parameter.data.mul_(2)  # sharper, so that beams differ
    ours = ShowTell(FORMS[name], GRID)
    pairs.copy_weights(oracle, ours, convert)
    return oracle.double(), ours.double(), convert


@pytest.mark.parametrize("name", FORMS)
class TestAgainstTheOracle:
    @pytest.mark.parametrize("training", [True, False])
    def test_reading(self, name, training):
        """In training mode too: batch norm must see each caption's image."""
        oracle, ours, convert = both(name)
        batch = checks.caption_batch(regions=SAME)
        oracle.train(training), ours.train(training)
        predictions = oracle(images_for(name, batch), batch.caption, batch.caption_length)
        loss = published.loss(predictions, batch.caption, batch.caption_length)
        torch.testing.assert_close(checks.loss_of(ours(batch)), loss)
        pairs.copy_weights(oracle, ours, convert)  # running statistics were counted twice
        checks.assert_reads_as(oracle, ours, batch, convert, predictions)

    def test_saying(self, name):
        oracle, ours, _ = both(name)
        oracle.eval()

        def log_p_of(regions):
            batch = checks.caption_batch(regions=SAME)
            batch.regions[:] = regions
            image = images_for(name, batch)[:1]

            def log_p(words):
                caption = torch.tensor([[*words, 0]])
                said = oracle(image, caption, torch.tensor([len(words) + 1]))
                return said[0, -1].log_softmax(0)

            return log_p

        checks.assert_says_as(log_p_of, ours, checks.caption_batch(regions=SAME))

    def test_steps_and_beams(self, name):
        ours = both(name)[1]
        batch = checks.caption_batch(regions=SAME)
        checks.assert_steps_as_it_reads(ours, batch)
        checks.assert_beams_do_not_mix(ours, batch)

    def test_it_learns_by_heart(self, name):
        torch.manual_seed(0)
        checks.assert_learns_by_heart(
            ShowTell(FORMS[name], GRID), checks.caption_batch(regions=SAME)
        )


@pytest.mark.parametrize("pool", ["mean", "flatten"])
def test_padding_changes_nothing(pool):
    torch.manual_seed(0)
    ours = ShowTell(config(init_pool=pool), checks.SIZES).double()
    checks.assert_padding_changes_nothing(ours)


def test_running_statistics_follow_the_captions_as_published():
    oracle, ours, _ = both("course mean")
    batch = checks.caption_batch(regions=SAME)
    oracle(images_for("course mean", batch), batch.caption, batch.caption_length)
    ours(batch)
    torch.testing.assert_close(ours.norm.running_mean, oracle.bn.running_mean)
    torch.testing.assert_close(ours.norm.running_var, oracle.bn.running_var)


def test_a_batch_of_one_caption_can_be_trained_on():
    """The course's code stops here with an error."""
    torch.manual_seed(0)
    ours, batch = ShowTell(config(init_pool="mean"), GRID), checks.caption_batch(regions=SAME)
    for name in ("image", "caption", "caption_length"):
        setattr(batch, name, getattr(batch, name)[:1])
    batch.regions = batch.regions.float()
    checks.loss_of(ours.train()(batch)).backward()


def test_the_maxout_lstm_is_called_as_an_lstm_is():
    torch.manual_seed(0)
    cell, words = MaxoutLstm(4, 5), torch.randn(3, 6, 4)
    lengths = torch.tensor([6, 6, 2])
    output, (hidden, _) = cell(pack_padded_sequence(words, lengths, batch_first=True))
    padded, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
    torch.testing.assert_close(hidden[0], padded[torch.arange(3), lengths - 1])


def test_first_weights():
    torch.manual_seed(0)
    words = ShowTell(config(init_pool="mean"), GRID)
    assert words.embed.weight.abs().max() <= 0.1
    assert words.output.weight.abs().max() <= 0.1
    assert words.output.bias.abs().sum() == 0
    everything = ShowTell(config(init_pool="mean", init="everything", image_bias=False), GRID)
    assert all(p.abs().max() <= 0.08 for p in everything.parameters() if p.dim() > 1)
    bias = everything.lstm.bias_ih_l0 + everything.lstm.bias_hh_l0
    assert bias.view(4, 9).sum(dim=1).tolist() == [0, 9, 0, 0]  # torch's order: in, forget, ...
    assert (everything.norm.weight == 1).all()


def test_flattening_asks_for_a_known_number_of_regions():
    with pytest.raises(BadConfig, match=r"model\.init_pool=mean"):
        ShowTell(config(), Sizes(words=5, region_dim=3))


COCO = Sizes(words=9490, region_dim=2048, grid=(8, 8), regions=64)
RUO = COCO._replace(words=9488)  # 9,487 words, and one id for start, end and padding


@pytest.mark.parametrize(
    ("changes", "sizes", "count"),
    [
        ({}, COCO, 217_350_930),
        ({"init_pool": "mean"}, COCO, 12_878_610),
        ({**RUOTIANLUO, "image_bias": False}, COCO, 12_877_074),
        ({**RUOTIANLUO, "cell_bias": False}, RUO, 12_871_440),
        ({**RUOTIANLUO, "cell": "maxout"}, RUO, 13_400_848),
    ],
)
def test_parameter_counts_are_the_published_ones(changes, sizes, count):
    with torch.device("meta"):
        model = ShowTell(ShowTellConfig(**changes), sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
