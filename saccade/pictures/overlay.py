"""Where the model looked, drawn onto the picture itself."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from saccade.pictures.heat import Heat
from saccade.pictures.lettering import INK, PAPER, QUIET, fold, font, shorten

Pixels = NDArray[np.uint8]

COLOUR_MAP = "inferno"
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""How much each of red, green and blue adds to how bright a pixel looks (ITU-R BT.601)."""


def overlay(image: Pixels, heat: Heat, colour_map: str = COLOUR_MAP) -> Pixels:
    """Make a picture glow where the model looked and step back where it did not.

    `image (H, W, 3)` uint8, `heat (H, W)` from 0 to 1; returns `(H, W, 3)` uint8. Cold places are
    darker and paler, hot ones keep their own light under the colour map. Raises ValueError where
    the shapes do not belong together.
    """
    if image.ndim != 3 or image.shape[2] != 3 or heat.shape != image.shape[:2]:
        raise ValueError(f"image {image.shape} and heat {heat.shape} do not belong together")
    light = image.astype(np.float32) / 255
    hot = heat[..., None].astype(np.float32)
    cold = 0.75 * (0.55 * light + 0.45 * (light @ GREY)[..., None])
    picture = cold * (1 - hot) + light * hot
    glow = _colours(colour_map)[np.round(heat * 255).astype(np.intp)]
    strength = 0.1 + 0.5 * hot
    mixed = picture * (1 - strength) + glow * strength
    return np.asarray(np.round(np.clip(mixed, 0, 1) * 255), dtype=np.uint8)


class _Layout(NamedTuple):
    """Measures of a panel in pixels."""

    columns: int
    tile: tuple[int, int]
    """Width and height of one picture."""
    margin: int = 20
    gap: int = 12
    title: int = 30
    """Height of the line below a picture."""


def panel(
    image: Pixels, maps: Sequence[Heat], titles: Sequence[str], caption: str, columns: int = 5
) -> Pixels:
    """Put a picture and all the model's looks at it onto one page, `(height, width, 3)` uint8.

    The first line of `caption` is the heading, the others stand below it. Then come the plain
    picture and one overlay per map, each above its title (a glimpse, or a word of the caption),
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
    for place, (pixels, title) in enumerate(zip(tiles, ["the picture", *titles], strict=True)):
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
    """Few pictures are shown large, many small; a tall picture is narrow rather than cut."""
    height, width = image.shape[:2]
    side = 360 if columns <= 3 else 240
    scale = min(side / width, 1.25 * side / height)
    tile = (max(round(width * scale), 80), max(round(height * scale), 20))
    return _Layout(columns, tile)


def _heading(caption: str, width: int) -> list[tuple[str, ImageFont.FreeTypeFont, int]]:
    """The lines above the pictures: text, type, height in pixels."""
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
