"""The runs of a comparison: read, checked, and put into groups that may be ranked.

Only runs of one task that one scorer scored on one split of one data set (by its fingerprint) stand
in one ranking. Nothing is scored here: a run without scores is refused with the line to type.
Scores of a file of predictions (`saccade score`) stand beside runs; what only a model can tell is
None for them.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from saccade.core.errors import BadRun
from saccade.core.progress import track
from saccade.core.run_files import check_scored, read_scores
from saccade.core.settings import first_problem
from saccade.core.tasks import TASK_INFO, TaskInfo, TaskName
from saccade.core.tensors import kept_epoch
from saccade.data.records import SPLITS, Split
from saccade.evaluation.scoring import read_rows, statistics
from saccade.inference.model import load_model
from saccade.models.catalogue import MODELS, Entry
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.run_folder import OpenedRun, open_run, read_log

NEEDED = ("interval", "baselines", "visual_gain", "data", "scorer", "features", "epoch")
"""What `evaluate` and `score` write now; earlier versions wrote less."""


class _Scores(BaseModel):
    """The parts of an entry of `scores.json` that decide which runs may be ranked together."""

    model_config = ConfigDict(strict=True)

    task: TaskName
    data: str = ""
    scorer: str = ""
    epoch: int | None = None
    data_folder: str | None = None
    predictions_file: str | None = None
    interval: dict[str, Any] = {}
    baselines: dict[str, dict[str, Any]] = {}


class ComparedRun(NamedTuple):
    """One run, with all that was measured of it on the split."""

    name: str
    """What the page calls it."""
    path: Path
    opened: OpenedRun | None
    """None for a file of predictions, of which nobody knows the model."""
    scores: Mapping[str, Any]
    """Of the split, as `evaluate` wrote them."""
    rows: Mapping[str, Sequence[Any]]
    """As in `scoring.ScoredExamples`."""
    log: Sequence[Mapping[str, Any]]
    """An item for each epoch; none for a run that was imported."""
    parameters: int | None
    trainable: int | None
    """Parameters that are trained; the others are a frozen encoder's."""

    @property
    def entry(self) -> Entry | None:
        """The model's line in the catalogue."""
        return MODELS[self.opened.header.recipe.model.kind] if self.opened else None

    @property
    def about(self) -> str:
        """Model, recipe and encoder; of a file its name and form."""
        if self.opened is None or self.entry is None:
            file = Path(self.scores["predictions_file"]).name
            return f"file of predictions · {file} · model not known"
        return f"{self.entry.title} · {self.opened.header.recipe_name} · {self.encoder}"

    @property
    def data(self) -> str | None:
        """Where the data folder was."""
        return self.opened.header.data if self.opened else self.scores["data_folder"]

    @property
    def encoder(self) -> str | None:
        """The image encoder, and whether it is trained."""
        if self.opened is None:
            return None
        encoder = self.opened.header.recipe.encoder
        if encoder is None:
            return f"{self.opened.header.store.backbone.name}, frozen"
        trained = f"trained from {encoder.trains_from}" if encoder.trains_from else "frozen"
        return f"{encoder.backbone}, {trained}"


class Group(NamedTuple):
    """Runs that may be ranked, best first."""

    name: str
    """Begins the names of its files."""
    task: str
    split: Split
    data: str
    """Fingerprint of the data folder's records."""
    scorer: str
    runs: Sequence[ComparedRun]
    given: Sequence[int]
    """Their places, in the order in which they were named."""

    @property
    def info(self) -> TaskInfo:
        """The facts of the task."""
        return TASK_INFO[self.task]

    @property
    def metric(self) -> str:
        """The metric that ranks them."""
        return self.info.default_metric


