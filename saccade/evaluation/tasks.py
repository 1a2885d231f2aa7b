"""The two tasks as records of functions: what is learnt, what the model says, how good that is.

Answering and captioning differ in these questions and in nothing else; training, evaluation and
the faces ask a `Task` and need not know which one it is.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from saccade.data.batch import Captioner, VqaBatch, VqaOutput
from saccade.data.examples import (
    CaptionExamples,
    ImageExamples,
    VqaExamples,
    answered_questions,
    batches,
    captioned_images,
    in_reading_order,
)
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.evaluation.scoring import ScoredExamples, upper_bound
from saccade.evaluation.scoring import score_answers as judge_said_answers
from saccade.evaluation.scoring import score_captions as judge_said_captions
from saccade.evaluation.teacher_forcing import AnswerLoss, read_captions
from saccade.experiment import (
    Experiment,
    caption_examples,
    captions_to_read,
    question_examples,
)
from saccade.inference.decoding import answer_probabilities, beam_search, rules_of


class Task(NamedTuple):
    """All that training and evaluation must know of a problem."""

    metric: str
    """The score that chooses the best epoch; higher is better."""
    examples: Callable[[Experiment, Split], VqaExamples | CaptionExamples | ImageExamples]
    """What is learnt from: a split, encoded."""
    ground_truth: Callable[[DataFolder, Split], Any]
    """What people said of a split, which it is judged by. Raises BadData where that is nothing."""
    score_split: Callable[..., ScoredExamples]
    """(model, material, split, device, *, beams, revision): free-running, never teacher-forced."""


@torch.inference_mode()
def answer_logits(
    model: nn.Module, examples: VqaExamples, device: torch.device, batch_size: int = 256
) -> Iterator[tuple[np.ndarray, VqaBatch, Tensor]]:
    """Ask every question of a split: example rows (n,), their batch, and float32 logits (n, A)."""
    model.eval()
    order = in_reading_order(examples)
    for number, batch in enumerate(batches(examples, order, batch_size)):
        rows = order[number * batch_size : number * batch_size + len(batch)]
        asked = cast(VqaBatch, batch.to(device))
        yield rows, asked, model(asked).logits.float()


def score_answers(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    *,
    revision: str = "2021-03",
    **_unused: Any,
) -> ScoredExamples:
    """Official VQA accuracy of the likeliest answers; one without features counts as wrong.

    A model's confidence in its answer is the answer's probability (`losses.answer_probabilities`).
    """
    assert experiment.words.answers is not None
    assert experiment.recipe.answers is not None
    questions = answered_questions(experiment.folder, split)
    examples = question_examples(experiment, split, only_answerable=False)
    said = {question.id: "" for question in questions}
    confidence = dict.fromkeys(said, 0.0)
    loss = AnswerLoss(experiment.recipe.answers.loss)
    for rows, batch, logits in answer_logits(model, examples, device):
        loss.add(VqaOutput(logits), batch)
        best = logits.argmax(dim=1, keepdim=True)
        surest = answer_probabilities(logits, experiment.recipe.answers.loss).gather(1, best)
        for row, place, share in zip(rows, best.tolist(), surest.tolist(), strict=True):
            said[int(examples.ids[row])] = experiment.words.answers.answers[place[0]]
            confidence[int(examples.ids[row])] = share[0]
    scored = judge_said_answers(said, questions, revision, confidence)
    about = {
        "upper_bound": upper_bound(questions, experiment.words.answers, revision),
        "without_features": examples.left_out["image without features"],
        "confidence": "sigmoid of the best answer's logit"
        if experiment.recipe.answers.loss == "logistic"
        else "softmax of the best answer",
        "answer_loss": loss.mean(),
    }
    return scored._replace(scores=scored.scores | about)


def score_captions(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    *,
    beam_size: int | None = None,
    **_unused: Any,
) -> ScoredExamples:
    """Corpus BLEU of one free-running caption per image against all its human captions.

    A model's confidence in its caption is the geometric mean of the probabilities of its words.
    Beside that, and so called, stands how well it reads human captions, teacher-forced.
    """
    decode = experiment.recipe.decode
    assert decode is not None  # a captioning recipe cannot be built without
    beam_size = beam_size or decode.beam_size
    vocabulary, store = experiment.words.vocabulary, experiment.store
    people = captioned_images(experiment.folder, split)
    references = {id_: [caption.words for caption in some] for id_, some in people.items()}
    ids = np.fromiter(references, np.int64, len(references))
    rows = store.rows(ids)
    seen = store.counts[rows] > 0
    said: dict[int, list[str]] = {int(id_): [] for id_ in ids}
    confidence = dict.fromkeys(said, 0.0)
    model.eval()
    for chunk in np.array_split(np.flatnonzero(seen), max(1, -(-int(seen.sum()) // 32))):
        regions, mask = store.read(rows[chunk])
        hypotheses = beam_search(
            cast(Captioner, model),
            torch.from_numpy(regions).to(device).float(),
            torch.from_numpy(mask).to(device),
            rules_of(vocabulary, decode),
            beam_size=beam_size,
        )
        for id_, hypothesis in zip(ids[chunk], hypotheses, strict=True):
            said[int(id_)] = vocabulary.decode(hypothesis.words)
            words = len(hypothesis.words) + hypothesis.ended
            confidence[int(id_)] = math.exp(hypothesis.log_probability / max(words, 1))
    scored = judge_said_captions(said, references, confidence)
    read = captions_to_read(experiment, split)
    about = {
        "beam_size": beam_size,
        "without_features": int((~seen).sum()),
        "teacher_forced": read_captions(model, read, device, experiment.recipe.train.batch_size),
    }
    return scored._replace(scores=scored.scores | about)


TASKS: Mapping[str, Task] = {
    "vqa": Task("accuracy", question_examples, answered_questions, score_answers),
    "caption": Task("bleu_4", caption_examples, captioned_images, score_captions),
}
