"""A run folder: alone it re-creates the model, its words and its preprocessing anywhere.

    run.json              recipe, sizes, versions, fingerprints: see `RunHeader`
    words.json            vocabulary and, of a VQA run, answers
    model.safetensors     weights of the best epoch
    checkpoints/          weights of other epochs, where `train --keep` says so
    last/                 weights, optimiser and random state: what an exact resume needs; the
                          first one is written before run.json, so a run can always be resumed
    log.jsonl curves.png  one line per epoch, and the same drawn
    backbone.safetensors  the frozen network that made the features, a link where possible

Nothing is ever unpickled. Every file is written beside its place and then moved there, so a crash
leaves the old one whole. This file imports no torch, so that a wrong run is refused at once.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from saccade.config import Recipe, fields_of
from saccade.core.errors import BadConfig, BadRun
from saccade.core.files import link_or_copy, sha256_of, write_json, write_text
from saccade.core.run_files import RUN_FORMAT, WEIGHTS, read_json_of_run, read_run_json
from saccade.core.settings import Settings, first_problem
from saccade.data.batch import Sizes
from saccade.data.checks import Finding
from saccade.features.store import StoreHeader
from saccade.text.vocabulary import Words

BACKBONE = "backbone.safetensors"
REDUCTION = "reduction.safetensors"
CHECKPOINTS = "checkpoints"
VERSIONS = ("saccade", "torch", "timm", "numpy")
LENGTH = ("train.epochs", "train.patience", "train.min_steps")
"""Settings that a resumed run may have others of: they say when it ends, and nothing else, save
that a cosine ends with the epochs."""
NAMED = 3
"""Settings that a refusal names."""


class ParentRun(Settings):
    """The run whose best weights another one started from (`train --from`)."""

    run: str
    """Where it was."""
    recipe_name: str
    fingerprint: str | None
    """Of the records that it was trained on."""
    sha256: str
    """Of its `model.safetensors`."""
    initialised_from: "ParentRun | None" = None

    @property
    def lineage(self) -> "list[ParentRun]":
        """This run, and all that its weights went through before, the last one first."""
        return [self, *(self.initialised_from.lineage if self.initialised_from else ())]


class Member(ParentRun):
    """A run whose model is one of an ensemble's."""

    seed: int
    fold: int | None = None
    """The part of the images that it was validated on, counted from 1."""
    epoch: int | None
    """Whose weights they are; with metric and score of that epoch's validation. None of an imported
    run."""
    metric: str | None
    score: float | None
    findings: tuple[str, ...] = ()
    """Sentences on what was wrong with it while it trained."""

    @property
    def title(self) -> str:
        """What tells it from the other members."""
        return f"fold {self.fold}" if self.fold else f"seed {self.seed}"


class RunHeader(Settings):
    """The content of `run.json`."""

    format: int
    recipe_name: str
    recipe: Recipe
    sizes: Sizes
    store: StoreHeader
    """Backbone, its weights' hash and the preprocessing: applied to any new image."""
    store_name: str | None
    data: str | None
    """Where the data folder was when training started; none for a run that was imported."""
    fingerprint: str | None
    """Of the data folder's records."""
    versions: dict[str, str]
    git_commit: str | None
    started: str
    initialised_from: ParentRun | None = None
    revision: str | None = None
    """Of the VQA scorer that chose the best epoch; none for captions and imported runs."""
    conditions: tuple[dict[str, str], ...] = ()
    """Threads, device and versions, without which equal settings do not give equal weights; one
    more each time that the run went on under others."""
    findings: tuple[Finding, ...] = ()
    """Of `check`, before the first step."""
    members: tuple[Member, ...] = ()
    """Of an ensemble, whose model is a `models.ensemble.Ensemble` of theirs; the recipe is that of
    the first."""
    folds: int | None = None
    """Into so many parts the images of training and validation were cut: each member was validated
    on one and learnt from the others, so all together have learnt from both splits."""

    @property
    def member_scores(self) -> list[dict[str, Any]]:
        """What `scores.json` repeats of the members of an ensemble."""
        fields = {"run", "seed", "fold", "epoch", "metric", "score"}
        return [one.model_dump(include=fields) for one in self.members]

    @property
    def ancestors(self) -> list[ParentRun]:
        """All runs that the weights went through before this one, the last one first; those of
        an ensemble member by member."""
        parents = self.members or (self.initialised_from,)
        return [one for parent in parents if parent for one in parent.lineage]


