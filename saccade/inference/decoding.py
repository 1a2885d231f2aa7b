"""What a captioner says when nobody tells it the words: beam search and sampling.

Written once for every captioner and every number of images at a time. An image is decoded once;
it leaves the batch as soon as nothing that is still being said could win.

Letters: I images, K beams, V vocabulary, T words said so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from saccade.config import DecodeConfig
from saccade.data.batch import Captioner
from saccade.text.vocabulary import Vocabulary

NEVER = float("-inf")


@dataclass(frozen=True)
class Rules:
    """What may be said, and how two captions are compared."""

    start: int
    end: int
    max_length: int = 50
    """Words at most, the end word included."""
    min_length: int = 0
    """Words at least, the end word not counted."""
    banned: tuple[int, ...] = ()
    """Words never said: padding, start, unknown."""
    length_penalty: float = 0.0
    """A caption of n words (end included) counts log p / n^length_penalty; 0 is the papers' raw
    sum, which favours short captions."""
    no_repeat_ngram_size: int = 0
    """No run of this many words is said twice in a caption; 0 allows it."""


@dataclass(frozen=True)
class Hypothesis:
    """One caption as it was decoded."""

    words: list[int]
    """Word ids without start and end."""
    log_probability: float
    """Sum over the words, the end word included where it was reached."""
    ended: bool
    """False when the length limit came before the end word."""


@torch.inference_mode()
def beam_search(
    model: Captioner, regions: Tensor, region_mask: Tensor, rules: Rules, beam_size: int = 3
) -> list[Hypothesis]:
    """Keep the `beam_size` best beginnings of every image; 1 is greedy. `regions (I, R, D)`.

    As in the reference evaluation: a caption that ends leaves its beam, which is not refilled.
    Stopping early is exact: log p only falls, so an unfinished caption is worth at most
    log p / max_length^length_penalty in the end; an image stops when a finished caption has that.
    When nothing has ended at the limit, the best unfinished caption is the answer.
    """
    device = regions.device
    best: list[Hypothesis | None] = [None] * len(regions)
    best_score = torch.full((len(regions),), NEVER, device=device)  # of finished captions
    here = torch.arange(len(regions), device=device)  # which image each row is
    state = model.init_state(regions, region_mask)
    words = torch.full((len(regions), 1), rules.start, device=device)  # (I, K) said last
    total = torch.zeros(len(regions), 1, device=device)  # (I, K) log p so far
    said = torch.empty(len(regions), 1, 0, dtype=torch.int64, device=device)  # (I, K, T)
    room = torch.full(
        (len(regions),), beam_size, device=device
    )  # beams not used up by ended captions
    # Two or three rows are multiplied one by one on a CPU, four at once in half the time: a beam
    # beyond `room` is dead and costs nothing but its row.
    width = 4 if len(regions) == 1 and beam_size in (2, 3) else beam_size
    rank = torch.arange(width, device=device)
    for length in range(1, rules.max_length + 1):
        step = model.step(words, state)
        parent, words, total = _extend(step.logits, said, total, rules, width)
        total = total.masked_fill(rank >= room[:, None], NEVER)
        said = torch.cat([said[torch.arange(len(said))[:, None], parent], words[..., None]], dim=2)
        state = step.state.pick(parent)

        ended = (words == rules.end) & (total > NEVER)
        worth = (total / length**rules.length_penalty).masked_fill(~ended, NEVER)
        score, winner = worth.float().max(dim=1)  # as `best_score`, whatever the model's type
        better = score > best_score[here]
        for row in better.nonzero().flatten().tolist():
            k = int(winner[row])
            best[int(here[row])] = Hypothesis(
                said[row, k, :-1].tolist(), float(total[row, k]), True
            )
        best_score[here] = torch.maximum(best_score[here], score)
        room = room - ended.sum(dim=1)
        total = total.masked_fill(ended, NEVER)

        hope = total.max(dim=1).values / rules.max_length**rules.length_penalty
        alive = hope > best_score[here]
        if not alive.all():
            here, room, words, total, said = (x[alive] for x in (here, room, words, total, said))
            state = state.keep(alive)
        if not len(here):
            break
    for row in range(len(here)):
        if best[int(here[row])] is None:
            k = int(total[row].argmax())
            best[int(here[row])] = Hypothesis(said[row, k].tolist(), float(total[row, k]), False)
    return [hypothesis for hypothesis in best if hypothesis is not None]


class Drawn(NamedTuple):
    """Captions as they were drawn, several of each image, the end word included."""

    words: Tensor  # (I, K, T) int64; behind an end word stand more of them
    log_probability: Tensor  # (I, K, T) of each word, with gradients; 0 behind an end word
    length: Tensor  # (I, K) int64, counting the end word where it was reached


def draw(  # noqa: PLR0913  each is something that a person may want to say
    model: Captioner,
    regions: Tensor,
    region_mask: Tensor,
    rules: Rules,
    *,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Drawn:
    """Draw captions of every image, word by word, from the model's own distribution.

    `regions (I, R, D)` are looked at once for all K = `samples` captions of an image.
    `temperature` divides the logits; `top_k` keeps that many words (0 keeps all); `top_p` keeps
    the fewest words whose probabilities reach it (Holtzman et al. 2020).
    """
    images, device = len(regions), regions.device
    state = model.init_state(regions, region_mask)
    state = state.pick(torch.zeros(images, samples, dtype=torch.int64, device=device))
    words = torch.full((images, samples), rules.start, device=device)
    said = torch.empty(images, samples, 0, dtype=torch.int64, device=device)
    done = torch.zeros(images, samples, dtype=torch.bool, device=device)
    length, log_ps = torch.zeros_like(words), []
    for _ in range(rules.max_length):
        step = model.step(words, state)
        state = step.state
        logits = _allowed(step.logits, said, rules).flatten(0, 1) / temperature  # (I * K, V)
        exact = torch.promote_types(logits.dtype, torch.float32)
        log_p = _truncated(logits, top_k, top_p).log_softmax(dim=-1, dtype=exact)
        drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)  # (I * K, 1)
        words = drawn.view_as(words).masked_fill(done, rules.end)
        of_words = log_p.gather(1, words.view(-1, 1)).view(words.shape)
        # Picked, not multiplied by 0: the end word may have been forbidden here, at -infinity.
        log_ps.append(torch.where(done, 0, of_words))
        said = torch.cat([said, words[..., None]], dim=2)
        length = length + ~done
        done = done | (words == rules.end)
        if done.all():
            break
    return Drawn(said, torch.stack(log_ps, dim=2), length)


@torch.inference_mode()
def sample(
    model: Captioner, regions: Tensor, region_mask: Tensor, rules: Rules, **how: Any
) -> list[Hypothesis]:
    """Draw one caption per image; `how` as in `draw`: temperature, top_k, top_p, generator."""
    drawn = draw(model, regions, region_mask, rules, **how)
    words, total = drawn.words[:, 0].tolist(), drawn.log_probability[:, 0].sum(dim=1).tolist()
    hypotheses = []
    for row, length, log_probability in zip(words, drawn.length[:, 0].tolist(), total, strict=True):
        ended = row[length - 1] == rules.end
        hypotheses.append(Hypothesis(row[: length - ended], log_probability, ended))
    return hypotheses


@torch.inference_mode()
def replay(
    model: Captioner,
    regions: Tensor,
    region_mask: Tensor,
    captions: Sequence[Sequence[int]],
    rules: Rules,
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Where the model looks while it says given captions, one for each image.

    Returns, per image, attention (T, R) and the sentinel's share (T,), or None where the model
    has no such thing. Beam search need not carry maps along: saying the winner again is cheap.
    """
    state = model.init_state(regions, region_mask)
    max_length = max((len(caption) for caption in captions), default=0)
    padded = torch.full((len(captions), max_length + 1), rules.end, device=regions.device)
    padded[:, 0] = rules.start
    for row, caption in enumerate(captions):
        padded[row, 1 : 1 + len(caption)] = torch.as_tensor(caption, device=regions.device)
    looks, sentinels = [], []
    for t in range(max_length):
        step = model.step(padded[:, t : t + 1], state)
        state = step.state
        looks.append(step.attention)
        sentinels.append(step.sentinel)
    return _per_image(looks, captions), _per_image(sentinels, captions)


