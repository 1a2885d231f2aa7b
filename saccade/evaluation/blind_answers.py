"""Answers without the image: the commonest training answers, and a classifier of questions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saccade.core.errors import BadData
from saccade.data.examples import Ragged
from saccade.data.folder import DataFolder
from saccade.data.records import Question, Split
from saccade.features.store import FeatureStore
from saccade.text.tokenizers import caption_words

Words = tuple[str, ...]


KINDS: Mapping[str, Callable[[Question], str | Words]] = {
    "most_frequent_answer": lambda question: "",
    "most_frequent_per_question_type": lambda question: question.question_type,
    "most_frequent_per_question": lambda question: caption_words(question.text),
}
"""By the name of a baseline: what makes questions one kind for `most_frequent`."""


def most_frequent(
    training: Sequence[Question],
    questions: Sequence[Question],
    kind: Callable[[Question], str | Words],
) -> dict[int, str]:
    """The commonest training answer to each kind of question; to all for an unknown kind.

    Raises BadData when no training question has an answer.
    """
    by_kind = defaultdict[str | Words, list[Question]](list)
    for question in training:
        by_kind[kind(question)].append(question)
    default = commonest(_shares(training))
    shares = {name: _shares(some) for name, some in by_kind.items()}
    best = {name: commonest(found) if found else default for name, found in shares.items()}
    return {question.id: best.get(kind(question), default) for question in questions}


def _shares(questions: Iterable[Question]) -> dict[str, float]:
    """The shares of people who gave each answer, added up over questions."""
    shares: dict[str, float] = defaultdict(float)
    for question in questions:
        for answer in question.answers:
            shares[answer] += 1 / len(question.answers)
    return shares


def commonest(shares: Mapping[str, float]) -> str:
    """The answer with the largest share. Raises BadData where there is none at all."""
    if not shares:
        message = "no training question has an answer, so there is nothing to learn a baseline from"
        raise BadData(message, hint="Prepare the data with its annotations.")
    return max(shares, key=lambda answer: shares[answer])


LEAST_STEPS = 200
"""Of the classifier: where few different questions are asked, its epochs are a step each."""


def question_only(
    training: Sequence[Question],
    questions: Sequence[Question],
    *,
    answers: int = 1000,
    seed: int = 0,
    device: str = "cpu",
) -> dict[int, str]:
    """Answer every question by a classifier that never sees an image.

    Words, pairs of neighbouring words and the question as a whole each have a vector of 128
    numbers; their mean goes through ReLU, dropout 0.3 and a softmax over the `answers` commonest
    training answers, fitted to the shares of people who gave them. As the image plays no part,
    equal questions are merged first, which changes nothing but the time: half a million questions
    take about a minute. Raises BadData when no training question has an answer.
    """
    shares = _shares(training)
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
    counts = Counter[str]()
    for words in merged:
        counts.update(dict.fromkeys(_features(words), asked[words]))
    numbers = {feature: n for n, feature in enumerate((t for t in counts if counts[t] > 1), 1)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _QuestionClassifier(len(numbers) + 1, [shares[one] for one in listed]).to(device)
        _fit(model, _encode(merged, numbers), list(merged.values()), np.random.default_rng(seed))
    wanted = list(dict.fromkeys(caption_words(question.text) for question in questions))
    model.eval()
    encoded, best, at_once = _encode(wanted, numbers), list[int](), 4096
    with torch.inference_mode():
        for start in range(0, len(wanted), at_once):
            rows = np.arange(start, min(start + at_once, len(wanted)))
            best += model(encoded, rows).argmax(dim=1).tolist()
    answer_to = {words: listed[id_] for words, id_ in zip(wanted, best, strict=True)}
    return {question.id: answer_to[caption_words(question.text)] for question in questions}


def _features(words: Words) -> list[str]:
    """The features of a question: its words, its pairs of words with both ends, and itself."""
    pairs = pairwise(("^", *words, "$"))
    return [*words, *(f"{first} {second}" for first, second in pairs), f"= {' '.join(words)}"]


def _encode(questions: Iterable[Words], numbers: Mapping[str, int]) -> Ragged:
    """Known features of every question; one that has none gets the lone feature 0."""
    features = ([numbers[t] for t in _features(words) if t in numbers] for words in questions)
    return Ragged.of([row or [0] for row in features], np.int64)


class _QuestionClassifier(nn.Module):
    """A bag-of-features classifier, initialised with the answers' frequencies."""

    def __init__(self, features: int, shares: Sequence[float], width: int = 128) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(features, width, mode="mean", sparse=True)
        self.dropout = nn.Dropout(0.3)
        self.answer = nn.Linear(width, len(shares))
        nn.init.normal_(self.bag.weight, std=0.1)
        nn.init.zeros_(self.answer.weight)
        self.answer.bias.data = torch.tensor(shares).log()

    def forward(self, questions: Ragged, rows: NDArray[np.int64]) -> Tensor:
        places, starts = questions.places(rows)
        features = torch.from_numpy(questions.values[places]).to(self.answer.bias.device)
        bags = self.bag(features, torch.from_numpy(starts).to(features.device))
        logits: Tensor = self.answer(self.dropout(bags.relu()))
        return logits


