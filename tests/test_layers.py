"""The pieces that several models share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from saccade.models.layers import (
    AdaptiveView,
    Dropout,
    look_at,
    masked_softmax,
    mean_region,
    rows_per_step,
)


@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.lists(st.integers(0, 3), min_size=1)
)
def test_look_at_is_a_weighted_sum_per_example(dim, glimpses, regions, images):
    draw = torch.Generator().manual_seed(len(images))
    image = torch.tensor(images)
    shown = torch.randn(4, regions, dim, generator=draw)
    weights = torch.randn(len(images), glimpses, regions, generator=draw)
    plain = torch.stack([weights[b] @ shown[image[b]] for b in range(len(images))])
    torch.testing.assert_close(look_at(weights, shown, image), plain)


@pytest.mark.parametrize("grid", [(8, 8), (7, 7), (14, 14), (5, 9), (16, 20)])
def test_the_view_is_adaptive_average_pooling(grid):
    """And working on the cells then spreading is the same as spreading first."""
    torch.manual_seed(0)
    view, cells = AdaptiveView(grid, 14), torch.randn(2, grid[0] * grid[1], 6)
    image = cells.transpose(1, 2).unflatten(2, grid)
    pooled = functional.adaptive_avg_pool2d(image, 14).flatten(2).transpose(1, 2)
    torch.testing.assert_close(view.spread(cells), pooled)
    linear, weights = torch.nn.Linear(6, 3), torch.rand(2, 14 * 14).softmax(dim=-1)
    torch.testing.assert_close(view.spread(linear(cells)), linear(pooled))
    seen = torch.einsum("bp,bpd->bd", weights, pooled)
    torch.testing.assert_close(torch.einsum("br,brd->bd", view.to_regions(weights), cells), seen)
    assert view.state_dict() == {}, "the view is a constant, not a weight"


def test_dropout_drops_the_share_it_says_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, values = Dropout(0.5), torch.ones(1_000_003)
    dropped = layer(values)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs(dropped.mean().item() - 1) < 0.01
    lanes = (dropped[:1_000_000].view(-1, 8) > 0).float().mean(dim=0)
    assert (lanes - 0.5).abs().max() < 0.01, "one of the eight bytes of a draw is biased"
    assert abs((Dropout(0.1)(values) == 0).float().mean().item() - 0.1) < 0.01
    assert layer.eval()(values) is values


def test_dropout_can_be_repeated_and_differentiated():
    layer, values = Dropout(0.5), torch.ones(40, requires_grad=True)
    torch.manual_seed(3)
    first = layer(values)
    torch.manual_seed(3)
    torch.testing.assert_close(first, layer(values))
    first.sum().backward()
    torch.testing.assert_close(values.grad, first.detach())
    with pytest.raises(ValueError, match="below 1"):
        Dropout(1.0)


def test_padding_is_neither_attended_nor_averaged():
    mask = torch.tensor([[True, True, False]])
    assert masked_softmax(torch.tensor([[0.0, 0.0, 99.0]]), mask).tolist() == [[0.5, 0.5, 0.0]]
    regions = torch.tensor([[[1.0], [3.0], [99.0]]])
    assert mean_region(regions, mask).tolist() == [[2.0]]


def test_rows_per_step():
    assert rows_per_step([3, 2, 2], 4) == [3, 3, 1, 0]
