"""A Transformer that captions. Vaswani et al. 2017, arXiv:1706.03762; for images as in
Luo's ImageCaptioning.pytorch (`transformer`), without the later refinements of memory or geometry.

The encoder lets regions look at each other; the decoder lets each word look at the words before
it and at the regions. Nothing is recurrent: a caption is read in one go.

Follows that port: layer norm before each block and once behind each stack, with the unbiased
standard deviation plus 1e-6 (not `nn.LayerNorm`); no positions for regions, sine and cosine ones
for words; word vectors times sqrt(width); Xavier-uniform weights.
Differs: an image is encoded once for all its captions or beams; decoding keeps the keys of what
was said; the vocabulary layer runs over real words only. Attention handed out is that of the last
layer, the mean of its heads. "Keys" are keys and values side by side.

Shapes: B captions, I images, K beams, T words, R regions, D numbers per region, W width,
V vocabulary; n rows (captions, images, or I * K beams), Q queries, S things looked at.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from saccade.data.batch import CaptionBatch, CaptionOutput, CaptionState, Said, Sizes
from saccade.models.catalogue import TransformerConfig
from saccade.models.layers import Dropout, masked_softmax


class Transformer(nn.Module):
    """Says a sentence about regions that have looked at each other."""

    def __init__(self, config: TransformerConfig, sizes: Sizes) -> None:
        super().__init__()
        self.see = nn.Linear(sizes.region_dim, config.width)
        self.encoder = nn.ModuleList(Layer(config, False) for _ in range(config.encoder_layers))
        self.encoded = Norm(config.width)
        self.embed = nn.Embedding(sizes.words, config.width)
        self.decoder = nn.ModuleList(Layer(config, True) for _ in range(config.decoder_layers))
        keys = (nn.Linear(config.width, 2 * config.width) for _ in range(config.decoder_layers))
        self.region_keys = nn.ModuleList(keys)  # keys and values, for all words of a caption
        self.decoded = Norm(config.width)
        self.say = nn.Linear(config.width, sizes.words)
        self.region_dropout = Dropout(config.region_dropout)
        self.dropout = Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "see.weight":
                for part in parameter.detach().chunk(2 if "keys" in name else 1):
                    nn.init.xavier_uniform_(part)

    def forward(self, batch: CaptionBatch) -> CaptionOutput:
        seen, nothing = self.init_state(batch.regions, batch.region_mask)
        nothing = tuple(part.new_zeros(len(batch), *part.shape[2:]) for part in nothing)
        heard = batch.caption[:, :-1]
        told, _, weights = self._decode(heard, nothing, tuple(part[batch.image] for part in seen))
        to_say = (batch.caption_length - 1).cpu()  # captions stand longest first
        words = pack_padded_sequence(told, to_say, batch_first=True).data  # (N, W)
        targets = pack_padded_sequence(batch.caption[:, 1:], to_say, batch_first=True).data
        real = (torch.arange(heard.shape[1]) < to_say[:, None]).to(weights)
        return CaptionOutput(self.say(words), targets, attention=weights * real[..., None])

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        values, mask = self.region_dropout(self.see(regions).relu_()), region_mask[:, None]
        for layer in self.encoder:
            values, _, _ = layer(values, None, mask, None)
        values = self.encoded(values)
        shown = [keys(values) for keys in self.region_keys]  # (I, R, 2W) each
        nothing = shown[0].new_zeros(len(regions), 1, 0, shown[0].shape[-1])
        return CaptionState((mask, *shown), (nothing,) * len(shown))

    def step(self, words: Tensor, state: CaptionState) -> Said:
        before = tuple(part.flatten(0, 1) for part in state.beam_size)
        told, heard, weights = self._decode(words.reshape(-1, 1), before, state.image)
        beam_size = tuple(part.unflatten(0, words.shape) for part in heard)
        logits, weights = self.say(told).view(*words.shape, -1), weights.view(*words.shape, -1)
        return Said(logits, CaptionState(state.image, beam_size), weights)

    def _decode(
        self, words: Tensor, before: tuple[Tensor, ...], seen: tuple[Tensor, ...]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Read words (n, T) after others, whose keys are `before` (n, earlier words, 2W) each.

        `seen` is a mask (m, 1, R) and each layer's keys (m, R, 2W), where m is n, or a divisor of
        n when the rows of one image stand together. Returns what the vocabulary layer is told
        (n, T, W), `before` with these words, and attention (n, T, R).
        """
        mask, *shown = seen
        earlier, vectors = before[0].shape[1], self.embed(words)
        vectors = vectors * math.sqrt(vectors.shape[-1])
        vectors = self.dropout(vectors + _positions(earlier, vectors))
        up_to = torch.ones(words.shape[1], earlier + words.shape[1], device=words.device)
        up_to = up_to.tril(earlier).bool()
        heard, weights = [], vectors
        for layer, others, keys in zip(self.decoder, before, shown, strict=True):
            vectors, kept, weights = layer(vectors, others, up_to[None], (keys, mask))
            heard.append(kept)
        return self.decoded(vectors), heard, weights


