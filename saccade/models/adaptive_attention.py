"""Adaptive attention with a visual sentinel. Lu et al., CVPR 2017, arXiv:1612.01887.

For words such as "of" there is nothing to look at. Beside the image's regions the model may
attend to its own memory, the sentinel; the sentinel's share, beta, says how much it does.

`variant="paper"`: the paper's equations in the form of the PyTorch port yufengm/Adaptive: dropout
before every layer, no biases around the attention. `variant="lua"`: the network that the authors
released and that their scores come from, as ruotianluo's `adaatt` lays it out: dropout behind
every activation, biases, and three more layers (`sentinel_value`, `hidden_value`, `tell`).
What is attended never enters the LSTM, so here it runs first, its input products made for all
words at once; sentinel, attention and vocabulary layer then run once over all real words.
Regions are projected once per image, whose captions so share its dropout masks.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, E word width,
H hidden, A attention width, V vocabulary, N words to say in the whole batch (or I * K beams).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, Said, Sizes
from saccade.models.catalogue import AdaptiveAttentionConfig
from saccade.models.layers import Dropout, EveryStep, look_at, lstm_state, mean_region


class Seen(NamedTuple):
    """Images, ready for every word."""

    regions: Tensor  # (I, R, H) what is attended to
    projected: Tensor  # (I, R, A) what it is compared by
    gates: Tensor  # (I, 4H) what the mean region gives to the LSTM's gates
    gate: Tensor  # (I, H) and to the sentinel's
    mask: Tensor  # (I, R)


class Heard(NamedTuple):
    """What the LSTM went through, a row for every word."""

    gate: Tensor  # (N, H) what the word gives to the sentinel's gate
    before: Tensor  # (N, H) hidden state before the word
    hidden: Tensor  # (N, H) and after it
    memory: Tensor  # (N, H)


class AdaptiveAttention(nn.Module):
    """Says a sentence, and of each word how much of it came from the image."""

    def __init__(self, config: AdaptiveAttentionConfig, sizes: Sizes) -> None:
        super().__init__()
        embedding, hidden, attention = config.embedding, config.hidden, config.attention
        self.lua = lua = config.variant == "lua"
        whole = hidden if lua else embedding
        self.embed = nn.Embedding(sizes.words, embedding)
        self.see_region = nn.Linear(sizes.region_dim, hidden)  # W_a
        self.see_whole = nn.Linear(sizes.region_dim, whole)  # W_b
        # The LSTM, its input split into word and mean region; gates: in, forget, candidate, out.
        self.word_gates = nn.Linear(embedding, 4 * hidden)
        self.whole_gates = nn.Linear(whole, 4 * hidden, bias=lua)
        self.hidden_gates = nn.Linear(hidden, 4 * hidden)
        self.sentinel_word = nn.Linear(embedding, hidden, bias=lua)  # W_x, split likewise
        self.sentinel_whole = nn.Linear(whole, hidden, bias=lua)
        self.sentinel_hidden = nn.Linear(hidden, hidden, bias=lua)  # W_h
        self.project = nn.Linear(hidden, attention, bias=lua)  # W_v
        self.project_sentinel = nn.Linear(hidden, attention, bias=lua)  # W_s
        self.ask = nn.Linear(hidden, attention, bias=lua)  # W_g
        self.score = nn.Linear(attention, 1, bias=lua)  # w_h
        if lua:
            self.sentinel_value = nn.Linear(hidden, hidden)
            self.hidden_value = nn.Linear(hidden, hidden)
            self.tell = nn.Linear(hidden, hidden)
        self.say = nn.Linear(hidden, sizes.words)
        self.before = Dropout(0 if lua else config.dropout)  # before layers
        self.behind = Dropout(config.dropout if lua else 0)  # behind activations
        self.dropout = Dropout(config.dropout)
        if not lua:
            _initialise_port(self)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        to_say = (batch.caption_length - 1).cpu()  # captions stand longest first
        packed = pack_padded_sequence(batch.caption[:, :-1], to_say, batch_first=True)
        targets = pack_padded_sequence(batch.caption[:, 1:], to_say, batch_first=True).data
        steps = packed.batch_sizes.tolist()
        image = torch.cat([batch.image[:n] for n in steps])  # (N,)
        seen = self._see(batch.regions, batch.region_mask)
        gates, gate = self._read(packed.data)
        hidden = memory = gate.new_zeros(len(batch), gate.shape[1])
        life, repeat = [], EveryStep(self.hidden_gates.weight, self.hidden_gates.bias)
        for step in (gates + seen.gates[image]).split(steps):
            before = hidden[: len(step)]
            hidden, memory = lstm_state(step + repeat(before), memory[: len(step)])
            life.append((before, hidden, memory))
        heard = Heard(gate, *(torch.cat(parts) for parts in zip(*life, strict=True)))
        logits, weights = self._attend(heard, seen, image)  # (N, V), (N, R + 1)
        padded, _ = pad_packed_sequence(
            PackedSequence(weights, packed.batch_sizes),
            batch_first=True,
            total_length=batch.caption.shape[1] - 1,
        )
        return CaptionOutput(logits, targets, attention=padded[..., :-1], sentinel=padded[..., -1])

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        seen = self._see(regions, region_mask)
        zero = seen.gate.new_zeros(seen.gate.shape)[:, None]
        return CaptionState(tuple(seen), (zero, zero))

    def step(self, words: Tensor, state: CaptionState) -> Said:
        seen = Seen(*state.image)
        image = torch.arange(len(words), device=words.device).repeat_interleave(words.shape[1])
        before, memory = (part.flatten(0, 1) for part in state.beam_size)  # (I * K, H)
        gates, gate = self._read(words.flatten())
        gates = gates + seen.gates[image] + self.hidden_gates(before)
        hidden, memory = lstm_state(gates, memory)
        logits, weights = self._attend(Heard(gate, before, hidden, memory), seen, image)
        logits, weights, hidden, memory = (
            part.view(*words.shape, -1) for part in (logits, weights, hidden, memory)
        )
        state = CaptionState(state.image, (hidden, memory))
        return Said(logits, state, attention=weights[..., :-1], sentinel=weights[..., -1])

    def _see(self, regions: Tensor, mask: Tensor) -> Seen:
        """Look at images before the first word: (I, R, D), (I, R)."""
        values = self.behind(self.see_region(self.before(regions)).relu_())
        mean = self.before(mean_region(regions, mask))
        whole = self.behind(self.see_whole(mean).relu_())
        gate = self.sentinel_whole(self.before(whole))
        return Seen(values, self.project(self.before(values)), self.whole_gates(whole), gate, mask)

    def _read(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """What words (N,) give to the LSTM's gates (N, 4H) and to the sentinel's (N, H)."""
        vectors = self.embed(words)
        if self.lua:
            vectors = self.behind(vectors.relu_())
        return self.word_gates(vectors), self.sentinel_word(self.before(vectors))

    def _attend(self, heard: Heard, seen: Seen, image: Tensor) -> tuple[Tensor, Tensor]:
        """What each word is (N, V) and what was attended to, the sentinel last (N, R + 1)."""
        gate = heard.gate + seen.gate[image] + self.sentinel_hidden(self.before(heard.before))
        sentinel, hidden = gate.sigmoid() * heard.memory.tanh(), heard.hidden  # (N, H)
        if self.lua:
            sentinel = self.behind(self.sentinel_value(self.behind(sentinel)).relu_())
            hidden = self.behind(self.hidden_value(self.behind(hidden)).tanh_())
        asked = self.ask(self.before(hidden))  # (N, A)
        joint = (seen.projected[image] + asked[:, None]).tanh_()  # (N, R, A)
        own = (self.project_sentinel(self.before(sentinel)) + asked).tanh_()  # (N, A)
        scores = self.score(self.dropout(joint)).squeeze(-1)  # (N, R)
        scores = scores.masked_fill(~seen.mask[image], float("-inf"))
        weights = torch.cat([scores, self.score(self.dropout(own))], dim=1).softmax(dim=1)
        encoded = look_at(weights[:, None, :-1], seen.regions, image).squeeze(1)
        # The paper's beta s + (1 - beta) c: its c is weighted by the same scores without s.
        told = encoded + weights[:, -1:] * sentinel + hidden
        if self.lua:
            told = self.behind(self.tell(told).tanh_())
        return self.say(self.before(told)), weights


def _initialise_port(model: AdaptiveAttention) -> None:
    """The port's first weights; where it has one layer for two of ours, as for that one."""
    for layer in (model.see_region, model.see_whole, model.say):
        nn.init.zeros_(layer.bias)
    nn.init.kaiming_uniform_(model.see_region.weight)
    nn.init.kaiming_uniform_(model.see_whole.weight)
    nn.init.kaiming_normal_(model.say.weight)
    for gates in (model.word_gates, model.whole_gates, model.hidden_gates):
        for parameter in gates.parameters():
            nn.init.uniform_(parameter, -(model.say.in_features**-0.5), model.say.in_features**-0.5)
    for layer in (model.sentinel_hidden, model.project, model.project_sentinel, model.ask):
        nn.init.xavier_uniform_(layer.weight)
    nn.init.xavier_uniform_(model.score.weight)
    both = torch.empty(model.say.in_features, 2 * model.sentinel_word.in_features)
    for half, layer in zip(
        nn.init.xavier_uniform_(both).chunk(2, dim=1),
        (model.sentinel_word, model.sentinel_whole),
        strict=True,
    ):
        layer.weight.data.copy_(half)
