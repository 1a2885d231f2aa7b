"""Is a run right as often as it says, and right where it is surest? For runs that answer."""

from saccade.compare.figures import Drawing, Figure, Row
from saccade.compare.runs import Group
from saccade.viz.html import address
from saccade.viz.plots import Line, lines


def calibration(group: Group) -> Figure | None:
    """Confidence against accuracy, by bins; nothing for captions."""
    if group.task != "vqa":
        return None
    rows, drawn = list[Row](), list[Line]()
    for place, run in enumerate(group.runs):
        bins = run.scores["calibration"]["bins"]
        rows += [{"run": run.name, "confidence_is": run.scores["confidence"], **b} for b in bins]
        drawn.append(Line(place, [b["confidence"] for b in bins], [b["accuracy"] for b in bins]))
    picture = address(lines(drawn, "mean confidence", diagonal=True), "svg+xml")
    kinds = sorted({run.scores["confidence"] for run in group.runs})
    return Figure(
        "calibration",
        "Right as often as they say?",
        "Answers put into bins by confidence: on the dashed line a run is as often right as it is "
        f"sure, below it too sure of itself. Confidence is the {'; or the '.join(kinds)}. Bins "
        "with few answers jump; their numbers are in the files.",
        rows,
        drawings=[Drawing("Calibration", "accuracy by confidence, both 0 to 1", picture)],
    )


def risk(group: Group) -> Figure | None:
    """Share of wrong answers among the surest ones; nothing for captions."""
    if group.task != "vqa":
        return None
    rows, drawn = list[Row](), list[Line]()
    for place, run in enumerate(group.runs):
        own = run.scores["calibration"]
        points = list(zip(own["coverage"], own["risk"], strict=True))
        rows += [{"run": run.name, "coverage": c, "risk": r} for c, r in points]
        drawn.append(Line(place, own["coverage"], own["risk"]))
    picture = address(lines(drawn, "share of questions answered, surest first"), "svg+xml")
    return Figure(
        "risk",
        "Right where they are surest?",
        "If a run answered only where it is surest: how wrong it would be (1 - accuracy) on so "
        "many questions. A run whose confidence says nothing has a level line.",
        rows,
        drawings=[Drawing("Risk and coverage", "1 - accuracy of the surest answers", picture)],
    )
