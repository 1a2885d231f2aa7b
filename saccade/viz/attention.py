"""Attention maps: weights of regions as heat maps, overlays, and one page of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from saccade.viz.fonts import INK, QUIET, Font, Text, draw_texts
from saccade.viz.html import Pixels

Heat = NDArray[np.float32]

FULL_HEAT = 3.0
"""Times the mean weight: a region with that much attention or more is drawn at full heat."""


def heat_map(
    weights: ArrayLike, boxes: ArrayLike, height: int, width: int, smooth: bool = True
) -> Heat:
    """Heat map of attention over regions: `(height, width)` float32, 0..1.

    `weights (R,)` are at least 0; `boxes (R, 4)` are x0 y0 x1 y1 as shares of width and height,
    and may overlap or leave parts of the image out. A pixel is the mean weight of the regions that
    cover it (0 without any), so many boxes on one place are no brighter than one box. `smooth`
    lets a region fade out over its own size, which blends the cells of a grid; without it edges
    are sharp, as suits detected boxes. A pixel is 1 at three times the mean weight or more, so that
    even attention (1/3 everywhere) does not look like a result. Raises ValueError for weights and
    boxes of different number, and for weights that are negative or not finite.
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
    full = max(float(heat.max(initial=0.0)), FULL_HEAT * float(weight.sum()) / max(len(weight), 1))
    return np.asarray(heat / full if full > 0 else heat, dtype=np.float32)


def _inside(low: NDArray[np.float32], high: NDArray[np.float32], pixels: int) -> Heat:
    """How much of each pixel lies between `low` and `high`, from 0 to 1: `(R, pixels)`."""
    edge = np.arange(pixels, dtype=np.float32)
    first, last = low[:, None] * pixels, high[:, None] * pixels
    inside = np.minimum(last, edge + 1) - np.maximum(first, edge)
    return np.asarray(np.clip(inside, 0, 1), dtype=np.float32)


def _bump(low: NDArray[np.float32], high: NDArray[np.float32], pixels: int) -> Heat:
    """Quadratic B-spline over a region: a half at its edges, 0 its own size further out.

    Equal neighbours add up to 1 everywhere.
    """
    middle = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    size = np.maximum(high - low, 1 / pixels)[:, None]
    away = np.abs(middle - ((low + high) / 2)[:, None]) / size
    near, far = 0.75 - away**2, 0.5 * (1.5 - np.minimum(away, 1.5)) ** 2
    return np.asarray(np.where(away < 0.5, near, far), dtype=np.float32)


HEAT_COLOURS = np.asarray(colormaps["inferno"](np.arange(256))[:, :3], dtype=np.float32)
"""(256, 3), 0..1: from no attention to full heat."""
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


def overlay(image: Pixels, heat: Heat) -> Pixels:
    """Image under a heat map: `(H, W, 3)` uint8.

    `image (H, W, 3)` uint8, `heat (H, W)` 0..1. Cold places are darker and paler, hot ones keep
    their own light under the colour map. Raises ValueError for different sizes.
    """
    if image.ndim != 3 or image.shape[2] != 3 or heat.shape != image.shape[:2]:
        raise ValueError(f"image {image.shape} and heat {heat.shape} do not belong together")
    light = image.astype(np.float32) / 255
    hot = heat[..., None].astype(np.float32)
    cold = 0.75 * (0.55 * light + 0.45 * (light @ GREY)[..., None])
    dimmed = cold * (1 - hot) + light * hot
    colours = HEAT_COLOURS[np.round(heat * 255).astype(np.intp)]
    strength = 0.1 + 0.5 * hot
    mixed = dimmed * (1 - strength) + colours * strength
    return np.asarray(np.round(np.clip(mixed, 0, 1) * 255), dtype=np.uint8)


def outline(image: Pixels, box: Sequence[float]) -> Pixels:
    """A copy of `image (H, W, 3)` with a frame around a box, which is x0 y0 x1 y1 as shares of its
    width and height. What is in the box stays visible, however small it is; the frame is white and
    black, so it is seen on any colour, and moves inwards at the edges of the image.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.multiply(box, (width, height, width, height)).round().astype(int)
    drawn = Image.fromarray(image)
    pen = ImageDraw.Draw(drawn)
    for distance, colour in ((1, "black"), (2, "white"), (3, "white"), (4, "black")):
        left, top = max(x0 - distance, 4 - distance), max(y0 - distance, 4 - distance)
        right = min(x1 - 1 + distance, width - 5 + distance)
        low = min(y1 - 1 + distance, height - 5 + distance)
        pen.rectangle((left, top, max(right, left), max(low, top)), outline=colour)
    return np.asarray(drawn, dtype=np.uint8)


MARGIN, GAP, LINE = 20, 12, 30
"""Pixels of a panel: around it, between images, and for the title below an image."""


def panel(
    image: Pixels, maps: Sequence[Heat], titles: Sequence[str], caption: str, columns: int = 5
) -> Pixels:
    """One page with an image and all attention maps over it: `(height, width, 3)` uint8.

    The first line of `caption` is the heading, the others stand below it. Then come the plain
    image and one overlay for each map, each above its title (a glimpse, or a word of the caption),
    at most `columns` in a row. Raises ValueError for different numbers of titles and maps.
    """
    if len(maps) != len(titles):
        raise ValueError(f"{len(maps)} maps and {len(titles)} titles")
    tiles = [image, *(overlay(image, heat) for heat in maps)]
    columns = min(columns, len(tiles))
    # Few images are large, many small; a tall one is narrow, not cut.
    side, (tall, broad) = 360 if columns <= 3 else 240, image.shape[:2]
    scale = min(side / broad, 1.25 * side / tall)
    wide, high = max(round(broad * scale), 80), max(round(tall * scale), 20)
    width = 2 * MARGIN + columns * (wide + GAP) - GAP
    texts, y = list[Text](), MARGIN
    for number, line in enumerate(caption.strip().split("\n")):
        font, line_height = (Font(18), 27) if number else (Font(22, bold=True), 32)
        for part in font.wrap(line, width - 2 * MARGIN):
            texts.append(Text(part, MARGIN, y, font))
            y += line_height
    top = y + (10 if texts else 0)
    places = []
    for place, title in enumerate(["the image", *titles]):
        row, column = divmod(place, columns)
        x, y = MARGIN + column * (wide + GAP), top + row * (high + LINE + GAP)
        font, colour = Font(16, bold=place > 0), INK if place else QUIET
        label = font.shorten(title, wide)
        texts.append(Text(label, x + wide // 2, y + high + 6, font, colour, centred=True))
        places.append((x, y))
    height = y + high + LINE + 30
    foot, small = height - 26, Font(12)
    ramp_at = MARGIN + round(small.width("little attention")) + 8
    if maps:
        texts.append(Text("little attention", MARGIN, foot, small, QUIET))
        texts.append(Text("much", ramp_at + 108, foot, small, QUIET))
    page = draw_texts(width, height, texts)
    for pixels, corner in zip(tiles, places, strict=True):
        page.paste(Image.fromarray(pixels).resize((wide, high), Image.Resampling.LANCZOS), corner)
    if maps:
        ramp = np.round(HEAT_COLOURS[None].repeat(8, axis=0) * 255).astype(np.uint8)
        page.paste(Image.fromarray(ramp).resize((100, 8)), (ramp_at, foot + 4))
    return np.asarray(page, dtype=np.uint8)
