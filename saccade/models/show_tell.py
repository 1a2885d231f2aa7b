"""Show and Tell. Vinyals et al., CVPR 2015, arXiv:1411.4555.

The projected image is the first input of an LSTM, the words of the caption are the next ones. There
is no attention: the image is given once.

Two families share this file. The course form (`DecoderWithRNN`) concatenates all 14x14 cells of the
image (`init_pool="flatten"`), projects them with one huge layer and normalises over the batch. The
image-as-first-word form (the authors' im2txt; ruotianluo's ports) projects the mean cell, without
batch norm; `cell="maxout"` is the LSTM of self-critical training's FC model, whose candidate is the
greater of two sums. "gru" and "rnn" take the LSTM's place, and its name among the weights.
Differs from all: words are packed, so the LSTM runs over real words only, in one call, and the
vocabulary layer once; an image is projected once for all its captions; padded regions are masked.

Shapes: B captions, I images, K beams, T words, R regions, P pooled cells, D numbers per region,
E word width, H hidden, V vocabulary, N words of the whole batch; n images, captions or beams.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from saccade.core.errors import BadConfig
from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models.catalogue import ShowTellConfig
from saccade.models.fast_rnn import Dropout, PackedLstm, StepLinear, VocabularyLinear
from saccade.models.layers import (
    AdaptivePooling,
    by_beam,
    maxout_lstm_step,
    mean_region,
    pack_captions,
)


class ShowTell(nn.Module):
    """Captioner whose LSTM gets the image as its first word."""

    def __init__(self, config: ShowTellConfig, sizes: Sizes) -> None:
        super().__init__()
        self.pooling = AdaptivePooling.between(sizes.grid, config.pool_size)
        self.cells = 0  # concatenated cells; 0 when the mean is projected
        if config.init_pool == "flatten":
            rows, columns = sizes.grid or (1, sizes.regions)
            self.cells = len(self.pooling.matrix) if self.pooling else rows * columns
            if not self.cells:
                hint = "Use features on a grid, or set model.init_pool=mean."
                message = "init_pool=flatten needs a known number of regions per image"
                raise BadConfig(message, hint=hint)
        width = max(self.cells, 1) * sizes.region_dim
        self.project_image = nn.Linear(width, config.embedding, bias=config.image_bias)
        self.norm: nn.BatchNorm1d | None = None
        if config.batch_norm is not None:
            self.norm = nn.BatchNorm1d(config.embedding, momentum=config.batch_norm)
        self.embed = nn.Embedding(sizes.words, config.embedding)
        kinds = {"lstm": PackedLstm, "maxout": MaxoutLstm, "gru": nn.GRU, "rnn": nn.RNN}
        self.lstm = kinds[config.cell](config.embedding, config.hidden, bias=config.cell_bias)
        self.input_dropout = Dropout(config.input_dropout)
        self.dropout = Dropout(config.dropout)
        self.output = VocabularyLinear(config.hidden, sizes.words)
        if config.init == "words":
            nn.init.uniform_(self.embed.weight, -0.1, 0.1)
            nn.init.uniform_(self.output.weight, -0.1, 0.1)
            nn.init.zeros_(self.output.bias)
        elif config.init == "everything":
            for name, parameter in self.named_parameters():
                if parameter.dim() > 1:
                    nn.init.uniform_(parameter, -0.08, 0.08)
                elif not name.startswith("norm."):
                    nn.init.zeros_(parameter)
            if isinstance(self.lstm, nn.LSTM) and self.lstm.bias:
                bias = self.lstm.get_parameter("bias_ih_l0").detach()  # gates: in, forget, ...
                nn.init.ones_(bias[config.hidden : 2 * config.hidden])

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        image = self._encode(batch.regions, batch.region_mask)[batch.image]  # (B, E)
        image = self._normalise(image)  # over captions, as where each brings its own image
        words, targets = pack_captions(batch)
        inputs = self.input_dropout(torch.cat([image, self.embed(words.data)]))
        steps = torch.cat([words.batch_sizes[:1], words.batch_sizes])  # the image comes first
        hidden = self._run(PackedSequence(inputs, steps))[0].data[len(image) :]  # (N, H)
        return CaptionOutput(self.output(self.dropout(hidden)), targets)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        image = self._normalise(self._encode(regions, region_mask))
        _, (hidden, memory) = self._run(self._one_step(image))
        return CaptionState((), (hidden[0][:, None], memory[0][:, None]))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        hidden, memory = state.per_beam
        before = hidden.flatten(0, 1)[None], memory.flatten(0, 1)[None]  # (1, I * K, H)
        _, (hidden, memory) = self._run(self._one_step(self.embed(words.flatten())), before)
        logits = self.output(self.dropout(hidden[0]))
        logits, hidden, memory = by_beam(words, logits, hidden[0], memory[0])
        return DecoderOutput(logits, CaptionState(state.per_image, (hidden, memory)))

    def _run(
        self, inputs: PackedSequence | Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        """The cell over n sequences, as `nn.LSTM`; a GRU's or RNN's memory is its hidden state."""
        if isinstance(self.lstm, nn.GRU | nn.RNN):
            outputs, hidden = self.lstm(inputs, None if state is None else state[0])
            return outputs, (hidden, hidden)
        result: tuple[PackedSequence, tuple[Tensor, Tensor]] = self.lstm(inputs, state)
        return result

    def _encode(self, regions: Tensor, mask: Tensor) -> Tensor:
        """One vector per image: (I, R, D), (I, R) -> (I, E)."""
        if self.pooling is not None:  # a grid has no padding
            pooling = self.pooling
            image = pooling.pool(regions).flatten(1) if self.cells else pooling.mean(regions)
        elif self.cells:
            regions = regions.masked_fill(~mask[..., None], 0)
            missing = self.cells - regions.shape[1]  # below zero where there is padding to cut
            if torch.onnx.is_in_onnx_export():  # whichever it is: the number of regions varies
                missing = self.cells
            image = functional.pad(regions, (0, 0, 0, missing))[:, : self.cells].flatten(1)
        else:
            image = mean_region(regions, mask)
        projected: Tensor = self.project_image(image)
        return projected

    def _normalise(self, image: Tensor) -> Tensor:
        """Batch norm (n, E); the batch's statistics while training, the running ones otherwise."""
        norm = self.norm
        if norm is None:
            return image
        if not self.training or len(image) > 1:
            normal: Tensor = norm(image)
            return normal
        return functional.batch_norm(  # one image has no spread; the course's code stops here
            image, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )

    def _one_step(self, vectors: Tensor) -> PackedSequence | Tensor:
        """One input vector for each of n sequences (n, E), packed; exporters know no packing."""
        if torch.onnx.is_in_onnx_export():
            return vectors[None]
        return PackedSequence(self.input_dropout(vectors), torch.tensor([len(vectors)]))


