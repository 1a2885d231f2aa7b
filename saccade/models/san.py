"""Stacked attention networks (SAN). Yang et al., CVPR 2016, arXiv:1511.02274.

The question attends to the image several times (hops). The attended region of one hop is added to
the question vector, which is the query of the next hop.

Two forms of attention: `attention="paper"` takes tanh of the sum of question and region, with
scores of any size; `attention="released"` (zcyang/imageqa-san, which the numbers come from) takes
tanh of both separately and of the score again, so that no region gets more than e^2 = 7.4 times
another's weight. Three question encoders: `convolution` over 1, 2 and 3 words; `released_lstm`,
which reads backwards, has one bias and no tanh on its output; `lstm`, the ordinary one of a public
course port (UCSD ECE285).
Differs: regions are projected once per image; padded regions are masked; a question is read as
if three words of padding stood behind it (in the released convolution that depends on its batch);
the course port's scrambled grid, which mixes channels with places, is read in order.

Shapes: B questions, I images, T words, E word width, R regions, H width of question and region,
A attention width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import SanConfig
from saccade.models.fast_rnn import Dropout
from saccade.models.layers import (
    PaddedWords,
    attend,
    masked_softmax,
    pack_words,
    real_words,
)
from saccade.models.padded_rnn import in_reverse, lstm_node, read_words


class San(nn.Module):
    """VQA by several hops of attention, each with a refined query."""

    def __init__(self, config: SanConfig, sizes: Sizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.words, config.embedding, padding_idx=0)
        width = sum(config.filters) if config.reader == "convolution" else config.hidden
        self.question_encoder: nn.Module
        if config.reader == "convolution":
            self.question_encoder = Convolution(config.embedding, config.filters)
        elif config.reader == "released_lstm":
            self.question_encoder = ReleasedLstm(config.embedding, width)
        else:
            self.question_encoder = nn.LSTM(config.embedding, width, batch_first=True)
        self.project_regions = nn.Linear(sizes.region_dim, width)
        self.hops = nn.ModuleList(Hop(width, config) for _ in range(config.hops))
        self.output = nn.Linear(width, sizes.answers)
        self.dropout = Dropout(config.dropout)
        _initialise(self)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        query = self.encode_question(batch)  # (B, H)
        regions = torch.tanh(self.project_regions(batch.regions))  # (I, R, H)
        maps = []
        for hop in self.hops:
            query, weights = hop(query, regions, batch)  # (B, H), (B, R)
            maps.append(weights)
        return VqaOutput(self.output(self.dropout(query)), attention=torch.stack(maps, dim=1))

    def encode_question(self, batch: VqaBatch) -> Tensor:
        """One vector per question: (B, H)."""
        words, length = batch.question, batch.question_length
        if isinstance(self.question_encoder, Convolution):
            real = real_words(length, words.shape[1])
            question: Tensor = self.question_encoder(self.embed(words) * real[..., None])
            return question
        packed = pack_words(words, length, self.embed)
        if isinstance(packed, PaddedWords) and isinstance(self.question_encoder, ReleasedLstm):
            return self.question_encoder.read_padded(packed)
        _, (hidden, _) = read_words(self.question_encoder, packed)
        last: Tensor = hidden[-1]
        return last


class Hop(nn.Module):
    """One attention hop: the attended region is added to the query."""

    def __init__(self, width: int, config: SanConfig) -> None:
        super().__init__()
        self.released = config.attention == "released"
        self.project_regions = nn.Linear(width, config.attention_width, bias=self.released)
        self.project_query = nn.Linear(width, config.attention_width)
        self.score = nn.Linear(config.attention_width, 1)
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query: Tensor, regions: Tensor, batch: VqaBatch) -> tuple[Tensor, Tensor]:
        """`query (B, H)`, `regions (I, R, H)` -> the next query (B, H), attention (B, R)."""
        keys = self.project_regions(regions)  # (I, R, A)
        projected = self.project_query(query)  # (B, A)
        if self.released:  # tanh of each alone: also scored alone, then added
            of_regions = self.score(torch.tanh(keys)).squeeze(-1)  # (I, R)
            of_query = functional.linear(torch.tanh(projected), self.score.weight)  # (B, 1)
            scores = torch.tanh(of_regions[batch.image] + of_query)  # (B, R)
        else:
            joint = (keys[batch.image] + projected[:, None]).tanh_()  # (B, R, A)
            scores = self.score(self.dropout(joint)).squeeze(-1)  # (B, R)
        weights = masked_softmax(scores, batch.region_mask[batch.image])
        return query + attend(weights[:, None], regions, batch.image).squeeze(1), weights


class Convolution(nn.Module):
    """Convolutions over one, two and three words, each with its maximum over the question.

    Windows reach over the question's end into zeros, and one holds nothing but zeros.
    """

    def __init__(self, inputs: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        self.ngrams = nn.ModuleList(nn.Linear(n * inputs, f) for n, f in enumerate(filters, 1))

    def forward(self, words: Tensor) -> Tensor:
        """`words (B, T, E)`, zero behind each question -> (B, sum of filters)."""
        best = []
        for n, layer in enumerate(self.ngrams, 1):
            windows = functional.pad(words, (0, 0, 0, n)).unfold(1, n, 1)  # (B, T + 1, E, n)
            best.append(layer(windows.transpose(2, 3).flatten(2)).amax(dim=1))
        return torch.tanh(torch.cat(best, dim=1))  # tanh after the maximum: it keeps order


class ReleasedLstm(nn.Module):
    """LSTM from the last word to the first; its output is the gated cell state without tanh."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input_gates = nn.Linear(inputs, 4 * hidden)  # input, forget, output, candidate
        self.hidden_gates = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, words: PackedSequence) -> tuple[None, tuple[Tensor, Tensor]]:
        """Last hidden and cell state (1, B, H), as `nn.LSTM` returns them."""
        hidden = memory = words.data.new_zeros(0, self.hidden_gates.in_features)
        for step in reversed(self.input_gates(words.data).split(words.batch_sizes.tolist())):
            longer = (0, 0, 0, len(step) - len(hidden))  # questions whose last word this is
            hidden, memory = functional.pad(hidden, longer), functional.pad(memory, longer)
            gates = step + self.hidden_gates(hidden)  # (n, 4H)
            gates, candidate = gates.tensor_split([3 * hidden.shape[1]], dim=1)
            enter, keep, leave = torch.sigmoid(gates).chunk(3, dim=1)
            memory = enter * torch.tanh(candidate) + keep * memory
            hidden = leave * memory
        order = words.unsorted_indices
        return None, (hidden[None, order], memory[None, order])

    def read_padded(self, words: PaddedWords) -> Tensor:
        """The same last hidden state (B, H), in an exported graph."""
        inputs, hidden = self.input_gates, self.hidden_gates
        weights = [inputs.weight, hidden.weight, inputs.bias, torch.zeros_like(inputs.bias)]
        ours = [torch.cat([part.chunk(4)[n] for n in (0, 1, 3, 2)]) for part in weights]
        return lstm_node(in_reverse(*words), words.length, ours, tanh=False)[1]


def _initialise(model: San) -> None:
    """As released: words within 0.5, other weights within 0.01, biases 0, the forget gate's 1. In
    the course port: Xavier-uniform words (the padding's too) and LSTM matrices, the rest as torch.
    """
    if isinstance(model.question_encoder, nn.LSTM):
        nn.init.xavier_uniform_(model.embed.weight)
        for name, parameter in model.question_encoder.named_parameters():
            if "weight" in name:
                nn.init.xavier_uniform_(parameter)
        return
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -0.01, 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.uniform_(model.embed.weight, -0.5, 0.5)
    nn.init.zeros_(model.embed.weight.data[0])
    if isinstance(model.question_encoder, ReleasedLstm):
        nn.init.ones_(model.question_encoder.input_gates.bias.data.chunk(4)[1])
