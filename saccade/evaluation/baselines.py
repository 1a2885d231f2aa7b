"""The prior ladder: what is reached without looking at the image, judged like the model itself.

From the bottom: one answer (or caption) for everything, the question alone, similar images, and
the model with the wrong images. What it gains over that last rung, it gains by looking. All of it
is seeded and costs a few passes over the split, none over the training set but the neighbours' one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.evaluation.blind_answers import (
    OtherQuestions,
    derangement,
    most_frequent_answer,
    most_frequent_per_question,
    most_frequent_per_question_type,
    question_only,
    with_other_images,
)
from saccade.evaluation.blind_captions import constant_caption, neighbour_captions
from saccade.evaluation.scoring import (
    MAIN,
    POINTS,
    ScoredExamples,
    score_answers,
    score_captions,
    statistics,
)
from saccade.evaluation.tasks import TASKS
from saccade.experiment import Experiment
from saccade.features.settings import PIXELS
from saccade.features.store import FeatureStore
from saccade.metrics.intervals import compare

SEED = 0
SHUFFLED = "shuffled_images"
LITTLE = 2.0
"""Points: less than this is as good as not having looked."""
NEIGHBOURS = 60
"""Their captions are searched for the most agreed; fewer of fewer than 1,200 training images."""
TRAINING_IMAGES = 20_000
"""So many training images, at most, are looked through for neighbours."""


class Baseline(NamedTuple):
    """One prior, judged; or why it was not."""

    scored: ScoredExamples | None
    about: dict[str, Any]
    """What else there is to know of it."""

    def shown(self, task: str) -> dict[str, Any]:
        """What stands in `scores.json`."""
        scores = self.scored.scores if self.scored else {}
        return {name: scores[name] for name in MAIN[task] if name in scores} | self.about


def run_baselines(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    scored: ScoredExamples,
    *,
    revision: str = "2021-03",
) -> dict[str, Baseline]:
    """Climb all rungs for a split on which the model was judged as `judged` says, lowest first."""
    if experiment.recipe.task == "caption":
        return _of_captions(experiment, split, scored)
    folder, questions = experiment.folder, experiment.folder.questions(split)
    training = folder.questions("train")

    def of_answers(answer: Callable[..., dict[int, str]]) -> Baseline:
        return _baseline(lambda: score_answers(answer(training, questions), questions, revision))

    def of_model(other: Callable[[], Experiment]) -> Baseline:
        score_split = TASKS["vqa"].score_split
        return _baseline(lambda: score_split(model, other(), split, device, revision=revision))

    ids = np.array([question.image_id for question in questions])
    return {
        "most_frequent_answer": of_answers(most_frequent_answer),
        "most_frequent_per_question_type": of_answers(most_frequent_per_question_type),
        "most_frequent_per_question": of_answers(most_frequent_per_question),
        "question_only": of_answers(question_only),
        "shuffled_questions": of_model(
            lambda: replace(experiment, folder=OtherQuestions(folder, split, SEED))
        ),
        SHUFFLED: of_model(
            lambda: replace(experiment, store=with_other_images(experiment.store, ids, SEED))
        ),
    }


def _of_captions(
    experiment: Experiment, split: Split, scored: ScoredExamples
) -> dict[str, Baseline]:
    store, folder = experiment.store, experiment.folder
    training, references = _by_image(folder, "train"), _by_image(folder, split)
    said = {row["image_id"]: row["caption"].split() for row in scored.predictions}
    seen = np.array([id_ for id_ in said if store.counts[store.rows([id_])[0]] > 0])

    def constant() -> tuple[ScoredExamples, dict[str, Any]]:
        words = constant_caption(list(training.values()), seed=SEED)
        found = score_captions(dict.fromkeys(references, words), references)
        return found, {"caption": " ".join(words)}

    def neighbours() -> tuple[ScoredExamples, dict[str, Any]]:
        known = _some(np.array(list(training)), store)
        number = min(NEIGHBOURS, max(1, len(known) // 20))
        captions = neighbour_captions(
            _pooled(store, known),
            [training[int(id_)] for id_ in known],
            _pooled(store, seen),
            neighbours=number,
        )
        of_seen = dict(zip(seen.tolist(), captions, strict=True))
        found = score_captions({id_: of_seen.get(id_, ()) for id_ in references}, references)
        return found, {"neighbours": number, "training_images": len(known)}

    def exchanged() -> ScoredExamples:
        # A caption depends on its image alone: what is said of another one need not be said anew.
        other = seen[derangement(len(seen), SEED)]
        moved = {id_: said[o] for id_, o in zip(seen.tolist(), other.tolist(), strict=True)}
        return score_captions(said | moved, references)

    return {
        "constant_caption": _baseline(constant),
        "nearest_neighbour": _baseline(neighbours),
        SHUFFLED: _baseline(exchanged),
    }


def _baseline(
    judge: Callable[[], ScoredExamples | tuple[ScoredExamples, dict[str, Any]]],
) -> Baseline:
    """A prior that the data has nothing for is said to be missing; it is no zero and no crash."""
    try:
        found = judge()
    except BadData as error:
        return Baseline(None, {"not_measured": error.message})
    return Baseline(found, {}) if isinstance(found, ScoredExamples) else Baseline(*found)


def visual_gain(task: str, scored: ScoredExamples, shuffled: Baseline) -> dict[str, Any]:
    """What the model gains by looking: its scores less those with shuffled images, in points.

    Points are per cent of accuracy, or BLEU-4 and CIDEr times 100. A gain under two points is also
    said in words, in `visual_gain_note`.
    """
    if shuffled.scored is None:
        return {"visual_gain": shuffled.about}
    with_it, without = statistics(scored.rows), statistics(shuffled.scored.rows)
    found = {name: compare(with_it[name], without[name], seed=SEED) for name in MAIN[task]}
    gains = {name: POINTS[name] * gap.difference for name, gap in found.items()}
    notes = [
        f"With the images exchanged for each other the {name} is "
        f"{POINTS[name] * shuffled.scored.scores[name]:.1f} instead of "
        f"{POINTS[name] * scored.scores[name]:.1f}: looking at the right one gains "
        f"{gain:.1f} points, so the model hardly uses the image."
        for name, gain in gains.items()
        if gain < LITTLE
    ]
    return {
        "visual_gain": gains,
        "visual_gain_interval": {
            name: [POINTS[name] * gap.low, POINTS[name] * gap.high] for name, gap in found.items()
        },
        **({"visual_gain_note": " ".join(notes)} if notes else {}),
    }


def _by_image(folder: DataFolder, split: Split) -> dict[int, list[tuple[str, ...]]]:
    people = folder.captions_by_image(split)
    return {id_: [caption.words for caption in some] for id_, some in people.items()}


def _some(ids: np.ndarray, store: FeatureStore) -> np.ndarray:
    """Images with features, at most `TRAINING_IMAGES` of them drawn by lot.

    Raises BadData for pixels: a mean colour says nothing of what an image shows.
    """
    if store.header.backbone.name == PIXELS:
        raise BadData("pixels are no features to find similar images by", hint="Extract some.")
    ids = ids[store.counts[store.rows(ids)] > 0] if len(ids) else ids
    if len(ids) > TRAINING_IMAGES:
        ids = np.random.default_rng(SEED).choice(ids, TRAINING_IMAGES, replace=False)
    return ids


def _pooled(store: FeatureStore, ids: np.ndarray, at_once: int = 64) -> np.ndarray:
    """Mean region of each image: (n, D) float32."""
    rows, pooled = store.rows(ids), np.empty((len(ids), store.header.dim), np.float32)
    order = np.argsort(rows)  # the disk's own
    for begin in range(0, len(rows), at_once):
        places = order[begin : begin + at_once]
        regions, mask = store.read(rows[places])
        real = mask[..., None]
        total = np.where(real, regions, 0).sum(axis=1, dtype=np.float32)
        pooled[places] = total / mask.sum(axis=1, keepdims=True)
    return pooled
