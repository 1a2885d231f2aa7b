"""Where the model looked, drawn onto the image itself."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from saccade.viz.fonts import INK, PAPER, QUIET, fold, font, shorten

# From one weight per region to one value per pixel.

Heat = NDArray[np.float32]

CLEARLY = 3.0
"""So many times its fair share of attention must a region get to be drawn at full heat."""


def heat_map(
    weights: ArrayLike, boxes: ArrayLike, height: int, width: int, smooth: bool = True
) -> Heat:
    """Paint attention over its regions: `(height, width)` from 0 to 1.

    `weights (R,)` are not negative; `boxes (R, 4)` are x0 y0 x1 y1 as shares of width and height,
    may overlap and may leave parts of the image out. A pixel shows the mean weight of the regions
    that cover it, so a heap of overlapping boxes is no brighter than one box; where nothing covers
    it, it shows 0. With `smooth` a region fades out over its own size, which for a grid blends
    neighbouring cells into each other; without it edges are sharp, as suits detected boxes.
    The strongest pixel is 1 where it has three times the mean weight or more; less than that stays
    below 1, so that attention which is the same everywhere (1/3) does not look like a discovery.
    Raises ValueError where weights and boxes do not belong together.
    """
    weight = np.asarray(weights, dtype=np.float32)
    box = np.asarray(boxes, dtype=np.float32)
    if weight.ndim != 1 or box.shape != (len(weight), 4):
        raise ValueError(f"weights {weight.shape} and boxes {box.shape} do not belong together")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("attention weights must be finite and at least 0")
    cover = _bump if smooth else _inside
    across = cover(box[:, 0], box[:, 2], width)  # (R, W)
    down = cover(box[:, 1], box[:, 3], height)  # (R, H)
    coverage = down.T @ across  # (H, W)
    # A smooth grid covers its own corners by a quarter; less than that is beyond its edge.
    heat = (down.T @ (weight[:, None] * across)) / np.maximum(coverage, 0.25)
    full = max(float(heat.max(initial=0.0)), CLEARLY * float(weight.sum()) / max(len(weight), 1))
    return np.asarray(heat / full if full > 0 else heat, dtype=np.float32)


def _inside(begin: NDArray[np.float32], end: NDArray[np.float32], pixels: int) -> Heat:
    """How much of each pixel lies between `begin` and `end`, from 0 to 1: `(R, pixels)`."""
    edge = np.arange(pixels, dtype=np.float32)
    first, last = begin[:, None] * pixels, end[:, None] * pixels
    inside = np.minimum(last, edge + 1) - np.maximum(first, edge)
    return np.asarray(np.clip(inside, 0, 1), dtype=np.float32)


def _bump(begin: NDArray[np.float32], end: NDArray[np.float32], pixels: int) -> Heat:
    """Highest in the middle of a region, a half at its edges, 0 its own size further out.

    This is the quadratic B-spline: no kink, and equal neighbours add up to 1 everywhere.
    """
    middle = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    size = np.maximum(end - begin, 1 / pixels)[:, None]
    away = np.abs(middle - ((begin + end) / 2)[:, None]) / size
    near, far = 0.75 - away**2, 0.5 * (1.5 - np.minimum(away, 1.5)) ** 2
    return np.asarray(np.where(away < 0.5, near, far), dtype=np.float32)


Pixels = NDArray[np.uint8]

COLOUR_MAP = "inferno"
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""How much each of red, green and blue adds to how bright a pixel looks (ITU-R BT.601)."""


def overlay(image: Pixels, heat: Heat, colour_map: str = COLOUR_MAP) -> Pixels:
    """Make an image glow where the model looked and step back where it did not.

    `image (H, W, 3)` uint8, `heat (H, W)` from 0 to 1; returns `(H, W, 3)` uint8. Cold places are
    darker and paler, hot ones keep their own light under the colour map. Raises ValueError where
    the shapes do not belong together.
    """
    if image.ndim != 3 or image.shape[2] != 3 or heat.shape != image.shape[:2]:
        raise ValueError(f"image {image.shape} and heat {heat.shape} do not belong together")
    light = image.astype(np.float32) / 255
    hot = heat[..., None].astype(np.float32)
    cold = 0.75 * (0.55 * light + 0.45 * (light @ GREY)[..., None])
    image_record = cold * (1 - hot) + light * hot
    glow = _colours(colour_map)[np.round(heat * 255).astype(np.intp)]
    strength = 0.1 + 0.5 * hot
    mixed = image_record * (1 - strength) + glow * strength
    return np.asarray(np.round(np.clip(mixed, 0, 1) * 255), dtype=np.uint8)


