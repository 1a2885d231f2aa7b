"""Ranking of runs: scores with intervals, paired tests, baselines, and the spread over seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import floor, log10
from statistics import fmean, stdev
from typing import Any

from saccade.comparison.figures import (
    INTERVAL,
    NONE,
    Cell,
    Figure,
    Row,
    Value,
    number_or_none,
    reason,
    score,
    score_span,
    shown,
)
from saccade.comparison.runs import ComparedRun, Group
from saccade.evaluation.baselines import SEED
from saccade.evaluation.scoring import statistics
from saccade.evaluation.verdict import (
    CAUTIONS,
    IMAGE_USE,
    SHUFFLED,
    WRONG_INPUT,
    baseline_title,
    give_verdict,
)
from saccade.metrics.catalogue import METRICS
from saccade.metrics.intervals import Difference, compare
from saccade.viz.html import Bar

ALL_PAIRS = 8
"""Of more runs each is compared with the first alone."""


def name_cell(run: ComparedRun, place: int) -> Cell:
    """A run's name, with its model, recipe and encoder."""
    return Cell(run.name, run.about, run=place, words=True, strong=True)


def run_heads(group: Group) -> list[Cell]:
    """The head of a column for each run."""
    return [Cell(run.name, run=place) for place, run in enumerate(group.runs)]


def ends_of(intervals: Any, metric: str) -> Sequence[float] | None:
    """The 95 % interval of a metric among those of all; None where it was not measured."""
    found = intervals.get(metric) if isinstance(intervals, Mapping) else None
    return found if isinstance(found, Sequence) else None


# The ranking itself.


def ranking(group: Group) -> Figure:
    """All runs, best first, with intervals, visual gain, and what was published."""
    rows, body = list[Row](), list[list[Cell]]()
    first, metrics, several = group.runs[0], group.info.main_metrics, len(group.runs) > 1
    for place, run in enumerate(group.runs):
        cells = [name_cell(run, place)]
        row: dict[str, Value] = {"run": run.name, "recipe": run.scores["recipe"]}
        row |= {"model": run.scores["model"], "encoder": run.encoder}
        for metric in metrics:
            value, ends = run.scores[metric], ends_of(run.scores["interval"], metric)
            row |= _with_ends(metric, value, ends)
            cells.append(Cell(score(metric, value), score_span(metric, ends), strong=True))
        gains, gain_bounds = run.scores["visual_gain"], run.scores.get("visual_gain_interval")
        for metric in metrics:
            ends = ends_of(gain_bounds, metric)
            row |= _with_ends(f"visual_gain_{metric}", gains.get(metric), ends)
        gain, ends = number_or_none(gains.get(group.metric)), ends_of(gain_bounds, group.metric)
        below = f"[{shown(ends[0], 1)}, {shown(ends[1], 1)}]" if ends else reason(gains) or ""
        use = IMAGE_USE[give_verdict(run.scores).image_use]
        cells.append(Cell(shown(gain, 1), f"{below} {use}".strip()))
        gap = difference(run, first, group.metric) if place else None
        published, paper = (run.entry.published, run.entry.paper) if run.entry else (NONE, "")
        row |= _with_ends("to_first", gap and gap.difference, gap and (gap.low, gap.high))
        row |= {"to_first_p": gap and gap.p_permutation, "published": published}
        rows.append(row)
        if several:
            none = Cell(NONE if place else "first")
            cells.append(none if gap is None else _gap_cell(gap, group.metric))
        body.append([*cells, Cell(published, paper, words=True)])
    titles = [f"{METRICS[metric].title} {INTERVAL}" for metric in metrics]
    against = [f"{METRICS[group.metric].title}, against the first"] if several else []
    head = ["run", *titles, "visual gain, points", *against, "published, on the paper's data"]
    return Figure("ranking", "Ranking", _description(group), rows, head, body, notes=_notes(group))


def _with_ends(name: str, value: Any, ends: Sequence[float | None] | None) -> dict[str, Value]:
    """A number in the files, with the ends of its interval."""
    low, high = ends or (None, None)
    return {name: number_or_none(value), f"{name}_low": low, f"{name}_high": high}


def _description(group: Group) -> str:
    examples = "questions" if "questions" in group.runs[0].scores else "images"
    number = f"{group.runs[0].scores[examples]:,} {examples}"
    main = [METRICS[metric] for metric in group.info.main_metrics]
    titles = ", ".join(f"{of.title} in {of.unit}" if of.unit else of.title for of in main)
    return (
        f"{titles[0].upper()}{titles[1:]}, on the {number} of the {group.split} "
        f"split ({group.scorer}). Predictions are free-running. In brackets 95 % intervals over "
        "resampled images: how far a score would move with other images of the same kind, not "
        "with another training seed. Visual gain: the score minus that of the same run with "
        "shuffled images. Published scores were measured on other, mostly larger data: they are "
        "for orientation, not for ranking."
    )


