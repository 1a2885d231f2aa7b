"""The model card of a run, `README.md` on the Hugging Face hub, made of what the run knows.

Its head is metadata by the hub's schema (`huggingface_hub.ModelCardData`); its text says what the
model is, its scores beside baselines, its data, what it must not be used for, and how it is loaded.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import SaccadeError
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.features.settings import IMPORTED
from saccade.metrics.catalogue import METRICS
from saccade.models.catalogue import MODELS
from saccade.run_folder import OpenedRun, training_findings
from saccade.viz.html import fill

PIPELINES = {"vqa": "visual-question-answering", "caption": "image-to-text"}
"""The hub's names of the tasks."""
Scores = Mapping[str, Any]
"""An entry of `scores.json`."""


class CardData(NamedTuple):
    """The data set that a run was trained on, as far as its data folder still tells."""

    source: str = "unknown"
    """Its name in `saccade list sources`."""
    licence: str = ""
    splits: Mapping[str, Mapping[str, int]] = {}
    warnings: tuple[str, ...] = ()
    """What `prepare` found to be odd in it."""


def model_card(
    run: OpenedRun, saved: OpenedRun, scores: Mapping[str, Scores], name: str, licence: str | None
) -> str:
    """The card of a run: `saved` is the same without the paths of this machine, `name` the
    model's own."""
    header, info = saved.header, TASK_INFO[saved.header.recipe.task]
    data = data_of(run)
    entry = MODELS[header.recipe.model.kind]
    return _metadata(saved, scores, data, name, licence) + fill(
        "interop/model_card.md.j2",
        name=name,
        header=header,
        info=info,
        entry=entry,
        data=data,
        licence=licence,
        can_encode=header.store.backbone.library != IMPORTED,
        splits={split: _tables(of) for split, of in scores.items()},
        findings=[*dict.fromkeys(training_findings(saved))],
        before=[*data.warnings, *(one.message for one in header.findings if one.level != "note")],
    )


def data_of(run: OpenedRun) -> CardData:
    """What the data folder of the training says of itself, where it is still there and the same."""
    header = run.header
    with suppress(SaccadeError):
        if (
            header.data
            and (folder := DataFolder(Path(header.data))).fingerprint == header.fingerprint
        ):
            about = folder.about
            odd = (one["message"] for one in about["findings"] if one["level"] != "note")
            return CardData(about["source"], about["licence"], about["splits"], tuple(odd))
    return CardData()


def _metadata(
    run: OpenedRun, scores: Mapping[str, Scores], data: CardData, name: str, licence: str | None
) -> str:
    """The head of the card: YAML between lines of three dashes."""
    from huggingface_hub import EvalResult, ModelCardData  # noqa: PLC0415 - 0.3 s

    recipe, pipeline = run.header.recipe, PIPELINES[run.header.recipe.task]
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type=data.source,
            dataset_name=data.source,
            dataset_split=split,
            metric_type=metric,
            metric_name=METRICS[metric].title,
            metric_value=round(of[metric] * METRICS[metric].scale, METRICS[metric].digits),
        )
        for split, of in scores.items()
        for metric in _measured(of)
    ]
    about = ModelCardData(
        model_name=name,
        library_name="saccade",
        pipeline_tag=pipeline,
        license=licence or "unknown",
        tags=["saccade", recipe.model.kind, "attention"],
        metrics=sorted({one.metric_type for one in results}) or None,
        eval_results=results or None,
    )
    return f"---\n{about.to_yaml()}\n---\n\n"


def _measured(scores: Scores) -> list[str]:
    """The metrics of a split that say how good the model is, the main ones first."""
    main = TASK_INFO[scores["task"]].main_metrics
    known = [name for name in METRICS if isinstance(scores.get(name), int | float)]
    good = [name for name in known if METRICS[name].direction != "none"]
    return [*(name for name in main if name in good), *(name for name in good if name not in main)]


def _tables(scores: Scores) -> dict[str, Any]:
    """What the card shows of a split: rows of scores and of baselines, and what spoils them."""
    main = [name for name in _measured(scores) if name in TASK_INFO[scores["task"]].main_metrics]
    labels = {
        "trained_on_this_split": "The model was trained on this very split: that is no result.",
        "selected_on_this_split": "The best epoch was chosen on this split: scores are too good.",
        "copies_of_training_images": "Copies of training images are scored: scores are too good.",
    }
    verdict = scores.get("verdict", {})
    return {
        "main": [METRICS[name].title for name in main],
        "scores": [*_score_rows(scores)],
        "baselines": [
            (name.replace("_", " "), [_shown(metric, of.get(metric)) for metric in main])
            for name, of in scores.get("baselines", {}).items()
        ],
        "verdict": verdict.get("text", ""),
        "uses_image": verdict.get("image_use"),
        "cautions": [text for label, text in labels.items() if scores.get(label) is True],
        "examples": scores.get("questions", scores.get("images")),
    }


def _score_rows(scores: Scores) -> Iterator[tuple[str, str, str, str]]:
    """Title, value, interval and gain by the image of each metric."""
    for metric in _measured(scores):
        ends = scores.get("interval", {}).get(metric)
        gain = scores.get("visual_gain", {}).get(metric)
        numbers = [_shown(metric, end).removesuffix(" points") for end in ends or ()]
        interval = " to ".join(numbers) or "not measured"
        by_image = f"{gain:+z.1f} points" if isinstance(gain, int | float) else "not measured"
        yield METRICS[metric].title, _shown(metric, scores[metric]), interval, by_image


def _shown(metric: str, value: Any) -> str:
    return METRICS[metric].shown(value) if isinstance(value, int | float) else "not measured"