def read_groups(runs: Mapping[str, Path], split: Split | None) -> list[Group]:
    """Read all runs on a split, by default the last one on which all were scored.

    Raises BadRun for a run without scores on it, or whose files do not belong together.
    """
    scores = {name: _scores(path) for name, path in runs.items()}
    # The last split on which most were scored.
    most = max(reversed(SPLITS), key=lambda of: sum(of in own for own in scores.values()))
    common = split or most
    if split is None and not all(common in own for own in scores.values()):
        name = next(name for name in runs if common not in scores[name])
        known = [*scores[name]]
        message = f"was scored on {known[0]} alone" if known else "was not scored"
        hint = _hint(runs[name], common if any(scores.values()) else None)
        raise BadRun(message, location=runs[name], hint=hint)
    groups: dict[tuple[str, str, str], list[ComparedRun]] = {}
    for name, path in track([*runs.items()], "reading runs"):
        run = _read(name, path, scores[name], common)
        own = run.scores
        groups.setdefault((own["task"], own["data"], own["scorer"]), []).append(run)
    found: list[Group] = []
    for (task, data, scorer), members in groups.items():
        # Equal data must mean equal examples, else one of the files is not of this data.
        first, *others = members
        for run, column in product(others, {"id", "image_id"} & first.rows.keys()):
            if list(run.rows[column]) != list(first.rows[column]):
                other, path = first.path, run.path
                message = f"was scored on other examples than {other}, though the data has the same"
                raise BadRun(f"{message} fingerprint", location=path, hint=_hint(path, common))
        slug = f"{task}-{data[:8]}"
        again = sum(group.name.startswith(slug) for group in found)
        slug = f"{slug}-{again + 1}" if again else slug
        metric = TASK_INFO[task].default_metric
        ranking = sorted(range(len(members)), key=lambda i: -members[i].scores[metric])
        ranked = [members[i] for i in ranking]
        given = [ranking.index(i) for i in range(len(members))]
        found.append(Group(slug, task, common, data, scorer, ranked, given))
    return found


def _scores(run: Path) -> dict[str, Any]:
    """All of a run's `scores.json`; nothing where it was never scored."""
    check_scored(run)
    return read_scores(run)


def _hint(run: Path, split: Split | None) -> str:
    file = not (run / "run.json").exists()
    command = f"score FILE --data DATA --out {run}" if file else f"evaluate {run}"
    return f"Score it: saccade {command}{f' --split {split}' if split else ''}"


def _read(name: str, path: Path, whole: Mapping[str, Any], split: Split) -> ComparedRun:
    def refused(message: str) -> BadRun:
        return BadRun(message, location=path, hint=_hint(path, split))

    opened = open_run(path) if (path / "run.json").exists() else None
    if split not in whole:
        raise refused(f"was not scored on {split}")
    scores = whole[split]
    of_file = {"task", "data_folder", "predictions_file"}
    if opened is None and not of_file <= scores.keys():
        raise refused("has no run.json, and no scores of a file of predictions")
    try:
        checked = _Scores.model_validate(scores)
    except ValidationError as error:
        message = f"was scored by an earlier saccade, or its scores.json is damaged: {split}."
        raise refused(message + first_problem(error, "whole")) from None
    info = TASK_INFO[opened.header.recipe.task if opened else checked.task]
    held_out = (info.held_out_loss,) if opened else ()
    for field in (*NEEDED, *held_out, *info.main_metrics):
        if field not in scores:
            raise refused(f"was scored by an earlier saccade (its scores have no {field!r})")
    if any(not isinstance(scores[m], int | float) for m in info.main_metrics):
        raise refused(f"scores.json is damaged: {split}.{info.main_metrics[0]} is no number")
    if opened and scores["epoch"] != kept_epoch(path):
        raise refused(f"was trained further since it was scored (after epoch {scores['epoch']})")
    if opened and scores.get("members", []) != opened.header.member_scores:
        raise refused("has other members since it was scored")
    rows = read_rows(path, split)
    found = statistics(rows)
    if not all(math.isclose(found[m].whole(), scores[m], rel_tol=1e-6) for m in info.main_metrics):
        raise refused(f"scored-{split}.parquet does not amount to the scores in scores.json")
    sizes = _sizes(opened) if opened else (None, None)
    return ComparedRun(name, path, opened, scores, rows, read_log(path), *sizes)


def _sizes(opened: OpenedRun) -> tuple[int, int]:
    """All parameters, and those that are trained in some epoch; of an encoder these are few."""
    model = load_model(opened)
    learning = [p for p in without_encoder(model).parameters() if p.requires_grad]
    if isinstance(model, EncodedModel):
        encoder = model.encoder.named_parameters()
        learning += [weight for name, weight in encoder if name in model.trainable]
    whole, trained = (sum(p.numel() for p in of) for of in (model.parameters(), learning))
    return whole, trained
