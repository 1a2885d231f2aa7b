"""Joint embedding with top-down attention. Anderson et al., CVPR 2018, arXiv:1707.07998.

A GRU reads the question; its vector attends to detected objects once; question and attended object
are multiplied in one space and choose the answer. Winner of the VQA challenge 2017. Every
linear layer has weight normalisation with one length per matrix (Teney 2018, arXiv:1708.02711).

Three public forms. `newatt` (hengyuan-hu): a region's score comes from its product with the
question; `baseline0` (hengyuan-hu): from one layer over both side by side; `openvqa` (its BUTD):
the same over projections of both, with ELU instead of ReLU, and usually an LSTM.
These codes pad questions up to 14 words: hengyuan-hu in front, with vectors of zeros, openvqa
behind, with a word that is learnt. Here questions come as they are and the question encoder adds
that padding; the state after n zeros is the same for all questions and computed once.
Differs: regions are projected once per image, and with `baseline0` and `openvqa` an image's
questions share its dropout mask; padded regions are masked (openvqa attends to rows of zeros up to
100 regions: `regions_padded_to`).

Shapes: B questions, I images, T words, R regions, D numbers per region, Q question, H hidden.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import JointEmbeddingConfig
from saccade.models.fast_rnn import Dropout
from saccade.models.layers import attend, masked_softmax, pack_words
from saccade.models.padded_rnn import read_all, read_words

ACTIVATIONS = {"newatt": nn.ReLU, "baseline0": nn.ReLU, "openvqa": nn.ELU}


class JointEmbedding(nn.Module):
    """VQA by the product of a question vector and one attended region."""

    def __init__(self, config: JointEmbeddingConfig, sizes: Sizes) -> None:
        super().__init__()
        zeros = None if config.form == "openvqa" and config.padded_to else 0
        self.embed = nn.Embedding(sizes.words, config.embedding, padding_idx=zeros)
        self.question_encoder = QuestionEncoder(config)
        question = config.question * (2 if config.bidirectional else 1)
        attention = ProductAttention if config.form == "newatt" else ConcatAttention
        self.attention = attention(sizes.region_dim, question, config)
        self.project_question = linear(question, config.hidden, config)
        self.project_image = linear(sizes.region_dim, config.hidden, config)
        self.hidden = linear(config.hidden, config.classifier, config)
        self.output = linear(config.classifier, sizes.answers, config)
        self.activation = ACTIVATIONS[config.form]()
        self.dropout = Dropout(config.dropout)
        self.regions_padded_to = config.regions_padded_to

    def forward(self, batch: VqaBatch) -> VqaOutput:
        query = self.question_encoder(self.embed, batch.question, batch.question_length)  # (B, Q)
        scores = self.attention(query, batch)  # (B, R)
        weights = masked_softmax(scores, batch.region_mask[batch.image])[:, None]  # (B, 1, R)
        attended = attend(weights, batch.regions, batch.image).squeeze(1)  # (B, D)
        if self.regions_padded_to:
            attended = attended * self._share_of_regions(query, scores, batch)[:, None]
        question = self.activation(self.project_question(query))  # (B, H)
        joint = question * self.activation(self.project_image(attended))  # (B, H)
        hidden = self.dropout(torch.relu(self.hidden(joint)))
        return VqaOutput(self.output(hidden), attention=weights)

    def _share_of_regions(self, query: Tensor, scores: Tensor, batch: VqaBatch) -> Tensor:
        """How much of the attention (B,) is left to regions by rows of zeros, all of one score."""
        nothing = replace(batch, regions=torch.zeros_like(batch.regions[:, :1]))
        missing = (self.regions_padded_to or 0) - batch.region_mask.sum(dim=1)  # (I,)
        missing = missing.clamp(min=0)[batch.image]  # (B,)
        blank = self.attention(query, nothing)[:, 0] + missing.log()
        scores = scores.masked_fill(~batch.region_mask[batch.image], float("-inf"))
        return torch.sigmoid(scores.logsumexp(dim=1) - blank)


class QuestionEncoder(nn.Module):
    """GRU or LSTM: the last state forwards, and beside it the last one backwards, if there is."""

    def __init__(self, config: JointEmbeddingConfig) -> None:
        super().__init__()
        self.padded_to, self.pads_behind = config.padded_to, config.form == "openvqa"
        size = (config.embedding, config.question, config.layers)
        rnn = nn.GRU if config.reader == "gru" else nn.LSTM
        self.rnn = rnn(*size, batch_first=True, bidirectional=config.bidirectional)

    def forward(self, embed: nn.Embedding, words: Tensor, length: Tensor) -> Tensor:
        """`words (B, T)` padded behind, `length (B,)` -> (B, Q)."""
        limit = self.padded_to
        if limit:
            length = length.clamp_max(limit)
            if self.pads_behind or self.rnn.bidirectional or torch.onnx.is_in_onnx_export():
                return self._read_padded(embed, words, length, limit)
            words = words[:, :limit]
        packed = pack_words(words, length, embed)
        initial = self._after_zeros(limit - length, packed.data) if limit else None
        _, state = read_words(self.rnn, packed, initial)
        last: Tensor = state[0] if isinstance(state, tuple) else state  # (layers * ways, B, Q)
        return last[-2:].transpose(0, 1).flatten(1) if self.rnn.bidirectional else last[-1]

    def _after_zeros(self, zeros: Tensor, like: Tensor) -> Tensor | tuple[Tensor, ...] | None:
        """State of each question after its `zeros (B,)` steps: unrolled once, on one row."""
        kept: list[tuple[Tensor, ...]] = []
        nothing, state = like.new_zeros(1, 1, self.rnn.input_size), None
        for _ in range(int(zeros.max())):
            _, state = self.rnn(nothing, state)
            kept.append(state if isinstance(state, tuple) else (state,))
        parts = tuple(
            torch.cat([torch.zeros_like(part[0]), *part], dim=1)[:, zeros]
            for part in zip(*kept, strict=True)
        )
        return parts if isinstance(state, tuple) else parts[0] if parts else None

    def _read_padded(self, embed: nn.Embedding, words: Tensor, length: Tensor, most: int) -> Tensor:
        """Encode with written-out padding: where it follows words, each question's differs."""
        width = self.rnn.hidden_size
        place = torch.arange(most, device=words.device).expand(words.shape[0], -1)
        place = place if self.pads_behind else place - (most - length)[:, None]  # (B, most)
        real = (place >= 0) & (place < length[:, None])
        vectors = embed(words.gather(1, place.clamp(0, words.shape[1] - 1)) * real)
        states, _ = read_all(self.rnn, vectors if self.pads_behind else vectors * real[..., None])
        return torch.cat([states[:, -1, :width], states[:, 0, width:]], dim=1)


