"""Judging a run on a split, with the official metric and beside what needs no picture at all.

Writes `scores.json` (every number with what it means: split, beams, scorer, data) and
`predictions.json` (the official upload form) into the run folder.
"""

import json
from pathlib import Path
from typing import Any

from saccade.baselines import most_frequent_answer, question_only
from saccade.data.folder import DataFolder
from saccade.devices import choose_device
from saccade.errors import BadData
from saccade.material import gather_for_run
from saccade.metrics.vqa import vqa_accuracy
from saccade.records import SPLITS, Split
from saccade.run import OpenedRun, load_model, open_run, write_json
from saccade.tasks import TASKS, Material


def evaluate(
    run: Path,
    *,
    split: Split | None = None,
    data: Path | None = None,
    features: str | None = None,
    beams: int | None = None,
    revision: str = "2021-03",
    device: str = "auto",
) -> dict[str, Any]:
    """Judge a run's best weights; returns what stands in `scores.json` for the split.

    Without `split` it is "test" where that has answers or captions, else "val". `data` is needed
    only where the data folder has moved since training. Raises BadRun, BadData or BadStore.
    """
    opened = open_run(run)
    folder = DataFolder(data or Path(opened.header.data))
    material = gather_for_run(opened, folder, features)
    task_name = material.recipe.task
    split = split or _judgeable(folder, task_name)
    where = choose_device(device)
    judged = TASKS[task_name].judge(
        load_model(opened).to(where), material, split, where, beams=beams, revision=revision
    )
    scores = {
        "split": split,
        "decoding": "free-running",
        **judged.scores,
        "selected_on_this_split": split == "val",
        "trained_on_this_split": split == "train",
        "baselines": _vqa_baselines(material, split, revision) if task_name == "vqa" else {},
        "data": folder.fingerprint,
        "same_data_as_in_training": folder.fingerprint == opened.header.fingerprint,
        "features": material.store.path.name,
    }
    whole = _scores_so_far(opened)
    whole[split] = scores
    write_json(run / "scores.json", whole)
    write_json(run / "predictions.json", judged.predictions)
    return scores


def _vqa_baselines(material: Material, split: Split, revision: str) -> dict[str, float]:
    """What is reached without looking: the commonest answer, and the question alone."""
    questions = material.folder.questions(split)
    training = material.folder.questions("train")
    said = {
        "most_frequent_answer": most_frequent_answer(training, questions),
        "question_only": question_only(training, questions),
    }
    return {
        name: vqa_accuracy(answers, questions, revision=revision).overall
        for name, answers in said.items()
    }


def _judgeable(folder: DataFolder, task: str) -> Split:
    """The last split that can be judged: test, where its answers are not secret, else val."""
    for split in reversed(SPLITS[1:]):
        if task == "vqa":
            questions = folder.questions(split)
            if questions and questions[0].answers:
                return split
        elif folder.captions(split):
            return split
    raise BadData(
        "neither the test nor the validation split has anything to judge by",
        where=folder.path,
        cure="Prepare the data with a validation split.",
    )


def _scores_so_far(opened: OpenedRun) -> dict[str, Any]:
    path = opened.path / "scores.json"
    if not path.exists():
        return {}
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scores
