"""How runs learnt: their curves in one plot, and epoch by epoch as a table.

For captions the table is the closing one of a write-up: training loss, validation loss and top-5
accuracy (teacher-forced) and BLEU-4 (free-running) of every epoch, and at the end on the split.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from saccade.comparison.details import TALL, reading
from saccade.comparison.figures import (
    DIGITS,
    TITLES,
    Cell,
    Drawing,
    Figure,
    Row,
    number_or_none,
    shown,
    span,
)
from saccade.comparison.ranking import bounds
from saccade.comparison.runs import Contender, Group
from saccade.core.tasks import TASK_INFO
from saccade.viz.html import address
from saccade.viz.plots import Line, lines

SIDE_BY_SIDE = 3
"""So many runs stand in one table of epochs."""

BY_RECIPE = "as the recipe defines it"

Measure = Callable[[Contender, Mapping[str, Any]], float | None]


def _loss(run: Contender, row: Mapping[str, Any]) -> float | None:
    del run
    return number_or_none(row.get("loss"))


def _held_out(run: Contender, row: Mapping[str, Any]) -> float | None:
    return number_or_none(reading(run, row["scores"]).get("loss"))


def _top_5(run: Contender, row: Mapping[str, Any]) -> float | None:
    return number_or_none(reading(run, row["scores"]).get("top_5_accuracy"))


def _score(run: Contender, row: Mapping[str, Any]) -> float | None:
    metric = TASK_INFO[run.opened.header.recipe.task].default_metric
    return number_or_none(row["scores"].get(metric))


class Measured(NamedTuple):
    """Something that is measured after each epoch."""

    title: str
    says: str
    head: str
    """Of its column in the table, which ends with the split of the page."""
    digits: int
    find: Measure


def measures(group: Group) -> dict[str, Measured]:
    """All that is shown of an epoch, by its name in the files."""
    metric = group.metric
    named = TITLES[metric]
    found = {"training_loss": Measured("training loss", BY_RECIPE, "training loss", 3, _loss)}
    if TASK_INFO[group.task].asks_question:
        says = f"of a question, {BY_RECIPE}"
        found["validation_loss"] = Measured("validation loss", says, "loss, held out", 3, _held_out)
    else:
        says = "teacher-forced: cross-entropy of each word after the human words before it"
        title = "loss, teacher-forced"
        found["validation_loss"] = Measured("validation loss", says, title, 3, _held_out)
        says = "teacher-forced: words that are among the five likeliest, %"
        title = "top-5 %, teacher-forced"
        found["validation_top_5"] = Measured("validation top-5 accuracy", says, title, 1, _top_5)
    says = "free-running"
    digits = DIGITS[metric]
    found[f"validation_{metric}"] = Measured(f"validation {named}", says, named, digits, _score)
    return found


def curves(group: Group) -> Figure | None:
    """All runs in one plot for each measure; nothing where no run has a log."""
    rows, drawings = list[Row](), list[Drawing]()
    for run in group.runs:
        for row in run.log:
            values = {name: of.find(run, row) for name, of in measures(group).items()}
            seconds = row["seconds"] + row["seconds_scoring"]
            rows.append({"run": run.name, "epoch": row["epoch"], **values, "seconds": seconds})
    if not rows:
        return None
    relative = not _alike(group)
    for name, (title, says, _, _, find) in measures(group).items():
        as_share = relative and name.endswith("loss")
        drawn = [
            _line(run, place, find, as_share)
            for place, run in enumerate(group.runs)
            if any(find(run, row) is not None for row in run.log)
        ]
        if drawn:
            told = "as a share of that after the first epoch" if as_share else says
            image = address(lines(drawn, "epoch", whole=True), "svg+xml")
            drawings.append(Drawing(title, told, image))
    says = "After every epoch, on the validation split but for the training loss."
    if relative:
        says += (
            " These recipes define their losses differently, so each is drawn as a share of its "
            "own first one."
        )
    return Figure("curves", "How they learnt", says, rows, drawings=drawings)


def _alike(group: Group) -> bool:
    """Do the recipes mean the same by a loss?"""
    kinds = {
        (recipe.answers and (recipe.answers.loss, recipe.answers.summed, recipe.answers.target))
        for recipe in (run.opened.header.recipe for run in group.runs)
    }
    critical = {run.opened.header.recipe.train.self_critical is None for run in group.runs}
    return len(kinds) == len(critical) == 1


def _line(run: Contender, place: int, find: Measure, as_share: bool) -> Line:
    known = [(row["epoch"], value) for row in run.log if (value := find(run, row)) is not None]
    first = known[0][1] if as_share and known[0][1] else 1.0
    return Line(place, [epoch for epoch, _ in known], [value / first for _, value in known])


def epochs(group: Group) -> list[Figure]:
    """The closing table: each epoch and, at the end, the split; runs in the order given."""
    begins = range(0, len(group.runs), SIDE_BY_SIDE)
    parts = [group.given[begin : begin + SIDE_BY_SIDE] for begin in begins]
    return [
        _closing(group, places, part if len(parts) > 1 else 0)
        for part, places in enumerate(parts, start=1)
    ]


def _closing(group: Group, places: Sequence[int], part: int) -> Figure:
    known, runs = measures(group), [group.runs[place] for place in places]
    heads: list[str | Cell] = ["epoch"]
    for place, run in zip(places, runs, strict=True):
        heads += [Cell(of.head, run.name, run=place) for of in known.values()]
    of_run: dict[str, list[Row]] = {run.name: [] for run in runs}
    body: list[list[Cell]] = []
    for epoch in sorted({row["epoch"] for run in runs for row in run.log}):
        cells = [Cell(str(epoch))]
        for run in runs:
            own = next((row for row in run.log if row["epoch"] == epoch), None)
            values = {key: of.find(run, own) if own else None for key, of in known.items()}
            if own:
                of_run[run.name].append({"split": "val", "epoch": epoch, **_named(values)})
            kept = epoch == run.scores["epoch"]
            for key, of in known.items():
                cells.append(Cell(shown(values[key], of.digits) if own else "", strong=kept))
        body.append(cells)
    last = [Cell(f"on {group.split}", strong=True)]
    for run in runs:
        values = {key: _on_split(run, of.find) for key, of in known.items()}
        about = {"split": group.split, "epoch": run.scores["epoch"]}
        of_run[run.name].append({**about, **_named(values)})
        for key, of in known.items():
            below = span(*bounds(run, group.metric), of.digits) if group.metric in key else ""
            cell = Cell(shown(values[key], of.digits), below, strong=True)
            last.append(cell if key != "training_loss" else Cell(""))
    return Figure(
        f"epochs-{part}" if part else "epochs",
        "Epoch by epoch, and at the end" + (f" ({part})" if part else ""),
        _says(group),
        [{"run": name, **row} for name, some in of_run.items() for row in some],
        heads,
        [*body, last],
        tall=len(body) > TALL,
    )


def _named(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same for the files, where the split stands in a column of its own."""
    return {name.replace("validation_", ""): value for name, value in values.items()}


