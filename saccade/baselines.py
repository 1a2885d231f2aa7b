"""What is reached without looking at the picture: every score has to be read beside these.

A model that does not clearly beat them has learnt how people ask and describe, not how to see.
All of it is seeded, takes records or arrays and gives back predictions; metrics judge them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saccade.errors import BadData
from saccade.metrics.bleu import BleuSums, bleu_of, closest_length
from saccade.metrics.ngrams import NGram, Sentence, ngram_counts
from saccade.metrics.rouge import rouge_l
from saccade.records import Question
from saccade.text import caption_words

Words = tuple[str, ...]


def most_frequent_answer(
    training: Sequence[Question], questions: Sequence[Question]
) -> dict[int, str]:
    """Give every question the answer that most people gave in training."""
    return _most_frequent(training, questions, lambda question: "")


def most_frequent_per_question_type(
    training: Sequence[Question], questions: Sequence[Question]
) -> dict[int, str]:
    """Give every question the commonest training answer to questions of its type."""
    return _most_frequent(training, questions, lambda question: question.question_type)


def most_frequent_per_question(
    training: Sequence[Question], questions: Sequence[Question]
) -> dict[int, str]:
    """Give every question the commonest training answer to the very same words.

    The whole prior where questions come from a few templates, as in PitVQA.
    """
    return _most_frequent(training, questions, lambda question: caption_words(question.text))


def _most_frequent(
    training: Sequence[Question],
    questions: Sequence[Question],
    kind: Callable[[Question], str | Words],
) -> dict[int, str]:
    """The commonest answer of each kind of question; of all questions for a kind never seen."""
    everything: dict[str, float] = defaultdict(float)
    by_kind: dict[str | Words, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for question in training:
        of_kind = by_kind[kind(question)]
        for answer in question.answers:
            everything[answer] += 1 / len(question.answers)
            of_kind[answer] += 1 / len(question.answers)
    default = _commonest(everything)
    best = {name: _commonest(shares) if shares else default for name, shares in by_kind.items()}
    return {question.id: best.get(kind(question), default) for question in questions}


def _commonest(shares: Mapping[str, float]) -> str:
    if not shares:
        raise BadData(
            "no training question has an answer, so there is nothing to learn a baseline from",
            cure="Prepare the data with its annotations.",
        )
    return max(shares, key=lambda answer: shares[answer])


class _Rows(NamedTuple):
    """Rows of numbers of different lengths, laid behind each other."""

    values: NDArray[np.int64]
    offsets: NDArray[np.int64]  # (n + 1,)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "_Rows":
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return cls(np.fromiter((v for row in rows for v in row), np.int64, offsets[-1]), offsets)

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places in `values` of some rows, one row behind the other, and where each begins."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        begins = np.cumsum(lengths) - lengths
        return np.repeat(self.offsets[rows] - begins, lengths) + np.arange(lengths.sum()), begins


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
    _commonest(shares)
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


def _encode(questions: Iterable[Words], numbers: Mapping[str, int]) -> _Rows:
    """Known traits of every question; one that has none gets the lone trait 0."""
    traits = ([numbers[t] for t in _traits(words) if t in numbers] for words in questions)
    return _Rows.of([row or [0] for row in traits])


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

    def forward(self, questions: _Rows, rows: NDArray[np.int64]) -> Tensor:
        places, begins = questions.take(rows)
        traits = torch.from_numpy(questions.values[places]).to(self.answer.bias.device)
        bags = self.bag(traits, torch.from_numpy(begins).to(traits.device))
        logits: Tensor = self.answer(self.dropout(bags.relu()))
        return logits


def _fit(
    model: _Blind,
    questions: _Rows,
    targets: Sequence[Mapping[int, float]],
    random: np.random.Generator,
) -> None:
    """Minimise the cross-entropy to the people's answers by Adam, learning rate 0.01 down to 0.

    Few questions are seen more often and in smaller batches, so that there are enough steps.
    """
    right = _Rows.of([list(target) for target in targets])
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
        places, begins = right.take(rows)
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
def _likeliest(model: _Blind, questions: _Rows, batch_size: int = 4096) -> list[int]:
    model.eval()
    rows = np.arange(len(questions.offsets) - 1)
    chunks = (rows[begin : begin + batch_size] for begin in range(0, len(rows), batch_size))
    return [id_ for chunk in chunks for id_ in model(questions, chunk).argmax(dim=1).tolist()]


def constant_caption(
    references: Sequence[Sequence[Sentence]], *, pictures: int = 2000, seed: int = 0
) -> Words:
    """Find the training caption that scores best when it is said about every training picture.

    Best by corpus BLEU-4, computed exactly over (a random choice of) `pictures` of them;
    `references` are the captions of each training picture. Raises BadData when there are none.
    """
    chosen = [sentences for sentences in references if sentences]
    if not chosen:
        raise BadData("there are no training captions", cure="Check the split's name.")
    if len(chosen) > pictures:
        random = np.random.default_rng(seed)
        chosen = [chosen[i] for i in random.choice(len(chosen), pictures, replace=False)]
    having: Counter[tuple[NGram, int]] = Counter()
    """Per n-gram and number k: pictures of which some caption has it at least k times."""
    for sentences in chosen:
        most: Counter[NGram] = Counter()
        for sentence in sentences:
            for counts in ngram_counts(sentence, 4):
                most |= counts
        having.update((gram, k) for gram, count in most.items() for k in range(1, count + 1))
    candidates = {tuple(sentence): None for sentences in chosen for sentence in sentences}
    closest = {
        length: sum(closest_length(length, sentences) for sentences in chosen)
        for length in set(map(len, candidates))
    }

    def score(words: Words) -> float:
        correct = (
            sum(having[gram, k] for gram, count in counts.items() for k in range(1, count + 1))
            for counts in ngram_counts(words, 4)
        )
        possible = tuple(len(chosen) * max(0, len(words) - order) for order in range(4))
        length = len(chosen) * len(words)
        return bleu_of(BleuSums(tuple(correct), possible, length, closest[len(words)]))[-1]

    return max(candidates, key=score)


def nearest_neighbour_captions(
    training_features: NDArray[np.floating],
    training_captions: Sequence[Sequence[Sentence]],
    features: NDArray[np.floating],
) -> list[Words]:
    """Caption every picture with a caption of the training picture that looks most like it.

    `training_features (N, D)` and `features (M, D)` are pooled features, compared by their cosine;
    `training_captions` has the captions of each of the N. Of its captions the one is taken that
    agrees best with the others (ROUGE-L). Raises BadData when sizes do not fit together.
    """
    if len(training_features) != len(training_captions) or not len(training_captions):
        raise BadData(
            f"{len(training_features)} training pictures have features and "
            f"{len(training_captions)} have captions",
            cure="Give features and captions of the same pictures, in the same order.",
        )
    described = np.flatnonzero([bool(sentences) for sentences in training_captions])
    known = _unit(training_features[described])
    nearest = [
        described[place]
        for begin in range(0, len(features), 1024)
        for place in (_unit(features[begin : begin + 1024]) @ known.T).argmax(axis=1)
    ]
    typical = {place: _most_typical(training_captions[place]) for place in set(nearest)}
    return [typical[place] for place in nearest]


def _unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = np.asarray(features, np.float32)
    unit: NDArray[np.float32] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-12
    )
    return unit


def _most_typical(sentences: Sequence[Sentence]) -> Words:
    def agreement(place: int) -> float:
        others = [*sentences[:place], *sentences[place + 1 :]]
        return sum(rouge_l(sentences[place], [other]) for other in others)

    return tuple(sentences[max(range(len(sentences)), key=agreement)])
