"""Bringing a recipe, or a run, together with a data folder and its features."""

from pathlib import Path

from saccade.config import Recipe
from saccade.data.folder import DataFolder
from saccade.errors import BadData, BadStore
from saccade.features.store import FeatureStore, StoreHeader
from saccade.run import OpenedRun
from saccade.tasks import TASKS, Material


def gather(recipe: Recipe, folder: DataFolder, features: str | None = None) -> Material:
    """Bring a recipe and a data folder together; words come from its training split.

    `features` names a store where the folder has several. Raises BadData for a recipe of a task
    that the folder has no records for, BadStore where features are missing.
    """
    if recipe.task not in folder.tasks:
        raise BadData(
            f"the recipe needs {recipe.task} records, the folder has {', '.join(folder.tasks)}",
            where=folder.path,
            cure="Choose a recipe for what the folder holds: saccade list recipes",
        )
    store = FeatureStore.open(choose_store(recipe, folder, features), pictures=folder.pictures())
    return Material(recipe, folder, store, TASKS[recipe.task].words(recipe, folder))


def gather_for_run(run: OpenedRun, folder: DataFolder, features: str | None = None) -> Material:
    """Bring a trained run and a data folder together; words are the run's own.

    Raises BadStore where the features were not made as those the run was trained on.
    """
    path = choose_store(run.header.recipe, folder, features or run.header.store_name)
    store = FeatureStore.open(path, pictures=folder.pictures())
    if made_with(run.header.store) != made_with(store.header):
        raise BadStore(
            "these features come from another backbone or preprocessing than the run's",
            where=path,
            cure="Choose the store with --features, or extract with the run's own settings "
            "(`store` in run.json).",
        )
    return Material(run.header.recipe, folder, store, run.words)


def made_with(header: StoreHeader) -> tuple[object, ...]:
    """What decides a picture's features: network, options, weights and preprocessing."""
    spec = header.backbone
    return spec.name, spec.options, spec.weights_sha256, header.preprocessing


def choose_store(recipe: Recipe, folder: DataFolder, name: str | None) -> Path:
    """The folder's store of that name, or its only one. Raises BadStore."""
    stores = folder.stores()
    if name is None and len(stores) == 1:
        return folder.store_path(stores[0])
    if name in stores:
        return folder.store_path(name)
    wanted = recipe.features
    cure = (
        f"Choose one with --features: {', '.join(stores)}."
        if stores
        else f"Extract them once: saccade extract {folder.path} {wanted.flags()}"
    )
    what = f"there are no features {name!r}" if name else f"there are {len(stores)} feature stores"
    raise BadStore(what, where=folder.path / "features", cure=cure)
