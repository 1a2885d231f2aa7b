"""Scores of faithfulness from what was measured of each example: areas, gains, checks, a sentence.

Every number is a mean over examples with an interval over images (`metrics.intervals`).

Shapes: B examples, M maps of each, S points of a curve.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.formatting import table
from saccade.evaluation.attention_grounding import AttentionGrounding
from saccade.metrics.intervals import Statistic, by_image, intervals, mean

LEAST_GAIN = 0.02
"""A check passes where the area below the other deletion curve is larger by this much, and the
interval of the difference is above 0. Chosen before anything was measured."""
MOST_CORRELATION = 0.5
"""And where the mean rank correlation with the map of other weights is at most this; likewise.
It was asked of the map of another image, too, until a trained run missed it (0.506): what is empty
in both images rightly has the same order in both maps. There it is told, and decides nothing."""
RANDOM = 3
"""Random orders of each example."""
METHODS = ("map", "occlusion", *["random"] * RANDOM, "other_weights", "other_image")
"""The orders in which regions are hidden: of the map, of occlusion, by lot, and of the maps of the
same model with other weights and of the same question or words about another image."""
Shares = tuple[float, float, float, float, float]
PLACES = {name: [n for n, one in enumerate(METHODS) if one == name] for name in METHODS}


class Measured(NamedTuple):
    """What was measured of some examples, a row for each."""

    images: NDArray[np.int64]  # (B,)
    whole: NDArray[np.float64]  # (B,) probability with nothing hidden
    curves: NDArray[np.float64]  # (B, M, 2, S) probabilities: deletion, insertion
    areas: NDArray[np.float64]  # (B, M, 2)
    changed: NDArray[np.float64]  # (B, M) 1 where hiding the marked tenth changed the prediction
    correlation: NDArray[np.float64]  # (B, 3) with occlusion, of other weights, of another image
    pointing: list[tuple[Shares, Shares | None] | None]
    """The shares of `AttentionGrounding` for boxes and for outlines, where there are objects."""


def together(parts: Sequence[Measured]) -> Measured:
    """All examples, one after the other."""
    images, whole, curves, areas, changed, correlation = (
        np.concatenate(some) for some in zip(*(one[:-1] for one in parts), strict=True)
    )
    pointing = [one for part in parts for one in part.pointing]
    return Measured(images, whole, curves, areas, changed, correlation, pointing)


def scores_of(
    every: Measured, left_out: Mapping[str, int], task: str, data: str, *, attends: bool
) -> dict[str, Any]:
    """The scores of examples, as `faithfulness.json` has them; `data` names what they are of."""
    areas, changed = _by_method(every.areas), _by_method(every.changed)
    gains = {
        curve: _interval(every.images, sign * (areas["random"][:, n] - areas["map"][:, n]))
        for n, (curve, sign) in enumerate((("deletion", 1), ("insertion", -1)))
    }
    marked = {name: float(changed[name].mean()) for name in ("map", "occlusion", "random")}
    times = marked["map"] / marked["random"] if marked["random"] else None
    checks = _checks(every, areas)
    found = {
        "examples": len(every.images),
        "images": len(np.unique(every.images)),
        "left_out": {name: count for name, count in left_out.items() if count},
        "probability": _interval(every.images, every.whole),
        **{
            curve: {name: _interval(every.images, areas[name][:, n]) for name in PLACES}
            for n, curve in enumerate(("deletion", "insertion"))
        },
        "gain": gains,
        "agreement_with_occlusion": _interval(every.images, every.correlation[:, 0])
        if attends
        else None,
        "changed": {**marked, "times": times},
        "pointing": _pointing(every.pointing),
        "checks": checks,
        "passed": all(check["passed"] for check in checks.values()),
        "curves": {
            curve: {name: _curve(every.curves, places, n) for name, places in PLACES.items()}
            for n, curve in enumerate(("deletion", "insertion"))
        },
    }
    return {**found, "sentence": sentence(marked, len(every.images), task, data)}


def _by_method(values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Values `(B, M, ...)` of each method `(B, ...)`: the mean of the random orders."""
    return {name: values[:, places].mean(axis=1) for name, places in PLACES.items()}


def _curve(curves: NDArray[np.float64], places: Sequence[int], n: int) -> list[float]:
    found: list[float] = curves[:, places, n].mean(axis=(0, 1)).round(6).tolist()
    return found


