"""Plan of a sweep: the runs that a file asks for, checked before the first of them is trained.

The file is TOML (`SweepSettings`). Its mistakes are told all together; nothing here imports torch.
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError

from saccade.config import Recipe, change
from saccade.core.devices import check_device
from saccade.core.errors import BadConfig, BadData, BadRun, SaccadeError
from saccade.core.settings import Settings, all_problems
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.recipes.advice import load_recipe_for, task_of
from saccade.recipes.load import load_recipe
from saccade.text.tokenizers import FILE
from saccade.text.vocabulary import file_vocabulary

STATE = "sweep.json"
"""In the sweep's folder: what became of each run."""
NAME_BYTES = 200
"""Of a run's folder, at most: file systems allow 255, and its log has an ending."""
EXAMPLE = 'Such as: data = ["data/mine"], recipes = ["san", "mcan"], out = "sweeps/mine".'
AGAIN = "Correct that, and give the command again; nothing was trained."
Seed = Annotated[int, Field(ge=0, lt=2**64, strict=True)]


class SweepSettings(Settings):
    """The content of a sweep's file. Paths begin in the current folder; `$NAME` in one is a
    variable of the environment."""

    data: tuple[str, ...] = Field(min_length=1)
    """Data folders; NAME=FOLDER gives one a name, by default its own."""
    recipes: tuple[str, ...] = Field(min_length=1)
    """What `train` takes: names, files, or package.module:RECIPE; NAME=FILE gives one a name."""
    settings: dict[str, tuple[str, ...]] = Field({"": ()}, min_length=1)
    """By a name of its own: changes of every recipe, such as "train.epochs=3"."""
    seeds: tuple[Seed, ...] = ()
    """Of training; by default the recipe's own."""
    features: str | None = None
    """Name of the feature store, where a data folder has several."""
    split: Split | None = None
    """To score on; by default "test" where a folder has answers or captions for it, else "val"."""
    minutes_per_run: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Of training and validation, as `train` takes them."""
    device: str = "auto"
    out: str = Field(min_length=1)
    """The folder of the sweep."""


class PlannedRun(Settings):
    """One run of a sweep."""

    name: str
    """Of its folder."""
    data: str
    recipe_name: str
    settings: str
    seed: int
    recipe: Recipe
    folder: Path
    """The data folder."""
    fingerprint: str
    """Of the records in it."""
    split: Split
    features: str
    """Name of the feature store."""
    minutes: float | None
    device: str
    out: Path

    @property
    def configuration(self) -> tuple[str, str, str]:
        """What runs that differ in their seed alone have in common."""
        return self.data, self.recipe_name, self.settings

    @property
    def key(self) -> str:
        """A hash of all that its scores follow from."""
        left_out = {"name", "folder", "device", "out"}
        return hashlib.sha256(self.model_dump_json(exclude=left_out).encode()).hexdigest()


class Sweep(NamedTuple):
    """A file that was found to be without mistakes."""

    file: Path
    out: Path
    runs: list[PlannedRun]


class Mistakes:
    """Mistakes of a file: each one once, with the places where it shows."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Note the error of the block as one of `place`, and go on."""
        try:
            yield
        except SaccadeError as error:
            self.found.setdefault(str(error), []).append(place)

    def refuse(self, file: Path) -> None:
        """Raise BadConfig with all of them, if there are any."""
        lines = []
        for text, places in self.found.items():
            more = f" and {len(places) - 3} more" if len(places) > 3 else ""
            lines.append(f"{', '.join(places[:3])}{more}: {text}".rstrip("."))
        if lines:
            several = f"{len(lines)} mistakes\n  " if len(lines) > 1 else ""
            raise BadConfig(several + "\n  ".join(lines), location=file, hint=AGAIN)


