"""AoANet: attention on attention. Huang et al., ICCV 2019, arXiv:1908.06954.

Attention gives some weighted mean even where nothing fits the query. So its result, together with
the query, passes a gate that decides how much of it counts (section 3.1): once in each layer of
self-attention that refines the regions, and once for each word, whose gated result is read by the
LSTM before the next one.

Follows ruotianluo's `aoa` in the authors' configuration (multi-head attention, six layers without
feed-forward networks, the mean of refined regions, dropout on the last context).
Differs: regions are refined once per image, whose captions so share its dropout masks; the LSTM's
products with words and the mean are made before the first step; words are packed. The attention
returned is the mean of the heads.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, E word width,
H hidden, V vocabulary, N words of the whole batch; n captions of a step or images, Q queries.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models.catalogue import AoaConfig
from saccade.models.fast_rnn import Dropout, StepLinear, VocabularyLinear
from saccade.models.layers import (
    CELLS,
    Norm,
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

    values: Tensor  # (I, R, H)
    keys: Tensor  # (I, R, H)
    gates: Tensor  # (I, 4H) the mean refined region's part of the LSTM's gates
    mask: Tensor  # (I, R)

    def rows(self, which: Tensor | slice) -> "EncodedImages":
        """Images of some examples."""
        return EncodedImages(*(part[which] for part in self))


class States(NamedTuple):
    """What is carried from word to word, (n, H) each."""

    hidden: Tensor
    memory: Tensor
    context: Tensor  # the gated result of the last attention


class Layers(NamedTuple):
    """Weights as the steps use them; made once per pass."""

    image: Tensor  # (4H, H) the LSTM's columns for mean region and context, which are added
    word: Tensor  # (4H, E) and for the word
    context: StepLinear
    hidden: StepLinear
    query: StepLinear
    gate: StepLinear


class Aoa(nn.Module):
    """Captioner whose attention is gated by its own query."""

    def __init__(self, config: AoaConfig, sizes: Sizes) -> None:
        super().__init__()
        hidden = config.hidden
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.project_regions = nn.Linear(sizes.region_dim, hidden)
        self.region_norm = RegionNorm(hidden) if config.region_norm else None
        self.refiner = nn.ModuleList(RefinerLayer(config) for _ in range(config.layers))
        self.refiner_norm = Norm(hidden)
        self.values_and_keys = nn.Linear(hidden, 2 * hidden)
        # Of the word, and of mean region + context.
        self.lstm = CELLS[config.cell](config.embedding + hidden, hidden)
        self.query_norm, self.query = Norm(hidden), nn.Linear(hidden, hidden)
        self.attention = Attention(config)
        self.gate = nn.Linear(2 * hidden, 2 * hidden)  # attended, query -> information, gate
        self.output = VocabularyLinear(hidden, sizes.words)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        words, targets = pack_captions(batch)
        layers = self._layers()
        encoded = self._encode(batch.regions, batch.region_mask, layers).rows(batch.image)
        zero = encoded.gates.new_zeros(len(batch), self.lstm.hidden_size)
        states, outputs, maps = States(zero, zero, zero), [], []
        for gates in self._embed(words.data, layers).split(words.batch_sizes.tolist()):
            n = len(gates)
            states = States(*(part[:n] for part in states))
            states, weights = self._step(gates, encoded.rows(slice(n)), states, layers)
            outputs.append(states.context)
            maps.append(weights)
        logits = self.output(self.dropout(torch.cat(outputs)))  # (N, V)
        attention = by_caption(torch.cat(maps), words, batch)  # (B, T-1, R)
        return CaptionOutput(logits, targets, attention=attention)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        encoded = self._encode(regions, region_mask, self._layers())
        zero = encoded.gates.new_zeros(regions.shape[0], 1, self.lstm.hidden_size)
        return CaptionState(tuple(encoded), (zero, zero, zero))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        encoded = EncodedImages(*state.per_image).rows(image_of_beam(words))
        states = States(*(part.flatten(0, 1) for part in state.per_beam))
        layers = self._layers()
        states, weights = self._step(self._embed(words.flatten(), layers), encoded, states, layers)
        logits = self.output(self.dropout(states.context))
        logits, weights, *per_beam = by_beam(words, logits, weights, *states)
        return DecoderOutput(logits, CaptionState(state.per_image, tuple(per_beam)), weights)

    def _encode(self, regions: Tensor, mask: Tensor, layers: Layers) -> EncodedImages:
        """Project and refine images before the first word: (I, R, D), (I, R)."""
        refined = self.dropout(self.project_regions(regions).relu_())  # (I, R, H)
        if self.region_norm is not None:
            refined = self.region_norm(refined, mask)
        for layer in self.refiner:
            refined = layer(refined, mask)
        refined = self.refiner_norm(refined)
        values, keys = self.values_and_keys(refined).chunk(2, dim=2)
        gates = functional.linear(mean_region(refined, mask), layers.image)
        return EncodedImages(values, keys, gates, mask)

    def _embed(self, words: Tensor, layers: Layers) -> Tensor:
        """Part of words (N,) in the LSTM's gates, biases included: (N, 4H)."""
        vectors = self.dropout(self.embed(words).relu_())
        return functional.linear(vectors, layers.word, cell_biases(self.lstm)[0])

    def _layers(self) -> Layers:
        lstm = self.lstm
        word, image = lstm.weight_ih.split([self.embed.embedding_dim, lstm.hidden_size], dim=1)
        query, gate = (StepLinear(layer.weight, layer.bias) for layer in (self.query, self.gate))
        hidden = StepLinear(lstm.weight_hh, cell_biases(lstm)[1])
        return Layers(image, word, StepLinear(image), hidden, query, gate)

    def _step(
        self, gates: Tensor, encoded: EncodedImages, states: States, layers: Layers
    ) -> tuple[States, Tensor]:
        """Read one word of each of n captions: the next states, and attention (n, R)."""
        gates = gates + encoded.gates + layers.context(self.dropout(states.context))
        own = layers.hidden(states.hidden)
        hidden, memory = cell_step(self.lstm, gates, own, states.hidden, states.memory)
        query = layers.query(self.query_norm(hidden))[:, None]  # (n, 1, H)
        attended, weights = self.attention(query, encoded.keys, encoded.values, encoded.mask)
        both = torch.cat([attended.squeeze(1), hidden], dim=1)  # (n, 2H)
        context = functional.glu(layers.gate(both), dim=1)
        return States(hidden, memory, context), weights.squeeze(1)


