"""All findings about a data folder, its features, and a recipe: `saccade check`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from saccade.checks.catalogue import FINDINGS
from saccade.checks.features import (
    check_association,
    check_shift,
    check_store,
    copies,
    read_content,
)
from saccade.checks.images import check_images
from saccade.checks.labels import check_captions, check_questions, check_validation_answers
from saccade.checks.machine import check_machine
from saccade.checks.splits import check_sizes
from saccade.checks.words import check_cut_texts, check_validation_words, check_words
from saccade.config import Recipe
from saccade.core.errors import BadData
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.data.checks import Finding
from saccade.data.folder import DataFolder
from saccade.experiment import Experiment, assemble
from saccade.features.store import FeatureStore
from saccade.text.vocabulary import Words

NAMED = 3
"""Errors that a refusal names."""
LEVELS = ("error", "warning", "note")


def check(
    folder: DataFolder,
    recipe: Recipe | None = None,
    features: str | None = None,
    *,
    allow: Sequence[str] = (),
    strict: bool = False,
    probe: Callable[[Experiment, Iterable[Finding]], Iterable[Finding]] | None = None,
) -> list[Finding]:
    """All findings about a data folder, the worst first; see `saccade.check`. `probe` adds to those
    about a recipe what it finds by trying the model."""
    if recipe is not None:
        experiment = assemble(recipe, folder, features)
        found = [*check_experiment(experiment)]
        found += probe(experiment, found) if probe else ()
        return in_order(found, allow, strict=strict)
    found = [*check_folder(folder, folder.tasks)]
    names = [features] if features else folder.stores()
    for name in names:
        store = FeatureStore.open(folder.store_path(name), images=folder.images())
        some = check_features(folder, store, folder.tasks)
        several = f"{name}: " if len(names) > 1 else ""
        found += [replace(one, message=f"{several}{one.message}") for one in some]
    return in_order(found, allow, strict=strict)


def checked(
    experiment: Experiment, out: Path, device: str, allow: Sequence[str] = (), *, strict: bool
) -> list[Finding]:
    """The findings about an experiment that is to be trained into `out`. Raises BadData where
    one is an error, BadConfig as `in_order`.
    """
    findings = in_order(check_experiment(experiment, out, device), allow, strict=strict)
    errors = [one for one in findings if one.level == "error"]
    if not errors:
        return findings
    message = "; ".join(one.message for one in errors[:NAMED])
    message += f"; and {len(errors) - NAMED} others" if len(errors) > NAMED else ""
    passes = " ".join(f"--allow {one.name}" for one in errors)
    hint = f"{errors[0].cause} {errors[0].hint} `saccade check` tells more; {passes} trains anyway."
    raise BadData(message, location=experiment.folder.path, hint=hint)


def check_folder(
    folder: DataFolder, tasks: Iterable[TaskName], words: Words | None = None
) -> Iterator[Finding]:
    """Findings about the records alone; `words` are those of a recipe."""
    for task in tasks:
        yield from check_sizes(folder, task)
        splits = folder.about["splits"]
        kind = TASK_INFO[task].records
        if splits["train"][kind]:
            yield from check_questions(folder) if task == "vqa" else check_captions(folder)
            yield from check_cut_texts(folder, kind)
        if splits["train"][kind] and splits["val"][kind]:
            yield from check_validation_words(folder, kind)
            if task == "vqa":
                yield from check_validation_answers(folder, words)


def check_features(
    folder: DataFolder, store: FeatureStore, tasks: Iterable[TaskName]
) -> Iterator[Finding]:
    """Findings about a feature store and the images that it was made of."""
    content = read_content(folder, store)
    yield from check_store(content)
    if len(content.table):
        yield from check_images(content, folder)
        yield from copies(content)
        yield from check_shift(content)
        for task in tasks:
            yield from check_association(content, folder, task)


def check_experiment(
    experiment: Experiment, out: Path | None = None, device: str = "auto"
) -> Iterator[Finding]:
    """Findings about a recipe together with its data, its features and the machine."""
    folder, task = experiment.folder, experiment.recipe.task
    yield from check_folder(folder, [task], experiment.words)
    yield from check_words(experiment)
    yield from check_features(folder, experiment.store, [task])
    yield from check_machine(experiment, out, device)


def in_order(
    findings: Iterable[Finding], allow: Sequence[str] = (), *, strict: bool = False
) -> list[Finding]:
    """Findings, the worst first; with `strict` warnings are errors, and those that are allowed
    are warnings at most. Raises BadConfig for a name that no finding has.
    """
    for name in allow:
        FINDINGS.look_up(name)
    stops = {"error", "warning"} if strict else {"error"}
    found = []
    for one in findings:
        if one.level in stops:
            one = replace(one, level="warning" if one.name in allow else "error")  # noqa: PLW2901
        found.append(one)
    return sorted(found, key=lambda one: LEVELS.index(one.level))
