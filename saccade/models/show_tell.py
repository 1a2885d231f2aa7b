"""Show and Tell. Vinyals et al., CVPR 2015, arXiv:1411.4555.

The image is the first word an LSTM hears; the sentence is what it says next. It looks once and
has to remember.

Two families share this file. The course form (`DecoderWithRNN`) lays all 14x14 cells of the
image side by side (`init_pool="flatten"`), projects them with one huge layer and normalises over
the batch. The image-as-first-word form (the authors' im2txt; ruotianluo's ports) projects the mean
cell, without batch norm; `cell="maxout"` is the LSTM of self-critical training's FC model, whose
candidate is the greater of two sums.
Differs from all: words are packed, so the LSTM runs over real words only, in one call, and the
vocabulary layer once; an image is projected once for all its captions; padded regions count not.

Shapes: B captions, I images, K beams, T words, R regions, P looks, D numbers per region,
E word width, H hidden, V vocabulary, N words to be heard or said in the whole batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from saccade.core.errors import BadConfig
from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, Said, Sizes
from saccade.models.catalogue import ShowTellConfig
from saccade.models.fast_rnn import ManyScores, PackedLstm
from saccade.models.layers import AdaptiveView, Dropout, EveryStep, mean_region


class ShowTell(nn.Module):
    """Says a sentence about an image after one look at it."""

    def __init__(self, config: ShowTellConfig, sizes: Sizes) -> None:
        super().__init__()
        self.view: AdaptiveView | None = None
        if config.view and sizes.grid and sizes.grid != (config.view, config.view):
            self.view = AdaptiveView(sizes.grid, config.view)
        self.looks = 0  # side by side; 0 when the mean is shown
        if config.init_pool == "flatten":
            self.looks = len(self.view.pooling) if self.view else _regions(sizes)
        width = max(self.looks, 1) * sizes.region_dim
        self.see = nn.Linear(width, config.embedding, bias=config.image_bias)
        self.norm: nn.BatchNorm1d | None = None
        if config.batch_norm is not None:
            self.norm = nn.BatchNorm1d(config.embedding, momentum=config.batch_norm)
        self.embed = nn.Embedding(sizes.words, config.embedding)
        cell = PackedLstm if config.cell == "lstm" else MaxoutLSTM
        self.cell = cell(config.embedding, config.hidden, bias=config.cell_bias)
        self.input_dropout = Dropout(config.input_dropout)
        self.dropout = Dropout(config.dropout)
        self.say = ManyScores(config.hidden, sizes.words)
        _initialise(self, config)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        image = self._look(batch.regions, batch.region_mask)[batch.image]  # (B, E)
        image = self._normalise(image)  # over captions, as where each brings its own image
        to_say = (batch.caption_length - 1).cpu()  # captions stand longest first
        words = pack_padded_sequence(batch.caption[:, :-1], to_say, batch_first=True)
        targets = pack_padded_sequence(batch.caption[:, 1:], to_say, batch_first=True).data
        heard = self.input_dropout(torch.cat([image, self.embed(words.data)]))
        steps = torch.cat([words.batch_sizes[:1], words.batch_sizes])  # the image comes first
        hidden = self.cell(PackedSequence(heard, steps))[0].data[len(image) :]
        return CaptionOutput(self.say(self.dropout(hidden)), targets)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        image = self._normalise(self._look(regions, region_mask))
        _, (hidden, memory) = self.cell(self._hear(image))
        return CaptionState((), (hidden[0][:, None], memory[0][:, None]))

    def step(self, words: Tensor, state: CaptionState) -> Said:
        hidden, memory = (part.flatten(0, 1)[None] for part in state.beam_size)  # (1, I * K, H)
        heard = self._hear(self.embed(words.flatten()))
        _, (hidden, memory) = self.cell(heard, (hidden, memory))
        logits = self.say(self.dropout(hidden[0])).view(*words.shape, -1)
        beam_size = (hidden[0].view(*words.shape, -1), memory[0].view(*words.shape, -1))
        return Said(logits, CaptionState(state.image, beam_size))

    def _look(self, regions: Tensor, mask: Tensor) -> Tensor:
        """One vector per image: (I, R, D), (I, R) -> (I, E)."""
        if not self.looks:
            weights = None if self.view is None else self.view.pooling.mean(dim=0)
            shown = mean_region(regions, mask) if weights is None else weights @ regions
        elif self.view is not None:  # a grid has no padding
            shown = self.view.spread(regions).flatten(1)
        else:
            regions = regions.masked_fill(~mask[..., None], 0)
            missing = self.looks - regions.shape[1]  # below zero where there is padding to cut
            shown = functional.pad(regions, (0, 0, 0, missing)).flatten(1)
        seen: Tensor = self.see(shown)
        return seen

    def _normalise(self, image: Tensor) -> Tensor:
        """Batch norm (n, E); the batch's statistics while training, the running ones otherwise."""
        norm = self.norm
        if norm is None:
            return image
        if len(image) > 1:
            normal: Tensor = norm(image)
            return normal
        return functional.batch_norm(  # one image has no spread; the course's code stops here
            image, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )

    def _hear(self, vectors: Tensor) -> PackedSequence:
        """One vector for each of n sequences (n, E) as the LSTM takes it."""
        return PackedSequence(self.input_dropout(vectors), torch.tensor([len(vectors)]))


