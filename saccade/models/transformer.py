"""Transformer captioner. Vaswani et al. 2017, arXiv:1706.03762; for images as in Luo's
ImageCaptioning.pytorch (`transformer`), without the later refinements of memory or geometry.

The encoder is self-attention over regions; the decoder is self-attention over the words so far and
cross-attention to the encoded regions. Nothing is recurrent: a caption is read in one go.

Follows that port: layer norm before each block and once behind each stack, with the unbiased
standard deviation plus 1e-6 (not `nn.LayerNorm`); no positions for regions, sine and cosine ones
for words; word vectors times sqrt(width); Xavier-uniform weights.
Differs: an image is encoded once for all its captions or beams; decoding keeps the keys of earlier
words; the vocabulary layer runs over real words only. The attention returned is that of the last
layer, the mean of its heads. "Keys" are keys and values side by side.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, W width,
V vocabulary; n rows (captions, images, or I * K beams), m images of them, Q queries, S keys.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, DecoderOutput, Sizes
from saccade.models.catalogue import TransformerConfig
from saccade.models.fast_rnn import Dropout
from saccade.models.layers import (
    Norm,
    RegionNorm,
    by_beam,
    masked_softmax,
    pack_captions,
    real_words,
)

Pair = tuple[Tensor, Tensor]


class Transformer(nn.Module):
    """Captioner with a Transformer encoder over regions and a Transformer decoder over words."""

    def __init__(self, config: TransformerConfig, sizes: Sizes) -> None:
        super().__init__()
        self.project_regions = nn.Linear(sizes.region_dim, config.width)
        self.region_norm = RegionNorm(config.width) if config.region_norm else None
        self.encoder = nn.ModuleList(Layer(config, False) for _ in range(config.encoder_layers))
        self.encoder_norm = Norm(config.width)
        self.embed = nn.Embedding(sizes.words, config.width)
        self.decoder = nn.ModuleList(Layer(config, True) for _ in range(config.decoder_layers))
        keys = (nn.Linear(config.width, 2 * config.width) for _ in range(config.decoder_layers))
        self.region_keys = nn.ModuleList(keys)  # keys and values, for all words of a caption
        self.decoder_norm = Norm(config.width)
        self.output = nn.Linear(config.width, sizes.words)
        self.region_dropout = Dropout(config.region_dropout)
        self.dropout = Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "project_regions.weight":
                for part in parameter.detach().chunk(2 if "keys" in name else 1):
                    nn.init.xavier_uniform_(part)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        image, empty = self.init_state(batch.regions, batch.region_mask)
        empty = tuple(part.new_zeros(len(batch), *part.shape[2:]) for part in empty)
        words = batch.caption[:, :-1]
        hidden, _, weights = self._decode(words, empty, tuple(part[batch.image] for part in image))
        length = (batch.caption_length - 1).cpu()
        hidden = pack_padded_sequence(hidden, length, batch_first=True).data  # (N, W)
        real = real_words(batch.caption_length - 1, words.shape[1]).to(weights)
        attention = weights * real[..., None]
        return CaptionOutput(self.output(hidden), pack_captions(batch)[1], attention=attention)

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        values = self.region_dropout(self.project_regions(regions).relu_())  # (I, R, W)
        if self.region_norm is not None:
            values = self.region_norm(values, region_mask)
        mask = region_mask[:, None]
        for layer in self.encoder:
            values, _, _ = layer(values, None, mask, None)
        values = self.encoder_norm(values)
        keys = [layer(values) for layer in self.region_keys]  # (I, R, 2W) each
        empty = keys[0].new_zeros(regions.shape[0], 1, 0, keys[0].shape[-1])
        return CaptionState((mask, *keys), (empty,) * len(keys))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        earlier = tuple(part.flatten(0, 1) for part in state.per_beam)
        hidden, keys, weights = self._decode(words.reshape(-1, 1), earlier, state.per_image)
        logits, weights = by_beam(words, self.output(hidden), weights)
        per_beam = tuple(part.unflatten(0, words.shape) for part in keys)
        return DecoderOutput(logits, CaptionState(state.per_image, per_beam), weights)

    def _decode(
        self, words: Tensor, earlier: tuple[Tensor, ...], image: tuple[Tensor, ...]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Read words (n, T) after others, whose keys are `earlier` (n, earlier words, 2W) each.

        `image` is a mask (m, 1, R) and each layer's keys (m, R, 2W), where m is n, or a divisor of
        n when the rows of one image stand together. Returns hidden states (n, T, W), `earlier`
        with the keys of these words, and attention (n, T, R).
        """
        mask, *region_keys = image
        before, values = earlier[0].shape[1], self.embed(words)
        values = values * math.sqrt(values.shape[-1])
        values = self.dropout(values + _positions(before, values))
        causal = torch.ones(words.shape[1], before + words.shape[1], device=words.device)
        causal = causal.tril(before).bool()
        all_keys, weights = [], values
        for layer, others, keys in zip(self.decoder, earlier, region_keys, strict=True):
            values, own_keys, weights = layer(values, others, causal[None], (keys, mask))
            all_keys.append(own_keys)
        return self.decoder_norm(values), all_keys, weights