def _interval(images: NDArray[np.int64], values: NDArray[np.float64]) -> dict[str, Any] | None:
    """Mean and 95 % interval of the values that are numbers, and how many these are; None where
    there is none. Of a single image there is no interval.
    """
    known = np.isfinite(values)
    if not known.any():
        return None
    sums = by_image(images[known], np.column_stack([values[known], np.ones(known.sum())]))
    statistic = Statistic(sums, mean)
    low, high = intervals([statistic])[0] if len(sums) > 1 else (None, None)
    return {"value": statistic.whole(), "low": low, "high": high, "examples": int(known.sum())}


def _checks(every: Measured, areas: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Whether a run's maps do better than maps that cannot know, each on the same examples."""
    found, alike = dict[str, Any](), None
    for name, column in (("random", None), ("other_weights", 1), ("other_image", 2)):
        gain = _interval(every.images, areas[name][:, 0] - areas["map"][:, 0])
        assert gain is not None  # areas are numbers
        passed = gain["value"] >= LEAST_GAIN and gain["low"] > 0
        found[name] = {"gain": gain, "least_gain": LEAST_GAIN}
        if column is not None:
            found[name]["correlation"] = alike = _interval(
                every.images, every.correlation[:, column]
            )
        if name == "other_weights":
            found[name]["most_correlation"] = MOST_CORRELATION
            passed = passed and (alike is None or alike["value"] <= MOST_CORRELATION)
        found[name]["passed"] = bool(passed)
    return found


def _pointing(some: Sequence[tuple[Shares, Shares | None] | None]) -> dict[str, Any] | None:
    """The pointing game for boxes, and for outlines where they are known."""
    known = [one for one in some if one is not None]
    if not known:
        return None
    kinds = {
        "boxes": [boxes for boxes, _ in known],
        "outlines": [lines for _, lines in known if lines is not None],
    }
    return {
        "without_objects": len(some) - len(known),
        **{
            kind: AttentionGrounding(len(rows), *np.mean(rows, axis=0).tolist())._asdict()
            for kind, rows in kinds.items()
            if rows
        },
    }


def sentence(marked: Mapping[str, float], examples: int, task: str, data: str) -> str:
    """What a map is worth on this data, for people."""
    many, one = ("answers", "answer") if task == "vqa" else ("words", "word")
    map_share, random_share = marked["map"], marked["random"]
    often = f"{map_share / random_share:.1f} times as often as" if random_share else "more than"
    return (
        f"On {data}, hiding the tenth of the regions that a map marks most changes the {one} "
        f"{often} hiding as many by lot ({map_share:.1%} and {random_share:.1%} of {examples:,} "
        f"{many})."
    )


TITLES = {
    "map": "the map",
    "occlusion": "occlusion",
    "random": "random orders",
    "other_weights": "map of other weights",
    "other_image": "map of another image",
}


def lines(scores: Mapping[str, Any]) -> Iterator[str]:
    """The scores for a terminal, with all that they depend on."""
    head = "", "deletion (low is good)", "insertion (high is good)"
    rows = [
        (title, _shown(scores["deletion"][name]), _shown(scores["insertion"][name]))
        for name, title in TITLES.items()
        if not (name == "occlusion" and scores["map"] == "occlusion")
    ]
    yield from table([head, *rows]).splitlines()
    if scores["agreement_with_occlusion"]:
        yield f"Rank correlation with occlusion: {_shown(scores['agreement_with_occlusion'])}"
    yield from _pointing_lines(scores["pointing"])
    for name, check in scores["checks"].items():
        passed = "passed" if check["passed"] else "FAILED"
        alike = check.get("correlation")
        said = f"area {_shown(check['gain'])} below, {LEAST_GAIN} asked for"
        said += f"; correlation {alike['value']:.3f}" if alike else ""
        said += f", {MOST_CORRELATION} allowed" if "most_correlation" in check else ""
        yield f"Check against {TITLES[name]}: {passed} ({said})"
    yield scores["sentence"]
    left = ", ".join(f"{name} {count}" for name, count in scores["left_out"].items())
    yield (
        f"{scores['split']} split, {scores['examples']:,} examples of {scores['images']:,} images"
        f"{f'; left out: {left}' if left else ''}. Map: {scores['map']}."
    )
    for name, value in scores["conventions"].items():
        if value is not None:
            yield f"  {name}: {value}"


def _shown(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _pointing_lines(pointing: Mapping[str, Any] | None) -> Iterator[str]:
    for kind in ("boxes", "outlines"):
        if pointing and (found := pointing.get(kind)):
            yield (
                f"Pointing game, {kind} of {found['questions']:,}: {found['landed']:.1%}; "
                f"by chance {found['landed_by_chance']:.1%}, "
                f"the middle of the image {found['landed_by_middle']:.1%}"
            )
