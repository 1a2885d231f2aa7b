"""Show, Ask, Attend, and Answer. Kazemi & Elqursh 2017, arXiv:1704.03162.

An LSTM reads the question; its last memory steers two glimpses at the image; what they saw and
the question together choose the answer. With good features and care this simple model led its day.

Follows the public code the numbers come from (Cyanogenoid/pytorch-vqa) where the paper is silent:
dropout before every weight layer, tanh on word vectors, each region scaled to length 1.
Differs: an image's projection is computed once for all its questions in a batch, so they also
share its dropout mask (same expectation); padded regions are masked.

Shapes: B questions, I images, T words, R regions, D numbers per region, H hidden, G glimpses.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import ShowAskAttendAnswerConfig
from saccade.models.fast_rnn import PackedLstm
from saccade.models.layers import Dropout, look_at, masked_softmax


class ShowAskAttendAnswer(nn.Module):
    """Answers a question about an image with two glimpses at it."""

    def __init__(self, config: ShowAskAttendAnswerConfig, sizes: Sizes) -> None:
        super().__init__()
        # Xavier initialisation below also fills row 0, which padding_idx then keeps as it is:
        # unknown words read as one fixed random vector, in the reference and here.
        self.embed = nn.Embedding(sizes.words, config.embedding, padding_idx=0)
        self.read = PackedLstm(config.embedding, config.question)
        self.attention = Glimpses(config, sizes.region_dim)
        seen = config.glimpses * sizes.region_dim
        self.hidden = nn.Linear(seen + config.question, config.hidden)
        self.answer = nn.Linear(config.hidden, sizes.answers)
        self.dropout = Dropout(config.dropout)
        self.apply(_initialise)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        words = torch.tanh(self.dropout(self.embed(batch.question)))  # (B, T, E)
        packed = pack_padded_sequence(
            words, batch.question_length.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (_, memory) = self.read(packed)
        query = memory[-1]  # (B, H): the cell state, not the hidden state
        seen, weights = self.attention(query, batch)  # (B, G*D), (B, G, R)
        joint = self.dropout(torch.cat([seen, query], dim=1))
        joint = self.dropout(torch.relu(self.hidden(joint)))
        return VqaOutput(self.answer(joint), attention=weights)


class Glimpses(nn.Module):
    """Where the question looks: one small network scores every region for every glimpse."""

    def __init__(self, config: ShowAskAttendAnswerConfig, region_dim: int) -> None:
        super().__init__()
        self.see = nn.Linear(region_dim, config.attention, bias=False)  # `ask` brings the bias
        self.ask = nn.Linear(config.question, config.attention)
        self.score = nn.Linear(config.attention, config.glimpses)
        self.dropout = Dropout(config.dropout)

    def forward(self, query: Tensor, batch: VqaBatch) -> tuple[Tensor, Tensor]:
        # Scaling a region to length 1 commutes with dropout, projection and weighted sum, so it
        # is applied to their small results and the regions themselves are never copied.
        scale = 1 / (batch.regions.norm(dim=-1, keepdim=True) + 1e-8)  # (I, R, 1)
        regions = self.see(self.dropout(batch.regions)) * scale  # (I, R, attention)
        asked = self.ask(self.dropout(query))[:, None]  # (B, 1, attention)
        # A few questions at a time on a CPU, so that (B, R, attention) stays in its cache.
        # Dropping before the ReLU is dropping behind it, and lets that work in place.
        some = len(query) if query.is_cuda else 16
        parts = zip(regions[batch.image].split(some), asked.split(some), strict=True)
        scores = [self.score(self.dropout(seen + asks).relu_()) for seen, asks in parts]
        mask = batch.region_mask[batch.image][:, None]  # (B, 1, R)
        weights = masked_softmax(torch.cat(scores).transpose(1, 2), mask)  # (B, G, R)
        scaled = weights * scale[batch.image].transpose(1, 2)
        return look_at(scaled, batch.regions, batch.image).flatten(1), weights


def _initialise(layer: nn.Module) -> None:
    """Xavier-uniform weights, the LSTM's gate by gate; zero biases, the forget gate's too."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Embedding):
        nn.init.xavier_uniform_(layer.weight)
    elif isinstance(layer, nn.LSTM):
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.detach().chunk(4):
                    nn.init.xavier_uniform_(gate)
