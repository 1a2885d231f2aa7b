"""How two programs that compute the same are timed against each other.

One thread and the process's own CPU time: on a busy machine the wall clock of two threads gives
any ratio one likes. Both sides run in turn in one process, round after round, so that a slow
minute slows both; what counts is the median of the rounds' ratios.
"""

import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor


class Case(NamedTuple):
    """One thing to do, the published way and saccade's way."""

    name: str
    reference: Callable[[], object]
    ours: Callable[[], object]
    bar: float | None
    """The ratio that must be reached; none where it is only to be known."""


class Timing(NamedTuple):
    """What a case took."""

    name: str
    reference: float
    """Median CPU seconds."""
    ours: float
    ratio: float
    """Median over rounds of reference / ours."""
    bar: float | None


def one_thread() -> None:
    """Fix the conditions: one thread, the same random numbers every time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


def measure(cases: Sequence[Case], rounds: int) -> list[Timing]:
    """Time every case `rounds` times in turn, after one round that does not count."""
    spent: list[list[tuple[float, float]]] = [[] for _ in cases]
    for turn in range(rounds + 1):
        for case, rows in zip(cases, spent, strict=True):
            row = (cpu_seconds(case.reference), cpu_seconds(case.ours))
            if turn > 0:
                rows.append(row)
    return [
        Timing(
            case.name,
            median(row[0] for row in rows),
            median(row[1] for row in rows),
            median(row[0] / row[1] for row in rows),
            case.bar,
        )
        for case, rows in zip(cases, spent, strict=True)
    ]


def cpu_seconds(work: Callable[[], object]) -> float:
    """Do something once; what it took of this process's own CPU time."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def relative_difference(wanted: Tensor, got: Tensor) -> float:
    """Relative L2 distance of two tensors of one shape."""
    wanted, got = wanted.detach().double(), got.detach().double()
    return float((wanted - got).norm() / wanted.norm())


def require_equal(what: str, difference: float, limit: float = 1e-5) -> None:
    """A ratio between programs that compute different things is worth nothing: stop.

    Raises AssertionError, also under `python -O`.
    """
    if not difference <= limit:
        raise AssertionError(f"{what}: apart by {difference:.2g}, at most {limit:.2g} is allowed")
    Console().print(f"equal first: {what}, apart by {difference:.1g}")


def report(title: str, timings: Sequence[Timing]) -> None:
    """Print the table, and leave with status 1 when a bar is missed."""
    table = Table(title=f"{title} (1 thread, CPU seconds)")
    for column in ("case", "reference", "saccade", "ratio", "bar", "met?"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, reference, ours, ratio, bar in timings:
        table.add_row(
            name,
            f"{reference:.3f}",
            f"{ours:.3f}",
            f"{ratio:.2f}x",
            "-" if bar is None else f"{bar:g}x",
            "-" if bar is None else _met(ratio >= bar),
        )
    Console().print(table)
    if any(timing.bar is not None and timing.ratio < timing.bar for timing in timings):
        sys.exit(1)


class Limit(NamedTuple):
    """An amount that must not be exceeded."""

    name: str
    reference: str
    """What the published way takes, for comparison."""
    amount: float
    bar: float
    unit: str


def report_limits(title: str, limits: Sequence[Limit]) -> None:
    """Print the table, and leave with status 1 when a limit is exceeded."""
    table = Table(title=title)
    for column in ("case", "reference", "saccade", "at most", "met?"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, reference, amount, bar, unit in limits:
        table.add_row(
            name,
            reference,
            f"{amount:.4g} {unit}",
            f"{bar:g} {unit}",
            _met(amount <= bar),
        )
    Console().print(table)
    if any(limit.amount > limit.bar for limit in limits):
        sys.exit(1)


def _met(met: bool) -> str:
    return "yes" if met else "NO"
