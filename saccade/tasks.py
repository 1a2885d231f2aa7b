"""The two tasks as records of functions: what is learnt, what the model says, how good that is.

Answering and captioning differ in these questions and in nothing else; training, evaluation and
the faces ask a `Task` and need not know which one it is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from saccade.answers import AnswerList, answer_list
from saccade.batch import Captioner, Sizes
from saccade.config import DecodeConfig, Recipe
from saccade.data.datasets import (
    CaptionExamples,
    VqaExamples,
    batches,
    in_reading_order,
)
from saccade.data.folder import DataFolder
from saccade.decode import Rules, beam_search
from saccade.errors import BadData
from saccade.features.store import FeatureStore
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.cider import corpus_cider
from saccade.metrics.rouge import corpus_rouge_l
from saccade.metrics.vqa import vqa_accuracy, vqa_accuracy_of
from saccade.records import Question, Split
from saccade.text import Vocabulary, caption_vocabulary, question_vocabulary


@dataclass(frozen=True)
class Words:
    """What turns a run's ids into text and back: alone it re-creates every sentence."""

    vocabulary: Vocabulary
    answers: AnswerList | None = None


@dataclass(frozen=True)
class Material:
    """A recipe with the data it is applied to."""

    recipe: Recipe
    folder: DataFolder
    store: FeatureStore
    words: Words

    @property
    def sizes(self) -> Sizes:
        """What the data dictates to the model."""
        header, answers = self.store.header, self.words.answers
        return Sizes(
            words=len(self.words.vocabulary),
            region_dim=header.dim,
            answers=len(answers) if answers else 0,
            grid=header.grid,
            regions=header.regions,
        )


class Judged(NamedTuple):
    """How good free-running predictions are, and the predictions in the official upload form."""

    scores: dict[str, Any]
    predictions: list[dict[str, Any]]


class Task(NamedTuple):
    """All that training and evaluation must know of a problem."""

    metric: str
    """The score that chooses the best epoch; higher is better."""
    words: Callable[[Recipe, DataFolder], Words]
    examples: Callable[[Material, Split], VqaExamples | CaptionExamples]
    """What is learnt from: a split, encoded."""
    judge: Callable[..., Judged]
    """(model, material, split, device, *, beams, revision): free-running, never teacher-forced."""


def _vqa_words(recipe: Recipe, folder: DataFolder) -> Words:
    assert recipe.answers is not None  # a recipe cannot be built without
    text, answers = recipe.text, recipe.answers
    return Words(
        question_vocabulary(
            folder.word_counts(text.tokenizer, "questions"),
            tokenizer=text.tokenizer,
            min_count=text.at_least,
            unknown_word=text.unknown_word,
        ),
        answer_list(
            folder.answer_counts(answers.count),
            size=answers.size,
            normaliser=answers.normaliser,
            min_count=answers.at_least,
            only_words=answers.only_words,
        ),
    )


def _caption_words(recipe: Recipe, folder: DataFolder) -> Words:
    text = recipe.text
    return Words(
        caption_vocabulary(
            folder.word_counts(text.tokenizer, "captions"),
            tokenizer=text.tokenizer,
            min_count=text.at_least,
        )
    )


def question_examples(
    material: Material, split: Split, *, only_answerable: bool = True
) -> VqaExamples:
    """The questions of a split; those whose answer is not in the list teach nothing."""
    assert material.words.answers is not None
    assert material.recipe.answers is not None
    return VqaExamples(
        material.folder,
        split,
        material.store,
        material.words.vocabulary,
        material.words.answers,
        longest=material.recipe.text.longest,
        target=material.recipe.answers.target if only_answerable else None,
    )


def caption_examples(material: Material, split: Split) -> CaptionExamples:
    """The captions of a split that are not longer than the recipe allows."""
    return CaptionExamples(
        material.folder,
        split,
        material.store,
        material.words.vocabulary,
        longest=material.recipe.text.longest,
    )


