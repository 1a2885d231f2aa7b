"""Details of a comparison: types of questions, all metrics, calibration, cost, labels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from saccade.comparison.figures import (
    NONE,
    Cell,
    Figure,
    Plot,
    Row,
    Value,
    entry,
    number_or_none,
    reason,
    shown,
)
from saccade.comparison.ranking import name_cell, run_heads
from saccade.comparison.runs import Group
from saccade.core.formatting import duration
from saccade.metrics.catalogue import METRICS
from saccade.viz.plots import Line, lines

FEW = 30
"""Questions: a type with fewer is marked."""
OTHER = (
    ("upper_bound", "best accuracy that the answer list allows, %", 1),
    ("answer_loss.loss", "loss of answers, as each recipe defines it", 3),
    ("teacher_forced.loss", "teacher-forced loss (cross-entropy per word)", 3),
    ("teacher_forced.top_5_accuracy", "teacher-forced top-5 accuracy, %", 1),
    ("without_features", "examples without features, counted as wrong", 0),
)
"""Entries of `scores.json` that are no metrics of predictions: path, title, digits."""
LABELS = (
    *("recipe", "model", "initialised_from", "seed", "epoch", "decoding", "beam_size"),
    *("predictions_file", "predictions_sha256", "predictions_form", "predictions_missing"),
    *("confidence", "selected_on_this_split", "trained_on_this_split"),
    *("same_data_as_in_training", "copies_of_training_images", "features", "features_fingerprint"),
)


def types(group: Group) -> Figure | None:
    """Accuracy by type of answer and of question; None for captions, which have no types."""
    rows, body = list[Row](), list[list[Cell]]()
    for kind in ("answer", "question"):
        names = group.runs[0].rows.get(f"{kind}_type", ())
        counts = Counter(names if any(names) else ())
        for name, count in counts.most_common():
            about = {"type_of": kind, "type": name, "questions": count}
            title = Cell(name or "(none)", f"type of {kind}", words=True)
            cells = [title, Cell(f"{count:,}", "few" if count < FEW else "")]
            for run in group.runs:
                value = run.scores[f"per_{kind}_type"][name]
                rows.append(about | {"run": run.name, "accuracy": value})
                cells.append(Cell(shown(value, 1)))
            body.append(cells)
    if not rows:
        return None
    return Figure(
        "types",
        "Accuracy by type of answer and of question",
        f"In %. Types with fewer than {FEW} questions are marked: their accuracy is uncertain.",
        rows,
        ["", "questions", *run_heads(group)],
        body,
    )


def metrics(group: Group) -> Figure:
    """All metrics that some run was scored by; for captions beside human captions."""
    rows, body, missing = list[Row](), list[list[Cell]](), dict[str, None]()
    people = group.runs[0].scores.get("diversity_of_people", {})
    listed = [
        (name, f"{of.title}, {of.unit}" if of.unit else of.title, of.digits, of.scale)
        for name, of in METRICS.items()
        if of.task == group.task
    ]
    for path, title, digits, scale in [*listed, *((*other, 1.0) for other in OTHER)]:
        found = {run.name: entry(run.scores, path) for run in group.runs}
        missing |= {why: None for value in found.values() if (why := reason(value))}
        known = [(name, number_or_none(value)) for name, value in found.items()]
        if all(value is None for _, value in known):
            continue
        texts = [shown(value, digits, scale) for _, value in known]
        if people:
            human = number_or_none(people.get(path))
            texts.append("" if human is None else shown(human, digits, scale))
            known += [] if human is None else [("people", human)]
        rows += [{"metric": path, "title": title, "of": n, "value": v} for n, v in known]
        body.append([Cell(title, words=True), *map(Cell, texts)])
    description = "As the project's page on metrics defines them."
    if people:
        description += " People: the first human caption of each image; diversity has no best."
    return Figure(
        "metrics",
        "All metrics",
        description,
        rows,
        ["", *run_heads(group), *(["people"] if people else [])],
        body,
        notes=[f"Not measured, at least of one run: {'; '.join(missing)}."] if missing else (),
    )


def labels(group: Group) -> Figure:
    """What every number of a run must be read with."""
    rows, body = list[Row](), list[list[Cell]]()
    for label in LABELS:
        values: list[Value] = [run.scores.get(label) for run in group.runs]
        if all(value is None for value in values):
            continue
        rows += [
            {"label": label, "run": run.name, "value": value}
            for run, value in zip(group.runs, values, strict=True)
        ]
        cells = [Cell(label.replace("_", " "), words=True)]
        for value in values:
            text = {"None": "not known", "True": "yes", "False": "no"}.get(str(value), str(value))
            short = f"{text[:8]}…" if len(text) == 64 else text  # 64 letters: a fingerprint
            cells.append(Cell(short, words=True))
        body.append(cells)
    return Figure(
        "labels",
        "Labels",
        f"All scores: {group.split} split; data {group.data}; {group.scorer}. Scores are "
        "free-running: a model reads its own words; only what is called teacher-forced is not.",
        rows,
        ["", *run_heads(group)],
        body,
    )


def cost(group: Group, watts: float) -> Figure:
    """Parameters, time, and an estimate of energy."""
    rows, body = list[Row](), list[list[Cell]]()
    for place, run in enumerate(group.runs):
        seconds, best = _seconds(run.log), run.scores["epoch"]
        to_best = _seconds(row for row in run.log if row["epoch"] <= (best or 0))
        energy = None if seconds is None else float(f"{watts * seconds / 3600:.2g}")
        rates = sorted(row["examples_per_second"] for row in run.log)
        rate = rates[len(rates) // 2] if rates else None
        row: dict[str, Value] = {"run": run.name, "parameters": run.parameters}
        row |= {"trainable_parameters": run.trainable, "epochs": len(run.log) or None}
        row |= {"best_epoch": best, "seconds": seconds, "seconds_to_best": to_best}
        row |= {"examples_per_second": rate, "assumed_watts": watts, "energy_watt_hours": energy}
        rows.append(row)
        frozen, used = (run.parameters or 0) - (run.trainable or 0), NONE
        if energy is not None:
            used = f"about {energy / 1000:g} kWh" if energy >= 1000 else f"about {energy:g} Wh"
        parameters = "not known" if run.parameters is None else f"{run.parameters:,}"
        size = Cell(parameters, f"{frozen:,} of them frozen" if frozen else "")
        number = Cell(f"{len(run.log)}" if run.log else NONE, f"best: {best}" if best else "")
        texts = [duration(seconds) if seconds else "not known"]
        texts += [duration(to_best) if to_best else NONE]
        texts += [NONE if rate is None else f"{rate:,.0f}", used]
        body.append([name_cell(run, place), size, number, *map(Cell, texts)])
    return Figure(
        "cost",
        "Cost",
        "Time is training, and scoring after each epoch, as the run's log has it, on whatever "
        "machine it was; without extracting features, and without the training of a run that this "
        f"one started from. Energy is an estimate, that time at {watts:g} W: nothing was metered; "
        "say what your machine draws with --watts.",
        rows,
        ["run", "parameters", "epochs", "time", "to the best epoch", "examples a second", "energy"],
        body,
    )


def _seconds(log: Iterable[Mapping[str, Any]]) -> float | None:
    return sum(row["seconds"] + row["seconds_scoring"] for row in log) or None


def confidence(group: Group) -> list[Figure]:
    """Calibration, and the error of the most confident answers; nothing for captions, nor of a file
    of predictions, which has no confidences.
    """
    runs = [(place, run) for place, run in enumerate(group.runs) if "calibration" in run.scores]
    if not runs:
        return []
    bins, shares = list[Row](), list[Row]()
    by_confidence, by_share = list[Line](), list[Line]()
    for place, run in runs:
        own, kind = run.scores["calibration"], run.scores["confidence"]
        bins += [{"run": run.name, "confidence_is": kind, **one} for one in own["bins"]]
        x, y = ([one[name] for one in own["bins"]] for name in ("confidence", "accuracy"))
        by_confidence.append(Line(place, x, y))
        points = zip(own["coverage"], own["risk"], strict=True)
        shares += [{"run": run.name, "coverage": share, "risk": error} for share, error in points]
        by_share.append(Line(place, own["coverage"], own["risk"]))
    kinds = sorted({run.scores["confidence"] for _, run in runs})
    title, drawing = "Calibration", lines(by_confidence, "mean confidence", diagonal=True)
    calibration = Figure(
        "calibration",
        title,
        "Answers in bins by confidence. On the dashed line confidence equals accuracy; below it a "
        f"run is overconfident. Confidence is the {'; or the '.join(kinds)}. Bins with few answers "
        "are uncertain; their numbers are in the files.",
        bins,
        plots=[Plot(title, "accuracy by confidence, both 0 to 1", drawing)],
    )
    title = "Risk and coverage"
    drawing = lines(by_share, "share of questions answered, most confident first")
    risk = Figure(
        "risk",
        title,
        "The error (1 - accuracy) of a run that answers only the questions where it is most "
        "confident, by their share. Where confidence says nothing about accuracy the line is flat.",
        shares,
        plots=[Plot(title, "1 - accuracy of the most confident answers", drawing)],
    )
    return [calibration, risk]