class Layer(nn.Module):
    """Self-attention, cross-attention (in the decoder) and feed-forward network, all residual."""

    def __init__(self, config: TransformerConfig, is_decoder: bool) -> None:
        super().__init__()
        width = config.width
        self.self_norm, self.self_attention = Norm(width), Attention(config)
        self.keys = nn.Linear(width, 2 * width)
        if is_decoder:
            self.cross_norm, self.cross_attention = Norm(width), Attention(config)
        self.dropout = Dropout(config.dropout)
        widen, narrow = nn.Linear(width, config.feed_forward), nn.Linear(config.feed_forward, width)
        self.feed_forward = nn.Sequential(Norm(width), widen, nn.ReLU(), self.dropout, narrow)

    def forward(
        self, values: Tensor, earlier: Tensor | None, mask: Tensor, image: Pair | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`values (n, Q, W)` stand behind those with keys `earlier (n, earlier words, 2W)`.

        `image` holds keys (m, R, 2W) and their mask (m, 1, R). Returns the new values, `earlier`
        with the keys of these, and attention (n, Q, S).
        """
        normal = self.self_norm(values)
        keys = self.keys(normal)
        keys = keys if earlier is None else torch.cat([earlier, keys], dim=1)
        attended, weights = self.self_attention(normal, keys, mask)
        values = values + self.dropout(attended)
        if image is not None:
            normal = self.cross_norm(values).view(image[0].shape[0], -1, values.shape[-1])
            attended, weights = self.cross_attention(normal, *image)
            values = values + self.dropout(attended).view_as(values)
            weights = weights.view(*values.shape[:2], -1)
        return values + self.dropout(self.feed_forward(values)), keys, weights


class Attention(nn.Module):
    """Multi-head attention over given keys and values."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.width, config.width)
        self.merge = nn.Linear(config.width, config.width)
        self.heads = config.heads
        self.dropout = Dropout(config.dropout)

    def forward(self, values: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From `values (m, Q, W)` to `keys (m, S, 2W)` where `mask (m | 1, Q | 1, S)`.

        Returns attended values (m, Q, W) and attention (m, Q, S), the mean of the heads.
        """
        query = self.query(values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = keys.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT / math.sqrt(query.shape[-1])  # (m, heads, Q, S)
        weights = masked_softmax(scores, mask[:, None])
        mixed = (self.dropout(weights) @ value).transpose(1, 2).flatten(2)
        return self.merge(mixed), weights.mean(dim=1)


def _positions(first: int, like: Tensor) -> Tensor:
    """Sine and cosine positions `first`, `first + 1`, ... for vectors (n, T, W): (T, W)."""
    places, width = like.shape[1:]
    rates = 10_000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(first, first + places)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(like)