class LogRow(BaseModel):
    """What every line of `log.jsonl` has, one for each epoch that has ended."""

    epoch: int
    step: int
    loss: float
    metric: str
    score: float
    scores: dict[str, Any]
    seconds: float
    seconds_scoring: float
    examples_per_second: float


def checked_log(rows: object, file: Path) -> list[dict[str, Any]]:
    """The rows of a log. Raises BadRun where they are none."""
    try:
        TypeAdapter(list[LogRow]).validate_python(rows, strict=True)
    except ValidationError as error:
        message = f"no log of a training: {first_problem(error, 'the whole')}"
        hint = "Restore it, or train again."
        raise BadRun(message, location=file, hint=hint) from None
    return cast(list[dict[str, Any]], rows)


class OpenedRun(NamedTuple):
    """A run folder, read and checked, without its weights."""

    path: Path
    header: RunHeader
    words: Words


class Origin(NamedTuple):
    """The source of a run: of an imported one only its images' preprocessing is known."""

    store: StoreHeader
    store_name: str | None = None
    data: str | None = None
    fingerprint: str | None = None
    initialised_from: ParentRun | None = None
    revision: str | None = None
    findings: tuple[Finding, ...] = ()
    members: tuple[Member, ...] = ()
    folds: int | None = None


def as_parent(path: Path) -> ParentRun:
    """What a run that starts from the one in `path` notes of it. Raises BadRun."""
    header = open_run(path).header
    return ParentRun(
        run=str(path.resolve()),
        recipe_name=header.recipe_name,
        fingerprint=header.fingerprint,
        sha256=sha256_of(path / WEIGHTS),
        initialised_from=header.initialised_from,
    )


