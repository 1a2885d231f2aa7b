"""Every recipe that has a name, and recipes from files and other packages.

A new one is a line here; a variant is `RECIPE.replace(...)`. `tests/test_every_recipe.py` runs
over this table: each recipe must be complete and buildable, and each `-small` one must learn.
"""

import json
import os
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saccade.config import (
    Recipe,
    apply_changes,
    change,
    fields_of,
    put,
)
from saccade.core.errors import BadConfig
from saccade.core.settings import first_problem
from saccade.core.tables import Table, load_object

FILE_HINT = 'Write base = "NAME" and what differs, or what `saccade show NAME --json` prints.'

_RECIPES = {
    "ibowimg": "ibowimg:IBOWIMG",
    "ibowimg-small": "ibowimg:SMALL",
    "lstm-cnn": "lstm_cnn:LSTM_CNN",
    "lstm-cnn-small": "lstm_cnn:SMALL",
    "basic-vqa": "lstm_cnn:BASIC_VQA",
    "san-cnn": "san:SAN_CNN",
    "san-lstm": "san:SAN_LSTM",
    "san-course": "san:SAN_COURSE",
    "san-small": "san:SMALL",
    "joint-embedding": "joint_embedding:JOINT_EMBEDDING",
    "joint-embedding-concat": "joint_embedding:JOINT_EMBEDDING_CONCAT",
    "joint-embedding-openvqa": "joint_embedding:JOINT_EMBEDDING_OPENVQA",
    "joint-embedding-pythia": "joint_embedding:JOINT_EMBEDDING_PYTHIA",
    "joint-embedding-small": "joint_embedding:SMALL",
    "mcan": "mcan:MCAN",
    "auto-vqa": "automatic:AUTO_VQA",
    "mcan-small": "mcan:SMALL",
    "show-ask-attend-answer": "show_ask_attend_answer:SHOW_ASK_ATTEND_ANSWER",
    "show-ask-attend-answer-small": "show_ask_attend_answer:SMALL",
    "pitvqa": "pitvqa:PITVQA",
    "pitvqa-fixed": "pitvqa:PITVQA_FIXED",
    "pitvqa-small": "pitvqa:SMALL",
    "show-tell": "show_tell:SHOW_TELL",
    "show-tell-first-word": "show_tell:SHOW_TELL_FIRST_WORD",
    "show-tell-im2txt": "show_tell:SHOW_TELL_IM2TXT",
    "show-tell-small": "show_tell:SMALL",
    "show-attend-tell": "show_attend_tell:SHOW_ATTEND_TELL",
    "show-attend-tell-small": "show_attend_tell:SMALL",
    "show-attend-tell-fine-tuned": "show_attend_tell:SHOW_ATTEND_TELL_FINE_TUNED",
    "show-attend-tell-fine-tuned-small": "show_attend_tell:FINE_TUNED_SMALL",
    "adaptive-attention": "adaptive_attention:ADAPTIVE_ATTENTION",
    "adaptive-attention-fine-tuned": "adaptive_attention:ADAPTIVE_ATTENTION_FINE_TUNED",
    "adaptive-attention-lua": "adaptive_attention:ADAPTIVE_ATTENTION_LUA",
    "adaptive-attention-small": "adaptive_attention:SMALL",
    "auto-caption": "automatic:AUTO_CAPTION",
    "att2in": "up_down:ATT2IN",
    "att2in-small": "up_down:ATT2IN_SMALL",
    "up-down": "up_down:UP_DOWN",
    "up-down-self-critical": "up_down:UP_DOWN_SELF_CRITICAL",
    "up-down-small": "up_down:UP_DOWN_SMALL",
    "aoa": "up_down:AOA",
    "aoa-small": "up_down:AOA_SMALL",
    "transformer": "up_down:TRANSFORMER",
    "transformer-small": "up_down:TRANSFORMER_SMALL",
}
"""Where the recipe of each name is: `module:NAME` in this folder, imported when it is asked for."""

RECIPES: Table[Recipe] = Table(
    "recipe", {name: f"saccade.recipes.{place}" for name, place in _RECIPES.items()}
)


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
    if name.endswith((".toml", ".json")):
        return _read_file(Path(name))
    if ":" not in name:
        return RECIPES.look_up(name)
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