class MaxoutLstm(nn.Module):
    """LSTM of `maxout_lstm_step`; called as `nn.LSTM`, on packed sequences."""

    def __init__(self, inputs: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.input_gates = nn.Linear(inputs, 5 * hidden, bias=bias)
        self.hidden_gates = nn.Linear(hidden, 5 * hidden, bias=bias)

    def forward(
        self, inputs: PackedSequence, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        """Run over n sequences, longest first; states are (1, n, H), outputs are packed (N, H)."""
        if torch.onnx.is_in_onnx_export():  # inputs are one step (1, n, E), not packed
            return self._step(cast(Tensor, inputs), state)
        gates = self.input_gates(inputs.data).split(inputs.batch_sizes.tolist())
        zero = gates[0].new_zeros(len(gates[0]), self.hidden_gates.in_features)
        hidden, memory = (zero, zero) if state is None else (state[0][0], state[1][0])
        recurrent = StepLinear(self.hidden_gates.weight, self.hidden_gates.bias)
        outputs, ended = [], []
        for words in gates:
            n = len(words)
            ended.append((hidden[n:], memory[n:]))
            hidden, memory = maxout_lstm_step(words + recurrent(hidden[:n]), memory[:n])
            outputs.append(hidden)
        ended.append((hidden, memory))
        last, cell = (torch.cat(parts) for parts in zip(*reversed(ended), strict=True))
        return inputs._replace(data=torch.cat(outputs)), (last[None], cell[None])

    def _step(self, inputs: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Any, Any]:
        gates = self.input_gates(inputs)
        zero = gates.new_zeros(*gates.shape[:2], self.hidden_gates.in_features)
        hidden, memory = (zero, zero) if state is None else state
        hidden, memory = maxout_lstm_step(gates + self.hidden_gates(hidden), memory)
        return hidden, (hidden, memory)