def read_sweep(file: Path) -> Sweep:
    """Read a sweep's file, and check all that its runs need.

    Raises BadConfig with every mistake: settings, recipes, data, features, names, earlier runs.
    """
    given, mistakes = _read_file(file), Mistakes()
    with mistakes.at("device"):
        check_device(given.device)
    out = Path(given.out)
    with mistakes.at("out"):
        out = _expanded(given.out)
        _refuse_other_folder(out)
    folders: dict[str, DataFolder] = {}
    for name, path in _named(given.data, "data", _folder_name, mistakes).items():
        with mistakes.at(f"data {name}"):
            folders[name] = DataFolder(_expanded(path))
    entries = _named(given.recipes, "recipes", _recipe_name, mistakes)
    recipes = _recipes(given, entries, mistakes)
    runs = list[PlannedRun]()
    for (data, folder), ((recipe_name, settings), base) in product(
        folders.items(), recipes.items()
    ):
        with mistakes.at(f"{data} with {' '.join(filter(None, (recipe_name, settings)))}"):
            entry, recipe = entries[recipe_name], base
            if task_of(entry):
                recipe = load_recipe_for(folder, entry, given.settings[settings])
            split, store = _check_training(recipe, folder, given)
            for seed in given.seeds or (recipe.train.seed,):
                name = "_".join(filter(None, (data, recipe_name, settings, f"seed-{seed}")))
                run = PlannedRun(
                    name=name,
                    data=data,
                    recipe_name=recipe_name,
                    settings=settings,
                    seed=seed,
                    recipe=change(recipe, f"train.seed={seed}"),
                    folder=folder.path.resolve(),
                    fingerprint=folder.fingerprint,
                    split=split,
                    features=store,
                    minutes=given.minutes_per_run,
                    device=given.device,
                    out=out / "runs" / name,
                )
                _refuse_other_run(run)
                runs.append(run)
    names = [run.name for run in runs]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        with mistakes.at("names"):
            hint = "Name each seed once, and data and recipes by NAME=..."
            raise BadConfig(f"two runs would be called {twice}", hint=hint)
    for long in (name for name in names if len(name.encode()) > NAME_BYTES):
        with mistakes.at("names"):
            hint = "Name data and recipes by NAME=..., and settings, in fewer letters."
            raise BadConfig(f"too long for a folder: {long}", hint=hint)
    mistakes.refuse(file)
    return Sweep(file, out, runs)


def _read_file(file: Path) -> SweepSettings:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Give the path of a sweep's TOML file."
        raise BadConfig(f"unreadable ({error.strerror})", location=file, hint=hint) from None
    except ValueError as error:  # no TOML, or no UTF-8
        hint = "Correct the file at that place."
        raise BadConfig(f"not TOML ({error})", location=file, hint=hint) from None
    try:
        return SweepSettings.model_validate(values)
    except ValidationError as error:
        problems = all_problems(error, "the file")
        raise BadConfig("; ".join(problems), location=file, hint=EXAMPLE) from None


def _expanded(path: str) -> Path:
    """A path with the environment's variables in it. Raises BadConfig for one that is not set."""
    found = os.path.expandvars(os.path.expanduser(path))
    if unset := re.search(r"\$\{?(\w+)", found):
        hint = f"Set it: export {unset[1]}=FOLDER"
        raise BadConfig(f"the environment has no {unset[1]}", location=path, hint=hint)
    return Path(found)


def _folder_name(path: str) -> str:
    return Path(os.path.abspath(os.path.expandvars(path))).name


def _recipe_name(recipe: str) -> str:
    return Path(recipe).stem if recipe.endswith((".toml", ".json")) else recipe.rpartition(":")[2]


