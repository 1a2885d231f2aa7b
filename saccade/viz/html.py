"""HTML pages with everything inside: templates that are filled, images as addresses.

A page's template lies beside the code that fills it; `style.css` has what all pages share.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


class Bar(NamedTuple):
    """One score among others, drawn as a bar; all lengths are 0..1."""

    name: str
    text: str
    """The number as it is written."""
    share: float
    run: int | None = None
    """The place of a run among others; None for a baseline, which is paler."""
    low: float | None = None
    high: float | None = None
    """The ends of the interval."""
    shuffled: float | None = None
    """The score of the same run with shuffled images."""


class Tile(NamedTuple):
    """A small image with words below it."""

    label: str
    image: str
    """A data address, see `embed`."""
    boxes: Sequence[Sequence[float]] = ()
    """Outlined, x0 y0 x1 y1 as shares of width and height."""


def embed(pixels: Pixels, side: int) -> str:
    """An image `(H, W, 3)`, its longer side at most `side` pixels, as a data address."""
    return address(jpeg(pixels, side), "image/jpeg")


def jpeg(pixels: Pixels, side: int) -> bytes:
    """An image `(H, W, 3)`, its longer side at most `side` pixels, as a JPEG file's bytes."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    # A photograph's format: the images are grainy, and a page of PNGs would be five times as big.
    image.save(stream, format="JPEG", quality=88, subsampling=0)
    return stream.getvalue()


def address(content: bytes, kind: str) -> str:
    """The bytes of a file as an address that holds them; `kind` is a media type: "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def fill(template: str, **content: Any) -> str:
    """Fill a template of the package. All text is escaped; no other file is read."""
    return _template(template).render(**content)


def fill_file(path: Path, template: str, **content: Any) -> None:
    """Fill a template into a file, piece by piece: what it repeats is never held as a whole."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(_template(template).generate(**content))


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("saccade", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
