"""The two tasks as records of functions, which training and evaluation call without branching."""

from collections.abc import Callable, Mapping, Sized
from typing import NamedTuple

import torch
from torch import nn

from saccade.data.examples import (
    CaptionExamples,
    ImageExamples,
    VqaExamples,
    answered_questions,
    captioned_images,
)
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.evaluation import captioning, vqa
from saccade.evaluation.baselines import (
    Baseline,
    answer_baselines,
    baselines_of_answers,
    baselines_of_captions,
    caption_baselines,
)
from saccade.evaluation.scoring import ScoredExamples, ScoreOptions, Scores
from saccade.experiment import Experiment, caption_examples, question_examples

ScoreModel = Callable[[nn.Module, Experiment, Split, torch.device, ScoreOptions], ScoredExamples]
"""Free-running predictions of a model for a split, scored; never teacher-forced."""
RunBaselines = Callable[
    [nn.Module, Experiment, Split, torch.device, ScoredExamples], dict[str, Baseline]
]
"""The baselines of a split on which a model was scored so; lowest first."""

ScoreTexts = Callable[[Mapping[int, str], DataFolder, Split, ScoreOptions], ScoredExamples]
"""Predictions of a split that came without their model, by id, scored."""


class Task(NamedTuple):
    """All that training and evaluation must know of a problem."""

    examples: Callable[[Experiment, Split], VqaExamples | CaptionExamples | ImageExamples]
    """The examples of a split, encoded for training."""
    ground_truth: Callable[[DataFolder, Split], Sized]
    """The human answers or captions of a split. Raises BadData where there are none."""
    check_validation: Callable[[DataFolder, str | None, str], str]
    """How the validation split will be judged, where that is to be known. Raises BadData where it
    has no ground truth, or the metric (if one is given) cannot be measured on it."""
    score_model: ScoreModel
    run_baselines: RunBaselines
    score_texts: ScoreTexts
    text_baselines: Callable[[DataFolder, Split, ScoredExamples], dict[str, Baseline]]
    """The baselines of such a split."""
    details: Callable[[ScoredExamples, DataFolder, Split], Scores]
    """What `evaluate` writes beside scores, baselines and labels; and the `scorer`, whose rules
    the scores follow."""


TASKS: Mapping[str, Task] = {
    "vqa": Task(
        question_examples,
        answered_questions,
        vqa.check_validation,
        vqa.score_model,
        answer_baselines,
        vqa.score_texts,
        baselines_of_answers,
        vqa.details,
    ),
    "caption": Task(
        caption_examples,
        captioned_images,
        captioning.check_validation,
        captioning.score_model,
        caption_baselines,
        captioning.score_texts,
        baselines_of_captions,
        captioning.details,
    ),
}