class ProductAttention(nn.Module):
    """Scores of regions from their products with the question."""

    def __init__(self, region_dim: int, question: int, config: JointEmbeddingConfig) -> None:
        super().__init__()
        self.project_regions = linear(region_dim, config.hidden, config)
        self.project_question = linear(question, config.hidden, config)
        self.score = linear(config.hidden, 1, config)
        self.activation = ACTIVATIONS[config.form]()
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query: Tensor, batch: VqaBatch) -> Tensor:
        """`query (B, Q)` -> scores (B, R)."""
        regions = self.activation(self.project_regions(batch.regions))  # (I, R, H)
        question = self.activation(self.project_question(query))  # (B, H)
        joint = self.dropout(regions[batch.image] * question[:, None])  # (B, R, H)
        return torch.squeeze(self.score(joint), -1)


class ConcatAttention(nn.Module):
    """Scores of regions from a layer over region and question side by side."""

    def __init__(self, region_dim: int, question: int, config: JointEmbeddingConfig) -> None:
        super().__init__()
        projects = config.form == "openvqa"
        self.project_regions = linear(region_dim, region_dim, config) if projects else nn.Identity()
        self.project_question = linear(question, question, config) if projects else nn.Identity()
        self.joint = linear(region_dim + question, config.hidden, config)
        self.score = linear(config.hidden, 1, config)
        self.activation = ACTIVATIONS[config.form]()
        self.dropout = Dropout(config.attention_dropout)

    def forward(self, query: Tensor, batch: VqaBatch) -> Tensor:
        """`query (B, Q)` -> scores (B, R)."""
        regions = self.dropout(self.project_regions(batch.regions))
        question = self.dropout(self.project_question(query))
        weight = self.joint.weight  # one matrix with one length, applied in two halves
        regions = functional.linear(regions, weight[:, : regions.shape[2]])  # (I, R, H)
        question = functional.linear(question, weight[:, -question.shape[1] :], self.joint.bias)
        joint = self.activation(regions[batch.image] + question[:, None])  # (B, R, H)
        return torch.squeeze(self.score(joint), -1)


class WeightNormLinear(nn.Module):
    """Linear layer whose matrix is a direction times one learnt length."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        plain = nn.Linear(inputs, outputs)
        self.weight_v, self.bias = plain.weight, plain.bias
        self.weight_g = nn.Parameter(plain.weight.detach().norm())

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.weight_v * (self.weight_g / self.weight_v.norm())
        return weight

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = functional.linear(values, self.weight, self.bias)
        return out


def linear(inputs: int, outputs: int, config: JointEmbeddingConfig) -> WeightNormLinear | nn.Linear:
    """Linear layer, with weight normalisation if the config asks for it."""
    return (WeightNormLinear if config.weight_norm else nn.Linear)(inputs, outputs)
