"""How right every answer or caption of a split was: scores, the upload form, and a row for each.

The same judgement for a model and for what is said without one. A row is all that intervals,
calibration and the comparison of two runs need; `scored-SPLIT.parquet` of a run folder keeps them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadRun
from saccade.core.files import in_one_go
from saccade.data.records import Question, Split
from saccade.metrics.bleu import Sentence, bleu_of_rows, corpus_bleu
from saccade.metrics.cider import corpus_cider
from saccade.metrics.intervals import Statistic, by_image, mean
from saccade.metrics.rouge import corpus_rouge_l
from saccade.metrics.vqa import vqa_accuracy, vqa_accuracy_of
from saccade.text.answers import AnswerList

MAIN = {"vqa": ("accuracy",), "caption": ("bleu_4", "cider")}
"""The scores of a task that its priors are compared by."""
POINTS = {"accuracy": 1.0, "bleu_4": 100.0, "cider": 100.0}
"""What makes a score points of hundred."""
_LONGEST = 4


class ScoredExamples(NamedTuple):
    """How good free-running predictions are."""

    scores: dict[str, Any]
    predictions: list[dict[str, Any]]
    """In the official upload form."""
    rows: dict[str, list[Any]]
    """Columns with an item for each question, or for each image that was captioned:

    VQA: id, image_id, answer, score (official accuracy, 0..1), confidence, answer_type,
    question_type. Captions: image_id, caption, bleu (sums as in `metrics.bleu`), bleu_4, cider,
    rouge_l, confidence. A confidence is NaN where nobody stated one.
    """


def score_answers(
    said: Mapping[int, str],
    questions: Sequence[Question],
    revision: str,
    confidence: Mapping[int, float] | None = None,
) -> ScoredExamples:
    """Judge one answer for each question by official VQA accuracy; `sure` has confidences 0..1."""
    score = vqa_accuracy(said, questions, revision=revision)
    confidence = confidence or {}
    return ScoredExamples(
        {
            "accuracy": score.overall,
            "per_answer_type": dict(score.per_answer_type),
            "per_question_type": dict(score.per_question_type),
            "revision": score.revision,
            "questions": len(questions),
        },
        [{"question_id": question.id, "answer": said[question.id]} for question in questions],
        {
            "id": [question.id for question in questions],
            "image_id": [question.image_id for question in questions],
            "answer": [said[question.id] for question in questions],
            "score": [score.per_question[question.id] for question in questions],
            "confidence": [confidence.get(question.id, np.nan) for question in questions],
            "answer_type": [question.answer_type for question in questions],
            "question_type": [question.question_type for question in questions],
        },
    )


def upper_bound(questions: Sequence[Question], answers: AnswerList, revision: str) -> float:
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


def score_captions(
    said: Mapping[int, Sentence],
    references: Mapping[int, Sequence[Sentence]],
    confidence: Mapping[int, float] | None = None,
) -> ScoredExamples:
    """Judge one caption for each image of `references` against all its human captions."""
    captions, human = [said[id_] for id_ in references], list(references.values())
    bleu, rouge = corpus_bleu(captions, human, _LONGEST), corpus_rouge_l(captions, human)
    cider, confidence = corpus_cider(captions, human), confidence or {}
    texts = [" ".join(words) for words in captions]
    return ScoredExamples(
        {
            **{f"bleu_{n}": value for n, value in enumerate(bleu.corpus, start=1)},
            "rouge_l": rouge.corpus,
            "cider": cider.corpus,
            "images": len(references),
        },
        [{"image_id": id_, "caption": text} for id_, text in zip(references, texts, strict=True)],
        {
            "image_id": list(references),
            "caption": texts,
            "bleu": bleu.sums.tolist(),
            "bleu_4": [of[-1] for of in bleu.per_image],
            "cider": cider.per_image,
            "rouge_l": rouge.per_image,
            "confidence": [confidence.get(id_, np.nan) for id_ in references],
        },
    )


def statistics(rows: Mapping[str, Sequence[Any]]) -> dict[str, Statistic]:
    """The scores that rows amount to, as sums over images (ids rising): for intervals and tests.

    VQA: accuracy in per cent. Captions: bleu_1 to bleu_4, rouge_l, cider.
    """
    images = np.asarray(rows["image_id"], np.int64)

    def of_means(values: Sequence[float], scale: float = 1.0) -> Statistic:
        each = np.column_stack([np.asarray(values, float) * scale, np.ones(len(images))])
        return Statistic(by_image(images, each), mean)

    if "score" in rows:
        return {"accuracy": of_means(rows["score"], 100.0)}
    sums = by_image(images, np.asarray(rows["bleu"], float))
    bleu = {
        f"bleu_{n}": Statistic(sums, lambda of, n=n: bleu_of_rows(of)[..., n - 1])  # type: ignore[misc]
        for n in range(1, _LONGEST + 1)
    }
    return {**bleu, **{name: of_means(rows[name]) for name in ("rouge_l", "cider")}}


def rows_path(run: Path, split: Split) -> Path:
    """Where a run folder keeps the rows of a split."""
    return run / f"scored-{split}.parquet"


def write_rows(run: Path, split: Split, rows: Mapping[str, Sequence[Any]]) -> None:
    """Keep the rows of a split in a run folder; a reader sees the old file or the new one."""
    with in_one_go(rows_path(run, split)) as part:
        pq.write_table(pa.table(dict(rows)), part, compression="zstd")


def read_rows(run: Path, split: Split) -> dict[str, list[Any]]:
    """The rows that `evaluate` wrote. Raises BadRun where it has not, or they are not whole."""
    path = rows_path(run, split)
    hint = f"Judge the run: saccade evaluate {run} --split {split}"
    try:
        columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    except FileNotFoundError:
        raise BadRun(f"was not judged on the {split} split", location=run, hint=hint) from None
    except (pa.ArrowException, OSError) as error:
        message = f"is not whole ({str(error).splitlines()[0][:80]})"
        raise BadRun(message, location=path, hint=hint) from None
    return columns
