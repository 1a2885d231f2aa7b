"""Do two runs differ by more than luck? Paired tests, corrected for how many there are."""

from collections.abc import Sequence
from itertools import combinations

from saccade.compare.figures import DIGITS, SURE, TITLES, Cell, Figure, shown, span
from saccade.compare.runs import Contender, Group
from saccade.evaluation.baselines import SEED
from saccade.evaluation.scoring import MAIN, statistics
from saccade.metrics.intervals import Difference, compare

ALL_PAIRS = 8
"""Of more runs each is compared with the first alone."""


def difference(first: Contender, second: Contender, metric: str) -> Difference | None:
    """How much better `first` is; nothing where one picture alone was judged."""
    one, other = (statistics(run.rows)[metric] for run in (first, second))
    return compare(one, other, seed=SEED) if len(one.sums) > 1 else None


def paired(group: Group) -> Figure | None:
    """Which runs differ by more than luck; nothing to say of a single run."""
    pairs = list(combinations(group.runs, 2))
    if len(group.runs) > ALL_PAIRS:
        pairs = [(group.runs[0], run) for run in group.runs[1:]]
    tests = [
        (metric, one, other, gap)
        for metric in MAIN[group.task]
        for one, other in pairs
        if (gap := difference(one, other, metric)) is not None
    ]
    if not tests:
        return None
    corrected = holm([gap.p_permutation for *_, gap in tests])
    rows, body, places = [], [], {run.name: place for place, run in enumerate(group.runs)}
    for (metric, one, other, gap), p in zip(tests, corrected, strict=True):
        rows.append({"metric": metric, "run": one.name, "other": other.name, **gap._asdict()})
        rows[-1]["p_holm"] = p
        digits = DIGITS[metric]
        body.append(
            [
                Cell(TITLES[metric], words=True),
                Cell(one.name, run=places[one.name], words=True),
                Cell(other.name, run=places[other.name], words=True),
                Cell(shown(gap.difference, digits), span(gap.low, gap.high, digits)),
                *(Cell(_p(value)) for value in (gap.p_permutation, gap.p_bootstrap, p)),
                Cell("differ" if p < 0.05 else "not told apart", words=True),
            ]
        )
    return Figure(
        "paired",
        "Do they differ by more than luck?",
        f"Two runs on the same {tests[0][3].pictures:,} pictures. p, exchanged: the two runs' "
        "results exchanged picture by picture, by the toss of a coin, 2,000 times; p, drawn: "
        "pictures drawn anew. Many comparisons make some differ by luck, so the words go by the "
        f"last p, Holm's correction for all {len(tests)} tests of this table, below 0.05.",
        rows,
        [
            "",
            "run",
            "other",
            f"difference {SURE}",
            "p, exchanged",
            "p, drawn",
            "p, corrected",
            "",
        ],
        body,
        tall=len(body) > 24,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p of each test as if all were one question (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
