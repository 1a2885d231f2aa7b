"""Predictions of a split, scored: the scores, the upload form, and a row for each prediction.

The same code scores a model and the baselines. Rows are all that intervals, calibration and the
comparison of two runs need; `scored-SPLIT.parquet` of a run folder keeps them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from saccade.core.errors import BadData, BadRun
from saccade.core.files import in_one_go
from saccade.core.tables import load_object
from saccade.data.folder import DataFolder
from saccade.data.records import Caption, Question, Split
from saccade.metrics.bleu import Sentence
from saccade.metrics.catalogue import (
    BESIDE,
    METRICS,
    NotMeasured,
    Result,
    measure,
    metrics_of,
)
from saccade.metrics.intervals import Statistic, by_image, intervals, mean
from saccade.metrics.ptb import coco_words
from saccade.metrics.vqa import accuracy_by, check_same_ids
from saccade.text.answers import OFFICIAL

Scores = dict[str, Any]
"""Numbers, texts, and lists and mappings of them, as JSON keeps them."""


class ScoreOptions(NamedTuple):
    """How predictions are scored."""

    metrics: Sequence[str] | None = None
    """The names of those to compute; None for all of the task."""
    beam_size: int | None = None
    """Beams of captions; None takes the recipe's."""
    revision: str = OFFICIAL
    """Of the VQA scorer."""
    wordnet: Path | None = None
    """WordNet's folder or zip file, for WUPS."""
    java: bool = False
    """Whether METEOR and SPICE may run their Java programs."""
    prior: bool = False
    """Whether a model's answer prior is scored alone, too, where it has one."""

    def compute(
        self,
        task: str,
        texts: Mapping[str, tuple[Sequence[Any], Sequence[Any]]],
        given: Mapping[str, Any],
    ) -> dict[str, Result | NotMeasured]:
        """The chosen metrics of predictions and references by kind of words, without those that
        nobody asked for and the data has nothing for. `given` has more of what metrics need.
        """
        found = measure(self.names(task), texts, {**self._asdict(), **given})
        if self.metrics is not None:
            return found
        return {
            name: result
            for name, result in found.items()
            if not (isinstance(result, NotMeasured) and result.not_of_this_data)
        }

    def names(self, task: str) -> Sequence[str]:
        """The names of the metrics to compute."""
        return metrics_of(task) if self.metrics is None else self.metrics

    def beside(self, task: str, folder: DataFolder) -> dict[str, Any]:
        """What the metrics need of that which a folder has beside its records; nothing else is
        read.
        """
        needs = {need for name in self.names(task) for need in METRICS[name].needs}
        return {need: getattr(folder, need)() for need in BESIDE & needs}


ALL = ScoreOptions()


class ScoredExamples(NamedTuple):
    """How good free-running predictions are."""

    scores: Scores
    predictions: list[dict[str, Any]]
    """In the official upload form."""
    rows: dict[str, list[Any]]
    """Columns with an item for each question, or for each image that was captioned.

    VQA: id, image_id, answer, confidence, answer_type, question_type. Captions: image_id, caption,
    confidence. A confidence is 0..1, NaN where there is none. And a column for each metric that
    has a value per example, named as the metric ("accuracy" in 0..1), or `NAME_sums`.
    """
    prior: "ScoredExamples | None" = None
    """The same of the model's answer prior alone, which sees no image, where that was asked for."""


