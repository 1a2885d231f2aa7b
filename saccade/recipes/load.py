"""Recipes by name, from files and from other packages, with changes."""

import json
import os
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saccade.config import Recipe, apply_changes, change, fields_of, put
from saccade.core.errors import BadConfig
from saccade.core.settings import first_problem
from saccade.core.tables import load_object
from saccade.recipes.catalogue import RECIPES, is_name

FILE_HINT = 'Write base = "NAME" and what differs, or what `saccade show NAME --json` prints.'


def load_recipe(recipe: str | os.PathLike[str] | Recipe, changes: Iterable[str] = ()) -> Recipe:
    """A recipe by name, from a file or from another package, with FIELD=VALUE changes.

    Args:
        recipe: A name in `RECIPES`; or the path of a `.toml` or `.json` file, which holds what
            `saccade show NAME --json` prints, or `base = "NAME"` and only the fields that differ,
            in nested tables or with dotted names; or `package.module:RECIPE`; or a recipe.
        changes: Fields to set, as `--set` takes them.

    Raises:
        BadConfig: There is no such recipe, file, field or value.
    """
    if not isinstance(recipe, Recipe):
        recipe = _load(os.fspath(recipe))
    return change(recipe, *changes)


def _load(name: str) -> Recipe:
    if is_name(name):
        return RECIPES.look_up(name)
    if name.endswith((".toml", ".json")):
        return _read_file(Path(name))
    if not isinstance(found := load_object(name), Recipe):
        hint = "Give the name of a saccade.config.Recipe in that module."
        raise BadConfig(f"{name!r} is not a recipe, but a {type(found).__name__}", hint=hint)
    return found


def _read_file(path: Path) -> Recipe:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        hint = "Give a recipe's name, a .toml or .json file, or package.module:RECIPE."
        raise BadConfig(f"unreadable ({error.strerror})", location=path, hint=hint) from None
    except (ValueError, RecursionError) as error:  # of either format, or no UTF-8
        message, hint = (
            f"not {path.suffix[1:].upper()} ({error})",
            "Correct the file at that place.",
        )
        raise BadConfig(message, location=path, hint=hint) from None
    if not isinstance(values, dict):
        raise BadConfig("not a table of fields", location=path, hint=FILE_HINT)
    base = values.pop("base", None)
    fields = [((*names[0].split("."), *names[1:]), value) for names, value in fields_of(values)]
    # A kind first: the fields beside it are the new kind's.
    fields.sort(key=lambda field: field[0][-1] != "kind")
    try:
        if base is None:
            return _whole(fields)
        if not isinstance(base, str) or base.endswith((".toml", ".json")):
            raise BadConfig("base is not a recipe's name or package.module:RECIPE", hint=FILE_HINT)
        return apply_changes(_load(base), fields)
    except BadConfig as error:
        raise BadConfig(error.message, location=path, hint=error.hint) from None


def _whole(fields: Sequence[tuple[tuple[str, ...], Any]]) -> Recipe:
    """A recipe of nothing but these fields."""
    values: dict[str, Any] = {}
    for names, value in fields:
        if value != "none":  # may be null, which is only known when the recipe stands
            values = put(values, names, value)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise BadConfig(first_problem(error, "recipe"), hint=FILE_HINT) from None
    return apply_changes(recipe, [field for field in fields if field[1] == "none"])
