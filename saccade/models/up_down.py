"""Bottom-up and top-down attention, the captioner. Anderson et al., CVPR 2018, arXiv:1707.07998.

Two LSTMs: the first one hears the word and what the second said last, and looks; the second one
hears what was seen and says the next word. Made for detected boxes (the "bottom-up" part), it
works on any regions.

Follows ruotianluo's `updown`, which most people build on: regions, mean region and words pass a
layer with ReLU and dropout first. The authors' own network looks at raw 2,048-number regions,
without biases in the attention and with a forget bias of 1.
Differs: regions are projected once per image, whose captions so share its dropout masks; the
first LSTM's products with words and image are made before the first step; words are packed.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, E word width,
H hidden, A attention width, V vocabulary, N words to say in the whole batch; n captions of a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, Said, Sizes
from saccade.models.catalogue import UpDownConfig
from saccade.models.fast_rnn import ManyScores
from saccade.models.layers import Dropout, EveryStep, lstm_state, masked_softmax, mean_region


class Seen(NamedTuple):
    """Images, ready for every word; or, in training, the image of each caption."""

    regions: Tensor  # (I, R, H)
    projected: Tensor  # (I, R, A)
    gates: Tensor  # (I, 4H) what the mean region gives to the first LSTM
    mask: Tensor  # (I, R)

    def rows(self, which: Tensor | slice) -> "Seen":
        """Take the images of some examples."""
        return Seen(*(part[which] for part in self))


class Minds(NamedTuple):
    """Both LSTMs' states, (n, H) each."""

    looking: Tensor
    looking_memory: Tensor
    hypothesis: Tensor
    saying_memory: Tensor

    def first(self, n: int) -> "Minds":
        """Go on with the first n captions."""
        return Minds(*(part[:n] for part in self))


class Columns(NamedTuple):
    """The first LSTM's weights by what they are for, (4H, ...) each."""

    said: Tensor
    """What was said last."""
    whole: Tensor
    """The mean region."""
    word: Tensor


class Recurrence(NamedTuple):
    """The layers that run once a word."""

    said: EveryStep
    """From what was said last to the first LSTM's gates."""
    looking: EveryStep
    ask: EveryStep
    heard: EveryStep
    """From what was seen, and the first LSTM, to the second one's gates."""
    hypothesis: EveryStep


class UpDown(nn.Module):
    """Says a sentence; one LSTM looks, the other one speaks."""

    def __init__(self, config: UpDownConfig, sizes: Sizes) -> None:
        super().__init__()
        embedding, hidden = config.embedding, config.hidden
        self.embed = nn.Embedding(sizes.words, embedding)
        self.see_region = nn.Linear(sizes.region_dim, hidden)
        self.see_whole = nn.Linear(sizes.region_dim, hidden)
        self.look = nn.LSTMCell(2 * hidden + embedding, hidden)  # said last, mean region, word
        self.speak = nn.LSTMCell(2 * hidden, hidden)  # seen, the first LSTM's state
        self.project = nn.Linear(hidden, config.attention)
        self.ask = nn.Linear(hidden, config.attention)
        self.score = nn.Linear(config.attention, 1)
        self.say = ManyScores(hidden, sizes.words)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        to_say = (batch.caption_length - 1).cpu()  # captions stand longest first
        packed = pack_padded_sequence(batch.caption[:, :-1], to_say, batch_first=True)
        targets = pack_padded_sequence(batch.caption[:, 1:], to_say, batch_first=True).data
        columns = self._columns()
        seen = self._see(batch.regions, batch.region_mask, columns).rows(batch.image)
        minds = Minds(*[seen.gates.new_zeros(len(batch), self.look.hidden_size)] * 4)
        said, looks, layers = [], [], self._recurrence(columns)
        for gates in self._read(packed.data, columns).split(packed.batch_sizes.tolist()):
            n = len(gates)
            minds, weights = self._go_on(gates, seen.rows(slice(n)), minds.first(n), layers)
            said.append(minds.hypothesis)
            looks.append(functional.pad(weights, (0, 0, 0, len(batch) - n)))
        attention = torch.stack(looks, dim=1)  # (B, the longest caption's words, R)
        silent = batch.caption.shape[1] - 1 - attention.shape[1]
        return CaptionOutput(
            self.say(self.dropout(torch.cat(said))),
            targets,
            attention=functional.pad(attention, (0, 0, 0, silent)),
        )

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        seen = self._see(regions, region_mask, self._columns())
        zero = seen.gates.new_zeros(len(regions), 1, self.look.hidden_size)
        return CaptionState(tuple(seen), (zero, zero, zero, zero))

    def step(self, words: Tensor, state: CaptionState) -> Said:
        image = torch.arange(len(words), device=words.device).repeat_interleave(words.shape[1])
        seen = Seen(*state.image).rows(image)
        minds = Minds(*(part.flatten(0, 1) for part in state.beam_size))
        columns = self._columns()
        gates = self._read(words.flatten(), columns)
        minds, weights = self._go_on(gates, seen, minds, self._recurrence(columns))
        logits = self.say(self.dropout(minds.hypothesis)).view(*words.shape, -1)
        beam_size = tuple(part.view(*words.shape, -1) for part in minds)
        return Said(logits, CaptionState(state.image, beam_size), weights.view(*words.shape, -1))

    def _see(self, regions: Tensor, mask: Tensor, columns: Columns) -> Seen:
        """Look at images before the first word: (I, R, D), (I, R)."""
        values = self.dropout(self.see_region(regions).relu_())
        whole = self.dropout(self.see_whole(mean_region(regions, mask)).relu_())
        gates = functional.linear(whole, columns.whole)
        return Seen(values, self.project(values), gates, mask)

    def _read(self, words: Tensor, columns: Columns) -> Tensor:
        """What words (N,) give to the first LSTM's gates, biases included: (N, 4H)."""
        vectors = self.dropout(self.embed(words).relu_())
        return functional.linear(vectors, columns.word, self.look.bias_ih + self.look.bias_hh)

    def _columns(self) -> Columns:
        """Ask once a pass: each asking costs a gradient as large as the whole matrix."""
        hidden, embedding = self.look.hidden_size, self.embed.embedding_dim
        return Columns(*self.look.weight_ih.split([hidden, hidden, embedding], dim=1))

    def _recurrence(self, columns: Columns) -> Recurrence:
        look, speak, ask = self.look, self.speak, self.ask
        return Recurrence(
            EveryStep(columns.said),
            EveryStep(look.weight_hh),
            EveryStep(ask.weight, ask.bias),
            EveryStep(speak.weight_ih, speak.bias_ih),
            EveryStep(speak.weight_hh, speak.bias_hh),
        )

    def _go_on(
        self, gates: Tensor, seen: Seen, minds: Minds, layers: Recurrence
    ) -> tuple[Minds, Tensor]:
        """Hear one word of each of n captions, look, speak; where it looked: (n, R)."""
        gates = gates + seen.gates + layers.said(minds.hypothesis) + layers.looking(minds.looking)
        looking, memory = lstm_state(gates, minds.looking_memory)
        joint = (seen.projected + layers.ask(looking)[:, None]).tanh_()  # (n, R, A)
        weights = masked_softmax(self.score(joint).squeeze(-1), seen.mask)
        shown = torch.bmm(weights[:, None], seen.regions).squeeze(1)  # (n, H)
        gates = layers.heard(torch.cat([shown, looking], dim=1)) + layers.hypothesis(
            minds.hypothesis
        )
        return Minds(looking, memory, *lstm_state(gates, minds.saying_memory)), weights