def score_answers(
    predictions: Mapping[int, str],
    questions: Sequence[Question],
    options: ScoreOptions = ALL,
    confidence: Mapping[int, float] | None = None,
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> ScoredExamples:
    """Score one answer for each question, both by question id; `confidence` is 0..1, and `beside`
    has what `Metric.needs` names beyond the questions: "choices", "chosen" and the like.
    """
    check_same_ids(predictions, questions)
    ids, answers = [q.id for q in questions], [predictions[q.id] for q in questions]
    confident = [(confidence or {}).get(id_, np.nan) for id_ in ids]
    rows: dict[str, list[Any]] = {
        "id": ids,
        "image_id": [question.image_id for question in questions],
        "answer": answers,
        "confidence": confident,
        "answer_type": [question.answer_type for question in questions],
        "question_type": [question.question_type for question in questions],
    }
    none = dict[str, Mapping[int, Any]]((need, MappingProxyType({})) for need in BESIDE)
    given = {**none, "chosen": None, "confidence": confident, **beside}
    found = options.compute("vqa", {"data": (answers, questions)}, given)
    rows = _columns(found) | rows
    scores = _values(found)
    for kind in ("answer_type", "question_type") if "accuracy" in rows else ():
        if any(rows[kind]):  # many data sets have no types
            scores[f"per_{kind}"] = accuracy_by(rows[kind], rows["accuracy"])
    return ScoredExamples(
        {**scores, "revision": options.revision, "questions": len(questions)},
        [{"question_id": id_, "answer": text} for id_, text in zip(ids, answers, strict=True)],
        rows,
    )


def score_captions(
    predictions: Mapping[int, Sentence],
    references: Mapping[int, Sequence[Sentence]],
    options: ScoreOptions = ALL,
    confidence: Mapping[int, float] | None = None,
    training: Sequence[Sentence] = (),
    raw: Mapping[int, Sequence[str]] | None = None,
    written: Mapping[int, str] | None = None,
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> ScoredExamples:
    """Score one caption for each image of `references` against all its human captions.

    All captions are tuples of the data set's own words; `raw` has the human ones as written, and
    `written` the predictions, by default the words with blanks between. Where all metrics are asked
    for, `leaderboard` has the scores over the words of the official tokenizer. `beside` has what
    `Metric.needs` names beyond the captions, such as "objects".
    """
    captions, human = [predictions[id_] for id_ in references], list(references.values())
    confident = [(confidence or {}).get(id_, np.nan) for id_ in references]
    lines = [written[id_] for id_ in references] if written else [*map(" ".join, captions)]
    texts: dict[str, tuple[Sequence[Any], Sequence[Any]]] = {"data": (captions, human)}
    scores: Scores = {}
    if options.metrics is None:
        human_texts = raw or {id_: [*map(" ".join, some)] for id_, some in references.items()}
        texts["ptb"] = coco_words(lines), ptb_references([human_texts[id_] for id_ in references])
        # As the COCO server would score them: raw text, the official tokenizer.
        names = [name for name in metrics_of("caption") if not METRICS[name].needs]
        official = _values(measure(names, {"data": texts["ptb"]}, {}))
        scores["leaderboard"] = {"tokens": "PTB, punctuation dropped", **official}
    given = {"objects": {}, "confidence": confident, "training": training, **beside}
    given["image_ids"] = list(references)
    found = options.compute("caption", texts, given)
    return ScoredExamples(
        {**_values(found), "images": len(references), **scores},
        [{"image_id": id_, "caption": text} for id_, text in zip(references, lines, strict=True)],
        _columns(found) | {"image_id": list(references), "caption": lines, "confidence": confident},
    )


def human_words(people: Mapping[int, Sequence[Caption]]) -> dict[int, list[tuple[str, ...]]]:
    """The words of human captions, by image id."""
    return {id_: [caption.words for caption in some] for id_, some in people.items()}


def ptb_references(texts: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Each image's captions in the words of the official tokenizer, which reads all in one go."""
    words = iter(coco_words([text for several in texts for text in several]))
    return [[next(words) for _ in several] for several in texts]


def _values(found: Mapping[str, Result | NotMeasured]) -> Scores:
    return {
        name: {"not_measured": result.reason} if isinstance(result, NotMeasured) else result.value
        for name, result in found.items()
    }


def _columns(found: Mapping[str, Result | NotMeasured]) -> dict[str, list[Any]]:
    results = {name: result for name, result in found.items() if isinstance(result, Result)}
    per_example = {n: list(r.per_example) for n, r in results.items() if r.per_example is not None}
    sums = {f"{name}_sums": list(r.sums) for name, r in results.items() if r.sums is not None}
    return per_example | sums


def selected_score(scored: ScoredExamples, metric: str) -> float:
    """The score that chooses the best epoch. Raises BadData where it could not be measured."""
    score = scored.scores[metric]
    if isinstance(score, Mapping):
        hint = "Choose another score: --set train.select_by=NAME (see saccade list metrics)."
        raise BadData(f"{metric} cannot choose the best epoch ({score['not_measured']})", hint=hint)
    return float(score)


def measured(scored: ScoredExamples) -> Scores:
    """The scores without those that could not be measured."""
    is_missing = {
        name: isinstance(score, Mapping) and "not_measured" in score
        for name, score in scored.scores.items()
    }
    return {name: score for name, score in scored.scores.items() if not is_missing[name]}


def statistics(rows: Mapping[str, Sequence[Any]]) -> dict[str, Statistic]:
    """The scores that rows amount to, as sums over images (ids rising): for intervals and tests."""
    images = np.asarray(rows["image_id"], np.int64)
    found = {}
    for name, metric in METRICS.items():
        if metric.from_sums and f"{name}_sums" in rows:
            sums = by_image(images, np.asarray(rows[f"{name}_sums"], float))
            found[name] = Statistic(sums, load_object(metric.from_sums))
        elif metric.is_mean and name in rows:
            values = np.asarray(rows[name], float) * metric.example_scale
            each = np.column_stack([values, np.ones(len(images))])
            found[name] = Statistic(by_image(images, each), mean)
    return found


def score_intervals(rows: Mapping[str, Sequence[Any]]) -> Scores:
    """95 % intervals of all scores that rows amount to, by resampling images."""
    found = statistics(rows)
    if len(set(rows["image_id"])) < 2:
        return {"not_measured": "one image says nothing about others"}
    bounds = intervals(list(found.values()))
    return {name: list(ends) for name, ends in zip(found, bounds, strict=True)}


def score_interval(scored: ScoredExamples, name: str) -> list[float] | None:
    """The 95 % interval of one score; None where it is no function of sums over images, or of one
    image alone."""
    columns = {column: scored.rows.get(column) for column in (name, f"{name}_sums", "image_id")}
    given = {column: values for column, values in columns.items() if values is not None}
    found = statistics(given)
    if not found or len(set(given["image_id"])) < 2:
        return None
    return [*intervals([*found.values()])[0]]


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
    hint = f"Score the run: saccade evaluate {run} --split {split}"
    try:
        columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    except FileNotFoundError:
        raise BadRun(f"was not scored on the {split} split", location=run, hint=hint) from None
    except (pa.ArrowException, OSError) as error:
        message = f"is not whole ({str(error).splitlines()[0][:80]})"
        raise BadRun(message, location=path, hint=hint) from None
    return columns
