"""Beam search and sampling over any captioner, batched over images.

An image leaves the batch as soon as none of its unfinished captions can win.

Shapes: I images, K beams or samples, V words of the vocabulary, T words decoded so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.config import DecodeConfig
from saccade.data.batch import Captioner
from saccade.text.vocabulary import Vocabulary

NEVER = float("-inf")


@dataclass(frozen=True)
class Rules:
    """Constraints on captions, and the score by which two are compared."""

    start: int
    end: int
    max_length: int = 50
    """Words at most, the end word included."""
    min_length: int = 0
    """Words at least, the end word not counted."""
    banned: tuple[int, ...] = ()
    """Words never predicted: padding, start, unknown. Probabilities are those over all words; what
    is banned is only not chosen."""
    length_penalty: float = 0.0
    """A caption of n words (end included) scores log p / n^length_penalty; 0 is the papers' raw
    sum, which favours short captions."""
    no_repeat_ngram_size: int = 0
    """No n-gram of this many words occurs twice in a caption; 0 allows it."""
    refill_beam: bool = False
    """A caption that ends makes room for another one; else beams grow fewer."""
    keep_unfinished: bool = False
    """At the length limit unfinished captions compete with those that ended; else they count only
    where none has ended."""


@dataclass(frozen=True)
class Hypothesis:
    """One decoded caption."""

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
    """The best caption of every image; `beam_size` 1 is greedy. `regions (I, R, D)`.

    A caption that ends leaves its beam. Stopping early is exact: log p only falls, so an unfinished
    caption scores in the end at most log p / max_length^length_penalty; an image stops when a
    finished caption scores as much. When nothing has ended at the limit, or the rules leave no word
    before it, the best unfinished caption is the answer: every image has one.
    """
    count, device = len(regions), regions.device
    best: list[Hypothesis | None] = [None] * count
    best_score = torch.full((count,), NEVER, device=device)  # (I,) of finished captions
    images = torch.arange(count, device=device)  # (I',) the images that are still decoded
    state = model.init_state(regions, region_mask)
    words = torch.full((count, 1), rules.start, device=device)  # (I', K) the last word
    log_p = torch.zeros(count, 1, device=device)  # (I', K) summed over the words
    decoded = torch.empty(count, 1, 0, dtype=torch.int64, device=device)  # (I', K, T)
    open_beams = torch.full((count,), beam_size, device=device)  # (I',) without ended captions
    # Two or three rows are multiplied one by one on a CPU, four at once in half the time: a beam
    # beyond `open_beams` is dead and costs nothing but its row.
    width = 4 if count == 1 and beam_size in (2, 3) else beam_size
    rank = torch.arange(width, device=device)
    for length in range(1, rules.max_length + 1):
        step = model.step(words, state)
        before = decoded, log_p
        parent, words, log_p = _extend(step.logits, decoded, log_p, rules, width)
        log_p = log_p.masked_fill(rank >= open_beams[:, None], NEVER)
        row = torch.arange(len(decoded))[:, None]
        decoded = torch.cat([decoded[row, parent], words[..., None]], dim=2)
        state = step.state.pick(parent)

        ended = (words == rules.end) & (log_p > NEVER)
        counts = log_p > NEVER if rules.keep_unfinished and length == rules.max_length else ended
        scores = (log_p / length**rules.length_penalty).masked_fill(~counts, NEVER)  # (I', K)
        score, winner = scores.float().max(dim=1)  # as `best_score`, whatever the model's type
        for i in (score > best_score[images]).nonzero().flatten().tolist():
            k = int(winner[i])
            best[int(images[i])] = _hypothesis(decoded[i, k], log_p[i, k], rules.end)
        best_score[images] = torch.maximum(best_score[images], score)
        if not rules.refill_beam:
            open_beams = open_beams - ended.sum(dim=1)
        log_p = log_p.masked_fill(ended, NEVER)

        bound = log_p.max(dim=1).values / rules.max_length**rules.length_penalty
        alive = bound > best_score[images]
        if not alive.all():
            _take_unfinished(best, images, *before, rules.end, searches=~alive)
            kept = (images, open_beams, words, log_p, decoded)
            images, open_beams, words, log_p, decoded = (tensor[alive] for tensor in kept)
            state = state.keep(alive)
        if not len(images):
            break
    _take_unfinished(best, images, decoded, log_p, rules.end, searches=images >= 0)
    return [hypothesis for hypothesis in best if hypothesis is not None]


def _take_unfinished(
    best: list[Hypothesis | None],
    images: Tensor,
    decoded: Tensor,
    log_p: Tensor,
    end: int,
    *,
    searches: Tensor,
) -> None:
    """The likeliest beam is the answer for those of the images that have none."""
    for i in searches.nonzero().flatten().tolist():
        if best[int(images[i])] is None:
            k = int(log_p[i].argmax())
            best[int(images[i])] = _hypothesis(decoded[i, k], log_p[i, k], end)


def _hypothesis(decoded: Tensor, log_p: Tensor, end: int) -> Hypothesis:
    words = decoded.tolist()
    ended = words[-1:] == [end]
    return Hypothesis(words[:-1] if ended else words, float(log_p), ended)


class SampledCaptions(NamedTuple):
    """Several sampled captions of each image, the end word included."""

    words: Tensor  # (I, K, T) int64; behind an end word stand more of them
    log_probability: Tensor  # (I, K, T) of each word, with gradients; 0 behind an end word
    length: Tensor  # (I, K) int64, counting the end word where it was reached


def draw(  # noqa: PLR0913  the options of sampling
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
) -> SampledCaptions:
    """Sample captions of every image, word by word, from the model's own distribution.

    `regions (I, R, D)` are encoded once for all K = `samples` captions of an image.
    `temperature` divides the logits; `top_k` keeps that many words (0 keeps all); `top_p` keeps
    the fewest words whose probabilities reach it (Holtzman et al. 2020). The log probability of a
    word is the one among all words, whatever may not be drawn. A caption is over, without an end
    word, where the rules leave it no word.
    """
    images, device = len(regions), regions.device
    state = model.init_state(regions, region_mask)
    state = state.pick(torch.zeros(images, samples, dtype=torch.int64, device=device))
    words = torch.full((images, samples), rules.start, device=device)  # (I, K) the last word
    decoded = torch.empty(images, samples, 0, dtype=torch.int64, device=device)  # (I, K, T)
    ended = torch.zeros(images, samples, dtype=torch.bool, device=device)
    length, log_probability = torch.zeros_like(words), []
    for _ in range(rules.max_length):
        step = model.step(words, state)
        state = step.state
        exact = torch.promote_types(step.logits.dtype, torch.float32)
        log_p = (step.logits / temperature).log_softmax(dim=-1, dtype=exact)  # (I, K, V)
        allowed = _allowed(log_p.detach(), decoded, rules)
        starved = allowed.amax(dim=-1, keepdim=True) == NEVER
        ended = ended | starved[..., 0]
        drawable = _truncated(allowed.masked_fill(starved, 0).flatten(0, 1), top_k, top_p)
        log_p = log_p.flatten(0, 1)  # (I * K, V)
        sampled = torch.multinomial(drawable.softmax(dim=-1), 1, generator=generator)  # (I * K, 1)
        words = sampled.view_as(words).masked_fill(ended, rules.end)
        of_words = log_p.gather(1, words.view(-1, 1)).view(words.shape)
        log_probability.append(torch.where(ended, 0, of_words))
        decoded = torch.cat([decoded, words[..., None]], dim=2)
        length = length + ~ended
        ended = ended | (words == rules.end)
        if ended.all():
            break
    return SampledCaptions(decoded, torch.stack(log_probability, dim=2), length)


@torch.inference_mode()
def replay(
    model: Captioner,
    regions: Tensor,
    region_mask: Tensor,
    captions: Sequence[Sequence[int]],
    rules: Rules,
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Attention of the model over given captions, one for each image.

    Returns, per image, attention (T, R) and the sentinel's share (T,), or None where the model
    has no such thing. Beam search need not carry maps along: decoding the winner again is cheap.
    """
    state = model.init_state(regions, region_mask)
    max_length = max((len(caption) for caption in captions), default=0)
    rows = [torch.tensor([rules.start, *caption], device=regions.device) for caption in captions]
    padded = pad_sequence(rows, batch_first=True, padding_value=rules.end)
    attention, sentinels = [], []
    for t in range(max_length):
        step = model.step(padded[:, t : t + 1], state)
        state = step.state
        attention.append(step.attention)
        sentinels.append(step.sentinel)
    return _by_image(attention, captions), _by_image(sentinels, captions)


