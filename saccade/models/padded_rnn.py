"""Question encoders in exported graphs: recurrent networks over padded words, as nodes of ONNX.

torch's exporter knows no packed sequences, and writes an LSTM of the one length that it was shown.
So the nodes are written here, in the form that onnxruntime, openvino and tract compute alike: no
`sequence_lens` (openvino's are wrong, tract has none), no reverse nodes (tract computes them
forward): what reads backwards gets its words in reverse order. Hidden states are taken at the last
word. An LSTM's cell state is there in the end: on padding, a further input closes the input gate
and opens the forget gate.

Shapes: B questions, T words, E numbers per word, H hidden.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from saccade.models.layers import PaddedWords, real_words

SHUT = 1e4
"""Before a sigmoid: 1, and with a minus 0."""
States = tuple[Tensor, ...]


def read_words(
    rnn: nn.Module, words: PackedSequence | PaddedWords, state: Tensor | States | None = None
) -> tuple[Any, Any]:
    """What `rnn` returns for packed words, or in an exported graph for padded ones.

    Outputs are then (B, T, ways * H); the states, (layers * ways, B, H), are those of last words.
    """
    if isinstance(words, PackedSequence):
        read: tuple[Any, Any] = rnn(words) if state is None else rnn(words, state)
        return read
    assert isinstance(rnn, nn.LSTM | nn.GRU)
    vectors, length = words
    hidden, memory, ways = [], [], ("", "_reverse")[: 1 + rnn.bidirectional]
    for layer in range(rnn.num_layers):
        outputs = []
        for way in ways:
            given = in_reverse(vectors, length) if way else vectors
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weights = [rnn.get_parameter(f"{name}_l{layer}{way}") for name in names]
            node = lstm_node if isinstance(rnn, nn.LSTM) else _gru_node
            output, last, cell = node(given, length, weights)
            hidden.append(last)
            memory.append(cell)
            outputs.append(in_reverse(output, length) if way else output)
        vectors = torch.cat(outputs, dim=2)
    last_hidden = torch.stack(hidden)
    return vectors, (last_hidden, torch.stack(memory)) if isinstance(rnn, nn.LSTM) else last_hidden


def read_all(rnn: nn.Module, vectors: Tensor) -> tuple[Any, Any]:
    """What `rnn` (batch first) returns for `vectors (B, T, E)`, padding read as words are."""
    if torch.onnx.is_in_onnx_export():
        length = torch.full_like(vectors[:, 0, 0], vectors.shape[1], dtype=torch.int64)
        return read_words(rnn, PaddedWords(vectors, length))
    read: tuple[Any, Any] = rnn(vectors)
    return read


def padded(outputs: Any) -> Tensor:
    """What `read_words` returns for every word, as (B, T, H)."""
    if isinstance(outputs, PackedSequence):
        return pad_packed_sequence(outputs, batch_first=True)[0]
    states: Tensor = outputs
    return states


def in_reverse(vectors: Tensor, length: Tensor) -> Tensor:
    """Vectors (B, T, E) from the last word to the first; padding stays behind them."""
    place = torch.arange(vectors.shape[1], device=vectors.device)
    turned = torch.where(place < length[:, None], length[:, None] - 1 - place, place)  # (B, T)
    return vectors.gather(1, turned[..., None].expand_as(vectors))


def lstm_node(
    vectors: Tensor, length: Tensor, weights: Sequence[Tensor], *, tanh: bool = True
) -> States:
    """An LSTM over `vectors (B, T, E)` with torch's `weights`: outputs, last hidden and cell state.

    Without `tanh` the output is the gated cell state itself.
    """
    of_input, of_hidden, *biases = weights
    padding = ~real_words(length, vectors.shape[1])
    vectors = torch.cat([vectors, padding[..., None].to(vectors.dtype)], dim=2)
    gates = torch.tensor([-SHUT, SHUT, 0.0, 0.0]).repeat_interleave(of_hidden.shape[1])
    of_input = torch.cat([of_input, gates[:, None]], dim=1)
    names = ["Sigmoid", "Tanh", "Tanh" if tanh else "Affine"]
    alpha = {} if tanh else {"activation_alpha": [1.0], "activation_beta": [0.0]}
    places = (0, 3, 1, 2)  # of in, forget, candidate, out: ONNX has out behind in
    settings = {"activations": names, **alpha}
    outputs, _, memory = _node("LSTM", vectors, places, (of_input, of_hidden, *biases), settings)
    return outputs, _last(outputs, length), memory


def _gru_node(vectors: Tensor, length: Tensor, weights: Sequence[Tensor]) -> States:
    places = (1, 0, 2)  # of reset, update, candidate: ONNX has update first
    outputs, _ = _node("GRU", vectors, places, weights, {"linear_before_reset": 1})
    last = _last(outputs, length)
    return outputs, last, last


def _last(outputs: Tensor, length: Tensor) -> Tensor:
    """Of `outputs (B, T, H)` those of the last words (B, H)."""
    place = (length - 1)[:, None, None].expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, place).squeeze(1)


def _node(
    kind: str,
    vectors: Tensor,
    places: Sequence[int],
    weights: Sequence[Tensor],
    settings: dict[str, Any],
) -> States:
    """A node of ONNX: outputs (B, T, H), and its states (B, H) behind the last place.

    `places` are those of ONNX's gates among torch's.
    """
    ordered = [torch.cat([part.chunk(len(places))[place] for place in places]) for part in weights]
    of_input, of_hidden, *biases = ordered
    count, most, hidden = vectors.shape[0], vectors.shape[1], of_hidden.shape[1]
    states = len(places) - 2  # of an LSTM two, of a GRU one
    # Not `new_zeros`: exported, it is a node of the wrong type for tract.
    zeros = [torch.zeros(1, 1, hidden, dtype=vectors.dtype).expand(1, count, hidden)] * states
    bias = torch.cat(biases)
    inputs = (vectors.transpose(0, 1), of_input[None], of_hidden[None], bias[None], None, *zeros)
    outputs, *last = torch.onnx.ops.symbolic_multi_out(
        kind,
        inputs,
        {"hidden_size": hidden, **settings},
        dtypes=[vectors.dtype] * (1 + states),
        shapes=[(most, 1, count, hidden), *[(1, count, hidden)] * states],
    )
    return outputs.squeeze(1).transpose(0, 1), *(one.squeeze(0) for one in last)
