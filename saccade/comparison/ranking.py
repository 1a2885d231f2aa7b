"""Who stands where, and how sure that is: the ranking, beside what needs no image."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from saccade.comparison.figures import (
    DIGITS,
    NONE,
    SURE,
    TITLES,
    Bar,
    Cell,
    Figure,
    Row,
    number_or_none,
    reason,
    shown,
    span,
)
from saccade.comparison.runs import Contender, Group
from saccade.core.tasks import TASK_INFO
from saccade.evaluation.baselines import LITTLE, SEED, SHUFFLED
from saccade.evaluation.scoring import statistics
from saccade.metrics.intervals import Difference, compare

# Do two runs differ by more than luck? Paired tests, corrected for how many there are.

ALL_PAIRS = 8
"""Of more runs each is compared with the first alone."""


def difference(first: Contender, second: Contender, metric: str) -> Difference | None:
    """How much better `first` is; nothing where one image alone was judged."""
    one, other = (statistics(run.rows)[metric] for run in (first, second))
    return compare(one, other, seed=SEED) if len(one.sums) > 1 else None


def paired(group: Group) -> Figure | None:
    """Which runs differ by more than luck; nothing to say of a single run."""
    pairs = list(combinations(group.runs, 2))
    if len(group.runs) > ALL_PAIRS:
        pairs = [(group.runs[0], run) for run in group.runs[1:]]
    tests = [
        (metric, one, other, gap)
        for metric in TASK_INFO[group.task].main_metrics
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
        f"Two runs on the same {tests[0][3].images:,} images. p, exchanged: the two runs' "
        "results exchanged image by image, by the toss of a coin, 2,000 times; p, drawn: "
        "images drawn anew. Many comparisons make some differ by luck, so the words go by the "
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


TOP = {"accuracy": 100.0, "bleu_4": 1.0, "cider": 1.0}
"""The length of a bar is a score's share of this."""
BASELINES = {
    "most_frequent_answer": "the commonest answer",
    "most_frequent_per_question_type": "commonest by type of question",
    "most_frequent_per_question": "commonest to the same question",
    "question_only": "the question alone",
    "shuffled_questions": "the run, with the wrong questions",
    SHUFFLED: "the run, with the wrong images",
    "constant_caption": "one caption for all",
    "nearest_neighbour": "a caption of similar images",
}
OWN = ("shuffled_questions", SHUFFLED)
"""Priors that are the run itself."""


def bounds(run: Contender, metric: str) -> tuple[float | None, float | None]:
    """The 95 % interval of a run's score; nothing where it was not measured."""
    return pair(run.scores["interval"], metric)


def pair(intervals: Any, metric: str) -> tuple[float | None, float | None]:
    """One interval among others; nothing where there is none."""
    found = intervals.get(metric) if isinstance(intervals, Mapping) else None
    return (found[0], found[1]) if isinstance(found, Sequence) else (None, None)


def leaderboard(group: Group) -> Figure:
    """All runs, best first, with intervals, gain by looking, and what was published."""
    rows, body = [], []
    first, metrics = group.runs[0], TASK_INFO[group.task].main_metrics
    gaps = {run.name: difference(run, first, group.metric) for run in group.runs[1:]}
    for place, run in enumerate(group.runs):
        gap = gaps.get(run.name)
        rows.append(_standing(run, metrics) | _behind(gap) | {"published": run.entry.published})
        body.append(
            [
                name_cell(run, place),
                *(_score_cell(run, metric) for metric in metrics),
                _gain_cell(run, group.metric),
                *([] if len(group.runs) == 1 else [_gap_cell(gap, group.metric, place)]),
                Cell(run.entry.published, run.entry.paper, words=True),
            ]
        )
    unit = TITLES[group.metric]
    heads = [
        "run",
        *(f"{TITLES[m]} {SURE}" for m in metrics),
        "gains by looking, points",
    ]
    heads += [] if len(group.runs) == 1 else [f"{unit}, against the first"]
    return Figure(
        "leaderboard",
        "Standings",
        _says(group),
        rows,
        [*heads, "published, on the paper's data"],
        body,
        notes=_warnings(group),
    )


