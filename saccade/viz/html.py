"""HTML pages with everything inside: data classes of the demonstration's page, images as addresses.

The layout is in `page.html.j2`; `style.css` has what all pages share.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Bar:
    """One score among others, drawn as a bar."""

    name: str
    share: float
    """Length, 0..1."""
    text: str
    """The number as it is written."""
    ours: bool = False
    """Of a trained model; baselines are paler."""


@dataclass(frozen=True)
class Chart:
    """Scores that belong beside each other."""

    title: str
    description: str
    """What is measured, on what, and what the baselines are."""
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Tile:
    """A small image with words below it."""

    label: str
    image: str
    """A data address, see `embed`."""
    boxes: Sequence[Sequence[float]] = ()
    """Outlined, x0 y0 x1 y1 as shares of width and height."""


@dataclass(frozen=True)
class AnswerCard:
    """One question, the model's answer, and its attention maps."""

    question: str
    answer: str
    confidence: float
    """The model's own probability of its answer."""
    people: str
    """Human answers with their counts."""
    accuracy: float
    """Official accuracy of the answer, 0..1."""
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class CaptionCard:
    """One caption, a human one, and the attention map of each word."""

    caption: str
    human: str
    reason: str
    """Why this image is here."""
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Stage:
    """One step of the work and its price."""

    name: str
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Report:
    """All that is on the demonstration's page."""

    lead: str
    headlines: Sequence[Bar]
    """Few large numbers; `text` is the number, `name` what it is."""
    answers: Sequence[AnswerCard]
    wrong_answers: Sequence[AnswerCard]
    captions: Sequence[CaptionCard]
    charts: Sequence[Chart]
    curves: Sequence[Tile]
    stages: Sequence[Stage]
    notes: Sequence[str]
    """How it was made and what it does not show, a sentence or two each."""
    commands: Sequence[tuple[str, str]]
    """What a command does, and the command itself."""
    versions: str


def embed(pixels: Pixels, side: int) -> str:
    """An image `(H, W, 3)`, its longer side at most `side` pixels, as a data address."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    # A photograph's format: the images are grainy, and a page of PNGs would be five times as big.
    image.save(stream, format="JPEG", quality=88, subsampling=0)
    return address(stream.getvalue(), "jpeg")


def address(content: bytes, kind: str) -> str:
    """Bytes of an image file as a data address; `kind` is "png", "jpeg" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def render(report: Report) -> str:
    """Write the page of a demonstration."""
    return fill("viz/page.html.j2", report=report)


def fill(template: str, **content: Any) -> str:
    """Fill a template of the package. All text is escaped; no other file is read."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def _source(name: str) -> str:
    return files("saccade").joinpath(name).read_text(encoding="utf-8")
