"""The pieces that several models share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from saccade.data.batch import CaptionBatch
from saccade.models.layers import (
    CELLS,
    AdaptivePooling,
    RegionNorm,
    attend,
    by_caption,
    cell_biases,
    cell_step,
    masked_softmax,
    mean_region,
    pack_captions,
)


@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.lists(st.integers(0, 3), min_size=1)
)
def test_attend_is_a_weighted_sum_per_example(dim, glimpses, regions, images):
    draw = torch.Generator().manual_seed(len(images))
    image = torch.tensor(images)
    shown = torch.randn(4, regions, dim, generator=draw)
    weights = torch.randn(len(images), glimpses, regions, generator=draw)
    plain = torch.stack([weights[b] @ shown[image[b]] for b in range(len(images))])
    torch.testing.assert_close(attend(weights, shown, image), plain)


@pytest.mark.parametrize("grid", [(8, 8), (7, 7), (14, 14), (5, 9), (16, 20)])
def test_pooling_is_torchs_adaptive_average_pooling(grid):
    """And a linear layer before pooling is the same as one behind it."""
    torch.manual_seed(0)
    pooling, cells = AdaptivePooling(grid, 14), torch.randn(2, grid[0] * grid[1], 6)
    image = cells.transpose(1, 2).unflatten(2, grid)
    pooled = functional.adaptive_avg_pool2d(image, 14).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pooling.pool(cells), pooled)
    linear, weights = torch.nn.Linear(6, 3), torch.rand(2, 14 * 14).softmax(dim=-1)
    torch.testing.assert_close(pooling.pool(linear(cells)), linear(pooled))
    attended = torch.einsum("bp,bpd->bd", weights, pooled)
    torch.testing.assert_close(
        torch.einsum("br,brd->bd", pooling.to_regions(weights), cells), attended
    )
    assert pooling.state_dict() == {}, "the pooling is a constant, not a weight"


@pytest.mark.parametrize("kind", CELLS)
def test_a_cells_step_is_torchs_own(kind):
    torch.manual_seed(0)
    cell = CELLS[kind](4, 5).double()
    inputs, hidden, memory = torch.randn(3, 14, dtype=torch.float64).split([4, 5, 5], dim=1)
    wanted = cell(inputs, (hidden, memory) if kind == "lstm" else hidden)
    wanted = wanted if kind == "lstm" else (wanted, wanted)
    of_input, of_state = cell_biases(cell)
    products = (
        functional.linear(inputs, cell.weight_ih, of_input),
        functional.linear(hidden, cell.weight_hh, of_state),
    )
    torch.testing.assert_close(cell_step(cell, *products, hidden, memory), wanted)


def test_padding_is_neither_attended_nor_averaged():
    mask = torch.tensor([[True, True, False]])
    assert masked_softmax(torch.tensor([[0.0, 0.0, 99.0]]), mask).tolist() == [[0.5, 0.5, 0.0]]
    regions = torch.tensor([[[1.0], [3.0], [99.0]]])
    assert mean_region(regions, mask).tolist() == [[2.0]]


def test_rows_of_words_by_caption():
    caption = torch.tensor([[1, 5, 6, 7, 2, 0], [1, 8, 2, 0, 0, 0], [1, 9, 2, 0, 0, 0]])
    length, image = torch.tensor([5, 3, 3]), torch.tensor([0, 0, 0])
    regions, mask = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    batch = CaptionBatch(regions, mask, image, caption=caption, caption_length=length)
    words, targets = pack_captions(batch)
    assert words.batch_sizes.tolist() == [3, 3, 1, 1]
    assert torch.equal(by_caption(targets, words, batch), caption[:, 1:])


def test_batch_norm_of_regions_knows_the_real_ones_only():
    """As torch's over the real regions side by side, in training and after it; padding is 0."""
    torch.manual_seed(0)
    plain, ours = torch.nn.BatchNorm1d(4), RegionNorm(4)
    regions, mask = torch.randn(3, 5, 4), torch.arange(5) < torch.tensor([[5], [2], [1]])
    rubbish = regions.masked_fill(~mask[..., None], 1e6)
    for _ in range(3):
        wanted = plain(torch.cat([r[m] for r, m in zip(regions, mask, strict=True)]))
        got = ours(rubbish, mask)
        torch.testing.assert_close(got[mask], wanted)
        assert got[~mask].abs().sum() == 0
    torch.testing.assert_close(ours.running_var, plain.running_var)
    torch.testing.assert_close(ours.eval()(rubbish, mask)[mask], plain.eval()(regions[mask]))
    alone = ours.train()(rubbish[2:], mask[2:])  # one region has no spread: as after training
    torch.testing.assert_close(alone[mask[2:]], plain(regions[2:][mask[2:]]))
