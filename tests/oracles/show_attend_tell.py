"""Show, Attend and Tell as the widely used PyTorch form computes it, in plain steps.

Parameters carry the published names and shapes (`attention.encoder_att.weight`, ...), so that a
published state dict, or one made after the published table of shapes, loads as it is. No saccade
in here: equal numbers are worth something only when they come from two different programs.

What is on purpose as slow as the original: the encoder's output stands in a batch once per
caption, is projected again for every word, weighted element by element; the vocabulary layer
runs for every word and fills a padded buffer of predictions.

Letters: B captions, G x G cells of the encoder's own grid, P = 14 * 14 looks, E encoder channels,
A attention width, H hidden, M word vector, V vocabulary, T caption length with start and end.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

SIDE = 14
"""The encoder's output is pooled (or, from 8 x 8, blown up) to 14 x 14."""


class Reading(NamedTuple):
    """What a teacher-forced reading of a batch gives back; rows are sorted longest first."""

    predictions: Tensor  # (B, max_length - 1, V), zeros behind each caption's end
    captions: Tensor  # (B, T)
    decode_lengths: list[int]  # words to be said, the end word included
    alphas: Tensor  # (B, max_length - 1, P), zeros behind each caption's end
    order: Tensor  # (B,) which row of the given batch stands here


class Spoken(NamedTuple):
    """One caption as it was decoded."""

    words: list[int]  # without start and end
    score: float  # sum of log-probabilities, the end word's included where it was reached
    ended: bool
    alphas: Tensor  # (words said, end included; P)


