"""Learning curves of runs in one plot, and epoch by epoch as a table.

For captions the table is the closing one of a write-up: training loss, validation loss and top-5
accuracy (teacher-forced) and BLEU-4 (free-running) of every epoch, and at the end on the split.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from saccade.comparison.figures import (
    Cell,
    Figure,
    Plot,
    Row,
    entry,
    number_or_none,
    score_span,
    shown,
)
from saccade.comparison.ranking import ends_of
from saccade.comparison.runs import Group
from saccade.metrics.catalogue import METRICS
from saccade.viz.plots import Line, lines

SIDE_BY_SIDE = 3
"""Runs in one table of epochs."""


class Measure(NamedTuple):
    """A number of each epoch, and of the split."""

    name: str
    """In the files."""
    path: str
    """In a line of the log."""
    title: str
    description: str
    head: str
    """Of its column in the table."""
    digits: int = 3
    scale: float = 1.0

    def find(self, record: Mapping[str, Any]) -> float | None:
        """The number as it was measured; None where it was not."""
        return number_or_none(entry(record, self.path))

    def cell(self, record: Mapping[str, Any], **settings: Any) -> Cell:
        """The number in the table; a dash where it was not measured."""
        return Cell(shown(self.find(record), self.digits, self.scale), **settings)


def measures(group: Group) -> list[Measure]:
    """All numbers that are shown of an epoch."""
    of, scored = METRICS[group.metric], f"scores.{group.info.held_out_loss}"
    title, text = "validation loss", "as the recipe defines it"
    training = Measure("training_loss", "loss", "training loss", text, "training loss")
    if group.info.asks_question:
        text = f"of a question, {text}"
        held_out = [Measure("loss", f"{scored}.loss", title, text, "loss, held out")]
    else:
        text = "teacher-forced: cross-entropy of each word after the human words before it"
        held_out = [Measure("loss", f"{scored}.loss", title, text, "loss, teacher-forced")]
        path, title = f"{scored}.top_5_accuracy", "validation top-5 accuracy"
        text, head = "teacher-forced: words among the likeliest 5, %", "top-5 %, teacher-forced"
        held_out.append(Measure("top_5", path, title, text, head, 1))
    title, free = f"validation {of.title}", f"free-running, {of.unit}".removesuffix(", ")
    path = f"scores.{group.metric}"
    score = Measure(group.metric, path, title, free, of.title, of.digits, of.scale)
    return [training, *held_out, score]


def curves(group: Group) -> Figure | None:
    """All runs in one plot for each measure; None where no run has a log."""
    rows, plots, known = list[Row](), list[Plot](), measures(group)
    names = [known[0].name, *(f"validation_{of.name}" for of in known[1:])]
    for run in group.runs:
        for record in run.log:
            values = {name: of.find(record) for name, of in zip(names, known, strict=True)}
            seconds = record["seconds"] + record["seconds_scoring"]
            rows.append({"run": run.name, "epoch": record["epoch"], **values, "seconds": seconds})
    if not rows:
        return None
    recipes = [run.opened.header.recipe for run in group.runs if run.opened]
    losses = {(own := of.answers) and (own.loss, own.summed, own.target) for of in recipes}
    critical = {of.train.self_critical is None for of in recipes}
    relative = len(losses) > 1 or len(critical) > 1  # the recipes define their losses differently
    for of in known:
        as_share = relative and of.name.endswith("loss")
        drawn = list[Line]()
        for place, run in enumerate(group.runs):
            found = [(record["epoch"], of.find(record)) for record in run.log]
            points = [(epoch, of.scale * value) for epoch, value in found if value is not None]
            first = points[0][1] if as_share and points and points[0][1] else 1.0
            if points:
                drawn.append(Line(place, [x for x, _ in points], [y / first for _, y in points]))
        if drawn:
            text = "as a share of that after the first epoch" if as_share else of.description
            plots.append(Plot(of.title, text, lines(drawn, "epoch", whole=True)))
    text = "After every epoch, on the validation split except for the training loss."
    if relative:
        text += (
            " These recipes define their losses differently, so each is drawn as a share of its "
            "own first value."
        )
    return Figure("curves", "Learning curves", text, rows, plots=plots)


def epochs(group: Group) -> list[Figure]:
    """Tables of each epoch and, at the end, of the split; runs in the order given, but for files of
    predictions, which have no epochs.
    """
    given = [place for place in group.given if group.runs[place].opened]
    known, tables, several = measures(group), list[Figure](), len(given) > SIDE_BY_SIDE
    for start in range(0, len(given), SIDE_BY_SIDE):
        head: list[str | Cell] = ["epoch"]
        rows, body, last = list[Row](), list[list[Cell]](), [Cell(f"on {group.split}", strong=True)]
        places = given[start : start + SIDE_BY_SIDE]
        runs = [group.runs[place] for place in places]
        for place, run in zip(places, runs, strict=True):
            head += [Cell(of.head, run.name, run=place) for of in known]
            on_split = {"epoch": run.scores["epoch"], "scores": run.scores}
            records = [*(("val", record) for record in run.log), (group.split, on_split)]
            for split, record in records:
                values = {of.name: of.find(record) for of in known}
                rows.append({"run": run.name, "split": split, "epoch": record["epoch"], **values})
            last.append(Cell(""))  # no run is trained on the split
            last += [of.cell(on_split, strong=True) for of in known[1:-1]]
            interval = score_span(group.metric, ends_of(run.scores["interval"], group.metric))
            last.append(known[-1].cell(on_split, below=interval, strong=True))
        for epoch in sorted({record["epoch"] for run in runs for record in run.log}):
            cells = [Cell(str(epoch))]
            for run in runs:
                own = next((record for record in run.log if record["epoch"] == epoch), None)
                kept = epoch == run.scores["epoch"]
                cells += [of.cell(own, strong=kept) if own else Cell("") for of in known]
            body.append(cells)
        name, title = "epochs", "Epoch by epoch, and on the split"
        if several:
            part = start // SIDE_BY_SIDE + 1
            name, title = f"{name}-{part}", f"{title} ({part})"
        tables.append(Figure(name, title, _description(group), rows, head, [*body, last]))
    return tables


def _description(group: Group) -> str:
    title = METRICS[group.metric].title
    kept = (
        f"Bold: the epoch whose weights are kept. The last line is those weights on the "
        f"{group.split} split."
    )
    if group.info.asks_question:
        return (
            "Training loss as the recipe defines it; the loss of a question on the validation "
            f"split likewise (recipes may differ); {title}, free-running. {kept}"
        )
    models = [run for run in group.runs if run.opened]
    words = {len(run.opened.words.vocabulary) for run in models if run.opened}
    other = "" if len(words) < 2 else " Vocabularies differ in size, and losses with them."
    sizes = sorted({run.scores["beam_size"] for run in models})
    beams = f"{', '.join(map(str, sizes))} beam{'s' if sizes != [1] else ''}"
    return (
        "Training loss as the recipe defines it, with what its paper adds. Loss: cross-entropy "
        "of a word of the validation split's human captions, nothing added; top-5: per cent of "
        f"them among the five likeliest; both teacher-forced. {title} is free-running: in the "
        f"epochs with the recipe's beams for validation, in the last line with {beams}. "
        f"{kept}{other}"
    )
