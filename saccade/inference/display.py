"""Answers and captions drawn: for a file, and as a notebook shows them.

A notebook draws on the small copy of the image that an answer keeps; all texts are escaped.

Shapes: R regions.
"""

from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from saccade.inference.answers import Answer, GeneratedCaption, MapKind
from saccade.viz.attention import heat_map, overlay, panel
from saccade.viz.html import Pixels, Tile, embed, fill

HIDDEN = "cost of hiding a region"
TEMPLATE = "inference/answer.html.j2"
TILE, PAGE = 220, 640
"""Longer side of a notebook's map, and width of its PNG at most, in pixels."""
PALE = 0.01
"""Answers less probable are not drawn."""


class Shown(NamedTuple):
    """What is drawn of an answer or a caption."""

    heading: str
    lines: list[str]
    """What stands below the heading."""
    maps: list[tuple[str, np.ndarray]]
    """Labels and weights (R,)."""
    boxes: np.ndarray
    kind: MapKind


def of_answer(answer: Answer, question: str) -> Shown:
    """A question, its likeliest answers, and a map for each glimpse, where there are any."""
    first, *others = [f"{text} ({share:.0%})" for text, share in answer.top if share >= PALE] or [
        answer.text
    ]
    lines = [f"{first}, else {', '.join(others)}" if others else first]
    if answer.prior is not None:
        text, share = answer.prior[0]
        lines.append(f"without the image: {text} ({share:.0%})")
    weights = () if answer.attention is None else answer.attention
    hidden = answer.map_kind == "occlusion"
    maps = [(HIDDEN if hidden else f"glimpse {n}", one) for n, one in enumerate(weights, start=1)]
    return Shown(question, lines, maps, answer.boxes, answer.map_kind)


def of_caption(caption: GeneratedCaption) -> Shown:
    """A caption and a map for each word that has one, with the share that the image has in it."""
    maps = []
    for word in caption.words:
        share = "" if word.sentinel is None else f" ({1 - word.sentinel:.0%} visual)"
        if word.attention is not None:
            maps.append((word.text + share, word.attention))
    lines = [HIDDEN] if caption.map_kind == "occlusion" else []
    return Shown(caption.text, lines, maps, caption.boxes, caption.map_kind)


def draw(shown: Shown, image: Pixels, *, smooth: bool) -> Pixels:
    """One page `(height, width, 3)` with `image (H, W, 3)` and all maps over it; `smooth` blends
    the cells of a grid.
    """
    height, width = image.shape[:2]
    maps = [heat_map(one, shown.boxes, height, width, smooth) for _, one in shown.maps]
    titles = [label for label, _ in shown.maps]
    return panel(image, maps, titles, "\n".join([shown.heading, *shown.lines]))


def png_of(shown: Shown, image: Pixels | None) -> bytes | None:
    """The page as a small PNG file; None without an image."""
    if image is None:
        return None
    page = Image.fromarray(draw(shown, image, smooth=is_grid(shown.boxes)))
    page.thumbnail((PAGE, 4 * PAGE), Image.Resampling.LANCZOS)
    stream = BytesIO()
    page.quantize(64).save(stream, "PNG", optimize=True)  # a fifth of the bytes
    return stream.getvalue()


def html_of(found: Answer | GeneratedCaption) -> str:
    """An answer or a caption as a part of a page of HTML."""
    notes = list[str]()
    if isinstance(found, Answer):
        shown, ranked = of_answer(found, found.question), found.top
        notes += shown.lines[1:]
        if found.unknown:
            notes.append(f"the model never learnt: {', '.join(found.unknown)}")
    else:
        shown, ranked = of_caption(found), []
        notes += shown.lines
    tiles = [] if found.image is None else _tiles(shown, found.image)
    heading = shown.heading or found.text
    return fill(TEMPLATE, heading=heading, tiles=tiles, ranked=ranked, notes=notes, side=TILE)


def _tiles(shown: Shown, image: Pixels) -> list[Tile]:
    """The image, and each map over it."""
    (height, width), smooth = image.shape[:2], is_grid(shown.boxes)
    tiles = [Tile("the image", embed(image, TILE))]
    for label, weights in shown.maps:
        heat = heat_map(weights, shown.boxes, height, width, smooth)
        tiles.append(Tile(label, embed(overlay(image, heat), TILE)))
    return tiles


def is_grid(boxes: np.ndarray) -> bool:
    """Whether `boxes (R, 4)` are the cells of a grid, as opposed to detected ones."""
    columns, rows = (len(np.unique(boxes[:, side])) for side in (0, 1))
    return columns * rows == len(boxes)