def _named(
    entries: Iterable[str], field: str, name_of: Callable[[str], str], mistakes: Mistakes
) -> dict[str, str]:
    """Entries by the names that folders of runs can have, from VALUE or NAME=VALUE."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value) or Path(entry).exists():
            name, value = name_of(entry), entry
        name = re.sub(r"[^\w.-]+", "-", name).strip("-.") or field
        with mistakes.at(field):
            if name in found:
                hint = f"Name each once; NAME={value} gives it a name."
                raise BadConfig(f"{name} is there twice", hint=hint)
            found[name] = value
    return found


def _recipes(
    given: SweepSettings, entries: Mapping[str, str], mistakes: Mistakes
) -> Mapping[tuple[str, str], Recipe]:
    """Every recipe with each group of settings, by both names."""
    for name in given.settings:
        with mistakes.at("settings"):
            if name and not re.fullmatch(r"\w[\w.-]*", name):
                hint = "Give it letters, digits, '-' and '.': it is a part of names of folders."
                raise BadConfig(f"{name!r} cannot name a group of settings", hint=hint)
            if given.seeds and any(one.startswith("train.seed=") for one in given.settings[name]):
                hint = "Write the seed under `seeds` alone."
                raise BadConfig(f"{name} sets train.seed, and so does `seeds`", hint=hint)
    found: dict[tuple[str, str], Recipe] = {}
    for name, entry in entries.items():
        with mistakes.at("recipes"):
            is_file = entry.endswith((".toml", ".json"))
            recipe = load_recipe(_expanded(entry) if is_file else entry)
            for settings, changes in given.settings.items():
                with mistakes.at(f"settings {settings} with {name}"):
                    found[name, settings] = _changed(recipe, changes)
    return found


def _changed(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """A recipe with changes. Raises BadConfig that names every one which is wrong."""
    try:
        return change(recipe, *changes)
    except BadConfig as error:
        right, wrong = list[str](), list[BadConfig]()
        for one in changes:
            try:
                change(recipe, *right, one)
                right.append(one)
            except BadConfig as refused:
                wrong.append(refused)
        message = "; ".join(dict.fromkeys(one.message for one in wrong)) or error.message
        raise BadConfig(message, hint=error.hint) from None


def _check_training(recipe: Recipe, folder: DataFolder, given: SweepSettings) -> tuple[Split, str]:
    """The split to score on, and the feature store. Raises what training and evaluation would, as
    far as it is quick."""
    from saccade.experiment import choose_store  # noqa: PLC0415  slow to import

    store = choose_store(recipe, folder, given.features)
    if recipe.text.vectors is not None:
        from saccade.core.weights import find_given  # noqa: PLC0415  slow to import

        find_given(recipe.text.vectors, "word vectors")
    if recipe.text.tokenizer.startswith(FILE):
        file_vocabulary(recipe.text.tokenizer)
    for split in ("train", "val", *([given.split] if given.split else [])):
        if not _has_ground_truth(folder, recipe.task, split):
            hint = "Prepare it with them"
            hint += " (--hold-out 0.1 makes a validation split)." if split == "val" else "."
            message = f"the {split} split has no {TASK_INFO[recipe.task].predictions}"
            raise BadData(message, location=folder.path, hint=hint)
    usual: Split = "test" if _has_ground_truth(folder, recipe.task, "test") else "val"
    return given.split or usual, store.name


def _has_ground_truth(folder: DataFolder, task: TaskName, split: Split) -> bool:
    """Whether people's answers or captions of a split are there."""
    if not folder.about["splits"][split][TASK_INFO[task].records]:
        return False
    if not TASK_INFO[task].asks_question:
        return True
    return bool(folder.question_table(split).column("answers")[0].as_py())


def _refuse_other_folder(out: Path) -> None:
    """Raise BadConfig where the sweep's folder holds other things than a sweep."""
    hint = "Give another `out`: a new folder, or that of this sweep."
    if out.exists() and not out.is_dir():
        raise BadConfig("is a file", location=out, hint=hint)
    if out.is_dir() and any(out.iterdir()) and not (out / STATE).exists():
        raise BadConfig("holds other things than a sweep", location=out, hint=hint)


def _refuse_other_run(run: PlannedRun) -> None:
    """Raise BadRun where the run's folder holds one of other settings or data."""
    if not (run.out / "run.json").exists():
        return
    from saccade.run_folder import open_run, refuse_other_settings  # noqa: PLC0415  likewise

    hint = "Give the settings or the data another name, or the sweep another `out`."
    opened = open_run(run.out)
    try:
        refuse_other_settings(opened, run.recipe, ("text.tokenizer", "train.precision"))
    except BadRun as error:
        raise BadRun(error.message, location=run.out, hint=hint) from None
    if opened.header.fingerprint != run.fingerprint:
        raise BadRun("was started on other records", location=run.out, hint=hint)
    if (store := opened.header.store_name) != run.features:
        message = f"was started on the features {store}, not {run.features}"
        raise BadRun(message, location=run.out, hint=hint)
