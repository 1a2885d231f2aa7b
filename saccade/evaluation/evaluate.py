"""Evaluation of a run on a split, by the official metrics and beside baselines without the image.

Writes into the run folder `scores.json` (every number with what it means, see
`docs/honest-numbers.md`), `predictions.json` (the official upload form) and `scored-SPLIT.parquet`
(the scores of each prediction, for comparing runs). Equal runs give equal files.
"""

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from saccade.core.devices import choose_device
from saccade.core.errors import BadData, BadRun
from saccade.core.files import write_json
from saccade.core.run_files import read_scores
from saccade.core.tasks import TaskName
from saccade.core.tensors import kept_epoch
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Split
from saccade.evaluation.baselines import Baseline, baseline_gain, visual_gain
from saccade.evaluation.scoring import (
    ScoredExamples,
    ScoreOptions,
    Scores,
    score_intervals,
    write_rows,
)
from saccade.evaluation.tasks import TASKS, Task
from saccade.evaluation.verdict import SHUFFLED, give_verdict
from saccade.experiment import Experiment, assemble_for_run
from saccade.inference.model import load_model
from saccade.metrics.vqa import warn_of_form
from saccade.run_folder import OpenedRun, open_run, training_findings

COPIES = frozenset({"copied-images", "near-copied-images"})
"""Findings of `check` about images that are in training, too."""


def evaluate(  # noqa: PLR0913  each is something a person may want to say
    run: Path,
    *,
    split: Split | None = None,
    data: Path | None = None,
    features: str | None = None,
    beam_size: int | None = None,
    revision: str | None = None,
    wordnet: Path | None = None,
    java: bool = False,
    device: str = "auto",
) -> Scores:
    """Score a run's best weights; returns the entry of the split in `scores.json`.

    Args:
        run: The run folder.
        split: By default "test" where that has answers or captions, else "val".
        data: The data folder, where it has moved since training.
        features: The feature store, where the folder has several that fit.
        beam_size: Beams of captions, by default the recipe's.
        revision: Of the VQA scorer: "2021-03" or "2016", both official, or "always"; by default
            what fits the data, `DataFolder.revision`.
        wordnet: WordNet's folder or zip file, for WUPS.
        java: Compute METEOR and SPICE too, which takes minutes.
        device: "auto", "cpu" or "cuda".

    Returns:
        Every metric of the task by its name in `METRICS`, baselines, intervals and labels.

    Raises:
        BadRun, BadData, BadStore: The run, the data or the features cannot be used.
    """
    opened = open_run(run)
    known_data = data or opened.header.data
    if known_data is None:
        raise BadRun("an imported run has no data folder", location=run, hint="Give one by --data.")
    folder = DataFolder(Path(known_data))
    experiment = assemble_for_run(opened, folder, features)
    name = experiment.recipe.task
    task, split = TASKS[name], split or _scorable(folder, TASKS[name])
    place = choose_device(device)
    model = load_model(opened).to(place)
    options = ScoreOptions(None, beam_size, revision or folder.revision, wordnet, java)
    scored = task.score_model(model, experiment, split, place, options)
    baselines = task.run_baselines(model, experiment, split, place, scored)
    scores = complete_scores(name, folder, split, scored, baselines)
    scores |= _labels(opened, experiment, split)
    write_scores(run, split, scored, scores)
    warn_of_form(scores.get("not_normalised", {}), scores.get("accuracy"))
    return scores


def complete_scores(
    name: TaskName,
    folder: DataFolder,
    split: Split,
    scored: ScoredExamples,
    baselines: Mapping[str, Baseline],
) -> Scores:
    """The entry of a split in `scores.json`, but for the labels."""
    scores = {
        "split": split,
        "task": name,
        **scored.scores,
        "interval": score_intervals(scored.rows),
        "baselines": {key: baseline.shown(name) for key, baseline in baselines.items()},
        **visual_gain(name, scored, baselines[SHUFFLED]),
        **baseline_gain(name, scored, baselines),
        **TASKS[name].details(scored, folder, split),
    }
    return scores | {"verdict": give_verdict(scores)._asdict()}


def write_scores(out: Path, split: Split, scored: ScoredExamples, scores: Scores) -> None:
    """Write the entry of a split into `scores.json`, the predictions, and their rows."""
    write_json(out / "scores.json", read_scores(out) | {split: scores})
    write_json(out / "predictions.json", scored.predictions)
    write_rows(out, split, scored.rows)


def _labels(opened: OpenedRun, experiment: Experiment, split: Split) -> Scores:
    """What every score must be read with; None where it cannot be known."""
    header, recipe = opened.header, experiment.recipe
    same = experiment.folder.fingerprint == header.fingerprint
    # Of folds each member has learnt from most of the validation split, and chose by the rest.
    learnt = ("train", "val") if header.folds else ("train",)
    chosen = ("train", "val") if header.folds else ("val",)
    # A split was certainly not used only where all earlier runs were on this very data.
    unused = same and all(one.fingerprint == header.fingerprint for one in header.ancestors)
    unless = False if unused else None
    made = experiment.store.header.model_dump_json(
        exclude={"format", "complete", "command", "statistics"}
    )
    earlier = ", ".join(f"{one.recipe_name}: {one.run}" for one in header.ancestors)
    decode = recipe.decode.model_dump() if recipe.decode else {}
    warned = {one.name: one.message for one in header.findings if one.level != "note"}
    decode = {name: value for name, value in decode.items() if "beam_size" not in name}
    return {
        "decoding": "free-running",
        **({"decoding_rules": decode} if decode else {}),
        "selected_on_this_split": (same and split in chosen) or unless,
        "trained_on_this_split": (same and split in learnt) or unless,
        "data": experiment.folder.fingerprint,
        "same_data_as_in_training": same,
        "copies_of_training_images": bool(COPIES.intersection(warned))
        if split != "train"
        else None,
        "findings": warned,
        "features": experiment.store.path.name,
        "features_fingerprint": sha256(made.encode()).hexdigest(),
        "recipe": header.recipe_name,
        "initialised_from": earlier or None,
        "model": recipe.model.kind,
        "seed": recipe.train.seed,
        "epoch": kept_epoch(opened.path),
        **({"members": members} if (members := header.member_scores) else {}),
        **({"folds": header.folds} if header.folds else {}),
        "training_findings": training_findings(opened),
        "versions": header.versions,
    }


def _scorable(folder: DataFolder, task: Task) -> Split:
    """The last split that can be scored: test, where its answers are not secret, else val."""
    for split in reversed(SPLITS[1:]):
        with suppress(BadData):
            task.ground_truth(folder, split)
            return split
    message = "neither the test nor the validation split has human answers or captions to score by"
    raise BadData(message, location=folder.path, hint="Prepare the data with a validation split.")
