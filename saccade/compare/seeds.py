"""How far does a score move with the training seed alone? Runs that differ in nothing else."""

from collections.abc import Sequence
from statistics import fmean, stdev

from saccade.compare.figures import DIGITS, TITLES, Cell, Figure, Row, shown, span
from saccade.compare.runs import Contender, Group
from saccade.evaluation.scoring import MAIN


def seeds(group: Group) -> Figure | None:
    """Mean and spread over seeds; nothing where no two runs differ in their seed alone."""
    families = [runs for runs in _families(group.runs) if len(runs) > 1]
    if not families:
        return None
    rows, body = list[Row](), list[list[Cell]]()
    for runs in families:
        name, tried = runs[0].opened.header.recipe_name, [_seed(run) for run in runs]
        cells = [Cell(name, ", ".join(run.name for run in runs), words=True, strong=True)]
        cells.append(Cell(str(len(runs)), f"seeds {', '.join(map(str, tried))}"))
        for metric in MAIN[group.task]:
            values = [float(run.scores[metric]) for run in runs]
            mean, spread, low, high = fmean(values), stdev(values), min(values), max(values)
            rows.append(
                {
                    "recipe": name,
                    "runs": ", ".join(run.name for run in runs),
                    "seeds": len(runs),
                    "metric": metric,
                    "mean": mean,
                    "standard_deviation": spread,
                    "lowest": low,
                    "highest": high,
                }
            )
            digits = DIGITS[metric]
            text = f"{shown(mean, digits)} \N{PLUS-MINUS SIGN} {shown(spread, digits)}"
            cells.append(Cell(text, span(low, high, digits), strong=True))
        body.append(cells)
    return Figure(
        "seeds",
        "Over training seeds",
        "Runs of one recipe on the same features, which differ in their training seed alone: mean "
        "\N{PLUS-MINUS SIGN} standard deviation over seeds (n \N{MINUS SIGN} 1), and in brackets "
        "the lowest and the highest. The intervals above say how far a score moves with other "
        "pictures; this, with other luck in training. A difference between recipes that is no "
        "larger than this may be luck.",
        rows,
        ["recipe", "runs", *(TITLES[metric] for metric in MAIN[group.task])],
        body,
    )


def _families(runs: Sequence[Contender]) -> list[list[Contender]]:
    """Runs by all that may differ but the seed, in the order of the ranking; of two runs with one
    seed, which say nothing about seeds, the first.
    """
    found: dict[str, dict[int, Contender]] = {}
    for run in runs:
        recipe = run.opened.header.recipe
        unseeded = recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": 0})})
        past = [one.recipe_name for one in run.opened.header.earlier]
        told = [run.scores.get(label) for label in ("features_fingerprint", "beams")]
        alike = f"{unseeded.model_dump_json()} {past} {told}"
        found.setdefault(alike, {}).setdefault(_seed(run), run)
    return [list(family.values()) for family in found.values()]


def _seed(run: Contender) -> int:
    return run.opened.header.recipe.train.seed
