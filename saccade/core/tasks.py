"""The two tasks as records without torch: what settings, commands and pages must know of each.

What training and evaluation do for a task is in `evaluation.tasks`.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

TaskName = Literal["vqa", "caption"]
RecordKind = Literal["questions", "captions"]


class TaskInfo(NamedTuple):
    """The facts of a task."""

    title: str
    """"VQA" or "captioning", before the word "recipe"."""
    records: RecordKind
    """What a data folder has for it: "questions" or "captions"."""
    section: str
    """The section that a recipe of the task cannot do without."""
    predictions: str
    """What a model gives: "answers" or "captions"."""
    asks_question: bool
    """A model needs a question beside the image, and its answer is right or wrong; else it writes
    a sentence, word by word."""
    default_metric: str
    """It ranks runs, and chooses the best epoch unless `train.select_by` names another."""
    epoch_metrics: tuple[str, ...]
    """The metrics that are logged after each epoch beside the one that chooses the best, where the
    data can be measured by them."""
    main_metrics: tuple[str, ...]
    """The metrics that baselines are compared by."""
    example_metric: str
    """The metric that examples are chosen by."""
    held_out_loss: str
    """The entry of `scores.json` with the loss on a split that is not learnt from."""
    usage: str
    """The command that uses a run, after `saccade`."""
    automatic_recipe: str
    """The recipe whose settings `saccade advise` chooses for a data folder."""
    first_recipe: str
    """The recipe to begin with: its `-small` form learns from few images, on a CPU."""


TASK_INFO: Mapping[str, TaskInfo] = {
    "vqa": TaskInfo(
        "VQA",
        records="questions",
        section="answers",
        predictions="answers",
        asks_question=True,
        default_metric="accuracy",
        epoch_metrics=("accuracy", "macro_precision", "macro_recall", "macro_f1"),
        main_metrics=("accuracy",),
        example_metric="accuracy",
        held_out_loss="answer_loss",
        usage='ask {run} IMAGE "QUESTION"',
        automatic_recipe="auto-vqa",
        first_recipe="show-ask-attend-answer",
    ),
    "caption": TaskInfo(
        "captioning",
        records="captions",
        section="decode",
        predictions="captions",
        asks_question=False,
        default_metric="bleu_4",
        epoch_metrics=("bleu_4",),
        main_metrics=("bleu_4", "cider"),
        example_metric="cider",
        held_out_loss="teacher_forced",
        usage="caption {run} IMAGE",
        automatic_recipe="auto-caption",
        first_recipe="show-attend-tell",
    ),
}