@torch.inference_mode()
def answer_logits(
    model: nn.Module, examples: VqaExamples, device: torch.device, batch_size: int = 256
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Ask every question of a split: pairs of example rows (n,) and logits (n, A)."""
    model.eval()
    order = in_reading_order(examples)
    for number, batch in enumerate(batches(examples, order, batch_size)):
        rows = order[number * batch_size : number * batch_size + len(batch)]
        yield rows, model(batch.to(device)).logits


def judge_answers(
    model: nn.Module,
    material: Material,
    split: Split,
    device: torch.device,
    *,
    revision: str = "2021-03",
    **_unused: Any,
) -> Judged:
    """Official VQA accuracy of the likeliest answers; one without features counts as wrong."""
    assert material.words.answers is not None
    questions = material.folder.questions(split)
    if not questions or not questions[0].answers:
        raise BadData(
            f"the {split} split has no answers to judge by",
            where=material.folder.path,
            cure="Choose a split with annotations: --split val.",
        )
    examples = question_examples(material, split, only_answerable=False)
    said = {question.id: "" for question in questions}
    for rows, logits in answer_logits(model, examples, device):
        for row, best in zip(rows, logits.argmax(dim=1).tolist(), strict=True):
            said[int(examples.ids[row])] = material.words.answers.answers[best]
    score = vqa_accuracy(said, questions, revision=revision)
    scores = {
        "accuracy": score.overall,
        "per_answer_type": dict(score.per_answer_type),
        "per_question_type": dict(score.per_question_type),
        "upper_bound": _upper_bound(questions, material.words.answers, revision),
        "revision": score.revision,
        "questions": len(questions),
        "without_features": examples.left_out["picture without features"],
    }
    return Judged(scores, [{"question_id": id_, "answer": said[id_]} for id_ in said])


def _upper_bound(questions: list[Question], answers: AnswerList, revision: str) -> float:
    """Accuracy of always giving the best of the listed answers, in per cent."""
    best = [
        max(
            (
                vqa_accuracy_of(answers.answers[id_], question.answers, revision)
                for id_ in answers.encode(question.answers)[0]
            ),
            default=0.0,
        )
        for question in questions
    ]
    return 100 * sum(best) / len(best)


def rules_of(vocabulary: Vocabulary, decode: DecodeConfig) -> Rules:
    """A recipe's way of saying captions, in a vocabulary's ids."""
    assert vocabulary.start is not None
    assert vocabulary.end is not None
    never = {vocabulary.pad, vocabulary.start} - {vocabulary.end}
    return Rules(
        start=vocabulary.start,
        end=vocabulary.end,
        longest=decode.longest,
        shortest=decode.shortest,
        banned=tuple(sorted(never | ({vocabulary.unknown} if decode.ban_unknown else set()))),
        length_power=decode.length_power,
        no_repeat=decode.no_repeat,
    )


def judge_captions(
    model: nn.Module,
    material: Material,
    split: Split,
    device: torch.device,
    *,
    beams: int | None = None,
    **_unused: Any,
) -> Judged:
    """Corpus BLEU of one free-running caption per picture against all its human captions."""
    decode = material.recipe.decode
    assert decode is not None  # a captioning recipe cannot be built without
    beams = beams or decode.beams
    vocabulary, store = material.words.vocabulary, material.store
    references: dict[int, list[tuple[str, ...]]] = {}
    for caption in material.folder.captions(split):
        references.setdefault(caption.image_id, []).append(caption.words)
    if not references:
        raise BadData(
            f"the {split} split has no captions to judge by",
            where=material.folder.path,
            cure="Choose another split with --split.",
        )
    ids = np.fromiter(references, np.int64, len(references))
    rows = store.rows(ids)
    seen = store.counts[rows] > 0
    said: dict[int, list[str]] = {int(id_): [] for id_ in ids}
    model.eval()
    for chunk in np.array_split(np.flatnonzero(seen), max(1, -(-int(seen.sum()) // 32))):
        regions, mask = store.read(rows[chunk])
        sayings = beam_search(
            cast(Captioner, model),
            torch.from_numpy(regions).to(device).float(),
            torch.from_numpy(mask).to(device),
            rules_of(vocabulary, decode),
            beams=beams,
        )
        for id_, saying in zip(ids[chunk], sayings, strict=True):
            said[int(id_)] = vocabulary.decode(saying.words)
    captions, human = list(said.values()), list(references.values())
    bleu = corpus_bleu(captions, human)
    scores = {f"bleu_{n}": value for n, value in enumerate(bleu.corpus, start=1)}
    scores["rouge_l"] = corpus_rouge_l(captions, human).corpus
    scores["cider"] = corpus_cider(captions, human).corpus
    about = {"beams": beams, "pictures": len(said), "without_features": int((~seen).sum())}
    return Judged(
        {**scores, **about},
        [{"image_id": id_, "caption": " ".join(words)} for id_, words in said.items()],
    )


TASKS: Mapping[str, Task] = {
    "vqa": Task("accuracy", _vqa_words, question_examples, judge_answers),
    "caption": Task("bleu_4", _caption_words, caption_examples, judge_captions),
}
