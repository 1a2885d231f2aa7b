"""Published programs, written anew for races: as fast as their authors had them, no slower.

The oracles of the tests show every step and so would lose any race. These take the same shortcuts
as the originals (one matrix product for all regions, layers that see an image once where the
original does so), and waste what the originals waste. Layers have their published names.

Letters: B examples, I images, T words, R regions, D numbers per region, A answers, V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class _WeightNorm(nn.Module):
    """One length for the whole matrix, as `weight_norm(layer, dim=None)` computes it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.weight_v, self.bias = start.weight, start.bias
        self.weight_g = nn.Parameter(start.weight.detach().norm())

    def forward(self, values: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm())
        return functional.linear(values, weight, self.bias)


class JointEmbedding(nn.Module):
    """hengyuan-hu's `baseline0_newatt`; every question brings its own copy of its regions."""

    def __init__(self, words: int, answers: int, dim: int, *, dropout: bool = True) -> None:
        super().__init__()
        self.w_emb = nn.Embedding(words, 300, padding_idx=0)
        self.q_emb = nn.GRU(300, 1024, batch_first=True)
        self.v_proj, self.q_proj = _WeightNorm(dim, 1024), _WeightNorm(1024, 1024)
        self.linear = _WeightNorm(1024, 1)
        self.q_net, self.v_net = _WeightNorm(1024, 1024), _WeightNorm(dim, 1024)
        self.lin1, self.lin2 = _WeightNorm(1024, 2048), _WeightNorm(2048, answers)
        self.attention_dropout = nn.Dropout(0.2 * dropout)
        self.classifier_dropout = nn.Dropout(0.5 * dropout)

    def forward(self, regions: Tensor, question: Tensor) -> Tensor:
        """`regions (B, R, D)`, `question (B, 14)` with its padding in front -> logits (B, A)."""
        query = self.q_emb(self.w_emb(question))[0][:, -1]
        encoded = torch.relu(self.v_proj(regions))
        asked = torch.relu(self.q_proj(query)).unsqueeze(1).repeat(1, regions.shape[1], 1)
        scores = self.linear(self.attention_dropout(encoded * asked))
        weights = functional.softmax(scores, dim=1)  # (B, R, 1)
        encoded = (weights * regions).sum(dim=1)
        joint = torch.relu(self.q_net(query)) * torch.relu(self.v_net(encoded))
        logits: Tensor = self.lin2(self.classifier_dropout(torch.relu(self.lin1(joint))))
        return logits


