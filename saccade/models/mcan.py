"""MCAN: modular co-attention with a small encoder-decoder. Yu et al., CVPR 2019, arXiv:1906.10770.

Words look at words, six times; then regions look at regions and at what the words became, six
times. One look at all words and one at all regions sum them up, and the sum chooses the answer:
a Transformer between two kinds of things. Winner of the VQA challenge 2019.

Follows MILVLG/openvqa, which the numbers come from: an LSTM before the words, normalisation after
each step with its own formula (unbiased deviation, epsilon outside the root).
Differs: the first self-attention over regions is done once per image, not per question;
nothing is padded to 100 regions or 14 words, which the masks make an exact saving.

Shapes: B questions, I images, T words, R regions, D numbers per region, H hidden, G glimpses.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import McanConfig
from saccade.models.layers import Dropout, masked_softmax


class Mcan(nn.Module):
    """Answers a question about an image by attention of words and regions to each other."""

    def __init__(self, config: McanConfig, sizes: Sizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.words, config.embedding)
        self.read = nn.LSTM(config.embedding, config.hidden, batch_first=True)
        self.see = nn.Linear(sizes.region_dim, config.hidden)
        self.think = nn.ModuleList(Step(config, guided=False) for _ in range(config.layers))
        self.look = nn.ModuleList(Step(config, guided=True) for _ in range(config.layers))
        self.words, self.regions = Summary(config), Summary(config)
        self.norm = Norm(config.joint)
        self.answer = nn.Linear(config.joint, sizes.answers)

    def forward(self, batch: VqaBatch) -> VqaOutput:
        packed = pack_padded_sequence(
            batch.question, batch.question_length.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = self.read(packed._replace(data=self.embed(packed.data)))
        words, _ = pad_packed_sequence(states, batch_first=True)  # (B, T, H)
        place = torch.arange(words.shape[1], device=words.device)
        real = place < batch.question_length[:, None]  # (B, T)
        for step in self.think:
            words = step(words, real)
        # Until the first step's own attention is done no question was heard: once per image.
        first, *others = self.look
        regions = self.see(batch.regions)  # (I, R, H)
        regions = first(regions, batch.region_mask, (words, real), batch.image)  # (B, R, H)
        mask = batch.region_mask[batch.image]
        for step in others:
            regions = step(regions, mask, (words, real))
        heard, _ = self.words(words, real)
        seen, weights = self.regions(regions, mask)
        return VqaOutput(self.answer(self.norm(heard + seen)), attention=weights)


class Step(nn.Module):
    """Self-attention, attention to a guide (if any), and a small network at every place."""

    def __init__(self, config: McanConfig, *, guided: bool) -> None:
        super().__init__()
        self.own, self.own_norm = Attention(config), Norm(config.hidden)
        if guided:
            self.guide, self.guide_norm = Attention(config), Norm(config.hidden)
        self.network = Network(config.hidden, config.feed_forward, config.hidden, config.dropout)
        self.network_norm = Norm(config.hidden)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        items: Tensor,
        mask: Tensor,
        guides: tuple[Tensor, Tensor] | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """Items (I, N, H) where `mask (I, N)`, and guides (B, M, H) with their mask (B, M).

        With `image (B,)` the items are those of images and then spread to examples.
        """
        items = self.own_norm(items + self.dropout(self.own(items, items, mask)))
        if image is not None:
            items = items[image]
        if guides is not None:
            items = self.guide_norm(items + self.dropout(self.guide(items, *guides)))
        items = self.network_norm(items + self.dropout(self.network(items)))
        return items


class Attention(nn.Module):
    """Each item asks all others several questions at once and takes in a mix of them."""

    def __init__(self, config: McanConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.hidden, config.hidden)
        self.key = nn.Linear(config.hidden, config.hidden)
        self.value = nn.Linear(config.hidden, config.hidden)
        self.merge = nn.Linear(config.hidden, config.hidden)
        self.dropout = Dropout(config.dropout)

    def forward(self, items: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """`items (B, N, H)` look at `others (B, M, H)` where `mask (B, M)` -> (B, N, H)."""
        query = self._by_head(self.query(items))  # (B, heads, N, H / heads)
        key, value = self._by_head(self.key(others)), self._by_head(self.value(others))
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        weights = self.dropout(masked_softmax(scores, mask[:, None, None]))
        mixed: Tensor = self.merge((weights @ value).transpose(1, 2).flatten(2))
        return mixed

    def _by_head(self, values: Tensor) -> Tensor:
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2)


class Network(nn.Module):
    """Two linear layers with ReLU and dropout between."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.out(self.dropout(torch.relu(self.hidden(values))))
        return out


class Summary(nn.Module):
    """One vector for many items: weighted means, the weights from the items themselves."""

    def __init__(self, config: McanConfig) -> None:
        super().__init__()
        self.score = Network(config.hidden, config.summary, config.glimpses, config.dropout)
        self.merge = nn.Linear(config.hidden * config.glimpses, config.joint)

    def forward(self, items: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`items (B, N, H)`, `mask (B, N)` -> (B, joint), weights (B, G, N)."""
        weights = masked_softmax(self.score(items).transpose(1, 2), mask[:, None])
        return self.merge((weights @ items).flatten(1)), weights


class Norm(nn.Module):
    """Brings every item to mean 0 and (unbiased) deviation 1, then to a learnt scale and shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, values: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(values, dim=-1, keepdim=True)
        return torch.addcmul(self.shift, self.scale, (values - mean) / (deviation + 1e-6))
