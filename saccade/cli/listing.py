"""What there is, as rows to print: tables of the house, fields of a recipe, versions."""

import platform
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Any

import torch

from saccade.config import Recipe
from saccade.core.errors import BadConfig
from saccade.core.formatting import size_in_words
from saccade.datasets.catalogue import SOURCES
from saccade.datasets.downloads import DOWNLOADS, Download
from saccade.metrics.catalogue import METRICS
from saccade.models.catalogue import MODELS
from saccade.recipes.catalogue import RECIPES

Row = tuple[str, ...]


def _models(_: str) -> list[Row]:
    return [(name, m.task, m.title, m.paper, m.published) for name, m in MODELS.items()]


def _recipes(_: str) -> list[Row]:
    return [
        (name, recipe.task, MODELS[recipe.model.kind].paper, in_short(recipe.about))
        for name, recipe in RECIPES.items()
    ]


def in_short(about: str) -> str:
    """What a recipe does, and the published score if its text has one."""
    what, published, rest = " ".join(about.split()).partition(" Published")
    return what + published + re.split(r"(?<=\.) (?=[A-Z])", rest)[0]


def _sources(_: str) -> list[Row]:
    return [(name, source.summary, source.layout) for name, source in SOURCES.items()]


def _metrics(_: str) -> list[Row]:
    return [(name, metric.task, metric.source) for name, metric in METRICS.items()]


def _downloads(_: str) -> list[Row]:
    return [(name, _size(line), line.summary, line.licence) for name, line in DOWNLOADS.items()]


def _size(line: Download) -> str:
    known = [file.bytes for file in line.files if file.bytes is not None]
    if not known:
        return "size unknown" if line.files else "by hand"
    least = "more than " if len(known) < len(line.files) else ""
    return f"{least}{size_in_words(sum(known))}"


def _backbones(pattern: str) -> list[Row]:
    """Networks whose name fits, with or without its library's in front."""
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


def rows_of(kind: str, pattern: str = "*") -> list[Row]:
    """The rows of a list; `pattern` narrows backbones, of which there are more than a thousand.

    Raises BadConfig where nothing is left.
    """
    rows = LISTS[kind](pattern)
    if not rows:
        raise BadConfig(f"no {kind} match {pattern!r}", hint=f"See them all: saccade list {kind}")
    return rows


def fields_of(recipe: Recipe) -> list[Row]:
    """Every setting of a recipe as (dotted field, value), as `--set` takes them."""
    values = recipe.model_dump(mode="json", exclude={"about"})
    return [(field, "none" if value is None else str(value)) for field, value in _leaves(values)]


def versions() -> list[Row]:
    """What a report of a defect should begin with."""
    packages = ("saccade", "torch", "torchvision", "timm", "lightning", "numpy")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return [
        *((name, version(name)) for name in packages),
        ("python", platform.python_version()),
        ("system", platform.platform()),
        ("gpu", gpu),
        ("threads", str(torch.get_num_threads())),
    ]


def _leaves(values: Mapping[str, Any], parents: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{parents}{name}.")
        else:
            yield f"{parents}{name}", value