def _notes(group: Group) -> list[str]:
    """What a reader must know before the first number."""
    found = []
    for (field, wanted), text in CAUTIONS.items():
        if of := [run.name for run in group.runs if run.scores.get(field) is wanted]:
            found.append(f"{'All runs' if len(of) == len(group.runs) else ', '.join(of)} {text}.")
    for run in group.runs:
        for name, message in (run.scores.get("findings") or {}).items():
            found.append(f"{run.name}, before training [{name}]: {message}.")
    models = [run for run in group.runs if run.opened]
    for run in models:
        findings = run.scores.get("training_findings", ())
        found += [f"{run.name}, while it trained, {finding}" for finding in findings]
    verdicts = {run.name: give_verdict(run.scores) for run in group.runs}
    found += [f"{name}: {one.text}" for name, one in verdicts.items() if not one.is_clear]
    if len({run.scores.get("beam_size") for run in models}) > 1:
        found.append("Captions were decoded with different numbers of beams, which moves BLEU.")
    if len({str(run.scores.get("decoding_rules")) for run in models}) > 1:
        found.append("Captions were decoded by different rules, which moves BLEU (run.json).")
    return found


def _gap_cell(gap: Difference, metric: str) -> Cell:
    return Cell(score(metric, gap.difference), score_span(metric, (gap.low, gap.high)))


def bars(group: Group) -> Figure:
    """The ranking as bars, with intervals and baselines."""
    metric, rows, drawn = group.metric, list[Row](), list[Bar]()
    scored = list[tuple[str, float, int | None, tuple[float | None, ...]]]()
    for place, run in enumerate(group.runs):
        shuffled = number_or_none(run.scores["baselines"].get(SHUFFLED, {}).get(metric))
        ends = ends_of(run.scores["interval"], metric) or (None, None)
        scored.append((run.name, run.scores[metric], place, (*ends, shuffled)))
    scored += [(title, value, None, (None,) * 3) for title, value in shared_baselines(group)]
    # The score that fills the whole width: a round number, at least the highest one.
    highest = max(high or value for _, value, _, (_, high, _) in scored)
    unit = 10.0 ** floor(log10(highest)) if highest > 0 else 1.0
    top = next(step * unit for step in (1, 2, 2.5, 4, 5, 7.5, 10) if step * unit >= highest)
    for name, value, own_place, marks in scored:
        known = dict(zip(("low", "high", "with_shuffled_images"), marks, strict=True))
        rows.append({"name": name, "score": value, **known})
        shares = [None if mark is None else mark / top for mark in marks]
        drawn.append(Bar(name, score(metric, value), value / top, own_place, *shares))
    return Figure(
        "scores",
        "Scores and intervals",
        f"By {METRICS[metric].title}. The line through the end of a bar is its interval; the notch "
        "is the same run with shuffled images. Paler: baselines, which use no image.",
        rows,
        bars=drawn,
    )


def shared_baselines(group: Group) -> list[tuple[str, float]]:
    """Baselines that are not the runs themselves, best first; one for each different score."""
    found: dict[tuple[str, float], str] = {}
    for run in group.runs:
        for baseline, scores in run.scores["baselines"].items():
            value = number_or_none(scores.get(group.metric))
            if baseline not in WRONG_INPUT and value is not None:
                found.setdefault((baseline, value), run.name)
    names, titled = Counter(baseline for baseline, _ in found), list[tuple[str, float]]()
    for (baseline, value), run_name in found.items():
        features = f" ({run_name}'s features)" if names[baseline] > 1 else ""
        titled.append((baseline_title(baseline) + features, value))
    return sorted(titled, key=lambda item: -item[1])


def baselines(group: Group) -> Figure:
    """Scores without the right image, run by run."""
    names = dict.fromkeys(name for run in group.runs for name in run.scores["baselines"])
    rows, body = list[Row](), list[list[Cell]]()
    for baseline in names:
        cells = [Cell(baseline_title(baseline), words=True)]
        for run in group.runs:
            found = run.scores["baselines"].get(baseline, {})
            values = {name: number_or_none(found.get(name)) for name in group.info.main_metrics}
            why = reason(found)
            rows.append({"baseline": baseline, "run": run.name, **values, "not_measured": why})
            cells.append(Cell(score(group.metric, values[group.metric]), why or ""))
        body.append(cells)
    own = [Cell(score(group.metric, run.scores[group.metric])) for run in group.runs]
    return Figure(
        "baselines",
        "Baselines",
        f"By {METRICS[group.metric].title}: without the image, and each run with shuffled images "
        "(or questions), by the same scorer.",
        rows,
        ["", *run_heads(group)],
        [*body, [Cell("the run itself", words=True, strong=True), *own]],
    )