class Attention(nn.Module):
    """Scores every look with a one-layer network of state and look; returns what was seen."""

    def __init__(self, encoder_dim: int, decoder_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.encoder_att = nn.Linear(encoder_dim, attention_dim)
        self.decoder_att = nn.Linear(decoder_dim, attention_dim)
        self.full_att = nn.Linear(attention_dim, 1)

    def forward(self, encoder_out: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        from_image = self.encoder_att(encoder_out)  # (B, P, A), again for every word
        from_state = self.decoder_att(hidden)  # (B, A)
        together = functional.relu(from_image + from_state.unsqueeze(1))
        scores = self.full_att(together).squeeze(2)  # (B, P)
        alpha = functional.softmax(scores, dim=1)
        seen = (encoder_out * alpha.unsqueeze(2)).sum(dim=1)  # (B, E)
        return seen, alpha


class ShowAttendTell(nn.Module):
    """The decoder with soft attention (captioning specification, section 2.2)."""

    def __init__(
        self,
        vocabulary: int,
        encoder_dim: int = 2048,
        *,
        attention_dim: int = 512,
        embed_dim: int = 512,
        decoder_dim: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.attention = Attention(encoder_dim, decoder_dim, attention_dim)
        self.embedding = nn.Embedding(vocabulary, embed_dim)
        self.decode_step = nn.LSTMCell(embed_dim + encoder_dim, decoder_dim)
        self.init_h = nn.Linear(encoder_dim, decoder_dim)
        self.init_c = nn.Linear(encoder_dim, decoder_dim)
        self.f_beta = nn.Linear(decoder_dim, encoder_dim)
        self.fc = nn.Linear(decoder_dim, vocabulary)
        self.dropout = dropout
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.fc.weight, -0.1, 0.1)
        nn.init.zeros_(self.fc.bias)

    def first_state(self, encoder_out: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden and memory before the first word, from the mean look: (B, P, E) -> 2 x (B, H)."""
        mean = encoder_out.mean(dim=1)
        return self.init_h(mean), self.init_c(mean)

    def next_state(
        self, word_vectors: Tensor, encoder_out: Tensor, hidden: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Look, then hear one word: hidden and memory (B, H), alpha (B, P)."""
        seen, alpha = self.attention(encoder_out, hidden)
        gate = torch.sigmoid(self.f_beta(hidden))  # of the state before the word
        heard = torch.cat([word_vectors, gate * seen], dim=1)
        hidden, memory = self.decode_step(heard, (hidden, memory))
        return hidden, memory, alpha

    def forward(self, encoder_out: Tensor, captions: Tensor, caption_lengths: Tensor) -> Reading:
        """Read captions aloud: `encoder_out (B, 14, 14, E)`, `captions (B, T)`, lengths (B,)."""
        batch = len(encoder_out)
        encoder_out = encoder_out.reshape(batch, -1, encoder_out.shape[-1])  # (B, P, E)
        lengths, order = caption_lengths.sort(dim=0, descending=True, stable=True)
        encoder_out, captions = encoder_out[order], captions[order]
        word_vectors = self.embedding(captions)
        hidden, memory = self.first_state(encoder_out)
        decode_lengths: list[int] = (lengths - 1).tolist()
        max_length = max(decode_lengths)
        predictions = encoder_out.new_zeros(batch, max_length, self.fc.out_features)
        alphas = encoder_out.new_zeros(batch, max_length, encoder_out.shape[1])
        for t in range(max_length):
            n = sum(length > t for length in decode_lengths)  # captions still being said
            hidden, memory, alpha = self.next_state(
                word_vectors[:n, t], encoder_out[:n], hidden[:n], memory[:n]
            )
            said = functional.dropout(hidden, self.dropout, self.training)
            predictions[:n, t] = self.fc(said)
            alphas[:n, t] = alpha
        return Reading(predictions, captions, decode_lengths, alphas, order)


def blow_up(grid: Tensor) -> Tensor:
    """The encoder's last step: its grid (B, E, G, G) as 14 x 14 looks (B, 14, 14, E)."""
    return functional.adaptive_avg_pool2d(grid, (SIDE, SIDE)).permute(0, 2, 3, 1)


def loss(reading: Reading, alpha_c: float = 1.0) -> Tensor:
    """Mean cross-entropy over real words, and the doubly stochastic penalty on attention."""
    said = pack_padded_sequence(reading.predictions, reading.decode_lengths, batch_first=True)
    wanted = pack_padded_sequence(reading.captions[:, 1:], reading.decode_lengths, batch_first=True)
    words = functional.cross_entropy(said.data, wanted.data)
    penalty = ((1.0 - reading.alphas.sum(dim=1)) ** 2).mean()  # over captions and looks
    return words + alpha_c * penalty


def clamp_gradients(model: nn.Module, limit: float = 5.0) -> None:
    """Keep every element of every gradient within +-limit, as the published training does."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.clamp_(-limit, limit)


@torch.no_grad()
def greedy(
    model: ShowAttendTell, encoder_out: Tensor, *, start: int, end: int, max_length: int = 50
) -> Spoken:
    """Say the likeliest word again and again; `encoder_out (1, 14, 14, E)`, one image."""
    looks = encoder_out.reshape(1, -1, encoder_out.shape[-1])
    hidden, memory = model.first_state(looks)
    word, score, words, alphas = start, 0.0, list[int](), list[Tensor]()
    for _ in range(max_length):
        vector = model.embedding(torch.tensor([word]))
        hidden, memory, alpha = model.next_state(vector, looks, hidden, memory)
        log_p = functional.log_softmax(model.fc(hidden), dim=1)[0]
        word = int(log_p.argmax())
        score += float(log_p[word])
        alphas.append(alpha[0])
        if word == end:
            return Spoken(words, score, True, torch.stack(alphas))
        words.append(word)
    return Spoken(words, score, False, torch.stack(alphas))


@torch.no_grad()
def beam_search(
    model: ShowAttendTell,
    encoder_out: Tensor,
    *,
    start: int,
    end: int,
    beam_size: int = 3,
    max_length: int = 51,
) -> Spoken:
    """Keep the best beginnings of one image's caption; `encoder_out (1, 14, 14, E)`.

    As the published evaluation does it: the image is copied for every beam; the first word comes
    from one beam; an ended caption leaves and its beam is not refilled; the sum of
    log-probabilities is compared without regard to length. Two defects of it are mended: the
    parent beam is found by floor division, and when nothing has ended after `max_length` words the
    best beginning is the answer.
    """
    k = beam_size
    looks = encoder_out.reshape(1, -1, encoder_out.shape[-1])
    looks = looks.expand(k, -1, -1)  # (k, P, E)
    hidden, memory = model.first_state(looks)
    words = torch.full((k, 1), start)
    scores = torch.zeros(k, 1)
    alphas = torch.empty(k, 0, looks.shape[1])
    done: list[Spoken] = []
    for step in range(1, max_length + 1):
        vectors = model.embedding(words[:, -1])
        hidden, memory, alpha = model.next_state(vectors, looks, hidden, memory)
        log_p = functional.log_softmax(model.fc(hidden), dim=1)  # (k, V)
        totals = scores.expand_as(log_p) + log_p
        if step == 1:  # all beams are still the same
            best, place = totals[0].topk(k)
        else:
            best, place = totals.view(-1).topk(k)
        parent = place // log_p.shape[1]
        word = place % log_p.shape[1]
        words = torch.cat([words[parent], word.unsqueeze(1)], dim=1)
        alphas = torch.cat([alphas[parent], alpha[parent].unsqueeze(1)], dim=1)
        for row in (word == end).nonzero().flatten().tolist():
            done.append(Spoken(words[row, 1:-1].tolist(), float(best[row]), True, alphas[row]))
        going = (word != end).nonzero().flatten()
        k = len(going)
        if k == 0:
            break
        words, alphas, scores = words[going], alphas[going], best[going].unsqueeze(1)
        looks, hidden, memory = looks[parent[going]], hidden[parent[going]], memory[parent[going]]
    if done:
        return max(done, key=lambda spoken: spoken.score)
    row = int(scores.argmax())
    return Spoken(words[row, 1:].tolist(), float(scores[row]), False, alphas[row])
