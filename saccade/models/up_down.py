"""Bottom-up and top-down attention, the captioner. Anderson et al., CVPR 2018, arXiv:1707.07998.

Two LSTMs (section 3.2): the attention LSTM reads the word, the mean region and the language LSTM's
last state, and its state is the query of the attention; the language LSTM reads the attended region
and predicts the next word. Made for detected boxes (the "bottom-up" part), it works on any regions.

Follows ruotianluo's `updown`, which most people build on: regions, mean region and words pass a
layer with ReLU and dropout first. The authors' own network attends to raw 2,048-number regions,
without biases in the attention and with a forget bias of 1.
Differs: regions are projected once per image, whose captions so share its dropout masks; the
attention LSTM's products with words and image are made before the first step; words are packed.
With `cell="gru"` or "rnn" other cells take the LSTMs' places, and their names among the weights.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, E word width,
H hidden, A attention width, V vocabulary, N words of the whole batch; n captions of a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models.catalogue import UpDownConfig
from saccade.models.fast_rnn import Dropout, StepLinear, VocabularyLinear
from saccade.models.layers import (
    CELLS,
    RegionNorm,
    by_beam,
    by_caption,
    cell_biases,
    cell_step,
    image_of_beam,
    masked_softmax,
    mean_region,
    pack_captions,
)


class EncodedImages(NamedTuple):
    """Projections of images that are the same for every word; in training one row per caption."""

    regions: Tensor  # (I, R, H)
    keys: Tensor  # (I, R, A)
    gates: Tensor  # (I, 4H) the mean region's part of the attention LSTM's gates
    mask: Tensor  # (I, R)

    def rows(self, which: Tensor | slice) -> "EncodedImages":
        """Images of some examples."""
        return EncodedImages(*(part[which] for part in self))


class LstmStates(NamedTuple):
    """Hidden and cell states of both LSTMs, (n, H) each."""

    attention: Tensor
    attention_memory: Tensor
    language: Tensor
    language_memory: Tensor


class Layers(NamedTuple):
    """Weights as the steps use them; made once per pass: splitting a matrix costs a gradient of its
    whole size each time.
    """

    mean: Tensor  # (4H, H) the attention LSTM's columns for the mean region
    word: Tensor  # (4H, E) and for the word
    from_language: StepLinear  # and for the language LSTM's last state
    from_attention: StepLinear
    query: StepLinear
    language_inputs: StepLinear  # from the attended region and the attention LSTM's state
    language_hidden: StepLinear


class UpDown(nn.Module):
    """Captioner with an attention LSTM and a language LSTM."""

    def __init__(self, config: UpDownConfig, sizes: Sizes) -> None:
        super().__init__()
        embedding, hidden = config.embedding, config.hidden
        self.embed = nn.Embedding(sizes.words, embedding)
        self.project_regions = nn.Linear(sizes.region_dim, hidden)
        self.region_norm = RegionNorm(hidden) if config.region_norm else None
        self.project_mean = nn.Linear(sizes.region_dim, hidden)
        # Inputs: the language LSTM's last state, mean region, word.
        cell = CELLS[config.cell]
        self.attention_lstm = cell(2 * hidden + embedding, hidden)
        self.language_lstm = cell(2 * hidden, hidden)  # attended region, attention LSTM
        self.key = nn.Linear(hidden, config.attention)
        self.query = nn.Linear(hidden, config.attention)
        self.score = nn.Linear(config.attention, 1)
        self.output = VocabularyLinear(hidden, sizes.words)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        words, targets = pack_captions(batch)
        layers = self._layers()
        encoded = self._encode(batch.regions, batch.region_mask, layers).rows(batch.image)
        zero = encoded.gates.new_zeros(len(batch), self.attention_lstm.hidden_size)
        states, outputs, maps = LstmStates(zero, zero, zero, zero), [], []
        for gates in self._embed(words.data, layers).split(words.batch_sizes.tolist()):
            n = len(gates)
            states = LstmStates(*(part[:n] for part in states))
            states, weights = self._step(gates, encoded.rows(slice(n)), states, layers)
            outputs.append(states.language)
            maps.append(weights)
        logits = self.output(self.dropout(torch.cat(outputs)))  # (N, V)
        attention = by_caption(torch.cat(maps), words, batch)  # (B, T-1, R)
        return CaptionOutput(logits, targets, attention=attention)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        encoded = self._encode(regions, region_mask, self._layers())
        zero = encoded.gates.new_zeros(regions.shape[0], 1, self.attention_lstm.hidden_size)
        return CaptionState(tuple(encoded), (zero, zero, zero, zero))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        encoded = EncodedImages(*state.per_image).rows(image_of_beam(words))
        states = LstmStates(*(part.flatten(0, 1) for part in state.per_beam))
        layers = self._layers()
        states, weights = self._step(self._embed(words.flatten(), layers), encoded, states, layers)
        logits = self.output(self.dropout(states.language))
        logits, weights, *per_beam = by_beam(words, logits, weights, *states)
        return DecoderOutput(logits, CaptionState(state.per_image, tuple(per_beam)), weights)

    def _encode(self, regions: Tensor, mask: Tensor, layers: Layers) -> EncodedImages:
        """Project images before the first word: (I, R, D), (I, R)."""
        values = self.dropout(self.project_regions(regions).relu_())
        if self.region_norm is not None:
            values = self.region_norm(values, mask)
        mean = self.dropout(self.project_mean(mean_region(regions, mask)).relu_())
        return EncodedImages(values, self.key(values), functional.linear(mean, layers.mean), mask)

    def _embed(self, words: Tensor, layers: Layers) -> Tensor:
        """Part of words (N,) in the attention LSTM's gates, biases included: (N, 4H)."""
        vectors = self.dropout(self.embed(words).relu_())
        return functional.linear(vectors, layers.word, cell_biases(self.attention_lstm)[0])

    def _layers(self) -> Layers:
        attention, language = self.attention_lstm, self.language_lstm
        hidden, embedding = attention.hidden_size, self.embed.embedding_dim
        last, mean, word = attention.weight_ih.split([hidden, hidden, embedding], dim=1)
        from_language = StepLinear(last)
        from_attention = StepLinear(attention.weight_hh, cell_biases(attention)[1])
        query = StepLinear(self.query.weight, self.query.bias)
        inputs = StepLinear(language.weight_ih, language.bias_ih)
        states = StepLinear(language.weight_hh, language.bias_hh)
        return Layers(mean, word, from_language, from_attention, query, inputs, states)

    def _step(
        self, gates: Tensor, encoded: EncodedImages, states: LstmStates, layers: Layers
    ) -> tuple[LstmStates, Tensor]:
        """Read one word of each of n captions: the next states, and attention (n, R)."""
        gates = gates + encoded.gates + layers.from_language(states.language)
        own = layers.from_attention(states.attention)  # (n, 4H)
        before = states.attention, states.attention_memory
        attention, memory = cell_step(self.attention_lstm, gates, own, *before)
        joint = (encoded.keys + layers.query(attention)[:, None]).tanh_()  # (n, R, A)
        weights = masked_softmax(self.score(joint).squeeze(-1), encoded.mask)
        attended = torch.bmm(weights[:, None], encoded.regions).squeeze(1)  # (n, H)
        gates = layers.language_inputs(torch.cat([attended, attention], dim=1))
        own = layers.language_hidden(states.language)  # (n, 4H)
        before = states.language, states.language_memory
        language = cell_step(self.language_lstm, gates, own, *before)
        return LstmStates(attention, memory, *language), weights