def _says(group: Group) -> str:
    percent = ""
    if TASK_INFO[group.task].asks_question:
        what = f"Accuracy, 0 to 100 ({group.scorer})"
        number = f"{group.runs[0].scores['questions']:,} questions"
    else:
        percent = " Papers write BLEU in per cent: 24.3 is 0.243 here."
        what = f"Corpus scores of one free-running caption for each image ({group.scorer})"
        number = f"{group.runs[0].scores['images']:,} images"
    return (
        f"{what}, on the {number} of the {group.split} split. In brackets 95 % intervals, images "
        "drawn anew: so far a score would move with other images of the same kind, not with "
        "another training seed. Gains by looking: the score less that of the same run with the "
        "wrong images. What papers published was measured on other, mostly larger data, and "
        f"is here to be known, not to be ranked with.{percent}"
    )


def _warnings(group: Group) -> list[str]:
    """What a reader must know before the first number."""
    found = []
    for field, says in (
        ("trained_on_this_split", "learnt from this very split: that is no result"),
        (
            "selected_on_this_split",
            "chose the best epoch on this very split, so scores are too good",
        ),
    ):
        of = [run.name for run in group.runs if run.scores.get(field) is True]
        if of:
            found.append(f"{'All runs' if len(of) == len(group.runs) else ', '.join(of)} {says}.")
    other = [run.name for run in group.runs if run.scores.get("same_data_as_in_training") is False]
    if other:
        found.append(f"Trained on other data than they were judged on: {', '.join(other)}.")
    for run in group.runs:
        if note := run.scores.get("visual_gain_note"):
            found.append(f"{run.name}: {note}")
    beam_size = {run.scores["beam_size"] for run in group.runs if "beam_size" in run.scores}
    if len(beam_size) > 1:
        found.append("Captions were said with different numbers of beams, which moves BLEU.")
    if len({str(run.scores.get("decoding_rules")) for run in group.runs}) > 1:
        found.append("Captions were said by different decoding rules, which move BLEU (run.json).")
    return found


def _standing(run: Contender, metrics: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": run.name,
        "recipe": run.opened.header.recipe_name,
        "model": run.opened.header.recipe.model.kind,
        "encoder": run.eye,
    }
    for metric in metrics:
        low, high = bounds(run, metric)
        row |= {metric: run.scores[metric], f"{metric}_low": low, f"{metric}_high": high}
    for metric in metrics:
        gain = number_or_none(run.scores["visual_gain"].get(metric))
        low, high = pair(run.scores.get("visual_gain_interval"), metric)
        gained = f"visual_gain_{metric}"
        row |= {gained: gain, f"{gained}_low": low, f"{gained}_high": high}
    return row


def name_cell(run: Contender, place: int) -> Cell:
    """A run's name, with what it is."""
    about = f"{run.entry.title} · {run.opened.header.recipe_name} · {run.eye}"
    return Cell(run.name, about, run=place, words=True, strong=True)


def _score_cell(run: Contender, metric: str) -> Cell:
    digits = DIGITS[metric]
    return Cell(shown(run.scores[metric], digits), span(*bounds(run, metric), digits), strong=True)


def _gain_cell(run: Contender, metric: str) -> Cell:
    gain = number_or_none(run.scores["visual_gain"].get(metric))
    if gain is None:
        return Cell(NONE, reason(run.scores["visual_gain"]) or "")
    low, high = pair(run.scores.get("visual_gain_interval"), metric)
    below = span(low, high, 1) + (" hardly looks" if gain < LITTLE else "")
    return Cell(shown(gain, 1), below)


def _behind(gap: Difference | None) -> dict[str, Any]:
    return {
        "to_first": gap and gap.difference,
        "to_first_low": gap and gap.low,
        "to_first_high": gap and gap.high,
        "to_first_p": gap and gap.p_permutation,
    }


def _gap_cell(gap: Difference | None, metric: str, place: int) -> Cell:
    if gap is None:
        return Cell(NONE if place else "first")
    digits = DIGITS[metric]
    return Cell(shown(gap.difference, digits), span(gap.low, gap.high, digits))


