"""Table of a sweep: seeds of a configuration together, with intervals, paired tests and gains.

A configuration is a recipe with its settings on a data folder. Its score is the mean over seeds;
the interval of that mean, and the paired tests, resample images, as for single runs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, NamedTuple

from saccade.comparison.figures import score, score_span
from saccade.comparison.page import compare as write_page
from saccade.comparison.ranking import ALL_PAIRS, holm
from saccade.comparison.runs import ComparedRun, Group, read_groups
from saccade.core.files import as_json, write_text
from saccade.evaluation.baselines import SEED
from saccade.evaluation.scoring import statistics
from saccade.evaluation.verdict import CAUTIONS, Gap, baseline_title, best_without_image, gain_of
from saccade.metrics.catalogue import METRICS
from saccade.metrics.intervals import Statistic, average, compare, intervals
from saccade.sweeps.plan import PlannedRun, Sweep
from saccade.sweeps.run import Records, is_done

Row = dict[str, Any]
FEW_IMAGES = 2
"""Fewer say nothing about others: no interval, no test."""


class Configuration(NamedTuple):
    """The finished runs of a recipe with its settings on a data folder."""

    names: tuple[str, str, str]
    """Of data, recipe and settings."""
    runs: Mapping[int, ComparedRun]
    """By training seed."""
    statistics: Mapping[int, Mapping[str, Statistic]]
    """By training seed and metric."""

    @property
    def title(self) -> str:
        """Recipe and settings."""
        return " ".join(filter(None, self.names[1:]))

    def statistic(self, metric: str, seeds: Sequence[int] = ()) -> Statistic:
        """The mean score over seeds, by default all."""
        return average([self.statistics[seed][metric] for seed in seeds or self.runs])


def write_table(sweep: Sweep, records: Records) -> dict[str, Any]:
    """Write `table.json`, `table.md` and a page for each data folder; returns what is in the first.

    Raises BadRun where a finished run's files do not belong together any more.
    """
    finished = defaultdict[str, list[PlannedRun]](list)
    for run in sweep.runs:
        if is_done(run, records):
            finished[run.data].append(run)
    rows, differences, notes, pages = list[Row](), list[Row](), list[str](), list[str]()
    for data, runs in finished.items():
        for split in dict.fromkeys(run.split for run in runs):
            paths = {run.name: run.out for run in runs if run.split == split}
            for group in read_groups(paths, split):
                known = _configurations(group, runs)
                rows += [_row(one, group, records) for one in known]
                differences += _differences(known, group)
                notes += _notes(group, data)
            page = sweep.out / "compare" / f"{data}-{split}.html"
            page.parent.mkdir(exist_ok=True)
            write_page(paths, page, split=split, data=runs[0].folder, device=runs[0].device)
            pages.append(str(page))
    failed = {
        run.name: records[run.name].reason
        for run in sweep.runs
        if run.name in records and records[run.name].state == "failed"
    }
    whole = {"rows": rows, "differences": differences, "failed": failed, "notes": notes}
    write_text(sweep.out / "table.json", as_json(whole))
    write_text(sweep.out / "table.md", "\n".join(_markdown(whole)) + "\n")
    files = [str(sweep.out / name) for name in ("table.json", "table.md")]
    return {**whole, "files": [*files, *pages]}


def _configurations(group: Group, runs: Sequence[PlannedRun]) -> list[Configuration]:
    """The configurations of a group, best first by the mean over seeds."""
    planned, found = {run.name: run for run in runs}, dict[tuple[str, str, str], Configuration]()
    for run in group.runs:
        seed, names = planned[run.name].seed, planned[run.name].configuration
        one = found.get(names, Configuration(names, {}, {}))
        of_seed = {**one.statistics, seed: statistics(run.rows)}
        found[names] = Configuration(names, {**one.runs, seed: run}, of_seed)

    def mean(one: Configuration) -> float:
        return fmean(run.scores[group.metric] for run in one.runs.values())

    return sorted(found.values(), key=mean, reverse=True)


def _row(one: Configuration, group: Group, records: Records) -> Row:
    """What was measured of a configuration."""
    done = [records[run.name] for run in one.runs.values()]
    data, recipe, settings = one.names
    row: Row = {"data": data, "recipe": recipe, "settings": settings, "task": group.task}
    row |= {"split": group.split, "seeds": sorted(one.runs), "scores": {}}
    row |= {"runs": [run.name for run in one.runs.values()]}
    row |= {"epochs": fmean(record.epochs for record in done)}
    row |= {"minutes": fmean(record.minutes for record in done)}
    row |= {"cut_short": sum(record.cut_short for record in done)}
    for metric in group.info.main_metrics:
        values = [float(run.scores[metric]) for run in one.runs.values()]
        statistic = one.statistic(metric)
        ends = intervals([statistic])[0] if len(statistic.sums) >= FEW_IMAGES else None
        best = {best_without_image(run.scores["baselines"], metric) for run in one.runs.values()}
        row["scores"][metric] = {
            "mean": fmean(values),
            "interval": ends and list(ends),
            "standard_deviation": stdev(values) if len(values) > 1 else None,
            "lowest": min(values),
            "highest": max(values),
            "best_baselines": sorted(filter(None, best)),
            "visual_gain": _mean_gap(one, metric, "visual_gain"),
            "baseline_gain": _mean_gap(one, metric, "baseline_gain"),
        }
    return row


def _mean_gap(one: Configuration, metric: str, entry: str) -> list[float] | None:
    """Points, and the ends of the interval, of a gain: means over seeds; None where one has none.

    The mean of the ends is no narrower than the interval of the mean.
    """
    gaps = [gain_of(run.scores, metric, entry) for run in one.runs.values()]
    known = [gap for gap in gaps if gap is not None]
    if not known or len(known) < len(gaps):
        return None
    return [fmean(values) for values in zip(*known, strict=True)]


def _differences(known: Sequence[Configuration], group: Group) -> Iterator[Row]:
    """Paired tests of every two configurations, on the seeds that both have; of many, of the best
    with each other one."""
    pairs = list(combinations(known, 2))
    if len(known) > ALL_PAIRS:
        pairs = pairs[: len(known) - 1]
    found = list[Row]()
    for metric in group.info.main_metrics:
        for first, second in pairs:
            seeds = sorted(first.runs.keys() & second.runs.keys())
            if not seeds or len(first.statistic(metric).sums) < FEW_IMAGES:
                continue
            two = (one.statistic(metric, seeds) for one in (first, second))
            gap = compare(*two, seed=SEED)
            row: Row = {"data": first.names[0], "task": group.task, "metric": metric}
            row |= {"first": first.title, "second": second.title, "seeds": seeds}
            excludes_zero = gap.low > 0 or gap.high < 0
            found.append({**row, **gap._asdict(), "excludes_zero": excludes_zero})
    corrected = holm([row["p_permutation"] for row in found])
    return ({**row, "p_holm": p} for row, p in zip(found, corrected, strict=True))


def _notes(group: Group, data: str) -> Iterator[str]:
    """What a reader must know before the first number."""
    for (field, wanted), text in CAUTIONS.items():
        count = sum(run.scores.get(field) is wanted for run in group.runs)
        if count:
            runs = "all runs" if count == len(group.runs) else f"{count} of {len(group.runs)} runs"
            yield f"{data}, {group.split}: {runs} {text}"


def score_cells(row: Row, metric: str) -> list[str]:
    """Score with its interval, spread over seeds, and both gains, as a person reads them."""
    of = row["scores"][metric]
    whole = f"{score(metric, of['mean'])} {score_span(metric, of['interval'])}".strip()
    spread = ""
    if of["standard_deviation"] is not None:
        ends = score_span(metric, (of["lowest"], of["highest"]))
        spread = f"\N{PLUS-MINUS SIGN} {score(metric, of['standard_deviation'])} {ends}"
    gains = [str(Gap(*of[name])) if of[name] else "" for name in ("visual_gain", "baseline_gain")]
    return [whole, spread, *gains]


HEADS = ("95 % interval over images", "over seeds", "gain by the image", "gain over no image")


def difference_text(row: Row) -> str:
    """A difference in words, with its interval."""
    metric, two = row["metric"], f"{row['first']} against {row['second']}"
    ends = score_span(metric, (row["low"], row["high"]))
    verdict = "excludes 0" if row["excludes_zero"] else "contains 0: no difference is shown"
    p = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    title = METRICS[metric].title
    return f"{two}: {title} {score(metric, row['difference'])} {ends}, {verdict}; corrected {p}"


def _markdown(whole: Mapping[str, Any]) -> Iterator[str]:
    """The table as Markdown."""
    rows = whole["rows"]
    for data, task, split in dict.fromkeys((r["data"], r["task"], r["split"]) for r in rows):
        mine = [r for r in rows if (r["data"], r["task"], r["split"]) == (data, task, split)]
        titles = [METRICS[metric].title for metric in mine[0]["scores"]]
        heads = [f"{title}, {head}" for title in titles for head in HEADS]
        heads = ["recipe and settings", "seeds", *heads, "epochs", "minutes"]
        yield from (f"## {data}, {split}", "", _line(heads), _line(["---"] * len(heads)))
        for row in mine:
            cells = [cell for metric in row["scores"] for cell in score_cells(row, metric)]
            title = " ".join(filter(None, (row["recipe"], row["settings"])))
            seeds = ", ".join(map(str, row["seeds"]))
            yield _line([title, seeds, *cells, f"{row['epochs']:.0f}", minutes_text(row)])
        yield from ("", f"Best without an image: {_baselines(mine)}. {HOW}", "")
        tests = [r for r in whole["differences"] if (r["data"], r["task"]) == (data, task)]
        yield from (f"- {difference_text(row)}" for row in tests)
        yield ""
    yield from (f"- note: {note}" for note in whole["notes"])
    yield from (f"- failed: {name}: {reason}" for name, reason in whole["failed"].items())


HOW = (
    "Scores are means over seeds. In brackets 95 % intervals, by resampled images; over seeds: "
    "standard deviation, and the lowest and the highest. Differences are paired by image, on the "
    "seeds that both have; p values are corrected for their number (Holm)."
)


def _baselines(rows: Sequence[Row]) -> str:
    """The best baselines without an image, by metric."""
    found = dict.fromkeys(
        f"{baseline_title(name)} by {METRICS[metric].title}"
        for row in rows
        for metric, of in row["scores"].items()
        for name in of["best_baselines"]
    )
    return ", ".join(found) or "not measured"


def minutes_text(row: Row) -> str:
    """Minutes of a run, and how many runs their time limit ended."""
    cut = f" (limit: {row['cut_short']} of {len(row['runs'])})" if row["cut_short"] else ""
    return f"{row['minutes']:.1f}{cut}"


def _line(cells: Sequence[str]) -> str:
    """A line of a Markdown table; what would end a cell is escaped."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
