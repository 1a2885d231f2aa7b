"""Where the objects of questions and words truly are: boxes and outlines that people drew.

Three files are read: Shapes' `boxes.json` (question id to boxes; any data set's own can be written
so), its `scenes.json`, and COCO's `instances_*.json`. In the last two an object belongs to a
question or a caption that names it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.errors import BadData
from saccade.datasets.shapes import read_scenes

Floats = NDArray[np.float64]
PLURALS = ("", "s", "es")
"""Endings of a name's last word that make no other name of it."""


class Objects(NamedTuple):
    """Some objects of one image."""

    boxes: Floats
    """(n, 4) x0 y0 x1 y1 as shares of width and height, half-open."""
    outlines: tuple[Floats, ...] | None = None
    """Polygons (P, 2) of the same; None where only boxes are known."""


class TrueObjects(NamedTuple):
    """The objects that a file knows of."""

    source: str
    by_question: Mapping[int, Objects] = {}
    by_image: Mapping[int, Mapping[str, Objects]] = {}
    """By image id and name."""
    crowds: int = 0
    """Crowds, which are left out: their box is not that of an object."""

    def of(self, question: int | None, image: int, words: Sequence[str]) -> Objects | None:
        """The objects of a question, or those that its words name; of a caption's last word, which
        ends a name. None where there are none.
        """
        if question is not None and question in self.by_question:
            return self.by_question[question]
        named = self.by_image.get(image, {})
        ends = range(1, len(words) + 1) if question is not None else [len(words)]
        found = [named[name] for name in named if any(_ends(words[:n], name) for n in ends)]
        return _joined(found) if found else None


def _ends(words: Sequence[str], name: str) -> bool:
    """Whether words end with a name, which may be in the plural."""
    parts = name.split()
    tail = [word.lower() for word in words[-len(parts) :]]
    return tail[:-1] == parts[:-1] and tail[-1:] in [[parts[-1] + end] for end in PLURALS]


def _joined(some: Sequence[Objects]) -> Objects:
    boxes = np.concatenate([one.boxes for one in some])
    outlines = [one.outlines for one in some]
    if any(one is None for one in outlines):
        return Objects(boxes)
    return Objects(boxes, tuple(line for one in outlines for line in one or ()))


def read_objects(path: Path) -> TrueObjects:
    """The true objects of a file, whose form is seen from its content. Raises BadData."""
    hint = "Give boxes.json or scenes.json of Shapes, or instances_*.json of COCO."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("it holds no names")
        if "annotations" in content:
            return _of_coco(content)
        if "scenes" in content:
            return _of_scenes(path.parent)
        by_question = {int(id_): Objects(_boxes(some)) for id_, some in content.items() if some}
        return TrueObjects("boxes of questions", by_question)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"is no file of boxes ({type(error).__name__}: {error})"
    raise BadData(message, location=path, hint=hint)


def _boxes(some: Any) -> Floats:
    boxes = np.asarray(some, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError("a box is x0, y0, x1, y1")
    return boxes


def _of_scenes(root: Path) -> TrueObjects:
    """Objects of Shapes, named by their kinds."""
    found: dict[int, dict[str, Objects]] = {}
    for image in read_scenes(root):
        kinds: dict[str, list[Any]] = {}
        for shape in image.scene.shapes:
            kinds.setdefault(shape.kind, []).append(shape.box)
        found[image.id] = {kind: Objects(_boxes(boxes)) for kind, boxes in kinds.items()}
    return TrueObjects("shapes that are named", by_image=found)


def _of_coco(content: Mapping[str, Any]) -> TrueObjects:
    """Instances of COCO, named by their categories. A box of x, y, width and height in pixels ends
    at x + width: there is no pixel more.
    """
    names = {one["id"]: one["name"] for one in content["categories"]}
    sizes = {one["id"]: np.array([one["width"], one["height"]]) for one in content["images"]}
    found: dict[int, dict[str, list[Objects]]] = {}
    crowds = 0
    for one in content["annotations"]:
        if one.get("iscrowd"):
            crowds += 1
            continue
        size = sizes[one["image_id"]]
        corner, extent = np.split(np.asarray(one["bbox"], np.float64), 2)
        box = _boxes([[*corner / size, *(corner + extent) / size]])
        here = found.setdefault(one["image_id"], {}).setdefault(names[one["category_id"]], [])
        here.append(Objects(box, tuple(_outlines(one.get("segmentation"), size))))
    joined = {
        image: {name: _joined(some) for name, some in named.items()}
        for image, named in found.items()
    }
    return TrueObjects("COCO instances that are named", by_image=joined, crowds=crowds)


def _outlines(segmentation: Any, size: Floats) -> Iterator[Floats]:
    for polygon in segmentation or ():
        yield np.asarray(polygon, np.float64).reshape(-1, 2) / size
