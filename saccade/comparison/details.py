"""What the standings leave out: types of questions, further metrics, labels, cost."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from saccade.comparison.figures import (
    NONE,
    Cell,
    Drawing,
    Figure,
    Row,
    Value,
    number_or_none,
    reason,
    shown,
)
from saccade.comparison.ranking import name_cell, run_heads
from saccade.comparison.runs import Contender, Group
from saccade.core.formatting import duration
from saccade.core.tasks import TASK_INFO
from saccade.viz.html import address
from saccade.viz.plots import Line, lines

TALL = 24
"""Lines: a longer table gets a box of its own."""
FEW = 30
"""Questions: a type with fewer is marked."""


def types(group: Group) -> Figure | None:
    """Accuracy by type of answer and of question; captions have no types."""
    if not TASK_INFO[group.task].asks_question:
        return None
    rows, body = list[Row](), list[list[Cell]]()
    for kind, column in (("answer", "answer_type"), ("question", "question_type")):
        counts = Counter(group.runs[0].rows[column])
        for name, count in counts.most_common():
            reached = {run.name: run.scores[f"per_{column}"][name] for run in group.runs}
            rows += [
                {"type_of": kind, "type": name, "questions": count, "run": run, "accuracy": value}
                for run, value in reached.items()
            ]
            few = "few" if count < FEW else ""
            title = Cell(name or "(none)", f"type of {kind}", words=True)
            cells = [Cell(shown(value, 1)) for value in reached.values()]
            body.append([title, Cell(f"{count:,}", few), *cells])
    return Figure(
        "types",
        "By type of answer and of question",
        "Accuracy, 0 to 100. Of a type with few questions, a score says little: "
        f"those with fewer than {FEW} are marked.",
        rows,
        ["", "questions", *run_heads(group)],
        body,
        tall=len(body) > TALL,
    )


def _of(*path: str, times: float = 1.0) -> Callable[[Mapping[str, Any]], Any]:
    """Something that stands further in; its reason where it was not measured."""

    def find(scores: Mapping[str, Any]) -> Any:
        found: Any = scores
        for name in path:
            if reason(found):
                return found
            found = found.get(name) if isinstance(found, Mapping) else None
        value = number_or_none(found)
        return found if value is None else times * value

    return find


FURTHER: dict[str, list[tuple[str, int, Callable[[Mapping[str, Any]], Any]]]] = {
    "vqa": [
        ("best that its answer list allows", 1, _of("upper_bound")),
        ("questions without features, counted as wrong", 0, _of("without_features")),
        ("calibration error (ECE), points", 1, _of("expected_calibration_error", times=100)),
        ("area under risk-coverage, points", 1, _of("area_under_risk_coverage", times=100)),
        ("WUPS at 0.9", 1, _of("wups_0_9")),
        ("WUPS at 0.0", 1, _of("wups_0_0")),
        ("balanced accuracy", 3, _of("balanced_accuracy")),
        ("precision, macro", 3, _of("macro_precision")),
        ("recall, macro", 3, _of("macro_recall")),
        ("F1, macro", 3, _of("macro_f1")),
        ("F1, PitVQA's averaging", 3, _of("macro_f1_pitvqa")),
        ("loss of answers, as each recipe defines it", 3, _of("answer_loss", "loss")),
    ],
    "caption": [
        *((f"BLEU-{n}", 3, _of(f"bleu_{n}")) for n in (1, 2, 3, 4)),
        ("ROUGE-L", 3, _of("rouge_l")),
        ("CIDEr-D", 3, _of("cider")),
        ("METEOR", 3, _of("meteor")),
        ("SPICE", 3, _of("spice")),
        ("teacher-forced loss (cross-entropy per word)", 3, _of("teacher_forced", "loss")),
        ("teacher-forced top-5 accuracy, %", 1, _of("teacher_forced", "top_5_accuracy")),
        ("different captions, %", 1, _of("distinct_captions", times=100)),
        ("captions not in the training set, %", 1, _of("novel_captions", times=100)),
        ("words in a caption", 1, _of("caption_length")),
        ("of the vocabulary used, %", 1, _of("vocabulary_used", times=100)),
        *((f"distinct {n}-grams, %", 1, _of(f"distinct_{n}", times=100)) for n in (1, 2)),
        ("images without features, counted as wrong", 0, _of("without_features")),
    ],
}


def further(group: Group) -> Figure:
    """All other metrics; for captions beside what people wrote."""
    rows, body, missing = list[Row](), list[list[Cell]](), dict[str, None]()
    people = group.runs[0].scores.get("diversity_of_people")
    for title, digits, find in FURTHER[group.task]:
        found = [find(run.scores) for run in group.runs]
        missing |= {why: None for value in found if (why := reason(value))}
        if all(value is None for value in found) or all(reason(value) for value in found):
            continue
        human = number_or_none(find(people)) if people else None
        known = {run.name: number_or_none(v) for run, v in zip(group.runs, found, strict=True)}
        rows += [{"metric": title, "of": name, "value": value} for name, value in known.items()]
        rows += [] if human is None else [{"metric": title, "of": "people", "value": human}]
        cells = [Cell(shown(value, digits)) for value in known.values()]
        by_people = [Cell("" if human is None else shown(human, digits))] if people else []
        body.append([Cell(title, words=True), *cells, *by_people])
    says = "Defined in the project's page on metrics."
    if people:
        says += " People: the first human caption of each image; variety has no best value."
    return Figure(
        "further",
        "Further metrics",
        says,
        rows,
        ["", *run_heads(group), *(["people"] if people else [])],
        body,
        notes=[f"Not measured, at least of one run: {'; '.join(missing)}."] if missing else (),
    )


LABELS = (
    "recipe",
    "model",
    "initialised_from",
    "seed",
    "epoch",
    "decoding",
    "beam_size",
    "confidence",
    "selected_on_this_split",
    "trained_on_this_split",
    "same_data_as_in_training",
    "features",
    "features_fingerprint",
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
        body.append([Cell(label.replace("_", " "), words=True), *map(_label, values)])
    return Figure(
        "labels",
        "Labels",
        f"All scores: {group.split} split; data {group.data}; {group.scorer}. Scores are "
        "free-running, a model hears its own words; only what is called teacher-forced is not.",
        rows,
        ["", *run_heads(group)],
        body,
    )


def _label(value: Value) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no", words=True)
    if value is None:
        return Cell("not known", words=True)
    text = str(value)
    hashed = len(text) == 64
    return Cell(f"{text[:8]}…" if hashed else text, words=True)


def cost(group: Group, watts: float) -> Figure:
    """Parameters, time, and an estimate of energy."""
    rows, body = list[Row](), list[list[Cell]]()
    for place, run in enumerate(group.runs):
        seconds = _seconds(run.log)
        best = run.scores["epoch"]
        to_best = _seconds(row for row in run.log if row["epoch"] <= (best or 0))
        energy = None if seconds is None else two_digits(watts * seconds / 3600)
        rows.append(
            {
                "run": run.name,
                "parameters": run.parameters,
                "parameters_that_learn": run.learning,
                "epochs": len(run.log) or None,
                "best_epoch": best,
                "seconds": seconds,
                "seconds_to_best": to_best,
                "examples_per_second": _median(run),
                "assumed_watts": watts,
                "energy_watt_hours": energy,
            }
        )
        frozen = run.parameters - run.learning
        body.append(
            [
                name_cell(run, place),
                Cell(f"{run.parameters:,}", f"{frozen:,} of them frozen" if frozen else ""),
                Cell(f"{len(run.log)}" if run.log else NONE, f"best: {best}" if best else ""),
                Cell(duration(seconds) if seconds else "not known"),
                Cell(duration(to_best) if to_best else NONE),
                Cell(NONE if _median(run) is None else f"{_median(run):,.0f}"),
                Cell(NONE if energy is None else _energy(energy)),
            ]
        )
    return Figure(
        "cost",
        "What they cost",
        "Time is training and judging after each epoch, as the run's log has it, on whatever "
        "machine it was; extracting features is not in it, nor an earlier run that this one went "
        f"on from. Energy is a guess: that time, at {watts:g} W all the while. Nothing was "
        "metered; say what your machine draws with --watts.",
        rows,
        ["run", "parameters", "epochs", "time", "to the best epoch", "examples a second", "energy"],
        body,
    )


def _seconds(log: Iterable[Mapping[str, Any]]) -> float | None:
    return sum(row["seconds"] + row["seconds_scoring"] for row in log) or None


def two_digits(value: float) -> float:
    """Rounded to two digits that mean something."""
    return float(f"{value:.2g}")


def _energy(watt_hours: float) -> str:
    if watt_hours >= 1000:
        return f"about {watt_hours / 1000:g} kWh"
    return f"about {watt_hours:g} Wh"


def _median(run: Contender) -> float | None:
    """Examples a second in the middling epoch."""
    rates = sorted(row["examples_per_second"] for row in run.log)
    return rates[len(rates) // 2] if rates else None


def reading(run: Contender, scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Loss on a split that is not learnt from, if it was measured: earlier logs have none."""
    found = scores.get(TASK_INFO[run.opened.header.recipe.task].held_out_loss, {})
    return {} if reason(found) else found


