"""Show, Ask, Attend, and Answer. Kazemi & Elqursh 2017, arXiv:1704.03162.

An LSTM reads the question; its last cell state is the query of two attention glimpses at the image;
the attended regions and the query together choose the answer.

Follows the public code the numbers come from (Cyanogenoid/pytorch-vqa) where the paper is silent:
dropout before every weight layer, tanh on word vectors, each region scaled to length 1.
Differs: an image's projection is computed once for all its questions in a batch, so they also
share its dropout mask (same expectation); padded regions are masked.

Shapes: B questions, I images, T words, E word width, R regions, D numbers per region, H question,
A attention width, G glimpses.
"""

import torch
from torch import Tensor, nn

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import ShowAskAttendAnswerConfig
from saccade.models.fast_rnn import Dropout, PackedLstm
from saccade.models.layers import attend, masked_softmax, pack_words
from saccade.models.padded_rnn import read_words


class ShowAskAttendAnswer(nn.Module):
    """VQA with two attention glimpses at the image."""

    def __init__(self, config: ShowAskAttendAnswerConfig, sizes: Sizes) -> None:
        super().__init__()
        # Xavier initialisation below also fills row 0, which padding_idx then keeps as it is:
        # unknown words read as one fixed random vector, in the reference and here.
        self.embed = nn.Embedding(sizes.words, config.embedding, padding_idx=0)
        self.question_encoder = PackedLstm(config.embedding, config.question)
        self.attention = Glimpses(config, sizes.region_dim)
        attended = config.glimpses * sizes.region_dim
        self.hidden = nn.Linear(attended + config.question, config.hidden)
        self.output = nn.Linear(config.hidden, sizes.answers)
        self.dropout = Dropout(config.dropout)
        self.apply(_initialise)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        words = torch.tanh(self.dropout(self.embed(batch.question)))  # (B, T, E)
        packed = pack_words(words, batch.question_length, nn.Identity())
        _, (_, memory) = read_words(self.question_encoder, packed)
        query = memory[-1]  # (B, H): the cell state, not the hidden state
        attended, weights = self.attention(query, batch)  # (B, G * D), (B, G, R)
        joint = self.dropout(torch.cat([attended, query], dim=1))
        joint = self.dropout(torch.relu(self.hidden(joint)))
        return VqaOutput(self.output(joint), attention=weights)


class Glimpses(nn.Module):
    """Attention with several maps: one small network scores every region for every glimpse."""

    def __init__(self, config: ShowAskAttendAnswerConfig, region_dim: int) -> None:
        super().__init__()
        # Without a bias: `project_query` has one, and the two are added.
        self.project_regions = nn.Linear(region_dim, config.attention, bias=False)
        self.project_query = nn.Linear(config.question, config.attention)
        self.score = nn.Linear(config.attention, config.glimpses)
        self.dropout = Dropout(config.dropout)

    def forward(self, query: Tensor, batch: VqaBatch) -> tuple[Tensor, Tensor]:
        """`query (B, H)` -> attended regions (B, G * D), attention (B, G, R)."""
        # Scaling a region to length 1 commutes with dropout, projection and weighted sum, so it
        # is applied to their small results and the regions themselves are never copied.
        scale = 1 / (batch.regions.norm(dim=-1, keepdim=True) + 1e-8)  # (I, R, 1)
        keys = self.project_regions(self.dropout(batch.regions)) * scale  # (I, R, A)
        projected = self.project_query(self.dropout(query))[:, None]  # (B, 1, A)
        # A few questions at a time on a CPU, so that (B, R, A) stays in its cache.
        # Dropping before the ReLU is dropping behind it, and lets that work in place.
        both = keys[batch.image], projected
        is_whole = query.is_cuda or torch.onnx.is_in_onnx_export()
        parts = [both] if is_whole else zip(*(one.split(16) for one in both), strict=True)
        scores = [self.score(self.dropout(key + query).relu_()) for key, query in parts]
        mask = batch.region_mask[batch.image][:, None]  # (B, 1, R)
        weights = masked_softmax(torch.cat(scores).transpose(1, 2), mask)  # (B, G, R)
        scaled = weights * scale[batch.image].transpose(1, 2)
        return attend(scaled, batch.regions, batch.image).flatten(1), weights


def _initialise(layer: nn.Module) -> None:
    """Xavier-uniform weights, the LSTM's gate by gate; zero biases, the forget gate's too."""
    if isinstance(layer, nn.Linear | nn.Embedding):
        nn.init.xavier_uniform_(layer.weight)
    if isinstance(layer, nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if isinstance(layer, nn.LSTM):
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.detach().chunk(4):
                    nn.init.xavier_uniform_(gate)
