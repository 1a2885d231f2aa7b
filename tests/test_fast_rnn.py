"""CPU tricks: equal outputs and equal gradients as torch's own layers."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.models.fast_rnn import Dropout, PackedLstm, VocabularyLinear


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
def test_vocabulary_scores_are_those_of_a_linear_layer(words):
    torch.manual_seed(0)
    ours = VocabularyLinear(6, words).double()
    theirs = nn.Linear(6, words).double()
    theirs.load_state_dict(ours.state_dict())
    values, noise = torch.randn(7, 6).double(), torch.randn(7, words).double()
    found = []
    for layer in (theirs, ours):
        given = values.clone().requires_grad_()
        scores = layer(given)
        (scores * noise).sum().backward()
        found.append([scores, given.grad, layer.weight.grad, layer.bias.grad])
    torch.testing.assert_close(found[1], found[0])
    with torch.no_grad():
        torch.testing.assert_close(ours(values), theirs(values))


def test_vocabulary_scores_survive_copying_and_mixed_precision():
    torch.manual_seed(0)
    layer = copy.deepcopy(VocabularyLinear(6, 9))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = layer(torch.randn(4, 6))
    assert scores.dtype == torch.bfloat16
    scores.float().sum().backward()
    assert layer.weight.grad.abs().sum() > 0


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