def _by_image(steps: list[Tensor | None], captions: Sequence[Sequence[int]]) -> list[Tensor | None]:
    """From one (I, 1, ...) per step to one (T, ...) per image."""
    held = [step[:, 0] for step in steps if step is not None]
    if not held:
        return [None] * len(captions)
    together = torch.stack(held, dim=1)  # (I, T, ...)
    return [together[row, : len(caption)] for row, caption in enumerate(captions)]


def _extend(
    logits: Tensor, decoded: Tensor, log_p: Tensor, rules: Rules, beam_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of each image: parent beam, word and log p, each (I, K)."""
    # The best of all continuations are among the best of each beam: no sort over K * V.
    allowed = _allowed(logits, decoded, rules)
    best, words = allowed.topk(min(beam_size, logits.shape[-1]), dim=-1)  # (I, K, k)
    candidates = log_p[..., None] + (best - logits.logsumexp(dim=-1, keepdim=True))
    candidates = candidates.masked_fill(best == NEVER, NEVER)
    log_p, place = candidates.flatten(1).topk(min(beam_size, candidates[0].numel()), dim=1)
    if log_p.shape[1] < beam_size:  # fewer words than beams: fill up with beams that cannot win
        missing = beam_size - log_p.shape[1]
        log_p = torch.cat([log_p, log_p.new_full((len(log_p), missing), NEVER)], dim=1)
        place = torch.cat([place, place.new_zeros(len(place), missing)], dim=1)
    return place // words.shape[-1], words.flatten(1).gather(1, place), log_p


def _allowed(logits: Tensor, decoded: Tensor, rules: Rules) -> Tensor:
    """Logits (I, K, V) with the words that the rules forbid at this place at -infinity."""
    length, size = decoded.shape[2], rules.no_repeat_ngram_size
    forbidden = [*rules.banned, *([rules.end] if length < rules.min_length else [])]
    repeats = 0 < size <= length
    if not forbidden and not repeats:
        return logits
    logits = logits.clone()
    logits[..., forbidden] = NEVER
    if repeats:
        ngrams = decoded.unfold(2, size, 1)  # (I, K, T - size + 1, size)
        recent = decoded[:, :, length - size + 1 :]  # (I, K, size - 1)
        again = (ngrams[..., :-1] == recent[:, :, None]).all(dim=-1)  # (I, K, T - size + 1)
        bar = torch.zeros_like(again, dtype=logits.dtype).masked_fill(again, NEVER)
        logits = logits + torch.zeros_like(logits).scatter_reduce(2, ngrams[..., -1], bar, "amin")
    return logits


def _truncated(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits (I, V) with the tail of the distribution at -infinity."""
    if top_k:
        lowest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, NEVER)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(dim=-1)
        before = probability.cumsum(dim=-1) - probability
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= top_p)
        logits = logits.masked_fill(cut, NEVER)
    return logits


