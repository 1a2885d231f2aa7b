"""Scenes of coloured shapes, and images of them: the pixels of the embedded Shapes world.

Equal seeds give equal pixels on any machine: random numbers come from PCG64, and drawing uses only
operations whose rounding is fixed (no sine, no power).
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

COLORS = {
    "red": (212, 56, 52),
    "yellow": (242, 202, 56),
    "green": (58, 158, 82),
    "blue": (52, 104, 208),
    "purple": (142, 76, 182),
    "black": (52, 52, 58),
}
KINDS = ("circle", "square", "triangle", "star", "cross")
SIZES = {"small": (9.5, 12.0), "large": (17.0, 22.0)}
"""Least and greatest radius, in pixels of an image of 128 x 128."""
TEXTURES = ("plain", "striped", "dotted", "checked")
_GROUNDS = ((226, 218, 204), (208, 217, 224), (215, 223, 208), (227, 212, 214), (214, 210, 225))
_HOW_MANY = (2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5)


class Shape(NamedTuple):
    """One shape. Lengths are shares of the image's side, so they hold at any size."""

    kind: str
    color: str
    size: str
    x: float
    """Centre, from the left."""
    y: float
    """Centre, from the top."""
    radius: float
    turn: int
    """Degrees, clockwise."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge, 0..1."""
        across = [x for part in corners(self) for x, _ in part] or [-self.radius, self.radius]
        down = [y for part in corners(self) for _, y in part] or [-self.radius, self.radius]
        edges = self.x + min(across), self.y + min(down), self.x + max(across), self.y + max(down)
        left, top, right, bottom = (round(edge, 4) for edge in edges)
        return left, top, right, bottom

    @property
    def name(self) -> str:
        """Unique in its scene: no two shapes share kind and colour."""
        return f"{self.color} {self.kind}"


class Scene(NamedTuple):
    """All that is in one image, from left to right."""

    texture: str
    shapes: tuple[Shape, ...]


def make_scene(random: np.random.Generator) -> Scene:
    """Draw lots for two to five shapes that do not touch; centres differ from left to right."""
    wanted = _HOW_MANY[int(random.integers(len(_HOW_MANY)))]
    texture = TEXTURES[int(random.integers(len(TEXTURES)))]
    while True:
        shapes: list[Shape] = []
        for _ in range(40):
            candidate = _lots(random, shapes)
            if all(_apart(candidate, other) for other in shapes):
                shapes.append(candidate)
            if len(shapes) == wanted:
                return Scene(texture, tuple(sorted(shapes, key=lambda shape: shape.x)))


def _lots(random: np.random.Generator, others: Sequence[Shape]) -> Shape:
    """One shape. Often it shares its kind or its colour with another, so that both matter."""
    kind = KINDS[int(random.integers(len(KINDS)))]
    color = tuple(COLORS)[int(random.integers(len(COLORS)))]
    share, which = random.random(), int(random.integers(max(len(others), 1)))
    if others and share < 0.35:
        kind = others[which].kind
    elif others and share < 0.65:
        color = others[which].color
    size = tuple(SIZES)[int(random.integers(len(SIZES)))]
    least, most = SIZES[size]
    radius = (least + (most - least) * random.random()) / 128
    x, y = (radius + 0.025 + (0.95 - 2 * radius) * random.random() for _ in range(2))
    turn = 5 * int(random.integers(-3, 4))
    return Shape(kind, color, size, round(x, 4), round(y, 4), round(radius, 4), turn)


def _apart(one: Shape, other: Shape) -> bool:
    across, down, reach = one.x - other.x, one.y - other.y, one.radius + other.radius + 0.04
    clear = across * across + down * down > reach * reach
    return clear and abs(across) > 0.06 and one.name != other.name


