"""Show, Attend and Tell, soft attention. Xu et al., ICML 2015, arXiv:1502.03044.

Before each word the LSTM's state scores every region; the weighted mean of the regions, behind a
gate, is its next input. A penalty asks that over the whole caption every region gets about the same
attention ("doubly stochastic", section 4.2.1).

Follows the widely used PyTorch form (sgrvinod's tutorial): ReLU in the attention, a vector gate,
linear first state without tanh, one linear output layer, ResNet features pooled to 14x14.
Differs from it: regions are projected once per image, not once per word; words are packed, so
the vocabulary layer runs once over real words only; the pooled 14x14 grid is never stored.
With `cell="gru"` or "rnn" another cell takes the LSTM's place, and its name among the weights.

Shapes: B captions, I images, K beams, T words, R regions, P pooled cells (R without pooling),
D numbers per region, E word width, A attention width, H hidden, V vocabulary; n captions of a step.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models import layers
from saccade.models.catalogue import ShowAttendTellConfig
from saccade.models.fast_rnn import Dropout, StepLinear


class ShowAttendTell(nn.Module):
    """Captioner that attends to the image before every word."""

    def __init__(self, config: ShowAttendTellConfig, sizes: Sizes) -> None:
        super().__init__()
        dim = sizes.region_dim
        self.pooling = layers.AdaptivePooling.between(sizes.grid, config.pool_size)
        self.attention = Attention(dim, config)
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.init_hidden = nn.Linear(dim, config.hidden)
        self.init_memory = nn.Linear(dim, config.hidden) if config.cell == "lstm" else None
        self.scalar = config.gate == "scalar"
        self.gate = nn.Linear(config.hidden, 1 if self.scalar else dim)
        self.lstm = layers.CELLS[config.cell](config.embedding + dim, config.hidden)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, sizes.words)
        self.doubly_stochastic = config.doubly_stochastic
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        state = self.init_state(batch.regions, batch.region_mask).keep(batch.image)
        regions, keys, mask = state.per_image  # (B, R, D), (B, P, A), (B, P)
        hidden, memory = (part[:, 0] for part in state.per_beam)  # (B, H)
        lstm, width = self.lstm, self.embed.embedding_dim
        words = self.embed(batch.caption[:, :-1])  # (B, T-1, E)
        of_word, of_region = lstm.weight_ih.split([width, regions.shape[2]], dim=1)
        input_bias, hidden_bias = layers.cell_biases(lstm)
        words = functional.linear(words, of_word, input_bias)  # (B, T-1, 4H)
        region_gates, hidden_gates = StepLinear(of_region), StepLinear(lstm.weight_hh, hidden_bias)
        query = StepLinear(self.attention.query.weight, self.attention.query.bias)
        gate = StepLinear(self.gate.weight, self.gate.bias)
        packed, targets = layers.pack_captions(batch)
        states, maps = [], []
        for n, word in zip(packed.batch_sizes.tolist(), words.unbind(dim=1), strict=False):
            image = (regions[:n], keys[:n], mask[:n])  # captions stand longest first
            attended, weights = self._attend(hidden[:n, None], image, query, gate)  # (n, 1, D | P)
            gates = word[:n] + region_gates(attended[:, 0]), hidden_gates(hidden[:n])  # (n, 4H)
            hidden, memory = layers.cell_step(lstm, *gates, hidden[:n], memory[:n])
            states.append(hidden)
            maps.append(weights[:, 0])
        attention = layers.by_caption(torch.cat(maps), packed, batch)  # (B, T-1, P)
        unequal = (1 - attention.sum(dim=1)).square()  # (B, P)
        logits = self.output(self.dropout(torch.cat(states)))  # (N, V)
        penalty = self.doubly_stochastic * unequal[mask].mean()
        return CaptionOutput(logits, targets, self._to_regions(attention), penalty=penalty)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        keys, mask = self.attention.key(regions), region_mask  # (I, R, A), (I, R)
        if self.pooling is None:
            mean = layers.mean_region(regions, region_mask)  # (I, D)
        else:  # a grid has no padding; pooled cells weigh given ones unequally
            keys = self.pooling.pool(keys)  # (I, P, A)
            mask = mask.new_ones(keys.shape[:2])  # (I, P)
            mean = self.pooling.mean(regions)
        hidden = self.init_hidden(mean)[:, None]
        memory = hidden if self.init_memory is None else self.init_memory(mean)[:, None]
        return CaptionState((regions, keys, mask), (hidden, memory))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        hidden, memory = state.per_beam  # (I, K, H)
        query, gate = self.attention.query, self.gate
        attended, weights = self._attend(hidden, state.per_image, query, gate)
        inputs = torch.cat([self.embed(words), attended], dim=2).flatten(0, 1)
        hidden, memory = hidden.flatten(0, 1), memory.flatten(0, 1)
        if isinstance(self.lstm, nn.LSTMCell):
            hidden, memory = self.lstm(inputs, (hidden, memory))
        else:
            hidden = memory = self.lstm(inputs, hidden)
        logits = self.output(self.dropout(hidden))
        logits, hidden, memory = layers.by_beam(words, logits, hidden, memory)
        state = CaptionState(state.per_image, (hidden, memory))
        return DecoderOutput(logits, state, self._to_regions(weights))

    def _attend(
        self, hidden: Tensor, image: tuple[Tensor, ...], query: layers.Embed, gate: layers.Embed
    ) -> tuple[Tensor, Tensor]:
        """Attended region of each beam, behind its gate: (I, K, H) -> (I, K, D), (I, K, P)."""
        regions, keys, mask = image
        weights = self.attention(query(hidden), keys, mask)
        attended = torch.bmm(self._to_regions(weights), regions)
        opened = gate(hidden) if self.scalar else torch.sigmoid(gate(hidden))
        return opened * attended, weights

    def _to_regions(self, weights: Tensor) -> Tensor:
        """Attention over pooled cells as attention over the regions that were given."""
        return weights if self.pooling is None else self.pooling.to_regions(weights)


class Attention(nn.Module):
    """Scores of regions from a one-layer network of state and region."""

    def __init__(self, dim: int, config: ShowAttendTellConfig) -> None:
        super().__init__()
        self.key = nn.Linear(dim, config.attention)
        self.query = nn.Linear(config.hidden, config.attention)
        self.score = nn.Linear(config.attention, 1)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Projected `query (I, K, A)`, `keys (I, P, A)`, `mask (I, P)` -> weights (I, K, P)."""
        joint = (keys[:, None] + query[:, :, None]).relu_()  # (I, K, P, A)
        return layers.masked_softmax(self.score(joint).squeeze(-1), mask[:, None])