def bars(group: Group) -> Figure:
    """The ranking as bars, with intervals, and what is reached without looking."""
    metric, rows, drawn = group.metric, list[Row](), list[Bar]()
    digits, top = DIGITS[metric], _top(group)
    for place, run in enumerate(group.runs):
        (low, high), score = bounds(run, metric), run.scores[metric]
        without = number_or_none(run.scores["baselines"].get(SHUFFLED, {}).get(metric))
        rows.append(_reached(run.name, score, low, high, without))
        ends = [None if value is None else value / top for value in (low, high, without)]
        drawn.append(Bar(run.name, shown(score, digits), score / top, place, *ends))
    for title, score in shared_priors(group):
        rows.append(_reached(title, score, None, None, None))
        drawn.append(Bar(title, shown(score, digits), score / top))
    return Figure(
        "scores",
        "Scores and their intervals",
        f"By {TITLES[metric]}. The line through the end of a bar is its interval; the notch is "
        "what the same run reaches with the wrong images. Paler: what needs no image, or not "
        "the right one.",
        rows,
        bars=drawn,
    )


def _top(group: Group) -> float:
    """The score that fills the whole width: a round number above the best one."""
    metric = group.metric
    highest = max((bounds(run, metric)[1] or run.scores[metric]) for run in group.runs)
    highest = max(highest, *(score for _, score in shared_priors(group)), 0.0)
    steps = (0.1, 0.2, 0.25, 0.4, 0.5, 0.75, 1.0)
    fitting = (TOP[metric] * step for step in steps if TOP[metric] * step >= highest)
    return next(fitting, max(highest, TOP[metric]))


def _reached(
    name: str, score: float, low: float | None, high: float | None, without: float | None
) -> Row:
    return {"name": name, "score": score, "low": low, "high": high, "wrong_images": without}


def shared_priors(group: Group) -> list[tuple[str, float]]:
    """Priors that are no run's own, by title, highest first; each different value once."""
    found: dict[tuple[str, float], str] = {}
    for run in group.runs:
        for baseline, reached in run.scores["baselines"].items():
            score = number_or_none(reached.get(group.metric))
            if baseline not in OWN and score is not None:
                found.setdefault((baseline, score), run.name)
    baselines = [baseline for baseline, _ in found]
    named = [
        (
            BASELINES.get(baseline, baseline)
            + (f" ({name}'s features)" if baselines.count(baseline) > 1 else ""),
            score,
        )
        for (baseline, score), name in found.items()
    ]
    return sorted(named, key=lambda item: -item[1])


def priors(group: Group) -> Figure:
    """What each run's data gives away, and what the run itself says without seeing right."""
    baselines = list(
        dict.fromkeys(baseline for run in group.runs for baseline in run.scores["baselines"])
    )
    rows, body = list[Row](), list[list[Cell]]()
    for baseline in baselines:
        cells = []
        for run in group.runs:
            reached = run.scores["baselines"].get(baseline, {})
            values = {
                metric: number_or_none(reached.get(metric))
                for metric in TASK_INFO[group.task].main_metrics
            }
            why = reason(reached)
            rows.append({"prior": baseline, "run": run.name, **values, "not_measured": why})
            cells.append(Cell(shown(values[group.metric], DIGITS[group.metric]), why or ""))
        body.append([Cell(BASELINES.get(baseline, baseline), words=True), *cells])
    own = [Cell(shown(run.scores[group.metric], DIGITS[group.metric])) for run in group.runs]
    return Figure(
        "priors",
        "What is reached without looking",
        f"The {TITLES[group.metric]} of what needs no image, and of each run with the images "
        "(or questions) exchanged for each other. ScoredExamples by the same code.",
        rows,
        ["", *run_heads(group)],
        [*body, [Cell("the run itself", words=True, strong=True), *own]],
    )


def run_heads(group: Group) -> list[Cell]:
    """A column for each run."""
    return [Cell(run.name, run=place) for place, run in enumerate(group.runs)]


# How far does a score move with the training seed alone? Runs that differ in nothing else.


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
        for metric in TASK_INFO[group.task].main_metrics:
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
        "images; this, with other luck in training. A difference between recipes that is no "
        "larger than this may be luck.",
        rows,
        ["recipe", "runs", *(TITLES[metric] for metric in TASK_INFO[group.task].main_metrics)],
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
        past = [one.recipe_name for one in run.opened.header.ancestors]
        told = [run.scores.get(label) for label in ("features_fingerprint", "beam_size")]
        alike = f"{unseeded.model_dump_json()} {past} {told}"
        found.setdefault(alike, {}).setdefault(_seed(run), run)
    return [list(family.values()) for family in found.values()]


def _seed(run: Contender) -> int:
    return run.opened.header.recipe.train.seed
