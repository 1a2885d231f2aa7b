"""Layers that are torch's own, only quicker: equal outputs, equal gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.models.fast_rnn import ManyScores, PackedLstm


def read(lstm, values, lengths, state=None):
    """Everything that comes out, and the gradients of everything that goes in."""
    values = values.clone().requires_grad_()
    state = None if state is None else tuple(part.clone().requires_grad_() for part in state)
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    output, (hidden, memory) = lstm(packed, state)
    lstm.zero_grad()
    noise = torch.Generator().manual_seed(1)
    parts = (output.data, hidden, memory)
    sum((part * torch.randn(part.shape, generator=noise)).sum() for part in parts).backward()
    gradients = [values.grad, *(part.grad for part in state or ())]
    gradients += [parameter.grad for parameter in lstm.parameters()]
    return *parts, output.batch_sizes, output.unsorted_indices, *gradients


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("lengths", [[4, 4, 2, 1], [1, 3, 5, 2], [1, 1], [3]])
def test_the_lstm_reads_and_learns_as_torchs(lengths, begun, bias):
    torch.manual_seed(0)
    theirs = nn.LSTM(5, 3, bias=bias)
    ours = PackedLstm(5, 3, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    values, lengths = torch.randn(len(lengths), max(lengths), 5), torch.tensor(lengths)
    state = (torch.randn(1, len(lengths), 3), torch.randn(1, len(lengths), 3)) if begun else None
    for wanted, got in zip(
        read(theirs, values, lengths, state), read(ours, values, lengths, state), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_without_gradients_the_lstm_is_torchs():
    torch.manual_seed(0)
    theirs = nn.LSTM(5, 3)
    ours = PackedLstm(5, 3)
    ours.load_state_dict(theirs.state_dict())
    packed = pack_padded_sequence(torch.randn(2, 4, 5), torch.tensor([2, 4]), True, False)
    with torch.inference_mode():
        torch.testing.assert_close(ours(packed), theirs(packed), rtol=0, atol=0)


@pytest.mark.parametrize("words", [1, 15, 16, 17, 40])
def test_many_scores_are_those_of_a_linear_layer(words):
    torch.manual_seed(0)
    ours = ManyScores(6, words).double()
    theirs = nn.Linear(6, words).double()
    theirs.load_state_dict(ours.state_dict())
    values, noise = torch.randn(7, 6).double(), torch.randn(7, words).double()
    found = []
    for layer in (theirs, ours):
        given = values.clone().requires_grad_()
        said = layer(given)
        (said * noise).sum().backward()
        found.append([said, given.grad, layer.weight.grad, layer.bias.grad])
    torch.testing.assert_close(found[1], found[0])
    with torch.no_grad():
        torch.testing.assert_close(ours(values), theirs(values))


def test_many_scores_survive_copying_and_mixed_precision():
    torch.manual_seed(0)
    layer = copy.deepcopy(ManyScores(6, 9))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = layer(torch.randn(4, 6))
    assert said.dtype == torch.bfloat16
    said.float().sum().backward()
    assert layer.weight.grad.abs().sum() > 0
