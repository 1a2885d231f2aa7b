"""Loggers of a training: programs that are given its settings, and its numbers as they come.

A logger has the three methods of Lightning's loggers, so any of those is one, and a few lines make
one for another program (`examples/loggers`). It is made by a function that takes a `LoggedRun`: a
line of `LOGGERS`, an entry point in the group `saccade.loggers`, `module:NAME`, or in Python the
function itself. None is used unless it is asked for, and one that fails is given up, not the run.
No torch is imported here before training begins.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from saccade.config import Recipe, fields_of
from saccade.core.errors import BadConfig
from saccade.core.tables import Table, load_object

if TYPE_CHECKING:
    from saccade.training.loop import Progress


class LoggedRun(NamedTuple):
    """The run that a logger is made for."""

    path: Path
    """The run folder; of an ensemble each member has its own."""
    recipe_name: str
    step: int
    """After which it begins: 0, or where a resumed run goes on."""


class Logger(Protocol):
    """What is told of a training; the names are those of Lightning's loggers."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Once, before the first step: all settings, such as `train.epochs`."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Numbers after so many steps: `step/...` of the last few, `train/...` and `val/...` of an
        epoch."""

    def finalize(self, status: str) -> None:
        """Once, at the end: "success", "interrupted", or "failed"."""


MakeLogger = Callable[[LoggedRun], Logger]


def tensorboard(run: LoggedRun) -> Logger:
    """Event files in `tensorboard/` of the run folder, by Fabric's logger."""
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger  # noqa: PLC0415  slow

    # What a killed run had logged after its last save is hidden where it goes on.
    logger: Logger = TensorBoardLogger(
        run.path, name="tensorboard", version="", purge_step=run.step, default_hp_metric=False
    )
    return logger


def _check(line: Any) -> None:
    if not callable(line):
        raise ValueError(f"{line!r} is no function that makes a logger")


_HERE = "saccade.training.loggers"
LOGGERS: Table[MakeLogger] = Table(
    "logger", {"tensorboard": f"{_HERE}:tensorboard"}, "saccade.loggers", _check
)
PACKAGES = {"tensorboard": "tensorboard"}
"""Of the loggers above: the package, which an extra of the same name installs."""


def find_loggers(names: Sequence[str | MakeLogger]) -> list[MakeLogger]:
    """The functions that make loggers. Raises BadConfig for a name that is none, and for one whose
    package is not installed."""
    found = list[MakeLogger]()
    for name in names:
        if not isinstance(name, str):
            made = name
        elif ":" in name:
            made = load_object(name)
        else:
            made = LOGGERS.look_up(name)
            if (package := PACKAGES.get(name)) and find_spec(package) is None:
                hint = f"Install it: pip install 'saccade[{package}]'."
                raise BadConfig(f"needs the package {package}", location=name, hint=hint)
        if not callable(made):
            hint = "Give a function that takes a saccade.training.loggers.LoggedRun."
            raise BadConfig("does not make a logger", location=str(name), hint=hint)
        found.append(made)
    return found


@dataclass
class Reporter:
    """All loggers of a run. One that raises is told of once and not used again."""

    say: Callable[[str], object] = str
    loggers: dict[str, Logger] = field(default_factory=dict)
    """By a name for messages."""
    known: int = 0
    """Examples of the epoch whose losses were told."""
    loss: float = 0.0
    """Their sum."""

    def start_epoch(self, progress: "Progress") -> None:
        """From here on losses of steps are told."""
        self.known, self.loss = progress.examples - progress.pending, progress.loss

    def step(self, progress: "Progress", learning_rate: float) -> None:
        """Tell the mean loss of the examples since the last time, once it is known."""
        known = progress.examples - progress.pending
        if self.loggers and known > self.known:
            loss = (progress.loss - self.loss) / (known - self.known)
            numbers = {"step/loss": loss, "step/learning_rate": learning_rate}
            self.tell("log_metrics", numbers, progress.step)
        self.start_epoch(progress)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Tell the numbers of an epoch's row of `log.jsonl`."""
        if self.loggers:
            self.tell("log_metrics", dict(epoch_numbers(row)), row["step"])

    @contextmanager
    def told_of_end(self) -> Iterator[None]:
        """Tell, when the block is left, how the run ended."""
        status = "failed"
        try:
            yield
            status = "success"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            self.tell("finalize", status)

    def tell(self, method: str, *values: Any) -> None:
        """Call a method of every logger, each with values of its own."""
        for name in [*self.loggers]:
            with self.outlived(name):
                given = (dict(one) if isinstance(one, dict) else one for one in values)
                getattr(self.loggers[name], method)(*given)

    def outlived(self, name: str) -> "_Outlived":
        """Around a call of the logger of that name."""
        return _Outlived(self, name)


def start_loggers(
    given: Sequence[str | MakeLogger],
    run: LoggedRun,
    recipe: Recipe,
    say: Callable[[str], object],
) -> Reporter:
    """Make the loggers of a run, and give them the settings. Raises BadConfig as `find_loggers`."""
    reporter = Reporter(say)
    for number, make in enumerate(find_loggers(given), start=1):
        name = f"{getattr(make, '__name__', 'logger')} ({number})"
        with reporter.outlived(name):
            reporter.loggers[name] = make(run)
    fields = fields_of(recipe.model_dump(mode="json"))
    settings = {".".join(names): value for names, value in fields}
    reporter.tell("log_hyperparams", {"recipe": run.recipe_name, **settings})
    return reporter


class _Outlived:
    """Around a call of a logger: whatever it raises, the run goes on and draws the same."""

    def __init__(self, reporter: Reporter, name: str) -> None:
        self.reporter, self.name = reporter, name

    def __enter__(self) -> None:
        import torch  # noqa: PLC0415

        self.random = torch.get_rng_state()

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> bool:
        import torch  # noqa: PLC0415

        torch.set_rng_state(self.random)
        if error is None or isinstance(error, KeyboardInterrupt):
            return False
        self.reporter.loggers.pop(self.name, None)
        reason = " ".join(str(error).split())[:200] or "no reason"
        self.reporter.say(
            f"note: the logger {self.name} failed and is not used any more "
            f"({type(error).__name__}: {reason}). The training goes on; log.jsonl has its numbers."
        )
        return True


def epoch_numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names and numbers of an epoch's row: `epoch`, `train/...` of the training, `val/...` of the
    validation split."""
    for key, value in row.items():
        if key == "scores":
            yield from _numbers("val", value)
        elif key == "train_scores":
            yield from _numbers("train", value)
        elif key in {"epoch", "step"}:
            yield key, float(value)
        elif _is_finite(value):
            place = "val" if key in {"score", "smoothed_score", "seconds_scoring"} else "train"
            yield f"{place}/{key}", float(value)


def _numbers(place: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _numbers(f"{place}/{key}".rstrip("/"), one)  # a type may have no name
    elif _is_finite(value):
        yield place, float(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
