"""Faithfulness: by hand on a model whose truth is known, and on trained runs against exchanged ones."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import saccade
from saccade.core.errors import BadConfig, BadData
from saccade.core.run_files import FAITHFULNESS
from saccade.core.tensors import save_tensors
from saccade.data.batch import CaptionBatch
from saccade.evaluation.faithfulness import last_rows, last_words
from saccade.evaluation.region_curves import (
    STEPS,
    area,
    hidden_counts,
    hidden_regions,
    is_constant,
    rank_correlation,
    ranks,
)
from saccade.evaluation.true_objects import read_objects
from saccade.inference.model import untrained_model
from saccade.run_folder import open_run
from tests.worlds import make_world, write_untrained_run


def masked(*counts, regions=7):
    return torch.arange(regions) < torch.tensor(counts)[:, None]


def test_regions_are_ordered_by_weight_and_padding_comes_last():
    weights = torch.tensor([[0.1, 0.4, 0.2, 0.3, 9.0]])
    found = ranks(weights, masked(4, regions=5), torch.rand(1, 5))
    assert found.tolist() == [[3, 0, 2, 1, 4]]


def test_equal_weights_are_ordered_by_lot_alone():
    """Each of three equal regions comes first as often as the others, wherever it stands."""
    weights = torch.tensor([0.2, 0.2, 0.2 + 1e-9, 0.4]).expand(3000, 4)
    keys = torch.rand(3000, 4, generator=torch.Generator().manual_seed(0))
    found = ranks(weights, masked(4, regions=4).expand(3000, 4), keys)
    assert (found[:, 3] == 0).all()
    share = (found[:, :3] == 1).double().mean(dim=0)
    assert (share - 1 / 3).abs().max() < 0.04


def test_curves_begin_with_nothing_hidden_and_end_with_all():
    mask = masked(7, 3, 25, regions=25)
    counts = hidden_counts(mask)
    assert counts[:, 0].tolist() == [0, 0, 0]
    assert counts[:, -1].tolist() == [7, 3, 25]
    assert (counts[:, 1] >= 1).all(), "the marked tenth is never nothing"
    assert (counts.diff(dim=1) >= 0).all()
    order = torch.stack([torch.arange(25)] * 3)[:, None]
    hide = hidden_regions(order, counts) & mask[:, None, None, None]
    assert hide.shape == (3, 1, 2, STEPS - 1, 25)
    deleted = counts[:, None, 1:-1]
    assert (hide[:, :, 0].sum(dim=-1) == deleted).all()
    assert (hide[:, :, 1].sum(dim=-1) == mask.sum(dim=1)[:, None, None] - deleted).all()
    assert hide[2, 0, 0, 0, 0], "deletion hides the first in the order first"
    assert not hide[2, 0, 1, 0, 0], "insertion shows it first"


def test_the_area_is_that_of_a_hand_made_curve():
    counts = hidden_counts(masked(10, regions=10))
    falling = torch.linspace(1, 0, STEPS + 1)[None, None]
    assert area(falling, counts).item() == pytest.approx(0.5)
    at_once = (torch.arange(STEPS + 1) == 0).float()[None, None]
    assert area(at_once, counts).item() == pytest.approx(0.05), "half of the first step"


def test_rank_correlation_is_spearmans_with_ties(rng=np.random.default_rng(0)):
    first, second = rng.integers(5, size=(2, 6, 9)) / 5
    counts = [9, 8, 7, 9, 5, 4]
    found = rank_correlation(
        torch.from_numpy(first), torch.from_numpy(second), masked(*counts, regions=9)
    )
    for row, count in enumerate(counts):
        wanted = spearmanr(first[row, :count], second[row, :count]).statistic
        assert found[row].item() == pytest.approx(wanted, abs=1e-9)


def test_a_constant_map_has_no_correlation_and_is_seen():
    even, other = torch.full((1, 4), 0.25), torch.rand(1, 4)
    mask = masked(4, regions=4)
    assert rank_correlation(even, other, mask).isnan().all()
    assert is_constant(even, mask).tolist() == [True]
    assert is_constant(torch.tensor([[0.25, 0.25, 0.25, 9.0]]), masked(3, regions=4)).all()
    assert not is_constant(torch.tensor([[0.25, 0.25, 0.26, 0.24]]), mask).any()


def test_the_last_word_of_each_caption_is_found_in_packed_rows():
    length = torch.tensor([5, 3, 3, 2])
    caption = torch.arange(20).view(4, 5)
    batch = CaptionBatch(torch.zeros(1, 1, 1), torch.ones(1, 1), length, caption, length)
    packed = nn.utils.rnn.pack_padded_sequence(caption[:, 1:], length - 1, batch_first=True)
    assert packed.data[last_rows(batch)].tolist() == last_words(batch).tolist()
    assert last_words(batch).tolist() == [4, 7, 12, 16]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny world and untrained runs of both tasks: what a run finds is not the point there."""
    folder = make_world(tmp_path_factory.mktemp("faith") / "data", train=24, val=12)
    for name in ("show-ask-attend-answer", "ibowimg", "show-attend-tell", "show-tell"):
        write_untrained_run(folder, f"{name}-small", folder.path.parent / name)
    return folder.path.parent


def numbers(found):
    """All numbers of scores, and where they stand."""
    if isinstance(found, dict):
        for name, value in found.items():
            for place, number in numbers(value):
                yield f"{name}/{place}", number
    elif isinstance(found, list):
        yield "", found
    elif isinstance(found, int | float):
        yield "", [found]


@pytest.mark.parametrize("name", ["show-ask-attend-answer", "show-attend-tell", "show-tell"])
def test_scores_do_not_depend_on_the_batch_size(world, name):
    """One copy at a time, three, four, and one batch with an uneven last one."""
    given = {"split": "val", "limit": 4, "device": "cpu"}
    found = [saccade.faithfulness(world / name, batch_size=n, **given) for n in (64, 1, 3, 4)]
    for other in found[1:]:
        for (place, one), (_, two) in zip(numbers(found[0]), numbers(other), strict=True):
            np.testing.assert_allclose(one, two, atol=2e-5, err_msg=place)


@pytest.mark.parametrize("name", ["show-ask-attend-answer", "ibowimg", "show-attend-tell"])
def test_what_is_written_says_all_that_it_depends_on(world, name):
    found = saccade.faithfulness(world / name, split="val", limit=6, device="cpu")
    assert found["map"] == ("occlusion" if name == "ibowimg" else "attention")
    assert (found["agreement_with_occlusion"] is None) == (name == "ibowimg")
    assert "24 training images" in found["conventions"]["hidden_by"]
    assert "probability" in found["conventions"]["score"]
    for curve in ("deletion", "insertion"):
        for values in found["curves"][curve].values():
            assert len(values) == STEPS + 1
    whole = found["curves"]["deletion"]["map"][0]
    assert whole == pytest.approx(found["probability"]["value"], abs=1e-5)
    assert whole == pytest.approx(found["curves"]["insertion"]["random"][-1])
    assert found["curves"]["deletion"]["map"][-1] == found["curves"]["insertion"]["map"][0]
    written = json.loads((world / name / FAITHFULNESS).read_text())
    assert written["val"]["sentence"] == found["sentence"]