class MaxoutLSTM(nn.Module):
    """Called as `nn.LSTM` is, on packed sequences; its candidate is the greater of two sums.

    Gates stand in the published order: in, forget, out, then the two candidates.
    """

    def __init__(self, inputs: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.hear = nn.Linear(inputs, 5 * hidden, bias=bias)
        self.keep = nn.Linear(hidden, 5 * hidden, bias=bias)

    def forward(
        self, heard: PackedSequence, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        """Read n sequences, longest first; states are (1, n, H), outputs are packed (N, H)."""
        gates = self.hear(heard.data).split(heard.batch_sizes.tolist())  # for all words at once
        if state is None:
            zero = gates[0].new_zeros(len(gates[0]), self.keep.in_features)
            hidden, memory = zero, zero
        else:
            hidden, memory = state[0][0], state[1][0]
        outputs, ended, keep = [], [], EveryStep(self.keep.weight, self.keep.bias)
        for step in gates:
            n = len(step)
            ended.append((hidden[n:], memory[n:]))
            opened, first, second = (step + keep(hidden[:n])).tensor_split(
                [3 * hidden.shape[1], 4 * hidden.shape[1]], dim=1
            )
            admit, forget, release = opened.sigmoid().chunk(3, dim=1)
            memory = forget * memory[:n] + admit * torch.maximum(first, second)
            hidden = release * memory.tanh()
            outputs.append(hidden)
        ended.append((hidden, memory))
        last, kept = (torch.cat(parts) for parts in zip(*reversed(ended), strict=True))
        return heard._replace(data=torch.cat(outputs)), (last[None], kept[None])


def _regions(sizes: Sizes) -> int:
    """How many regions lie side by side, or BadConfig where nobody can know."""
    looks = sizes.grid[0] * sizes.grid[1] if sizes.grid else sizes.regions
    if not looks:
        raise BadConfig(
            "init_pool=flatten needs a known number of regions per image",
            hint="Use features on a grid, or set model.init_pool=mean.",
        )
    return looks


def _initialise(model: ShowTell, config: ShowTellConfig) -> None:
    if config.init == "words":
        nn.init.uniform_(model.embed.weight, -0.1, 0.1)
        nn.init.uniform_(model.say.weight, -0.1, 0.1)
        nn.init.zeros_(model.say.bias)
    elif config.init == "everything":
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                nn.init.uniform_(parameter, -0.08, 0.08)
            elif not name.startswith("norm."):
                nn.init.zeros_(parameter)
        if isinstance(model.cell, nn.LSTM) and model.cell.bias:
            bias = model.cell.get_parameter("bias_ih_l0").detach()  # gates: in, forget, ...
            nn.init.ones_(bias[config.hidden : 2 * config.hidden])
