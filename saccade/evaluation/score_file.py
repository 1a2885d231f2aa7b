"""Scores of a file of predictions that any program wrote, by the same functions as those of a run.

The folder of such scores has what `evaluate` writes into a run folder, and no `run.json`: nobody
knows the model. What only a model can tell (its features, its losses, whether it was trained on
this split) is None, "not known".
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from saccade.core.errors import SaccadeWarning, in_number
from saccade.core.files import sha256_of
from saccade.data.folder import DataFolder
from saccade.evaluation.evaluate import complete_scores, write_scores
from saccade.evaluation.scoring import ScoreOptions, Scores
from saccade.evaluation.tasks import TASKS
from saccade.interop.prediction_files import PredictionFile
from saccade.interop.prediction_ids import MatchedPredictions
from saccade.metrics.scorers import Scorer
from saccade.metrics.vqa import warn_of_form

OF_A_MODEL = (
    *("selected_on_this_split", "trained_on_this_split", "same_data_as_in_training"),
    *("copies_of_training_images", "findings"),
    *("features", "features_fingerprint", "recipe", "initialised_from", "model", "seed", "epoch"),
)
"""The labels that a file of predictions cannot have."""


def score_predictions(
    file: PredictionFile,
    matched: MatchedPredictions,
    folder: DataFolder,
    out: Path,
    options: ScoreOptions,
    scorers: Mapping[str, Scorer],
) -> Scores:
    """Score the predictions of a file beside the baselines, and write all into `out`.

    Returns the entry of the split in `scores.json`. Raises BadData where the split has no human
    answers or captions. `scorers` are other programs', whose scores stand beside.
    """
    task, split = TASKS[matched.task], matched.split
    scored = task.score_texts(matched.texts, folder, split, options)
    baselines = task.text_baselines(folder, split, scored)
    scores = complete_scores(matched.task, folder, split, scored, baselines)
    scores |= dict.fromkeys(OF_A_MODEL)
    scores |= {
        "decoding": "unknown: a file of predictions",
        "data": folder.fingerprint,
        "data_folder": str(folder.path.resolve()),
        "predictions_file": str(file.path),
        "predictions_sha256": sha256_of(file.path),
        "predictions_form": f"{file.form}: {file.column}",
        "predictions_missing": matched.missing,
        "predictions_ignored": matched.extra,
        "versions": {"saccade": version("saccade")},
        **({"scored_as": _scored_as(scorers, matched, folder)} if scorers else {}),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out, split, scored, scores)
    _warn(scores)
    return scores


def _scored_as(
    scorers: Mapping[str, Scorer], matched: MatchedPredictions, folder: DataFolder
) -> Scores:
    """What other programs print for the same predictions: version, difference, scores by name."""
    people: Mapping[int, Sequence[str]]
    if matched.task == "vqa":
        people = {question.id: question.answers for question in folder.questions(matched.split)}
    else:
        written = folder.captions_by_image(matched.split)
        people = {id_: [caption.text for caption in some] for id_, some in written.items()}
    texts = [matched.texts[id_] for id_ in people]
    return {
        name: {"version": one.version, "differs": one.differs}
        | {key: found.value for key, found in one.compute(texts, [*people.values()]).items()}
        for name, one in scorers.items()
    }


def _warn(scores: Scores) -> None:
    """Say what a reader of the score must know of the file."""
    notes = []
    if count := scores["predictions_missing"]:
        notes.append(f"{count:,} examples have no prediction and count as wrong.")
    if count := scores["predictions_ignored"]:
        notes.append(f"{count:,} predictions are for no example of the split and were left out.")
    for note in notes:
        warnings.warn(in_number(note), SaccadeWarning, stacklevel=2)
    warn_of_form(scores.get("not_normalised", {}), scores.get("accuracy"))