def draw(scene: Scene, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a scene as (size, size, 3) RGB, with soft edges, shadows and a little noise."""
    image = _ground(scene.texture, size, random)  # (3, size, size): faster to work on
    for shape in scene.shapes:
        left, top, right, bottom = (edge * size for edge in shape.box)
        rows = slice(max(math.floor(top) - 3, 0), min(math.ceil(bottom) + 6, size))
        columns = slice(max(math.floor(left) - 3, 0), min(math.ceil(right) + 6, size))
        x = middles(columns.start, columns.stop)[None, :]
        y = middles(rows.start, rows.stop)[:, None]
        patch = image[:, rows, columns]
        patch *= 1 - 0.28 * np.clip((inside(shape, x - 1.5, y - 2.0, size) + 2) / 4, 0, 1)
        depth = inside(shape, x, y, size)
        light = 1.1 - 0.2 * ((x - left) + (y - top)) / (right - left + bottom - top)
        rim = 0.72 + 0.28 * np.clip(depth - 1.0, 0, 1)
        paint = np.array(COLORS[shape.color], np.float32)[:, None, None] * (light * rim)
        patch += np.clip(depth + 0.5, 0, 1) * (paint - patch)
    image += random.integers(-3, 4, (size, size), dtype=np.int8)
    pixels = np.clip(np.rint(image, out=image), 0, 255, out=image).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _ground(texture: str, size: int, random: np.random.Generator) -> Floats:
    base = np.array(_GROUNDS[int(random.integers(len(_GROUNDS)))], np.float32)
    period = size * (0.11 + 0.05 * random.random())
    x, y = middles(0, size)[None, :] / period, middles(0, size)[:, None] / period
    if texture == "striped":
        mark = _wave(x + 0.5 * y) < 0.5
    elif texture == "checked":
        mark = _wave((np.floor(x) + np.floor(y)) / 2) < 0.25
    elif texture == "dotted":
        across, down = _wave(x) - 0.5, _wave(y) - 0.5
        mark = across * across + down * down < 0.07
    else:
        mark = np.zeros((size, size), bool)
    light = (1.03 - 0.06 * y * period / size) * np.where(mark, np.float32(0.91), np.float32(1))
    return np.asarray(base[:, None, None] * light)


def _wave(along: Floats) -> Floats:
    """Rise from 0 to 1 in every unit, as `along % 1` does, but faster."""
    return np.asarray(along - np.floor(along))


def middles(start: int, stop: int) -> Floats:
    """Coordinates of the middles of pixels."""
    return np.arange(start, stop, dtype=np.float32) + np.float32(0.5)


def inside(shape: Shape, x: Floats, y: Floats, size: int) -> Floats:
    """Depth of points inside a shape, in pixels; below 0 outside. `x`, `y` in pixels."""
    x, y, radius = x - shape.x * size, y - shape.y * size, shape.radius * size
    if shape.kind == "circle":
        return np.asarray(radius - np.sqrt(x * x + y * y))
    depths = []
    for part in corners(shape):
        edges = []  # distances to the lines through two corners, above 0 on their right-hand side
        for start, end in zip(part, part[1:] + part[:1], strict=True):
            across, down = end[0] - start[0], end[1] - start[1]
            length = math.sqrt(across * across + down * down)
            edges.append((across * (y - start[1] * size) - down * (x - start[0] * size)) / length)
        # A star is where at most one of the five long edges is crossed.
        depths.append(np.sort(edges, axis=0)[1] if shape.kind == "star" else np.min(edges, axis=0))
    return np.asarray(np.max(depths, axis=0))


def corners(shape: Shape) -> list[list[tuple[float, float]]]:
    """Outlines of a shape's convex parts, clockwise around its centre, as shares of the side.

    None for a circle; two bars for a cross; for a star every second of its five points.
    """
    cos, sin = _direction(shape.turn)
    return [
        [(shape.radius * (cos * x - sin * y), shape.radius * (sin * x + cos * y)) for x, y in part]
        for part in _outline(shape.kind)
    ]


@cache
def _outline(kind: str) -> list[list[tuple[float, float]]]:
    """Corners for radius 1; the slim kinds reach a little further, so that all look as large."""
    if kind == "square":
        return [[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]]
    if kind == "cross":
        bar = [(-0.98, -0.32), (0.98, -0.32), (0.98, 0.32), (-0.98, 0.32)]
        return [bar, [(-y, x) for x, y in bar]]
    step = {"triangle": 120, "star": 144}.get(kind)
    if step is None:
        return []
    turns = [_direction(step * n) for n in range(360 // math.gcd(step, 360))]
    return [[(1.12 * sin, -1.12 * cos) for cos, sin in turns]]


@cache
def _direction(degrees: int) -> tuple[float, float]:
    """Cosine and sine, rounded so that no machine's last digit shows."""
    angle = math.radians(degrees)
    return round(math.cos(angle), 9), round(math.sin(angle), 9)


def cell_labels(shapes: Sequence[Shape], rows: int, columns: int) -> NDArray[np.int64]:
    """Content of a grid's cells: (3, rows, columns) of kind, colour and size, 0 for none.

    Numbers count from 1 in the order of KINDS, COLORS and SIZES. A cell shows the shape that
    covers most of it, if that is a fifth or more; every shape has at least its fullest cell.
    """
    fine = 8
    x = middles(0, columns * fine)[None, :] / np.float32(columns * fine)
    y = middles(0, rows * fine)[:, None] / np.float32(rows * fine)
    labels = np.zeros((3, rows, columns), np.int64)
    best = np.full((rows, columns), 0.2)
    for shape in sorted(shapes, key=lambda shape: -shape.radius):
        cells = (inside(shape, x, y, 1) > 0).reshape(rows, fine, columns, fine).mean((1, 3))
        mine = (cells >= best) | (cells == cells.max())
        numbers = KINDS.index(shape.kind), [*COLORS].index(shape.color), [*SIZES].index(shape.size)
        labels[:, mine] = np.array(numbers)[:, None] + 1
        best = np.where(mine, np.maximum(cells, best), best)
    return labels