class _Layout(NamedTuple):
    """Measures of a panel in pixels."""

    columns: int
    tile: tuple[int, int]
    """Width and height of one image."""
    margin: int = 20
    gap: int = 12
    title: int = 30
    """Height of the line below an image."""


def panel(
    image: Pixels, maps: Sequence[Heat], titles: Sequence[str], caption: str, columns: int = 5
) -> Pixels:
    """Put an image and all the model's looks at it onto one page, `(height, width, 3)` uint8.

    The first line of `caption` is the heading, the others stand below it. Then come the plain
    image and one overlay per map, each above its title (a glimpse, or a word of the caption),
    at most `columns` in a row. Raises ValueError where there are not as many titles as maps.
    """
    if len(maps) != len(titles):
        raise ValueError(f"{len(maps)} maps and {len(titles)} titles")
    tiles = [image, *(overlay(image, heat) for heat in maps)]
    layout = _lay_out(image, min(columns, len(tiles)))
    rows = -(-len(tiles) // layout.columns)
    width = 2 * layout.margin + layout.columns * (layout.tile[0] + layout.gap) - layout.gap
    heading = _heading(caption, width - 2 * layout.margin)
    top = layout.margin + sum(height for _, _, height in heading) + (10 if heading else 0)
    row_height = layout.tile[1] + layout.title
    height = top + rows * (row_height + layout.gap) - layout.gap + 30
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    y = layout.margin
    for text, face, line_height in heading:
        draw.text((layout.margin, y), text, fill=INK, font=face)
        y += line_height
    for place, (pixels, title) in enumerate(zip(tiles, ["the image", *titles], strict=True)):
        row, column = divmod(place, layout.columns)
        x = layout.margin + column * (layout.tile[0] + layout.gap)
        y = top + row * (row_height + layout.gap)
        page.paste(Image.fromarray(pixels).resize(layout.tile, Image.Resampling.LANCZOS), (x, y))
        face = font(16, bold=place > 0, text=title)
        label = shorten(title, face, layout.tile[0])
        below = (x + layout.tile[0] // 2, y + layout.tile[1] + 6)
        draw.text(below, label, fill=INK if place else QUIET, font=face, anchor="ma")
    if maps:
        _legend(page, draw, layout.margin)
    return np.asarray(page, dtype=np.uint8)


def _lay_out(image: Pixels, columns: int) -> _Layout:
    """Few images are shown large, many small; a tall image is narrow rather than cut."""
    height, width = image.shape[:2]
    side = 360 if columns <= 3 else 240
    scale = min(side / width, 1.25 * side / height)
    tile = (max(round(width * scale), 80), max(round(height * scale), 20))
    return _Layout(columns, tile)


def _heading(caption: str, width: int) -> list[tuple[str, ImageFont.FreeTypeFont, int]]:
    """The lines above the images: text, type, height in pixels."""
    first, *others = caption.strip().split("\n")
    large = font(22, bold=True, text=first)
    lines = [(text, large, 32) for text in fold(first, large, width)]
    for line in others:
        small = font(18, text=line)
        lines += [(text, small, 27) for text in fold(line, small, width)]
    return lines


def _legend(page: Image.Image, draw: ImageDraw.ImageDraw, margin: int) -> None:
    """A strip of the colours at the foot of the page, with what its ends mean."""
    face, y, x = font(12), page.height - 26, margin
    draw.text((x, y), "looked little", fill=QUIET, font=face)
    x += round(face.getlength("looked little")) + 8
    ramp = np.round(_colours(COLOUR_MAP)[None].repeat(8, axis=0) * 255).astype(np.uint8)
    page.paste(Image.fromarray(ramp).resize((100, 8)), (x, y + 4))
    draw.text((x + 108, y), "much", fill=QUIET, font=face)


def _colours(name: str) -> NDArray[np.float32]:
    """A matplotlib colour map as `(256, 3)` numbers from 0 to 1."""
    return np.asarray(colormaps[name](np.arange(256))[:, :3], dtype=np.float32)
