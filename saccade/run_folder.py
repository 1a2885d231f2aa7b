"""A run folder: alone it re-creates the model, its words and its preprocessing anywhere.

    run.json              recipe, sizes, versions, fingerprints: see `RunHeader`
    words.json            vocabulary and, of a VQA run, answers
    model.safetensors     weights of the best epoch
    last/                 weights, optimiser and random state: what an exact resume needs
    log.jsonl curves.png  one line per epoch, and the same drawn
    backbone.safetensors  the frozen network that made the features, a link where possible

Nothing is ever unpickled. Every file is written beside its place and then moved there, so a crash
leaves the old one whole. This file imports no torch, so that a wrong run is refused at once.
"""

import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from saccade.config import Recipe
from saccade.core.errors import BadConfig, BadRun
from saccade.core.files import link_or_copy, sha256_of, write_json, write_text
from saccade.core.run_files import RUN_FORMAT, read_json_of_run, read_run_json
from saccade.core.settings import Settings, first_problem
from saccade.data.batch import Sizes
from saccade.features.store import StoreHeader
from saccade.text.vocabulary import Words

BACKBONE = "backbone.safetensors"
REDUCTION = "reduction.safetensors"
VERSIONS = ("saccade", "torch", "timm", "numpy")


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

    @property
    def ancestors(self) -> list[ParentRun]:
        """All runs that the weights went through before this one, the last one first."""
        found, parent = list[ParentRun](), self.initialised_from
        while parent is not None:
            found.append(parent)
            parent = parent.initialised_from
        return found


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


def as_parent(path: Path) -> ParentRun:
    """What a run that starts from the one in `path` notes of it. Raises BadRun."""
    header = open_run(path).header
    return ParentRun(
        run=str(path.resolve()),
        recipe_name=header.recipe_name,
        fingerprint=header.fingerprint,
        sha256=sha256_of(path / "model.safetensors"),
        initialised_from=header.initialised_from,
    )


def write_run(
    out: Path, name: str, made: tuple[Recipe, Sizes, Words], origin: Origin, backbone: Path | None
) -> OpenedRun:
    """Make a run folder and write all but the weights; `backbone` is linked where it exists."""
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
    )
    if backbone is not None:
        for file in (backbone, backbone.with_name(REDUCTION)):
            if file.exists() and not (out / file.name).exists():
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