def _fit(
    model: _QuestionClassifier,
    questions: Ragged,
    targets: Sequence[Mapping[int, float]],
    random: np.random.Generator,
) -> None:
    """Minimise the cross-entropy to the human answers by Adam, learning rate 0.01 down to 0.

    Small data gets more epochs and smaller batches, so that there are enough steps.
    """
    right = Ragged.of([list(target) for target in targets], np.int64)
    weights = np.fromiter((w for target in targets for w in target.values()), np.float32)
    rate = 0.01
    optimisers: tuple[torch.optim.Optimizer, ...] = (
        torch.optim.SparseAdam(model.bag.parameters(), lr=rate),
        torch.optim.Adam(model.answer.parameters(), lr=rate),
    )
    batch_size = min(128 if len(targets) < 50_000 else 512, len(targets))
    epochs = min(max(200_000 // len(targets), 4), 40)
    epochs = max(epochs, -(-LEAST_STEPS * batch_size // len(targets)))
    order = np.concatenate([random.permutation(len(targets)) for _ in range(epochs)])
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        log_p = model(questions, rows).log_softmax(dim=1)
        places, starts = right.places(rows)
        row = np.repeat(np.arange(len(rows)), np.diff(starts, append=len(places)))
        weight = torch.from_numpy(weights[places]).to(log_p.device)
        loss = -(weight * log_p[row, right.values[places]]).sum() / weight.sum()
        for optimiser in optimisers:
            optimiser.zero_grad()
            optimiser.param_groups[0]["lr"] = rate * (1 - start / len(order))
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()


def derangement(number: int, seed: int = 0) -> np.ndarray:
    """A random order of 0, ..., number - 1 in which none keeps its place: (number,) int64.

    One random cycle: each takes the place of the next. Raises BadData for fewer than two.
    """
    if number < 2:
        message = f"{number} cannot be exchanged for each other"
        raise BadData(message, hint="Score a split with more images.")
    cycle = np.random.default_rng(seed).permutation(number)
    exchanged = np.empty(number, np.int64)
    exchanged[cycle] = np.roll(cycle, 1)
    return exchanged


class OtherImages(FeatureStore):
    """A feature store with the features of some images exchanged for each other."""

    def __init__(self, store: FeatureStore, ids: np.ndarray, seed: int = 0) -> None:
        """Exchange the images `ids` for each other; those without features stay without.

        Raises BadData where fewer than two of them have features.
        """
        vars(self).update(vars(store))  # the same open files
        self._row = np.arange(len(store))
        rows = store.rows(np.unique(ids))
        rows = rows[store.counts[rows] > 0]
        self._row[rows] = rows[derangement(len(rows), seed)]

    def rows(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """Rows of other images in the place of these."""
        rows: np.ndarray = self._row[super().rows(ids)]
        return rows


class OtherQuestions(DataFolder):
    """A data folder in which the questions of one split are asked about each other's images.

    Answers, types and images stay; only the words change places.
    """

    def __init__(self, folder: DataFolder, split: Split, seed: int = 0) -> None:
        super().__init__(folder.path, image_root=folder.image_root)
        self.split, self.seed = split, seed

    def question_table(self, split: Split) -> pa.Table:
        """The split's questions, each with the words of another."""
        table = super().question_table(split)
        if split != self.split:
            return table
        order = pa.array(derangement(len(table), self.seed))
        place = table.column_names.index("text")
        return table.set_column(place, "text", table.column("text").take(order))
