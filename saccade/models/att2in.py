"""Att2in, the captioner of self-critical training. Rennie et al., CVPR 2017, arXiv:1612.00563.

An LSTM whose state before each word is the query of an attention over regions (section 2.2): the
attended region enters the LSTM's candidate alone, not its gates, and the candidate is the greater
of two sums (maxout), without tanh.

Follows ruotianluo's `att2in2`, which people build on: regions and words pass a layer with ReLU and
dropout first; there is no mean region.
Differs: regions are projected once per image, whose captions so share its dropout masks; the
products with words are made before the first step; words are packed.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, E word width,
H hidden, A attention width, V vocabulary, N words of the whole batch; n captions of a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models.catalogue import Att2inConfig
from saccade.models.fast_rnn import Dropout, StepLinear, VocabularyLinear
from saccade.models.layers import (
    RegionNorm,
    by_beam,
    by_caption,
    image_of_beam,
    masked_softmax,
    maxout_lstm_step,
    pack_captions,
)


class EncodedImages(NamedTuple):
    """Projections of images that are the same for every word; in training one row per caption."""

    regions: Tensor  # (I, R, H)
    keys: Tensor  # (I, R, A)
    mask: Tensor  # (I, R)

    def rows(self, which: Tensor | slice) -> "EncodedImages":
        """Images of some examples."""
        return EncodedImages(*(part[which] for part in self))


class Layers(NamedTuple):
    """Weights as the steps use them; made once per pass."""

    query: StepLinear
    hidden: StepLinear
    image: StepLinear


class Att2in(nn.Module):
    """Captioner whose LSTM hears the attended region in its candidate."""

    def __init__(self, config: Att2inConfig, sizes: Sizes) -> None:
        super().__init__()
        hidden = config.hidden
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.project_regions = nn.Linear(sizes.region_dim, hidden)
        self.region_norm = RegionNorm(hidden) if config.region_norm else None
        # In, forget, out, then the two candidates, which the image joins.
        self.word_gates = nn.Linear(config.embedding, 5 * hidden)
        self.hidden_gates = nn.Linear(hidden, 5 * hidden)
        self.image_candidates = nn.Linear(hidden, 2 * hidden)
        self.key = nn.Linear(hidden, config.attention)
        self.query = nn.Linear(hidden, config.attention)
        self.score = nn.Linear(config.attention, 1)
        self.output = VocabularyLinear(hidden, sizes.words)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        words, targets = pack_captions(batch)
        layers = self._layers()
        encoded = self._encode(batch.regions, batch.region_mask).rows(batch.image)
        hidden = memory = encoded.regions.new_zeros(len(batch), encoded.regions.shape[2])
        outputs, maps = [], []
        for gates in self._embed(words.data).split(words.batch_sizes.tolist()):
            n = len(gates)
            shown = encoded.rows(slice(n))
            hidden, memory, weights = self._step(gates, shown, hidden[:n], memory[:n], layers)
            outputs.append(hidden)
            maps.append(weights)
        logits = self.output(self.dropout(torch.cat(outputs)))  # (N, V)
        attention = by_caption(torch.cat(maps), words, batch)  # (B, T-1, R)
        return CaptionOutput(logits, targets, attention=attention)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        encoded = self._encode(regions, region_mask)
        zero = encoded.regions.new_zeros(regions.shape[0], 1, encoded.regions.shape[2])
        return CaptionState(tuple(encoded), (zero, zero))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        encoded = EncodedImages(*state.per_image).rows(image_of_beam(words))
        hidden, memory = (part.flatten(0, 1) for part in state.per_beam)
        gates, layers = self._embed(words.flatten()), self._layers()
        hidden, memory, weights = self._step(gates, encoded, hidden, memory, layers)
        logits = self.output(self.dropout(hidden))
        logits, weights, hidden, memory = by_beam(words, logits, weights, hidden, memory)
        return DecoderOutput(logits, CaptionState(state.per_image, (hidden, memory)), weights)

    def _encode(self, regions: Tensor, mask: Tensor) -> EncodedImages:
        """Project images before the first word: (I, R, D), (I, R)."""
        values = self.dropout(self.project_regions(regions).relu_())
        if self.region_norm is not None:
            values = self.region_norm(values, mask)
        return EncodedImages(values, self.key(values), mask)

    def _embed(self, words: Tensor) -> Tensor:
        """Part of words (N,) in the LSTM's sums: (N, 5H)."""
        gates: Tensor = self.word_gates(self.dropout(self.embed(words).relu_()))
        return gates

    def _layers(self) -> Layers:
        layers = (self.query, self.hidden_gates, self.image_candidates)
        return Layers(*(StepLinear(layer.weight, layer.bias) for layer in layers))

    def _step(
        self, gates: Tensor, encoded: EncodedImages, hidden: Tensor, memory: Tensor, layers: Layers
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read one word of each of n captions: both states (n, H), and attention (n, R)."""
        joint = (encoded.keys + layers.query(hidden)[:, None]).tanh_()  # (n, R, A)
        weights = masked_softmax(self.score(joint).squeeze(-1), encoded.mask)
        attended = torch.bmm(weights[:, None], encoded.regions).squeeze(1)  # (n, H)
        opened, candidates = (gates + layers.hidden(hidden)).split(
            [3 * hidden.shape[1], 2 * hidden.shape[1]], dim=1
        )
        gates = torch.cat([opened, candidates + layers.image(attended)], dim=1)
        return *maxout_lstm_step(gates, memory), weights