def likeliest_answers(logits: Tensor, loss: str, top: int = 1) -> tuple[Tensor, Tensor]:
    """The `top` likeliest answers, the likeliest first: ids and probabilities, each (B, top).

    Ranked by logits (B, A), the first of equals first: probabilities near 0 or 1 round to the same
    number. Those of all answers sum to 1, except where the loss is "logistic": there each answer is
    predicted independently of the others.
    """
    logits = logits.float()
    if top == 1:  # the same answer as below, found faster
        ids = logits.argmax(dim=1, keepdim=True)
    else:
        ids = logits.argsort(dim=1, descending=True, stable=True)[:, :top]
    probabilities = logits.sigmoid() if loss == "logistic" else logits.softmax(dim=1)
    return ids, probabilities.gather(1, ids)


def rules_of(vocabulary: Vocabulary, decode: DecodeConfig) -> Rules:
    """The decoding settings of a recipe, in a vocabulary's ids."""
    assert vocabulary.start is not None
    assert vocabulary.end is not None
    banned = {vocabulary.pad, vocabulary.start} - {vocabulary.end}
    if decode.suppress_unk:
        banned.add(vocabulary.unknown)
    same = {"max_length", "min_length", "length_penalty", "no_repeat_ngram_size", "refill_beam"}
    settings = decode.model_dump(include=same) | {"keep_unfinished": decode.unfinished == "keep"}
    return Rules(vocabulary.start, vocabulary.end, banned=tuple(sorted(banned)), **settings)
