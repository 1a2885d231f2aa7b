"""Adaptive attention with a visual sentinel. Lu et al., CVPR 2017, arXiv:1612.01887.

Words such as "of" need no image. Beside the image's regions the model may attend to its own
memory, the sentinel; the sentinel's share of attention is beta.

`variant="paper"`: the paper's equations in the form of the PyTorch port yufengm/Adaptive: dropout
before every layer, no biases around the attention. `variant="lua"`: the network that the authors
released and that their scores come from, as ruotianluo's `adaatt` lays it out: dropout behind
every activation, biases, and three more layers (`sentinel_value`, `hidden_value`, `merge`);
`cell="maxout"` is his `adaattmo`.
The attended region never enters the LSTM, so here the LSTM runs first, with the products of its
inputs made for all words at once; sentinel, attention and vocabulary layer then run once over all
real words. Regions are projected once per image, whose captions so share its dropout masks.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, E word width,
H hidden, A attention width, V vocabulary, N words of the whole batch (or I * K beams).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models.catalogue import AdaptiveAttentionConfig
from saccade.models.fast_rnn import Dropout, StepLinear
from saccade.models.layers import (
    RegionNorm,
    attend,
    by_beam,
    by_caption,
    image_of_beam,
    lstm_step,
    maxout_lstm_step,
    mean_region,
    pack_captions,
)


class EncodedImages(NamedTuple):
    """Projections of images that are the same for every word."""

    regions: Tensor  # (I, R, H) values of the attention
    keys: Tensor  # (I, R, A)
    gates: Tensor  # (I, 4H or 5H) the mean region's part of the LSTM's gates
    sentinel: Tensor  # (I, H) and of the sentinel's gate
    mask: Tensor  # (I, R)


class LstmSteps(NamedTuple):
    """States of the LSTM, a row for every word."""

    sentinel: Tensor  # (N, H) the word's part of the sentinel's gate
    previous: Tensor  # (N, H) hidden state before the word
    hidden: Tensor  # (N, H) and after it
    memory: Tensor  # (N, H) cell state after it


class AdaptiveAttention(nn.Module):
    """Captioner that attends to regions or to its own memory."""

    def __init__(self, config: AdaptiveAttentionConfig, sizes: Sizes) -> None:
        super().__init__()
        embedding, hidden, attention = config.embedding, config.hidden, config.attention
        self.lua = lua = config.variant == "lua"
        mean = hidden if lua else embedding
        self.embed = nn.Embedding(sizes.words, embedding)
        self.project_regions = nn.Linear(sizes.region_dim, hidden)  # W_a
        self.region_norm = RegionNorm(hidden) if config.region_norm else None
        self.project_mean = nn.Linear(sizes.region_dim, mean)  # W_b
        # The LSTM, its input split into word and mean region; gates: in, forget, candidate, out,
        # or, with maxout, in, forget, out and two candidates.
        self.maxout = config.cell == "maxout"
        gates = (5 if self.maxout else 4) * hidden
        self.word_gates = nn.Linear(embedding, gates)
        self.mean_gates = nn.Linear(mean, gates, bias=lua)
        self.hidden_gates = nn.Linear(hidden, gates)
        self.sentinel_word = nn.Linear(embedding, hidden, bias=lua)  # W_x, split likewise
        self.sentinel_mean = nn.Linear(mean, hidden, bias=lua)
        self.sentinel_hidden = nn.Linear(hidden, hidden, bias=lua)  # W_h
        self.region_key = nn.Linear(hidden, attention, bias=lua)  # W_v
        self.sentinel_key = nn.Linear(hidden, attention, bias=lua)  # W_s
        self.query = nn.Linear(hidden, attention, bias=lua)  # W_g
        self.score = nn.Linear(attention, 1, bias=lua)  # w_h
        if lua:
            self.sentinel_value = nn.Linear(hidden, hidden)
            self.hidden_value = nn.Linear(hidden, hidden)
            self.merge = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, sizes.words)
        self.input_dropout = Dropout(0 if lua else config.dropout)  # before layers
        self.output_dropout = Dropout(config.dropout if lua else 0)  # behind activations
        self.dropout = Dropout(config.dropout)
        if not lua:
            _initialise_port(self)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        words, targets = pack_captions(batch)
        steps = words.batch_sizes.tolist()
        image = torch.cat([batch.image[:n] for n in steps])  # (N,)
        encoded = self._encode(batch.regions, batch.region_mask)
        gates, sentinel = self._embed(words.data)  # (N, 4H or 5H), (N, H)
        hidden = memory = sentinel.new_zeros(len(batch), sentinel.shape[1])
        states, recurrent = [], StepLinear(self.hidden_gates.weight, self.hidden_gates.bias)
        for step in (gates + encoded.gates[image]).split(steps):
            previous = hidden[: len(step)]
            hidden, memory = self._lstm(step + recurrent(previous), memory[: len(step)])
            states.append((previous, hidden, memory))
        lstm = LstmSteps(sentinel, *(torch.cat(parts) for parts in zip(*states, strict=True)))
        logits, weights = self._attend(lstm, encoded, image)  # (N, V), (N, R + 1)
        weights = by_caption(weights, words, batch)  # (B, T-1, R + 1)
        attention, sentinel = weights[..., :-1], weights[..., -1]
        return CaptionOutput(logits, targets, attention=attention, sentinel=sentinel)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        encoded = self._encode(regions, region_mask)
        zero = encoded.sentinel.new_zeros(encoded.sentinel.shape)[:, None]
        return CaptionState(tuple(encoded), (zero, zero))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        encoded, image = EncodedImages(*state.per_image), image_of_beam(words)
        previous, memory = (part.flatten(0, 1) for part in state.per_beam)  # (I * K, H)
        gates, sentinel = self._embed(words.flatten())
        gates = gates + encoded.gates[image] + self.hidden_gates(previous)
        hidden, memory = self._lstm(gates, memory)
        lstm = LstmSteps(sentinel, previous, hidden, memory)
        rows = (*self._attend(lstm, encoded, image), hidden, memory)
        logits, weights, hidden, memory = by_beam(words, *rows)
        state = CaptionState(state.per_image, (hidden, memory))
        return DecoderOutput(logits, state, attention=weights[..., :-1], sentinel=weights[..., -1])

    def _lstm(self, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return (maxout_lstm_step if self.maxout else lstm_step)(gates, memory)

    def _encode(self, regions: Tensor, mask: Tensor) -> EncodedImages:
        """Project images before the first word: (I, R, D), (I, R)."""
        values = self.output_dropout(self.project_regions(self.input_dropout(regions)).relu_())
        if self.region_norm is not None:
            values = self.region_norm(values, mask)
        mean = self.input_dropout(mean_region(regions, mask))
        mean = self.output_dropout(self.project_mean(mean).relu_())
        sentinel = self.sentinel_mean(self.input_dropout(mean))
        keys = self.region_key(self.input_dropout(values))
        return EncodedImages(values, keys, self.mean_gates(mean), sentinel, mask)

    def _embed(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Parts of words (N,) in the LSTM's gates (N, 4H or 5H), in the sentinel's (N, H)."""
        vectors = self.embed(words)
        if self.lua:
            vectors = self.output_dropout(vectors.relu_())
        return self.word_gates(vectors), self.sentinel_word(self.input_dropout(vectors))

    def _attend(
        self, lstm: LstmSteps, encoded: EncodedImages, image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of each next word (N, V), and attention with the sentinel last (N, R + 1)."""
        gate = self.sentinel_hidden(self.input_dropout(lstm.previous))
        gate = lstm.sentinel + encoded.sentinel[image] + gate
        sentinel, hidden = gate.sigmoid() * lstm.memory.tanh(), lstm.hidden  # (N, H)
        if self.lua:
            sentinel = self.output_dropout(sentinel)
            sentinel = self.output_dropout(self.sentinel_value(sentinel).relu_())
            hidden = self.output_dropout(self.hidden_value(self.output_dropout(hidden)).tanh_())
        query = self.query(self.input_dropout(hidden))  # (N, A)
        joint = (encoded.keys[image] + query[:, None]).tanh_()  # (N, R, A)
        own = (self.sentinel_key(self.input_dropout(sentinel)) + query).tanh_()  # (N, A)
        scores = self.score(self.dropout(joint)).squeeze(-1)  # (N, R)
        scores = scores.masked_fill(~encoded.mask[image], float("-inf"))
        weights = torch.cat([scores, self.score(self.dropout(own))], dim=1).softmax(dim=1)
        attended = attend(weights[:, None, :-1], encoded.regions, image).squeeze(1)  # (N, H)
        # The paper's beta s + (1 - beta) c: its c is weighted by the same scores without s.
        context = attended + weights[:, -1:] * sentinel + hidden
        if self.lua:
            context = self.output_dropout(self.merge(context).tanh_())
        return self.output(self.input_dropout(context)), weights


def _initialise_port(model: AdaptiveAttention) -> None:
    """The port's first weights; where it has one layer for two of ours, as for that one."""
    hidden = model.output.in_features
    for layer in (model.project_regions, model.project_mean, model.output):
        nn.init.zeros_(layer.bias)
    nn.init.kaiming_uniform_(model.project_regions.weight)
    nn.init.kaiming_uniform_(model.project_mean.weight)
    nn.init.kaiming_normal_(model.output.weight)
    for gates in (model.word_gates, model.mean_gates, model.hidden_gates):
        for parameter in gates.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
    for layer in (model.sentinel_hidden, model.region_key, model.sentinel_key, model.query):
        nn.init.xavier_uniform_(layer.weight)
    nn.init.xavier_uniform_(model.score.weight)
    both = nn.init.xavier_uniform_(torch.empty(hidden, 2 * model.sentinel_word.in_features))
    for half, layer in zip(
        both.chunk(2, dim=1), (model.sentinel_word, model.sentinel_mean), strict=True
    ):
        layer.weight.data.copy_(half)
