"""Commands that print what there is and what it is set to: list, show, about.

Each list imports only what it needs: those of models and recipes answer without torch.
"""

import json
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Annotated, Literal, NamedTuple

import typer

from saccade.cli.app import ChangesOption, CommandTable, RecipeArgument, Result, columns
from saccade.core.errors import BadConfig
from saccade.core.formatting import size_in_words

commands = CommandTable()

Row = tuple[str, ...]


@commands.command("list")
def list_names(
    kind: Literal["models", "recipes", "sources", "metrics", "scorers", "backbones", "downloads"],
    pattern: Annotated[
        str, typer.Argument(help="Of names, which are then shown whole: 'vqa-*', 'resnet*'.")
    ] = "*",
) -> Result:
    """List models, recipes, sources, metrics, scorers, backbones or downloads."""
    listing = LISTS[kind]
    # The part behind a colon of a backbone is its name in its library.
    named = [(row, (row[0], row[0].rpartition(":")[2])) for row in listing.rows()]
    rows = [row for row, names in named if any(fnmatchcase(name, pattern) for name in names)]
    if not rows:
        raise BadConfig(f"no {kind} match {pattern!r}", hint=f"See them all: saccade list {kind}")
    data = [dict(zip(listing.columns, row, strict=True)) for row in rows]
    if not sys.stdout.isatty():
        return Result(data, columns(rows))
    width = shutil.get_terminal_size().columns
    if pattern != "*":
        return Result(data, whole_entries(rows, width))
    footer = f"Each whole: saccade list {kind} NAME" if len(listing.columns) > 1 else ""
    short = [tuple(row[listing.columns.index(name)] for name in listing.short) for row in rows]
    return Result(data, [*cut_lines(short, width), *filter(None, [footer])])


def cut_lines(rows: Sequence[Row], width: int) -> list[str]:
    """Rows in columns, one line each, cut where the terminal ends."""
    lines = columns(rows)
    return [line if len(line) <= width else f"{line[: width - 3].rstrip()}..." for line in lines]


def whole_entries(rows: Sequence[Row], width: int) -> Iterator[str]:
    """A name, and below it all that is known of it, broken between words."""
    for name, *cells in rows:
        yield name
        for cell in filter(None, cells):
            indent = "    "
            yield from textwrap.wrap(
                cell, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )


def _models() -> list[Row]:
    from saccade.models.catalogue import MODELS

    return [(name, m.task, m.title, m.paper, m.published) for name, m in MODELS.items()]


def _recipes() -> list[Row]:
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


def _sources() -> list[Row]:
    from saccade.datasets.catalogue import SOURCES

    return [(name, source.summary, source.layout) for name, source in SOURCES.items()]


def _metrics() -> list[Row]:
    from saccade.metrics.catalogue import METRICS

    return [(name, metric.task, metric.source) for name, metric in METRICS.items()]


def _scorers() -> list[Row]:
    from saccade.metrics.scorers import SCORERS

    return [(name, one.task, one.version, one.differs) for name, one in SCORERS.items()]


def _downloads() -> list[Row]:
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


def _backbones() -> list[Row]:
    import timm

    from saccade.features import detectors

    libraries = {"timm": timm.list_models(), "torchvision": detectors.NAMES}
    return [(f"{library}:{name}",) for library, names in libraries.items() for name in names]


class Listing(NamedTuple):
    """One list."""

    rows: Callable[[], list[Row]]
    columns: Row
    """Their names, in JSON."""
    short: Row
    """Those that stand in the one line on a terminal."""


LISTS: Mapping[str, Listing] = {
    "models": Listing(
        _models, ("name", "task", "title", "paper", "published"), ("name", "task", "title")
    ),
    "recipes": Listing(_recipes, ("name", "task", "paper", "about"), ("name", "about")),
    "sources": Listing(_sources, ("name", "summary", "layout"), ("name", "summary")),
    "metrics": Listing(_metrics, ("name", "task", "source"), ("name", "task", "source")),
    "scorers": Listing(
        _scorers, ("name", "task", "version", "differs"), ("name", "task", "version")
    ),
    "backbones": Listing(_backbones, ("name",), ("name",)),
    "downloads": Listing(
        _downloads, ("name", "size", "summary", "licence"), ("name", "size", "summary")
    ),
}


@commands.command()
def show(recipe: RecipeArgument, changes: ChangesOption = None) -> Result:
    """Print every setting of a recipe, as --set takes them; train takes the JSON as a file."""
    from saccade.config import fields_of
    from saccade.recipes.load import load_recipe

    chosen = load_recipe(recipe, changes or ())
    about = " ".join(chosen.about.split())
    lines = textwrap.wrap(about, 80, initial_indent="# ", subsequent_indent="# ")
    for names, value in fields_of(chosen.model_dump(mode="json", exclude={"about"})):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{'.'.join(names)}={'none' if value is None else text}")
    return Result(chosen.model_dump(mode="json"), lines)


@commands.command()
def about() -> Result:
    """Print versions and devices, for bug reports."""
    import torch

    packages = ("saccade", "torch", "torchvision", "timm", "lightning-fabric", "numpy")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    rows = [(name, version(name)) for name in packages]
    rows += [("python", platform.python_version()), ("system", platform.platform())]
    rows += [("gpu", gpu), ("threads", str(torch.get_num_threads()))]
    return Result(dict(rows), columns(rows))
