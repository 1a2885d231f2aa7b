"""MCAN: modular co-attention networks. Yu et al., CVPR 2019, arXiv:1906.10770.

The encoder is self-attention over words, six layers deep; the decoder is self-attention over
regions and guided attention from regions to the encoded words, six layers deep. An attentional
reduction of the words and one of the regions are added and choose the answer. Winner of the VQA
challenge 2019.

Follows MILVLG/openvqa, which the numbers come from: an LSTM before the words, normalisation after
each step with its own formula (unbiased deviation, epsilon outside the root).
Differs: the first self-attention over regions is done once per image, not per question;
nothing is padded to 100 regions or 14 words, which the masks make an exact saving.

Shapes: B questions, I images, T words, R regions, D numbers per region, H hidden, G glimpses;
n rows, Q queries, S keys.
"""

import torch
from torch import Tensor, nn

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import McanConfig
from saccade.models.fast_rnn import Dropout
from saccade.models.layers import Norm, masked_softmax, pack_words, real_words
from saccade.models.padded_rnn import padded, read_words

Pair = tuple[Tensor, Tensor]


class Mcan(nn.Module):
    """VQA by deep co-attention of words and regions."""

    def __init__(self, config: McanConfig, sizes: Sizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.lstm = nn.LSTM(config.embedding, config.hidden, batch_first=True)
        self.project_regions = nn.Linear(sizes.region_dim, config.hidden)
        self.encoder = nn.ModuleList(Layer(config, guided=False) for _ in range(config.layers))
        self.decoder = nn.ModuleList(Layer(config, guided=True) for _ in range(config.layers))
        self.reduce_words, self.reduce_regions = Reduction(config), Reduction(config)
        self.norm = Norm(config.joint)
        self.output = nn.Linear(config.joint, sizes.answers)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        packed = pack_words(batch.question, batch.question_length, self.embed)
        words = padded(read_words(self.lstm, packed)[0])  # (B, T, H)
        real = real_words(batch.question_length, words.shape[1])  # (B, T)
        for layer in self.encoder:
            words = layer(words, real)
        # The first layer's self-attention does not depend on the question: once per image.
        first, *others = self.decoder
        regions = self.project_regions(batch.regions)  # (I, R, H)
        regions = first(regions, batch.region_mask, (words, real), batch.image)  # (B, R, H)
        mask = batch.region_mask[batch.image]
        for layer in others:
            regions = layer(regions, mask, (words, real))
        question, _ = self.reduce_words(words, real)  # (B, joint)
        image, weights = self.reduce_regions(regions, mask)  # (B, joint), (B, G, R)
        return VqaOutput(self.output(self.norm(question + image)), attention=weights)


class Layer(nn.Module):
    """Self-attention, guided attention (in the decoder), and a feed-forward network."""

    def __init__(self, config: McanConfig, *, guided: bool) -> None:
        super().__init__()
        self.self_attention, self.self_norm = Attention(config), Norm(config.hidden)
        if guided:
            self.guided_attention, self.guided_norm = Attention(config), Norm(config.hidden)
        self.feed_forward = FeedForward(config, config.feed_forward, config.hidden)
        self.feed_forward_norm = Norm(config.hidden)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, values: Tensor, mask: Tensor, guide: Pair | None = None, image: Tensor | None = None
    ) -> Tensor:
        """Values (I, Q, H) with mask (I, Q), and a guide (B, S, H) with its mask (B, S).

        With `image (B,)` the values are those of images and become those of examples.
        """
        values = self.self_norm(values + self.dropout(self.self_attention(values, values, mask)))
        if image is not None:
            values = values[image]
        if guide is not None:
            values = self.guided_norm(values + self.dropout(self.guided_attention(values, *guide)))
        normal: Tensor = self.feed_forward_norm(values + self.dropout(self.feed_forward(values)))
        return normal


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, config: McanConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.hidden, config.hidden)
        self.key = nn.Linear(config.hidden, config.hidden)
        self.value = nn.Linear(config.hidden, config.hidden)
        self.merge = nn.Linear(config.hidden, config.hidden)
        self.dropout = Dropout(config.dropout)

    def forward(self, values: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """From `values (n, Q, H)` to `others (n, S, H)` where `mask (n, S)` -> (n, Q, H)."""
        query = self._by_head(self.query(values))  # (n, heads, Q, H / heads)
        key, value = self._by_head(self.key(others)), self._by_head(self.value(others))
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5  # (n, heads, Q, S)
        weights = self.dropout(masked_softmax(scores, mask[:, None, None]))
        mixed: Tensor = self.merge((weights @ value).transpose(1, 2).flatten(2))
        return mixed

    def _by_head(self, values: Tensor) -> Tensor:
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with ReLU and dropout between."""

    def __init__(self, config: McanConfig, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(config.hidden, hidden), nn.Linear(hidden, outputs)
        self.dropout = Dropout(config.dropout)

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.output(self.dropout(torch.relu(self.hidden(values))))
        return out


class Reduction(nn.Module):
    """Attentional reduction (section 3.3): weighted means, with weights from the values alone."""

    def __init__(self, config: McanConfig) -> None:
        super().__init__()
        self.score = FeedForward(config, config.summary, config.glimpses)
        self.merge = nn.Linear(config.hidden * config.glimpses, config.joint)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`values (B, S, H)`, `mask (B, S)` -> (B, joint), weights (B, G, S)."""
        weights = masked_softmax(self.score(values).transpose(1, 2), mask[:, None])
        return self.merge((weights @ values).flatten(1)), weights