# Is a run right as often as it says, and right where it is surest? For runs that answer.


def calibration(group: Group) -> Figure | None:
    """Confidence against accuracy, by bins; nothing for captions."""
    if not TASK_INFO[group.task].asks_question:
        return None
    rows, drawn = list[Row](), list[Line]()
    for place, run in enumerate(group.runs):
        bins = run.scores["calibration"]["bins"]
        rows += [{"run": run.name, "confidence_is": run.scores["confidence"], **b} for b in bins]
        drawn.append(Line(place, [b["confidence"] for b in bins], [b["accuracy"] for b in bins]))
    image = address(lines(drawn, "mean confidence", diagonal=True), "svg+xml")
    kinds = sorted({run.scores["confidence"] for run in group.runs})
    return Figure(
        "calibration",
        "Right as often as they say?",
        "Answers put into bins by confidence: on the dashed line a run is as often right as it is "
        f"sure, below it too sure of itself. Confidence is the {'; or the '.join(kinds)}. Bins "
        "with few answers jump; their numbers are in the files.",
        rows,
        drawings=[Drawing("Calibration", "accuracy by confidence, both 0 to 1", image)],
    )


def risk(group: Group) -> Figure | None:
    """Share of wrong answers among the surest ones; nothing for captions."""
    if not TASK_INFO[group.task].asks_question:
        return None
    rows, drawn = list[Row](), list[Line]()
    for place, run in enumerate(group.runs):
        own = run.scores["calibration"]
        points = list(zip(own["coverage"], own["risk"], strict=True))
        rows += [{"run": run.name, "coverage": c, "risk": r} for c, r in points]
        drawn.append(Line(place, own["coverage"], own["risk"]))
    image = address(lines(drawn, "share of questions answered, surest first"), "svg+xml")
    return Figure(
        "risk",
        "Right where they are surest?",
        "If a run answered only where it is surest: how wrong it would be (1 - accuracy) on so "
        "many questions. A run whose confidence says nothing has a level line.",
        rows,
        drawings=[Drawing("Risk and coverage", "1 - accuracy of the surest answers", image)],
    )