def write_run(
    out: Path,
    name: str,
    made: tuple[Recipe, Sizes, Words],
    origin: Origin,
    backbone: Path | None,
    conditions: Mapping[str, str] | None = None,
) -> OpenedRun:
    """Write all of a run folder but its weights, which are there before: `run.json` comes last.

    `backbone` is linked where it exists.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe, sizes, words = made
    commit = None  # of the working directory, when it is a git repository
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["git", "rev-parse", "HEAD"]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
        commit = asked.stdout.strip() or None
    header = RunHeader(
        format=RUN_FORMAT,
        recipe_name=name,
        recipe=recipe,
        sizes=sizes,
        **origin._asdict(),
        versions={package: version(package) for package in VERSIONS},
        git_commit=commit,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        conditions=(dict(conditions),) if conditions else (),
    )
    if backbone is not None:
        for file in (backbone, backbone.with_name(REDUCTION)):
            (out / file.name).unlink(missing_ok=True)  # of a run that ended before its first step
            if file.exists():
                link_or_copy(file, out / file.name)  # no second copy on the same disk
    write_json(out / "words.json", words.to_json())
    write_text(out / "run.json", header.model_dump_json(indent=2) + "\n")
    return OpenedRun(out, header, words)


def open_run(path: Path) -> OpenedRun:
    """Read and check a run folder. Raises BadRun, or BadData where its words are broken."""
    about = read_run_json(path)
    try:
        header = RunHeader.model_validate(about)
    except BadConfig as error:  # a model or tokenizer of a package that is not installed
        hint = f"Install the package that this run was trained with. {error.hint}"
        raise BadRun(error.message, location=path / "run.json", hint=hint) from None
    except ValidationError as error:
        hint = "The file was changed by hand or by another version; train again."
        message = first_problem(error, "the whole")
        raise BadRun(message, location=path / "run.json", hint=hint) from None
    file = path / "words.json"
    return OpenedRun(path, header, Words.from_json(read_json_of_run(file), file))


def read_log(run: Path) -> list[dict[str, Any]]:
    """The rows of `log.jsonl`, one for each epoch; none of an imported run. Raises BadRun."""
    file = run / "log.jsonl"
    if not file.exists():
        return []
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (ValueError, RecursionError) as error:
        message, hint = f"not lines of JSON ({error})", "Restore it, or train again."
        raise BadRun(message, location=file, hint=hint) from None
    return checked_log(rows, file)


def training_findings(run: OpenedRun) -> list[str]:
    """What was found to be wrong with a run, or with its members, while it trained, a sentence
    each. Raises BadRun."""
    members = [f"{m.title}, {text}" for m in run.header.members for text in m.findings]
    try:
        return members + [
            f"epoch {row['epoch']}: {one['message']}. {one['hint']}"
            for row in read_log(run.path)
            for one in row.get("findings", ())
        ]
    except (KeyError, TypeError) as error:
        message, hint = f"a finding is not one ({error})", "Restore it, or train again."
        raise BadRun(message, location=run.path / "log.jsonl", hint=hint) from None


def checkpoint_path(run: Path, epoch: int) -> Path:
    """Where a run folder keeps the weights of an epoch, counted from 1."""
    return run / CHECKPOINTS / f"epoch-{epoch}.safetensors"


def checkpoints(run: Path) -> dict[int, Path]:
    """The files of the epochs whose weights a run folder keeps beside the best ones."""
    names = (file.name for file in (run / CHECKPOINTS).glob("epoch-*.safetensors"))
    matches = (re.fullmatch(r"epoch-([1-9]\d{0,8})\.safetensors", name) for name in names)
    epochs = sorted(int(match[1]) for match in matches if match)
    return {epoch: checkpoint_path(run, epoch) for epoch in epochs}


def with_sizes_of(recipe: Recipe, run: OpenedRun) -> Recipe:
    """The recipe with the sizes that the vision transformer of a run had from its own folder, which
    may be gone by now; those that the recipe says itself count first.
    """
    ours, theirs = recipe.encoder, run.header.recipe.encoder
    if ours is None or theirs is None or not ours.backbone.startswith("transformers:"):
        return recipe
    if (ours.backbone, ours.weights) != (theirs.backbone, theirs.weights):
        return recipe
    return recipe.replace(encoder=ours.replace(options={**theirs.options, **ours.options}))


def changed_settings(old: Recipe, new: Recipe) -> dict[str, tuple[str, str]]:
    """The fields that differ, with both values as `--set` takes them; `about` is no setting."""
    before, after = (
        {".".join(names): _as_set(value) for names, value in fields_of(recipe.model_dump())}
        for recipe in (old, new)
    )
    fields = [name for name in {**before, **after} if name != "about"]
    both = {name: (before.get(name, "none"), after.get(name, "none")) for name in fields}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _as_set(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def refuse_other_settings(
    run: OpenedRun, recipe: Recipe, ignored: Collection[str] = ()
) -> Mapping[str, tuple[str, str]]:
    """Raise BadRun where a run cannot go on as `recipe`; returns what of `LENGTH` is another.

    `ignored` fields are not compared.
    """
    changed = changed_settings(run.header.recipe, recipe)
    ends_with_epochs = recipe.train.schedule.kind == "cosine"
    free = [name for name in LENGTH if not (ends_with_epochs and name == "train.epochs")]
    wrong = [name for name in changed if name not in (*free, *ignored)]
    if not wrong:
        return {name: changed[name] for name in free if name in changed}
    named = [f"{name} was {changed[name][0]} and is now {changed[name][1]}" for name in wrong]
    more = f"; {len(wrong) - NAMED} other settings differ" if len(wrong) > NAMED else ""
    message = f"the run was started with other settings: {'; '.join(named[:NAMED])}{more}"
    back = [word for name in wrong for word in ("--set", f"{name}={changed[name][0]}")]
    hint = f"Resume it with {shlex.join(back)}"
    if more:
        hint = f"Resume it with the recipe that it was started with, {run.header.recipe_name}"
    hint += ", or choose another --out for a new run."
    raise BadRun(message, location=run.path / "run.json", hint=hint)


def note_resumed(run: OpenedRun, recipe: Recipe, conditions: Mapping[str, str]) -> None:
    """Note in `run.json` that the run goes on as `recipe`, under `conditions`."""
    known = run.header.conditions
    known = known if known[-1:] == (conditions,) else (*known, dict(conditions))
    header = run.header.model_copy(update={"recipe": recipe, "conditions": known})
    write_text(run.path / "run.json", header.model_dump_json(indent=2) + "\n")


def changed_conditions(run: OpenedRun, now: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each of the conditions that are others than those the run had last."""
    before = run.header.conditions[-1] if run.header.conditions else run.header.versions
    for name, value in now.items():
        if name in before and before[name] != value:
            yield (
                f"{name}: {before[name]} when the run was begun or resumed last, now {value}. From "
                "here on its weights are not, bit for bit, those of a run that was never stopped."
            )
