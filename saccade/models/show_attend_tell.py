"""Show, Attend and Tell, soft attention. Xu et al., ICML 2015, arXiv:1502.03044.

Before each word the LSTM looks at the image again: its state scores every region, the weighted
mean of the regions (behind a gate) is its next input. A penalty asks that over the whole sentence
every region be looked at about equally often ("doubly stochastic", section 4.2.1).

Follows the widely used PyTorch form (sgrvinod's tutorial): ReLU in the attention, a vector gate,
linear first state without tanh, one linear output layer, ResNet features seen at 14x14.
Differs from it: regions are projected once per image, not once per word; words are packed, so
the vocabulary layer runs once over real words only; an 8x8 map is seen at 14x14, never copied.

Shapes: B captions, I images, K beams, T words, R regions, P looks (R without a view),
D numbers per region, A attention width, H hidden, V vocabulary, N words to say in the whole batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, Said, Sizes
from saccade.models.catalogue import ShowAttendTellConfig
from saccade.models.layers import (
    AdaptiveView,
    Dropout,
    EveryStep,
    lstm_state,
    masked_softmax,
    mean_region,
    rows_per_step,
)

Layer = Callable[[Tensor], Tensor]


class ShowAttendTell(nn.Module):
    """Says a sentence about an image, looking at it again for every word."""

    def __init__(self, config: ShowAttendTellConfig, sizes: Sizes) -> None:
        super().__init__()
        dim = sizes.region_dim
        self.view: AdaptiveView | None = None
        if config.view and sizes.grid and sizes.grid != (config.view, config.view):
            self.view = AdaptiveView(sizes.grid, config.view)
        self.attention = Attention(dim, config)
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.first_hidden = nn.Linear(dim, config.hidden)
        self.first_memory = nn.Linear(dim, config.hidden)
        self.scalar = config.gate == "scalar"
        self.gate = nn.Linear(config.hidden, 1 if self.scalar else dim)
        self.cell = nn.LSTMCell(config.embedding + dim, config.hidden)
        self.dropout = Dropout(config.dropout)
        self.say = nn.Linear(config.hidden, sizes.words)
        self.doubly_stochastic = config.doubly_stochastic
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.uniform_(self.say.weight, -0.1, 0.1)
        nn.init.zeros_(self.say.bias)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        (regions, projected, mask), (hidden, memory) = self.init_state(
            batch.regions, batch.region_mask
        )
        spread = batch.image  # each caption gets its image's rows; K = 1 from here on
        regions, projected, mask = regions[spread], projected[spread], mask[spread]
        hidden, memory = hidden[spread, 0], memory[spread, 0]  # (B, H)
        cell, width = self.cell, self.embed.embedding_dim
        words = self.embed(batch.caption[:, :-1])  # (B, T-1, E)
        of_word, of_sight = cell.weight_ih.split([width, regions.shape[2]], dim=1)
        words = functional.linear(words, of_word, cell.bias_ih + cell.bias_hh)  # (B, T-1, 4H)
        see, repeat = EveryStep(of_sight), EveryStep(cell.weight_hh)
        hear = EveryStep(self.attention.hear.weight, self.attention.hear.bias)
        gate = EveryStep(self.gate.weight, self.gate.bias)
        said, looks, targets = [], [], []
        rows = rows_per_step((batch.caption_length - 1).tolist(), words.shape[1])
        for t, (n, word) in enumerate(zip(rows, words.unbind(dim=1), strict=True)):
            image = (regions[:n], projected[:n], mask[:n])  # captions stand longest first
            seen, weights = self._look(hidden[:n, None], image, hear, gate)  # (n, 1, D), (n, 1, P)
            gates = word[:n] + see(seen[:, 0]) + repeat(hidden[:n])  # (n, 4H)
            hidden, memory = lstm_state(gates, memory[:n])
            said.append(hidden)
            looks.append(functional.pad(weights[:, 0], (0, 0, 0, len(spread) - n)))
            targets.append(batch.caption[:n, t + 1])
        attention = torch.stack(looks, dim=1)  # (B, T-1, P)
        return CaptionOutput(
            self.say(self.dropout(torch.cat(said))),
            torch.cat(targets),
            attention=self._to_regions(attention),
            penalty=self._penalty(attention, mask),
        )

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        projected, mask = self.attention.see(regions), region_mask  # (I, R, A), (I, R)
        mean = mean_region(regions, region_mask)  # (I, D)
        if self.view is not None:  # a grid has no padding; its looks weigh cells unequally
            projected = self.view.spread(projected)  # (I, P, A)
            mask = mask.new_ones(projected.shape[:2])  # (I, P)
            mean = self.view.pooling.mean(dim=0) @ regions
        hidden, memory = (
            self.first_hidden(mean)[:, None],
            self.first_memory(mean)[:, None],
        )
        return CaptionState((regions, projected, mask), (hidden, memory))

    def step(self, words: Tensor, state: CaptionState) -> Said:
        hidden, memory = state.beam_size  # (I, K, H)
        seen, weights = self._look(hidden, state.image, self.attention.hear, self.gate)
        heard = torch.cat([self.embed(words), seen], dim=2)
        hidden, memory = self.cell(
            heard.flatten(0, 1), (hidden.flatten(0, 1), memory.flatten(0, 1))
        )
        logits = self.say(self.dropout(hidden)).view(*words.shape, -1)
        beam_size = (hidden.view(*words.shape, -1), memory.view(*words.shape, -1))
        return Said(logits, CaptionState(state.image, beam_size), self._to_regions(weights))

    def _look(
        self, hidden: Tensor, image: tuple[Tensor, ...], hear: Layer, gate: Layer
    ) -> tuple[Tensor, Tensor]:
        """What each beam sees, behind its gate, and where: (I, K, H) -> (I, K, D), (I, K, P)."""
        regions, projected, mask = image
        weights = self.attention(hear(hidden), projected, mask)
        seen = torch.bmm(self._to_regions(weights), regions)
        opened = gate(hidden) if self.scalar else torch.sigmoid(gate(hidden))
        return opened * seen, weights

    def _to_regions(self, weights: Tensor) -> Tensor:
        """Attention over looks as attention over the regions that were given."""
        return weights if self.view is None else self.view.to_regions(weights)

    def _penalty(self, attention: Tensor, mask: Tensor) -> Tensor:
        """Mean over captions and looks of (1 - attention over the whole sentence)^2."""
        unequal = (1 - attention.sum(dim=1)).square()  # (B, P)
        return self.doubly_stochastic * unequal[mask].mean()


class Attention(nn.Module):
    """Scores every look at the image with a one-layer network of state and region."""

    def __init__(self, dim: int, config: ShowAttendTellConfig) -> None:
        super().__init__()
        self.see = nn.Linear(dim, config.attention)
        self.hear = nn.Linear(config.hidden, config.attention)
        self.score = nn.Linear(config.attention, 1)

    def forward(self, heard: Tensor, projected: Tensor, mask: Tensor) -> Tensor:
        """`heard (I, K, A)` and `projected (I, P, A)` (what `hear` and `see` made) -> (I, K, P)."""
        joint = (projected[:, None] + heard[:, :, None]).relu_()  # (I, K, P, A)
        return masked_softmax(self.score(joint).squeeze(-1), mask[:, None])