class RefinerLayer(nn.Module):
    """Self-attention over regions with a gate, residual."""

    def __init__(self, config: AoaConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.norm, self.attention = Norm(hidden), Attention(config)
        self.query, self.key = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(2 * hidden, 2 * hidden)
        self.gate_dropout = Dropout(config.gate_dropout)
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, regions: Tensor, mask: Tensor) -> Tensor:
        """`regions (I, R, H)`, `mask (I, R)` -> (I, R, H)."""
        normal = self.norm(regions)
        query, key, value = self.query(normal), self.key(normal), self.value(normal)
        attended, _ = self.attention(query, key, value, mask)
        both = self.gate_dropout(torch.cat([attended, normal], dim=2))
        gated: Tensor = self.dropout(functional.glu(self.gate(both), dim=2))
        return regions + gated


class Attention(nn.Module):
    """Multi-head attention of queries to keys and values that were projected before."""

    def __init__(self, config: AoaConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, Dropout(config.attention_dropout)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """From `query (n, Q, H)` to `key` and `value (n, R, H)` where `mask (n, R)`.

        Returns attended values (n, Q, H) and attention (n, Q, R), the mean of the heads.
        """
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        scores = query @ key.mT / query.shape[-1] ** 0.5  # (n, heads, Q, R)
        weights = masked_softmax(scores, mask[:, None, None])
        mixed = (self.dropout(weights) @ value).transpose(1, 2).flatten(2)
        return mixed, weights.mean(dim=1)
