"""Stacked attention networks. Yang et al., CVPR 2016, arXiv:1511.02274.

The question looks at the image more than once. What the first look saw is added to the
question, so that the second look can ask about what the first one found.

Two forms of a look: `attention="paper"` squashes the sum of question and region, and any score is
possible; `attention="released"` (zcyang/imageqa-san, which the numbers come from) squashes both
separately and the score again, so that no region gets more than e^2 = 7.4 times another's weight.
Three readers: `convolution` over 1, 2 and 3 words; `released_lstm`, which reads backwards, has one
bias and no tanh on its output; `lstm`, the ordinary one of a public course port (UCSD ECE285).
Differs: regions are projected once per image; padded regions are masked; a question is read as
if three words of padding stood behind it (in the released convolution that depends on its batch);
the course port's scrambled grid, which mixes channels with places, is read in order.

Shapes: B questions, I images, T words, E word width, R regions, H width of question and region.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import SanConfig
from saccade.models.layers import Dropout, look_at, masked_softmax


class San(nn.Module):
    """Answers a question about an image by looking at it several times."""

    def __init__(self, config: SanConfig, sizes: Sizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.words, config.embedding, padding_idx=0)
        width = sum(config.filters) if config.reader == "convolution" else config.hidden
        self.read: nn.Module
        if config.reader == "convolution":
            self.read = Convolution(config.embedding, config.filters)
        elif config.reader == "released_lstm":
            self.read = ReleasedLstm(config.embedding, width)
        else:
            self.read = nn.LSTM(config.embedding, width, batch_first=True)
        self.see = nn.Linear(sizes.region_dim, width)
        self.hops = nn.ModuleList(Hop(width, config) for _ in range(config.hops))
        self.answer = nn.Linear(width, sizes.answers)
        self.dropout = Dropout(config.dropout)
        if config.reader == "lstm":
            _initialise_course(self.embed, self.read)
        else:
            _initialise_released(self)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        length = batch.question_length.cpu()
        if isinstance(self.read, Convolution):
            place = torch.arange(batch.question.shape[1], device=batch.question.device)
            real = place < batch.question_length[:, None]
            query = self.read(self.embed(batch.question) * real[..., None])
        else:
            packed = pack_padded_sequence(
                batch.question, length, batch_first=True, enforce_sorted=False
            )
            _, (hidden, _) = self.read(packed._replace(data=self.embed(packed.data)))
            query = hidden[-1]  # (B, H)
        regions = torch.tanh(self.see(batch.regions))  # (I, R, H)
        maps = []
        for hop in self.hops:
            query, weights = hop(query, regions, batch)
            maps.append(weights)
        return VqaOutput(self.answer(self.dropout(query)), attention=torch.stack(maps, dim=1))


class Hop(nn.Module):
    """One look: the question weighs the regions, and what it sees is added to it."""

    def __init__(self, width: int, config: SanConfig) -> None:
        super().__init__()
        self.released = config.attention == "released"
        self.see = nn.Linear(width, config.attention_width, bias=self.released)
        self.ask = nn.Linear(width, config.attention_width)
        self.score = nn.Linear(config.attention_width, 1)
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query: Tensor, regions: Tensor, batch: VqaBatch) -> tuple[Tensor, Tensor]:
        seen, asked = self.see(regions), self.ask(query)  # (I, R, attention), (B, attention)
        if self.released:  # what is squashed separately is also scored separately, then added
            of_regions = self.score(torch.tanh(seen)).squeeze(-1)  # (I, R)
            of_query = functional.linear(torch.tanh(asked), self.score.weight)  # (B, 1)
            scores = torch.tanh(of_regions[batch.image] + of_query)
        else:
            joint = (seen[batch.image] + asked[:, None]).tanh_()  # (B, R, attention)
            scores = self.score(self.dropout(joint)).squeeze(-1)
        weights = masked_softmax(scores, batch.region_mask[batch.image])  # (B, R)
        return query + look_at(weights[:, None], regions, batch.image).squeeze(1), weights


class Convolution(nn.Module):
    """Looks for patterns of one, two and three words and keeps how well each fits at its best.

    Windows reach over the question's end into zeros, and one holds nothing but zeros.
    """

    def __init__(self, inputs: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        self.grams = nn.ModuleList(nn.Linear(n * inputs, f) for n, f in enumerate(filters, 1))

    def forward(self, words: Tensor) -> Tensor:
        """`words (B, T, E)`, zero behind each question -> (B, sum of filters)."""
        best = []
        for n, layer in enumerate(self.grams, 1):
            windows = functional.pad(words, (0, 0, 0, n)).unfold(1, n, 1)  # (B, T + 1, E, n)
            best.append(layer(windows.transpose(2, 3).flatten(2)).amax(dim=1))
        return torch.tanh(torch.cat(best, dim=1))  # tanh after the maximum: it keeps order


class ReleasedLstm(nn.Module):
    """Reads from the last word to the first; what it puts out is gated memory without tanh."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hear = nn.Linear(inputs, 4 * hidden)  # gates: input, forget, output, candidate
        self.recall = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, packed: nn.utils.rnn.PackedSequence) -> tuple[None, tuple[Tensor, Tensor]]:
        """Give back the last hidden and memory (1, B, H) as `nn.LSTM` does."""
        hidden = memory = packed.data.new_zeros(0, self.recall.in_features)
        for heard in reversed(self.hear(packed.data).split(packed.batch_sizes.tolist())):
            begin = (0, 0, 0, len(heard) - len(hidden))  # questions whose last word this is
            hidden, memory = functional.pad(hidden, begin), functional.pad(memory, begin)
            gates, candidate = (heard + self.recall(hidden)).tensor_split([3 * hidden.shape[1]], 1)
            take, keep, show = torch.sigmoid(gates).chunk(3, dim=1)
            memory = take * torch.tanh(candidate) + keep * memory
            hidden = show * memory
        order = packed.unsorted_indices
        return None, (hidden[None, order], memory[None, order])


def _initialise_released(model: San) -> None:
    """Words within 0.5, other weights within 0.01, biases 0, the forget gate's 1."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -0.01, 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.uniform_(model.embed.weight, -0.5, 0.5)
    nn.init.zeros_(model.embed.weight.data[0])
    if isinstance(model.read, ReleasedLstm):
        nn.init.ones_(model.read.hear.bias.data.chunk(4)[1])


def _initialise_course(embed: nn.Embedding, read: nn.Module) -> None:
    """Xavier-uniform words (the padding's too) and LSTM matrices; the rest as torch does it."""
    nn.init.xavier_uniform_(embed.weight)
    for name, parameter in read.named_parameters():
        if "weight" in name:
            nn.init.xavier_uniform_(parameter)