class San(nn.Module):
    """imageqa-san's SAN(2, CNN) with its own attention; every question brings its image."""

    def __init__(self, words: int, answers: int, dim: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.w_emb = nn.Embedding(words, 500, padding_idx=0)
        self.conv = nn.ModuleList(
            nn.Linear(n * 500, filters) for n, filters in ((1, 256), (2, 512), (3, 512))
        )
        self.image_mlp = nn.Linear(dim, 1280)
        self.image_att = nn.ModuleList(nn.Linear(1280, 512) for _ in range(2))
        self.sent_att = nn.ModuleList(nn.Linear(1280, 512) for _ in range(2))
        self.combined_att = nn.ModuleList(nn.Linear(512, 1) for _ in range(2))
        self.combined_mlp = nn.Linear(1280, answers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Tensor, question: Tensor) -> Tensor:
        """`regions (B, R, D)`, `question (B, T)` with padding behind -> logits (B, A)."""
        words = self.w_emb(functional.pad(question, (0, 3)))
        best = []
        for n, layer in enumerate(self.conv, start=1):
            steps = words.shape[1] - n + 1
            grams = torch.cat([words[:, i : i + steps] for i in range(n)], dim=2)
            best.append(torch.tanh(layer(grams)).amax(dim=1))
        query = torch.cat(best, dim=1)
        encoded = torch.tanh(self.image_mlp(regions))  # (B, R, 1280)
        for image, sentence, both in zip(
            self.image_att, self.sent_att, self.combined_att, strict=True
        ):
            joint = torch.tanh(image(encoded)) + torch.tanh(sentence(query))[:, None]
            weights = functional.softmax(torch.tanh(both(joint)).squeeze(2), dim=1)
            query = (weights[:, :, None] * encoded).sum(dim=1) + query
        logits: Tensor = self.combined_mlp(self.dropout(query))
        return logits


class ShowTell(nn.Module):
    """ruotianluo's `show_tell`: image, then words, step by step over padding too."""

    def __init__(self, vocabulary: int, dim: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.img_embed = nn.Linear(dim, 512)
        self.core = nn.LSTM(512, 512, bias=False)
        self.embed = nn.Embedding(vocabulary, 512)
        self.logit = nn.Linear(512, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pooled: Tensor, words: Tensor) -> Tensor:
        """`pooled (I, D)`, `words (B, T)` image by image -> log-probabilities (B, T, V)."""
        pooled = pooled.repeat_interleave(len(words) // len(pooled), dim=0)
        _, state = self.core(self.img_embed(pooled)[None])
        outputs = []
        for t in range(words.shape[1]):
            if t >= 1 and words[:, t].sum() == 0:
                break
            output, state = self.core(self.embed(words[:, t])[None], state)
            outputs.append(functional.log_softmax(self.logit(self.dropout(output[0])), dim=1))
        return torch.stack(outputs, dim=1)


class UpDown(nn.Module):
    """ruotianluo's `updown`: regions are projected once per image, then copied per caption."""

    def __init__(self, vocabulary: int, dim: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 1000)
        self.fc_embed, self.att_embed = nn.Linear(dim, 1000), nn.Linear(dim, 1000)
        self.ctx2att = nn.Linear(1000, 512)
        self.att_lstm, self.lang_lstm = nn.LSTMCell(3000, 1000), nn.LSTMCell(2000, 1000)
        self.h2att, self.alpha_net = nn.Linear(1000, 512), nn.Linear(512, 1)
        self.logit = nn.Linear(1000, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pooled: Tensor, regions: Tensor, words: Tensor) -> Tensor:
        """`pooled (I, D)`, `regions (I, R, D)`, `words (B, T)` -> log-probabilities (B, T, V)."""
        each = len(words) // len(pooled)
        whole = self.dropout(torch.relu(self.fc_embed(pooled)))
        values = self.dropout(torch.relu(self.att_embed(regions)))
        projected = self.ctx2att(values)
        whole, values, projected = (
            part.repeat_interleave(each, dim=0) for part in (whole, values, projected)
        )
        outputs: Tensor = whole.new_zeros(*words.shape, self.logit.out_features)
        attending = generating = (torch.zeros_like(whole), torch.zeros_like(whole))
        for t in range(words.shape[1]):
            if t >= 1 and words[:, t].sum() == 0:
                break
            word = self.dropout(torch.relu(self.embed(words[:, t])))
            attending = self.att_lstm(torch.cat([generating[0], whole, word], dim=1), attending)
            joint = torch.tanh(projected + self.h2att(attending[0])[:, None])
            weights = functional.softmax(self.alpha_net(joint).squeeze(2), dim=1)
            attended = torch.bmm(weights[:, None], values).squeeze(1)
            generating = self.lang_lstm(torch.cat([attended, attending[0]], dim=1), generating)
            logits = self.logit(self.dropout(generating[0]))
            outputs[:, t] = functional.log_softmax(logits, dim=1)
        return outputs


def port_loss(given: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """The port's criterion: mean over words and ends, padding masked out after the fact."""
    following = words[:, 1 : given.shape[1] + 1]
    mask = (torch.arange(given.shape[1]) < lengths[:, None] - 1).to(given)
    loss: Tensor = -(given.gather(2, following[:, :, None]).squeeze(2) * mask).sum() / mask.sum()
    return loss
