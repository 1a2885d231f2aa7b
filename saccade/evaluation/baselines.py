"""Baselines that do not look at the image, scored like the model itself, lowest first.

One answer (or caption) for everything, the question alone, similar images, and the model with the
wrong images: what the model gains over the last, it gains from the image. All of it is seeded and
costs a few passes over the split, and none over the training set but that for similar images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.core.errors import BadData
from saccade.core.progress import track
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.evaluation import blind_answers as blind
from saccade.evaluation import vqa
from saccade.evaluation.blind_captions import constant_caption, neighbour_captions
from saccade.evaluation.scoring import (
    ScoredExamples,
    ScoreOptions,
    Scores,
    human_words,
    score_answers,
    score_captions,
    statistics,
)
from saccade.evaluation.verdict import SHUFFLED, best_without_image
from saccade.experiment import Experiment
from saccade.features.settings import PIXELS
from saccade.features.store import FeatureStore
from saccade.metrics.bleu import Sentence
from saccade.metrics.catalogue import METRICS
from saccade.metrics.intervals import compare
from saccade.text.answers import ALWAYS, comparable_answer
from saccade.text.tokenizers import caption_words

SEED = 0
NEIGHBOURS = 60
"""Similar images whose captions are candidates; fewer of fewer than 1,200 training images."""
TRAINING_IMAGES = 20_000
"""Training images, at most, that similar ones are searched among."""
CAPTION_OPTIONS = ScoreOptions(TASK_INFO["caption"].main_metrics)
Human = Mapping[int, Sequence[Sentence]]
"""The words of human captions, by image id."""


class Baseline(NamedTuple):
    """One baseline, scored; or why it was not."""

    scored: ScoredExamples | None
    about: Scores
    """What else there is to know of it."""

    def shown(self, task: str) -> Scores:
        """The entry in `scores.json`."""
        scores = self.scored.scores if self.scored else {}
        return {n: scores[n] for n in TASK_INFO[task].main_metrics if n in scores} | self.about


WITHOUT_MODEL = Baseline(None, {"not_measured": "there are predictions alone, without their model"})


def answer_baselines(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    scored: ScoredExamples,
) -> dict[str, Baseline]:
    """The baselines of a split on which a VQA model was scored, by the same revision."""
    options = ScoreOptions(TASK_INFO["vqa"].main_metrics, revision=scored.scores["revision"])
    store, folder = experiment.store, experiment.folder

    def of_model(other: Callable[[], Experiment]) -> Baseline:
        return _baseline(lambda: (vqa.score_model(model, other(), split, device, options), {}))

    ids = np.array([question.image_id for question in folder.questions(split)])
    return {
        **blind_answers(folder, split, options),
        "shuffled_questions": of_model(
            lambda: replace(experiment, folder=blind.OtherQuestions(folder, split, SEED))
        ),
        SHUFFLED: of_model(lambda: replace(experiment, store=blind.OtherImages(store, ids, SEED))),
    }


def blind_answers(
    folder: DataFolder, split: Split, options: ScoreOptions, *, fitted: bool = True
) -> dict[str, Baseline]:
    """The baselines of answers that need no model: from the training questions alone.

    The one that is fitted takes seconds to a minute; without `fitted` it is left out.
    """
    questions, training = folder.questions(split), folder.questions("train")
    if options.revision == ALWAYS:  # what the scorer takes for one answer is counted as one
        training = [
            question._replace(answers=tuple(map(comparable_answer, question.answers)))
            for question in training
        ]

    def of_answers(by: Callable[..., dict[int, str]]) -> Baseline:
        return _baseline(lambda: (score_answers(by(training, questions), questions, options), {}))

    return {
        **{
            name: of_answers(partial(blind.most_frequent, kind=kind))
            for name, kind in blind.KINDS.items()
        },
        **({"question_only": of_answers(blind.question_only)} if fitted else {}),
    }


def baselines_of_answers(
    folder: DataFolder, split: Split, scored: ScoredExamples
) -> dict[str, Baseline]:
    """The baselines of a split for answers of which nobody has the model."""
    options = ScoreOptions(TASK_INFO["vqa"].main_metrics, revision=scored.scores["revision"])
    return blind_answers(folder, split, options) | {SHUFFLED: WITHOUT_MODEL}


def caption_baselines(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    scored: ScoredExamples,
) -> dict[str, Baseline]:
    """The baselines of a split on which a captioner was scored, from its captions in `scored`."""
    del model, device
    store, folder = experiment.store, experiment.folder
    training, references = (human_words(folder.captions_by_image(of)) for of in ("train", split))
    captions = {row["image_id"]: row["caption"].split() for row in scored.predictions}
    extracted = np.array([id_ for id_ in captions if store.counts[store.rows([id_])[0]] > 0])

    def neighbours() -> tuple[ScoredExamples, Scores]:
        if store.header.backbone.name == PIXELS:  # a mean colour does not tell what is shown
            message = "pixels are no features to find similar images by"
            raise BadData(message, hint="Extract features.")
        known = np.array(list(training))
        known = known[store.counts[store.rows(known)] > 0] if len(known) else known
        if len(known) > TRAINING_IMAGES:
            random = np.random.default_rng(SEED)
            known = random.choice(known, TRAINING_IMAGES, replace=False)
        number = min(NEIGHBOURS, max(1, len(known) // 20))
        nearest = neighbour_captions(
            _pooled(store, known),
            [training[int(id_)] for id_ in known],
            _pooled(store, extracted),
            neighbours=number,
        )
        found_of = dict(zip(extracted.tolist(), nearest, strict=True))
        predictions = {id_: found_of.get(id_, ()) for id_ in references}
        found = score_captions(predictions, references, CAPTION_OPTIONS)
        return found, {"neighbours": number, "training_images": len(known)}

    return {
        "constant_caption": _constant(training, references),
        "nearest_neighbour": _baseline(neighbours),
        SHUFFLED: _exchanged(captions, extracted, references),
    }


def baselines_of_captions(
    folder: DataFolder, split: Split, scored: ScoredExamples
) -> dict[str, Baseline]:
    """The baselines of a split for captions of which nobody has the model."""
    training, references = (human_words(folder.captions_by_image(of)) for of in ("train", split))
    captions = {row["image_id"]: caption_words(row["caption"]) for row in scored.predictions}
    return {
        "constant_caption": _constant(training, references),
        SHUFFLED: _exchanged(captions, np.array(list(captions)), references),
    }


def _constant(training: Human, references: Human) -> Baseline:
    """One caption for all images."""

    def score() -> tuple[ScoredExamples, Scores]:
        words = constant_caption(list(training.values()), seed=SEED)
        found = score_captions(dict.fromkeys(references, words), references, CAPTION_OPTIONS)
        return found, {"caption": " ".join(words)}

    return _baseline(score)


def _exchanged(captions: Mapping[int, Sentence], ids: np.ndarray, references: Human) -> Baseline:
    """The captions of the images `ids` exchanged for each other.

    A caption depends on its image alone: that of another image need not be decoded again.
    """

    def score() -> tuple[ScoredExamples, Scores]:
        other = ids[blind.derangement(len(ids), SEED)].tolist()
        moved = {id_: captions[o] for id_, o in zip(ids.tolist(), other, strict=True)}
        return score_captions({**captions, **moved}, references, CAPTION_OPTIONS), {}

    return _baseline(score)


def _baseline(score: Callable[[], tuple[ScoredExamples, Scores]]) -> Baseline:
    """A baseline that the data has nothing for is reported as not measured: no zero, no crash."""
    try:
        (made,) = [Baseline(*make()) for make in track([score], "a baseline")]
        return made
    except BadData as error:
        return Baseline(None, {"not_measured": error.message})


def visual_gain(task: str, scored: ScoredExamples, shuffled: Baseline) -> Scores:
    """What the model gains from the image: its main scores less those with shuffled images.

    In points, the scores as they are shown: per cent of accuracy, BLEU-4 and CIDEr times 100.
    """
    if shuffled.scored is None:
        return {"visual_gain": shuffled.about}
    others = dict.fromkeys(TASK_INFO[task].main_metrics, shuffled.scored)
    return _gain("visual_gain", scored, others)


def baseline_gain(task: str, scored: ScoredExamples, baselines: Mapping[str, Baseline]) -> Scores:
    """Main scores less those of the best baseline without an image by each metric, in points."""
    shown = {name: baseline.shown(task) for name, baseline in baselines.items()}
    others = {}
    for metric in TASK_INFO[task].main_metrics:
        best = best_without_image(shown, metric)
        other = baselines[best].scored if best else None
        if other is not None:
            others[metric] = other
    return _gain("baseline_gain", scored, others)


def _gain(entry: str, scored: ScoredExamples, others: Mapping[str, ScoredExamples]) -> Scores:
    """Differences by metric, in points, and their intervals; none of a single image."""
    if len(set(scored.rows["image_id"])) < 2:
        return {entry: {"not_measured": "one image says nothing about others"}}
    gains: dict[str, float] = {}
    bounds: dict[str, list[float]] = {}
    mine = statistics(scored.rows)
    for name, other in others.items():
        scale, theirs = METRICS[name].scale, statistics(other.rows)
        gap = compare(mine[name], theirs[name], seed=SEED)
        gains[name], bounds[name] = scale * gap.difference, [scale * gap.low, scale * gap.high]
    return {entry: gains, f"{entry}_interval": bounds}


def _pooled(store: FeatureStore, ids: np.ndarray, at_once: int = 64) -> np.ndarray:
    """Mean region of each image: (n, D) float32."""
    rows, pooled = store.rows(ids), np.empty((len(ids), store.header.dim), np.float32)
    order = np.argsort(rows)  # as they lie on disk
    for start in range(0, len(rows), at_once):
        places = order[start : start + at_once]
        regions, mask = store.read(rows[places])
        real = mask[..., None]
        total = np.where(real, regions, 0).sum(axis=1, dtype=np.float32)
        pooled[places] = total / mask.sum(axis=1, keepdims=True)
    return pooled
