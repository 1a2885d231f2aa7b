"""Judging a run on a split, with the official metric and beside what needs no picture at all.

Writes into the run folder `scores.json` (every number with what it means, see
`docs/honest-numbers.md`), `predictions.json` (the official upload form) and `judged-SPLIT.parquet`
(how right each answer or caption was, for comparing runs). Equal runs give equal files.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import safe_open

from saccade.core.devices import choose_device
from saccade.core.errors import BadData, BadRun
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Split
from saccade.features.store import StoreHeader
from saccade.further_scores import intervals, of_answers, of_captions
from saccade.judged import Judged, write_rows
from saccade.ladder import SHUFFLED, ladder, visual_gain
from saccade.material import gather_for_run
from saccade.run import Material, OpenedRun, load_model, open_run, write_json
from saccade.tasks import TASKS


def evaluate(  # noqa: PLR0913  each is something a person may want to say
    run: Path,
    *,
    split: Split | None = None,
    data: Path | None = None,
    features: str | None = None,
    beams: int | None = None,
    revision: str = "2021-03",
    wordnet: Path | None = None,
    java: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Judge a run's best weights; returns what stands in `scores.json` for the split.

    Without `split` it is "test" where that has answers or captions, else "val". `data` is needed
    only where the data folder has moved since training. `wordnet` is WordNet's folder or zip file,
    for WUPS; `java` asks for METEOR and SPICE too. Raises BadRun, BadData or BadStore.
    """
    opened = open_run(run)
    folder = DataFolder(data or _own_data(opened))
    material = gather_for_run(opened, folder, features)
    task = material.recipe.task
    split = split or _judgeable(folder, task)
    where = choose_device(device)
    model = load_model(opened).to(where)
    judged = TASKS[task].judge(model, material, split, where, beams=beams, revision=revision)
    rungs = ladder(model, material, split, where, judged, revision=revision)
    scores = {
        "split": split,
        "task": task,
        **judged.scores,
        "interval": intervals(task, judged),
        "baselines": {name: rung.shown(task) for name, rung in rungs.items()},
        **visual_gain(task, judged, rungs[SHUFFLED]),
        **_further(judged, material, split, wordnet, java),
        **_labels(opened, material, split, revision),
    }
    whole = _scores_so_far(opened)
    whole[split] = scores
    write_json(run / "scores.json", whole)
    write_json(run / "predictions.json", judged.predictions)
    write_rows(run, split, judged.rows)
    return scores


def _further(
    judged: Judged, material: Material, split: Split, wordnet: Path | None, java: bool
) -> dict[str, Any]:
    if material.recipe.task == "vqa":
        return of_answers(judged, material.folder.questions(split), wordnet)
    return of_captions(judged, material.folder, split, java=java)


def _labels(opened: OpenedRun, material: Material, split: Split, revision: str) -> dict[str, Any]:
    """What every number above must be read with. None where it cannot be known."""
    header, recipe = opened.header, material.recipe
    same = material.folder.fingerprint == header.fingerprint
    known = same and all(one.fingerprint == header.fingerprint for one in header.earlier)
    with safe_open(opened.path / "model.safetensors", framework="pt") as stream:
        about = stream.metadata() or {}
    decode = recipe.decode.model_dump() if recipe.decode else {}
    decode = {name: value for name, value in decode.items() if "beams" not in name}
    return {
        "decoding": "free-running",
        **({"decoding_rules": decode} if decode else {}),
        "scorer": _scorer(material, split, revision),
        "selected_on_this_split": _told(same and split == "val", known),
        "trained_on_this_split": _told(same and split == "train", known),
        "data": material.folder.fingerprint,
        "same_data_as_in_training": same,
        "features": material.store.path.name,
        "features_fingerprint": _fingerprint(material.store.header),
        "recipe": header.recipe_name,
        "began_with": ", ".join(f"{one.recipe_name}: {one.run}" for one in header.earlier) or None,
        "model": recipe.model.kind,
        "seed": recipe.train.seed,
        "epoch": int(about["epoch"]) if "epoch" in about else None,
        "versions": header.versions,
    }


def _told(certain: bool, known: bool) -> bool | None:
    """A yes is certain; a no is known only where all of a run's past was on this very data."""
    return certain or (False if known else None)


def _scorer(material: Material, split: Split, revision: str) -> str:
    """Whose rules the scores follow. The official ones leave nobody where one person answered."""
    if material.recipe.task == "caption":
        return "coco-caption BLEU, ROUGE-L and CIDEr-D, over the data set's own words"
    alone = {len(question.answers) == 1 for question in material.folder.questions(split)}
    if alone == {True}:
        return "equal after normalisation to the single human answer, which has no official rule"
    mixed = "; single answers: equal after normalisation" if True in alone else ""
    return f"GT-Vision-Lab/VQA vqaEval.py, revision {revision}{mixed}"


def _fingerprint(header: StoreHeader) -> str:
    """SHA-256 of what the features were made of and with: equal features, equal fingerprint."""
    made = header.model_dump_json(exclude={"format", "complete", "command"})
    return sha256(made.encode()).hexdigest()


def _own_data(opened: OpenedRun) -> Path:
    if opened.header.data is None:
        raise BadRun(
            "an imported run has no data folder", where=opened.path, cure="Give one with --data."
        )
    return Path(opened.header.data)


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