def _on_split(run: Contender, find: Measure) -> float | None:
    """The same measure of the kept weights on the split; no run learns from it."""
    return None if find is _loss else find(run, {"scores": run.scores})


def _says(group: Group) -> str:
    kept = (
        f"Bold: the epoch whose weights are kept. The last line is those weights on the "
        f"{group.split} split."
    )
    if TASK_INFO[group.task].asks_question:
        return (
            "Training loss as the recipe defines it; the loss of a question on the validation "
            f"split likewise (recipes may differ); official accuracy, free-running. {kept}"
        )
    words = {len(run.opened.words.vocabulary) for run in group.runs}
    other = "" if len(words) == 1 else " Vocabularies differ in size, and losses with them."
    return (
        "Training loss as the recipe defines it, with what its paper adds. Loss: cross-entropy "
        "of a word of the validation split's human captions, nothing added; top-5: per cent of "
        "them that were among the five likeliest; both teacher-forced. BLEU-4 is free-running: "
        "in the epochs with the recipe's beams for validation, in the last line with "
        f"{_beam_size(group)}. {kept}{other}"
    )


def _beam_size(group: Group) -> str:
    beam_size = sorted({run.scores["beam_size"] for run in group.runs})
    return f"{', '.join(map(str, beam_size))} beam{'s' if beam_size != [1] else ''}"