def _per_image(
    steps: list[Tensor | None], captions: Sequence[Sequence[int]]
) -> list[Tensor | None]:
    """From one (I, 1, ...) per step to one (T, ...) per image."""
    held = [step[:, 0] for step in steps if step is not None]
    if not held:
        return [None] * len(captions)
    together = torch.stack(held, dim=1)  # (I, T, ...)
    return [together[row, : len(caption)] for row, caption in enumerate(captions)]


def _extend(
    logits: Tensor, said: Tensor, total: Tensor, rules: Rules, beam_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best `beams` continuations of each image: parent beam, word and log p, each (I, K)."""
    logits = _allowed(logits, said, rules)
    # The best of all continuations are among the best of each beam: no sort over K * V.
    best, words = logits.topk(min(beam_size, logits.shape[-1]), dim=-1)  # (I, K, k)
    log_p = total[..., None] + (best - logits.logsumexp(dim=-1, keepdim=True))
    log_p = log_p.masked_fill(best == NEVER, NEVER)
    total, place = log_p.flatten(1).topk(min(beam_size, log_p[0].numel()), dim=1)
    if total.shape[1] < beam_size:  # fewer words than beams: fill up with beams that cannot win
        missing = beam_size - total.shape[1]
        total = torch.cat([total, total.new_full((len(total), missing), NEVER)], dim=1)
        place = torch.cat([place, place.new_zeros(len(place), missing)], dim=1)
    return place // words.shape[-1], words.flatten(1).gather(1, place), total


def _allowed(logits: Tensor, said: Tensor, rules: Rules) -> Tensor:
    """Logits (I, K, V) with the words that the rules forbid at this place at -infinity."""
    forbidden = list(rules.banned)
    if said.shape[2] < rules.min_length:
        forbidden.append(rules.end)
    size = rules.no_repeat_ngram_size
    repeats = size > 0 and said.shape[2] >= size
    if not forbidden and not repeats:
        return logits
    logits = logits.clone()
    logits[..., forbidden] = NEVER
    if repeats:
        runs = said.unfold(2, size, 1)  # (I, K, T - size + 1, size)
        recent = said[:, :, said.shape[2] - size + 1 :]  # (I, K, size - 1)
        again = (runs[..., :-1] == recent[:, :, None]).all(dim=-1)  # (I, K, T - size + 1)
        bar = torch.zeros_like(again, dtype=logits.dtype).masked_fill(again, NEVER)
        logits = logits + torch.zeros_like(logits).scatter_reduce(2, runs[..., -1], bar, "amin")
    return logits


def _truncated(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits (I, V) with the tail of the distribution at -infinity."""
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, NEVER)
    if top_p < 1:
        falling, order = logits.sort(dim=-1, descending=True)
        probability = falling.softmax(dim=-1)
        before = probability.cumsum(dim=-1) - probability
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= top_p)
        logits = logits.masked_fill(cut, NEVER)
    return logits


def shares(logits: Tensor, loss: str) -> Tensor:
    """How sure a model is of each answer, 0..1: (B, A) of logits (B, A).

    Shares of 1 where the answers of a question compete in the loss; where each is judged by itself
    ("logistic"), its own probability.
    """
    return logits.sigmoid() if loss == "logistic" else logits.softmax(dim=1)


def rules_of(vocabulary: Vocabulary, decode: DecodeConfig) -> Rules:
    """A recipe's way of saying captions, in a vocabulary's ids."""
    assert vocabulary.start is not None
    assert vocabulary.end is not None
    never = {vocabulary.pad, vocabulary.start} - {vocabulary.end}
    return Rules(
        start=vocabulary.start,
        end=vocabulary.end,
        max_length=decode.max_length,
        min_length=decode.min_length,
        banned=tuple(sorted(never | ({vocabulary.unknown} if decode.suppress_unk else set()))),
        length_penalty=decode.length_penalty,
        no_repeat_ngram_size=decode.no_repeat_ngram_size,
    )
