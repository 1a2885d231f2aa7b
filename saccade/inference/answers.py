"""What a run gives for an image: an answer or a caption, with what it rests on.

Shapes: R regions, G glimpses.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

MapKind = Literal["attention", "occlusion"]
"""What maps show: the share of attention of each region, or the cost of hiding it."""


SIDE = 320
"""Longer side of the small copy of an image, at most, in pixels."""
SHORT = 60
"""Characters of a caption that its short form shows."""


class Answer(NamedTuple):
    """An answer with its probability and the model's attention."""

    text: str
    top: list[tuple[str, float]]
    """The likeliest answers with their probabilities, the likeliest first; over all answers they
    sum to 1, except where the loss is "logistic" and each answer is predicted independently."""
    attention: np.ndarray | None
    """(G, R) one map per glimpse, each sums to 1; None for a model without attention."""
    boxes: np.ndarray
    """(R, 4) x0 y0 x1 y1 of each region as shares of the image's width and height."""
    unknown: tuple[str, ...] = ()
    """Words of the question that the model never learnt, as it cuts them."""
    prior: list[tuple[str, float]] | None = None
    """What the model's answer prior, which sees no image, finds likeliest; None without one."""
    map_kind: MapKind = "attention"
    """What `attention` holds; occlusion is one map."""
    question: str = ""
    image: np.ndarray | None = None
    """(h, w, 3) uint8, a small copy of the image for drawings; None in lists of `ask`."""

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """The answer as values of JSON: `text`, `top`, `unknown` and `prior`.

        With `maps` also `boxes` and `maps`, one for each glimpse, empty without attention.
        """
        prior = None if self.prior is None else _ranked(self.prior)
        found: dict[str, Any] = {"text": self.text, "top": _ranked(self.top)}
        found |= {"unknown": list(self.unknown), "prior": prior}
        if maps:
            weights = () if self.attention is None else self.attention
            drawn = [(f"glimpse {n}", one, None) for n, one in enumerate(weights, start=1)]
            found |= _maps(self.boxes, self.map_kind, drawn)
        return found

    def __repr__(self) -> str:
        ranked = ", ".join(f"{text[:40]!r} {share:.3f}" for text, share in self.top[:3])
        return f"Answer({ranked}{_maps_in_words(self.attention, self.map_kind)})"

    def _repr_html_(self) -> str:
        from saccade.inference.display import html_of  # noqa: PLC0415 - drawing is slow to import

        return html_of(self)

    def _repr_png_(self) -> bytes | None:
        from saccade.inference.display import of_answer, png_of  # noqa: PLC0415

        return png_of(of_answer(self, self.question), self.image)


class CaptionWord(NamedTuple):
    """One word of a caption with the model's attention."""

    text: str
    attention: np.ndarray | None  # (R,)
    sentinel: float | None
    """Share of attention, 0..1, given to the sentence so far instead of the image."""


class GeneratedCaption(NamedTuple):
    """A caption that a model generated for an image."""

    text: str
    words: list[CaptionWord]
    log_probability: float
    boxes: np.ndarray  # (R, 4)
    map_kind: MapKind = "attention"
    """What the words' `attention` holds."""
    image: np.ndarray | None = None
    """(h, w, 3) uint8, a small copy of the image for drawings; None in lists of `caption`."""

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """The caption as values of JSON: `text`, `words` and `log_probability`.

        With `maps` also `boxes` and `maps`, one for each word, empty without attention.
        """
        words = [word.text for word in self.words]
        found: dict[str, Any] = {"text": self.text, "words": words}
        found["log_probability"] = self.log_probability
        if maps:
            drawn = [(w.text, w.attention, w.sentinel) for w in self.words]
            found |= _maps(self.boxes, self.map_kind, drawn)
        return found

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= SHORT else f"{self.text[:SHORT]}..."
        maps = [word.attention for word in self.words if word.attention is not None]
        said = _maps_in_words(np.stack(maps) if maps else None, self.map_kind)
        return f"GeneratedCaption({text!r}, log_probability={self.log_probability:.2f}{said})"

    def _repr_html_(self) -> str:
        from saccade.inference.display import html_of  # noqa: PLC0415

        return html_of(self)

    def _repr_png_(self) -> bytes | None:
        from saccade.inference.display import of_caption, png_of  # noqa: PLC0415

        return png_of(of_caption(self), self.image)


def _maps_in_words(maps: np.ndarray | None, kind: MapKind) -> str:
    return "" if maps is None else f", {kind} {maps.shape[0]} x {maps.shape[1]}"


def _ranked(some: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"answer": text, "probability": share} for text, share in some]


def _maps(
    boxes: np.ndarray, kind: MapKind, drawn: Iterable[tuple[str, np.ndarray | None, float | None]]
) -> dict[str, Any]:
    """Boxes and maps as values of JSON; `drawn` are labels, weights (R,) and sentinels."""
    maps = [
        {"label": label, "kind": kind, "weights": weights.tolist(), "sentinel": sentinel}
        for label, weights, sentinel in drawn
        if weights is not None
    ]
    return {"boxes": boxes.tolist(), "maps": maps}


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """A small copy of an image `(H, W, 3)` uint8."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    return np.array(image)