# Significance: paired tests, corrected for how many there are.


def difference(first: ComparedRun, second: ComparedRun, metric: str) -> Difference | None:
    """How much better `first` is; None where one image alone was scored."""
    one, other = (statistics(run.rows)[metric] for run in (first, second))
    return compare(one, other, seed=SEED) if len(one.sums) > 1 else None


def significance(group: Group) -> Figure | None:
    """Paired tests of every two runs; None for a single run."""
    pairs = list(combinations(enumerate(group.runs), 2))
    if len(group.runs) > ALL_PAIRS:
        pairs = pairs[: len(group.runs) - 1]  # those with the first run
    tests = [
        (metric, one, other, gap)
        for metric in group.info.main_metrics
        for one, other in pairs
        if (gap := difference(one[1], other[1], metric)) is not None
    ]
    if not tests:
        return None
    rows, body = [], []
    head = ["", "run", "other", f"difference {INTERVAL}"]
    corrected = holm([gap.p_permutation for *_, gap in tests])
    for (metric, *two, gap), p in zip(tests, corrected, strict=True):
        (_, one), (_, other) = two
        about = {"metric": metric, "run": one.name, "other": other.name}
        rows.append({**about, **gap._asdict(), "p_holm": p})
        cells = [Cell(METRICS[metric].title, words=True)]
        cells += [Cell(run.name, run=place, words=True) for place, run in two]
        cells.append(_gap_cell(gap, metric))
        for value in (gap.p_permutation, gap.p_bootstrap, p):
            cells.append(Cell("< 0.001" if value < 0.001 else f"{value:.3f}"))
        verdict = "differ" if p < 0.05 else "no significant difference"
        body.append([*cells, Cell(verdict, words=True)])
    return Figure(
        "significance",
        "Significance of differences",
        f"Paired tests of two runs on the same {tests[0][3].images:,} images. Permutation: the two "
        "runs' results exchanged at random, image by image, 2,000 times; bootstrap: images "
        "resampled. Of many comparisons some differ by chance, so the last column goes by the "
        f"p value after Holm's correction for all tests of this table ({len(tests)}), below 0.05.",
        rows,
        [*head, "p, permutation", "p, bootstrap", "p, corrected", ""],
        body,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p of each test as if all were one question (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


# Training seeds: runs that differ in nothing else.


def seeds(group: Group) -> Figure | None:
    """Mean and spread over seeds; None where no two runs differ in their seed alone."""
    # Runs by all that may differ but the seed, in the order of the ranking; of two runs with one
    # seed, which say nothing about seeds, the first.
    families: dict[str, dict[int, ComparedRun]] = {}
    for run in group.runs:
        if run.opened is None:
            continue
        recipe = run.opened.header.recipe
        unseeded = recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": 0})})
        earlier = [one.recipe_name for one in run.opened.header.ancestors]
        labels = [run.scores.get(label) for label in ("features_fingerprint", "beam_size")]
        alike = f"{unseeded.model_dump_json()} {earlier} {labels}"
        families.setdefault(alike, {}).setdefault(recipe.train.seed, run)
    rows, body = list[Row](), list[list[Cell]]()
    for family in families.values():
        if len(family) < 2:
            continue
        runs, numbers = list(family.values()), ", ".join(map(str, family))
        name, names = runs[0].scores["recipe"], ", ".join(run.name for run in runs)
        cells = [Cell(name, names, words=True, strong=True)]
        cells.append(Cell(str(len(runs)), f"seeds {numbers}"))
        for metric in group.info.main_metrics:
            values = [float(run.scores[metric]) for run in runs]
            mean, deviation, ends = fmean(values), stdev(values), (min(values), max(values))
            about: dict[str, Value] = {"recipe": name, "runs": names, "seeds": len(runs)}
            about |= {"metric": metric, "mean": mean, "standard_deviation": deviation}
            rows.append(about | dict(zip(("lowest", "highest"), ends, strict=True)))
            text = f"{score(metric, mean)} \N{PLUS-MINUS SIGN} {score(metric, deviation)}"
            cells.append(Cell(text, score_span(metric, ends), strong=True))
        body.append(cells)
    if not body:
        return None
    return Figure(
        "seeds",
        "Over training seeds",
        "Runs of one recipe on the same features that differ in their training seed alone: mean "
        "\N{PLUS-MINUS SIGN} standard deviation over seeds (n \N{MINUS SIGN} 1), and in brackets "
        "the lowest and the highest. The intervals above are about other images; this is about "
        "other random numbers in training. A difference between recipes that is no larger than "
        "this may be chance.",
        rows,
        ["recipe", "runs", *(METRICS[metric].title for metric in group.info.main_metrics)],
        body,
    )
