"""Commands that print what there is and what it is set to: list, show, about.

Each list imports only what it needs: those of models and recipes answer without torch.
"""

import json
import platform
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Annotated, Literal

import typer

from saccade.cli.app import ChangesOption, RecipeArgument, show_rows
from saccade.core.errors import BadConfig
from saccade.core.formatting import size_in_words

commands = typer.Typer(rich_markup_mode=None)

Row = tuple[str, ...]


@commands.command("list")
def list_names(
    kind: Literal["models", "recipes", "sources", "metrics", "backbones", "downloads"],
    pattern: Annotated[str, typer.Argument(help="Of backbones: 'resnet*', 'torchvision:*'.")] = "*",
) -> None:
    """List models, recipes, sources, metrics, backbones or downloads."""
    rows = LISTS[kind](pattern)
    if not rows:
        raise BadConfig(f"no {kind} match {pattern!r}", hint=f"See them all: saccade list {kind}")
    show_rows(rows)


def _models(_: str) -> list[Row]:
    from saccade.models.catalogue import MODELS

    return [(name, m.task, m.title, m.paper, m.published) for name, m in MODELS.items()]


def _recipes(_: str) -> list[Row]:
    from saccade.models.catalogue import MODELS
    from saccade.recipes.catalogue import RECIPES

    return [
        (name, recipe.task, MODELS[recipe.model.kind].paper, _in_short(recipe.about))
        for name, recipe in RECIPES.items()
    ]


def _in_short(about: str) -> str:
    """The first part of a recipe's text, and the published score if it names one."""
    what, published, rest = " ".join(about.split()).partition(" Published")
    return what + published + re.split(r"(?<=\.) (?=[A-Z])", rest)[0]


def _sources(_: str) -> list[Row]:
    from saccade.datasets.catalogue import SOURCES

    return [(name, source.summary, source.layout) for name, source in SOURCES.items()]


def _metrics(_: str) -> list[Row]:
    from saccade.metrics.catalogue import METRICS

    return [(name, metric.task, metric.source) for name, metric in METRICS.items()]


def _downloads(_: str) -> list[Row]:
    from saccade.datasets.downloads import DOWNLOADS

    rows = list[Row]()
    for name, line in DOWNLOADS.items():
        known = [file.bytes for file in line.files if file.bytes is not None]
        size = "size unknown" if line.files else "by hand"
        if known:
            least = "more than " if len(known) < len(line.files) else ""
            size = f"{least}{size_in_words(sum(known))}"
        rows.append((name, size, line.summary, line.licence))
    return rows


def _backbones(pattern: str) -> list[Row]:
    """Networks whose name fits the pattern, with or without the library in front."""
    import timm

    from saccade.features import detectors

    libraries = {"timm": timm.list_models(), "torchvision": detectors.NAMES}
    return [
        (f"{library}:{name}",)
        for library, names in libraries.items()
        for name in names
        if fnmatchcase(name, pattern) or fnmatchcase(f"{library}:{name}", pattern)
    ]


LISTS: Mapping[str, Callable[[str], list[Row]]] = {
    "models": _models,
    "recipes": _recipes,
    "sources": _sources,
    "metrics": _metrics,
    "backbones": _backbones,
    "downloads": _downloads,
}


@commands.command()
def show(
    recipe: RecipeArgument,
    changes: ChangesOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="As a file that train takes in place of a name.")
    ] = False,
) -> None:
    """Print every setting of a recipe, as --set takes them."""
    from saccade.config import fields_of
    from saccade.recipes.catalogue import load_recipe

    chosen = load_recipe(recipe, changes or ())
    if as_json:
        typer.echo(chosen.model_dump_json(indent=2))
        return
    for line in chosen.about.splitlines():
        typer.echo(f"# {line.strip()}")
    for names, value in fields_of(chosen.model_dump(mode="json", exclude={"about"})):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        typer.echo(f"{'.'.join(names)}={'none' if value is None else text}")


@commands.command()
def about() -> None:
    """Print versions and devices, for bug reports."""
    import torch

    packages = ("saccade", "torch", "torchvision", "timm", "lightning-fabric", "numpy")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    rows = [(name, version(name)) for name in packages]
    rows += [("python", platform.python_version()), ("system", platform.platform())]
    show_rows([*rows, ("gpu", gpu), ("threads", str(torch.get_num_threads()))])