class Layer(nn.Module):
    """Looks at its own kind, in the decoder at the image too, then thinks; each adds its bit."""

    def __init__(self, config: TransformerConfig, looks: bool) -> None:
        super().__init__()
        width = config.width
        self.listen_norm, self.listen = Norm(width), Heads(config)
        self.keys = nn.Linear(width, 2 * width)
        if looks:
            self.look_norm, self.look = Norm(width), Heads(config)
        self.dropout = Dropout(config.dropout)
        widen, narrow = nn.Linear(width, config.feed_forward), nn.Linear(config.feed_forward, width)
        self.think = nn.Sequential(Norm(width), widen, nn.ReLU(), self.dropout, narrow)

    def forward(
        self, values: Tensor, before: Tensor | None, mask: Tensor, seen: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`values (n, Q, W)` stand behind those with keys `before (n, earlier, 2W)`.

        Returns the new values, `before` with these, and attention (n, Q, S).
        """
        normal = self.listen_norm(values)
        keys = self.keys(normal)
        heard = keys if before is None else torch.cat([before, keys], dim=1)
        said, weights = self.listen(normal, heard, mask)
        values = values + self.dropout(said)
        if seen is not None:
            normal = self.look_norm(values).view(len(seen[0]), -1, values.shape[-1])
            shown, weights = self.look(normal, *seen)
            values = values + self.dropout(shown).view_as(values)
            weights = weights.view(*values.shape[:2], -1)
        return values + self.dropout(self.think(values)), heard, weights


class Heads(nn.Module):
    """Attention with several heads."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.width, config.width)
        self.join = nn.Linear(config.width, config.width)
        self.heads = config.heads
        self.dropout = Dropout(config.dropout)

    def forward(self, values: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Look from `values (m, Q, W)` at `keys (m, S, 2W)` where `mask (m | 1, Q | 1, S)`.

        Returns what is seen and where, (m, Q, S): the mean of the heads.
        """
        query = self.query(values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = keys.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT / math.sqrt(query.shape[-1])  # (m, heads, Q, S)
        weights = masked_softmax(scores, mask[:, None])
        seen = (self.dropout(weights) @ value).transpose(1, 2).flatten(2)
        return self.join(seen), weights.mean(dim=1)


class Norm(nn.Module):
    """Layer norm by the unbiased standard deviation, to which (not its square) 1e-6 is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, values: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(values, dim=-1, keepdim=True)
        return self.scale * (values - mean) / (deviation + 1e-6) + self.shift


def _positions(first: int, like: Tensor) -> Tensor:
    """Sines and cosines that tell places `first`, `first + 1`, ... apart, for (n, T, W) vectors."""
    places, width = like.shape[1:]
    rates = 10_000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(first, first + places)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(like)
