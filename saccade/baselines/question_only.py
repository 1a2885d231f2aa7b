"""Answers from the question alone: a classifier that is never shown a picture.

What it reaches is what the data's habits give away; a model has to beat it to have seen anything.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saccade.baselines.frequent import Words, commonest
from saccade.data.examples import Ragged
from saccade.data.records import Question
from saccade.text.vocabulary import caption_words


def question_only(
    training: Sequence[Question],
    questions: Sequence[Question],
    *,
    answers: int = 1000,
    seed: int = 0,
    device: str = "cpu",
) -> dict[int, str]:
    """Answer every question by a classifier that never sees a picture.

    Words, pairs of neighbouring words and the question as a whole each have a vector of 128
    numbers; their mean goes through ReLU, dropout 0.3 and a softmax over the `answers` commonest
    training answers, fitted to the shares of people who gave them. As the picture plays no part,
    equal questions are merged first, which changes nothing but the time: half a million questions
    take about a minute. Raises BadData when no training question has an answer.
    """
    shares: dict[str, float] = defaultdict(float)
    for question in training:
        for answer in question.answers:
            shares[answer] += 1 / len(question.answers)
    commonest(shares)  # raises where there is none
    listed = sorted(shares, key=lambda answer: -shares[answer])[:answers]
    ids = {answer: id_ for id_, answer in enumerate(listed)}
    merged: dict[Words, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    asked: Counter[Words] = Counter()
    for question in training:
        words = caption_words(question.text)
        for answer in question.answers:
            if answer in ids:
                merged[words][ids[answer]] += 1 / len(question.answers)
        asked[words] += 1
    seen = Counter[str]()
    for words in merged:
        seen.update(dict.fromkeys(_traits(words), asked[words]))
    numbers = {trait: n for n, trait in enumerate((t for t in seen if seen[t] > 1), start=1)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Blind(len(numbers) + 1, [shares[answer] for answer in listed]).to(device)
        _fit(model, _encode(merged, numbers), list(merged.values()), np.random.default_rng(seed))
    wanted = list(dict.fromkeys(caption_words(question.text) for question in questions))
    best = _likeliest(model, _encode(wanted, numbers))
    said = {words: listed[id_] for words, id_ in zip(wanted, best, strict=True)}
    return {question.id: said[caption_words(question.text)] for question in questions}


def _traits(words: Words) -> list[str]:
    """What a question is known by: its words, its pairs of words with both ends, and itself."""
    pairs = pairwise(("^", *words, "$"))
    return [*words, *(f"{first} {second}" for first, second in pairs), f"= {' '.join(words)}"]


def _encode(questions: Iterable[Words], numbers: Mapping[str, int]) -> Ragged:
    """Known traits of every question; one that has none gets the lone trait 0."""
    traits = ([numbers[t] for t in _traits(words) if t in numbers] for words in questions)
    return Ragged.of([row or [0] for row in traits], np.int64)


class _Blind(nn.Module):
    """A classifier that begins with the answers' frequencies and knows nothing of questions."""

    def __init__(self, traits: int, shares: Sequence[float], width: int = 128) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(traits, width, mode="mean", sparse=True)
        self.dropout = nn.Dropout(0.3)
        self.answer = nn.Linear(width, len(shares))
        nn.init.normal_(self.bag.weight, std=0.1)
        nn.init.zeros_(self.answer.weight)
        self.answer.bias.data = torch.tensor(shares).log()

    def forward(self, questions: Ragged, rows: NDArray[np.int64]) -> Tensor:
        places, begins = questions.places(rows)
        traits = torch.from_numpy(questions.values[places]).to(self.answer.bias.device)
        bags = self.bag(traits, torch.from_numpy(begins).to(traits.device))
        logits: Tensor = self.answer(self.dropout(bags.relu()))
        return logits


def _fit(
    model: _Blind,
    questions: Ragged,
    targets: Sequence[Mapping[int, float]],
    random: np.random.Generator,
) -> None:
    """Minimise the cross-entropy to the people's answers by Adam, learning rate 0.01 down to 0.

    Few questions are seen more often and in smaller batches, so that there are enough steps.
    """
    right = Ragged.of([list(target) for target in targets], np.int64)
    weights = np.fromiter((w for target in targets for w in target.values()), np.float32)
    rate = 0.01
    optimisers: tuple[torch.optim.Optimizer, ...] = (
        torch.optim.SparseAdam(model.bag.parameters(), lr=rate),
        torch.optim.Adam(model.answer.parameters(), lr=rate),
    )
    epochs = min(max(200_000 // len(targets), 4), 40)
    batch_size = 128 if len(targets) < 50_000 else 512
    order = np.concatenate([random.permutation(len(targets)) for _ in range(epochs)])
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        log_p = model(questions, rows).log_softmax(dim=1)
        places, begins = right.places(rows)
        row = np.repeat(np.arange(len(rows)), np.diff(begins, append=len(places)))
        weight = torch.from_numpy(weights[places]).to(log_p.device)
        loss = -(weight * log_p[row, right.values[places]]).sum() / weight.sum()
        for optimiser in optimisers:
            optimiser.zero_grad()
            optimiser.param_groups[0]["lr"] = rate * (1 - begin / len(order))
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()


@torch.inference_mode()
def _likeliest(model: _Blind, questions: Ragged, batch_size: int = 4096) -> list[int]:
    model.eval()
    rows = np.arange(len(questions.offsets) - 1)
    chunks = (rows[begin : begin + batch_size] for begin in range(0, len(rows), batch_size))
    return [id_ for chunk in chunks for id_ in model(questions, chunk).argmax(dim=1).tolist()]
